//! What HR says about an account: who employs the person, from where they claim to work, and approved travel.

use serde::{Deserialize, Serialize};

use super::geo::Point;
use super::place::Scale;

/// How the person is employed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum AccountKind {
    /// The roster does not say, or does not know the account.
    #[default]
    Unknown = 0,
    /// On the payroll.
    Employee = 1,
    /// Contractor or agency worker.
    Contractor = 2,
    /// No person: a service account.
    Service = 3,
}

/// What HR says about one account, resolved to a point where possible.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claim {
    /// Employment.
    pub kind: AccountKind,
    /// Employer or staffing firm; empty if unknown.
    pub employer: String,
    /// Claimed country, ISO 3166-1 alpha-2 upper case; empty if unknown.
    pub country: String,
    /// Claimed region as the roster spells it; empty if unknown.
    pub region: String,
    /// Claimed city as the roster spells it; empty if unknown.
    pub city: String,
    /// Center of the claimed place: the roster's coordinates, or its city or region looked up in the GeoIP database.
    pub point: Option<ClaimedPoint>,
    /// IANA time zone; empty if unknown.
    pub time_zone: String,
    /// Countries the person may also work from, alpha-2 upper case.
    pub allowed_countries: Vec<String>,
    /// First day of employment, days since the Unix epoch.
    pub hire_day: Option<i32>,
    /// Device ids assigned to the person, lower case.
    pub devices: Vec<String>,
}

/// Center of a claimed place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClaimedPoint {
    /// Center.
    pub point: Point,
    /// Radius around it that counts as the claimed place, km.
    pub radius_km: u16,
    /// How precisely the claim is stated.
    pub scale: Scale,
}

/// One approved journey.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Travel {
    /// First day, days since the Unix epoch.
    pub from_day: i32,
    /// Last day, inclusive.
    pub to_day: i32,
    /// Country, alpha-2 upper case; empty if the approval names none.
    pub country: String,
    /// City; empty if the approval names none.
    pub city: String,
    /// Center, if known.
    pub point: Option<Point>,
    /// Approval reference; empty if none.
    pub ticket: String,
}

impl Claim {
    /// Whether the roster says anything about where the person works.
    #[must_use]
    pub fn names_a_place(&self) -> bool {
        self.point.is_some() || !self.country.is_empty()
    }

    /// `Austin, Texas, US`: the claim as a person would say it.
    #[must_use]
    pub fn label(&self) -> String {
        let parts = [self.city.as_str(), self.region.as_str(), self.country.as_str()];
        let known: Vec<&str> = parts.into_iter().filter(|p| !p.is_empty()).collect();
        if known.is_empty() {
            "no claimed place".to_owned()
        } else {
            known.join(", ")
        }
    }
}
