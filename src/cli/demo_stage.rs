//! Behind the demo's screen: an in-process Kafka, the real service over it, and a company whose weeks pass in seconds.
//!
//! The company's days are stretched over the wall clock, and every record carries its own time, so the log's clock is
//! the company's. Alerts are read back from their topic, as a subscriber would.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::Deserialize;

use super::Failure;
use super::demo::{Banner, DemoArgs, Progress, Update};
use crate::detections::settings::DetectionSettings;
use crate::enrich::Reference;
use crate::generate::Company;
use crate::intake::Format;
use crate::model::{Detection, Severity};
use crate::pipeline::Published;
use crate::pipeline::settings::IntakeSettings;
use crate::service::demo_geoip::demo_databases;
use crate::service::kafka::io::{ReadRecord, Reader, Writer};
use crate::service::kafka::mock::MockBroker;
use crate::service::metrics::Metrics;
use crate::service::reference::{ReferenceBytes, load_bytes};
use crate::service::supervisor::{Service, ServiceSettings, Source, Stages};
use crate::service::topics::TopicNames;
use crate::window::DAY_MS;

/// Topic of the company's logs.
const SOURCE: &str = "auth.demo";
/// Its partitions. The in-process broker keeps 5 MiB of each.
const SOURCE_PARTITIONS: u32 = 16;
/// Partitions of each internal topic.
const PARTITIONS: u32 = 6;
/// Days pass in a second, so a transaction spans hours of the company's life: lateness is granted to match.
const LATENESS_MS: i64 = DAY_MS;
/// Quiet time after the last record after which nothing more is expected.
const QUIET: Duration = Duration::from_millis(1_200);
/// Longest wait for the service to read what was written.
const CATCH_UP: Duration = Duration::from_secs(30);

/// Starts everything. Updates end by themselves.
pub(super) fn start(args: &DemoArgs, company: Company) -> Result<(Banner, Receiver<Update>), Failure> {
    let reference = Arc::new(reference(&company)?);
    let names = TopicNames::new("falsefront", PARTITIONS);
    let hidden = company
        .truth()
        .iter()
        .filter(|group| !group.expected.is_empty())
        .count();
    let topics = format!(
        "{SOURCE} -> {} -> {} -> {}",
        names.observations, names.links, names.alerts
    );
    let pace = Pace {
        days: args.days,
        seconds: args.seconds,
    };
    let play = Play { pace, names, reference };
    let (sender, receiver) = channel();
    let (address, brokers) = channel();
    // The broker may not leave the thread that started it.
    thread::Builder::new().name("demo".to_owned()).spawn(move || {
        let ended = MockBroker::with_topics(&play.names, SOURCE, SOURCE_PARTITIONS)
            .context("the in-process Kafka cannot start")
            .and_then(|broker| {
                // Whoever started the demo waits for this.
                let _ = address.send(broker.connection().brokers);
                play.run(&broker, company, &sender)
            });
        if let Err(error) = ended {
            anstream::eprintln!("error: {error:#}");
        }
        // Nobody listens once the screen is closed.
        let _ = sender.send(Update::Ended);
    })?;
    let brokers = brokers
        .recv()
        .map_err(|_| anyhow::anyhow!("the demo ended before it began"))?;
    let (accounts, days) = (u64::from(args.accounts), u64::from(args.days));
    let banner = Banner {
        seed: args.seed,
        accounts,
        days,
        hidden,
        brokers,
        topics,
        http: String::new(),
    };
    Ok((banner, receiver))
}

/// How fast the company's days pass.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Days.
    days: u32,
    /// Seconds they are stretched over.
    seconds: u32,
}

fn reference(company: &Company) -> anyhow::Result<Reference> {
    let csv = |name: &str, text: String| (name.to_owned(), text.into_bytes());
    let files = ReferenceBytes {
        geoip: demo_databases()?,
        networks: vec![csv("networks.csv", company.networks_csv())],
        roster: vec![csv("roster.csv", company.roster_csv())],
        travel: Some(csv("travel.csv", company.travel_csv())),
    };
    let (reference, problems) = load_bytes(&files)?;
    anyhow::ensure!(problems.is_empty(), "the demo's own data has problems: {problems:?}");
    Ok(reference)
}

struct Play {
    pace: Pace,
    names: TopicNames,
    reference: Arc<Reference>,
}

/// Shared between the threads of a demo.
struct Counters {
    produced: AtomicU64,
    /// Microseconds from due record to read alert.
    latencies: Mutex<Histogram<u64>>,
    /// Microseconds since the start at which the last alert was read.
    last_alert_us: AtomicU64,
    is_over: AtomicU64,
    /// Company time at the start of the demo, ms.
    first_ms: AtomicU64,
}

