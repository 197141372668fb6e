//! How far from its stated center a place may be that is known only by its country.

use hashbrown::HashMap;

use foldhash::fast::FixedState;

use crate::model::Scale;
use crate::model::place::COUNTRY_RADIUS_KM;

use super::places::{PlaceRecord, Strings};

/// Radius of a country at least, km.
const RADIUS_KM_MIN: u16 = 100;
/// Places of a country that a database must know before their spread says how large the country is.
const PLACES_MIN: usize = 50;
/// Share of a country's places inside the radius that their spread gives, in hundredths.
const PLACES_INSIDE_PERCENT: usize = 98;

/// Countries larger than the default: about half their longest extent over land, km, read off a world map.
const LARGE_COUNTRIES: [(&str, u16); 22] = [
    ("RU", 4_000),
    ("CA", 2_700),
    ("US", 2_500),
    ("CN", 2_500),
    ("BR", 2_200),
    ("AU", 2_000),
    ("CL", 2_100),
    ("IN", 1_600),
    ("AR", 1_800),
    ("ID", 2_500),
    ("KZ", 1_500),
    ("MX", 1_600),
    ("GL", 1_300),
    ("CD", 1_200),
    ("DZ", 1_100),
    ("MN", 1_200),
    ("NO", 1_000),
    ("SA", 1_100),
    ("IR", 1_100),
    ("PE", 1_100),
    ("JP", 1_300),
    ("NZ", 1_000),
];

/// Radii by country.
pub(super) struct CountryRadii {
    by_record: HashMap<PlaceRecord, u16, FixedState>,
}

impl CountryRadii {
    /// Radius of a country's own record, km.
    pub(super) fn of(&self, record: &PlaceRecord) -> u16 {
        self.by_record.get(record).copied().unwrap_or(COUNTRY_RADIUS_KM)
    }
}

/// Radii of the countries' own records: how far the country's cities lie from that point, or a fixed figure where
/// the databases know too few of them.
pub(super) fn radii(strings: &Strings, records: &[PlaceRecord]) -> CountryRadii {
    let mut cities: Vec<&PlaceRecord> = records.iter().filter(|r| r.scale == Scale::City).collect();
    cities.sort_by_key(|record| record.country);
    let mut by_record = HashMap::default();
    for center in records.iter().filter(|record| record.scale == Scale::Country) {
        let from = cities.partition_point(|city| city.country < center.country);
        let to = cities.partition_point(|city| city.country <= center.country);
        let spread = spread_km(center, &cities[from..to]);
        by_record.insert(*center, spread.unwrap_or_else(|| fixed(strings.get(center.country))));
    }
    CountryRadii { by_record }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "no two points of the Earth are 65 535 km apart"
)]
fn spread_km(center: &PlaceRecord, cities: &[&PlaceRecord]) -> Option<u16> {
    if cities.len() < PLACES_MIN {
        return None;
    }
    let point = center.point();
    let mut distances: Vec<u16> = cities
        .iter()
        .map(|city| point.distance_km(city.point()).ceil() as u16)
        .collect();
    let inside = (distances.len() * PLACES_INSIDE_PERCENT / 100).min(distances.len() - 1);
    let (_, radius, _) = distances.select_nth_unstable(inside);
    Some((*radius).max(RADIUS_KM_MIN))
}

fn fixed(country: &str) -> u16 {
    LARGE_COUNTRIES
        .iter()
        .find(|(code, _)| *code == country)
        .map_or(COUNTRY_RADIUS_KM, |(_, radius)| *radius)
}

#[cfg(test)]
mod tests {
    use crate::enrich::PlaceId;
    use crate::enrich::places::{PlaceFacts, PlaceRecords};

    #[test]
    fn a_country_is_as_large_as_its_cities_lie_apart() {
        let mut records = PlaceRecords::default();
        let center = PlaceFacts {
            country: "LU",
            latitude: Some(49.8),
            longitude: Some(6.1),
            ..PlaceFacts::default()
        };
        let country = records.intern(&center).unwrap();
        for n in 0..60_u32 {
            let city = format!("City {n}");
            let latitude = Some(49.8 + f64::from(n) / 30.0);
            records
                .intern(&PlaceFacts {
                    city: &city,
                    latitude,
                    ..center
                })
                .unwrap();
        }
        let radius = records.freeze(Vec::new()).place(PlaceId(country)).radius_km;
        assert!((210..225).contains(&radius), "{radius}");
    }
}
