//! The transaction of a worker: open, send, drain, commit; abort, recycle and the guard.
//!
//! Kafka's first transaction protocol, the only one librdkafka speaks, lets a request that the client sent twice
//! act on a *later* transaction (KAFKA-17754). librdkafka re-sends silently, but a re-send takes time; so a producer
//! whose transaction was suspiciously slow gets a new epoch before it begins the next one.

use std::time::Duration;

use crate::service::log::{Failure, Guarantee, Log, Outgoing, TopicPartition};

use super::checkpoint::{CheckpointKey, ChunkPart, DigestRecord, SECOND};
use super::restore::Restore;
use super::stage::{Role, Stage};
use super::{Open, Phase, Task, Worker};

/// Until its markers are written the broker answers the next transaction with CONCURRENT_TRANSACTIONS.
const PAUSE_AFTER_COMMIT: Duration = Duration::from_millis(10);
/// A healthy `send_offsets` or commit took 130 ms at most; a re-sent one takes 248 ms at least.
const STEP_SUSPECT: Duration = Duration::from_millis(200);
/// A healthy drain took 303 ms at most; AddPartitionsToTxn is re-sent after 500 ms.
const DRAIN_SUSPECT: Duration = Duration::from_millis(450);
/// Between two looks at the producer's queue.
const DRAIN_POLL: Duration = Duration::from_millis(1);
/// An abort may overtake the first produce, which is fatal (librdkafka#4849): wait for it this long.
const ABORT_DRAIN: Duration = Duration::from_secs(2);
/// The broker sweeps for dead transactions this often by default, and a little patience.
const SWEEP: Duration = Duration::from_secs(20);
/// Aborts without a commit between them after which the worker gives up.
const ABORTS_MAX: u32 = 20;
/// Chunks written with one commit at most, so that a partition that wakes up does not write its whole state at once.
const CHUNKS_PER_COMMIT_MAX: usize = 16;
/// Working out the size of the state walks through a part of it.
const SIZE_EVERY: Duration = Duration::from_secs(5);
/// Between two attempts at the same call.
const BACKOFF: Duration = Duration::from_millis(100);

impl<L: Log> Worker<L> {
    /// Opens a transaction if none is open, with a producer that is above suspicion.
    pub(super) fn ensure_open(&mut self) -> Result<(), Failure> {
        if self.open.is_some() {
            return Ok(());
        }
        if self.log.disconnects() > self.disconnects_seen {
            self.is_suspect = true;
        }
        let is_transactional = self.settings.guarantee == Guarantee::ExactlyOnce;
        if self.is_suspect && self.settings.is_guarded && is_transactional {
            self.recreate("suspected_resend")?;
        }
        self.pause_after_commit();
        self.fail_point("begin.before");
        while let Err(failure) = self.log.begin() {
            if self.stop.is_requested() {
                return Err(Failure::Stop(format!("stopping: {}", failure.detail())));
            }
            match failure {
                Failure::Retry(_) => self.wait(BACKOFF),
                Failure::Stop(_) | Failure::Rejoin(_) => return Err(failure),
                Failure::Abort(_) | Failure::Recycle(_) => self.recreate("begin_refused")?,
            }
        }
        self.open = Some(Open {
            since: self.log.now(),
            bytes: 0,
        });
        self.fail_point("begin.after");
        Ok(())
    }

    /// Lets the broker finish the last transaction. Better before a poll than after it: what comes meanwhile is read too.
    pub(super) fn pause_after_commit(&mut self) {
        let is_needed = self.open.is_none() && self.settings.guarantee == Guarantee::ExactlyOnce;
        let since_commit = self.log.now().saturating_sub(self.last_commit);
        if is_needed && since_commit < PAUSE_AFTER_COMMIT {
            self.log.wait(PAUSE_AFTER_COMMIT.saturating_sub(since_commit));
        }
    }

