//! Reading partitions over connections of our own, beside a consumer of librdkafka that keeps the group.
//!
//! librdkafka makes an object of every message, in a thread of its own, and hands it over through a queue, which takes as long
//! as decoding an event. Here an answer is read into room that is used again, each batch is unpacked in one
//! piece, and records are handed over where they lie.
//!
//! It reads what is plain: an unprotected connection, the partition's leader, batches of the format that Kafka writes. On
//! anything else, be it a lost connection, a leader that moved, an offset that is gone or a checksum that is wrong, the
//! partition is *given up*: librdkafka reads on from where it stands, and is the one to say what is the matter.

mod batch;
mod link;
mod wire;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use mio::{Events, Poll, Token};

use super::records::{append_ms, now_ms};
use crate::service::log::{Record, TOGETHER, Take, TopicPartition};
use batch::{Aborts, Batch, Entry};
use link::{Asked, Link, SIZE};
use wire::{Answer, Cursor, Limits, Unreadable, Wish};

const LIMITS: Limits = Limits {
    // A partition that is added meanwhile waits as long.
    wait_ms: 100,
    partition_bytes: 1 << 20,
    answer_bytes: 8 << 20,
};
/// An answer's room beyond this is not kept for the next.
const ROOM_MAX: usize = 16 << 20;
/// Answers whose room is kept.
const ROOMS: usize = 2;

/// Why a partition is given up, as a label says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// No connection, or none any more.
    Connection,
    /// The broker refuses, or does not lead the partition.
    Broker,
    /// What came is not what is read here.
    Unreadable,
    /// Nobody says who leads it.
    Leader,
}

impl Cause {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Broker => "broker",
            Self::Unreadable => "unreadable",
            Self::Leader => "leader",
        }
    }
}

/// A partition that is given up.
#[derive(Debug)]
pub(super) struct GivenUp {
    pub(super) at: TopicPartition,
    /// Offset of the first record that was not handed over.
    pub(super) next: i64,
    pub(super) cause: Cause,
    pub(super) detail: String,
    /// It was worth beginning: something was handed over, or would have been if there were anything.
    pub(super) has_progressed: bool,
    /// Who was asked, if anybody.
    pub(super) broker: Option<SocketAddr>,
}

/// A partition that is read.
#[derive(Debug)]
struct Fetch {
    at: TopicPartition,
    /// Tells it from an earlier fetch of the same partition.
    number: u64,
    broker: SocketAddr,
    /// Where it was begun.
    started: i64,
    /// Offset to ask for next.
    asked: i64,
    /// Offset to hand over next.
    next: i64,
    /// The last stable offset, as far as is known.
    stable_end: Option<i64>,
}

/// What an answer has of one partition.
#[derive(Debug)]
struct Part {
    fetch: u64,
    /// Batches not opened yet.
    batches: Range<usize>,
    aborts: Aborts,
}

#[derive(Debug)]
struct Answered {
    bytes: Vec<u8>,
    parts: VecDeque<Part>,
}

/// The batch that is being handed over.
#[derive(Debug, Default)]
struct Open {
    /// Of which fetch, if there is one.
    fetch: Option<u64>,
    /// Where its records are in the answer, unless they were unpacked.
    plain: Option<Range<usize>>,
    unpacked: Vec<u8>,
    /// How far they were handed over.
    at: usize,
    left: Left,
    first_ms: i64,
    /// The time of all its records, where the broker gave it.
    append_ms: Option<i64>,
}

/// What was not handed over yet of a batch.
#[derive(Debug, Default)]
struct Left {
    count: u32,
    /// Of the whole batch.
    first_offset: i64,
    /// See `first_offset`.
    last_offset: i64,
}

/// See the module.
pub(super) struct Fetcher {
    poll: Poll,
    events: Events,
    client: String,
    fetches: Vec<Fetch>,
    links: Vec<Link>,
    answers: VecDeque<Answered>,
    open: Open,
    rooms: Vec<Vec<u8>>,
    given_up: Vec<GivenUp>,
    /// Counts fetches, requests and connections.
    number: u64,
}

