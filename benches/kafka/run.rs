//! Services under measurement, in this process.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use falsefront::enrich::Reference;
use falsefront::service::config;
use falsefront::service::demo_geoip::demo_databases;
use falsefront::service::kafka::Connection;
use falsefront::service::kafka::admin::Admin;
use falsefront::service::metrics::Metrics;
use falsefront::service::supervisor::{Service, Stages};
use falsefront::service::{reference, settings, topics};

use super::{ASK, PARTITIONS, number, traffic};

/// Every chunk of the state is written once in this time: what is configured unless somebody changes it.
pub(crate) const CHECKPOINT_PERIOD_S: u64 = 60;
/// As [`CHECKPOINT_PERIOD_S`], of what is restored afterwards: who waits for all of it has a minute less to wait.
pub(crate) const RESTORED_PERIOD_S: u64 = 15;

/// As [`CHECKPOINT_PERIOD_S`], so long that hardly anything is written.
pub(crate) const NO_CHECKPOINT_S: u64 = 3_600;

/// Events a second, that as a part of reading alone, processor time an event and the broker's of it, us, and cores that were
/// busy.
pub(crate) type Figures = [f64; 5];

/// What a run took.
pub(crate) struct Outcome {
    pub(crate) events: u64,
    pub(crate) wall: Duration,
    pub(crate) cpu: Cpu,
}

impl Outcome {
    /// Events a second.
    fn rate(&self) -> f64 {
        self.events as f64 / self.wall.as_secs_f64()
    }

    /// Beside what reading alone took.
    pub(crate) fn figures(&self, reading: &Self) -> Figures {
        let us_per_event = |time: Duration| time.as_micros() as f64 / self.events as f64;
        [
            self.rate(),
            self.rate() / reading.rate(),
            us_per_event(self.cpu.sum()),
            us_per_event(self.cpu.brokers),
            self.cpu.sum().as_secs_f64() / self.wall.as_secs_f64(),
        ]
    }
}

/// One running service: some stages of an application.
pub(crate) struct Running {
    began: Instant,
    config: PathBuf,
    service: Service,
    metrics: Metrics,
    pub(crate) alerts: String,
}

/// What a service runs, and over which topic.
pub(crate) struct Roles<'a> {
    /// Name of the application: of its topics and groups.
    pub(crate) application: &'a str,
    pub(crate) instance: &'a str,
    /// As the configuration spells them.
    pub(crate) roles: &'a str,
    pub(crate) source: &'a str,
    pub(crate) rekey: bool,
    pub(crate) interval_ms: u64,
    pub(crate) checkpoint_period_s: u64,
    /// Threads of each stage.
    pub(crate) workers: u64,
}

impl Running {
    /// Starts a service.
    pub(crate) fn start(connection: &Connection, folder: &Path, what: &Roles<'_>) -> Self {
        let Roles {
            application,
            instance,
            roles,
            source,
            rekey,
            interval_ms,
            checkpoint_period_s,
            workers,
        } = what;
        let config = folder.join(format!("{application}-{instance}.toml"));
        let brokers = &connection.brokers;
        let text = format!(
            "application = 'bench-{application}'\ninstance = '{instance}'\nroles = [{roles}]\nrekey = {rekey}\n\
             workers = {workers}\ncommit_interval_ms = {interval_ms}\ncheckpoint_period_s = {checkpoint_period_s}\n\
             start_from = 'earliest'\nkafka.brokers = '{brokers}'\nintake.partitions = {PARTITIONS}\n\
             [[sources]]\ntopic = '{source}'\nformat = 'okta'\n"
        );
        std::fs::write(&config, text).unwrap();
        Self::load(config)
    }

    fn load(file: PathBuf) -> Self {
        let began = Instant::now();
        let config = config::load(std::slice::from_ref(&file), std::iter::empty(), &[]).unwrap();
        let service = settings::service(&config).unwrap();
        let reference = reference();
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
        Self {
            began,
            config: file,
            service: Service::start(&service, &stages, &metrics).unwrap(),
            metrics,
            alerts,
        }
    }