impl Counters {
    fn new() -> anyhow::Result<Self> {
        // A microsecond to a minute, two digits.
        let latencies = Mutex::new(Histogram::new_with_bounds(1, 60_000_000, 2)?);
        let zero = || AtomicU64::new(0);
        Ok(Self {
            produced: zero(),
            latencies,
            last_alert_us: zero(),
            is_over: zero(),
            first_ms: zero(),
        })
    }

    fn latencies(&self) -> MutexGuard<'_, Histogram<u64>> {
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Play {
    fn run(self, broker: &MockBroker, company: Company, updates: &Sender<Update>) -> anyhow::Result<()> {
        let connection = broker.connection();
        let source = Source {
            topic: SOURCE.to_owned(),
            format: Format::Ocsf,
        };
        let settings = ServiceSettings::in_process(connection.clone(), self.names.clone(), source, SOURCE_PARTITIONS);
        let metrics = Metrics::new()?;
        let mut detections = DetectionSettings::default();
        detections.window.allowed_lateness_ms = LATENESS_MS;
        let intake = IntakeSettings {
            partitions: PARTITIONS,
            ..IntakeSettings::default()
        };
        let reference = Arc::clone(&self.reference);
        let stages = Stages::real(
            intake,
            detections,
            settings.hash_key,
            Arc::new(move || Arc::clone(&reference)),
        );
        interrupt_with(updates.clone());
        let service = Service::start(&settings, &stages, &metrics).context("the service cannot start")?;
        let counters = Arc::new(Counters::new()?);
        let began = Instant::now();
        let reader = self.read_alerts(&connection, updates.clone(), Arc::clone(&counters), began)?;
        let writer = Writer::new(&connection)?;
        let produced = self.produce(company, &writer, &counters, began, updates, &metrics);
        produced.and_then(|()| Ok(writer.flush(CATCH_UP)?))?;
        self.settle(&counters, began, updates, &metrics);
        counters.is_over.store(1, Ordering::Release);
        service.stop(Duration::from_secs(5));
        reader
            .join()
            .map_err(|_| anyhow::anyhow!("the reader of alerts ended badly"))
    }

    /// Writes the company's records at the pace of its days.
    fn produce(
        &self,
        company: Company,
        writer: &Writer,
        counters: &Counters,
        began: Instant,
        updates: &Sender<Update>,
        metrics: &Metrics,
    ) -> anyhow::Result<()> {
        let span_ms = i64::from(self.pace.days) * DAY_MS;
        let stretch = Duration::from_secs(u64::from(self.pace.seconds));
        let mut first_ms = None;
        let mut told = Instant::now();
        for (record, number) in company.zip(0i32..) {
            let first_ms = *first_ms.get_or_insert(record.due_ms);
            counters.first_ms.store(first_ms.cast_unsigned(), Ordering::Relaxed);
            #[expect(clippy::cast_precision_loss, reason = "a share of the demo")]
            let share = (record.due_ms - first_ms) as f64 / span_ms as f64;
            if number % 64 == 0 {
                let due = began + stretch.mul_f64(share.clamp(0.0, 2.0));
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            // Any partition: intake keys by account itself.
            let partition = number % i32::try_from(SOURCE_PARTITIONS)?;
            writer.send_at(SOURCE, Some(partition), None, &record.line, Some(record.due_ms))?;
            counters.produced.fetch_add(1, Ordering::Relaxed);
            if told.elapsed() >= Duration::from_millis(200) {
                told = Instant::now();
                let progress = progress(counters, began, metrics, share);
                if updates.send(Update::Progress(progress)).is_err() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Waits until everything written was read and the alerts have come.
    fn settle(&self, counters: &Counters, began: Instant, updates: &Sender<Update>, metrics: &Metrics) {
        let from = Instant::now();
        let mut quiet_since = Instant::now();
        while from.elapsed() < CATCH_UP && quiet_since.elapsed() < QUIET {
            let progress = progress(counters, began, metrics, 1.0);
            let last_alert = Duration::from_micros(counters.last_alert_us.load(Ordering::Acquire));
            if progress.lag > 0 || began.elapsed().saturating_sub(last_alert) < QUIET {
                quiet_since = Instant::now();
            }
            if updates.send(Update::Progress(progress)).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn read_alerts(
        &self,
        connection: &crate::service::kafka::connection::Connection,
        updates: Sender<Update>,
        counters: Arc<Counters>,
        began: Instant,
    ) -> anyhow::Result<thread::JoinHandle<()>> {
        let mut reader = Reader::new(connection, &self.names.alerts, PARTITIONS)?;
        let pace = self.pace;
        let read = move || {
            while counters.is_over.load(Ordering::Acquire) == 0 {
                let Ok(Some(record)) = reader.next(Duration::from_millis(20)) else {
                    continue;
                };
                let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                counters.last_alert_us.store(micros, Ordering::Release);
                if let Some((published, created_ms)) = published(&record) {
                    let latency_us = latency_us(created_ms, micros, &counters, pace);
                    counters.latencies().saturating_record(latency_us);
                    if updates.send(Update::Published(published)).is_err() {
                        return;
                    }
                }
            }
        };
        Ok(thread::Builder::new().name("demo-alerts".to_owned()).spawn(read)?)
    }
}

/// Microseconds from the moment a record was due to the moment the alert it caused was read.
fn latency_us(created_ms: i64, read_us: u64, counters: &Counters, pace: Pace) -> u64 {
    let first_ms = counters.first_ms.load(Ordering::Relaxed).cast_signed();
    let span_ms = i64::from(pace.days) * DAY_MS;
    let due_us = (created_ms - first_ms)
        .max(0)
        .saturating_mul(i64::from(pace.seconds) * 1_000_000)
        / span_ms;
    read_us.saturating_sub(u64::try_from(due_us).unwrap_or(0))
}

fn progress(counters: &Counters, began: Instant, metrics: &Metrics, share: f64) -> Progress {
    let produced = counters.produced.load(Ordering::Relaxed);
    let read = metrics.totals().records.load(Ordering::Relaxed);
    let seconds = began.elapsed().as_secs_f64().max(0.001);
    let latencies = counters.latencies();
    #[expect(clippy::cast_precision_loss, reason = "shown")]
    let quantile_ms = |quantile: f64| latencies.value_at_quantile(quantile) as f64 / 1_000.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "shown"
    )]
    let (rate, total) = (
        (read as f64 / seconds) as u64,
        (produced as f64 / share.clamp(0.01, 1.0)) as u64,
    );
    Progress {
        events: read,
        events_total: total,
        rate,
        lag: produced.saturating_sub(read),
        p50_ms: quantile_ms(0.5),
        p99_ms: quantile_ms(0.99),
        discarded: metrics.totals().dead_letters.load(Ordering::Relaxed),
    }
}

/// The parts of an alert that the screen shows.
#[derive(Deserialize)]
struct Shown {
    activity_id: u32,
    severity_id: usize,
    is_alert: bool,
    message: String,
    time: i64,
    end_time: i64,
    finding_info: ShownInfo,
    resources: Vec<ShownResource>,
}

#[derive(Deserialize)]
struct ShownInfo {
    uid: String,
    analytic: ShownAnalytic,
}

#[derive(Deserialize)]
struct ShownAnalytic {
    uid: String,
}

#[derive(Deserialize)]
struct ShownResource {
    name: String,
}

/// A record of the alerts topic as the screen knows it, and when it was created.
fn published(record: &ReadRecord) -> Option<(Published, i64)> {
    let value = record.value.clone()?;
    let shown: Shown = serde_json::from_slice(&value).ok()?;
    let detection = Detection::ALL
        .into_iter()
        .find(|d| d.as_str() == shown.finding_info.analytic.uid)?;
    let published = Published {
        key: String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned(),
        value,
        headers: Vec::new(),
        detection: detection.as_str(),
        severity: Severity::ALL.get(shown.severity_id.checked_sub(1)?).copied()?,
        is_alert: shown.is_alert,
        is_first: shown.activity_id == 1,
        uid: shown.finding_info.uid,
        message: shown.message,
        accounts: shown.resources.into_iter().map(|resource| resource.name).collect(),
        time_ms: shown.end_time,
    };
    Some((published, shown.time))
}

/// Ctrl-C ends the demo with its summary.
fn interrupt_with(updates: Sender<Update>) {
    let wait = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let is_interrupted = runtime.is_ok_and(|runtime| runtime.block_on(tokio::signal::ctrl_c()).is_ok());
        if is_interrupted {
            // The screen may be closed already.
            let _ = updates.send(Update::Interrupted);
        }
    };
    // Without this thread Ctrl-C just ends the process, which is no reason not to start.
    let _ = thread::Builder::new().name("demo-signals".to_owned()).spawn(wait);
}
