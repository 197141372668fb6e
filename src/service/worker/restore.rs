//! Bringing a partition's state to its committed offset, step by step, before its first record is taken.
//!
//! 1. wait until every transaction that wrote the input or the checkpoints is decided, then ask for the committed offset
//! 2. read the chunks
//! 3. refold the log from the oldest chunk's offset to the committed one, publishing nothing
//! 4. compare the digest, then go live
//!
//! Intake has no state: for it the first step is all. A partition that cannot be restored stays paused and says why.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::Duration;

use arrayvec::ArrayVec;

use crate::pipeline::{CodecError, Fold, Position};
use crate::service::log::{Failure, Guarantee, Isolation, Log, Record, TOGETHER, TopicPartition};

use super::checkpoint::{CheckpointKey, ChunkPart, DigestRecord};
use super::parts::Parts;
use super::stage::{Role, Stage, stopping_at};
use super::{Folded, Phase, StartFrom, Task, Worker};

/// Time given to restoring before the group is served again.
const SLICE: Duration = Duration::from_millis(100);
/// Between two looks at a transaction that is not decided yet.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Patience beyond the transaction timeout before a restore that waits is reported.
const SWEEP: Duration = Duration::from_secs(20);
/// A group that reads its topics for the first time has offsets of all their partitions by then.
const FIRST_OFFSETS: Duration = Duration::from_secs(60);
/// Records read in one step.
const READ_RECORDS_MAX: usize = 5_000;
/// Wait for the first record of a step.
const READ_WAIT: Duration = Duration::from_millis(50);

/// A restore under way.
pub(super) struct Restore {
    since: Duration,
    step: Step,
    /// Offset to go live at.
    target: i64,
    /// The group had no offset: it gets one with the first commit.
    is_first: bool,
    log_start: i64,
    parts: Parts,
    digest: Option<DigestRecord>,
    /// Offset from which each chunk takes part in the replay.
    resume: Vec<i64>,
    /// Chunks whose parts are the second of two.
    seconds: BTreeSet<u16>,
    /// Latest append time so far.
    append_ms: i64,
    fold: Option<Box<dyn Fold + Send>>,
    origin: i64,
    replayed: u64,
    damage: Option<String>,
    /// A record of the log that another release has to read.
    stopped: Option<Failure>,
    /// What comparing the digest came to.
    verdict: &'static str,
    /// Partition of the log being read for it.
    reading: Option<TopicPartition>,
    /// Offset after the last record replayed.
    next: i64,
    /// Where the checkpoints and the input ended at the first look: what was open then must be decided, and not what has
    /// been written since.
    ends: [Option<i64>; 2],
    /// Not to be looked at before.
    look_at: Duration,
    /// The first look found trouble. Whoever was asleep meanwhile may have seen another owner's work half done, and
    /// learns from the group before the second look that the partition is not its own.
    is_second_look: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Settle,
    ReadChunks,
    /// The chunks are read, the log behind them is to be opened.
    Open,
    Replay,
    Resume,
}

/// How a step ended.
enum Progress {
    /// Go on with the next.
    On,
    /// Nothing to do for a moment.
    Wait,
    /// This partition cannot be restored.
    Refuse(String),
    Done,
}

impl Restore {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            since: now,
            step: Step::Settle,
            target: -1,
            is_first: false,
            log_start: 0,
            parts: Parts::default(),
            digest: None,
            resume: Vec::new(),
            seconds: BTreeSet::new(),
            append_ms: 0,
            fold: None,
            origin: 0,
            replayed: 0,
            damage: None,
            stopped: None,
            verdict: "not_compared",
            reading: None,
            next: 0,
            ends: [None; 2],
            look_at: Duration::ZERO,
            is_second_look: false,
        }
    }
}

