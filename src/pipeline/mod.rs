//! The story of a record as one type per stage, used by the service, the demo and replay alike.
//!
//! | stage | reads | writes |
//! |---|---|---|
//! | [`intake::Intake`] | a source's record | packed observations by partition, dead letters |
//! | [`accounts::Accounts`] | packed observations | alerts, links |
//! | [`entities::Entities`] | links | alerts |
//!
//! The two folds own their partition's state and nothing else: what comes out depends only on the records
//! that went in, in their order, with the append time the log gave them.

pub mod accounts;
pub mod entities;
pub mod intake;
pub mod packed;
mod packed_texts;
pub mod unpacked;
pub mod settings;
pub mod links;
pub mod publish;
pub mod table;
pub mod state;
pub mod replay;
pub mod replay_ahead;

use crate::model::{Key, Severity};

/// Where a record stands in its partition. Order is offset order; the append time never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Offset in the partition.
    pub offset: i64,
    /// The log's append time, ms since the epoch. The only clock that expires state.
    pub append_ms: i64,
}

/// A fold over one partition, with its state cut into chunks by key.
///
/// A chunk is restored from [`Fold::write_chunk`]'s bytes and the records from its own offset on, so the
/// state of one chunk may never influence another's.
pub trait Fold {
    /// Folds one record and appends what it caused to `outputs`.
    ///
    /// # Errors
    /// [`CodecError`] if the record was not written by the stage before. What stands in it ahead of the fault may have been
    /// folded; then it is with every folding.
    fn fold(&mut self, position: Position, record: &[u8], outputs: &mut Outputs) -> Result<(), CodecError>;

    /// Folds records one after the other, each as [`Fold::fold`] does; `refused` is told which was not written by the stage
    /// before. Many at a time may cost less.
    ///
    /// # Errors
    /// The first error that is not [`Fault::Foreign`], and the index of its record: those before are folded, it and those
    /// behind are not.
    fn fold_each(
        &mut self,
        records: &[(Position, &[u8])],
        outputs: &mut Outputs,
        refused: &mut dyn FnMut(usize, CodecError),
    ) -> Result<(), (usize, CodecError)> {
        each(records, refused, |position, record| {
            self.fold(position, record, outputs)
        })
    }

    /// Folds a record whose observations stand at positions of their own, in their order: what one record each would do.
    ///
    /// # Errors
    /// As [`Fold::fold`].
    fn fold_apart(&mut self, _apart: Apart<'_>, _record: &[u8], _outputs: &mut Outputs) -> Result<(), CodecError> {
        Err(whole_records_only())
    }

    /// Folds what was held back to be folded together. The caller asks for it after every few records, and before it
    /// looks at the state.
    ///
    /// # Errors
    /// As [`Fold::fold`].
    fn settle(&mut self, _outputs: &mut Outputs) -> Result<(), CodecError> {
        Ok(())
    }

    /// Folds one record again after a restore: only the chunks `c` with `resume[c] <= position.offset` take part,
    /// and nothing is published.
    ///
    /// # Errors
    /// As [`Fold::fold`].
    fn refold(&mut self, position: Position, record: &[u8], resume: &[i64]) -> Result<(), CodecError>;

    /// Folds records again one after the other, each as [`Fold::refold`] does; `refused` is told which was not written by the
    /// stage before. Many at a time may cost less.
    ///
    /// # Errors
    /// As [`Fold::fold_each`].
    fn refold_each(
        &mut self,
        records: &[(Position, &[u8])],
        resume: &[i64],
        refused: &mut dyn FnMut(usize, CodecError),
    ) -> Result<(), (usize, CodecError)> {
        each(records, refused, |position, record| {
            self.refold(position, record, resume)
        })
    }

    /// Folds a record again whose observations stand at positions of their own, as [`Fold::fold_apart`] did.
    ///
    /// # Errors
    /// As [`Fold::fold`].
    fn refold_apart(&mut self, _apart: Apart<'_>, _record: &[u8], _resume: &[i64]) -> Result<(), CodecError> {
        Err(whole_records_only())
    }

    /// How many chunks the state is cut into.
    fn chunk_count(&self) -> u16;

    /// Appends the state of `chunk` to `bytes`, in an order that depends on the keys alone.
    fn write_chunk(&self, chunk: u16, bytes: &mut Vec<u8>);

    /// Replaces the state of `chunk` by what [`Fold::write_chunk`] wrote.
    ///
    /// # Errors
    /// [`CodecError`] if the bytes are not such a chunk; the chunk is empty then.
    fn read_chunk(&mut self, chunk: u16, bytes: &[u8]) -> Result<(), CodecError>;

    /// Digest of the whole state: equal for equal states, whatever the order of arrival in memory.
    fn digest(&self) -> u128;

    /// How much is kept.
    fn size(&self) -> StateSize;
}

/// Where the observations of a packed record stand, each with its source's record.
#[derive(Clone, Copy, Debug)]
pub struct Apart<'a> {
    /// Position of each.
    pub positions: &'a [Position],
    /// How many of the first one's source's record stand in packed records before: the digest tells them apart.
    pub earlier: u32,
}

