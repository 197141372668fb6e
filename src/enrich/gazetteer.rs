//! Turns "Austin, Texas, US" into a point with an honest radius, from the places of the loaded databases.
//!
//! One pass over all places answers all claims of a roster, so nothing has to be kept for the next one.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::Scale;
use crate::model::claim::ClaimedPoint;
use crate::model::geo::Point;
use crate::model::place::CITY_RADIUS_KM;
use crate::model::territories::is_in_country;

use super::fold::fold;
use super::places::{PlaceRecord, PlaceTable};
use super::problem::{Complaint, quoted};
use super::us_states;

/// Share of all addresses of one name that a city must have to be meant without its region, in hundredths.
const DOMINANT_PERCENT: u64 = 90;
/// Share of a city's or region's places inside its radius, in hundredths.
const INSIDE_PERCENT: usize = 95;
/// Radius of a region at least, km.
const REGION_RADIUS_KM_MIN: f64 = 50.0;
/// Radius at most, km: places farther apart are not one.
const RADIUS_KM_MAX: f64 = 2_000.0;

/// A place as a roster names it. Parts may be empty; country is alpha-2.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedPlace {
    /// Country.
    pub country: String,
    /// Region, by name or code.
    pub region: String,
    /// City.
    pub city: String,
}

/// What was found, and what was not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Point, if any part finer than a country could be placed.
    pub point: Option<ClaimedPoint>,
    /// What could not be placed.
    pub complaint: Option<Complaint>,
}

/// Places all of `asked`.
#[must_use]
pub fn answers(places: &PlaceTable, asked: BTreeSet<NamedPlace>) -> BTreeMap<NamedPlace, Answer> {
    let candidates = Candidates::of(places, &asked);
    asked
        .into_iter()
        .map(|named| {
            let answer = candidates.answer(&named);
            (named, answer)
        })
        .collect()
}

