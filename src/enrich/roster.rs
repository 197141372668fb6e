//! The roster: accounts, their other names, what HR says about them, and their approved travel.

use std::collections::BTreeMap;
use std::hash::BuildHasher as _;

use arrayvec::{ArrayString, ArrayVec};
use foldhash::fast::FixedState;

use crate::model::{Claim, Place, Travel};

use super::{Dataset, Summary};

/// What is known about accounts.
///
/// Every event asks for one account among perhaps a million, and what is asked for comes from memory. So a look-up takes
/// three lines of the cache on two pages, and [`Roster::bring_near`] asks for those of many names at a time.
#[derive(Debug, Default)]
pub struct Roster {
    /// Where names stand, found by open addressing. Whoever writes a roster is trusted not to choose names that meet; others
    /// only ask.
    slots: Vec<Slot>,
    accounts: Vec<Listed>,
    /// Other names of accounts.
    others: Vec<Other>,
    placed: u64,
    travels: u64,
    datasets: Vec<Dataset>,
}

/// Where a name stands.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Upper half of its hash.
    tag: u32,
    /// Index of the account with that name, or behind all of them that of the other name; [`Slot::FREE`] if there is none.
    index: u32,
}

impl Slot {
    const FREE: u32 = u32::MAX;
}

/// A name, in one line of the cache with what stands beside it if it is no longer than most.
#[derive(Debug)]
enum Name {
    Short(ArrayString<SHORT>),
    Long(Box<str>),
}

/// Another name of an account, in one line of the cache.
#[derive(Debug)]
#[repr(align(64))]
struct Other {
    name: Name,
    /// Index of the account.
    account: usize,
}

/// Bytes of a name that needs no room of its own.
const SHORT: usize = 48;

impl Name {
    fn new(name: &str) -> Self {
        ArrayString::from(name).map_or_else(|_| Self::Long(name.into()), Self::Short)
    }

    #[inline]
    fn as_str(&self) -> &str {
        match self {
            Self::Short(name) => name,
            Self::Long(name) => name,
        }
    }
}

/// An account under its name, in two lines.
#[derive(Debug)]
struct Listed {
    name: Name,
    member: Member,
}

/// What is known of one account, in one line of the cache.
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

    /// Travel approved for `day`, days since the epoch. Of several it is one that covers the place, which is asked for only
    /// then, else the one that began last.
    #[must_use]
    #[inline]
    pub fn travel_on(self, day: i32, place: impl FnOnce() -> Option<Place>) -> Option<&'r Travel> {
        let travels = &self.member.travels;
        let begun = travels.partition_point(|travel| travel.from_day <= day);
        let mut approved = (travels[..begun].iter().rev()).filter(move |travel| travel.to_day >= day);
        let latest = approved.clone().next()?;
        let is_one_of_several = approved.clone().nth(1).is_some();
        let place = is_one_of_several.then(place).flatten();
        place
            .and_then(|place| approved.find(|travel| travel.covers(&place)))
            .or(Some(latest))
    }
}

/// Names brought near at a time, at most.
pub const NEAR_MAX: usize = 16;

impl Roster {
    /// A roster of `known`; `owners` says by which names each is known.
    pub(super) fn new(known: Vec<Known>, owners: &BTreeMap<&str, usize>, datasets: Vec<Dataset>) -> Self {
        let mut roster = Self {
            // Growing in steps would hold half as much again for a while.
            accounts: Vec::with_capacity(known.len()),
            datasets,
            ..Self::default()
        };
        for (name, owner) in owners {
            if known.get(*owner).is_some_and(|known| known.name != *name) {
                let (name, account) = (Name::new(name), *owner);
                roster.others.push(Other { name, account });
            }
        }
        for Known { name, claim, travels } in known {
            roster.placed += u64::from(claim.terms.point.is_some());
            roster.travels += travels.len() as u64;
            let travels = travels.into_boxed_slice();
            roster.accounts.push(Listed {
                name: Name::new(&name),
                member: Member { claim, travels },
            });
        }
        let names = roster.accounts.len() + roster.others.len();
        roster.slots = vec![
            Slot {
                tag: 0,
                index: Slot::FREE
            };
            names * 3 / 2 + 1
        ];
        for index in 0..names {
            let name = roster.name(index).map_or("", Name::as_str);
            let (home, tag) = roster.home(name);
            let free = roster.way(home).find(|at| roster.slots[*at].index == Slot::FREE);
            // A name beyond 32 bits is not found: nobody employs as many.
            if let (Some(free), Ok(index)) = (free, u32::try_from(index)) {
                roster.slots[free] = Slot { tag, index };
            }
        }
        roster
    }

    /// Whether it lists no account.
    pub(super) fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// The account of that name.
    #[inline]
    pub(super) fn find<'n>(&'n self, name: &'n str) -> Option<Rostered<'n>> {
        if self.is_empty() {
            return None;
        }
        let (home, tag) = self.home(name);
        let mut same = self.tagged(home, tag);
        let index = same.find(|index| self.name(*index).is_some_and(|found| found.as_str() == name))?;
        let owner = self.owner(index)?;
        Some(Rostered {
            account: owner.name.as_str(),
            member: &owner.member,
        })
    }

