//! The compact binary encoding of packed observations and checkpoint chunks: varints, borrowed text, and
//! streaming dictionaries for what repeats (places, networks, claims).
//!
//! A dictionary entry is written in full where it first occurs and by number afterwards, so a record needs no
//! table of contents and a reader allocates each place once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes that were not written by [`Writer`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed at byte {at}: {what}")]
pub struct Malformed {
    /// Byte position.
    pub at: usize,
    /// What was expected there.
    pub what: &'static str,
}

/// Appends values to a buffer.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// A writer that appends to `bytes`.
    #[must_use]
    #[inline]
    pub fn appending(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// What was written.
    #[must_use]
    #[inline]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// What was written, still here.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets what was written and keeps the room.
    #[inline]
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Makes room for so many bytes more.
    #[inline]
    pub fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes);
    }

    /// Bytes written so far.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Unsigned, LEB128.
    #[allow(clippy::cast_possible_truncation, reason = "masked to seven bits")]
    #[inline]
    pub fn uint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// Signed, zigzag LEB128.
    #[allow(clippy::cast_sign_loss, reason = "zigzag maps the sign to the lowest bit")]
    #[inline]
    pub fn int(&mut self, value: i64) {
        self.uint(((value << 1) ^ (value >> 63)) as u64);
    }

    /// 128 bits, little-endian.
    #[inline]
    pub fn u128(&mut self, value: u128) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A double, exactly.
    #[inline]
    pub fn f64(&mut self, value: f64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A truth value.
    #[inline]
    pub fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    /// Text with its length.
    #[inline]
    pub fn str(&mut self, value: &str) {
        self.uint(value.len() as u64);
        self.bytes.extend_from_slice(value.as_bytes());
    }

    /// Text or its absence.
    #[inline]
    pub fn opt_str(&mut self, value: Option<&str>) {
        match value {
            None => self.u8(0),
            Some(text) => {
                self.u8(1);
                self.str(text);
            }
        }
    }

    /// An address: one byte of family, then its bytes.
    #[inline]
    pub fn ip(&mut self, value: Option<IpAddr>) {
        match value {
            None => self.u8(0),
            Some(IpAddr::V4(v4)) => {
                self.u8(4);
                self.bytes.extend_from_slice(&v4.octets());
            }
            Some(IpAddr::V6(v6)) => {
                self.u8(6);
                self.bytes.extend_from_slice(&v6.octets());
            }
        }
    }

    /// The first `count` of some bytes. A copy of a fixed length takes a fraction of one that is not.
    #[inline]
    pub fn first_of<const N: usize>(&mut self, bytes: &[u8; N], count: usize) {
        let end = self.bytes.len() + count.min(N);
        self.bytes.extend_from_slice(bytes);
        self.bytes.truncate(end);
    }

    /// Bytes as they are.
    #[inline]
    pub fn raw(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
    }
}

