//! A replay that reads on while it works.
//!
//! ```text
//! reading   │ batch 1 │ batch 2        │ batch 3        │
//! working             │ batch 1        │ batch 2        │ batch 3        │
//! ```
//! Batches follow each other as they do without it, so what comes out is the same, one batch later. With one job there is
//! one thread.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::replay::{Batch, Replay, ReplayOutputs};
use crate::intake::Format;

/// See the module.
pub struct ReplayAhead {
    waiting: Batch,
    work: Work,
}

enum Work {
    Here(Replay),
    Beside(Beside),
}

/// A thread that runs a batch at a time, and gives it back to be filled again.
struct Beside {
    batches: SyncSender<Batch>,
    done: Receiver<(ReplayOutputs, Batch)>,
    /// `None` once it was found to have ended.
    thread: Option<JoinHandle<()>>,
    is_busy: bool,
}

impl ReplayAhead {
    /// Reads ahead of a replay, if it has several jobs.
    #[must_use]
    pub fn new(replay: Replay) -> Self {
        let work = if replay.jobs() > 1 {
            Work::Beside(Beside::start(replay))
        } else {
            Work::Here(replay)
        };
        Self {
            waiting: Batch::default(),
            work,
        }
    }

    /// Takes one record, as [`Batch::push`]. True when [`ReplayAhead::run`] is due.
    pub fn push(&mut self, format: Format, file: &str, number: i64, record: &[u8]) -> bool {
        self.waiting.push(format, file, number, record)
    }

    /// Runs what was taken, or lets it run and gives what the batch before led to. After the last record it is to be
    /// called until it gives `None`.
    pub fn run(&mut self) -> Option<ReplayOutputs> {
        match &mut self.work {
            Work::Here(_) if self.waiting.is_empty() => None,
            Work::Here(replay) => {
                let outputs = replay.run(&self.waiting);
                self.waiting.clear();
                Some(outputs)
            }
            Work::Beside(beside) => beside.exchange(&mut self.waiting),
        }
    }
}

impl Beside {
    fn start(mut replay: Replay) -> Self {
        let (batches, to_run) = sync_channel::<Batch>(1);
        let (ran, done) = sync_channel(1);
        let thread = std::thread::spawn(move || {
            for mut batch in to_run {
                let outputs = replay.run(&batch);
                batch.clear();
                if ran.send((outputs, batch)).is_err() {
                    return;
                }
            }
        });
        Self {
            batches,
            done,
            thread: Some(thread),
            is_busy: false,
        }
    }

    /// Waits for the batch before, gives the one that was filled, and says what the former led to; nothing at the first.
    fn exchange(&mut self, waiting: &mut Batch) -> Option<ReplayOutputs> {
        let before = if self.is_busy { self.receive() } else { None };
        let (outputs, empty) = before.unzip();
        if waiting.is_empty() {
            self.is_busy = false;
            return outputs;
        }
        let filled = std::mem::replace(waiting, empty.unwrap_or_default());
        self.is_busy = self.batches.send(filled).is_ok();
        outputs.or_else(|| Some(ReplayOutputs::default()))
    }

    /// What the thread made of its batch. It ends before only if it panics, and then so does this.
    fn receive(&mut self) -> Option<(ReplayOutputs, Batch)> {
        let received = self.done.recv().ok();
        if received.is_none()
            && let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
        {
            std::panic::resume_unwind(panic);
        }
        received
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::key::HashKey;

    fn sign_in(number: i64) -> String {
        let time_ms = 1_772_409_600_000 + number * 60_000;
        // Every third from far away, and one record that is none.
        let ip = if number % 3 == 0 { "240.1.0.7" } else { "245.1.0.7" };
        match number {
            7 => "{".to_owned(),
            _ => format!(
                r#"{{"class_uid":3002,"activity_id":1,"status_id":1,"time":{time_ms},"user":{{"name":"ann-{}"}},"src_endpoint":{{"ip":"{ip}"}}}}"#,
                number % 5
            ),
        }
    }

    /// What comes out, in order, where a batch is run after every `together` records.
    #[derive(Debug, Default, PartialEq)]
    struct Told {
        /// What each batch counted.
        counts: Vec<String>,
        refused: Vec<i64>,
        span: Option<(i64, i64)>,
    }

    fn told(jobs: usize, together: i64) -> Told {
        let replay = Replay::new(&Arc::default(), HashKey([7; 16]), Arc::default(), jobs);
        let mut ahead = ReplayAhead::new(replay);
        let mut told = Told::default();
        let mut take = |outputs: ReplayOutputs| {
            told.refused
                .extend(outputs.dead_letters.iter().map(|letter| letter.offset));
            // The first exchange has nothing to tell yet.
            if outputs.counts.iter().next().is_some() {
                told.counts.push(format!("{:?}", outputs.counts));
            }
            told.span = outputs.span.times_ms.or(told.span);
        };
        for number in 1..=20 {
            ahead.push(Format::Auto, "events", number, sign_in(number).as_bytes());
            if number % together == 0 {
                ahead.run().into_iter().for_each(&mut take);
            }
        }
        std::iter::from_fn(|| ahead.run()).for_each(take);
        assert!(ahead.run().is_none());
        told
    }

    #[test]
    fn reading_ahead_changes_nothing() {
        for together in [1, 6, 20, 100] {
            let alone = told(1, together);
            assert_eq!(alone.refused, [7]);
            assert_eq!(alone.span, Some((1_772_409_660_000, 1_772_410_800_000)));
            assert_eq!(told(2, together), alone, "{together} together");
        }
    }
}
