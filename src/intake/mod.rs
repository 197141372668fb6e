//! Bytes of a vendor's record become events.
//!
//! One typed, borrowed struct per format at the edge, converted by hand; no wire type leaves this floor. Formats
//! differ in shape only: addresses, times, accounts and refusals are read the same way for all of them.

mod envelope;
mod okta;
mod google_workspace;
mod fortigate;
mod key_order;
mod ocsf;
pub mod tools;
mod tool_table;
mod person;
pub(crate) mod address;
mod time;
mod marks;
mod shape;
mod walk;
mod fields;
mod scan;
mod values;
pub(crate) mod reason;
#[cfg(test)]
mod robustness;
#[cfg(test)]
mod differential;

use serde::{Deserialize, Serialize};

use crate::model::Event;

pub use reason::REASONS;

/// A wire format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Recognized record by record.
    #[default]
    Auto,
    /// OCSF 1.8: 3002, 4014, 4005, 1007, 1010.
    Ocsf,
    /// Okta System Log.
    Okta,
    /// Google Workspace login activity.
    GoogleWorkspace,
    /// FortiGate VPN log, key=value.
    Fortigate,
}

impl Format {
    /// Every format, in the order the documentation lists them.
    pub const ALL: [Self; 5] = [
        Self::Auto,
        Self::Ocsf,
        Self::Okta,
        Self::GoogleWorkspace,
        Self::Fortigate,
    ];

    /// The name in configuration and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Ocsf => "ocsf",
            Self::Okta => "okta",
            Self::GoogleWorkspace => "google_workspace",
            Self::Fortigate => "fortigate",
        }
    }

    /// The format of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// Why a record, or one event of it, cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Reason from a fixed set, `snake_case`: `malformed_json`, `account_masked` … See [`REASONS`].
    pub reason: &'static str,
    /// What, where (line, column, field) and what to do. Never quotes a value of the record.
    pub detail: String,
}

/// Decodes records. It remembers the shapes of those it has seen, which makes it faster and changes nothing else.
#[derive(Default)]
pub struct Decoder {
    memories: Vec<(Format, envelope::Memories)>,
}

impl Decoder {
    /// Decodes one record. Calls `each` once per event in the record, in order, with its index.
    ///
    /// An event's `id` is empty where the source gives none; the caller knows the record's position.
    ///
    /// # Errors
    /// [`Rejection`] if the record as a whole cannot be used; `each` was not called then.
    pub fn decode<'a>(
        &mut self,
        format: Format,
        record: &'a [u8],
        each: &mut dyn FnMut(u32, Result<Event<'a>, Rejection>),
    ) -> Result<(), Rejection> {
        let text = text_of(record)?;
        envelope::decode(format, text, self.memories_of(format), &mut Sink { each, next: 0 })
    }

    fn memories_of(&mut self, format: Format) -> &mut envelope::Memories {
        let known = self.memories.iter().position(|(known, _)| *known == format);
        let index = known.unwrap_or_else(|| {
            self.memories.push((format, envelope::Memories::default()));
            self.memories.len() - 1
        });
        &mut self.memories[index].1
    }
}

/// Decodes one record by itself; see [`Decoder::decode`].
///
/// # Errors
/// [`Rejection`] if the record as a whole cannot be used; `each` was not called then.
pub fn decode<'a>(
    format: Format,
    record: &'a [u8],
    each: &mut dyn FnMut(u32, Result<Event<'a>, Rejection>),
) -> Result<(), Rejection> {
    Decoder::default().decode(format, record, each)
}

/// Where decoded events go, numbered.
struct Sink<'s, 'a> {
    each: &'s mut dyn FnMut(u32, Result<Event<'a>, Rejection>),
    next: u32,
}

impl<'a> Sink<'_, 'a> {
    fn push(&mut self, event: Result<Event<'a>, Rejection>) {
        (self.each)(self.next, event);
        self.next = self.next.saturating_add(1);
    }

    /// The one event of a record; its refusal is the record's.
    #[inline]
    fn push_or_refuse(&mut self, event: Result<Event<'a>, Rejection>) -> Result<bool, Rejection> {
        match event {
            Err(rejection) => Err(rejection),
            event => {
                self.push(event);
                Ok(true)
            }
        }
    }
}

/// The record as text, without byte order mark and schema-registry framing.
fn text_of(record: &[u8]) -> Result<&str, Rejection> {
    let record = record.strip_prefix(b"\xef\xbb\xbf").unwrap_or(record);
    let body = match record {
        // Confluent wire format: a zero byte and a four-byte schema id before the body.
        [0, _, _, _, _, body @ ..] if body.first() == Some(&b'{') => body,
        [0, _, _, _, _, ..] => {
            return Err(reason::reject(
                reason::SCHEMA_REGISTRY_FRAMED,
                "byte 0 opens schema-registry framing and byte 5 does not open a JSON object; \
                 produce to this topic as JSON",
            ));
        }
        plain => plain,
    };
    let text = simdutf8::basic::from_utf8(body).map_err(|_| {
        let valid = std::str::from_utf8(body).map_or_else(|error| error.valid_up_to(), str::len);
        let at = valid + (record.len() - body.len());
        reason::reject(
            reason::INVALID_UTF8,
            format!("byte {at} is not UTF-8; have the source write UTF-8"),
        )
    })?;
    let text = match text.as_bytes() {
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() => text,
        _ => text.trim(),
    };
    if text.is_empty() {
        return Err(reason::reject(reason::EMPTY, "the record is empty"));
    }
    Ok(text)
}