impl<L: Log> Worker<L> {
    /// Works on every partition that is not live, for a slice of time: they share the reader, so that a worker with
    /// many partitions waits for the brokers once and not once per partition.
    pub(super) fn restore_some(&mut self) -> Result<(), Failure> {
        let end = self.log.now() + SLICE;
        while self.tasks.iter().any(Task::is_restoring) && self.log.now() < end {
            let mut has_moved = false;
            for index in 0..self.tasks.len() {
                has_moved |= self.restore_one(index, &[])?;
            }
            if self.tasks.iter().any(|task| task.reading().is_some()) {
                let ended = self.read_some()?;
                for index in 0..self.tasks.len() {
                    self.restore_one(index, &ended)?;
                }
            } else if !has_moved {
                self.wait(LOOK_AGAIN);
                break;
            }
        }
        Ok(())
    }

    /// Takes the next step of one partition, if it can be taken now; true if it was.
    fn restore_one(&mut self, index: usize, ended: &[TopicPartition]) -> Result<bool, Failure> {
        let now = self.log.now();
        let Some(task) = self.tasks.get_mut(index) else {
            return Ok(false);
        };
        let at = task.at.clone();
        let memory = task.committed;
        let Phase::Restoring(restore) = &mut task.phase else {
            return Ok(false);
        };
        let is_end = restore.reading.as_ref().is_some_and(|reading| ended.contains(reading));
        if now < restore.look_at || (restore.reading.is_some() && !is_end && !restore.is_read()) {
            return Ok(false);
        }
        let Phase::Restoring(mut restore) = std::mem::replace(&mut task.phase, Phase::Refused) else {
            return Ok(false);
        };
        if let Some(reading) = restore.reading.take() {
            self.log.read_end(&reading);
        }
        let progress = match self.restore_step(&at, memory, &mut restore) {
            Ok(progress) => progress,
            Err(Failure::Retry(detail)) => self.report_waiting(&at, &mut restore, &detail),
            Err(failure) => return Err(failure),
        };
        let now = self.log.now();
        let is_waiting = matches!(progress, Progress::Wait);
        let is_refused = matches!(progress, Progress::Refuse(_));
        let Some(task) = self.tasks.get_mut(index) else {
            return Ok(false);
        };
        match progress {
            Progress::On => task.phase = Phase::Restoring(restore),
            Progress::Wait => {
                restore.look_at = now + LOOK_AGAIN;
                task.phase = Phase::Restoring(restore);
            }
            Progress::Refuse(_) if !restore.is_second_look => {
                task.phase = Phase::Restoring(Box::new(restore.again(now)));
            }
            Progress::Refuse(why) => {
                self.metrics.refused();
                tracing::error!(worker = self.settings.name, partition = %at, why, "partition not restored, stays paused");
            }
            Progress::Done => {
                let took = now.saturating_sub(restore.since);
                self.metrics.restored(took, restore.replayed);
                tracing::info!(
                    worker = self.settings.name, partition = %at, offset = restore.target,
                    replayed = restore.replayed, digest = restore.verdict, took_ms = took.as_millis(), "live"
                );
                task.go_live(*restore, now);
            }
        }
        Ok(!is_waiting && !is_refused)
    }

    /// Hands what was read to the partitions it belongs to. Returns the partitions of the log read to their end.
    fn read_some(&mut self) -> Result<Vec<TopicPartition>, Failure> {
        let role = self.role();
        let Self { log, tasks, .. } = self;
        let ended = log.read(READ_WAIT, READ_RECORDS_MAX, &mut |records| {
            let Some(first) = records.first() else {
                return ControlFlow::Continue(());
            };
            let reader = tasks.iter_mut().find_map(|task| match &mut task.phase {
                Phase::Restoring(restore) => {
                    let reading = restore.reading.as_ref()?;
                    let is_it = reading.partition == first.partition && &*reading.topic == first.topic;
                    is_it.then_some((task.at.partition, restore))
                }
                Phase::Refused | Phase::Live => None,
            });
            // Otherwise it is what a partition read before still had on its way.
            if let Some((partition, restore)) = reader {
                restore.take(role, partition, records);
            }
            ControlFlow::Continue(())
        })?;
        let left = self.tasks.iter().filter_map(Task::left_to_replay).sum();
        self.metrics.restoring(left);
        Ok(ended)
    }

