//! Prediction: records of one producer nearly always have the same keys in the same order, and many of the same values.
//!
//! A [`Shape`] is a record read once: its bytes, what each field is read from, and which of its values have changed
//! since. A record that agrees in every other byte, and has a well-formed value wherever one has changed, is the same
//! tree; its fields are read from the same places. Whatever agrees with no shape is walked, so that what a [`Memory`]
//! holds decides how fast a record is read, and never what it reads as.
//!
//! Records of several shapes come mixed. Where one leaves a shape, those that begin like it up to there are asked from
//! there on: while all shapes are remembered a record is read about once, however many there are.

use std::ops::Range;

use super::fields::WireObject;
use super::values::{Span, Values};
use super::walk::{self, Fault, Walk};

/// Shapes remembered of a format: event types and optional fields make a producer's records differ.
const SHAPES_MAX: usize = 32;
/// A longer record is not remembered, nor one of more scalars, so that the memory is bounded.
const SHAPE_BYTES_MAX: usize = 8 * 1024;
const SHAPE_SCALARS_MAX: usize = 512;
/// Shapes may read again what others have read of a record, together up to so many times its length; then it is walked.
/// Otherwise somebody could write records that each of them reads nearly to the end.
const AGAIN_MAX: usize = 2;
/// Once all shapes are taken, only every so many records that agree with none teach one: learning costs as much as
/// reading, and a producer may never repeat itself.
const PATIENCE: usize = 8;

/// The shapes of one format's records.
#[derive(Default)]
pub(super) struct Memory<T> {
    shapes: Vec<Shape<T>>,
    /// What each shape has in common with each other.
    kinship: Vec<Vec<Kinship>>,
    /// The shapes as they are asked: one that a record agreed with moves up.
    order: Vec<usize>,
    /// Records that agreed with none since one was learned.
    misses: usize,
    /// Which of the seldom shapes, in the second half of `order`, makes room for the next one.
    given_up: usize,
    /// The values of the record at hand.
    spans: Vec<Span>,
    /// Where, in the record at hand, the parts of the shape asked last begin, up to the one where it left that.
    trail: Vec<Start>,
    /// The record at hand, if its shape is not remembered.
    stranger: T,
}

/// Which shape a record agreed with; its values are noted.
#[derive(Clone, Copy)]
pub(super) struct Predicted(usize);

/// How two shapes begin.
#[derive(Clone, Copy, Default)]
struct Kinship {
    /// Leading parts that are the same.
    parts: usize,
    /// No record has the part behind them of both: their bytes differ before either ends.
    is_exclusive: bool,
}

/// Where a part of a shape begins in a record, and how many values were noted before it.
#[derive(Clone, Copy)]
struct Start {
    at: usize,
    noted: usize,
}

impl<T: WireObject> Memory<T> {
    /// The shape that `text` agrees with.
    #[inline]
    pub(super) fn predict(&mut self, text: &str) -> Option<Predicted> {
        let first = *self.order.first()?;
        self.spans.clear();
        self.trail.clear();
        self.trail.push(Start { at: 0, noted: 0 });
        let mut walk = Walk::new(text, &mut self.spans);
        if self.shapes.get(first)?.agrees(&mut walk, 0, &mut self.trail) {
            return Some(Predicted(first));
        }
        let found = among_others(
            &self.kinship,
            &self.order,
            &mut self.trail,
            text.len(),
            |index, parts, trail| self.shapes[index].agrees(&mut walk, parts, trail),
        )?;
        self.order.swap(found - 1, found);
        Some(Predicted(self.order[found - 1]))
    }

    /// Reads `text`, a whole JSON object, as predicted or by walking it.
    #[inline]
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

