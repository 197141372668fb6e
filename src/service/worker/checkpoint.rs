//! What the `checkpoints` topic holds: chunks of a partition's state, and a digest of the whole with every commit.
//!
//! | key | value |
//! |---|---|
//! | `accounts/3/17/0` | part 0 of chunk 17: the fold of everything before `offset` |
//! | `accounts/3/digest` | digest of the whole state after everything before `offset` |
//!
//! Both are written in the transaction that commits `offset`, so they are as true as the offset is. Without transactions the
//! parts of a chunk come one by one: they are numbered from [`SECOND`] on every other time, and what is whole and newest
//! counts.

use siphasher::sip::SipHasher24;
use std::hash::Hasher;

use crate::pipeline::CodecError;

/// Version of both encodings.
const VERSION: u8 = 1;
/// Bytes of one part of a chunk at most; a record above the broker's default `max.message.bytes` is refused.
pub const PART_BYTES_MAX: usize = 900_000;

/// Number of the first part of a chunk that is kept beside the one written before.
pub const SECOND: u16 = 1 << 15;

/// Identity of a record in `checkpoints`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointKey {
    /// Part of a chunk.
    Chunk {
        /// Chunk.
        chunk: u16,
        /// Part of it, from 0.
        part: u16,
    },
    /// The digest.
    Digest,
}

impl CheckpointKey {
    /// The key's bytes, for the partition of that stage.
    #[must_use]
    pub fn encode(self, stage: &str, partition: i32) -> Vec<u8> {
        match self {
            Self::Chunk { chunk, part } => format!("{stage}/{partition}/{chunk}/{part}").into_bytes(),
            Self::Digest => format!("{stage}/{partition}/digest").into_bytes(),
        }
    }

    /// The key with these bytes, if it is one of that partition of that stage.
    #[must_use]
    pub fn decode(bytes: &[u8], stage: &str, partition: i32) -> Option<Self> {
        let mut fields = std::str::from_utf8(bytes).ok()?.split('/');
        if fields.next()? != stage || fields.next()?.parse() != Ok(partition) {
            return None;
        }
        match fields.next()? {
            "digest" => Some(Self::Digest),
            chunk => Some(Self::Chunk {
                chunk: chunk.parse().ok()?,
                part: fields.next()?.parse().ok()?,
            }),
        }
    }
}

/// One part of a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkPart {
    /// The chunk is the fold of everything before this offset.
    pub offset: i64,
    /// Latest append time among everything before `offset`, ms.
    pub append_ms: i64,
    /// Parts of the chunk.
    pub parts: u16,
    /// Chunks of the partition's state.
    pub chunks: u16,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// The last record of a partition in each transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigestRecord {
    /// The offset committed with it.
    pub offset: i64,
    /// Latest append time among everything before `offset`, ms.
    pub append_ms: i64,
    /// Where the fold began with nothing: a chunk that was never written starts there.
    pub origin: i64,
    /// Digest of the state.
    pub digest: u128,
    /// Fingerprint of what must not change during the life of the topics: hash key and partition count.
    pub fingerprint: u64,
}

impl ChunkPart {
    /// Cuts a chunk into parts and encodes each.
    #[must_use]
    pub fn encode_all(offset: i64, append_ms: i64, chunks: u16, body: &[u8]) -> Vec<Vec<u8>> {
        let pieces: Vec<&[u8]> = if body.is_empty() {
            vec![body]
        } else {
            body.chunks(PART_BYTES_MAX).collect()
        };
        let parts = u16::try_from(pieces.len()).unwrap_or(u16::MAX);
        pieces
            .into_iter()
            .map(|piece| {
                let mut bytes = Vec::with_capacity(piece.len() + 32);
                bytes.push(VERSION);
                bytes.extend_from_slice(&offset.to_le_bytes());
                bytes.extend_from_slice(&append_ms.to_le_bytes());
                bytes.extend_from_slice(&parts.to_le_bytes());
                bytes.extend_from_slice(&chunks.to_le_bytes());
                bytes.extend_from_slice(piece);
                seal(bytes)
            })
            .collect()
    }

