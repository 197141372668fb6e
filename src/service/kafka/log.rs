//! [`Log`] over a consumer and a transactional producer of librdkafka.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher as _;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer};
use siphasher::sip::SipHasher24;

use crate::service::log::{
    Failure, Guarantee, Isolation, Log, Outgoing, Polled, Rebalance, Record, TOGETHER, Take, TopicPartition,
};
use crate::service::metrics::Metrics;

use super::clients::{consumer, producer, side_consumer};
use super::connection::Connection;
use super::context::{Deliveries, Group, Quiet, list};
use super::direct::{Direct, resume_at};
use super::failure::{consumption, describe, question, transactional};
use super::native::{self, BatchConsumer};
use super::offsets::{plain_offsets, topics_read_before};
use super::records::{batched, now_ms, record};
use super::served::ServedProducer;

/// Longest a question to the cluster may take.
pub(super) const ASK: Duration = Duration::from_secs(5);
/// Longest the committed offsets may take: while a transaction holds them the broker does not answer.
pub(super) const ASK_COMMITTED: Duration = Duration::from_secs(2);

/// How partitions come to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Membership {
    /// By the group protocol, over these topics.
    Group(Vec<String>),
    /// These, for good. For librdkafka's in-process broker, where joining a group takes seconds.
    Fixed(Vec<TopicPartition>),
}

/// Which group protocol is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupProtocol {
    /// Cooperative-sticky with static membership: a restart within the session moves nothing.
    #[default]
    Classic,
    /// KIP-848, for brokers of 4.0 and later.
    Consumer,
}

impl GroupProtocol {
    /// The protocol as configuration spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
        }
    }
}

/// What a log is opened with.
#[derive(Clone)]
pub struct LogSettings {
    /// The brokers.
    pub connection: Connection,
    /// `falsefront.accounts`.
    pub group: String,
    /// Stable name of this member, and its transactional id: `falsefront-a-accounts-0`.
    pub member: String,
    /// Group protocol.
    pub protocol: GroupProtocol,
    /// Where partitions come from.
    pub membership: Membership,
    /// Whether there are transactions.
    pub guarantee: Guarantee,
    /// The broker aborts a transaction that is older.
    pub transaction_timeout: Duration,
    /// Partitions are read outside of the group too, to restore state. A reader takes a second to come up, so it is
    /// made with the rest.
    pub has_reader: bool,
    /// How what it produces is compressed, unless an operator says otherwise: a `compression.type` of librdkafka.
    pub compression: &'static str,
    /// Receives the lag.
    pub metrics: Option<Metrics>,
}

impl LogSettings {
    /// Whether this is a member with a name of its own.
    pub(super) fn has_name(&self) -> bool {
        self.protocol == GroupProtocol::Classic && matches!(self.membership, Membership::Group(_))
    }

    /// Name of the static member. It says which topics are subscribed to: whoever comes back under the same name is handed
    /// what it had before, and would never read a source that was added (`GroupCoordinator` rebalances a stable group for
    /// another protocol only, not for another subscription).
    pub(super) fn instance(&self) -> String {
        let Membership::Group(topics) = &self.membership else {
            return self.member.clone();
        };
        let mut topics: Vec<&str> = topics.iter().map(AsRef::as_ref).collect();
        topics.sort_unstable();
        let mut hasher = SipHasher24::new();
        for topic in topics {
            hasher.write(topic.as_bytes());
            hasher.write_u8(0);
        }
        format!("{}-{:016x}", self.member, hasher.finish())
    }
}

/// One worker's consumer and producer.
pub struct KafkaLog {
    settings: LogSettings,
    began: Instant,
    producer: ServedProducer,
    deliveries: Deliveries,
    disconnects_before: u64,
    reader: Option<BaseConsumer<Quiet>>,
    reading: Vec<TopicPartition>,
    watcher: BaseConsumer<Quiet>,
    consumer: BatchConsumer<Group>,
    direct: Option<Direct>,
    /// What is read directly was first in the last poll.
    is_direct_first: bool,
    fixed: Option<Vec<TopicPartition>>,
    /// What [`Log::wait_paused`] came upon.
    failure: Option<Failure>,
    /// See [`topics_read_before`].
    read_before: BTreeMap<String, i32>,
    /// Partitions were assigned, so records come to the queue of batches.
    has_partitions: bool,
    /// At least once: what the next commit tells the group.
    offsets: Vec<(TopicPartition, i64)>,
}

