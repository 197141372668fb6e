//! Bringing a partition's state to its committed offset, step by step, before its first record is taken.
//!
//! 1. wait until every transaction that wrote the input or the checkpoints is decided, then ask for the committed offset
//! 2. read the chunks
//! 3. refold the log from the oldest chunk's offset to the committed one, publishing nothing
//! 4. compare the digest, then go live
//!
//! Intake has no state: for it the first step is all. A partition that cannot be restored stays paused and says why.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::pipeline::{CodecError, Fold, Position};
use crate::service::log::{Failure, Isolation, Log, Record, TopicPartition};

use super::checkpoint::{CheckpointKey, ChunkPart, DigestRecord};
use super::stage::{Role, Stage};
use super::{Folded, Phase, StartFrom, Task, Worker};

/// Time given to restoring before the group is served again.
const SLICE: Duration = Duration::from_millis(100);
/// Between two looks at a transaction that is not decided yet.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Patience beyond the transaction timeout before a restore that waits is reported.
const SWEEP: Duration = Duration::from_secs(20);
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
    parts: BTreeMap<u16, BTreeMap<u16, ChunkPart>>,
    digest: Option<DigestRecord>,
    /// Offset from which each chunk takes part in the replay.
    resume: Vec<i64>,
    /// Latest append time so far.
    append_ms: i64,
    fold: Option<Box<dyn Fold + Send>>,
    origin: i64,
    replayed: u64,
    damage: Option<String>,
    /// What comparing the digest came to.
    verdict: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Settle,
    ReadChunks,
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
            parts: BTreeMap::new(),
            digest: None,
            resume: Vec::new(),
            append_ms: 0,
            fold: None,
            origin: 0,
            replayed: 0,
            damage: None,
            verdict: "not_compared",
        }
    }
}

