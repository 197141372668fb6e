//! Replay: the same core over records of a file, in event time.
//!
//! ```text
//! records ─▶ batch ─▶ decode and enrich ─▶ order by event time ─▶ accounts ─▶ entities ─▶ alerts
//!                     (parallel, by part)                          (parallel, by partition)
//! ```
//! A file has no append time, so the latest believable event time stands for it. Batches, parts and partitions have
//! fixed sizes: how many threads share them changes nothing in the output.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::accounts::Accounts;
use super::entities::Entities;
use super::intake::{Beside, DeadLetter, Intake, PackedRecord, RawRecord};
use super::settings::{DetectionSettings, IntakeSettings};
use super::state::TOUCHED_MAX;
use super::unpacked::Unpacked;
use super::{Counts, Fold, Links, Outputs, Position, Published};
use crate::enrich::Reference;
use crate::intake::Format;
use crate::model::Key;
use crate::model::key::HashKey;
use crate::window::DAY_MS;
use crate::window::intern::Interner;

/// Partitions of a replay; fixed, so that the output does not depend on the number of threads.
const PARTITIONS: u32 = 16;
/// Records decoded as one piece of work.
const PART_RECORDS: usize = 4_096;
/// Records ordered together: disorder up to a batch is undone before anything is judged.
const BATCH_RECORDS: usize = 65_536;
/// Bytes of records ordered together.
const BATCH_BYTES: usize = 64 << 20;
/// An event this far ahead of both the clock and the middle of its batch has a broken clock, ms: no gap in a log is
/// that long, and nothing may carry the clock into another year.
const AHEAD_MS_MAX: i64 = 366 * DAY_MS;

/// What a batch gave.
#[derive(Debug, Default)]
pub struct ReplayOutputs {
    /// Findings, in the order of the events that caused them.
    pub alerts: Vec<Published>,
    /// Records that could not be used.
    pub dead_letters: Vec<DeadLetter>,
    /// What happened.
    pub counts: Counts,
    /// What was covered so far.
    pub span: Span,
    /// Findings that still wait because their networks may turn out to be farms; `None` where no batch was folded.
    pub waiting: Option<usize>,
}

/// What a replay covered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Earliest and latest believable event time, ms; `None` before the first event.
    pub times_ms: Option<(i64, i64)>,
}

/// A replay.
pub struct Replay {
    jobs: usize,
    reference: Arc<Reference>,
    intake: IntakeSettings,
    hash_key: HashKey,
    accounts: Vec<Accounts>,
    entities: Vec<Entities>,
    clock_ms: i64,
    span: Span,
    observations: i64,
    links: i64,
}

/// Records that are ordered together.
#[derive(Default)]
pub struct Batch {
    bytes: Vec<u8>,
    records: Vec<BatchRecord>,
    files: Vec<String>,
}

struct BatchRecord {
    format: Format,
    file: usize,
    number: i64,
    start: usize,
    end: usize,
}

impl Batch {
    /// Takes one record: `number` is its line in `file`, from 1. True when the batch is full.
    pub fn push(&mut self, format: Format, file: &str, number: i64, record: &[u8]) -> bool {
        if self.files.last().is_none_or(|last| last != file) {
            self.files.push(file.to_owned());
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(record);
        self.records.push(BatchRecord {
            format,
            file: self.files.len() - 1,
            number,
            start,
            end: self.bytes.len(),
        });
        self.records.len() >= BATCH_RECORDS || self.bytes.len() >= BATCH_BYTES
    }

    /// Whether there is nothing to run.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Forgets all, and keeps their room: a batch is tens of megabytes.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
        self.files.clear();
    }
}

