//! All places of the loaded databases, each once, packed; a place is encoded for observations when it is first asked for.
//!
//! A city database names some 400 000 places and a company sees a few thousand of them, so encoding all of them
//! at load would cost a hundred megabytes for nothing.

use std::hash::BuildHasher;
use std::sync::OnceLock;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};

use crate::model::dictionary::Encoded;
use crate::model::geo::Point;
use crate::model::place::{CITY_RADIUS_KM, REGION_RADIUS_KM};
use crate::model::{Place, Scale};

use super::PlaceId;

/// Units of a stored coordinate per degree: a meter, finer than any database.
const UNITS_PER_DEGREE: f64 = 100_000.0;

/// A place as a database states it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PlaceFacts<'a> {
    /// ISO 3166-1 alpha-2; empty if unknown.
    pub country: &'a str,
    /// ISO 3166-2 subdivision code without the country where known, else its name; empty if unknown.
    pub region: &'a str,
    /// Region's English name; empty if unknown.
    pub region_name: &'a str,
    /// City's English name; empty if unknown.
    pub city: &'a str,
    /// Degrees; records without coordinates are no places.
    pub latitude: Option<f64>,
    /// Degrees.
    pub longitude: Option<f64>,
    /// Error radius the database states, km.
    pub radius_km: Option<u16>,
}

/// Text, each spelling once.
#[derive(Debug, Default)]
pub struct Strings {
    text: String,
    ends: Vec<u32>,
    ids: HashTable<u32>,
}

impl Strings {
    fn intern(&mut self, text: &str) -> u32 {
        let hash = FixedState::default().hash_one(text);
        if let Some(id) = self.ids.find(hash, |id| spelling(&self.text, &self.ends, *id) == text) {
            return *id;
        }
        let id = count(self.ends.len());
        self.text.push_str(text);
        self.ends.push(count(self.text.len()));
        let (all, ends) = (&self.text, &self.ends);
        self.ids
            .insert_unique(hash, id, |id| FixedState::default().hash_one(spelling(all, ends, *id)));
        id
    }

    /// The text with that id.
    #[must_use]
    pub fn get(&self, id: u32) -> &str {
        spelling(&self.text, &self.ends, id)
    }

    /// All of it, in order of id.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..count(self.ends.len())).map(|id| self.get(id))
    }
}

fn spelling<'a>(text: &'a str, ends: &[u32], id: u32) -> &'a str {
    let id = id as usize;
    let start = id
        .checked_sub(1)
        .and_then(|before| ends.get(before))
        .copied()
        .unwrap_or(0);
    let end = ends.get(id).copied().unwrap_or(start);
    text.get(start as usize..end as usize).unwrap_or("")
}

#[expect(clippy::cast_possible_truncation, reason = "a database file is limited to 2 GiB")]
fn count(length: usize) -> u32 {
    length as u32
}

/// A place, packed. Text is by id in [`Strings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlaceRecord {
    /// Country.
    pub country: u32,
    /// Region.
    pub region: u32,
    /// Region's name.
    pub region_name: u32,
    /// City.
    pub city: u32,
    latitude: i32,
    longitude: i32,
    /// Error radius, km; 0 if the database states none.
    radius_km: u16,
    /// How precisely the place is known.
    pub scale: Scale,
}

impl PlaceRecord {
    /// Center.
    #[must_use]
    pub fn point(&self) -> Point {
        Point {
            latitude: f64::from(self.latitude) / UNITS_PER_DEGREE,
            longitude: f64::from(self.longitude) / UNITS_PER_DEGREE,
        }
    }
}

/// Places while they are collected.
#[derive(Debug, Default)]
pub struct PlaceRecords {
    strings: Strings,
    records: Vec<PlaceRecord>,
    ids: HashMap<PlaceRecord, u32, FixedState>,
}

