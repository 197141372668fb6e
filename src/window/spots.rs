//! Networks with their places, by number: windows are many and name few of them.

use std::sync::Arc;

use bytemuck::{Pod, Zeroable};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::model::{Network, Observation, Place};

/// What enrichment said of an address.
#[derive(Clone, Debug, Default)]
pub struct Spot {
    /// Its network.
    pub network: Arc<Network>,
    /// Its place, if known.
    pub place: Option<Arc<Place>>,
}

/// Number of a spot. It depends on what was seen before, so it is never written anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub struct SpotId(u32);

/// Every spot that windows of one fold name.
///
/// Values are told apart by their copies, of which the fold has one each; another copy is only kept twice.
#[derive(Debug, Default)]
pub struct Spots {
    all: Vec<Spot>,
    numbers: HashMap<(usize, usize), u32, FixedState>,
    free: Vec<u32>,
}

impl Spot {
    /// Whether an observation came from here.
    #[must_use]
    pub fn is_of(&self, seen: &Observation<'_>) -> bool {
        Arc::ptr_eq(&self.network, seen.network) && self.place.as_ref().map(Arc::as_ptr) == seen.place.map(Arc::as_ptr)
    }
}

impl Spots {
    /// The number of a spot, which is kept from now on.
    #[inline]
    pub fn number(&mut self, network: &Arc<Network>, place: Option<&Arc<Place>>) -> SpotId {
        let copies = copies(network, place);
        if let Some(number) = self.numbers.get(&copies) {
            return SpotId(*number);
        }
        let spot = Spot {
            network: Arc::clone(network),
            place: place.cloned(),
        };
        let number = match self.free.pop() {
            Some(number) => {
                self.all[number as usize] = spot;
                number
            }
            None => {
                self.all.push(spot);
                // Those that nothing names are forgotten, and windows are not as many as 32 bits count.
                u32::try_from(self.all.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.numbers.insert(copies, number);
        SpotId(number)
    }

    /// The spot of a number.
    #[must_use]
    #[inline]
    pub fn get(&self, id: SpotId) -> &Spot {
        &self.all[id.0 as usize]
    }

    /// How many are named.
    #[must_use]
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Forgets all but those of `used`.
    pub fn keep(&mut self, used: impl Iterator<Item = SpotId>) {
        let mut is_used = vec![false; self.all.len()];
        for id in used {
            is_used[id.0 as usize] = true;
        }
        self.numbers.retain(|_, number| is_used[*number as usize]);
        self.free.clear();
        for (number, spot) in (0..).zip(&mut self.all) {
            if !is_used[number as usize] {
                *spot = Spot::default();
                self.free.push(number);
            }
        }
    }
}

/// Where the only copies of both are.
fn copies(network: &Arc<Network>, place: Option<&Arc<Place>>) -> (usize, usize) {
    let place = place.map_or(0, |place| Arc::as_ptr(place).addr());
    (Arc::as_ptr(network).addr(), place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::geo::Point;
    use crate::model::place::Scale;

    #[test]
    fn a_number_stands_until_nothing_uses_it() {
        let networks: Vec<Arc<Network>> = (0..3).map(|_| Arc::default()).collect();
        let place = Arc::new(Place {
            country: "US".to_owned(),
            region: String::new(),
            region_name: String::new(),
            city: String::new(),
            point: Point::new(47.2, -122.3).unwrap(),
            radius_km: 10,
            scale: Scale::City,
        });
        let mut spots = Spots::default();
        let ids: Vec<SpotId> = networks.iter().map(|network| spots.number(network, None)).collect();
        let placed = spots.number(&networks[0], Some(&place));
        assert_ne!(placed, ids[0]);
        assert_eq!(spots.number(&networks[1], None), ids[1]);
        spots.keep([ids[2], placed].into_iter());
        assert!(Arc::ptr_eq(&spots.get(ids[2]).network, &networks[2]));
        assert!(spots.get(placed).place.is_some());
        assert_eq!(Arc::strong_count(&networks[1]), 1);
        assert!([ids[0], ids[1]].contains(&spots.number(&networks[1], None)));
    }
}
