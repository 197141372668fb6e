//! What librdkafka calls back: rebalances, statistics, deliveries. Everything is put down as plain values for the
//! worker's thread to pick up.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::failure::describe;
use super::seldom;
use crate::service::log::{Failure, Rebalance, TopicPartition};
use crate::service::metrics::Metrics;

pub(super) fn plain(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements()
        .iter()
        .map(|element| TopicPartition::new(element.topic(), element.partition()))
        .collect()
}

pub(super) fn list(partitions: &[TopicPartition], offset: Offset) -> Result<TopicPartitionList, Failure> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for at in partitions {
        list.add_partition_offset(&at.topic, at.partition, offset)
            .map_err(|error| Failure::Stop(describe(&error)))?;
    }
    Ok(list)
}

pub(super) fn forward(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            if let Some(held_back) = seldom::admit(message) {
                tracing::warn!(target: "librdkafka", facility, held_back, "{message}");
            }
        }
        RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
            tracing::info!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}

/// An error of a worker's client.
fn complain(client: &str, error: &KafkaError, reason: &str) {
    // librdkafka has mostly said the same as a line of its log.
    if let Some(held_back) = seldom::admit(reason) {
        tracing::warn!(target: "librdkafka", client, %error, reason, held_back, "client error");
    }
}

/// Context of clients that only ask.
#[derive(Clone, Default)]
pub(super) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        forward(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason, "client error");
    }
}
impl ConsumerContext for Quiet {}

/// Context of a worker's consumer.
pub(super) struct Group {
    pub(super) rebalances: Mutex<VecDeque<Rebalance>>,
    /// The consumer is being dropped: nobody is left to answer but the callback itself.
    pub(super) is_closing: AtomicBool,
    /// The closing consumer has an answer.
    has_answered: AtomicBool,
    metrics: Option<Metrics>,
    /// Partitions of whose lag somebody else tells.
    left: Mutex<BTreeSet<TopicPartition>>,
}

impl Group {
    pub(super) fn new(metrics: Option<Metrics>) -> Self {
        Self {
            rebalances: Mutex::new(VecDeque::new()),
            is_closing: AtomicBool::new(false),
            has_answered: AtomicBool::new(false),
            metrics,
            left: Mutex::default(),
        }
    }

    /// Somebody else tells the lag of these partitions from now on, and of no others.
    pub(super) fn leave_lag_of(&self, partitions: BTreeSet<TopicPartition>) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = partitions;
    }

    pub(super) fn has_next(&self) -> bool {
        !self
            .rebalances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }

    pub(super) fn next(&self) -> Option<Rebalance> {
        self.rebalances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        forward(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        complain("consumer", &error, reason);
    }
    fn stats(&self, statistics: Statistics) {
        let Some(metrics) = &self.metrics else { return };
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        #[expect(clippy::iter_over_hash_type, reason = "each value goes to a gauge of its own")]
        for (name, topic) in &statistics.topics {
            for (partition, state) in &topic.partitions {
                let is_read = *partition >= 0 && state.fetch_state == "active";
                // librdkafka's own count is from what the group committed, which it is not told of under transactions.
                let lag = (state.app_offset >= 0 && state.ls_offset >= 0).then(|| state.ls_offset - state.app_offset);
                let lag = lag.unwrap_or(state.consumer_lag);
                if is_read && lag >= 0 && !left.contains(&TopicPartition::new(name, *partition)) {
                    metrics.set_lag(name, *partition, lag);
                }
            }
        }
    }
}

impl ConsumerContext for Group {
    /// Only notes what happened; the worker answers after the poll. rdkafka's own answer would drop its errors.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let is_assign = matches!(error, RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS);
        if self.is_closing.load(Ordering::Relaxed) {
            if self.has_answered.swap(true, Ordering::Relaxed) && closes_by_itself(consumer) {
                return;
            }
            // Without an answer, to an assignment too, librdkafka would never finish closing; it takes back what it gives.
            let answered = if is_assign {
                consumer.incremental_assign(list)
            } else {
                consumer.incremental_unassign(list)
            };
            if answered.is_err() {
                let _ = consumer.unassign();
            }
            return;
        }
        let partitions = plain(list);
        let rebalance = if is_assign {
            Rebalance::Assigned(partitions)
        } else {
            Rebalance::Revoked {
                partitions,
                lost: consumer.assignment_lost(),
            }
        };
        self.rebalances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(rebalance);
    }
}

/// A closing consumer may close without a further answer for so long.
const CLOSING: Duration = Duration::from_secs(5);

/// Whether a consumer that was answered once while it closes needs no more. The first answer gives everything up, whatever
/// it was about (`rd_kafka_cgrp_handle_assign_op`); what librdkafka asked before it took that is stale. It drops an answer
/// that meets its end, and whoever gave that would wait for ever.
fn closes_by_itself(consumer: &BaseConsumer<Group>) -> bool {
    let asked = Instant::now();
    while !consumer.closed() {
        if asked.elapsed() > CLOSING {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Context of a worker's producer.
#[derive(Clone, Default)]
pub(super) struct Deliveries {
    pub(super) failure: Arc<Mutex<Option<String>>>,
    pub(super) disconnects: Arc<AtomicU64>,
}

impl Deliveries {
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn clear(&self) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        forward(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        complain("producer", &error, reason);
    }
    fn stats(&self, statistics: Statistics) {
        let sum: i64 = statistics
            .brokers
            .values()
            .filter_map(|broker| broker.disconnects)
            .sum();
        self.disconnects
            .store(u64::try_from(sum).unwrap_or(0), Ordering::Relaxed);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            failure.get_or_insert_with(|| format!("{}/{}: {error}", message.topic(), message.partition()));
        }
    }
}
