//! Tolerant leaves of the wire structs: vendors write numbers as text, text as numbers, and null for anything.
//!
//! A leaf never fails on a value of another type; it reads as absent. Only broken JSON is an error.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::reason::{TIME_INVALID, TIME_MISSING, reject};
use super::{Rejection, time};

/// Longest id (session, device, factor), in bytes, that is kept; a longer one is no id.
const ID_BYTES_MAX: usize = 512;
/// Longest description (user agent, application), in bytes; the rest is cut off.
const DESCRIPTION_BYTES_MAX: usize = 512;

/// Text, borrowed from the record unless it holds escapes; empty if absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Text<'a>(Cow<'a, str>);

impl<'a> Text<'a> {
    pub(super) fn new(text: Cow<'a, str>) -> Self {
        Self(text)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_inner(self) -> Cow<'a, str> {
        self.0
    }

    /// The text as an id, unless it is empty, a placeholder, or too long to be one.
    pub(super) fn id(self) -> Option<Cow<'a, str>> {
        const PLACEHOLDERS: [&str; 7] = ["unknown", "n/a", "none", "null", "undefined", "0", "unassigned"];
        let text = trim(self.0);
        let is_word = text.bytes().any(|b| b.is_ascii_alphanumeric() || !b.is_ascii());
        let is_placeholder = PLACEHOLDERS.iter().any(|p| text.eq_ignore_ascii_case(p));
        (is_word && !is_placeholder && text.len() <= ID_BYTES_MAX).then_some(text)
    }

    /// The text as a description, cut to a bounded length, unless it is empty or a placeholder.
    pub(super) fn description(self) -> Option<Cow<'a, str>> {
        let mut end = self.0.len().min(DESCRIPTION_BYTES_MAX);
        while !self.0.is_char_boundary(end) {
            end -= 1;
        }
        Self(cut(self.0, 0, end)).id()
    }
}

fn trim(text: Cow<'_, str>) -> Cow<'_, str> {
    let trimmed = text.trim();
    if trimmed.len() == text.len() {
        return text;
    }
    let start = trimmed.as_ptr() as usize - text.as_ptr() as usize;
    let end = start + trimmed.len();
    cut(text, start, end)
}

fn cut(text: Cow<'_, str>, start: usize, end: usize) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[start..end]),
        Cow::Owned(text) => Cow::Owned(text[start..end].to_owned()),
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("text")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
    fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(text)))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(number.to_string())))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(number.to_string())))
    }
    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(number.to_string())))
    }
    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed(if flag { "true" } else { "false" })))
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Text::default())
    }
    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Text::default())
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_map(map).map(|_| Text::default())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_seq(seq).map(|_| Text::default())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

/// A whole number, written as a number or as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Int(pub(super) Option<i64>);

struct IntVisitor;

impl<'de> Visitor<'de> for IntVisitor {
    type Value = Int;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a whole number")
    }
    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Int(i64::try_from(number).ok()))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Int(Some(number)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Int(text.trim().parse().ok()))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Int(None))
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Int(None))
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Int(None))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_map(map).map(|_| Int(None))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_seq(seq).map(|_| Int(None))
    }
}

impl<'de> Deserialize<'de> for Int {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IntVisitor)
    }
}

/// True or false, written as such, as text or as 0 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flag(pub(super) Option<bool>);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        let text = text.as_str();
        let is_true = text.eq_ignore_ascii_case("true") || text == "1";
        let is_false = text.eq_ignore_ascii_case("false") || text == "0";
        Ok(Self((is_true || is_false).then_some(is_true)))
    }
}

/// A USB vendor or product id: hexadecimal as text, with or without `0x`, or a plain number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct UsbId(pub(super) Option<u16>);

struct UsbIdVisitor;

impl<'de> Visitor<'de> for UsbIdVisitor {
    type Value = UsbId;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a USB id")
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(UsbId(hex_id(text)))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(UsbId(u16::try_from(number).ok()))
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(UsbId(None))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(UsbId(None))
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(UsbId(None))
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(UsbId(None))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_map(map).map(|_| UsbId(None))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_seq(seq).map(|_| UsbId(None))
    }
}

