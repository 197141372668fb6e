//! The demo's databases, built in memory from the demo's table, so the demo reads them as it would real ones.

use std::net::IpAddr;

use maxminddb_writer::Database;
use maxminddb_writer::metadata::IpVersion;
use maxminddb_writer::paths::IpAddrWithMask;
use serde::Serialize;

use crate::enrich::demo_table::{DemoCity, DemoUse, demo_cities};

/// 2026-01-01T00:00:00Z: the table is part of the program and has no date of its own.
const BUILD_SECONDS: u64 = 1_767_225_600;

/// A phone may be this far from its carrier's gateway, km.
const MOBILE_RADIUS_KM: u16 = 100;

#[derive(Serialize)]
struct Names {
    en: &'static str,
}

#[derive(Serialize)]
struct CityName {
    names: Names,
}

#[derive(Serialize)]
struct Coded {
    iso_code: &'static str,
    names: Names,
}

#[derive(Serialize)]
struct Country {
    iso_code: &'static str,
}

#[derive(Serialize)]
struct Location {
    accuracy_radius: u16,
    latitude: f64,
    longitude: f64,
    time_zone: &'static str,
}

#[derive(Serialize)]
struct CityRecord {
    city: CityName,
    country: Country,
    location: Location,
    subdivisions: Vec<Coded>,
}

#[derive(Serialize)]
struct AsnRecord {
    autonomous_system_number: u32,
    autonomous_system_organization: &'static str,
}

/// Names and contents of the demo's City and ASN databases, in MaxMind's format and MaxMind's shape.
///
/// # Errors
/// If a record cannot be encoded, which the tests rule out for the table that is built in.
pub fn demo_databases() -> Result<Vec<(String, Vec<u8>)>, maxminddb_writer::Error> {
    let (mut city, mut asn) = (empty("falsefront-demo-City"), empty("falsefront-demo-ASN"));
    for place in demo_cities() {
        let at_home = city.insert_value(city_record(place, place.radius_km))?;
        let on_the_road = city.insert_value(city_record(place, place.radius_km.max(MOBILE_RADIUS_KM)))?;
        for block in place.blocks() {
            let record = if block.usage == DemoUse::Mobile {
                on_the_road
            } else {
                at_home
            };
            let system = asn.insert_value(AsnRecord {
                autonomous_system_number: block.asn,
                autonomous_system_organization: block.organization,
            })?;
            let [a, b, c, d] = block.network.network().octets();
            let v4 = std::net::Ipv6Addr::from_bits(u128::from(u32::from_be_bytes([a, b, c, d])));
            let v4 = IpAddrWithMask::new(IpAddr::V6(v4), 96 + block.network.prefix_len());
            let v6 = IpAddrWithMask::new(IpAddr::V6(block.network_v6.network()), block.network_v6.prefix_len());
            for network in [v4, v6] {
                city.insert_node(network, record);
                asn.insert_node(network, system);
            }
        }
    }
    Ok(vec![
        ("falsefront-demo-City.mmdb".to_owned(), city.write_to(Vec::new())?),
        ("falsefront-demo-ASN.mmdb".to_owned(), asn.write_to(Vec::new())?),
    ])
}

fn empty(database_type: &str) -> Database {
    let mut database = Database::default();
    database.metadata.ip_version = IpVersion::V6;
    database.metadata.database_type = database_type.to_owned();
    database.metadata.languages = vec!["en".to_owned()];
    database.metadata.binary_format_major_version = 2;
    database.metadata.build_epoch = BUILD_SECONDS;
    let description = "made-up networks in real cities, for falsefront's demo".to_owned();
    database.metadata.description.insert("en".to_owned(), description);
    database
}

fn city_record(place: &DemoCity, radius_km: u16) -> CityRecord {
    let region = Coded {
        iso_code: place.region,
        names: Names { en: place.region_name },
    };
    CityRecord {
        city: CityName {
            names: Names { en: place.name },
        },
        country: Country {
            iso_code: place.country,
        },
        location: Location {
            accuracy_radius: radius_km,
            latitude: place.point.latitude,
            longitude: place.point.longitude,
            time_zone: place.time_zone,
        },
        subdivisions: if place.region.is_empty() {
            Vec::new()
        } else {
            vec![region]
        },
    }
}
