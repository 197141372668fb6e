//! From the append of the event that completes an impossible journey to the moment a subscriber sees its alert.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use falsefront::enrich::demo_table::{DemoUse, demo_city};
use falsefront::intake::Format;
use falsefront::service::kafka::Connection;
use falsefront::service::kafka::io::{Reader, Writer};
use hdrhistogram::Histogram;

use super::run::{CHECKPOINT_PERIOD_S, Roles, Running};
use super::traffic::{Spread, sign_ins_from};
use super::{ASK, PARTITIONS, create, now_ms};

/// Time before the first latency counts.
const WARM_UP: Duration = Duration::from_secs(5);
const STEADY: Duration = Duration::from_secs(20);
/// Events made at a time.
const PART: u64 = 20_000;
/// One journey among so many events.
const JOURNEY_EVERY: u64 = 500;

/// Feeds at `rate` events a second and prints the quantiles.
pub(crate) fn measure(connection: &Connection, folder: &Path, rate: u64) {
    let (source, application) = (format!("bench.latency.{rate}"), format!("latency-{rate}"));
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
    let sent: Arc<Mutex<HashMap<String, Instant>>> = Arc::default();
    let is_over = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let feeder = {
        let (connection, sent, is_over) = (connection.clone(), Arc::clone(&sent), Arc::clone(&is_over));
        std::thread::spawn(move || feed(&connection, &source, rate, &sent, &is_over))
    };
    let mut reader = Reader::new(connection, &trial.alerts, PARTITIONS).unwrap();
    // A microsecond to ten minutes, three digits.
    let mut latencies = Histogram::<u64>::new_with_bounds(1, 600_000_000, 3).unwrap();
    while began.elapsed() < WARM_UP + STEADY {
        let Ok(Some(record)) = reader.next(Duration::from_millis(2)) else {
            continue;
        };
        let seen = Instant::now();
        let Some(key) = record.key.and_then(|key| String::from_utf8(key).ok()) else {
            continue;
        };
        let at = sent.lock().unwrap().remove(&key);
        if let Some(at) = at.filter(|at| *at >= began + WARM_UP) {
            latencies.saturating_record(seen.duration_since(at).as_micros() as u64);
        }
    }
    is_over.store(true, Ordering::Relaxed);
    let fed = feeder.join().unwrap();
    let ms = |quantile| latencies.value_at_quantile(quantile) as f64 / 1_000.0;
    println!(
        "append to visible alert at {:.0} events/s, 20 ms commits: p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms (n = {})",
        fed as f64 / (WARM_UP + STEADY).as_secs_f64(),
        ms(0.5),
        ms(0.99),
        ms(1.0),
        latencies.len()
    );
    trial.stop();
}

fn feed(
    connection: &Connection,
    source: &str,
    rate: u64,
    sent: &Mutex<HashMap<String, Instant>>,
    is_over: &AtomicBool,
) -> u64 {
    // What lingers here would be counted as the service's.
    let writer = Writer::lingering(connection, Duration::from_millis(1)).unwrap();
    let cities = ["Las Vegas", "Frankfurt am Main"].map(|name| demo_city(name, "").unwrap());
    let began = Instant::now();
    let mut number = 0;
    let mut background = sign_ins_from(now_ms(), Format::Okta, PART, 100_000, Spread::Uniform, 1, 7);
    while !is_over.load(Ordering::Relaxed) {
        let within = number % PART;
        if within == 0 {
            background = sign_ins_from(now_ms(), Format::Okta, PART, 100_000, Spread::Uniform, 1, number);
        }
        let record = background.get(within as usize);
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
                writer.send(source, Some(partition), None, record.as_bytes()).unwrap();
            }
            sent.lock().unwrap().insert(account, Instant::now());
        }
        writer.send(source, Some(partition), None, record).unwrap();
        number += 1;
    }
    writer.flush(ASK).unwrap();
    number
}

/// An Okta sign-in of a given account from a given address.
fn sign_in_from(account: &str, ip: &str, time_ms: i64, id: u64) -> String {
    format!(
        r#"{{"uuid":"{id:032x}","published":{time_ms},"eventType":"user.session.start","actor":{{"id":"{account}","type":"User","alternateId":"{account}"}},"client":{{"ipAddress":"{ip}"}},"outcome":{{"result":"SUCCESS"}}}}"#
    )
}
