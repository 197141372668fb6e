//! Each complaint of librdkafka's once a minute: every client of the process tries every broker that is gone twice a second.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two of the same.
const EVERY: Duration = Duration::from_secs(60);
/// Different ones that are remembered.
const REMEMBERED_MAX: usize = 200;

/// When each was let through, and how many were not since.
#[derive(Default)]
pub(super) struct Seldom(BTreeMap<String, (Instant, u64)>);

impl Seldom {
    /// How many of its kind were held back since the last; `None` if this one is to be held back too.
    fn admit(&mut self, complaint: &str, now: Instant) -> Option<u64> {
        let kind = kind_of(complaint);
        if let Some((last, held)) = self.0.get_mut(kind) {
            if now.saturating_duration_since(*last) < EVERY {
                *held += 1;
                return None;
            }
            *last = now;
            return Some(std::mem::take(held));
        }
        if self.0.len() >= REMEMBERED_MAX {
            self.0.clear();
        }
        self.0.insert(kind.to_owned(), (now, 0));
        Some(0)
    }
}

/// As [`Seldom::admit`], for the whole process.
pub(super) fn admit(complaint: &str) -> Option<u64> {
    static ALL: Mutex<Seldom> = Mutex::new(Seldom(BTreeMap::new()));
    ALL.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .admit(complaint, Instant::now())
}

/// What is said, without which client says it and how long it tried:
/// `[thrd:a:9092/1]: a:9092/1: Connect to ipv4#192.0.2.1:9092 failed: Connection refused (after 0ms in state CONNECT)`.
fn kind_of(complaint: &str) -> &str {
    let rest = complaint.strip_prefix("[thrd:").and_then(|rest| rest.split_once("]: "));
    let said = rest.map_or(complaint, |(_, said)| said);
    said.split(" (after ").next().unwrap_or(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_of_many_clients_is_told_once_a_minute_with_how_many_were_not() {
        let refused = |client: &str, ms: u64| {
            format!("[thrd:{client}]: a:9092/1: Connect failed: Connection refused (after {ms}ms in state CONNECT)")
        };
        let (mut seldom, begin) = (Seldom::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(seldom.admit(&refused("a:9092/1", 0), at(0)), Some(0));
        assert_eq!(seldom.admit(&refused("a:9092/bootstrap", 3), at(1)), None);
        assert_eq!(seldom.admit(&refused("a:9092/1", 1), at(59)), None);
        assert_eq!(
            seldom.admit("b:9092/2: Disconnected (after 9ms in state UP)", at(59)),
            Some(0)
        );
        assert_eq!(seldom.admit(&refused("a:9092/1", 0), at(61)), Some(2));
        assert_eq!(seldom.admit(&refused("a:9092/1", 0), at(62)), None);
        for n in 0..1_000 {
            seldom.admit(&n.to_string(), at(63));
        }
        assert!(seldom.0.len() <= REMEMBERED_MAX);
    }
}
