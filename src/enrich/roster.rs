//! The roster: accounts, their other names, what HR says about them, and their approved travel.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use arrayvec::ArrayString;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::model::{Claim, Travel};

use super::{ClaimId, Dataset, Summary};

/// What is known about accounts.
#[derive(Debug, Default)]
pub struct Roster {
    members: Vec<Member>,
    /// What each member is called.
    accounts: Vec<String>,
    names: Names,
    datasets: Vec<Dataset>,
}

/// Names and aliases, canonical. Those of most people stand in the table itself: a name that stands elsewhere costs one more
/// wait for memory, with every event.
#[derive(Debug, Default)]
struct Names {
    short: HashMap<ShortName, Owner, FixedState>,
    long: HashMap<Box<str>, Owner, FixedState>,
}

/// Bytes of a name that is called short: with its length and owner it fills a line of the cache.
const SHORT: usize = 52;

/// A short name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct ShortName(ArrayString<SHORT>);

impl Borrow<str> for ShortName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Whose a name is.
#[derive(Clone, Copy, Debug)]
struct Owner {
    id: ClaimId,
    /// The account is called otherwise.
    is_alias: bool,
}

impl Names {
    fn insert(&mut self, name: &str, owner: Owner) {
        match ArrayString::from(name) {
            Ok(short) => _ = self.short.insert(ShortName(short), owner),
            Err(_) => _ = self.long.insert(name.into(), owner),
        }
    }

    fn get(&self, name: &str) -> Option<Owner> {
        let found = if name.len() <= SHORT {
            self.short.get(name)
        } else {
            self.long.get(name)
        };
        found.copied()
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

/// What is known of one account.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) claim: Claim,
    /// By first day.
    pub(super) travels: Vec<Travel>,
}

impl Roster {
    /// A roster of `known`; `owners` says by which names each is known.
    pub(super) fn new(known: Vec<Known>, owners: &BTreeMap<&str, usize>, datasets: Vec<Dataset>) -> Self {
        let mut names = Names::default();
        for (name, index) in owners {
            if let (Ok(id), Some(known)) = (u32::try_from(*index), known.get(*index)) {
                let (id, is_alias) = (ClaimId(id), known.name != *name);
                names.insert(name, Owner { id, is_alias });
            }
        }
        let (mut members, mut accounts) = (Vec::with_capacity(known.len()), Vec::with_capacity(known.len()));
        for Known { name, claim, travels } in known {
            let travels = travels.into_boxed_slice();
            members.push(Member { claim, travels });
            accounts.push(name);
        }
        Self {
            names,
            members,
            accounts,
            datasets,
        }
    }

    /// The account of that name, and what it is called.
    pub(super) fn find<'n>(&'n self, name: &'n str) -> Option<(ClaimId, &'n str)> {
        let Owner { id, is_alias } = self.names.get(name)?;
        Some((id, if is_alias { &self.accounts[id.0 as usize] } else { name }))
    }

    pub(super) fn claim(&self, id: ClaimId) -> &Claim {
        &self.members[id.0 as usize].claim
    }

    pub(super) fn travel_on(&self, id: ClaimId, day: i32) -> Option<&Travel> {
        let travels = &self.members[id.0 as usize].travels;
        let begun = travels.partition_point(|travel| travel.from_day <= day);
        travels[..begun].iter().rev().find(|travel| travel.to_day >= day)
    }

    /// What was loaded.
    #[must_use]
    pub fn datasets(&self) -> &[Dataset] {
        &self.datasets
    }

    pub(super) fn summarize(&self, summary: &mut Summary) {
        summary.datasets.extend(self.datasets.iter().cloned());
        summary.accounts = self.members.len() as u64;
        summary.accounts_placed = self.members.iter().filter(|m| m.claim.terms.point.is_some()).count() as u64;
        summary.travels = self.members.iter().map(|m| m.travels.len() as u64).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_and_a_short_name_take_a_line_each() {
        assert_eq!(size_of::<Member>(), 64);
        assert_eq!(size_of::<(ShortName, Owner)>(), 64);
    }

    #[test]
    fn names_are_found_whatever_their_length() {
        let names: Vec<String> = [1, SHORT - 1, SHORT, SHORT + 1, 300]
            .map(|length| "n".repeat(length))
            .into();
        let known = names.iter().map(|name| Known {
            name: name.clone(),
            claim: Claim::default(),
            travels: Vec::new(),
        });
        let mut owners: BTreeMap<&str, usize> = names.iter().map(String::as_str).zip(0..).collect();
        let alias = "another".repeat(20);
        owners.extend([("other", 1), (&alias, 4)]);
        let roster = Roster::new(known.collect(), &owners, Vec::new());
        for (index, name) in (0..).zip(&names) {
            assert_eq!(roster.find(name), Some((ClaimId(index), name.as_str())));
        }
        assert_eq!(roster.find("other"), Some((ClaimId(1), names[1].as_str())));
        assert_eq!(roster.find(&alias), Some((ClaimId(4), names[4].as_str())));
        assert_eq!(roster.find("nn"), None);
        assert_eq!(roster.find(&"n".repeat(299)), None);
    }
}
