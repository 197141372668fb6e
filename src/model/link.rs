//! "This account used that thing": what the accounts stage tells the window of a shared device or network.
//!
//! `link_codec` has its bytes.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::event_id::EventId;
use super::{AccountKind, ClaimRef, Finding, Network, NetworkClass, Place};

/// Kind of a shared thing. The code separates the hash domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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

    pub(super) fn from_code(code: u8) -> Option<Self> {
        [Self::Device, Self::Network, Self::Factor]
            .into_iter()
            .find(|kind| *kind as u8 == code)
    }
}

/// One tie between an account and a thing that others may share, with what the account's window knows
/// that the thing's rules need: [`Latest`] while it is put together, [`PackedLatest`] where it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Link<'a, L = PackedLatest<'a>> {
    /// Kind of the thing.
    pub entity_kind: EntityKind,
    /// The thing as evidence names it: an address or /64, a device id, a factor id.
    pub entity: &'a str,
    /// Event time of the account's first use of the thing within its window, ms.
    pub first_ms: i64,
    /// Event time of its latest use, ms.
    pub time_ms: i64,
    /// Append time of the source's record that led here, ms: the clock of the window that takes the link.
    pub clock_ms: i64,
    /// Builds of the data that placed the event.
    pub data_versions: &'a str,
    /// What the window of the thing keeps.
    pub latest: L,
    /// A finding about the account alone that this network's sharing may explain: published by the entities stage
    /// unless it is part of a larger story there.
    pub offer: Option<Box<Offer>>,
}

/// [`Latest`] as bytes, with what every link is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedLatest<'a> {
    /// The account, canonical.
    pub account: &'a str,
    /// Device of the event; empty if it has none.
    pub device: &'a str,
    /// Class of the network of the event.
    pub class: NetworkClass,
    /// See [`AccountSummary::is_remarkable`].
    pub is_remarkable: bool,
    pub(super) bytes: &'a [u8],
}

/// What an account's latest link says: what rules over several accounts, and their evidence, read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latest<'a> {
    /// The account, canonical.
    pub account: &'a str,
    /// Device of the event; empty if it has none.
    pub device: &'a str,
    /// Network of the source address.
    pub network: LinkNetwork<'a>,
    /// Source address of the event, if it has one.
    pub address: Option<IpAddr>,
    /// The device id is a browser fingerprint.
    pub fingerprint: bool,
    /// Id of the event.
    pub event_id: EventId,
    /// Product that wrote the event.
    pub product: &'a str,
    /// What the account claims.
    pub claim: LinkClaim<'a>,
    /// Where the event was seen.
    pub place: Option<LinkPlace<'a>>,
    /// What else the account's window knows.
    pub account_facts: AccountSummary<'a>,
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
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LinkClaim<'a> {
    /// Employment.
    pub kind: AccountKind,
    /// Employer; empty if unknown.
    pub employer: &'a str,
    /// Claimed country, alpha-2; empty if unknown.
    pub country: &'a str,
    /// Claimed region; empty if unknown.
    pub region: &'a str,
    /// Claimed city; empty if unknown.
    pub city: &'a str,
    /// Latitude and longitude in degrees and radius in km, where the claim could be placed.
    pub point: Option<(f64, f64, u16)>,
    /// The roster assigns this device to the account.
    pub owns_device: bool,
    /// The roster assigns some device to the account.
    pub has_device: bool,
    /// First day of employment, days since the epoch.
    pub hire_day: Option<i32>,
}

/// A place, as far as rules over several accounts need it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LinkPlace<'a> {
    /// City; empty if unknown.
    pub city: &'a str,
    /// Region; empty if unknown.
    pub region: &'a str,
    /// Country, alpha-2.
    pub country: &'a str,
    /// Degrees.
    pub latitude: f64,
    /// Degrees.
    pub longitude: f64,
    /// Error radius, km.
    pub radius_km: u16,
}

/// A network, borrowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkNetwork<'a> {
    /// Class.
    pub class: NetworkClass,
    /// Site or brand; empty if none.
    pub label: &'a str,
    /// Autonomous system number; 0 if unknown.
    pub asn: u32,
    /// Autonomous system's organization; empty if unknown.
    pub organization: &'a str,
}

