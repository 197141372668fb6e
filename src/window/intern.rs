//! One copy of each place, network and claim per fold, however many facts name it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Claim, Network, Place, Travel};

/// Interned values by their encoded bytes. Ordered maps: nothing here depends on hash order.
///
/// Grows with the distinct rows of the databases, not with traffic; [`Interner::sweep`] drops what nothing uses.
#[derive(Debug, Default)]
pub struct Interner {
    places: BTreeMap<Box<[u8]>, Arc<Place>>,
    networks: BTreeMap<Box<[u8]>, Arc<Network>>,
    claims: BTreeMap<Box<[u8]>, Arc<Claim>>,
    travels: BTreeMap<Box<[u8]>, Arc<Travel>>,
}

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
    interned!(claim, claims, Claim);
    interned!(travel, travels, Travel);

    /// Drops what nothing else holds.
    pub fn sweep(&mut self) {
        self.places.retain(|_, value| Arc::strong_count(value) > 1);
        self.networks.retain(|_, value| Arc::strong_count(value) > 1);
        self.claims.retain(|_, value| Arc::strong_count(value) > 1);
        self.travels.retain(|_, value| Arc::strong_count(value) > 1);
    }

    /// How many values are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len() + self.networks.len() + self.claims.len() + self.travels.len()
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
