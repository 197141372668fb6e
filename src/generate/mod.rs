//! A made-up company: ordinary people with all the oddities that drive false alarms, and attacks hidden among them.
//!
//! The same seed gives the same bytes. Records come out in the order in which they would reach the log, mostly
//! that of their times; only about two days of them are ever in memory, however long the company lives.

pub mod random;
pub mod atlas;
pub mod act;
pub mod people;
pub mod plan;
pub mod attacks;
pub mod oddities;
pub mod day;
pub mod activity;
pub mod ocsf;
pub mod tables;
pub mod truth;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use self::act::Act;
use self::activity::Diary;
use self::atlas::{Clocks, Town};
use self::people::Person;
use self::truth::Group;

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;
/// A local day begins at most this long before the day of UTC, at UTC+14, and an hour is left for early birds.
const DAY_LEAD_MS: i64 = 15 * 3_600_000;
/// Days since the epoch of the company's first day, unless somebody asks for another: Monday, 2026-01-05.
pub const START_DAY: i64 = 20_458;

/// How large a company, for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// Accounts.
    pub accounts: u32,
    /// Days.
    pub days: u32,
    /// First day, since the epoch.
    pub start_day: i64,
    /// Hidden groups; `None` for about one in a hundred accounts, and each kind once from 200 accounts on.
    pub attacks: Option<u32>,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            accounts: 1_000,
            days: 28,
            start_day: START_DAY,
            attacks: None,
        }
    }
}

/// One record of the company's logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When it reaches the log, ms since the epoch; never goes back.
    pub due_ms: i64,
    /// When it happened, ms since the epoch.
    pub time_ms: i64,
    /// OCSF as JSON, without a line end.
    pub line: Vec<u8>,
}

/// A company. As an iterator, its logs.
#[derive(Debug)]
pub struct Company {
    seed: u64,
    params: Params,
    people: Vec<Person>,
    offices: Vec<Town>,
    groups: Vec<Group>,
    clocks: Clocks,
    next_day: i64,
    upcoming: BinaryHeap<Reverse<Upcoming>>,
}

/// An act in the order of the log.
#[derive(Debug, PartialEq, Eq)]
struct Upcoming(Act);

impl Ord for Upcoming {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0.due_ms, self.0.id).cmp(&(other.0.due_ms, other.0.id))
    }
}

impl PartialOrd for Upcoming {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Company {
    /// The company of that seed.
    #[must_use]
    pub fn new(seed: u64, params: Params) -> Self {
        let (people, offices, groups) = plan::plan(seed, &params).finish();
        Self {
            seed,
            clocks: Clocks::on(params.start_day),
            next_day: params.start_day,
            params,
            people,
            offices,
            groups,
            upcoming: BinaryHeap::new(),
        }
    }

    /// `roster.csv`.
    #[must_use]
    pub fn roster_csv(&self) -> String {
        tables::roster(&self.people)
    }

    /// `travel.csv`.
    #[must_use]
    pub fn travel_csv(&self) -> String {
        tables::travel(&self.people, self.params.start_day)
    }

    /// `networks.csv`.
    #[must_use]
    pub fn networks_csv(&self) -> String {
        tables::networks(&self.offices)
    }

    /// Attacks and innocent oddities.
    #[must_use]
    pub fn truth(&self) -> &[Group] {
        &self.groups
    }

    /// Everybody.
    #[must_use]
    pub fn people(&self) -> &[Person] {
        &self.people
    }

    fn live_through(&mut self, day: i64) {
        let mut acts = Vec::new();
        for (who, person) in (0_u32..).zip(&self.people) {
            Diary::new((person, who), (self.seed, day), &self.clocks, &self.offices, &mut acts).write();
        }
        self.upcoming.extend(acts.into_iter().map(|act| Reverse(Upcoming(act))));
    }

    fn last_day(&self) -> i64 {
        self.params.start_day + i64::from(self.params.days)
    }

