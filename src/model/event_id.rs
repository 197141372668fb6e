//! Ids of events as they travel and as windows keep them: most sources write hexadecimal digits or UUIDs, which take half
//! the room.

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::codec::{Malformed, Reader, Writer};

/// Bytes held in place.
const INLINE: usize = 22;
/// Bytes of them that do not fill a word.
const LAST: usize = INLINE % 8;

/// The id of an event: exactly its text, in 24 bytes unless it is long and neither hexadecimal nor a UUID.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventId(Form);

/// Its bytes are in words: bytes that are stored one by one and read together a moment later make the processor wait.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    /// What the bytes are and how many, the last [`LAST`] of them, and those before; 0 where there are fewer.
    Packed(Packing, [u8; LAST], [u64; 2]),
    /// Text that cannot be packed.
    Long(Box<str>),
}

/// How an id is packed: what its bytes are in the upper bits, how many there are in the lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Packing(u8);

/// At most [`INLINE`] bytes, in words; 0 where there are fewer.
type Words = [u64; 3];

/// The text as it is.
const TEXT: u8 = 0;
/// Two hexadecimal digits a byte, lower case.
const HEX: u8 = 1;
/// A UUID with its hyphens, lower case.
const UUID: u8 = 2;
/// Stands in place of a packing before a text that is not packed.
const LONG: u8 = u8::MAX;

impl Packing {
    #[inline]
    fn new(what: u8, length: usize) -> Self {
        Self(what << 6 | u8::try_from(length).unwrap_or_default())
    }

    #[inline]
    fn what(self) -> u8 {
        self.0 >> 6
    }

    #[inline]
    fn length(self) -> usize {
        usize::from(self.0 & 0x3f)
    }
}

impl Form {
    #[inline]
    fn packed(packing: Packing, [a, b, last]: Words) -> Self {
        let [c, d, e, f, g, h, ..] = last.to_le_bytes();
        Self::Packed(packing, [c, d, e, f, g, h], [a, b])
    }
}

/// The words of a form.
#[inline]
fn joined([c, d, e, f, g, h]: [u8; LAST], [a, b]: [u64; 2]) -> Words {
    [a, b, u64::from_le_bytes([c, d, e, f, g, h, 0, 0])]
}

/// The bytes of words.
#[inline]
fn bytes_of(words: Words) -> [u8; 24] {
    let mut bytes = [0; 24];
    for (at, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *at = word.to_le_bytes();
    }
    bytes
}

/// The first bytes of `ahead`, at most [`INLINE`].
#[inline]
fn words_of(ahead: &[u8], length: usize) -> Words {
    /// Ones over so many bytes.
    const KEPT: [u64; 9] = [
        0,
        0xff,
        0xffff,
        0x00ff_ffff,
        0xffff_ffff,
        0x00ff_ffff_ffff,
        0xffff_ffff_ffff,
        0x00ff_ffff_ffff_ffff,
        u64::MAX,
    ];
    let [a, b, c] = match ahead.first_chunk::<24>() {
        Some(all) => [0, 8, 16].map(|start| all[start..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word))),
        None => {
            let byte = |at: usize| ahead.get(at).map_or(0, |byte| u64::from(*byte));
            [0, 8, 16].map(|start| (start..start + 8).rev().fold(0, |word, at| word << 8 | byte(at)))
        }
    };
    let kept = |start: usize| KEPT[length.saturating_sub(start).min(8)];
    [a & kept(0), b & kept(8), c & kept(16)]
}

