//! `falsefront dead-letters replay`: gives refused records back to the topics they came from, bytes unchanged.
//!
//! A record and the mark that it went back are one transaction, and a letter that has its mark is passed over; so a
//! replay may be interrupted, and repeated. A record that was refused [`REPLAYS_MAX`] times stays where it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::dead_letter::REPLAY_COUNT;
use super::kafka::Connection;
use super::kafka::admin::Admin;
use super::kafka::io::{IoError, ReadRecord, Reader, Writer};
use super::log::Outgoing;
use super::topics::{FoundTopic, TopicNames};

/// Times that one record is given back at most.
pub const REPLAYS_MAX: u8 = 3;
/// Header of a mark: the record that went back, as `topic/partition/offset`.
const MARK: &str = "x-falsefront-replayed";
/// Records in one transaction at most.
const BATCH: usize = 500;
/// Longest the dead letters may take to be read.
const READ_MAX: Duration = Duration::from_secs(300);
/// What Kafka's batch and our header take beside key and value, bytes, rounded up.
const BESIDE_BYTES: usize = 256;
/// Longest a question to the brokers may take.
const ASK: Duration = Duration::from_secs(30);

/// Which letters, and whether to do it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Only letters of this reason.
    pub reason: Option<String>,
    /// So many letters at most, the oldest of each partition first.
    pub limit: Option<usize>,
    /// Write; otherwise only say what would be written.
    pub is_applied: bool,
}

/// What was done, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Records given back, by topic and reason.
    pub replayed: BTreeMap<(String, String), usize>,
    /// Letters left alone, by why.
    pub kept: BTreeMap<&'static str, usize>,
}

struct Letter {
    topic: String,
    partition: i32,
    reason: String,
    /// `topic/partition/offset` of the refused record.
    place: String,
    replays: u8,
    key: Option<Vec<u8>>,
    value: Vec<u8>,
}

fn header<'a>(record: &'a ReadRecord, name: &str) -> Option<&'a str> {
    let found = record.headers.iter().find(|(header, _)| header == name);
    found.and_then(|(_, value)| std::str::from_utf8(value).ok())
}

/// The record to give back, or why it cannot be.
fn letter(record: ReadRecord, sources: &[String]) -> Result<Letter, &'static str> {
    let origin = |name| header(&record, name).map(str::to_owned).ok_or("without origin");
    let topic = origin("__connect.errors.topic")?;
    let partition = origin("__connect.errors.partition")?;
    let offset = origin("__connect.errors.offset")?;
    let reason = origin("x-falsefront-reason")?;
    let replays = header(&record, REPLAY_COUNT)
        .map_or(Ok(0), str::parse)
        .unwrap_or(REPLAYS_MAX);
    if !sources.contains(&topic) {
        return Err("not of a topic in [[sources]]");
    }
    if header(&record, "x-falsefront-truncated").is_some() {
        return Err("cut: the original bytes are gone");
    }
    if replays >= REPLAYS_MAX {
        return Err("given back three times already");
    }
    let value = record.value.filter(|value| !value.is_empty()).ok_or("empty")?;
    Ok(Letter {
        place: format!("{topic}/{partition}/{offset}"),
        partition: partition.parse().map_err(|_| "without origin")?,
        topic,
        reason,
        replays,
        key: record.key,
        value,
    })
}

impl Letter {
    /// Why the topic that it came from would not take it back: one that it refuses would hold up all the others.
    fn misfit(&self, topics: &BTreeMap<String, FoundTopic>) -> Option<&'static str> {
        let Some(topic) = topics.get(&self.topic) else {
            return Some("their topic is gone");
        };
        if usize::try_from(self.partition).map_or(true, |partition| partition >= topic.partitions) {
            return Some("their topic has no such partition any more");
        }
        let bytes_max = topic.settings.get("max.message.bytes");
        let bytes_max = bytes_max.and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
        let bytes = self.value.len() + self.key.as_ref().map_or(0, Vec::len) + BESIDE_BYTES;
        (bytes > bytes_max).then_some("larger than their topic's max.message.bytes")
    }
}

/// The topics that are read and written, as they are.
fn topics(
    connection: &Connection,
    names: &TopicNames,
    sources: &[String],
) -> Result<BTreeMap<String, FoundTopic>, IoError> {
    let io = |error: &dyn std::fmt::Display| IoError(error.to_string());
    let mut all: Vec<&str> = sources.iter().map(String::as_str).collect();
    all.push(&names.dead_letters);
    let admin = Admin::new(connection).map_err(|error| io(&error))?;
    let found = admin.describe(&all, ASK).map_err(|error| io(&error))?;
    if !found.contains_key(&*names.dead_letters) {
        let missing = format!(
            "{} does not exist; check `application` and kafka.brokers",
            names.dead_letters
        );
        return Err(IoError(missing));
    }
    Ok(found)
}

