//! A broker as far as the protocol can tell: partitions with a last stable offset, a transaction coordinator of
//! Kafka's first transaction protocol, markers that reach each partition when they please.
//!
//! Rules are Kafka's: `TransactionCoordinator`, `ProducerStateManager` and KIP-890 part 1, by which a broker asks the
//! coordinator whether a partition belongs to the transaction before it takes its first record.

use std::collections::{BTreeMap, BTreeSet};

use falsefront::service::log::{Outgoing, TopicPartition};

use super::group::Group;
use super::random::Dice;

/// Microseconds.
pub(super) type Micros = u64;
pub(super) const MS: Micros = 1_000;
pub(super) const SECOND: Micros = 1_000_000;
/// Virtual time 0 in ms since the epoch.
pub(super) const EPOCH_MS: i64 = 1_767_571_200_000;
/// A transaction older than this is aborted by its coordinator, which sweeps once a second.
pub(super) const TRANSACTION_TIMEOUT: Micros = 10 * SECOND;
const SWEEP: Micros = SECOND;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Open,
    Committed,
    Aborted,
    Marker,
}

pub(super) struct Entry {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) append_ms: i64,
    pub(super) fate: Fate,
    producer: usize,
}

#[derive(Default)]
pub(super) struct Partition {
    /// Retention has deleted what stands before it; the oracle still sees it.
    pub(super) start: i64,
    pub(super) entries: Vec<Entry>,
    /// First offset of each producer's open transaction.
    open: BTreeMap<usize, i64>,
    epochs: BTreeMap<usize, i32>,
}

impl Partition {
    pub(super) fn end(&self) -> i64 {
        i64::try_from(self.entries.len()).unwrap()
    }

    pub(super) fn stable(&self) -> i64 {
        self.open.values().copied().min().unwrap_or_else(|| self.end())
    }