/// Calls `each` with a text in words that are those of no other text.
#[inline]
pub fn words_of_text(text: &str, mut each: impl FnMut(u64)) {
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    words.iter().for_each(|word| each(u64::from_le_bytes(*word)));
    each(rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    each(text.len() as u64);
}

impl Default for EventId {
    #[inline]
    fn default() -> Self {
        Self(Form::packed(Packing::new(TEXT, 0), Words::default()))
    }
}

impl EventId {
    /// The id of that text.
    #[must_use]
    #[inline]
    pub fn new(text: &str) -> Self {
        Self::of(Cow::Borrowed(text))
    }

    /// As [`EventId::new`], of a text that may be given away.
    #[must_use]
    #[inline]
    pub fn of(text: Cow<'_, str>) -> Self {
        let bytes = text.as_bytes();
        let packed = match bytes.len() {
            length @ 0..=INLINE => Some((Packing::new(TEXT, length), words_of(bytes, length))),
            36 => uuid(bytes).map(|uuid| (Packing::new(UUID, 16), uuid)),
            length => hex(bytes).map(|packed| (Packing::new(HEX, length / 2), packed)),
        };
        Self(match packed {
            Some((packing, words)) => Form::packed(packing, words),
            None => Form::Long(text.into()),
        })
    }

    /// Whether it is the empty text.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Form::Packed(Packing(0), ..))
    }

    /// The id in two words and a number that says how it is packed, below [`EventId::PACKINGS`]; `None` if it takes more.
    #[must_use]
    #[inline]
    pub fn in_two_words(&self) -> Option<([u64; 2], u8)> {
        match self.0 {
            Form::Packed(packing, last, words) if last == [0; LAST] && packing.length() <= 16 => {
                Some((words, packing.0))
            }
            _ => None,
        }
    }

    /// Numbers that say how an id is packed are below this.
    pub const PACKINGS: u8 = LONG;

    /// The id that was [in two words](EventId::in_two_words).
    #[must_use]
    #[inline]
    pub fn of_two_words(words: [u64; 2], packing: u8) -> Self {
        Self(Form::Packed(Packing(packing), [0; LAST], words))
    }

    /// Calls `each` with the id in words that are those of no other.
    #[inline]
    pub fn words(&self, mut each: impl FnMut(u64)) {
        match &self.0 {
            Form::Packed(packing, last, words) => {
                joined(*last, *words).into_iter().for_each(&mut each);
                each(u64::from(packing.0));
            }
            Form::Long(text) => {
                words_of_text(text, &mut each);
                each(LONG.into());
            }
        }
    }

    /// Appends the id.
    #[inline]
    pub fn write(&self, writer: &mut Writer) {
        match &self.0 {
            Form::Packed(packing, last, words) => {
                writer.u8(packing.0);
                writer.first_of(&bytes_of(joined(*last, *words)), packing.length());
            }
            Form::Long(text) => {
                writer.u8(LONG);
                writer.str(text);
            }
        }
    }

    /// Reads an id.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes are no id.
    #[inline]
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let packing = Packing(reader.u8()?);
        if packing.0 == LONG {
            return reader.str().map(Self::new);
        }
        let is_known = match packing.what() {
            TEXT | HEX => packing.length() <= INLINE,
            UUID => packing.length() == 16,
            _ => false,
        };
        if !is_known {
            return Err(reader.malformed("how an event id is packed"));
        }
        let words = words_of(reader.rest(), packing.length());
        let bytes = reader.raw(packing.length())?;
        if packing.what() == TEXT && std::str::from_utf8(bytes).is_err() {
            return Err(reader.malformed("UTF-8"));
        }
        Ok(Self(Form::packed(packing, words)))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (packing, bytes) = match &self.0 {
            Form::Packed(packing, last, words) => (packing, bytes_of(joined(*last, *words))),
            Form::Long(text) => return f.write_str(text),
        };
        let bytes = bytes.get(..packing.length()).unwrap_or_default();
        match packing.what() {
            HEX => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            UUID => write!(f, "{}", Uuid::from_slice(bytes).unwrap_or_default().as_hyphenated()),
            _ => f.write_str(std::str::from_utf8(bytes).unwrap_or_default()),
        }
    }
}

impl Serialize for EventId {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The bytes that hexadecimal digits in lower case spell: an even number of digits, for whose bytes there is room.
#[inline]
fn hex(digits: &[u8]) -> Option<Words> {
    if digits.len() > 2 * INLINE || !digits.len().is_multiple_of(2) {
        return None;
    }
    let (eights, rest) = digits.as_chunks::<8>();
    let mut halves = [0; 6];
    for (half, eight) in halves.iter_mut().zip(eights) {
        *half = four_bytes(u64::from_le_bytes(*eight))?;
    }
    if !rest.is_empty() {
        let missing = u64::from_le_bytes([b'0'; 8]) << (8 * rest.len());
        *halves.get_mut(eights.len())? = four_bytes(words_of(rest, rest.len())[0] | missing)?;
    }
    let [a, b, c, d, e, f] = halves;
    Some([a | b << 32, c | d << 32, e | f << 32])
}

/// What eight digits spell.
#[inline]
fn four_bytes(digits: u64) -> Option<u64> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // A letter has bit 6 set, and 9 less than its value below.
    let values = (digits & (0x0f * ONES)) + ((digits >> 6) & ONES) * 9;
    let letters = ((values + 6 * ONES) >> 4) & ONES;
    let spelled = values + u64::from(b'0') * ONES + letters * u64::from(b'a' - 10 - b'0');
    if spelled != digits || values & (0xf0 * ONES) != 0 {
        return None;
    }
    let pairs = ((values << 4) | (values >> 8)) & 0x00ff_00ff_00ff_00ff;
    let halves = (pairs | (pairs >> 8)) & 0x0000_ffff_0000_ffff;
    Some((halves | (halves >> 16)) & 0xffff_ffff)
}