    fn report_waiting(&mut self, at: &TopicPartition, restore: &mut Restore, detail: &str) -> Progress {
        let now = self.log.now();
        if now > restore.since + self.settings.transaction_timeout + SWEEP {
            restore.since = now;
            self.report_hanging(&at.to_string(), detail);
        }
        Progress::Wait
    }

    fn restore_step(&mut self, at: &TopicPartition, memory: i64, restore: &mut Restore) -> Result<Progress, Failure> {
        self.fail_point(match restore.step {
            Step::Settle => "restore.settle",
            Step::ReadChunks => "restore.chunks",
            Step::Open | Step::Replay => "restore.replay",
            Step::Resume => "restore.resume",
        });
        match restore.step {
            Step::Settle => self.settle(at, memory, restore),
            Step::ReadChunks => match restore.damage.take() {
                Some(damage) => Ok(Progress::Refuse(damage)),
                None => self.plan_replay(at, restore),
            },
            Step::Open => self.open_log(at, restore),
            Step::Replay => match restore.stopped.take() {
                Some(failure) => Err(failure),
                None => Ok(self.compare_digest(at, restore)),
            },
            Step::Resume => {
                self.log.resume_at(at, restore.target)?;
                Ok(Progress::Done)
            }
        }
    }

    pub(super) fn role(&self) -> Role {
        match self.stage {
            Stage::Intake { .. } => Role::Intake,
            Stage::Fold { role, .. } => role,
        }
    }

    fn checkpoints_of(&self, at: &TopicPartition) -> TopicPartition {
        TopicPartition {
            topic: self.settings.topics.checkpoints.clone(),
            partition: self.settings.topics.checkpoint_partition(self.role(), at.partition),
        }
    }

    fn settle(&mut self, at: &TopicPartition, memory: i64, restore: &mut Restore) -> Result<Progress, Failure> {
        let is_fold = matches!(self.stage, Stage::Fold { .. });
        let checkpoints = self.checkpoints_of(at);
        let mut has_chunks = false;
        if is_fold && self.settings.is_durable {
            // Markers reach the partitions of a transaction one by one (KAFKA-10167): all must be there.
            for (partition, first_end) in [&checkpoints, at].into_iter().zip(&mut restore.ends) {
                let end = match *first_end {
                    Some(end) => end,
                    None => self.log.bounds(partition, Isolation::Uncommitted)?.1,
                };
                *first_end = Some(end);
                let (start, stable) = self.log.bounds(partition, Isolation::Committed)?;
                if stable < end {
                    let detail = format!("{partition} has an open transaction at offset {stable} of {end}");
                    return Err(Failure::Retry(detail));
                }
                has_chunks |= partition == &checkpoints && start < stable;
            }
        }
        let committed = if self.settings.is_durable {
            self.log.committed(std::slice::from_ref(at))?.first().copied().flatten()
        } else {
            Some(memory).filter(|offset| *offset >= 0)
        };
        restore.is_first = committed.is_none();
        let (start, end) = self.log.bounds(at, Isolation::Committed)?;
        restore.log_start = start;
        let is_after_intake = is_fold && !self.settings.is_fused;
        restore.target = match (committed, is_after_intake, self.settings.start_from) {
            (Some(offset), ..) => offset,
            (None, true, _) | (None, false, StartFrom::Earliest) => start,
            // Added since the group began to read its topic, so nothing in it is older.
            (None, false, _) if self.is_added(at) => start,
            (None, false, StartFrom::Latest) => end,
            (None, false, StartFrom::Time(time_ms)) => self.log.offset_at(at, time_ms)?,
        };
        if restore.is_first && !is_after_intake && self.settings.is_durable {
            tracing::info!(
                worker = self.settings.name, partition = %at, offset = restore.target, first = start, end,
                "the group has no offset of this partition, so it begins here"
            );
        }
        if committed.is_some() && restore.target > end && self.settings.is_durable {
            return Ok(Progress::Refuse(self.created_anew(at, restore.target, end, is_fold)));
        }
        if !is_fold {
            if restore.target < start {
                return Ok(Progress::Refuse(format!(
                    "committed offset {} is older than the first record kept, {start}: retention deleted records that \
                     were never read; to go on without them, stop and run kafka-consumer-groups.sh --reset-offsets \
                     --to-earliest for this topic and group",
                    restore.target
                )));
            }
            restore.step = Step::Resume;
            return Ok(Progress::On);
        }
        if has_chunks {
            self.log.read_from(&checkpoints, 0)?;
            restore.reading = Some(checkpoints);
            restore.step = Step::ReadChunks;
            return Ok(Progress::On);
        }
        self.plan_replay(at, restore)
    }

