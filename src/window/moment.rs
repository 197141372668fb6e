//! Times as facts keep them: in six bytes, because an account has a dozen of them.

use std::cmp::Ordering;
use std::fmt;

use bytemuck::{Pod, Zeroable};

/// Milliseconds since 1970, up to a day in the year 10889. What is earlier or later is the first or the last of them: sources
/// give times from 2000 to 2200.
#[derive(Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub struct Moment([u16; 3]);

impl Moment {
    /// No time is earlier.
    pub const FIRST: Self = Self([0; 3]);
    /// No time is later.
    pub const LAST: Self = Self([u16::MAX; 3]);

    /// Of a time, ms.
    #[must_use]
    #[inline]
    pub fn of(ms: i64) -> Self {
        let [a, b, c, d, e, f, ..] = ms.clamp(0, Self::LAST.ms()).to_le_bytes();
        Self([[a, b], [c, d], [e, f]].map(u16::from_le_bytes))
    }

    /// The time, ms.
    #[must_use]
    #[inline]
    pub const fn ms(self) -> i64 {
        let [low, middle, high] = self.0;
        low as i64 | (middle as i64) << 16 | (high as i64) << 32
    }
}

impl Ord for Moment {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.ms().cmp(&other.ms())
    }
}

impl PartialOrd for Moment {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ms", self.ms())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_in_their_order_and_what_is_beyond_is_held_at_the_ends() {
        let last = (1 << 48) - 1;
        let all = [
            0,
            1,
            65_535,
            65_536,
            1_772_409_600_000,
            (1 << 32) - 1,
            1 << 32,
            last - 1,
            last,
        ];
        for one in all {
            assert_eq!(Moment::of(one).ms(), one);
            for other in all {
                assert_eq!(Moment::of(one).cmp(&Moment::of(other)), one.cmp(&other));
            }
        }
        assert_eq!([-1, i64::MIN].map(Moment::of), [Moment::FIRST; 2]);
        assert_eq!([last + 1, i64::MAX].map(Moment::of), [Moment::LAST; 2]);
    }
}
