//! The networks of an account as they come, move and go: visits keep the origins that were theirs.

use super::DAY_MS;
use super::account::{AccountFacts, NetworkFact};
use super::block::ITEMS_MAX;
use super::dropped::{Dropped, FullList};
use super::origin::{Address, Origin, OriginId};
use super::spots::Spots;
use super::visits::Visit;
use crate::model::Observation;

impl AccountFacts {
    /// Adds a network and gives its index. Passing ones make room first: a telephone brings more addresses in a day than
    /// a list has room for. Among equals the one longest unused goes. One to which an open alert is offered goes last: whoever
    /// has something to hide could else make the alert wait for ever.
    pub(super) fn add_network(
        &mut self,
        seen: &Observation<'_>,
        address: Address,
        networks_max: usize,
        spots: &mut Spots,
        dropped: &mut Dropped,
    ) -> usize {
        while self.networks().len() >= networks_max.clamp(1, ITEMS_MAX) {
            let networks = self.networks().iter().enumerate();
            let episodes = &self.rare().episodes;
            let is_home = |network: &NetworkFact| {
                let mut homes = episodes.homes().peekable();
                homes.peek().is_some() && homes.any(|home| *network.name() == *home)
            };
            let passing =
                networks.min_by_key(|(_, network)| (is_home(network), worth(network, seen.order_ms), network.last));
            self.remove_network(passing.map_or(0, |(index, _)| index));
            dropped.add(FullList::Networks, 1);
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

/// How much a network says about its account at that time, for [`AccountFacts::add_network`]: of one that is shared by design
/// little; of one that was used on a day some time ago, or lately not at all, some; one that is new may become what those
/// of several days are.
fn worth(network: &NetworkFact, now_ms: i64) -> u8 {
    /// A new line that is used every working day is used again by then.
    const NEW_MS: i64 = 4 * DAY_MS;
    /// An old one that is still used was used since.
    const OLD_MS: i64 = 14 * DAY_MS;
    let unused_ms = now_ms.saturating_sub(network.last.ms());
    match (network.is_shared_by_design(), network.days.count()) {
        (true, _) => 0,
        (false, ..=1) => 1 + u8::from(unused_ms < NEW_MS),
        (false, _) => 1 + 2 * u8::from(unused_ms < OLD_MS),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Claim, Event, EventKind, Key, Network, NetworkClass};
    use crate::window::account::ClaimDistance;
    use crate::window::settings::WindowSettings;

    #[test]
    fn passing_networks_make_room_for_others() {
        let settings = WindowSettings {
            networks_max: 4,
            ..WindowSettings::default()
        };
        let (mut facts, mut spots, claim) = (AccountFacts::default(), Spots::default(), Claim::default());
        let mut use_of = |number: i64, address: &str, class: NetworkClass| {
            let network = Arc::new(Network {
                class,
                ..Network::default()
            });
            let id = number.to_string();
            let event = Event {
                source_ip: Some(address.parse().unwrap()),
                ..Event::sample(EventKind::Login, &id)
            };
            let order_ms = 20_000 * DAY_MS + number * DAY_MS / 4;
            let seen = Observation {
                event: &event,
                key: Key(1),
                order_ms,
                time_suspect: false,
                place: None,
                network: &network,
                claim: claim.borrowed(),
                travel: None,
                data_versions: "",
            };
            let change = facts.apply(&seen, order_ms, ClaimDistance::Unknown, &settings, &mut spots);
            let mut kept: Vec<_> = facts.networks().iter().map(|n| n.address.ip().to_string()).collect();
            kept.sort_unstable();
            (
                kept.join(" "),
                change.dropped.iter().map(|(_, count)| count).sum::<u64>(),
            )
        };
        let (home, phone) = (NetworkClass::Residential, NetworkClass::Mobile);
        for (number, address, class) in [
            (0, "1.0.0.1", home),
            (4, "1.0.0.1", home),
            (5, "1.0.0.2", home),
            (6, "2.0.0.1", phone),
        ] {
            assert_eq!(use_of(number, address, class).1, 0);
        }
        assert_eq!(use_of(10, "2.0.0.1", phone), ("1.0.0.1 1.0.0.2 2.0.0.1".to_owned(), 0));
        assert_eq!(use_of(11, "2.0.0.2", phone).1, 0);
        for (number, address, class, kept) in [
            (12, "2.0.0.3", phone, "1.0.0.1 1.0.0.2 2.0.0.2 2.0.0.3"),
            (13, "1.0.0.3", home, "1.0.0.1 1.0.0.2 1.0.0.3 2.0.0.3"),
            (14, "1.0.0.4", home, "1.0.0.1 1.0.0.2 1.0.0.3 1.0.0.4"),
            (15, "1.0.0.5", home, "1.0.0.1 1.0.0.3 1.0.0.4 1.0.0.5"),
        ] {
            assert_eq!(use_of(number, address, class), (kept.to_owned(), 1), "{address}");
        }
    }
}