    /// Why a partition that ends before the group's offset is not read.
    fn created_anew(&self, at: &TopicPartition, committed: i64, end: i64, is_fold: bool) -> String {
        let checkpoints = &self.settings.topics.checkpoints;
        let remedy = if is_fold {
            format!(
                "to begin anew, choose another `application`, or stop, delete `{checkpoints}` and the group's offsets of \
                 this topic"
            )
        } else {
            "to read it from its beginning, stop and run kafka-consumer-groups.sh --reset-offsets --to-earliest for this \
             topic and group"
                .to_owned()
        };
        let topic = &at.topic;
        format!(
            "the group stands at offset {committed} and {topic} ends at {end}: it was deleted and created anew; {remedy}"
        )
    }

    /// Whether a partition without an offset came to a topic that the group reads already.
    fn is_added(&self, at: &TopicPartition) -> bool {
        let is_late = self
            .joined
            .is_some_and(|joined| self.log.now() > joined + FIRST_OFFSETS);
        let is_before = |task: &Task| task.is_live() && task.at.topic == at.topic && task.at.partition < at.partition;
        self.log.was_added(at) || (is_late && self.tasks.iter().any(is_before))
    }

    /// Decides from where each chunk resumes and whether the log still holds what is needed.
    fn plan_replay(&mut self, at: &TopicPartition, restore: &mut Restore) -> Result<Progress, Failure> {
        let Stage::Fold { factory, .. } = &self.stage else {
            return Ok(Progress::On);
        };
        let mut fold = factory(at.partition);
        let fingerprint = self.settings.topics.fingerprint(&self.settings.hash_key);
        restore.origin = restore.log_start;
        match restore.digest {
            None if restore.is_first => restore.origin = restore.target,
            None if restore.target > restore.log_start && self.settings.is_durable => {
                return Ok(Progress::Refuse(format!(
                    "the group stands at offset {} but `{}` holds no checkpoint of this partition: it was deleted or \
                     the offset was set by hand; to rebuild from the oldest record, stop and reset the group's offset \
                     of this partition to {}",
                    restore.target, self.settings.topics.checkpoints, restore.log_start
                )));
            }
            None => {}
            Some(digest) if digest.fingerprint != fingerprint => {
                return Ok(Progress::Refuse(
                    "the checkpoint was written with another hash key or partition count; restore `hash_key_file`, \
                     `application` and `intake.partitions` to what they were, or choose another `application`"
                        .to_owned(),
                ));
            }
            Some(digest) => {
                restore.origin = digest.origin;
                if restore.is_first {
                    tracing::warn!(partition = %at, offset = digest.offset, "the group's offset is gone, taking the checkpoint's");
                    restore.target = digest.offset;
                } else if digest.offset > restore.target && self.settings.guarantee == Guarantee::AtLeastOnce {
                    // A crash came between the checkpoint, which followed its outputs, and the offsets.
                    restore.target = digest.offset;
                } else if digest.offset > restore.target {
                    if !restore.is_second_look {
                        return Ok(Progress::Refuse(
                            "the group's offset is behind the checkpoint".to_owned(),
                        ));
                    }
                    self.metrics.torn();
                    tracing::error!(
                        partition = %at, committed = restore.target, checkpoint = digest.offset,
                        "the group's offset went back behind the checkpoint; resuming at the checkpoint"
                    );
                    restore.target = digest.offset;
                }
            }
        }
        if let Err(why) = restore.load(fold.as_mut()) {
            return Ok(Progress::Refuse(why));
        }
        restore.fold = Some(fold);
        let from = restore.from();
        if from < restore.log_start && from < restore.target {
            return Ok(Progress::Refuse(format!(
                "a restore needs the log from offset {from} on, but it begins at {}: its retention is shorter than the \
                 time this partition stood still; to rebuild from what is left, delete its checkpoints and reset the \
                 group's offset of this partition to {}",
                restore.log_start, restore.log_start
            )));
        }
        if from >= restore.target {
            return Ok(self.compare_digest(at, restore));
        }
        restore.step = Step::Open;
        self.open_log(at, restore)
    }

