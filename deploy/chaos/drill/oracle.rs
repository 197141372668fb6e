//! The oracle: what must be in the topics, worked out single-threaded with the library.
//!
//! * I1: ids in committed `observations` are those of the valid records of the source, each as often as it stands there
//! * I2: each alert record is there once
//! * I3: folding the committed `observations` and `links` gives exactly the committed links, alerts and digests

use std::collections::BTreeMap;

use falsefront::intake::Format;
use falsefront::model::link_codec;
use falsefront::pipeline::intake::RawRecord;
use falsefront::pipeline::{Outputs, Position};
use falsefront::service::kafka::io::ReadRecord;
use falsefront::service::worker::stage::FoldFactory;
use falsefront::window::intern::Interner;

use super::feed::ids;
use super::ledger::Ledger;
use super::setting::{PARTITIONS, SOURCE_PARTITIONS, Setting};
use super::watch::{alert_id, digest, read_all};

/// What the final reading came to. All but the totals must be 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Observations in the log.
    pub(crate) observations: u64,
    /// Alert records in the log.
    pub(crate) alerts: u64,
    /// Links in the log.
    pub(crate) links: u64,
    /// Events the feeder's client accepted and the source does not hold.
    pub(crate) undelivered: u64,
    /// Of the lost ones, some, with partition and offset in the source.
    pub(crate) lost_at: Vec<String>,
    /// Events that the source holds and `observations` does not, or rejects without a dead letter.
    pub(crate) lost: u64,
    /// Events, alerts and dead letters that are there more often than they should.
    pub(crate) duplicated: u64,
    /// Events the concurrent reader missed.
    pub(crate) concurrent_lost: u64,
    /// Events and alerts the concurrent reader saw more often than it should.
    pub(crate) concurrent_duplicated: u64,
    /// Alerts, links and their bytes that a single-threaded fold gives and the log does not have, or the reverse.
    pub(crate) not_as_folded: u64,
    /// Final states that differ from the digest committed.
    pub(crate) digest_mismatches: u64,
    /// Partitions whose last commit does not cover their input.
    pub(crate) unfinished: u64,
}

/// Reads everything again and judges.
///
/// # Errors
/// If a topic cannot be read.
pub(crate) fn judge(setting: &Setting, ledger: &Ledger) -> anyhow::Result<Verdict> {
    let topics = &setting.service.topics;
    let observations = read_all(setting, &topics.observations, PARTITIONS)?;
    let links = read_all(setting, &topics.links, PARTITIONS)?;
    let alerts = read_all(setting, &topics.alerts, PARTITIONS)?;
    let letters = read_all(setting, &topics.dead_letters, PARTITIONS)?;
    let checkpoints = read_all(setting, &topics.checkpoints, PARTITIONS * 2)?;

    let mut verdict = Verdict {
        alerts: alerts.len() as u64,
        ..Verdict::default()
    };
    let mut observed: BTreeMap<String, u32> = BTreeMap::new();
    let mut interner = Interner::default();
    for record in &observations {
        for id in ids(record.value.as_deref().unwrap_or_default(), &mut interner)? {
            verdict.observations += 1;
            *observed.entry(id).or_default() += 1;
        }
    }
    let sent: BTreeMap<String, u32> = ledger.sent.iter().map(|(id, sent)| (id.clone(), sent.count)).collect();
    let source = source_of(setting)?;
    let durable: BTreeMap<String, u32> = source
        .iter()
        .map(|(id, at)| (id.clone(), u32::try_from(at.len()).unwrap_or(u32::MAX)))
        .collect();
    // What the feeder could not deliver was never ours to lose; what it delivered twice was ours to take twice.
    verdict.undelivered = difference(&sent, &durable).0;
    (verdict.lost, verdict.duplicated) = difference(&durable, &observed);
    (verdict.concurrent_lost, verdict.concurrent_duplicated) = difference(&durable, &ledger.observed);
    for (id, at) in &source {
        let found = observed.get(id).copied().unwrap_or(0);
        if usize::try_from(found)? < at.len() && verdict.lost_at.len() < LOST_SHOWN {
            verdict.lost_at.push(format!("{id} at {at:?}, {found} observed"));
        }
    }
    verdict.lost += ledger.rejects.saturating_sub(letters.len() as u64);
    verdict.duplicated += (letters.len() as u64).saturating_sub(ledger.rejects);

    let mut alert_ids: BTreeMap<String, u32> = BTreeMap::new();
    for record in &alerts {
        *alert_ids.entry(alert_id(record)?).or_default() += 1;
    }
    verdict.duplicated += repeated(&alert_ids);
    verdict.concurrent_duplicated += repeated(&ledger.alerts);
    verdict.concurrent_lost += difference(&alert_ids, &ledger.alerts).0;

    let mut folded = Folded::default();
    folded.fold("accounts", &setting.stages.accounts, &observations)?;
    let expected_links = std::mem::take(&mut folded.links);
    folded.fold("entities", &setting.stages.entities, &links)?;
    let mut frames: Vec<Content> = Vec::new();
    for record in &links {
        let record = record.value.as_deref().unwrap_or_default();
        frames.extend(link_codec::frames(record)?.map(|frame| (Vec::new(), frame.to_vec())));
    }
    verdict.links = frames.len() as u64;
    verdict.not_as_folded += unlike(expected_links, frames.into_iter());
    verdict.not_as_folded += unlike(folded.alerts, alerts.iter().map(content));
    judge_digests(&mut verdict, &folded.states, &checkpoints)?;
    Ok(verdict)
}