/// The bytes of a UUID in 36 characters.
#[inline]
fn uuid(text: &[u8]) -> Option<Words> {
    let text: &[u8; 36] = text.try_into().ok()?;
    let word = |start: usize| text[start..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
    let is_uuid = [8, 13, 18, 23].into_iter().all(|at| text[at] == b'-');
    if !is_uuid {
        return None;
    }
    // Of the two groups of four digits beside a hyphen, the one before and the one behind.
    let around = |start: usize| (word(start) & 0xffff_ffff) | word(start + 1) & !0xffff_ffff;
    let [a, b, c, d] = [word(0), around(9), around(19), word(28)].map(four_bytes);
    Some([a? | b? << 32, c? | d? << 32, 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back() {
        for text in [
            "",
            "e-1",
            "1234567890123456789",
            "99fc1c5c20807ea20a7ef6fe1adc1f98",
            "99fc1c5c20807ea20a7ef6fe1adc1f9",
            "99FC1C5C20807EA20A7EF6FE1ADC1F98",
            "0f8fad5b-d9cb-469f-a165-70867728950e",
            "0F8FAD5B-d9cb-469f-a165-70867728950e",
            "0f8fad5b-d9cb-469f-a165_70867728950e",
            "0f8fad5bd9cb469fa16570867728950e0000",
            "events/0/17/0 and what else there is to say",
            "üüüüüüüüüüü",
            "üüüüüüüüüüüü",
            "0123456789abcdef0123456789abcdef0123456789ab",
            "0123456789abcdef0123456789abcdef0123456789abcd",
            "0123456789abcdef0123456789",
            "0123456789abcdef0123456g",
        ] {
            let id = EventId::new(text);
            assert_eq!(id.to_string(), text);
            let mut writer = Writer::default();
            id.write(&mut writer);
            let bytes = writer.into_bytes();
            assert_eq!(EventId::read(&mut Reader::new(&bytes)), Ok(id.clone()));
            if let Some((words, packing)) = id.in_two_words() {
                assert_eq!(EventId::of_two_words(words, packing), id);
            }
        }
    }

    #[test]
    fn only_digits_are_digits() {
        for place in 0..8 {
            for byte in 0..=u8::MAX {
                let mut eight = *b"0a1b2c9f";
                eight[place] = byte;
                let text = std::str::from_utf8(&eight).ok();
                let text = text.filter(|text| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
                let expected = text.map(|text| u64::from(u32::from_str_radix(text, 16).unwrap().swap_bytes()));
                assert_eq!(four_bytes(u64::from_le_bytes(eight)), expected, "{eight:?}");
            }
        }
    }

    #[test]
    fn what_follows_an_id_is_no_part_of_it() {
        let mut writer = Writer::default();
        EventId::new("e-1").write(&mut writer);
        writer.raw(&[0x37; 40]);
        let bytes = writer.into_bytes();
        assert_eq!(EventId::read(&mut Reader::new(&bytes)), Ok(EventId::new("e-1")));
        for what in [0b0001_0111, 0b0101_0111, 0b1000_1111, 0b1100_0000] {
            let mut forged = bytes.clone();
            forged[0] = what;
            assert!(EventId::read(&mut Reader::new(&forged)).is_err(), "{what:#b}");
        }
    }

    #[test]
    fn usual_ids_stand_in_place() {
        assert_eq!(size_of::<EventId>(), 24);
        for text in [
            "99fc1c5c20807ea20a7ef6fe1adc1f98",
            "0f8fad5b-d9cb-469f-a165-70867728950e",
            "1234567890123456789",
        ] {
            assert!(matches!(EventId::new(text).0, Form::Packed(..)));
        }
    }
}
