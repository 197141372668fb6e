//! The whole service against a real Apache Kafka, killed in the middle: nothing lost, nothing twice.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use falsefront::intake::Format;
use falsefront::model::key::HashKey;
use falsefront::service::kafka::Connection;
use falsefront::service::kafka::admin::Admin;
use falsefront::service::kafka::io::{ReadRecord, Reader, Writer};
use falsefront::service::kafka::log::GroupProtocol;
use falsefront::service::metrics::Metrics;
use falsefront::service::supervisor::{Service, ServiceSettings, Source};
use falsefront::service::topics::{self, TopicNames};
use falsefront::service::worker::StartFrom;
use falsefront::service::worker::stage::Role;

use crate::support::{counting, kafka};

const PARTITIONS: u32 = 3;
const HASH_KEY: HashKey = HashKey(*b"a key for a test");
const ACCOUNTS: u64 = 97;
const RECORDS: u64 = 20_000;
const POISON_EVERY: u64 = 500;

fn settings(connection: Connection, application: &str, instance: &str) -> ServiceSettings {
    ServiceSettings {
        connection,
        application: application.to_owned(),
        instance: instance.to_owned(),
        roles: Role::ALL.to_vec(),
        workers: 1,
        sources: vec![Source {
            topic: format!("{application}.auth"),
            format: Format::Auto,
        }],
        topics: TopicNames::new(application, PARTITIONS),
        hash_key: HASH_KEY,
        commit_interval: Duration::from_millis(50),
        transaction_timeout: Duration::from_secs(10),
        checkpoint_period: Duration::from_secs(2),
        start_from: StartFrom::Earliest,
        protocol: GroupProtocol::Classic,
        fixed_sources: None,
    }
}

/// A process that can be killed: this very binary, running only the test below with these variables set.
fn spawn(connection: &Connection, application: &str, instance: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "real_kafka::a_service_stops_in_time",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env("FALSEFRONT_TEST_BROKERS", &connection.brokers)
        .env("FALSEFRONT_TEST_APPLICATION", application)
        .env("FALSEFRONT_TEST_INSTANCE", instance)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Lets a process commit and leave; returns its metrics.
fn leave(mut child: Child) -> String {
    drop(child.stdin.take());
    let mut output = String::new();
    child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    assert!(child.wait().unwrap().success(), "{output}");
    output
}

/// Without brokers a service waits for them and still stops at once. As a child process it serves until its standard
/// input closes and prints its metrics.
#[test]
fn a_service_stops_in_time() {
    let brokers = std::env::var("FALSEFRONT_TEST_BROKERS");
    let name = |variable: &str| std::env::var(variable).unwrap_or_else(|_| "absent".to_owned());
    let connection = Connection::plaintext(brokers.as_deref().unwrap_or("127.0.0.1:1"));
    let settings = settings(
        connection,
        &name("FALSEFRONT_TEST_APPLICATION"),
        &name("FALSEFRONT_TEST_INSTANCE"),
    );
    let metrics = Metrics::new().unwrap();
    if brokers.is_ok() {
        tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_max_level(tracing::Level::INFO)
            .init();
    }
    let service = Service::start(&settings, &counting::stages(HASH_KEY, PARTITIONS), &metrics).unwrap();
    if brokers.is_ok() {
        let _ = std::io::stdin().read(&mut [0]);
    } else {
        assert!(!metrics.is_ready());
    }
    let failures = service.stop(Duration::from_secs(20));
    std::io::stdout().write_all(&metrics.render()).unwrap();
    assert!(failures.is_empty(), "{failures:?}");
}

fn read_all(connection: &Connection, topic: &str, enough: usize) -> Vec<ReadRecord> {
    let mut reader = Reader::new(connection, topic, PARTITIONS).unwrap();
    let mut records = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline && !(records.len() >= enough && reader.is_at_end()) {
        records.extend(reader.next(Duration::from_millis(100)).unwrap());
    }
    records
}

fn account(n: u64) -> String {
    format!("account-{}", n * n % ACCOUNTS)
}

/// What a single-threaded count of the input gives: the oracle.
fn expected() -> (Vec<String>, usize) {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut alerts = Vec::new();
    let mut poison = 0;
    for n in 0..RECORDS {
        if n.is_multiple_of(POISON_EVERY) {
            poison += 1;
            continue;
        }
        let account = account(n);
        let count = counts.entry(account.clone()).or_default();
        *count += 1;
        if count.is_multiple_of(10) {
            alerts.push(format!("{account}#{count}"));
        }
        if count.is_multiple_of(5) {
            alerts.push(format!("{account}@{}", *count / 5));
        }
    }
    alerts.sort();
    (alerts, poison)
}

#[test]
fn kill_9_loses_nothing_and_repeats_nothing() {
    let Some(connection) = kafka::broker("kill -9 of the service on a real Kafka") else {
        return;
    };
    let application = format!("kill-{}", std::process::id());
    let names = TopicNames::new(&application, PARTITIONS);
    let admin = Admin::new(&connection).unwrap();
    let plan = topics::plan(&admin, &names, kafka::ASK).unwrap();
    assert!(plan.refusals.is_empty(), "{:?}", plan.refusals);
    topics::apply(&admin, &plan, kafka::ASK).unwrap();
    let again = topics::plan(&admin, &names, kafka::ASK).unwrap();
    assert_eq!((again.create.len(), again.refusals.len()), (0, 0), "{again:?}");
    let source = format!("{application}.auth");
    kafka::create_topic(&connection, &source, 2);

    let feeder = {
        let (connection, source) = (connection.clone(), source.clone());
        std::thread::spawn(move || {
            let writer = Writer::new(&connection).unwrap();
            for n in 0..RECORDS {
                let value = if n.is_multiple_of(POISON_EVERY) {
                    vec![0xff]
                } else {
                    account(n).into_bytes()
                };
                writer
                    .send(&source, Some(i32::from(n.is_multiple_of(3))), Some(b"key"), &value)
                    .unwrap();
                if n.is_multiple_of(20) {
                    std::thread::sleep(Duration::from_millis(8));
                }
            }
            writer.flush(Duration::from_secs(20)).unwrap();
        })
    };
    let mut child = spawn(&connection, &application, "a");
    for pause_ms in [2_500, 1_700, 2_300] {
        std::thread::sleep(Duration::from_millis(pause_ms));
        child.kill().unwrap();
        child.wait().unwrap();
        child = spawn(&connection, &application, "a");
    }
    feeder.join().unwrap();

    let (expected, poison) = expected();
    let alerts = read_all(&connection, &names.alerts, expected.len());
    let metrics = leave(child);
    let mut found: Vec<String> = alerts
        .into_iter()
        .map(|record| String::from_utf8(record.value.unwrap()).unwrap())
        .collect();
    found.sort();
    assert_eq!(found, expected, "alerts under read_committed are those of the oracle");

    let observations = read_all(&connection, &names.observations, 1);
    let observed: usize = observations
        .iter()
        .map(|record| {
            String::from_utf8(record.value.clone().unwrap())
                .unwrap()
                .lines()
                .count()
        })
        .sum();
    assert_eq!(observed + poison, usize::try_from(RECORDS).unwrap());
    let letters = read_all(&connection, &names.dead_letters, poison);
    assert_eq!(letters.len(), poison);
    assert!(
        letters
            .iter()
            .all(|letter| letter.value.as_deref() == Some(&[0xff]) && letter.key.as_deref() == Some(b"key"))
    );
    assert!(!metrics.contains("result=\"different\""), "{metrics}");
    assert!(metrics.contains("result=\"equal\""), "{metrics}");
}