impl PlaceRecords {
    /// Id of the place; `None` for a record that gives no usable point.
    pub fn intern(&mut self, facts: &PlaceFacts<'_>) -> Option<u32> {
        let point = match (facts.latitude, facts.longitude) {
            (Some(latitude), Some(longitude)) => Point::new(latitude, longitude)?,
            // Country databases have no coordinates: the country itself is the place.
            _ if facts.city.is_empty() && facts.region.is_empty() => super::countries::center(facts.country)?,
            _ => return None,
        };
        // Databases write 0, 0 for "unknown"; nobody signs in from the Gulf of Guinea without a country.
        let is_null = point.latitude == 0.0 && point.longitude == 0.0;
        if is_null && facts.country.is_empty() && facts.city.is_empty() {
            return None;
        }
        let scale = match (facts.city, facts.region) {
            ("", "") => Scale::Country,
            ("", _) => Scale::Region,
            _ => Scale::City,
        };
        let record = PlaceRecord {
            country: self.strings.intern(facts.country),
            region: self.strings.intern(facts.region),
            region_name: self.strings.intern(facts.region_name),
            city: self.strings.intern(facts.city),
            latitude: units(point.latitude),
            longitude: units(point.longitude),
            radius_km: facts.radius_km.map_or(0, |radius| radius.max(1)),
            scale,
        };
        Some(self.add(record))
    }

    fn add(&mut self, record: PlaceRecord) -> u32 {
        let next = count(self.records.len());
        let id = *self.ids.entry(record).or_insert(next);
        if id == next {
            self.records.push(record);
        }
        id
    }

    /// Adds all places of `other`; returns the id each of them has here.
    pub fn absorb(&mut self, other: &Self) -> Vec<u32> {
        let text: Vec<u32> = other.strings.iter().map(|text| self.strings.intern(text)).collect();
        let here = |id: u32| text.get(id as usize).copied().unwrap_or(0);
        other
            .records
            .iter()
            .map(|record| {
                self.add(PlaceRecord {
                    country: here(record.country),
                    region: here(record.region),
                    region_name: here(record.region_name),
                    city: here(record.city),
                    ..*record
                })
            })
            .collect()
    }

    /// How many places there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The table. `weights` says how many IPv4 addresses each place has, by id.
    #[must_use]
    pub fn freeze(mut self, weights: Vec<u32>) -> PlaceTable {
        let country_radii = super::country_radius::radii(&self.strings, &self.records);
        for record in &mut self.records {
            record.radius_km = match (record.radius_km, record.scale) {
                // A country's own record says nothing but the country: its radius is the country's, whatever is stated.
                (stated, Scale::Country) => stated.max(country_radii.of(record)),
                (0, Scale::City) => CITY_RADIUS_KM,
                (0, Scale::Region) => REGION_RADIUS_KM,
                (stated, _) => stated,
            };
        }
        self.strings.ids = HashTable::new();
        self.strings.text.shrink_to_fit();
        self.strings.ends.shrink_to_fit();
        self.records.shrink_to_fit();
        PlaceTable {
            entries: self.records.iter().map(|_| OnceLock::new()).collect(),
            strings: self.strings,
            records: self.records,
            weights,
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "180 degrees are 18 000 000 units")]
fn units(degrees: f64) -> i32 {
    (degrees * UNITS_PER_DEGREE).round() as i32
}

/// All places.
#[derive(Debug, Default)]
pub struct PlaceTable {
    strings: Strings,
    records: Vec<PlaceRecord>,
    weights: Vec<u32>,
    entries: Vec<OnceLock<Encoded>>,
}

impl PlaceTable {
    /// The place with that id, as observations have it.
    ///
    /// # Panics
    /// If the id comes from another table.
    #[must_use]
    #[inline]
    pub fn entry(&self, id: PlaceId) -> &Encoded {
        self.entries[id.0 as usize].get_or_init(|| Encoded::of_place(&self.place(id)))
    }

