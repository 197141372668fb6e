//! Which partitions of a consumer are read over connections of our own, and which librdkafka reads for a while.

use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::metadata::Metadata;

use super::connection::Connection;
use super::context::{Group, list};
use super::failure::{describe, question};
use super::fetch::{Cause, Fetcher, GivenUp};
use super::records::now_ms;
use crate::service::log::{Failure, Take, TopicPartition};
use crate::service::metrics::Metrics;

/// Longest a question to the cluster may take here: everything else waits meanwhile.
const ASK: Duration = Duration::from_secs(1);
/// Between two attempts at the same.
const AGAIN: Duration = Duration::from_millis(100);
/// A partition whose leader is not known for so long is left to librdkafka.
const LEADER_MISSING: Duration = Duration::from_secs(3);
/// librdkafka reads a partition that was given up for so long before it is tried again.
const GIVEN_UP: Duration = Duration::from_secs(10);
/// Between two reports of what is left to read.
const REPORT: Duration = Duration::from_secs(1);
/// A wait that must not keep other partitions from being looked at.
const GLANCE: Duration = Duration::from_millis(5);

/// A partition whose leader is asked for.
struct Waiting {
    at: TopicPartition,
    next: i64,
    since: Instant,
}

/// A partition that librdkafka reads.
struct Lent {
    at: TopicPartition,
    /// Offset of the first record that was not handed over.
    next: i64,
    /// Since when it is read; `None` as long as that has not succeeded.
    since: Option<Instant>,
}

/// See the module.
pub(super) struct Direct {
    fetcher: Fetcher,
    waiting: Vec<Waiting>,
    lent: Vec<Lent>,
    asked: Option<Instant>,
    reported: Instant,
    metrics: Option<Metrics>,
}

impl Direct {
    /// For a consumer of `connection`; `None` if it is one that librdkafka alone can read.
    pub(super) fn new(connection: &Connection, metrics: Option<Metrics>) -> Option<Self> {
        if !connection.may_be_read_directly() {
            return None;
        }
        let client = connection
            .librdkafka
            .get("client.id")
            .map_or("falsefront", String::as_str);
        let fetcher = Fetcher::new(client);
        let fetcher = fetcher.inspect_err(|error| tracing::warn!(%error, "nothing is read directly"));
        Some(Self {
            fetcher: fetcher.ok()?,
            waiting: Vec::new(),
            lent: Vec::new(),
            asked: None,
            reported: Instant::now(),
            metrics,
        })
    }

    /// Reads a partition, which librdkafka has paused, from `offset` on.
    pub(super) fn start(&mut self, at: &TopicPartition, offset: i64) {
        self.stop(at);
        self.waiting.push(Waiting {
            at: at.clone(),
            next: offset,
            since: Instant::now(),
        });
        self.asked = None;
    }

    /// Reads a partition no more.
    pub(super) fn stop(&mut self, at: &TopicPartition) {
        self.fetcher.stop(at);
        self.waiting.retain(|waiting| waiting.at != *at);
        self.lent.retain(|lent| lent.at != *at);
    }

    /// Whether librdkafka reads some partitions.
    pub(super) fn lends(&self) -> bool {
        !self.lent.is_empty()
    }

    /// librdkafka has handed over a record.
    pub(super) fn handed_over(&mut self, topic: &str, partition: i32, offset: i64) {
        let is_of = |lent: &&mut Lent| lent.at.partition == partition && *lent.at.topic == *topic;
        if let Some(lent) = self.lent.iter_mut().find(is_of) {
            lent.next = lent.next.max(offset + 1);
        }
    }

    /// Hands over up to `count_max` records, waiting for the first, and says how many. Looks after the other partitions
    /// first.
    ///
    /// # Errors
    /// [`Failure::Stop`].
    pub(super) fn poll(
        &mut self,
        consumer: &BaseConsumer<Group>,
        wait: Duration,
        count_max: usize,
        take: Take<'_>,
    ) -> Result<usize, Failure> {
        self.look_after(consumer)?;
        let is_busy = self.waiting.is_empty() && self.lent.is_empty();
        let wait = if is_busy { wait } else { wait.min(GLANCE) };
        Ok(self.fetcher.poll(wait, count_max, now_ms(), take))
    }

    fn look_after(&mut self, consumer: &BaseConsumer<Group>) -> Result<(), Failure> {
        for given_up in self.fetcher.take_given_up() {
            self.lend(given_up);
        }
        if self.reported.elapsed() >= REPORT {
            self.reported = Instant::now();
            self.report(consumer);
        }
        if self.waiting.is_empty() && self.lent.is_empty() {
            return Ok(());
        }
        self.take_back(consumer)?;
        if self.asked.is_none_or(|asked| asked.elapsed() >= AGAIN) {
            self.find_leaders(consumer);
            self.resume_lent(consumer)?;
            self.asked = Some(Instant::now());
        }
        Ok(())
    }

