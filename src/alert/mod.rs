//! A finding with a stable identity, ready to publish.
//!
//! The identity is a UUID of version 5 over detection, subject and the episode's first evidence, so a replay or a
//! restart gives the same one; each published record of an alert has its own, derived from it and its number.

pub mod ocsf;
pub mod ecs;

use uuid::Uuid;

use crate::model::{Detection, Finding, Rule, Severity, Strength};

/// Name space of alert identities: version 5 of `falsefront.alert` in the DNS name space (RFC 9562).
const NAMESPACE: Uuid = Uuid::from_u128(0x6d0c_4c9e_5f4b_5b1e_9a55_2f6f_8a0b_7c11);

/// A finding to publish.
#[derive(Clone, Debug)]
pub struct Alert<'a> {
    /// Identity of the alert: the same in its first record and all updates.
    pub uid: Uuid,
    /// Number of this record of the alert, from 1.
    pub revision: u32,
    /// What was concluded.
    pub finding: &'a Finding,
    /// The rule that concluded it.
    pub rule: &'static Rule,
    /// When, ms: append time of the record that caused it.
    pub created_ms: i64,
    /// Topic it is published to.
    pub topic: &'a str,
}

impl Alert<'_> {
    /// Identity of this record.
    #[must_use]
    pub fn record_uid(&self) -> Uuid {
        Uuid::new_v5(&self.uid, &self.revision.to_be_bytes())
    }

    /// Whether it pages somebody.
    #[must_use]
    pub fn is_alert(&self) -> bool {
        self.finding.strength == Strength::Alert
    }

    /// Key by which a subscriber can group: detection and subject.
    #[must_use]
    pub fn dedup_key(&self) -> String {
        format!("{}:{}", self.finding.detection.as_str(), self.finding.subject)
    }

    /// CloudEvents 1.0 in binary mode, and what a subscriber filters by without parsing the body.
    #[must_use]
    pub fn headers(&self, schema: &str) -> Vec<(&'static str, String)> {
        let action = if self.revision == 1 { "create" } else { "update" };
        vec![
            ("ce_specversion", "1.0".to_owned()),
            ("ce_id", self.record_uid().to_string()),
            ("ce_source", "falsefront".to_owned()),
            ("ce_type", format!("falsefront.finding.{action}")),
            ("ce_time", rfc3339(self.created_ms)),
            ("ce_subject", self.finding.accounts.first().cloned().unwrap_or_default()),
            ("content-type", "application/json".to_owned()),
            ("alert-id", self.uid.to_string()),
            ("detection", self.finding.detection.as_str().to_owned()),
            ("severity", self.finding.severity.as_str().to_owned()),
            ("dedup-key", self.dedup_key()),
            ("schema", schema.to_owned()),
        ]
    }
}

/// Identity for a finding that opens an episode on that day.
#[must_use]
pub fn fresh_uid(detection: Detection, strength: Strength, subject: &str, opened_day: i32) -> Uuid {
    let strength = if strength == Strength::Alert { "alert" } else { "signal" };
    let name = format!("{}\u{0}{}\u{0}{strength}\u{0}{opened_day}", detection.as_str(), subject);
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

/// OCSF `severity_id`: 1 informational to 5 critical.
#[must_use]
pub fn severity_id(severity: Severity) -> u8 {
    match severity {
        Severity::Informational => 1,
        Severity::Low => 2,
        Severity::Medium => 3,
        Severity::High => 4,
        Severity::Critical => 5,
    }
}

/// Risk score 0 to 100 in the steps that SIEMs know: 21, 47, 73, 99.
#[must_use]
pub fn risk_score(severity: Severity) -> u8 {
    match severity {
        Severity::Informational => 1,
        Severity::Low => 21,
        Severity::Medium => 47,
        Severity::High => 73,
        Severity::Critical => 99,
    }
}

/// A moment as RFC 3339, UTC; the raw number if it lies outside the calendar.
#[must_use]
pub fn rfc3339(time_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(time_ms).map_or_else(|_| time_ms.to_string(), |moment| moment.to_string())
}
