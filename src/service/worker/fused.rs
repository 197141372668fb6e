//! Intake and accounts in one hop, for a source that is partitioned by account already.
//!
//! It saves writing and reading `observations`. The price: the log of the state is the source itself, so a restore
//! decodes and enriches again, with the reference data of that time. Alerts are still published once; what the windows
//! remember of places may differ from before if a database was replaced in between.

use arrayvec::ArrayVec;

use crate::intake::Format;
use crate::pipeline::intake::{PackedRecord, RawRecord};
use crate::pipeline::{Apart, CodecError, Fault, Fold, Outputs, Position, StateSize};
use crate::service::log::TOGETHER;

use super::stage::Take;

/// Observations that are folded together: enough for their windows to come from memory side by side, and for what a packed
/// record says once.
const HELD_MIN: usize = 1_024;

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
    /// Where the records stand whose observations are held back, in order.
    held: Vec<Position>,
    /// Where the observations of a packed record stand.
    apart: Vec<Position>,
}

impl Fused {
    /// Intake for one partition and the fold of what it packs.
    #[must_use]
    pub fn new(
        mut take: Box<dyn Take>,
        fold: Box<dyn Fold + Send>,
        format: Format,
        topic: &str,
        partition: i32,
    ) -> Self {
        take.keep_offsets();
        Self {
            take,
            fold,
            format,
            topic: topic.to_owned(),
            partition,
            held: Vec::new(),
            apart: Vec::new(),
        }
    }

    fn decode(&mut self, records: &[(Position, &[u8])]) {
        for records in records.chunks(TOGETHER) {
            let raw = records.iter().map(|(position, record)| RawRecord {
                topic: &self.topic,
                partition: self.partition,
                offset: position.offset,
                append_ms: position.append_ms,
                // A tombstone comes here as nothing.
                value: Some(*record).filter(|record| !record.is_empty()),
            });
            let raw: ArrayVec<RawRecord<'_>, TOGETHER> = raw.collect();
            self.take.records(self.format, &raw);
        }
        self.held.extend(records.iter().map(|(position, _)| *position));
    }

    /// Gives each packed record to `fold`, with where its observations stand; nothing is held back any more.
    fn each_packed(
        &mut self,
        packed: Vec<PackedRecord>,
        mut fold: impl FnMut(&mut dyn Fold, Apart<'_>, &[u8]) -> Result<(), CodecError>,
    ) -> Result<(), CodecError> {
        // What is packed here is our own: to lose it is a defect, not a dead letter.
        let defect = |error| CodecError {
            fault: Fault::Defect,
            ..error
        };
        let mut records = self.held.drain(..);
        let mut at = records.next();
        // How many observations of the latest record there were.
        let mut count = 0;
        for packed in packed {
            self.apart.clear();
            let mut earlier = None;
            for offset in packed.beside {
                while at.is_some_and(|position| position.offset < offset) {
                    at = records.next();
                    count = 0;
                }
                let Some(position) = at.filter(|position| position.offset == offset) else {
                    let detail = format!("an observation of a record at {offset} that is not held");
                    return Err(defect(CodecError::new("observations held back", 0, detail)));
                };
                earlier.get_or_insert(count);
                self.apart.push(position);
                count += 1;
            }
            let apart = Apart {
                positions: &self.apart,
                earlier: earlier.unwrap_or(0),
            };
            fold(self.fold.as_mut(), apart, &packed.value).map_err(defect)?;
        }
        Ok(())
    }
}

impl Fold for Fused {
    fn fold(&mut self, position: Position, record: &[u8], outputs: &mut Outputs) -> Result<(), CodecError> {
        let folded = self.fold_each(&[(position, record)], outputs, &mut |_, _| {});
        folded.map_err(|(_, error)| error)
    }
    fn fold_each(
        &mut self,
        records: &[(Position, &[u8])],
        outputs: &mut Outputs,
        _refused: &mut dyn FnMut(usize, CodecError),
    ) -> Result<(), (usize, CodecError)> {
        self.decode(records);
        outputs.dead_letters.extend(self.take.take_dead_letters());
        if self.take.held() >= HELD_MIN {
            return self.settle(outputs).map_err(|error| (0, error));
        }
        Ok(())
    }
    fn settle(&mut self, outputs: &mut Outputs) -> Result<(), CodecError> {
        let decoded = self.take.flush();
        outputs.counts.merge(&decoded.counts);
        self.each_packed(decoded.observations, |fold, apart, record| {
            fold.fold_apart(apart, record, outputs)
        })
    }
    fn refold(&mut self, position: Position, record: &[u8], resume: &[i64]) -> Result<(), CodecError> {
        let folded = self.refold_each(&[(position, record)], resume, &mut |_, _| {});
        folded.map_err(|(_, error)| error)
    }
    fn refold_each(
        &mut self,
        records: &[(Position, &[u8])],
        resume: &[i64],
        _refused: &mut dyn FnMut(usize, CodecError),
    ) -> Result<(), (usize, CodecError)> {
        self.decode(records);
        // What was refused was said so the first time.
        drop(self.take.take_dead_letters());
        let decoded = self.take.flush();
        let refolded = self.each_packed(decoded.observations, |fold, apart, record| {
            fold.refold_apart(apart, record, resume)
        });
        refolded.map_err(|error| (0, error))
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
