//! The whole service against a real Apache Kafka, killed in the middle: nothing lost, nothing twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use falsefront::service::dead_letter::{self, Reject};
use falsefront::service::dead_letter_replay::{Wanted, replay};
use falsefront::service::kafka::Connection;
use falsefront::service::kafka::admin::Admin;
use falsefront::service::kafka::io::{ReadRecord, Reader, Writer};
use falsefront::service::log::Record;
use falsefront::service::metrics::Metrics;
use falsefront::service::supervisor::{Service, ServiceSettings};
use falsefront::service::topic_watch::TopicWatch;
use falsefront::service::topics::{self, TopicNames};
use falsefront::service::worker::stage::Role;
use falsefront::service::{config, logging, run, settings};

use crate::support::{counting, has_counted, kafka};

const PARTITIONS: u32 = 3;
const ACCOUNTS: u64 = 97;
const RECORDS: u64 = 20_000;
const POISON_EVERY: u64 = 500;

fn settings_of(brokers: &str) -> ServiceSettings {
    let variables = [
        ("FALSEFRONT_KAFKA__BROKERS", brokers),
        ("FALSEFRONT_ROLES", "accounts,entities"),
    ];
    let variables = variables
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    settings::service(&config::load(&[], variables, &[]).unwrap()).unwrap()
}

/// A process that can be killed: this very binary, running only the test below with this variable set.
struct Process {
    child: Child,
    http: u16,
}

