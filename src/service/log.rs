//! The log as the protocol sees it: partitions, a group, one open transaction, stable offsets.
//!
//! [`crate::service::kafka::KafkaLog`] is the real one. The protocol in [`crate::service::worker`] knows nothing else,
//! so its decisions can be driven by a simulated log as well; a log therefore also owns the clock.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use crate::pipeline::Position;

/// One partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
}

impl TopicPartition {
    /// That partition of that topic.
    #[must_use]
    pub fn new(topic: &str, partition: i32) -> Self {
        Self {
            topic: Arc::from(topic),
            partition,
        }
    }
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.topic, self.partition)
    }
}

/// A record as it was read. Borrowed: it is valid only while it is handed over.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Append time, ms since the epoch; for a topic that keeps its producers' times, the earlier of that and now.
    pub append_ms: i64,
    /// Key.
    pub key: Option<&'a [u8]>,
    /// Value; `None` for a tombstone.
    pub value: Option<&'a [u8]>,
    /// How often it came back from the dead letters.
    pub replays: &'a dyn Replays,
}

impl<'a> Record<'a> {
    /// What a fold takes of it: its position and its value. `append_ms` is the latest append time of its partition so far,
    /// ms, and moves with it.
    #[inline]
    pub fn positioned(&self, append_ms: &mut i64) -> (Position, &'a [u8]) {
        *append_ms = self.append_ms.max(*append_ms);
        let position = Position {
            offset: self.offset,
            append_ms: *append_ms,
        };
        (position, self.value.unwrap_or_default())
    }
}

/// What a record's headers say of its replays. They are read when somebody asks, because only dead letters do.
pub trait Replays: fmt::Debug {
    /// How often it came back from the dead letters.
    fn count(&self) -> u8;
}

/// Known beforehand.
impl Replays for u8 {
    fn count(&self) -> u8 {
        *self
    }
}

/// A record to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition. Always explicit: clients' default partitioners differ.
    pub partition: i32,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value; `None` deletes the key from a compacted topic.
    pub value: Option<Vec<u8>>,
    /// Headers.
    pub headers: Vec<(&'static str, Vec<u8>)>,
}

/// What the group decided. Must be answered with [`Log::assign`] or [`Log::unassign`] before the next poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rebalance {
    /// These partitions are ours in addition. May be empty, and must be answered all the same.
    Assigned(Vec<TopicPartition>),
    /// These are to be given up.
    Revoked {
        /// The partitions.
        partitions: Vec<TopicPartition>,
        /// They already belong to somebody else: a commit would be refused.
        lost: bool,
    },
}

/// Which records count when the end of a partition is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Up to the last stable offset: the first offset of the oldest open transaction.
    Committed,
    /// Up to the high watermark, open transactions included.
    Uncommitted,
}

/// What a crash may do to the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guarantee {
    /// Nothing is lost and nothing is repeated: outputs, checkpoints and offsets are one transaction.
    #[default]
    ExactlyOnce,
    /// Nothing is lost, but what came out between the last commit and a crash comes out again. Without transactions:
    /// readers need not wait for a commit.
    AtLeastOnce,
}

impl Guarantee {
    /// The guarantee as configuration spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ExactlyOnce => "exactly_once",
            Self::AtLeastOnce => "at_least_once",
        }
    }
}

/// Why an operation failed, by what the caller does next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nothing happened. Call again with the same arguments.
    #[error("{0}; trying again")]
    Retry(String),
    /// The transaction must be aborted and its partitions restored.
    #[error("{0}; the transaction is aborted")]
    Abort(String),
    /// The producer is unusable, or the outcome is unknown. Recreate it, then ask the group what was committed.
    #[error("{0}; the producer is recreated")]
    Recycle(String),
    /// Another member took this one's place in the group. Join anew; if it happens again and again, two processes
    /// share a name.
    #[error("{0}; the group is joined anew")]
    Rejoin(String),
    /// No retry helps: stop this worker and tell the operator.
    #[error("{0}")]
    Stop(String),
}

impl Failure {
    /// What happened, without what is done about it.
    #[must_use]
    pub fn detail(&self) -> &str {
        match self {
            Self::Retry(text) | Self::Abort(text) | Self::Recycle(text) | Self::Rejoin(text) | Self::Stop(text) => text,
        }
    }
}

/// What a poll gave.
#[derive(Debug, Default)]
pub struct Polled {
    /// Records handed over.
    pub records: usize,
    /// A rebalance to answer before the next poll.
    pub rebalance: Option<Rebalance>,
}

