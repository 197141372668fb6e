//! One strict pass over a JSON record, without allocation: it notes where the wanted values stand and skips the rest.
//!
//! It accepts what the parser (`serde_json`) accepts, and reads it to the same values; `super::differential` holds the
//! two together. What is wrong with a record that it refuses, the parser says.

use serde::de::IgnoredAny;

use super::fields::{Wire, WireObject};
use super::scan;
use super::values::{Kind, Place, Span};

/// Nesting that the walk follows by itself; deeper, which no source nests, the parser passes over.
const DEPTH_MAX: u8 = 32;

/// Digits of a number that surely fits 63 bits.
const DIGITS_MAX: usize = 18;

/// What was well-formed; `None` is a fault at the cursor.
pub(super) type Valid<T> = Option<T>;

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

    /// Adds wanted values.
    #[inline(always)]
    pub(super) fn note_all(&mut self, spans: impl Iterator<Item = Span>) {
        self.spans.extend(spans);
    }

    /// Adds a wanted value.
    #[inline(always)]
    pub(super) fn note(&mut self, span: Span) {
        self.spans.push(span);
    }

    /// How many wanted values were added.
    #[inline(always)]
    pub(super) fn noted(&self) -> usize {
        self.spans.len()
    }

    /// Goes back to where so many wanted values were added.
    #[inline(always)]
    pub(super) fn back(&mut self, at: usize, noted: usize) {
        self.at = at;
        self.spans.truncate(noted);
    }

    /// Nothing but white space follows.
    fn end(&mut self) -> Valid<()> {
        _ = self.peek();
        self.rest().is_empty().then_some(())
    }

    /// Reads an object field by field.
    #[inline]
    pub(super) fn object(&mut self, object: &mut impl WireObject) -> Valid<()> {
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
    pub(super) fn elements(&mut self, each: impl FnMut(&mut Self) -> Valid<()>) -> Valid<()> {
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
    pub(super) fn place(&mut self) -> Valid<Place> {
        let span = self.scalar()?;
        self.note(span);
        Place::last_of(self.spans.len())
    }

    /// Passes over the text, number, true or false ahead, which can be read.
    #[inline(always)]
    pub(super) fn scalar(&mut self) -> Valid<Span> {
        match self.peek()? {
            b'"' => self.string(),
            b't' => self.flag(true),
            b'f' => self.flag(false),
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

    fn flag(&mut self, flag: bool) -> Valid<Span> {
        let start = self.at;
        let word: &[u8] = if flag { b"true" } else { b"false" };
        self.exactly(word)?;
        Some(Span {
            start,
            end: self.at,
            kind: Kind::Flag(flag),
        })
    }

    #[inline(always)]
    fn number(&mut self) -> Valid<Span> {
        let (start, rest) = (self.at, self.rest());
        let (mut number, mut digits) = (0, 0);
        while let Some(digit @ b'0'..=b'9') = rest.get(digits)
            && digits < DIGITS_MAX
        {
            number = number * 10 + i64::from(digit & 15);
            digits += 1;
        }
        let is_zero_led = rest.first() == Some(&b'0') && digits > 1;
        let goes_on = matches!(rest.get(digits), Some(b'0'..=b'9' | b'.' | b'e' | b'E'));
        if digits == 0 || is_zero_led || goes_on {
            return self.other_number();
        }
        self.at = start + digits;
        Some(Span {
            start,
            end: self.at,
            kind: Kind::Natural(number),
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

/// The first byte from `at` on that is a quote, a backslash or a control character, with its position.
#[inline(always)]
fn special(bytes: &[u8], at: usize) -> Valid<(usize, u8)> {
    let found = scan::first(bytes, at, |eight| {
        scan::equal(eight, b'"') | scan::equal(eight, b'\\') | scan::below(eight, b' ')
    })?;
    Some((found, *bytes.get(found)?))
}
