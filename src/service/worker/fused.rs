//! Intake and accounts in one hop, for a source that is partitioned by account already.
//!
//! It saves writing and reading `observations`. The price: the log of the state is the source itself, so a restore
//! decodes and enriches again, with the reference data of that time. Alerts are still published once; what the windows
//! remember of places may differ from before if a database was replaced in between.

use crate::intake::Format;
use crate::pipeline::intake::RawRecord;
use crate::pipeline::{CodecError, Fold, Outputs, Position, StateSize};

use super::stage::Take;

/// Observations folded together at most: enough for their windows to come from memory side by side.
const TOGETHER: usize = 256;

/// See the module.
pub struct Fused {
    /// Decodes and enriches.
    take: Box<dyn Take>,
    /// Folds what came of it.
    fold: Box<dyn Fold + Send>,
    /// Format of the source.
    format: Format,
    /// The source.
    topic: String,
    /// Its partition.
    partition: i32,
    /// Where each observation stands that is held back.
    held: Vec<Position>,
}

impl Fused {
    /// Intake for one partition and the fold of what it packs.
    #[must_use]
    pub fn new(take: Box<dyn Take>, fold: Box<dyn Fold + Send>, format: Format, topic: &str, partition: i32) -> Self {
        Self {
            take,
            fold,
            format,
            topic: topic.to_owned(),
            partition,
            held: Vec::new(),
        }
    }

    fn decode(&mut self, position: Position, record: &[u8]) {
        let record = RawRecord {
            topic: &self.topic,
            partition: self.partition,
            offset: position.offset,
            append_ms: position.append_ms,
            // A tombstone comes here as nothing.
            value: Some(record).filter(|record| !record.is_empty()),
        };
        self.take.records(self.format, &[record]);
    }
}

impl Fold for Fused {
    fn fold(&mut self, position: Position, record: &[u8], outputs: &mut Outputs) -> Result<(), CodecError> {
        self.decode(position, record);
        outputs.dead_letters.extend(self.take.take_dead_letters());
        self.held.resize(self.take.held(), position);
        if self.held.len() < TOGETHER {
            return Ok(());
        }
        self.settle(outputs)
    }
    fn settle(&mut self, outputs: &mut Outputs) -> Result<(), CodecError> {
        let decoded = self.take.flush();
        outputs.counts.merge(&decoded.counts);
        let held = std::mem::take(&mut self.held);
        let mut rest = held.as_slice();
        for packed in decoded.observations {
            let count = usize::try_from(packed.count).unwrap_or(usize::MAX);
            let (positions, behind) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            rest = behind;
            self.fold.fold_apart(positions, &packed.value, outputs)?;
        }
        self.held = held;
        self.held.clear();
        Ok(())
    }
    fn refold(&mut self, position: Position, record: &[u8], resume: &[i64]) -> Result<(), CodecError> {
        self.decode(position, record);
        // What was refused was said so the first time.
        drop(self.take.take_dead_letters());
        for packed in self.take.flush().observations {
            self.fold.refold(position, &packed.value, resume)?;
        }
        Ok(())
    }
    fn chunk_count(&self) -> u16 {
        self.fold.chunk_count()
    }
    fn write_chunk(&self, chunk: u16, bytes: &mut Vec<u8>) {
        self.fold.write_chunk(chunk, bytes);
    }
    fn read_chunk(&mut self, chunk: u16, bytes: &[u8]) -> Result<(), CodecError> {
        self.fold.read_chunk(chunk, bytes)
    }
    fn digest(&self) -> u128 {
        self.fold.digest()
    }
    fn size(&self) -> StateSize {
        self.fold.size()
    }
}
