//! The short texts that the facts of one account share, devices and products: each is kept once.
//!
//! They stand one behind the other, each behind its length, in words that end in zeros. An account has two or three, and
//! those event ids that are too long for two words, so finding one is a walk over some dozen bytes. Numbers stand until
//! [`Block::keep_texts`] gives new ones. Equal texts have equal numbers.

use bytemuck::{Pod, Zeroable};

use super::block::{Block, ITEMS_MAX, List, TextWord};
use super::device_fact::DeviceFact;
use super::network_fact::NetworkFact;
use super::visits::Visit;
use crate::model::event_id::EventId;

/// Number of a text in its account's table; 0 is the empty text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub struct TextId(u16);

/// An event's id in two words, or in the first of them the number of the text that is too long for two. How it is packed
/// stands apart from it, where a fact has a byte of room.
pub type ShortId = [u64; 2];

/// Words of texts whose facts are gone that are not worth a clearing.
const UNUSED_MAX: usize = 16;
/// So many words of texts are cleared in any case: limits of windows leave no account more that it uses.
const WORDS_MAX: usize = ITEMS_MAX - ITEMS_MAX / 8;
/// A length in one byte; a longer text has this byte, then its length in four.
const LONG: u8 = u8::MAX;

impl Block {
    /// The number of a text, which is added if it is not there. One for which there is no room, beyond half a megabyte of
    /// them, is as if it were empty.
    pub(super) fn number_text(&mut self, text: &str) -> TextId {
        if text.is_empty() {
            return TextId::default();
        }
        let bytes = text.as_bytes();
        let mut end = 0;
        for (number, (known, behind)) in (1..).zip(Texts(self.text_bytes(), 0)) {
            if known == bytes {
                return TextId(number);
            }
            end = behind;
        }
        let (length, prefix) = prefix(bytes.len());
        self.add_text(end, &length[..prefix], bytes)
    }

    fn add_text(&mut self, end: usize, length: &[u8], text: &[u8]) -> TextId {
        let words = (end + length.len() + text.len()).div_ceil(size_of::<TextWord>());
        let Some(number) = self.head().texts.checked_add(1).filter(|_| words <= ITEMS_MAX) else {
            return TextId::default();
        };
        self.extend_texts(words.saturating_sub(self.len(List::Texts)));
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(self.list_mut::<TextWord>());
        let (at, behind) = bytes[end..].split_at_mut(length.len());
        at.copy_from_slice(length);
        behind[..text.len()].copy_from_slice(text);
        self.head_mut().texts = number;
        TextId(number)
    }

    /// The number of a text, if it is there.
    #[must_use]
    pub fn find_text(&self, text: &str) -> Option<TextId> {
        if text.is_empty() {
            return Some(TextId::default());
        }
        let mut numbered = (1..).zip(Texts(self.text_bytes(), 0));
        let found = numbered.find(|(_, (known, _))| *known == text.as_bytes());
        found.map(|(number, _)| TextId(number))
    }

    /// The text of that number; empty if there is none.
    #[must_use]
    pub fn text(&self, id: TextId) -> &str {
        let Some(before) = id.0.checked_sub(1) else { return "" };
        let found = Texts(self.text_bytes(), 0).nth(before.into());
        found.map_or("", |(bytes, _)| std::str::from_utf8(bytes).unwrap_or_default())
    }

    /// An event's id in two words, and how it is packed.
    pub(super) fn short_id(&mut self, id: &EventId) -> (ShortId, u8) {
        id.in_two_words()
            .unwrap_or_else(|| ([self.number_text(&id.to_string()).0.into(), 0], EventId::PACKINGS))
    }

    /// The id of those words.
    #[must_use]
    pub fn event_id(&self, id: ShortId, packing: u8) -> EventId {
        match text_of(id, packing) {
            Some(text) => EventId::new(self.text(text)),
            None => EventId::of_two_words(id, packing),
        }
    }

    /// Gives up texts that no fact uses any more, once they may be many.
    #[inline]
    pub(super) fn keep_texts(&mut self) {
        let (words, kept) = (self.len(List::Texts), usize::from(self.head().texts_kept));
        if words > (kept + kept / 2 + UNUSED_MAX).min(WORDS_MAX) {
            self.clear_texts();
        }
    }

    fn clear_texts(&mut self) {
        let head = self.head();
        let mut is_used = vec![false; usize::from(head.texts) + 1];
        self.renumber(|id| {
            is_used[usize::from(id.0)] = true;
            id
        });
        let before = self.text_bytes().to_vec();
        let words = self.len(List::Texts);
        self.remove::<TextWord>(0..words);
        self.head_mut().texts = 0;
        let mut numbers = vec![TextId::default(); is_used.len()];
        for (number, (bytes, _)) in (1..).zip(Texts(&before, 0)) {
            if is_used[number] {
                numbers[number] = self.number_text(std::str::from_utf8(bytes).unwrap_or_default());
            }
        }
        self.renumber(|id| numbers[usize::from(id.0)]);
        let words = self.len(List::Texts);
        self.head_mut().texts_kept = u16::try_from(words).unwrap_or(u16::MAX);
    }

