//! How far behind each partition is, in time, and how long until retention deletes what was not read.

use std::collections::BTreeMap;

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
    /// Records that were read and are still kept, in a topic that keeps so many bytes: when as many have come, retention
    /// has caught up. `None` where it is not known, or nothing was deleted yet.
    spare: Option<i64>,
}

/// A topic of which records that were not read are deleted soon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Endangered {
    /// The partition with the least time left.
    pub partition: i32,
    /// How long that is.
    pub seconds: f64,
    /// Partitions with little time left.
    pub partitions: usize,
}

/// A backlog is judged by how fast it grew for so long at least.
const GROWTH_S_MIN: f64 = 60.0;
/// Time until records are lost that is called little, at most; and the share of what the topic keeps that is.
const LITTLE_S: f64 = 6.0 * 3_600.0;
const LITTLE_SHARE: f64 = 0.25;

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

    /// Seconds until retention deletes what was not read, if anything says so: after the time that the topic keeps records,
    /// or once as many have come as were read and are still kept, which come as fast as the backlog grew.
    fn left(&self, kept: Option<f64>, now_ms: i64) -> Option<f64> {
        let (age, is_known) = self.age(now_ms);
        let by_time = kept.map(|kept| kept - age);
        let has_grown = self.records > 0 && age >= GROWTH_S_MIN;
        let spare = self.spare.filter(|_| has_grown);
        let by_bytes = spare.map(|spare| count(spare) / (count(self.records) / age));
        let both = by_time.into_iter().chain(by_bytes).reduce(f64::min);
        both.filter(|_| is_known)
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
        let to_loss = "Time until retention deletes records that were not read; known once records were, or none waits. Where \
             retention.bytes bounds a topic, as fast as its backlog grows.";
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

    pub(super) fn waiting(&self, topic: &str) -> Vec<i32> {
        let of_topic = self.partitions.iter().filter(|entry| entry.key().0 == topic);
        let waiting = of_topic.filter(|entry| entry.records > 0);
        waiting.map(|entry| entry.key().1).collect()
    }

    pub(super) fn set_kept(&self, topic: &str, partition: i32, first: i64, end: i64) {
        if let Some(mut standing) = self.partitions.get_mut(&(topic.to_owned(), partition)) {
            let next = end - standing.records;
            standing.spare = (first > 0).then(|| (next - first).max(0));
        }
    }

    /// Topics of which records that were not read are deleted soon, as of `now_ms`.
    pub(super) fn endangered(&self, now_ms: i64) -> BTreeMap<String, Endangered> {
        let mut found: BTreeMap<String, Endangered> = BTreeMap::new();
        for entry in &self.partitions {
            let ((topic, partition), standing) = entry.pair();
            let kept = self.retention.get(topic).map(|kept| *kept);
            let little = kept.map_or(LITTLE_S, |kept| (kept * LITTLE_SHARE).min(LITTLE_S));
            let to_loss = standing.left(kept, now_ms).filter(|_| standing.records > 0);
            let Some(seconds) = to_loss.filter(|seconds| *seconds < little) else {
                continue;
            };
            let new = Endangered {
                partition: *partition,
                seconds,
                partitions: 0,
            };
            let worst = found.entry(topic.clone()).or_insert(new);
            worst.partitions += 1;
            // The order of the partitions is that of a hash.
            if (seconds, *partition) < (worst.seconds, worst.partition) {
                (worst.seconds, worst.partition) = (seconds, *partition);
            }
        }
        found
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
            let (age, _) = standing.age(now_ms);
            let labels = [topic.as_str(), &partition.to_string()];
            self.seconds.with_label_values(&labels).set(age);
            let kept = self.retention.get(topic).map(|kept| *kept);
            if let Some(to_loss) = standing.left(kept, now_ms) {
                self.to_loss.with_label_values(&labels).set(to_loss);
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn count(records: i64) -> f64 {
    records as f64
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
    fn a_topic_that_keeps_so_many_bytes_loses_records_as_fast_as_others_come() {
        let lag = Lag::new(&Registry::new()).unwrap();
        lag.set_retention("auth", 7 * 86_400_000);
        lag.committed("auth", 1, 1_000_000);
        lag.records("auth", 1, 5_000, 1_000_500);
        let to_loss = |now_ms: i64| {
            lag.refresh(now_ms);
            lag.to_loss.with_label_values(&["auth", "1"]).get()
        };
        // Nothing was deleted yet, so nobody knows how much is kept.
        lag.set_kept("auth", 1, 0, 50_000);
        assert_eq!(to_loss(1_100_000), 604_700.0);
        assert!(lag.endangered(1_100_000).is_empty());
        // 20,000 were read and are kept, and 50 come in a second.
        lag.set_kept("auth", 1, 25_000, 50_000);
        assert_eq!(to_loss(1_100_000), 400.0);
        assert_eq!(to_loss(1_010_000), 604_790.0, "a burst says nothing of what comes");
        assert_eq!(lag.waiting("auth"), [1]);
        let worst = lag.endangered(1_100_000)["auth"];
        assert_eq!((worst.partition, worst.seconds, worst.partitions), (1, 400.0, 1));
        lag.records("auth", 1, 0, 1_100_000);
        assert_eq!(to_loss(1_100_000), 604_800.0);
        assert!(lag.endangered(1_100_000).is_empty() && lag.waiting("auth").is_empty());
    }

    #[test]
    fn little_time_is_a_quarter_of_what_a_topic_keeps_or_six_hours() {
        let lag = Lag::new(&Registry::new()).unwrap();
        for (topic, kept_ms) in [("short", 3_600_000), ("long", 7 * 86_400_000)] {
            lag.set_retention(topic, kept_ms);
            for partition in 0..2 {
                lag.committed(topic, partition, 1_000_000 - i64::from(partition));
                lag.records(topic, partition, 5, 1_000_500);
            }
        }
        let told = |after_s: i64| {
            let endangered = lag.endangered(1_000_000 + after_s * 1_000).into_iter();
            let told = endangered.map(|(topic, worst)| (topic, worst.partition, worst.partitions));
            told.collect::<Vec<_>>()
        };
        assert_eq!(told(2_600), []);
        assert_eq!(told(2_800), [("short".to_owned(), 1, 2)]);
        let both = [("long".to_owned(), 1, 2), ("short".to_owned(), 1, 2)];
        assert_eq!(told(7 * 86_400 - 20_000), both);
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
