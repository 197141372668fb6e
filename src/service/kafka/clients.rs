//! The clients of librdkafka that a worker has, and their settings.

use std::time::Duration;

use rdkafka::consumer::BaseConsumer;
use rdkafka::producer::Producer as _;

use super::connection::Kind;
use super::context::{Deliveries, Group, Quiet};
use super::failure::{describe, question, transactional};
use super::log::{GroupProtocol, LogSettings};
use super::served::ServedProducer;
use crate::service::log::{Failure, Guarantee};

/// Longest a new producer may take to connect: on a starved broker a shorter attempt, begun anew each time, never
/// succeeds.
const CONNECT: Duration = Duration::from_secs(15);
/// Longest a new producer may take to end its predecessor's transaction.
const INIT: Duration = Duration::from_secs(20);

/// Why librdkafka refuses the settings of one of the clients that a worker has. They are made and dropped: librdkafka
/// compares settings with each other only then. Nothing is asked of the brokers.
#[must_use]
pub fn refused_settings(settings: &LogSettings) -> Option<String> {
    let producer = || unconnected_producer(settings, &Deliveries::default()).map(drop);
    let others = || consumer(settings).map(drop);
    let reader = || side_consumer(settings, "read_committed").map(drop);
    let made = producer().and_then(|()| others()).and_then(|()| reader());
    made.err().map(|failure| failure.detail().to_owned())
}

fn unconnected_producer(settings: &LogSettings, deliveries: &Deliveries) -> Result<ServedProducer, Failure> {
    let timeout = settings.transaction_timeout.as_millis();
    let mut own = vec![
        ("message.timeout.ms", (timeout * 9 / 10).to_string()),
        ("socket.timeout.ms", timeout.to_string()),
        // Checked before compression; the broker's own limit with room for the batch.
        ("message.max.bytes", "1048588".to_owned()),
        ("statistics.interval.ms", "1000".to_owned()),
        // Makes a hidden retry of a transactional request visible as latency.
        ("retry.backoff.ms", "300".to_owned()),
        ("retry.backoff.max.ms", "1000".to_owned()),
        // A commit flushes. Until then nothing is due: a thread of librdkafka spins while messages are due that it may not
        // send yet, as when a broker owes five answers because a follower is gone.
        ("linger.ms", "1000".to_owned()),
        ("compression.type", settings.compression.to_owned()),
        ("batch.size", "1000000".to_owned()),
        ("queue.buffering.max.kbytes", "65536".to_owned()),
        ("queue.buffering.max.messages", "200000".to_owned()),
    ];
    match settings.guarantee {
        Guarantee::ExactlyOnce => {
            own.push(("transactional.id", settings.member.clone()));
            own.push(("transaction.timeout.ms", timeout.to_string()));
        }
        Guarantee::AtLeastOnce => own.push(("enable.idempotence", "true".to_owned())),
    }
    let config = settings.connection.client(Kind::Producer, &own);
    ServedProducer::new(&config, deliveries.clone())
        .map_err(|error| Failure::Stop(format!("producer: {}", describe(&error))))
}

pub(super) fn producer(settings: &LogSettings, deliveries: &Deliveries) -> Result<ServedProducer, Failure> {
    let producer = unconnected_producer(settings, deliveries)?;
    // With metadata at hand the coordinator is found at once: 62 ms instead of 507.
    if let Err(error) = producer.client().fetch_metadata(Some("__falsefront_warm_up"), CONNECT) {
        return Err(question("metadata", &error));
    }
    if settings.guarantee == Guarantee::AtLeastOnce {
        return Ok(producer);
    }
    producer
        .init_transactions(INIT)
        .map_err(|error| match transactional("init_transactions", &error) {
            stop @ Failure::Stop(_) => stop,
            other => Failure::Retry(other.detail().to_owned()),
        })?;
    Ok(producer)
}

