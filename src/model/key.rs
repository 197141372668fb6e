//! Keyed hashes that name a window: attackers choose account names, so the hash has a key.

use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher;

use super::link::EntityKind;

/// Room for most names and a byte before them.
const JOINED: usize = 64;

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
    #[inline]
    pub fn account(&self, canonical: &str) -> Key {
        self.digest(b'a', canonical.as_bytes())
    }

    /// Key of a device, network or other shared thing.
    #[must_use]
    #[inline]
    pub fn entity(&self, kind: EntityKind, name: &str) -> EntityKey {
        self.digest(kind as u8, name.as_bytes())
    }

    #[inline]
    fn digest(&self, domain: u8, bytes: &[u8]) -> Key {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        // In one piece: two writes take the hasher longer than the copy.
        let mut joined = [domain; JOINED];
        if let Some(name) = joined.get_mut(1..=bytes.len()) {
            name.copy_from_slice(bytes);
            hasher.write(&joined[..=bytes.len()]);
        } else {
            hasher.write_u8(domain);
            hasher.write(bytes);
        }
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
    #[inline]
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
    #[inline]
    pub fn chunk(self, count: u16) -> u16 {
        let low = u32::from((self.0 as u64 >> 48) as u16);
        ((low * u32::from(count)) >> 16) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_hash_of_its_domain_and_name_whatever_their_length() {
        let key = HashKey(*b"0123456789abcdef");
        for length in [0, 1, 7, 8, JOINED - 2, JOINED - 1, JOINED, 200] {
            let name = "a".repeat(length);
            let mut hasher = SipHasher24::new_with_key(&key.0);
            hasher.write(format!("a{name}").as_bytes());
            assert_eq!(key.account(&name), Key(hasher.finish128().as_u128()), "{length}");
        }
    }
}
