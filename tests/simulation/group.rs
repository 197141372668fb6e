//! A consumer group with cooperative rebalances and static members: who owns what, and who may commit.

use std::collections::{BTreeMap, BTreeSet};

use falsefront::service::log::TopicPartition;

use super::broker::{Micros, SECOND};

/// A member that is not heard of for this long is expelled.
const SESSION: Micros = 10 * SECOND;
/// A member that does not poll for this long leaves.
const MAX_POLL: Micros = 60 * SECOND;

struct Member {
    instance: String,
    heard: Micros,
    polled: Micros,
    is_silent: bool,
}

#[derive(Default)]
pub(super) struct Group {
    pub(super) generation: i32,
    pub(super) committed: BTreeMap<TopicPartition, i64>,
    partitions: Vec<TopicPartition>,
    members: BTreeMap<String, Member>,
    owners: BTreeMap<TopicPartition, String>,
    targets: BTreeMap<TopicPartition, String>,
    joins: u32,
}

impl Group {
    pub(super) fn new(partitions: Vec<TopicPartition>) -> Self {
        Self {
            partitions,
            ..Self::default()
        }
    }

    /// A static member that comes back within its session gets what it had, and its former self is fenced.
    pub(super) fn join(&mut self, instance: &str, now: Micros) -> String {
        self.joins += 1;
        let id = format!("{instance}/{}", self.joins);
        let before = self.members.iter().find(|(_, member)| member.instance == instance);
        let before = before.map(|(id, _)| id.clone());
        let member = Member {
            instance: instance.to_owned(),
            heard: now,
            polled: now,
            is_silent: false,
        };
        self.members.insert(id.clone(), member);
        match before {
            Some(before) => {
                self.members.remove(&before);
                for owner in self.owners.values_mut().chain(self.targets.values_mut()) {
                    if *owner == before {
                        owner.clone_from(&id);
                    }
                }
                // What it was about to give up, its former self has given up by ending.
                let targets = &self.targets;
                self.owners
                    .retain(|at, owner| *owner != id || targets.get(at) == Some(&id));
            }
            None => self.rebalance(),
        }
        id
    }

    pub(super) fn is_known(&self, id: &str) -> bool {
        self.members.contains_key(id)
    }

    pub(super) fn is_member(&self, id: Option<&str>, generation: i32) -> bool {
        generation == self.generation && id.is_some_and(|id| self.is_known(id))
    }

    pub(super) fn polled(&mut self, id: &str, now: Micros) {
        if let Some(member) = self.members.get_mut(id) {
            member.polled = now;
        }
    }

    /// A member's heartbeats come from a thread of its own, until its process is frozen or dead.
    pub(super) fn silence(&mut self, id: &str, is_silent: bool, now: Micros) {
        if let Some(member) = self.members.get_mut(id) {
            member.is_silent = is_silent;
            member.heard = now;
        }
    }

    pub(super) fn silence_instance(&mut self, instance: &str, now: Micros) {
        for member in self.members.values_mut().filter(|member| member.instance == instance) {
            if !member.is_silent {
                (member.is_silent, member.heard) = (true, now);
            }
        }
    }

    pub(super) fn expire(&mut self, now: Micros) {
        let is_gone =
            |member: &Member| (member.is_silent && now > member.heard + SESSION) || now > member.polled + MAX_POLL;
        let gone: Vec<String> = self
            .members
            .iter()
            .filter(|(_, member)| is_gone(member))
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            self.leave(&id);
        }
    }

    pub(super) fn describe(&self) -> String {
        let members: Vec<&String> = self.members.keys().collect();
        format!(
            "members {members:?}, owners {:?}, targets {:?}, committed {:?}",
            self.owners, self.targets, self.committed
        )
    }

    pub(super) fn leave(&mut self, id: &str) {
        if self.members.remove(id).is_some() {
            self.owners.retain(|_, owner| owner != id);
            self.rebalance();
        }
    }

    /// What the member should hold by the current plan, and what of it is free or its own.
    pub(super) fn plan(&self, id: &str) -> (BTreeSet<TopicPartition>, Vec<TopicPartition>) {
        let mine = self.targets.iter().filter(|(_, target)| *target == id);
        let mine: BTreeSet<TopicPartition> = mine.map(|(at, _)| at.clone()).collect();
        let is_free = |at: &&TopicPartition| self.owners.get(at).is_none_or(|owner| owner == id);
        let free = mine.iter().filter(is_free).cloned().collect();
        (mine, free)
    }

    pub(super) fn take(&mut self, id: &str, partitions: &[TopicPartition]) {
        for at in partitions {
            self.owners.insert(at.clone(), id.to_owned());
        }
    }

    pub(super) fn give_up(&mut self, id: &str, partitions: &[TopicPartition]) {
        if !self.is_known(id) {
            return;
        }
        for at in partitions {
            if self.owners.get(at).is_some_and(|owner| owner == id) {
                self.owners.remove(at);
            }
        }
        self.generation += 1;
    }

    /// Sticky and even: members keep what they have up to their share.
    fn rebalance(&mut self) {
        self.generation += 1;
        self.targets.clear();
        if self.members.is_empty() {
            return;
        }
        let share = self.partitions.len().div_ceil(self.members.len());
        let mut counts: BTreeMap<&String, usize> = self.members.keys().map(|id| (id, 0)).collect();
        let mut left = Vec::new();
        for at in &self.partitions {
            let owner = self
                .owners
                .get(at)
                .filter(|owner| counts.get(owner).is_some_and(|held| *held < share));
            match owner {
                Some(owner) => {
                    *counts.get_mut(owner).unwrap() += 1;
                    self.targets.insert(at.clone(), owner.clone());
                }
                None => left.push(at.clone()),
            }
        }
        for at in left {
            let (id, held) = counts.iter_mut().min_by_key(|(_, held)| **held).unwrap();
            *held += 1;
            self.targets.insert(at, (*id).clone());
        }
    }
}
