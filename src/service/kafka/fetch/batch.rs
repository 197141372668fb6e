//! Batches of records as brokers keep them: format 2, of Kafka 0.11 and later.

use std::collections::VecDeque;
use std::io::{BufRead as _, Read};

use lz4_flex::frame::FrameDecoder;

use super::super::records::replay_count;
use super::wire::{Aborted, Cursor, Unreadable};
use crate::service::dead_letter::REPLAY_COUNT;
use crate::service::log::Replays;

/// Bytes before what the length of a batch counts: first offset and length.
const BEFORE_LENGTH: usize = 12;
/// Where the checksum stands; it is over all that comes behind.
const CHECKSUM_AT: usize = 17;
const FORMAT: i8 = 2;
/// Bytes a batch may unpack to: brokers take a megabyte by default, which LZ4 packs by 255 at most.
const UNPACKED_MAX: u64 = 256 << 20;

const COMPRESSION: i16 = 0b111;
const APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

/// One batch.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    pub(super) first_offset: i64,
    pub(super) last_offset: i64,
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
    pub(super) count: u32,
    producer: i64,
    attributes: i16,
    checksum: u32,
    checked: &'a [u8],
    body: &'a [u8],
}

impl<'a> Batch<'a> {
    /// The first of some batches, and what is behind it. `None` if they end before it does.
    ///
    /// # Errors
    /// [`Unreadable`] if it is none, or of an older format.
    pub(super) fn first(batches: &'a [u8]) -> Result<Option<(Self, &'a [u8])>, Unreadable> {
        let mut cursor = Cursor::new(batches);
        if batches.len() < BEFORE_LENGTH {
            return Ok(None);
        }
        let (first_offset, length) = (cursor.i64()?, cursor.i32()?);
        let length = usize::try_from(length).map_err(|_| Unreadable("batch: its length"))?;
        let Some((whole, behind)) = batches.split_at_checked(BEFORE_LENGTH + length) else {
            return Ok(None);
        };
        let mut cursor = Cursor::from(whole, BEFORE_LENGTH);
        let _leader_epoch = cursor.i32()?;
        if cursor.i8()? != FORMAT {
            return Err(Unreadable("batch: its format is not that of Kafka 0.11 and later"));
        }
        let checksum = cursor.u32()?;
        let (attributes, last_delta) = (cursor.i16()?, cursor.i32()?);
        let (first_ms, last_ms) = (cursor.i64()?, cursor.i64()?);
        let (producer, _epoch, _sequence) = (cursor.i64()?, cursor.i16()?, cursor.i32()?);
        let last_offset = first_offset.checked_add(last_delta.max(0).into());
        let last_offset = last_offset.filter(|last| *last < i64::MAX);
        let batch = Self {
            first_offset,
            last_offset: last_offset.ok_or(Unreadable("batch: its last offset"))?,
            first_ms,
            last_ms,
            count: u32::try_from(cursor.i32()?).map_err(|_| Unreadable("batch: the number of its records"))?,
            producer,
            attributes,
            checksum,
            checked: &whole[CHECKSUM_AT + size_of::<u32>()..],
            body: &whole[cursor.at..],
        };
        Ok(Some((batch, behind)))
    }

    /// # Errors
    /// [`Unreadable`] if its checksum is not that of its bytes.
    pub(super) fn check(&self) -> Result<(), Unreadable> {
        if crc32c::crc32c(self.checked) == self.checksum {
            Ok(())
        } else {
            Err(Unreadable("batch: its checksum is wrong"))
        }
    }

    /// Whether the broker gave the time, that of appending, instead of the producer.
    pub(super) fn has_append_time(&self) -> bool {
        self.attributes & APPEND_TIME != 0
    }

    /// Its records as they are, if they are not compressed.
    pub(super) fn plain(&self) -> Option<&'a [u8]> {
        (self.attributes & COMPRESSION == 0).then_some(self.body)
    }

    /// Puts its records, which are compressed, where `into` has what it had.
    ///
    /// # Errors
    /// [`Unreadable`] if they do not unpack, or are compressed as nothing here unpacks.
    pub(super) fn unpack(&self, into: &mut Vec<u8>) -> Result<(), Unreadable> {
        const BROKEN: Unreadable = Unreadable("batch: it does not unpack");
        into.clear();
        match self.attributes & COMPRESSION {
            1 => read_all(flate2::read::MultiGzDecoder::new(self.body), into).ok_or(BROKEN)?,
            3 => unpack_lz4(self.body, into).ok_or(BROKEN)?,
            4 => {
                let reader = zstd::stream::read::Decoder::with_buffer(self.body);
                read_all(reader.map_err(|_| BROKEN)?, into).ok_or(BROKEN)?;
            }
            _ => return Err(Unreadable("batch: its compression is not gzip, LZ4 or Zstandard")),
        }
        Ok(())
    }
}

