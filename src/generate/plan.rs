//! Plans a company before its first day: people, offices, hidden groups, oddities and journeys.

use super::Params;
use super::atlas::{self, Clocks, Line, Town};
use super::attacks::{self, Attack};
use super::oddities;
use super::people::{self, Lines, Person, STAFFING_FIRMS};
use super::random::Random;
use super::truth::{Group, day_text};

/// Accounts from which on every kind of attack is hidden at least once.
const ALL_KINDS_FROM: u32 = 200;
/// Accounts for each hidden group, beyond the first of each kind.
const ACCOUNTS_PER_GROUP: u32 = 100;

/// A company being planned.
#[derive(Debug)]
pub struct Planner {
    /// Everybody.
    pub people: Vec<Person>,
    /// Cities of the offices.
    pub offices: Vec<Town>,
    /// First day, since the epoch.
    pub start_day: i64,
    /// Days.
    pub days: i64,
    /// Chance.
    pub random: Random,
    groups: Vec<Group>,
    lines: Lines,
    clocks: Clocks,
    pool: Vec<usize>,
}

/// Plans the company of that seed.
#[must_use]
pub fn plan(seed: u64, params: &Params) -> Planner {
    let mut random = Random::of(seed, &[0x706c_616e]);
    let mut cities = [
        "New York",
        "Chicago",
        "Austin",
        "Denver",
        "London",
        "Berlin",
        "Toronto",
        "Bengaluru",
    ];
    random.shuffle(&mut cities);
    let office_count = if params.accounts < 100 { 2 } else { 5 };
    let offices: Vec<Town> = cities[..office_count].iter().map(|name| atlas::town(name)).collect();
    let mut lines = Lines::default();
    let people: Vec<Person> = (0..params.accounts)
        .map(|index| people::ordinary(index, seed, &offices, params.start_day, &mut lines))
        .collect();
    let mut pool: Vec<usize> = (0..people.len()).collect();
    random.shuffle(&mut pool);
    let mut planner = Planner {
        people,
        offices,
        start_day: params.start_day,
        days: i64::from(params.days),
        random,
        groups: Vec::new(),
        lines,
        clocks: Clocks::on(params.start_day),
        pool,
    };
    for attack in Attack::ALL.iter().cycle().take(attack_count(params) as usize) {
        attacks::hide(*attack, &mut planner);
    }
    oddities::add(&mut planner);
    planner
}

/// Hidden groups of a company: one for so many accounts, and each kind at least once where there is room.
fn attack_count(params: &Params) -> u32 {
    let kinds = u32::try_from(Attack::ALL.len()).unwrap_or(0);
    params.attacks.unwrap_or_else(|| {
        let share = (params.accounts / ACCOUNTS_PER_GROUP).max(1);
        if params.accounts >= ALL_KINDS_FROM {
            share.max(kinds)
        } else {
            share
        }
    })
}

impl Planner {
    /// Takes up to `count` plain people whom `suits` likes. Nobody is taken twice.
    pub fn take(&mut self, count: usize, suits: impl Fn(&Person) -> bool) -> Vec<usize> {
        let mut taken = Vec::new();
        let mut place = self.pool.len();
        while place > 0 && taken.len() < count {
            place -= 1;
            let person = &self.people[self.pool[place]];
            if person.is_plain() && suits(person) {
                taken.push(self.pool.swap_remove(place));
            }
        }
        if taken.len() < count && count > 1 && taken.len() < 2 {
            self.pool.append(&mut taken);
        }
        taken
    }

    /// A line of its own in `town`.
    pub fn line(&mut self, town: Town) -> Line {
        self.lines.next(town, &mut self.random)
    }

    /// Some firm that supplies contractors.
    pub fn staffing_firm(&mut self) -> &'static str {
        STAFFING_FIRMS[self.random.index(STAFFING_FIRMS.len())]
    }

    /// Mondays to Fridays after the first day, at least one day.
    #[must_use]
    pub fn workdays(&self) -> Vec<i64> {
        let days: Vec<i64> = (self.start_day + 1..self.start_day + self.days)
            .filter(|&day| !is_weekend(day))
            .collect();
        if days.is_empty() { vec![self.start_day] } else { days }
    }

    /// Midnight of `day` in `town`, ms.
    #[must_use]
    pub fn local_ms(&self, day: i64, town: Town) -> i64 {
        self.clocks.midnight_ms(day, town)
    }

    /// Writes a group down. Without days of its own it lasts as long as the company.
    pub fn record(
        &mut self,
        kind: &str,
        expected: &[&str],
        members: &[usize],
        why: String,
        first: Option<i64>,
        last: Option<i64>,
    ) {
        if members.is_empty() {
            return;
        }
        let mut accounts: Vec<String> = members
            .iter()
            .map(|&index| self.people[index].account.clone())
            .collect();
        accounts.sort_unstable();
        let same_kind = self.groups.iter().filter(|group| group.kind == kind).count();
        self.groups.push(Group {
            group: format!("{kind}-{}", same_kind + 1),
            kind: kind.to_owned(),
            accounts,
            expected: expected.iter().map(|&name| name.to_owned()).collect(),
            why,
            first: day_text(first.unwrap_or(self.start_day)),
            last: day_text(last.map_or(self.start_day + self.days, |day| day + 1)),
        });
    }

    /// The people and the truth about them.
    #[must_use]
    pub fn finish(self) -> (Vec<Person>, Vec<Town>, Vec<Group>) {
        (self.people, self.offices, self.groups)
    }
}

/// Saturdays and Sundays; the epoch was a Thursday.
#[must_use]
pub fn is_weekend(day: i64) -> bool {
    (day + 3).rem_euclid(7) >= 5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_was_a_thursday() {
        assert_eq!(
            (0..7).map(is_weekend).collect::<Vec<_>>(),
            [false, false, true, true, false, false, false]
        );
    }

    #[test]
    fn every_kind_of_attack_is_hidden_and_nobody_is_in_two_groups() {
        let params = Params {
            accounts: 300,
            ..Params::default()
        };
        let (_, _, groups) = plan(5, &params).finish();
        for attack in Attack::ALL {
            assert!(groups.iter().any(|group| group.kind == attack.kind()), "{attack:?}");
        }
        let mut seen = std::collections::BTreeSet::new();
        for account in groups.iter().flat_map(|group| &group.accounts) {
            assert!(seen.insert(account), "{account} is in two groups");
        }
    }

    #[test]
    fn small_companies_get_what_is_asked_for() {
        let params = Params {
            accounts: 40,
            attacks: Some(3),
            ..Params::default()
        };
        let (_, _, groups) = plan(5, &params).finish();
        assert_eq!(groups.iter().filter(|group| group.is_attack()).count(), 3);
    }
}
