//! What Prometheus sees. Labels come from fixed sets: never an account, an address or a device.
//!
//! Counters move when a transaction is durable, so their sums are those of the committed log.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram as HistogramProto, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, Gauge, GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::service::worker::stage::{Role, Tally};

/// Upper bounds of the exported buckets, seconds.
const BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// A worker that has not gone round for this long is stuck.
const STALL: Duration = Duration::from_secs(60);

/// Every metric of the process.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    records: IntCounterVec,
    events: IntCounterVec,
    alerts: IntCounterVec,
    dead_letters: IntCounterVec,
    recycled: IntCounterVec,
    aborted: IntCounterVec,
    transactions: IntCounterVec,
    rebalances: IntCounterVec,
    trouble: IntCounterVec,
    digests: IntCounterVec,
    assigned: IntGaugeVec,
    live: IntGaugeVec,
    restore_left: IntGaugeVec,
    replayed: IntCounterVec,
    restore_seconds: GaugeVec,
    state_entries: IntGaugeVec,
    state_bytes: IntGaugeVec,
    lag_records: IntGaugeVec,
    last_event: GaugeVec,
    reference_built: GaugeVec,
    reference_ok: Gauge,
    drain: Recorder,
    commit: Recorder,
    workers: Mutex<HashMap<String, Beat>>,
    totals: Totals,
}

/// Plain counters for a live display.
#[derive(Debug, Default)]
pub struct Totals {
    /// Records read by intake.
    pub records: AtomicU64,
    /// Findings published, signals included.
    pub findings: AtomicU64,
    /// Of those, alerts.
    pub alerts: AtomicU64,
    /// Dead letters.
    pub dead_letters: AtomicU64,
    /// Transactions committed.
    pub transactions: AtomicU64,
}

#[derive(Clone, Copy)]
struct Beat {
    at: Instant,
    /// The group has answered.
    has_joined: bool,
    assigned: usize,
    live: usize,
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    let vec = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(vec.clone()))?;
    Ok(vec)
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    let vec = IntGaugeVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(vec.clone()))?;
    Ok(vec)
}

fn float_gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<GaugeVec> {
    let vec = GaugeVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(vec.clone()))?;
    Ok(vec)
}

