//! Windows: one record of facts per account and per shared thing. This floor alone changes facts; rules only read them.
//!
//! ```text
//!                append time ─────────────────────────────────────────────▶
//!   retention ◀────────────── 30 days of days, ties, devices ────────────▶│ now
//!                                     visits ◀── 24 h + lateness ────────▶│
//!                                                 allowed lateness ◀─1 h─▶│
//! ```
//!
//! Event time says where a fact belongs; the log's append time says when it may be forgotten.

pub mod settings;
pub mod days;
pub mod moment;
pub mod few;
pub mod block;
pub mod spots;
pub mod texts;
pub mod visits;
pub mod recent_ids;
pub mod origin;
pub mod network_fact;
pub mod device_fact;
pub mod rare;
pub mod account;
mod account_networks;
pub mod shared;
pub mod account_codec;
pub mod entity;
pub mod entity_codec;
pub mod episode;
pub mod intern;

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;
/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 3_600_000;

/// Day of a moment, days since the Unix epoch, UTC.
#[must_use]
#[allow(clippy::cast_possible_truncation, reason = "clamped to 32 bits")]
pub fn day_of(time_ms: i64) -> i32 {
    time_ms
        .div_euclid(DAY_MS)
        .clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}
