//! The roster: accounts, their other names, what HR says about them, and their approved travel.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use arrayvec::ArrayString;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::model::{Claim, Travel};

use super::{Dataset, Summary};

/// What is known about accounts.
///
/// Every event asks for one account among perhaps a million, and waits for each piece of memory in turn. So what is known of
/// an account stands beside its name, in two neighbouring lines of the cache.
#[derive(Debug, Default)]
pub struct Roster {
    /// By short names of accounts.
    short: HashMap<ShortName, Member, FixedState>,
    /// By longer ones.
    long: HashMap<Box<str>, Member, FixedState>,
    /// What the account is called that has this other name.
    aliases: HashMap<Box<str>, Box<str>, FixedState>,
    placed: u64,
    travels: u64,
    datasets: Vec<Dataset>,
}

/// Bytes of a name that is called short: with its length it fills a line of the cache.
const SHORT: usize = 60;

/// A short name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct ShortName(ArrayString<SHORT>);

impl Borrow<str> for ShortName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// One account, in one line of the cache.
#[derive(Debug)]
#[repr(align(64))]
struct Member {
    claim: Claim,
    /// By first day.
    travels: Box<[Travel]>,
}

/// What is known of one account, to make a roster of.
#[derive(Debug)]
pub(super) struct Known {
    /// Canonical.
    pub(super) name: String,
    pub(super) claim: Claim,
    /// By first day.
    pub(super) travels: Vec<Travel>,
}

/// An account that the roster lists.
#[derive(Clone, Copy, Debug)]
pub struct Rostered<'r> {
    /// What the roster calls it.
    pub account: &'r str,
    member: &'r Member,
}

impl<'r> Rostered<'r> {
    /// What HR says about it.
    #[must_use]
    #[inline]
    pub fn claim(self) -> &'r Claim {
        &self.member.claim
    }

    /// Travel approved for `day`, days since the epoch; of several, the one that began last.
    #[must_use]
    #[inline]
    pub fn travel_on(self, day: i32) -> Option<&'r Travel> {
        let travels = &self.member.travels;
        let begun = travels.partition_point(|travel| travel.from_day <= day);
        travels[..begun].iter().rev().find(|travel| travel.to_day >= day)
    }
}

impl Roster {
    /// A roster of `known`; `owners` says by which names each is known.
    pub(super) fn new(known: Vec<Known>, owners: &BTreeMap<&str, usize>, datasets: Vec<Dataset>) -> Self {
        let mut roster = Self {
            // Growing in steps would hold half as much again for a while.
            short: HashMap::with_capacity_and_hasher(known.len(), FixedState::default()),
            datasets,
            ..Self::default()
        };
        for (name, index) in owners {
            let account = known.get(*index).map(|known| known.name.as_str());
            if let Some(account) = account.filter(|account| account != name) {
                roster.aliases.insert((*name).into(), account.into());
            }
        }
        for Known { name, claim, travels } in known {
            roster.placed += u64::from(claim.terms.point.is_some());
            roster.travels += travels.len() as u64;
            let travels = travels.into_boxed_slice();
            let member = Member { claim, travels };
            match ArrayString::from(&name) {
                Ok(short) => _ = roster.short.insert(ShortName(short), member),
                Err(_) => _ = roster.long.insert(name.into(), member),
            }
        }
        roster
    }

    /// The account of that name.
    #[inline]
    pub(super) fn find<'n>(&'n self, name: &'n str) -> Option<Rostered<'n>> {
        let listed = |account: &'n str| {
            let is_short = account.len() <= SHORT;
            let member = if is_short {
                self.short.get(account)
            } else {
                self.long.get(account)
            };
            member.map(|member| Rostered { account, member })
        };
        listed(name).or_else(|| listed(self.aliases.get(name)?))
    }

    /// What was loaded.
    #[must_use]
    pub fn datasets(&self) -> &[Dataset] {
        &self.datasets
    }

    pub(super) fn summarize(&self, summary: &mut Summary) {
        summary.datasets.extend(self.datasets.iter().cloned());
        summary.accounts = (self.short.len() + self.long.len()) as u64;
        summary.accounts_placed = self.placed;
        summary.travels = self.travels;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_what_is_known_of_its_account_take_two_lines() {
        assert_eq!(size_of::<(ShortName, Member)>(), 128);
    }

    #[test]
    fn names_are_found_whatever_their_length() {
        let names: Vec<String> = [1, SHORT - 1, SHORT, SHORT + 1, 300]
            .map(|length| "n".repeat(length))
            .into();
        let known = names.iter().zip(0..).map(|(name, day)| Known {
            name: name.clone(),
            claim: Claim {
                hire_day: Some(day),
                ..Claim::default()
            },
            travels: Vec::new(),
        });
        let mut owners: BTreeMap<&str, usize> = names.iter().map(String::as_str).zip(0..).collect();
        let alias = "another".repeat(20);
        owners.extend([("other", 1), (&alias, 4)]);
        let roster = Roster::new(known.collect(), &owners, Vec::new());
        let find = |name: &str| {
            let listed = roster.find(name)?;
            Some((listed.account.to_owned(), listed.claim().hire_day?))
        };
        for (name, day) in names.iter().zip(0..) {
            assert_eq!(find(name), Some((name.clone(), day)));
        }
        assert_eq!(find("other"), Some((names[1].clone(), 1)));
        assert_eq!(find(&alias), Some((names[4].clone(), 4)));
        assert_eq!(find("nn"), None);
        assert_eq!(find(&"n".repeat(299)), None);
    }
}
