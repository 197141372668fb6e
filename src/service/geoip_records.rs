//! Records of GeoIP databases as the files spell them, and what they mean. Unknown keys are passed over.

use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::enrich::places::PlaceFacts;
use crate::enrich::us_states;
use crate::model::NetworkClass;

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Names<'a> {
    #[serde(borrow)]
    en: Option<&'a str>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Named<'a> {
    #[serde(borrow)]
    iso_code: Option<&'a str>,
    #[serde(borrow)]
    names: Names<'a>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Location {
    latitude: Option<Degrees>,
    longitude: Option<Degrees>,
    accuracy_radius: Option<u16>,
}

/// A coordinate: MaxMind writes doubles, DB-IP floats, IPinfo text.
#[derive(Clone, Copy, Debug)]
struct Degrees(f64);

struct DegreesVisitor;

impl Visitor<'_> for DegreesVisitor {
    type Value = Degrees;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("degrees")
    }
    fn visit_f64<E: de::Error>(self, degrees: f64) -> Result<Degrees, E> {
        Ok(Degrees(degrees))
    }
    fn visit_f32<E: de::Error>(self, degrees: f32) -> Result<Degrees, E> {
        Ok(Degrees(degrees.into()))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Degrees, E> {
        text.parse().map(Degrees).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Degrees {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DegreesVisitor)
    }
}

/// A record as MaxMind's City, Enterprise and Country have it.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct NestedPlace<'a> {
    #[serde(borrow)]
    city: Named<'a>,
    #[serde(borrow)]
    country: Named<'a>,
    location: Location,
    #[serde(borrow)]
    subdivisions: Vec<Named<'a>>,
}

impl<'a> NestedPlace<'a> {
    pub(super) fn facts(&self) -> PlaceFacts<'a> {
        let region = self.subdivisions.first();
        let region_name = region.and_then(|region| region.names.en).unwrap_or("");
        let country = self.country.iso_code.unwrap_or("");
        PlaceFacts {
            country,
            region: region.and_then(|region| region.iso_code).unwrap_or(region_name),
            region_name,
            city: self.city.names.en.unwrap_or(""),
            latitude: self.location.latitude.map(|degrees| degrees.0),
            longitude: self.location.longitude.map(|degrees| degrees.0),
            radius_km: self.location.accuracy_radius,
        }
    }
}

/// A record as DB-IP's City has it in the packages of ip-location-db.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct FlatPlace<'a> {
    #[serde(borrow)]
    country_code: Option<&'a str>,
    #[serde(borrow)]
    state1: Option<&'a str>,
    #[serde(borrow)]
    city: Option<&'a str>,
    latitude: Option<Degrees>,
    longitude: Option<Degrees>,
}

impl<'a> FlatPlace<'a> {
    pub(super) fn facts(&self) -> PlaceFacts<'a> {
        let country = self.country_code.unwrap_or("");
        let region_name = self.state1.unwrap_or("");
        let code = (country == "US").then(|| us_states::code(region_name)).flatten();
        PlaceFacts {
            country,
            region: code.unwrap_or(region_name),
            region_name,
            city: self.city.unwrap_or(""),
            latitude: self.latitude.map(|degrees| degrees.0),
            longitude: self.longitude.map(|degrees| degrees.0),
            radius_km: None,
        }
    }
}

/// A record as MaxMind's ASN and ISP, and the flat ASN databases have it.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct System<'a> {
    pub(super) autonomous_system_number: Option<u32>,
    #[serde(borrow)]
    pub(super) autonomous_system_organization: Option<&'a str>,
}

/// A record of MaxMind's anonymizer databases; a flag is there only when it is true.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "the flags are the format's")]
pub(super) struct Flags<'a> {
    is_anonymous: bool,
    is_anonymous_vpn: bool,
    is_hosting_provider: bool,
    is_public_proxy: bool,
    is_residential_proxy: bool,
    is_tor_exit_node: bool,
    #[serde(borrow)]
    pub(super) provider_name: Option<&'a str>,
    #[serde(borrow)]
    connection_type: Option<&'a str>,
}

impl Flags<'_> {
    /// The most telling flag: an exit of Tor in a data center is Tor.
    pub(super) fn class(&self) -> NetworkClass {
        if self.is_tor_exit_node {
            NetworkClass::Tor
        } else if self.is_residential_proxy {
            NetworkClass::ResidentialProxy
        } else if self.is_anonymous_vpn {
            NetworkClass::Vpn
        } else if self.is_public_proxy {
            NetworkClass::Proxy
        } else if self.is_hosting_provider {
            NetworkClass::Hosting
        } else if self.is_anonymous {
            NetworkClass::Proxy
        } else {
            match self.connection_type {
                Some("Cellular") => NetworkClass::Mobile,
                Some("Satellite") => NetworkClass::Satellite,
                _ => NetworkClass::Unknown,
            }
        }
    }
}
