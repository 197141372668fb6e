//! All stages over librdkafka's own broker, as the demo runs them.

use std::ops::ControlFlow;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use falsefront::intake::Format;
use falsefront::service::dead_letter::REPLAY_COUNT;
use falsefront::service::kafka::io::{Reader, Writer};
use falsefront::service::kafka::log::{GroupProtocol, KafkaLog, LogSettings, Membership};
use falsefront::service::kafka::mock::MockBroker;
use falsefront::service::log::{Guarantee, Log as _, Outgoing, Rebalance};
use falsefront::service::metrics::Metrics;
use falsefront::service::reference::ReferenceFiles;
use falsefront::service::reference_watch::ReferenceWatch;
use falsefront::service::roster_topic::RosterTopic;
use falsefront::service::supervisor::{Service, ServiceSettings, Source};
use falsefront::service::topics::TopicNames;

use crate::support::counting;

#[test]
fn the_demo_broker_carries_all_stages() {
    let names = TopicNames::new("demo", 2);
    let began = Instant::now();
    let broker = MockBroker::with_topics(&names, "events", 2).unwrap();
    let connection = broker.connection();
    let source = Source {
        topic: "events".to_owned(),
        format: Format::Auto,
    };
    let settings = ServiceSettings::in_process(connection.clone(), names.clone(), source, 2);
    let metrics = Metrics::new().unwrap();
    let service = Service::start(&settings, &counting::stages(settings.hash_key), &metrics).unwrap();
    let writer = Writer::new(&connection).unwrap();
    for n in 0..1_000 {
        writer
            .send("events", Some(n % 2), None, format!("account-{}", n % 10).as_bytes())
            .unwrap();
    }
    // It comes back from the dead letters, and goes there for the third time.
    let again = vec![(REPLAY_COUNT, b"2".to_vec())];
    let poison = Outgoing {
        topic: "events".into(),
        partition: 0,
        key: None,
        value: Some(vec![0xff]),
        headers: again.clone(),
    };
    writer.send_outgoing(&poison).unwrap();
    writer.flush(Duration::from_secs(10)).unwrap();
    let mut alerts = Reader::new(&connection, &names.alerts, 2).unwrap();
    let mut found = Vec::new();
    // Ten accounts of a hundred records: ten alerts each, and twenty from the links.
    while found.len() < 300 && began.elapsed() < Duration::from_secs(30) {
        found.extend(
            alerts
                .next(Duration::from_millis(50))
                .unwrap()
                .map(|record| record.value.unwrap()),
        );
    }
    eprintln!("300 alerts {} ms after the broker's start", began.elapsed().as_millis());
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 300);
    let mut letters = Reader::new(&connection, &names.dead_letters, 2).unwrap();
    let letter = loop {
        assert!(began.elapsed() < Duration::from_secs(60), "no dead letter");
        if let Some(letter) = letters.next(Duration::from_millis(50)).unwrap() {
            break letter;
        }
    };
    let (name, count) = &again[0];
    assert!(
        letter.headers.contains(&((*name).to_owned(), count.clone())),
        "{letter:?}"
    );
    assert!(metrics.is_ready());
    let failures = service.stop(Duration::from_secs(10));
    assert!(failures.is_empty(), "{failures:?}");
    let totals = metrics.totals();
    assert_eq!(totals.records.load(std::sync::atomic::Ordering::Relaxed), 1_001);
    assert_eq!(totals.alerts.load(std::sync::atomic::Ordering::Relaxed), 300);
    assert_eq!(totals.dead_letters.load(std::sync::atomic::Ordering::Relaxed), 1);
}

/// A member of a group of its own that reads `events`.
fn member(broker: &MockBroker, name: &str) -> KafkaLog {
    KafkaLog::open(LogSettings {
        connection: broker.connection(),
        group: "closing".to_owned(),
        member: name.to_owned(),
        protocol: GroupProtocol::Classic,
        membership: Membership::Group(vec!["events".to_owned()]),
        guarantee: Guarantee::ExactlyOnce,
        transaction_timeout: Duration::from_secs(10),
        has_reader: false,
        compression: "lz4",
        metrics: None,
    })
    .unwrap()
}

/// Polls until the group decides something.
fn next_rebalance(log: &mut KafkaLog) -> Rebalance {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < end, "the group never came to terms");
        let polled = log.poll(Duration::from_millis(20), 1, &mut |_| ControlFlow::Continue(()));
        if let Some(rebalance) = polled.unwrap().rebalance {
            return rebalance;
        }
    }
}

fn assert_closes(log: KafkaLog, what: &str) {
    let (sender, closed) = channel();
    std::thread::spawn(move || {
        drop(log);
        let _ = sender.send(());
    });
    assert!(closed.recv_timeout(Duration::from_secs(10)).is_ok(), "{what}");
}

/// Without an answer to a rebalance librdkafka never finishes closing a consumer, and a worker that was to be begun anew
/// would be gone for good.
#[test]
fn a_consumer_closes_though_a_rebalance_was_never_answered() {
    let broker = MockBroker::start(&[("events", 2)]).unwrap();
    let mut alone = member(&broker, "alone");
    assert!(matches!(next_rebalance(&mut alone), Rebalance::Assigned(_)));
    assert_closes(alone, "given partitions, and ended before it took them");
    let broker = MockBroker::start(&[("events", 2)]).unwrap();
    let mut first = member(&broker, "first");
    // Opened without being polled, so that what the group decides about it waits for the closing.
    let mut second = None;
    while let Rebalance::Assigned(partitions) = next_rebalance(&mut first) {
        first.assign(&partitions).unwrap();
        second.get_or_insert_with(|| member(&broker, "second"));
    }
    std::thread::sleep(Duration::from_millis(500));
    assert_closes(second.unwrap(), "told of the group's decision while it closes");
    assert_closes(first, "asked for partitions, and ended before it gave them up");
}

#[test]
fn a_roster_comes_from_its_topic() {
    let broker = MockBroker::start(&[("ref.roster", 2)]).unwrap();
    let connection = broker.connection();
    let writer = Writer::new(&connection).unwrap();
    let roster = [
        (
            "r.lee@corp.example",
            r#"{"kind":"contractor","country":"US","aliases":["r.lee"]}"#,
        ),
        ("k.chan@corp.example", r#"{"kind":"alien"}"#),
        ("a.ash@corp.example", r#"{"country":"DE"}"#),
    ];
    for (partition, (key, value)) in (0..).zip(roster) {
        let partition = Some(partition % 2);
        writer
            .send("ref.roster", partition, Some(key.as_bytes()), value.as_bytes())
            .unwrap();
    }
    writer.flush(Duration::from_secs(10)).unwrap();
    let (watch, _) = ReferenceWatch::open(ReferenceFiles::default()).unwrap();
    RosterTopic::open(&connection, "ref.roster")
        .unwrap()
        .catch_up(&watch)
        .unwrap();
    let reference = watch.current();
    let listed = reference.resolve(["r.lee"].into_iter()).unwrap();
    assert_eq!(listed.account, "r.lee@corp.example");
    assert_eq!(listed.claim().terms.country, "US");
    assert!(reference.resolve(["a.ash@corp.example"].into_iter()).is_some());
    assert!(
        reference.resolve(["k.chan@corp.example"].into_iter()).is_none(),
        "a bad record costs itself alone"
    );
    let absent = RosterTopic::open(&connection, "ref.absent").err().unwrap().to_string();
    assert!(absent.contains("ref.absent does not exist"), "{absent}");
}
