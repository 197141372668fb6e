//! A plain producer and a plain consumer: for the demo, for feeding a topic and for reading the alerts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::{Message, Offset, TopicPartitionList};

use super::connection::{Connection, Kind};
use super::context::{Deliveries, Quiet};
use super::failure::describe;
use crate::service::log::Outgoing;

/// What went wrong, in librdkafka's words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct IoError(pub String);

fn io(error: &KafkaError) -> IoError {
    IoError(describe(error))
}

/// An idempotent producer.
pub struct Writer {
    producer: ThreadedProducer<Deliveries>,
    deliveries: Deliveries,
}

impl Writer {
    /// Connects.
    ///
    /// # Errors
    /// [`IoError`] if a setting is refused.
    pub fn new(connection: &Connection) -> Result<Self, IoError> {
        Self::lingering(connection, Duration::from_millis(50))
    }

    /// Connects. A record waits for so long for others that travel with it.
    ///
    /// # Errors
    /// As [`Writer::new`].
    pub fn lingering(connection: &Connection, linger: Duration) -> Result<Self, IoError> {
        let own = [
            ("enable.idempotence", "true".to_owned()),
            ("linger.ms", linger.as_millis().to_string()),
            ("compression.type", "lz4".to_owned()),
            ("message.max.bytes", "1048588".to_owned()),
        ];
        let deliveries = Deliveries::default();
        let producer = connection
            .client(Kind::Producer, &own)
            .create_with_context(deliveries.clone())
            .map_err(|error: KafkaError| io(&error))?;
        Ok(Self { producer, deliveries })
    }

    /// Queues one record, to a partition of its key if none is given; waits while the queue is full.
    ///
    /// # Errors
    /// [`IoError`] if the record can never be sent.
    pub fn send(&self, topic: &str, partition: Option<i32>, key: Option<&[u8]>, value: &[u8]) -> Result<(), IoError> {
        self.send_at(topic, partition, key, value, None)
    }