    /// Sends what is queued; waits while the producer's queue is full.
    pub(super) fn send_outbox(&mut self) -> Result<(), Failure> {
        if self.outbox.records.is_empty() {
            return Ok(());
        }
        self.fail_point("send.before");
        let records = std::mem::take(&mut self.outbox.records);
        let bytes = std::mem::take(&mut self.outbox.bytes);
        if let Some(open) = &mut self.open {
            open.bytes += bytes;
        }
        let deadline = self.log.now() + self.settings.transaction_timeout;
        for record in &records {
            loop {
                match self.log.send(record) {
                    Ok(()) => break,
                    Err(Failure::Retry(_)) if self.log.now() < deadline => self.wait(Duration::from_millis(1)),
                    Err(Failure::Retry(detail) | Failure::Abort(detail)) => return self.roll_back("send", &detail),
                    Err(Failure::Recycle(detail)) => return self.recycle("send", &detail),
                    Err(end @ (Failure::Stop(_) | Failure::Rejoin(_))) => return Err(end),
                }
            }
        }
        self.fail_point("send.after");
        Ok(())
    }

    /// Commits the open transaction, or opens one for the checkpoints and offsets that are due.
    pub(super) fn commit(&mut self) -> Result<(), Failure> {
        self.ensure_open()?;
        self.pass_over();
        self.commit_began = self.log.now();
        if let Stage::Intake { take, .. } = &mut self.stage {
            self.outbox.flush_intake(take.as_mut());
        }
        self.outbox.flush_links();
        if self.settings.guarantee == Guarantee::AtLeastOnce {
            // A checkpoint that outlives a crash must not be ahead of the outputs, or they would be lost.
            self.send_outbox()?;
            if let Err(detail) = self.drain(self.log.now() + self.settings.transaction_timeout) {
                return self.roll_back("drain", &detail);
            }
        }
        self.queue_checkpoints();
        self.send_outbox()?;
        let next = self.next_offsets();
        // A failed send has rolled back already; without offsets nothing fences the transaction.
        if self.open.is_none() || next.is_empty() {
            return Ok(());
        }
        let partitions: Vec<TopicPartition> = next.iter().map(|(at, _)| at.clone()).collect();
        if !self.log.owns(&partitions) {
            return self.roll_back("not_owned", "a partition of the transaction is no longer ours");
        }
        let began = self.log.now();
        self.fail_point("drain.before");
        if let Err(detail) = self.drain(began + self.settings.transaction_timeout) {
            return self.roll_back("drain", &detail);
        }
        let drained = self.log.now();
        self.fail_point("drain.after");
        if let Some(done) = self.attempt("send_offsets", |log| log.send_offsets(&next))? {
            return done;
        }
        let offsets_sent = self.log.now();
        self.fail_point("send_offsets.after");
        self.fail_point("commit.during");
        if let Some(done) = self.attempt("commit", L::commit)? {
            return done;
        }
        let committed = self.log.now();
        self.fail_point("commit.after");
        let is_slow = drained.saturating_sub(began) > DRAIN_SUSPECT
            || offsets_sent.saturating_sub(drained) > STEP_SUSPECT
            || committed.saturating_sub(offsets_sent) > STEP_SUSPECT;
        self.is_suspect |= is_slow;
        self.metrics
            .transaction(drained.saturating_sub(began), committed.saturating_sub(drained));
        self.finish_committed();
        Ok(())
    }

    /// Runs one step of the commit. `Some` ends the commit with that result.
    fn attempt(
        &mut self,
        step: &'static str,
        mut call: impl FnMut(&mut L) -> Result<(), Failure>,
    ) -> Result<Option<Result<(), Failure>>, Failure> {
        let deadline = self.log.now() + self.settings.transaction_timeout;
        loop {
            match call(&mut self.log) {
                Ok(()) => return Ok(None),
                Err(Failure::Retry(_)) if self.log.now() < deadline => self.wait(BACKOFF),
                Err(Failure::Retry(detail) | Failure::Recycle(detail)) => {
                    return Ok(Some(self.recycle(step, &detail)));
                }
                Err(Failure::Abort(detail)) => return Ok(Some(self.roll_back(step, &detail))),
                Err(end @ (Failure::Stop(_) | Failure::Rejoin(_))) => return Err(end),
            }
        }
    }

