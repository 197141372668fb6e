//! The truth: which accounts were given to whom, and which only look odd.

use serde::{Deserialize, Serialize};

/// One hidden group, or one innocent oddity. A line of `truth.ndjson`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name: `laptop_farm-2`.
    pub group: String,
    /// What it is.
    pub kind: String,
    /// Accounts concerned, sorted.
    pub accounts: Vec<String>,
    /// Detections that should name one of them; empty for an innocent oddity.
    pub expected: Vec<String>,
    /// What happens, for a person.
    pub why: String,
    /// When it begins, RFC 3339.
    pub first: String,
    /// When it ends, RFC 3339.
    pub last: String,
}

impl Group {
    /// Whether this is an attack.
    #[must_use]
    pub fn is_attack(&self) -> bool {
        !self.expected.is_empty()
    }
}

/// The day's first moment, RFC 3339; `day` counts from the epoch.
#[must_use]
pub fn day_text(day: i64) -> String {
    jiff::Timestamp::from_second(day * 86_400).map_or_else(|_| String::new(), |time| time.to_string())
}
