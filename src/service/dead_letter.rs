//! A record that could not be used, as a message of the `dead-letters` topic: its own bytes, with headers that say
//! where it came from and why it is here. Header names are Kafka Connect's (`DeadLetterQueueReporter`).

use crate::intake::REASONS;
use crate::pipeline::CodecError;
use crate::pipeline::intake::{DeadLetter, INTENTIONAL};
use crate::service::log::{Outgoing, Record};
use crate::service::topics::TopicNames;
use crate::service::worker::stage::Role;

/// Bytes of an original value kept at most; above, the topic's `max.message.bytes` could refuse the letter.
pub const VALUE_BYTES_MAX: usize = 900_000;
/// Bytes of an original key kept at most.
pub const KEY_BYTES_MAX: usize = 64 * 1024;
/// Characters of the detail kept at most.
const DETAIL_CHARS_MAX: usize = 1_000;

/// Header of a record that came back from the dead letters: how often.
pub const REPLAY_COUNT: &str = "x-falsefront-replay-count";
/// The same, as C writes it.
pub const REPLAY_COUNT_C: &std::ffi::CStr = c"x-falsefront-replay-count";

/// Why a stage refuses what another of ours should have written.
pub const NOT_OURS: &str = "not_written_by_falsefront";

/// Every reason that a letter may have.
pub fn reasons() -> impl Iterator<Item = &'static str> {
    let of_intake = REASONS.iter().map(|(reason, _)| *reason);
    of_intake
        .filter(|reason| !INTENTIONAL.contains(reason))
        .chain([NOT_OURS])
}

/// Which record, and why.
#[derive(Debug)]
pub struct Reject<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Event of the record, if only one is meant.
    pub index: Option<u32>,
    /// Stage that refused it.
    pub role: Role,
    /// Reason from a fixed set.
    pub reason: &'a str,
    /// What, where, what to do; quotes no value.
    pub detail: String,
}

impl<'a> Reject<'a> {
    /// Intake refused a source's record or event.
    #[must_use]
    pub fn of_intake(letter: &'a DeadLetter) -> Self {
        Self {
            topic: &letter.topic,
            partition: letter.partition,
            offset: letter.offset,
            index: letter.index,
            role: Role::Intake,
            reason: letter.reason,
            detail: letter.detail.clone(),
        }
    }

    /// A fold met a record that the stage before did not write.
    #[must_use]
    pub fn of_fold(role: Role, record: &Record<'a>, error: &CodecError) -> Self {
        Self {
            topic: record.topic,
            partition: record.partition,
            offset: record.offset,
            index: None,
            role,
            reason: NOT_OURS,
            detail: error.to_string(),
        }
    }
}

/// The letter. Without `record` only the headers say what was refused.
#[must_use]
pub fn encode(topics: &TopicNames, reject: &Reject<'_>, record: Option<&Record<'_>>) -> Outgoing {
    let mut headers = vec![
        ("__connect.errors.topic", reject.topic.as_bytes().to_vec()),
        ("__connect.errors.partition", reject.partition.to_string().into_bytes()),
        ("__connect.errors.offset", reject.offset.to_string().into_bytes()),
        ("__connect.errors.stage", reject.role.as_str().as_bytes().to_vec()),
        (
            "__connect.errors.exception.class.name",
            reject.reason.as_bytes().to_vec(),
        ),
        ("__connect.errors.exception.message", clean(&reject.detail).into_bytes()),
        ("x-falsefront-reason", reject.reason.as_bytes().to_vec()),
        ("x-falsefront-version", env!("CARGO_PKG_VERSION").as_bytes().to_vec()),
    ];
    if let Some(index) = reject.index {
        headers.push(("x-falsefront-event-index", index.to_string().into_bytes()));
    }
    if let Some(count) = record.map(|record| record.replays.count()).filter(|count| *count > 0) {
        headers.push((REPLAY_COUNT, count.to_string().into_bytes()));
    }
    let value = record.and_then(|record| record.value);
    let key = record.and_then(|record| record.key);
    let is_cut =
        value.is_some_and(|value| value.len() > VALUE_BYTES_MAX) || key.is_some_and(|key| key.len() > KEY_BYTES_MAX);
    if is_cut {
        headers.push(("x-falsefront-truncated", b"true".to_vec()));
        let bytes = value.map_or(0, <[u8]>::len);
        headers.push(("x-falsefront-original-bytes", bytes.to_string().into_bytes()));
    }
    Outgoing {
        topic: topics.dead_letters.clone(),
        partition: reject
            .partition
            .rem_euclid(i32::try_from(topics.partitions.max(1)).unwrap_or(i32::MAX)),
        key: key.map(|key| cut(key, KEY_BYTES_MAX)),
        value: Some(value.map_or_else(Vec::new, |value| cut(value, VALUE_BYTES_MAX))),
        headers,
    }
}

fn cut(bytes: &[u8], bytes_max: usize) -> Vec<u8> {
    bytes.get(..bytes_max).unwrap_or(bytes).to_vec()
}

/// Details pass through terminals and ticket systems: no control characters.
fn clean(detail: &str) -> String {
    detail
        .chars()
        .filter(|c| !c.is_control())
        .take(DETAIL_CHARS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(value: &[u8]) -> Outgoing {
        let record = Record {
            topic: "auth",
            partition: 9,
            offset: 41,
            append_ms: 5,
            key: Some(b"k"),
            value: Some(value),
            replays: &2,
        };
        let reject = Reject {
            topic: "auth",
            partition: 9,
            offset: 41,
            index: Some(2),
            role: Role::Intake,
            reason: "malformed_json",
            detail: "line 1\u{1b}[31m".to_owned(),
        };
        encode(&TopicNames::new("app", 6), &reject, Some(&record))
    }

    fn header<'a>(letter: &'a Outgoing, name: &str) -> Option<&'a [u8]> {
        letter
            .headers
            .iter()
            .find(|(header, _)| *header == name)
            .map(|(_, value)| value.as_slice())
    }

    #[test]
    fn a_letter_keeps_the_bytes_and_names_the_place() {
        let letter = letter(b"\xff{");
        assert_eq!(letter.value.as_deref(), Some(&b"\xff{"[..]));
        assert_eq!(letter.key.as_deref(), Some(&b"k"[..]));
        assert_eq!(letter.partition, 3);
        assert_eq!(header(&letter, "__connect.errors.offset"), Some(&b"41"[..]));
        assert_eq!(header(&letter, "x-falsefront-event-index"), Some(&b"2"[..]));
        assert_eq!(
            header(&letter, "__connect.errors.exception.message"),
            Some(&b"line 1[31m"[..])
        );
        assert_eq!(header(&letter, REPLAY_COUNT), Some(&b"2"[..]));
        assert_eq!(header(&letter, "x-falsefront-truncated"), None);
    }

    #[test]
    fn a_giant_is_cut_and_says_so() {
        let letter = letter(&vec![b'a'; 1 << 20]);
        assert_eq!(letter.value.as_ref().map(Vec::len), Some(VALUE_BYTES_MAX));
        assert_eq!(header(&letter, "x-falsefront-truncated"), Some(&b"true"[..]));
        assert_eq!(header(&letter, "x-falsefront-original-bytes"), Some(&b"1048576"[..]));
    }
}
