//! Bytes of a vendor's record become events.

use serde::{Deserialize, Serialize};

use crate::model::Event;

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

/// Why a record, or one event of it, cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Reason from a fixed set, `snake_case`: `malformed_json`, `account_masked`, `kind_unsupported` …
    pub reason: &'static str,
    /// What, where (line, column, field) and what to do. Never quotes a value of the record.
    pub detail: String,
}

/// Decodes one record. Calls `each` once per event in the record, in order, with its index.
///
/// # Errors
/// [`Rejection`] if the record as a whole cannot be used; `each` was not called then.
pub fn decode<'a>(
    format: Format,
    record: &'a [u8],
    each: &mut dyn FnMut(u32, Result<Event<'a>, Rejection>),
) -> Result<(), Rejection> {
    let _ = (format, record, each);
    Err(Rejection {
        reason: "unimplemented",
        detail: String::new(),
    })
}
