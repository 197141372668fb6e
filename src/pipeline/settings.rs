//! Every limit and threshold of the core, with its default. The configuration file spells them as they stand here.

use serde::{Deserialize, Serialize};

pub use crate::detections::settings::DetectionSettings;

/// Limits of intake.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IntakeSettings {
    /// Partitions of `observations`, fixed for the life of the topic.
    pub partitions: u32,
    /// An event may be this far ahead of its append time, ms, before its own time is distrusted.
    pub future_skew_ms: i64,
    /// Bytes of one packed record at most.
    pub packed_bytes_max: usize,
    /// Events in one source record at most; a record with more is a dead letter.
    pub events_per_record_max: usize,
}

impl Default for IntakeSettings {
    fn default() -> Self {
        Self {
            partitions: 6,
            future_skew_ms: 5 * 60_000,
            packed_bytes_max: 256 * 1024,
            events_per_record_max: 100_000,
        }
    }
}