impl Drop for Process {
    fn drop(&mut self) {
        // A test that failed must not leave it behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(connection: &Connection, application: &str, more: &str, folder: &Path) -> Process {
    spawn_reading(&["auth"], connection, application, more, folder)
}

/// As [`spawn`], with the application's topics of those names as sources.
fn spawn_reading(sources: &[&str], connection: &Connection, application: &str, more: &str, folder: &Path) -> Process {
    let http = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let file = folder.join(format!("{http}.toml"));
    let brokers = &connection.brokers;
    let start_from = if more.contains("start_from") {
        ""
    } else {
        "start_from = 'earliest'"
    };
    let mut text = format!(
        "application = '{application}'\ninstance = 'a'\n{more}\ncommit_interval_ms = 50\ncheckpoint_period_s = 2\n\
         {start_from}\nkafka.brokers = '{brokers}'\nhttp.listen = '127.0.0.1:{http}'\n\
         intake.partitions = {PARTITIONS}\n"
    );
    for source in sources {
        writeln!(text, "[[sources]]\ntopic = '{application}.{source}'").unwrap();
    }
    std::fs::write(&file, text).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args([
            "real_kafka::a_service_stops_in_time",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env("FALSEFRONT_TEST_CONFIG", &file)
        .spawn()
        .unwrap();
    Process { child, http }
}

impl Process {
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn ask(&self, path: &str) -> String {
        self.try_ask(path).unwrap()
    }

    /// Waits until this process has committed alerts, and so checkpoints: a kill before that proves little.
    fn wait_for_alerts(&self) {
        let deadline = Instant::now() + Duration::from_secs(90);
        while !self
            .try_ask("/metrics")
            .is_some_and(|text| has_counted(&text, "falsefront_alerts_total{"))
        {
            assert!(Instant::now() < deadline, "no alert within 90 s");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn wait_until_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(90);
        let ask = || self.try_ask("/readyz").unwrap_or_default();
        while !ask().starts_with("HTTP/1.0 200") {
            assert!(Instant::now() < deadline, "not ready within 90 s: {}", ask());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn try_ask(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// Lets it commit and leave.
    fn terminate(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success(), "SIGTERM ends it well");
    }
}

/// Without brokers a service waits for them and still stops at once. As a child process it runs until terminated.
#[test]
fn a_service_stops_in_time() {
    if let Ok(file) = std::env::var("FALSEFRONT_TEST_CONFIG") {
        let config = config::load(&[file.into()], std::env::vars(), &[]).unwrap();
        let service = settings::service(&config).unwrap();
        logging::start();
        let stages = counting::stages(service.hash_key);
        return run::run_stages(&config, &service, &stages, None).unwrap();
    }
    let metrics = Metrics::new().unwrap();
    let settings = settings_of("127.0.0.1:1");
    let service = Service::start(&settings, &counting::stages(settings.hash_key), &metrics).unwrap();
    assert!(!metrics.is_ready());
    let failures = service.stop(Duration::from_secs(20));
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
    expected_of(RECORDS)
}

/// As [`expected`], of the first records.
fn expected_of(records: u64) -> (Vec<String>, usize) {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut alerts = Vec::new();
    let mut poison = 0;
    for n in 0..records {
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

/// Writes a part of the input over some two seconds.
fn feed(connection: &Connection, source: &str, partition_of: fn(u64) -> i32, part: Range<u64>) -> JoinHandle<()> {
    let (connection, source) = (connection.clone(), source.to_owned());
    std::thread::spawn(move || {
        let writer = Writer::new(&connection).unwrap();
        for n in part {
            let value = if n.is_multiple_of(POISON_EVERY) {
                vec![0xff]
            } else {
                account(n).into_bytes()
            };
            writer
                .send(&source, Some(partition_of(n)), Some(b"key"), &value)
                .unwrap();
            if n.is_multiple_of(20) {
                std::thread::sleep(Duration::from_millis(8));
            }
        }
        writer.flush(Duration::from_secs(60)).unwrap();
    })
}

#[test]
fn kill_9_loses_nothing_and_repeats_nothing() {
    let any = |n: u64| i32::from(n.is_multiple_of(3));
    kill_9("kill -9 of the service on a real Kafka", "kill", "", any);
}

#[test]
fn kill_9_of_a_fused_service_loses_nothing_and_repeats_nothing() {
    let by_account = |n: u64| i32::try_from(n * n % ACCOUNTS % u64::from(PARTITIONS)).unwrap();
    kill_9("kill -9 with rekey = false", "fused", "rekey = false", by_account);
}

#[test]
fn kill_9_under_the_newer_group_protocol_loses_nothing_and_repeats_nothing() {
    let any = |n: u64| i32::from(n.is_multiple_of(3));
    kill_9("kill -9 under KIP-848", "kip848", "group_protocol = 'consumer'", any);
}

#[test]
fn kill_9_with_librdkafka_as_reader_loses_nothing_and_repeats_nothing() {
    let any = |n: u64| i32::from(n.is_multiple_of(3));
    kill_9(
        "kill -9 with kafka.fetch = librdkafka",
        "librdkafka",
        "kafka.fetch = 'librdkafka'",
        any,
    );
}

/// Whether restored states were compared with what was committed, and none differed.
fn are_digests_equal(metrics: &str) -> bool {
    let has = |result| {
        has_counted(
            metrics,
            &format!("falsefront_restore_digests_total{{result=\"{result}\"}}"),
        )
    };
    has("equal") && !has("different")
}

/// Kills a service three times while it reads; `partition_of` says where each record goes.
fn kill_9(what: &str, name: &str, more: &str, partition_of: fn(u64) -> i32) {
    let Some(connection) = kafka::broker(what) else {
        return;
    };
    let is_fused = more.contains("rekey = false");
    let application = format!("{name}-{}", std::process::id());
    let names = TopicNames::new(&application, PARTITIONS);
    let folder = tempfile::tempdir().unwrap();
    let source = format!("{application}.auth");
    kafka::create_topic(&connection, &source, PARTITIONS);

    let pauses_ms = [900, 300, 700, 0];
    let part = RECORDS / 4;
    let mut child = spawn(&connection, &application, more, folder.path());
    for (number, pause_ms) in (0..).zip(pauses_ms) {
        // Each life has a part of its own, so that it has work however late it starts.
        let feeder = feed(&connection, &source, partition_of, number * part..(number + 1) * part);
        child.wait_for_alerts();
        if pause_ms > 0 {
            std::thread::sleep(Duration::from_millis(pause_ms));
            child.kill();
            child = spawn(&connection, &application, more, folder.path());
        }
        feeder.join().unwrap();
    }

    let (expected, poison) = expected();
    let alerts = read_all(&connection, &names.alerts, expected.len());
    child.wait_until_ready();
    let metrics = child.ask("/metrics");
    child.terminate();
    let admin = Admin::new(&connection).unwrap();
    let plan = topics::plan(&admin, &names, kafka::ASK).unwrap();
    assert_eq!(
        (plan.create.len(), plan.refusals.len()),
        (0, 0),
        "`run` made its topics: {plan:?}"
    );
    let mut found: Vec<String> = alerts
        .into_iter()
        .map(|record| String::from_utf8(record.value.unwrap()).unwrap())
        .collect();
    found.sort();
    assert_eq!(found, expected, "alerts under read_committed are those of the oracle");

    let observations = read_all(&connection, &names.observations, usize::from(!is_fused));
    let observed: usize = observations
        .iter()
        .map(|record| {
            String::from_utf8(record.value.clone().unwrap())
                .unwrap()
                .lines()
                .count()
        })
        .sum();
    let wanted = if is_fused {
        0
    } else {
        usize::try_from(RECORDS).unwrap() - poison
    };
    assert_eq!(observed, wanted, "observations");
    let letters = read_all(&connection, &names.dead_letters, poison);
    assert_eq!(letters.len(), poison);
    assert!(
        letters
            .iter()
            .all(|letter| letter.value.as_deref() == Some(&[0xff]) && letter.key.as_deref() == Some(b"key"))
    );
    assert!(are_digests_equal(&metrics), "{metrics}");
    for family in ["falsefront_consumer_lag_seconds{", "falsefront_seconds_to_data_loss{"] {
        assert!(metrics.contains(family), "{family}: {metrics}");
    }
}

/// Behind the last record of a transaction stands its marker. Once retention has deleted that too, an offset before it is out
/// of reach.
#[test]
fn a_quiet_partition_outlives_its_records() {
    quiet("a log that retention has emptied", "quiet", "");
}

#[test]
fn a_quiet_partition_that_librdkafka_reads_outlives_its_records() {
    let more = "kafka.fetch = 'librdkafka'";
    quiet(
        "a log that retention has emptied, read by librdkafka",
        "quiet-librdkafka",
        more,
    );
}

fn quiet(what: &str, name: &str, more: &str) {
    let Some(connection) = kafka::broker(what) else {
        return;
    };
    let application = format!("{name}-{}", std::process::id());
    let names = TopicNames::new(&application, PARTITIONS);
    let folder = tempfile::tempdir().unwrap();
    let source = format!("{application}.auth");
    kafka::create_topic(&connection, &source, PARTITIONS);
    let half = RECORDS / 8;
    let mut child = spawn(&connection, &application, more, folder.path());
    let any = |n: u64| i32::from(n.is_multiple_of(3));
    feed(&connection, &source, any, 0..half).join().unwrap();
    let (before, _) = expected_of(half);
    assert_eq!(read_all(&connection, &names.alerts, before.len()).len(), before.len());
    // In two seconds every chunk is written once. librdkafka's partitions are looked behind after two to four.
    std::thread::sleep(Duration::from_secs(12));
    for topic in [&names.observations, &names.links] {
        kafka::delete_records(&connection, topic, PARTITIONS);
    }
    child.kill();
    let child = spawn(&connection, &application, more, folder.path());
    feed(&connection, &source, any, half..2 * half).join().unwrap();
    let (expected, _) = expected_of(2 * half);
    let alerts = read_all(&connection, &names.alerts, expected.len());
    child.wait_until_ready();
    child.terminate();
    let values = alerts.into_iter().map(|record| record.value.unwrap());
    let mut found: Vec<String> = values.map(|value| String::from_utf8(value).unwrap()).collect();
    found.sort();
    assert_eq!(found, expected);
}

/// Whoever begins with the records to come means those of the first start.
#[test]
fn partitions_and_sources_that_are_added_are_read_from_their_beginning() {
    let Some(connection) = kafka::broker("a partition added to a source") else {
        return;
    };
    let application = format!("grown-{}", std::process::id());
    let names = TopicNames::new(&application, PARTITIONS);
    let folder = tempfile::tempdir().unwrap();
    let [source, later] = ["auth", "later"].map(|name| format!("{application}.{name}"));
    kafka::create_topic(&connection, &source, 1);
    let part = RECORDS / 10;
    let start = |sources: &[&str]| {
        spawn_reading(
            sources,
            &connection,
            &application,
            "start_from = 'latest'",
            folder.path(),
        )
    };
    let child = start(&["auth"]);
    child.wait_until_ready();
    feed(&connection, &source, |_| 0, 0..part).join().unwrap();
    child.wait_for_alerts();
    child.terminate();
    kafka::add_partition(&connection, &source, 2);
    feed(&connection, &source, |_| 1, part..2 * part).join().unwrap();
    kafka::create_topic(&connection, &later, 1);
    feed(&connection, &later, |_| 0, 2 * part..3 * part).join().unwrap();
    let child = start(&["auth", "later"]);
    let (expected, _) = expected_of(3 * part);
    let found = read_all(&connection, &names.alerts, expected.len());
    child.terminate();
    assert_eq!(found.len(), expected.len());
}

/// A group hands a static member that comes back what it had, whatever it subscribes to now.
#[test]
fn a_source_that_was_added_is_read_after_a_restart() {
    let Some(connection) = kafka::broker("a source added to the configuration") else {
        return;
    };
    let application = format!("added-{}", std::process::id());
    let folder = tempfile::tempdir().unwrap();
    let any = |n: u64| i32::from(n.is_multiple_of(3));
    for (name, sources) in [("auth", &["auth"][..]), ("added", &["auth", "added"])] {
        let topic = format!("{application}.{name}");
        kafka::create_topic(&connection, &topic, PARTITIONS);
        let feeder = feed(&connection, &topic, any, 0..RECORDS / 10);
        let child = spawn_reading(sources, &connection, &application, "workers = 1", folder.path());
        child.wait_for_alerts();
        child.terminate();
        feeder.join().unwrap();
    }
}

#[test]
fn a_topic_that_is_changed_under_a_service_is_named() {
    let Some(connection) = kafka::broker("topics deleted under a service") else {
        return;
    };
    let names = TopicNames::new(&format!("changed-{}", std::process::id()), PARTITIONS);
    let admin = Admin::new(&connection).unwrap();
    topics::apply(&admin, &topics::plan(&admin, &names, kafka::ASK).unwrap(), kafka::ASK).unwrap();
    let writer = Writer::new(&connection).unwrap();
    writer.send(&names.links, Some(0), None, b"x").unwrap();
    writer.flush(kafka::ASK).unwrap();
    let metrics = Metrics::new().unwrap();
    let mut watch = TopicWatch::new(&connection, &names, BTreeSet::new()).unwrap();
    let mut told = || {
        let mut looks = (0..50).map(|_| {
            std::thread::sleep(Duration::from_millis(200));
            watch.look(&metrics).ok().flatten()
        });
        looks.find_map(|trouble| trouble).unwrap_or_default()
    };
    assert_eq!(told(), "");
    kafka::delete_topic(&connection, &names.links);
    let links = &names.links;
    let trouble = told();
    assert!(
        trouble.starts_with(&format!("topic {links} was deleted while")),
        "{trouble}"
    );
    topics::apply(&admin, &topics::plan(&admin, &names, kafka::ASK).unwrap(), kafka::ASK).unwrap();
    let trouble = told();
    assert!(
        trouble.starts_with(&format!("topic {links} was created anew while")),
        "{trouble}"
    );
}

#[test]
fn a_dead_letter_goes_back_once_and_three_times_at_most() {
    let Some(connection) = kafka::broker("replay of dead letters on a real Kafka") else {
        return;
    };
    let names = TopicNames::new(&format!("letters-{}", std::process::id()), PARTITIONS);
    let source = format!("{}.auth", names.dead_letters);
    kafka::create_topic(&connection, &source, PARTITIONS);
    kafka::create_topic(&connection, &names.dead_letters, PARTITIONS);
    let writer = Writer::new(&connection).unwrap();
    for (offset, replays) in [(7, 0), (8, 2), (9, 3)] {
        let value = [0xff, offset];
        let record = Record {
            topic: &source,
            partition: 1,
            offset: i64::from(offset),
            append_ms: 5,
            key: Some(b"key"),
            value: Some(&value),
            replays: &replays,
        };
        let reject = Reject {
            topic: &source,
            partition: 1,
            offset: i64::from(offset),
            index: None,
            role: Role::Intake,
            reason: "not_text",
            detail: String::new(),
        };
        writer
            .send_outgoing(&dead_letter::encode(&names, &reject, Some(&record)))
            .unwrap();
    }
    writer.flush(kafka::ASK).unwrap();
    let mut wanted = Wanted {
        reason: Some("not_text".to_owned()),
        ..Wanted::default()
    };
    let count = |wanted: &Wanted| {
        let outcome = replay(&connection, &names, std::slice::from_ref(&source), wanted).unwrap();
        (
            outcome.replayed.values().sum::<usize>(),
            outcome.kept.values().sum::<usize>(),
        )
    };
    assert_eq!(count(&wanted), (2, 1), "a dry run says what would be done");
    assert!(read_all(&connection, &source, 0).is_empty());
    wanted.is_applied = true;
    assert_eq!(count(&wanted), (2, 1));
    assert_eq!(count(&wanted), (0, 3), "a second run finds the marks");
    let back = read_all(&connection, &source, 2);
    let back: Vec<_> = back
        .iter()
        .map(|record| (record.partition, record.value.clone().unwrap(), record.headers.clone()))
        .collect();
    let header = |count: &[u8]| vec![("x-falsefront-replay-count".to_owned(), count.to_vec())];
    assert_eq!(
        back,
        [(1, vec![0xff, 7], header(b"1")), (1, vec![0xff, 8], header(b"3"))]
    );
}
