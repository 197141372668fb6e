//! A worker: one thread with one member of a group, one transactional producer and the state of its partitions.
//!
//! Records are read, folded and written in transactions that carry the offsets, so each record counts once whatever
//! dies. What a worker decides is here and in [`restore`]; how it reaches Kafka is [`crate::service::log::Log`]'s matter.

pub mod stage;
pub mod checkpoint;
mod fused;
mod transaction;
mod restore;
mod parts;
mod markers;
mod hanging;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::model::key::HashKey;
use crate::pipeline::Fold;
use crate::service::log::{Failure, Guarantee, Log, Polled, Rebalance, Record, TopicPartition};
use crate::service::metrics::{Standing, WorkerMetrics};
use crate::service::outage::Outage;
use crate::service::topics::TopicNames;

pub use fused::Fused;
use restore::Restore;
use stage::{Halt, Outbox, Role, Stage};

/// Records taken in one poll at most, so that no transaction outgrows its interval by much.
const POLL_RECORDS_MAX: usize = 2_000;
/// Bytes taken in one poll at most.
const POLL_BYTES_MAX: usize = 8 << 20;
/// Bytes one transaction writes at most before it is committed early.
const TRANSACTION_BYTES_MAX: usize = 32 << 20;
/// A wait for brokers longer than this pauses everything; librdkafka's `max.poll.interval.ms` is 60 s here.
const STALL_AFTER: Duration = Duration::from_secs(5);
/// Longest a poll waits for the first record.
const POLL_WAIT: Duration = Duration::from_millis(50);

/// Where a group without offsets begins to read its sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFrom {
    /// At the oldest record.
    Earliest,
    /// At the records to come.
    Latest,
    /// At the first record not older than this, ms since the epoch.
    Time(i64),
}

/// What a worker must know.
#[derive(Clone)]
pub struct WorkerSettings {
    /// `accounts-0`.
    pub name: String,
    /// Its stage.
    pub role: Role,
    /// Topics it writes.
    pub topics: TopicNames,
    /// Decides partitions.
    pub hash_key: HashKey,
    /// Time from the first record of a transaction to its commit.
    pub commit_interval: Duration,
    /// What a crash may do to the output.
    pub guarantee: Guarantee,
    /// The broker aborts a transaction that is older.
    pub transaction_timeout: Duration,
    /// Every chunk is written once in this time.
    pub checkpoint_period: Duration,
    /// For sources of a group without offsets.
    pub start_from: StartFrom,
    /// Accounts are folded from the source itself: see `rekey`.
    pub is_fused: bool,
    /// False for a log that keeps neither offsets nor checkpoints: nothing is restored and no checkpoint written.
    pub is_durable: bool,
    /// Replaces a producer whose transaction looked as if one of its requests was sent twice. Off only to show what
    /// happens then.
    pub is_guarded: bool,
}

/// Set to make workers commit and leave.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks every holder to stop.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The state of one partition, and how far its checkpoint has gone round.
struct Folded {
    fold: Box<dyn Fold + Send>,
    /// Offset at which each chunk was last written; the origin if never.
    written: Vec<i64>,
    /// Chunks of several parts that stand as the second of two: see [`checkpoint`].
    seconds: BTreeSet<u16>,
    /// Chunk to look at next.
    hand: u16,
    /// Up to when the rotation has done its share.
    turned: Duration,
    /// Where the fold began with nothing.
    origin: i64,
}

enum Phase {
    /// Paused until its state is that of its committed offset.
    Restoring(Box<Restore>),
    /// Paused until somebody mends what was reported.
    Refused,
    Live,
}

struct Task {
    at: TopicPartition,
    phase: Phase,
    /// Next offset, durable.
    committed: i64,
    /// Next offset of the open transaction.
    next: i64,
    /// Latest append time folded, ms.
    append_ms: i64,
    /// Where it stood when it was last looked behind its last record.
    looked_behind: i64,
    /// The open transaction carries its offset.
    is_touched: bool,
    folded: Option<Folded>,
}

#[derive(Clone, Copy)]
struct Open {
    since: Duration,
    bytes: usize,
}

