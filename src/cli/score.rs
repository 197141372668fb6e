//! Alerts against the truth: what was found, what was missed, what was a false alarm.

use std::collections::{BTreeMap, BTreeSet};

use crate::generate::truth::Group;

/// What an alert was worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Names an account of this hidden group, and is the first to.
    Found(String),
    /// Names an account of a group that was found before.
    FoundAgain(String),
    /// Names no account of any hidden group. Carries the oddity that misled it, or nothing.
    FalseAlarm(String),
    /// A signal, or an update of an alert: counts for nothing.
    NotCounted,
}

/// Keeps the score.
#[derive(Clone, Debug, Default)]
pub struct Score {
    hidden: BTreeMap<String, String>,
    group_of: BTreeMap<String, String>,
    oddity_of: BTreeMap<String, String>,
    found: BTreeSet<String>,
    false_alarms: BTreeMap<String, u64>,
}

impl Score {
    /// Nothing found yet.
    #[must_use]
    pub fn new(truth: &[Group]) -> Self {
        let mut score = Self::default();
        for group in truth {
            if group.is_attack() {
                score.hidden.insert(group.group.clone(), group.kind.clone());
            }
            let names = if group.is_attack() {
                &mut score.group_of
            } else {
                &mut score.oddity_of
            };
            let label = if group.is_attack() { &group.group } else { &group.kind };
            names.extend(group.accounts.iter().map(|account| (account.clone(), label.clone())));
        }
        score
    }

    /// Judges one published finding.
    pub fn judge(&mut self, accounts: &[String], is_alert: bool, is_first: bool) -> Verdict {
        if !is_alert {
            return Verdict::NotCounted;
        }
        let groups: BTreeSet<&String> = accounts
            .iter()
            .filter_map(|account| self.group_of.get(account))
            .collect();
        let Some(&group) = groups.first() else {
            if !is_first {
                return Verdict::NotCounted;
            }
            let oddity = accounts.iter().find_map(|account| self.oddity_of.get(account));
            let oddity = oddity.cloned().unwrap_or_default();
            *self.false_alarms.entry(oddity.clone()).or_default() += 1;
            return Verdict::FalseAlarm(oddity);
        };
        let new = groups
            .iter()
            .find(|group| !self.found.contains(**group))
            .map(|group| (**group).clone());
        let verdict = match new {
            Some(group) => Verdict::Found(group),
            None if is_first => Verdict::FoundAgain(group.clone()),
            None => Verdict::NotCounted,
        };
        self.found.extend(groups.into_iter().cloned().collect::<Vec<_>>());
        verdict
    }

    /// Hidden groups.
    #[must_use]
    pub fn hidden(&self) -> usize {
        self.hidden.len()
    }

    /// Groups found.
    #[must_use]
    pub fn found(&self) -> usize {
        self.found.len()
    }

    /// Groups not found, by name.
    pub fn missed(&self) -> impl Iterator<Item = &str> {
        self.hidden
            .keys()
            .filter(|group| !self.found.contains(*group))
            .map(String::as_str)
    }

    /// False alarms.
    #[must_use]
    pub fn false_alarms(&self) -> u64 {
        self.false_alarms.values().sum()
    }

