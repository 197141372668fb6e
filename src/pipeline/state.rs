//! The state of one partition: windows by key, cut into chunks, with a digest of what was folded.

use std::collections::BTreeMap;

use super::table::Table;
use super::{CodecError, StateSize};
use crate::model::Key;
use crate::model::codec::Malformed;
use crate::window::DAY_MS;
use crate::window::intern::Interner;
use crate::window::shared::{SharedReader, SharedWriter};

/// Chunks of a partition's state: at a million accounts over six partitions a chunk stays below a megabyte.
const CHUNKS: u16 = 256;
/// Version of the chunk encoding.
const CHUNK_VERSION: u8 = 6;
/// A chunk is swept for expired windows this often, by the append time of its own inputs, ms.
const SWEEP_MS: i64 = DAY_MS;
/// Inputs whose windows are looked up ahead of their folding.
pub const TOUCHED_MAX: usize = 32;
/// A full chunk gives up this part of its windows at a time, so that room is not made for one after the other.
const GIVEN_UP: usize = 8;

/// A window that can be kept in a chunk.
pub trait Windowed: Default {
    /// Appends the window. `shared` has the values that it names.
    fn write(&self, shared: &Interner, writer: &mut SharedWriter);
    /// Reads a window.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes are no window.
    fn read(reader: &mut SharedReader<'_, '_>) -> Result<Self, Malformed>;
    /// Bytes it takes on the heap, estimated.
    fn bytes(&self) -> usize;
    /// Reads a little of every line of the window, to bring them near.
    fn touch(&self) -> u64;
    /// Reads a little of what lies apart from it.
    fn touch_apart(&self) -> u64 {
        0
    }
    /// Append time of its last input, ms.
    fn last_append_ms(&self) -> i64;
    /// Whether it shows so little that it may be given up for another: a name that was seen on one day.
    fn is_provisional(&self) -> bool;
}

/// A window that is kept apart from its place in the table.
impl<W: Windowed> Windowed for Box<W> {
    fn write(&self, shared: &Interner, writer: &mut SharedWriter) {
        (**self).write(shared, writer);
    }
    fn read(reader: &mut SharedReader<'_, '_>) -> Result<Self, Malformed> {
        W::read(reader).map(Box::new)
    }
    fn bytes(&self) -> usize {
        size_of::<W>() + (**self).bytes()
    }
    fn touch(&self) -> u64 {
        (**self).touch()
    }
    fn touch_apart(&self) -> u64 {
        (**self).touch_apart()
    }
    fn last_append_ms(&self) -> i64 {
        (**self).last_append_ms()
    }
    fn is_provisional(&self) -> bool {
        (**self).is_provisional()
    }
}

struct Chunk<W> {
    windows: Table<W>,
    /// Wrapping sum of hashes of everything folded into this chunk.
    folded: u128,
    /// Append time at which it was last swept, ms.
    swept_ms: i64,
}

/// All chunks of a partition.
pub struct Chunks<W> {
    chunks: Vec<Chunk<W>>,
    /// Windows that a chunk keeps at most.
    chunk_max: usize,
}

impl<W: Windowed> Chunks<W> {
    /// No windows, and room for about `windows_max`.
    #[must_use]
    pub fn new(windows_max: usize) -> Self {
        let empty = || Chunk {
            windows: Table::default(),
            folded: 0,
            swept_ms: 0,
        };
        Self {
            chunks: (0..CHUNKS).map(|_| empty()).collect(),
            chunk_max: (windows_max / usize::from(CHUNKS)).max(1),
        }
    }