    pub(super) fn drain(&mut self, deadline: Duration) -> Result<(), String> {
        loop {
            if let Some(failure) = self.log.delivery_failure() {
                return Err(failure);
            }
            if self.log.in_flight() == 0 {
                return self.log.delivery_failure().map_or(Ok(()), Err);
            }
            if self.log.now() >= deadline {
                return Err(format!("{} records not acknowledged in time", self.log.in_flight()));
            }
            self.log.flush(DRAIN_POLL);
        }
    }

    fn next_offsets(&self) -> Vec<(TopicPartition, i64)> {
        self.tasks
            .iter()
            .filter(|task| task.is_touched)
            .map(|task| (task.at.clone(), task.next))
            .collect()
    }

    /// Writes the chunks that are due and the digest of every partition the transaction moves.
    fn queue_checkpoints(&mut self) {
        let Stage::Fold { role, .. } = self.stage else { return };
        if !self.settings.is_durable {
            return;
        }
        let now = self.log.now();
        let fingerprint = self.settings.topics.fingerprint(&self.settings.hash_key);
        let is_torn_by_crash = self.settings.guarantee == Guarantee::AtLeastOnce;
        for task in &mut self.tasks {
            let due = task.chunks_due(now, self.settings.checkpoint_period);
            if due > 0 {
                task.is_touched = true;
                task.turn(due, now, self.settings.checkpoint_period);
            }
            if !task.is_touched {
                continue;
            }
            let to = TopicPartition {
                topic: self.settings.topics.checkpoints.clone(),
                partition: self.settings.topics.checkpoint_partition(role, task.at.partition),
            };
            for (key, value) in task.checkpoint(role, due, fingerprint, is_torn_by_crash) {
                self.outbox.push(Outgoing {
                    topic: to.topic.clone(),
                    partition: to.partition,
                    key: Some(key),
                    value: Some(value),
                    headers: Vec::new(),
                });
            }
        }
    }

    fn finish_committed(&mut self) {
        for task in &mut self.tasks {
            if std::mem::take(&mut task.is_touched) {
                task.committed = task.next;
                self.metrics.committed_up_to(&task.at, task.append_ms);
            }
        }
        self.open = None;
        self.last_commit = self.log.now();
        self.commit_took = self.last_commit.saturating_sub(self.commit_began);
        self.aborts_in_a_row = 0;
        self.metrics.committed(&self.outbox.tally);
        let is_sized = self.sized.is_some_and(|at| self.last_commit < at + SIZE_EVERY);
        if let (Stage::Fold { role, .. }, false) = (&self.stage, is_sized) {
            let role = *role;
            self.sized = Some(self.last_commit);
            let folds = self.tasks.iter().filter_map(|task| task.folded.as_ref());
            let (entries, bytes) = folds.fold((0, 0), |(entries, bytes), folded| {
                let size = folded.fold.size();
                (entries + size.entries, bytes + size.bytes)
            });
            self.metrics.state(role, entries, bytes);
        }
        self.outbox.clear();
    }

    /// Aborts the transaction and restores its partitions.
    fn roll_back(&mut self, step: &'static str, detail: &str) -> Result<(), Failure> {
        tracing::warn!(worker = self.settings.name, step, detail, "transaction aborted");
        self.abandon(step)?;
        self.aborts_in_a_row += 1;
        if self.aborts_in_a_row > ABORTS_MAX {
            return Err(Failure::Stop(format!(
                "{ABORTS_MAX} transactions were aborted in a row, the last at {step}: {detail}; \
                 see the warnings above and the brokers' logs"
            )));
        }
        self.wait(BACKOFF * self.aborts_in_a_row.min(20));
        Ok(())
    }

