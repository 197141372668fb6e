//! Reads every output while the faults happen, as a subscriber would: `read_committed`, from the beginning on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use falsefront::service::kafka::io::{ReadRecord, Reader};
use falsefront::service::worker::checkpoint::{CheckpointKey, DigestRecord};
use falsefront::window::intern::Interner;

use super::feed::ids;
use super::ledger::{self, Ledger, Shared};
use super::setting::{PARTITIONS, Setting};

/// Longest wait for a record.
const WAIT: Duration = Duration::from_millis(20);
/// Longest a final reading of one topic may take.
const READ: Duration = Duration::from_secs(120);

type Note = fn(&ReadRecord, &mut Ledger, &mut Interner) -> anyhow::Result<()>;

/// The concurrent readers.
pub(crate) struct Watch {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<anyhow::Result<()>>>,
}

impl Watch {
    /// Starts a reader for each topic.
    pub(crate) fn start(setting: &Setting, shared: &Shared) -> anyhow::Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let topics = &setting.service.topics;
        let notes: [(&str, u32, Note); 5] = [
            (&topics.observations, PARTITIONS, note_observations),
            (&topics.links, PARTITIONS, note_link),
            (&topics.checkpoints, PARTITIONS * 2, note_checkpoint),
            (&topics.alerts, PARTITIONS, note_alert),
            (&topics.dead_letters, PARTITIONS, note_dead_letter),
        ];
        let mut threads = Vec::new();
        for (topic, partitions, note) in notes {
            let mut reader = Reader::new(setting.connection(), topic, partitions)?;
            let (is_over, shared) = (Arc::clone(&is_over), Arc::clone(shared));
            let thread = std::thread::Builder::new().name("watch".to_owned());
            let name = topic.to_owned();
            let mut read = move |shared: &Shared| {
                let mut interner = Interner::default();
                while !is_over.load(Ordering::Relaxed) {
                    // While brokers are away there is nothing to read; the reader stays where it is.
                    match reader.next(WAIT) {
                        Ok(Some(record)) => note(&record, &mut ledger::open(shared), &mut interner)?,
                        Ok(None) => {}
                        Err(error) => ledger::open(shared).reading = Some(format!("{name}: {error}")),
                    }
                }
                Ok(())
            };
            threads.push(thread.spawn(move || ledger::watched(&shared, "reader", || read(&shared)))?);
        }
        Ok(Self { is_over, threads })
    }

    /// Ends the readers.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().map_err(|_| anyhow::anyhow!("a reader panicked"))??;
        }
        Ok(())
    }
}

fn note_observations(record: &ReadRecord, ledger: &mut Ledger, interner: &mut Interner) -> anyhow::Result<()> {
    let ids = ids(record.value.as_deref().unwrap_or_default(), interner)?;
    ledger.observe(record.partition, record.offset, &ids);
    Ok(())
}

fn note_link(record: &ReadRecord, ledger: &mut Ledger, _: &mut Interner) -> anyhow::Result<()> {
    ledger.ends.insert(("entities", record.partition), record.offset + 1);
    Ok(())
}

fn note_checkpoint(record: &ReadRecord, ledger: &mut Ledger, _: &mut Interner) -> anyhow::Result<()> {
    if let Some((stage, partition, digest)) = digest(record)? {
        ledger.commit(stage, partition, digest.offset);
    }
    Ok(())
}

fn note_alert(record: &ReadRecord, ledger: &mut Ledger, _: &mut Interner) -> anyhow::Result<()> {
    let alert: serde_json::Value = serde_json::from_slice(record.value.as_deref().unwrap_or_default())?;
    let related = alert["finding_info"]["related_events"].as_array();
    let evidence = related.into_iter().flatten().filter_map(|event| event["uid"].as_str());
    let evidence: Vec<String> = evidence.map(str::to_owned).collect();
    ledger.alert(alert_id(record)?, &evidence);
    Ok(())
}

fn note_dead_letter(_: &ReadRecord, ledger: &mut Ledger, _: &mut Interner) -> anyhow::Result<()> {
    ledger.dead_letters += 1;
    Ok(())
}

/// Identity of an alert's record: its `metadata.uid`.
pub(crate) fn alert_id(record: &ReadRecord) -> anyhow::Result<String> {
    let alert: serde_json::Value = serde_json::from_slice(record.value.as_deref().unwrap_or_default())?;
    let id = alert["metadata"]["uid"].as_str();
    Ok(id.context("an alert without metadata.uid")?.to_owned())
}

/// The digest in a record of `checkpoints`, with its stage and partition, if it is one.
pub(crate) fn digest(record: &ReadRecord) -> anyhow::Result<Option<(&'static str, i32, DigestRecord)>> {
    let (Some(key), Some(value)) = (&record.key, &record.value) else {
        return Ok(None);
    };
    for stage in ["accounts", "entities"] {
        for partition in 0..i32::try_from(PARTITIONS)? {
            if CheckpointKey::decode(key, stage, partition) == Some(CheckpointKey::Digest) {
                return Ok(Some((stage, partition, DigestRecord::decode(value)?)));
            }
        }
    }
    Ok(None)
}

/// Everything a topic holds, read once more by a fresh `read_committed` reader.
pub(crate) fn read_all(setting: &Setting, topic: &str, partitions: u32) -> anyhow::Result<Vec<ReadRecord>> {
    let mut reader = Reader::new(setting.connection(), topic, partitions)?;
    let mut records = Vec::new();
    let deadline = Instant::now() + READ;
    while !reader.is_at_end() {
        anyhow::ensure!(Instant::now() < deadline, "{topic} cannot be read to its end");
        records.extend(reader.next(WAIT)?);
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    Ok(records)
}
