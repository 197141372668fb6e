//! What Prometheus sees. Labels come from fixed sets: never an account, an address or a device.
//!
//! Counters move when a transaction is durable, so their sums are those of the committed log.

mod families;
mod known;
mod lag;
mod readiness;
mod recorder;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prometheus::core::Collector as _;
use prometheus::{Encoder as _, GaugeVec, IntCounterVec, Opts, Registry, TextEncoder};

use crate::enrich::{Dataset, DatasetKind};
use crate::intake::REASONS;
use crate::service::log::TopicPartition;
use crate::service::reference::FileKind;
use crate::service::worker::stage::{Role, Tally};

use families::{Flow, Holdings, Protocol};
use lag::Lag;
use readiness::Beat;

pub use lag::Endangered;
pub use readiness::Standing;

/// Every metric of the process.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    flow: Flow,
    protocol: Protocol,
    holdings: Holdings,
    lag: Lag,
    /// What the core counts, by the names it gives.
    core: Mutex<BTreeMap<&'static str, IntCounterVec>>,
    workers: Mutex<BTreeMap<String, Beat>>,
    totals: Totals,
}

/// Plain counters for a live display.
#[derive(Debug, Default)]
pub struct Totals {
    /// Records read by intake.
    pub records: AtomicU64,
    /// Observations that the accounts stage has read.
    pub observations: AtomicU64,
    /// Findings published, signals included.
    pub findings: AtomicU64,
    /// Of those, alerts.
    pub alerts: AtomicU64,
    /// Dead letters.
    pub dead_letters: AtomicU64,
    /// Transactions committed.
    pub transactions: AtomicU64,
}