impl Fetcher {
    /// Reads nothing yet. Quotas and logs of brokers know it as `client`.
    ///
    /// # Errors
    /// If the system gives nothing to wait with.
    pub(super) fn new(client: &str) -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(64),
            client: client.to_owned(),
            fetches: Vec::new(),
            links: Vec::new(),
            answers: VecDeque::new(),
            open: Open::default(),
            rooms: Vec::new(),
            given_up: Vec::new(),
            number: 0,
        })
    }

    /// Reads a partition from `offset` on, of the broker that leads it.
    pub(super) fn start(&mut self, at: &TopicPartition, offset: i64, broker: SocketAddr) {
        self.stop(at);
        self.number += 1;
        self.fetches.push(Fetch {
            at: at.clone(),
            number: self.number,
            broker,
            started: offset,
            asked: offset,
            next: offset,
            stable_end: None,
        });
        self.fetches.sort_by(|one, other| one.at.cmp(&other.at));
    }

    /// Reads a partition no more; what was fetched ahead is forgotten.
    pub(super) fn stop(&mut self, at: &TopicPartition) {
        self.fetches.retain(|fetch| fetch.at != *at);
        self.given_up.retain(|given_up| given_up.at != *at);
        let is_used = |link: &Link| self.fetches.iter().any(|fetch| fetch.broker == link.broker);
        self.links.retain(is_used);
    }

    /// Partitions given up since this was asked last.
    pub(super) fn take_given_up(&mut self) -> Vec<GivenUp> {
        std::mem::take(&mut self.given_up)
    }

    /// Partitions that are read, and how many records of each are left to hand over, once that is known.
    pub(super) fn lags(&self) -> impl Iterator<Item = (&TopicPartition, Option<i64>)> {
        let lag = |fetch: &Fetch| fetch.stable_end.map(|end| end.saturating_sub(fetch.next).max(0));
        self.fetches.iter().map(move |fetch| (&fetch.at, lag(fetch)))
    }

    /// Offset up to which a partition was handed over, what does not count behind the last record included.
    pub(super) fn passed(&self, at: &TopicPartition) -> Option<i64> {
        let fetch = self.fetches.iter().find(|fetch| fetch.at == *at);
        fetch.map(|fetch| fetch.next)
    }

    /// Whether nothing is read.
    pub(super) fn is_idle(&self) -> bool {
        self.fetches.is_empty()
    }

    /// Hands over up to `count_max` records, waiting for the first, and says how many.
    pub(super) fn poll(&mut self, wait: Duration, count_max: usize, take: Take<'_>) -> usize {
        let (mut count, mut wait) = (0, wait);
        loop {
            if self.answers.is_empty() {
                self.receive(wait);
            }
            if self.answers.is_empty() || self.hand_over(&mut count, count_max, now_ms(), take) {
                return count;
            }
            // The next answer may be there by now.
            wait = Duration::ZERO;
        }
    }

    /// Waits for an answer, or for a partition to be given up.
    fn receive(&mut self, wait: Duration) {
        let end = Instant::now() + wait;
        loop {
            self.ask();
            self.go_on();
            if !self.answers.is_empty() || !self.given_up.is_empty() {
                return;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            match self.poll.poll(&mut self.events, Some(left)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    self.give_up_where(Cause::Connection, &error.to_string(), |_| true);
                }
                _ => {}
            }
        }
    }

    /// Sends a request to every broker that owes no answer.
    fn ask(&mut self) {
        for index in 0..self.fetches.len() {
            let broker = self.fetches[index].broker;
            if self.links.iter().any(|link| link.broker == broker) {
                continue;
            }
            self.number += 1;
            let token = Token(usize::try_from(self.number).unwrap_or(usize::MAX));
            match Link::open(broker, self.poll.registry(), token) {
                Ok(link) => self.links.push(link),
                Err(error) => {
                    self.give_up_where(Cause::Connection, &format!("{broker}: {error}"), |fetch| {
                        fetch.broker == broker
                    });
                    return;
                }
            }
        }
        let mut lost = Vec::new();
        for link in self.links.iter_mut().filter(|link| link.asked.is_none()) {
            let mut wanted: Vec<&Fetch> = self
                .fetches
                .iter()
                .filter(|fetch| fetch.broker == link.broker)
                .collect();
            if wanted.is_empty() {
                continue;
            }
            // A broker fills its answer in the order of the request, and each partition shall come first at times.
            let first = link.requests % wanted.len();
            wanted.rotate_left(first);
            self.number += 1;
            let (fetches, wishes): (Vec<u64>, Vec<Wish<'_>>) = wanted.into_iter().map(Fetch::wish).unzip();
            let correlation = i32::try_from(self.number & 0x7fff_ffff).unwrap_or(0);
            let request = wire::request(correlation, &self.client, &LIMITS, &wishes);
            if let Err(error) = link.ask(Asked { correlation, fetches }, request) {
                lost.push((link.broker, error));
            }
        }
        for (broker, error) in lost {
            self.lose(broker, Cause::Connection, &format!("{broker}: {error}"));
        }
    }

    /// Sends and reads what can be without waiting.
    fn go_on(&mut self) {
        let (mut complete, mut lost) = (Vec::new(), Vec::new());
        for link in &mut self.links {
            match link.go_on() {
                Ok(true) => complete.push(link.broker),
                Ok(false) => {}
                Err(error) => lost.push((link.broker, error)),
            }
        }
        for (broker, error) in lost {
            // What is no answer has a kind of its own.
            let cause = match error.kind() {
                io::ErrorKind::InvalidData => Cause::Unreadable,
                _ => Cause::Connection,
            };
            self.lose(broker, cause, &format!("{broker}: {error}"));
        }
        for broker in complete {
            let room = self.rooms.pop().unwrap_or_default();
            let Some(link) = self.links.iter_mut().find(|link| link.broker == broker) else {
                continue;
            };
            let (bytes, length) = link.take(room);
            let Some(asked) = link.asked.take() else { continue };
            match self.understand(bytes, length, &asked) {
                Ok(throttled) => self.throttled(broker, throttled),
                Err(error) => self.lose(broker, Cause::Unreadable, &error.to_string()),
            }
        }
        // The broker prepares the next while this one is handed over.
        self.ask();
    }

    fn throttled(&mut self, broker: SocketAddr, time: Duration) {
        let link = self.links.iter_mut().find(|link| link.broker == broker);
        if let Some(link) = link.filter(|_| !time.is_zero()) {
            link.is_throttled(time);
        }
    }

    fn lose(&mut self, broker: SocketAddr, cause: Cause, detail: &str) {
        self.links.retain(|link| link.broker != broker);
        self.give_up_where(cause, detail, |fetch| fetch.broker == broker);
    }

    fn give_up_where(&mut self, cause: Cause, detail: &str, is_meant: impl Fn(&Fetch) -> bool) {
        let given_up = self
            .fetches
            .extract_if(.., |fetch| is_meant(fetch))
            .map(|fetch| GivenUp {
                at: fetch.at,
                next: fetch.next,
                cause,
                detail: detail.to_owned(),
                // A quiet partition progresses by answers alone.
                has_progressed: fetch.next > fetch.started || cause != Cause::Unreadable && fetch.stable_end.is_some(),
                broker: Some(fetch.broker),
            });
        self.given_up.extend(given_up);
    }

    /// Notes what an answer has of each partition that is still read. Gives the time for which the broker reads no request.
    fn understand(&mut self, bytes: Vec<u8>, length: usize, asked: &Asked) -> Result<Duration, Unreadable> {
        let mut parts = VecDeque::new();
        let mut refused = Vec::new();
        let body = &bytes[SIZE..length];
        let throttle_ms = wire::answer(body, asked.correlation, |answer| {
            let is_of = |fetch: &&mut Fetch| {
                fetch.at.partition == answer.partition
                    && *fetch.at.topic == *answer.topic
                    && asked.fetches.contains(&fetch.number)
            };
            if let Some(fetch) = self.fetches.iter_mut().find(is_of) {
                match fetch.answered(body, answer) {
                    Ok(part) => parts.extend(part),
                    Err(refusal) => refused.push((fetch.number, refusal)),
                }
            }
        })?;
        for (number, (cause, detail)) in refused {
            self.give_up_where(cause, &detail, |fetch| fetch.number == number);
        }
        if parts.is_empty() {
            self.keep_room(bytes);
        } else {
            self.answers.push_back(Answered { bytes, parts });
        }
        Ok(Duration::from_millis(throttle_ms.into()))
    }

    fn keep_room(&mut self, room: Vec<u8>) {
        if self.rooms.len() < ROOMS && room.capacity() <= ROOM_MAX {
            self.rooms.push(room);
        }
    }

    /// Hands over records until nobody wants more, which is true then, or all answers are handed over.
    fn hand_over(&mut self, count: &mut usize, count_max: usize, now_ms: i64, take: Take<'_>) -> bool {
        while let Some(answered) = self.answers.front_mut() {
            let Some(part) = answered.parts.front_mut() else {
                if let Some(answered) = self.answers.pop_front() {
                    self.keep_room(answered.bytes);
                }
                continue;
            };
            let Some(fetch) = self.fetches.iter_mut().find(|fetch| fetch.number == part.fetch) else {
                answered.parts.pop_front();
                continue;
            };
            let body = &answered.bytes[SIZE..];
            let handed = if self.open.fetch == Some(part.fetch) {
                self.open.hand_over(body, fetch, count, count_max, now_ms, take)
            } else {
                self.open.next(body, part)
            };
            match handed {
                Ok(Handed::Some) => {}
                Ok(Handed::Enough) => return true,
                Ok(Handed::All) => {
                    answered.parts.pop_front();
                }
                Err(error) => {
                    let number = part.fetch;
                    answered.parts.pop_front();
                    let detail = format!("{} from {} on: {error}", fetch.at, fetch.next);
                    self.give_up_where(Cause::Unreadable, &detail, |fetch| fetch.number == number);
                }
            }
        }
        false
    }
}

