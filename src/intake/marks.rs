//! Which format an object is of, told by its own keys without parsing it.
//!
//! Records arrive unannounced, and parsing each twice would cost more than everything that follows. This only walks
//! the bytes; what it cannot tell for certain (an escaped or repeated key, broken JSON) is left to the parser.

use super::Format;

/// What the keys say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The format, or that none of them is.
    Shape(Option<Format>),
    /// Ask the parser.
    Uncertain,
}

/// Keys that tell the formats apart, in the order of their bits.
const KEYS: [&[u8]; 6] = [b"class_uid", b"eventType", b"published", b"events", b"id", b"actor"];
const OKTA: u8 = 0b000_110;
const GOOGLE: u8 = 0b111_000;

/// Reads the keys of the object that `text` is.
pub(super) fn shape(text: &str) -> Told {
    let bytes = text.as_bytes();
    let mut found = 0_u8;
    let (mut at, mut depth) = (0, 0_u32);
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => {
                return if bytes.len() == at { of(found) } else { Told::Uncertain };
            }
            b'}' | b']' => depth -= 1,
            b'"' => {
                let Some((end, is_escaped)) = string_end(bytes, at) else {
                    return Told::Uncertain;
                };
                let content = &bytes[at..end];
                at = end + 1;
                if depth != 1 {
                    continue;
                }
                let Some(value_at) = value_of_key(bytes, at) else {
                    continue;
                };
                let bit = KEYS
                    .iter()
                    .position(|key| *key == content)
                    .map_or(0, |index| 1 << index);
                if is_escaped || found & bit != 0 {
                    return Told::Uncertain;
                }
                // null reads as absent, and means nothing where a key is repeated.
                match bytes.get(value_at) {
                    Some(b'n') if bit != 0 => return Told::Uncertain,
                    _ => found |= bit,
                }
                if bit == 1 {
                    return Told::Shape(Some(Format::Ocsf));
                }
                at = value_at;
            }
            _ => {}
        }
    }
    Told::Uncertain
}

fn of(found: u8) -> Told {
    Told::Shape(if found & OKTA == OKTA {
        Some(Format::Okta)
    } else if found & GOOGLE == GOOGLE {
        Some(Format::GoogleWorkspace)
    } else {
        None
    })
}

/// Index of the quote that ends the string begun before `start`, and whether a backslash stands in it.
fn string_end(bytes: &[u8], start: usize) -> Option<(usize, bool)> {
    let mut at = start;
    let mut is_escaped = false;
    loop {
        at += bytes.get(at..)?.iter().position(|b| matches!(b, b'"' | b'\\'))?;
        if bytes[at] == b'"' {
            return Some((at, is_escaped));
        }
        is_escaped = true;
        at += 2;
    }
}

/// Index of the value, if what ended before `at` was a key.
fn value_of_key(bytes: &[u8], at: usize) -> Option<usize> {
    let next = |from: usize| Some(from + bytes.get(from..)?.iter().position(|b| !b.is_ascii_whitespace())?);
    let colon = next(at)?;
    (bytes[colon] == b':').then(|| next(colon + 1)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_objects_own_keys_count() {
        let ocsf = r#"{"a": {"eventType": 1}, "class_uid" : 3002}"#;
        assert_eq!(shape(ocsf), Told::Shape(Some(Format::Ocsf)));
        let okta = r#"{"published":"x","debug":{"class_uid":1},"eventType":"class_uid"}"#;
        assert_eq!(shape(okta), Told::Shape(Some(Format::Okta)));
        let google = r#"{"id":{},"actor":{},"events":[{"a":"]}"}]}"#;
        assert_eq!(shape(google), Told::Shape(Some(Format::GoogleWorkspace)));
        assert_eq!(shape(r#"{"data":{"class_uid":3002},"x":"\\\""}"#), Told::Shape(None));
    }

    #[test]
    fn what_is_not_certain_is_left_to_the_parser() {
        for text in [
            r#"{"class_uid":null}"#,
            r#"{"class\u005fuid":3002}"#,
            r#"{"id":1,"id":2}"#,
            r#"{"id":1"#,
            r#"{"id":"1"#,
            r#"{"id":1} {}"#,
        ] {
            assert_eq!(shape(text), Told::Uncertain, "{text}");
        }
    }
}
