//! The roster: accounts, their other names, what HR says about them, and their approved travel.

use std::collections::BTreeMap;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::model::{Claim, Travel};

use super::{ClaimId, Dataset, Summary};

/// What is known about accounts.
#[derive(Debug, Default)]
pub struct Roster {
    members: Vec<Member>,
    /// Names and aliases, canonical.
    names: HashMap<Box<str>, ClaimId, FixedState>,
    datasets: Vec<Dataset>,
}

/// One account.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) claim: Claim,
    /// By first day.
    pub(super) travels: Vec<Travel>,
}

impl Roster {
    /// A roster of `members`; `owners` says by which names each is known.
    pub(super) fn new(members: Vec<Member>, owners: &BTreeMap<&str, usize>, datasets: Vec<Dataset>) -> Self {
        let names = owners.iter().filter_map(|(name, index)| {
            let id = ClaimId(u32::try_from(*index).ok()?);
            Some(((*name).into(), id))
        });
        Self {
            names: names.collect(),
            members,
            datasets,
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<ClaimId> {
        self.names.get(name).copied()
    }

    pub(super) fn name(&self, id: ClaimId) -> &str {
        &self.members[id.0 as usize].name
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
        summary.accounts_placed = self.members.iter().filter(|m| m.claim.point.is_some()).count() as u64;
        summary.travels = self.members.iter().map(|m| m.travels.len() as u64).sum();
    }
}