    /// A step of its own: brokers that do not answer are asked again, and the chunks are there already.
    fn open_log(&mut self, at: &TopicPartition, restore: &mut Restore) -> Result<Progress, Failure> {
        self.log.read_from(at, restore.from())?;
        restore.reading = Some(at.clone());
        restore.step = Step::Replay;
        Ok(Progress::On)
    }

    fn compare_digest(&self, at: &TopicPartition, restore: &mut Restore) -> Progress {
        if let (Some(expected), Some(fold)) = (restore.digest, &restore.fold)
            && expected.offset == restore.target
        {
            let digest = fold.digest();
            self.metrics.digest_compared(digest == expected.digest);
            restore.verdict = if digest == expected.digest {
                "equal"
            } else {
                "different"
            };
            if digest != expected.digest {
                tracing::error!(
                    partition = %at, offset = restore.target,
                    "restored state differs from the one committed: expected only after a change of version or of \
                     [detections]"
                );
            }
        }
        restore.step = Step::Resume;
        Progress::On
    }
}

impl Restore {
    /// The same restore from its first step.
    fn again(&self, now: Duration) -> Self {
        Self {
            since: self.since,
            look_at: now + LOOK_AGAIN,
            is_second_look: true,
            ..Self::new(now)
        }
    }

    /// Offset from which the log is needed.
    fn from(&self) -> i64 {
        self.resume.iter().copied().min().unwrap_or(self.origin)
    }

    /// Whether nothing more has to be read although more may come.
    fn is_read(&self) -> bool {
        self.damage.is_some() || self.stopped.is_some() || (self.step == Step::Replay && self.next >= self.target)
    }