    /// Gives every fact the numbers that `of` gives for those of its texts.
    fn renumber(&mut self, mut of: impl FnMut(TextId) -> TextId) {
        let mut of_id = |[first, last]: ShortId, packing| match text_of([first, last], packing) {
            Some(text) => [of(text).0.into(), last],
            None => [first, last],
        };
        for visit in self.list_mut::<Visit>() {
            visit.event_id = of_id(visit.event_id, visit.packing);
        }
        for network in self.list_mut::<NetworkFact>() {
            network.event_id = of_id(network.event_id, network.packing);
        }
        for visit in self.list_mut::<Visit>() {
            (visit.product, visit.device) = (of(visit.product), of(visit.device));
        }
        for network in self.list_mut::<NetworkFact>() {
            (network.product, network.device) = (of(network.product), of(network.device));
        }
        for device in self.list_mut::<DeviceFact>() {
            device.id = of(device.id);
        }
    }

    fn text_bytes(&self) -> &[u8] {
        bytemuck::cast_slice(self.list::<TextWord>())
    }
}

/// Which text an event's id is, if it is one.
fn text_of(id: ShortId, packing: u8) -> Option<TextId> {
    (packing == EventId::PACKINGS).then(|| TextId(u16::try_from(id[0]).unwrap_or_default()))
}

/// How a length is written, and in how many bytes.
fn prefix(length: usize) -> ([u8; 5], usize) {
    match u8::try_from(length) {
        Ok(short) if short < LONG => ([short, 0, 0, 0, 0], 1),
        _ => {
            let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
            ([LONG, a, b, c, d], 5)
        }
    }
}

/// Texts from a place on, each with where the next begins.
struct Texts<'a>(&'a [u8], usize);

impl<'a> Iterator for Texts<'a> {
    type Item = (&'a [u8], usize);

    fn next(&mut self) -> Option<Self::Item> {
        let (first, behind) = self.0.get(self.1..)?.split_first()?;
        let (prefix, length) = match *first {
            0 => return None,
            LONG => (5, u32::from_le_bytes(*behind.first_chunk()?) as usize),
            short => (1, short.into()),
        };
        let start = self.1 + prefix;
        let text = self.0.get(start..start + length)?;
        self.1 = start + length;
        Some((text, self.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once_and_found_again() {
        let mut block = Block::default();
        let long = "ü".repeat(40_000);
        let known = ["okta", "lt-0001", "", &long, "a\0b"];
        let numbers = known.map(|text| block.number_text(text));
        assert_eq!(known.map(|text| block.number_text(text)), numbers);
        assert_eq!(known.map(|text| block.find_text(text)), numbers.map(Some));
        assert_eq!(numbers.map(|id| block.text(id).to_owned()), known);
        assert_eq!(block.find_text("lt-000"), None);
    }

    #[test]
    fn there_is_room_for_half_a_megabyte() {
        let mut block = Block::default();
        let (most, more) = ("a".repeat(ITEMS_MAX * 8 - 5), "b".repeat(ITEMS_MAX * 8));
        assert_eq!(block.number_text(&more), TextId::default());
        let most_id = block.number_text(&most);
        assert_eq!(block.text(most_id), most);
        assert_eq!(block.number_text("c"), TextId::default(), "and for no more");
        assert_eq!(block.number_text(&most), most_id);
    }

    #[test]
    fn a_clearing_leaves_what_is_used() {
        let mut block = Block::default();
        let ids: Vec<TextId> = (0..40).map(|n| block.number_text(&format!("lt-{n}"))).collect();
        for id in [ids[7], ids[3], ids[7]] {
            let visit = Visit {
                device: id,
                ..Visit::zeroed()
            };
            block.push(&visit);
        }
        let long = EventId::new("events/0/17/0 and what else there is to say");
        let (event_id, packing) = block.short_id(&long);
        block.list_mut::<Visit>()[1] = Visit {
            event_id,
            packing,
            ..block.list::<Visit>()[1]
        };
        block.keep_texts();
        let visits = block.list::<Visit>().to_vec();
        let devices: Vec<&str> = visits.iter().map(|visit| block.text(visit.device)).collect();
        assert_eq!(devices, ["lt-7", "lt-3", "lt-7"]);
        assert_eq!(block.event_id(visits[1].event_id, visits[1].packing), long);
        assert_eq!(block.find_text("lt-5"), None);
        assert_eq!(block.head().texts, 3);
    }

    #[test]
    fn texts_that_come_and_go_never_fill_the_room() {
        let mut block = Block::default();
        block.push(&Visit::zeroed());
        for number in 0..5_000 {
            let id = EventId::new(&format!("{number}/{}", "x".repeat(500)));
            let (event_id, packing) = block.short_id(&id);
            let device = block.number_text(&format!("{number}-{}", "y".repeat(500)));
            let visit = Visit {
                event_id,
                packing,
                device,
                ..Visit::zeroed()
            };
            block.list_mut::<Visit>()[0] = visit;
            block.keep_texts();
            let visit = block.list::<Visit>()[0];
            assert_eq!(block.event_id(visit.event_id, visit.packing), id);
            assert_ne!(visit.device, TextId::default());
        }
        assert!(block.len(List::Texts) < 1_000, "{}", block.len(List::Texts));
    }
}