/// The records whose city or region is asked for, by folded name.
struct Candidates<'a> {
    places: &'a PlaceTable,
    cities: BTreeMap<String, Vec<(&'a PlaceRecord, u32)>>,
    regions: BTreeMap<String, Vec<(&'a PlaceRecord, u32)>>,
}

impl<'a> Candidates<'a> {
    fn of(places: &'a PlaceTable, asked: &BTreeSet<NamedPlace>) -> Self {
        let empty = || Vec::new();
        let mut cities: BTreeMap<String, Vec<_>> = asked.iter().map(|p| (fold(&p.city), empty())).collect();
        let mut regions: BTreeMap<String, Vec<_>> = asked.iter().map(|p| (fold(&p.region), empty())).collect();
        cities.remove("");
        regions.remove("");
        // Text is folded once per spelling, not once per place.
        let folded: Vec<Option<String>> = places
            .strings()
            .iter()
            .map(fold)
            .map(|text| (cities.contains_key(&text) || regions.contains_key(&text)).then_some(text))
            .collect();
        let name = |id: u32| folded.get(id as usize).and_then(Option::as_deref);
        for (record, weight) in places.records() {
            if let Some(found) = name(record.city).and_then(|city| cities.get_mut(city)) {
                found.push((record, weight));
            }
            let by_code = name(record.region);
            let by_name = name(record.region_name).filter(|name| Some(*name) != by_code);
            for region in [by_code, by_name].into_iter().flatten() {
                if let Some(found) = regions.get_mut(region).filter(|_| record.scale == Scale::City) {
                    found.push((record, weight));
                }
            }
        }
        Self {
            places,
            cities,
            regions,
        }
    }

    fn answer(&self, named: &NamedPlace) -> Answer {
        let city = match self.city(named) {
            Ok(point) => return Answer { point, complaint: None },
            Err(complaint) => complaint,
        };
        match self.region(named) {
            Ok(point) => Answer { point, complaint: city },
            Err(region) => Answer {
                point: None,
                complaint: city.or(Some(region)),
            },
        }
    }

    /// The city's point; `Err(None)` if no city is named.
    fn city(&self, named: &NamedPlace) -> Result<Option<ClaimedPoint>, Option<Complaint>> {
        if named.city.is_empty() {
            return Err(None);
        }
        let mut found = self.matching(self.cities.get(&fold(&named.city)), named);
        if found.is_empty() {
            return Err(Some(Complaint::new(
                format!("city {} is not in the loaded GeoIP databases", quoted(&named.city)),
                "write its English name, or give latitude and longitude",
            )));
        }
        found.sort_by_key(|(record, _)| self.area(record));
        let total: u64 = found.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let areas = found.chunk_by(|(a, _), (b, _)| self.area(a) == self.area(b));
        let largest = areas.max_by_key(|area| area.iter().map(|(_, weight)| u64::from(*weight)).sum::<u64>());
        let largest = largest.unwrap_or_default();
        let weight: u64 = largest.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let is_dominant = total > 0 && weight * 100 >= total * DOMINANT_PERCENT;
        if largest.len() < found.len() && !is_dominant {
            return Err(Some(Complaint::new(
                format!("city {} is the name of several", quoted(&named.city)),
                "name its region and country, or give latitude and longitude",
            )));
        }
        let around = surround(largest, |weight| f64::from(weight) + 1.0);
        Ok(around.map(|(point, radius_km)| ClaimedPoint {
            point,
            radius_km: whole_km(radius_km.max(f64::from(CITY_RADIUS_KM))),
            scale: Scale::City,
        }))
    }

    fn region(&self, named: &NamedPlace) -> Result<Option<ClaimedPoint>, Complaint> {
        if named.region.is_empty() {
            return Ok(None);
        }
        let found = self.matching(self.regions.get(&fold(&named.region)), named);
        let countries: BTreeSet<u32> = found.iter().map(|(record, _)| record.country).collect();
        if countries.len() > 1 {
            return Err(Complaint::new(
                format!("region {} exists in several countries", quoted(&named.region)),
                "name the country too",
            ));
        }
        let around = surround(&found, |_| 1.0).ok_or_else(|| {
            Complaint::new(
                format!("region {} is not in the loaded GeoIP databases", quoted(&named.region)),
                "write its English name, or give latitude and longitude",
            )
        })?;
        Ok(Some(ClaimedPoint {
            point: around.0,
            radius_km: whole_km(around.1.max(REGION_RADIUS_KM_MIN)),
            scale: Scale::Region,
        }))
    }

    /// Those of `found` that lie in the named country and region, where these are named. Where none does in the country
    /// itself, those in its territories.
    fn matching(&self, found: Option<&Vec<(&'a PlaceRecord, u32)>>, named: &NamedPlace) -> Vec<(&'a PlaceRecord, u32)> {
        let strings = self.places.strings();
        let region = fold(&named.region);
        let state = us_states::code(&named.region).map(str::to_lowercase);
        let in_region = |record: &PlaceRecord, others: &[&str]| {
            let spellings = [strings.get(record.region), strings.get(record.region_name)];
            let mut spellings = spellings.iter().chain(others).map(|spelling| fold(spelling));
            region.is_empty() || spellings.any(|spelling| spelling == region || Some(&spelling) == state.as_ref())
        };
        let found = found.into_iter().flatten().copied();
        let inside = found.clone().filter(|(record, _)| {
            let in_country = named.country.is_empty() || strings.get(record.country) == named.country;
            in_country && in_region(record, &[])
        });
        let inside: Vec<_> = inside.collect();
        if !inside.is_empty() {
            return inside;
        }
        // San Juan, PR, US: what a database calls the country is the region of who says so.
        let in_territory = |record: &PlaceRecord| {
            let country = strings.get(record.country);
            is_in_country(country, &named.country) && in_region(record, &[country])
        };
        found.filter(|(record, _)| in_territory(record)).collect()
    }

    fn area(&self, record: &PlaceRecord) -> (&'a str, &'a str) {
        let strings = self.places.strings();
        (strings.get(record.country), strings.get(record.region))
    }
}

/// Middle of the places, and the radius around it that holds most of them, km.
fn surround(places: &[(&PlaceRecord, u32)], weight: impl Fn(u32) -> f64) -> Option<(Point, f64)> {
    let mut sum = [0.0_f64; 3];
    for (record, addresses) in places {
        let vector = record.point().unit_vector();
        for (sum, part) in sum.iter_mut().zip(vector) {
            *sum += f64::from(part) * weight(*addresses);
        }
    }
    let [x, y, z] = sum;
    let flat = x.hypot(y);
    if flat == 0.0 && z == 0.0 {
        return None;
    }
    let round = |degrees: f64| (degrees * 1_000.0).round() / 1_000.0;
    let middle = Point::new(round(z.atan2(flat).to_degrees()), round(y.atan2(x).to_degrees()))?;
    let mut distances: Vec<f64> = places
        .iter()
        .map(|(record, _)| middle.distance_km(record.point()))
        .collect();
    distances.sort_by(f64::total_cmp);
    let inside = (distances.len() * INSIDE_PERCENT / 100).min(distances.len().checked_sub(1)?);
    Some((middle, distances.get(inside)?.min(RADIUS_KM_MAX)))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 2 000")]
fn whole_km(radius_km: f64) -> u16 {
    radius_km.ceil() as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::places::{PlaceFacts, PlaceRecords};

    /// Places with their latitude and longitude, and how many addresses they have.
    fn places() -> PlaceTable {
        let rows = [
            ("US", "TX", "Texas", "Austin", 30.27, -97.74, 900_000),
            ("US", "TX", "Texas", "Austin (Downtown)", 30.27, -97.75, 100),
            ("US", "TX", "Texas", "El Paso", 31.76, -106.49, 100_000),
            ("US", "MN", "Minnesota", "Austin", 43.67, -92.97, 9_000),
            ("US", "IL", "Illinois", "Springfield", 39.78, -89.65, 50_000),
            ("US", "MO", "Missouri", "Springfield", 37.21, -93.29, 60_000),
            ("BR", "SP", "São Paulo", "São Paulo", -23.55, -46.63, 5_000_000),
            ("ES", "MU", "Texas", "Nowhere", 37.99, -1.13, 10),
            ("PR", "", "", "San Juan", 18.47, -66.11, 20_000),
            ("PR", "", "", "Austin", 18.20, -66.50, 1_000_000),
        ];
        let mut records = PlaceRecords::default();
        for (country, region, region_name, city, latitude, longitude, _) in rows {
            let (latitude, longitude, radius_km) = (Some(latitude), Some(longitude), None);
            let facts = PlaceFacts {
                country,
                region,
                region_name,
                city,
                latitude,
                longitude,
                radius_km,
            };
            records.intern(&facts).unwrap();
        }
        records.freeze(rows.map(|row| row.6).to_vec())
    }

    fn answer(country: &str, region: &str, city: &str) -> Answer {
        let [country, region, city] = [country, region, city].map(str::to_owned);
        let asked = NamedPlace { country, region, city };
        answers(&places(), BTreeSet::from([asked.clone()]))
            .remove(&asked)
            .unwrap()
    }

    fn near(answer: &Answer, latitude: f64, longitude: f64, scale: Scale) {
        let found = answer.point.unwrap();
        let distance = found.point.distance_km(Point::new(latitude, longitude).unwrap());
        assert!(distance < 2.0, "{answer:?} is {distance} km off");
        assert_eq!(found.scale, scale);
    }

    #[test]
    fn a_city_is_found_by_any_spelling_of_its_region() {
        for region in ["Texas", "tx", "TX", ""] {
            let found = answer("US", region, "AUSTIN");
            near(&found, 30.27, -97.74, Scale::City);
            assert_eq!(
                (found.point.unwrap().radius_km, found.complaint),
                (CITY_RADIUS_KM, None),
                "{region}"
            );
        }
        near(&answer("US", "Minnesota", "Austin"), 43.67, -92.97, Scale::City);
        near(&answer("", "", "sao paulo"), -23.55, -46.63, Scale::City);
    }

    #[test]
    fn a_city_of_a_territory_is_found_in_its_country() {
        for (country, region) in [("US", ""), ("US", "PR"), ("PR", "")] {
            near(&answer(country, region, "San Juan"), 18.47, -66.11, Scale::City);
        }
        assert!(answer("US", "Texas", "San Juan").complaint.is_some());
        // The country itself comes first.
        near(&answer("US", "Texas", "Austin"), 30.27, -97.74, Scale::City);
        near(&answer("US", "", "Austin"), 30.27, -97.74, Scale::City);
    }

    #[test]
    fn an_ambiguous_or_unknown_city_is_not_guessed() {
        let ambiguous = answer("US", "", "Springfield");
        assert_eq!(ambiguous.point, None);
        assert!(ambiguous.complaint.unwrap().what.contains("several"));
        let unknown = answer("US", "", "Atlantis");
        assert_eq!(unknown.point, None);
        assert!(unknown.complaint.unwrap().what.contains("\"Atlantis\""));
    }

    #[test]
    fn a_region_is_as_large_as_its_cities_lie_apart() {
        let texas = answer("US", "Texas", "");
        let found = texas.point.unwrap();
        assert_eq!((found.scale, texas.complaint), (Scale::Region, None));
        assert!((400..900).contains(&found.radius_km), "{found:?}");
        let in_place_of_a_city = answer("US", "Texas", "Atlantis");
        assert_eq!(in_place_of_a_city.point, texas.point);
        assert!(in_place_of_a_city.complaint.is_some(), "and it is said");
        assert!(
            answer("", "Texas", "")
                .complaint
                .unwrap()
                .what
                .contains("several countries")
        );
        assert!(answer("US", "Narnia", "").complaint.is_some());
    }
}