    /// Reads `text` and learns its shape; leaves the record as the stranger if it shall not be learned.
    fn walk(&mut self, text: &str) -> Result<Option<usize>, Fault> {
        self.spans.clear();
        self.spans.shrink_to(SHAPE_SCALARS_MAX);
        let mut record = T::default();
        walk::read(text, &mut record, &mut self.spans)?;
        self.misses += 1;
        let is_full = self.shapes.len() == SHAPES_MAX;
        let is_learned = text.len() <= SHAPE_BYTES_MAX && !(is_full && self.misses < PATIENCE);
        let mut scalars = if is_learned {
            scalars(text, &self.spans)
        } else {
            Vec::new()
        };
        if !is_learned || scalars.len() > SHAPE_SCALARS_MAX {
            self.stranger = record;
            return Ok(None);
        }
        self.misses = 0;
        let alike = self.shapes.iter().position(|shape| shape.is_alike(text, &scalars));
        if let Some(index) = alike {
            self.shapes[index].tell_changed(text, &mut scalars);
        }
        let index = match alike {
            Some(index) => index,
            None if is_full => {
                let seldom = self.order.remove(SHAPES_MAX / 2 + self.given_up);
                self.given_up = (self.given_up + 1) % (SHAPES_MAX / 2);
                self.order.push(seldom);
                seldom
            }
            None => self.shapes.len(),
        };
        self.remember(index, Shape::of(text, scalars, record));
        Ok(Some(index))
    }

    /// Puts a shape at `index`, in place of the one there, or behind all.
    fn remember(&mut self, index: usize, shape: Shape<T>) {
        match self.shapes.get_mut(index) {
            Some(old) => *old = shape,
            None => {
                self.shapes.push(shape);
                self.order.push(index);
                self.kinship.iter_mut().for_each(|row| row.push(Kinship::default()));
                self.kinship.push(vec![Kinship::default(); self.shapes.len()]);
            }
        }
        for (other, shape) in self.shapes.iter().enumerate() {
            let kinship = self.shapes[index].kinship(shape);
            self.kinship[index][other] = kinship;
            self.kinship[other][index] = kinship;
        }
    }
}

/// The place in `order` of the shape that the record agrees with, which has left the first of them at the end of `trail`.
///
/// First those that begin like the shape which it has followed furthest, up to where it left that: each is asked from
/// there. Then those that may be another reading of what it has passed, as far as [`AGAIN_MAX`] allows. `length` is that of
/// the record; `asks` asks a shape from a part on.
fn among_others(
    kinship: &[Vec<Kinship>],
    order: &[usize],
    trail: &mut Vec<Start>,
    length: usize,
    mut asks: impl FnMut(usize, usize, &mut Vec<Start>) -> bool,
) -> Option<usize> {
    let mut asked = *order.first()?;
    let mut again = 0;
    for reads_again in [false, true] {
        for (place, index) in order.iter().enumerate().skip(1) {
            let Kinship { parts, is_exclusive } = kinship[asked][*index];
            let left = trail.len() - 1;
            // It has the part that the record has not, or has not one that the record has.
            if parts > left || parts < left && (is_exclusive || !reads_again) {
                continue;
            }
            let from = trail[parts].at;
            if asks(*index, parts, trail) {
                return Some(place);
            }
            asked = *index;
            if reads_again {
                again += trail.last().map_or(0, |left| left.at) - from;
                if again > AGAIN_MAX * length {
                    return None;
                }
            }
        }
    }
    None
}

/// A scalar of a record, null excepted: that reads as absent, so it counts as punctuation.
struct Scalar {
    bytes: Range<usize>,
    wanted: Option<Span>,
    has_changed: bool,
}

/// The scalars of `text`, which is well-formed; `wanted` are those that fields are read from, in their order.
fn scalars(text: &str, wanted: &[Span]) -> Vec<Scalar> {
    let mut scalars = Vec::new();
    let mut wanted = wanted.iter().peekable();
    let mut nothing = Vec::new();
    let mut walk = Walk::new(text, &mut nothing);
    while let Some(first) = walk.rest().first() {
        let start = walk.at;
        if !matches!(first, b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') {
            walk.at += 1;
            continue;
        }
        if walk.skip().is_none() {
            break;
        }
        let end = walk.at;
        let is_key = *first == b'"' && walk.peek() == Some(b':');
        if !is_key && *first != b'n' {
            scalars.push(Scalar {
                bytes: start..end,
                wanted: wanted.next_if(|span| span.start < end).copied(),
                has_changed: false,
            });
        }
    }
    scalars
}

