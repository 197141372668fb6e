//! The values of a record, by their places, and what they say.
//!
//! Vendors write numbers as text, text as numbers, and null for anything. A value never fails for being of another
//! type than was asked for; it reads as absent. Only broken JSON is an error, and that was found before.

use std::borrow::Cow;
use std::net::IpAddr;

use super::reason::{TIME_INVALID, TIME_MISSING, reject};
use super::{Rejection, address, time};

/// Longest id (session, device, factor), in bytes, that is kept; a longer one is no id.
const ID_BYTES_MAX: usize = 512;
/// Longest description (user agent, application), in bytes; the rest is cut off.
const DESCRIPTION_BYTES_MAX: usize = 512;

/// Which value of its record a field holds; the default is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place(u32);

impl Place {
    /// The place of the last of so many values.
    pub(super) fn last_of(count: usize) -> Option<Self> {
        u32::try_from(count).ok().map(Self)
    }
}

/// What a value is, as JSON spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text that stands in the record as it reads.
    Plain,
    /// Text that holds escapes.
    Escaped,
    /// A whole number from 0 on.
    Natural(i64),
    /// Any other number, or a large one.
    Number,
    /// `true` or `false`.
    Flag(bool),
}

/// Where a value stands; of text, what is between the quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: Kind,
}

impl Span {
    /// The same value, `bytes` further on.
    #[inline]
    pub(super) fn plus(self, bytes: usize) -> Self {
        Self {
            start: self.start + bytes,
            end: self.end + bytes,
            ..self
        }
    }

    /// The same value, counted from byte `start`, which is not behind it.
    pub(super) fn less(self, start: usize) -> Self {
        Self {
            start: self.start - start,
            end: self.end - start,
            ..self
        }
    }
}

/// The wanted values of a record.
#[derive(Clone, Copy)]
pub(super) struct Values<'v, 'a> {
    record: &'a str,
    spans: &'v [Span],
}

impl<'v, 'a> Values<'v, 'a> {
    #[inline]
    pub(super) fn new(record: &'a str, spans: &'v [Span]) -> Self {
        Self { record, spans }
    }

    #[inline]
    pub(super) fn span(self, place: Place) -> Option<Span> {
        let index = usize::try_from(place.0).ok()?.checked_sub(1)?;
        self.spans.get(index).copied()
    }

    #[inline]
    fn raw(self, span: Span) -> &'a str {
        self.record.get(span.start..span.end).unwrap_or_default()
    }

    /// The value as text; empty if absent.
    #[inline]
    pub(super) fn text(self, place: Place) -> Cow<'a, str> {
        match self.span(place) {
            None => Cow::Borrowed(""),
            Some(span) => match span.kind {
                Kind::Plain | Kind::Natural(_) | Kind::Flag(_) => Cow::Borrowed(self.raw(span)),
                Kind::Escaped => self.unescaped(span),
                Kind::Number => spelled_out(self.raw(span)),
            },
        }
    }

    /// Those of the values that are not empty.
    #[inline]
    pub(super) fn texts(self, places: &[Place]) -> impl Iterator<Item = Cow<'a, str>> {
        let given = places.iter().filter(move |place| !self.is_empty(**place));
        given.map(move |place| self.text(*place))
    }

    #[cold]
    fn unescaped(self, span: Span) -> Cow<'a, str> {
        let quoted = self.record.get(span.start - 1..=span.end).unwrap_or_default();
        Cow::Owned(serde_json::from_str(quoted).unwrap_or_default())
    }

    #[inline]
    pub(super) fn is_empty(self, place: Place) -> bool {
        self.span(place).is_none_or(|span| span.start == span.end)
    }

    /// The value as an id, unless it is empty, a placeholder, or too long to be one.
    #[inline]
    pub(super) fn id(self, place: Place) -> Option<Cow<'a, str>> {
        match self.span(place)? {
            plain if plain.kind == Kind::Plain => as_id(self.raw(plain)).map(Cow::Borrowed),
            _ => id(self.text(place)),
        }
    }

    /// The value as a description, cut to a bounded length, unless it is empty or a placeholder.
    #[inline]
    pub(super) fn description(self, place: Place) -> Option<Cow<'a, str>> {
        match self.span(place)? {
            plain if plain.kind == Kind::Plain => as_id(shortened(self.raw(plain))).map(Cow::Borrowed),
            _ => description(self.text(place)),
        }
    }

    /// A whole number, written as a number or as text.
    #[inline]
    pub(super) fn int(self, place: Place) -> Option<i64> {
        let span = self.span(place)?;
        match span.kind {
            Kind::Natural(number) => Some(number),
            Kind::Number => whole(self.raw(span)),
            Kind::Plain | Kind::Escaped => whole(self.text(place).trim()),
            Kind::Flag(_) => None,
        }
    }

    /// True or false, written as such, as text or as 0 and 1.
    #[inline]
    pub(super) fn flag(self, place: Place) -> Option<bool> {
        if let Kind::Flag(flag) = self.span(place)?.kind {
            return Some(flag);
        }
        let text = self.text(place);
        let is_true = text.eq_ignore_ascii_case("true") || text == "1";
        let is_false = text.eq_ignore_ascii_case("false") || text == "0";
        (is_true || is_false).then_some(is_true)
    }

    /// A USB vendor or product id: hexadecimal as text, with or without `0x`, or a plain number.
    pub(super) fn usb_id(self, place: Place) -> Option<u16> {
        let span = self.span(place)?;
        match span.kind {
            Kind::Natural(_) | Kind::Number => u16::try_from(self.int(place)?).ok(),
            Kind::Plain | Kind::Escaped => hex_id(&self.text(place)),
            Kind::Flag(_) => None,
        }
    }

    #[inline]
    pub(super) fn address(self, place: Place) -> Option<IpAddr> {
        let span = self.span(place)?;
        if span.kind == Kind::Plain {
            return address::parse(self.raw(span));
        }
        address::parse(&self.text(place))
    }

    /// Milliseconds since the epoch, from any spelling that [`time`] reads; `field` names the field in a rejection.
    #[inline]
    pub(super) fn ms(self, place: Place, field: &str) -> Result<i64, Rejection> {
        let found = match self.span(place) {
            Some(Span {
                kind: Kind::Natural(number),
                ..
            }) => time::from_number(number),
            _ => time::from_text(&self.text(place)),
        };
        found.ok_or_else(|| no_time(&self.text(place), field))
    }
}

