//! The company's reference data as CSV: roster, journeys, networks.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::DAY_MS;
use super::act::Device;
use super::atlas::{Brand, Site, Town, city};
use super::people::{Detail, Habit, Person};
use crate::enrich::demo_table::{DemoUse, demo_cities};
use crate::model::{AccountKind, NetworkClass};

const ROSTER_HEADER: &str = "account,aliases,kind,employer,country,region,city,latitude,longitude,radius_km,time_zone,allowed_countries,hire_date,devices";
const TRAVEL_HEADER: &str = "account,from,to,country,city,latitude,longitude,ticket";
const NETWORKS_HEADER: &str = "network,class,label";

/// `roster.csv`.
#[must_use]
pub fn roster(people: &[Person]) -> String {
    let mut csv = format!("{ROSTER_HEADER}\n");
    for (index, person) in people.iter().enumerate() {
        let is_robot = person.kind == AccountKind::Service;
        let town = city(person.claim.town);
        let detail = if is_robot { Detail::Nothing } else { person.claim.detail };
        let known = |least: Detail, text: &'static str| {
            if detail_rank(detail) >= detail_rank(least) {
                text
            } else {
                ""
            }
        };
        let point = match detail {
            Detail::Point => format!("{:.3},{:.3},", town.point.latitude, town.point.longitude),
            _ => ",,".to_owned(),
        };
        // A laptop passed on stays with the person it was issued to.
        let owns_laptop = usize::try_from(person.laptop) == Ok(index) && !is_robot;
        let device = if owns_laptop {
            Device::Laptop(person.laptop).uid()
        } else {
            String::new()
        };
        let _ = writeln!(
            csv,
            "{},{},{},{},{},{},{},{point},{},{},{},{device}",
            person.account,
            person.alias,
            kind(person.kind),
            person.employer,
            known(Detail::Country, town.country),
            known(Detail::Region, town.region_name),
            known(Detail::City, town.name),
            known(Detail::Country, town.time_zone),
            person.claim.allowed_countries,
            date(person.hire_day),
        );
    }
    csv
}

fn kind(kind: AccountKind) -> &'static str {
    match kind {
        AccountKind::Employee => "employee",
        AccountKind::Contractor => "contractor",
        AccountKind::Service => "service",
        AccountKind::Unknown => "",
    }
}

fn detail_rank(detail: Detail) -> u8 {
    match detail {
        Detail::Nothing => 0,
        Detail::Country => 1,
        Detail::Region => 2,
        Detail::City => 3,
        Detail::Point => 4,
    }
}

/// `travel.csv`: the approved journeys, and the removals HR knew of.
#[must_use]
pub fn travel(people: &[Person], start_day: i64) -> String {
    let mut csv = format!("{TRAVEL_HEADER}\n");
    let mut ticket = 0;
    let mut row = |account: &str, from: i64, to: i64, town: Town| {
        ticket += 1;
        let place = city(town);
        let point = place.point;
        let (from, to) = (date(from), date(to));
        let _ = writeln!(
            csv,
            "{account},{from},{to},{},{},{:.3},{:.3},TRV-{ticket:05}",
            place.country, place.name, point.latitude, point.longitude
        );
    };
    for person in people {
        for trip in person.trips.iter().filter(|trip| trip.is_approved) {
            // Approvals name local dates; a day either side covers the time zones.
            row(
                &person.account,
                trip.leave_ms / DAY_MS - 1,
                trip.back_arrive_ms / DAY_MS + 1,
                trip.town,
            );
        }
        if let Habit::Moved(day, before) = &person.habit {
            row(&person.account, start_day - 30, *day, before.town);
        }
    }
    csv
}

/// `networks.csv`: the company's own egress, and what public lists say about others.
#[must_use]
pub fn networks(offices: &[Town]) -> String {
    let mut csv = format!("{NETWORKS_HEADER}\n");
    let mut row = |network: &str, class: NetworkClass, label: &str| {
        let _ = writeln!(csv, "{network},{},{label}", class.as_str());
    };
    for &office in offices {
        let name = city(office).name;
        row(
            &Site::Office.network(office),
            NetworkClass::Corporate,
            &format!("{name} office"),
        );
        row(
            &Site::VpnEgress.network(office),
            NetworkClass::Corporate,
            &format!("{name} VPN egress"),
        );
    }
    for town in 0..demo_cities().len() {
        for brand in Brand::ALL {
            row(&Site::Brand(brand).network(town), NetworkClass::Vpn, brand.name());
        }
        row(&Site::Relay.network(town), NetworkClass::Relay, "Private Relay");
        row(
            &Site::CloudDesktop.network(town),
            NetworkClass::CloudDesktop,
            "Cloud desktops",
        );
        row(
            &Site::Satellite.network(town),
            NetworkClass::Satellite,
            "Satellite and in-flight",
        );
    }
    for (asn, (usage, organization)) in carriers() {
        if matches!(usage, DemoUse::Mobile | DemoUse::Hosting) {
            row(&format!("AS{asn}"), usage.class(), organization);
        }
    }
    csv
}

fn carriers() -> BTreeMap<u32, (DemoUse, &'static str)> {
    demo_cities()
        .iter()
        .flat_map(|city| city.blocks())
        .map(|block| (block.asn, (block.usage, block.organization)))
        .collect()
}

/// ISO 8601 date of a day since the epoch.
fn date(day: i64) -> String {
    jiff::Timestamp::from_second(day * 86_400).map_or_else(
        |_| String::new(),
        |time| jiff::tz::TimeZone::UTC.to_datetime(time).date().to_string(),
    )
}
