//! Prediction: records of one producer nearly always have the same keys in the same order, so only their values differ.
//!
//! A [`Shape`] is a record read once, with its values taken out: the bytes between them, and what each field is read
//! from. A record that agrees in those bytes, and has a well-formed value wherever the first had one, is the same tree;
//! its fields are read from the same places. Whatever agrees with no shape is walked, so that what a [`Memory`] holds
//! decides how fast a record is read, and never what it reads as.

use super::values::{Span, Values};
use super::walk::{self, Fault, Walk, WireObject};

/// Shapes remembered of a format: event types and optional fields make a producer's records differ.
const SHAPES_MAX: usize = 16;
/// A longer record is not remembered, so that the memory is bounded.
const SHAPE_BYTES_MAX: usize = 8 * 1024;
/// Once all shapes are taken, so many records must agree with none before one is replaced: learning costs as much as
/// reading, and a producer may never repeat itself.
const PATIENCE: usize = 8;

/// Stands for a value in a skeleton; JSON holds no such byte.
const VALUE: u8 = 0;

/// The shapes of one format's records.
#[derive(Default)]
pub(super) struct Memory<T> {
    shapes: Vec<Shape<T>>,
    /// The shape that the latest record agreed with: the first to try.
    latest: usize,
    /// Records that agreed with none since a shape was learned.
    misses: usize,
    /// Where the next shape goes once there are enough.
    oldest: usize,
    /// The values of the record at hand.
    spans: Vec<Span>,
    /// The record at hand, if its shape is not remembered.
    stranger: T,
}

/// Which shape a record agreed with; its values are noted.
#[derive(Clone, Copy)]
pub(super) struct Predicted(usize);

impl<T: WireObject> Memory<T> {
    /// The shape that `text` agrees with.
    #[inline]
    pub(super) fn predict(&mut self, text: &str) -> Option<Predicted> {
        self.spans.clear();
        let mut walk = Walk::new(text, &mut self.spans);
        let shape = self.shapes.get(self.latest)?;
        let mut part = 0;
        if shape.agrees(&mut walk, &mut part) {
            return Some(Predicted(self.latest));
        }
        // What agreed so far has been read; a shape that begins alike goes on from there, and no other can agree.
        let mut agreed = shape.until(part);
        for (index, shape) in self.shapes.iter().enumerate() {
            if index != self.latest && shape.skeleton.starts_with(agreed) {
                if shape.agrees(&mut walk, &mut part) {
                    self.latest = index;
                    return Some(Predicted(index));
                }
                agreed = shape.until(part);
            }
        }
        None
    }

    /// Reads `text`, a whole JSON object, if it agrees with no shape.
    pub(super) fn read<'a>(
        &mut self,
        text: &'a str,
        predicted: Option<Predicted>,
    ) -> Result<(&T, Values<'_, 'a>), Fault> {
        let known = match predicted {
            Some(Predicted(index)) => Some(index),
            None => self.walk(text)?,
        };
        let record = known.map_or(&self.stranger, |index| &self.shapes[index].record);
        Ok((record, Values::new(text, &self.spans)))
    }

    /// Reads `text` and remembers its shape, or, if it shall not, leaves the record as the stranger.
    fn walk(&mut self, text: &str) -> Result<Option<usize>, Fault> {
        self.spans.clear();
        let mut record = T::default();
        walk::read(text, &mut record, &mut self.spans)?;
        self.misses += 1;
        let is_full = self.shapes.len() == SHAPES_MAX;
        if text.len() > SHAPE_BYTES_MAX || is_full && self.misses < PATIENCE {
            self.stranger = record;
            return Ok(None);
        }
        self.misses = 0;
        let shape = Shape::of(text, &self.spans, record);
        if is_full {
            self.latest = self.oldest;
            self.oldest = (self.oldest + 1) % SHAPES_MAX;
            self.shapes[self.latest] = shape;
        } else {
            self.latest = self.shapes.len();
            self.shapes.push(shape);
        }
        Ok(Some(self.latest))
    }
}

/// A record without its values.
struct Shape<T> {
    /// Its bytes, with [`VALUE`] for each value but null, which reads as absent.
    skeleton: Vec<u8>,
    parts: Vec<Part>,
    record: T,
}

/// The bytes up to a value.
struct Part {
    end: usize,
    is_wanted: bool,
}

impl<T> Shape<T> {
    /// The shape of `text`, which was read into `record`, its wanted values into `spans`.
    fn of(text: &str, spans: &[Span], record: T) -> Self {
        let mut shape = Self {
            skeleton: Vec::with_capacity(text.len()),
            parts: Vec::new(),
            record,
        };
        let mut unwanted = Vec::new();
        let mut walk = Walk::new(text, &mut unwanted);
        let mut wanted = spans.iter().peekable();
        let mut copied = 0;
        while let Some(first) = text.as_bytes().get(walk.at) {
            let start = walk.at;
            match first {
                b'"' | b'-' | b'0'..=b'9' | b't' | b'f' => {}
                b'n' => {
                    walk.at += "null".len();
                    continue;
                }
                _ => {
                    walk.at += 1;
                    continue;
                }
            }
            _ = walk.skip();
            let end = walk.at;
            if *first == b'"' && walk.peek() == Some(b':') {
                continue;
            }
            shape.skeleton.extend(&text.as_bytes()[copied..start]);
            shape.parts.push(Part {
                end: shape.skeleton.len(),
                is_wanted: wanted.next_if(|span| span.start < end).is_some(),
            });
            shape.skeleton.push(VALUE);
            copied = end;
        }
        shape.skeleton.extend(&text.as_bytes()[copied..]);
        shape
    }

    /// The skeleton before that part.
    fn until(&self, part: usize) -> &[u8] {
        let end = part.checked_sub(1).map_or(0, |before| self.parts[before].end + 1);
        &self.skeleton[..end]
    }

    /// Follows the record from `part` on, noting wanted values; stops before the first part that differs.
    #[inline]
    fn agrees(&self, walk: &mut Walk<'_, '_>, part: &mut usize) -> bool {
        let mut start = self.until(*part).len();
        for next in &self.parts[*part..] {
            if walk
                .value_behind(&self.skeleton[start..next.end], next.is_wanted)
                .is_none()
            {
                return false;
            }
            start = next.end + 1;
            *part += 1;
        }
        walk.rest() == &self.skeleton[start..]
    }
}
