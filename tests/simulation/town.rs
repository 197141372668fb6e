//! Workers around the simulated broker, one thread for all: a seed decides who goes next and what befalls them.
//!
//! A worker that freezes inside a call lets the others go on from within that call, so every call of a worker can be
//! followed by any amount of other workers' work.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use falsefront::intake::Format;
use falsefront::model::key::HashKey;
use falsefront::service::log::{Failure, Guarantee, Outgoing, TopicPartition};
use falsefront::service::metrics::Metrics;
use falsefront::service::supervisor::Stages;
use falsefront::service::topics::TopicNames;
use falsefront::service::worker::checkpoint::{CheckpointKey, ChunkPart, DigestRecord};
use falsefront::service::worker::stage::{Role, Stage};
use falsefront::service::worker::{StartFrom, Stop, Worker, WorkerSettings};

use super::broker::{Answer, Broker, Envelope, MS, Micros, Partition, SECOND};
use super::client::{CRASHED, SimulatedLog};
use super::group::Group;
use super::mutants::Mutant;

pub(super) const HASH_KEY: HashKey = HashKey(*b"simulator's key!");
pub(super) const SOURCE: &str = "auth";
pub(super) const SOURCE_PARTITIONS: u32 = 3;
pub(super) const PARTITIONS: u32 = 3;
/// Time in which every chunk is written once.
const PERIOD: Micros = 1_500 * MS;
/// Time for whoever has just crashed to come back.
const RETURN: Micros = 15 * SECOND;
/// A run that is not quiet this long after its last fault, and after it was fed the last record, hangs.
const PATIENCE: Micros = 400 * SECOND;

/// Chances of each fault with each call, in a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    pub(super) crash: u64,
    pub(super) freeze: u64,
    pub(super) resend: u64,
    pub(super) lost_answer: u64,
    pub(super) retry: u64,
    pub(super) undelivered: u64,
    pub(super) slow_markers: u64,
    /// Markers of checkpoints come last.
    pub(super) late_checkpoints: bool,
    pub(super) leave: u64,
    /// A commit leaves no marker, and its answer is lost.
    pub(super) unmarked: u64,
}

/// Which faults a run may have.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kinds {
    None,
    /// Those the seed decides.
    Any,
    /// These.
    Of(Faults),
}

impl Faults {
    /// Each kind at times absent, so that the others are seen alone.
    fn of(broker: &mut Broker) -> Self {
        let mut some = |most: u64| {
            let dice = &mut broker.dice;
            if dice.chance(350) { 0 } else { dice.between(1, most) }
        };
        Self {
            crash: some(4),
            freeze: some(4),
            resend: some(60),
            lost_answer: some(40),
            retry: some(20),
            undelivered: some(3),
            slow_markers: some(60),
            late_checkpoints: false,
            leave: some(2),
            // Not among the others: what hangs while its partitions move to another worker needs an operator.
            unmarked: 0,
        }
    }
}

struct Slot {
    role: Role,
    name: String,
    worker: RefCell<Option<Worker<SimulatedLog>>>,
    stop: RefCell<Stop>,
    /// When its supervisor starts it again.
    up_at: Cell<Micros>,
    /// Its group put it out, and it has not joined since.
    is_put_out: Cell<bool>,
}

pub(super) struct Town {
    pub(super) broker: RefCell<Broker>,
    pub(super) mutant: Mutant,
    /// As whoever reads over connections of its own does, and librdkafka does not.
    pub(super) tells_what_was_passed: bool,
    pub(super) faults: Faults,
    pub(super) undelivered: RefCell<Vec<Envelope>>,
    pub(super) metrics: Metrics,
    pub(super) names: TopicNames,
    stages: Stages,
    slots: Vec<Slot>,
    faults_until: Cell<Micros>,
    depth: Cell<u32>,
    crashes: Cell<u64>,
    feed: RefCell<Vec<(TopicPartition, Vec<u8>)>>,
}

