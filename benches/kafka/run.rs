//! One service under measurement: intake and accounts in this process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use falsefront::service::config;
use falsefront::service::demo_geoip::demo_databases;
use falsefront::service::kafka::Connection;
use falsefront::service::kafka::admin::Admin;
use falsefront::service::metrics::Metrics;
use falsefront::service::supervisor::{Service, Stages};
use falsefront::service::{reference, settings, topics};

use super::{ASK, PARTITIONS, SOURCE};

/// Every chunk of the state is written once in this time.
const CHECKPOINT_PERIOD_S: u64 = 15;

/// What a run took.
pub(crate) struct Outcome {
    pub(crate) wall: Duration,
    /// Ours and the broker's.
    pub(crate) cpu: Duration,
    pub(crate) state_bytes: u64,
}

/// A running service.
pub(crate) struct Trial {
    began: Instant,
    config: PathBuf,
    pub(crate) service: Service,
    pub(crate) metrics: Metrics,
    pub(crate) alerts: String,
}

fn load(config: &Path) -> (Service, Metrics, String) {
    let config = config::load(&[config.to_owned()], std::iter::empty(), &[]).unwrap();
    let service = settings::service(&config).unwrap();
    let bytes = reference::ReferenceBytes {
        geoip: demo_databases().unwrap(),
        ..reference::ReferenceBytes::default()
    };
    let reference = Arc::new(reference::load_bytes(&bytes).unwrap().0);
    let stages = Stages::real(
        config.intake.clone(),
        config.detections.clone(),
        service.hash_key,
        Arc::new(move || Arc::clone(&reference)),
    );
    let admin = Admin::new(&service.connection).unwrap();
    let plan = topics::plan(&admin, &service.topics, ASK).unwrap();
    topics::apply(&admin, &plan, ASK).unwrap();
    let metrics = Metrics::new().unwrap();
    let alerts = service.topics.alerts.to_string();
    (Service::start(&service, &stages, &metrics).unwrap(), metrics, alerts)
}

impl Trial {
    /// Starts a service of its own topics and groups over the source.
    pub(crate) fn start(connection: &Connection, folder: &Path, name: &str, rekey: bool, interval_ms: u64) -> Self {
        Self::over(connection, folder, name, SOURCE, rekey, interval_ms)
    }

    /// As [`Trial::start`], over another source.
    pub(crate) fn over(
        connection: &Connection,
        folder: &Path,
        name: &str,
        source: &str,
        rekey: bool,
        interval_ms: u64,
    ) -> Self {
        let file = folder.join(format!("{name}.toml"));
        let brokers = &connection.brokers;
        let text = format!(
            "application = 'bench-{name}'\ninstance = 'a'\nroles = ['intake', 'accounts']\nrekey = {rekey}\n\
             commit_interval_ms = {interval_ms}\ncheckpoint_period_s = {CHECKPOINT_PERIOD_S}\nstart_from = 'earliest'\nkafka.brokers = '{brokers}'\n\
             intake.partitions = {PARTITIONS}\n[[sources]]\ntopic = '{source}'\nformat = 'okta'\n"
        );
        std::fs::write(&file, text).unwrap();
        let (service, metrics, alerts) = load(&file);
        Self {
            began: Instant::now(),
            config: file,
            service,
            metrics,
            alerts,
        }
    }

    /// Observations that accounts has committed.
    fn folded(&self) -> u64 {
        sum(&self.metrics, |line| {
            line.starts_with("falsefront_observations_total{") && line.contains("stage=\"accounts\"")
        }) as u64
    }

    fn state_bytes(&self) -> u64 {
        sum(&self.metrics, |line| line.starts_with("falsefront_state_bytes{")) as u64
    }

    /// Waits until so many observations are committed. Measured from the half on: most accounts are known by then.
    pub(crate) fn until(&self, events: u64, broker: u32) -> Outcome {
        let (mut began, mut cpu_before, mut first) = (self.began, cpu(broker), 0);
        loop {
            std::thread::sleep(Duration::from_millis(20));
            let folded = self.folded();
            if first == 0 && folded >= events / 2 {
                (began, cpu_before, first) = (Instant::now(), cpu(broker), folded);
            }
            if folded >= events {
                break;
            }
            assert!(
                self.began.elapsed() < Duration::from_secs(600),
                "{folded} of {events} only"
            );
            if let Some((worker, result)) = self.service.watch(Duration::ZERO) {
                panic!("{worker} ended: {result:?}");
            }
        }
        let share = events as f64 / (events - first).max(1) as f64;
        Outcome {
            wall: began.elapsed().mul_f64(share),
            cpu: (cpu(broker) - cpu_before).mul_f64(share),
            state_bytes: self.state_bytes(),
        }
    }

    /// Commits and leaves.
    pub(crate) fn stop(self) {
        let failures = self.service.stop(Duration::from_secs(30));
        assert!(failures.is_empty(), "{failures:?}");
    }

    /// Stops once every chunk was written, starts again, and prints how long the restore took.
    pub(crate) fn restore(self) {
        std::thread::sleep(Duration::from_secs(CHECKPOINT_PERIOD_S + 5));
        let accounts = sum(&self.metrics, |line| line.starts_with("falsefront_state_entries{"));
        let bytes = self.state_bytes();
        let failures = self.service.stop(Duration::from_secs(30));
        assert!(failures.is_empty(), "{failures:?}");
        let began = Instant::now();
        let (service, metrics, _) = load(&self.config);
        while !metrics.is_ready() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let ready = began.elapsed();
        let text = String::from_utf8(metrics.render()).unwrap();
        let of = |family: &str| {
            let lines = text.lines().filter(|line| line.starts_with(family));
            let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
            values.fold(0.0, f64::max)
        };
        println!(
            "restore: {:.2} s from start to ready ({:.2} s of the slowest partition), {} records replayed, {} accounts, \
             state {:.0} MB, digests different: {}",
            ready.as_secs_f64(),
            of("falsefront_restore_last_seconds{"),
            of("falsefront_restore_records_total{"),
            accounts,
            bytes as f64 / 1e6,
            text.contains("result=\"different\"")
        );
        service.stop(Duration::from_secs(30));
    }
}

/// The sum of the metrics on these lines.
fn sum(metrics: &Metrics, is_wanted: impl Fn(&str) -> bool) -> f64 {
    let text = String::from_utf8(metrics.render()).unwrap();
    let lines = text.lines().filter(|line| is_wanted(line));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// Processor time of this process and another.
pub(crate) fn cpu(other: u32) -> Duration {
    let of = |process: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
        let mut hundredths = || fields.next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        // Linux counts in hundredths of a second here, whatever the kernel's own tick is.
        Duration::from_millis((hundredths() + hundredths()) * 10)
    };
    of("self") + of(&other.to_string())
}
