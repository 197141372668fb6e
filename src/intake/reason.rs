//! Why a record, or one event of it, cannot be used: the complete set, for dead letters, metrics and documents.

use super::Rejection;
use crate::model::account::AccountRefusal;

/// The value is empty or only white space.
pub(super) const EMPTY: &str = "empty";
/// No value at all: how a compacted topic says that a key is gone.
pub(crate) const TOMBSTONE: &str = "tombstone";
/// The bytes are not UTF-8.
pub(super) const INVALID_UTF8: &str = "invalid_utf8";
/// Confluent framing around a body that is not JSON.
pub(super) const SCHEMA_REGISTRY_FRAMED: &str = "schema_registry_framed";
/// Not JSON where JSON is expected.
pub(super) const MALFORMED_JSON: &str = "malformed_json";
/// Not `key=value` where that is expected.
pub(super) const MALFORMED_KEY_VALUE: &str = "malformed_key_value";
/// A field stands twice in one object.
pub(super) const DUPLICATE_FIELD: &str = "duplicate_field";
/// Nested or wrapped deeper than any source nests.
pub(super) const NESTING_TOO_DEEP: &str = "nesting_too_deep";
/// More events than one record may hold.
pub(super) const TOO_MANY_EVENTS: &str = "too_many_events";
/// Longer than a record may be.
pub(crate) const RECORD_TOO_LARGE: &str = "record_too_large";
/// Not of the configured format, or of none that is known.
pub(super) const FORMAT_UNRECOGNIZED: &str = "format_unrecognized";
/// No event time.
pub(super) const TIME_MISSING: &str = "time_missing";
/// An event time that is no time, or implausible.
pub(super) const TIME_INVALID: &str = "time_invalid";
/// Another kind of record than those that are read.
pub(super) const KIND_UNSUPPORTED: &str = "kind_unsupported";
/// A system or client application acted.
pub(super) const ACTOR_NOT_A_PERSON: &str = "actor_not_a_person";
/// A process or application that gives no remote access.
pub(super) const NOT_A_REMOTE_ACCESS_TOOL: &str = "not_a_remote_access_tool";

/// Every reason a [`Rejection`] can carry, with its meaning in one line. Part of the interface: dashboards name them.
pub const REASONS: &[(&str, &str)] = &[
    (EMPTY, "the record has no bytes, or only white space"),
    (
        TOMBSTONE,
        "the record has no value, as where a compacted topic forgets a key; intentional",
    ),
    (INVALID_UTF8, "the record is not UTF-8 text"),
    (
        SCHEMA_REGISTRY_FRAMED,
        "the record is framed for a schema registry and its body is not JSON",
    ),
    (MALFORMED_JSON, "the record is not valid JSON"),
    (MALFORMED_KEY_VALUE, "the record is not a key=value line"),
    (
        DUPLICATE_FIELD,
        "one object names a field twice, so its meaning depends on the reader",
    ),
    (NESTING_TOO_DEEP, "the record is nested or wrapped too deeply"),
    (TOO_MANY_EVENTS, "the record holds more events than one record may"),
    (RECORD_TOO_LARGE, "the record is longer than a record may be"),
    (
        FORMAT_UNRECOGNIZED,
        "the record is not of the source's format, or of no known format",
    ),
    (TIME_MISSING, "the event has no time"),
    (TIME_INVALID, "the event's time cannot be read or is implausible"),
    (
        KIND_UNSUPPORTED,
        "the event is of a kind that says nothing about who works from where; intentional",
    ),
    (
        ACTOR_NOT_A_PERSON,
        "a system or client application acted, not a person; intentional",
    ),
    (
        NOT_A_REMOTE_ACCESS_TOOL,
        "the process or application gives no remote access; intentional",
    ),
    ("account_missing", "the event names no account"),
    (
        "account_masked",
        "the account is a mask or placeholder shared by many people",
    ),
    (
        "account_machine",
        "the account is a computer or a well-known system principal; intentional",
    ),
    (
        "account_too_long",
        "the account name is longer than any account name may be",
    ),
    ("account_garbled", "the account name holds control characters"),
];

/// A rejection with a detail.
pub(super) fn reject(reason: &'static str, detail: impl Into<String>) -> Rejection {
    Rejection {
        reason,
        detail: detail.into(),
    }
}

/// The rejection for an account that must not become a key; `field` says where the name stood.
pub(super) fn refuse(refusal: AccountRefusal, field: &str) -> Rejection {
    let advice = match refusal {
        AccountRefusal::Missing => "is empty; log the user name at the source",
        AccountRefusal::Masked => "is a mask or placeholder; switch masking off at the source",
        AccountRefusal::Machine => "names a computer or system principal; nothing to do",
        AccountRefusal::TooLong => "is longer than 320 bytes; check the source's field mapping",
        AccountRefusal::Garbled => "holds control characters; check the source's field mapping and encoding",
    };
    reject(refusal.reason(), format!("{field} {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_listed_once_in_snake_case() {
        let mut names: Vec<&str> = REASONS.iter().map(|(name, _)| *name).collect();
        for (name, meaning) in REASONS {
            assert!(
                name.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            );
            assert!(!meaning.is_empty() && !meaning.ends_with('.'));
        }
        for refusal in [
            AccountRefusal::Missing,
            AccountRefusal::Masked,
            AccountRefusal::Machine,
            AccountRefusal::TooLong,
            AccountRefusal::Garbled,
        ] {
            assert!(names.contains(&refusal.reason()));
        }
        let listed = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), listed);
    }
}
