//! What a drill came to, as a person reads it.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::ledger::Fault;
use super::oracle::Verdict;

/// What a process's log says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    /// Restored states that had the digest committed.
    pub(crate) digests_equal: u64,
    /// Restored states that had not.
    pub(crate) digests_different: u64,
    /// Transactions aborted.
    pub(crate) aborted: u64,
    /// Producers replaced.
    pub(crate) recycled: u64,
    /// Partitions that could not be restored.
    pub(crate) refused: u64,
}

impl Log {
    /// Counts what a process wrote over all its lives.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file)?;
        let count = |what: &str| text.lines().filter(|line| line.contains(what)).count() as u64;
        Ok(Self {
            digests_equal: count("\"digest\":\"equal\""),
            digests_different: count("\"digest\":\"different\""),
            aborted: count("transaction aborted"),
            recycled: count("producer recycled"),
            refused: count("partition not restored"),
        })
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// Records sent.
    pub(crate) records: u64,
    /// Events in them that intake accepts.
    pub(crate) events: u64,
    /// Records that become dead letters.
    pub(crate) rejects: u64,
    /// SIGKILLs at fail points.
    pub(crate) kills_at_points: u64,
    /// SIGKILLs at random times.
    pub(crate) kills_at_random: u64,
    /// SIGKILLs of a process that never came back.
    pub(crate) kills_for_good: u64,
    /// SIGSTOPs.
    pub(crate) freezes: u64,
    /// Restarts of a broker.
    pub(crate) broker_restarts: u64,
    /// Times that all brokers were away.
    pub(crate) broker_pauses: u64,
    /// Processes that ended by themselves, to be started again: safe, so reported and not counted as a violation.
    pub(crate) exits: u64,
    /// How long each fault was felt.
    pub(crate) recovered: Vec<(Fault, Duration)>,
    /// Faults followed by another before they were over.
    pub(crate) cut_short: u64,
    /// Committed offsets that went back.
    pub(crate) set_back: u64,
    /// From an event to its alert.
    pub(crate) latencies: Vec<Duration>,
    /// By process.
    pub(crate) logs: Vec<Log>,
    /// Only at-least-once was promised.
    pub(crate) may_repeat: bool,
    /// The oracle's.
    pub(crate) verdict: Verdict,
    /// SIGTERM ended every process well.
    pub(crate) stopped_well: bool,
    /// All of it.
    pub(crate) took: Duration,
}

impl Report {
    /// SIGKILLs of processes.
    pub(crate) fn kills(&self) -> u64 {
        self.kills_at_points + self.kills_at_random + self.kills_for_good
    }

    fn sum(&self, field: impl Fn(&Log) -> u64) -> u64 {
        self.logs.iter().map(field).sum()
    }

    /// What should be 0 and is not.
    pub(crate) fn violations(&self) -> Vec<String> {
        let verdict = &self.verdict;
        let never = [
            ("lost", verdict.lost),
            ("lost to the concurrent reader", verdict.concurrent_lost),
            ("partitions unfinished", verdict.unfinished),
            ("partitions not restored", self.sum(|log| log.refused)),
            ("stops without a commit", u64::from(!self.stopped_well)),
        ];
        let never_exactly_once = [
            ("duplicated", verdict.duplicated),
            ("duplicated to the concurrent reader", verdict.concurrent_duplicated),
            ("alerts or links not as folded", verdict.not_as_folded),
            ("final digests different", verdict.digest_mismatches),
            ("restored digests different", self.sum(|log| log.digests_different)),
            ("committed offsets set back", self.set_back),
        ];
        let more = never_exactly_once.iter().filter(|_| !self.may_repeat);
        let bad = never.iter().chain(more).filter(|(_, count)| *count > 0);
        bad.map(|(what, count)| format!("{what}: {count}")).collect()
    }
}

/// p50, p99 and maximum, if there is anything.
pub(crate) fn quantiles(times: &[Duration]) -> Option<[Duration; 3]> {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = |percent: usize| {
        sorted
            .get((sorted.len() * percent).div_ceil(100).saturating_sub(1))
            .copied()
    };
    Some([at(50)?, at(99)?, at(100)?])
}

impl fmt::Display for Report {
    #[allow(clippy::too_many_lines, reason = "a table: one line after the other")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = &self.verdict;
        writeln!(
            f,
            "faults      kills {} ({} at fail points, {} at random, {} for good)   freezes {}   broker restarts {}   \
             all brokers away {}",
            self.kills(),
            self.kills_at_points,
            self.kills_at_random,
            self.kills_for_good,
            self.freezes,
            self.broker_restarts,
            self.broker_pauses
        )?;
        writeln!(
            f,
            "sent        records {}   events {}   rejects {}",
            self.records, self.events, self.rejects
        )?;
        writeln!(
            f,
            "committed   observations {}   links {}   alert records {}",
            verdict.observations, verdict.links, verdict.alerts
        )?;
        writeln!(
            f,
            "final       lost {}   duplicated {}   not as folded {}   digest mismatches {}   (not delivered by the \
             feeder {})",
            verdict.lost, verdict.duplicated, verdict.not_as_folded, verdict.digest_mismatches, verdict.undelivered
        )?;
        for lost in &verdict.lost_at {
            writeln!(f, "            lost {lost}")?;
        }
        writeln!(
            f,
            "concurrent  lost {}   duplicated {}   committed offsets set back {}",
            verdict.concurrent_lost, verdict.concurrent_duplicated, self.set_back
        )?;
        writeln!(
            f,
            "restores    digests equal {}   digests different {}   refused {}   (aborted transactions {}, recycled \
             producers {}, self-ended processes {})",
            self.sum(|log| log.digests_equal),
            self.sum(|log| log.digests_different),
            self.sum(|log| log.refused),
            self.sum(|log| log.aborted),
            self.sum(|log| log.recycled),
            self.exits
        )?;
        for fault in [Fault::Kill, Fault::KillForGood, Fault::Freeze, Fault::Broker] {
            let times: Vec<Duration> = self
                .recovered
                .iter()
                .filter(|(of, _)| *of == fault)
                .map(|(_, t)| *t)
                .collect();
            if let Some([p50, p99, max]) = quantiles(&times) {
                writeln!(
                    f,
                    "recovery    after {:<14} p50 {:.2} s   p99 {:.2} s   max {:.2} s   (n = {})",
                    fault.as_str(),
                    p50.as_secs_f64(),
                    p99.as_secs_f64(),
                    max.as_secs_f64(),
                    times.len()
                )?;
            }
        }
        if let Some([p50, p99, max]) = quantiles(&self.latencies) {
            writeln!(
                f,
                "alerts      visible after their event p50 {:.0} ms   p99 {:.1} s   max {:.1} s, faults included",
                p50.as_secs_f64() * 1_000.0,
                p99.as_secs_f64(),
                max.as_secs_f64()
            )?;
        }
        writeln!(f, "            cut short by a further fault {}", self.cut_short)?;
        writeln!(f, "took        {:.0} s", self.took.as_secs_f64())?;
        match self.violations().as_slice() {
            [] => write!(f, "no violation"),
            bad => write!(f, "VIOLATED    {}", bad.join("   ")),
        }
    }
}
