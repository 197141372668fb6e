//! A tiny core that makes every lost, doubled or misplaced record visible in its alerts.
//!
//! A source record is `ACCOUNT`. Each account counts its records; each tenth is an alert `ACCOUNT#COUNT`, each fifth a
//! link, and entities count the links per account and raise `ACCOUNT@COUNT` for each. So the set of alerts is the
//! counts, and a state that was restored wrongly raises a wrong one.

use std::collections::BTreeMap;
use std::sync::Arc;

use falsefront::intake::Format;
use falsefront::model::codec::{Reader, Writer};
use falsefront::model::key::HashKey;
use falsefront::model::{Key, Severity};
use falsefront::pipeline::intake::{DeadLetter, IntakeOutputs, PackedRecord, RawRecord};
use falsefront::pipeline::{Apart, CodecError, Fold, Outputs, Position, Published, StateSize};
use falsefront::service::supervisor::Stages;
use falsefront::service::worker::stage::Take;

const CHUNKS: u16 = 16;

pub(crate) fn stages(hash_key: HashKey) -> Stages {
    Flaws::None.stages(hash_key)
}

/// Flaws for tests that must notice them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaws {
    /// None.
    None,
    /// What a replay causes comes out with the next record.
    PublishInReplay,
}

impl Flaws {
    pub(crate) fn stages(self, hash_key: HashKey) -> Stages {
        Stages {
            intake: Arc::new(move |partitions| {
                Box::new(CountingIntake {
                    hash_key,
                    partitions,
                    packed: BTreeMap::new(),
                    letters: vec![],
                })
            }),
            accounts: Arc::new(move |_| Box::new(Counting::new(hash_key, self, 10, '#', 5))),
            entities: Arc::new(move |_| Box::new(Counting::new(hash_key, self, 1, '@', u64::MAX))),
        }
    }
}

struct CountingIntake {
    hash_key: HashKey,
    partitions: u32,
    /// Accounts by partition, each with the offset of its record.
    packed: BTreeMap<u32, Vec<(String, i64)>>,
    letters: Vec<DeadLetter>,
}

impl CountingIntake {
    fn record(&mut self, record: &RawRecord<'_>) {
        let text = record.value.and_then(|value| std::str::from_utf8(value).ok());
        match text {
            Some(account) if !account.is_empty() => {
                let partition = self.hash_key.account(account).partition(self.partitions);
                self.packed
                    .entry(partition)
                    .or_default()
                    .push((account.to_owned(), record.offset));
            }
            _ => self.letters.push(DeadLetter {
                topic: record.topic.to_owned(),
                partition: record.partition,
                offset: record.offset,
                index: None,
                reason: "not_text",
                detail: "not an account".to_owned(),
            }),
        }
    }
}

impl Take for CountingIntake {
    fn keep_offsets(&mut self) {}
    fn records(&mut self, _format: Format, records: &[RawRecord<'_>]) {
        records.iter().for_each(|record| self.record(record));
    }
    fn held(&self) -> usize {
        self.packed.values().map(Vec::len).sum()
    }
    fn take_dead_letters(&mut self) -> Vec<DeadLetter> {
        std::mem::take(&mut self.letters)
    }
    fn flush(&mut self) -> IntakeOutputs {
        let mut outputs = IntakeOutputs::default();
        for (partition, accounts) in std::mem::take(&mut self.packed) {
            outputs.counts.add_many("events_decoded", "", accounts.len() as u64);
            let (names, beside): (Vec<String>, Vec<i64>) = accounts.into_iter().unzip();
            outputs.observations.push(PackedRecord {
                partition,
                count: u32::try_from(names.len()).unwrap(),
                value: names.join("\n").into_bytes(),
                beside,
            });
        }
        outputs
    }
}

struct Counting {
    hash_key: HashKey,
    alert_every: u64,
    mark: char,
    link_every: u64,
    chunks: Vec<BTreeMap<String, u64>>,
    flaws: Flaws,
    replayed: Outputs,
}

fn frame(account: &str) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.str(account);
    writer.into_bytes()
}

impl Counting {
    fn new(hash_key: HashKey, flaws: Flaws, alert_every: u64, mark: char, link_every: u64) -> Self {
        Self {
            hash_key,
            alert_every,
            mark,
            link_every,
            chunks: vec![BTreeMap::new(); usize::from(CHUNKS)],
            flaws,
            replayed: Outputs::default(),
        }
    }

    fn key(&self, account: &str) -> Key {
        self.hash_key.account(account)
    }

    fn text(record: &[u8]) -> Result<&str, CodecError> {
        std::str::from_utf8(record)
            .ok()
            .filter(|text| !text.is_empty() && !text.starts_with('!'))
            .ok_or_else(|| CodecError::new("count", 0, "not text".to_owned()))
    }