    /// Committed records from `offset` on, up to the last stable offset.
    pub(super) fn committed_from(&self, offset: i64) -> impl Iterator<Item = (i64, &Entry)> {
        (offset..self.stable()).filter_map(|offset| {
            let entry = self.entries.get(usize::try_from(offset).unwrap())?;
            (entry.fate == Fate::Committed).then_some((offset, entry))
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Empty,
    Ongoing,
    Prepared { is_commit: bool },
    Complete { is_commit: bool },
}

struct Transaction {
    epoch: i32,
    state: State,
    since: Micros,
    partitions: BTreeSet<TopicPartition>,
    /// The group whose offsets are part of it, once it was named.
    group: Option<String>,
    offsets: BTreeMap<TopicPartition, i64>,
    /// Offsets of a transaction that was completed without its markers: see [`Broker::forget_markers`].
    hanging: Option<(String, BTreeMap<TopicPartition, i64>)>,
    markers_left: usize,
}

/// What a client asks of a coordinator. Kept whole, since the network may deliver it twice.
#[derive(Clone, Debug)]
pub(super) enum Request {
    AddPartition(TopicPartition),
    AddOffsets(String),
    CommitOffsets {
        group: String,
        member: Option<String>,
        generation: i32,
        next: Vec<(TopicPartition, i64)>,
    },
    End {
        is_commit: bool,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Envelope {
    pub(super) producer: usize,
    pub(super) epoch: i32,
    pub(super) request: Request,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Ok,
    /// The transaction before is not finished yet.
    Concurrent,
    Fenced,
    InvalidState,
    /// The group does not know this member in this generation.
    Stale,
}

enum Marker {
    Partition(TopicPartition),
    Offsets,
}

pub(super) struct Broker {
    pub(super) now: Micros,
    pub(super) dice: Dice,
    pub(super) topics: BTreeMap<String, Vec<Partition>>,
    pub(super) groups: BTreeMap<String, Group>,
    producers: BTreeMap<String, usize>,
    transactions: Vec<Transaction>,
    markers: BTreeMap<(Micros, u64), (usize, Marker)>,
    sequence: u64,
    swept: Micros,
    /// Markers of a thousand that take seconds.
    pub(super) slow_markers: u64,
    /// Until then the markers of checkpoints come last and outlive the session of a dead owner.
    pub(super) late_until: Micros,
    pub(super) violations: Vec<String>,
}

impl Broker {
    pub(super) fn new(seed: u64, topics: &[(&str, u32)]) -> Self {
        let partitions = |count: u32| (0..count).map(|_| Partition::default()).collect();
        Self {
            now: 0,
            dice: Dice::new(seed),
            topics: topics
                .iter()
                .map(|(name, count)| ((*name).to_owned(), partitions(*count)))
                .collect(),
            groups: BTreeMap::new(),
            producers: BTreeMap::new(),
            transactions: Vec::new(),
            markers: BTreeMap::new(),
            sequence: 0,
            swept: 0,
            slow_markers: 0,
            late_until: 0,
            violations: Vec::new(),
        }
    }

    pub(super) fn partition(&self, at: &TopicPartition) -> &Partition {
        &self.topics[&*at.topic][usize::try_from(at.partition).unwrap()]
    }

    fn partition_mut(&mut self, at: &TopicPartition) -> &mut Partition {
        let partitions = self.topics.get_mut(&*at.topic).unwrap();
        &mut partitions[usize::try_from(at.partition).unwrap()]
    }

    fn now_ms(&self) -> i64 {
        EPOCH_MS + i64::try_from(self.now / MS).unwrap()
    }

    pub(super) fn advance(&mut self, time: Micros) {
        self.now += time;
        while let Some(entry) = self.markers.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let (producer, marker) = entry.remove();
            self.write_marker(producer, &marker);
        }
        if self.now >= self.swept + SWEEP {
            self.swept = self.now;
            for producer in 0..self.transactions.len() {
                let transaction = &mut self.transactions[producer];
                if transaction.state == State::Ongoing && self.now > transaction.since + TRANSACTION_TIMEOUT {
                    transaction.epoch += 1;
                    self.prepare(producer, false);
                }
            }
            for group in self.groups.values_mut() {
                group.expire(self.now);
            }
        }
    }

    /// A record of somebody without transactions.
    pub(super) fn append(&mut self, at: &TopicPartition, value: Vec<u8>) {
        let append_ms = self.now_ms();
        self.partition_mut(at).entries.push(Entry {
            key: Some(b"key".to_vec()),
            value: Some(value),
            append_ms,
            fate: Fate::Committed,
            producer: usize::MAX,
        });
    }

    /// Takes over a transactional id. `None` while its last transaction is being ended.
    pub(super) fn initialize(&mut self, id: &str) -> Option<(usize, i32)> {
        let count = self.transactions.len();
        let producer = *self.producers.entry(id.to_owned()).or_insert(count);
        if producer == count {
            self.transactions.push(Transaction {
                epoch: -1,
                state: State::Empty,
                since: 0,
                partitions: BTreeSet::new(),
                group: None,
                offsets: BTreeMap::new(),
                hanging: None,
                markers_left: 0,
            });
        }
        let transaction = &mut self.transactions[producer];
        match transaction.state {
            State::Ongoing => {
                transaction.epoch += 1;
                self.prepare(producer, false);
                None
            }
            State::Prepared { .. } => None,
            State::Empty | State::Complete { .. } => {
                transaction.epoch += 1;
                transaction.state = State::Empty;
                Some((producer, transaction.epoch))
            }
        }
    }

    fn prepare(&mut self, producer: usize, is_commit: bool) {
        let transaction = &mut self.transactions[producer];
        transaction.state = State::Prepared { is_commit };
        let mut markers: Vec<Marker> = transaction.partitions.iter().cloned().map(Marker::Partition).collect();
        if transaction.group.is_some() {
            markers.push(Marker::Offsets);
        }
        transaction.markers_left = markers.len();
        if markers.is_empty() {
            transaction.state = State::Complete { is_commit };
        }
        for marker in markers {
            let is_slow = self.dice.chance(self.slow_markers);
            let is_late = self.now < self.late_until
                && matches!(&marker, Marker::Partition(at) if at.topic.ends_with(".checkpoints"));
            let delay = match (is_late, is_slow) {
                (true, _) => self.dice.between(15 * SECOND, 25 * SECOND),
                (false, true) => self.dice.between(200, 6 * SECOND),
                (false, false) => self.dice.between(200, 8 * MS),
            };
            self.sequence += 1;
            self.markers
                .insert((self.now + delay, self.sequence), (producer, marker));
        }
    }

    fn write_marker(&mut self, producer: usize, marker: &Marker) {
        let transaction = &mut self.transactions[producer];
        let State::Prepared { is_commit } = transaction.state else {
            unreachable!("markers are of a prepared transaction")
        };
        transaction.markers_left -= 1;
        if transaction.markers_left == 0 {
            transaction.state = State::Complete { is_commit };
        }
        let epoch = transaction.epoch;
        match marker {
            Marker::Offsets => {
                let mut offsets = transaction
                    .hanging
                    .take()
                    .map(|(_, offsets)| offsets)
                    .unwrap_or_default();
                offsets.extend(std::mem::take(&mut transaction.offsets));
                let group = transaction.group.take().unwrap();
                if is_commit {
                    let group = self.groups.get_mut(&group).unwrap();
                    for (at, offset) in offsets {
                        let before = group.committed.insert(at.clone(), offset);
                        if before.is_some_and(|before| before > offset) {
                            self.violations
                                .push(format!("offset of {at} went back from {before:?} to {offset}"));
                        }
                    }
                }
            }
            Marker::Partition(at) => {
                let append_ms = self.now_ms();
                let partition = self.partition_mut(at);
                partition.epochs.insert(producer, epoch);
                let fate = if is_commit { Fate::Committed } else { Fate::Aborted };
                if let Some(first) = partition.open.remove(&producer) {
                    for entry in &mut partition.entries[usize::try_from(first).unwrap()..] {
                        if entry.producer == producer && entry.fate == Fate::Open {
                            entry.fate = fate;
                        }
                    }
                }
                partition.entries.push(Entry {
                    key: None,
                    value: None,
                    append_ms,
                    fate: Fate::Marker,
                    producer,
                });
            }
        }
    }

    pub(super) fn produce(&mut self, producer: usize, epoch: i32, record: &Outgoing) -> Answer {
        let at = TopicPartition {
            topic: record.topic.clone(),
            partition: record.partition,
        };
        let append_ms = self.now_ms();
        let transaction = &self.transactions[producer];
        let is_ours = transaction.state == State::Ongoing && transaction.partitions.contains(&at);
        let (current, partition) = (transaction.epoch, self.partition(&at));
        let is_open = partition.open.contains_key(&producer);
        if partition.epochs.get(&producer).is_some_and(|seen| *seen > epoch) || (!is_open && current != epoch) {
            return Answer::Fenced;
        }
        if !is_open && !is_ours {
            return Answer::InvalidState;
        }
        let partition = self.partition_mut(&at);
        let end = partition.end();
        partition.epochs.insert(producer, epoch);
        partition.open.entry(producer).or_insert(end);
        partition.entries.push(Entry {
            key: record.key.clone(),
            value: record.value.clone(),
            append_ms,
            fate: Fate::Open,
            producer,
        });
        Answer::Ok
    }

    /// Whether a transaction may yet change the group's offset of `at`.
    pub(super) fn is_unstable(&self, group: &str, at: &TopicPartition) -> bool {
        self.transactions.iter().any(|transaction| {
            let is_open = transaction.group.as_deref() == Some(group)
                && transaction.offsets.contains_key(at)
                && matches!(transaction.state, State::Ongoing | State::Prepared { .. });
            let hangs =
                |(of, offsets): &(String, BTreeMap<TopicPartition, i64>)| of == group && offsets.contains_key(at);
            is_open || transaction.hanging.as_ref().is_some_and(hangs)
        })
    }

    /// What a broker that is alone and restarts was seen to do: the transaction is complete, and no partition has a
    /// marker. False if some have one.
    pub(super) fn forget_markers(&mut self, producer: usize) -> bool {
        let transaction = &mut self.transactions[producer];
        let count = transaction.partitions.len() + usize::from(transaction.group.is_some());
        let State::Prepared { is_commit } = transaction.state else {
            return false;
        };
        if transaction.markers_left < count || transaction.hanging.is_some() {
            return false;
        }
        transaction.state = State::Complete { is_commit };
        let group = transaction.group.take();
        transaction.hanging = group.map(|group| (group, std::mem::take(&mut transaction.offsets)));
        self.markers.retain(|_, (of, _)| *of != producer);
        true
    }

    /// Whether every transaction is decided.
    pub(super) fn is_settled(&self) -> bool {
        let is_open = |transaction: &Transaction| matches!(transaction.state, State::Ongoing | State::Prepared { .. });
        !self.transactions.iter().any(is_open)
    }

    pub(super) fn describe(&self) -> String {
        let states = self.transactions.iter().map(|transaction| transaction.state);
        format!("transactions {:?}", states.collect::<Vec<_>>())
    }

    /// A coordinator takes a request, whenever the network delivers it.
    pub(super) fn serve(&mut self, envelope: &Envelope, checks_members: bool) -> Answer {
        let now = self.now;
        let transaction = &self.transactions[envelope.producer];
        if envelope.epoch != transaction.epoch {
            return Answer::Fenced;
        }
        if let (State::Prepared { .. }, Request::AddPartition(_) | Request::AddOffsets(_)) =
            (transaction.state, &envelope.request)
        {
            return Answer::Concurrent;
        }
        match &envelope.request {
            Request::AddPartition(at) => {
                let transaction = self.open(envelope.producer, now);
                transaction.partitions.insert(at.clone());
                Answer::Ok
            }
            Request::AddOffsets(group) => {
                let transaction = self.open(envelope.producer, now);
                transaction.group = Some(group.clone());
                Answer::Ok
            }
            Request::CommitOffsets {
                group,
                member,
                generation,
                next,
            } => {
                let is_member = self.groups[group].is_member(member.as_deref(), *generation);
                if checks_members && !is_member {
                    return Answer::Stale;
                }
                let transaction = &mut self.transactions[envelope.producer];
                if transaction.state != State::Ongoing || transaction.group.is_none() {
                    return Answer::InvalidState;
                }
                transaction.offsets.extend(next.iter().cloned());
                Answer::Ok
            }
            Request::End { is_commit } => match transaction.state {
                State::Ongoing => {
                    self.prepare(envelope.producer, *is_commit);
                    Answer::Ok
                }
                State::Prepared { is_commit: is } if is == *is_commit => Answer::Concurrent,
                State::Complete { is_commit: is } if is == *is_commit => Answer::Ok,
                State::Empty | State::Prepared { .. } | State::Complete { .. } => Answer::InvalidState,
            },
        }
    }

    fn open(&mut self, producer: usize, now: Micros) -> &mut Transaction {
        let transaction = &mut self.transactions[producer];
        if transaction.state != State::Ongoing {
            transaction.state = State::Ongoing;
            transaction.since = now;
            transaction.partitions.clear();
            transaction.offsets.clear();
            transaction.group = None;
        }
        transaction
    }
}
