//! "This account used that thing": what the accounts stage tells the window of a shared device or network.

use std::borrow::Cow;

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

/// Text of a link where serde would not borrow a [`Cow`] by itself: in an option or a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl Text<'_> {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn into_owned(self) -> Text<'static> {
        Text(Cow::Owned(self.0.into_owned()))
    }
}

/// What is as if it were not there is not written.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// One tie between an account and a thing that others may share, with what the account's window knows
/// that the thing's rules need. Written as JSON to `links`, one to a line, because other programs may read them; what is
/// empty, zero or false is left out. Text is borrowed: from the account's window when it is written, from the record
/// when it is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link<'a> {
    /// Kind of the thing.
    pub entity_kind: EntityKind,
    /// The thing as evidence names it: an address or /64, a device id, a factor id.
    #[serde(borrow)]
    pub entity: Cow<'a, str>,
    /// The account, canonical.
    #[serde(borrow)]
    pub account: Cow<'a, str>,
    /// Event time of the account's first use of the thing within its window, ms.
    pub first_ms: i64,
    /// Event time of its latest use, ms.
    pub time_ms: i64,
    /// Append time of the source's record that led here, ms: the clock of the window that takes the link.
    pub clock_ms: i64,
    /// Id of that event.
    #[serde(borrow)]
    pub event_id: Cow<'a, str>,
    /// Product that wrote the event.
    #[serde(borrow)]
    pub product: Cow<'a, str>,
    /// Source address of that event, if it has one.
    #[serde(borrow, default, skip_serializing_if = "is_default")]
    pub address: Option<Text<'a>>,
    /// Device of that event, if it has one.
    #[serde(borrow, default, skip_serializing_if = "is_default")]
    pub device: Option<Text<'a>>,
    /// The device id is a browser fingerprint.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fingerprint: bool,
    /// What the account claims.
    #[serde(borrow)]
    pub claim: LinkClaim<'a>,
    /// Where the event was seen.
    #[serde(borrow, default, skip_serializing_if = "is_default")]
    pub place: Option<LinkPlace<'a>>,
    /// Network class and label.
    pub network_class: NetworkClass,
    /// Site or brand of the network; empty if none.
    #[serde(borrow, default, skip_serializing_if = "is_default")]
    pub network_label: Cow<'a, str>,
    /// Autonomous system number; 0 if unknown.
    #[serde(default, skip_serializing_if = "is_default")]
    pub asn: u32,
    /// Autonomous system's organization; empty if unknown.
    #[serde(borrow, default, skip_serializing_if = "is_default")]
    pub organization: Cow<'a, str>,
    /// What else the account's window knows.
    #[serde(borrow)]
    pub account_facts: AccountSummary<'a>,
    /// Builds of the data that placed the event.
    #[serde(borrow)]
    pub data_versions: Cow<'a, str>,
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
pub struct LinkClaim<'a> {
    /// Employment.
    pub kind: AccountKind,
    /// Employer; empty if unknown.
    #[serde(borrow, default, skip_serializing_if = "is_default")]
    pub employer: Cow<'a, str>,
    /// `Austin, Texas, US`; empty if the roster names no place.
    #[serde(borrow, default, skip_serializing_if = "is_default")]
    pub label: Cow<'a, str>,
    /// Claimed country, alpha-2; empty if unknown.
    #[serde(borrow, default, skip_serializing_if = "is_default")]
    pub country: Cow<'a, str>,
    /// Latitude and longitude in degrees and radius in km, where the claim could be placed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub point: Option<(f64, f64, u16)>,
    /// The roster assigns this device to the account.
    #[serde(default, skip_serializing_if = "is_default")]
    pub owns_device: bool,
    /// The roster assigns some device to the account.
    #[serde(default, skip_serializing_if = "is_default")]
    pub has_device: bool,
    /// First day of employment, days since the epoch.
    #[serde(default, skip_serializing_if = "is_default")]
    pub hire_day: Option<i32>,
}

/// A place, as far as rules over several accounts need it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkPlace<'a> {
    /// `Las Vegas, NV, US`.
    #[serde(borrow, default, skip_serializing_if = "is_default")]
    pub label: Cow<'a, str>,
    /// City; empty if unknown.
    #[serde(borrow, default, skip_serializing_if = "is_default")]
    pub city: Cow<'a, str>,
    /// Region; empty if unknown.
    #[serde(borrow, default, skip_serializing_if = "is_default")]
    pub region: Cow<'a, str>,
    /// Country, alpha-2.
    #[serde(borrow, default, skip_serializing_if = "is_default")]
    pub country: Cow<'a, str>,
    /// Degrees.
    pub latitude: f64,
    /// Degrees.
    pub longitude: f64,
    /// Error radius, km.
    pub radius_km: u16,
}

/// What the account's own window says about it, for the rules that compare accounts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AccountSummary<'a> {
    /// Days on which the account used this very thing, within its window.
    pub days_on_entity: u16,
    /// Days on which the account signed in from an address that locates it, within its window.
    pub days_located: u16,
    /// Of those, days on which it was only ever far from its claim.
    #[serde(default, skip_serializing_if = "is_default")]
    pub days_away: u16,
    /// Kilometers between claim and place that no error radius explains, for this event.
    #[serde(default, skip_serializing_if = "is_default")]
    pub claim_gap_km: u32,
    /// Remote-access tools seen for the account, with the device that showed them.
    #[serde(borrow, default, skip_serializing_if = "is_default")]
    pub remote_tools: Vec<Text<'a>>,
    /// Commercial VPN brands the account used, by network or client.
    #[serde(borrow, default, skip_serializing_if = "is_default")]
    pub vpn_brands: Vec<Text<'a>>,
    /// KVM-over-IP hardware or software seen.
    #[serde(borrow, default, skip_serializing_if = "is_default")]
    pub kvm: Vec<Text<'a>>,
    /// Remote-desktop logons into the account's device while it was at work.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rdp_relays: u16,
    /// Devices the account used within its window.
    pub devices: u16,
}

impl LinkClaim<'_> {
    /// The same claim, owning its texts.
    #[must_use]
    pub fn to_owned(&self) -> LinkClaim<'static> {
        LinkClaim {
            kind: self.kind,
            employer: owned(&self.employer),
            label: owned(&self.label),
            country: owned(&self.country),
            point: self.point,
            owns_device: self.owns_device,
            has_device: self.has_device,
            hire_day: self.hire_day,
        }
    }
}

impl LinkPlace<'_> {
    /// The same place, owning its texts.
    #[must_use]
    pub fn to_owned(&self) -> LinkPlace<'static> {
        LinkPlace {
            label: owned(&self.label),
            city: owned(&self.city),
            region: owned(&self.region),
            country: owned(&self.country),
            latitude: self.latitude,
            longitude: self.longitude,
            radius_km: self.radius_km,
        }
    }
}

impl AccountSummary<'_> {
    /// The same summary, owning its texts.
    #[must_use]
    pub fn to_owned(&self) -> AccountSummary<'static> {
        let owned = |texts: &[Text<'_>]| texts.iter().cloned().map(Text::into_owned).collect();
        AccountSummary {
            days_on_entity: self.days_on_entity,
            days_located: self.days_located,
            days_away: self.days_away,
            claim_gap_km: self.claim_gap_km,
            remote_tools: owned(&self.remote_tools),
            vpn_brands: owned(&self.vpn_brands),
            kvm: owned(&self.kvm),
            rdp_relays: self.rdp_relays,
            devices: self.devices,
        }
    }
}

fn owned(text: &str) -> Cow<'static, str> {
    Cow::Owned(text.to_owned())
}