/// Reads what [`Writer`] wrote; text is borrowed.
#[derive(Debug, Default)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader over `bytes`.
    #[must_use]
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Position of the next byte.
    #[must_use]
    #[inline]
    pub fn at(&self) -> usize {
        self.at
    }

    /// The bytes not read yet.
    #[must_use]
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// The bytes, read or not.
    #[must_use]
    #[inline]
    pub fn all(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether everything was read.
    #[must_use]
    #[inline]
    pub fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// An error at the current position.
    #[must_use]
    #[inline]
    pub fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { at: self.at, what }
    }

    /// Passes over so many bytes.
    ///
    /// # Errors
    /// [`Malformed`] if there are fewer.
    #[inline]
    pub fn skip(&mut self, count: usize) -> Result<(), Malformed> {
        self.raw(count).map(|_| ())
    }

    /// So many bytes.
    ///
    /// # Errors
    /// [`Malformed`] if there are fewer.
    #[inline]
    pub fn raw(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        self.take(count, "more bytes")
    }

    #[inline]
    fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else {
            return Err(self.malformed(what));
        };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Malformed> {
        let at = self.at;
        self.take(N, what)?.try_into().map_err(|_| Malformed { at, what })
    }

    /// One byte.
    ///
    /// # Errors
    /// [`Malformed`] at the end of the bytes; so for all readers below.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>("a byte")?[0])
    }

    /// Unsigned, LEB128.
    ///
    /// # Errors
    /// [`Malformed`] if truncated or longer than 64 bits.
    #[inline]
    pub fn uint(&mut self) -> Result<u64, Malformed> {
        // Most are lengths and numbers below 128.
        if let Some(byte @ ..0x80) = self.bytes.get(self.at) {
            self.at += 1;
            return Ok(u64::from(*byte));
        }
        self.long_uint()
    }

    fn long_uint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.malformed("a varint of at most 64 bits"))
    }

    /// Signed, zigzag LEB128.
    ///
    /// # Errors
    /// As [`Reader::uint`].
    #[allow(clippy::cast_possible_wrap, reason = "zigzag maps the lowest bit to the sign")]
    #[inline]
    pub fn int(&mut self) -> Result<i64, Malformed> {
        let value = self.uint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// Unsigned, at most `max`.
    ///
    /// # Errors
    /// [`Malformed`] if larger.
    #[inline]
    pub fn uint_below(&mut self, max: u64, what: &'static str) -> Result<u64, Malformed> {
        let value = self.uint()?;
        if value > max {
            Err(self.malformed(what))
        } else {
            Ok(value)
        }
    }

    /// A number of items, each of at least one byte, so it cannot exceed what is left.
    ///
    /// # Errors
    /// [`Malformed`] if more items are promised than bytes remain.
    #[inline]
    pub fn count(&mut self) -> Result<usize, Malformed> {
        let left = (self.bytes.len() - self.at) as u64;
        let count = self.uint_below(left, "a count that fits the bytes left")?;
        usize::try_from(count).map_err(|_| self.malformed("a count"))
    }

    /// 16 bits.
    ///
    /// # Errors
    /// [`Malformed`] if larger.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        let value = self.uint_below(u64::from(u16::MAX), "16 bits")?;
        u16::try_from(value).map_err(|_| self.malformed("16 bits"))
    }

    /// 32 bits.
    ///
    /// # Errors
    /// [`Malformed`] if larger.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        let value = self.uint_below(u64::from(u32::MAX), "32 bits")?;
        u32::try_from(value).map_err(|_| self.malformed("32 bits"))
    }

    /// 32 bits, signed.
    ///
    /// # Errors
    /// [`Malformed`] if out of range.
    #[inline]
    pub fn i32(&mut self) -> Result<i32, Malformed> {
        let value = self.int()?;
        i32::try_from(value).map_err(|_| self.malformed("32 bits, signed"))
    }

    /// 128 bits.
    ///
    /// # Errors
    /// [`Malformed`] if truncated.
    #[inline]
    pub fn u128(&mut self) -> Result<u128, Malformed> {
        Ok(u128::from_le_bytes(self.array("128 bits")?))
    }

    /// 64 bits, signed, little-endian.
    ///
    /// # Errors
    /// [`Malformed`] if truncated.
    #[inline]
    pub fn i64(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_le_bytes(self.array("64 bits")?))
    }

    /// A double.
    ///
    /// # Errors
    /// [`Malformed`] if truncated.
    #[inline]
    pub fn f64(&mut self) -> Result<f64, Malformed> {
        Ok(f64::from_le_bytes(self.array("a double")?))
    }

    /// A truth value.
    ///
    /// # Errors
    /// [`Malformed`] if neither 0 nor 1.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.malformed("0 or 1")),
        }
    }

    /// Text.
    ///
    /// # Errors
    /// [`Malformed`] if truncated or not UTF-8.
    #[inline]
    pub fn str(&mut self) -> Result<&'a str, Malformed> {
        let count = self.count()?;
        let at = self.at;
        std::str::from_utf8(self.take(count, "text")?).map_err(|_| Malformed { at, what: "UTF-8" })
    }

    /// Bytes with their length.
    ///
    /// # Errors
    /// [`Malformed`] if truncated.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let count = self.count()?;
        self.take(count, "bytes")
    }

    /// Text or its absence.
    ///
    /// # Errors
    /// As [`Reader::str`].
    #[inline]
    pub fn opt_str(&mut self) -> Result<Option<&'a str>, Malformed> {
        if self.bool()? { Ok(Some(self.str()?)) } else { Ok(None) }
    }

    /// An address or its absence.
    ///
    /// # Errors
    /// [`Malformed`] if the family is neither 0, 4 nor 6.
    #[inline]
    pub fn ip(&mut self) -> Result<Option<IpAddr>, Malformed> {
        match self.u8()? {
            0 => Ok(None),
            4 => Ok(Some(IpAddr::V4(Ipv4Addr::from(self.array::<4>("an IPv4 address")?)))),
            6 => Ok(Some(IpAddr::V6(Ipv6Addr::from(self.array::<16>("an IPv6 address")?)))),
            _ => Err(self.malformed("address family 0, 4 or 6")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back() {
        let mut writer = Writer::default();
        for value in [0, 1, 127, 128, u64::MAX] {
            writer.uint(value);
        }
        for value in [0, -1, i64::MIN, i64::MAX] {
            writer.int(value);
        }
        writer.opt_str(Some("ü"));
        writer.opt_str(None);
        writer.ip(Some("2001:db8::1".parse().unwrap()));
        writer.f64(-0.5);
        let bytes = writer.into_bytes();
        let mut reader = Reader::new(&bytes);
        for value in [0, 1, 127, 128, u64::MAX] {
            assert_eq!(reader.uint(), Ok(value));
        }
        for value in [0, -1, i64::MIN, i64::MAX] {
            assert_eq!(reader.int(), Ok(value));
        }
        assert_eq!(reader.opt_str(), Ok(Some("ü")));
        assert_eq!(reader.opt_str(), Ok(None));
        assert_eq!(reader.ip(), Ok(Some("2001:db8::1".parse().unwrap())));
        assert_eq!(reader.f64(), Ok(-0.5));
        assert!(reader.is_at_end());
    }

    #[test]
    fn truncation_and_lies_are_errors() {
        let mut writer = Writer::default();
        writer.str("hello");
        let bytes = writer.into_bytes();
        for end in 0..bytes.len() {
            assert!(Reader::new(&bytes[..end]).str().is_err());
        }
        assert!(Reader::new(&[0xff; 11]).uint().is_err());
        assert!(Reader::new(&[0xff, 0xff, 0x03, 1]).count().is_err());
    }
}