    fn lend(&mut self, given_up: GivenUp) {
        let GivenUp {
            at,
            next,
            cause,
            detail,
        } = given_up;
        tracing::info!(partition = %at, offset = next, cause = cause.as_str(), detail, "librdkafka reads for a while");
        if let Some(metrics) = &self.metrics {
            metrics.direct_fetch_given_up(cause.as_str());
        }
        self.lent.push(Lent { at, next, since: None });
    }

    /// Ends what librdkafka has read for long enough.
    fn take_back(&mut self, consumer: &BaseConsumer<Group>) -> Result<(), Failure> {
        let is_over = |lent: &mut Lent| lent.since.is_some_and(|since| since.elapsed() >= GIVEN_UP);
        let back: Vec<Lent> = self.lent.extract_if(.., is_over).collect();
        for lent in back {
            let pause = list(std::slice::from_ref(&lent.at), Offset::Invalid)?;
            consumer
                .pause(&pause)
                .map_err(|error| Failure::Stop(format!("pause: {}", describe(&error))))?;
            self.start(&lent.at, lent.next);
        }
        Ok(())
    }

    /// Begins to read what waits for its leader.
    fn find_leaders(&mut self, consumer: &BaseConsumer<Group>) {
        self.waiting.sort_by(|one, other| one.at.cmp(&other.at));
        let mut known: Option<(String, Metadata)> = None;
        for waiting in std::mem::take(&mut self.waiting) {
            let topic = &waiting.at.topic;
            if known.as_ref().is_none_or(|(name, _)| **name != **topic) {
                let answer = consumer.fetch_metadata(Some(topic), ASK);
                known = answer.ok().map(|metadata| (topic.to_string(), metadata));
            }
            let leader = known.as_ref().and_then(|(_, metadata)| leader(metadata, &waiting.at));
            if let Some(leader) = leader {
                self.fetcher.start(&waiting.at, waiting.next, leader);
            } else if waiting.since.elapsed() < LEADER_MISSING {
                self.waiting.push(waiting);
            } else {
                self.lend(GivenUp {
                    at: waiting.at,
                    next: waiting.next,
                    cause: Cause::Leader,
                    detail: "no broker says who leads it".to_owned(),
                });
            }
        }
    }

    /// Lets librdkafka read what was given up.
    fn resume_lent(&mut self, consumer: &BaseConsumer<Group>) -> Result<(), Failure> {
        for lent in self.lent.iter_mut().filter(|lent| lent.since.is_none()) {
            match resume_at(consumer, &lent.at, lent.next, ASK) {
                Ok(()) => lent.since = Some(Instant::now()),
                Err(stop @ Failure::Stop(_)) => return Err(stop),
                Err(failure) => tracing::debug!(partition = %lent.at, detail = failure.detail(), "not resumed yet"),
            }
        }
        Ok(())
    }

    /// Tells what is left to read. Of what librdkafka reads its statistics tell.
    fn report(&self, consumer: &BaseConsumer<Group>) {
        let Some(metrics) = &self.metrics else { return };
        let lags = self.fetcher.lags();
        let lags: Vec<(&TopicPartition, i64)> = lags.filter_map(|(at, lag)| Some((at, lag?))).collect();
        for (at, lag) in &lags {
            metrics.set_lag(&at.topic, at.partition, *lag);
        }
        consumer
            .context()
            .tells_lag_except(lags.into_iter().map(|(at, _)| at.clone()).collect());
    }
}

fn leader(metadata: &Metadata, at: &TopicPartition) -> Option<String> {
    let topic = metadata.topics().iter().find(|topic| topic.name() == &*at.topic)?;
    let partition = topic
        .partitions()
        .iter()
        .find(|partition| partition.id() == at.partition)?;
    let broker = metadata
        .brokers()
        .iter()
        .find(|broker| broker.id() == partition.leader())?;
    let host = broker.host();
    // An IPv6 address needs its brackets before a port.
    Some(if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{}", broker.port())
    } else {
        format!("{host}:{}", broker.port())
    })
}

/// Lets librdkafka read a partition from `offset` on.
///
/// # Errors
/// [`Failure::Retry`] while the partition's fetcher is not up yet.
pub(super) fn resume_at(
    consumer: &BaseConsumer<Group>,
    at: &TopicPartition,
    offset: i64,
    timeout: Duration,
) -> Result<(), Failure> {
    let at = std::slice::from_ref(at);
    let wanted = list(at, Offset::Offset(offset))?;
    let sought = consumer
        .seek_partitions(wanted, timeout)
        .map_err(|error| question("seek", &error))?;
    let refusal = sought.elements().iter().find_map(|element| element.error().err());
    drop(sought);
    if let Some(error) = refusal {
        return Err(question("seek", &error));
    }
    let resumed = list(at, Offset::Invalid)?;
    consumer.resume(&resumed).map_err(|error| question("resume", &error))
}