/// What the account's own window says about it, for the rules that compare accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountSummary<'a> {
    /// Days on which the account used this very thing, within its window.
    pub days_on_entity: u16,
    /// Days on which the account signed in from an address that locates it, within its window.
    pub days_located: u16,
    /// Of those, days on which it was only ever far from its claim.
    pub days_away: u16,
    /// Kilometers between claim and place that no error radius explains, for this event.
    pub claim_gap_km: u32,
    /// Remote-access tools seen for the account, with the device that showed them.
    pub remote_tools: Vec<&'a str>,
    /// Commercial VPN brands the account used, by network or client.
    pub vpn_brands: Vec<&'a str>,
    /// KVM-over-IP hardware or software seen.
    pub kvm: Vec<&'a str>,
    /// Remote-desktop logons into the account's device while it was at work.
    pub rdp_relays: u16,
    /// Where remote-desktop logons came from: address, provider and place as a person would write them.
    pub operators: Vec<&'a str>,
    /// Devices the account used within its window.
    pub devices: u16,
}

impl AccountSummary<'_> {
    /// Whether it tells of anything that a rule may hold against the account on a network: a day away, a tool, a VPN brand,
    /// KVM hardware, a relay. Most tell of none, and need not be read to be counted.
    #[must_use]
    pub fn is_remarkable(&self) -> bool {
        let is_any_named = [&self.remote_tools, &self.vpn_brands, &self.kvm]
            .iter()
            .any(|names| !names.is_empty());
        self.days_away > 0 || self.rdp_relays > 0 || is_any_named
    }
}

impl<'a> LinkClaim<'a> {
    /// The claim, and whether the device is among those that the roster assigns.
    #[must_use]
    pub fn of(claim: ClaimRef<'a>, device: &str) -> Self {
        Self {
            kind: claim.terms.kind,
            employer: &claim.terms.employer,
            country: &claim.terms.country,
            region: &claim.terms.region,
            city: &claim.terms.city,
            point: claim
                .terms
                .point
                .map(|p| (p.point.latitude, p.point.longitude, p.radius_km)),
            has_device: !claim.devices.is_empty(),
            owns_device: !device.is_empty() && claim.devices.iter().any(|owned| owned.eq_ignore_ascii_case(device)),
            hire_day: claim.hire_day,
        }
    }

    /// Whether the roster names any place.
    #[must_use]
    pub fn names_a_place(&self) -> bool {
        self.point.is_some() || !self.country.is_empty() || !self.region.is_empty() || !self.city.is_empty()
    }

    /// `Austin, Texas, US`; empty if the roster names no place.
    #[must_use]
    pub fn label(&self) -> String {
        match joined([self.city, self.region, self.country]) {
            label if label.is_empty() && self.point.is_some() => "no claimed place".to_owned(),
            label => label,
        }
    }
}

impl<'a> LinkPlace<'a> {
    /// The place.
    #[must_use]
    pub fn of(place: &'a Place) -> Self {
        Self {
            city: &place.city,
            region: &place.region,
            country: &place.country,
            latitude: place.point.latitude,
            longitude: place.point.longitude,
            radius_km: place.radius_km,
        }
    }

    /// `Las Vegas, NV, US`.
    #[must_use]
    pub fn label(&self) -> String {
        match joined([self.city, self.region, self.country]) {
            label if label.is_empty() => "unknown place".to_owned(),
            label => label,
        }
    }
}

impl<'a> LinkNetwork<'a> {
    /// The network.
    #[must_use]
    pub fn of(network: &'a Network) -> Self {
        Self {
            class: network.class,
            label: &network.label,
            asn: network.asn,
            organization: &network.organization,
        }
    }
}

fn joined(parts: [&str; 3]) -> String {
    let mut all = String::new();
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        if !all.is_empty() {
            all.push_str(", ");
        }
        all.push_str(part);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_leave_out_what_is_unknown() {
        let claim = LinkClaim {
            city: "Austin",
            country: "US",
            ..LinkClaim::default()
        };
        assert_eq!(claim.label(), "Austin, US");
        assert_eq!(LinkClaim::default().label(), "");
        assert_eq!(LinkPlace::default().label(), "unknown place");
    }
}
