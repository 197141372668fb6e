//! Chunks put together from the parts that a restore reads.

use std::collections::BTreeMap;

use super::checkpoint::{ChunkPart, SECOND};

/// Parts as they come, by chunk and number.
#[derive(Debug, Default)]
pub(super) struct Parts(BTreeMap<u16, BTreeMap<u16, ChunkPart>>);

/// A chunk.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) chunk: u16,
    /// It is the fold of everything before this offset.
    pub(super) offset: i64,
    /// Latest append time before `offset`, ms.
    pub(super) append_ms: i64,
    /// Whether its parts are numbered from [`SECOND`] on.
    pub(super) is_second: bool,
    pub(super) bytes: Vec<u8>,
}

impl Parts {
    pub(super) fn insert(&mut self, chunk: u16, number: u16, part: ChunkPart) {
        self.0.entry(chunk).or_default().insert(number, part);
    }

    pub(super) fn remove(&mut self, chunk: u16) {
        self.0.remove(&chunk);
    }

    /// Puts every chunk together, where a state has so many.
    pub(super) fn into_whole(self, chunks: u16) -> impl Iterator<Item = Result<Whole, String>> {
        let any = self.0.into_iter().filter(|(_, parts)| !parts.is_empty());
        any.map(move |(chunk, parts)| whole(chunk, &parts, chunks))
    }
}

fn whole(chunk: u16, parts: &BTreeMap<u16, ChunkPart>, chunks: u16) -> Result<Whole, String> {
    let foreign = parts.values().find(|part| part.chunks != chunks);
    if let Some(part) = foreign {
        return Err(format!(
            "the checkpoint has {} chunks, this version keeps {chunks}; run the version that wrote it, or choose another \
             `application`",
            part.chunks
        ));
    }
    let found = [false, true].map(|is_second| put_together(chunk, parts, is_second));
    match found {
        [Ok(Some(first)), Ok(Some(second))] => Ok(if second.offset > first.offset { second } else { first }),
        // Whoever wrote the other ended before its last part.
        [Ok(Some(one)), _] | [_, Ok(Some(one))] => Ok(one),
        [Err(why), _] | [_, Err(why)] => Err(why),
        [Ok(None), Ok(None)] => Err(format!("chunk {chunk} begins with none of its parts")),
    }
}

fn put_together(chunk: u16, parts: &BTreeMap<u16, ChunkPart>, is_second: bool) -> Result<Option<Whole>, String> {
    let from = if is_second { SECOND } else { 0 };
    let Some(first) = parts.get(&from) else {
        return Ok(None);
    };
    let (offset, count) = (first.offset, first.parts);
    let mut bytes = Vec::new();
    for number in 0..count {
        match parts.get(&(from + number)).filter(|part| part.offset == offset) {
            Some(part) => bytes.extend_from_slice(&part.body),
            None => return Err(format!("part {number} of {count} of chunk {chunk} is missing")),
        }
    }
    Ok(Some(Whole {
        chunk,
        offset,
        append_ms: first.append_ms,
        is_second,
        bytes,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::checkpoint::PART_BYTES_MAX;
    use super::*;

    const CHUNKS: u16 = 256;

    /// The parts of a chunk of that size that stands at `offset`.
    fn parts(offset: i64, bytes: usize) -> Vec<ChunkPart> {
        let body = vec![u8::try_from(offset).unwrap(); bytes];
        let all = ChunkPart::encode_all(offset, offset, CHUNKS, &body);
        all.iter().map(|part| ChunkPart::decode(part).unwrap()).collect()
    }

    fn load(written: &[(u16, ChunkPart)]) -> Result<(i64, bool, usize), String> {
        let mut all = Parts::default();
        for (number, part) in written {
            all.insert(3, *number, part.clone());
        }
        let mut whole = all.into_whole(CHUNKS);
        let found = whole.next().unwrap()?;
        assert!(whole.next().is_none() && found.chunk == 3);
        assert!(found.bytes.iter().all(|byte| i64::from(*byte) == found.offset));
        Ok((found.offset, found.is_second, found.bytes.len()))
    }

    #[test]
    fn of_two_that_are_written_in_turns_the_newest_whole_one_counts() {
        let size = 2 * PART_BYTES_MAX + 1;
        let numbered = |from: u16, parts: Vec<ChunkPart>| (from..).zip(parts).collect::<Vec<_>>();
        let (old, new) = (numbered(0, parts(5, size)), numbered(SECOND, parts(9, size)));
        assert_eq!(load(&old), Ok((5, false, size)));
        for written in 0..3 {
            let torn = [&old[..], &new[..written]].concat();
            assert_eq!(load(&torn), Ok((5, false, size)), "{written} parts of the next");
        }
        assert_eq!(load(&[&old[..], &new[..]].concat()), Ok((9, true, size)));
        // The next is written over the first.
        let third = numbered(0, parts(12, size));
        let torn = [&old[..], &new[..], &third[..1]].concat();
        assert_eq!(load(&torn), Ok((9, true, size)));
        // A chunk that shrank leaves parts behind it.
        let small = numbered(0, parts(14, 10));
        assert_eq!(load(&[&old[..], &new[..], &small[..]].concat()), Ok((14, false, 10)));
    }

    #[test]
    fn what_is_missing_is_named() {
        let torn: Vec<(u16, ChunkPart)> = (0..).zip(parts(5, PART_BYTES_MAX + 1)).take(1).collect();
        assert_eq!(load(&torn).unwrap_err(), "part 1 of 2 of chunk 3 is missing");
    }
}
