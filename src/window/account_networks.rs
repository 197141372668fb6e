//! The networks of an account as they come, move and go: visits keep the origins that were theirs.

use super::account::{AccountFacts, NetworkFact};
use super::block::ITEMS_MAX;
use super::origin::{Address, Origin, OriginId};
use super::spots::Spots;
use super::visits::Visit;
use crate::model::Observation;

impl AccountFacts {
    /// Adds a network and gives its index. The one longest unused makes room.
    pub(super) fn add_network(
        &mut self,
        seen: &Observation<'_>,
        address: Address,
        networks_max: usize,
        spots: &mut Spots,
    ) -> usize {
        while self.networks().len() >= networks_max.clamp(1, ITEMS_MAX) {
            let times = self.networks().iter().map(|network| network.last).enumerate();
            let oldest = times.min_by_key(|(_, last)| *last);
            self.remove_network(oldest.map_or(0, |(index, _)| index));
        }
        let origin = Origin::new(address, spots.number(seen.network, seen.place));
        let is_shared = seen.network.class.is_shared_by_design();
        self.block.push(&NetworkFact::new(origin, is_shared))
    }

    /// Gives a network the origin of an observation. Visits keep theirs.
    pub(super) fn move_network(&mut self, index: usize, seen: &Observation<'_>, address: Address, spots: &mut Spots) {
        let before = self.networks()[index];
        let origin = Origin::new(address, spots.number(seen.network, seen.place));
        self.networks_mut()[index] = before.moved_to(origin, seen.network.class.is_shared_by_design());
        self.keep_origin(index, before.origin());
    }

    /// Forgets a network.
    pub(super) fn remove_network(&mut self, index: usize) {
        let gone = self.networks()[index].origin();
        self.block.remove::<NetworkFact>(index..index + 1);
        self.keep_origin(index, gone);
        for visit in self.block.list_mut::<Visit>() {
            visit.origin = visit.origin.after_removal(index);
        }
    }

    /// Keeps what was the origin of the network at `index` for the visits that name it.
    fn keep_origin(&mut self, index: usize, origin: Origin) {
        if self.visits().iter().any(|visit| visit.origin.is_of_network(index)) {
            let other = self.block.number_other(origin);
            for visit in self.block.list_mut::<Visit>() {
                if visit.origin.is_of_network(index) {
                    visit.origin = other;
                }
            }
        }
    }

    /// The number of a visit's origin as it is read back.
    pub(super) fn number_origin(&mut self, origin: Origin) -> OriginId {
        match self.networks().iter().position(|network| network.origin() == origin) {
            Some(index) => OriginId::of_network(index),
            None => self.block.number_other(origin),
        }
    }
}
