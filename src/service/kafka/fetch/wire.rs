//! Fetch requests and their answers, version 4: what every broker from 0.11 on understands, with what `read_committed`
//! needs (KIP-98) and the first batch of an answer always whole (KIP-74).

use std::ops::Range;

/// Number of the request.
const FETCH: i16 = 1;
const VERSION: i16 = 4;
/// A client, not a replica.
const CONSUMER: i32 = -1;
const READ_COMMITTED: u8 = 1;

/// Bytes that are not what the protocol says, and what they were to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unreadable {0}")]
pub(super) struct Unreadable(pub(super) &'static str);

/// How much is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Longest the broker waits for the first byte, ms.
    pub(super) wait_ms: i32,
    /// Bytes of a partition; a larger batch comes whole if it is the first of the answer.
    pub(super) partition_bytes: i32,
    /// Bytes of all partitions.
    pub(super) answer_bytes: i32,
}

/// What is asked of one partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) offset: i64,
}

/// A request for all of `wishes`; those of a topic stand side by side.
pub(super) fn request(correlation: i32, client: &str, limits: &Limits, wishes: &[Wish<'_>]) -> Vec<u8> {
    let mut bytes = vec![0; size_of::<i32>()];
    bytes.extend(FETCH.to_be_bytes());
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend(correlation.to_be_bytes());
    put_text(&mut bytes, client);
    for number in [CONSUMER, limits.wait_ms, 1, limits.answer_bytes] {
        bytes.extend(number.to_be_bytes());
    }
    bytes.push(READ_COMMITTED);
    let topics = || wishes.chunk_by(|one, next| one.topic == next.topic);
    put_count(&mut bytes, topics().count());
    for wishes in topics() {
        put_text(&mut bytes, wishes.first().map_or("", |wish| wish.topic));
        put_count(&mut bytes, wishes.len());
        for wish in wishes {
            bytes.extend(wish.partition.to_be_bytes());
            bytes.extend(wish.offset.to_be_bytes());
            bytes.extend(limits.partition_bytes.to_be_bytes());
        }
    }
    let size = i32::try_from(bytes.len() - size_of::<i32>()).unwrap_or(i32::MAX);
    bytes[..size_of::<i32>()].copy_from_slice(&size.to_be_bytes());
    bytes
}

fn put_count(bytes: &mut Vec<u8>, count: usize) {
    bytes.extend(i32::try_from(count).unwrap_or(i32::MAX).to_be_bytes());
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend(i16::try_from(text.len()).unwrap_or(i16::MAX).to_be_bytes());
    bytes.extend(text.as_bytes());
}

/// A transaction that was aborted, among those of a partition's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Aborted {
    pub(super) producer: i64,
    pub(super) first_offset: i64,
}

/// What a broker says of one partition.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    /// 0 for none.
    pub(super) error: i16,
    /// The last stable offset.
    pub(super) stable_end: i64,
    pub(super) aborted: Vec<Aborted>,
    /// Where its batches are in the answer.
    pub(super) records: Range<usize>,
}

/// Hands over what an answer, without its size, says of each partition. Gives the time for which the broker reads no
/// further request, ms.
///
/// # Errors
/// [`Unreadable`] if it is none, or one to another request.
pub(super) fn answer(bytes: &[u8], correlation: i32, mut each: impl FnMut(Answer<'_>)) -> Result<u32, Unreadable> {
    let mut cursor = Cursor::new(bytes);
    if cursor.i32()? != correlation {
        return Err(Unreadable("answer: it is to another request"));
    }
    let throttle_ms = cursor.i32()?;
    for _ in 0..cursor.i32()? {
        let topic = cursor.text()?;
        for _ in 0..cursor.i32()? {
            let (partition, error) = (cursor.i32()?, cursor.i16()?);
            let (_end, stable_end) = (cursor.i64()?, cursor.i64()?);
            let mut aborted = Vec::new();
            for _ in 0..cursor.i32()? {
                let (producer, first_offset) = (cursor.i64()?, cursor.i64()?);
                aborted.push(Aborted { producer, first_offset });
            }
            let length = usize::try_from(cursor.i32()?).unwrap_or(0);
            let start = cursor.at;
            cursor.bytes(length)?;
            each(Answer {
                topic,
                partition,
                error,
                stable_end,
                aborted,
                records: start..start + length,
            });
        }
    }
    Ok(u32::try_from(throttle_ms).unwrap_or(0))
}

/// Reads from the front.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    all: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(all: &'a [u8]) -> Self {
        Self { all, at: 0 }
    }

    pub(super) fn from(all: &'a [u8], at: usize) -> Self {
        Self { all, at }
    }

    #[inline]
    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Unreadable> {
        let rest = self.all.get(self.at..).and_then(|rest| rest.get(..count));
        let bytes = rest.ok_or(Unreadable("answer: it ends too early"))?;
        self.at += count;
        Ok(bytes)
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.all.get(self.at..).unwrap_or_default()
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let bytes = self.bytes(N)?.first_chunk();
        bytes.copied().ok_or(Unreadable("answer: it ends too early"))
    }

    pub(super) fn i8(&mut self) -> Result<i8, Unreadable> {
        self.array().map(i8::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Result<i16, Unreadable> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, Unreadable> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Unreadable> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, Unreadable> {
        self.array().map(i64::from_be_bytes)
    }

    fn text(&mut self) -> Result<&'a str, Unreadable> {
        let length = usize::try_from(self.i16()?).unwrap_or(0);
        std::str::from_utf8(self.bytes(length)?).map_err(|_| Unreadable("answer: a topic is no text"))
    }

    /// A number of up to 64 bits, seven to a byte, the sign in its last bit.
    #[inline]
    pub(super) fn varint(&mut self) -> Result<i64, Unreadable> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = *self.all.get(self.at).ok_or(Unreadable("number: it ends too early"))?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err(Unreadable("number: it does not end"))
    }

    /// Bytes behind their length; `None` for a length below 0.
    #[inline]
    pub(super) fn sized(&mut self) -> Result<Option<&'a [u8]>, Unreadable> {
        match usize::try_from(self.varint()?) {
            Ok(length) => self.bytes(length).map(Some),
            Err(_) => Ok(None),
        }
    }
}
