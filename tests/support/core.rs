//! The core as the service drives it, without Kafka: intake, accounts and entities, each over several partitions.
//!
//! A record's append time is the latest event time so far, so that records in the order of their events are never late.

use std::sync::{Arc, LazyLock};

use falsefront::enrich::Reference;
use falsefront::intake::Format;
use falsefront::model::Key;
use falsefront::model::key::HashKey;
use falsefront::pipeline::accounts::Accounts;
use falsefront::pipeline::entities::Entities;
use falsefront::pipeline::intake::{Intake, RawRecord};
use falsefront::pipeline::replay::{Batch, Replay, ReplayOutputs};
use falsefront::pipeline::replay_ahead::ReplayAhead;
use falsefront::pipeline::settings::{DetectionSettings, IntakeSettings};
use falsefront::pipeline::{Counts, Fold, Outputs, Position, Published};
use falsefront::service::demo_geoip::demo_databases;
use falsefront::service::reference::{self, ReferenceBytes};

/// Every test folds under the key that replay uses, so that both cut state alike.
pub(crate) const HASH_KEY: HashKey = HashKey([0; 16]);
/// Partitions where a test does not care.
pub(crate) const PARTITIONS: u32 = 6;

/// Reference data made of the demo's databases and of these lists. Every line must be usable.
pub(crate) fn reference(lists: ReferenceBytes) -> Arc<Reference> {
    static DATABASES: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| demo_databases().unwrap());
    let geoip = DATABASES.clone();
    let (reference, problems) = reference::load_bytes(&ReferenceBytes { geoip, ..lists }).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    Arc::new(reference)
}

/// One partition of a stage and everything it was given.
pub(crate) struct Lane<F> {
    pub(crate) fold: F,
    pub(crate) log: Vec<(Position, Vec<u8>)>,
}

/// The three stages.
pub(crate) struct Core {
    settings: Arc<DetectionSettings>,
    intake: Intake,
    pub(crate) accounts: Vec<Lane<Accounts>>,
    pub(crate) entities: Vec<Lane<Entities>>,
    pub(crate) counts: Counts,
    clock_ms: i64,
    next: i64,
}

impl Core {
    pub(crate) fn new(settings: &Arc<DetectionSettings>, reference: &Arc<Reference>, partitions: u32) -> Self {
        let intake = IntakeSettings {
            partitions,
            ..IntakeSettings::default()
        };
        Self {
            settings: Arc::clone(settings),
            intake: Intake::new(intake, HASH_KEY, Arc::clone(reference)),
            accounts: (0..partitions)
                .map(|_| lane(Accounts::new(Arc::clone(settings), HASH_KEY)))
                .collect(),
            entities: (0..partitions)
                .map(|_| lane(Entities::new(Arc::clone(settings))))
                .collect(),
            counts: Counts::default(),
            clock_ms: i64::MIN,
            next: 0,
        }
    }

    /// Takes one record through all stages.
    pub(crate) fn record(&mut self, record: &[u8]) -> Vec<Published> {
        self.batch(&[record])
    }

    /// Takes several records through all stages as one batch: packed together, folded, then their links.
    pub(crate) fn batch(&mut self, records: &[&[u8]]) -> Vec<Published> {
        for record in records {
            self.clock_ms = self.clock_ms.max(latest_ms(record));
            let raw = RawRecord {
                topic: "events",
                partition: 0,
                offset: self.next,
                append_ms: self.clock_ms,
                value: Some(record),
            };
            self.intake.record(Format::Auto, raw);
            self.next += 1;
        }
        let taken = self.intake.flush();
        assert!(taken.dead_letters.is_empty(), "{:?}", taken.dead_letters);
        let mut outputs = Outputs::default();
        for packed in taken.observations {
            let lane = &mut self.accounts[usize::try_from(packed.partition).unwrap()];
            lane.fold(self.clock_ms, &packed.value, &mut outputs);
        }
        let links = std::mem::take(&mut outputs.links);
        for (key, link) in links.iter() {
            self.link(key, link, &mut outputs);
        }
        self.counts.merge(&outputs.counts);
        outputs.alerts
    }

