//! Workers with one rule of the protocol left out. A simulator that does not notice proves nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use falsefront::pipeline::{CodecError, Fold, Outputs, Position, StateSize};
use falsefront::service::supervisor::Stages;
use falsefront::service::worker::stage::FoldFactory;

use super::town::{Faults, HASH_KEY, Kinds};
use crate::support::counting;

/// Which rule is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutant {
    /// None.
    Sound,
    /// A producer under suspicion goes on (KAFKA-17754).
    NoGuard,
    /// A restore does not wait for open transactions (KAFKA-10167).
    StableOffsetForHighWatermark,
    /// What a replay causes is published once more.
    PublishInReplay,
    /// A chunk claims to stand one record before it does.
    ChunkOffsetOffByOne,
    /// Neither the worker nor the group asks whose the partitions are.
    OwnershipUnchecked,
    /// Offsets are left out of the transaction.
    NoOffsets,
    /// The state that an aborted transaction has changed stays.
    KeepStateAfterAbort,
    /// A lost answer to a commit is taken for a yes.
    UnknownOutcomeTakenForCommitted,
    /// Offsets stay behind the last record, on the marker that retention deletes.
    MarkersNotPassed,
}

impl Mutant {
    pub(super) const ALL: [Self; 9] = [
        Self::StableOffsetForHighWatermark,
        Self::NoGuard,
        Self::PublishInReplay,
        Self::ChunkOffsetOffByOne,
        Self::OwnershipUnchecked,
        Self::NoOffsets,
        Self::KeepStateAfterAbort,
        Self::UnknownOutcomeTakenForCommitted,
        Self::MarkersNotPassed,
    ];

    /// Faults among which the rule matters.
    pub(super) fn faults(self) -> Kinds {
        let mut faults = Faults {
            crash: 2,
            freeze: 2,
            resend: 20,
            lost_answer: 10,
            retry: 5,
            undelivered: 1,
            slow_markers: 20,
            late_checkpoints: false,
            leave: 1,
            unmarked: 0,
        };
        match self {
            Self::Sound => return Kinds::Any,
            Self::NoGuard => (faults.resend, faults.freeze) = (80, 0),
            // Old chunks and a longer replay give the same state; only the first checkpoint must not be missed.
            Self::StableOffsetForHighWatermark => {
                faults = Faults {
                    crash: 10,
                    late_checkpoints: true,
                    ..Faults::default()
                };
            }
            Self::OwnershipUnchecked => faults.freeze = 8,
            Self::UnknownOutcomeTakenForCommitted => faults.lost_answer = 80,
            Self::KeepStateAfterAbort => faults.undelivered = 8,
            Self::PublishInReplay | Self::ChunkOffsetOffByOne | Self::NoOffsets | Self::MarkersNotPassed => {}
        }
        Kinds::Of(faults)
    }

    /// Whether the violation can be this mutant's doing: slow markers alone make a run long.
    pub(super) fn explains(self, violation: &str) -> bool {
        self != Self::StableOffsetForHighWatermark || violation.contains("kind=\"refused\"")
    }

    /// The stages of one worker.
    pub(super) fn stages(self, sound: &Stages) -> Stages {
        match self {
            Self::PublishInReplay => counting::Flaws::PublishInReplay.stages(HASH_KEY),
            Self::KeepStateAfterAbort => Stages {
                intake: sound.intake.clone(),
                accounts: keeping(&sound.accounts),
                entities: keeping(&sound.entities),
            },
            _ => sound.clone(),
        }
    }
}

type SharedFold = Arc<Mutex<Box<dyn Fold + Send>>>;

/// Hands out the same fold again and again, which then refuses to be restored.
fn keeping(sound: &FoldFactory) -> FoldFactory {
    let kept: Mutex<BTreeMap<i32, SharedFold>> = Mutex::default();
    let sound = sound.clone();
    Arc::new(move |partition| {
        let mut kept = kept.lock().unwrap();
        let is_kept = kept.contains_key(&partition);
        let fold = kept
            .entry(partition)
            .or_insert_with(|| Arc::new(Mutex::new(sound(partition))))
            .clone();
        Box::new(Kept { fold, is_kept })
    })
}

struct Kept {
    fold: SharedFold,
    is_kept: bool,
}

impl Fold for Kept {
    fn fold(&mut self, position: Position, record: &[u8], outputs: &mut Outputs) -> Result<(), CodecError> {
        self.fold.lock().unwrap().fold(position, record, outputs)
    }
    fn refold(&mut self, position: Position, record: &[u8], resume: &[i64]) -> Result<(), CodecError> {
        if self.is_kept {
            return Ok(());
        }
        self.fold.lock().unwrap().refold(position, record, resume)
    }
    fn chunk_count(&self) -> u16 {
        self.fold.lock().unwrap().chunk_count()
    }
    fn write_chunk(&self, chunk: u16, bytes: &mut Vec<u8>) {
        self.fold.lock().unwrap().write_chunk(chunk, bytes);
    }
    fn read_chunk(&mut self, chunk: u16, bytes: &[u8]) -> Result<(), CodecError> {
        if self.is_kept {
            return Ok(());
        }
        self.fold.lock().unwrap().read_chunk(chunk, bytes)
    }
    fn digest(&self) -> u128 {
        self.fold.lock().unwrap().digest()
    }
    fn size(&self) -> StateSize {
        self.fold.lock().unwrap().size()
    }
}