/// What came of handing over.
enum Handed {
    /// There may be more.
    Some,
    /// Nobody wants more for now.
    Enough,
    /// A part has nothing more.
    All,
}

impl Fetch {
    fn wish(&self) -> (u64, Wish<'_>) {
        let wish = Wish {
            topic: &self.at.topic,
            partition: self.at.partition,
            offset: self.asked,
        };
        (self.number, wish)
    }

    /// What the answer has of it, if that is anything, or why it cannot be read on.
    fn answered(&mut self, body: &[u8], answer: Answer<'_>) -> Result<Option<Part>, (Cause, String)> {
        if answer.error != 0 {
            let detail = format!("{}: the broker answers with error {}", self.at, answer.error);
            return Err((Cause::Broker, detail));
        }
        self.stable_end = self.stable_end.max(Some(answer.stable_end));
        let mut batches = &body[answer.records.clone()];
        let unreadable = |error: Unreadable| (Cause::Unreadable, format!("{}: {error}", self.at));
        let mut asked = self.asked;
        while let Some((batch, behind)) = Batch::first(batches).map_err(unreadable)? {
            asked = asked.max(batch.last_offset + 1);
            batches = behind;
        }
        let is_new = asked > self.asked;
        if !is_new && !answer.records.is_empty() {
            return Err(unreadable(Unreadable(
                "answer: it has bytes but no batch to go on with",
            )));
        }
        self.asked = asked;
        Ok(is_new.then(|| Part {
            fetch: self.number,
            batches: answer.records,
            aborts: Aborts::new(answer.aborted),
        }))
    }
}

