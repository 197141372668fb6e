//! Keyed hashes that name a window: attackers choose account names, so the hash has a key.

use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher;

use super::link::EntityKind;

/// 128-bit SipHash-2-4 of a canonical name under the deployment's hash key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub u128);

/// Key of a shared thing.
pub type EntityKey = Key;

/// The deployment's hash key. The same key must be used for the life of the topics: it decides partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashKey(pub [u8; 16]);

impl HashKey {
    /// Key of an account.
    #[must_use]
    pub fn account(&self, canonical: &str) -> Key {
        self.digest(b'a', canonical.as_bytes())
    }

    /// Key of a device, network or other shared thing.
    #[must_use]
    pub fn entity(&self, kind: EntityKind, name: &str) -> EntityKey {
        self.digest(kind as u8, name.as_bytes())
    }

    fn digest(&self, domain: u8, bytes: &[u8]) -> Key {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write_u8(domain);
        hasher.write(bytes);
        Key(hasher.finish128().as_u128())
    }
}

impl Key {
    /// Partition out of `count`. Uses the high half, so that partitions and chunks are independent.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a product of two 32-bit numbers, shifted by 32"
    )]
    pub fn partition(self, count: u32) -> u32 {
        let high = (self.0 >> 96) as u64;
        ((high * u64::from(count)) >> 32) as u32
    }

    /// Chunk of a partition's state out of `count`.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a product of two 16-bit numbers, shifted by 16"
    )]
    pub fn chunk(self, count: u16) -> u16 {
        let low = u32::from((self.0 as u64 >> 48) as u16);
        ((low * u32::from(count)) >> 16) as u16
    }
}