impl KafkaLog {
    /// Connects, takes over the transactional id and joins the group.
    ///
    /// # Errors
    /// [`Failure::Stop`] if the settings are refused, [`Failure::Retry`] if the brokers do not answer yet.
    pub fn open(settings: LogSettings) -> Result<Self, Failure> {
        let deliveries = Deliveries::default();
        let producer = producer(&settings, &deliveries)?;
        let consumer = BatchConsumer::new(consumer(&settings)?)
            .ok_or_else(|| Failure::Stop("consumer: no memory for its queue".to_owned()))?;
        let watcher = side_consumer(&settings, "read_uncommitted")?;
        let reader = if settings.has_reader {
            Some(side_consumer(&settings, "read_committed")?)
        } else {
            None
        };
        let read_before = topics_read_before(&settings, &consumer);
        let mut fixed = None;
        match &settings.membership {
            Membership::Group(topics) => {
                let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
                consumer
                    .subscribe(&topics)
                    .map_err(|error| Failure::Stop(describe(&error)))?;
            }
            Membership::Fixed(partitions) => fixed = Some(partitions.clone()),
        }
        let direct = match settings.membership {
            Membership::Group(_) => Direct::new(&settings.connection, settings.metrics.clone()),
            Membership::Fixed(_) => None,
        };
        Ok(Self {
            settings,
            direct,
            is_direct_first: false,
            began: Instant::now(),
            producer,
            deliveries,
            disconnects_before: 0,
            reader,
            reading: Vec::new(),
            watcher,
            consumer,
            fixed,
            failure: None,
            read_before,
            has_partitions: false,
            offsets: Vec::new(),
        })
    }

    /// Hands over what librdkafka has read; true if nobody wants more.
    fn poll_batches(
        &mut self,
        mut wait: Duration,
        count_max: usize,
        polled: &mut Polled,
        take: Take<'_>,
    ) -> Result<bool, Failure> {
        let mut is_over = false;
        while polled.records < count_max && !is_over {
            let now_ms = now_ms();
            let mut handed = 0;
            let outcome = self.consumer.batch(wait, |messages| {
                handed += messages.len();
                let records: ArrayVec<Record<'_>, TOGETHER> =
                    messages.iter().map(|message| batched(message, now_ms)).collect();
                is_over |= take(&records).is_break();
                if let (Some(direct), Some(newest)) = (&mut self.direct, messages.last()) {
                    direct.handed_over(newest.topic, newest.partition, newest.offset);
                }
            });
            wait = Duration::ZERO;
            // Those beside an error were handed over too.
            polled.records += handed;
            match outcome {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => trouble(&error)?,
            }
        }
        Ok(is_over)
    }

    /// Hands over what is read directly; true if nobody wants more.
    fn poll_direct(&mut self, wait: Duration, count_max: usize, polled: &mut Polled, take: Take<'_>) -> bool {
        let mut is_over = false;
        let mut take = |records: &[Record<'_>]| {
            let flow = take(records);
            is_over |= flow.is_break();
            flow
        };
        if let Some(direct) = &mut self.direct {
            polled.records += direct.poll(wait, count_max, &mut take);
        }
        is_over
    }

    fn stop_direct(&mut self, partitions: &[TopicPartition]) {
        if let Some(direct) = &mut self.direct {
            partitions.iter().for_each(|at| direct.stop(at));
        }
    }

    fn assigned(&self) -> BTreeSet<TopicPartition> {
        self.consumer
            .assignment()
            .map(|list| super::context::plain(&list).into_iter().collect())
            .unwrap_or_default()
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        self.consumer.context().is_closing.store(true, Ordering::Relaxed);
    }
}

/// What an error of a poll means; passing ones are only logged.
fn trouble(error: &KafkaError) -> Result<(), Failure> {
    if let Some(failure) = consumption(error) {
        return Err(failure);
    }
    tracing::debug!(detail = describe(error), "passing consumer error");
    Ok(())
}