    /// How many chunks there are.
    #[must_use]
    #[allow(
        clippy::unused_self,
        reason = "the number is a property of the state, whatever its source"
    )]
    pub fn count(&self) -> u16 {
        CHUNKS
    }

    /// The chunk of a key.
    #[must_use]
    #[allow(clippy::unused_self, reason = "as `count`")]
    pub fn chunk_of(&self, key: Key) -> u16 {
        key.chunk(CHUNKS)
    }

    /// Whether a chunk takes part in folding a record at `offset`: always, or from its own offset on after a restore.
    #[must_use]
    pub fn takes_part(resume: Option<&[i64]>, chunk: u16, offset: i64) -> bool {
        resume.is_none_or(|resume| resume.get(usize::from(chunk)).is_some_and(|from| *from <= offset))
    }

    /// Every window, in no order that means anything.
    pub fn all(&self) -> impl Iterator<Item = &W> {
        let windows = self.chunks.iter().flat_map(|chunk| chunk.windows.iter());
        windows.map(|(_, window)| window)
    }

    /// Windows of a chunk.
    pub fn windows(&mut self, chunk: u16) -> &mut Table<W> {
        &mut self.chunks[usize::from(chunk)].windows
    }

    /// The window of a key, if there is one.
    #[must_use]
    pub fn window(&self, chunk: u16, key: Key) -> Option<&W> {
        self.chunks[usize::from(chunk)].windows.get(key)
    }

    /// Reads a little of the windows of those keys, at most [`TOUCHED_MAX`], so that they come from memory side by side
    /// and not one after the other: first their places in the tables, then the windows, then what lies apart from them.
    pub fn touch(&self, keys: impl Iterator<Item = Key> + Clone) {
        let mut windows: [Option<&W>; TOUCHED_MAX] = [None; TOUCHED_MAX];
        let chunk = |key: Key| &self.chunks[usize::from(self.chunk_of(key))].windows;
        std::hint::black_box(keys.clone().fold(0, |all, key| all ^ chunk(key).touch(key)));
        for (window, key) in windows.iter_mut().zip(keys) {
            *window = chunk(key).get(key);
        }
        touch(windows.iter().flatten().copied());
    }

    /// Adds one input to the digest: key and position, so that an input folded twice or never shows.
    pub fn count_input(&mut self, chunk: u16, key: Key, offset: i64, index: u32) {
        let position = (u128::from(offset.cast_unsigned()) << 32) | u128::from(index);
        // Keys are keyed hashes, so no two inputs meet by accident.
        let mixed = mix(key.0 ^ position);
        let folded = &mut self.chunks[usize::from(chunk)].folded;
        *folded = folded.wrapping_add(mixed);
    }

    /// Before an input: drops a chunk's expired windows if that was not done for a day. The chunk's own inputs decide
    /// when, so a restored chunk is swept at the same ones as the original. Says whether it was.
    pub fn tidy(&mut self, chunk: u16, append_ms: i64, is_expired: impl Fn(&W) -> bool) -> bool {
        let chunk = &mut self.chunks[usize::from(chunk)];
        if append_ms < chunk.swept_ms.saturating_add(SWEEP_MS) {
            return false;
        }
        chunk.swept_ms = append_ms;
        chunk.windows.retain(|_, window| !is_expired(window));
        true
    }

    /// Whether a chunk has no room for one more window.
    #[must_use]
    pub fn is_full(&self, chunk: u16) -> bool {
        self.chunks[usize::from(chunk)].windows.len() >= self.chunk_max
    }

    /// Gives up some provisional windows of a full chunk, those longest without an input first. Says how many; none if
    /// every window is worth keeping.
    pub fn make_room(&mut self, chunk: u16) -> u64 {
        let windows = &mut self.chunks[usize::from(chunk)].windows;
        let provisional = windows.iter().filter(|(_, window)| window.is_provisional());
        let mut oldest: Vec<(i64, Key)> = provisional
            .map(|(key, window)| (window.last_append_ms(), key))
            .collect();
        oldest.sort_unstable();
        oldest.truncate((self.chunk_max / GIVEN_UP).max(1));
        if !oldest.is_empty() {
            let is_given_up = |key, window: &W| oldest.binary_search(&(window.last_append_ms(), key)).is_ok();
            windows.retain(|key, window| !is_given_up(key, window));
        }
        oldest.len() as u64
    }

    /// Appends a chunk: version, digest, number of windows, then key and window in the order of keys.
    pub fn write(&self, chunk: u16, shared: &Interner, bytes: &mut Vec<u8>) {
        let Some(chunk) = self.chunks.get(usize::from(chunk)) else {
            return;
        };
        let mut writer = SharedWriter::appending(std::mem::take(bytes));
        writer.plain.u8(CHUNK_VERSION);
        writer.plain.u128(chunk.folded);
        writer.plain.int(chunk.swept_ms);
        let mut sorted: Vec<(Key, &W)> = chunk.windows.iter().collect();
        sorted.sort_unstable_by_key(|(key, _)| *key);
        writer.plain.uint(sorted.len() as u64);
        for group in sorted.chunks(TOUCHED_MAX) {
            touch(group.iter().map(|(_, window)| *window));
            for (key, window) in group {
                writer.plain.u128(key.0);
                window.write(shared, &mut writer);
            }
        }
        *bytes = writer.plain.into_bytes();
    }

    /// Replaces a chunk by what [`Chunks::write`] wrote.
    ///
    /// # Errors
    /// [`CodecError`] if the bytes are no chunk; it is empty then.
    pub fn read(&mut self, chunk: u16, bytes: &[u8], interner: &mut Interner) -> Result<(), CodecError> {
        let slot = self.chunks.get_mut(usize::from(chunk)).ok_or_else(|| {
            let detail = format!("chunk {chunk} of {CHUNKS}");
            CodecError::new("state chunk", 0, detail)
        })?;
        slot.windows = Table::default();
        slot.folded = 0;
        slot.swept_ms = 0;
        let malformed = |error: Malformed| {
            let detail = format!("expected {}", error.what);
            CodecError::new("state chunk", error.at, detail)
        };
        *slot = read_chunk(bytes, interner).map_err(malformed)?;
        Ok(())
    }

    /// Wrapping sum of the chunks' digests.
    #[must_use]
    pub fn digest(&self) -> u128 {
        self.chunks.iter().fold(0, |sum, chunk| sum.wrapping_add(chunk.folded))
    }

    /// How much is kept. The bytes are those of a sample of windows, scaled.
    #[must_use]
    pub fn size(&self) -> StateSize {
        /// Chunks whose windows are measured.
        const SAMPLED: usize = 4;
        let entries: usize = self.chunks.iter().map(|chunk| chunk.windows.len()).sum();
        let sample = || self.chunks.iter().take(SAMPLED);
        let sampled: usize = sample().map(|chunk| chunk.windows.len()).sum();
        let bytes: usize = sample()
            .map(|chunk| {
                let windows = chunk.windows.iter().map(|(_, window)| window.bytes());
                chunk.windows.bytes() + windows.sum::<usize>()
            })
            .sum();
        StateSize {
            entries: entries as u64,
            bytes: (bytes * entries / sampled.max(1)) as u64,
        }
    }

    /// Bytes of every chunk, for tests that compare two states.
    #[must_use]
    pub fn snapshot(&self, shared: &Interner) -> BTreeMap<u16, Vec<u8>> {
        (0..CHUNKS)
            .map(|chunk| {
                let mut bytes = Vec::new();
                self.write(chunk, shared, &mut bytes);
                (chunk, bytes)
            })
            .collect()
    }
}

