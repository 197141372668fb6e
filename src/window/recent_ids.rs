//! The latest event ids of an account, to recognize a re-delivery.

use super::growth;
use crate::model::event_id::{EventId, words_of_text};

/// Hashes of event ids, in the order they came; a full ring drops its oldest. The latest few are kept for good, the
/// others go some time after they came.
///
/// Every event asks whether its id is among them, so they lie side by side and nothing is moved to make room. They
/// fall into two generations: when the younger has lasted for as long as an id is kept, the older goes. So an id is
/// kept for at least that long and at most twice as long.
#[derive(Clone, Debug, Default)]
pub struct RecentIds {
    ids: Vec<u64>,
    /// Append time of the younger generation's first id, ms.
    since_ms: i64,
    /// Index of the oldest once the ring is full; 0 before.
    oldest: u32,
    /// How many belong to the older generation.
    older: u32,
}

/// How many ids are kept, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Ids at most.
    pub ids_max: usize,
    /// The latest ids, which no time takes.
    pub ids_min: usize,
    /// Append time for which an id is kept at least, unless others take its place, ms.
    pub kept_ms: i64,
}

/// Room that is left at least for further ids where the older generation goes.
const SPARE: usize = 4;

impl RecentIds {
    /// Ids read back from a checkpoint, oldest first, with the size of their older generation and the append time of
    /// the younger, ms.
    #[must_use]
    pub fn from_oldest_first(ids: Vec<u64>, older: u32, since_ms: i64) -> Self {
        Self {
            ids,
            since_ms,
            oldest: 0,
            older,
        }
    }

    /// Remembers an id that came at `append_ms`. False if it was known.
    pub fn insert(&mut self, id: u64, append_ms: i64, kept: Kept) -> bool {
        self.turn(append_ms, kept);
        if holds(&self.ids, id) {
            return false;
        }
        if self.ids.len() < kept.ids_max.max(1) {
            // The ring may have been filled under a smaller limit.
            self.straighten();
            if self.ids.len() == self.ids.capacity() {
                self.ids.reserve_exact(growth(self.ids.len()));
            }
            self.ids.push(id);
        } else {
            self.ids[self.oldest as usize] = id;
            self.oldest += 1;
            if self.oldest as usize == self.ids.len() {
                self.oldest = 0;
            }
            self.older = self.older.saturating_sub(1);
        }
        true
    }

    /// Lets the older generation go when its time has come.
    fn turn(&mut self, append_ms: i64, kept: Kept) {
        let lasted_ms = append_ms.saturating_sub(self.since_ms);
        if lasted_ms < kept.kept_ms {
            return;
        }
        self.straighten();
        let is_long_ago = lasted_ms >= kept.kept_ms.saturating_mul(2);
        let old = if is_long_ago {
            self.ids.len()
        } else {
            self.older as usize
        };
        self.ids.drain(..old.min(self.ids.len().saturating_sub(kept.ids_min)));
        self.older = u32::try_from(self.ids.len()).unwrap_or(u32::MAX);
        self.since_ms = append_ms;
        // As many come before the next turn, and a few more or less are no reason to make the list anew.
        let wanted = self.ids.len() + SPARE.max(self.ids.len());
        if self.ids.capacity() > wanted + wanted / 2 {
            self.ids.shrink_to(wanted);
        }
    }

    fn straighten(&mut self) {
        if self.oldest != 0 {
            self.ids.rotate_left(self.oldest as usize);
            self.oldest = 0;
        }
    }

    /// Reads a few ids, to bring them near.
    #[must_use]
    pub fn touch(&self) -> u64 {
        let Some(last) = self.ids.len().checked_sub(1) else {
            return 0;
        };
        // One of every line of 64 bytes, for as many as most accounts have.
        let lines = [0, 8, 16, 24].map(|index| self.ids[last.min(index)]);
        lines.iter().fold(self.ids[last], |all, id| all ^ id)
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.ids.capacity() * size_of::<u64>()
    }

    /// Append time of the younger generation's first id, ms.
    #[must_use]
    pub fn since_ms(&self) -> i64 {
        self.since_ms
    }

    /// How many belong to the older generation.
    #[must_use]
    pub fn older(&self) -> u32 {
        self.older
    }

