//! Makes innocent people odd: everything that drives false alarms elsewhere, labelled so that a false alarm can be named.

use super::act::{Device, Program};
use super::atlas::{self, Brand, Site, Town, city};
use super::people::{Detail, Habit, Trip, Workplace};
use super::plan::Planner;
use crate::model::AccountKind;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Speed of an airliner from gate to gate over a long way, km/h.
const FLIGHT_KMH: f64 = 780.0;

/// One oddity of one or several people.
type Oddity = fn(&mut Planner);

/// Every oddity, and how many accounts there are for each of it.
const ODDITIES: [(Oddity, usize); 19] = [
    (household, 60),
    (coworking, 250),
    (shared_machine, 300),
    (helpdesk, 400),
    (supported, 120),
    (administrator, 80),
    (docked, 60),
    (new_hire_in_hotel, 120),
    (moved, 150),
    (border_commuter, 250),
    (coarse_claim, 100),
    (robot, 80),
    (guessed, 150),
    (on_call, 120),
    (private_vpn, 40),
    (privacy_relay, 60),
    (roaming, 30),
    (cloud_desktop, 120),
    (satellite, 200),
];

/// Makes some people odd, then sends others on journeys.
pub fn add(plan: &mut Planner) {
    let accounts = plan.people.len();
    for (oddity, share) in ODDITIES {
        for _ in 0..(accounts / share).max(1) {
            oddity(plan);
        }
    }
    for _ in 0..(accounts / 400).max(1) {
        conference(plan);
    }
    let journeys = accounts * usize::try_from(plan.days).unwrap_or(0) / 200;
    for _ in 0..journeys.max(2) {
        journey(plan);
    }
}

fn label(plan: &mut Planner, kind: &str, members: &[usize], why: &str) {
    plan.record(kind, &[], members, why.to_owned(), None, None);
}

fn with_habit(
    plan: &mut Planner,
    kind: &str,
    why: &str,
    habit: impl FnOnce(&mut Planner, usize) -> Habit,
) -> Option<usize> {
    let index = *plan
        .take(1, |person| {
            person.kind == AccountKind::Employee || person.kind == AccountKind::Contractor
        })
        .first()?;
    let habit = habit(plan, index);
    plan.people[index].habit = habit;
    label(plan, kind, &[index], why);
    Some(index)
}

fn household(plan: &mut Planner) {
    let members = plan.take(2, |_| true);
    let [first, second] = members[..] else { return };
    let (line, town) = (plan.people[first].lines[0], plan.people[first].home_town());
    let workplace = plan.people[first].workplace;
    let person = &mut plan.people[second];
    person.lines = vec![line];
    person.claim.town = town;
    person.workplace = workplace;
    label(
        plan,
        "household",
        &members,
        "two people of the company share a home line",
    );
}

fn coworking(plan: &mut Planner) {
    let members = plan.take(4, |_| true);
    let towns = atlas::towns(&["US", "GB", "DE", "ES"], |_| true);
    let town = towns[plan.random.index(towns.len())];
    let space = plan.random.below(200);
    for &index in &members {
        let (line, firm) = (plan.line(town), plan.staffing_firm());
        let person = &mut plan.people[index];
        (person.kind, person.employer) = (AccountKind::Contractor, firm);
        person.lines = vec![line];
        (person.claim.town, person.claim.detail) = (town, Detail::City);
        person.workplace = Workplace::Coworking(town, space);
        person.is_full_tunnel = false;
    }
    label(
        plan,
        "coworking",
        &members,
        "contractors who claim this very city share a co-working space",
    );
}

fn shared_machine(plan: &mut Planner) {
    let machine = plan.random.below(900);
    let members = plan.take(6, |person| matches!(person.workplace, Workplace::Office(_)));
    let Some(&first) = members.first() else { return };
    let Workplace::Office(office) = plan.people[first].workplace else {
        return;
    };
    for &index in &members {
        let line = plan.line(office);
        let person = &mut plan.people[index];
        person.workplace = Workplace::Office(office);
        person.claim.town = office;
        person.lines = vec![line];
        person.habit = Habit::SharedMachine(machine);
    }
    label(
        plan,
        "shared_machine",
        &members,
        "a team signs in on one desk machine in the office",
    );
}

fn helpdesk(plan: &mut Planner) {
    let newcomers = plan.take(3, |person| matches!(person.workplace, Workplace::Office(_)));
    let days = plan.workdays();
    let mut set_up = Vec::new();
    for &index in &newcomers {
        let day = days[plan.random.index(days.len() / 2 + 1)];
        plan.people[index].hire_day = day;
        set_up.push((day, Device::Laptop(plan.people[index].laptop)));
    }
    set_up.sort_unstable_by_key(|(day, _)| *day);
    let helper = plan.take(1, |person| matches!(person.workplace, Workplace::Office(_)));
    for &index in &helper {
        plan.people[index].habit = Habit::Helpdesk(set_up.clone());
    }
    label(
        plan,
        "new_hire",
        &newcomers,
        "a laptop set up by the help desk on the first day",
    );
    label(
        plan,
        "helpdesk",
        &helper,
        "signs in once on each new colleague's laptop",
    );
}

