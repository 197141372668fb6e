//! Where an address is, and how wrong that may be.

use super::geo::Point;

/// Error radius assumed for a city record without one, km: measured agreement of two good databases at city scale.
pub const CITY_RADIUS_KM: u16 = 50;
/// Error radius assumed for a record that names only a region, km.
pub const REGION_RADIUS_KM: u16 = 300;
/// Error radius assumed for a record that names only a country, km; larger countries have their own.
pub const COUNTRY_RADIUS_KM: u16 = 1_000;

/// How precisely a place is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Scale {
    /// A city.
    City = 0,
    /// A region, state or province.
    Region = 1,
    /// Only a country.
    Country = 2,
}

/// Where an address is.
#[derive(Clone, Debug, PartialEq)]
// What is asked for with every observation comes first, in one line of the cache with the count of who holds the place.
#[repr(C)]
pub struct Place {
    /// Center of the place.
    pub point: Point,
    /// Radius around `point`, km, that holds the true position with fair certainty. Never 0.
    pub radius_km: u16,
    /// How precisely it is known.
    pub scale: Scale,
    /// ISO 3166-1 alpha-2, upper case; empty if unknown.
    pub country: String,
    /// Region: ISO 3166-2 subdivision code without country where known, else its name; empty if unknown.
    pub region: String,
    /// Region's English name; empty if unknown.
    pub region_name: String,
    /// City's English name; empty if unknown.
    pub city: String,
}

impl Place {
    /// `Milton, WA, US`: what a person calls the place.
    #[must_use]
    pub fn label(&self) -> String {
        let parts = [self.city.as_str(), self.region.as_str(), self.country.as_str()];
        let known: Vec<&str> = parts.into_iter().filter(|p| !p.is_empty()).collect();
        if known.is_empty() {
            "unknown place".to_owned()
        } else {
            known.join(", ")
        }
    }
}
