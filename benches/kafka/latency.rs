//! From the append of the event that completes an impossible journey to the moment a subscriber sees its alert.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use falsefront::enrich::demo_table::{DemoUse, demo_city};
use falsefront::intake::Format;
use falsefront::service::kafka::Connection;
use falsefront::service::kafka::io::Reader;
use hdrhistogram::Histogram;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext, Message as _, Timestamp};

use super::run::{CHECKPOINT_PERIOD_S, Roles, Running};
use super::traffic::{Spread, sign_ins_from};
use super::{ASK, PARTITIONS, create, now_ms};

/// Time before the first latency counts.
const WARM_UP: Duration = Duration::from_secs(10);
const STEADY: Duration = Duration::from_secs(20);
/// For the alerts of the last events.
const REST: Duration = Duration::from_secs(2);
/// Events made at a time.
const PART: u64 = 5_000;
/// One journey among so many events.
const JOURNEY_EVERY: u64 = 500;

/// Moments, ms since the epoch, by account.
type Moments = HashMap<Vec<u8>, i64>;

/// Notes when the broker appended what has a key: the second leg of a journey.
#[derive(Clone, Default)]
struct Appended(Arc<Mutex<Moments>>);

impl ClientContext for Appended {}

impl ProducerContext for Appended {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let message = result.as_ref().unwrap();
        if let (Some(key), Timestamp::LogAppendTime(at_ms)) = (message.key(), message.timestamp()) {
            self.0.lock().unwrap().insert(key.to_vec(), at_ms);
        }
    }
}

/// Feeds at `rate` events a second and prints the quantiles. `number` tells this trial from others.
pub(crate) fn measure(connection: &Connection, folder: &Path, number: usize, rate: u64) {
    let (source, application) = (format!("bench.latency.{number}"), format!("latency-{number}"));
    create(connection, &source);
    let trial = Running::start(
        connection,
        folder,
        &Roles {
            application: &application,
            instance: "a",
            roles: "'intake', 'accounts'",
            source: &source,
            rekey: true,
            interval_ms: 20,
            checkpoint_period_s: CHECKPOINT_PERIOD_S,
            workers: 1,
        },
    );
    trial.ready();
    let (began, began_ms) = (Instant::now(), now_ms());
    let is_over = Arc::new(AtomicBool::new(false));
    let feeder = {
        let (connection, is_over) = (connection.clone(), Arc::clone(&is_over));
        std::thread::spawn(move || feed(&connection, &source, rate, &is_over))
    };
    let mut reader = Reader::new(connection, &trial.alerts, PARTITIONS).unwrap();
    let mut seen = Moments::new();
    while began.elapsed() < WARM_UP + STEADY + REST {
        if began.elapsed() >= WARM_UP + STEADY {
            is_over.store(true, Ordering::Relaxed);
        }
        if let Ok(Some(record)) = reader.next(Duration::from_millis(20)) {
            seen.entry(record.key.unwrap()).or_insert_with(now_ms);
        }
    }
    let (fed, appended) = feeder.join().unwrap();
    // A millisecond, which is what a broker's clock tells, to ten minutes, three digits.
    let mut latencies = Histogram::<u64>::new_with_bounds(1, 600_000, 3).unwrap();
    let warm_ms = began_ms + WARM_UP.as_millis() as i64;
    let (mut journeys, mut unseen) = (0, 0);
    for (account, at_ms) in appended.iter().filter(|(_, at_ms)| **at_ms >= warm_ms) {
        journeys += 1;
        match seen.get(account) {
            Some(seen_ms) => latencies.saturating_record((seen_ms - at_ms).unsigned_abs()),
            None => unseen += 1,
        }
    }
    println!(
        "append to visible alert at {:.0} events/s, 20 ms commits: p50 {} ms, p90 {} ms, p99 {} ms, max {} ms \
         ({journeys} journeys, {unseen} not seen in time)",
        fed as f64 / (WARM_UP + STEADY).as_secs_f64(),
        latencies.value_at_quantile(0.5),
        latencies.value_at_quantile(0.9),
        latencies.value_at_quantile(0.99),
        latencies.max(),
    );
    trial.stop();
}

/// Gives the number of events and when the journeys were completed in the log.
fn feed(connection: &Connection, source: &str, rate: u64, is_over: &AtomicBool) -> (u64, Moments) {
    let context = Appended::default();
    let producer: ThreadedProducer<Appended> = ClientConfig::new()
        .set("bootstrap.servers", &connection.brokers)
        // What lingers here is not counted; a request for each few events would take the broker's time.
        .set("linger.ms", "10")
        .set("compression.type", "lz4")
        .create_with_context(context.clone())
        .unwrap();
    let send = |partition: i32, key: Option<&str>, record: &[u8]| {
        let mut record: BaseRecord<'_, str, [u8]> = BaseRecord::to(source).partition(partition).payload(record);
        record.key = key;
        while let Err((error, back)) = producer.send(record) {
            assert_eq!(
                error,
                KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull),
                "the feeder can only be too fast"
            );
            record = back;
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let cities = ["Las Vegas", "Frankfurt am Main"].map(|name| demo_city(name, "").unwrap());
    let began = Instant::now();
    let mut number = 0;
    let mut background = sign_ins_from(now_ms(), Format::Okta, PART, 100_000, Spread::Uniform, 1, 7);
    while !is_over.load(Ordering::Relaxed) {
        let within = number % PART;
        if within == 0 {
            background = sign_ins_from(now_ms(), Format::Okta, PART, 100_000, Spread::Uniform, 1, number);
        }
        let due = began + Duration::from_nanos(1_000_000_000 / rate.max(1) * number);
        if due > Instant::now() + Duration::from_millis(1) {
            std::thread::sleep(due - Instant::now());
        }
        let partition = (number % u64::from(PARTITIONS)) as i32;
        if number.is_multiple_of(JOURNEY_EVERY) {
            let (account, id) = (format!("traveler-{number}@corp.example"), number * 2);
            let time_ms = now_ms();
            for (leg, city) in (0..).zip(cities) {
                let ip = city.address(DemoUse::Residential, number as u32).to_string();
                let record = sign_in_from(&account, &ip, time_ms + (leg - 1) * 60_000, id + leg as u64);
                send(partition, (leg == 1).then_some(&account), record.as_bytes());
            }
        }
        send(partition, None, background.get(within as usize));
        number += 1;
    }
    producer.flush(ASK).unwrap();
    let appended = std::mem::take(&mut *context.0.lock().unwrap());
    (number, appended)
}

/// An Okta sign-in of a given account from a given address.
fn sign_in_from(account: &str, ip: &str, time_ms: i64, id: u64) -> String {
    format!(
        r#"{{"uuid":"{id:032x}","published":{time_ms},"eventType":"user.session.start","actor":{{"id":"{account}","type":"User","alternateId":"{account}"}},"client":{{"ipAddress":"{ip}"}},"outcome":{{"result":"SUCCESS"}}}}"#
    )
}