impl Town {
    pub(super) fn new(seed: u64, mutant: Mutant, stages: Stages, kinds: Kinds) -> Rc<Self> {
        let names = TopicNames::new("sim", PARTITIONS);
        let topics = [
            (SOURCE, SOURCE_PARTITIONS),
            (&*names.observations, PARTITIONS),
            (&*names.links, PARTITIONS),
            (&*names.alerts, PARTITIONS),
            (&*names.dead_letters, PARTITIONS),
            (&*names.checkpoints, 2 * PARTITIONS),
        ];
        let mut broker = Broker::new(seed, &topics);
        let faults = match kinds {
            Kinds::None => Faults::default(),
            Kinds::Any => Faults::of(&mut broker),
            Kinds::Of(faults) => faults,
        };
        broker.slow_markers = faults.slow_markers;
        let until = match kinds {
            Kinds::None => 0,
            Kinds::Any | Kinds::Of(_) => broker.dice.between(5, 40) * SECOND,
        };
        broker.late_until = if faults.late_checkpoints { until } else { 0 };
        let mut slots = Vec::new();
        for role in Role::ALL {
            let (topic, count) = match role {
                Role::Intake => (SOURCE, SOURCE_PARTITIONS),
                Role::Accounts => (&*names.observations, PARTITIONS),
                Role::Entities => (&*names.links, PARTITIONS),
            };
            let partitions = (0..i32::try_from(count).unwrap()).map(|partition| TopicPartition::new(topic, partition));
            broker
                .groups
                .insert(role.as_str().to_owned(), Group::new(partitions.collect()));
            for index in 0..2 {
                slots.push(Slot {
                    role,
                    name: format!("{}-{index}", role.as_str()),
                    worker: RefCell::new(None),
                    stop: RefCell::new(Stop::default()),
                    up_at: Cell::new(0),
                    is_put_out: Cell::new(false),
                });
            }
        }
        Rc::new(Self {
            broker: RefCell::new(broker),
            mutant,
            tells_what_was_passed: seed.is_multiple_of(2) || mutant == Mutant::MarkersNotPassed,
            faults,
            undelivered: RefCell::new(Vec::new()),
            metrics: Metrics::new().unwrap(),
            names,
            stages,
            slots,
            faults_until: Cell::new(until),
            depth: Cell::new(0),
            crashes: Cell::new(0),
            feed: RefCell::new(Vec::new()),
        })
    }

    pub(super) fn now(&self) -> Micros {
        self.broker.borrow().now
    }

    pub(super) fn has_faults(&self) -> bool {
        self.now() < self.faults_until.get()
    }

    pub(super) fn count_crash(&self) {
        self.crashes.set(self.crashes.get() + 1);
    }

    pub(super) fn put_out(&self, slot: usize, is_put_out: bool) {
        self.slots[slot].is_put_out.set(is_put_out);
    }

    pub(super) fn crashes(&self) -> u64 {
        self.crashes.get()
    }

    pub(super) fn deliver(&self, envelope: &Envelope) -> Answer {
        let checks_members = self.mutant != Mutant::OwnershipUnchecked;
        self.broker.borrow_mut().serve(envelope, checks_members)
    }

    /// The record as the mutant would write it.
    pub(super) fn mutated(&self, record: &Outgoing) -> Outgoing {
        let mut record = record.clone();
        if self.mutant == Mutant::ChunkOffsetOffByOne
            && record.topic == self.names.checkpoints
            && let (Some(key), Some(value)) = (&record.key, &record.value)
            && !key.ends_with(b"digest")
            && let Ok(part) = ChunkPart::decode(value)
        {
            let encoded = ChunkPart::encode_all(part.offset - 1, part.append_ms, part.chunks, &part.body);
            record.value = encoded.into_iter().next();
        }
        record
    }

    /// What the sources will hold, in this order.
    pub(super) fn feed(&self, records: Vec<(TopicPartition, Vec<u8>)>) {
        let mut feed = self.feed.borrow_mut();
        *feed = records;
        feed.reverse();
    }

