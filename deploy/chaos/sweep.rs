//! What the commit interval costs: throughput, latency from an event to its alert, and processor time, as a table.
//!
//! Broker, feeder and readers share the processor with the service: the figures compare intervals, not machines.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;

use falsefront::service::log::Guarantee;

use crate::drill::Options;
use crate::drill::cluster::Cluster;
use crate::drill::feed::Feeder;
use crate::drill::ledger::{self, Shared};
use crate::drill::process::Process;
use crate::drill::setting::Setting;
use crate::drill::watch::Watch;

/// Commit intervals, ms.
const INTERVALS_MS: [u64; 6] = [20, 50, 100, 200, 500, 1_000];
/// Events fed at the stated rate before the first is measured: the service starts meanwhile.
const WARM_UP: Duration = Duration::from_secs(5);
/// How long latency is measured.
const STEADY: Duration = Duration::from_secs(20);
/// How long a backlog is fed while the service is away.
const BACKLOG: Duration = Duration::from_secs(5);
/// Longest a backlog may take.
const LIMIT: Duration = Duration::from_secs(180);
/// Faster than any feeder.
const AT_ONCE: u32 = 1_000_000;

/// One line of the table.
struct Line {
    events_per_s: f64,
    latency_us: Histogram<u64>,
    cpu_us_per_event: f64,
}

/// Prints the table.
///
/// # Errors
/// If a trial cannot be carried out.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("falsefront-sweep").tempdir()?;
    let cluster = Cluster::start(&folder.path().join("kafka"), options.nodes, &[])?;
    println!(
        "guarantee     commit interval   catching up   event to alert at {} events/s     processor",
        options.rate
    );
    println!("                             ms      events/s    p50 ms    p99 ms    max ms      n    us/event");
    let guarantees = [Guarantee::ExactlyOnce, Guarantee::AtLeastOnce];
    let trials = guarantees
        .iter()
        .flat_map(|guarantee| INTERVALS_MS.map(|interval_ms| (guarantee.as_str(), interval_ms)));
    for (guarantee, interval_ms) in trials {
        let application = format!("sweep-{guarantee}-{interval_ms}");
        let home = folder.path().join(&application);
        std::fs::create_dir(&home)?;
        let more = format!("guarantee = '{guarantee}'\ncommit_interval_ms = {interval_ms}");
        let setting = Setting::prepare(&home, &cluster.brokers, &application, options.seed, &more)?;
        let mut process = Process::new(&options.program, &home, "a", &setting.config_of("a"))?;
        let line = measure(&setting, &mut process, options)?;
        let ms = |quantile| Duration::from_micros(line.latency_us.value_at_quantile(quantile)).as_secs_f64() * 1_000.0;
        println!(
            "{guarantee:<13} {interval_ms:>17} {:>13.0} {:>9.0} {:>9.0} {:>9.0} {:>6} {:>11.1}",
            line.events_per_s,
            ms(0.5),
            ms(0.99),
            ms(1.0),
            line.latency_us.len(),
            line.cpu_us_per_event
        );
    }
    Ok(())
}

fn measure(setting: &Setting, process: &mut Process, options: &Options) -> anyhow::Result<Line> {
    let shared = Shared::default();
    let watch = Watch::start(setting, &shared)?;
    process.start(None)?;
    let feeder = Feeder::start(setting, options.seed, 0, options.rate, &shared)?;
    std::thread::sleep(WARM_UP);
    let id = process.id().context("the service ended")?;
    let (events_before, cpu_before) = {
        let mut ledger = ledger::open(&shared);
        ledger.latencies.clear();
        (ledger.expected(), cpu_us(id)?)
    };
    std::thread::sleep(STEADY);
    let (events, latencies) = {
        let ledger = ledger::open(&shared);
        (ledger.expected() - events_before, ledger.latencies.clone())
    };
    let cpu_us = cpu_us(id)? - cpu_before;
    feeder.finish()?;
    // A microsecond to ten minutes, three digits.
    let mut latency_us = Histogram::new_with_bounds(1, 600_000_000, 3)?;
    for latency in latencies {
        latency_us.saturating_record(u64::try_from(latency.as_micros())?);
    }
    let events_per_s = catch_up(setting, process, options, &shared)?;
    process.stop()?;
    watch.finish()?;
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    let cpu_us_per_event = cpu_us as f64 / events.max(1) as f64;
    Ok(Line {
        events_per_s,
        latency_us,
        cpu_us_per_event,
    })
}

/// Events a second while a backlog goes through all stages.
fn catch_up(setting: &Setting, process: &mut Process, options: &Options, shared: &Shared) -> anyhow::Result<f64> {
    wait_until(|| ledger::open(shared).is_settled())?;
    ensure!(process.stop()?, "the service did not stop well");
    let (skip, before) = {
        let ledger = ledger::open(shared);
        (usize::try_from(ledger.records)?, seen(shared_events(&ledger)))
    };
    let feeder = Feeder::start(setting, options.seed, skip, AT_ONCE, shared)?;
    std::thread::sleep(BACKLOG);
    feeder.finish()?;
    process.start(None)?;
    wait_until(|| seen(shared_events(&ledger::open(shared))) > before)?;
    let (began, first) = (Instant::now(), seen(shared_events(&ledger::open(shared))));
    wait_until(|| ledger::open(shared).is_settled())?;
    let events = seen(shared_events(&ledger::open(shared))) - first;
    #[expect(clippy::cast_precision_loss, reason = "a count of events")]
    Ok(events as f64 / began.elapsed().as_secs_f64())
}

fn shared_events(ledger: &ledger::Ledger) -> impl Iterator<Item = &u32> {
    ledger.observed.values()
}

fn seen<'c>(counts: impl Iterator<Item = &'c u32>) -> u64 {
    counts.map(|count| u64::from(*count)).sum()
}

fn wait_until(is_so: impl Fn() -> bool) -> anyhow::Result<()> {
    let end = Instant::now() + LIMIT;
    while !is_so() {
        ensure!(Instant::now() < end, "not in {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// User and system time of a process, microseconds.
fn cpu_us(process: u32) -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
    let mut hundredths = || {
        fields
            .next()
            .context("short /proc/stat")?
            .parse::<u64>()
            .context("no number")
    };
    // Linux counts in hundredths of a second here, whatever the kernel's own tick is.
    Ok((hundredths()? + hundredths()?) * 10_000)
}
