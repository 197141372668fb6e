//! One copy of each place, network and what claims have in common per fold, however many facts name it.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::spots::{SpotId, Spots};
use crate::model::{Network, Place, Terms, Travel};

/// Interned values by their encoded bytes. The tables are asked and swept, never walked in an order that shows.
///
/// Values grow with the distinct rows of the databases, not with traffic; [`Interner::sweep`] drops what nothing uses.
/// Only what an operator loaded is a key here, so nobody can choose keys that collide.
#[derive(Debug, Default)]
pub struct Interner {
    places: Table<Place>,
    networks: Table<Network>,
    terms: Table<Terms>,
    travels: Table<Travel>,
    /// Those of them that windows of accounts name.
    pub spots: Spots,
    /// Room for names of accounts that were read, to be used again: no more than a batch needs.
    pub names: Vec<String>,
    swept_len: usize,
}

type Table<T> = HashMap<Box<[u8]>, Arc<T>, FixedState>;

/// Fewer values than this are not worth sweeping.
const SWEPT_LEN_MIN: usize = 1_024;

macro_rules! interned {
    ($name:ident, $field:ident, $type:ty) => {
        /// The one copy of the value these bytes encode.
        ///
        /// # Errors
        /// Whatever `decode` says, if the bytes were not met before.
        pub fn $name<E>(&mut self, bytes: &[u8], decode: impl FnOnce() -> Result<$type, E>) -> Result<Arc<$type>, E> {
            if let Some(found) = self.$field.get(bytes) {
                return Ok(Arc::clone(found));
            }
            let value = Arc::new(decode()?);
            self.$field.insert(bytes.into(), Arc::clone(&value));
            Ok(value)
        }
    };
}

impl Interner {
    interned!(place, places, Place);
    interned!(network, networks, Network);
    interned!(terms, terms, Terms);
    interned!(travel, travels, Travel);

    /// Whether there are twice as many values as the last sweep left, so that another pays: a value is looked at once or
    /// twice in its life, however often this is asked.
    #[must_use]
    pub fn is_cluttered(&self) -> bool {
        self.len() >= 2 * self.swept_len.max(SWEPT_LEN_MIN)
    }

    /// Drops what nothing else holds, where windows name the spots of `used` and no others.
    pub fn sweep(&mut self, used: impl Iterator<Item = SpotId>) {
        self.spots.keep(used);
        self.places.retain(|_, value| Arc::strong_count(value) > 1);
        self.networks.retain(|_, value| Arc::strong_count(value) > 1);
        self.terms.retain(|_, value| Arc::strong_count(value) > 1);
        self.travels.retain(|_, value| Arc::strong_count(value) > 1);
        self.swept_len = self.len();
    }

    /// How many values are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len() + self.networks.len() + self.terms.len() + self.travels.len() + self.spots.len()
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