/// A record, and which of its values change.
struct Shape<T> {
    model: Box<str>,
    scalars: Vec<Scalar>,
    parts: Vec<Part>,
    /// Wanted values that have not changed, counted from the beginning of their part.
    constants: Vec<Span>,
    record: T,
}

/// Bytes of the model that do not change, and what follows them.
struct Part {
    bytes: Range<usize>,
    constants: Range<usize>,
    then: Then,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Wanted,
    Unwanted,
    End,
}

impl<T> Shape<T> {
    fn of(text: &str, scalars: Vec<Scalar>, record: T) -> Self {
        let mut shape = Self {
            model: text.into(),
            scalars: Vec::new(),
            parts: Vec::new(),
            constants: Vec::new(),
            record,
        };
        let (mut start, mut first) = (0, 0);
        for scalar in &scalars {
            match &scalar.wanted {
                Some(span) if !scalar.has_changed => shape.constants.push(span.less(start)),
                None if !scalar.has_changed => {}
                wanted => {
                    let then = if wanted.is_some() { Then::Wanted } else { Then::Unwanted };
                    shape.parts.push(Part {
                        bytes: start..scalar.bytes.start,
                        constants: first..shape.constants.len(),
                        then,
                    });
                    (start, first) = (scalar.bytes.end, shape.constants.len());
                }
            }
        }
        shape.parts.push(Part {
            bytes: start..text.len(),
            constants: first..shape.constants.len(),
            then: Then::End,
        });
        shape.scalars = scalars;
        shape
    }

    /// Whether the record has this shape, of whose parts it has those before the `first`, as `trail` tells; notes its wanted
    /// values. Where it has not, the trail ends at the part that it has not.
    #[inline]
    fn agrees(&self, walk: &mut Walk<'_, '_>, first: usize, trail: &mut Vec<Start>) -> bool {
        trail.truncate(first + 1);
        let Start { at, noted } = trail[first];
        walk.back(at, noted);
        let model = self.model.as_bytes();
        for part in &self.parts[first..] {
            let start = walk.at;
            if walk.exactly(&model[part.bytes.clone()]).is_none() {
                return false;
            }
            let constants = self.constants[part.constants.clone()].iter();
            walk.note_all(constants.map(|constant| constant.plus(start)));
            if part.then == Then::End {
                return walk.rest().is_empty();
            }
            let Some(span) = walk.scalar() else {
                return false;
            };
            if part.then == Then::Wanted {
                walk.note(span);
            }
            trail.push(Start {
                at: walk.at,
                noted: walk.noted(),
            });
        }
        false
    }

    /// How this shape and another begin.
    fn kinship(&self, other: &Self) -> Kinship {
        let is_same = |(ours, theirs): &(&Part, &Part)| {
            ours.then == theirs.then
                && self.model[ours.bytes.clone()] == other.model[theirs.bytes.clone()]
                && self.constants[ours.constants.clone()] == other.constants[theirs.constants.clone()]
        };
        let parts = self.parts.iter().zip(&other.parts).take_while(is_same).count();
        let fork = self.parts.get(parts).zip(other.parts.get(parts));
        let is_exclusive = fork.is_some_and(|(ours, theirs)| {
            let (ours, theirs) = (&self.model[ours.bytes.clone()], &other.model[theirs.bytes.clone()]);
            !ours.starts_with(theirs) && !theirs.starts_with(ours)
        });
        Kinship { parts, is_exclusive }
    }

