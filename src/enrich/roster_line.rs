//! One line of a roster or travel file, from CSV or JSON, checked field by field.

use std::sync::Arc;

use jiff::civil::{Date, date};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};

use crate::model::account::Account;
use crate::model::claim::{ClaimedPoint, DeviceIds};
use crate::model::geo::Point;
use crate::model::place::CITY_RADIUS_KM;
use crate::model::{AccountKind, Claim, Scale, Terms, Travel};

use super::countries;
use super::gazetteer::NamedPlace;
use super::problem::{Complaint, quoted};

/// What separates the entries of a list in CSV.
const LIST_SEPARATOR: char = ';';
/// Entries of a list at most: aliases, devices, allowed countries, journeys.
const LIST_ENTRIES_MAX: usize = 1_000;
/// Longest approved journey, days: a longer stay is a new claimed place, and an approval never ends open.
const TRAVEL_DAYS_MAX: i32 = 366;
/// Longest radius of a claim, km: half the way around the Earth.
const RADIUS_KM_MAX: f64 = 20_000.0;
/// A claimed radius up to this, km, states a city.
const CITY_SCALE_KM_MAX: u16 = 150;
/// A claimed radius up to this, km, states a region; a larger one says no more than a country.
const REGION_SCALE_KM_MAX: u16 = 600;

/// A line of the roster before it is checked. Everything is text: CSV has nothing else, and JSON's numbers are
/// written back.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RosterLine {
    pub(super) account: Text,
    aliases: List,
    kind: Text,
    employer: Text,
    country: Text,
    region: Text,
    city: Text,
    latitude: Text,
    longitude: Text,
    radius_km: Text,
    time_zone: Text,
    allowed_countries: List,
    hire_date: Text,
    devices: List,
    travel: Vec<TravelLine>,
}

/// A journey before it is checked.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TravelLine {
    pub(super) account: Text,
    from: Text,
    to: Text,
    country: Text,
    city: Text,
    latitude: Text,
    longitude: Text,
    ticket: Text,
}

/// A line whose fields can be set by name.
pub(super) trait Columns: Default {
    /// All columns.
    const NAMES: &'static [&'static str];
    /// What to do about a column of that name, which is none of these.
    fn remedy(_unknown: &str) -> &'static str {
        "remove it"
    }
    /// Sets the column of that name; false if there is none.
    fn set(&mut self, name: &str, value: &str) -> bool;
}

impl Columns for RosterLine {
    const NAMES: &'static [&'static str] = &[
        "account",
        "aliases",
        "kind",
        "employer",
        "country",
        "region",
        "city",
        "latitude",
        "longitude",
        "radius_km",
        "time_zone",
        "allowed_countries",
        "hire_date",
        "devices",
    ];

    fn remedy(unknown: &str) -> &'static str {
        let is_travel = unknown == "travel" || TravelLine::NAMES.contains(&unknown);
        if is_travel {
            "travel comes in a file of its own"
        } else {
            "correct its name, or remove it"
        }
    }

    fn set(&mut self, name: &str, value: &str) -> bool {
        match name {
            "account" => self.account = Text::of(value),
            "aliases" => self.aliases = List::of(value),
            "kind" => self.kind = Text::of(value),
            "employer" => self.employer = Text::of(value),
            "country" => self.country = Text::of(value),
            "region" => self.region = Text::of(value),
            "city" => self.city = Text::of(value),
            "latitude" => self.latitude = Text::of(value),
            "longitude" => self.longitude = Text::of(value),
            "radius_km" => self.radius_km = Text::of(value),
            "time_zone" => self.time_zone = Text::of(value),
            "allowed_countries" => self.allowed_countries = List::of(value),
            "hire_date" => self.hire_date = Text::of(value),
            "devices" => self.devices = List::of(value),
            _ => return false,
        }
        true
    }
}

impl Columns for TravelLine {
    const NAMES: &'static [&'static str] = &[
        "account",
        "from",
        "to",
        "country",
        "city",
        "latitude",
        "longitude",
        "ticket",
    ];

    fn set(&mut self, name: &str, value: &str) -> bool {
        match name {
            "account" => self.account = Text::of(value),
            "from" => self.from = Text::of(value),
            "to" => self.to = Text::of(value),
            "country" => self.country = Text::of(value),
            "city" => self.city = Text::of(value),
            "latitude" => self.latitude = Text::of(value),
            "longitude" => self.longitude = Text::of(value),
            "ticket" => self.ticket = Text::of(value),
            _ => return false,
        }
        true
    }
}

/// What the roster says about one account, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Entry {
    pub(super) account: String,
    pub(super) aliases: Vec<String>,
    /// Without a point where only names were given.
    pub(super) claim: Claim,
    pub(super) radius_km: Option<u16>,
    pub(super) travels: Vec<Travel>,
}

