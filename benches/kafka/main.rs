//! Kafka to Kafka, exactly once, on a real Apache Kafka that shares the processor: throughput against reading alone,
//! processor time with the broker's, latency from append to visible alert, and the time of a restore: from checkpoints, and
//! by replaying every observation.
//!
//! `cargo bench --bench kafka` takes some nine minutes and needs what `deploy/kafka/local.sh` needs.
//! `FALSEFRONT_BENCH_EVENTS`, `_ACCOUNTS`, `_ROUNDS`, `_WORKERS` and `_RATES` change the load, `_ROSTER` is how many of the
//! accounts HR lists, `_WORLD=1` spreads them over ten thousand places instead of the demo's; `KAFKA_HEAP_OPTS='-Xms1G -Xmx1G'`
//! gives the broker the heap that Kafka's own start script does, twice that of the tests. The first rounds warm the broker's
//! compiler, which takes a dozen, and are shown as such (`FALSEFRONT_BENCH_WARM_UPS`); a run with fewer than 1.5 busy cores was
//! waiting for something.
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
use run::{CHECKPOINT_PERIOD_S, Cpu, Figures, NO_CHECKPOINT_S, Outcome, RESTORED_PERIOD_S, Roles, Running};
use traffic::{Spread, sign_ins_from};

/// Partitions of the source and of the topics in between.
pub(crate) const PARTITIONS: u32 = 4;
/// Every account once.
const KNOWN: &str = "bench.known";
/// The measured events, not keyed.
const EVENTS: &str = "bench.events";
/// Both, keyed by account.
const KEYED: &str = "bench.keyed";
/// Events made at a time.
const PART: u64 = 100_000;
const SEED: u64 = 7;
/// How long a group waits for the second worker, ms: if the first had all partitions for a while, it would be ahead.
const GROUP_DELAY_MS: &str = "500";
/// Of the rounds that warm the broker, so many are whole.
const WHOLE_WARM_UPS: u64 = 1;
/// Longest a question to the cluster, or a flush, may take.
pub(crate) const ASK: Duration = Duration::from_secs(120);

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A number from the environment, or `usual`.
fn number(name: &str, usual: u64) -> u64 {
    let text = std::env::var(format!("FALSEFRONT_BENCH_{name}")).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn main() {
    falsefront::service::kafka::keep_freed_memory();
    let (events, accounts) = (number("EVENTS", 4_000_000), number("ACCOUNTS", 1_000_000));
    let rounds = number("ROUNDS", 5);
    let rates = std::env::var("FALSEFRONT_BENCH_RATES").unwrap_or_else(|_| "20000 100000".to_owned());
    let rates: Vec<u64> = rates.split_whitespace().map(|rate| rate.parse().unwrap()).collect();
    let folder = tempfile::tempdir().unwrap();
    let cluster = match Cluster::start(&folder.path().join("kafka"), 1, &["--group-delay", GROUP_DELAY_MS]) {
        Ok(cluster) => cluster,
        Err(error) => {
            println!("NOT MEASURED: no Kafka: {error:#}");
            return;
        }
    };
    let connection = Connection::plaintext(&cluster.brokers);
    let bench = Bench {
        broker: broker_pid(folder.path()),
        connection,
        folder: folder.path(),
        accounts,
        events,
        workers: number("WORKERS", 2),
    };
    let bytes = bench.feed();
    println!(
        "{events} Okta events of {bytes} B of {accounts} known accounts, uniform, in lz4, {PARTITIONS} partitions; exactly once, \
         100 ms commits; broker and service on {} cores",
        std::thread::available_parallelism().map_or(0, usize::from)
    );
    println!(
        "{:<34} {:>10} {:>12} {:>11} {:>11} {:>8}",
        "round", "events/s", "of reading", "us/event", "the broker's", "cores"
    );
    let warm_ups = number("WARM_UPS", 12);
    let mut counted = Counted::default();
    for round in 0..warm_ups + rounds {
        let before = round.checked_sub(warm_ups);
        let name = before.map_or_else(|| format!("warm-up {}", round + 1), |before| format!("{}", before + 1));
        let is_whole = round + WHOLE_WARM_UPS >= warm_ups;
        let (rekeyed, fused) = bench.round(round, &name, is_whole, round + 1 == warm_ups + rounds);
        if before.is_some() {
            counted.rekeyed.push(rekeyed);
            counted.fused.extend(fused);
        }
    }
    counted.show();
    bench.replayed(warm_ups + rounds);
    for (number, rate) in rates.into_iter().enumerate() {
        latency::measure(&bench.connection, folder.path(), number, rate);
    }
}

/// The figures of the rounds that count.
#[derive(Default)]
struct Counted {
    rekeyed: Vec<Figures>,
    fused: Vec<Figures>,
}

impl Counted {
    /// Prints the median of each figure by itself.
    fn show(&self) {
        for (what, rounds) in [
            ("intake and accounts", &self.rekeyed),
            ("fused, keyed by account", &self.fused),
        ] {
            let median = std::array::from_fn(|column| {
                let mut values: Vec<f64> = rounds.iter().map(|figures| figures[column]).collect();
                values.sort_by(f64::total_cmp);
                values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
            });
            show(&format!("median: {what}"), &median);
        }
    }
}

fn show(what: &str, [rate, of_reading, cpu_us, brokers_us, cores]: &Figures) {
    println!("{what:<34} {rate:>10.0} {of_reading:>12.2} {cpu_us:>11.2} {brokers_us:>11.2} {cores:>8.2}");
}

/// What all rounds share.
struct Bench<'a> {
    connection: Connection,
    folder: &'a Path,
    broker: u32,
    accounts: u64,
    events: u64,
    workers: u64,
}

