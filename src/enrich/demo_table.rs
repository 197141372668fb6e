//! The demo's world: a table of ours with real cities and made-up networks. The demo's GeoIP databases are
//! built from it and the generator takes its addresses from it, so the two agree by construction.
//!
//! Every address is from space that no host on the Internet can have, and its digits can be read:
//! `244.42.3.7` is the mobile network (244) of city number 42.
//!
//! | first octet | third hextet of `2001:db8:` ends in | use |
//! |---|---|---|
//! | 240 to 243 | `00` to `03` | residential |
//! | 244 | `04` | mobile |
//! | 245 | `05` | office |
//! | 246 | `06` | exits of commercial VPNs |
//! | 247 | `07` | hosting |
//!
//! 240.0.0.0/4 is reserved by RFC 1112, section 4; 2001:db8::/32 is for documentation, RFC 3849;
//! AS64496 to AS64511 and AS65536 to AS65551 are for documentation, RFC 5398.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use ipnet::{Ipv4Net, Ipv6Net};

use crate::model::NetworkClass;
use crate::model::geo::Point;

const CITIES_CSV: &str = include_str!("../../geoip/cities.csv");
const CARRIERS_CSV: &str = include_str!("../../geoip/carriers.csv");

/// Countries column of a carrier that serves every country no other carrier of that use serves.
const EVERYWHERE: &str = "*";

/// What a block of demo addresses is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DemoUse {
    /// Homes.
    Residential,
    /// Phones: the gateway is in the city, the phone need not be.
    Mobile,
    /// Companies' own lines.
    Office,
    /// Exits of commercial VPNs.
    Vpn,
    /// Data centers.
    Hosting,
}

impl DemoUse {
    /// All uses, in the order of their addresses.
    pub const ALL: [Self; 5] = [Self::Residential, Self::Mobile, Self::Office, Self::Vpn, Self::Hosting];

    /// The use as `carriers.csv` spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Residential => "residential",
            Self::Mobile => "mobile",
            Self::Office => "office",
            Self::Vpn => "vpn",
            Self::Hosting => "hosting",
        }
    }

    /// Class an operator's list would give the network; offices are [`NetworkClass::Corporate`] to their own company only.
    #[must_use]
    pub fn class(self) -> NetworkClass {
        match self {
            Self::Residential => NetworkClass::Residential,
            Self::Mobile => NetworkClass::Mobile,
            Self::Office => NetworkClass::Unknown,
            Self::Vpn => NetworkClass::Vpn,
            Self::Hosting => NetworkClass::Hosting,
        }
    }

    /// First octets of the use's IPv4 blocks; the low octet of the IPv6 blocks' third hextet is this less 240.
    fn first_octets(self) -> std::ops::RangeInclusive<u8> {
        match self {
            Self::Residential => 240..=243,
            Self::Mobile => 244..=244,
            Self::Office => 245..=245,
            Self::Vpn => 246..=246,
            Self::Hosting => 247..=247,
        }
    }
}

/// A city of the demo's world.
#[derive(Clone, Debug, PartialEq)]
pub struct DemoCity {
    /// Second octet of its IPv4 blocks. Unique.
    pub number: u8,
    /// English name.
    pub name: &'static str,
    /// ISO 3166-2 subdivision code without the country; empty for city states.
    pub region: &'static str,
    /// English name of the region; empty for city states.
    pub region_name: &'static str,
    /// ISO 3166-1 alpha-2.
    pub country: &'static str,
    /// Center.
    pub point: Point,
    /// Error radius of its addresses, km.
    pub radius_km: u16,
    /// IANA time zone.
    pub time_zone: &'static str,
    blocks: Vec<DemoBlock>,
}

/// A block of addresses: one IPv4 /16 and one IPv6 /48, in one city, of one carrier.
#[derive(Clone, Debug, PartialEq)]
pub struct DemoBlock {
    /// What the addresses are used for.
    pub usage: DemoUse,
    /// IPv4 addresses.
    pub network: Ipv4Net,
    /// IPv6 addresses.
    pub network_v6: Ipv6Net,
    /// Autonomous system.
    pub asn: u32,
    /// Its organization.
    pub organization: &'static str,
}

impl DemoBlock {
    /// The `n`th host of the block; wraps around at its end. Never ends in `.0` or `.255`.
    #[must_use]
    pub fn address(&self, n: u32) -> Ipv4Addr {
        let [a, b, ..] = self.network.network().octets();
        let hosts = n % (256 * 254);
        let (third, last) = (hosts / 254, hosts % 254 + 1);
        let octet = |value: u32| u8::try_from(value).unwrap_or(u8::MAX);
        Ipv4Addr::new(a, b, octet(third), octet(last))
    }

    /// The host `::1:host` of the `n`th /64 of the block; wraps around after 65 536.
    #[must_use]
    pub fn address_v6(&self, n: u16, host: u16) -> Ipv6Addr {
        let [a, b, c, ..] = self.network_v6.network().segments();
        Ipv6Addr::new(a, b, c, n, 0, 0, 1, host)
    }
}

impl DemoCity {
    /// All blocks of the city, by use.
    #[must_use]
    pub fn blocks(&self) -> &[DemoBlock] {
        &self.blocks
    }

    /// The city's blocks of that use; never empty. Residential ones may belong to several carriers.
    pub fn blocks_for(&self, usage: DemoUse) -> impl Iterator<Item = &DemoBlock> {
        self.blocks.iter().filter(move |block| block.usage == usage)
    }