fn supported(plan: &mut Planner) {
    let days = plan.workdays();
    with_habit(
        plan,
        "supported",
        "one support session over a remote-access tool",
        |plan, _| {
            let day = days[plan.random.index(days.len())];
            Habit::Supported(
                day,
                if plan.random.percent(30) {
                    Program::AnyDesk
                } else {
                    Program::SupportTool
                },
            )
        },
    );
}

fn administrator(plan: &mut Planner) {
    let found = with_habit(
        plan,
        "administrator",
        "remote desktop to servers and to the own desktop, from office and VPN",
        |plan, _| Habit::Administrator(plan.random.below(900)),
    );
    if let Some(index) = found {
        plan.people[index].uses_vpn = true;
    }
}

fn docked(plan: &mut Planner) {
    with_habit(
        plan,
        "docked",
        "a dock with keyboard, mouse and card reader, and a monitor",
        |_, _| Habit::Docked,
    );
}

fn on_call(plan: &mut Planner) {
    with_habit(plan, "on_call", "is called at night and signs in from home", |_, _| {
        Habit::OnCall
    });
}

fn guessed(plan: &mut Planner) {
    with_habit(
        plan,
        "guessed",
        "strangers all over the world guess the password and fail",
        |_, _| Habit::Guessed,
    );
}

fn private_vpn(plan: &mut Planner) {
    with_habit(
        plan,
        "private_vpn",
        "turns a commercial VPN on and off for privacy",
        |plan, _| Habit::PrivateVpn(Brand::ORDINARY[plan.random.index(Brand::ORDINARY.len())]),
    );
}

fn privacy_relay(plan: &mut Planner) {
    with_habit(
        plan,
        "privacy_relay",
        "the browser's relay exits in other cities",
        |_, _| Habit::PrivacyRelay,
    );
}

fn roaming(plan: &mut Planner) {
    let found = with_habit(
        plan,
        "mobile_roaming",
        "the phone's gateway changes city within minutes",
        |plan, index| {
            let home = plan.people[index].home_town();
            let others = atlas::towns(&[city(home).country], |town| atlas::distance_km(home, town) > 300.0);
            Habit::Roaming(others.get(plan.random.index(others.len())).copied().unwrap_or(home))
        },
    );
    if let Some(index) = found {
        plan.people[index].has_phone = true;
    }
}

fn cloud_desktop(plan: &mut Planner) {
    with_habit(
        plan,
        "cloud_desktop",
        "a cloud desktop in another city, used beside the laptop",
        |plan, _| {
            let towns = ["Washington", "Dublin", "Singapore", "Portland"];
            Habit::CloudDesktop(atlas::town(towns[plan.random.index(towns.len())]))
        },
    );
}

fn satellite(plan: &mut Planner) {
    with_habit(
        plan,
        "satellite",
        "satellite internet that comes down far away",
        |plan, _| {
            let towns = ["Seattle", "Denver", "Frankfurt am Main", "Madrid", "Sydney"];
            Habit::Satellite(atlas::town(towns[plan.random.index(towns.len())]))
        },
    );
}

fn robot(plan: &mut Planner) {
    let taken = plan.take(1, |person| person.kind == AccountKind::Employee);
    let Some(&index) = taken.first() else { return };
    let towns = ["Washington", "Frankfurt am Main", "Portland", "Dublin"];
    let town = atlas::town(towns[plan.random.index(towns.len())]);
    let person = &mut plan.people[index];
    person.account = format!("svc-{}", person.account.replacen('.', "-", 1));
    person.alias = format!("svc-{}", person.alias.replacen('.', "-", 1));
    person.kind = AccountKind::Service;
    person.habit = Habit::Robot(town);
    label(
        plan,
        "service_account",
        &taken,
        "a program that signs in every hour from a rented server",
    );
}

/// Neighbors across a border, close enough to commute.
const BORDER_PAIRS: [(&str, &str, &str); 3] = [
    ("Brussels", "Amsterdam", "NL"),
    ("Seattle", "Vancouver", "CA"),
    ("Zurich", "Munich", "DE"),
];

fn border_commuter(plan: &mut Planner) {
    let (work, home, country) = BORDER_PAIRS[plan.random.index(BORDER_PAIRS.len())];
    let (work, home) = (atlas::town(work), atlas::town(home));
    let taken = plan.take(1, |person| person.kind == AccountKind::Employee);
    let Some(&index) = taken.first() else { return };
    let line = plan.line(home);
    let person = &mut plan.people[index];
    person.claim.town = work;
    person.claim.detail = Detail::City;
    person.claim.allowed_countries = country;
    person.lines = vec![line];
    person.workplace = Workplace::Coworking(work, 7);
    label(
        plan,
        "border_commuter",
        &taken,
        "works in one country, lives in the next, and HR knows",
    );
}

fn coarse_claim(plan: &mut Planner) {
    let taken = plan.take(1, |_| true);
    let Some(&index) = taken.first() else { return };
    let detail = if plan.random.percent(50) {
        Detail::Country
    } else {
        Detail::Region
    };
    plan.people[index].claim.detail = detail;
    label(
        plan,
        "coarse_claim",
        &taken,
        "the roster names only the country or the region",
    );
}

