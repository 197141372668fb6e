//! The calls of librdkafka that rdkafka has no safe name for: reading by the batch, flushing without rdkafka's wait of
//! 100 ms, and asking for a member's generation; and one of mimalloc, about the memory that all of this frees. The only
//! unsafe code of the crate.
//!
//! Reading by the batch takes half the processor time of reading one by one (`cargo bench --bench kafka` prints both),
//! which is a third of what an event costs from Kafka to Kafka.
//!
//! A batch read from a consumer's own queue would swallow its rebalances, so partitions are forwarded to a queue beside
//! it, and the consumer's own is polled for everything else.

#![expect(unsafe_code, reason = "calls into librdkafka and mimalloc")]

use std::ffi::{CStr, CString, c_int, c_long, c_void};
use std::ops::Deref;
use std::ptr::NonNull;
use std::time::Duration;

use arrayvec::ArrayVec;
use mimalloc as _;
use rdkafka::bindings as native;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::producer::{Producer, ProducerContext};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use crate::service::log::{TOGETHER, TopicPartition};

/// Messages taken from the queue at a time: with more the gain is no greater, and they are handed over as a whole.
const BATCH: usize = 256;

/// Place of `mi_option_purge_delay` among mimalloc's options, in its second and third line.
const PURGE_DELAY: c_int = 15;
/// Freed memory goes back to the kernel after this, ms.
const KEPT_MS: c_long = 60_000;

// SAFETY: mimalloc declares it so; it takes any number for an option, and may be called at any time by any thread.
unsafe extern "C" {
    safe fn mi_option_set_default(option: c_int, value: c_long);
}

/// Lets mimalloc keep what is freed for a minute, unless `MIMALLOC_PURGE_DELAY` says otherwise. Each fetch and each
/// checkpoint takes and frees a megabyte at a time; given back after mimalloc's second, the kernel cleared it again for
/// the next, which took two fifths of the time of the threads that fold.
pub fn keep_freed_memory() {
    mi_option_set_default(PURGE_DELAY, KEPT_MS);
}

/// A consumer whose partitions are read by the batch once they are forwarded.
pub(super) struct BatchConsumer<C: ConsumerContext + 'static> {
    // Before the consumer, whose destruction waits for its queues.
    queue: Queue,
    own: Queue,
    messages: Vec<*mut native::rd_kafka_message_t>,
    consumer: BaseConsumer<C>,
}

// SAFETY: the queue and the (empty) list of messages belong to this value alone, and librdkafka's calls on them may come
// from any thread.
unsafe impl<C: ConsumerContext> Send for BatchConsumer<C> {}

struct Queue(NonNull<native::rd_kafka_queue_t>);

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: librdkafka gave it to be destroyed by its holder, which is this.
        unsafe { native::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

/// A message as librdkafka holds it, valid while its batch is.
#[derive(Debug)]
pub(super) struct Message<'b> {
    pub(super) topic: &'b str,
    pub(super) partition: i32,
    pub(super) offset: i64,
    /// Time, ms, and whether the broker gave it.
    pub(super) time_ms: Option<(i64, bool)>,
    pub(super) key: Option<&'b [u8]>,
    pub(super) value: Option<&'b [u8]>,
    raw: *const native::rd_kafka_message_t,
}

/// Destroys a batch however its handing over ends.
struct Batch<'q>(&'q mut Vec<*mut native::rd_kafka_message_t>);

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for message in self.0.drain(..) {
            // SAFETY: given by `rd_kafka_consume_batch_queue`, which leaves destroying each to the caller, once.
            unsafe { native::rd_kafka_message_destroy(message) }
        }
    }
}

impl<C: ConsumerContext> BatchConsumer<C> {
    /// Takes over a consumer. `None` if there is no memory.
    pub(super) fn new(consumer: BaseConsumer<C>) -> Option<Self> {
        let client = consumer.client().native_ptr();
        // SAFETY: the client lives as long as `consumer`, which outlives both queues.
        let (queue, own) = unsafe {
            (
                native::rd_kafka_queue_new(client),
                native::rd_kafka_queue_get_consumer(client),
            )
        };
        Some(Self {
            queue: Queue(NonNull::new(queue)?),
            own: Queue(NonNull::new(own)?),
            messages: Vec::with_capacity(BATCH),
            consumer,
        })
    }

