//! The latest event ids of an account, to recognize a re-delivery.
//!
//! Hashes of event ids, in the order they came; a full ring drops its oldest. The latest few are kept for good, the
//! others go some time after they came.
//!
//! Every event asks whether its id is among them, so they lie side by side, the parts that are compared first by themselves,
//! and nothing is moved to make room. They fall into two generations: when the younger has lasted for as long as an id is kept, the older goes. So an id is
//! kept for at least that long and at most twice as long.

use bytemuck::{Pod, Zeroable};

use super::block::{Block, ITEMS_MAX, List};
use super::moment::Moment;
use crate::model::event_id::{EventId, words_of_text};

/// Hash of an event's id and product, of 48 bits; see [`id_hash`]. Of the few ids that an account keeps, one is taken for
/// another once in some 10^13 events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    low: IdLow,
    high: IdHigh,
}

/// The lower 32 bits of an id, as a block keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, packed(2))]
pub struct IdLow(u32);

/// The 16 bits above them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub struct IdHigh(u16);

impl Id {
    /// Of a hash, whose upper 16 bits are left out.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "the parts of 48 bits")]
    pub fn of(hash: u64) -> Self {
        Self {
            low: IdLow(hash as u32),
            high: IdHigh((hash >> 32) as u16),
        }
    }

    /// Its 48 bits.
    #[must_use]
    pub fn bits(self) -> u64 {
        u64::from(self.high.0) << 32 | u64::from(self.low.0)
    }
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

impl Block {
    /// Remembers an id that came at `append_ms`. False if it was known.
    #[inline]
    pub(super) fn remember(&mut self, id: Id, append_ms: i64, kept: Kept) -> bool {
        self.turn(append_ms, kept);
        if holds(self.list(), self.list(), id) {
            return false;
        }
        if self.len(List::Ids) < kept.ids_max.clamp(1, ITEMS_MAX) {
            // The ring may have been filled under a smaller limit.
            self.straighten();
            self.push_id(id);
        } else {
            let oldest = usize::from(self.head().ids_oldest);
            self.list_mut::<IdHigh>()[oldest] = id.high;
            let ids = self.list_mut::<IdLow>();
            ids[oldest] = id.low;
            let is_round = oldest + 1 == ids.len();
            let head = self.head_mut();
            head.ids_oldest = if is_round { 0 } else { head.ids_oldest + 1 };
            head.ids_older = head.ids_older.saturating_sub(1);
        }
        true
    }

    /// Lets the older generation go when its time has come.
    fn turn(&mut self, append_ms: i64, kept: Kept) {
        let lasted_ms = append_ms.saturating_sub(self.head().ids_since.ms());
        if lasted_ms < kept.kept_ms {
            return;
        }
        self.straighten();
        let count = self.len(List::Ids);
        let is_long_ago = lasted_ms >= kept.kept_ms.saturating_mul(2);
        let old = if is_long_ago {
            count
        } else {
            usize::from(self.head().ids_older)
        };
        let gone = old.min(count.saturating_sub(kept.ids_min));
        self.remove::<IdLow>(0..gone);
        self.remove::<IdHigh>(0..gone);
        let left = self.len(List::Ids);
        let head = self.head_mut();
        head.ids_older = u16::try_from(left).unwrap_or(u16::MAX);
        head.ids_since = Moment::of(append_ms);
    }

    fn straighten(&mut self) {
        let oldest = usize::from(self.head().ids_oldest);
        if oldest != 0 {
            self.list_mut::<IdLow>().rotate_left(oldest);
            self.list_mut::<IdHigh>().rotate_left(oldest);
            self.head_mut().ids_oldest = 0;
        }
    }

    /// Appends an id as the latest.
    pub(super) fn push_id(&mut self, id: Id) {
        self.push(&id.high);
        self.push(&id.low);
    }

