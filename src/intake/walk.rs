//! The fast rung of the parser: one pass over a record, without allocation, that reads the wanted fields and skips
//! the rest.
//!
//! It accepts only what the parser (`serde_json`) accepts, and reads it to the same values. Whatever is unusual gives
//! up instead: a key that is escaped or repeated, a value of another type than the field's, a fraction, broken JSON.
//! The parser then decides, and only the parser finds fault. `super::differential` holds the two rungs together.

use std::borrow::Cow;

/// Nesting that the walk follows; the parser goes on.
const DEPTH_MAX: u8 = 32;

/// Digits of a number that surely fits 64 bits.
const DIGITS_MAX: usize = 18;

/// What the walk is certain of; `None` leaves the record to the parser.
pub(super) type Certain<T> = Option<T>;

/// A value that the walk can read.
pub(super) trait Wire<'a> {
    /// Reads the value at the cursor into `self`, which is its default.
    fn fill(&mut self, walk: &mut Walk<'a>) -> Certain<()>;
}

/// An object whose fields are declared with [`wire!`].
pub(super) trait WireObject<'a> {
    /// Reads the value of `key` into its field, or skips it. `seen` has a bit for each field that was read.
    fn member(&mut self, key: &[u8], seen: &mut u32, walk: &mut Walk<'a>) -> Certain<()>;
}

/// Fills `object` from `text`, a whole JSON object. Half filled if not certain.
pub(super) fn read<'a>(text: &'a str, object: &mut impl WireObject<'a>) -> Certain<()> {
    let mut walk = Walk::new(text);
    walk.object(object)?;
    walk.end()
}

/// A scalar, as it stands in the record.
pub(super) enum Scalar<'a> {
    Text(Cow<'a, str>),
    /// A whole number of at most 18 digits.
    Number(&'a str),
    True,
    False,
    Null,
}

/// A cursor over a record.
pub(super) struct Walk<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: u8,
}

