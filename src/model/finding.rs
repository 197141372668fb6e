//! What a detection concluded, with its evidence and with what could have silenced it and did not.

use std::borrow::Cow;
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

/// A detection, by the name it has in `finding_info.analytic.uid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Detection {
    /// Two logins no airliner could join.
    ImpossibleTravel = 0,
    /// A person who is persistently not where HR says.
    ClaimedLocation = 1,
    /// A company device driven from elsewhere.
    RemoteDesktopRelay = 2,
    /// One device, several contractors.
    SharedDevice = 3,
    /// One home address, several accounts that claim to live elsewhere.
    SharedNetwork = 4,
    /// Several people's company laptops in one place, operated from elsewhere.
    LaptopFarm = 5,
}

impl Detection {
    /// All, in the order of their codes.
    pub const ALL: [Self; 6] = [
        Self::ImpossibleTravel,
        Self::ClaimedLocation,
        Self::RemoteDesktopRelay,
        Self::SharedDevice,
        Self::SharedNetwork,
        Self::LaptopFarm,
    ];

    /// The name in alerts, configuration and metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ImpossibleTravel => "impossible_travel",
            Self::ClaimedLocation => "claimed_location",
            Self::RemoteDesktopRelay => "remote_desktop_relay",
            Self::SharedDevice => "shared_device",
            Self::SharedNetwork => "shared_network",
            Self::LaptopFarm => "laptop_farm",
        }
    }
}

/// What is constant about a detection.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Which.
    pub detection: Detection,
    /// `Impossible travel`.
    pub title: &'static str,
    /// What it looks for, one sentence.
    pub description: &'static str,
    /// Version of the rule; goes up whenever the same facts may give another finding.
    pub version: &'static str,
    /// Techniques.
    pub attacks: &'static [Technique],
    /// What it cannot see, for README and `explain`.
    pub blind_to: &'static str,
}

/// What a detection concluded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The detection.
    pub detection: Detection,
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
    /// Time of the first event in evidence, ms.
    pub first_ms: i64,
    /// Time of the last event in evidence, ms.
    pub last_ms: i64,
    /// What was seen.
    pub evidence: Vec<Evidence>,
    /// The arithmetic, in a fixed order.
    pub measures: Vec<Measure>,
    /// What could have silenced it, and why it did not.
    pub guards: Vec<Guard>,
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// Name with its unit last: `speed_kmh`.
    pub name: Cow<'static, str>,
    /// What was seen.
    pub value: f64,
    /// What it is held against; `None` for a number that is only shown.
    pub limit: Option<f64>,
}

impl Measure {
    /// A number and the limit it is held against.
    #[must_use]
    pub fn against(name: &'static str, value: f64, limit: f64) -> Self {
        Self {
            name: Cow::Borrowed(name),
            value,
            limit: Some(limit),
        }
    }

    /// A number that is only shown.
    #[must_use]
    pub fn shown(name: &'static str, value: f64) -> Self {
        Self {
            name: Cow::Borrowed(name),
            value,
            limit: None,
        }
    }
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