/// Reads all dead letters and gives back those that are wanted.
///
/// # Errors
/// [`IoError`] if the topics cannot be read or written.
pub fn replay(
    connection: &Connection,
    names: &TopicNames,
    sources: &[String],
    wanted: &Wanted,
) -> Result<Outcome, IoError> {
    let found = topics(connection, names, sources)?;
    // First, because it ends what a run that was killed had begun: the marks of that count, or its records do not.
    let id = format!("{}.replay", names.dead_letters);
    let writer = match wanted.is_applied {
        true => Some(Writer::transactional(connection, &id, ASK)?),
        false => None,
    };
    let mut outcome = Outcome::default();
    let mut letters: Vec<Letter> = Vec::new();
    let mut marks = BTreeSet::new();
    for record in read_all(connection, names)? {
        if let Some(place) = header(&record, MARK) {
            marks.insert(place.to_owned());
            continue;
        }
        if wanted
            .reason
            .as_deref()
            .is_some_and(|reason| header(&record, "x-falsefront-reason") != Some(reason))
        {
            continue;
        }
        let letter = letter(record, sources);
        let fitting = letter.and_then(|letter| match letter.misfit(&found) {
            Some(why) => Err(why),
            None => Ok(letter),
        });
        match fitting {
            Ok(letter) => letters.push(letter),
            Err(why) => *outcome.kept.entry(why).or_default() += 1,
        }
    }
    let mut seen = BTreeSet::new();
    // Several events of one record may have been refused, each with a letter; the record goes back once.
    letters.retain(|letter| seen.insert(letter.place.clone()));
    let before = letters.len();
    letters.retain(|letter| !marks.contains(&letter.place));
    if before > letters.len() {
        outcome.kept.insert("given back already", before - letters.len());
    }
    letters.truncate(wanted.limit.unwrap_or(usize::MAX));
    for letter in &letters {
        let kind = (letter.topic.clone(), letter.reason.clone());
        *outcome.replayed.entry(kind).or_default() += 1;
    }
    let Some(writer) = writer else { return Ok(outcome) };
    for (index, batch) in letters.chunks(BATCH).enumerate() {
        give_back(&writer, names, batch).map_err(|error| {
            let before = index * BATCH;
            IoError(format!(
                "{error}; {before} records were given back before: run it again, none goes back twice"
            ))
        })?;
    }
    Ok(outcome)
}

fn give_back(writer: &Writer, names: &TopicNames, batch: &[Letter]) -> Result<(), IoError> {
    writer.begin()?;
    for letter in batch {
        let count = letter.replays.saturating_add(1).to_string().into_bytes();
        writer.send_outgoing(&Outgoing {
            topic: letter.topic.as_str().into(),
            partition: letter.partition,
            key: letter.key.clone(),
            value: Some(letter.value.clone()),
            headers: vec![(REPLAY_COUNT, count)],
        })?;
        let partitions = i32::try_from(names.partitions).unwrap_or(i32::MAX);
        writer.send_outgoing(&Outgoing {
            topic: names.dead_letters.clone(),
            partition: letter.partition.rem_euclid(partitions),
            key: letter.key.clone(),
            value: Some(Vec::new()),
            headers: vec![(MARK, letter.place.clone().into_bytes())],
        })?;
    }
    writer.flush(ASK)?;
    writer.commit()
}

fn read_all(connection: &Connection, names: &TopicNames) -> Result<Vec<ReadRecord>, IoError> {
    let mut reader = Reader::new(connection, &names.dead_letters, names.partitions)?;
    let mut records = Vec::new();
    let began = Instant::now();
    while !reader.is_at_end() {
        records.extend(reader.next(Duration::from_millis(100))?);
        if began.elapsed() > READ_MAX {
            let topic = &names.dead_letters;
            let seconds = READ_MAX.as_secs();
            return Err(IoError(format!(
                "{topic} was not read to its end within {seconds} s; check that the brokers answer and the topic exists"
            )));
        }
    }
    Ok(records)
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for ((topic, reason), count) in &self.replayed {
            writeln!(formatter, "{count} records of {topic} refused as {reason}")?;
        }
        for (why, count) in &self.kept {
            writeln!(formatter, "{count} letters stay: {why}")?;
        }
        write!(formatter, "{} records in all", self.replayed.values().sum::<usize>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_its_topic_would_refuse_stays_and_says_why() {
        let letter = Letter {
            topic: "auth".to_owned(),
            partition: 2,
            reason: "malformed_json".to_owned(),
            place: "auth/2/7".to_owned(),
            replays: 0,
            key: None,
            value: vec![b'x'; 10_000],
        };
        let misfit = |partitions: usize, bytes_max: &str| {
            let topic = FoundTopic {
                partitions,
                replication: 1,
                settings: BTreeMap::from([("max.message.bytes".to_owned(), bytes_max.to_owned())]),
                unknown: None,
            };
            letter.misfit(&BTreeMap::from([("auth".to_owned(), topic)]))
        };
        assert_eq!(misfit(3, "1048588"), None);
        assert_eq!(misfit(3, ""), None, "a topic whose settings are not told");
        assert_eq!(misfit(2, "1048588"), Some("their topic has no such partition any more"));
        assert_eq!(misfit(3, "10000"), Some("larger than their topic's max.message.bytes"));
        assert_eq!(letter.misfit(&BTreeMap::new()), Some("their topic is gone"));
    }
}
