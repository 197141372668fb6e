//! What HR says about an account: who employs the person, from where they claim to work, and approved travel.

use std::sync::Arc;

use arrayvec::ArrayString;
use serde::{Deserialize, Serialize};

use super::geo::Point;
use super::place::{Place, Scale};
use super::territories::is_in_country;

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
    /// What it has in common with others.
    pub terms: Arc<Terms>,
    /// First day of employment, days since the Unix epoch.
    pub hire_day: Option<i32>,
    /// Device ids assigned to the person, lower case.
    pub devices: DeviceIds,
}

/// A claim as an observation has it: what is written in a record of many is not copied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClaimRef<'a> {
    /// See [`Claim::terms`].
    pub terms: &'a Terms,
    /// See [`Claim::hire_day`].
    pub hire_day: Option<i32>,
    /// See [`Claim::devices`].
    pub devices: DeviceIdsRef<'a>,
}

impl Claim {
    /// The same claim, borrowed.
    #[must_use]
    pub fn borrowed(&self) -> ClaimRef<'_> {
        ClaimRef {
            terms: &self.terms,
            hire_day: self.hire_day,
            devices: self.devices.borrowed(),
        }
    }
}

/// For whom and from where somebody works. Many accounts share them, so there is one copy of each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
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
}

/// Device ids in one piece of memory, those of most people in place: who asks for them among a million accounts waits for
/// each piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceIds(Joined);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Joined {
    Short(ArrayString<{ DeviceIds::SHORT }>),
    Long(String),
}

impl Default for DeviceIds {
    fn default() -> Self {
        Self(Joined::Short(ArrayString::new()))
    }
}

impl DeviceIds {
    /// So many bytes, with what is between them, need no room of their own.
    pub const SHORT: usize = 23;
    /// Between two ids. A control character, which hardly an id contains: there it becomes a space.
    const BETWEEN: char = '\u{1f}';

    /// These ids, without empty ones.
    #[must_use]
    pub fn new<'a>(ids: impl Iterator<Item = &'a str>) -> Self {
        let mut joined = String::new();
        for id in ids.filter(|id| !id.is_empty()) {
            if !joined.is_empty() {
                joined.push(Self::BETWEEN);
            }
            joined.extend(id.chars().map(|c| if c == Self::BETWEEN { ' ' } else { c }));
        }
        let short = ArrayString::from(&joined).ok();
        Self(short.map_or(Joined::Long(joined), Joined::Short))
    }

    /// The same ids, borrowed.
    #[must_use]
    pub fn borrowed(&self) -> DeviceIdsRef<'_> {
        DeviceIdsRef(self.as_joined())
    }

    /// All of them as one text.
    #[must_use]
    #[inline]
    pub fn as_joined(&self) -> &str {
        match &self.0 {
            Joined::Short(ids) => ids,
            Joined::Long(ids) => ids,
        }
    }
}

/// [`DeviceIds`] that are kept elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceIdsRef<'a>(&'a str);

impl<'a> DeviceIdsRef<'a> {
    /// Those of [`DeviceIds::as_joined`].
    #[must_use]
    #[inline]
    pub fn of_joined(joined: &'a str) -> Self {
        Self(joined)
    }

    /// The ids.
    pub fn iter(self) -> impl Iterator<Item = &'a str> {
        self.0.split(DeviceIds::BETWEEN).filter(|id| !id.is_empty())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }
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

/// Kilometers around an approved city that count as being there: a metropolitan area and its airports.
const TRAVEL_CITY_KM: f64 = 150.0;

impl Travel {
    /// Whether it approves of being in that place. An approval that names no place approves the days.
    #[must_use]
    pub fn covers(&self, place: &Place) -> bool {
        if let Some(point) = self.point {
            return point.distance_km(place.point) <= TRAVEL_CITY_KM + f64::from(place.radius_km);
        }
        let in_country = self.country.is_empty() || is_in_country(&place.country, &self.country);
        // A city that no database knows, misspelled perhaps, is not the whole country. But where a place has no city, nobody
        // can tell that it is another.
        let is_untold = place.city.is_empty() && !self.country.is_empty();
        let in_city = self.city.is_empty() || is_untold || self.city.eq_ignore_ascii_case(&place.city);
        in_country && in_city
    }

    /// `approval TRV-17`
    #[must_use]
    pub fn label(&self) -> String {
        match self.ticket.as_str() {
            "" => "an approval without a ticket".to_owned(),
            ticket => format!("approval {ticket}"),
        }
    }

    /// The same, and why it does not cover a place.
    #[must_use]
    pub fn why_not(&self) -> String {
        if self.point.is_none() && !self.city.is_empty() {
            return format!("{} is for {}, of which no place is known", self.label(), self.city);
        }
        format!("{} is for another place", self.label())
    }
}

impl Terms {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approval_covers_what_it_names() {
        let place = |country: &str, city: &str| Place {
            point: Point::new(36.17, -115.14).unwrap(),
            radius_km: 20,
            scale: Scale::City,
            country: country.to_owned(),
            region: String::new(),
            region_name: String::new(),
            city: city.to_owned(),
        };
        let travel = |country: &str, city: &str, point| Travel {
            country: country.to_owned(),
            city: city.to_owned(),
            point,
            ..Travel::default()
        };
        let (las_vegas, somewhere) = (place("US", "Las Vegas"), place("US", ""));
        let seattle = Point::new(47.61, -122.33);
        for (country, city, point, covers) in [
            ("", "", None, [true, true]),
            ("US", "", None, [true, true]),
            ("CA", "", None, [false, false]),
            ("US", "LAS VEGAS", None, [true, true]),
            ("US", "Seatle", None, [false, true]),
            ("CA", "Las Vegas", None, [false, false]),
            ("", "Las Vegas", None, [true, false]),
            ("US", "Seattle", seattle, [false, false]),
            ("", "", Point::new(36.0, -114.0), [true, true]),
        ] {
            let travel = travel(country, city, point);
            let found = [&las_vegas, &somewhere].map(|place| travel.covers(place));
            assert_eq!(found, covers, "{travel:?}");
        }
    }

    #[test]
    fn an_approval_says_why_it_covers_a_place_not() {
        let why_not = |ticket: &str, city: &str, point| {
            let travel = Travel {
                ticket: ticket.to_owned(),
                city: city.to_owned(),
                point,
                ..Travel::default()
            };
            travel.why_not()
        };
        assert_eq!(
            why_not("T1", "Seatle", None),
            "approval T1 is for Seatle, of which no place is known"
        );
        let seattle = Point::new(47.61, -122.33);
        assert_eq!(why_not("T1", "Seattle", seattle), "approval T1 is for another place");
        assert_eq!(
            why_not("", "", None),
            "an approval without a ticket is for another place"
        );
    }

    #[test]
    fn device_ids_come_back_whatever_their_number_and_length() {
        for ids in [
            vec![],
            vec!["lt-1"],
            vec!["a", "b", "\u{fc}"],
            vec!["a device whose name is longer than most", "b"],
        ] {
            let joined = DeviceIds::new(ids.iter().copied());
            assert!(joined.borrowed().iter().eq(ids.iter().copied()), "{joined:?}");
            assert_eq!(joined.borrowed().is_empty(), ids.is_empty());
            assert_eq!(DeviceIdsRef::of_joined(joined.as_joined()), joined.borrowed());
        }
        let odd = DeviceIds::new(["", "a\u{1f}b", ""].into_iter());
        assert!(odd.borrowed().iter().eq(["a b"]));
    }
}