impl Replay {
    /// A replay on `jobs` threads.
    #[must_use]
    pub fn new(settings: &Arc<DetectionSettings>, hash_key: HashKey, reference: Arc<Reference>, jobs: usize) -> Self {
        // The clock of a replay is known after decoding, so intake distrusts nothing; see `AHEAD_MS_MAX`.
        let intake = IntakeSettings {
            partitions: PARTITIONS,
            future_skew_ms: 0,
            ..IntakeSettings::default()
        };
        Self {
            jobs: jobs.max(1),
            reference,
            intake,
            hash_key,
            accounts: (0..PARTITIONS)
                .map(|_| Accounts::new(Arc::clone(settings), hash_key))
                .collect(),
            entities: (0..PARTITIONS).map(|_| Entities::new(Arc::clone(settings))).collect(),
            clock_ms: i64::MIN,
            span: Span::default(),
            observations: 0,
            links: 0,
        }
    }

    /// Decodes, orders and folds a batch.
    pub fn run(&mut self, batch: &Batch) -> ReplayOutputs {
        let mut outputs = ReplayOutputs::default();
        let packed = self.decode(batch, &mut outputs);
        let tick = self.tick(&packed, &mut outputs.counts);
        let folded = self.fold_accounts(&packed, tick);
        drop(packed);
        self.fold_entities(folded, &mut outputs);
        outputs.span = self.span;
        outputs.waiting = Some(self.entities.iter().map(Entities::waiting).sum());
        outputs
    }

    /// How many threads it works on.
    #[must_use]
    pub fn jobs(&self) -> usize {
        self.jobs
    }

    /// Packed observations of each partition, in the order of the records.
    fn decode(&self, batch: &Batch, outputs: &mut ReplayOutputs) -> Vec<Vec<PackedRecord>> {
        let parts: Vec<&[BatchRecord]> = batch.records.chunks(PART_RECORDS).collect();
        let decoded = parallel(self.jobs, parts, |part| {
            let mut intake = Intake::new(self.intake.clone(), self.hash_key, Arc::clone(&self.reference));
            intake.keep(Beside::Time);
            let raw = |record: &BatchRecord| RawRecord {
                topic: &batch.files[record.file],
                partition: 0,
                offset: record.number,
                append_ms: i64::MAX,
                value: Some(&batch.bytes[record.start..record.end]),
            };
            let mut raws = Vec::new();
            for same in part.chunk_by(|one, next| one.format == next.format) {
                raws.clear();
                raws.extend(same.iter().map(raw));
                intake.records(same[0].format, &raws);
            }
            intake.flush()
        });
        let mut packed: Vec<Vec<PackedRecord>> = (0..PARTITIONS).map(|_| Vec::new()).collect();
        for part in decoded {
            outputs.counts.merge(&part.counts);
            outputs.dead_letters.extend(part.dead_letters);
            for record in part.observations {
                packed[usize::try_from(record.partition).unwrap_or(0)].push(record);
            }
        }
        packed
    }

    /// Moves the clock over a batch.
    fn tick(&mut self, packed: &[Vec<PackedRecord>], counts: &mut Counts) -> Tick {
        let records = packed.iter().flatten();
        let mut times: Vec<i64> = records.flat_map(|record| record.beside.iter().copied()).collect();
        let clock_ms = self.clock_ms;
        let Some(last) = times.len().checked_sub(1) else {
            return Tick {
                clock_ms,
                believable_ms: i64::MAX,
                fallback_ms: clock_ms,
            };
        };
        let (_, middle_ms, _) = times.select_nth_unstable(last / 2);
        let believable_ms = clock_ms.max(*middle_ms).saturating_add(AHEAD_MS_MAX);
        let suspects = times.iter().filter(|time| **time > believable_ms).count();
        counts.add_many("events_time_suspect", "future", suspects as u64);
        let latest = times.iter().copied().filter(|time| *time <= believable_ms).max();
        let fallback_ms = latest.unwrap_or(believable_ms);
        let earliest = times.iter().copied().min().unwrap_or(fallback_ms).min(fallback_ms);
        let (first, last) = self.span.times_ms.unwrap_or((earliest, fallback_ms));
        self.span.times_ms = Some((first.min(earliest), last.max(fallback_ms)));
        self.clock_ms = clock_ms.max(fallback_ms);
        Tick {
            clock_ms,
            believable_ms,
            fallback_ms,
        }
    }

