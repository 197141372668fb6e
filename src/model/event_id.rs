//! Ids of events as windows keep them: most sources write hexadecimal digits or UUIDs, which take half the room.

use std::fmt;

use uuid::Uuid;

use super::codec::{Malformed, Reader, Writer};

/// Bytes held in place.
const INLINE: usize = 22;

/// The id of an event: exactly its text, in 24 bytes unless it is long and neither hexadecimal nor a UUID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventId(Form);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// Text of so many bytes.
    Short(u8, [u8; INLINE]),
    /// Twice as many hexadecimal digits, lower case.
    Hex(u8, [u8; INLINE]),
    /// A UUID with its hyphens, lower case.
    Uuid([u8; 16]),
    /// Anything else.
    Long(Box<str>),
}

impl Default for EventId {
    fn default() -> Self {
        Self(Form::Short(0, [0; INLINE]))
    }
}

impl EventId {
    /// The id of that text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        Self(match bytes.len() {
            length @ 0..=INLINE => Form::Short(short(length), inline(bytes)),
            36 => match uuid(bytes) {
                Some(uuid) => Form::Uuid(uuid),
                None => Form::Long(text.into()),
            },
            length => match hex(bytes) {
                Some(packed) => Form::Hex(short(length / 2), packed),
                None => Form::Long(text.into()),
            },
        })
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.0 {
            Form::Long(text) => text.len(),
            _ => 0,
        }
    }

    /// Appends the id.
    pub fn write(&self, writer: &mut Writer) {
        match &self.0 {
            Form::Short(length, bytes) => {
                writer.u8(0);
                writer.str(text_of(*length, bytes));
            }
            Form::Long(text) => {
                writer.u8(0);
                writer.str(text);
            }
            Form::Hex(length, bytes) => {
                writer.u8(1);
                let packed = bytes.get(..usize::from(*length)).unwrap_or_default();
                writer.uint(packed.len() as u64);
                writer.raw(packed);
            }
            Form::Uuid(bytes) => {
                writer.u8(2);
                writer.u128(u128::from_le_bytes(*bytes));
            }
        }
    }

    /// Reads an id.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes are no id.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match reader.u8()? {
            0 => reader.str().map(Self::new),
            1 => {
                let packed = reader.bytes()?;
                if packed.len() > INLINE {
                    return Err(reader.malformed("at most 44 hexadecimal digits"));
                }
                Ok(Self(Form::Hex(short(packed.len()), inline(packed))))
            }
            2 => Ok(Self(Form::Uuid(reader.u128()?.to_le_bytes()))),
            _ => Err(reader.malformed("the form of an event id")),
        }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Short(length, bytes) => f.write_str(text_of(*length, bytes)),
            Form::Hex(length, bytes) => {
                let mut packed = bytes.iter().take(usize::from(*length));
                packed.try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Form::Uuid(bytes) => write!(f, "{}", Uuid::from_bytes(*bytes).as_hyphenated()),
            Form::Long(text) => f.write_str(text),
        }
    }
}

fn short(length: usize) -> u8 {
    u8::try_from(length).unwrap_or(u8::MAX)
}

fn inline(bytes: &[u8]) -> [u8; INLINE] {
    let mut kept = [0; INLINE];
    kept.iter_mut().zip(bytes).for_each(|(kept, byte)| *kept = *byte);
    kept
}

fn text_of(length: u8, bytes: &[u8; INLINE]) -> &str {
    let text = bytes.get(..usize::from(length)).unwrap_or_default();
    std::str::from_utf8(text).unwrap_or_default()
}

/// Value of each lower-case hexadecimal digit.
const DIGITS: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let digits = b"0123456789abcdef";
    let mut value = 0_u8;
    while (value as usize) < digits.len() {
        values[digits[value as usize] as usize] = value;
        value += 1;
    }
    values
};
/// Of any other byte.
const NO_DIGIT: u8 = 0x80;

fn hex(digits: &[u8]) -> Option<[u8; INLINE]> {
    let (pairs, odd) = digits.as_chunks::<2>();
    if pairs.len() > INLINE || !odd.is_empty() {
        return None;
    }
    let mut packed = [0; INLINE];
    let mut seen = 0;
    for (byte, [high, low]) in packed.iter_mut().zip(pairs) {
        let (high, low) = (DIGITS[usize::from(*high)], DIGITS[usize::from(*low)]);
        seen |= high | low;
        *byte = high << 4 | low;
    }
    (seen & NO_DIGIT == 0).then_some(packed)
}

fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    let mut digits = [0; 32];
    let mut places = digits.iter_mut();
    for (at, byte) in text.iter().enumerate() {
        if matches!(at, 8 | 13 | 18 | 23) {
            (*byte == b'-').then_some(())?;
        } else {
            *places.next()? = *byte;
        }
    }
    let packed = hex(&digits)?;
    packed.first_chunk::<16>().copied()
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
        ] {
            let id = EventId::new(text);
            assert_eq!(id.to_string(), text);
            let mut writer = Writer::default();
            id.write(&mut writer);
            let bytes = writer.into_bytes();
            assert_eq!(EventId::read(&mut Reader::new(&bytes)), Ok(id));
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
            assert_eq!(EventId::new(text).bytes(), 0);
        }
    }
}
