//! What kind of network an address belongs to.

use serde::{Deserialize, Serialize};

/// Class of a network, from the operator's lists or an anonymizer database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum NetworkClass {
    /// Nothing is known: an ordinary access network for all we know.
    #[default]
    Unknown = 0,
    /// The company's own egress: office, VPN concentrator, cloud proxy.
    Corporate = 1,
    /// Commercial VPN.
    Vpn = 2,
    /// Data center or hosting provider.
    Hosting = 3,
    /// Tor exit.
    Tor = 4,
    /// Privacy relay, e.g. Apple's.
    Relay = 5,
    /// Mobile carrier: gateways far from the phone, shared by many.
    Mobile = 6,
    /// Satellite or in-flight network.
    Satellite = 7,
    /// Known residential access network.
    Residential = 8,
    /// Cloud desktop (VDI): the person is elsewhere.
    CloudDesktop = 9,
    /// Residential proxy: a home address rented to others.
    ResidentialProxy = 10,
    /// Public proxy.
    Proxy = 11,
}

impl NetworkClass {
    /// All classes, in the order of their codes.
    pub const ALL: [Self; 12] = [
        Self::Unknown,
        Self::Corporate,
        Self::Vpn,
        Self::Hosting,
        Self::Tor,
        Self::Relay,
        Self::Mobile,
        Self::Satellite,
        Self::Residential,
        Self::CloudDesktop,
        Self::ResidentialProxy,
        Self::Proxy,
    ];

    /// The class as the lists spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Corporate => "corporate",
            Self::Vpn => "vpn",
            Self::Hosting => "hosting",
            Self::Tor => "tor",
            Self::Relay => "relay",
            Self::Mobile => "mobile",
            Self::Satellite => "satellite",
            Self::Residential => "residential",
            Self::CloudDesktop => "cloud_desktop",
            Self::ResidentialProxy => "residential_proxy",
            Self::Proxy => "proxy",
        }
    }

    /// The class with that spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|class| class.as_str().eq_ignore_ascii_case(text.trim()))
    }

    /// The class with that code, for the packed encodings.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// Whether the address says where the *person* is. A relay, an egress or a satellite says where the relay is,
    /// and a phone's gateway stands wherever its carrier put it: roaming data is routed through the home country
    /// (GSMA IR.88, home-routed roaming).
    #[must_use]
    pub fn locates_person(self) -> bool {
        matches!(self, Self::Unknown | Self::Residential)
    }

    /// Whether the class hides the person on purpose.
    #[must_use]
    pub fn is_anonymizer(self) -> bool {
        matches!(
            self,
            Self::Vpn | Self::Hosting | Self::Tor | Self::ResidentialProxy | Self::Proxy
        )
    }

    /// Whether many unrelated people share one address of this class.
    #[must_use]
    pub fn is_shared_by_design(self) -> bool {
        !matches!(self, Self::Unknown | Self::Residential | Self::ResidentialProxy)
    }
}

/// The network an address belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
// The class comes first, as the facts of a place do.
#[repr(C)]
pub struct Network {
    /// Class; [`NetworkClass::Unknown`] if no list names it.
    pub class: NetworkClass,
    /// Autonomous system number; 0 if unknown.
    pub asn: u32,
    /// Site or brand: `Astrill`, `Berlin office`; empty if unknown.
    pub label: String,
    /// Autonomous system's organization; empty if unknown.
    pub organization: String,
}