    /// The place with that id.
    ///
    /// # Panics
    /// If the id comes from another table.
    #[must_use]
    pub fn place(&self, id: PlaceId) -> Place {
        let record = &self.records[id.0 as usize];
        Place {
            country: self.strings.get(record.country).to_owned(),
            region: self.strings.get(record.region).to_owned(),
            region_name: self.strings.get(record.region_name).to_owned(),
            city: self.strings.get(record.city).to_owned(),
            point: record.point(),
            radius_km: record.radius_km,
            scale: record.scale,
        }
    }

    /// All places, packed, each with how many IPv4 addresses it has.
    pub fn records(&self) -> impl Iterator<Item = (&PlaceRecord, u32)> {
        self.records
            .iter()
            .zip(self.weights.iter().copied().chain(std::iter::repeat(0)))
    }

    /// Their text.
    #[must_use]
    pub fn strings(&self) -> &Strings {
        &self.strings
    }

    /// How many places there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes on the heap before any place is encoded.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.strings.text.capacity()
            + size_of_val(&*self.strings.ends)
            + size_of_val(&*self.records)
            + size_of_val(&*self.weights)
            + size_of_val(&*self.entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn austin() -> PlaceFacts<'static> {
        PlaceFacts {
            country: "US",
            region: "TX",
            region_name: "Texas",
            city: "Austin",
            latitude: Some(30.267),
            longitude: Some(-97.743),
            radius_km: None,
        }
    }

    #[test]
    fn a_place_is_kept_once_and_spelled_as_stated() {
        let mut records = PlaceRecords::default();
        let first = records.intern(&austin()).unwrap();
        assert_eq!(records.intern(&austin()), Some(first));
        let table = records.freeze(vec![1]);
        let place = table.place(PlaceId(first));
        assert_eq!(place.label(), "Austin, TX, US");
        assert_eq!(place.point, Point::new(30.267, -97.743).unwrap());
        assert_eq!((place.radius_km, place.scale), (CITY_RADIUS_KM, Scale::City));
    }

    #[test]
    fn absorbed_places_keep_their_text() {
        let (mut all, mut other) = (PlaceRecords::default(), PlaceRecords::default());
        all.intern(&PlaceFacts {
            city: "Reno",
            ..austin()
        })
        .unwrap();
        other.intern(&austin()).unwrap();
        other
            .intern(&PlaceFacts {
                city: "Reno",
                ..austin()
            })
            .unwrap();
        let ids = all.absorb(&other);
        assert_eq!(ids, [1, 0]);
        assert_eq!(all.freeze(Vec::new()).place(PlaceId(1)).city, "Austin");
    }

    #[test]
    fn scale_and_radius_are_pessimistic_where_the_database_is_silent() {
        let mut records = PlaceRecords::default();
        let texas = records.intern(&PlaceFacts { city: "", ..austin() }).unwrap();
        let us = PlaceFacts {
            city: "",
            region: "",
            region_name: "",
            ..austin()
        };
        let country = records.intern(&us).unwrap();
        let stated = records
            .intern(&PlaceFacts {
                radius_km: Some(0),
                ..austin()
            })
            .unwrap();
        let table = records.freeze(Vec::new());
        assert_eq!(table.place(PlaceId(texas)).radius_km, REGION_RADIUS_KM);
        assert_eq!(table.place(PlaceId(country)).radius_km, 2_500);
        assert_eq!(table.place(PlaceId(country)).scale, Scale::Country);
        assert_eq!(table.place(PlaceId(stated)).radius_km, 1, "never 0");
    }

    #[test]
    fn a_record_without_a_point_is_no_place() {
        let mut records = PlaceRecords::default();
        assert_eq!(
            records.intern(&PlaceFacts {
                latitude: None,
                ..austin()
            }),
            None
        );
        assert_eq!(
            records.intern(&PlaceFacts {
                latitude: Some(91.0),
                ..austin()
            }),
            None
        );
        let null = PlaceFacts {
            latitude: Some(0.0),
            longitude: Some(0.0),
            ..PlaceFacts::default()
        };
        assert_eq!(records.intern(&null), None);
        assert!(records.intern(&PlaceFacts { country: "GH", ..null }).is_some());
    }
}