impl<'a> Walk<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            at: 0,
            depth: 0,
        }
    }

    /// The first byte of the value ahead.
    #[inline(always)]
    pub(super) fn peek(&mut self) -> Certain<u8> {
        match self.bytes.get(self.at) {
            Some(byte) if *byte > b' ' => Some(*byte),
            _ => self.peek_behind_space(),
        }
    }

    #[cold]
    fn peek_behind_space(&mut self) -> Certain<u8> {
        let rest = self.bytes.get(self.at..)?;
        let is_space = |byte: &&u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        self.at += rest.iter().take_while(is_space).count();
        self.bytes.get(self.at).copied().filter(|byte| *byte > b' ')
    }

    #[inline(always)]
    fn take(&mut self, wanted: u8) -> Certain<()> {
        if self.peek()? != wanted {
            return None;
        }
        self.at += 1;
        Some(())
    }

    /// Nothing but white space follows.
    pub(super) fn end(&mut self) -> Certain<()> {
        let rest = &self.bytes[self.at..];
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        rest.iter().all(is_space).then_some(())
    }

    /// Reads an object field by field.
    #[inline]
    pub(super) fn object(&mut self, object: &mut impl WireObject<'a>) -> Certain<()> {
        let mut seen = 0;
        self.members(|walk, key| object.member(key, &mut seen, walk))
    }

    /// Calls `each` with every key of the object ahead; it must read or skip the value.
    #[inline]
    pub(super) fn members(&mut self, mut each: impl FnMut(&mut Self, &'a [u8]) -> Certain<()>) -> Certain<()> {
        self.list(b'{', b'}', |walk| {
            let key = walk.key()?;
            walk.take(b':')?;
            each(walk, key)
        })
    }

    /// Calls `each` at every element of the array ahead; it must read or skip the element.
    #[inline]
    pub(super) fn elements(&mut self, each: impl FnMut(&mut Self) -> Certain<()>) -> Certain<()> {
        self.list(b'[', b']', each)
    }

    #[inline]
    fn list(&mut self, open: u8, close: u8, mut each: impl FnMut(&mut Self) -> Certain<()>) -> Certain<()> {
        self.take(open)?;
        if self.depth == DEPTH_MAX {
            return None;
        }
        self.depth += 1;
        if self.peek()? == close {
            self.at += 1;
        } else {
            loop {
                each(self)?;
                let next = self.peek()?;
                self.at += 1;
                if next == close {
                    break;
                }
                if next != b',' {
                    return None;
                }
            }
        }
        self.depth -= 1;
        Some(())
    }

    /// A key without escapes.
    #[inline(always)]
    fn key(&mut self) -> Certain<&'a [u8]> {
        self.take(b'"')?;
        let start = self.at;
        let (end, byte) = special(self.bytes, start)?;
        self.at = end + 1;
        if byte == b'"' { self.bytes.get(start..end) } else { None }
    }

    /// The text ahead, if it holds no escape; `None` says nothing about it and moves nothing.
    #[inline(always)]
    pub(super) fn plain_text(&mut self) -> Option<&'a str> {
        let start = self.at + 1;
        if self.bytes.get(self.at) != Some(&b'"') {
            return None;
        }
        match special(self.bytes, start)? {
            (end, b'"') => {
                self.at = end + 1;
                self.text.get(start..end)
            }
            _ => None,
        }
    }

    /// The natural number ahead, if it has at most 18 digits; `None` says nothing about it and moves nothing.
    #[inline(always)]
    pub(super) fn natural(&mut self) -> Option<i64> {
        let rest = self.bytes.get(self.at..)?;
        let mut number = 0;
        let mut digits = 0;
        while let Some(digit @ b'0'..=b'9') = rest.get(digits) {
            if digits == DIGITS_MAX {
                return None;
            }
            number = number * 10 + i64::from(digit - b'0');
            digits += 1;
        }
        let is_whole = digits > 0 && !matches!(rest.get(digits), Some(b'.' | b'e' | b'E'));
        let is_zero_led = rest.first() == Some(&b'0') && digits > 1;
        (is_whole && !is_zero_led).then(|| {
            self.at += digits;
            number
        })
    }

    /// The scalar ahead; an object or array in its place is not certain.
    pub(super) fn scalar(&mut self) -> Certain<Scalar<'a>> {
        match self.peek()? {
            b'"' => self.string().map(Scalar::Text),
            b't' => self.word(b"true").map(|()| Scalar::True),
            b'f' => self.word(b"false").map(|()| Scalar::False),
            b'n' => self.word(b"null").map(|()| Scalar::Null),
            _ => self.whole_number().map(Scalar::Number),
        }
    }

    /// The null that stands for an absent object or list.
    pub(super) fn null(&mut self) -> Certain<()> {
        self.word(b"null")
    }

    #[inline]
    fn string(&mut self) -> Certain<Cow<'a, str>> {
        let start = self.at + 1;
        let (end, byte) = special(self.bytes, start)?;
        if byte == b'"' {
            self.at = end + 1;
            return self.text.get(start..end).map(Cow::Borrowed);
        }
        self.escaped_string().map(Cow::Owned)
    }

    /// The parser undoes the escapes, and knows which of them are none.
    #[cold]
    fn escaped_string(&mut self) -> Certain<String> {
        let start = self.at;
        self.skip_string()?;
        serde_json::from_str(self.text.get(start..self.at)?).ok()
    }

    fn whole_number(&mut self) -> Certain<&'a str> {
        let start = self.at;
        let is_negative = self.bytes.get(start) == Some(&b'-');
        let first = start + usize::from(is_negative);
        let digits = self.digits(first);
        let is_zero_led = self.bytes.get(first) == Some(&b'0');
        let is_fraction = matches!(self.bytes.get(first + digits), Some(b'.' | b'e' | b'E'));
        if digits == 0 || digits > DIGITS_MAX || is_zero_led && (digits > 1 || is_negative) || is_fraction {
            return None;
        }
        self.at = first + digits;
        self.text.get(start..self.at)
    }

    fn digits(&self, start: usize) -> usize {
        let rest = self.bytes.get(start..).unwrap_or_default();
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    }

    #[inline]
    fn word(&mut self, word: &[u8]) -> Certain<()> {
        self.bytes[self.at..].starts_with(word).then(|| self.at += word.len())
    }

    /// Passes over one value of any kind, which is well-formed.
    pub(super) fn skip(&mut self) -> Certain<()> {
        match self.peek()? {
            b'"' => self.skip_string(),
            b'{' => self.list(b'{', b'}', |walk| {
                (walk.peek()? == b'"').then_some(())?;
                walk.skip_string()?;
                walk.take(b':')?;
                walk.skip()
            }),
            b'[' => self.elements(Self::skip),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.skip_number(),
        }
    }

    #[inline]
    fn skip_string(&mut self) -> Certain<()> {
        self.at += 1;
        loop {
            let (end, byte) = special(self.bytes, self.at)?;
            self.at = end;
            match byte {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => self.skip_escape()?,
                _ => return None,
            }
        }
    }

    fn skip_escape(&mut self) -> Certain<()> {
        match self.bytes.get(self.at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
            b'u' => {
                let digits = self.bytes.get(self.at + 2..self.at + 6)?;
                digits.iter().all(u8::is_ascii_hexdigit).then(|| self.at += 6)?;
            }
            _ => return None,
        }
        Some(())
    }

    fn skip_number(&mut self) -> Certain<()> {
        self.at += usize::from(self.bytes.get(self.at) == Some(&b'-'));
        let digits = self.digits(self.at);
        if digits == 0 || digits > 1 && self.bytes.get(self.at) == Some(&b'0') {
            return None;
        }
        self.at += digits;
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.skip_digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            self.skip_digits()?;
        }
        Some(())
    }

    fn skip_digits(&mut self) -> Certain<()> {
        let digits = self.digits(self.at);
        self.at += digits;
        (digits > 0).then_some(())
    }
}

