//! A drill: real brokers, real processes, faults, and an oracle that says whether anything was lost or repeated.

pub(crate) mod cluster;
pub(crate) mod feed;
pub(crate) mod ledger;
pub(crate) mod nemesis;
pub(crate) mod oracle;
pub(crate) mod process;
pub(crate) mod report;
pub(crate) mod setting;
pub(crate) mod watch;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::ensure;

use falsefront::service::kafka::admin::Admin;
use falsefront::service::kafka::log::GroupProtocol;
use falsefront::service::log::Guarantee;

use self::cluster::Cluster;
use self::feed::Feeder;
use self::ledger::Shared;
use self::nemesis::Nemesis;
use self::process::Process;
use self::report::Report;
use self::setting::Setting;
use self::watch::Watch;

/// Longest everything sent may take to come out after the last fault.
const SETTLES: Duration = Duration::from_secs(180);
/// What was sent must stay settled for this long.
const SETTLED: Duration = Duration::from_secs(2);

/// What a drill does.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The `falsefront` to run; built with `fail-points`, or it is killed at random only.
    pub(crate) program: PathBuf,
    /// SIGKILLs of a process that is started again.
    pub(crate) kills: u32,
    /// SIGSTOPs of 5 to 15 s.
    pub(crate) freezes: u32,
    /// Restarts of a broker: clean ones of the only broker, SIGKILLs of one of three.
    pub(crate) broker_restarts: u32,
    /// Seconds that all brokers are away once, at half time; 0 for not at all.
    pub(crate) broker_pause_s: u64,
    /// Processes, 1 or 2.
    pub(crate) processes: usize,
    /// At the end one of two processes is killed and never started again.
    pub(crate) kill_for_good: bool,
    /// Brokers, 1 or 3.
    pub(crate) nodes: usize,
    /// Events a second.
    pub(crate) rate: u32,
    /// Ends the faults after so many seconds, however many were done.
    pub(crate) seconds: u64,
    /// Company and faults.
    pub(crate) seed: u64,
    /// What the processes promise.
    pub(crate) guarantee: Guarantee,
    /// How the members of the processes' groups agree.
    pub(crate) protocol: GroupProtocol,
    /// Of the processes, ms.
    pub(crate) commit_interval_ms: u64,
    /// Of the processes, s.
    pub(crate) checkpoint_period_s: u64,
    /// A line for each fault.
    pub(crate) is_verbose: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            program: PathBuf::from("falsefront"),
            kills: 100,
            freezes: 4,
            broker_restarts: 4,
            broker_pause_s: 0,
            processes: 1,
            kill_for_good: false,
            nodes: 1,
            rate: 500,
            seconds: 3_600,
            seed: 7,
            guarantee: Guarantee::ExactlyOnce,
            protocol: GroupProtocol::Classic,
            commit_interval_ms: 100,
            checkpoint_period_s: 60,
            is_verbose: true,
        }
    }
}

/// Runs a drill.
///
/// # Errors
/// If it cannot be carried out; a violated invariant is in the report.
pub(crate) fn run(options: &Options) -> anyhow::Result<Report> {
    ensure!((1..=2).contains(&options.processes), "one process, or two");
    ensure!(
        !options.kill_for_good || options.processes == 2,
        "killing one for good takes two processes"
    );
    let began = Instant::now();
    let mut folder = tempfile::Builder::new().prefix("falsefront-chaos").tempdir()?;
    let cluster = Cluster::start(&folder.path().join("kafka"), options.nodes, &[])?;
    let more = format!(
        "guarantee = '{}'\ngroup_protocol = '{}'\ncommit_interval_ms = {}\ncheckpoint_period_s = {}",
        options.guarantee.as_str(),
        options.protocol.as_str(),
        options.commit_interval_ms,
        options.checkpoint_period_s
    );
    let setting = Setting::prepare(folder.path(), &cluster.brokers, "chaos", options.seed, &more)?;
    let ledger = Shared::default();
    let watch = Watch::start(&setting, &ledger)?;
    let feeder = Feeder::start(&setting, options.seed, 0, options.rate, &ledger)?;
    let mut processes = Vec::new();
    for instance in ["a", "b"].iter().take(options.processes) {
        let config = setting.config_of(instance);
        processes.push(Process::new(&options.program, folder.path(), instance, &config)?);
    }
    let mut nemesis = Nemesis::new(options, &cluster, Admin::new(setting.connection())?, processes, &ledger);
    let outcome = nemesis.rage();
    let fed = feeder.finish();
    if outcome.is_err() || fed.is_err() {
        nemesis.print_logs();
        keep(&mut folder);
    }
    outcome.and(fed)?;
    settle(&mut nemesis, &ledger)?;
    let stopped_well = nemesis.stop()?;
    watch.finish()?;
    let ledger = ledger::open(&ledger);
    let verdict = oracle::judge(&setting, &ledger)?;
    let report = Report {
        verdict,
        may_repeat: options.guarantee == Guarantee::AtLeastOnce,
        stopped_well,
        took: began.elapsed(),
        ..nemesis.report(&ledger)?
    };
    if !report.violations().is_empty() {
        nemesis.print_logs();
        keep(&mut folder);
    }
    Ok(report)
}

/// Leaves logs of brokers and processes to whoever wants to know why.
fn keep(folder: &mut tempfile::TempDir) {
    folder.disable_cleanup(true);
    eprintln!("kept: {}", folder.path().display());
}

fn settle(nemesis: &mut Nemesis<'_>, ledger: &Shared) -> anyhow::Result<()> {
    let deadline = Instant::now() + SETTLES;
    let mut since = Instant::now();
    while Instant::now() < deadline && since.elapsed() < SETTLED {
        nemesis.look_after()?;
        if !ledger::open(ledger).is_settled() {
            since = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