    /// Links are frames, observations are lines.
    fn accounts<'a>(&self, record: &'a [u8]) -> Result<Vec<&'a str>, CodecError> {
        if self.link_every < u64::MAX {
            return Ok(Self::text(record)?.split('\n').collect());
        }
        let mut reader = Reader::new(record);
        let mut accounts = Vec::new();
        while !reader.is_at_end() {
            accounts.push(
                reader
                    .str()
                    .map_err(|error| CodecError::new("count", error.at, error.what.to_owned()))?,
            );
        }
        Ok(accounts)
    }

    fn count(&mut self, account: &str) -> u64 {
        let chunk = usize::from(self.key(account).chunk(CHUNKS));
        let count = self.chunks[chunk].entry(account.to_owned()).or_default();
        *count += 1;
        *count
    }
}

impl Counting {
    fn run(
        &mut self,
        position: Position,
        record: &[u8],
        resume: Option<&[i64]>,
        outputs: &mut Outputs,
    ) -> Result<(), CodecError> {
        for account in self.accounts(record)? {
            let chunk = usize::from(self.key(account).chunk(CHUNKS));
            if resume.is_some_and(|resume| resume[chunk] > position.offset) {
                continue;
            }
            let count = self.count(account);
            if count.is_multiple_of(self.link_every) {
                outputs.links.push(self.key(account), &frame(account));
            }
            if count.is_multiple_of(self.alert_every) {
                outputs
                    .alerts
                    .push(published(account, format!("{account}{}{count}", self.mark), position));
            }
        }
        Ok(())
    }
}

impl Fold for Counting {
    fn fold(&mut self, position: Position, record: &[u8], outputs: &mut Outputs) -> Result<(), CodecError> {
        if self.flaws == Flaws::PublishInReplay {
            outputs.alerts.append(&mut self.replayed.alerts);
            for (key, link) in std::mem::take(&mut self.replayed.links).iter() {
                outputs.links.push(key, link);
            }
        }
        self.run(position, record, None, outputs)
    }

    fn fold_apart(&mut self, apart: Apart<'_>, record: &[u8], outputs: &mut Outputs) -> Result<(), CodecError> {
        let mut lines = record.split(|byte| *byte == b'\n').zip(apart.positions);
        lines.try_for_each(|(line, position)| self.run(*position, line, None, outputs))
    }

    fn refold_apart(&mut self, apart: Apart<'_>, record: &[u8], resume: &[i64]) -> Result<(), CodecError> {
        let mut lines = record.split(|byte| *byte == b'\n').zip(apart.positions);
        lines.try_for_each(|(line, position)| self.refold(*position, line, resume))
    }

    fn refold(&mut self, position: Position, record: &[u8], resume: &[i64]) -> Result<(), CodecError> {
        let mut replayed = std::mem::take(&mut self.replayed);
        let result = self.run(position, record, Some(resume), &mut replayed);
        self.replayed = replayed;
        result
    }

    fn chunk_count(&self) -> u16 {
        CHUNKS
    }

    fn write_chunk(&self, chunk: u16, bytes: &mut Vec<u8>) {
        for (account, count) in &self.chunks[usize::from(chunk)] {
            bytes.extend_from_slice(format!("{account} {count}\n").as_bytes());
        }
    }

    fn read_chunk(&mut self, chunk: u16, bytes: &[u8]) -> Result<(), CodecError> {
        let lines = std::str::from_utf8(bytes).unwrap().lines();
        self.chunks[usize::from(chunk)] = lines
            .map(|line| line.rsplit_once(' ').unwrap())
            .map(|(account, count)| (account.to_owned(), count.parse().unwrap()))
            .collect();
        Ok(())
    }

    fn digest(&self) -> u128 {
        let counts = self.chunks.iter().flatten();
        counts.fold(0, |sum, (account, count)| {
            sum.wrapping_add(self.key(&format!("{account} {count}")).0)
        })
    }

    fn size(&self) -> StateSize {
        let entries = self.chunks.iter().map(BTreeMap::len).sum::<usize>() as u64;
        StateSize {
            entries,
            bytes: entries * 64,
        }
    }
}

fn published(account: &str, uid: String, position: Position) -> Published {
    Published {
        key: account.to_owned(),
        value: uid.clone().into_bytes(),
        headers: vec![("alert-id", uid.clone())],
        detection: "counting",
        severity: Severity::Low,
        is_alert: true,
        is_first: true,
        uid,
        message: String::new(),
        accounts: vec![account.to_owned()],
        time_ms: position.append_ms,
    }
}
