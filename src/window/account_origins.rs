//! Where an account's visits and networks were: origins are kept once, and outlive the networks that had them.

use std::net::IpAddr;

use super::account::AccountFacts;
use super::days::Days;
use super::network_fact::{NetworkFact, Told};
use super::origin::{Origin, OriginId};
use super::texts::TextId;
use crate::model::Observation;
use crate::model::event_id::EventId;

impl AccountFacts {
    /// Adds a network and gives its index. The one longest unused makes room.
    pub(super) fn add_network(&mut self, seen: &Observation<'_>, address: IpAddr, networks_max: usize) -> usize {
        while self.networks.len() >= networks_max.max(1) {
            let times = self.networks.iter().map(|n| n.last_ms).enumerate();
            let oldest = times.min_by_key(|(_, last_ms)| *last_ms);
            self.remove_network(oldest.map_or(0, |(index, _)| index));
        }
        self.networks.reserve_exact(1);
        self.networks.push(NetworkFact {
            origin: Origin::of(seen, address),
            days: Days::default(),
            away: Days::default(),
            first_ms: seen.order_ms,
            last_ms: i64::MIN,
            device: TextId::default(),
            event_id: EventId::default(),
            product: TextId::default(),
            told: Told::NEVER,
        });
        self.networks.len() - 1
    }

    /// Gives a network another origin. Visits keep theirs.
    pub(super) fn move_network(&mut self, index: usize, origin: Origin) {
        let before = std::mem::replace(&mut self.networks[index].origin, origin);
        self.keep_origin(index, &before);
    }

    /// Forgets a network.
    pub(super) fn remove_network(&mut self, index: usize) {
        let gone = self.networks.remove(index);
        self.keep_origin(index, &gone.origin);
        for visit in self.visits.as_mut_slice() {
            visit.origin = visit.origin.after_removal(index);
        }
    }

    /// Keeps what was the origin of the network at `index` for the visits that name it.
    fn keep_origin(&mut self, index: usize, origin: &Origin) {
        let visits = self.visits.as_slice();
        if visits.iter().any(|visit| visit.origin.is_of_network(index)) {
            let other = self.others.number(origin, visits.iter().map(|visit| visit.origin));
            for visit in self.visits.as_mut_slice() {
                if visit.origin.is_of_network(index) {
                    visit.origin = other;
                }
            }
        }
    }

    /// The number of a visit's origin as it is read back, where visits before it name `named`.
    pub(super) fn number_origin(&mut self, origin: &Origin, named: &[OriginId]) -> OriginId {
        match self.networks.iter().position(|n| n.origin.is(origin)) {
            Some(index) => OriginId::of_network(index),
            None => self.others.number(origin, named.iter().copied()),
        }
    }
}
