//! Kafka to Kafka, exactly once, on a real Apache Kafka that shares the processor: throughput against reading alone,
//! processor time with the broker's, latency from append to visible alert, and the time of a restore.
//!
//! `cargo bench --bench kafka` takes some three minutes and needs what `deploy/kafka/local.sh` needs.
//! `FALSEFRONT_BENCH_EVENTS`, `_ACCOUNTS`, `_ROUNDS` and `_RATE` change the load. The first rounds warm the broker's
//! compiler and are shown as such; a run with fewer than 1.5 busy cores was waiting for something. The source is not keyed by
//! account, so in the fused rows three of four events open a window in a further partition: they show what new accounts cost.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    dead_code,
    reason = "a bench reads the clock, is run by its authors, and uses a part of what it shares"
)]

#[path = "../../deploy/chaos/drill/cluster.rs"]
mod cluster;
mod latency;
mod run;
#[path = "../core/traffic.rs"]
mod traffic;

use std::path::Path;
use std::time::{Duration, Instant};

use falsefront::intake::Format;
use falsefront::service::kafka::Connection;
use falsefront::service::kafka::admin::Admin;
use falsefront::service::kafka::io::Writer;
use falsefront::service::topics::WantedTopic;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use cluster::Cluster;
use run::{Outcome, Trial};
use traffic::{Spread, sign_ins_from};

/// Partitions of the source and of the topics in between.
pub(crate) const PARTITIONS: u32 = 4;
const SOURCE: &str = "bench.events";
const SEED: u64 = 7;
/// Longest a question to the cluster, or a flush, may take.
pub(crate) const ASK: Duration = Duration::from_secs(120);

/// A number from the environment, or `usual`.
fn number(name: &str, usual: u64) -> u64 {
    let text = std::env::var(format!("FALSEFRONT_BENCH_{name}")).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn main() {
    let (events, accounts) = (number("EVENTS", 2_000_000), number("ACCOUNTS", 1_000_000));
    let (rounds, rate) = (number("ROUNDS", 3), number("RATE", 20_000));
    let folder = tempfile::tempdir().unwrap();
    let cluster = match Cluster::start(&folder.path().join("kafka"), 1) {
        Ok(cluster) => cluster,
        Err(error) => {
            println!("NOT MEASURED: no Kafka: {error:#}");
            return;
        }
    };
    let connection = Connection::plaintext(&cluster.brokers);
    let broker = broker_pid(folder.path());
    let bytes = feed(&connection, events, accounts);
    println!(
        "{events} Okta events of {bytes} B, {accounts} accounts, uniform, lz4, {PARTITIONS} partitions, not keyed by \
         account; exactly once, 100 ms commits; the second half is measured; broker and service on {} cores",
        std::thread::available_parallelism().map_or(0, usize::from)
    );
    println!(
        "{:<34} {:>10} {:>12} {:>11} {:>8} {:>12}",
        "round", "events/s", "of reading", "us/event", "cores", "state MB"
    );
    for round in 0..=rounds {
        let reading = read_alone(&cluster.brokers, events, broker);
        let name = if round == 0 {
            "warm-up".to_owned()
        } else {
            format!("{round}")
        };
        show(&format!("{name}: reading alone"), &reading, events, 1.0);
        for rekey in [true, false] {
            let trial = Trial::start(&connection, folder.path(), &format!("r{round}-{rekey}"), rekey, 100);
            let outcome = trial.until(events, broker);
            let what = if rekey {
                "intake and accounts"
            } else {
                "fused, not keyed: new windows"
            };
            show(
                &format!("{name}: {what}"),
                &outcome,
                events,
                reading.wall.as_secs_f64() / outcome.wall.as_secs_f64(),
            );
            if rekey && round == rounds {
                trial.restore();
            } else {
                // It would go on writing checkpoints beside the next one.
                trial.stop();
            }
        }
    }
    latency::measure(&connection, folder.path(), rate);
}

fn show(what: &str, outcome: &Outcome, events: u64, ratio: f64) {
    let seconds = outcome.wall.as_secs_f64();
    println!(
        "{what:<34} {:>10.0} {ratio:>12.2} {:>11.2} {:>8.2} {:>12.0}",
        events as f64 / seconds,
        outcome.cpu.as_micros() as f64 / events as f64,
        outcome.cpu.as_secs_f64() / seconds,
        outcome.state_bytes as f64 / 1e6,
    );
}

fn broker_pid(folder: &Path) -> u32 {
    let pid = std::fs::read_to_string(folder.join("kafka/node-0/pid")).unwrap();
    pid.trim().parse().unwrap()
}

/// Writes the events; gives their mean size.
fn feed(connection: &Connection, events: u64, accounts: u64) -> usize {
    /// Events made at a time.
    const PART: u64 = 100_000;
    create(connection, SOURCE);
    let writer = Writer::new(connection).unwrap();
    // Ending about now: what is older than the windows would be forgotten at once.
    let start_ms = now_ms() - events.cast_signed();
    let mut bytes = 0;
    for part in 0..events.div_ceil(PART) {
        let records = sign_ins_from(
            start_ms + (part * PART).cast_signed(),
            Format::Okta,
            PART.min(events - part * PART),
            accounts,
            // Every account once, and then whoever comes: the measured half is of accounts that are known.
            if part * PART < accounts {
                Spread::Each(part * PART)
            } else {
                Spread::Uniform
            },
            1,
            SEED + part,
        );
        bytes = records.mean_bytes();
        for (number, record) in (0..).zip(records.iter()) {
            writer
                .send(SOURCE, Some(number % PARTITIONS.cast_signed()), None, record)
                .unwrap();
        }
    }
    writer.flush(ASK).unwrap();
    bytes
}

pub(crate) fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap().as_millis() as i64
}

pub(crate) fn create(connection: &Connection, topic: &str) {
    let wanted = WantedTopic {
        name: topic.into(),
        partitions: PARTITIONS,
        replication: 1,
        settings: std::collections::BTreeMap::from([("retention.ms", "-1".to_owned())]),
    };
    Admin::new(connection).unwrap().create(&[wanted], ASK).unwrap();
}

/// The floor: a `read_committed` consumer that only counts.
fn read_alone(brokers: &str, events: u64, broker: u32) -> Outcome {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "bench.reading")
        .set("isolation.level", "read_committed")
        .set("check.crcs", "true")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS.cast_signed() {
        list.add_partition_offset(SOURCE, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let (mut began, mut cpu_before) = (Instant::now(), Duration::ZERO);
    let mut read = 0;
    while read < events {
        if let Some(Ok(_)) = consumer.poll(Duration::from_millis(100)) {
            if read == 0 {
                (began, cpu_before) = (Instant::now(), run::cpu(broker));
            }
            read += 1;
        }
    }
    Outcome {
        wall: began.elapsed(),
        cpu: run::cpu(broker) - cpu_before,
        state_bytes: 0,
    }
}
