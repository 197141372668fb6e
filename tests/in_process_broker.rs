//! All stages over librdkafka's own broker, as the demo runs them.

use std::time::{Duration, Instant};

use falsefront::intake::Format;
use falsefront::service::kafka::io::{Reader, Writer};
use falsefront::service::kafka::mock::MockBroker;
use falsefront::service::metrics::Metrics;
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
    let service = Service::start(&settings, &counting::stages(settings.hash_key, 2), &metrics).unwrap();
    let writer = Writer::new(&connection).unwrap();
    for n in 0..1_000 {
        writer
            .send("events", Some(n % 2), None, format!("account-{}", n % 10).as_bytes())
            .unwrap();
    }
    writer.send("events", Some(0), None, &[0xff]).unwrap();
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
    assert!(metrics.is_ready());
    let failures = service.stop(Duration::from_secs(10));
    assert!(failures.is_empty(), "{failures:?}");
    let totals = metrics.totals();
    assert_eq!(totals.records.load(std::sync::atomic::Ordering::Relaxed), 1_001);
    assert_eq!(totals.alerts.load(std::sync::atomic::Ordering::Relaxed), 300);
    assert_eq!(totals.dead_letters.load(std::sync::atomic::Ordering::Relaxed), 1);
}