/// Brings windows near, side by side: first themselves, then what lies apart from them.
fn touch<'w, W: Windowed + 'w>(windows: impl Iterator<Item = &'w W> + Clone) {
    std::hint::black_box(windows.clone().fold(0, |all, window| all ^ window.touch()));
    std::hint::black_box(windows.fold(0, |all, window| all ^ window.touch_apart()));
}

fn read_chunk<W: Windowed>(bytes: &[u8], interner: &mut Interner) -> Result<Chunk<W>, Malformed> {
    let mut reader = SharedReader::new(bytes, interner);
    if reader.plain.u8()? != CHUNK_VERSION {
        return Err(reader.plain.malformed("chunk version 6"));
    }
    let folded = reader.plain.u128()?;
    let swept_ms = reader.plain.int()?;
    let count = reader.plain.count()?;
    let mut windows = Table::with_room(count.min(1 << 20));
    for _ in 0..count {
        let key = Key(reader.plain.u128()?);
        windows.insert(key, W::read(&mut reader)?);
    }
    if !reader.plain.is_at_end() {
        return Err(reader.plain.malformed("the end of the chunk"));
    }
    Ok(Chunk {
        windows,
        folded,
        swept_ms,
    })
}

/// Finalizer of MurmurHash3 (Appleby, public domain) on both halves, crossed.
#[allow(clippy::cast_possible_truncation, reason = "the halves of 128 bits")]
fn mix(value: u128) -> u128 {
    let half = |mut h: u64| {
        h = (h ^ (h >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        h = (h ^ (h >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        h ^ (h >> 33)
    };
    let (low, high) = (value as u64, (value >> 64) as u64);
    let first = half(low ^ high.rotate_left(32));
    let second = half(high ^ first);
    (u128::from(second) << 64) | u128::from(first)
}