    /// Lets everybody but `frozen` work for `time`.
    pub(super) fn go_on_without(self: &Rc<Self>, frozen: usize, time: Micros) {
        if self.depth.get() >= 2 {
            return;
        }
        self.depth.set(self.depth.get() + 1);
        let until = self.now() + time;
        while self.now() < until {
            self.go_on(Some(frozen));
        }
        self.depth.set(self.depth.get() - 1);
    }

    /// One step of somebody.
    fn go_on(self: &Rc<Self>, frozen: Option<usize>) {
        let (slot, leaves, fed, delivers) = {
            let mut broker = self.broker.borrow_mut();
            broker.advance(50);
            let slot = usize::try_from(broker.dice.below(self.slots.len() as u64)).unwrap();
            let leaves = broker.dice.chance(self.faults.leave);
            (slot, leaves, broker.dice.chance(300), broker.dice.chance(20))
        };
        if fed && let Some((at, value)) = self.feed.borrow_mut().pop() {
            self.broker.borrow_mut().append(&at, value);
        }
        if delivers {
            let late = self.undelivered.borrow_mut().pop();
            late.map(|envelope| self.deliver(&envelope));
        }
        if Some(slot) != frozen {
            self.step(slot, leaves && self.has_faults());
        }
    }

    fn step(self: &Rc<Self>, index: usize, leaves: bool) {
        let slot = &self.slots[index];
        let Ok(mut worker) = slot.worker.try_borrow_mut() else {
            return;
        };
        let Some(running) = worker.as_mut() else {
            if self.now() >= slot.up_at.get() {
                *worker = self.start(index);
            }
            return;
        };
        let outcome = if leaves {
            slot.stop.borrow().request();
            running.run().and(Err(Failure::Stop(CRASHED.to_owned())))
        } else {
            running.step()
        };
        let is_ready = !self.metrics.lacks().iter().any(|lack| lack.starts_with(&slot.name));
        if outcome.is_ok() && slot.is_put_out.get() && is_ready {
            let why = format!("{} is ready without its group", slot.name);
            self.broker.borrow_mut().violations.push(why);
        }
        if let Err(failure) = outcome {
            if failure.detail() != CRASHED {
                let broker = &mut self.broker.borrow_mut();
                if !self.has_faults_at(broker.now) {
                    broker
                        .violations
                        .push(format!("{} stopped by itself: {failure}", slot.name));
                }
            }
            *worker = None;
            self.leave_silently(slot);
            let pause = self.broker.borrow_mut().dice.between(0, 9);
            let pause = if pause <= 1 { 12 * SECOND } else { pause * 150 * MS };
            slot.up_at.set(self.now() + pause);
        }
    }

    fn has_faults_at(&self, now: Micros) -> bool {
        now < self.faults_until.get() + 30 * SECOND
    }

    /// A process that ended is heard of no more.
    fn leave_silently(&self, slot: &Slot) {
        let mut broker = self.broker.borrow_mut();
        let now = broker.now;
        broker
            .groups
            .get_mut(slot.role.as_str())
            .unwrap()
            .silence_instance(&slot.name, now);
    }

