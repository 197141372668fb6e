//! How far behind each partition is, in time, and how long until retention deletes what was not read.

use dashmap::DashMap;
use prometheus::{GaugeVec, Opts, Registry};

#[derive(Clone, Copy, Default)]
struct Standing {
    /// Records not read yet.
    records: i64,
    /// Append time of the latest record committed, ms; 0 if none was.
    append_ms: i64,
    /// When there was nothing to read, the last time, ms: what there is now came later.
    idle_ms: i64,
    /// When something was first seen to be waiting, ms.
    waiting_ms: i64,
}

impl Standing {
    /// Seconds since everything was read, and whether that is known. Where nothing was committed yet, it is at least the
    /// time that records were seen to wait.
    fn age(&self, now_ms: i64) -> (f64, bool) {
        if self.records == 0 {
            return (0.0, true);
        }
        let known_ms = self.append_ms.max(self.idle_ms);
        let since_ms = if known_ms > 0 { known_ms } else { self.waiting_ms };
        (seconds(now_ms.saturating_sub(since_ms).max(0)), known_ms > 0)
    }
}

/// What `/metrics` computes from the standing of each partition when it is asked. Every worker and librdkafka's own
/// threads write here while a scrape reads, so no lock is over the whole.
pub(super) struct Lag {
    partitions: DashMap<(String, i32), Standing>,
    /// By topic, seconds.
    retention: DashMap<String, f64>,
    seconds: GaugeVec,
    to_loss: GaugeVec,
}

impl Lag {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| {
            let gauge = GaugeVec::new(Opts::new(name, help), &["topic", "partition"])?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let seconds = "Time since everything was read, as far as records tell it, or at least since records were seen to \
                       wait; 0 while there is nothing to read.";
        let to_loss =
            "Time until retention deletes records that were not read; known once records were, or none waits.";
        Ok(Self {
            partitions: DashMap::new(),
            retention: DashMap::new(),
            seconds: gauge("falsefront_consumer_lag_seconds", seconds)?,
            to_loss: gauge("falsefront_seconds_to_data_loss", to_loss)?,
        })
    }

    fn change(&self, topic: &str, partition: i32, change: impl FnOnce(&mut Standing)) {
        change(&mut self.partitions.entry((topic.to_owned(), partition)).or_default());
    }

    pub(super) fn records(&self, topic: &str, partition: i32, records: i64, now_ms: i64) {
        self.change(topic, partition, |standing| {
            standing.records = records;
            if records == 0 {
                standing.idle_ms = standing.idle_ms.max(now_ms);
            } else if standing.waiting_ms == 0 {
                standing.waiting_ms = now_ms;
            }
        });
    }

    pub(super) fn committed(&self, topic: &str, partition: i32, append_ms: i64) {
        self.change(topic, partition, |standing| {
            // What comes only now was there when nothing seemed to be: whoever counts may not have heard of it.
            if append_ms > standing.append_ms && append_ms < standing.idle_ms {
                standing.idle_ms = 0;
            }
            standing.append_ms = append_ms;
        });
    }

    pub(super) fn forget(&self, topic: &str, partition: i32) {
        self.partitions.remove(&(topic.to_owned(), partition));
        let labels = [topic, &partition.to_string()];
        let _ = self.seconds.remove_label_values(&labels);
        let _ = self.to_loss.remove_label_values(&labels);
    }

    /// `retention_ms` below 0 means for ever.
    pub(super) fn set_retention(&self, topic: &str, retention_ms: i64) {
        if retention_ms < 0 {
            self.retention.remove(topic);
        } else {
            self.retention.insert(topic.to_owned(), seconds(retention_ms));
        }
    }

    /// Computes the gauges as of `now_ms`.
    pub(super) fn refresh(&self, now_ms: i64) {
        for entry in &self.partitions {
            let ((topic, partition), standing) = entry.pair();
            let (age, is_known) = standing.age(now_ms);
            let labels = [topic.as_str(), &partition.to_string()];
            self.seconds.with_label_values(&labels).set(age);
            if let Some(kept) = self.retention.get(topic).filter(|_| is_known) {
                self.to_loss.with_label_values(&labels).set(*kept - age);
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit 53 bits")]
pub(super) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_without_a_commit_since_the_start_is_not_left_out() {
        let lag = Lag::new(&Registry::new()).unwrap();
        lag.set_retention("auth", 3_600_000);
        lag.records("auth", 0, 0, 1_000_000);
        lag.records("auth", 1, 5, 1_000_000);
        lag.refresh(1_010_000);
        let of = |gauge: &GaugeVec, partition: &str| gauge.with_label_values(&["auth", partition]).get();
        assert_eq!(
            (of(&lag.seconds, "0"), of(&lag.to_loss, "0")),
            (0.0, 3_600.0),
            "nothing waits"
        );
        assert_eq!(of(&lag.seconds, "1"), 10.0, "at least since it was seen");
        assert!(
            lag.to_loss.remove_label_values(&["auth", "1"]).is_err(),
            "the records may be older, so nobody knows how long they are kept"
        );
        lag.records("auth", 0, 7, 1_020_000);
        lag.refresh(1_030_000);
        assert_eq!(
            (of(&lag.seconds, "0"), of(&lag.to_loss, "0")),
            (30.0, 3_570.0),
            "since nothing waited"
        );
    }

    #[test]
    fn a_partition_behind_says_how_long_until_records_are_lost() {
        let lag = Lag::new(&Registry::new()).unwrap();
        lag.set_retention("auth", 3_600_000);
        lag.committed("auth", 1, 1_000_000);
        lag.records("auth", 1, 5, 1_000_500);
        lag.refresh(1_060_000);
        let of = |gauge: &GaugeVec| gauge.with_label_values(&["auth", "1"]).get();
        assert_eq!((of(&lag.seconds), of(&lag.to_loss)), (60.0, 3_540.0));
        lag.records("auth", 1, 0, 9_000_000);
        lag.refresh(9_000_000);
        assert_eq!((of(&lag.seconds), of(&lag.to_loss)), (0.0, 3_600.0), "nothing waits");
        lag.records("auth", 1, 1, 9_001_000);
        lag.refresh(9_002_000);
        assert_eq!(
            (of(&lag.seconds), of(&lag.to_loss)),
            (2.0, 3_598.0),
            "the silence before does not count"
        );
        lag.committed("auth", 1, 8_000_000);
        lag.refresh(9_002_000);
        assert_eq!(of(&lag.seconds), 1_002.0, "there was more than was counted");
        lag.forget("auth", 1);
        lag.refresh(9_000_000);
        assert_eq!(of(&lag.seconds), 0.0);
    }
}
