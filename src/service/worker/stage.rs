//! What a worker runs over its records: intake, or one fold per partition.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrayvec::ArrayVec;

use crate::intake::Format;
use crate::model::Severity;
use crate::model::key::HashKey;
use crate::pipeline::intake::{Beside, DeadLetter, Intake, IntakeOutputs, RawRecord};
use crate::pipeline::{CodecError, Counts, Fault, Fold, Outputs, Position};
use crate::service::dead_letter::{self, Reject};
use crate::service::log::{Failure, Outgoing, Record, TOGETHER};
use crate::service::topics::TopicNames;

/// A stage, as configuration and metrics spell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sources to observations.
    Intake,
    /// Observations to alerts and links.
    Accounts,
    /// Links to alerts.
    Entities,
}

impl Role {
    /// All roles, in the order of the stream.
    pub const ALL: [Self; 3] = [Self::Intake, Self::Accounts, Self::Entities];

    /// The role as configuration spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Accounts => "accounts",
            Self::Entities => "entities",
        }
    }
}

/// Intake as a worker uses it: the real one, or a small one that tests drive the protocol with.
pub trait Take: Send {
    /// From now on keeps beside the packed records which record each observation is of, as [`Beside::Offset`].
    fn keep_offsets(&mut self);
    /// Takes records of a source.
    fn records(&mut self, format: Format, records: &[RawRecord<'_>]);
    /// Records refused since the last call or flush.
    fn take_dead_letters(&mut self) -> Vec<DeadLetter>;
    /// Observations packed since the last flush.
    fn held(&self) -> usize;
    /// Everything packed and refused since the last flush.
    fn flush(&mut self) -> IntakeOutputs;
}

/// Gives the reference data in use: it is swapped whole while workers run.
pub type SharedReference = Arc<dyn Fn() -> Arc<crate::enrich::Reference> + Send + Sync>;

/// The real intake, with whatever reference data is loaded when a transaction begins.
pub struct LiveIntake {
    intake: Intake,
    reference: SharedReference,
}

impl LiveIntake {
    /// Keeps `intake` on the latest of `reference`.
    #[must_use]
    pub fn new(intake: Intake, reference: SharedReference) -> Self {
        Self { intake, reference }
    }
}

impl Take for LiveIntake {
    fn keep_offsets(&mut self) {
        self.intake.keep(Beside::Offset);
    }
    fn records(&mut self, format: Format, records: &[RawRecord<'_>]) {
        self.intake.records(format, records);
    }
    fn take_dead_letters(&mut self) -> Vec<DeadLetter> {
        self.intake.take_dead_letters()
    }
    fn held(&self) -> usize {
        self.intake.held()
    }
    fn flush(&mut self) -> IntakeOutputs {
        let outputs = self.intake.flush();
        self.intake.swap_reference((self.reference)());
        outputs
    }
}

/// Makes the empty fold of one partition.
pub type FoldFactory = Arc<dyn Fn(i32) -> Box<dyn Fold + Send> + Send + Sync>;

/// What a worker runs.
pub enum Stage {
    /// Intake over all partitions of the sources.
    Intake {
        /// The intake.
        take: Box<dyn Take>,
        /// Format of each source topic.
        formats: BTreeMap<String, Format>,
    },
    /// One fold per partition.
    Fold {
        /// [`Role::Accounts`] or [`Role::Entities`].
        role: Role,
        /// Makes the fold of a partition.
        factory: FoldFactory,
    },
}

/// What a transaction would tell the metrics, kept until it is durable.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Records read, by topic.
    pub records: BTreeMap<String, u64>,
    /// Counts of the core.
    pub counts: Counts,
    /// Alerts by detection, severity and whether they are signals.
    pub alerts: BTreeMap<(&'static str, Severity, bool), u64>,
    /// Dead letters by reason.
    pub dead_letters: BTreeMap<String, u64>,
    /// Latest append time read, ms.
    pub append_ms: i64,
}

/// Links packed into one record at most, bytes: a record costs the brokers ten times as much as the link in it.
const LINKS_BYTES_MAX: usize = 256 * 1024;

/// Where outputs go and by which rule.
pub struct Outbox {
    /// Records not sent yet, in order.
    pub records: Vec<Outgoing>,
    /// Bytes in `records`, roughly.
    pub bytes: usize,
    /// For the metrics.
    pub tally: Tally,
    topics: TopicNames,
    hash_key: HashKey,
    scratch: Outputs,
    /// Links not queued yet, by partition: frame behind frame.
    links: Vec<Vec<u8>>,
}

impl Outbox {
    /// An empty outbox.
    #[must_use]
    pub fn new(topics: TopicNames, hash_key: HashKey) -> Self {
        let partitions = usize::try_from(topics.partitions).unwrap_or(1);
        Self {
            records: Vec::new(),
            bytes: 0,
            tally: Tally::default(),
            topics,
            hash_key,
            scratch: Outputs::default(),
            links: vec![Vec::new(); partitions],
        }
    }

    /// Forgets what an aborted transaction would have written.
    pub fn clear(&mut self) {
        self.records.clear();
        self.bytes = 0;
        self.tally = Tally::default();
        self.links.iter_mut().for_each(Vec::clear);
    }

    /// Queues the links that are not queued yet.
    pub fn flush_links(&mut self) {
        for partition in 0..self.topics.partitions {
            let frames = usize::try_from(partition)
                .ok()
                .and_then(|index| self.links.get_mut(index));
            if let Some(frames) = frames.map(std::mem::take).filter(|frames| !frames.is_empty()) {
                self.push_links(partition, frames);
            }
        }
    }

    fn push_links(&mut self, partition: u32, frames: Vec<u8>) {
        self.push(Outgoing {
            topic: self.topics.links.clone(),
            partition: partition_index(partition),
            key: None,
            value: Some(frames),
            headers: Vec::new(),
        });
    }

    /// Queues one record.
    pub fn push(&mut self, record: Outgoing) {
        self.bytes += record.value.as_ref().map_or(0, Vec::len) + record.key.as_ref().map_or(0, Vec::len) + 64;
        self.records.push(record);
    }

    /// Counts records of one topic.
    fn count(&mut self, records: &[Record<'_>]) {
        let Some(first) = records.first() else {
            return;
        };
        let count = self.tally.records.get_mut(first.topic);
        let count = match count {
            Some(count) => count,
            None => self.tally.records.entry(first.topic.to_owned()).or_default(),
        };
        *count += records.len() as u64;
        let latest = records.iter().map(|record| record.append_ms).max();
        self.tally.append_ms = self.tally.append_ms.max(latest.unwrap_or(i64::MIN));
    }

    fn reject(&mut self, reject: &Reject<'_>, record: Option<&Record<'_>>) {
        *self.tally.dead_letters.entry(reject.reason.to_owned()).or_default() += 1;
        let letter = dead_letter::encode(&self.topics, reject, record);
        self.push(letter);
    }

    fn partition_of_key(&self, key: &str) -> i32 {
        partition_index(self.hash_key.account(key).partition(self.topics.partitions))
    }

    /// Takes records of a source's partition through intake, in the order of their offsets.
    pub fn intake(&mut self, take: &mut dyn Take, format: Format, records: &[Record<'_>]) {
        self.count(records);
        for records in records.chunks(TOGETHER) {
            let raw = records.iter().map(|record| RawRecord {
                topic: record.topic,
                partition: record.partition,
                offset: record.offset,
                append_ms: record.append_ms,
                value: record.value,
            });
            let raw: ArrayVec<RawRecord<'_>, TOGETHER> = raw.collect();
            take.records(format, &raw);
            for letter in take.take_dead_letters() {
                let record = records.iter().find(|record| record.offset == letter.offset);
                self.reject(&Reject::of_intake(&letter), record);
            }
        }
    }

    /// Packs what intake holds back.
    pub fn flush_intake(&mut self, take: &mut dyn Take) {
        let outputs = take.flush();
        for letter in &outputs.dead_letters {
            self.reject(&Reject::of_intake(letter), None);
        }
        self.tally.counts.merge(&outputs.counts);
        for packed in outputs.observations {
            self.push(Outgoing {
                topic: self.topics.observations.clone(),
                partition: partition_index(packed.partition),
                key: None,
                value: Some(packed.value),
                headers: Vec::new(),
            });
        }
    }

    /// Folds records of a partition, in the order of their offsets, and queues what they caused. `append_ms` is the latest
    /// append time of that partition, ms, and moves with them.
    ///
    /// # Errors
    /// [`Halt`] at a record that must not be passed over.
    pub fn fold(
        &mut self,
        role: Role,
        fold: &mut (dyn Fold + Send),
        records: &[Record<'_>],
        append_ms: &mut i64,
    ) -> Result<(), Halt> {
        for records in records.chunks(TOGETHER) {
            let mut latest_ms = *append_ms;
            let positioned = records.iter().map(|record| record.positioned(&mut latest_ms));
            let positioned: ArrayVec<(Position, &[u8]), TOGETHER> = positioned.collect();
            let mut outputs = std::mem::take(&mut self.scratch);
            let result = fold.fold_each(&positioned, &mut outputs, &mut |index, error| {
                let record = &records[index];
                self.reject(&Reject::of_fold(role, record, &error), Some(record));
            });
            let folded = result.as_ref().map_or_else(|(index, _)| *index, |()| records.len());
            self.count(&records[..folded]);
            if let Some((position, _)) = positioned[..folded].last() {
                *append_ms = position.append_ms;
            }
            for letter in outputs.dead_letters.drain(..) {
                let record = records.iter().find(|record| record.offset == letter.offset);
                self.reject(&Reject::of_intake(&letter), record);
            }
            self.queue(outputs);
            result.map_err(|(index, error)| Halt {
                next: (error.fault != Fault::Defect).then_some(records[index].offset),
                failure: stopping_at(&records[index], &error),
            })?;
        }
        Ok(())
    }

    /// Folds what a fold held back, and queues what it caused.
    ///
    /// # Errors
    /// [`CodecError`] if the fold cannot read what it held back itself.
    pub fn settle(&mut self, fold: &mut (dyn Fold + Send)) -> Result<(), CodecError> {
        let mut outputs = std::mem::take(&mut self.scratch);
        let settled = fold.settle(&mut outputs);
        self.queue(outputs);
        settled
    }

    fn queue(&mut self, mut outputs: Outputs) {
        for published in outputs.alerts.drain(..) {
            let kind = (published.detection, published.severity, published.is_alert);
            *self.tally.alerts.entry(kind).or_default() += 1;
            self.push(Outgoing {
                topic: self.topics.alerts.clone(),
                partition: self.partition_of_key(&published.key),
                key: Some(published.key.into_bytes()),
                value: Some(published.value),
                headers: published
                    .headers
                    .into_iter()
                    .map(|(name, value)| (name, value.into_bytes()))
                    .collect(),
            });
        }
        for (key, link) in outputs.links.iter() {
            let partition = key.partition(self.topics.partitions);
            let Some(frames) = usize::try_from(partition)
                .ok()
                .and_then(|index| self.links.get_mut(index))
            else {
                continue;
            };
            frames.extend_from_slice(link);
            if frames.len() >= LINKS_BYTES_MAX {
                let frames = std::mem::take(frames);
                self.push_links(partition, frames);
            }
        }
        outputs.links.clear();
        self.tally.counts.merge(&outputs.counts);
        outputs.counts.clear();
        self.scratch = outputs;
    }
}

/// A record that must not be passed over.
#[derive(Debug)]
pub struct Halt {
    /// Its offset, if everything before it is folded.
    pub next: Option<i64>,
    /// What the operator must know.
    pub failure: Failure,
}

/// What stops a worker at a record.
pub(super) fn stopping_at(record: &Record<'_>, error: &CodecError) -> Failure {
    let (topic, partition, offset) = (record.topic, record.partition, record.offset);
    Failure::Stop(format!("{topic}/{partition} at offset {offset}: {error}"))
}

fn partition_index(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::settings::IntakeSettings;

    #[test]
    fn a_letter_among_many_records_holds_its_own() {
        let good = br#"{"class_uid":3002,"activity_id":1,"status_id":1,"time":1767323045678,"user":{"name":"ann@corp.example"}}"#;
        let records: Vec<Record<'_>> = (40..60)
            .map(|offset| Record {
                topic: "auth",
                partition: 1,
                offset,
                append_ms: 1_767_323_045_678,
                key: Some(if offset == 43 { b"one" } else { b"two" }),
                value: Some(match offset {
                    43 => b"{",
                    58 => b"[]",
                    _ => good,
                }),
                replays: if offset == 43 { &0 } else { &7 },
            })
            .collect();
        let settings = IntakeSettings::default();
        let intake = Intake::new(settings, HashKey([0; 16]), Arc::default());
        let mut take = LiveIntake::new(intake, Arc::new(Arc::default));
        let mut outbox = Outbox::new(TopicNames::new("t", 2), HashKey([0; 16]));
        outbox.intake(&mut take, Format::Ocsf, &records);
        let letters: Vec<_> = outbox
            .records
            .iter()
            .map(|letter| {
                let header = |name| letter.headers.iter().find(|(header, _)| *header == name);
                let text = |name| header(name).map(|(_, value)| String::from_utf8_lossy(value).into_owned());
                let (offset, replays) = (text("__connect.errors.offset"), text(dead_letter::REPLAY_COUNT));
                (letter.key.clone(), letter.value.clone(), offset, replays)
            })
            .collect();
        let held = |bytes: &[u8]| Some(bytes.to_vec());
        assert_eq!(
            letters,
            [
                (held(b"one"), held(b"{"), Some("43".to_owned()), None),
                (held(b"two"), held(b"[]"), Some("58".to_owned()), Some("7".to_owned())),
            ]
        );
        outbox.flush_intake(&mut take);
        assert_eq!(outbox.tally.records["auth"], 20);
        assert_eq!(outbox.tally.counts.of("events_decoded", "all"), 18);
    }
}
