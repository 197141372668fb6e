//! How each worker does: whether it goes round, and what keeps the process from being ready, in words.

use std::time::{Duration, Instant};

/// A worker that has not gone round for this long is stuck.
pub(super) const STALL: Duration = Duration::from_secs(60);

/// Where a worker stands after a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// It belongs to its group: it does not before the group first answered, nor once its partitions were lost.
    pub is_member: bool,
    /// Partitions that are its own.
    pub assigned: usize,
    /// Of those, restored and working.
    pub live: usize,
    /// Of those, paused until an operator mends what the log says.
    pub refused: usize,
}

/// What a worker showed last.
#[derive(Clone, Copy)]
pub(super) struct Beat {
    /// When it last went round.
    pub(super) at: Instant,
    /// When it last showed that it is not stuck: it may wait for brokers.
    pub(super) seen: Instant,
    /// `None` until it is connected.
    pub(super) standing: Option<Standing>,
    /// It failed; nothing takes its place until the process is started again.
    pub(super) has_failed: bool,
}

impl Beat {
    pub(super) fn new(standing: Option<Standing>) -> Self {
        let now = Instant::now();
        Self {
            at: now,
            seen: now,
            standing,
            has_failed: false,
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        self.seen.elapsed() < STALL
    }

    /// What keeps it from being ready.
    pub(super) fn lacks(&self) -> Option<String> {
        if self.has_failed {
            return Some("ended by a failure; the log says why".to_owned());
        }
        let Some(standing) = self.standing else {
            return Some("is not connected to the brokers yet".to_owned());
        };
        let silent_s = self.at.elapsed().as_secs();
        if self.at.elapsed() >= STALL {
            return Some(if self.is_alive() {
                format!("has waited for the brokers for {silent_s} s")
            } else {
                format!("has not gone round for {silent_s} s")
            });
        }
        let Standing {
            assigned,
            live,
            refused,
            ..
        } = standing;
        if !standing.is_member {
            return Some("waits for its group to give it partitions".to_owned());
        }
        if refused > 0 {
            let what = format!("{refused} of {assigned} partitions cannot be restored and stay paused");
            return Some(format!("{what}; the log says why"));
        }
        (live < assigned).then(|| format!("{} of {assigned} partitions are being restored", assigned - live))
    }
}

#[cfg(test)]
mod tests {
    use crate::service::metrics::Metrics;
    use crate::service::worker::stage::Role;

    use super::*;

    fn at_work(assigned: usize, live: usize) -> Standing {
        Standing {
            is_member: true,
            assigned,
            live,
            refused: 0,
        }
    }

    #[test]
    fn readiness_says_in_words_what_is_missing() {
        let metrics = Metrics::new().unwrap();
        let lacks = |what: &str| {
            let lacks = metrics.lacks().join("\n");
            assert!(lacks.contains(what) && !metrics.is_ready(), "{lacks:?}");
        };
        lacks("no worker is at work");
        let worker = metrics.worker("accounts-0", Role::Accounts);
        worker.connecting();
        lacks("accounts-0 is not connected to the brokers yet");
        worker.beat(Standing::default());
        lacks("accounts-0 waits for its group");
        worker.beat(at_work(3, 1));
        lacks("accounts-0: 2 of 3 partitions are being restored");
        worker.beat(Standing {
            refused: 1,
            ..at_work(3, 2)
        });
        lacks("accounts-0: 1 of 3 partitions cannot be restored");
        worker.beat(at_work(3, 3));
        assert_eq!(metrics.lacks(), [""; 0]);
        assert!(metrics.is_alive() && metrics.is_ready());
        // Its partitions were lost, and the group has not answered since.
        worker.beat(Standing {
            is_member: false,
            ..at_work(0, 0)
        });
        lacks("accounts-0 waits for its group");
        worker.beat(at_work(0, 0));
        assert!(metrics.is_ready(), "a group may have more members than partitions");
        worker.gone();
        lacks("no worker is at work");
    }

    #[test]
    fn a_worker_that_failed_is_not_made_up_for_by_the_others() {
        let metrics = Metrics::new().unwrap();
        let [one, other] = ["accounts-0", "entities-0"].map(|name| metrics.worker(name, Role::Accounts));
        one.beat(at_work(3, 3));
        other.beat(at_work(3, 3));
        assert!(metrics.is_ready());
        one.failed();
        assert!(!metrics.is_ready());
        assert_eq!(metrics.lacks(), ["accounts-0 ended by a failure; the log says why"]);
    }

    #[test]
    fn who_waits_for_brokers_is_alive_and_not_ready() {
        let metrics = Metrics::new().unwrap();
        let worker = metrics.worker("accounts-0", Role::Accounts);
        worker.beat(at_work(1, 1));
        let long_ago = Instant::now().checked_sub(STALL * 2).unwrap();
        for beat in metrics.0.workers.lock().unwrap().values_mut() {
            (beat.at, beat.seen) = (long_ago, long_ago);
        }
        assert!(!metrics.is_alive() && !metrics.is_ready());
        assert_eq!(metrics.lacks(), ["accounts-0 has not gone round for 120 s"]);
        worker.waits();
        assert!(metrics.is_alive() && !metrics.is_ready());
        assert_eq!(metrics.lacks(), ["accounts-0 has waited for the brokers for 120 s"]);
    }

    #[test]
    fn gauges_follow_a_worker_that_joins_anew() {
        let metrics = Metrics::new().unwrap();
        let worker = metrics.worker("accounts-0", Role::Accounts);
        worker.beat(at_work(3, 3));
        worker.connecting();
        let text = String::from_utf8(metrics.render()).unwrap();
        assert!(
            text.contains("\nfalsefront_partitions_live{worker=\"accounts-0\"} 0\n"),
            "{text}"
        );
    }
}