impl Entry {
    /// The names to look up, if the claim has no coordinates of its own.
    pub(super) fn unplaced(&self) -> Option<NamedPlace> {
        let claim = &self.claim.terms;
        let is_named = !claim.city.is_empty() || !claim.region.is_empty();
        (claim.point.is_none() && is_named).then(|| NamedPlace {
            country: claim.country.clone(),
            region: claim.region.clone(),
            city: claim.city.clone(),
        })
    }
}

/// The names to look up, if the journey has a city without coordinates.
pub(super) fn unplaced_travel(travel: &Travel) -> Option<NamedPlace> {
    (travel.point.is_none() && !travel.city.is_empty()).then(|| NamedPlace {
        country: travel.country.clone(),
        region: String::new(),
        city: travel.city.clone(),
    })
}

impl RosterLine {
    /// Checks every field.
    pub(super) fn check(self) -> Result<Entry, Complaint> {
        let account = canonical("account", &self.account.0)?;
        let aliases = self
            .aliases
            .0
            .iter()
            .map(|alias| canonical("aliases", alias))
            .collect::<Result<_, _>>()?;
        let radius_km = radius(&self.radius_km.0)?;
        let point = coordinates(&self.latitude.0, &self.longitude.0)?.map(|point| {
            let radius_km = radius_km.unwrap_or(CITY_RADIUS_KM);
            ClaimedPoint {
                point,
                radius_km,
                scale: scale(radius_km),
            }
        });
        let allowed = self
            .allowed_countries
            .0
            .iter()
            .map(|text| country("allowed_countries", text));
        let devices: Vec<String> = self.devices.0.iter().map(|device| device.to_lowercase()).collect();
        let terms = Terms {
            kind: kind(&self.kind.0)?,
            employer: self.employer.0,
            country: country("country", &self.country.0)?,
            region: self.region.0,
            city: self.city.0,
            point,
            time_zone: time_zone(&self.time_zone.0)?,
            allowed_countries: allowed.collect::<Result<_, _>>()?,
        };
        let claim = Claim {
            terms: Arc::new(terms),
            hire_day: day("hire_date", &self.hire_date.0)?,
            devices: DeviceIds::new(devices.iter().map(String::as_str)),
        };
        let mut travels = Vec::new();
        for travel in self.travel.into_iter().take(LIST_ENTRIES_MAX) {
            travels.push(travel.check()?);
        }
        Ok(Entry {
            account,
            aliases,
            claim,
            radius_km,
            travels,
        })
    }
}

impl TravelLine {
    /// Checks every field but the account.
    pub(super) fn check(self) -> Result<Travel, Complaint> {
        let required = |name: &str, text: &str| {
            day(name, text)?.ok_or_else(|| {
                Complaint::new(
                    format!("{name} is missing: travel is never open-ended"),
                    "give the first and the last day as YYYY-MM-DD",
                )
            })
        };
        let (from_day, to_day) = (required("from", &self.from.0)?, required("to", &self.to.0)?);
        if to_day < from_day {
            let what = format!("to {} is before from {}", quoted(&self.to.0), quoted(&self.from.0));
            return Err(Complaint::new(what, "exchange the two dates"));
        }
        if to_day - from_day >= TRAVEL_DAYS_MAX {
            let what = format!(
                "to {} is more than {TRAVEL_DAYS_MAX} days after from",
                quoted(&self.to.0)
            );
            return Err(Complaint::new(
                what,
                "change the claimed place instead, or approve a shorter stay",
            ));
        }
        Ok(Travel {
            from_day,
            to_day,
            country: country("country", &self.country.0)?,
            city: self.city.0,
            point: coordinates(&self.latitude.0, &self.longitude.0)?,
            ticket: self.ticket.0,
        })
    }
}

/// The account's canonical spelling.
pub(super) fn canonical(field: &str, name: &str) -> Result<String, Complaint> {
    match Account::canonical(name) {
        Ok(account) => Ok(account.as_str().to_owned()),
        Err(refusal) => Err(Complaint::new(
            format!("{field} {} names nobody: {}", quoted(name), refusal.reason()),
            "write the account's own name",
        )),
    }
}

fn kind(text: &str) -> Result<AccountKind, Complaint> {
    match text.to_ascii_lowercase().as_str() {
        "" => Ok(AccountKind::Unknown),
        "employee" => Ok(AccountKind::Employee),
        "contractor" => Ok(AccountKind::Contractor),
        "service" => Ok(AccountKind::Service),
        _ => Err(Complaint::new(
            format!("kind {} is unknown", quoted(text)),
            "use employee, contractor or service",
        )),
    }
}