/// Folds records one after the other, up to the first fault that is our own or another release's.
fn each(
    records: &[(Position, &[u8])],
    refused: &mut dyn FnMut(usize, CodecError),
    mut fold: impl FnMut(Position, &[u8]) -> Result<(), CodecError>,
) -> Result<(), (usize, CodecError)> {
    for (index, (position, record)) in records.iter().enumerate() {
        match fold(*position, record) {
            Err(error) if error.fault == Fault::Foreign => refused(index, error),
            Err(error) => return Err((index, error)),
            Ok(()) => {}
        }
    }
    Ok(())
}

fn whole_records_only() -> CodecError {
    CodecError::new("record", 0, "this stage folds whole records only".to_owned())
}

/// How much a fold keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateSize {
    /// Keys.
    pub entries: u64,
    /// Bytes, estimated.
    pub bytes: u64,
}

/// What folding caused. The caller performs it: publishes, sends, counts.
#[derive(Debug, Default)]
pub struct Outputs {
    /// Findings to publish, in order.
    pub alerts: Vec<Published>,
    /// Ties to send to the entities stage.
    pub links: Links,
    /// Records refused where decoding and folding are one step.
    pub dead_letters: Vec<intake::DeadLetter>,
    /// What happened, for the metrics: name and reason from a fixed set, never an account or address.
    pub counts: Counts,
}

/// A finding, encoded and ready to publish.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// Message key: the account (or the first of them), so one person's findings stay in order.
    pub key: String,
    /// OCSF 2004 as JSON.
    pub value: Vec<u8>,
    /// CloudEvents and routing headers.
    pub headers: Vec<(&'static str, String)>,
    /// Detection, for metrics and screens.
    pub detection: &'static str,
    /// Severity, for metrics and screens.
    pub severity: Severity,
    /// False for a signal.
    pub is_alert: bool,
    /// True for the first record of an alert, false for an update of it.
    pub is_first: bool,
    /// Identity of the alert, a UUID.
    pub uid: String,
    /// One line for a person.
    pub message: String,
    /// Accounts concerned.
    pub accounts: Vec<String>,
    /// Latest event time in evidence, ms.
    pub time_ms: i64,
}

/// Links one behind the other in one piece of memory, so that a warm fold takes none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    bytes: Vec<u8>,
    /// Key and end in `bytes` of each.
    ends: Vec<(Key, usize)>,
}

impl Links {
    /// Appends a link as bytes, under the key that decides its partition.
    pub fn push(&mut self, key: Key, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.ends.push((key, self.bytes.len()));
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |(key, end)| {
            let value = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            (*key, value)
        })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Forgets all, and keeps their room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

/// Name and reason of a counter.
type Labels = (&'static str, &'static str);

/// Counters by name and reason, in order of name.
///
/// A dozen are in use, and each is asked for by the same literals again and again: comparing addresses finds it
/// without reading a name. Literals that are merged or not by the linker only cost a binary search.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counts(Vec<(Labels, u64)>);

impl Counts {
    /// Adds one.
    pub fn add(&mut self, name: &'static str, reason: &'static str) {
        self.add_many(name, reason, 1);
    }

    /// Adds several.
    pub fn add_many(&mut self, name: &'static str, reason: &'static str, count: u64) {
        if count == 0 {
            return;
        }
        let is_same = |a: &'static str, b: &'static str| std::ptr::eq(a, b);
        let known = self
            .0
            .iter()
            .position(|((n, r), _)| is_same(n, name) && is_same(r, reason));
        let index = known.unwrap_or_else(|| self.index_of((name, reason)));
        self.0[index].1 += count;
    }

    fn index_of(&mut self, labels: Labels) -> usize {
        self.0
            .binary_search_by_key(&labels, |(known, _)| *known)
            .unwrap_or_else(|index| {
                self.0.insert(index, (labels, 0));
                index
            })
    }

    /// All counts: (name, reason), value.
    pub fn iter(&self) -> impl Iterator<Item = ((&'static str, &'static str), u64)> {
        self.0.iter().map(|(labels, count)| (*labels, *count))
    }

    /// One count.
    #[must_use]
    pub fn of(&self, name: &'static str, reason: &'static str) -> u64 {
        let found = self.0.iter().find(|(labels, _)| *labels == (name, reason));
        found.map_or(0, |(_, count)| *count)
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        for ((name, reason), count) in other.iter() {
            self.add_many(name, reason, count);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// Bytes that the stage before did not write.
#[derive(Debug, thiserror::Error)]
#[error("{what} at byte {at}: {detail}")]
pub struct CodecError {
    /// What was being read: `packed observations`, `link`, `account chunk`.
    pub what: &'static str,
    /// Byte position, or 0 if unknown.
    pub at: usize,
    /// What is wrong.
    pub detail: String,
    /// Whose fault it is.
    pub fault: Fault,
}

/// Whose fault it is that bytes cannot be read, which says what becomes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No release of falsefront wrote them: they are a dead letter.
    Foreign,
    /// Another release wrote them and can read them: passed over, what they hold would be lost.
    OtherRelease,
    /// They are our own, and what they hold is nowhere else.
    Defect,
}

impl CodecError {
    /// Bytes that are not of any release.
    #[must_use]
    pub fn new(what: &'static str, at: usize, detail: String) -> Self {
        Self {
            what,
            at,
            detail,
            fault: Fault::Foreign,
        }
    }
}
