//! Tolerant leaves of the wire structs: vendors write numbers as text, text as numbers, and null for anything.
//!
//! A leaf never fails on a value of another type; it reads as absent. Only broken JSON is an error.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::reason::{TIME_INVALID, TIME_MISSING, reject};
use super::walk::{Certain, Scalar, Walk, Wire, WireObject};
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
    #[inline]
    pub(super) fn id(self) -> Option<Cow<'a, str>> {
        if self.is_empty() {
            return None;
        }
        let text = trim(self.0);
        let mut bytes = text.bytes();
        let is_word = bytes.any(|b| b.is_ascii_alphanumeric() || !b.is_ascii());
        (is_word && text.len() <= ID_BYTES_MAX && !is_placeholder(&text)).then_some(text)
    }

    /// The text as a description, cut to a bounded length, unless it is empty or a placeholder.
    pub(super) fn description(self) -> Option<Cow<'a, str>> {
        if self.0.len() <= DESCRIPTION_BYTES_MAX {
            return self.id();
        }
        let mut end = DESCRIPTION_BYTES_MAX;
        while !self.0.is_char_boundary(end) {
            end -= 1;
        }
        Self(cut(self.0, 0, end)).id()
    }
}

fn is_placeholder(text: &str) -> bool {
    const PLACEHOLDERS: [&str; 7] = ["unknown", "n/a", "none", "null", "undefined", "0", "unassigned"];
    const BYTES_MAX: usize = "unassigned".len();
    text.len() <= BYTES_MAX && PLACEHOLDERS.iter().any(|p| text.eq_ignore_ascii_case(p))
}

#[inline]
fn trim(text: Cow<'_, str>) -> Cow<'_, str> {
    if let [first, .., last] = text.as_bytes()
        && first.is_ascii_graphic()
        && last.is_ascii_graphic()
    {
        return text;
    }
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

impl<'a> Wire<'a> for Text<'a> {
    #[inline]
    fn fill(&mut self, walk: &mut Walk<'a>) -> Certain<()> {
        if let Some(text) = walk.plain_text() {
            self.0 = Cow::Borrowed(text);
            return Some(());
        }
        self.0 = match walk.scalar()? {
            Scalar::Text(text) => text,
            Scalar::Number(digits) => Cow::Borrowed(digits),
            Scalar::True => Cow::Borrowed("true"),
            Scalar::False => Cow::Borrowed("false"),
            Scalar::Null => return Some(()),
        };
        Some(())
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

impl<'a> Wire<'a> for Int {
    #[inline]
    fn fill(&mut self, walk: &mut Walk<'a>) -> Certain<()> {
        if let Some(number) = walk.natural() {
            self.0 = Some(number);
            return Some(());
        }
        self.0 = match walk.scalar()? {
            Scalar::Text(text) => text.trim().parse().ok(),
            Scalar::Number(digits) => digits.parse().ok(),
            Scalar::True | Scalar::False | Scalar::Null => None,
        };
        Some(())
    }
}

/// True or false, written as such, as text or as 0 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flag(pub(super) Option<bool>);

impl Flag {
    pub(super) fn of(text: &str) -> Self {
        let is_true = text.eq_ignore_ascii_case("true") || text == "1";
        let is_false = text.eq_ignore_ascii_case("false") || text == "0";
        Self((is_true || is_false).then_some(is_true))
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::deserialize(deserializer).map(|text| Self::of(text.as_str()))
    }
}

impl<'a> Wire<'a> for Flag {
    fn fill(&mut self, walk: &mut Walk<'a>) -> Certain<()> {
        *self = match walk.scalar()? {
            Scalar::Text(text) => Self::of(&text),
            Scalar::Number(digits) => Self::of(digits),
            Scalar::True => Self(Some(true)),
            Scalar::False => Self(Some(false)),
            Scalar::Null => Self(None),
        };
        Some(())
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

impl<'a> Wire<'a> for UsbId {
    fn fill(&mut self, walk: &mut Walk<'a>) -> Certain<()> {
        self.0 = match walk.scalar()? {
            Scalar::Text(text) => hex_id(&text),
            Scalar::Number(digits) => digits.parse().ok(),
            Scalar::True | Scalar::False | Scalar::Null => None,
        };
        Some(())
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

impl<'a> Wire<'a> for Moment<'a> {
    #[inline]
    fn fill(&mut self, walk: &mut Walk<'a>) -> Certain<()> {
        self.0.fill(walk)
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
        time::from_text(self.0.as_str()).ok_or_else(|| {
            if self.0.as_str().trim().is_empty() {
                return reject(
                    TIME_MISSING,
                    format!("{field} is missing; have the source send the event's time"),
                );
            }
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

impl<'a, T: WireObject<'a>> Wire<'a> for Obj<T> {
    #[inline]
    fn fill(&mut self, walk: &mut Walk<'a>) -> Certain<()> {
        if walk.peek()? == b'{' {
            walk.object(&mut self.0)
        } else {
            walk.null()
        }
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

impl<'a, T: WireObject<'a> + Default> Wire<'a> for Rare<T> {
    fn fill(&mut self, walk: &mut Walk<'a>) -> Certain<()> {
        if walk.peek()? == b'{' {
            walk.object(&mut **self.0.insert(Box::default()))
        } else {
            walk.null()
        }
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

impl<'a, T: Wire<'a> + Default> Wire<'a> for Many<T> {
    fn fill(&mut self, walk: &mut Walk<'a>) -> Certain<()> {
        let items = &mut self.items;
        let mut item = |walk: &mut Walk<'a>| {
            (items.len() < MANY_MAX).then(|| items.push(T::default()))?;
            items.last_mut()?.fill(walk)
        };
        match walk.peek()? {
            b'[' => walk.elements(item),
            b'{' => item(walk),
            _ => walk.null(),
        }
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

impl<'a> Wire<'a> for Words<'a> {
    fn fill(&mut self, walk: &mut Walk<'a>) -> Certain<()> {
        let words = &mut self.0;
        let mut word = |walk: &mut Walk<'a>| {
            (words.len() < MANY_MAX).then(|| words.push(Text::default()))?;
            words.last_mut()?.fill(walk)
        };
        match walk.peek()? {
            b'[' => walk.elements(word),
            b'"' => word(walk),
            _ => walk.null(),
        }
    }
}