    /// Lets what is fetched of `at` be read by the batch. To be called before its fetching begins.
    pub(super) fn forward(&self, at: &TopicPartition) {
        let Ok(topic) = CString::new(&*at.topic) else { return };
        // SAFETY: the client is alive, the name ends with a zero, and librdkafka copies it.
        let own = unsafe {
            native::rd_kafka_queue_get_partition(self.consumer.client().native_ptr(), topic.as_ptr(), at.partition)
        };
        if let Some(own) = NonNull::new(own).map(Queue) {
            // SAFETY: both queues are alive; the partition keeps a reference of its own to the target.
            unsafe { native::rd_kafka_queue_forward(own.0.as_ptr(), self.queue.0.as_ptr()) }
        }
    }

    /// Whether the consumer's own queue holds anything. A poll of it that does not wait takes one event, and says nothing
    /// if that was none for its caller.
    pub(super) fn has_events(&self) -> bool {
        // SAFETY: the queue is alive.
        unsafe { native::rd_kafka_queue_length(self.own.0.as_ptr()) > 0 }
    }

    /// Hands over a batch of forwarded messages, a few of one partition at a time, waiting for the first; says how many
    /// there were.
    ///
    /// # Errors
    /// The first error among them; the messages beside it were handed over.
    pub(super) fn batch(&mut self, wait: Duration, mut take: impl FnMut(&[Message<'_>])) -> Result<usize, KafkaError> {
        let mut count = self.fill(Duration::ZERO, BATCH);
        if count == 0 && wait > Duration::ZERO {
            count = self.fill(wait, 1);
        }
        let batch = Batch(&mut self.messages);
        let mut topic = ("", std::ptr::null_mut());
        let mut outcome = Ok(count);
        let mut together = ArrayVec::<Message<'_>, TOGETHER>::new();
        for raw in batch.0.iter() {
            // SAFETY: not null, alive until the batch is dropped, and changed by nobody.
            let message = unsafe { &**raw };
            if message.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                outcome = outcome.and(Err(error(message)));
                continue;
            }
            if message.rkt != topic.1 {
                // SAFETY: a message holds its topic alive, and the topic its name.
                let name = unsafe { CStr::from_ptr(native::rd_kafka_topic_name(message.rkt)) };
                topic = (name.to_str().unwrap_or_default(), message.rkt);
            }
            let is_next = |before: &Message<'_>| {
                (before.topic, before.partition) == (topic.0, message.partition) && before.offset < message.offset
            };
            if together.is_full() || !together.last().is_none_or(is_next) {
                take(&together);
                together.clear();
            }
            together.push(Message {
                topic: topic.0,
                partition: message.partition,
                offset: message.offset,
                time_ms: time(message),
                // SAFETY: librdkafka's pointers and lengths, valid as long as the message.
                key: unsafe { bytes(message.key, message.key_len) },
                // SAFETY: as the key.
                value: unsafe { bytes(message.payload, message.len) },
                raw: *raw,
            });
        }
        if !together.is_empty() {
            take(&together);
        }
        outcome
    }

    /// Takes at most `count_max` forwarded messages and says how many. librdkafka waits until there are so many or the
    /// time is over, so whoever waits should want one.
    fn fill(&mut self, wait: Duration, count_max: usize) -> usize {
        // A wait shorter than a millisecond is one of none.
        let wait_ms = i32::try_from(wait.as_micros().div_ceil(1_000)).unwrap_or(i32::MAX);
        let count_max = count_max.min(BATCH);
        // SAFETY: the queue is alive and the list has room for `BATCH` pointers.
        let count = unsafe {
            native::rd_kafka_consume_batch_queue(self.queue.0.as_ptr(), wait_ms, self.messages.as_mut_ptr(), count_max)
        };
        // Less than 0: the client is being destroyed.
        let count = usize::try_from(count).unwrap_or(0).min(count_max);
        // SAFETY: librdkafka wrote so many.
        unsafe { self.messages.set_len(count) };
        count
    }

