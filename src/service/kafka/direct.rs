//! Which partitions of a consumer are read over connections of our own, and which librdkafka reads for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::metadata::Metadata;

use super::connection::Connection;
use super::context::{Group, list};
use super::failure::{describe, question};
use super::fetch::{Cause, Fetcher, GivenUp};
use crate::service::log::{Failure, Take, TopicPartition};
use crate::service::metrics::Metrics;

/// Longest a question to the cluster may take here: everything else waits meanwhile.
const ASK: Duration = Duration::from_secs(1);
/// Between two attempts at the same.
const AGAIN: Duration = Duration::from_millis(100);
/// A partition whose leader is not known for so long is left to librdkafka.
const LEADER_MISSING: Duration = Duration::from_secs(3);
/// librdkafka reads a partition that was given up for so long before it is tried again, and twice as long after each attempt
/// in vain.
const GIVEN_UP: Duration = Duration::from_secs(10);
/// The time is doubled so many times at most: ten minutes.
const DOUBLED_MAX: u32 = 6;
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
    /// For how long.
    lasts: Duration,
}

/// See the module.
pub(super) struct Direct {
    fetcher: Fetcher,
    waiting: Vec<Waiting>,
    lent: Vec<Lent>,
    /// Attempts in a row that handed nothing over, of partitions that had one.
    in_vain: BTreeMap<TopicPartition, u32>,
    names: Names,
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
        let fetcher = Fetcher::new(connection.client_id());
        let fetcher = fetcher.inspect_err(|error| tracing::warn!(%error, "nothing is read directly"));
        Some(Self {
            fetcher: fetcher.ok()?,
            waiting: Vec::new(),
            lent: Vec::new(),
            in_vain: BTreeMap::new(),
            names: Names::default(),
            asked: None,
            reported: Instant::now(),
            metrics,
        })
    }

    /// Reads a partition, which librdkafka has paused, from `offset` on.
    pub(super) fn start(&mut self, at: &TopicPartition, offset: i64) {
        self.leave(at);
        self.waiting.push(Waiting {
            at: at.clone(),
            next: offset,
            since: Instant::now(),
        });
        self.asked = None;
    }

    /// Reads a partition no more.
    pub(super) fn stop(&mut self, at: &TopicPartition) {
        self.leave(at);
        self.in_vain.remove(at);
    }

    fn leave(&mut self, at: &TopicPartition) {
        self.fetcher.stop(at);
        self.waiting.retain(|waiting| waiting.at != *at);
        self.lent.retain(|lent| lent.at != *at);
    }

    /// librdkafka has handed over a record.
    pub(super) fn handed_over(&mut self, topic: &str, partition: i32, offset: i64) {
        let is_of = |lent: &&mut Lent| lent.at.partition == partition && *lent.at.topic == *topic;
        if let Some(lent) = self.lent.iter_mut().find(is_of) {
            lent.next = lent.next.max(offset + 1);
        }
    }

    /// Hands over up to `count_max` records, waiting for the first, and says how many.
    pub(super) fn poll(&mut self, wait: Duration, count_max: usize, take: Take<'_>) -> usize {
        let is_settled = self.waiting.is_empty() && self.lent.is_empty();
        let wait = if is_settled { wait } else { wait.min(GLANCE) };
        self.fetcher.poll(wait, count_max, take)
    }

    /// See [`Log::passed`](crate::service::log::Log::passed).
    pub(super) fn passed(&self, at: &TopicPartition) -> Option<i64> {
        self.fetcher.passed(at)
    }

    /// Whether librdkafka reads something.
    pub(super) fn lends(&self) -> bool {
        !self.lent.is_empty()
    }

    /// Whether librdkafka reads everything that is read at all.
    pub(super) fn has_lent_all(&self) -> bool {
        self.fetcher.is_idle() && self.waiting.is_empty()
    }

    /// Moves partitions on that were given up, wait for a leader, or were lent for long enough. To be called with each poll.
    ///
    /// # Errors
    /// [`Failure::Stop`].
    pub(super) fn look_after(&mut self, consumer: &BaseConsumer<Group>) -> Result<(), Failure> {
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
            has_progressed,
            broker,
        } = given_up;
        let in_vain = self.in_vain.entry(at.clone()).or_default();
        let attempts = if has_progressed { 0 } else { *in_vain };
        *in_vain = attempts + 1;
        let (offset, reason) = (next, cause.as_str());
        if attempts == 0 {
            tracing::info!(partition = %at, offset, reason, detail, "librdkafka reads for a while");
        } else {
            tracing::debug!(partition = %at, offset, reason, detail, attempts, "librdkafka reads on");
        }
        if let Some(metrics) = &self.metrics {
            metrics.direct_fetch_given_up(reason);
        }
        if let Some(broker) = broker.filter(|_| cause == Cause::Connection) {
            self.names.forget(broker);
        }
        self.lent.push(Lent {
            at,
            next,
            since: None,
            lasts: GIVEN_UP * 2_u32.pow(attempts.min(DOUBLED_MAX)),
        });
    }

    /// Ends what librdkafka has read for long enough.
    fn take_back(&mut self, consumer: &BaseConsumer<Group>) -> Result<(), Failure> {
        let is_over = |lent: &mut Lent| lent.since.is_some_and(|since| since.elapsed() >= lent.lasts);
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
        let mut is_silent = false;
        for waiting in std::mem::take(&mut self.waiting) {
            let topic = &waiting.at.topic;
            if !is_silent && known.as_ref().is_none_or(|(name, _)| **name != **topic) {
                let answer = consumer.fetch_metadata(Some(topic), ASK);
                // Brokers that do not answer for one topic are not asked for the next: each question may take a second.
                is_silent = answer.is_err();
                known = answer.ok().map(|metadata| (topic.to_string(), metadata));
            }
            let leader = known.as_ref().and_then(|(_, metadata)| leader(metadata, &waiting.at));
            if let Some(broker) = leader.and_then(|(host, port)| self.names.address(&host, port)) {
                self.fetcher.start(&waiting.at, waiting.next, broker);
            } else if waiting.since.elapsed() < LEADER_MISSING {
                self.waiting.push(waiting);
            } else {
                self.lend(GivenUp {
                    at: waiting.at,
                    next: waiting.next,
                    cause: Cause::Leader,
                    detail: "no broker says who leads it, or its name has no address".to_owned(),
                    has_progressed: false,
                    broker: None,
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
        let read = lags.into_iter().map(|(at, _)| at.clone()).collect();
        consumer.context().leave_lag_of(read);
    }
}

/// The addresses of brokers, which a thread of its own looks up: that may take half a minute.
struct Names {
    known: BTreeMap<(String, u16), SocketAddr>,
    asked: BTreeSet<(String, u16)>,
    sender: Sender<Answer>,
    answers: Receiver<Answer>,
}

type Answer = ((String, u16), io::Result<SocketAddr>);

impl Default for Names {
    fn default() -> Self {
        let (sender, answers) = mpsc::channel();
        Self {
            known: BTreeMap::new(),
            asked: BTreeSet::new(),
            sender,
            answers,
        }
    }
}

impl Names {
    /// The address of a broker, if it is known by now.
    fn address(&mut self, host: &str, port: u16) -> Option<SocketAddr> {
        if let Ok(ip) = host.parse() {
            return Some(SocketAddr::new(ip, port));
        }
        for (name, answer) in self.answers.try_iter() {
            self.asked.remove(&name);
            match answer {
                Ok(address) => _ = self.known.insert(name, address),
                Err(error) => tracing::debug!(host = name.0, %error, "no address"),
            }
        }
        let name = (host.to_owned(), port);
        if let Some(address) = self.known.get(&name) {
            return Some(*address);
        }
        if self.asked.insert(name.clone()) {
            let (sender, asked) = (self.sender.clone(), name.clone());
            let look_up = move || {
                let found = look_up(&asked.0, asked.1);
                // Nobody may be left to hear it.
                let _ = sender.send((asked, found));
            };
            if let Err(error) = std::thread::Builder::new()
                .name("broker names".to_owned())
                .spawn(look_up)
            {
                tracing::debug!(%error, "no thread to look up a name");
                self.asked.remove(&name);
            }
        }
        None
    }

    /// Looks a name up anew: a broker may have moved.
    fn forget(&mut self, broker: SocketAddr) {
        self.known.retain(|_, address| *address != broker);
    }
}

fn look_up(host: &str, port: u16) -> io::Result<SocketAddr> {
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    // Brokers rarely listen where only another address leads.
    let v4 = addresses.iter().find(|address| address.is_ipv4());
    let first = v4.or(addresses.first()).copied();
    first.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it has none"))
}

/// Host and port of the broker that leads a partition.
fn leader(metadata: &Metadata, at: &TopicPartition) -> Option<(String, u16)> {
    let topic = metadata.topics().iter().find(|topic| topic.name() == &*at.topic)?;
    let partition = (topic.partitions().iter()).find(|partition| partition.id() == at.partition)?;
    let broker = (metadata.brokers().iter()).find(|broker| broker.id() == partition.leader())?;
    let host = broker.host().trim_start_matches('[').trim_end_matches(']');
    Some((host.to_owned(), u16::try_from(broker.port()).ok()?))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_once_and_anew_when_nobody_answers_there() {
        let mut names = Names::default();
        let literal = names.address("::1", 9092).map(|address| address.to_string());
        assert_eq!(literal.as_deref(), Some("[::1]:9092"));
        assert_eq!(names.address("localhost", 9092), None, "not known yet");
        let began = Instant::now();
        let found = loop {
            if let Some(found) = names.address("localhost", 9092) {
                break found;
            }
            assert!(began.elapsed() < Duration::from_secs(30));
            std::thread::sleep(Duration::from_millis(1));
        };
        assert!(found.ip().is_loopback() && found.port() == 9092);
        assert_eq!(names.address("localhost", 9092), Some(found));
        names.forget(found);
        assert_eq!(names.address("localhost", 9092), None);
    }
}