    /// Aborts without counting it as trouble: the partitions were taken from us.
    pub(super) fn abandon(&mut self, reason: &'static str) -> Result<(), Failure> {
        if self.open.is_some() {
            self.metrics.aborted(reason);
            let deadline = self.log.now() + ABORT_DRAIN;
            while self.log.in_flight() > 0 && self.log.now() < deadline {
                self.log.flush(DRAIN_POLL);
            }
            let is_drained = self.log.in_flight() == 0;
            let mut aborted = if is_drained {
                self.log.abort()
            } else {
                Err(Failure::Recycle(String::new()))
            };
            while matches!(aborted, Err(Failure::Retry(_))) && self.log.now() < deadline {
                self.wait(BACKOFF);
                aborted = self.log.abort();
            }
            match aborted {
                // What failed before it may have been sent twice, and so may the abort itself: its late twin would end
                // the next transaction. Aborts are rare, a new epoch is cheap.
                Ok(()) => self.is_suspect = true,
                Err(end @ (Failure::Stop(_) | Failure::Rejoin(_))) => return Err(end),
                Err(_) => self.recreate("abort_failed")?,
            }
        }
        self.forget_transaction()
    }

    /// Drops what the transaction did to our state; its partitions are restored.
    fn forget_transaction(&mut self) -> Result<(), Failure> {
        self.open = None;
        self.outbox.clear();
        if let Stage::Intake { take, .. } = &mut self.stage {
            drop(take.flush());
        }
        let now = self.log.now();
        let mut paused = Vec::new();
        for task in self.tasks.iter_mut().filter(|task| task.is_touched) {
            task.is_touched = false;
            task.folded = None;
            task.phase = Phase::Restoring(Box::new(Restore::new(now)));
            paused.push(task.at.clone());
        }
        if paused.is_empty() {
            return Ok(());
        }
        self.log.pause(&paused)
    }

    /// Replaces the producer, then finds out from the group whether the transaction was committed.
    fn recycle(&mut self, step: &'static str, detail: &str) -> Result<(), Failure> {
        tracing::warn!(
            worker = self.settings.name,
            step,
            detail,
            "outcome unknown, asking the group"
        );
        let next = self.next_offsets();
        self.recreate(step)?;
        if !self.settings.is_durable {
            return self.forget_transaction();
        }
        let partitions: Vec<TopicPartition> = next.iter().map(|(at, _)| at.clone()).collect();
        // What hangs is waited for in a restore, where the group is served meanwhile.
        let Some(committed) = self.committed_in_time(&partitions)? else {
            return self.forget_transaction();
        };
        // Where no offset was to move, they tell nothing.
        let was_to_move = self
            .tasks
            .iter()
            .any(|task| task.is_touched && task.next != task.committed);
        let is_committed = was_to_move
            && next
                .iter()
                .zip(&committed)
                .all(|((_, next), committed)| *committed == Some(*next));
        if is_committed {
            self.finish_committed();
            return Ok(());
        }
        self.forget_transaction()
    }

