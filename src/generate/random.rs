//! The generator's only source of chance: SplitMix64, so a seed gives the same company on every machine.

/// A stream of pseudo-random numbers. Streams with different labels are independent of each other, so one
/// person's day does not change when another person is added.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

/// Increment and multipliers of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Random {
    /// The stream that belongs to `seed` and `labels`.
    #[must_use]
    pub fn of(seed: u64, labels: &[u64]) -> Self {
        let state = labels.iter().fold(mix(seed ^ GOLDEN), |state, label| {
            mix(state.wrapping_add(GOLDEN) ^ mix(label.wrapping_add(GOLDEN)))
        });
        Self { state }
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// A number below `count`; 0 if `count` is 0.
    pub fn below(&mut self, count: u32) -> u32 {
        let high = self.bits() >> 32;
        u32::try_from((high * u64::from(count)) >> 32).unwrap_or(0)
    }

    /// An index into a list of `len` items; 0 if it is empty.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(u32::try_from(len).unwrap_or(u32::MAX)) as usize
    }

    /// A number from `low` to `high`, both included; `low` if the range is empty.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        let span =
            u32::try_from(high.saturating_sub(low).saturating_add(1)).unwrap_or(if high < low { 0 } else { u32::MAX });
        low + i64::from(self.below(span))
    }

    /// True in `percent` of a hundred cases.
    pub fn percent(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    /// True in `per_mille` of a thousand cases.
    pub fn per_mille(&mut self, per_mille: u32) -> bool {
        self.below(1_000) < per_mille
    }

    /// Puts `items` in random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.index(last + 1);
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ_by_label() {
        let draw = |seed, labels: &[u64]| {
            let mut random = Random::of(seed, labels);
            [random.bits(), random.bits()]
        };
        assert_eq!(draw(7, &[1, 2]), draw(7, &[1, 2]));
        assert_ne!(draw(7, &[1, 2]), draw(7, &[2, 1]));
        assert_ne!(draw(7, &[1, 2]), draw(8, &[1, 2]));
    }

    #[test]
    fn ranges_are_kept_and_filled() {
        let mut random = Random::of(1, &[]);
        let mut seen = [false; 5];
        for _ in 0..200 {
            let drawn = random.between(-2, 2);
            assert!((-2..=2).contains(&drawn));
            seen[usize::try_from(drawn + 2).unwrap()] = true;
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(random.between(9, 3), 9);
        assert_eq!(random.below(0), 0);
    }
}
