//! The generator's map: which addresses of the demo's cities serve which purpose, and how far cities lie apart.
//!
//! Third octets divide a city's office, VPN and hosting blocks, so an address can be read: `245.31.10.4` is
//! the fifth hotel of city number 31.

use std::net::IpAddr;

use super::DAY_MS;
use crate::enrich::demo_table::{DemoCity, DemoUse, demo_cities};

/// A city, as an index into the demo table.
pub type Town = usize;

/// Hosts that one third octet holds: `.1` to `.254`.
const OCTET_HOSTS: u32 = 254;
/// Residential addresses come from four carriers in turn; a home stays with one.
const CARRIERS: u32 = 4;
/// Addresses a home's provider hands out in turn.
const LEASES: u32 = 8;
/// Homes per city with addresses of their own; beyond, two homes meet at one address on different days.
const HOMES_MAX: u32 = 6_000;
/// Days a lease lasts.
const LEASE_DAYS: i64 = 4;

/// What a third octet of an office, VPN or hosting block is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// The company's office.
    Office,
    /// Egress of the company's VPN concentrator.
    VpnEgress,
    /// Hotels: one address per house, shared by all guests.
    Hotel,
    /// Conference venues.
    Venue,
    /// Co-working spaces.
    Coworking,
    /// A commercial VPN's exits.
    Brand(Brand),
    /// Exits of a privacy relay.
    Relay,
    /// Cloud desktops.
    CloudDesktop,
    /// Satellite ground stations and in-flight networks.
    Satellite,
    /// Rented servers.
    Hosting,
}

/// Commercial VPNs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brand {
    /// Named by public reports on fraudulent workers (Mandiant UNC5267, 2024).
    Astrill,
    /// One that many people use.
    NordVpn,
    /// Another.
    Mullvad,
    /// Another.
    ProtonVpn,
}

impl Brand {
    /// All brands.
    pub const ALL: [Self; 4] = [Self::Astrill, Self::NordVpn, Self::Mullvad, Self::ProtonVpn];
    /// Those ordinary people take.
    pub const ORDINARY: [Self; 3] = [Self::NordVpn, Self::Mullvad, Self::ProtonVpn];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Astrill => "Astrill",
            Self::NordVpn => "NordVPN",
            Self::Mullvad => "Mullvad",
            Self::ProtonVpn => "Proton VPN",
        }
    }
}

impl Site {
    fn block(self) -> (DemoUse, u32) {
        match self {
            Self::Office => (DemoUse::Office, 0),
            Self::VpnEgress => (DemoUse::Office, 1),
            Self::Hotel => (DemoUse::Office, 10),
            Self::Venue => (DemoUse::Office, 20),
            Self::Coworking => (DemoUse::Office, 30),
            Self::Brand(Brand::Astrill) => (DemoUse::Vpn, 1),
            Self::Brand(Brand::NordVpn) => (DemoUse::Vpn, 2),
            Self::Brand(Brand::Mullvad) => (DemoUse::Vpn, 3),
            Self::Brand(Brand::ProtonVpn) => (DemoUse::Vpn, 4),
            Self::Relay => (DemoUse::Vpn, 200),
            Self::Hosting => (DemoUse::Hosting, 0),
            Self::CloudDesktop => (DemoUse::Hosting, 100),
            Self::Satellite => (DemoUse::Hosting, 110),
        }
    }

    /// The `n`th address of the site in `town`.
    #[must_use]
    pub fn address(self, town: Town, n: u32) -> IpAddr {
        let (usage, octet) = self.block();
        IpAddr::V4(city(town).address(usage, octet * OCTET_HOSTS + n % OCTET_HOSTS))
    }

    /// The /24 that holds all the site's addresses in `town`.
    #[must_use]
    pub fn network(self, town: Town) -> String {
        match self.address(town, 0) {
            IpAddr::V4(first) => {
                let [a, b, c, _] = first.octets();
                format!("{a}.{b}.{c}.0/24")
            }
            IpAddr::V6(first) => format!("{first}/128"),
        }
    }
}

/// A phone's address: the carrier's gateway, one of a few in the city.
#[must_use]
pub fn mobile_gateway(town: Town, n: u32) -> IpAddr {
    IpAddr::V4(city(town).address(DemoUse::Mobile, n % 6))
}