impl<L: Log> Worker<L> {
    /// Works on the first partition that is not live, for a slice of time.
    pub(super) fn restore_some(&mut self) -> Result<(), Failure> {
        let end = self.log.now() + SLICE;
        while self.log.now() < end {
            let Some(index) = self.tasks.iter().position(Task::is_restoring) else {
                break;
            };
            let Some(task) = self.tasks.get_mut(index) else { break };
            let at = task.at.clone();
            let memory = task.committed;
            let Phase::Restoring(mut restore) = std::mem::replace(&mut task.phase, Phase::Refused) else {
                break;
            };
            let progress = self.restore_step(&at, memory, &mut restore);
            let progress = match progress {
                Ok(progress) => progress,
                Err(Failure::Retry(detail)) => self.report_waiting(&at, &mut restore, &detail),
                Err(failure) => return Err(failure),
            };
            let is_waiting = matches!(progress, Progress::Wait);
            let now = self.log.now();
            let Some(task) = self.tasks.get_mut(index) else { break };
            match progress {
                Progress::On | Progress::Wait => task.phase = Phase::Restoring(restore),
                Progress::Refuse(why) => {
                    self.log.read_end();
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
            if is_waiting {
                self.log.wait(LOOK_AGAIN);
                break;
            }
        }
        Ok(())
    }

    fn report_waiting(&self, at: &TopicPartition, restore: &mut Restore, detail: &str) -> Progress {
        let now = self.log.now();
        if now > restore.since + self.settings.transaction_timeout + SWEEP {
            restore.since = now;
            self.metrics.hanging();
            tracing::error!(
                worker = self.settings.name,
                partition = %at,
                detail,
                "still waiting to restore; if the brokers are up, a transaction hangs: find it with \
                 kafka-transactions.sh find-hanging and abort it"
            );
        }
        Progress::Wait
    }

    fn restore_step(&mut self, at: &TopicPartition, memory: i64, restore: &mut Restore) -> Result<Progress, Failure> {
        self.fail_point(match restore.step {
            Step::Settle => "restore.settle",
            Step::ReadChunks => "restore.chunks",
            Step::Replay => "restore.replay",
            Step::Resume => "restore.resume",
        });
        match restore.step {
            Step::Settle => self.settle(at, memory, restore),
            Step::ReadChunks => self.read_chunks(at, restore),
            Step::Replay => self.replay(at, restore),
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
            for partition in [&checkpoints, at] {
                let (_, stable) = self.log.bounds(partition, Isolation::Committed)?;
                let (_, end) = self.log.bounds(partition, Isolation::Uncommitted)?;
                if stable < end {
                    let detail = format!("{partition} has an open transaction at offset {stable} of {end}");
                    return Err(Failure::Retry(detail));
                }
            }
            let (start, end) = self.log.bounds(&checkpoints, Isolation::Committed)?;
            has_chunks = start < end;
        }
        let committed = if self.settings.is_durable {
            self.log.committed(std::slice::from_ref(at))?.first().copied().flatten()
        } else {
            Some(memory).filter(|offset| *offset >= 0)
        };
        restore.is_first = committed.is_none();
        let (start, end) = self.log.bounds(at, Isolation::Committed)?;
        restore.log_start = start;
        restore.target = match (committed, is_fold, self.settings.start_from) {
            (Some(offset), ..) => offset,
            (None, true, _) | (None, false, StartFrom::Earliest) => start,
            (None, false, StartFrom::Latest) => end,
            (None, false, StartFrom::Time(time_ms)) => self.log.offset_at(at, time_ms)?,
        };
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
            restore.step = Step::ReadChunks;
            return Ok(Progress::On);
        }
        self.plan_replay(at, restore)
    }

    fn read_chunks(&mut self, at: &TopicPartition, restore: &mut Restore) -> Result<Progress, Failure> {
        let role = self.role();
        let is_end = self.log.read(
            READ_WAIT,
            READ_RECORDS_MAX,
            &mut |record| match restore.take_checkpoint(role, at.partition, record) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    restore.damage = Some(format!(
                        "{error} in {}/{} at offset {}",
                        record.topic, record.partition, record.offset
                    ));
                    ControlFlow::Break(())
                }
            },
        )?;
        if let Some(damage) = restore.damage.take() {
            return Ok(Progress::Refuse(damage));
        }
        if !is_end {
            return Ok(Progress::On);
        }
        self.log.read_end();
        self.plan_replay(at, restore)
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
                } else if digest.offset > restore.target {
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
        let from = restore.resume.iter().copied().min().unwrap_or(restore.origin);
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
        self.log.read_from(at, from)?;
        restore.step = Step::Replay;
        Ok(Progress::On)
    }

    fn replay(&mut self, at: &TopicPartition, restore: &mut Restore) -> Result<Progress, Failure> {
        let mut is_done = false;
        let Restore {
            fold,
            resume,
            append_ms,
            replayed,
            target,
            ..
        } = restore;
        let Some(fold) = fold else { return Ok(Progress::On) };
        let mut last = None;
        let is_end = self.log.read(READ_WAIT, READ_RECORDS_MAX, &mut |record| {
            if record.offset >= *target {
                is_done = true;
                return ControlFlow::Break(());
            }
            *append_ms = (*append_ms).max(record.append_ms);
            let position = Position {
                offset: record.offset,
                append_ms: *append_ms,
            };
            // What could not be folded became a dead letter the first time, and changed nothing then either.
            if fold.refold(position, record.value.unwrap_or_default(), resume).is_ok() {
                *replayed += 1;
            }
            last = Some(record.offset);
            if record.offset + 1 >= *target {
                is_done = true;
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        if let Some(offset) = last {
            self.metrics.restoring(restore.target.saturating_sub(offset));
        }
        if !is_done && !is_end {
            return Ok(Progress::On);
        }
        self.log.read_end();
        Ok(self.compare_digest(at, restore))
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
                self.parts.remove(&chunk);
            }
            (CheckpointKey::Chunk { chunk, part }, Some(value)) => {
                self.parts
                    .entry(chunk)
                    .or_default()
                    .insert(part, ChunkPart::decode(value)?);
            }
        }
        Ok(())
    }

    /// Fills `fold` with the chunks and sets where each resumes.
    fn load(&mut self, fold: &mut (dyn Fold + Send)) -> Result<(), String> {
        let chunks = fold.chunk_count();
        self.resume = vec![self.origin; usize::from(chunks)];
        let mut oldest: Option<(i64, i64)> = None;
        for (chunk, parts) in std::mem::take(&mut self.parts) {
            let Some(first) = parts.get(&0) else { continue };
            if first.chunks != chunks {
                return Err(format!(
                    "the checkpoint has {} chunks, this version keeps {chunks}; run the version that wrote it, or \
                     choose another `application`",
                    first.chunks
                ));
            }
            let (offset, append_ms, count) = (first.offset, first.append_ms, first.parts);
            let mut bytes = Vec::new();
            for part in 0..count {
                match parts.get(&part).filter(|part| part.offset == offset) {
                    Some(part) => bytes.extend_from_slice(&part.body),
                    None => return Err(format!("part {part} of {count} of chunk {chunk} is missing")),
                }
            }
            fold.read_chunk(chunk, &bytes)
                .map_err(|error| format!("chunk {chunk}: {error}"))?;
            let Some(resume) = self.resume.get_mut(usize::from(chunk)) else {
                continue;
            };
            *resume = offset;
            self.target = self.target.max(offset);
            if oldest.is_none_or(|(oldest, _)| offset < oldest) {
                oldest = Some((offset, append_ms));
            }
        }
        let from = self.resume.iter().copied().min().unwrap_or(self.origin);
        // Where replay begins at the origin, no append time has passed yet.
        self.append_ms = oldest
            .filter(|(offset, _)| *offset == from)
            .map_or(0, |(_, append_ms)| append_ms);
        Ok(())
    }
}

impl Task {
    fn go_live(&mut self, restore: Restore, now: Duration) {
        self.phase = Phase::Live;
        self.committed = restore.target;
        self.next = restore.target;
        self.append_ms = restore
            .append_ms
            .max(restore.digest.map_or(0, |digest| digest.append_ms));
        // A choice of `start_from` must outlive a crash before the first record.
        self.is_touched = restore.is_first;
        self.folded = restore.fold.map(|fold| Folded {
            fold,
            written: restore.resume,
            hand: 0,
            turned: now,
            origin: restore.origin,
        });
    }
}