fn country(field: &str, text: &str) -> Result<String, Complaint> {
    if text.is_empty() {
        return Ok(String::new());
    }
    countries::code(text).map(str::to_owned).ok_or_else(|| {
        let remedy = countries::meant(text).map_or_else(
            || "use the two letters of ISO 3166-1, such as US".to_owned(),
            |meant| format!("write {meant}"),
        );
        Complaint::new(format!("{field} {} is no country code", quoted(text)), remedy)
    })
}

fn time_zone(text: &str) -> Result<String, Complaint> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let zone = jiff::tz::TimeZone::get(text).ok();
    let name = zone.as_ref().and_then(|zone| zone.iana_name());
    name.map(str::to_owned).ok_or_else(|| {
        Complaint::new(
            format!("time_zone {} is no IANA time zone", quoted(text)),
            "write it as America/Chicago",
        )
    })
}

fn day(field: &str, text: &str) -> Result<Option<i32>, Complaint> {
    if text.is_empty() {
        return Ok(None);
    }
    let day: Date = text
        .parse()
        .map_err(|_| Complaint::new(format!("{field} {} is no date", quoted(text)), "write it as YYYY-MM-DD"))?;
    let hours = day.duration_since(date(1970, 1, 1)).as_hours();
    Ok(i32::try_from(hours.div_euclid(24)).ok())
}

fn coordinates(latitude: &str, longitude: &str) -> Result<Option<Point>, Complaint> {
    match (latitude, longitude) {
        ("", "") => Ok(None),
        ("", _) => Err(Complaint::new("latitude is missing", "give both coordinates or none")),
        (_, "") => Err(Complaint::new("longitude is missing", "give both coordinates or none")),
        _ => {
            let parse = |text: &str| text.parse::<f64>().ok();
            let point = parse(latitude)
                .zip(parse(longitude))
                .and_then(|(lat, lon)| Point::new(lat, lon));
            let bad = || {
                Complaint::new(
                    format!(
                        "latitude {}, longitude {} is no point",
                        quoted(latitude),
                        quoted(longitude)
                    ),
                    "give degrees, latitude from -90 to 90 and longitude from -180 to 180, with a decimal point",
                )
            };
            point.map(Some).ok_or_else(bad)
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be 1 to 20 000"
)]
fn radius(text: &str) -> Result<Option<u16>, Complaint> {
    if text.is_empty() {
        return Ok(None);
    }
    let radius_km = text.parse::<f64>().ok().filter(|km| (1.0..=RADIUS_KM_MAX).contains(km));
    let bad = || {
        Complaint::new(
            format!("radius_km {} is no radius", quoted(text)),
            format!("give kilometers from 1 to {RADIUS_KM_MAX}"),
        )
    };
    radius_km.map(|km| Some(km.ceil() as u16)).ok_or_else(bad)
}

/// How precise a claim of that radius is.
fn scale(radius_km: u16) -> Scale {
    if radius_km <= CITY_SCALE_KM_MAX {
        Scale::City
    } else if radius_km <= REGION_SCALE_KM_MAX {
        Scale::Region
    } else {
        Scale::Country
    }
}

/// Text, or a number or truth value as JSON writes it; trimmed.
#[derive(Clone, Debug, Default)]
pub(super) struct Text(pub(super) String);

impl Text {
    fn of(text: &str) -> Self {
        Self(text.trim().to_owned())
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("text or a number")
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text::of(text))
    }
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Text, E> {
        Ok(Text(number.to_string()))
    }
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Text, E> {
        Ok(Text(number.to_string()))
    }
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Text, E> {
        Ok(Text(number.to_string()))
    }
    fn visit_unit<E: de::Error>(self) -> Result<Text, E> {
        Ok(Text::default())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

/// A list: in JSON an array, in CSV (and, leniently, in JSON) text with `;` between the entries.
#[derive(Clone, Debug, Default)]
pub(super) struct List(Vec<String>);

impl List {
    fn of(text: &str) -> Self {
        let entries = text
            .split(LIST_SEPARATOR)
            .map(str::trim)
            .filter(|entry| !entry.is_empty());
        Self(entries.map(str::to_owned).take(LIST_ENTRIES_MAX).collect())
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = List;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of text")
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<List, E> {
        Ok(List::of(text))
    }
    fn visit_unit<E: de::Error>(self) -> Result<List, E> {
        Ok(List::default())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<List, A::Error> {
        let mut list = Vec::new();
        while let Some(Text(entry)) = entries.next_element()? {
            if list.len() < LIST_ENTRIES_MAX && !entry.is_empty() {
                list.push(entry);
            }
        }
        Ok(List(list))
    }
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor)
    }
}