impl Metrics {
    /// All metrics, at zero.
    ///
    /// # Errors
    /// Only if two metrics had one name.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let drain = Recorder::new(
            "falsefront_drain_duration_seconds",
            "From the last send of a transaction to its last acknowledgement.",
        )?;
        let commit = Recorder::new(
            "falsefront_commit_duration_seconds",
            "From the last acknowledgement to the committed transaction.",
        )?;
        registry.register(Box::new(drain.clone()))?;
        registry.register(Box::new(commit.clone()))?;
        let build = float_gauges(
            &registry,
            "falsefront_build_info",
            "Version of this binary.",
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let reference_ok = Gauge::new(
            "falsefront_reference_last_reload_successful",
            "1 if the reference files in use are those on disk.",
        )?;
        reference_ok.set(1.0);
        registry.register(Box::new(reference_ok.clone()))?;
        let r = &registry;
        let inner = Inner {
            records: counters(
                r,
                "falsefront_records_received_total",
                "Records read, by topic.",
                &["topic"],
            )?,
            events: counters(
                r,
                "falsefront_events_total",
                "What the stages counted, by stage, name and reason.",
                &["stage", "name", "reason"],
            )?,
            alerts: counters(
                r,
                "falsefront_alerts_total",
                "Findings published.",
                &["detection", "severity", "kind"],
            )?,
            dead_letters: counters(
                r,
                "falsefront_dead_letters_total",
                "Records refused, by reason.",
                &["stage", "reason"],
            )?,
            recycled: counters(
                r,
                "falsefront_producer_recycled_total",
                "Producers replaced, by reason.",
                &["reason"],
            )?,
            aborted: counters(
                r,
                "falsefront_transactions_aborted_total",
                "Transactions aborted, by step.",
                &["reason"],
            )?,
            transactions: counters(
                r,
                "falsefront_transactions_committed_total",
                "Transactions committed.",
                &["stage"],
            )?,
            rebalances: counters(r, "falsefront_rebalances_total", "Changes of assignment.", &["stage"])?,
            trouble: counters(
                r,
                "falsefront_exactly_once_trouble_total",
                "torn: offset behind checkpoint; hanging: a transaction that does not end; refused: a partition that cannot be restored.",
                &["kind"],
            )?,
            digests: counters(
                r,
                "falsefront_restore_digests_total",
                "Restored states compared with the digest that was committed.",
                &["result"],
            )?,
            assigned: gauges(
                r,
                "falsefront_partitions_assigned",
                "Partitions of a worker.",
                &["worker"],
            )?,
            live: gauges(
                r,
                "falsefront_partitions_live",
                "Of those, restored and working.",
                &["worker"],
            )?,
            restore_left: gauges(
                r,
                "falsefront_restore_records_left",
                "Offsets a running restore still has to replay.",
                &["worker"],
            )?,
            replayed: counters(
                r,
                "falsefront_restore_records_total",
                "Records replayed by restores.",
                &["worker"],
            )?,
            restore_seconds: float_gauges(
                r,
                "falsefront_restore_last_seconds",
                "Duration of the last restore.",
                &["worker"],
            )?,
            state_entries: gauges(r, "falsefront_state_entries", "Keys kept.", &["kind", "worker"])?,
            state_bytes: gauges(
                r,
                "falsefront_state_bytes",
                "Bytes kept, estimated.",
                &["kind", "worker"],
            )?,
            lag_records: gauges(
                r,
                "falsefront_consumer_lag_messages",
                "Records not read yet.",
                &["topic", "partition"],
            )?,
            last_event: float_gauges(
                r,
                "falsefront_last_committed_append_timestamp_seconds",
                "Append time of the latest record committed.",
                &["worker"],
            )?,
            reference_built: float_gauges(
                r,
                "falsefront_reference_build_timestamp_seconds",
                "When a reference dataset was built.",
                &["dataset"],
            )?,
            reference_ok,
            drain,
            commit,
            workers: Mutex::new(HashMap::new()),
            totals: Totals::default(),
            registry,
        };
        Ok(Self(Arc::new(inner)))
    }

    /// The handle of one worker.
    #[must_use]
    pub fn worker(&self, name: &str, role: Role) -> WorkerMetrics {
        WorkerMetrics {
            all: self.clone(),
            name: name.to_owned(),
            role,
        }
    }

    /// Counters for a live display.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.0.totals
    }

    /// Sum of what is not read yet, over all partitions.
    #[must_use]
    pub fn lag_records(&self) -> u64 {
        let families = self.0.lag_records.collect();
        let metrics = families.iter().flat_map(|family| family.get_metric());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of records"
        )]
        metrics
            .map(|metric| metric.get_gauge().get_value().max(0.0) as u64)
            .sum()
    }

    /// Sets what is not read yet of one partition.
    pub fn set_lag(&self, topic: &str, partition: i32, records: i64) {
        self.0
            .lag_records
            .with_label_values(&[topic, &partition.to_string()])
            .set(records);
    }

    /// Sets when a dataset was built, seconds since the epoch.
    pub fn set_reference_built(&self, dataset: &str, built_s: f64) {
        self.0.reference_built.with_label_values(&[dataset]).set(built_s);
    }

    /// Whether the last reload of reference data worked.
    pub fn set_reference_ok(&self, is_ok: bool) {
        self.0.reference_ok.set(if is_ok { 1.0 } else { 0.0 });
    }

    /// The text that `/metrics` answers with.
    #[must_use]
    pub fn render(&self) -> Vec<u8> {
        let mut text = Vec::new();
        // The encoder fails on families without metrics only, and gather leaves those out.
        let _ = TextEncoder::new().encode(&self.0.registry.gather(), &mut text);
        text
    }

    /// Whether every worker goes round.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.workers(|beats| beats.iter().all(|(_, beat)| beat.at.elapsed() < STALL))
    }

    /// Whether there are workers and every partition assigned to them is live.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let is_ready = |beat: &Beat| beat.has_joined && beat.at.elapsed() < STALL && beat.live == beat.assigned;
        self.workers(|beats| !beats.is_empty() && beats.iter().all(|(_, beat)| is_ready(beat)))
    }

    /// Partitions assigned to workers, and how many of those are live.
    #[must_use]
    pub fn partitions(&self) -> (usize, usize) {
        self.workers(|beats| {
            beats
                .iter()
                .fold((0, 0), |sum, (_, beat)| (sum.0 + beat.assigned, sum.1 + beat.live))
        })
    }

    fn workers<T>(&self, read: impl FnOnce(&[(String, Beat)]) -> T) -> T {
        let workers = self.0.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let beats: Vec<(String, Beat)> = workers.iter().map(|(name, beat)| (name.clone(), *beat)).collect();
        read(&beats)
    }
}