    /// Whether `text` differs from the model in nothing but its scalars.
    fn is_alike(&self, text: &str, scalars: &[Scalar]) -> bool {
        scalars.len() == self.scalars.len()
            && (0..=scalars.len())
                .all(|index| before(index, text, scalars) == before(index, &self.model, &self.scalars))
    }

    /// Marks the scalars of a record of this shape that have changed.
    fn tell_changed(&self, text: &str, scalars: &mut [Scalar]) {
        for (ours, theirs) in self.scalars.iter().zip(scalars) {
            theirs.has_changed = ours.has_changed || self.model[ours.bytes.clone()] != text[theirs.bytes.clone()];
        }
    }
}

/// What stands between a scalar and the one before, or the end and the last.
fn before<'t>(index: usize, text: &'t str, scalars: &[Scalar]) -> &'t str {
    let start = index.checked_sub(1).map_or(0, |before| scalars[before].bytes.end);
    let end = scalars.get(index).map_or(text.len(), |scalar| scalar.bytes.start);
    &text[start..end]
}

#[cfg(test)]
mod tests {
    use super::super::okta;
    use super::*;

    fn record(id: &str, address: &str, tail: &str) -> String {
        format!(
            r#"{{"uuid":"{id}","eventType":"user.session.start","actor":{{"id":"00u7","x":[1,"a"]}},"client":{{"ipAddress":{address}}}{tail}}}"#
        )
    }

    /// Reads `text`; whether it was predicted, and id, actor, address and outcome.
    fn read(memory: &mut Memory<okta::Record>, text: &str) -> (bool, [String; 4]) {
        let predicted = memory.predict(text);
        let (record, values) = memory.read(text, predicted).unwrap();
        let places = [
            record.uuid,
            record.actor.id,
            record.client.ip_address,
            record.outcome.result,
        ];
        (predicted.is_some(), places.map(|place| values.text(place).into_owned()))
    }

