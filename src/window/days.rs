//! A ledger of the last 32 days: one bit per day, so the order in which a day's events arrive cannot matter.

use bytemuck::{Pod, Zeroable};

use crate::model::codec::{Malformed, Reader, Writer};

/// Days on which something was seen. Bit 0 is the latest day, bit `n` the day `n` days before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, packed(2))]
pub struct Days {
    /// Since 1970, up to 2149. A day that is earlier or later counts as the first or the last of them.
    latest: u16,
    bits: u32,
}

impl Days {
    /// Marks a day. Days more than 31 before the latest are forgotten. Says whether the ledger changed.
    pub fn mark(&mut self, day: i32) -> bool {
        let day = number(day);
        if self.bits == 0 {
            *self = Self { latest: day, bits: 1 };
            return true;
        }
        let ahead = i32::from(day) - i32::from(self.latest);
        if ahead > 0 {
            self.bits = u32::try_from(ahead)
                .ok()
                .and_then(|n| self.bits.checked_shl(n))
                .unwrap_or(0)
                | 1;
            self.latest = day;
            return true;
        }
        let before = self.bits;
        if let Some(bit) = u32::try_from(-ahead).ok().and_then(|n| 1u32.checked_shl(n)) {
            self.bits |= bit;
        }
        self.bits != before
    }

    /// How many of the days `from..=to` are marked.
    #[must_use]
    pub fn count_between(&self, from: i32, to: i32) -> u16 {
        #[expect(clippy::cast_possible_truncation, reason = "at most 32")]
        let count = self.between(from, to).bits.count_ones() as u16;
        count
    }

    /// How many days are marked at all.
    #[must_use]
    pub fn count(&self) -> u16 {
        #[expect(clippy::cast_possible_truncation, reason = "at most 32")]
        let count = self.bits.count_ones() as u16;
        count
    }

    /// Only the marked days in `from..=to`.
    #[must_use]
    pub fn between(&self, from: i32, to: i32) -> Self {
        // Bits of the days no older than `from`, less those younger than `to`.
        let no_older = |day: i32| match i32::from(self.latest) - day {
            ..0 => 0,
            back @ 0..31 => (2u32 << back) - 1,
            31.. => u32::MAX,
        };
        let [from, to] = [from, to].map(|day| i32::from(number(day)));
        Self {
            latest: self.latest,
            bits: self.bits & no_older(from) & !no_older(to + 1),
        }
    }

    /// The marked days that `other` does not mark.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let shift = i32::from(self.latest) - i32::from(other.latest);
        let (bits, days) = (other.bits, shift.unsigned_abs());
        let aligned = if shift >= 0 {
            bits.checked_shl(days)
        } else {
            bits.checked_shr(days)
        };
        let aligned = aligned.unwrap_or(0);
        Self {
            latest: self.latest,
            bits: self.bits & !aligned,
        }
    }

    /// The days that either marks, but for those more than 31 before the latest.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let (early, late) = match (self.bits, other.bits) {
            (0, _) => return *other,
            (_, 0) => return *self,
            _ if self.latest < other.latest => (self, other),
            _ => (other, self),
        };
        let days = u32::from(late.latest - early.latest);
        Self {
            latest: late.latest,
            bits: late.bits | early.bits.checked_shl(days).unwrap_or(0),
        }
    }

    /// Whether no day is marked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bits == 0
    }

    /// Latest marked day, if any.
    #[must_use]
    pub fn latest(&self) -> Option<i32> {
        (self.bits != 0).then_some(i32::from(self.latest) - i32::try_from(self.bits.trailing_zeros()).unwrap_or(0))
    }

    /// Appends the ledger.
    pub fn write(&self, writer: &mut Writer) {
        writer.int(i64::from(self.latest));
        writer.uint(u64::from(self.bits));
    }

    /// Reads a ledger.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes are no ledger.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            latest: number(reader.i32()?),
            bits: reader.u32()?,
        })
    }
}

/// The number of a day, as a ledger keeps it.
#[inline]
fn number(day: i32) -> u16 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "held within 16 bits"
    )]
    let number = day.clamp(0, i32::from(u16::MAX)) as u16;
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(days: &[i32]) -> Days {
        let mut ledger = Days::default();
        for day in days {
            ledger.mark(*day);
        }
        ledger
    }

    #[test]
    fn order_of_arrival_does_not_matter() {
        assert_eq!(marked(&[100, 103, 101]), marked(&[103, 101, 100]));
        assert_eq!(
            marked(&[100, 140]),
            marked(&[140, 100]),
            "days out of reach are forgotten either way"
        );
    }

    #[test]
    fn a_span_of_days_is_cut_at_both_ends() {
        let mut full = Days::default();
        (69..=100).for_each(|day| {
            full.mark(day);
        });
        for from in [i32::MIN, 0, 68, 69, 70, 99, 100, 101, i32::MAX] {
            for to in [i32::MIN, 0, 68, 69, 70, 99, 100, 101, i32::MAX] {
                let expected = (69..=100).filter(|day| (from..=to).contains(day)).count();
                assert_eq!(usize::from(full.count_between(from, to)), expected, "{from}..={to}");
            }
        }
    }

    #[test]
    fn counting_and_difference() {
        let active = marked(&[10, 11, 12, 13]);
        assert_eq!(active.count_between(11, 12), 2);
        assert_eq!(active.without(&marked(&[11, 20])).count(), 3);
        assert_eq!(active.without(&marked(&[13])).latest(), Some(12));
        for (one, other, both) in [
            (&[10, 12][..], &[11, 12][..], &[10, 11, 12][..]),
            (&[10], &[41], &[10, 41]),
            (&[10], &[42], &[42]),
            (&[], &[9], &[9]),
            (&[], &[], &[]),
        ] {
            let [one, other, both] = [one, other, both].map(marked);
            assert_eq!([one.with(&other), other.with(&one)], [both, both]);
        }
        assert_eq!(marked(&[]).latest(), None);
    }

    #[test]
    fn days_beyond_either_end_count_as_the_last_on_that_side() {
        let (before, after) = (marked(&[-40, -1]), marked(&[65_535, 73_000]));
        assert_eq!(before.count_between(-90, -1), 1);
        assert_eq!(before.latest(), Some(0));
        assert_eq!(after.count_between(73_000, 73_001), 1);
        assert_eq!(after.count_between(65_500, 65_534), 0);
        assert_eq!(before.without(&after).count() + after.without(&before).count(), 2);
    }
}