    /// As [`Writer::send`], with a time of its own, ms, instead of the time of sending.
    ///
    /// # Errors
    /// As [`Writer::send`].
    pub fn send_at(
        &self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&[u8]>,
        value: &[u8],
        timestamp_ms: Option<i64>,
    ) -> Result<(), IoError> {
        loop {
            let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).payload(value);
            record.timestamp = timestamp_ms;
            record.key = key;
            record.partition = partition;
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err((error, _)) => return Err(io(&error)),
            }
        }
    }

    /// A producer whose records count all or not at all, between [`Writer::begin`] and [`Writer::commit`]. Whoever had
    /// the same `id` before is shut out.
    ///
    /// # Errors
    /// [`IoError`] if a setting is refused or the brokers do not answer in time.
    pub fn transactional(connection: &Connection, id: &str, timeout: Duration) -> Result<Self, IoError> {
        let own = [
            ("transactional.id", id.to_owned()),
            ("transaction.timeout.ms", "30000".to_owned()),
            ("message.timeout.ms", "25000".to_owned()),
            ("socket.timeout.ms", "25000".to_owned()),
            ("message.max.bytes", "1048588".to_owned()),
        ];
        let deliveries = Deliveries::default();
        let producer: ThreadedProducer<Deliveries> = connection
            .client(Kind::Producer, &own)
            .create_with_context(deliveries.clone())
            .map_err(|error: KafkaError| io(&error))?;
        producer.init_transactions(timeout).map_err(|error| io(&error))?;
        Ok(Self { producer, deliveries })
    }

    /// Opens a transaction.
    ///
    /// # Errors
    /// [`IoError`] if another producer of the same identity came.
    pub fn begin(&self) -> Result<(), IoError> {
        self.producer.begin_transaction().map_err(|error| io(&error))
    }

    /// Commits.
    ///
    /// # Errors
    /// [`IoError`]; then nothing of the transaction counts, unless only the answer was lost.
    pub fn commit(&self) -> Result<(), IoError> {
        self.producer.commit_transaction(None).map_err(|error| io(&error))
    }

    /// Queues one record with headers.
    ///
    /// # Errors
    /// [`IoError`] if the record can never be sent.
    pub fn send_outgoing(&self, outgoing: &Outgoing) -> Result<(), IoError> {
        loop {
            let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&outgoing.topic).partition(outgoing.partition);
            record.key = outgoing.key.as_deref();
            record.payload = outgoing.value.as_deref();
            let headers = OwnedHeaders::new_with_capacity(outgoing.headers.len());
            record.headers = Some(outgoing.headers.iter().fold(headers, |headers, (key, value)| {
                headers.insert(Header {
                    key,
                    value: Some(value.as_slice()),
                })
            }));
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err((error, _)) => return Err(io(&error)),
            }
        }
    }

    /// Waits until everything sent has arrived.
    ///
    /// # Errors
    /// [`IoError`] if something did not.
    pub fn flush(&self, timeout: Duration) -> Result<(), IoError> {
        self.producer.flush(timeout).map_err(|error| io(&error))?;
        self.deliveries
            .failure()
            .map_or(Ok(()), |failure| Err(IoError(failure)))
    }
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRecord {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Time of the record, ms since the epoch; the broker's own where the topic says so, 0 without one.
    pub time_ms: i64,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value.
    pub value: Option<Vec<u8>>,
    /// Headers.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// After the restart of a broker one partition was seen to deliver nothing any more while the others went on; a seek to
/// where it stands wakes it, and costs a partition that is merely idle one request.
const SILENT: Duration = Duration::from_secs(15);
/// Longest a seek may take.
const SEEK: Duration = Duration::from_secs(1);

/// A `read_committed` consumer of whole topics, from their beginning, outside of any group.
pub struct Reader {
    consumer: BaseConsumer<Quiet>,
    topic: String,
    partitions: usize,
    at_end: BTreeSet<i32>,
    /// Next offset of each partition, and when it was heard of.
    standing: BTreeMap<i32, (Offset, Instant)>,
}

impl Reader {
    /// Reads `topic`, which has `partitions` partitions.
    ///
    /// # Errors
    /// [`IoError`] if a setting is refused.
    pub fn new(connection: &Connection, topic: &str, partitions: u32) -> Result<Self, IoError> {
        let own = [
            ("group.id", "falsefront.reader".to_owned()),
            ("enable.auto.commit", "false".to_owned()),
            ("isolation.level", "read_committed".to_owned()),
            ("auto.offset.reset", "earliest".to_owned()),
            ("enable.partition.eof", "true".to_owned()),
            ("fetch.wait.max.ms", "50".to_owned()),
        ];
        let consumer: BaseConsumer<Quiet> = connection
            .client(Kind::Consumer, &own)
            .create_with_context(Quiet)
            .map_err(|error: KafkaError| io(&error))?;
        let mut list = TopicPartitionList::new();
        for partition in 0..i32::try_from(partitions).unwrap_or(i32::MAX) {
            list.add_partition_offset(topic, partition, Offset::Beginning)
                .map_err(|error| io(&error))?;
        }
        consumer.assign(&list).map_err(|error| io(&error))?;
        let began = Instant::now();
        let every = 0..i32::try_from(partitions).unwrap_or(i32::MAX);
        Ok(Self {
            consumer,
            topic: topic.to_owned(),
            partitions: usize::try_from(partitions).unwrap_or(usize::MAX),
            at_end: BTreeSet::new(),
            standing: every.map(|partition| (partition, (Offset::Beginning, began))).collect(),
        })
    }

    /// The next record, if one comes in time.
    ///
    /// # Errors
    /// [`IoError`] on anything but the end of a partition.
    pub fn next(&mut self, wait: Duration) -> Result<Option<ReadRecord>, IoError> {
        self.wake_silent();
        match self.consumer.poll(wait) {
            Some(Ok(message)) => {
                self.at_end.remove(&message.partition());
                let next = Offset::Offset(message.offset() + 1);
                self.standing.insert(message.partition(), (next, Instant::now()));
                let headers = message.headers().map_or_else(Vec::new, |headers| {
                    headers
                        .iter()
                        .map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()))
                        .collect()
                });
                Ok(Some(ReadRecord {
                    topic: message.topic().to_owned(),
                    partition: message.partition(),
                    offset: message.offset(),
                    time_ms: message.timestamp().to_millis().unwrap_or(0),
                    key: message.key().map(<[u8]>::to_vec),
                    value: message.payload().map(<[u8]>::to_vec),
                    headers,
                }))
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                self.at_end.insert(partition);
                if let Some((_, heard)) = self.standing.get_mut(&partition) {
                    *heard = Instant::now();
                }
                Ok(None)
            }
            Some(Err(KafkaError::MessageConsumption(
                // The last: of one broker of several, which may come back under its name.
                RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::Resolve,
            )))
            | None => Ok(None),
            Some(Err(error)) => Err(io(&error)),
        }
    }

    fn wake_silent(&mut self) {
        for (partition, (next, heard)) in &mut self.standing {
            if heard.elapsed() > SILENT {
                *heard = Instant::now();
                if let Err(error) = self.consumer.seek(&self.topic, *partition, *next, SEEK) {
                    tracing::debug!(topic = self.topic, partition, detail = describe(&error), "no seek");
                }
            }
        }
    }

    /// Whether every partition has been read to its end since the last record of it.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.at_end.len() >= self.partitions
    }
}