/// See the module.
pub struct Worker<L: Log> {
    log: L,
    stage: Stage,
    settings: WorkerSettings,
    metrics: WorkerMetrics,
    stop: Stop,
    tasks: Vec<Task>,
    outbox: Outbox,
    open: Option<Open>,
    last_commit: Duration,
    /// When the last commit began, and how long it took.
    commit_began: Duration,
    commit_took: Duration,
    /// The last poll ended at a limit of its own.
    has_more: bool,
    /// When it was last looked whether anything stands behind the records of quiet partitions.
    passed_over: Duration,
    /// When the size of the state was last worked out.
    sized: Option<Duration>,
    disconnects_seen: u64,
    /// A transaction looked as if one of its requests was sent twice.
    is_suspect: bool,
    aborts_in_a_row: u32,
    /// A partition waits for a transaction that should have ended long ago.
    has_seen_hanging: bool,
    /// Everything is paused because the brokers do not answer.
    is_stalled: bool,
    outage: Outage,
    /// When the group first answered.
    joined: Option<Duration>,
    /// The group has answered, and has not put us out since.
    is_member: bool,
    /// Why the worker ends with the next commit.
    ending: Option<Failure>,
}

impl<L: Log> Worker<L> {
    /// A worker that has not joined its group yet.
    pub fn new(log: L, stage: Stage, settings: WorkerSettings, metrics: WorkerMetrics, stop: Stop) -> Self {
        let outbox = Outbox::new(settings.topics.clone(), settings.hash_key);
        Self {
            log,
            stage,
            settings,
            metrics,
            stop,
            tasks: Vec::new(),
            outbox,
            open: None,
            last_commit: Duration::ZERO,
            commit_began: Duration::ZERO,
            commit_took: Duration::ZERO,
            has_more: false,
            passed_over: Duration::ZERO,
            sized: None,
            disconnects_seen: 0,
            is_suspect: false,
            aborts_in_a_row: 0,
            has_seen_hanging: false,
            is_stalled: false,
            outage: Outage::default(),
            joined: None,
            is_member: false,
            ending: None,
        }
    }

    /// Works until asked to stop, then commits and leaves.
    ///
    /// # Errors
    /// [`Failure::Stop`] with what the operator must know.
    pub fn run(&mut self) -> Result<(), Failure> {
        while !self.stop.is_requested() {
            self.step()?;
        }
        if self.open.is_some() {
            self.commit()?;
        }
        Ok(())
    }

    /// One round: read, fold, send, restore a little, commit if due.
    ///
    /// # Errors
    /// [`Failure::Stop`].
    pub fn step(&mut self) -> Result<(), Failure> {
        self.end_stall()?;
        self.pause_after_commit();
        let polled = self.take_records()?;
        if polled.records > 0 {
            self.ensure_open()?;
            self.send_outbox()?;
        }
        if let Some(rebalance) = polled.rebalance {
            self.rebalance(rebalance)?;
        }
        if self.ending.is_some() && self.open.is_some() {
            self.commit()?;
        }
        if let Some(failure) = self.ending.take() {
            return Err(failure);
        }
        self.end_hanging_if_seen()?;
        self.restore_some()?;
        self.pass_over_when_quiet()?;
        if self.is_due() {
            self.commit()?;
        }
        self.metrics.beat(self.standing());
        Ok(())
    }

    fn standing(&self) -> Standing {
        let count = |is_it: fn(&Task) -> bool| self.tasks.iter().filter(|task| is_it(task)).count();
        Standing {
            is_member: self.is_member,
            assigned: self.tasks.len(),
            live: count(Task::is_live),
            refused: count(|task| matches!(task.phase, Phase::Refused)),
        }
    }