    /// Decodes one part.
    ///
    /// # Errors
    /// [`CodecError`] if version or checksum fail: damaged bytes are not an empty chunk.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut fields = open(bytes, "checkpoint chunk")?;
        let offset = i64::from_le_bytes(fields.take()?);
        let append_ms = i64::from_le_bytes(fields.take()?);
        let parts = u16::from_le_bytes(fields.take()?);
        let chunks = u16::from_le_bytes(fields.take()?);
        Ok(Self {
            offset,
            append_ms,
            parts,
            chunks,
            body: fields.bytes.to_vec(),
        })
    }
}

impl DigestRecord {
    /// Encodes it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.offset.to_le_bytes());
        bytes.extend_from_slice(&self.append_ms.to_le_bytes());
        bytes.extend_from_slice(&self.origin.to_le_bytes());
        bytes.extend_from_slice(&self.digest.to_le_bytes());
        bytes.extend_from_slice(&self.fingerprint.to_le_bytes());
        seal(bytes)
    }

    /// Decodes it.
    ///
    /// # Errors
    /// As [`ChunkPart::decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut fields = open(bytes, "checkpoint digest")?;
        Ok(Self {
            offset: i64::from_le_bytes(fields.take()?),
            append_ms: i64::from_le_bytes(fields.take()?),
            origin: i64::from_le_bytes(fields.take()?),
            digest: u128::from_le_bytes(fields.take()?),
            fingerprint: u64::from_le_bytes(fields.take()?),
        })
    }
}

fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new();
    hasher.write(bytes);
    hasher.finish()
}

fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let sum = checksum(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

struct Fields<'a> {
    what: &'static str,
    bytes: &'a [u8],
}

fn open<'a>(bytes: &'a [u8], what: &'static str) -> Result<Fields<'a>, CodecError> {
    let error = |detail: String| CodecError::new(what, 0, detail);
    let Some((body, sum)) = bytes.split_last_chunk::<8>() else {
        return Err(error(format!("{} bytes are too few", bytes.len())));
    };
    if checksum(body) != u64::from_le_bytes(*sum) {
        return Err(error("checksum does not match".to_owned()));
    }
    match body.split_first() {
        Some((&VERSION, rest)) => Ok(Fields { what, bytes: rest }),
        Some((version, _)) => Err(error(format!("version {version} is not {VERSION}, the one read here"))),
        None => Err(error("empty".to_owned())),
    }
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let Some((field, rest)) = self.bytes.split_first_chunk::<N>() else {
            return Err(CodecError::new(self.what, 0, "ends early".to_owned()));
        };
        self.bytes = rest;
        Ok(*field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_name_stage_partition_chunk_and_part() {
        for key in [CheckpointKey::Digest, CheckpointKey::Chunk { chunk: 17, part: 2 }] {
            let bytes = key.encode("accounts", 3);
            assert_eq!(CheckpointKey::decode(&bytes, "accounts", 3), Some(key));
            assert_eq!(CheckpointKey::decode(&bytes, "accounts", 4), None);
            assert_eq!(CheckpointKey::decode(&bytes, "entities", 3), None);
        }
    }

    #[test]
    fn a_large_chunk_is_cut_into_parts_that_join_to_the_same_bytes() {
        let body: Vec<u8> = (0..2_000_000_u32).map(|i| (i % 251) as u8).collect();
        let parts: Vec<ChunkPart> = ChunkPart::encode_all(42, 7, 256, &body)
            .iter()
            .map(|bytes| ChunkPart::decode(bytes).unwrap())
            .collect();
        assert_eq!(parts.len(), 3);
        assert!(
            parts
                .iter()
                .all(|part| part.parts == 3 && part.offset == 42 && part.chunks == 256)
        );
        assert_eq!(
            parts.iter().flat_map(|part| part.body.clone()).collect::<Vec<u8>>(),
            body
        );
        assert_eq!(
            ChunkPart::encode_all(1, 1, 256, &[]).len(),
            1,
            "an empty chunk is written too"
        );
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let record = DigestRecord {
            offset: 9,
            append_ms: 8,
            origin: 0,
            digest: 1 << 90,
            fingerprint: 5,
        };
        let bytes = record.encode();
        assert_eq!(DigestRecord::decode(&bytes).unwrap(), record);
        for at in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[at / 8] ^= 1 << (at % 8);
            assert!(DigestRecord::decode(&damaged).is_err(), "bit {at}");
        }
    }
}
