//! The latest event ids of an account, to recognize a re-delivery.

/// Hashes of event ids, in the order they came; a full ring drops its oldest.
///
/// Every event asks whether its id is among them, so they lie side by side and nothing is moved to make room.
#[derive(Clone, Debug, Default)]
pub struct RecentIds {
    ids: Vec<u64>,
    /// Index of the oldest once the ring is full; 0 before.
    oldest: usize,
}

impl RecentIds {
    /// Ids read back from a checkpoint, oldest first.
    #[must_use]
    pub fn from_oldest_first(ids: Vec<u64>) -> Self {
        Self { ids, oldest: 0 }
    }

    /// Remembers an id. False if it was known.
    pub fn insert(&mut self, id: u64, ids_max: usize) -> bool {
        if self.ids.contains(&id) {
            return false;
        }
        if self.ids.len() < ids_max.max(1) {
            // The ring may have been filled under a smaller limit.
            self.ids.rotate_left(self.oldest);
            self.oldest = 0;
            self.ids.push(id);
        } else {
            self.ids[self.oldest] = id;
            self.oldest = (self.oldest + 1) % self.ids.len();
        }
        true
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

    /// All, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        let (younger, older) = self.ids.split_at(self.oldest);
        older.iter().chain(younger).copied()
    }
}

impl PartialEq for RecentIds {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_drops_its_oldest() {
        let mut recent = RecentIds::default();
        assert!((1..=5).all(|id| recent.insert(id, 3)));
        assert_eq!(recent.iter().collect::<Vec<_>>(), [3, 4, 5]);
        assert!(!recent.insert(4, 3), "a known id is no news");
        assert!(recent.insert(1, 3), "a dropped id is");
        let restored = RecentIds::from_oldest_first(recent.iter().collect());
        assert_eq!(restored, recent);
    }

    #[test]
    fn order_survives_a_larger_limit() {
        let mut recent = RecentIds::default();
        assert!((1..=4).all(|id| recent.insert(id, 3)));
        assert!((5..=6).all(|id| recent.insert(id, 5)));
        assert_eq!(recent.iter().collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
    }
}
