//! A world of as many places as a large company's people really sign in from. The demo's few dozen all fit one packed
//! record; of these most records name hundreds that the record before did not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use falsefront::enrich::demo_table::demo_cities;
use falsefront::generate::random::Random;
use maxminddb_writer::Database;
use maxminddb_writer::metadata::IpVersion;
use maxminddb_writer::paths::IpAddrWithMask;
use serde::Serialize;

/// Places; a city database names some 400,000 and a company sees a few thousand of them.
const PLACES: u32 = 10_000;
/// Networks that serve homes.
const SYSTEMS: u32 = 1_000;
/// Addresses of a place: 2^14 of them, from 240.0.0.0 on.
const HOST_BITS: u32 = 14;

#[derive(Serialize)]
struct Names {
    en: String,
}

#[derive(Serialize)]
struct Named {
    names: Names,
}

#[derive(Serialize)]
struct Coded {
    iso_code: &'static str,
    names: Names,
}

#[derive(Serialize)]
struct Location {
    accuracy_radius: u16,
    latitude: f64,
    longitude: f64,
}

#[derive(Serialize)]
struct City {
    city: Named,
    country: Coded,
    location: Location,
    subdivisions: Vec<Coded>,
}

#[derive(Serialize)]
struct System {
    autonomous_system_number: u32,
    autonomous_system_organization: String,
}

/// Names and contents of a City and an ASN database.
pub(crate) fn databases() -> Vec<(String, Vec<u8>)> {
    let (mut cities, mut systems) = (empty("wide-City"), empty("wide-ASN"));
    let known = demo_cities();
    let systems_at: Vec<_> = (0..SYSTEMS)
        .map(|number| {
            let system = System {
                autonomous_system_number: 4_200_000_000 + number,
                autonomous_system_organization: format!("Cable and Fiber of Region {number}"),
            };
            systems.insert_value(system).unwrap()
        })
        .collect();
    for place in 0..PLACES {
        let near = &known[place as usize % known.len()];
        let mut random = Random::of(u64::from(place), &[]);
        let mut shift = || random.below(2_000) as f64 / 1_000.0 - 1.0;
        let en = |text: &str| Names { en: text.to_owned() };
        let record = City {
            city: Named {
                names: en(&format!("{} Township {place}", near.name)),
            },
            country: Coded {
                iso_code: near.country,
                names: en(near.country),
            },
            location: Location {
                accuracy_radius: [5, 10, 20, 50][place as usize % 4],
                latitude: near.point.latitude + shift(),
                longitude: near.point.longitude + shift(),
            },
            subdivisions: vec![Coded {
                iso_code: near.region,
                names: en(near.region_name),
            }],
        };
        let mask = IpAddrWithMask::new(mapped(first_address(place)), 128 - HOST_BITS as u8);
        let record = cities.insert_value(record).unwrap();
        cities.insert_node(mask, record);
        systems.insert_node(mask, systems_at[(place % SYSTEMS) as usize]);
    }
    vec![
        ("wide-City.mmdb".to_owned(), cities.write_to(Vec::new()).unwrap()),
        ("wide-ASN.mmdb".to_owned(), systems.write_to(Vec::new()).unwrap()),
    ]
}

/// One of two addresses of an account at home. How many live in a place follows Zipf's law, as the sizes of cities do
/// (Gabaix, The Quarterly Journal of Economics 114, 1999).
pub(crate) fn address(account: u64, roll: u64) -> Ipv4Addr {
    let mut random = Random::of(account, &[]);
    let unit = (random.bits() >> 11) as f64 / (1_u64 << 53) as f64;
    let place = (f64::from(PLACES).powf(unit) as u32).clamp(1, PLACES) - 1;
    let host = (account as u32).wrapping_mul(2) + u32::from(roll.is_multiple_of(16));
    Ipv4Addr::from_bits(first_address(place) + host % (1 << HOST_BITS))
}

fn first_address(place: u32) -> u32 {
    (240 << 24) + (place << HOST_BITS)
}

fn mapped(v4: u32) -> IpAddr {
    Ipv6Addr::from_bits(u128::from(v4)).into()
}

fn empty(database_type: &str) -> Database {
    let mut database = Database::default();
    database.metadata.ip_version = IpVersion::V6;
    database.metadata.database_type = database_type.to_owned();
    database.metadata.languages = vec!["en".to_owned()];
    database.metadata.binary_format_major_version = 2;
    database.metadata.build_epoch = 1_767_225_600;
    database
}