    /// The `n`th address of that use in the city, spread over its blocks; wraps around at the end.
    #[must_use]
    pub fn address(&self, usage: DemoUse, n: u32) -> Ipv4Addr {
        let count = u32::try_from(self.blocks_for(usage).count()).unwrap_or(1).max(1);
        let index = usize::try_from(n % count).unwrap_or(0);
        self.blocks_for(usage)
            .nth(index)
            .map_or(Ipv4Addr::UNSPECIFIED, |block| block.address(n / count))
    }
}

/// All cities, in the order of their numbers.
#[must_use]
pub fn demo_cities() -> &'static [DemoCity] {
    static CITIES: LazyLock<Vec<DemoCity>> = LazyLock::new(|| {
        let carriers = carriers();
        let mut cities: Vec<DemoCity> = rows(CITIES_CSV).filter_map(|row| city(&row, &carriers)).collect();
        cities.sort_by_key(|city| city.number);
        cities
    });
    &CITIES
}

/// The city of that name; `region` may be empty where the name is unique.
#[must_use]
pub fn demo_city(name: &str, region: &str) -> Option<&'static DemoCity> {
    demo_cities()
        .iter()
        .find(|city| city.name == name && (region.is_empty() || city.region == region))
}

#[derive(Debug)]
struct Carrier {
    asn: u32,
    organization: &'static str,
    usage: DemoUse,
    countries: &'static str,
}

impl Carrier {
    fn serves(&self, usage: DemoUse, country: &str) -> bool {
        self.usage == usage && self.countries.split(';').any(|served| served == country)
    }
}

/// Fields of each row below the header. The table is ours and quotes nothing.
fn rows(csv: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    csv.lines().skip(1).map(|line| line.split(',').collect())
}

fn carriers() -> Vec<Carrier> {
    rows(CARRIERS_CSV)
        .filter_map(|row| {
            let [asn, organization, usage, countries] = row[..] else {
                return None;
            };
            Some(Carrier {
                asn: asn.parse().ok()?,
                organization,
                usage: DemoUse::ALL.into_iter().find(|known| known.as_str() == usage)?,
                countries,
            })
        })
        .collect()
}

fn city(row: &[&'static str], carriers: &[Carrier]) -> Option<DemoCity> {
    let [
        number,
        name,
        region,
        region_name,
        country,
        latitude,
        longitude,
        radius_km,
        time_zone,
    ] = *row
    else {
        return None;
    };
    let number = number.parse().ok()?;
    Some(DemoCity {
        number,
        name,
        region,
        region_name,
        country,
        point: Point::new(latitude.parse().ok()?, longitude.parse().ok()?)?,
        radius_km: radius_km.parse().ok()?,
        time_zone,
        blocks: DemoUse::ALL
            .into_iter()
            .flat_map(|usage| blocks(number, country, usage, carriers))
            .collect(),
    })
}

fn blocks(number: u8, country: &str, usage: DemoUse, carriers: &[Carrier]) -> Vec<DemoBlock> {
    let mut serving: Vec<&Carrier> = carriers.iter().filter(|c| c.serves(usage, country)).collect();
    if serving.is_empty() {
        serving = carriers.iter().filter(|c| c.serves(usage, EVERYWHERE)).collect();
    }
    usage
        .first_octets()
        .zip(serving.iter().cycle())
        .filter_map(|(octet, carrier)| {
            let hextet = u16::from(number) << 8 | u16::from(octet - 240);
            Some(DemoBlock {
                usage,
                network: Ipv4Net::new(Ipv4Addr::new(octet, number, 0, 0), 16).ok()?,
                network_v6: Ipv6Net::new(Ipv6Addr::new(0x2001, 0xdb8, hextet, 0, 0, 0, 0, 0), 48).ok()?,
                asn: carrier.asn,
                organization: carrier.organization,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_of_the_table_is_used() {
        assert_eq!(demo_cities().len(), CITIES_CSV.lines().count() - 1);
        assert_eq!(carriers().len(), CARRIERS_CSV.lines().count() - 1);
        let numbers: BTreeSet<u8> = demo_cities().iter().map(|city| city.number).collect();
        assert_eq!(numbers.len(), demo_cities().len(), "numbers are unique");
        let names: BTreeSet<_> = demo_cities().iter().map(|c| (c.name, c.region, c.country)).collect();
        assert_eq!(names.len(), demo_cities().len(), "cities are unique");
    }

    #[test]
    fn every_city_is_complete() {
        for city in demo_cities() {
            assert_eq!(city.blocks().len(), 8, "{}", city.name);
            assert!(city.radius_km > 0, "{}", city.name);
            assert!(
                jiff::tz::TimeZone::get(city.time_zone).is_ok(),
                "{}: {}",
                city.name,
                city.time_zone
            );
        }
    }

    #[test]
    fn addresses_can_be_read() {
        let vegas = demo_city("Las Vegas", "NV").unwrap();
        assert_eq!(vegas.address(DemoUse::Mobile, 0).to_string(), "244.42.0.1");
        assert_eq!(vegas.address(DemoUse::Residential, 1).to_string(), "241.42.0.1");
        assert_eq!(vegas.address(DemoUse::Vpn, 254).to_string(), "246.42.1.1");
        let office = vegas.blocks_for(DemoUse::Office).next().unwrap();
        assert_eq!(office.address_v6(7, 9).to_string(), "2001:db8:2a05:7::1:9");
        assert!(office.network_v6.contains(&office.address_v6(u16::MAX, u16::MAX)));
        for n in [0, 253, 254, 65_023, 65_024, u32::MAX] {
            assert!(office.network.contains(&office.address(n)), "{n}");
        }
    }
}