impl Bench<'_> {
    /// Figures of a round, in which what is folded from the source itself is left out unless it is whole.
    fn round(&self, round: u64, name: &str, is_whole: bool, is_last: bool) -> (Figures, Option<Figures>) {
        let reading = self.read_alone();
        show(&format!("{name}: reading alone"), &reading.figures(&reading));
        let (accounts, rekeyed) = self.rekeyed(
            round,
            if is_last {
                RESTORED_PERIOD_S
            } else {
                CHECKPOINT_PERIOD_S
            },
        );
        let rekeyed = rekeyed.figures(&reading);
        show(&format!("{name}: intake and accounts"), &rekeyed);
        if is_last {
            accounts.restore();
        } else {
            accounts.stop();
        }
        let fused = is_whole.then(|| self.fused(round).figures(&reading));
        if let Some(fused) = &fused {
            show(&format!("{name}: fused, keyed by account"), fused);
        }
        (rekeyed, fused)
    }

    /// Intake and accounts, once every account is known.
    fn rekeyed(&self, round: u64, checkpoint_period_s: u64) -> (Running, Outcome) {
        let application = format!("r{round}");
        let start = |instance: &str, roles: &str, source: &str| {
            let what = Roles {
                application: &application,
                instance,
                roles,
                source,
                rekey: true,
                interval_ms: 100,
                checkpoint_period_s,
                workers: self.workers,
            };
            Running::start(&self.connection, self.folder, &what)
        };
        let accounts = start("accounts", "'accounts'", KNOWN);
        accounts.ready();
        let known = start("known", "'intake'", KNOWN);
        accounts.reached(self.accounts, self.broker);
        known.stop();
        let intake = start("intake", "'intake'", EVENTS);
        let outcome = accounts.until(self.accounts, self.events, self.broker);
        intake.stop();
        (accounts, outcome)
    }

    /// A restore without checkpoints: everything since the beginning is folded again.
    fn replayed(&self, round: u64) {
        let (accounts, _) = self.rekeyed(round, NO_CHECKPOINT_S);
        accounts.replay(self.accounts + self.events);
    }

    /// Accounts from the source itself.
    fn fused(&self, round: u64) -> Outcome {
        let application = format!("f{round}");
        let what = Roles {
            application: &application,
            instance: "a",
            roles: "'intake', 'accounts'",
            source: KEYED,
            rekey: false,
            interval_ms: 100,
            checkpoint_period_s: CHECKPOINT_PERIOD_S,
            workers: self.workers,
        };
        let fused = Running::start(&self.connection, self.folder, &what);
        let outcome = fused.until(self.accounts, self.events, self.broker);
        fused.stop();
        outcome
    }

    /// Writes the events: every account once, and then whoever comes. Gives their mean size.
    fn feed(&self) -> usize {
        [KNOWN, EVENTS, KEYED]
            .iter()
            .for_each(|topic| create(&self.connection, topic));
        let writer = Writer::new(&self.connection).unwrap();
        // Ending about now: what is older than the windows would be forgotten at once.
        let total = self.accounts + self.events;
        let start_ms = now_ms() - total.cast_signed();
        let mut bytes = 0;
        let mut part = 0;
        let mut send = |topic: &str, first: u64, count: u64, spread: Spread| {
            part += 1;
            let start_ms = start_ms + first.cast_signed();
            let records = sign_ins_from(start_ms, Format::Okta, count, self.accounts, spread, 1, SEED + part);
            bytes = records.mean_bytes();
            for (number, record) in (0..).zip(records.iter()) {
                let keyed = (records.accounts[number as usize] % u64::from(PARTITIONS)) as i32;
                let any = number % PARTITIONS.cast_signed();
                writer.send(topic, Some(any), None, record).unwrap();
                writer.send(KEYED, Some(keyed), None, record).unwrap();
            }
        };
        let (each, even): (fn(u64) -> Spread, _) = if run::is_in_world() {
            (Spread::EachOfWorld, Spread::World)
        } else {
            (Spread::Each, Spread::Uniform)
        };
        for first in (0..self.accounts).step_by(PART as usize) {
            send(KNOWN, first, PART.min(self.accounts - first), each(first));
        }
        for first in (0..self.events).step_by(PART as usize) {
            send(EVENTS, self.accounts + first, PART.min(self.events - first), even);
        }
        writer.flush(ASK).unwrap();
        bytes
    }

    /// The floor: a `read_committed` consumer that only counts.
    fn read_alone(&self) -> Outcome {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.connection.brokers)
            .set("group.id", "bench.reading")
            .set("isolation.level", "read_committed")
            .set("check.crcs", "true")
            // A full queue would pause a partition for a second, in which its reader waits for most of the time.
            .set("fetch.queue.backoff.ms", "1")
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS.cast_signed() {
            list.add_partition_offset(EVENTS, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        let (mut began, mut cpu_before) = (Instant::now(), Cpu::now(self.broker));
        let mut read = 0;
        while read < self.events {
            if let Some(Ok(_)) = consumer.poll(Duration::from_millis(100)) {
                if read == 0 {
                    (began, cpu_before) = (Instant::now(), Cpu::now(self.broker));
                }
                read += 1;
            }
        }
        Outcome {
            events: self.events,
            wall: began.elapsed(),
            cpu: Cpu::now(self.broker).since(cpu_before),
        }
    }
}

fn broker_pid(folder: &Path) -> u32 {
    let pid = std::fs::read_to_string(folder.join("kafka/node-0/pid")).unwrap();
    pid.trim().parse().unwrap()
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
        settings: std::collections::BTreeMap::from([
            ("retention.ms", "-1".to_owned()),
            ("message.timestamp.type", "LogAppendTime".to_owned()),
        ]),
    };
    Admin::new(connection).unwrap().create(&[wanted], ASK).unwrap();
}
