//! Intake and accounts in one hop, for a source that is partitioned by account already.
//!
//! It saves writing and reading `observations`. The price: the log of the state is the source itself, so a restore
//! decodes and enriches again, with the reference data of that time. Alerts are still published once; what the windows
//! remember of places may differ from before if a database was replaced in between.

use crate::intake::Format;
use crate::pipeline::intake::{IntakeOutputs, RawRecord};
use crate::pipeline::{CodecError, Fold, Outputs, Position, StateSize};

use super::stage::Take;

/// See the module.
pub struct Fused {
    /// Decodes and enriches.
    pub take: Box<dyn Take>,
    /// Folds what came of it.
    pub fold: Box<dyn Fold + Send>,
    /// Format of the source.
    pub format: Format,
    /// The source.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
}

impl Fused {
    fn decode(&mut self, position: Position, record: &[u8]) -> IntakeOutputs {
        self.take.record(
            self.format,
            RawRecord {
                topic: &self.topic,
                partition: self.partition,
                offset: position.offset,
                append_ms: position.append_ms,
                // A tombstone comes here as nothing.
                value: Some(record).filter(|record| !record.is_empty()),
            },
        );
        let mut letters = self.take.take_dead_letters();
        let mut outputs = self.take.flush();
        letters.append(&mut outputs.dead_letters);
        outputs.dead_letters = letters;
        outputs
    }
}

impl Fold for Fused {
    fn fold(&mut self, position: Position, record: &[u8], outputs: &mut Outputs) -> Result<(), CodecError> {
        let decoded = self.decode(position, record);
        outputs.counts.merge(&decoded.counts);
        outputs.dead_letters.extend(decoded.dead_letters);
        for packed in decoded.observations {
            self.fold.fold(position, &packed.value, outputs)?;
        }
        Ok(())
    }
    fn refold(&mut self, position: Position, record: &[u8], resume: &[i64]) -> Result<(), CodecError> {
        for packed in self.decode(position, record).observations {
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