    /// All, oldest first, in two parts.
    #[must_use]
    pub fn parts(&self) -> [&[u64]; 2] {
        let (younger, older) = self.ids.split_at(self.oldest as usize);
        [older, younger]
    }
}

/// Whether an id is among them: eight at a time without a choice in between.
fn holds(ids: &[u64], id: u64) -> bool {
    let (eights, rest) = ids.as_chunks::<8>();
    let is_in = |some: &[u64]| some.iter().fold(false, |found, known| found | (*known == id));
    eights.iter().any(|eight| is_in(eight)) || is_in(rest)
}

/// 64-bit hash of an event's id and product, eight bytes at a time: a folded product of 64 by 64 bits, as in wyhash
/// (Wang Yi, public domain).
#[must_use]
pub fn id_hash(id: &EventId, product: &str) -> u64 {
    let mut state = 0;
    let mut add = |word| state = fold(state, word);
    id.words(&mut add);
    words_of_text(product, &mut add);
    state
}

#[allow(clippy::cast_possible_truncation, reason = "the halves of 128 bits")]
fn fold(state: u64, word: u64) -> u64 {
    let wide = u128::from(state.rotate_left(29) ^ word ^ 0x9e37_79b9_7f4a_7c15) * 0xe703_7ed1_a0b4_28db;
    wide as u64 ^ (wide >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Kept = Kept {
        ids_max: 3,
        ids_min: 0,
        kept_ms: 24,
    };

    #[test]
    fn a_full_ring_drops_its_oldest() {
        let mut recent = RecentIds::default();
        assert!((1..=5).all(|id| recent.insert(id, 0, DAY)));
        assert_eq!(recent.parts().concat(), [3, 4, 5]);
        assert!(!recent.insert(4, 0, DAY), "a known id is no news");
        assert!(recent.insert(1, 0, DAY), "a dropped id is");
        assert_eq!(recent.parts().concat(), [4, 5, 1]);
    }

    #[test]
    fn order_survives_a_larger_limit() {
        let mut recent = RecentIds::default();
        assert!((1..=4).all(|id| recent.insert(id, 0, DAY)));
        let larger = Kept { ids_max: 5, ..DAY };
        assert!((5..=6).all(|id| recent.insert(id, 0, larger)));
        assert_eq!(recent.parts().concat(), [2, 3, 4, 5, 6]);
    }

    #[test]
    fn an_id_goes_after_its_time() {
        let mut recent = RecentIds::default();
        recent.insert(1, 100, DAY);
        recent.insert(2, 123, DAY);
        assert!(!recent.insert(1, 124, DAY), "kept for a day");
        recent.insert(3, 147, DAY);
        assert!(!recent.insert(2, 147, DAY), "the younger generation became the older");
        assert!(recent.insert(1, 148, DAY), "the older generation went");
        assert_eq!(recent.parts().concat(), [3, 1]);
        assert!(recent.insert(3, 300, DAY), "after a pause both are gone");
        assert_eq!(recent.len(), 1);
    }

    #[test]
    fn the_latest_few_stay_however_old() {
        let mut recent = RecentIds::default();
        let kept = Kept { ids_min: 2, ..DAY };
        assert!((1..=3).all(|id| recent.insert(id, 100, kept)));
        assert!(!recent.insert(3, 10_000, kept) && !recent.insert(2, 20_000, kept));
        assert!(recent.insert(1, 20_000, kept));
    }

    #[test]
    fn hashes_tell_texts_apart() {
        let pairs = [
            ("a", "b"),
            ("b", "a"),
            ("ab", ""),
            ("", "ab"),
            ("a\0", "b"),
            ("aaaaaaaa", "b"),
            ("aaaaaaaa\0", "b"),
            ("aaaaaaaaaaaa", "b"),
            // Packed, its bytes are those of the text before.
            ("616161616161616161616161", "b"),
            ("61616161-6161-6161-6161-616161616161", "b"),
            ("61616161616161616161616161616161", "b"),
        ];
        let hash = |(id, product): (&str, &str)| id_hash(&EventId::new(id), product);
        let distinct: std::collections::BTreeSet<u64> = pairs.into_iter().map(hash).collect();
        assert_eq!(distinct.len(), pairs.len());
    }
}
