//! Where sign-ins of one account came from: an address with its network and place, kept once however many name it.

use std::net::IpAddr;
use std::sync::Arc;

use super::network_fact::NetworkFact;
use crate::model::{Network, Observation, Place};

/// An address, and what enrichment said of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// Address.
    pub address: IpAddr,
    /// Its network.
    pub network: Arc<Network>,
    /// Its place, if known.
    pub place: Option<Arc<Place>>,
}

/// Which origin of its account: that of a network, by the network's index, or another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginId(u16);

/// From here on numbers are those of [`Others`].
const OTHERS: u16 = 1 << 15;

/// Origins that visits name and no network has any more: of an address that changed within a line, of another place
/// that a new database gives to it. Most accounts have none.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(
    clippy::box_collection,
    reason = "a pointer in each window, where a list takes three words"
)]
pub(super) struct Others(Option<Box<Vec<Origin>>>);

impl Origin {
    /// Where an observation came from.
    #[must_use]
    pub fn of(seen: &Observation<'_>, address: IpAddr) -> Self {
        Self {
            address,
            network: Arc::clone(seen.network),
            place: seen.place.cloned(),
        }
    }

    /// Whether an observation came from here. One copy of a value is the same value; another copy is only kept twice.
    #[must_use]
    pub fn is_of(&self, seen: &Observation<'_>, address: IpAddr) -> bool {
        self.address == address
            && Arc::ptr_eq(&self.network, seen.network)
            && self.place.as_ref().map(Arc::as_ptr) == seen.place.map(Arc::as_ptr)
    }

    /// Whether it is the same; see [`Origin::is_of`].
    pub(super) fn is(&self, other: &Self) -> bool {
        self.address == other.address
            && Arc::ptr_eq(&self.network, &other.network)
            && self.place.as_ref().map(Arc::as_ptr) == other.place.as_ref().map(Arc::as_ptr)
    }
}

impl OriginId {
    /// That of the network at `index`.
    #[must_use]
    pub(super) fn of_network(index: usize) -> Self {
        Self(u16::try_from(index).map_or(OTHERS - 1, |index| index.min(OTHERS - 1)))
    }

    /// Whether it is that of the network at `index`.
    #[must_use]
    pub(super) fn is_of_network(self, index: usize) -> bool {
        self == Self::of_network(index)
    }

    /// The number after the network at `index` went.
    #[must_use]
    pub(super) fn after_removal(self, index: usize) -> Self {
        let is_behind = self.0 < OTHERS && usize::from(self.0) > index;
        Self(if is_behind { self.0 - 1 } else { self.0 })
    }
}

impl Others {
    /// The origin of that number.
    pub(super) fn origin<'a>(&'a self, networks: &'a [NetworkFact], id: OriginId) -> &'a Origin {
        match id.0.checked_sub(OTHERS) {
            Some(index) => &self.all()[usize::from(index)],
            None => &networks[usize::from(id.0)].origin,
        }
    }

    /// The number of an origin, which is added if it is not there. `used` are the numbers that visits name; what none
    /// does is overwritten.
    pub(super) fn number(&mut self, origin: &Origin, used: impl Iterator<Item = OriginId>) -> OriginId {
        if let Some(index) = self.all().iter().position(|known| known.is(origin)) {
            return Self::id(index);
        }
        let mut is_used = vec![false; self.all().len()];
        for index in used.filter_map(|id| id.0.checked_sub(OTHERS)) {
            if let Some(is_used) = is_used.get_mut(usize::from(index)) {
                *is_used = true;
            }
        }
        let all = self.0.get_or_insert_default();
        match is_used.iter().position(|is_used| !is_used) {
            Some(index) => {
                all[index] = origin.clone();
                Self::id(index)
            }
            None => {
                all.reserve_exact(1);
                all.push(origin.clone());
                Self::id(all.len() - 1)
            }
        }
    }

    /// Lets all go once no visit names one.
    pub(super) fn clear_unless(&mut self, mut used: impl Iterator<Item = OriginId>) {
        if self.0.is_some() && !used.any(|id| id.0 >= OTHERS) {
            self.0 = None;
        }
    }

    /// Whether there are any.
    pub(super) fn is_any(&self) -> bool {
        self.0.is_some()
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.all())
    }

    fn all(&self) -> &[Origin] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }

    fn id(index: usize) -> OriginId {
        // Visits are a few dozen, so their origins are.
        OriginId(u16::try_from(index).map_or(u16::MAX, |index| OTHERS.saturating_add(index)))
    }
}