    fn start(self: &Rc<Self>, index: usize) -> Option<Worker<SimulatedLog>> {
        let slot = &self.slots[index];
        let Some(log) = SimulatedLog::open(self, index, &slot.name, slot.role.as_str()) else {
            slot.up_at.set(self.now() + 20 * MS);
            return None;
        };
        let stages = self.mutant.stages(&self.stages);
        let stage = match slot.role {
            Role::Intake => Stage::Intake {
                take: (stages.intake)(PARTITIONS),
                formats: BTreeMap::from([(SOURCE.to_owned(), Format::Auto)]),
            },
            Role::Accounts => Stage::Fold {
                role: Role::Accounts,
                factory: stages.accounts,
            },
            Role::Entities => Stage::Fold {
                role: Role::Entities,
                factory: stages.entities,
            },
        };
        let settings = WorkerSettings {
            name: slot.name.clone(),
            role: slot.role,
            topics: self.names.clone(),
            hash_key: HASH_KEY,
            commit_interval: Duration::from_millis(30),
            guarantee: Guarantee::ExactlyOnce,
            transaction_timeout: Duration::from_secs(10),
            checkpoint_period: Duration::from_micros(PERIOD),
            start_from: StartFrom::Earliest,
            is_fused: false,
            is_durable: true,
            is_guarded: true,
        };
        let stop = Stop::default();
        *slot.stop.borrow_mut() = stop.clone();
        let metrics = self.metrics.worker(&slot.name, slot.role);
        Some(Worker::new(log, stage, settings, metrics, stop))
    }

    /// Runs until everything fed is committed in every stage; an error if that never happens.
    pub(super) fn run_until_quiet(self: &Rc<Self>) -> Result<(), String> {
        let mut limit = self.faults_until.get().max(self.now()) + PATIENCE;
        while self.has_faults() || !self.is_quiet() {
            if !self.feed.borrow().is_empty() {
                limit = limit.max(self.now() + PATIENCE);
            }
            for _ in 0..20 {
                self.go_on(None);
            }
            if let Some(violation) = self.broker.borrow().violations.first() {
                return Err(violation.clone());
            }
            if self.now() > limit {
                let seconds = (self.now() - self.faults_until.get()) / SECOND;
                return Err(format!(
                    "no quiet {seconds} s after the last fault: {:?} {}",
                    self.complaints(),
                    self.describe()
                ));
            }
        }
        Ok(())
    }

    /// Nothing is fed until every offset stands behind the last marker and all state is in checkpoints; then retention has
    /// deleted all that there was.
    pub(super) fn rest_until_all_is_deleted(self: &Rc<Self>) -> Result<(), String> {
        let limit = self.now() + PATIENCE;
        while !self.has_passed_all() {
            self.go_on(None);
            if self.now() > limit {
                return Err(format!("an offset stays before a marker: {}", self.describe()));
            }
        }
        let until = self.now() + RETURN + 2 * PERIOD;
        while self.now() < until {
            self.go_on(None);
        }
        let mut broker = self.broker.borrow_mut();
        for (_, topic) in self.roles_and_topics() {
            for partition in broker.topics.get_mut(&*topic).unwrap() {
                partition.start = partition.stable();
            }
        }
        Ok(())
    }

    /// As if a topic had been deleted and created.
    pub(super) fn create_anew(&self, topic: &str) {
        for partition in self.broker.borrow_mut().topics.get_mut(topic).unwrap() {
            *partition = Partition::default();
        }
    }

    pub(super) fn go_on_for(self: &Rc<Self>, time: Micros) {
        let until = self.now() + time;
        while self.now() < until {
            self.go_on(None);
        }
    }

    fn has_passed_all(&self) -> bool {
        let broker = self.broker.borrow();
        self.roles_and_topics().iter().all(|(role, topic)| {
            let committed = &broker.groups[role.as_str()].committed;
            broker.topics[&**topic].iter().zip(0..).all(|(partition, number)| {
                let from = committed.get(&TopicPartition::new(topic, number)).copied();
                from.unwrap_or(0) == partition.stable()
            })
        })
    }

    /// Ends every process at once and lets them come back without faults.
    pub(super) fn restart_all(&self) {
        for slot in &self.slots {
            *slot.worker.borrow_mut() = None;
            self.leave_silently(slot);
            slot.up_at.set(self.now());
        }
    }