#[cold]
fn no_time(text: &str, field: &str) -> Rejection {
    if text.trim().is_empty() {
        return reject(
            TIME_MISSING,
            format!("{field} is missing; have the source send the event's time"),
        );
    }
    reject(
        TIME_INVALID,
        format!("{field} is no time between 2000 and 2200; send RFC 3339 or an epoch number"),
    )
}

/// A whole number; writers without integers give it a fraction of zeros.
pub(super) fn whole(text: &str) -> Option<i64> {
    let digits = match text.split_once('.') {
        Some((digits, zeros)) if !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0') => digits,
        _ => text,
    };
    digits.parse().ok()
}

/// A number as it is written, but without an exponent: some writers give epoch seconds one.
#[inline]
fn spelled_out(number: &str) -> Cow<'_, str> {
    if number.bytes().any(|byte| matches!(byte, b'e' | b'E')) {
        return Cow::Owned(number.parse::<f64>().unwrap_or_default().to_string());
    }
    Cow::Borrowed(number)
}

/// The text as an id, unless it is empty, a placeholder, or too long to be one.
#[inline]
pub(super) fn id(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    match text {
        Cow::Borrowed(text) => as_id(text).map(Cow::Borrowed),
        Cow::Owned(text) => as_id(&text).map(|id| Cow::Owned(id.to_owned())),
    }
}

/// The text as a description, cut to a bounded length, unless it is empty or a placeholder.
#[inline]
pub(super) fn description(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    match text {
        Cow::Borrowed(text) => as_id(shortened(text)).map(Cow::Borrowed),
        Cow::Owned(text) => as_id(shortened(&text)).map(|id| Cow::Owned(id.to_owned())),
    }
}

#[inline]
fn shortened(text: &str) -> &str {
    if text.len() <= DESCRIPTION_BYTES_MAX {
        return text;
    }
    let mut end = DESCRIPTION_BYTES_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[inline]
fn as_id(text: &str) -> Option<&str> {
    let text = match text.as_bytes() {
        [] => return None,
        [first, .., last] if first.is_ascii_graphic() && last.is_ascii_graphic() => text,
        _ => text.trim(),
    };
    let mut bytes = text.bytes();
    let is_word = bytes.any(|b| b.is_ascii_alphanumeric() || !b.is_ascii());
    (is_word && text.len() <= ID_BYTES_MAX && !is_placeholder(text)).then_some(text)
}

#[inline]
fn is_placeholder(text: &str) -> bool {
    const PLACEHOLDERS: [&str; 7] = ["unknown", "n/a", "none", "null", "undefined", "0", "unassigned"];
    const BYTES_MAX: usize = "unassigned".len();
    // All of them begin with one of three letters, and most ids with another.
    let may_be = matches!(text.as_bytes().first(), Some(b'u' | b'U' | b'n' | b'N' | b'0'));
    may_be && text.len() <= BYTES_MAX && PLACEHOLDERS.iter().any(|p| text.eq_ignore_ascii_case(p))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_of_zeros_is_none() {
        for (text, expected) in [
            ("3002", Some(3002)),
            ("3002.0", Some(3002)),
            ("-7.000", Some(-7)),
            ("0.0", Some(0)),
            ("3002.5", None),
            ("3002.", None),
            (".0", None),
            ("1.0.0", None),
            ("3002.0e1", None),
            ("9223372036854775808.0", None),
        ] {
            assert_eq!(whole(text), expected, "{text}");
        }
    }
}