    /// Waits until it reads all it was given.
    pub(crate) fn ready(&self) -> Duration {
        while !self.metrics.is_ready() {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.began.elapsed()
    }

    /// Observations that accounts has committed.
    fn folded(&self) -> u64 {
        self.metrics.totals().observations.load(Ordering::Relaxed)
    }

    fn state_bytes(&self) -> u64 {
        self.sum(|line| line.starts_with("falsefront_state_bytes{")) as u64
    }

    /// Waits until more than `known` observations are committed, and from there until `known + events` are.
    pub(crate) fn until(&self, known: u64, events: u64, broker: u32) -> Outcome {
        let (began, cpu_before, first) = self.reached(known + 1, broker);
        let (ended, cpu_after, _) = self.reached(known + events, broker);
        let share = events as f64 / (known + events - first).max(1) as f64;
        Outcome {
            events,
            wall: ended.duration_since(began).mul_f64(share),
            cpu: cpu_after.since(cpu_before).mul_f64(share),
        }
    }

    /// The moment so many observations are committed, the processor time by then, and how many they are.
    pub(crate) fn reached(&self, wanted: u64, broker: u32) -> (Instant, Cpu, u64) {
        let began = Instant::now();
        loop {
            let folded = self.folded();
            if folded >= wanted {
                return (Instant::now(), Cpu::now(broker), folded);
            }
            assert!(began.elapsed() < Duration::from_secs(600), "{folded} of {wanted} only");
            if let Some((worker, result)) = self.service.watch(Duration::ZERO) {
                panic!("{worker} ended: {result:?}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Commits and leaves. It would go on writing checkpoints beside the next one.
    pub(crate) fn stop(self) {
        let failures = self.service.stop(Duration::from_secs(30));
        assert!(failures.is_empty(), "{failures:?}");
    }

    /// Stops once every chunk was written, starts again, and prints how long the restore took.
    pub(crate) fn restore(self) {
        std::thread::sleep(Duration::from_secs(RESTORED_PERIOD_S + 5));
        self.start_again("restore");
    }

    /// Stops and starts again without a checkpoint, and prints how fast `observations` were replayed.
    pub(crate) fn replay(self, observations: u64) {
        let slowest = self.start_again("restore by replay alone");
        println!("replay: {:.2} M observations/s", observations as f64 / slowest / 1e6);
    }

    /// Prints how long a restore takes, and gives the time that the slowest partition took, s.
    fn start_again(self, what: &str) -> f64 {
        let accounts = self.sum(|line| line.starts_with("falsefront_state_entries{"));
        let bytes = self.state_bytes();
        let config = self.config.clone();
        self.stop();
        let again = Self::load(config);
        let ready = again.ready();
        let text = String::from_utf8(again.metrics.render()).unwrap();
        let of = |family: &str| {
            let lines = text.lines().filter(|line| line.starts_with(family));
            let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
            values.fold(0.0, f64::max)
        };
        let slowest = of("falsefront_restore_last_seconds{");
        println!(
            "{what}: {:.2} s from start to ready ({:.2} s of the slowest partition), {} records replayed, {} accounts, \
             state {:.0} MB, digests different: {}",
            ready.as_secs_f64(),
            slowest,
            of("falsefront_restore_records_total{"),
            accounts,
            bytes as f64 / 1e6,
            of("falsefront_restore_digests_total{result=\"different\"}") > 0.0
        );
        again.stop();
        slowest
    }

    /// The sum of the metrics on these lines.
    fn sum(&self, is_wanted: impl Fn(&str) -> bool) -> f64 {
        let text = String::from_utf8(self.metrics.render()).unwrap();
        let lines = text.lines().filter(|line| is_wanted(line));
        lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}

/// Whether accounts are spread over as many places as a large company's are.
pub(crate) fn is_in_world() -> bool {
    number("WORLD", 0) > 0
}

/// Made once: a roster of a million accounts takes seconds.
fn reference() -> Arc<Reference> {
    static REFERENCE: OnceLock<Arc<Reference>> = OnceLock::new();
    let made = REFERENCE.get_or_init(|| {
        let listed = number("ROSTER", 0);
        let roster = (listed > 0).then(|| ("roster.csv".to_owned(), traffic::roster(listed).into_bytes()));
        let bytes = reference::ReferenceBytes {
            geoip: if is_in_world() {
                traffic::world::databases()
            } else {
                demo_databases().unwrap()
            },
            roster: roster.into_iter().collect(),
            ..reference::ReferenceBytes::default()
        };
        Arc::new(reference::load_bytes(&bytes).unwrap().0)
    });
    Arc::clone(made)
}

/// Processor time.
#[derive(Clone, Copy)]
pub(crate) struct Cpu {
    pub(crate) ours: Duration,
    pub(crate) brokers: Duration,
}

impl Cpu {
    /// Of this process and the broker's, since they began.
    pub(crate) fn now(broker: u32) -> Self {
        let of = |process: &str| {
            let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
            let mut hundredths = || fields.next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
            // Linux counts in hundredths of a second here, whatever the kernel's own tick is.
            Duration::from_millis((hundredths() + hundredths()) * 10)
        };
        Self {
            ours: of("self"),
            brokers: of(&broker.to_string()),
        }
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            ours: self.ours.saturating_sub(before.ours),
            brokers: self.brokers.saturating_sub(before.brokers),
        }
    }

    fn mul_f64(self, factor: f64) -> Self {
        Self {
            ours: self.ours.mul_f64(factor),
            brokers: self.brokers.mul_f64(factor),
        }
    }

    pub(crate) fn sum(self) -> Duration {
        self.ours + self.brokers
    }
}