    fn is_quiet(&self) -> bool {
        if !self.feed.borrow().is_empty() || !self.undelivered.borrow().is_empty() {
            return false;
        }
        let broker = self.broker.borrow();
        if !broker.is_settled() {
            return false;
        }
        self.roles_and_topics().iter().all(|(role, topic)| {
            let committed = &broker.groups[role.as_str()].committed;
            broker.topics[&**topic].iter().zip(0..).all(|(partition, number)| {
                let at = TopicPartition::new(topic, number);
                let from = committed.get(&at).copied().unwrap_or(0);
                partition.committed_from(from).next().is_none()
            })
        })
    }

    fn describe(&self) -> String {
        let broker = self.broker.borrow();
        let mut text = format!("{} records not fed; {}", self.feed.borrow().len(), broker.describe());
        for (role, topic) in self.roles_and_topics() {
            let group = &broker.groups[role.as_str()];
            let ends: Vec<(i64, i64)> = broker.topics[&*topic]
                .iter()
                .map(|partition| (partition.stable(), partition.end()))
                .collect();
            text.push_str(&format!("\n{}: ends {ends:?}, {}", role.as_str(), group.describe()));
        }
        text
    }

    fn roles_and_topics(&self) -> [(Role, Arc<str>); 3] {
        [
            (Role::Intake, Arc::from(SOURCE)),
            (Role::Accounts, self.names.observations.clone()),
            (Role::Entities, self.names.links.clone()),
        ]
    }

    /// Values under `read_committed`, by partition.
    pub(super) fn committed(&self, topic: &str) -> Vec<Vec<(i64, i64, Vec<u8>)>> {
        let broker = self.broker.borrow();
        let partitions = broker.topics[topic].iter();
        partitions
            .map(|partition| {
                let records = partition.committed_from(0);
                records
                    .map(|(offset, entry)| (offset, entry.append_ms, entry.value.clone().unwrap_or_default()))
                    .collect()
            })
            .collect()
    }

    /// The latest digest of each partition of a stage, with the group's committed offset.
    pub(super) fn digests(&self, role: Role) -> Vec<Option<(DigestRecord, Option<i64>)>> {
        let broker = self.broker.borrow();
        let topic = if role == Role::Accounts {
            &self.names.observations
        } else {
            &self.names.links
        };
        let latest = |partition: i32| {
            let at = usize::try_from(self.names.checkpoint_partition(role, partition)).unwrap();
            let key = CheckpointKey::Digest.encode(role.as_str(), partition);
            let checkpoints = &broker.topics[&*self.names.checkpoints][at];
            let record = checkpoints
                .committed_from(0)
                .filter(|(_, entry)| entry.key.as_ref() == Some(&key))
                .last()?;
            let digest = DigestRecord::decode(record.1.value.as_ref()?).unwrap();
            let group = &broker.groups[role.as_str()];
            Some((
                digest,
                group.committed.get(&TopicPartition::new(topic, partition)).copied(),
            ))
        };
        (0..i32::try_from(PARTITIONS).unwrap()).map(latest).collect()
    }

    /// Lines of `/metrics` that tell of a broken promise.
    pub(super) fn complaints(&self) -> BTreeSet<String> {
        let text = String::from_utf8(self.metrics.render()).unwrap();
        let is_bad = |line: &&str| {
            ["result=\"different\"", "kind=\"torn\"", "kind=\"refused\""]
                .iter()
                .any(|sign| line.contains(sign) && !line.ends_with(" 0"))
        };
        // A counter that is not there from the beginning hides its first event from whoever looks at its growth.
        let before = String::from_utf8(Metrics::new().unwrap().render()).unwrap();
        let counter = |line: &str| {
            line.rsplit_once(' ')
                .map_or_else(String::new, |(counter, _)| counter.to_owned())
        };
        let is_unknown = |line: &&str| {
            let families = [
                "falsefront_transactions_aborted_total{",
                "falsefront_producer_recycled_total{",
            ];
            families.iter().any(|family| line.starts_with(family)) && !before.contains(&counter(line))
        };
        let lines = text.lines();
        lines
            .filter(|line| is_bad(line) || is_unknown(line))
            .map(str::to_owned)
            .collect()
    }
}
