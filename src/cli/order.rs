//! Whether the files of a replay follow each other in time. They are folded one after the other, so events of a file that
//! goes back beyond the allowed lateness come too late; only what stands in one batch of records is ordered together.

use crate::intake::{Format, decode};

/// Records at the head of a file that are asked for its time; where none of them has one, the file is not judged.
pub const HEAD_RECORDS_MAX: u32 = 100;

/// The newest event folded so far, and the files begun since. Tells of the first that goes back too far, and then no more.
pub struct Order {
    allowed_lateness_ms: i64,
    /// A batch is filled while the one before it is folded, so what that held is known later.
    reads_ahead: bool,
    newest_ms: Option<i64>,
    /// Files begun in the batch that is being filled, and when each begins, ms.
    begun: Vec<(String, i64)>,
    is_told: bool,
}

impl Order {
    /// Nothing was read yet.
    pub fn new(allowed_lateness_ms: i64, reads_ahead: bool) -> Self {
        Self {
            allowed_lateness_ms,
            reads_ahead,
            newest_ms: None,
            begun: Vec::new(),
            is_told: false,
        }
    }

    /// A file begins with an event of that time; the warning, if it is too late.
    pub fn begins(&mut self, file: &str, begin_ms: i64) -> Option<String> {
        if self.reads_ahead {
            self.begun.push((file.to_owned(), begin_ms));
        }
        self.judge(file, begin_ms)
    }

    /// A batch is full; `newest_ms` is the newest event of those folded. The warning, if a file begun meanwhile is too
    /// late.
    pub fn batch(&mut self, newest_ms: Option<i64>) -> Option<String> {
        self.newest_ms = newest_ms.or(self.newest_ms);
        let begun = std::mem::take(&mut self.begun);
        begun.iter().find_map(|(file, begin_ms)| self.judge(file, *begin_ms))
    }

    fn judge(&mut self, file: &str, begin_ms: i64) -> Option<String> {
        let newest_ms = self.newest_ms.filter(|_| !self.is_told)?;
        if begin_ms.saturating_add(self.allowed_lateness_ms) >= newest_ms {
            return None;
        }
        self.is_told = true;
        Some(format!(
            "{file} begins at {}, and {} was read before it: files are folded one after the other, so what is older than \
             detections.window.allowed_lateness_ms comes too late; merge files of one time, or name them in order",
            time(begin_ms),
            time(newest_ms)
        ))
    }
}

/// The time of a record's first event, ms.
pub fn time_of(format: Format, record: &[u8]) -> Option<i64> {
    let mut first_ms = None;
    let decoded = decode(format, record, &mut |_, event| {
        if let Ok(event) = event {
            first_ms.get_or_insert(event.time_ms);
        }
    });
    decoded.ok().and(first_ms)
}

fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn the_first_file_that_goes_back_too_far_is_told_once() {
        let mut order = Order::new(HOUR_MS, false);
        assert_eq!(order.begins("a", 0), None);
        assert_eq!(
            order.begins("b", -9 * HOUR_MS),
            None,
            "nothing is folded, so both are ordered together"
        );
        assert_eq!(order.batch(Some(5 * HOUR_MS)), None);
        assert_eq!(order.begins("c", 4 * HOUR_MS), None, "within the lateness");
        let told = order.begins("d", 4 * HOUR_MS - 1).unwrap();
        assert!(
            told.starts_with("d begins at 1970-01-01T03:59:59.999Z, and 1970-01-01T05:00:00Z"),
            "{told}"
        );
        assert_eq!(order.begins("e", 0), None);
    }

    #[test]
    fn what_was_read_ahead_of_the_fold_is_judged_when_it_is_known() {
        let mut order = Order::new(HOUR_MS, true);
        assert_eq!((order.begins("a", 0), order.batch(None)), (None, None));
        assert_eq!(order.begins("b", 0), None);
        assert!(order.batch(Some(5 * HOUR_MS)).unwrap().starts_with("b begins"));
    }
}