pub(super) fn consumer(settings: &LogSettings) -> Result<BaseConsumer<Group>, Failure> {
    let mut own = vec![
        ("group.id", settings.group.clone()),
        ("enable.auto.commit", "false".to_owned()),
        ("enable.auto.offset.store", "false".to_owned()),
        ("isolation.level", "read_committed".to_owned()),
        ("auto.offset.reset", "error".to_owned()),
        ("max.poll.interval.ms", "60000".to_owned()),
        ("check.crcs", "true".to_owned()),
        ("queued.max.messages.kbytes", "32768".to_owned()),
        ("queued.min.messages", "20000".to_owned()),
        ("fetch.message.max.bytes", "1048576".to_owned()),
        // The default of 1 s stalls a partition after the local queue was full.
        ("fetch.queue.backoff.ms", "50".to_owned()),
        ("fetch.wait.max.ms", "100".to_owned()),
        ("statistics.interval.ms", "1000".to_owned()),
        // Read by the batch, the event that tells of an end moves the consumer's position beyond it, and a record is passed
        // over after the next rebalance (librdkafka#4844).
        ("enable.partition.eof", "false".to_owned()),
    ];
    match settings.protocol {
        GroupProtocol::Classic => {
            own.push(("group.instance.id", settings.instance()));
            own.push(("partition.assignment.strategy", "cooperative-sticky".to_owned()));
            own.push(("session.timeout.ms", "10000".to_owned()));
            own.push(("heartbeat.interval.ms", "1000".to_owned()));
        }
        // With a fixed member name every restart after a crash would die of UNRELEASED_INSTANCE_ID.
        GroupProtocol::Consumer => own.push(("group.protocol", "consumer".to_owned())),
    }
    settings
        .connection
        .client(Kind::Consumer, &own)
        .create_with_context(Group::new(settings.metrics.clone()))
        .map_err(|error| Failure::Stop(format!("consumer: {}", describe(&error))))
}

/// A member without a name, which makes its group rebalance when it comes and when it goes.
pub(super) fn passing_member(settings: &LogSettings) -> Result<BaseConsumer<Quiet>, Failure> {
    let own = [
        ("group.id", settings.group.clone()),
        ("enable.auto.commit", "false".to_owned()),
        ("enable.auto.offset.store", "false".to_owned()),
        ("auto.offset.reset", "error".to_owned()),
        ("partition.assignment.strategy", "cooperative-sticky".to_owned()),
        ("session.timeout.ms", "10000".to_owned()),
        ("heartbeat.interval.ms", "1000".to_owned()),
        // A group waits for its slowest member as long as the most patient of them says.
        ("max.poll.interval.ms", "20000".to_owned()),
        // What it is handed it does not want.
        ("queued.min.messages", "1".to_owned()),
        ("queued.max.messages.kbytes", "1024".to_owned()),
    ];
    quiet(settings, &own)
}

/// A consumer outside of any group, for reading and asking.
pub(super) fn side_consumer(settings: &LogSettings, isolation: &str) -> Result<BaseConsumer<Quiet>, Failure> {
    let own = [
        ("group.id", format!("{}.restore", settings.group)),
        ("enable.auto.commit", "false".to_owned()),
        ("enable.auto.offset.store", "false".to_owned()),
        ("isolation.level", isolation.to_owned()),
        ("auto.offset.reset", "error".to_owned()),
        ("check.crcs", "true".to_owned()),
        ("enable.partition.eof", "true".to_owned()),
        ("fetch.wait.max.ms", "20".to_owned()),
        ("queued.max.messages.kbytes", "65536".to_owned()),
    ];
    quiet(settings, &own)
}

fn quiet(settings: &LogSettings, own: &[(&'static str, String)]) -> Result<BaseConsumer<Quiet>, Failure> {
    settings
        .connection
        .client(Kind::Consumer, own)
        .create_with_context(Quiet)
        .map_err(|error| Failure::Stop(format!("consumer: {}", describe(&error))))
}