    /// The committed offsets, waiting for transactions that hold them back for as long as one can live; `None` if one hangs.
    fn committed_in_time(&mut self, partitions: &[TopicPartition]) -> Result<Option<Vec<Option<i64>>>, Failure> {
        let since = self.log.now();
        let deadline = since + self.settings.transaction_timeout + SWEEP;
        loop {
            match self.log.committed(partitions) {
                Ok(committed) => return Ok(Some(committed)),
                Err(Failure::Retry(detail)) => {
                    if self.stop.is_requested() {
                        return Err(Failure::Stop(format!("stopping: {detail}")));
                    }
                    if self.log.now() > deadline {
                        self.report_hanging(&super::names(partitions).join(", "), &detail);
                        return Ok(None);
                    }
                    self.stall(BACKOFF, since)?;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// A new producer with the same identity: the old one's requests are refused from here on.
    pub(super) fn recreate(&mut self, reason: &'static str) -> Result<(), Failure> {
        self.metrics.recycled(reason);
        tracing::info!(worker = self.settings.name, reason, "producer recycled");
        let mut pause = BACKOFF;
        let since = self.log.now();
        loop {
            match self.log.recreate_producer() {
                Ok(()) => break,
                Err(end @ (Failure::Stop(_) | Failure::Rejoin(_))) => return Err(end),
                Err(failure) if self.stop.is_requested() => return Err(Failure::Stop(failure.detail().to_owned())),
                Err(failure) => {
                    // How long it lasts is told by the stall.
                    let (worker, detail) = (&self.settings.name, failure.detail());
                    if self.is_stalled {
                        tracing::debug!(worker, detail, "no producer yet");
                    } else {
                        tracing::warn!(worker, detail, "no producer yet");
                    }
                    self.stall(pause, since)?;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
            }
        }
        self.is_suspect = false;
        self.disconnects_seen = self.log.disconnects();
        Ok(())
    }
}

impl Task {
    /// Chunks that should be written with a commit at `now`, so that all are written once in `period`.
    pub(super) fn chunks_due(&self, now: Duration, period: Duration) -> usize {
        let Some(folded) = &self.folded else { return 0 };
        if !self.is_live() {
            return 0;
        }
        let stale = folded.written.iter().filter(|offset| **offset < self.next).count();
        let elapsed = now.saturating_sub(folded.turned).as_secs_f64() / period.as_secs_f64().max(0.001);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small count, rounded down"
        )]
        let due = (elapsed * f64::from(folded.fold.chunk_count())) as usize;
        due.min(stale).min(CHUNKS_PER_COMMIT_MAX)
    }

    /// Moves the rotation's clock on by what `due` chunks take, but never leaves it far behind.
    fn turn(&mut self, due: usize, now: Duration, period: Duration) {
        let Some(folded) = &mut self.folded else { return };
        let step = period / u32::from(folded.fold.chunk_count().max(1));
        let due = u32::try_from(due).unwrap_or(u32::MAX);
        folded.turned = (folded.turned + step * due).max(now.saturating_sub(step));
    }

    /// The chunks that are due and the digest. `is_torn_by_crash` says that they are written without a transaction.
    fn checkpoint(
        &mut self,
        role: Role,
        due: usize,
        fingerprint: u64,
        is_torn_by_crash: bool,
    ) -> Vec<(Vec<u8>, Vec<u8>)> {
        let Some(folded) = &mut self.folded else {
            return Vec::new();
        };
        let chunks = folded.fold.chunk_count();
        let (stage, partition) = (role.as_str(), self.at.partition);
        let mut records = Vec::new();
        let mut left = due;
        for _ in 0..chunks {
            if left == 0 {
                break;
            }
            let chunk = folded.hand;
            folded.hand = (folded.hand + 1) % chunks;
            let Some(written) = folded.written.get_mut(usize::from(chunk)) else {
                continue;
            };
            if *written >= self.next {
                continue;
            }
            *written = self.next;
            left -= 1;
            let mut body = Vec::new();
            folded.fold.write_chunk(chunk, &mut body);
            let parts = ChunkPart::encode_all(self.next, self.append_ms, chunks, &body);
            // Parts that count one by one must not take the place of the last whole chunk.
            let is_second = is_torn_by_crash && parts.len() > 1 && !folded.seconds.contains(&chunk);
            if is_second {
                folded.seconds.insert(chunk);
            } else {
                folded.seconds.remove(&chunk);
            }
            let first = if is_second { SECOND } else { 0 };
            for (part, value) in (first..).zip(parts) {
                records.push((CheckpointKey::Chunk { chunk, part }.encode(stage, partition), value));
            }
        }
        let digest = DigestRecord {
            offset: self.next,
            append_ms: self.append_ms,
            origin: folded.origin,
            digest: folded.fold.digest(),
            fingerprint,
        };
        records.push((CheckpointKey::Digest.encode(stage, partition), digest.encode()));
        records
    }
}