impl Open {
    /// Opens the next batch of a part whose records count.
    fn next(&mut self, body: &[u8], part: &mut Part) -> Result<Handed, Unreadable> {
        let Some((batch, behind)) = Batch::first(&body[part.batches.clone()])? else {
            return Ok(Handed::All);
        };
        let start = part.batches.end - behind.len();
        part.batches.start = start;
        batch.check()?;
        let is_kept = part.aborts.keeps(&batch)?;
        self.plain = None;
        if let Some(records) = batch.plain() {
            self.plain = Some(start - records.len()..start);
        } else if is_kept {
            self.unpacked.shrink_to(ROOM_MAX);
            batch.unpack(&mut self.unpacked)?;
        }
        self.fetch = Some(part.fetch);
        self.at = 0;
        // What does not count is passed over as a batch of none.
        self.left = Left {
            count: if is_kept { batch.count } else { 0 },
            first_offset: batch.first_offset,
            last_offset: batch.last_offset,
        };
        self.first_ms = batch.first_ms;
        self.append_ms = batch.has_append_time().then_some(batch.last_ms);
        Ok(Handed::Some)
    }

    /// Hands over what is left of the batch, and closes it after the last.
    fn hand_over(
        &mut self,
        body: &[u8],
        fetch: &mut Fetch,
        count: &mut usize,
        count_max: usize,
        now_ms: i64,
        take: Take<'_>,
    ) -> Result<Handed, Unreadable> {
        let records = self.plain.clone().map_or(&self.unpacked[..], |plain| &body[plain]);
        let mut cursor = Cursor::from(records, self.at);
        let mut handed = Handed::Some;
        let mut outcome = Ok(());
        while self.left.count > 0 && matches!(handed, Handed::Some) && outcome.is_ok() {
            let mut entries = ArrayVec::<(i64, Entry<'_>), TOGETHER>::new();
            // Those before one that cannot be read are handed over.
            outcome = self
                .left
                .read(&mut cursor, fetch.next, count_max.saturating_sub(*count), &mut entries);
            *count += entries.len();
            if let Some((newest, _)) = entries.last() {
                fetch.next = newest + 1;
            }
            if *count >= count_max {
                handed = Handed::Enough;
            }
            let (at, first_ms, given_ms) = (&fetch.at, self.first_ms, self.append_ms);
            let mut together = ArrayVec::<Record<'_>, TOGETHER>::new();
            for (offset, entry) in &entries {
                together.push(Record {
                    topic: &at.topic,
                    partition: at.partition,
                    offset: *offset,
                    append_ms: given_ms.unwrap_or_else(|| append_ms(first_ms.saturating_add(entry.time_delta), now_ms)),
                    key: entry.key,
                    value: entry.value,
                    replays: &entry.headers,
                });
            }
            if !together.is_empty() && take(&together).is_break() {
                // What cannot be read comes next.
                (handed, outcome) = (Handed::Enough, Ok(()));
            }
        }
        outcome?;
        self.at = cursor.at;
        if self.left.count == 0 {
            fetch.next = fetch.next.max(self.left.last_offset + 1);
            self.fetch = None;
        }
        Ok(handed)
    }
}

impl Left {
    /// The record at the cursor, and its offset.
    fn entry<'b>(&self, cursor: &mut Cursor<'b>) -> Result<(i64, Entry<'b>), Unreadable> {
        let entry = Entry::read(cursor)?;
        let offset = self.first_offset.saturating_add(entry.offset_delta);
        if offset > self.last_offset {
            return Err(Unreadable("batch: a record is beyond its end"));
        }
        Ok((offset, entry))
    }

    /// Reads the next records of the batch from offset `next` on with their offsets, at most so many and as `entries` has
    /// room for.
    fn read<'b>(
        &mut self,
        cursor: &mut Cursor<'b>,
        next: i64,
        count_max: usize,
        entries: &mut ArrayVec<(i64, Entry<'b>), TOGETHER>,
    ) -> Result<(), Unreadable> {
        let mut next = next;
        while self.count > 0 && entries.len() < count_max.min(TOGETHER) {
            let start = cursor.at;
            let (offset, entry) = self.entry(cursor).inspect_err(|_| cursor.at = start)?;
            self.count -= 1;
            if offset >= next {
                next = offset + 1;
                entries.push((offset, entry));
            }
        }
        Ok(())
    }
}