    /// Folds every partition's observations. One partition of a batch fits a core's cache, all of them do not: so each is
    /// read, ordered and folded by itself.
    fn fold_accounts(&mut self, packed: &[Vec<PackedRecord>], tick: Tick) -> Vec<Folded> {
        let base = self.observations;
        let count = |records: &Vec<PackedRecord>| records.iter().map(|record| i64::from(record.count)).sum();
        self.observations += packed.iter().map(count).max().unwrap_or(0);
        let work: Vec<_> = (0..).zip(self.accounts.iter_mut().zip(packed)).collect();
        let hash_key = self.hash_key;
        parallel(self.jobs, work, |(partition, (accounts, records))| {
            Lane::read(partition, records, tick, hash_key, accounts.interner()).fold(accounts, base)
        })
    }

    /// Folds links in the order of the observations that caused them, and merges both stages' findings in that order.
    fn fold_entities(&mut self, mut lanes: Vec<Folded>, outputs: &mut ReplayOutputs) {
        let mut alerts: Vec<(At, u8, Published)> = Vec::new();
        for lane in &mut lanes {
            outputs.counts.merge(&lane.counts);
            alerts.extend(lane.alerts.drain(..).map(|(at, alert)| (at, 0, alert)));
        }
        let mut by_partition: Vec<Vec<Caused<'_>>> = (0..PARTITIONS).map(|_| Vec::new()).collect();
        for (at, (key, link)) in lanes.iter().flat_map(|lane| lane.causes.iter().zip(lane.links.iter())) {
            let partition = usize::try_from(key.partition(PARTITIONS)).unwrap_or(0);
            by_partition[partition].push(Caused { at: *at, key, link });
        }
        let base = self.links;
        self.links += by_partition
            .iter()
            .map(|links| i64::try_from(links.len()).unwrap_or(0))
            .max()
            .unwrap_or(0);
        let work: Vec<_> = self.entities.iter_mut().zip(by_partition).collect();
        let folded = parallel(self.jobs, work, |(entities, links)| fold_links(entities, base, links));
        for (counts, found) in folded {
            outputs.counts.merge(&counts);
            alerts.extend(found.into_iter().map(|(at, alert)| (at, 1, alert)));
        }
        alerts.sort_by_key(|(at, stage, _)| (*at, *stage));
        outputs.alerts.extend(alerts.into_iter().map(|(_, _, alert)| alert));
    }
}

/// When in the replay something happened: append time, partition, place in the partition's order.
type At = (i64, u32, i64);

/// What folding one partition's observations led to.
struct Folded {
    alerts: Vec<(At, Published)>,
    links: Links,
    /// What caused each link.
    causes: Vec<At>,
    counts: Counts,
}

/// A link, and when its cause happened.
struct Caused<'l> {
    at: At,
    key: Key,
    link: &'l [u8],
}

/// The time of a batch.
#[derive(Clone, Copy)]
struct Tick {
    /// The clock before it, ms.
    clock_ms: i64,
    /// No event is believed to be later, ms.
    believable_ms: i64,
    /// Time of those that say they are, ms.
    fallback_ms: i64,
}

/// One partition's observations of a batch.
struct Lane<'p> {
    partition: u32,
    records: Vec<Unpacked<'p>>,
    order: Vec<Ordered>,
}

/// One observation's turn.
#[derive(Clone, Copy)]
struct Ordered {
    order_ms: i64,
    append_ms: i64,
    record: usize,
    index: usize,
    time_suspect: bool,
}