    fn link(&mut self, key: Key, link: &[u8], outputs: &mut Outputs) {
        let partition = key.partition(u32::try_from(self.entities.len()).unwrap());
        self.entities[usize::try_from(partition).unwrap()].fold(self.clock_ms, link, outputs);
    }

    /// Writes every chunk of every fold and goes on with new folds that read them.
    pub(crate) fn restart(&mut self) {
        let settings = &self.settings;
        for lane in &mut self.accounts {
            lane.restart(Accounts::new(Arc::clone(settings), HASH_KEY));
        }
        for lane in &mut self.entities {
            lane.restart(Entities::new(Arc::clone(settings)));
        }
    }

    /// Digest and bytes of the whole state.
    pub(crate) fn state(&self) -> Vec<(u128, Vec<u8>)> {
        let accounts = self.accounts.iter().map(|lane| state_of(&lane.fold));
        accounts
            .chain(self.entities.iter().map(|lane| state_of(&lane.fold)))
            .collect()
    }
}

fn lane<F>(fold: F) -> Lane<F> {
    Lane { fold, log: Vec::new() }
}

impl<F: Fold> Lane<F> {
    fn fold(&mut self, append_ms: i64, record: &[u8], outputs: &mut Outputs) {
        let position = Position {
            offset: self.next(),
            append_ms,
        };
        self.fold.fold(position, record, outputs).unwrap();
        self.log.push((position, record.to_vec()));
    }

    /// Offset of the next record.
    pub(crate) fn next(&self) -> i64 {
        i64::try_from(self.log.len()).unwrap()
    }

    fn restart(&mut self, mut fresh: F) {
        for chunk in 0..self.fold.chunk_count() {
            let mut bytes = Vec::new();
            self.fold.write_chunk(chunk, &mut bytes);
            fresh.read_chunk(chunk, &bytes).unwrap();
        }
        self.fold = fresh;
    }
}

/// Digest of a fold and the bytes of all its chunks.
pub(crate) fn state_of(fold: &impl Fold) -> (u128, Vec<u8>) {
    let mut bytes = Vec::new();
    for chunk in 0..fold.chunk_count() {
        fold.write_chunk(chunk, &mut bytes);
    }
    (fold.digest(), bytes)
}

/// Latest event time in a record, ms.
pub(crate) fn latest_ms(record: &[u8]) -> i64 {
    let mut latest = i64::MIN;
    falsefront::intake::decode(Format::Auto, record, &mut |_, event| {
        latest = latest.max(event.unwrap().time_ms);
    })
    .unwrap();
    latest
}

/// What the service would publish for these records, one by one.
pub(crate) fn run(settings: &Arc<DetectionSettings>, reference: &Arc<Reference>, records: &[&[u8]]) -> Vec<Published> {
    let mut core = Core::new(settings, reference, PARTITIONS);
    records.iter().flat_map(|record| core.record(record)).collect()
}

/// What a replay over these records gives.
pub(crate) fn replay(
    settings: &Arc<DetectionSettings>,
    reference: &Arc<Reference>,
    records: &[&[u8]],
    jobs: usize,
) -> ReplayOutputs {
    let mut replay = Replay::new(settings, HASH_KEY, Arc::clone(reference), jobs);
    let mut batch = Batch::default();
    for (number, record) in (1..).zip(records) {
        batch.push(Format::Auto, "events", number, record);
    }
    replay.run(&batch)
}

/// The alerts of a replay that runs after every so many records, and reads ahead if it has several jobs.
pub(crate) fn replay_by(
    together: usize,
    settings: &Arc<DetectionSettings>,
    reference: &Arc<Reference>,
    records: &[&[u8]],
    jobs: usize,
) -> Vec<Published> {
    let replay = Replay::new(settings, HASH_KEY, Arc::clone(reference), jobs);
    let mut ahead = ReplayAhead::new(replay);
    let mut alerts = Vec::new();
    let mut take = |outputs: ReplayOutputs| alerts.extend(outputs.alerts);
    for batch in records.chunks(together) {
        for (number, record) in (1..).zip(batch) {
            ahead.push(Format::Auto, "events", number, record);
        }
        ahead.run().into_iter().for_each(&mut take);
    }
    std::iter::from_fn(|| ahead.run()).for_each(take);
    alerts
}
