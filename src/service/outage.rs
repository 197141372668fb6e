//! What is said of brokers that do not answer: once when it is clear, again each minute, and how long it was in the end.

use std::time::Duration;

/// Between two lines about one outage.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// An outage as one client sees it. Times are of any clock that does not go back.
#[derive(Debug, Default)]
pub struct Outage {
    since: Option<Duration>,
    told: Option<Duration>,
}

impl Outage {
    /// Still no answer at `now` to what was first asked at `since`. How long that is, if it is time to say so.
    pub fn goes_on(&mut self, since: Duration, now: Duration) -> Option<Duration> {
        let since = *self.since.get_or_insert(since);
        if self.told.is_some_and(|told| now < told + TELL_EVERY) {
            return None;
        }
        self.told = Some(now);
        Some(now.saturating_sub(since))
    }

    /// The brokers answer. How long they did not, if anything was said of it.
    pub fn is_over(&mut self, now: Duration) -> Option<Duration> {
        let Self { since, told } = std::mem::take(self);
        told.and(since).map(|since| now.saturating_sub(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_once_then_each_minute_and_at_its_end() {
        let seconds = Duration::from_secs;
        let mut outage = Outage::default();
        assert_eq!(outage.is_over(seconds(1)), None, "there was none");
        let told: Vec<u64> = (15..200)
            .filter_map(|now| outage.goes_on(seconds(10), seconds(now)))
            .map(|long| long.as_secs())
            .collect();
        assert_eq!(told, [5, 65, 125, 185]);
        assert_eq!(outage.is_over(seconds(210)), Some(seconds(200)));
        assert_eq!(outage.is_over(seconds(211)), None);
        assert_eq!(outage.goes_on(seconds(300), seconds(305)), Some(seconds(5)), "another");
    }
}