/// The first byte from `at` on that is a quote, a backslash or a control character, with its position: eight at a time.
#[inline(always)]
fn special(bytes: &[u8], mut at: usize) -> Certain<(usize, u8)> {
    while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let found = specials(u64::from_le_bytes(*eight));
        if found != 0 {
            at += (found.trailing_zeros() / 8) as usize;
            return Some((at, *bytes.get(at)?));
        }
        at += 8;
    }
    let rest = bytes.get(at..)?;
    let found = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..b' '))?;
    Some((at + found, rest[found]))
}

/// The high bit of each byte that is a quote, a backslash or a control character. A borrow may mark a byte behind the
/// first that is; nothing asks for those.
#[inline(always)]
fn specials(eight: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let quote = (eight ^ (ONES * 0x22)).wrapping_sub(ONES);
    let backslash = (eight ^ (ONES * 0x5c)).wrapping_sub(ONES);
    let control = eight.wrapping_sub(ONES * 0x20);
    (quote | backslash | control) & !eight & (ONES << 7)
}

/// A number that tells the keys of one object apart: its ends and its length. Two keys with the same are told apart by
/// their bytes.
#[inline(always)]
pub(super) const fn fingerprint(key: &[u8]) -> u64 {
    let ends = match (key.first_chunk(), key.last_chunk()) {
        (Some(first), Some(last)) => (u32::from_le_bytes(*first) as u64) << 32 | u32::from_le_bytes(*last) as u64,
        _ => match key {
            [] => 0,
            [first, .., last] => (*first as u64) << 32 | (*last as u64) << 8 | key[1] as u64,
            [only] => *only as u64,
        },
    };
    ends ^ (key.len() as u64) << 56
}

/// Declares wire structs, once for both rungs: the parser reads them by their derived `Deserialize`, the walk by
/// their [`WireObject`]. A field has its own name on the wire, or the one in quotes before it; an absent one reads as
/// its default.
macro_rules! wire {
    ($($(#[$doc:meta])* struct $name:ident {
        $($($key:literal)? $field:ident: $kind:ty,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Default, serde::Deserialize)]
        #[serde(default, bound(deserialize = "'de: 'a"))]
        pub(super) struct $name<'a> {
            $($(#[serde(rename = $key)])? pub(super) $field: $kind,)*
        }

        impl<'a> $crate::intake::walk::WireObject<'a> for $name<'a> {
            #[inline]
            fn member(
                &mut self,
                key: &[u8],
                seen: &mut u32,
                walk: &mut $crate::intake::walk::Walk<'a>,
            ) -> $crate::intake::walk::Certain<()> {
                #[allow(non_camel_case_types, reason = "a field's number, by its name")]
                enum Number { $($field),* }
                #[allow(non_upper_case_globals, reason = "named as the fields are")]
                mod print {
                    $(pub(super) const $field: u64 =
                        $crate::intake::walk::fingerprint($crate::intake::walk::key!($field $($key)?).as_bytes());)*
                }
                match $crate::intake::walk::fingerprint(key) {
                    $(print::$field if key == $crate::intake::walk::key!($field $($key)?).as_bytes() => {
                        let bit = 1 << (Number::$field as u32);
                        if *seen & bit != 0 {
                            return None;
                        }
                        *seen |= bit;
                        $crate::intake::walk::Wire::fill(&mut self.$field, walk)
                    })*
                    _ => walk.skip(),
                }
            }
        }
    )*};
}

macro_rules! key {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $key:literal) => {
        $key
    };
}

pub(super) use {key, wire};