    /// The account that the name at an index of a [`Slot`] is one of.
    #[inline]
    fn owner(&self, index: usize) -> Option<&Listed> {
        // Its own name need not be read to know it.
        let of_other = || self.accounts.get(self.other(index)?.account);
        self.accounts.get(index).or_else(of_other)
    }

    /// The name at an index of a [`Slot`].
    #[inline]
    fn name(&self, index: usize) -> Option<&Name> {
        match self.accounts.get(index) {
            Some(listed) => Some(&listed.name),
            None => self.other(index).map(|other| &other.name),
        }
    }

    fn other(&self, index: usize) -> Option<&Other> {
        self.others.get(index.checked_sub(self.accounts.len())?)
    }

    /// Brings what is known of the first [`NEAR_MAX`] of those names near: they come from memory side by side and not one
    /// after the other.
    pub(super) fn bring_near<'n>(&self, names: impl Iterator<Item = &'n str>) {
        let homes: ArrayVec<(usize, u32), NEAR_MAX> = names.take(NEAR_MAX).map(|name| self.home(name)).collect();
        let slots = homes.iter().filter_map(|(home, _)| self.slots.get(*home));
        std::hint::black_box(slots.fold(0, |all, slot| all ^ slot.tag));
        let found = homes.iter().filter_map(|(home, tag)| self.tagged(*home, *tag).next());
        let lines = found.filter_map(|index| self.owner(index)).map(|owner| {
            let has_day = owner.member.claim.hire_day.is_some();
            owner.name.as_str().len() ^ usize::from(has_day)
        });
        std::hint::black_box(lines.fold(0, |all, line| all ^ line));
    }

    /// Slot and tag of a name.
    #[inline]
    fn home(&self, name: &str) -> (usize, u32) {
        let hash = FixedState::default().hash_one(name.as_bytes());
        let [tag, spread] = [hash >> 32, hash & u64::from(u32::MAX)];
        let home = (spread * self.slots.len() as u64) >> 32;
        (usize::try_from(home).unwrap_or(0), u32::try_from(tag).unwrap_or(0))
    }

    /// Indices of all slots, from that of `home` on.
    fn way(&self, home: usize) -> impl Iterator<Item = usize> {
        (home..self.slots.len()).chain(0..home)
    }

    /// Indices of names that may be the one with that home and tag.
    #[inline]
    fn tagged(&self, home: usize, tag: u32) -> impl Iterator<Item = usize> {
        let slots = self.way(home).map_while(|at| self.slots.get(at));
        let taken = slots.take_while(|slot| slot.index != Slot::FREE);
        let same = taken.filter(move |slot| slot.tag == tag);
        same.filter_map(|slot| usize::try_from(slot.index).ok())
    }

    /// What was loaded.
    #[must_use]
    pub fn datasets(&self) -> &[Dataset] {
        &self.datasets
    }

    pub(super) fn summarize(&self, summary: &mut Summary) {
        summary.datasets.extend(self.datasets.iter().cloned());
        summary.accounts = self.accounts.len() as u64;
        summary.accounts_placed = self.placed;
        summary.travels = self.travels;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_what_is_known_of_its_account_take_a_line_each() {
        assert_eq!(
            (size_of::<Other>(), size_of::<Member>(), size_of::<Listed>()),
            (64, 64, 128)
        );
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

    #[test]
    fn many_names_are_each_those_of_their_account() {
        let names: Vec<[String; 3]> = (0..3_000)
            .map(|number| {
                ["", "alias-", "a-rather-long-other-name-of-the-account-numbered-"]
                    .map(|kind| format!("{kind}{number}"))
            })
            .collect();
        let known = names.iter().zip(0..).map(|([name, ..], day)| Known {
            name: name.clone(),
            claim: Claim {
                hire_day: Some(day),
                ..Claim::default()
            },
            travels: Vec::new(),
        });
        let owners = names
            .iter()
            .enumerate()
            .flat_map(|(index, all)| all.iter().map(move |name| (name.as_str(), index)));
        let roster = Roster::new(known.collect(), &owners.collect(), Vec::new());
        for ([name, ..], all) in names.iter().zip(&names) {
            roster.bring_near(all.iter().map(String::as_str));
            for asked in all {
                let listed = roster.find(asked).unwrap();
                assert_eq!(
                    (listed.account, listed.claim().hire_day.unwrap().to_string()),
                    (name.as_str(), name.clone())
                );
            }
        }
        for nobody in ["3000", "alias-3000", "", "alias"] {
            assert!(roster.find(nobody).is_none());
        }
    }

    #[test]
    fn a_roster_of_nobody_knows_nobody() {
        for roster in [Roster::default(), Roster::new(Vec::new(), &BTreeMap::new(), Vec::new())] {
            roster.bring_near(std::iter::empty());
            roster.bring_near(std::iter::repeat_n("a", NEAR_MAX + 1));
            assert!(roster.is_empty() && roster.find("").is_none() && roster.find("a").is_none());
        }
    }
}