impl<'de> Deserialize<'de> for UsbId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UsbIdVisitor)
    }
}

/// A USB id: up to four hexadecimal digits, with or without `0x`.
pub(super) fn hex_id(text: &str) -> Option<u16> {
    let text = text.trim();
    let digits = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .unwrap_or(text);
    let is_hex = (1..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
}

/// A moment in any spelling that [`time`] reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Moment<'a>(Text<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Moment<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::deserialize(deserializer).map(Self)
    }
}

impl Moment<'_> {
    pub(super) fn is_missing(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Milliseconds since the epoch; `field` names the field in a rejection.
    pub(super) fn ms(&self, field: &str) -> Result<i64, Rejection> {
        if self.0.as_str().trim().is_empty() {
            return Err(reject(
                TIME_MISSING,
                format!("{field} is missing; have the source send the event's time"),
            ));
        }
        time::from_text(self.0.as_str()).ok_or_else(|| {
            reject(
                TIME_INVALID,
                format!("{field} is no time between 2000 and 2200; send RFC 3339 or an epoch number"),
            )
        })
    }
}

/// A nested object; anything else in its place reads as an empty one.
#[derive(Clone, Debug, Default)]
pub(super) struct Obj<T>(pub(super) T);

struct ObjVisitor<T>(PhantomData<T>);

/// Visits of the scalars that mean nothing where an object or a list is expected.
macro_rules! scalars_are {
    ($value:expr) => {
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($value)
        }
    };
}

impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for ObjVisitor<T> {
    type Value = Obj<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Obj)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_seq(seq).map(|_| Obj::default())
    }
    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Obj::default())
    }
    scalars_are!(Obj::default());
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Obj<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ObjVisitor(PhantomData))
    }
}

/// A nested object that few records hold, kept apart so that the others stay small.
#[derive(Clone, Debug, Default)]
pub(super) struct Rare<T>(Option<Box<T>>);

impl<T: Default> Rare<T> {
    pub(super) fn take(&mut self) -> T {
        self.0.take().map_or_else(T::default, |object| *object)
    }
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Rare<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Obj::deserialize(deserializer).map(|Obj(object)| Self(Some(Box::new(object))))
    }
}

/// A list; one value in its place reads as a list of one, null as none.
#[derive(Clone, Debug)]
pub(super) struct Many<T> {
    pub(super) items: Vec<T>,
    /// Whether the record held more items than are kept.
    pub(super) is_cut: bool,
}

/// Items of a list that are kept; an attacker may send more.
const MANY_MAX: usize = 1000;

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            is_cut: false,
        }
    }
}

struct ManyVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ManyVisitor<T> {
    type Value = Many<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(|one| Many {
            items: vec![one],
            is_cut: false,
        })
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while items.len() < MANY_MAX {
            match seq.next_element()? {
                Some(item) => items.push(item),
                None => return Ok(Many { items, is_cut: false }),
            }
        }
        let mut is_cut = false;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            is_cut = true;
        }
        Ok(Many { items, is_cut })
    }
    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Many::default())
    }
    scalars_are!(Many::default());
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ManyVisitor(PhantomData))
    }
}

/// A list of words, written as a list, or as one text separated by commas or spaces.
#[derive(Clone, Debug, Default)]
pub(super) struct Words<'a>(pub(super) Vec<Text<'a>>);

struct WordsVisitor;

impl<'de> Visitor<'de> for WordsVisitor {
    type Value = Words<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of words")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Words(vec![Text(Cow::Borrowed(text))]))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Words(vec![Text(Cow::Owned(text.to_owned()))]))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        ManyVisitor(PhantomData).visit_seq(seq).map(|many| Words(many.items))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_map(map).map(|_| Words::default())
    }
    scalars_are!(Words::default());
}

impl<'de: 'a, 'a> Deserialize<'de> for Words<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordsVisitor)
    }
}