    /// False alarms by the oddity that misled; empty for an ordinary person.
    pub fn misled_by(&self) -> impl Iterator<Item = (&str, u64)> {
        self.false_alarms
            .iter()
            .map(|(oddity, count)| (oddity.as_str(), *count))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::generate::{Company, Params};
    use crate::intake::Format;
    use crate::model::key::HashKey;
    use crate::pipeline::replay::{Replay, ReplayOutputs};
    use crate::pipeline::replay_ahead::ReplayAhead;
    use crate::service::demo_geoip::demo_databases;
    use crate::service::reference::{ReferenceBytes, load_bytes};

    fn group(name: &str, accounts: &[&str], expected: &[&str]) -> Group {
        Group {
            group: name.to_owned(),
            kind: name.trim_end_matches("-1").to_owned(),
            accounts: accounts.iter().map(|&account| account.to_owned()).collect(),
            expected: expected.iter().map(|&detection| detection.to_owned()).collect(),
            why: String::new(),
            first: String::new(),
            last: String::new(),
        }
    }

    fn names(accounts: &[&str]) -> Vec<String> {
        accounts.iter().map(|&account| account.to_owned()).collect()
    }

    fn score() -> Score {
        Score::new(&[
            group("laptop_farm-1", &["a", "b"], &["laptop_farm"]),
            group("kvm_relay-1", &["c"], &["remote_desktop_relay"]),
            group("household-1", &["h", "i"], &[]),
        ])
    }

    #[test]
    fn an_alert_hits_when_it_names_an_account_of_a_group() {
        let mut score = score();
        assert_eq!(
            score.judge(&names(&["b", "x"]), true, true),
            Verdict::Found("laptop_farm-1".to_owned())
        );
        assert_eq!(
            score.judge(&names(&["a"]), true, true),
            Verdict::FoundAgain("laptop_farm-1".to_owned())
        );
        assert_eq!((score.hidden(), score.found(), score.false_alarms()), (2, 1, 0));
        assert_eq!(score.missed().collect::<Vec<_>>(), ["kvm_relay-1"]);
    }

    #[test]
    fn false_alarms_name_what_misled_and_count_once() {
        let mut score = score();
        assert_eq!(
            score.judge(&names(&["h", "i"]), true, true),
            Verdict::FalseAlarm("household".to_owned())
        );
        assert_eq!(score.judge(&names(&["h", "i"]), true, false), Verdict::NotCounted);
        assert_eq!(
            score.judge(&names(&["stranger"]), true, true),
            Verdict::FalseAlarm(String::new())
        );
        assert_eq!(score.false_alarms(), 2);
        assert_eq!(score.misled_by().collect::<Vec<_>>(), [("", 1), ("household", 1)]);
    }

    #[test]
    fn signals_count_for_nothing() {
        let mut score = score();
        assert_eq!(score.judge(&names(&["a"]), false, true), Verdict::NotCounted);
        assert_eq!(score.judge(&names(&["h"]), false, true), Verdict::NotCounted);
        assert_eq!((score.found(), score.false_alarms()), (0, 0));
    }

    #[test]
    fn a_whole_company_is_told_apart() {
        let params = Params {
            accounts: 220,
            days: 10,
            ..Params::default()
        };
        let company = Company::new(7, params);
        let csv = |name: &str, text: String| (name.to_owned(), text.into_bytes());
        let files = ReferenceBytes {
            geoip: demo_databases().unwrap(),
            networks: vec![csv("networks.csv", company.networks_csv())],
            roster: vec![csv("roster.csv", company.roster_csv())],
            travel: Some(csv("travel.csv", company.travel_csv())),
        };
        let (reference, problems) = load_bytes(&files).unwrap();
        assert_eq!(problems, []);
        let mut score = Score::new(company.truth());
        let replay = Replay::new(&Arc::default(), HashKey([0; 16]), Arc::new(reference), 2);
        let mut replay = ReplayAhead::new(replay);
        let mut alarms = Vec::new();
        let mut judge = |outputs: ReplayOutputs| {
            assert_eq!(outputs.dead_letters, []);
            for published in outputs.alerts {
                let verdict = score.judge(&published.accounts, published.is_alert, published.is_first);
                if matches!(verdict, Verdict::FalseAlarm(_)) {
                    alarms.push(published.message);
                }
            }
        };
        for (record, number) in company.zip(1..) {
            if replay.push(Format::Ocsf, "events", number, &record.line) {
                replay.run().into_iter().for_each(&mut judge);
            }
        }
        std::iter::from_fn(|| replay.run()).for_each(judge);
        assert_eq!(score.missed().collect::<Vec<_>>(), [""; 0]);
        assert_eq!(alarms, [""; 0]);
    }
}
