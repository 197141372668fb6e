//! One strict pass over a JSON record, without allocation: it notes where the wanted values stand and skips the rest.
//!
//! It accepts what the parser (`serde_json`) accepts, and reads it to the same values; `super::differential` holds the
//! two together. What is wrong with a record that it refuses, the parser says.

use serde::de::IgnoredAny;

use super::scan;
use super::values::{Kind, Place, Span};

/// Nesting that the walk follows by itself; deeper, which no source nests, the parser passes over.
const DEPTH_MAX: u8 = 32;

/// Digits of a number that surely fits 63 bits.
const DIGITS_MAX: usize = 18;

/// Items of a list that are read; an attacker may send more.
pub(super) const LIST_MAX: usize = 1000;

/// What was well-formed; `None` is a fault at the cursor.
pub(super) type Valid<T> = Option<T>;

/// A field that the walk can read.
pub(super) trait Wire: Default {
    /// Reads the value at the cursor into `self`, which is its default. A value of another type leaves it so.
    fn fill(&mut self, walk: &mut Walk<'_, '_>) -> Valid<()>;

    /// Whether a value that begins so may stand in place of a list of one.
    fn is_item(first: u8) -> bool;

    /// Shows the place of every value below, and the length of every list, with their paths.
    #[cfg(test)]
    fn show(&self, path: &str, each: &mut dyn FnMut(&str, Shown));
}

/// An object whose fields are declared with [`wire!`].
pub(super) trait WireObject: Default {
    /// Reads the value of `key` into its field, or skips it. `seen` has a bit for each field that was read.
    fn member(&mut self, key: &[u8], seen: &mut u32, walk: &mut Walk<'_, '_>) -> Valid<()>;

    /// As [`Wire::show`].
    #[cfg(test)]
    fn show_fields(&self, path: &str, each: &mut dyn FnMut(&str, Shown));
}

/// What a test sees of a field.
#[cfg(test)]
pub(super) enum Shown {
    Place(Place),
    Length(usize),
}

/// Why the walk refused a record, and at which byte.
#[derive(Debug)]
pub(super) enum Fault {
    Malformed(usize),
    Repeated(usize),
}

/// Reads `text`, one JSON value, into `field`, and its wanted values into `spans`, in their order.
pub(super) fn read(text: &str, field: &mut impl Wire, spans: &mut Vec<Span>) -> Result<(), Fault> {
    let mut walk = Walk::new(text, spans);
    let outcome = field.fill(&mut walk).and_then(|()| walk.end());
    outcome.ok_or(if walk.is_repeated {
        Fault::Repeated(walk.at)
    } else {
        Fault::Malformed(walk.at)
    })
}

/// A cursor over a record.
pub(super) struct Walk<'v, 'a> {
    text: &'a str,
    bytes: &'a [u8],
    pub(super) at: usize,
    is_repeated: bool,
    spans: &'v mut Vec<Span>,
}

