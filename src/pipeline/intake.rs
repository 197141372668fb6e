//! Intake: a source's record becomes observations, packed by the partition of their account.
//!
//! Stateless: decode, resolve the account, enrich. Everything after it is a fold over what it wrote.

use std::sync::Arc;

use super::Counts;
use super::settings::IntakeSettings;
use crate::enrich::Reference;
use crate::intake::Format;
use crate::model::key::HashKey;

/// A record as the source's topic (or file) holds it.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'a> {
    /// Topic, or file name.
    pub topic: &'a str,
    /// Partition; 0 for a file.
    pub partition: i32,
    /// Offset, or line number from 1 for a file.
    pub offset: i64,
    /// When the log took it, ms.
    pub append_ms: i64,
    /// The value; `None` for a tombstone.
    pub value: Option<&'a [u8]>,
}

/// What intake made of the records since the last flush.
#[derive(Debug, Default)]
pub struct IntakeOutputs {
    /// Packed observations, in order.
    pub observations: Vec<PackedRecord>,
    /// Records that could not be used.
    pub dead_letters: Vec<DeadLetter>,
    /// What happened, for the metrics.
    pub counts: Counts,
}

/// One record for the `observations` topic.
#[derive(Clone, Debug, PartialEq)]
pub struct PackedRecord {
    /// Partition of `observations`.
    pub partition: u32,
    /// See [`super::packed`].
    pub value: Vec<u8>,
    /// Observations inside.
    pub count: u32,
}

/// A record, or one event of it, that could not be used. Its bytes are the caller's; this says which and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Topic of the record.
    pub topic: String,
    /// Partition of the record.
    pub partition: i32,
    /// Offset of the record.
    pub offset: i64,
    /// Index of the event inside the record, if only one of several is meant.
    pub index: Option<u32>,
    /// Reason from a fixed set: `malformed_json`, `account_masked` …
    pub reason: &'static str,
    /// What, where and what to do; never quotes a value.
    pub detail: String,
}

/// The intake stage.
pub struct Intake {
    settings: IntakeSettings,
    reference: Arc<Reference>,
    hash_key: HashKey,
    outputs: IntakeOutputs,
}

impl Intake {
    /// An intake that packs for `settings.partitions` partitions.
    #[must_use]
    pub fn new(settings: IntakeSettings, hash_key: HashKey, reference: Arc<Reference>) -> Self {
        Self {
            settings,
            reference,
            hash_key,
            outputs: IntakeOutputs::default(),
        }
    }

    /// Uses `reference` from the next record on.
    pub fn swap_reference(&mut self, reference: Arc<Reference>) {
        self.reference = reference;
    }

    /// Takes one record of a source with that format.
    pub fn record(&mut self, format: Format, record: RawRecord<'_>) {
        let _ = (format, record, &self.hash_key, &self.settings);
    }

    /// Records refused since the last call or flush, so that a caller can keep their bytes.
    pub fn take_dead_letters(&mut self) -> Vec<DeadLetter> {
        std::mem::take(&mut self.outputs.dead_letters)
    }

    /// Everything packed and refused since the last flush.
    pub fn flush(&mut self) -> IntakeOutputs {
        std::mem::take(&mut self.outputs)
    }
}