    fn take(&mut self, role: Role, partition: i32, records: &[Record<'_>]) {
        if self.step == Step::Replay {
            records.chunks(TOGETHER).for_each(|records| self.replay(records));
            return;
        }
        for record in records {
            if let Err(error) = self.take_checkpoint(role, partition, record) {
                let what = format!(
                    "{error} in {}/{} at offset {}",
                    record.topic, record.partition, record.offset
                );
                self.damage.get_or_insert(what);
            }
        }
    }

    /// Folds records again, [`TOGETHER`] at most.
    fn replay(&mut self, records: &[Record<'_>]) {
        let newest = records.last().map_or(0, |record| record.offset + 1);
        self.next = self.next.max(newest);
        let records = &records[..records.partition_point(|record| record.offset < self.target)];
        // Nothing is folded behind a record that must not be passed over.
        let Some(fold) = self.fold.as_mut().filter(|_| self.stopped.is_none()) else {
            return;
        };
        let positioned: ArrayVec<(Position, &[u8]), TOGETHER> = records
            .iter()
            .map(|record| record.positioned(&mut self.append_ms))
            .collect();
        // What could not be folded became a dead letter the first time; what stands ahead of it was folded, as it is now.
        let (stopped, mut unfolded) = (&mut self.stopped, 0);
        let refolded = fold.refold_each(&positioned, &self.resume, &mut |_, _| unfolded += 1);
        if let Err((index, error)) = refolded {
            unfolded += records.len() - index;
            stopped.get_or_insert_with(|| stopping_at(&records[index], &error));
        }
        self.replayed += (records.len() - unfolded) as u64;
    }

    fn take_checkpoint(&mut self, role: Role, partition: i32, record: &Record<'_>) -> Result<(), CodecError> {
        let Some(key) = record
            .key
            .and_then(|key| CheckpointKey::decode(key, role.as_str(), partition))
        else {
            return Ok(());
        };
        match (key, record.value) {
            (CheckpointKey::Digest, None) => self.digest = None,
            (CheckpointKey::Digest, Some(value)) => self.digest = Some(DigestRecord::decode(value)?),
            (CheckpointKey::Chunk { chunk, .. }, None) => {
                self.parts.remove(chunk);
            }
            (CheckpointKey::Chunk { chunk, part }, Some(value)) => {
                self.parts.insert(chunk, part, ChunkPart::decode(value)?);
            }
        }
        Ok(())
    }

    /// Fills `fold` with the chunks and sets where each resumes.
    fn load(&mut self, fold: &mut (dyn Fold + Send)) -> Result<(), String> {
        let chunks = fold.chunk_count();
        self.resume = vec![self.origin; usize::from(chunks)];
        let mut oldest: Option<(i64, i64)> = None;
        for whole in std::mem::take(&mut self.parts).into_whole(chunks) {
            let whole = whole?;
            let (chunk, offset) = (whole.chunk, whole.offset);
            fold.read_chunk(chunk, &whole.bytes)
                .map_err(|error| format!("chunk {chunk}: {error}"))?;
            let Some(resume) = self.resume.get_mut(usize::from(chunk)) else {
                continue;
            };
            *resume = offset;
            self.target = self.target.max(offset);
            if whole.is_second {
                self.seconds.insert(chunk);
            }
            if oldest.is_none_or(|(oldest, _)| offset < oldest) {
                oldest = Some((offset, whole.append_ms));
            }
        }
        let from = self.from();
        // Where replay begins at the origin, no append time has passed yet.
        self.append_ms = oldest
            .filter(|(offset, _)| *offset == from)
            .map_or(0, |(_, append_ms)| append_ms);
        Ok(())
    }
}

impl Task {
    /// Partition of the log that is being read to restore this one.
    pub(super) fn reading(&self) -> Option<&TopicPartition> {
        match &self.phase {
            Phase::Restoring(restore) => restore.reading.as_ref(),
            Phase::Refused | Phase::Live => None,
        }
    }

    fn left_to_replay(&self) -> Option<i64> {
        match &self.phase {
            Phase::Restoring(restore) if restore.step == Step::Replay => {
                Some(restore.target.saturating_sub(restore.next.max(0)))
            }
            _ => None,
        }
    }

    fn go_live(&mut self, restore: Restore, now: Duration) {
        self.phase = Phase::Live;
        self.committed = restore.target;
        self.next = restore.target;
        self.append_ms = restore
            .append_ms
            .max(restore.digest.map_or(0, |digest| digest.append_ms));
        // A choice of `start_from` must outlive a crash before the first record.
        self.is_touched = restore.is_first;
        // Killed more often than the rotation goes round, only the first chunks would ever be written, and each restore
        // would replay more than the one before.
        let oldest = (0u16..).zip(&restore.resume).min_by_key(|(_, offset)| **offset);
        let oldest = oldest.map_or(0, |(chunk, _)| chunk);
        self.folded = restore.fold.map(|fold| Folded {
            fold,
            written: restore.resume,
            seconds: restore.seconds,
            hand: oldest,
            turned: now,
            origin: restore.origin,
        });
    }
}

#[cfg(test)]
mod tests;
