//! One copy of each place, network and what claims have in common per fold, however many facts name it.

use std::sync::Arc;

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::shared::Dictionary;
use super::spots::{SpotId, Spots};
use crate::model::{Network, Place, Terms, Travel};

/// Interned values by their encoded bytes. The tables are asked and swept, never walked in an order that shows.
///
/// Values grow with the distinct rows of the databases, not with traffic; [`Interner::sweep`] drops what nothing uses.
/// Only what an operator loaded is a key here, so nobody can choose keys that collide.
#[derive(Debug, Default)]
pub struct Interner {
    pub(super) places: Table<Place>,
    pub(super) networks: Table<Network>,
    terms: Table<Terms>,
    travels: Table<Travel>,
    /// Those of them that windows of accounts name.
    pub spots: Spots,
    /// Room for names of accounts that were read, to be used again: no more than a batch needs.
    pub names: Vec<String>,
    /// Room for what a record shares, likewise.
    pub dictionary: Dictionary,
    swept_len: usize,
}

/// Values by their encoded bytes.
#[derive(Debug)]
pub(super) struct Table<T>(HashTable<Interned<T>>);

#[derive(Debug)]
struct Interned<T> {
    hash: u64,
    bytes: Box<[u8]>,
    value: Arc<T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(HashTable::new())
    }
}

/// Hash of the bytes that encode a value.
#[inline]
pub(super) fn hash(bytes: &[u8]) -> u64 {
    FixedState::default().hash_one(bytes)
}

impl<T> Table<T> {
    /// The one copy of the value these bytes encode, which have that hash.
    ///
    /// # Errors
    /// Whatever `decode` says, if the bytes were not met before.
    pub(super) fn intern<E>(
        &mut self,
        hash: u64,
        bytes: &[u8],
        decode: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        if let Some(found) = self.0.find(hash, |known| *known.bytes == *bytes) {
            return Ok(Arc::clone(&found.value));
        }
        let value = Arc::new(decode()?);
        let interned = Interned {
            hash,
            bytes: bytes.into(),
            value: Arc::clone(&value),
        };
        self.0.insert_unique(hash, interned, |known| known.hash);
        Ok(value)
    }

    /// Brings values whose bytes have these hashes near, before they are asked for. `touch` reads of a value what will be.
    #[inline]
    pub(super) fn bring_near(&self, hashes: impl Iterator<Item = u64>, touch: impl Fn(&T) -> u16) {
        let known = hashes.filter_map(|hash| self.0.find(hash, |known| known.hash == hash));
        let lines = known.map(|known| {
            let ends = [known.bytes.first(), known.bytes.last()];
            let ends = ends.into_iter().flatten().fold(0, |all, byte| all ^ byte);
            u16::from(ends) ^ touch(&known.value)
        });
        std::hint::black_box(lines.fold(0, |all, line| all ^ line));
    }

    /// Drops what nothing else holds.
    fn sweep(&mut self) {
        self.0.retain(|known| Arc::strong_count(&known.value) > 1);
    }
}

/// Fewer values than this are not worth sweeping.
const SWEPT_LEN_MIN: usize = 1_024;

macro_rules! interned {
    ($name:ident, $field:ident, $type:ty) => {
        /// The one copy of the value these bytes encode.
        ///
        /// # Errors
        /// Whatever `decode` says, if the bytes were not met before.
        pub fn $name<E>(&mut self, bytes: &[u8], decode: impl FnOnce() -> Result<$type, E>) -> Result<Arc<$type>, E> {
            self.$field.intern(hash(bytes), bytes, decode)
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
        self.places.sweep();
        self.networks.sweep();
        self.terms.sweep();
        self.travels.sweep();
        self.swept_len = self.len();
    }

    /// How many values are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.0.len() + self.networks.0.len() + self.terms.0.len() + self.travels.0.len() + self.spots.len()
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