    /// Reads and folds. A record that must not be passed over ends the worker once what stands before it is committed.
    fn take_records(&mut self) -> Result<Polled, Failure> {
        let wait = self.poll_wait();
        let Self {
            log,
            stage,
            tasks,
            outbox,
            ..
        } = self;
        let mut bytes = 0;
        let mut last = 0;
        let mut halt = None;
        let polled = log.poll(wait, POLL_RECORDS_MAX, &mut |records| {
            // A log may hand over what it read together; nothing is folded behind what must not be passed over.
            if halt.is_some() {
                return ControlFlow::Break(());
            }
            let Some(first) = records.first() else {
                return ControlFlow::Continue(());
            };
            let is_it = |task: &Task| task.is_at(first.topic, first.partition);
            if !tasks.get(last).is_some_and(is_it) {
                let Some(found) = tasks.iter().position(is_it) else {
                    return ControlFlow::Continue(());
                };
                last = found;
            }
            let Some(task) = tasks.get_mut(last).filter(|task| task.is_live()) else {
                return ControlFlow::Continue(());
            };
            // A paused partition may still have records on their way; they come again after its seek.
            let records = &records[records.partition_point(|record| record.offset < task.next)..];
            if let Err(stopped) = task.take(stage, outbox, records) {
                halt = Some(stopped);
                return ControlFlow::Break(());
            }
            bytes += records
                .iter()
                .map(|record| record.value.map_or(0, <[u8]>::len))
                .sum::<usize>();
            if bytes < POLL_BYTES_MAX {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        if let Some(Halt { next: None, failure }) = halt {
            return Err(failure);
        }
        self.ending = halt.map(|halt| halt.failure);
        self.has_more = polled.records >= POLL_RECORDS_MAX || bytes >= POLL_BYTES_MAX;
        for folded in tasks.iter_mut().filter_map(|task| task.folded.as_mut()) {
            let settled = outbox.settle(folded.fold.as_mut());
            settled.map_err(|error| Failure::Stop(format!("a defect of falsefront: {error}")))?;
        }
        Ok(polled)
    }

    /// Waits for brokers without an answer for so long. Whoever polls no more is put out of his group after a minute, so
    /// a longer wait polls with everything paused.
    fn stall(&mut self, time: Duration, since: Duration) -> Result<(), Failure> {
        if self.log.now().saturating_sub(since) < STALL_AFTER {
            self.wait(time);
            return Ok(());
        }
        if !self.is_stalled {
            let live = self.tasks.iter().filter(|task| task.is_live());
            let live: Vec<TopicPartition> = live.map(|task| task.at.clone()).collect();
            if !live.is_empty() {
                self.log.pause(&live)?;
            }
            self.is_stalled = true;
            self.metrics.stalled();
        }
        if let Some(long) = self.outage.goes_on(since, self.log.now()) {
            let (worker, seconds) = (&self.settings.name, long.as_secs());
            tracing::warn!(worker, seconds, "the brokers do not answer; everything waits for them");
        }
        self.metrics.waits();
        self.log.wait_paused(time);
        Ok(())
    }

    /// Waits for brokers, which is no reason to start the process again.
    fn wait(&mut self, time: Duration) {
        self.metrics.waits();
        self.log.wait(time);
    }

    /// Delivers again what a stall had paused.
    fn end_stall(&mut self) -> Result<(), Failure> {
        if !self.is_stalled {
            return Ok(());
        }
        for task in self.tasks.iter().filter(|task| task.is_live()) {
            match self.log.resume_at(&task.at, task.next) {
                Ok(()) => {}
                Err(Failure::Retry(detail)) => {
                    tracing::debug!(worker = self.settings.name, detail, "still stalled");
                    self.log.wait_paused(POLL_WAIT);
                    return Ok(());
                }
                Err(failure) => return Err(failure),
            }
        }
        self.is_stalled = false;
        if let Some(long) = self.outage.is_over(self.log.now()) {
            let (worker, seconds) = (&self.settings.name, long.as_secs());
            tracing::warn!(worker, seconds, "the brokers answer again, work goes on");
        }
        Ok(())
    }

    fn poll_wait(&self) -> Duration {
        if self.tasks.iter().any(Task::is_restoring) {
            return Duration::from_millis(1);
        }
        self.open.map_or(POLL_WAIT, |open| {
            self.due_at(open).saturating_sub(self.log.now()).min(POLL_WAIT)
        })
    }

    /// When the open transaction is to be committed: an interval after the last commit began, so that what comes after a
    /// pause need not wait. With more to read at hand it stays open for the whole interval, and in any case reading gets
    /// as much time as the last commit took, or a slow broker would be given one small transaction after the other.
    fn due_at(&self, open: Open) -> Duration {
        let interval = self.settings.commit_interval;
        let latest = open.since + interval;
        if self.has_more {
            return latest;
        }
        let read = self.last_commit + self.commit_took;
        (self.commit_began + interval).max(read).min(latest)
    }

    fn is_due(&self) -> bool {
        let now = self.log.now();
        if let Some(open) = self.open {
            return now >= self.due_at(open) || open.bytes >= TRANSACTION_BYTES_MAX;
        }
        if now < self.last_commit + self.settings.commit_interval {
            return false;
        }
        self.tasks
            .iter()
            .any(|task| task.is_touched || task.chunks_due(now, self.settings.checkpoint_period) > 0)
    }

    fn rebalance(&mut self, rebalance: Rebalance) -> Result<(), Failure> {
        self.metrics.rebalanced();
        self.joined = self.joined.or(Some(self.log.now()));
        self.is_member = !matches!(rebalance, Rebalance::Revoked { lost: true, .. });
        match rebalance {
            Rebalance::Assigned(partitions) => {
                tracing::info!(worker = self.settings.name, partitions = ?names(&partitions), "assigned");
                self.log.assign(&partitions)?;
                let now = self.log.now();
                self.drop_tasks(&partitions);
                for at in partitions {
                    self.tasks.push(Task::restoring(at, now));
                }
                self.tasks.sort_by(|a, b| a.at.cmp(&b.at));
                Ok(())
            }
            Rebalance::Revoked { partitions, lost } => {
                tracing::info!(worker = self.settings.name, partitions = ?names(&partitions), lost, "revoked");
                self.fail_point("revoke");
                if lost {
                    self.abandon("partitions_lost")?;
                } else if self.open.is_some() {
                    // One transaction spans all tasks: all are committed, not only those given up.
                    self.commit()?;
                }
                self.drop_tasks(&partitions);
                self.metrics.given_up(&partitions);
                self.log.unassign(&partitions)
            }
        }
    }

    /// See [`crate::service::fail_point`].
    fn fail_point(&self, name: &'static str) {
        crate::service::fail_point::pass(self.role(), name);
    }

    fn drop_tasks(&mut self, partitions: &[TopicPartition]) {
        for task in self.tasks.iter().filter(|task| partitions.contains(&task.at)) {
            if let Some(reading) = task.reading() {
                self.log.read_end(reading);
            }
        }
        self.tasks.retain(|task| !partitions.contains(&task.at));
    }
}

impl Task {
    fn restoring(at: TopicPartition, now: Duration) -> Self {
        Self {
            at,
            phase: Phase::Restoring(Box::new(Restore::new(now))),
            committed: -1,
            next: -1,
            append_ms: 0,
            looked_behind: -1,
            is_touched: false,
            folded: None,
        }
    }

    fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live)
    }

    fn is_restoring(&self) -> bool {
        matches!(self.phase, Phase::Restoring(_))
    }

    /// Takes records in the order of their offsets, none of them taken before.
    fn take(&mut self, stage: &mut Stage, outbox: &mut Outbox, records: &[Record<'_>]) -> Result<(), Halt> {
        let Some(newest) = records.last() else {
            return Ok(());
        };
        match (stage, &mut self.folded) {
            (Stage::Intake { take, formats }, _) => {
                let latest_ms = records.iter().map(|record| record.append_ms).max();
                self.append_ms = self.append_ms.max(latest_ms.unwrap_or(0));
                let format = formats.get(newest.topic).copied().unwrap_or_default();
                outbox.intake(take.as_mut(), format, records);
            }
            (Stage::Fold { role, .. }, Some(folded)) => {
                let taken = outbox.fold(*role, folded.fold.as_mut(), records, &mut self.append_ms);
                if let Err(halt) = taken {
                    if let Some(next) = halt.next {
                        self.next = self.next.max(next);
                        self.is_touched = true;
                    }
                    return Err(halt);
                }
            }
            (Stage::Fold { .. }, None) => {}
        }
        self.next = newest.offset + 1;
        self.is_touched = true;
        Ok(())
    }

    fn is_at(&self, topic: &str, partition: i32) -> bool {
        self.at.partition == partition && &*self.at.topic == topic
    }
}

fn names(partitions: &[TopicPartition]) -> Vec<String> {
    partitions.iter().map(ToString::to_string).collect()
}
