//! The families of metrics, by what they tell.

use prometheus::{Gauge, GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use super::recorder::Recorder;

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

/// A counter that the core named.
pub(super) fn of_the_core(registry: &Registry, name: &str) -> prometheus::Result<IntCounterVec> {
    let help = format!("The stages' count of {}, by reason.", name.replace('_', " "));
    counters(
        registry,
        &format!("falsefront_{name}_total"),
        &help,
        &["stage", "reason"],
    )
}

/// What went through.
pub(super) struct Flow {
    pub(super) records: IntCounterVec,
    pub(super) alerts: IntCounterVec,
    pub(super) dead_letters: IntCounterVec,
    pub(super) transactions: IntCounterVec,
    pub(super) lag_records: IntGaugeVec,
    pub(super) last_append: GaugeVec,
    pub(super) last_commit: GaugeVec,
}

impl Flow {
    pub(super) fn new(r: &Registry) -> prometheus::Result<Self> {
        let append = "Append time of the latest record committed.";
        Ok(Self {
            records: counters(
                r,
                "falsefront_records_received_total",
                "Records read, by topic.",
                &["topic"],
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
                "Records refused.",
                &["stage", "reason"],
            )?,
            transactions: counters(
                r,
                "falsefront_transactions_committed_total",
                "Transactions.",
                &["stage"],
            )?,
            lag_records: gauges(
                r,
                "falsefront_consumer_lag_messages",
                "Records to read.",
                &["topic", "partition"],
            )?,
            last_append: float_gauges(
                r,
                "falsefront_last_committed_append_timestamp_seconds",
                append,
                &["worker"],
            )?,
            last_commit: float_gauges(
                r,
                "falsefront_last_commit_timestamp_seconds",
                "When a worker last committed, by this machine's clock.",
                &["worker"],
            )?,
        })
    }
}

/// How the protocol fares.
pub(super) struct Protocol {
    pub(super) direct_fetch_given_up: IntCounterVec,
    pub(super) recycled: IntCounterVec,
    pub(super) aborted: IntCounterVec,
    pub(super) rebalances: IntCounterVec,
    pub(super) rejoined: IntCounterVec,
    pub(super) without_member: IntCounterVec,
    pub(super) stalled: IntCounterVec,
    pub(super) trouble: IntCounterVec,
    pub(super) drain: Recorder,
    pub(super) commit: Recorder,
}

impl Protocol {
    pub(super) fn new(r: &Registry) -> prometheus::Result<Self> {
        let drain = "From the last send of a transaction to its last acknowledgement.";
        let drain = Recorder::new("falsefront_drain_duration_seconds", drain)?;
        let commit = "From the last acknowledgement to the committed transaction.";
        let commit = Recorder::new("falsefront_commit_duration_seconds", commit)?;
        r.register(Box::new(drain.clone()))?;
        r.register(Box::new(commit.clone()))?;
        let trouble = "torn: offset behind checkpoint; hanging: a transaction that does not end; refused: a partition \
                       that cannot be restored.";
        Ok(Self {
            direct_fetch_given_up: counters(
                r,
                "falsefront_direct_fetch_given_up_total",
                "Partitions that librdkafka read for a while, by why they were not read directly.",
                &["reason"],
            )?,
            recycled: counters(
                r,
                "falsefront_producer_recycled_total",
                "Producers replaced.",
                &["reason"],
            )?,
            aborted: counters(
                r,
                "falsefront_transactions_aborted_total",
                "Transactions aborted.",
                &["reason"],
            )?,
            rebalances: counters(r, "falsefront_rebalances_total", "Changes of assignment.", &["stage"])?,
            stalled: counters(
                r,
                "falsefront_stalls_total",
                "Times that a worker paused its partitions because the brokers did not answer.",
                &["stage"],
            )?,
            without_member: counters(
                r,
                "falsefront_partitions_without_member_total",
                "Partitions that no member of the group had, for which it was made to rebalance.",
                &["stage"],
            )?,
            rejoined: counters(
                r,
                "falsefront_group_rejoined_total",
                "Members that another of the same name had replaced and that joined anew.",
                &["stage"],
            )?,
            trouble: counters(r, "falsefront_exactly_once_trouble_total", trouble, &["kind"])?,
            drain,
            commit,
        })
    }
}

/// What is held in memory and how it came back.
pub(super) struct Holdings {
    pub(super) assigned: IntGaugeVec,
    pub(super) live: IntGaugeVec,
    pub(super) restore_left: IntGaugeVec,
    pub(super) replayed: IntCounterVec,
    pub(super) restore_seconds: GaugeVec,
    pub(super) digests: IntCounterVec,
    pub(super) state_entries: IntGaugeVec,
    pub(super) state_bytes: IntGaugeVec,
    pub(super) reference_built: GaugeVec,
    pub(super) reference_ok: Gauge,
    pub(super) reference_records: IntGaugeVec,
    pub(super) reload_failures: IntCounterVec,
    pub(super) ready: Gauge,
}

impl Holdings {
    pub(super) fn new(r: &Registry) -> prometheus::Result<Self> {
        let reference_ok = Gauge::new(
            "falsefront_reference_last_reload_successful",
            "1 if the reference files in use are those on disk.",
        )?;
        reference_ok.set(1.0);
        r.register(Box::new(reference_ok.clone()))?;
        let ready = Gauge::new("falsefront_ready", "1 while /readyz says so.")?;
        r.register(Box::new(ready.clone()))?;
        let records = "Records of reference data in use; 0 where none is loaded.";
        let failures = "Times that newer reference data could not be used.";
        let digests = "Restored states compared with the digest that was committed.";
        let built = "When a reference dataset was built.";
        let left = "Offsets a running restore has to replay.";
        Ok(Self {
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
            restore_left: gauges(r, "falsefront_restore_records_left", left, &["worker"])?,
            replayed: counters(r, "falsefront_restore_records_total", "Records replayed.", &["worker"])?,
            restore_seconds: float_gauges(r, "falsefront_restore_last_seconds", "Last restore.", &["worker"])?,
            digests: counters(r, "falsefront_restore_digests_total", digests, &["result"])?,
            state_entries: gauges(r, "falsefront_state_entries", "Keys kept.", &["kind", "worker"])?,
            state_bytes: gauges(
                r,
                "falsefront_state_bytes",
                "Bytes kept, estimated.",
                &["kind", "worker"],
            )?,
            reference_built: float_gauges(r, "falsefront_reference_build_timestamp_seconds", built, &["dataset"])?,
            reference_ok,
            reference_records: gauges(r, "falsefront_reference_records", records, &["dataset"])?,
            reload_failures: counters(r, "falsefront_reference_reload_failures_total", failures, &["kind"])?,
            ready,
        })
    }
}