fn moved(plan: &mut Planner) {
    let days = plan.workdays();
    let taken = plan.take(1, |person| person.workplace == Workplace::Home);
    let Some(&index) = taken.first() else { return };
    let home = plan.people[index].home_town();
    let near = atlas::towns(&[], |town| town != home && atlas::distance_km(home, town) < 260.0);
    let old_town = near.get(plan.random.index(near.len())).copied().unwrap_or(home);
    let before = plan.line(old_town);
    let day = days[plan.random.index(days.len() / 2 + 1)];
    plan.people[index].habit = Habit::Moved(day, before);
    label(
        plan,
        "moved",
        &taken,
        "moved to a town not far away; the roster was right only later",
    );
}

fn new_hire_in_hotel(plan: &mut Planner) {
    let days = plan.workdays();
    let taken = plan.take(1, |person| person.workplace == Workplace::Home);
    let Some(&index) = taken.first() else { return };
    let day = days[plan.random.index(days.len() / 2 + 1)];
    let office = plan.offices[plan.random.index(plan.offices.len())];
    plan.people[index].hire_day = day;
    let lodging = (Site::Hotel, plan.random.below(40));
    let is_approved = plan.random.percent(60);
    let trip = trip(plan, index, (day - 1, day + 3), office, lodging, is_approved);
    plan.people[index].trips.push(trip);
    label(
        plan,
        "new_hire_in_hotel",
        &taken,
        "spends the first days of the job in a hotel near the office",
    );
}

fn conference(plan: &mut Planner) {
    let days = plan.workdays();
    let first = days[plan.random.index(days.len().saturating_sub(3).max(1))];
    let towns = ["Las Vegas", "Lisbon", "Orlando", "Singapore", "Berlin", "San Diego"];
    let town = atlas::town(towns[plan.random.index(towns.len())]);
    let venue = plan.random.below(200);
    let count = plan.people.len() / 80 + 4;
    let members = plan.take(count, |person| person.kind != AccountKind::Service);
    let nights = plan.random.between(2, 3);
    for &index in &members {
        let is_approved = plan.random.percent(50);
        let trip = trip(
            plan,
            index,
            (first, first + nights),
            town,
            (Site::Venue, venue),
            is_approved,
        );
        plan.people[index].trips.push(trip);
    }
    label(
        plan,
        "conference",
        &members,
        "colleagues from many cities behind one address of a conference hotel",
    );
}

fn journey(plan: &mut Planner) {
    let days = plan.workdays();
    let taken = plan.take(1, |person| person.kind != AccountKind::Service);
    let Some(&index) = taken.first() else { return };
    let home = plan.people[index].home_town();
    let first = days[plan.random.index(days.len())];
    let is_approved = plan.random.percent(60);
    let nights = plan.random.between(1, if is_approved { 7 } else { 2 });
    let is_abroad = plan.random.percent(40);
    let candidates = atlas::towns(&[], |town| {
        let far = atlas::distance_km(home, town) > 350.0 && city(town).country != "KP";
        far && (city(town).country == city(home).country || is_abroad)
    });
    let Some(&town) = candidates.get(plan.random.index(candidates.len())) else {
        return;
    };
    let lodging = (Site::Hotel, plan.random.below(12));
    let trip = trip(plan, index, (first, first + nights), town, lodging, is_approved);
    plan.people[index].trips.push(trip);
    let kind = if is_approved {
        "approved_journey"
    } else {
        "unannounced_journey"
    };
    label(plan, kind, &taken, &format!("flies to {} and back", city(town).name));
}

fn trip(
    plan: &mut Planner,
    index: usize,
    (first_day, last_day): (i64, i64),
    town: Town,
    lodging: (Site, u32),
    is_approved: bool,
) -> Trip {
    let home = plan.people[index].home_town();
    let flight_ms = flight_ms(home, town);
    let leave_ms = plan.local_ms(first_day, home) + 12 * HOUR_MS + plan.random.between(0, 240) * MINUTE_MS;
    let back_ms = plan.local_ms(last_day, town) + 14 * HOUR_MS + plan.random.between(0, 240) * MINUTE_MS;
    let arrive_ms = leave_ms + flight_ms;
    // A long way west to east may arrive after the last day's afternoon; then the way back is a day later.
    let back_leave_ms = back_ms.max(arrive_ms + 20 * HOUR_MS);
    Trip {
        town,
        lodging,
        leave_ms,
        arrive_ms,
        back_leave_ms,
        back_arrive_ms: back_leave_ms + flight_ms,
        is_approved,
        uses_flight_network: plan.random.percent(40),
    }
}

/// Time from leaving one place to arriving in the other, with an hour for the airports beyond the margins that
/// nobody signs in within.
#[expect(clippy::cast_possible_truncation, reason = "a flight takes less than two days")]
fn flight_ms(from: Town, to: Town) -> i64 {
    HOUR_MS + (atlas::distance_km(from, to) / FLIGHT_KMH * HOUR_MS as f64) as i64
}
