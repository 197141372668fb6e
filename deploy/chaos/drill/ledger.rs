//! What was sent, what a concurrent `read_committed` reader has seen of it, and how long each fault was felt.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::setting::{PARTITIONS, SOURCE_PARTITIONS};

/// A fault whose end is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// SIGKILL of a process.
    Kill,
    /// SIGKILL of a process that is not started again.
    KillForGood,
    /// SIGSTOP; measured from the SIGCONT.
    Freeze,
    /// A broker was stopped; measured from the moment it serves again.
    Broker,
}

impl Fault {
    /// As the report spells it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::KillForGood => "kill for good",
            Self::Freeze => "freeze",
            Self::Broker => "broker back",
        }
    }
}

/// An event that was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// How often: sources repeat themselves.
    pub(crate) count: u32,
    /// When last; it was appended after this.
    pub(crate) at: Instant,
    partition: i32,
}

/// A fault that is not over: until every partition has committed an event appended after it.
struct Recovery {
    fault: Fault,
    at: Instant,
    sources: BTreeSet<i32>,
    /// The offset each partition of `observations` must reach, once known.
    wanted: BTreeMap<i32, Option<i64>>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Ledger {
    /// By id, what intake must make of the source.
    pub(crate) sent: BTreeMap<String, Sent>,
    /// Records sent.
    pub(crate) records: u64,
    /// Records that must become dead letters.
    pub(crate) rejects: u64,
    /// Ids in `observations`.
    pub(crate) observed: BTreeMap<String, u32>,
    /// Ids in `alerts`.
    pub(crate) alerts: BTreeMap<String, u32>,
    /// Dead letters.
    pub(crate) dead_letters: u64,
    /// End of each partition of (stage's) input, as read.
    pub(crate) ends: BTreeMap<(&'static str, i32), i64>,
    /// Offset each partition of a stage has committed.
    pub(crate) committed: BTreeMap<(&'static str, i32), i64>,
    /// Committed offsets that went back.
    pub(crate) set_back: u64,
    /// Milliseconds from an event's append to the alert it completes.
    pub(crate) latencies: Vec<Duration>,
    /// How long each fault was felt.
    pub(crate) recovered: Vec<(Fault, Duration)>,
    /// Why the feeder or a reader ended before its time: without them nothing can be judged.
    pub(crate) broken: Option<String>,
    /// The last trouble of a reader that it may get over.
    pub(crate) reading: Option<String>,
    /// Faults that another fault of the same process cut short.
    pub(crate) cut_short: u64,
    pending: Vec<Recovery>,
}

/// A ledger that several threads write.
pub(crate) type Shared = Arc<Mutex<Ledger>>;

/// Runs a part of the drill to its end, and notes its failure.
pub(crate) fn watched(shared: &Shared, part: &str, run: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let result = run();
    if let Err(error) = &result {
        open(shared)
            .broken
            .get_or_insert_with(|| format!("the {part} ended: {error:#}"));
    }
    result
}

/// Opens it.
pub(crate) fn open(shared: &Shared) -> MutexGuard<'_, Ledger> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledger {
    /// Events that `observations` must hold, repetitions included.
    pub(crate) fn expected(&self) -> u64 {
        self.sent.values().map(|sent| u64::from(sent.count)).sum()
    }

    /// An event is on its way to a partition of the source.
    pub(crate) fn send(&mut self, id: &str, partition: i32) {
        let at = Instant::now();
        let sent = self.sent.entry(id.to_owned()).or_insert(Sent {
            count: 0,
            at,
            partition,
        });
        sent.count += 1;
        sent.at = at;
        sent.partition = partition;
    }

    /// A fault happened (or ended) now.
    pub(crate) fn begin(&mut self, fault: Fault) {
        let before = self.pending.len();
        self.pending.clear();
        self.cut_short += before as u64;
        let observations = 0..i32::try_from(PARTITIONS).unwrap_or(0);
        self.pending.push(Recovery {
            fault,
            at: Instant::now(),
            sources: (0..i32::try_from(SOURCE_PARTITIONS).unwrap_or(0)).collect(),
            wanted: observations.map(|partition| (partition, None)).collect(),
        });
    }

    /// Whether everything works again after the last fault.
    pub(crate) fn is_recovered(&self) -> bool {
        self.pending.is_empty()
    }

    /// Who has not recovered, for a message.
    pub(crate) fn left(&self) -> String {
        let pending = self.pending.iter();
        let left = pending.map(|recovery| {
            format!(
                "{} {:.1} s ago: source partitions {:?}, observations {:?}",
                recovery.fault.as_str(),
                recovery.at.elapsed().as_secs_f64(),
                recovery.sources,
                recovery.wanted
            )
        });
        let left = left.collect::<Vec<_>>().join("; ");
        let observed: u64 = self.observed.values().map(|count| u64::from(*count)).sum();
        let reading = self.reading.as_deref().unwrap_or("no trouble");
        let sent = self.expected();
        format!("{left}; {observed} of {sent} events observed; readers: {reading}")
    }

    /// A record of `observations` became visible.
    pub(crate) fn observe(&mut self, partition: i32, offset: i64, ids: &[String]) {
        for id in ids {
            *self.observed.entry(id.clone()).or_default() += 1;
        }
        self.ends.insert(("accounts", partition), offset + 1);
        let sent: Vec<Sent> = ids.iter().filter_map(|id| self.sent.get(id).copied()).collect();
        for recovery in &mut self.pending {
            for sent in sent.iter().filter(|sent| sent.at > recovery.at) {
                recovery.sources.remove(&sent.partition);
                if let Some(wanted) = recovery.wanted.get_mut(&partition) {
                    wanted.get_or_insert(offset + 1);
                }
            }
        }
    }

    /// A stage committed `offset` of a partition.
    pub(crate) fn commit(&mut self, stage: &'static str, partition: i32, offset: i64) {
        let before = self.committed.insert((stage, partition), offset);
        self.set_back += u64::from(before.is_some_and(|before| before > offset));
        if stage != "accounts" {
            return;
        }
        let mut recovered = Vec::new();
        self.pending.retain_mut(|recovery| {
            let is_reached = |wanted: &Option<i64>| wanted.is_some_and(|wanted| offset >= wanted);
            if recovery.wanted.get(&partition).is_some_and(is_reached) {
                recovery.wanted.remove(&partition);
            }
            let is_over = recovery.sources.is_empty() && recovery.wanted.is_empty();
            if is_over {
                recovered.push((recovery.fault, recovery.at.elapsed()));
            }
            !is_over
        });
        self.recovered.extend(recovered);
    }

    /// An alert became visible; `evidence` are the events it names.
    pub(crate) fn alert(&mut self, id: String, evidence: &[String]) {
        *self.alerts.entry(id).or_default() += 1;
        let last = evidence
            .iter()
            .filter_map(|id| self.sent.get(id))
            .map(|sent| sent.at)
            .max();
        self.latencies.extend(last.map(|at| at.elapsed()));
    }

    /// Whether everything sent has gone through every stage.
    pub(crate) fn is_settled(&self) -> bool {
        let is_committed = |(at, end): (&(&'static str, i32), &i64)| self.committed.get(at).is_some_and(|c| c >= end);
        let observed: u64 = self.observed.values().map(|count| u64::from(*count)).sum();
        observed >= self.expected() && self.dead_letters >= self.rejects && self.ends.iter().all(is_committed)
    }
}