    fn next_act(&mut self) -> Option<Act> {
        loop {
            let horizon_ms = self.next_day * DAY_MS - DAY_LEAD_MS;
            let is_settled = self.next_day >= self.last_day()
                || self
                    .upcoming
                    .peek()
                    .is_some_and(|Reverse(Upcoming(act))| act.due_ms < horizon_ms);
            if is_settled {
                return self.upcoming.pop().map(|Reverse(Upcoming(act))| act);
            }
            self.live_through(self.next_day);
            self.next_day += 1;
        }
    }
}

impl Iterator for Company {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        loop {
            let act = self.next_act()?;
            let Some(person) = self.people.get(act.who as usize) else {
                continue;
            };
            let names = ocsf::Names {
                account: &person.account,
                alias: &person.alias,
                factor: act.who,
            };
            let mut line = Vec::with_capacity(768);
            if ocsf::write(&act, names, self.seed, &mut line).is_ok() {
                return Some(Record {
                    due_ms: act.due_ms,
                    time_ms: act.time_ms,
                    line,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(seed: u64) -> Company {
        Company::new(
            seed,
            Params {
                accounts: 200,
                days: 5,
                ..Params::default()
            },
        )
    }

    fn lines(company: Company) -> Vec<Vec<u8>> {
        company.map(|record| record.line).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        assert_eq!(small(3).roster_csv(), small(3).roster_csv());
        assert_eq!(small(3).truth(), small(3).truth());
        let first = lines(small(3));
        assert!(first.len() > 5_000, "{}", first.len());
        assert!(first == lines(small(3)));
        assert!(first != lines(small(4)));
    }

    #[test]
    fn records_reach_the_log_in_order_and_some_are_late_or_twice() {
        let (mut last_ms, mut late, mut seen, mut twice) = (i64::MIN, 0, std::collections::BTreeSet::new(), 0);
        for record in small(3) {
            assert!(record.due_ms >= last_ms, "the log never goes back");
            last_ms = record.due_ms;
            assert!((0..=600_000).contains(&(record.due_ms - record.time_ms)));
            late += usize::from(record.due_ms > record.time_ms);
            twice += usize::from(!seen.insert(record.line));
        }
        assert!(late > 0 && twice > 0, "{late} late, {twice} twice");
    }

    #[test]
    fn tables_fit_their_headers() {
        let company = small(5);
        for csv in [company.roster_csv(), company.travel_csv(), company.networks_csv()] {
            let columns = csv.lines().next().unwrap().matches(',').count();
            assert!(csv.lines().count() > 3);
            for line in csv.lines() {
                assert_eq!(line.matches(',').count(), columns, "{line}");
            }
        }
    }
    /// Where an address of a home, hotel, venue or co-working space is; `None` for networks that do not locate anybody.
    fn located(address: &str) -> Option<Town> {
        let city = |number: u8| {
            crate::enrich::demo_table::demo_cities()
                .iter()
                .position(|city| city.number == number)
        };
        match address.parse().ok()? {
            std::net::IpAddr::V4(v4) => match v4.octets() {
                [240..=243, number, ..] | [245, number, 10..=30, _] => city(number),
                _ => None,
            },
            std::net::IpAddr::V6(v6) => city(v6.segments()[2].to_be_bytes()[0]),
        }
    }

    /// Accounts whose located sign-ins lie further apart than an airliner flies, net of both error radii.
    fn impossible_travelers(company: Company) -> std::collections::BTreeSet<String> {
        let mut seen: std::collections::BTreeMap<String, Vec<(i64, Town)>> = std::collections::BTreeMap::new();
        for record in company {
            let json: serde_json::Value = serde_json::from_slice(&record.line).unwrap();
            let town = json["src_endpoint"]["ip"].as_str().and_then(located);
            let is_sign_in = json["class_uid"] == 3002 && json["activity_id"] == 1 && json["status_id"] == 1;
            if let (Some(town), true) = (town, is_sign_in) {
                let account = json["user"]["name"].as_str().unwrap().to_owned();
                seen.entry(account).or_default().push((record.time_ms, town));
            }
        }
        seen.retain(|_, sign_ins| {
            sign_ins.sort_unstable();
            sign_ins.windows(2).any(|leg| {
                let ((from_ms, from), (to_ms, to)) = (leg[0], leg[1]);
                let radii = f64::from(atlas::city(from).radius_km + atlas::city(to).radius_km);
                let km = atlas::distance_km(from, to) - radii;
                km > 50.0 && km > 900.0 * f64::from(i32::try_from(to_ms - from_ms).unwrap()) / 3.6e6
            })
        });
        seen.into_keys().collect()
    }

    #[test]
    fn nobody_outruns_an_airliner_but_those_who_slip() {
        for seed in 1..=2 {
            let company = Company::new(
                seed,
                Params {
                    accounts: 260,
                    days: 12,
                    ..Params::default()
                },
            );
            let slips = company
                .truth()
                .iter()
                .filter(|group| group.expected == ["impossible_travel"]);
            let expected: std::collections::BTreeSet<String> =
                slips.flat_map(|group| group.accounts.iter().cloned()).collect();
            assert_eq!(impossible_travelers(company), expected, "seed {seed}");
        }
    }

    #[test]
    fn every_attack_leaves_its_traces() {
        let company = small(6);
        let alias = |kind: &str| {
            let group = company.truth().iter().find(|group| group.kind == kind).unwrap();
            group
                .accounts
                .iter()
                .map(|account| account.split('@').next().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let traces = [
            ("rdp_relay", "\"class_uid\":4005"),
            ("kvm_relay", "1D6B"),
            ("two_remote_tools", "AnyDesk.exe"),
            ("tool_after_hire", "\"class_uid\":1007"),
            ("laptop_farm", "AnyDesk.exe"),
            ("laptop_farm", "\"ip\":\"246."),
            ("laptop_farm_same_city", "AnyDesk.exe"),
            ("laptop_farm_several_lines", "AnyDesk.exe"),
        ];
        let wanted: Vec<_> = traces
            .iter()
            .map(|(kind, trace)| (alias(kind), *trace, *kind))
            .collect();
        let logs: Vec<String> = small(6).map(|record| String::from_utf8(record.line).unwrap()).collect();
        for (aliases, trace, kind) in wanted {
            let shown = |name: &String| {
                let (short, mail) = (format!("\"{name}\""), format!("\"{name}@"));
                logs.iter()
                    .any(|line| line.contains(trace) && (line.contains(&short) || line.contains(&mail)))
            };
            assert!(aliases.iter().any(shown), "{kind}: {trace}");
        }
    }
}