impl<'p> Lane<'p> {
    /// Reads observations, and orders them by event time. An event from beyond belief takes the batch's latest time.
    fn read(
        partition: u32,
        records: &'p [PackedRecord],
        tick: Tick,
        hash_key: HashKey,
        interner: &mut Interner,
    ) -> Self {
        // What intake packed in this process can be read back; a record that cannot would be a defect, not data.
        let records: Vec<Unpacked<'p>> = records
            .iter()
            .filter_map(|record| Unpacked::read(&record.value, hash_key, interner).ok())
            .collect();
        let turn = |record, index, time_ms: i64| {
            let time_suspect = time_ms > tick.believable_ms;
            let order_ms = if time_suspect { tick.fallback_ms } else { time_ms };
            Ordered {
                order_ms,
                append_ms: order_ms.max(tick.clock_ms),
                record,
                index,
                time_suspect,
            }
        };
        let turns = records.iter().enumerate().flat_map(|(number, record)| {
            let times = record.times_ms().enumerate();
            times.map(move |(index, time_ms)| turn(number, index, time_ms))
        });
        let mut order: Vec<Ordered> = turns.collect();
        order.sort_by_key(|turn| (turn.order_ms, turn.record, turn.index));
        Self {
            partition,
            records,
            order,
        }
    }

    fn fold(self, accounts: &mut Accounts, base: i64) -> Folded {
        let (mut alerts, mut causes) = (Vec::new(), Vec::new());
        let mut outputs = Outputs::default();
        for (number, (offset, turn)) in (base..).zip(&self.order).enumerate() {
            if number.is_multiple_of(TOUCHED_MAX) {
                let next = self.order[number..].iter().take(TOUCHED_MAX);
                accounts.touch(next.map(|turn| self.records[turn.record].key(turn.index)));
            }
            let mut seen = self.records[turn.record].observation(turn.index);
            seen.order_ms = turn.order_ms;
            seen.time_suspect = turn.time_suspect;
            accounts.fold_observation(
                Position {
                    offset,
                    append_ms: turn.append_ms,
                },
                &seen,
                &mut outputs,
            );
            let at = (turn.append_ms, self.partition, offset);
            alerts.extend(outputs.alerts.drain(..).map(|alert| (at, alert)));
            causes.resize(outputs.links.len(), at);
        }
        let interner = accounts.interner();
        self.records.into_iter().for_each(|record| record.close(interner));
        Folded {
            alerts,
            links: outputs.links,
            causes,
            counts: outputs.counts,
        }
    }
}

fn fold_links(entities: &mut Entities, base: i64, mut links: Vec<Caused<'_>>) -> (Counts, Vec<(At, Published)>) {
    // Those of one cause stay in their order.
    links.sort_by_key(|caused| caused.at);
    let mut outputs = Outputs::default();
    let mut found = Vec::new();
    for (number, (offset, caused)) in (base..).zip(&links).enumerate() {
        if number.is_multiple_of(TOUCHED_MAX) {
            let next = links[number..].iter().take(TOUCHED_MAX);
            entities.touch(next.map(|caused| caused.key));
        }
        let position = Position {
            offset,
            append_ms: caused.at.0,
        };
        if entities.fold(position, caused.link, &mut outputs).is_err() {
            outputs.counts.add("links_refused", "malformed");
        }
        found.extend(outputs.alerts.drain(..).map(|alert| (caused.at, alert)));
    }
    (outputs.counts, found)
}

/// Maps `work` on `jobs` threads. Results stand in the order of the work, whoever did it.
fn parallel<T: Send, R: Send>(jobs: usize, work: Vec<T>, map: impl Fn(T) -> R + Sync) -> Vec<R> {
    if jobs <= 1 || work.len() <= 1 {
        return work.into_iter().map(map).collect();
    }
    let count = work.len();
    let slots: Vec<Mutex<(Option<T>, Option<R>)>> =
        work.into_iter().map(|item| Mutex::new((Some(item), None))).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(count) {
            scope.spawn(|| {
                while let Some(slot) = slots.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut slot = slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    slot.1 = slot.0.take().map(&map);
                }
            });
        }
    });
    let done = slots
        .into_iter()
        .filter_map(|slot| slot.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).1);
    done.collect()
}
