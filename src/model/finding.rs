//! What a detection concluded, with its evidence and with what could have silenced it and did not.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::attack::Technique;
use super::{NetworkClass, Place};

/// How bad, in OCSF's terms. The order is the order of gravity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// A signal worth keeping.
    Informational,
    /// Weak evidence.
    Low,
    /// One strong signal.
    Medium,
    /// Strong evidence net of every error bar.
    High,
    /// Independent signals agree.
    Critical,
}

impl Severity {
    /// All, mildest first.
    pub const ALL: [Self; 5] = [Self::Informational, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The severity as options and metric labels spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// Whether a finding pages somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strength {
    /// A weak fact: published with `is_alert` false, raises risk, pages nobody.
    Signal,
    /// A strong fact, or independent weak facts that agree.
    Alert,
}

/// What a detection concluded.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The detection: `impossible_travel`.
    pub detection: &'static str,
    /// Its title: `Impossible travel`.
    pub title: &'static str,
    /// What the detection looks for, one sentence.
    pub description: &'static str,
    /// Signal or alert.
    pub strength: Strength,
    /// How bad.
    pub severity: Severity,
    /// Quality of the evidence, 0 to 100.
    pub confidence: u8,
    /// Names the episode this finding belongs to, together with the detection: an account, or a shared thing.
    /// Findings with the same subject that follow each other are one alert with updates.
    pub subject: String,
    /// Accounts concerned, canonical, sorted.
    pub accounts: Vec<String>,
    /// One line for a person: low-cardinality wording first.
    pub message: String,
    /// Times of the first and last event in evidence, ms.
    pub first_ms: i64,
    /// See `first_ms`.
    pub last_ms: i64,
    /// What was seen.
    pub evidence: Vec<Evidence>,
    /// The arithmetic: names and values, in a fixed order.
    pub measures: Vec<Measure>,
    /// What could have silenced it, and why it did not.
    pub guards: Vec<Guard>,
    /// Techniques.
    pub attacks: &'static [Technique],
    /// Builds of the data used.
    pub data_versions: String,
    /// An event arrived later than the allowed lateness, so older facts may be gone.
    pub degraded: bool,
}

/// One piece of evidence: an event, or a fact about an account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Its role: `from`, `to`, `account`, `remote_access_tool`.
    pub role: String,
    /// The event's id; empty where the evidence is no single event.
    pub event_id: String,
    /// Product that wrote the event; empty if none.
    pub product: String,
    /// Event time, ms.
    pub time_ms: i64,
    /// Account, canonical.
    pub account: String,
    /// Source address.
    pub address: Option<IpAddr>,
    /// Where.
    pub place: Option<EvidencePlace>,
    /// Network class.
    pub network_class: Option<NetworkClass>,
    /// Network label; empty if none.
    pub network_label: String,
    /// Autonomous system number; 0 if unknown.
    pub asn: u32,
    /// Autonomous system's organization; empty if unknown.
    pub organization: String,
    /// Device id; empty if none.
    pub device: String,
    /// Further facts, `name` and `value`.
    pub facts: Vec<(String, String)>,
}

/// A place in evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvidencePlace {
    /// City; empty if unknown.
    pub city: String,
    /// Region; empty if unknown.
    pub region: String,
    /// Country, alpha-2; empty if unknown.
    pub country: String,
    /// Degrees.
    pub latitude: f64,
    /// Degrees.
    pub longitude: f64,
    /// Error radius, km.
    pub radius_km: u16,
}

impl From<&Place> for EvidencePlace {
    fn from(place: &Place) -> Self {
        Self {
            city: place.city.clone(),
            region: place.region.clone(),
            country: place.country.clone(),
            latitude: place.point.latitude,
            longitude: place.point.longitude,
            radius_km: place.radius_km,
        }
    }
}

/// One number of the arithmetic.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// Name with its unit last: `speed_kmh`.
    pub name: &'static str,
    /// What was seen.
    pub value: f64,
    /// What it is held against; `None` for a number that is only shown.
    pub limit: Option<f64>,
}

/// Something that could have silenced the finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// Its name: `corporate_egress`.
    pub name: String,
    /// Why it did not silence this finding.
    pub why_not: String,
}

impl Guard {
    /// A guard that ran and did not apply.
    #[must_use]
    pub fn ran(name: &str, why_not: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            why_not: why_not.into(),
        }
    }
}