impl Metrics {
    /// All metrics, at zero.
    ///
    /// # Errors
    /// Only if two metrics had one name.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let build = GaugeVec::new(
            Opts::new("falsefront_build_info", "Version of this binary."),
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        registry.register(Box::new(build))?;
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let inner = Inner {
            flow: Flow::new(&registry)?,
            protocol: Protocol::new(&registry)?,
            holdings: Holdings::new(&registry)?,
            lag: Lag::new(&registry)?,
            core: Mutex::new(BTreeMap::new()),
            workers: Mutex::new(BTreeMap::new()),
            totals: Totals::default(),
            registry,
        };
        known::of_the_process(&inner);
        Ok(Self(Arc::new(inner)))
    }

    fn count_core(&self, stage: &str, name: &'static str, reason: &str, count: u64) {
        let mut core = self.0.core.lock().unwrap_or_else(PoisonError::into_inner);
        if !core.contains_key(name) {
            match families::of_the_core(&self.0.registry, name) {
                Ok(counter) => core.insert(name, counter),
                Err(error) => return tracing::debug!(name, %error, "count without a metric"),
            };
        }
        if let Some(counter) = core.get(name) {
            counter.with_label_values(&[stage, reason]).inc_by(count);
        }
    }

    /// Forgets the lag of a partition that is somebody else's.
    pub fn drop_lag(&self, topic: &str, partition: i32) {
        let _ = self
            .0
            .flow
            .lag_records
            .remove_label_values(&[topic, &partition.to_string()]);
        self.0.lag.forget(topic, partition);
    }

    /// Sets how long a topic keeps its records, ms; below 0 for ever.
    pub fn set_retention(&self, topic: &str, retention_ms: i64) {
        self.0.lag.set_retention(topic, retention_ms);
    }

    /// Partitions of a topic of which something is not read yet.
    #[must_use]
    pub fn waiting_partitions(&self, topic: &str) -> Vec<i32> {
        self.0.lag.waiting(topic)
    }

    /// Sets first offset and end of a partition that is kept up to a number of bytes.
    pub fn set_kept(&self, topic: &str, partition: i32, first: i64, end: i64) {
        self.0.lag.set_kept(topic, partition, first, end);
    }

    /// Topics of which records that were not read are deleted soon.
    #[must_use]
    pub fn endangered(&self) -> BTreeMap<String, Endangered> {
        self.0.lag.endangered(now_ms())
    }

    /// The handle of one worker.
    #[must_use]
    pub fn worker(&self, name: &str, role: Role) -> WorkerMetrics {
        known::of_a_stage(&self.0, role);
        let of_role = known::OF_THE_CORE.iter().filter(|(of, ..)| *of == role);
        for (_, name, reason) in of_role {
            self.count_core(role.as_str(), name, reason, 0);
        }
        for (reason, _) in REASONS.iter().filter(|_| role != Role::Entities) {
            self.count_core(role.as_str(), "events_discarded", reason, 0);
        }
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
        let families = self.0.flow.lag_records.collect();
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
        self.0.lag.records(topic, partition, records, now_ms());
        // Who has a lag is read, so its count begins here.
        self.0.flow.records.with_label_values(&[topic]);
        self.0
            .flow
            .lag_records
            .with_label_values(&[topic, &partition.to_string()])
            .set(records);
    }

    /// A partition is left to librdkafka for a while.
    pub fn direct_fetch_given_up(&self, reason: &'static str) {
        let given_up = &self.0.protocol.direct_fetch_given_up;
        given_up.with_label_values(&[reason]).inc();
    }

    /// Sets when a dataset was built, seconds since the epoch.
    pub fn set_reference_built(&self, dataset: &str, built_s: f64) {
        self.0
            .holdings
            .reference_built
            .with_label_values(&[dataset])
            .set(built_s);
    }

    /// Sets how much of each kind of reference data is in use.
    pub fn set_reference_records(&self, datasets: &[Dataset]) {
        for kind in DatasetKind::ALL {
            let of_kind = datasets.iter().filter(|dataset| dataset.kind == kind);
            let records: u64 = of_kind.map(|dataset| dataset.records).sum();
            let gauge = self.0.holdings.reference_records.with_label_values(&[kind.as_str()]);
            gauge.set(i64::try_from(records).unwrap_or(i64::MAX));
        }
    }

    /// Sets how often newer reference data of a kind could not be used, which never falls.
    pub fn set_reload_failures(&self, kind: FileKind, failures: u64) {
        let counter = self.0.holdings.reload_failures.with_label_values(&[kind.as_str()]);
        counter.inc_by(failures.saturating_sub(counter.get()));
    }

    /// Whether the last reload of reference data worked.
    pub fn set_reference_ok(&self, is_ok: bool) {
        self.0.holdings.reference_ok.set(if is_ok { 1.0 } else { 0.0 });
    }

    /// The text that `/metrics` answers with.
    #[must_use]
    pub fn render(&self) -> Vec<u8> {
        self.0.lag.refresh(now_ms());
        self.0.holdings.ready.set(if self.is_ready() { 1.0 } else { 0.0 });
        let mut text = Vec::new();
        // The encoder fails on families without metrics only, and gather leaves those out.
        let _ = TextEncoder::new().encode(&self.0.registry.gather(), &mut text);
        text
    }

    /// Whether every worker goes round, or waits for brokers.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.workers().values().all(Beat::is_alive)
    }

    /// Whether there are workers and every partition assigned to them is live.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.lacks().is_empty()
    }

    /// What keeps the process from being ready, in words, worker by worker.
    #[must_use]
    pub fn lacks(&self) -> Vec<String> {
        let workers = self.workers();
        if workers.is_empty() {
            let why =
                "no worker is at work: the process starts (it waits for brokers and topics, as the log says) or stops";
            return vec![why.to_owned()];
        }
        let lacks = workers.iter().filter_map(|(name, beat)| Some((name, beat.lacks()?)));
        lacks
            .map(
                |(name, what)| match what.starts_with(|first: char| first.is_ascii_digit()) {
                    true => format!("{name}: {what}"),
                    false => format!("{name} {what}"),
                },
            )
            .collect()
    }

    /// Partitions of all workers that are restored and working.
    #[must_use]
    pub fn live_partitions(&self) -> usize {
        let workers = self.workers();
        let live = workers.values().filter_map(|beat| beat.standing);
        live.map(|standing| standing.live).sum()
    }

    fn workers(&self) -> MutexGuard<'_, BTreeMap<String, Beat>> {
        self.0.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
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
        self.put(None);
    }

    /// The worker went round.
    pub fn beat(&self, standing: Standing) {
        self.put(Some(standing));
    }

    /// The worker waits for brokers: nothing that a restart would mend.
    pub fn waits(&self) {
        if let Some(beat) = self.all.workers().get_mut(&self.name) {
            beat.seen = Instant::now();
        }
    }

    fn put(&self, standing: Option<Standing>) {
        let before = self.all.workers().insert(self.name.clone(), Beat::new(standing));
        if before.is_some_and(|before| before.standing == standing) {
            return;
        }
        let Standing { assigned, live, .. } = standing.unwrap_or_default();
        let holdings = &self.all.0.holdings;
        for (gauge, partitions) in [(&holdings.assigned, assigned), (&holdings.live, live)] {
            let gauge = gauge.with_label_values(&[&self.name]);
            gauge.set(i64::try_from(partitions).unwrap_or(i64::MAX));
        }
    }

    /// The worker ended because it was asked to.
    pub fn gone(&self) {
        self.all.workers().remove(&self.name);
    }

    /// The worker ended by a failure: whoever is left does not make up for it.
    pub fn failed(&self) {
        self.put(None);
        if let Some(beat) = self.all.workers().get_mut(&self.name) {
            beat.has_failed = true;
        }
    }

    /// A transaction is durable.
    pub fn committed(&self, tally: &Tally) {
        let inner = &self.all.0;
        let stage = self.role.as_str();
        inner.flow.transactions.with_label_values(&[stage]).inc();
        inner.totals.transactions.fetch_add(1, Ordering::Relaxed);
        let last_commit = inner.flow.last_commit.with_label_values(&[&self.name]);
        last_commit.set(lag::seconds(now_ms()));
        for (topic, count) in &tally.records {
            inner.flow.records.with_label_values(&[topic.as_str()]).inc_by(*count);
            if self.role == Role::Intake {
                inner.totals.records.fetch_add(*count, Ordering::Relaxed);
            }
        }
        for ((name, reason), count) in tally.counts.iter() {
            self.all.count_core(stage, name, reason, count);
            if (self.role, name) == (Role::Accounts, "observations") {
                inner.totals.observations.fetch_add(count, Ordering::Relaxed);
            }
        }
        for ((detection, severity, is_alert), count) in &tally.alerts {
            let kind = if *is_alert { "alert" } else { "signal" };
            inner
                .flow
                .alerts
                .with_label_values(&[*detection, severity.as_str(), kind])
                .inc_by(*count);
            inner.totals.findings.fetch_add(*count, Ordering::Relaxed);
            if *is_alert {
                inner.totals.alerts.fetch_add(*count, Ordering::Relaxed);
            }
        }
        for (reason, count) in &tally.dead_letters {
            inner
                .flow
                .dead_letters
                .with_label_values(&[stage, reason])
                .inc_by(*count);
            inner.totals.dead_letters.fetch_add(*count, Ordering::Relaxed);
        }
        if tally.append_ms > 0 {
            inner
                .flow
                .last_append
                .with_label_values(&[&self.name])
                .set(lag::seconds(tally.append_ms));
        }
    }

    /// Records of a partition up to this append time, ms, are durable.
    pub fn committed_up_to(&self, at: &TopicPartition, append_ms: i64) {
        if append_ms > 0 {
            self.all.0.lag.committed(&at.topic, at.partition, append_ms);
        }
    }

    /// How long the drain and the commit of a transaction took.
    pub fn transaction(&self, drain: Duration, commit: Duration) {
        self.all.0.protocol.drain.record(drain);
        self.all.0.protocol.commit.record(commit);
    }

    /// A transaction was aborted.
    pub fn aborted(&self, reason: &'static str) {
        self.all.0.protocol.aborted.with_label_values(&[reason]).inc();
    }

    /// The producer was replaced.
    pub fn recycled(&self, reason: &'static str) {
        self.all.0.protocol.recycled.with_label_values(&[reason]).inc();
    }

    /// The brokers do not answer; everything is paused.
    pub fn stalled(&self) {
        let stalled = &self.all.0.protocol.stalled;
        stalled.with_label_values(&[self.role.as_str()]).inc();
    }

    /// No member of the group had so many partitions.
    pub fn without_member(&self, partitions: usize) {
        let without_member = &self.all.0.protocol.without_member;
        without_member
            .with_label_values(&[self.role.as_str()])
            .inc_by(partitions as u64);
    }

    /// Another member had our name; we joined anew.
    pub fn rejoined(&self) {
        let rejoined = &self.all.0.protocol.rejoined;
        rejoined.with_label_values(&[self.role.as_str()]).inc();
    }

    /// The group changed what is ours.
    pub fn rebalanced(&self) {
        self.all
            .0
            .protocol
            .rebalances
            .with_label_values(&[self.role.as_str()])
            .inc();
    }

    /// Partitions are somebody else's.
    pub fn given_up(&self, partitions: &[TopicPartition]) {
        for at in partitions {
            self.all.drop_lag(&at.topic, at.partition);
        }
    }

    fn trouble(&self, kind: &str) {
        self.all.0.protocol.trouble.with_label_values(&[kind]).inc();
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
        self.all.0.holdings.digests.with_label_values(&[result]).inc();
    }

    /// A restore has this many offsets to go.
    pub fn restoring(&self, left: i64) {
        self.all
            .0
            .holdings
            .restore_left
            .with_label_values(&[&self.name])
            .set(left);
    }

    /// A restore is complete.
    pub fn restored(&self, took: Duration, replayed: u64) {
        let inner = &self.all.0;
        inner.holdings.restore_left.with_label_values(&[&self.name]).set(0);
        inner
            .holdings
            .replayed
            .with_label_values(&[&self.name])
            .inc_by(replayed);
        inner
            .holdings
            .restore_seconds
            .with_label_values(&[&self.name])
            .set(took.as_secs_f64());
    }

    /// Size of the state.
    pub fn state(&self, role: Role, entries: u64, bytes: u64) {
        let inner = &self.all.0;
        let labels = [role.as_str(), self.name.as_str()];
        inner
            .holdings
            .state_entries
            .with_label_values(&labels)
            .set(i64::try_from(entries).unwrap_or(i64::MAX));
        inner
            .holdings
            .state_bytes
            .with_label_values(&labels)
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::recorder::BUCKETS;
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

    fn rendered(metrics: &Metrics) -> String {
        String::from_utf8(metrics.render()).unwrap()
    }

    #[test]
    fn counters_are_there_before_their_first_event() {
        let metrics = Metrics::new().unwrap();
        for role in Role::ALL {
            let _ = metrics.worker(role.as_str(), role);
        }
        metrics.set_lag("auth", 0, 0);
        let text = rendered(&metrics);
        for line in [
            r#"falsefront_dead_letters_total{reason="malformed_json",stage="intake"} 0"#,
            r#"falsefront_dead_letters_total{reason="not_written_by_falsefront",stage="entities"} 0"#,
            r#"falsefront_exactly_once_trouble_total{kind="hanging"} 0"#,
            r#"falsefront_restore_digests_total{result="different"} 0"#,
            r#"falsefront_transactions_aborted_total{reason="commit"} 0"#,
            r#"falsefront_alerts_total{detection="laptop_farm",kind="alert",severity="critical"} 0"#,
            r#"falsefront_events_late_total{reason="beyond_lateness",stage="accounts"} 0"#,
            r#"falsefront_events_discarded_total{reason="account_masked",stage="intake"} 0"#,
            r#"falsefront_rebalances_total{stage="intake"} 0"#,
            r#"falsefront_records_received_total{topic="auth"} 0"#,
            r#"falsefront_reference_reload_failures_total{kind="roster"} 0"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
        }
    }

    #[test]
    fn readiness_commits_and_reference_data_can_be_alerted_on() {
        let metrics = Metrics::new().unwrap();
        let worker = metrics.worker("accounts-0", Role::Accounts);
        let mut standing = Standing {
            is_member: true,
            assigned: 1,
            ..Standing::default()
        };
        worker.beat(standing);
        assert!(rendered(&metrics).contains("\nfalsefront_ready 0\n"));
        standing.live = 1;
        worker.beat(standing);
        worker.committed(&Tally::default());
        let roster = |records| Dataset {
            kind: DatasetKind::Roster,
            file: "r".to_owned(),
            version: String::new(),
            built_seconds: None,
            records,
        };
        metrics.set_reference_records(&[roster(3), roster(4)]);
        metrics.set_reload_failures(FileKind::Roster, 2);
        metrics.set_reload_failures(FileKind::Roster, 2);
        let text = rendered(&metrics);
        for line in [
            "falsefront_ready 1",
            r#"falsefront_reference_records{dataset="roster"} 7"#,
            r#"falsefront_reference_records{dataset="city"} 0"#,
            r#"falsefront_reference_reload_failures_total{kind="roster"} 2"#,
            r#"falsefront_reference_reload_failures_total{kind="geoip"} 0"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
        }
        let start = r#"falsefront_last_commit_timestamp_seconds{worker="accounts-0"} "#;
        let committed = text.lines().find_map(|line| line.strip_prefix(start)).unwrap();
        assert!((lag::seconds(now_ms()) - committed.parse::<f64>().unwrap()).abs() < 60.0);
    }
}
