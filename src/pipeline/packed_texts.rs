//! The texts of a packed record: one behind the other, and those that many observations share only once.

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::model::codec::{Malformed, Reader, Writer};

/// Shared texts of a record at most; further ones are written wherever they occur. So few that a walk through all of them,
/// which names made to collide would cost, takes no longer than the rest of an event.
const SHARED_MAX: usize = 256;

/// Takes texts, and leaves their lengths with the numbers.
#[derive(Debug, Default)]
pub(super) struct TextWriter {
    all: String,
    /// Where each shared text stands. Never walked, so its order cannot reach the record.
    shared: HashTable<Shared>,
}

#[derive(Debug)]
struct Shared {
    start: usize,
    length: usize,
    hash: u64,
    number: u64,
}

impl TextWriter {
    /// Bytes so far.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// All texts.
    #[inline]
    pub(super) fn as_str(&self) -> &str {
        &self.all
    }

    /// Forgets all and keeps their room.
    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.shared.clear();
    }

    /// A text.
    #[inline]
    pub(super) fn text(&mut self, plain: &mut Writer, text: &str) {
        plain.uint(text.len() as u64);
        self.all.push_str(text);
    }

    /// A text or none: the length is one more than that of the text.
    #[inline]
    pub(super) fn opt_text(&mut self, plain: &mut Writer, text: Option<&str>) {
        plain.uint(text.map_or(0, |text| text.len() as u64 + 1));
        self.all.push_str(text.unwrap_or_default());
    }

    /// A text that others are likely to have too: by number where it was written before.
    #[inline]
    pub(super) fn shared(&mut self, plain: &mut Writer, text: &str) {
        let hash = FixedState::default().hash_one(text.as_bytes());
        let all = self.all.as_bytes();
        let is_it = |shared: &Shared| all.get(shared.start..shared.start + shared.length) == Some(text.as_bytes());
        if let Some(known) = self.shared.find(hash, is_it) {
            plain.uint(known.number);
            return;
        }
        if self.shared.len() < SHARED_MAX {
            let entry = Shared {
                start: self.all.len(),
                length: text.len(),
                hash,
                number: self.shared.len() as u64 + 1,
            };
            self.shared.insert_unique(hash, entry, |shared| shared.hash);
        }
        plain.uint(0);
        self.text(plain, text);
    }
}

/// Gives the texts back, in the order in which they were taken.
#[derive(Debug)]
pub(super) struct TextReader<'a> {
    /// Not given back yet.
    rest: &'a str,
    shared: Vec<&'a str>,
}

impl<'a> TextReader<'a> {
    #[inline]
    pub(super) fn new(all: &'a str) -> Self {
        Self {
            rest: all,
            shared: Vec::new(),
        }
    }

    /// Whether every text was given back.
    #[inline]
    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// What [`TextWriter::text`] took.
    #[inline]
    pub(super) fn text(&mut self, plain: &mut Reader<'_>) -> Result<&'a str, Malformed> {
        let length = plain.uint()?;
        self.take(plain, length)
    }

    /// What [`TextWriter::opt_text`] took.
    #[inline]
    pub(super) fn opt_text(&mut self, plain: &mut Reader<'_>) -> Result<Option<&'a str>, Malformed> {
        match plain.uint()?.checked_sub(1) {
            Some(length) => self.take(plain, length).map(Some),
            None => Ok(None),
        }
    }

    /// What [`TextWriter::shared`] took.
    #[inline]
    pub(super) fn shared(&mut self, plain: &mut Reader<'_>) -> Result<&'a str, Malformed> {
        let Some(index) = plain.uint()?.checked_sub(1) else {
            let text = self.text(plain)?;
            if self.shared.len() < SHARED_MAX {
                self.shared.push(text);
            }
            return Ok(text);
        };
        let known = usize::try_from(index).ok().and_then(|index| self.shared.get(index));
        known
            .copied()
            .ok_or_else(|| plain.malformed("the number of a text written before"))
    }

    #[inline]
    fn take(&mut self, plain: &Reader<'_>, length: u64) -> Result<&'a str, Malformed> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            return Err(plain.malformed("the length of a text"));
        };
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_text_stands_once_and_others_wherever_they_occur() {
        let many: Vec<String> = (0..SHARED_MAX + 10).map(|number| format!("agent {number}")).collect();
        let (mut plain, mut texts) = (Writer::default(), TextWriter::default());
        for text in many.iter().chain(&many) {
            texts.shared(&mut plain, text);
            texts.opt_text(&mut plain, None);
            texts.opt_text(&mut plain, Some("ü"));
        }
        let shared: usize = many.iter().take(SHARED_MAX).map(String::len).sum();
        let others: usize = many.iter().skip(SHARED_MAX).map(|text| 2 * text.len()).sum();
        assert_eq!(texts.len(), shared + others + 2 * many.len() * "ü".len());
        let bytes = plain.into_bytes();
        let (mut plain, mut read) = (Reader::new(&bytes), TextReader::new(texts.as_str()));
        for text in many.iter().chain(&many) {
            assert_eq!(read.shared(&mut plain), Ok(text.as_str()));
            assert_eq!(read.opt_text(&mut plain), Ok(None));
            assert_eq!(read.opt_text(&mut plain), Ok(Some("ü")));
        }
        assert!(read.is_at_end() && plain.is_at_end());
    }

    #[test]
    fn a_number_of_no_text_is_refused() {
        let mut plain = Writer::default();
        plain.uint(1);
        let bytes = plain.into_bytes();
        assert!(TextReader::new("abc").shared(&mut Reader::new(&bytes)).is_err());
    }
}