    #[test]
    fn records_of_one_shape_are_predicted_once_it_is_known_what_changes() {
        let mut memory = Memory::default();
        for (id, address, is_predicted) in [
            ("a", r#""203.0.113.7""#, false),
            ("a", r#""203.0.113.7""#, true),
            ("b", r#""203.0.113.7""#, false),
            ("ccc", r#""203.0.113.7""#, true),
            ("d", r#""198.51.100.4""#, false),
            ("\\u00e9", r#""""#, true),
            ("f", "-7.5e1", true),
            ("g", "null", false),
            ("h", "{}", false),
            ("i", r#""203.0.113.9""#, true),
        ] {
            let text = record(id, address, "");
            let (was_predicted, found) = read(&mut memory, &text);
            assert_eq!(was_predicted, is_predicted, "{text}");
            assert_eq!(found, read(&mut Memory::default(), &text).1, "{text}");
        }
        assert_eq!(memory.shapes.len(), 3, "null and an object are other shapes");
    }

    #[test]
    fn shapes_that_come_mixed_are_all_predicted_and_read_alike() {
        // They begin alike, leave each other at a key, within a value that one has seen change, and at their end.
        let tails = [
            "",
            r#","outcome":{"result":"SUCCESS"}"#,
            r#","outcome":{"result":"FAILURE"}"#,
            r#","outcome":{"reason":"LOCKED","result":"FAILURE"}"#,
            r#","outcome":{"reason":7,"result":"SUCCESS"}"#,
            r#","outcome":null"#,
            r#","n":[1,2,{"a":true}]"#,
            r#","n":[1,2]"#,
            r#","n":[1,2],"m":"x""#,
        ];
        for seed in 0..32 {
            let mut random = crate::generate::random::Random::of(seed, &[]);
            let mut memory = Memory::default();
            let mut was_predicted = 0;
            for number in 0..400 {
                let (tail, address) = (tails[random.index(tails.len())], random.index(40));
                let text = record(&number.to_string(), &format!(r#""203.0.113.{address}""#), tail);
                let (is_predicted, found) = read(&mut memory, &text);
                assert_eq!(found, read(&mut Memory::default(), &text).1, "seed {seed}: {text}");
                was_predicted += usize::from(is_predicted && number >= 200);
            }
            assert_eq!(was_predicted, 200, "seed {seed}");
        }
    }

    #[test]
    fn the_usual_stay_remembered_among_more_kinds_than_there_is_room_for() {
        let mut random = crate::generate::random::Random::of(7, &[]);
        let (mut memory, mut predicted) = (Memory::default(), 0);
        for number in 0..6_000 {
            // Half are of one kind, and the others of any of twice as many as are remembered.
            let kind = if random.bits().is_multiple_of(2) {
                0
            } else {
                random.index(2 * SHAPES_MAX)
            };
            let text = record(&number.to_string(), "1", &format!(r#","k{kind}":1"#));
            let (was_predicted, found) = read(&mut memory, &text);
            assert_eq!(found, read(&mut Memory::default(), &text).1, "{text}");
            predicted += usize::from(was_predicted && number >= 3_000);
        }
        assert!(predicted > 1_800, "{predicted} of 3,000");
    }

    #[test]
    fn a_record_that_every_shape_nearly_is_is_walked_soon() {
        // Shapes that know different parts of one beginning as changing, and end in keys of their own.
        let mut memory = Memory::default();
        let text = |changed: usize, value: &str, last: &str| {
            let parts = (0..5).map(|part| {
                let value = if changed >> part & 1 == 1 { value } else { "same" };
                format!(r#""p{part}":"{value}","#)
            });
            format!(
                r#"{{"uuid":"u",{}"z":"{value}","{last}":1}}"#,
                parts.collect::<String>()
            )
        };
        for shape in 0..SHAPES_MAX {
            for value in ["a", "b", "c"] {
                read(&mut memory, &text(shape, value, &format!("k{shape}")));
            }
        }
        assert_eq!(memory.shapes.len(), SHAPES_MAX);
        let stranger = text(0, "long", "other");
        let mut spans = Vec::new();
        let mut walk = Walk::new(&stranger, &mut spans);
        let mut trail = vec![Start { at: 0, noted: 0 }];
        assert!(!memory.shapes[memory.order[0]].agrees(&mut walk, 0, &mut trail));
        let mut read_again = 0;
        let found = among_others(
            &memory.kinship,
            &memory.order,
            &mut trail,
            stranger.len(),
            |index, parts, trail| {
                let from = trail[parts].at;
                let is_found = memory.shapes[index].agrees(&mut walk, parts, trail);
                read_again += trail.last().unwrap().at - from;
                is_found
            },
        );
        assert_eq!(found, None);
        assert!(
            (2 * stranger.len()..=3 * stranger.len()).contains(&read_again),
            "{read_again} of {}",
            stranger.len()
        );
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut memory = Memory::default();
        for number in 0..10 * SHAPES_MAX {
            let text = record("a", "1", &format!(r#","k{number}":1"#));
            assert!(!read(&mut memory, &text).0);
        }
        assert_eq!(memory.shapes.len(), SHAPES_MAX);
        let long = record("a", "1", &format!(r#","k":"{}""#, "x".repeat(SHAPE_BYTES_MAX)));
        let full = record("a", "1", &format!(r#","k":[{}1]"#, "1,".repeat(SHAPE_SCALARS_MAX)));
        for _ in 0..2 * PATIENCE {
            assert!(!read(&mut memory, &long).0);
            assert!(!read(&mut memory, &full).0);
        }
    }

    #[test]
    fn nothing_may_follow_a_record() {
        let mut memory = Memory::default();
        let text = record("a", "1", "");
        read(&mut memory, &text);
        for tail in ["1", "-", "}", ",", "\"", "\"\"", "null"] {
            let more = format!("{text}{tail}");
            assert!(memory.predict(&more).is_none(), "{more}");
        }
    }
}