impl Log for KafkaLog {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn wait(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn wait_paused(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            // Nothing may be polled before a rebalance is answered.
            if self.consumer.context().has_next() || self.failure.is_some() {
                std::thread::sleep(end.saturating_duration_since(Instant::now()));
                return;
            }
            if let Some(Err(error)) = self.consumer.poll(end.saturating_duration_since(Instant::now())) {
                self.failure = consumption(&error);
            }
        }
    }

    fn poll(&mut self, wait: Duration, count_max: usize, take: Take<'_>) -> Result<Polled, Failure> {
        let mut polled = Polled::default();
        if let Some(partitions) = self.fixed.take() {
            polled.rebalance = Some(Rebalance::Assigned(partitions));
            return Ok(polled);
        }
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        // What comes to the consumer's own queue: rebalances and errors; messages only until they are forwarded.
        let has_partitions = self.has_partitions;
        let mut own_wait = if has_partitions { Duration::ZERO } else { wait };
        loop {
            match self.consumer.poll(own_wait) {
                Some(Ok(message)) => {
                    polled.records += 1;
                    if take(&[record(&message)]).is_break() {
                        polled.rebalance = self.consumer.context().next();
                        return Ok(polled);
                    }
                }
                Some(Err(error)) => trouble(&error)?,
                None => {}
            }
            own_wait = Duration::ZERO;
            if self.consumer.context().has_next() || !self.consumer.has_events() {
                break;
            }
        }
        polled.rebalance = self.consumer.context().next();
        if !has_partitions || polled.rebalance.is_some() {
            return Ok(polled);
        }
        if let Some(direct) = &mut self.direct {
            direct.look_after(&self.consumer)?;
        }
        let Some(direct) = self.direct.as_ref().filter(|direct| !direct.has_lent_all()) else {
            self.poll_batches(wait, count_max, &mut polled, take)?;
            return Ok(polled);
        };
        // Each is first in turn and takes half at most: a poll may end at the bytes of whoever is first. librdkafka is
        // looked at even if it reads nothing: its errors stand there too.
        self.is_direct_first = direct.lends() && !self.is_direct_first;
        let half = count_max.div_ceil(2);
        if self.is_direct_first && self.poll_direct(Duration::ZERO, half, &mut polled, take) {
            return Ok(polled);
        }
        let share = if self.is_direct_first { count_max } else { half };
        if self.poll_batches(Duration::ZERO, share, &mut polled, take)? {
            return Ok(polled);
        }
        let wait = if polled.records > 0 { Duration::ZERO } else { wait };
        self.poll_direct(wait, count_max.saturating_sub(polled.records), &mut polled, take);
        Ok(polled)
    }

    fn assign(&mut self, partitions: &[TopicPartition]) -> Result<(), Failure> {
        let stop = |error: KafkaError| Failure::Stop(format!("assign: {}", describe(&error)));
        let list = list(partitions, Offset::Beginning)?;
        partitions.iter().for_each(|at| self.consumer.forward(at));
        if matches!(self.settings.membership, Membership::Fixed(_)) {
            self.consumer.assign(&list).map_err(stop)?;
        } else {
            self.consumer.incremental_assign(&list).map_err(stop)?;
        }
        if partitions.is_empty() {
            return Ok(());
        }
        self.has_partitions = true;
        self.consumer.pause(&list).map_err(stop)
    }

    fn unassign(&mut self, partitions: &[TopicPartition]) -> Result<(), Failure> {
        self.stop_direct(partitions);
        let list = list(partitions, Offset::Invalid)?;
        self.consumer
            .incremental_unassign(&list)
            .map_err(|error| Failure::Stop(format!("unassign: {}", describe(&error))))
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), Failure> {
        self.stop_direct(partitions);
        let list = list(partitions, Offset::Invalid)?;
        self.consumer
            .pause(&list)
            .map_err(|error| Failure::Stop(format!("pause: {}", describe(&error))))
    }