    /// All ids, oldest first.
    pub(super) fn ids(&self) -> impl Iterator<Item = Id> {
        let (lows, highs) = (self.list::<IdLow>(), self.list::<IdHigh>());
        let all = lows.iter().zip(highs).map(|(low, high)| Id { low: *low, high: *high });
        let (count, oldest) = (lows.len(), usize::from(self.head().ids_oldest));
        all.cycle().skip(oldest).take(count)
    }
}

/// Whether an id is among them: sixteen at a time without a choice in between.
#[inline]
fn holds(lows: &[IdLow], highs: &[IdHigh], id: Id) -> bool {
    let (many, rest) = lows.as_chunks::<16>();
    let (many_highs, rest_highs) = highs.as_chunks::<16>();
    let is_in = |lows: &[IdLow], highs: &[IdHigh]| {
        let may_be = lows.iter().fold(false, |found, low| found | (*low == id.low));
        may_be
            && lows
                .iter()
                .zip(highs)
                .any(|(low, high)| *low == id.low && *high == id.high)
    };
    let mut many = many.iter().zip(many_highs);
    many.any(|(lows, highs)| is_in(lows, highs)) || is_in(rest, rest_highs)
}

/// Hash of an event's id and product, eight bytes at a time: a folded product of 64 by 64 bits, as in wyhash
/// (Wang Yi, public domain).
#[must_use]
#[inline]
pub fn id_hash(id: &EventId, product: &str) -> Id {
    let mut state = 0;
    let mut add = |word| state = fold(state, word);
    id.words(&mut add);
    words_of_text(product, &mut add);
    Id::of(state)
}

/// Folds a word into the state of such a hash.
#[allow(clippy::cast_possible_truncation, reason = "the halves of 128 bits")]
pub(super) fn fold(state: u64, word: u64) -> u64 {
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

    fn all(block: &Block) -> Vec<u64> {
        block.ids().map(Id::bits).collect()
    }

    fn insert(block: &mut Block, id: u64, append_ms: i64, kept: Kept) -> bool {
        block.remember(Id::of(id), append_ms, kept)
    }

    #[test]
    fn a_full_ring_drops_its_oldest() {
        let mut block = Block::default();
        assert!((1..=5).all(|id| insert(&mut block, id, 0, DAY)));
        assert_eq!(all(&block), [3, 4, 5]);
        assert!(!insert(&mut block, 4, 0, DAY), "a known id is no news");
        assert!(insert(&mut block, 1, 0, DAY), "a dropped id is");
        assert_eq!(all(&block), [4, 5, 1]);
    }

    #[test]
    fn order_survives_a_larger_limit() {
        let mut block = Block::default();
        assert!((1..=4).all(|id| insert(&mut block, id, 0, DAY)));
        let larger = Kept { ids_max: 5, ..DAY };
        assert!((5..=6).all(|id| insert(&mut block, id, 0, larger)));
        assert_eq!(all(&block), [2, 3, 4, 5, 6]);
    }

    #[test]
    fn an_id_goes_after_its_time() {
        let mut block = Block::default();
        insert(&mut block, 1, 100, DAY);
        insert(&mut block, 2, 123, DAY);
        assert!(!insert(&mut block, 1, 124, DAY), "kept for a day");
        insert(&mut block, 3, 147, DAY);
        assert!(
            !insert(&mut block, 2, 147, DAY),
            "the younger generation became the older"
        );
        assert!(insert(&mut block, 1, 148, DAY), "the older generation went");
        assert_eq!(all(&block), [3, 1]);
        assert!(insert(&mut block, 3, 300, DAY), "after a pause both are gone");
        assert_eq!(all(&block).len(), 1);
    }

    #[test]
    fn the_latest_few_stay_however_old() {
        let mut block = Block::default();
        let kept = Kept { ids_min: 2, ..DAY };
        assert!((1..=3).all(|id| insert(&mut block, id, 100, kept)));
        assert!(!insert(&mut block, 3, 10_000, kept) && !insert(&mut block, 2, 20_000, kept));
        assert!(insert(&mut block, 1, 20_000, kept));
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
        let hash = |(id, product): (&str, &str)| id_hash(&EventId::new(id), product).bits();
        let distinct: std::collections::BTreeSet<u64> = pairs.into_iter().map(hash).collect();
        assert_eq!(distinct.len(), pairs.len());
    }
}