    /// Whether the group knows this member: it has a generation and a name. Offsets sent without would be fenced by
    /// nothing, because a classic coordinator takes those of generation -1 from anybody.
    pub(super) fn is_member(&self) -> bool {
        // SAFETY: the client is alive; the answer is ours to destroy, and its name is read before that.
        unsafe {
            let metadata = native::rd_kafka_consumer_group_metadata(self.consumer.client().native_ptr());
            if metadata.is_null() {
                return false;
            }
            let generation = native::rd_kafka_consumer_group_metadata_generation_id(metadata);
            let name = native::rd_kafka_consumer_group_metadata_member_id(metadata);
            let is_named = !name.is_null() && !CStr::from_ptr(name).is_empty();
            native::rd_kafka_consumer_group_metadata_destroy(metadata);
            generation >= 0 && is_named
        }
    }
}

impl<C: ConsumerContext> Deref for BatchConsumer<C> {
    type Target = BaseConsumer<C>;
    fn deref(&self) -> &BaseConsumer<C> {
        &self.consumer
    }
}

impl Message<'_> {
    /// The last header of that name.
    pub(super) fn header(&self, name: &CStr) -> Option<&[u8]> {
        let mut headers = std::ptr::null_mut();
        let (mut value, mut length): (*const c_void, usize) = (std::ptr::null(), 0);
        // SAFETY: the message is alive, the headers belong to it, and the value to the headers.
        unsafe {
            let found = native::rd_kafka_message_headers(self.raw, &raw mut headers);
            if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return None;
            }
            let found = native::rd_kafka_header_get_last(headers, name.as_ptr(), &raw mut value, &raw mut length);
            if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return None;
            }
            bytes(value, length)
        }
    }
}

/// Lets nothing linger that a producer holds, and waits for at most `wait` until all of it is acknowledged. rdkafka's own
/// flush takes 100 ms whenever anything is outstanding, and without one messages linger.
pub(super) fn flush<C: ProducerContext>(producer: &impl Producer<C>, wait: Duration) {
    let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client is alive. The outcome is asked of the queue afterwards.
    unsafe { native::rd_kafka_flush(producer.client().native_ptr(), wait_ms) };
}

fn error(message: &native::rd_kafka_message_t) -> KafkaError {
    match message.err {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF => KafkaError::PartitionEOF(message.partition),
        code => KafkaError::MessageConsumption(RDKafkaErrorCode::from(code)),
    }
}

fn time(message: &native::rd_kafka_message_t) -> Option<(i64, bool)> {
    use native::rd_kafka_timestamp_type_t as Kind;
    let mut kind = Kind::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: the message is alive.
    let time_ms = unsafe { native::rd_kafka_message_timestamp(message, &raw mut kind) };
    let is_brokers = kind == Kind::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME;
    (kind != Kind::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && time_ms >= 0).then_some((time_ms, is_brokers))
}

/// # Safety
/// `start` is null or the start of `length` bytes that live and stay as long as `'b`.
unsafe fn bytes<'b>(start: *const c_void, length: usize) -> Option<&'b [u8]> {
    if start.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    Some(unsafe { std::slice::from_raw_parts(start.cast(), length) })
}

#[cfg(test)]
mod tests {
    use super::*;

    // SAFETY: as its sister above.
    unsafe extern "C" {
        safe fn mi_option_get(option: c_int) -> c_long;
    }

    #[test]
    fn mimalloc_has_its_options_where_they_are_looked_for() {
        let before = mi_option_get(PURGE_DELAY);
        if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
            assert_eq!(before, 1_000, "mimalloc's own delay");
            keep_freed_memory();
            assert_eq!(mi_option_get(PURGE_DELAY), KEPT_MS);
        }
    }
}
