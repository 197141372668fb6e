//! The windows of one chunk by key.

use crate::model::Key;

/// An open-addressing table: a slot is a key and its window, which is small and keeps its facts elsewhere, so that a look-up
/// takes one line from memory before the window's own. Keys are keyed hashes, so they say where they stand, and nobody can
/// choose keys that meet.
#[derive(Debug)]
pub struct Table<W> {
    slots: Vec<Option<Slot<W>>>,
    len: usize,
}

#[derive(Debug)]
struct Slot<W> {
    /// The halves of the key: together they would have to stand at a multiple of 16 bytes.
    low: u64,
    high: u64,
    window: W,
}

/// Slots of the smallest table.
const SLOTS_MIN: usize = 4;
/// Bits that [`Key::chunk`] reads.
const CHUNK_BITS: u32 = 16;

impl<W> Default for Table<W> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            len: 0,
        }
    }
}

impl<W: Default> Table<W> {
    /// An empty table with room for so many windows.
    #[must_use]
    pub fn with_room(windows: usize) -> Self {
        let mut table = Self::default();
        if windows > 0 {
            table.resize(slots_for(windows));
        }
        table
    }

    /// How many windows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of its slots, taken or not.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Option<Slot<W>>>()
    }

    /// The window of a key.
    #[must_use]
    pub fn get(&self, key: Key) -> Option<&W> {
        let index = self.find(key).ok()?;
        self.slots[index].as_ref().map(|slot| &slot.window)
    }

    /// The window of a key. Where there is none an empty one begins, if it may.
    pub fn get_or_begin(&mut self, key: Key, may_begin: bool) -> Option<&mut W> {
        let index = match self.find(key) {
            Ok(index) => index,
            Err(_) if !may_begin => return None,
            Err(free) => self.begin(key, free, W::default()),
        };
        self.slots[index].as_mut().map(|slot| &mut slot.window)
    }

    /// Puts a window in, in place of the key's former one.
    pub fn insert(&mut self, key: Key, window: W) {
        match self.find(key) {
            Ok(index) => {
                if let Some(slot) = &mut self.slots[index] {
                    slot.window = window;
                }
            }
            Err(free) => {
                self.begin(key, free, window);
            }
        }
    }

    /// Keeps the windows that `is_kept` says.
    pub fn retain(&mut self, mut is_kept: impl FnMut(Key, &W) -> bool) {
        let mut gone = 0;
        for place in &mut self.slots {
            if place.as_ref().is_some_and(|slot| !is_kept(slot.key(), &slot.window)) {
                *place = None;
                gone += 1;
            }
        }
        if gone > 0 {
            // A slot that was freed breaks the way to those behind it.
            self.len -= gone;
            self.resize(slots_for(self.len));
        }
    }

    /// Every key and window, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &W)> {
        let slots = self.slots.iter().flatten();
        slots.map(|slot| (slot.key(), &slot.window))
    }

    /// Reads where a key stands if nobody stands in its place, to bring it near.
    #[must_use]
    pub fn touch(&self, key: Key) -> u64 {
        let place = self.slots.get(self.home(key));
        place.and_then(Option::as_ref).map_or(0, |slot| slot.low)
    }

    fn home(&self, key: Key) -> usize {
        // The upper bits say in which chunk a key is.
        let spread = u128::from(low(key) << CHUNK_BITS) * self.slots.len() as u128;
        usize::try_from(spread >> 64).unwrap_or(0)
    }

    /// Where a key stands, or the free slot where it would.
    fn find(&self, key: Key) -> Result<usize, usize> {
        if self.slots.is_empty() {
            return Err(0);
        }
        let mut index = self.home(key);
        loop {
            match &self.slots[index] {
                None => return Err(index),
                Some(slot) if slot.low == low(key) && slot.high == high(key) => return Ok(index),
                Some(_) => index = self.behind(index),
            }
        }
    }

    fn behind(&self, index: usize) -> usize {
        if index + 1 == self.slots.len() { 0 } else { index + 1 }
    }

    fn begin(&mut self, key: Key, free: usize, window: W) -> usize {
        let mut free = free;
        if (self.len + 1) * 4 > self.slots.len() * 3 {
            self.resize(slots_for(self.len + 1 + self.len / 8));
            free = self.find(key).unwrap_or_else(|free| free);
        }
        self.slots[free] = Some(Slot {
            low: low(key),
            high: high(key),
            window,
        });
        self.len += 1;
        free
    }

    fn resize(&mut self, slots: usize) {
        let mut fresh = Vec::new();
        fresh.reserve_exact(slots);
        fresh.resize_with(slots, || None);
        let before = std::mem::replace(&mut self.slots, fresh);
        for slot in before.into_iter().flatten() {
            // No two keys are equal, so only the free slot is looked for, and no window.
            let mut index = self.home(slot.key());
            while self.slots[index].is_some() {
                index = self.behind(index);
            }
            self.slots[index] = Some(slot);
        }
    }
}

impl<W> Slot<W> {
    fn key(&self) -> Key {
        Key(u128::from(self.high) << 64 | u128::from(self.low))
    }
}

/// Slots for so many windows: at most three quarters are taken.
fn slots_for(windows: usize) -> usize {
    (windows * 4).div_ceil(3).max(SLOTS_MIN)
}

#[allow(clippy::cast_possible_truncation, reason = "the halves of 128 bits")]
fn low(key: Key) -> u64 {
    key.0 as u64
}

#[allow(clippy::cast_possible_truncation, reason = "the halves of 128 bits")]
fn high(key: Key) -> u64 {
    (key.0 >> 64) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Keys that meet in the low half, or in the low bits.
    fn key(number: u128) -> Key {
        Key(((number % 5) << 64) | (number / 5 % 7) | ((number / 35) << 40))
    }

    #[test]
    fn it_does_what_a_map_does() {
        let (mut table, mut map) = (Table::default(), BTreeMap::new());
        for number in 0..500 {
            let window = table.get_or_begin(key(number), true);
            *window.unwrap() = number;
            map.insert(key(number), number);
        }
        assert_eq!(table.get_or_begin(Key(u128::MAX), false), None);
        table.insert(key(3), 1_000);
        map.insert(key(3), 1_000);
        let check = |table: &Table<u128>, map: &BTreeMap<Key, u128>| {
            assert_eq!(table.len(), map.len());
            let all: BTreeMap<Key, u128> = table.iter().map(|(key, window)| (key, *window)).collect();
            assert_eq!(&all, map);
            assert!((0..500).all(|number| table.get(key(number)) == map.get(&key(number))));
        };
        check(&table, &map);
        table.retain(|_, window| window % 3 == 0);
        map.retain(|_, window| *window % 3 == 0);
        check(&table, &map);
        table.retain(|_, _| false);
        assert!(table.is_empty() && table.iter().next().is_none() && table.get(key(0)).is_none());
    }
}