    fn resume_at(&mut self, partition: &TopicPartition, offset: i64) -> Result<(), Failure> {
        if let Some(direct) = &mut self.direct {
            direct.start(partition, offset);
            return Ok(());
        }
        resume_at(&self.consumer, partition, offset, ASK)
    }

    fn passed(&self, partition: &TopicPartition) -> Option<i64> {
        self.direct.as_ref()?.passed(partition)
    }

    fn owns(&self, partitions: &[TopicPartition]) -> bool {
        let assigned = self.assigned();
        !self.consumer.assignment_lost() && partitions.iter().all(|at| assigned.contains(at))
    }

    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Option<i64>>, Failure> {
        let asked = list(partitions, Offset::Invalid)?;
        let answer = self
            .consumer
            .committed_offsets(asked, ASK_COMMITTED)
            .map_err(|error| question("committed offsets", &error))?;
        partitions
            .iter()
            .map(|at| match answer.find_partition(&at.topic, at.partition) {
                Some(element) => match (element.error(), element.offset()) {
                    (Err(error), _) => Err(question("committed offsets", &error)),
                    (Ok(()), Offset::Offset(offset)) => Ok(Some(offset)),
                    (Ok(()), _) => Ok(None),
                },
                None => Ok(None),
            })
            .collect()
    }

    fn was_added(&self, partition: &TopicPartition) -> bool {
        let highest = self.read_before.get(&*partition.topic);
        highest.is_some_and(|highest| partition.partition > *highest)
    }

