//! Where a person is in the course of one day: stays, from the first sign-in to the last, that a body could keep.

use std::net::IpAddr;

use super::atlas::{self, Clocks, Line, Site, Town};
use super::people::{Habit, Person, Trip, Workplace};
use super::plan::is_weekend;
use super::random::Random;
use crate::model::AccountKind;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// A stay shorter than this is not worth opening the laptop for.
const STAY_MIN_MS: i64 = 20 * MINUTE_MS;
/// Nobody signs in this long before leaving for a journey, nor after arriving.
const LEAVE_MARGIN_MS: i64 = 90 * MINUTE_MS;
const ARRIVE_MARGIN_MS: i64 = 45 * MINUTE_MS;

/// Some hours in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stay {
    /// From, ms.
    pub from_ms: i64,
    /// To, ms.
    pub to_ms: i64,
    /// Address of the place.
    pub address: IpAddr,
    /// City of the place.
    pub town: Town,
    /// What is done there.
    pub purpose: Purpose,
}

/// What is done during a stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A day's work, away from the office.
    Work,
    /// A day's work in the office.
    OfficeWork,
    /// A look at the mail.
    Glance,
}

/// The stays of `person` on `day`, in order.
#[must_use]
pub fn stays(person: &Person, index: u32, seed: u64, day: i64, clocks: &Clocks) -> Vec<Stay> {
    if day < person.hire_day || person.kind == AccountKind::Service {
        return Vec::new();
    }
    let mut random = Random::of(seed, &[0x7374_6179, u64::from(index), day.unsigned_abs()]);
    let mut stays = at_home_base(person, index, day, clocks, &mut random);
    for trip in &person.trips {
        stays = stays.iter().flat_map(|stay| around(stay, trip)).collect();
        stays.extend(away(person, trip, day, clocks, &mut random));
    }
    stays.retain(|stay| stay.to_ms - stay.from_ms >= STAY_MIN_MS);
    stays.sort_by_key(|stay| stay.from_ms);
    stays
}

fn at_home_base(person: &Person, index: u32, day: i64, clocks: &Clocks, random: &mut Random) -> Vec<Stay> {
    let line = home_line(person, index, day);
    let midnight = clocks.midnight_ms(day, line.town);
    let home = |from_minute: i64, minutes: i64, purpose| Stay {
        from_ms: midnight + from_minute * MINUTE_MS,
        to_ms: midnight + (from_minute + minutes) * MINUTE_MS,
        address: line.address(day),
        town: line.town,
        purpose,
    };
    let start = person.start_minute + random.between(-15, 20);
    let hours = 8 * 60 + random.between(-40, 45);
    let mut stays = Vec::new();
    if is_weekend(day) {
        if random.percent(15) {
            stays.push(home(11 * 60 + random.between(0, 400), 40, Purpose::Glance));
        }
        return stays;
    }
    if !person.scheme.is_hidden && random.percent(4) {
        return stays;
    }
    if person.habit == Habit::OnCall && random.percent(30) {
        stays.push(home(random.between(60, 240), 50, Purpose::Work));
    }
    let at_site = |site: Site, n, town: Town, purpose| {
        let midnight = clocks.midnight_ms(day, town);
        Stay {
            from_ms: midnight + start * MINUTE_MS,
            to_ms: midnight + (start + hours) * MINUTE_MS,
            address: site.address(town, n),
            town,
            purpose,
        }
    };
    let day_stay = match person.workplace {
        Workplace::Office(office) => at_site(Site::Office, index % 2, office, Purpose::OfficeWork),
        Workplace::Hybrid(office) if random.percent(55) => {
            at_site(Site::Office, index % 2, office, Purpose::OfficeWork)
        }
        Workplace::Coworking(town, space) => at_site(Site::Coworking, space, town, Purpose::Work),
        Workplace::Home | Workplace::Hybrid(_) => home(start, hours, Purpose::Work),
    };
    let is_commuter = day_stay.address != line.address(day);
    // A border commuter is hours on the road; others are at most an hour from work.
    let road = if atlas::distance_km(line.town, day_stay.town) > 60.0 {
        200
    } else {
        75
    };
    if is_commuter && random.percent(35) {
        stays.push(home(start - road - 25, 25, Purpose::Glance));
    }
    stays.push(day_stay);
    if random.percent(25) {
        stays.push(home(start + hours + road, 35, Purpose::Glance));
    }
    stays
}

/// The line the person has that day; a farm of several lines moves people between them.
fn home_line(person: &Person, index: u32, day: i64) -> Line {
    if let Habit::Moved(moving_day, before) = &person.habit
        && day < *moving_day
    {
        return *before;
    }
    let turn = usize::try_from(day.unsigned_abs() + u64::from(index)).unwrap_or(0);
    person.lines[turn % person.lines.len()]
}

/// What is left of a stay at home by a journey.
fn around(stay: &Stay, trip: &Trip) -> Vec<Stay> {
    let before = Stay {
        to_ms: stay.to_ms.min(trip.leave_ms - LEAVE_MARGIN_MS),
        ..stay.clone()
    };
    let after = Stay {
        from_ms: stay.from_ms.max(trip.back_arrive_ms + ARRIVE_MARGIN_MS),
        ..stay.clone()
    };
    [before, after]
        .into_iter()
        .filter(|part| part.to_ms - part.from_ms >= STAY_MIN_MS)
        .collect()
}

/// The stays that a journey adds.
fn away(person: &Person, trip: &Trip, day: i64, clocks: &Clocks, random: &mut Random) -> Vec<Stay> {
    let (site, n) = trip.lodging;
    let midnight = clocks.midnight_ms(day, trip.town);
    let start = midnight + (person.start_minute + random.between(-20, 20)) * MINUTE_MS;
    let address = site.address(trip.town, n);
    let within = |from_ms: i64, to_ms: i64, purpose| Stay {
        from_ms: from_ms.max(trip.arrive_ms + ARRIVE_MARGIN_MS),
        to_ms: to_ms.min(trip.back_leave_ms - LEAVE_MARGIN_MS),
        address,
        town: trip.town,
        purpose,
    };
    let mut stays = vec![within(start, start + 8 * HOUR_MS, Purpose::Work)];
    if random.percent(60) {
        let evening = start + 12 * HOUR_MS;
        stays.push(within(evening, evening + 40 * MINUTE_MS, Purpose::Glance));
    }
    let middle = i64::midpoint(trip.leave_ms, trip.arrive_ms);
    let is_flight_day = (midnight..midnight + 24 * HOUR_MS).contains(&middle);
    if trip.uses_flight_network && is_flight_day && trip.arrive_ms - trip.leave_ms > 3 * HOUR_MS {
        stays.push(Stay {
            from_ms: middle - 20 * MINUTE_MS,
            to_ms: middle + 20 * MINUTE_MS,
            address: Site::Satellite.address(trip.town, 7),
            town: trip.town,
            purpose: Purpose::Glance,
        });
    }
    stays
}