impl<'v, 'a> Walk<'v, 'a> {
    pub(super) fn new(text: &'a str, spans: &'v mut Vec<Span>) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            at: 0,
            is_repeated: false,
            spans,
        }
    }

    /// The first byte of the token ahead.
    #[inline(always)]
    pub(super) fn peek(&mut self) -> Valid<u8> {
        match self.bytes.get(self.at) {
            Some(byte) if *byte > b' ' => Some(*byte),
            _ => self.peek_behind_space(),
        }
    }

    #[cold]
    fn peek_behind_space(&mut self) -> Valid<u8> {
        let rest = self.bytes.get(self.at..)?;
        let is_space = |byte: &&u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        self.at += rest.iter().take_while(is_space).count();
        self.bytes.get(self.at).copied().filter(|byte| *byte > b' ')
    }

    #[inline(always)]
    fn take(&mut self, wanted: u8) -> Valid<()> {
        if self.peek()? != wanted {
            return None;
        }
        self.at += 1;
        Some(())
    }

    /// What the cursor has not passed.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Passes over exactly these bytes.
    #[inline(always)]
    pub(super) fn exactly(&mut self, bytes: &[u8]) -> Valid<()> {
        let is_ahead = self.bytes.get(self.at..)?.starts_with(bytes);
        is_ahead.then(|| self.at += bytes.len())
    }

    /// Adds a wanted value.
    #[inline(always)]
    pub(super) fn note(&mut self, span: Span) {
        self.spans.push(span);
    }

    /// Nothing but white space follows.
    fn end(&mut self) -> Valid<()> {
        _ = self.peek();
        self.rest().is_empty().then_some(())
    }

    /// Reads an object field by field.
    #[inline]
    fn object(&mut self, object: &mut impl WireObject) -> Valid<()> {
        let mut seen = 0;
        self.list(b'{', b'}', |walk| {
            walk.take(b'"')?;
            let (bytes, start) = (walk.bytes, walk.at);
            let (end, byte) = special(bytes, start)?;
            if byte == b'"' {
                walk.at = end + 1;
                walk.take(b':')?;
                return object.member(bytes.get(start..end)?, &mut seen, walk);
            }
            let key = walk.escaped_key()?;
            walk.take(b':')?;
            object.member(key.as_bytes(), &mut seen, walk)
        })
    }

    /// The key whose content is ahead, its escapes undone.
    #[cold]
    fn escaped_key(&mut self) -> Valid<String> {
        self.at -= 1;
        let start = self.at;
        self.skip_string()?;
        serde_json::from_str(self.text.get(start..self.at)?).ok()
    }

    /// A field stands twice in its object, so its meaning depends on the reader.
    #[cold]
    pub(super) fn repeated(&mut self) -> Valid<()> {
        self.is_repeated = true;
        None
    }

    /// Calls `each` at every element of the array ahead; it must read or skip the element.
    #[inline]
    fn elements(&mut self, each: impl FnMut(&mut Self) -> Valid<()>) -> Valid<()> {
        self.list(b'[', b']', each)
    }

    #[inline]
    fn list(&mut self, open: u8, close: u8, mut each: impl FnMut(&mut Self) -> Valid<()>) -> Valid<()> {
        self.take(open)?;
        if self.peek()? == close {
            self.at += 1;
            return Some(());
        }
        loop {
            each(self)?;
            let next = self.peek()?;
            if next != close && next != b',' {
                return None;
            }
            self.at += 1;
            if next == close {
                return Some(());
            }
        }
    }

    /// Notes where the scalar ahead stands; null has no place.
    #[inline(always)]
    fn place(&mut self) -> Valid<Place> {
        let span = self.scalar()?;
        self.note(span);
        Place::last_of(self.spans.len())
    }

    /// Passes over the text, number, true or false ahead, which can be read.
    #[inline(always)]
    pub(super) fn scalar(&mut self) -> Valid<Span> {
        match self.peek()? {
            b'"' => self.string(),
            b't' => self.flag(b"true"),
            b'f' => self.flag(b"false"),
            _ => self.number(),
        }
    }

    #[inline(always)]
    fn string(&mut self) -> Valid<Span> {
        let start = self.at + 1;
        let (end, byte) = special(self.bytes, start)?;
        if byte != b'"' {
            return self.escaped_string();
        }
        self.at = end + 1;
        Some(Span {
            start,
            end,
            kind: Kind::Plain,
        })
    }

    #[cold]
    fn escaped_string(&mut self) -> Valid<Span> {
        let start = self.at;
        self.skip_string()?;
        let quoted = self.text.get(start..self.at)?;
        // Half a surrogate pair is well-formed, but no text.
        if quoted.contains("\\u") && serde_json::from_str::<String>(quoted).is_err() {
            return None;
        }
        Some(Span {
            start: start + 1,
            end: self.at - 1,
            kind: Kind::Escaped,
        })
    }

    fn flag(&mut self, word: &[u8]) -> Valid<Span> {
        let start = self.at;
        self.exactly(word)?;
        Some(Span {
            start,
            end: self.at,
            kind: Kind::Flag,
        })
    }

    #[inline(always)]
    fn number(&mut self) -> Valid<Span> {
        let start = self.at;
        let digits = self.digits(start);
        let is_zero_led = self.bytes.get(start) == Some(&b'0');
        let is_natural = (1..=DIGITS_MAX).contains(&digits) && !(is_zero_led && digits > 1);
        if !is_natural || matches!(self.bytes.get(start + digits), Some(b'.' | b'e' | b'E')) {
            return self.other_number();
        }
        self.at = start + digits;
        Some(Span {
            start,
            end: self.at,
            kind: Kind::Natural,
        })
    }

    #[cold]
    fn other_number(&mut self) -> Valid<Span> {
        let start = self.at;
        self.skip_number()?;
        let number: f64 = self.text.get(start..self.at)?.parse().ok()?;
        number.is_finite().then_some(Span {
            start,
            end: self.at,
            kind: Kind::Number,
        })
    }

    #[inline(always)]
    fn digits(&self, start: usize) -> usize {
        let rest = self.bytes.get(start..).unwrap_or_default();
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    }

    /// Passes over one value of any kind, which is well-formed.
    #[inline]
    pub(super) fn skip(&mut self) -> Valid<()> {
        self.skip_at(0)
    }

    fn skip_at(&mut self, depth: u8) -> Valid<()> {
        match self.peek()? {
            b'"' => self.skip_string(),
            b'{' | b'[' if depth == DEPTH_MAX => self.skip_deep(),
            b'{' => self.list(b'{', b'}', |walk| {
                (walk.peek()? == b'"').then_some(())?;
                walk.skip_string()?;
                walk.take(b':')?;
                walk.skip_at(depth + 1)
            }),
            b'[' => self.elements(|walk| walk.skip_at(depth + 1)),
            b't' => self.exactly(b"true"),
            b'f' => self.exactly(b"false"),
            b'n' => self.exactly(b"null"),
            _ => self.skip_number(),
        }
    }

    #[cold]
    fn skip_deep(&mut self) -> Valid<()> {
        let rest = self.text.get(self.at..)?;
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        self.at += values.byte_offset();
        Some(())
    }

    #[inline]
    fn skip_string(&mut self) -> Valid<()> {
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

    fn skip_escape(&mut self) -> Valid<()> {
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

    fn skip_number(&mut self) -> Valid<()> {
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

    fn skip_digits(&mut self) -> Valid<()> {
        let digits = self.digits(self.at);
        self.at += digits;
        (digits > 0).then_some(())
    }
}

impl Wire for Place {
    #[inline]
    fn fill(&mut self, walk: &mut Walk<'_, '_>) -> Valid<()> {
        if let b'{' | b'[' | b'n' = walk.peek()? {
            return walk.skip();
        }
        *self = walk.place()?;
        Some(())
    }

    fn is_item(first: u8) -> bool {
        !matches!(first, b'{' | b'[' | b'n')
    }

    #[cfg(test)]
    fn show(&self, path: &str, each: &mut dyn FnMut(&str, Shown)) {
        each(path, Shown::Place(*self));
    }
}

impl<T: WireObject> Wire for T {
    #[inline]
    fn fill(&mut self, walk: &mut Walk<'_, '_>) -> Valid<()> {
        if walk.peek()? == b'{' {
            walk.object(self)
        } else {
            walk.skip()
        }
    }

    fn is_item(first: u8) -> bool {
        first == b'{'
    }

    #[cfg(test)]
    fn show(&self, path: &str, each: &mut dyn FnMut(&str, Shown)) {
        self.show_fields(path, each);
    }
}

/// An object that few records hold, kept apart so that the others stay small.
impl<T: WireObject> Wire for Option<Box<T>> {
    fn fill(&mut self, walk: &mut Walk<'_, '_>) -> Valid<()> {
        self.insert(Box::default()).fill(walk)
    }

    fn is_item(first: u8) -> bool {
        T::is_item(first)
    }

    #[cfg(test)]
    fn show(&self, path: &str, each: &mut dyn FnMut(&str, Shown)) {
        self.as_deref().unwrap_or(&T::default()).show(path, each);
    }
}

/// A list; one value in its place reads as a list of one. One item more than [`LIST_MAX`] says that there are more.
impl<T: Wire> Wire for Vec<T> {
    fn fill(&mut self, walk: &mut Walk<'_, '_>) -> Valid<()> {
        let mut item = |walk: &mut Walk<'_, '_>| {
            if self.len() > LIST_MAX {
                return walk.skip();
            }
            let mut item = T::default();
            item.fill(walk)?;
            self.push(item);
            Some(())
        };
        match walk.peek()? {
            b'[' => walk.elements(item),
            first if T::is_item(first) => item(walk),
            _ => walk.skip(),
        }
    }

    fn is_item(_: u8) -> bool {
        false
    }

    #[cfg(test)]
    fn show(&self, path: &str, each: &mut dyn FnMut(&str, Shown)) {
        for (index, item) in self.iter().enumerate() {
            item.show(&format!("{path}/{index}"), each);
        }
        each(path, Shown::Length(self.len()));
    }
}

/// The first byte from `at` on that is a quote, a backslash or a control character, with its position.
#[inline(always)]
fn special(bytes: &[u8], at: usize) -> Valid<(usize, u8)> {
    let found = scan::first(bytes, at, |eight| {
        scan::equal(eight, b'"') | scan::equal(eight, b'\\') | scan::below(eight, b' ')
    })?;
    Some((found, *bytes.get(found)?))
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

/// Declares what is read of an object. A field has its own name on the wire, or the one in quotes before it; an absent
/// one reads as its default.
macro_rules! wire {
    ($($(#[$doc:meta])* struct $name:ident {
        $($($key:literal)? $field:ident: $kind:ty,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(in crate::intake) struct $name {
            $(pub(in crate::intake) $field: $kind,)*
        }

        impl $crate::intake::walk::WireObject for $name {
            #[inline]
            fn member(
                &mut self,
                key: &[u8],
                seen: &mut u32,
                walk: &mut $crate::intake::walk::Walk<'_, '_>,
            ) -> $crate::intake::walk::Valid<()> {
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
                            return walk.repeated();
                        }
                        *seen |= bit;
                        $crate::intake::walk::Wire::fill(&mut self.$field, walk)
                    })*
                    _ => walk.skip(),
                }
            }

            #[cfg(test)]
            fn show_fields(&self, path: &str, each: &mut dyn FnMut(&str, $crate::intake::walk::Shown)) {
                $($crate::intake::walk::Wire::show(
                    &self.$field,
                    &format!("{path}/{}", $crate::intake::walk::key!($field $($key)?)),
                    each,
                );)*
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