/// A residential line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where.
    pub town: Town,
    /// Which, in its town.
    pub number: u32,
    /// The provider never changes the address.
    pub is_fixed: bool,
    /// IPv6: one /64, with a new host part every day.
    pub is_v6: bool,
}

impl Line {
    /// Its address on `day`.
    #[must_use]
    pub fn address(&self, day: i64) -> IpAddr {
        let city = city(self.town);
        let number = self.number % HOMES_MAX;
        let lease_day = day.max(0) + i64::from(number);
        let lease = if self.is_fixed {
            0
        } else {
            u32::try_from(lease_day / LEASE_DAYS).unwrap_or(0) % LEASES
        };
        if self.is_v6 {
            let block = city.blocks_for(DemoUse::Residential).nth(number as usize % 4);
            let prefix = u16::try_from((number * LEASES + lease) % 65_536).unwrap_or(0);
            let host = u16::try_from((lease_day * 40_503).rem_euclid(65_521)).unwrap_or(0) + 2;
            if let Some(block) = block {
                return IpAddr::V6(block.address_v6(prefix, host));
            }
        }
        IpAddr::V4(city.address(
            DemoUse::Residential,
            (number * LEASES + lease) * CARRIERS + number % CARRIERS,
        ))
    }
}

/// The city.
#[must_use]
pub fn city(town: Town) -> &'static DemoCity {
    let cities = demo_cities();
    &cities[town % cities.len()]
}

/// The city of that name; the first of the table if there is none.
#[must_use]
pub fn town(name: &str) -> Town {
    demo_cities().iter().position(|city| city.name == name).unwrap_or(0)
}

/// All towns in those countries, but only where `keep` says so.
pub fn towns(countries: &[&str], keep: impl Fn(Town) -> bool) -> Vec<Town> {
    (0..demo_cities().len())
        .filter(|&town| countries.is_empty() || countries.contains(&city(town).country))
        .filter(|&town| keep(town))
        .collect()
}

/// Kilometers between two cities.
#[must_use]
pub fn distance_km(from: Town, to: Town) -> f64 {
    city(from).point.distance_km(city(to).point)
}

/// What every city's clocks are ahead of UTC, fixed for the life of a company.
#[derive(Clone, Debug)]
pub struct Clocks(Vec<i64>);

impl Clocks {
    /// The clocks as they stand on that day.
    #[must_use]
    pub fn on(day: i64) -> Self {
        let at = jiff::Timestamp::from_millisecond(day * DAY_MS).unwrap_or_default();
        let ahead_ms = |city: &DemoCity| {
            let zone = jiff::tz::TimeZone::get(city.time_zone).unwrap_or(jiff::tz::TimeZone::UTC);
            i64::from(zone.to_offset(at).seconds()) * 1_000
        };
        Self(demo_cities().iter().map(ahead_ms).collect())
    }

    /// Midnight of `day` in `town`, ms since the epoch.
    #[must_use]
    pub fn midnight_ms(&self, day: i64, town: Town) -> i64 {
        day * DAY_MS - self.0.get(town).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_changes_and_a_fixed_line_does_not() {
        let leased = Line {
            town: town("Austin"),
            number: 3,
            is_fixed: false,
            is_v6: false,
        };
        let fixed = Line {
            is_fixed: true,
            ..leased
        };
        let days = [20_000, 20_010, 20_020];
        assert_eq!(days.map(|day| fixed.address(day)), [fixed.address(0); 3]);
        assert_ne!(leased.address(20_000), leased.address(20_010));
    }

    #[test]
    fn homes_never_share_an_address() {
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..500 {
            let line = Line {
                town: 0,
                number,
                is_fixed: false,
                is_v6: false,
            };
            let addresses: std::collections::BTreeSet<_> = (20_000..20_040).map(|day| line.address(day)).collect();
            assert!(addresses.len() > 1);
            for address in addresses {
                assert!(seen.insert(address), "{address} belongs to two homes");
            }
        }
    }

    #[test]
    fn sites_lie_in_their_networks() {
        let vegas = town("Las Vegas");
        assert_eq!(Site::Hotel.address(vegas, 4).to_string(), "245.42.10.5");
        assert_eq!(Site::Brand(Brand::Astrill).network(vegas), "246.42.1.0/24");
    }
}
