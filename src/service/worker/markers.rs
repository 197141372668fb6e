//! Passing over what follows the last record of a partition and counts for nothing: markers of transactions, and what was
//! aborted.
//!
//! An offset that stays before a marker is out of reach once retention has deleted both, and a restart ends there. Who
//! reads over connections of our own knows how far it came. librdkafka does not tell: behind the last record of a partition
//! that has been quiet for a checkpoint period, the stage's second reader looks.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::service::log::{Failure, Isolation, Log, TopicPartition};

use super::Worker;
use super::stage::Stage;

/// Longest a look behind the last record may take.
const LOOK: Duration = Duration::from_secs(2);
/// Wait for what stands there.
const READ_WAIT: Duration = Duration::from_millis(50);

impl<L: Log> Worker<L> {
    /// Moves every partition as far as it was read. To be called with each commit.
    pub(super) fn pass_over(&mut self) {
        // Behind a record that ends the worker nothing is passed over.
        if self.ending.is_some() {
            return;
        }
        for task in self.tasks.iter_mut().filter(|task| task.is_live()) {
            if let Some(passed) = self.log.passed(&task.at).filter(|passed| *passed > task.next) {
                task.next = passed;
                task.is_touched = true;
            }
        }
    }

    /// Does so where nothing is committed anyway, once in a checkpoint period.
    pub(super) fn pass_over_when_quiet(&mut self) -> Result<(), Failure> {
        let now = self.log.now();
        if self.open.is_some() || self.is_stalled || now < self.passed_over + self.settings.checkpoint_period {
            return Ok(());
        }
        self.passed_over = now;
        self.pass_over();
        // The second reader belongs to restores while there are any, and intake has none.
        let has_reader = matches!(self.stage, Stage::Fold { .. }) && self.settings.is_durable;
        if !has_reader || self.ending.is_some() || self.tasks.iter().any(super::Task::is_restoring) {
            return Ok(());
        }
        for index in 0..self.tasks.len() {
            let task = &mut self.tasks[index];
            let next = task.next;
            let is_quiet = std::mem::replace(&mut task.looked_behind, next) == next;
            if !task.is_live() || !is_quiet || self.log.passed(&task.at).is_some() {
                continue;
            }
            let at = task.at.clone();
            match self.look_behind(&at, next) {
                Ok(Some(end)) => {
                    let task = &mut self.tasks[index];
                    (task.next, task.is_touched) = (end, true);
                }
                // Another time.
                Ok(None) | Err(Failure::Retry(_)) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// The end of a partition, if there is no record from `next` on before it.
    fn look_behind(&mut self, at: &TopicPartition, next: i64) -> Result<Option<i64>, Failure> {
        let (_, end) = self.log.bounds(at, Isolation::Committed)?;
        if end <= next {
            return Ok(None);
        }
        let begun = self.log.read_from(at, next);
        let found = begun.and_then(|()| self.read_until(at, end));
        self.log.read_end(at);
        Ok(found?.filter(|has_record| !has_record).map(|_| end))
    }

    /// Whether a record stands before `end`; `None` if that did not show in time.
    fn read_until(&mut self, at: &TopicPartition, end: i64) -> Result<Option<bool>, Failure> {
        let deadline = self.log.now() + LOOK;
        let (mut has_record, mut is_over) = (false, false);
        while self.log.now() < deadline {
            let ended = self.log.read(READ_WAIT, 1, &mut |records| {
                let ours = records.iter().filter(|record| *record.topic == *at.topic);
                for record in ours {
                    has_record |= record.offset < end;
                    is_over |= record.offset >= end;
                }
                ControlFlow::Break(())
            })?;
            if has_record || is_over || ended.contains(at) {
                return Ok(Some(has_record));
            }
        }
        Ok(None)
    }
}