    fn bounds(&mut self, partition: &TopicPartition, isolation: Isolation) -> Result<(i64, i64), Failure> {
        let (topic, number) = (&*partition.topic, partition.partition);
        let ask = |log: &Self| match isolation {
            Isolation::Committed => log.consumer.fetch_watermarks(topic, number, ASK),
            Isolation::Uncommitted => log.watcher.fetch_watermarks(topic, number, ASK),
        };
        let answer = ask(self).or_else(|error| {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::UnknownPartition) {
                return Err(error);
            }
            // What a broker that was starting did not know, a client believes until it asks for this very topic.
            let asked = match isolation {
                Isolation::Committed => self.consumer.fetch_metadata(Some(topic), ASK).map(drop),
                Isolation::Uncommitted => self.watcher.fetch_metadata(Some(topic), ASK).map(drop),
            };
            asked.and_then(|()| ask(self))
        });
        answer.map_err(|error| question("offsets of a partition", &error))
    }

    fn offset_at(&mut self, partition: &TopicPartition, time_ms: i64) -> Result<i64, Failure> {
        let asked = list(std::slice::from_ref(partition), Offset::Offset(time_ms))?;
        let answer = self
            .consumer
            .offsets_for_times(asked, ASK)
            .map_err(|error| question("offset of a time", &error))?;
        let offset = answer.elements().first().map(|element| element.offset());
        drop(answer);
        match offset {
            Some(Offset::Offset(offset)) => Ok(offset),
            _ => self.bounds(partition, Isolation::Committed).map(|(_, end)| end),
        }
    }

    fn begin(&mut self) -> Result<(), Failure> {
        self.deliveries.clear();
        if self.settings.guarantee == Guarantee::AtLeastOnce {
            return Ok(());
        }
        self.producer
            .begin_transaction()
            .map_err(|error| transactional("begin", &error))
    }

    fn send(&mut self, record: &Outgoing) -> Result<(), Failure> {
        let mut native: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&record.topic).partition(record.partition);
        native.key = record.key.as_deref();
        native.payload = record.value.as_deref();
        if !record.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(record.headers.len());
            native.headers = Some(record.headers.iter().fold(headers, |headers, (key, value)| {
                headers.insert(Header {
                    key,
                    value: Some(value.as_slice()),
                })
            }));
        }
        self.producer.send(native).map_err(|(error, _)| match error {
            KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => Failure::Retry("queue full".to_owned()),
            error => Failure::Abort(format!("{}/{}: {}", record.topic, record.partition, describe(&error))),
        })
    }

    fn in_flight(&self) -> usize {
        usize::try_from(self.producer.in_flight_count()).unwrap_or(0)
    }

    fn flush(&mut self, wait: Duration) {
        native::flush(&*self.producer, wait);
    }

    fn delivery_failure(&self) -> Option<String> {
        self.deliveries.failure()
    }

    fn send_offsets(&mut self, next: &[(TopicPartition, i64)]) -> Result<(), Failure> {
        if self.settings.guarantee == Guarantee::AtLeastOnce {
            next.clone_into(&mut self.offsets);
            return Ok(());
        }
        let offsets = plain_offsets(next)?;
        // Taken now: metadata from the transaction's begin carries an older generation after a rebalance.
        let is_member = matches!(self.settings.membership, Membership::Fixed(_)) || self.consumer.is_member();
        let Some(group) = self.consumer.group_metadata().filter(|_| is_member) else {
            return Err(Failure::Abort("not a member of the group".to_owned()));
        };
        self.producer
            .send_offsets_to_transaction(&offsets, &group, self.settings.transaction_timeout)
            .map_err(|error| transactional("send_offsets", &error))
    }

    fn commit(&mut self) -> Result<(), Failure> {
        if self.settings.guarantee == Guarantee::AtLeastOnce {
            let next = plain_offsets(&std::mem::take(&mut self.offsets))?;
            let committed = self.consumer.commit(&next, CommitMode::Sync);
            return committed.map_err(|error| Failure::Recycle(format!("commit: {}", describe(&error))));
        }
        self.producer
            .commit_transaction(None)
            .map_err(|error| transactional("commit", &error))
    }

    fn abort(&mut self) -> Result<(), Failure> {
        if self.settings.guarantee == Guarantee::AtLeastOnce {
            return Ok(());
        }
        self.producer
            .abort_transaction(None)
            .map_err(|error| transactional("abort", &error))
    }

    fn recreate_producer(&mut self) -> Result<(), Failure> {
        let deliveries = Deliveries::default();
        self.producer = producer(&self.settings, &deliveries)?;
        self.disconnects_before = self.disconnects();
        self.deliveries = deliveries;
        Ok(())
    }

    fn disconnects(&self) -> u64 {
        self.disconnects_before + self.deliveries.disconnects.load(Ordering::Relaxed)
    }

    fn read_from(&mut self, partition: &TopicPartition, offset: i64) -> Result<(), Failure> {
        self.read_end(partition);
        let Some(reader) = &self.reader else {
            return Err(Failure::Stop("opened without a reader".to_owned()));
        };
        let from = if offset == 0 {
            Offset::Beginning
        } else {
            Offset::Offset(offset)
        };
        let added = list(std::slice::from_ref(partition), from)?;
        reader
            .incremental_assign(&added)
            .map_err(|error| question("read", &error))?;
        self.reading.push(partition.clone());
        // Otherwise the partition waits for librdkafka's scan for unknown leaders, once a second.
        reader
            .fetch_metadata(Some(&partition.topic), ASK)
            .map_err(|error| question("metadata", &error))?;
        Ok(())
    }

    fn read(&mut self, wait: Duration, count_max: usize, take: Take<'_>) -> Result<Vec<TopicPartition>, Failure> {
        let mut ended = Vec::new();
        let Some(reader) = &self.reader else { return Ok(ended) };
        let mut wait = wait;
        for _ in 0..count_max {
            match reader.poll(wait) {
                Some(Ok(message)) => {
                    if take(&[record(&message)]).is_break() {
                        break;
                    }
                }
                // It names no topic; but a worker reads one partition of each number at a time.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    ended.extend(self.reading.iter().find(|at| at.partition == partition).cloned());
                }
                Some(Err(error)) => {
                    if let Some(failure) = consumption(&error) {
                        return Err(failure);
                    }
                }
                None => break,
            }
            wait = Duration::ZERO;
        }
        Ok(ended)
    }

    fn read_end(&mut self, partition: &TopicPartition) {
        let Some(index) = self.reading.iter().position(|at| at == partition) else {
            return;
        };
        self.reading.swap_remove(index);
        if let (Some(reader), Ok(removed)) = (&self.reader, list(std::slice::from_ref(partition), Offset::Invalid)) {
            let _ = reader.incremental_unassign(&removed);
        }
    }
}