/// Lost events that are named.
const LOST_SHOWN: usize = 8;

/// By id, where in the source each event stands that intake must accept.
fn source_of(setting: &Setting) -> anyhow::Result<BTreeMap<String, Vec<(i32, i64)>>> {
    let mut take = (setting.stages.intake)(PARTITIONS);
    let mut interner = Interner::default();
    let mut found: BTreeMap<String, Vec<(i32, i64)>> = BTreeMap::new();
    for record in read_all(setting, &setting.source, SOURCE_PARTITIONS)? {
        let raw = RawRecord {
            topic: &setting.source,
            partition: record.partition,
            offset: record.offset,
            append_ms: record.time_ms,
            value: record.value.as_deref(),
        };
        take.records(Format::Ocsf, &[raw]);
        drop(take.take_dead_letters());
        for packed in take.flush().observations {
            for id in ids(&packed.value, &mut interner)? {
                found.entry(id).or_default().push((record.partition, record.offset));
            }
        }
    }
    Ok(found)
}

fn judge_digests(
    verdict: &mut Verdict,
    states: &BTreeMap<(&'static str, i32), (i64, u128)>,
    checkpoints: &[ReadRecord],
) -> anyhow::Result<()> {
    let mut last = BTreeMap::new();
    for record in checkpoints {
        if let Some((stage, partition, digest)) = digest(record)? {
            last.insert((stage, partition), digest);
        }
    }
    for (at, (end, state)) in states {
        match last.get(at) {
            Some(digest) if digest.offset >= *end => verdict.digest_mismatches += u64::from(digest.digest != *state),
            _ => verdict.unfinished += 1,
        }
    }
    Ok(())
}

type Content = (Vec<u8>, Vec<u8>);

fn content(record: &ReadRecord) -> Content {
    let bytes = |bytes: &Option<Vec<u8>>| bytes.clone().unwrap_or_default();
    (bytes(&record.key), bytes(&record.value))
}

#[derive(Default)]
struct Folded {
    alerts: Vec<Content>,
    links: Vec<Content>,
    /// Offset behind the last record of a partition, and the digest of its state.
    states: BTreeMap<(&'static str, i32), (i64, u128)>,
}

impl Folded {
    fn fold(&mut self, stage: &'static str, factory: &FoldFactory, records: &[ReadRecord]) -> anyhow::Result<()> {
        let mut outputs = Outputs::default();
        for partition in 0..i32::try_from(PARTITIONS)? {
            let mut fold = factory(partition);
            let (mut append_ms, mut end) = (0, 0);
            for record in records.iter().filter(|record| record.partition == partition) {
                append_ms = record.time_ms.max(append_ms);
                end = record.offset + 1;
                let position = Position {
                    offset: record.offset,
                    append_ms,
                };
                fold.fold(position, record.value.as_deref().unwrap_or_default(), &mut outputs)?;
            }
            if end > 0 {
                self.states.insert((stage, partition), (end, fold.digest()));
            }
        }
        let alerts = outputs.alerts.into_iter();
        self.alerts
            .extend(alerts.map(|alert| (alert.key.into_bytes(), alert.value)));
        let links = outputs.links.iter();
        self.links.extend(links.map(|(_, link)| (Vec::new(), link.to_vec())));
        Ok(())
    }
}

/// How many of `expected` are missing, and how many of `found` are too many.
fn difference(expected: &BTreeMap<String, u32>, found: &BTreeMap<String, u32>) -> (u64, u64) {
    let above = |one: &BTreeMap<String, u32>, other: &BTreeMap<String, u32>| {
        let counts = one.iter();
        let surplus = counts.map(|(id, count)| count.saturating_sub(other.get(id).copied().unwrap_or(0)));
        surplus.map(u64::from).sum()
    };
    (above(expected, found), above(found, expected))
}

fn repeated(ids: &BTreeMap<String, u32>) -> u64 {
    ids.values().map(|count| u64::from(count.saturating_sub(1))).sum()
}

/// In how many items two multisets differ.
fn unlike<T: Ord>(one: Vec<T>, other: impl Iterator<Item = T>) -> u64 {
    let mut balance: BTreeMap<T, i64> = BTreeMap::new();
    for item in one {
        *balance.entry(item).or_default() += 1;
    }
    for item in other {
        *balance.entry(item).or_default() -= 1;
    }
    balance.values().map(|count| count.unsigned_abs()).sum()
}