/// The handle of one worker.
#[derive(Clone)]
pub struct WorkerMetrics {
    all: Metrics,
    name: String,
    role: Role,
}

impl WorkerMetrics {
    /// The worker is not connected yet.
    pub fn connecting(&self) {
        self.put(false, 0, 0);
    }

    /// The worker went round.
    pub fn beat(&self, has_joined: bool, assigned: usize, live: usize) {
        if self.put(has_joined, assigned, live) {
            let inner = &self.all.0;
            inner
                .assigned
                .with_label_values(&[&self.name])
                .set(i64::try_from(assigned).unwrap_or(i64::MAX));
            inner
                .live
                .with_label_values(&[&self.name])
                .set(i64::try_from(live).unwrap_or(i64::MAX));
        }
    }

    /// True if something changed.
    fn put(&self, has_joined: bool, assigned: usize, live: usize) -> bool {
        let beat = Beat {
            at: Instant::now(),
            has_joined,
            assigned,
            live,
        };
        let mut workers = self.all.0.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let before = workers.insert(self.name.clone(), beat);
        before.is_none_or(|before| (before.assigned, before.live) != (assigned, live))
    }

    /// The worker ended.
    pub fn gone(&self) {
        self.all
            .0
            .workers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.name);
    }

    /// A transaction is durable.
    pub fn committed(&self, tally: &Tally) {
        let inner = &self.all.0;
        let stage = self.role.as_str();
        inner.transactions.with_label_values(&[stage]).inc();
        inner.totals.transactions.fetch_add(1, Ordering::Relaxed);
        for (topic, count) in &tally.records {
            inner.records.with_label_values(&[topic.as_str()]).inc_by(*count);
            if self.role == Role::Intake {
                inner.totals.records.fetch_add(*count, Ordering::Relaxed);
            }
        }
        for ((name, reason), count) in tally.counts.iter() {
            inner.events.with_label_values(&[stage, name, reason]).inc_by(count);
        }
        for ((detection, severity, is_alert), count) in &tally.alerts {
            let kind = if *is_alert { "alert" } else { "signal" };
            inner
                .alerts
                .with_label_values(&[*detection, severity.as_str(), kind])
                .inc_by(*count);
            inner.totals.findings.fetch_add(*count, Ordering::Relaxed);
            if *is_alert {
                inner.totals.alerts.fetch_add(*count, Ordering::Relaxed);
            }
        }
        for (reason, count) in &tally.dead_letters {
            inner.dead_letters.with_label_values(&[stage, reason]).inc_by(*count);
            inner.totals.dead_letters.fetch_add(*count, Ordering::Relaxed);
        }
        if tally.append_ms > 0 {
            #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit 53 bits")]
            inner
                .last_event
                .with_label_values(&[&self.name])
                .set(tally.append_ms as f64 / 1_000.0);
        }
    }

    /// How long the drain and the commit of a transaction took.
    pub fn transaction(&self, drain: Duration, commit: Duration) {
        self.all.0.drain.record(drain);
        self.all.0.commit.record(commit);
    }

    /// A transaction was aborted.
    pub fn aborted(&self, reason: &'static str) {
        self.all.0.aborted.with_label_values(&[reason]).inc();
    }

    /// The producer was replaced.
    pub fn recycled(&self, reason: &'static str) {
        self.all.0.recycled.with_label_values(&[reason]).inc();
    }

    /// The group changed what is ours.
    pub fn rebalanced(&self) {
        self.all.0.rebalances.with_label_values(&[self.role.as_str()]).inc();
    }

    fn trouble(&self, kind: &str) {
        self.all.0.trouble.with_label_values(&[kind]).inc();
    }

    /// The group's offset was behind the checkpoint.
    pub fn torn(&self) {
        self.trouble("torn");
    }

    /// A wait for an open transaction went past its limit.
    pub fn hanging(&self) {
        self.trouble("hanging");
    }

    /// A partition stays paused.
    pub fn refused(&self) {
        self.trouble("refused");
    }

    /// A restored state was compared with the committed digest.
    pub fn digest_compared(&self, is_equal: bool) {
        let result = if is_equal { "equal" } else { "different" };
        self.all.0.digests.with_label_values(&[result]).inc();
    }

    /// A restore has this many offsets to go.
    pub fn restoring(&self, left: i64) {
        self.all.0.restore_left.with_label_values(&[&self.name]).set(left);
    }

    /// A restore is complete.
    pub fn restored(&self, took: Duration, replayed: u64) {
        let inner = &self.all.0;
        inner.restore_left.with_label_values(&[&self.name]).set(0);
        inner.replayed.with_label_values(&[&self.name]).inc_by(replayed);
        inner
            .restore_seconds
            .with_label_values(&[&self.name])
            .set(took.as_secs_f64());
    }

    /// Size of the state.
    pub fn state(&self, role: Role, entries: u64, bytes: u64) {
        let inner = &self.all.0;
        let labels = [role.as_str(), self.name.as_str()];
        inner
            .state_entries
            .with_label_values(&labels)
            .set(i64::try_from(entries).unwrap_or(i64::MAX));
        inner
            .state_bytes
            .with_label_values(&labels)
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

/// Seconds since the epoch, for gauges.
#[must_use]
pub fn now_s() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// A latency recorded exactly and exported as a classic histogram.
#[derive(Clone)]
pub struct Recorder {
    name: &'static str,
    help: &'static str,
    desc: Desc,
    histogram: Arc<Mutex<(Histogram<u64>, f64)>>,
}

impl Recorder {
    fn new(name: &'static str, help: &'static str) -> prometheus::Result<Self> {
        let desc = Desc::new(name.to_owned(), help.to_owned(), Vec::new(), HashMap::new())?;
        // Microseconds up to ten minutes, three digits.
        let histogram = Histogram::new_with_bounds(1, 600_000_000, 3)
            .map_err(|error| prometheus::Error::Msg(format!("{name}: {error:?}")))?;
        Ok(Self {
            name,
            help,
            desc,
            histogram: Arc::new(Mutex::new((histogram, 0.0))),
        })
    }

    fn record(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let mut guard = self.histogram.lock().unwrap_or_else(PoisonError::into_inner);
        guard.0.saturating_record(micros.max(1));
        guard.1 += duration.as_secs_f64();
    }
}

impl Collector for Recorder {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let guard = self.histogram.lock().unwrap_or_else(PoisonError::into_inner);
        let mut proto = HistogramProto::default();
        proto.set_sample_count(guard.0.len());
        proto.set_sample_sum(guard.1);
        let buckets = BUCKETS.iter().map(|bound| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "microseconds of at most 10 s"
            )]
            let micros = (bound * 1e6) as u64;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            // From zero each time: sums of neighbouring ranges count shared cells twice.
            bucket.set_cumulative_count(guard.0.count_between(0, micros));
            bucket
        });
        proto.set_bucket(buckets.collect());
        let mut metric = Metric::from_label(Vec::<LabelPair>::new());
        metric.set_histogram(proto);
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(vec![metric]);
        vec![family]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_never_fall_and_end_at_the_count() {
        let metrics = Metrics::new().unwrap();
        let worker = metrics.worker("accounts-0", Role::Accounts);
        for micros in [90, 400, 999, 1_000, 1_001, 250_000, 9_999_999, 30_000_000] {
            worker.transaction(Duration::from_micros(micros), Duration::from_micros(micros));
        }
        let text = String::from_utf8(metrics.render()).unwrap();
        let counts: Vec<u64> = text
            .lines()
            .filter(|line| line.starts_with("falsefront_commit_duration_seconds_bucket"))
            .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(counts.len(), BUCKETS.len() + 1, "{text}");
        assert!(counts.is_sorted());
        assert_eq!(counts.last(), Some(&8));
        assert_eq!(
            counts[BUCKETS.len() - 1],
            7,
            "only the half minute is above ten seconds"
        );
    }

    #[test]
    fn readiness_waits_for_every_assigned_partition() {
        let metrics = Metrics::new().unwrap();
        assert!(!metrics.is_ready());
        let worker = metrics.worker("accounts-0", Role::Accounts);
        worker.connecting();
        assert!(!metrics.is_ready());
        worker.beat(true, 3, 2);
        assert!(metrics.is_alive() && !metrics.is_ready());
        worker.beat(true, 3, 3);
        assert!(metrics.is_ready());
        worker.gone();
        assert!(!metrics.is_ready());
    }
}