fn read_all(reader: impl Read, into: &mut Vec<u8>) -> Option<()> {
    let count = reader.take(UNPACKED_MAX + 1).read_to_end(into).ok()?;
    (count as u64 <= UNPACKED_MAX).then_some(())
}

/// From the decoder's own buffer, block by block: a read would fill `into` with zeros first.
fn unpack_lz4(bytes: &[u8], into: &mut Vec<u8>) -> Option<()> {
    let mut decoder = FrameDecoder::new(bytes);
    loop {
        let block = decoder.fill_buf().ok()?;
        if block.is_empty() {
            return Some(());
        }
        into.extend_from_slice(block);
        let count = block.len();
        decoder.consume(count);
        if into.len() as u64 > UNPACKED_MAX {
            return None;
        }
    }
}

/// Which batches of a partition's answer count: neither markers nor what was aborted.
#[derive(Debug)]
pub(super) struct Aborts {
    /// In the order of their first offsets.
    to_come: VecDeque<Aborted>,
    /// Producers that are in one.
    open: Vec<i64>,
}

impl Aborts {
    pub(super) fn new(mut aborted: Vec<Aborted>) -> Self {
        aborted.sort_by_key(|aborted| aborted.first_offset);
        Self {
            to_come: aborted.into(),
            open: Vec::new(),
        }
    }

    /// Whether the records of the next batch count.
    ///
    /// # Errors
    /// [`Unreadable`] if it is a marker that says nothing.
    pub(super) fn keeps(&mut self, batch: &Batch<'_>) -> Result<bool, Unreadable> {
        while let Some(aborted) = (self.to_come.front()).filter(|next| next.first_offset <= batch.last_offset) {
            self.open.push(aborted.producer);
            self.to_come.pop_front();
        }
        if batch.attributes & CONTROL != 0 {
            // Compaction may have left nothing of it.
            if batch.count > 0 && is_abort(batch.body)? {
                self.open.retain(|producer| *producer != batch.producer);
            }
            return Ok(false);
        }
        Ok(batch.attributes & TRANSACTIONAL == 0 || !self.open.contains(&batch.producer))
    }
}

/// Whether a marker ends its transaction with an abort: its record's key has a version and 0 for that, 1 for a commit.
fn is_abort(body: &[u8]) -> Result<bool, Unreadable> {
    let entry = Entry::read(&mut Cursor::new(body))?;
    let mut key = Cursor::new(entry.key.unwrap_or_default());
    let _version = key.i16()?;
    Ok(key.i16()? == 0)
}

/// One record of a batch.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) offset_delta: i64,
    pub(super) time_delta: i64,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: Headers<'a>,
}

impl<'a> Entry<'a> {
    /// # Errors
    /// [`Unreadable`] if it is none.
    #[inline]
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Unreadable> {
        let length = cursor.varint()?;
        let length = usize::try_from(length).map_err(|_| Unreadable("record: its length"))?;
        let mut inner = Cursor::new(cursor.bytes(length)?);
        let _attributes = inner.i8()?;
        let (time_delta, offset_delta) = (inner.varint()?, inner.varint()?);
        let (key, value) = (inner.sized()?, inner.sized()?);
        let headers = Headers(inner.rest());
        Ok(Self {
            offset_delta,
            time_delta,
            key,
            value,
            headers,
        })
    }
}

/// A record's headers, read when somebody asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Headers<'a>(&'a [u8]);

impl<'a> Headers<'a> {
    /// The last of that name.
    fn last(self, name: &str) -> Result<Option<&'a [u8]>, Unreadable> {
        let mut cursor = Cursor::new(self.0);
        let mut found = None;
        for _ in 0..cursor.varint()? {
            let (key, value) = (cursor.sized()?, cursor.sized()?);
            if key == Some(name.as_bytes()) {
                found = value;
            }
        }
        Ok(found)
    }
}

impl Replays for Headers<'_> {
    fn count(&self) -> u8 {
        replay_count(self.last(REPLAY_COUNT).ok().flatten())
    }
}
