//! "This account used that thing": what the accounts stage tells the window of a shared device or network.

use serde::{Deserialize, Serialize};

use super::{AccountKind, Finding, NetworkClass};

/// Kind of a shared thing. The code separates the hash domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum EntityKind {
    /// A device id.
    Device = b'd',
    /// A source network: an IPv4 address, or an IPv6 /64.
    Network = b'n',
    /// A second factor.
    Factor = b'f',
}

impl EntityKind {
    /// The kind as evidence spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Network => "network",
            Self::Factor => "factor",
        }
    }
}

/// One tie between an account and a thing that others may share, with what the account's window knows
/// that the thing's rules need. Written as JSON to `links`, because other programs may read them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// Kind of the thing.
    pub entity_kind: EntityKind,
    /// The thing as evidence names it: an address or /64, a device id, a factor id.
    pub entity: String,
    /// The account, canonical.
    pub account: String,
    /// Event time of the account's first use of the thing within its window, ms.
    pub first_ms: i64,
    /// Event time of its latest use, ms.
    pub time_ms: i64,
    /// Append time of the source's record that led here, ms: the clock of the window that takes the link.
    pub clock_ms: i64,
    /// Id of that event.
    pub event_id: String,
    /// Product that wrote the event.
    pub product: String,
    /// Source address of that event, if it has one.
    pub address: Option<String>,
    /// Device of that event, if it has one.
    pub device: Option<String>,
    /// The device id is a browser fingerprint.
    pub fingerprint: bool,
    /// What the account claims.
    pub claim: LinkClaim,
    /// Where the event was seen.
    pub place: Option<LinkPlace>,
    /// Network class and label.
    pub network_class: NetworkClass,
    /// Site or brand of the network; empty if none.
    pub network_label: String,
    /// Autonomous system number; 0 if unknown.
    pub asn: u32,
    /// Autonomous system's organization; empty if unknown.
    pub organization: String,
    /// What else the account's window knows.
    pub account_facts: AccountSummary,
    /// Builds of the data that placed the event.
    pub data_versions: String,
    /// A finding about the account alone that this network's sharing may explain: published by the entities stage
    /// unless it is part of a larger story there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<Box<Offer>>,
}

/// A finding about one account, offered to the window of the network it was seen on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// Identity (a UUID) of the alert it belongs to, decided by the account's window.
    pub alert: String,
    /// The finding.
    pub finding: Finding,
}

/// The claim, as far as rules over several accounts need it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LinkClaim {
    /// Employment.
    pub kind: AccountKind,
    /// Employer; empty if unknown.
    pub employer: String,
    /// `Austin, Texas, US`; empty if the roster names no place.
    pub label: String,
    /// Claimed country, alpha-2; empty if unknown.
    pub country: String,
    /// Latitude and longitude in degrees and radius in km, where the claim could be placed.
    pub point: Option<(f64, f64, u16)>,
    /// The roster assigns this device to the account.
    pub owns_device: bool,
    /// The roster assigns some device to the account.
    #[serde(default)]
    pub has_device: bool,
    /// First day of employment, days since the epoch.
    pub hire_day: Option<i32>,
}

/// A place, as far as rules over several accounts need it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkPlace {
    /// `Las Vegas, NV, US`.
    pub label: String,
    /// City; empty if unknown.
    pub city: String,
    /// Region; empty if unknown.
    pub region: String,
    /// Country, alpha-2.
    pub country: String,
    /// Degrees.
    pub latitude: f64,
    /// Degrees.
    pub longitude: f64,
    /// Error radius, km.
    pub radius_km: u16,
}

/// What the account's own window says about it, for the rules that compare accounts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AccountSummary {
    /// Days on which the account used this very thing, within its window.
    pub days_on_entity: u16,
    /// Days on which the account signed in from an address that locates it, within its window.
    pub days_located: u16,
    /// Of those, days on which it was only ever far from its claim.
    pub days_away: u16,
    /// Kilometers between claim and place that no error radius explains, for this event.
    pub claim_gap_km: u32,
    /// Remote-access tools seen for the account, with the device that showed them.
    pub remote_tools: Vec<String>,
    /// Commercial VPN brands the account used, by network or client.
    pub vpn_brands: Vec<String>,
    /// KVM-over-IP hardware or software seen.
    pub kvm: Vec<String>,
    /// Remote-desktop logons into the account's device while it was at work.
    pub rdp_relays: u16,
    /// Devices the account used within its window.
    pub devices: u16,
}