/// Receives records, one or a few of one partition at a time in the order of their offsets; [`ControlFlow::Break`] ends the
/// poll after them, or after those that were read together with them.
pub type Take<'t> = &'t mut dyn FnMut(&[Record<'_>]) -> ControlFlow<()>;

/// Records handed over together at most.
pub const TOGETHER: usize = 16;

/// A log with groups and transactions, as one worker uses it: one member of a group, one transactional producer.
pub trait Log {
    /// Monotonic time since the log was opened.
    fn now(&self) -> Duration;

    /// Lets time pass without serving the group.
    fn wait(&mut self, time: Duration);

    /// Lets time pass while every partition is paused, and stays in the group. Records on their way are dropped: seek
    /// before going on. A rebalance is kept for the next poll.
    fn wait_paused(&mut self, time: Duration) {
        self.wait(time);
    }

    /// Serves the group and hands over up to `count_max` records of partitions that are not paused.
    ///
    /// # Errors
    /// [`Failure::Stop`] if records were lost or damaged, [`Failure::Rejoin`] if the membership is gone for good;
    /// passing troubles are only logged.
    fn poll(&mut self, wait: Duration, count_max: usize, take: Take<'_>) -> Result<Polled, Failure>;

    /// Answers [`Rebalance::Assigned`]. The partitions are paused until [`Log::resume_at`].
    ///
    /// # Errors
    /// [`Failure::Stop`].
    fn assign(&mut self, partitions: &[TopicPartition]) -> Result<(), Failure>;

    /// Answers [`Rebalance::Revoked`].
    ///
    /// # Errors
    /// [`Failure::Stop`].
    fn unassign(&mut self, partitions: &[TopicPartition]) -> Result<(), Failure>;

    /// Stops delivery from these partitions; what was fetched ahead is forgotten.
    ///
    /// # Errors
    /// [`Failure::Stop`].
    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), Failure>;

    /// Delivers `partition` from `offset` on.
    ///
    /// # Errors
    /// [`Failure::Retry`] while the partition's fetcher is not up yet.
    fn resume_at(&mut self, partition: &TopicPartition, offset: i64) -> Result<(), Failure>;

    /// Offset up to which everything that counts was handed over of a partition that is delivered: behind the last record
    /// markers of transactions may stand, and what was aborted. `None` where that is not known.
    fn passed(&self, partition: &TopicPartition) -> Option<i64>;

    /// Whether all of `partitions` are ours as far as this member knows.
    fn owns(&self, partitions: &[TopicPartition]) -> bool;

    /// The group's committed offset of each partition, stable: no transaction that would change it is open.
    ///
    /// # Errors
    /// [`Failure::Retry`] while one is open.
    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Option<i64>>, Failure>;

    /// Whether the partition came to a group that had begun to read: when this member was opened the group had offsets of
    /// lower ones of the topic alone (partitions are only ever added behind the others), or of other topics alone.
    fn was_added(&self, partition: &TopicPartition) -> bool;

    /// First offset and end offset of a partition.
    ///
    /// # Errors
    /// [`Failure::Retry`].
    fn bounds(&mut self, partition: &TopicPartition, isolation: Isolation) -> Result<(i64, i64), Failure>;

    /// First offset whose record is not older than `time_ms`; the end if there is none.
    ///
    /// # Errors
    /// [`Failure::Retry`].
    fn offset_at(&mut self, partition: &TopicPartition, time_ms: i64) -> Result<i64, Failure>;

    /// Opens a transaction.
    ///
    /// # Errors
    /// [`Failure::Recycle`].
    fn begin(&mut self) -> Result<(), Failure>;

    /// Queues a record for the open transaction.
    ///
    /// # Errors
    /// [`Failure::Retry`] while the queue is full; [`Failure::Abort`] if the record can never be sent.
    fn send(&mut self, record: &Outgoing) -> Result<(), Failure>;

    /// Records sent whose outcome is not known yet.
    fn in_flight(&self) -> usize;

    /// Lets nothing linger that was sent, and waits for at most `wait` until all of it is acknowledged.
    fn flush(&mut self, wait: Duration) {
        self.wait(wait);
    }

    /// The first delivery of this transaction that failed.
    fn delivery_failure(&self) -> Option<String>;

    /// Adds the group's next offsets to the transaction, fenced by the group's generation.
    ///
    /// # Errors
    /// Any class.
    fn send_offsets(&mut self, next: &[(TopicPartition, i64)]) -> Result<(), Failure>;

    /// Commits.
    ///
    /// # Errors
    /// Any class; [`Failure::Recycle`] also when the outcome is unknown.
    fn commit(&mut self) -> Result<(), Failure>;

    /// Aborts.
    ///
    /// # Errors
    /// [`Failure::Retry`] or [`Failure::Recycle`].
    fn abort(&mut self) -> Result<(), Failure>;

    /// Replaces the producer by a new one of the same identity, which ends whatever the old one left open.
    ///
    /// # Errors
    /// [`Failure::Retry`], or [`Failure::Stop`] if the identity is refused.
    fn recreate_producer(&mut self) -> Result<(), Failure>;

    /// How often a connection of the producer was lost so far: a request may have been sent twice then.
    fn disconnects(&self) -> u64;

    /// Begins to read a partition outside of the group, committed records only, beside those being read already.
    ///
    /// # Errors
    /// [`Failure::Retry`].
    fn read_from(&mut self, partition: &TopicPartition, offset: i64) -> Result<(), Failure>;

    /// Hands over up to `count_max` records of the partitions being read. Returns those that were read to their end
    /// just now.
    ///
    /// # Errors
    /// [`Failure::Stop`] if records are damaged or gone.
    fn read(&mut self, wait: Duration, count_max: usize, take: Take<'_>) -> Result<Vec<TopicPartition>, Failure>;

    /// Ends reading a partition.
    fn read_end(&mut self, partition: &TopicPartition);
}
