//! Who does harm: kills at named points and at random, freezes, stops brokers, and starts everything again.

use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};

use falsefront::generate::random::Random;
use falsefront::service::fail_point;
use falsefront::service::kafka::admin::Admin;

use super::Options;
use super::cluster::Cluster;
use super::ledger::{self, Fault, Ledger, Shared};
use super::process::Process;
use super::report::{Log, Report};

const SIGKILL: i32 = 9;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);
/// Longest a recovery may take: sessions and transactions time out after 10 s each.
const RECOVERS: Duration = Duration::from_secs(90);
/// Longest a broker that comes back may take to catch up with the others.
const CATCHES_UP: Duration = Duration::from_secs(120);
/// Longest a question to the cluster may take, and the time between two of them.
const ASK: Duration = Duration::from_secs(10);
const ASK_EVERY: Duration = Duration::from_millis(200);
/// A fail point that was not reached in this time after a recovery gives way to a kill at random.
const PATIENCE: Duration = Duration::from_secs(3);
/// A process stays away for longer than its session, so that the other takes over.
const AWAY: Duration = Duration::from_secs(13);
/// Of two processes one stays away once in so many kills.
const AWAY_EVERY: u64 = 20;

/// See the module.
pub(crate) struct Nemesis<'a> {
    options: &'a Options,
    cluster: &'a Cluster,
    admin: Admin,
    processes: Vec<Process>,
    ledger: &'a Shared,
    random: Random,
    report: Report,
}

impl<'a> Nemesis<'a> {
    /// Harm to come to `processes`; `admin` asks the cluster how it is.
    pub(crate) fn new(
        options: &'a Options,
        cluster: &'a Cluster,
        admin: Admin,
        processes: Vec<Process>,
        ledger: &'a Shared,
    ) -> Self {
        Self {
            random: Random::of(options.seed, &[0xC4A05]),
            report: Report::default(),
            options,
            cluster,
            admin,
            processes,
            ledger,
        }
    }

    /// Everything the options ask for, one fault after the other; the last one is over when this returns.
    ///
    /// # Errors
    /// If something does not come back.
    pub(crate) fn rage(&mut self) -> anyhow::Result<()> {
        for process in &mut self.processes {
            process.start(None)?;
        }
        ledger::open(self.ledger).begin(Fault::Broker);
        self.recover()?;
        // The first start is no recovery.
        ledger::open(self.ledger).recovered.clear();
        let end = Instant::now() + Duration::from_secs(self.options.seconds);
        let (kills, freezes, restarts) = (self.options.kills, self.options.freezes, self.options.broker_restarts);
        let (mut frozen, mut restarted, mut aways) = (0, 0, 0);
        while self.report.kills() < u64::from(kills) && Instant::now() < end {
            let done = self.report.kills();
            if is_due(done, kills, frozen, freezes) {
                frozen += 1;
                self.freeze()?;
            } else if is_due(done, kills, restarted, restarts) {
                restarted += 1;
                self.restart_broker()?;
            } else if self.options.broker_pause_s > 0 && self.report.broker_pauses == 0 && done >= u64::from(kills / 2)
            {
                self.pause_brokers()?;
            } else if self.options.processes == 2 && done / AWAY_EVERY > aways {
                aways = done / AWAY_EVERY;
                self.stay_away()?;
            } else {
                self.kill_one()?;
            }
        }
        if kills == 0 && self.options.broker_pause_s > 0 {
            self.pause_brokers()?;
        }
        if self.options.kill_for_good {
            self.kill_for_good()?;
        }
        Ok(())
    }

    /// Starts again whoever ended by himself, and waits until the last fault is over.
    fn recover(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + RECOVERS;
        while !ledger::open(self.ledger).is_recovered() {
            self.look_after()?;
            if Instant::now() > deadline {
                bail!("no recovery in {RECOVERS:?}: {}", ledger::open(self.ledger).left());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Starts again whoever ended: at a fail point, which is a kill, or by himself, which is noted.
    pub(crate) fn look_after(&mut self) -> anyhow::Result<()> {
        if let Some(broken) = &ledger::open(self.ledger).broken {
            bail!("{broken}");
        }
        for index in 0..self.processes.len() {
            if self.has_ended(index)? {
                self.processes[index].start(None)?;
            }
        }
        Ok(())
    }

    fn has_ended(&mut self, index: usize) -> anyhow::Result<bool> {
        let Some(status) = self.processes[index].ended()? else {
            return Ok(false);
        };
        if status.signal() == Some(SIGKILL) {
            self.killed(true);
        } else {
            self.report.exits += 1;
            self.say(&format!("process {index} ended by itself: {status}"));
        }
        Ok(true)
    }

    fn killed(&mut self, at_point: bool) {
        ledger::open(self.ledger).begin(Fault::Kill);
        if at_point {
            self.report.kills_at_points += 1;
        } else {
            self.report.kills_at_random += 1;
        }
    }

    /// Restarts one process with a fail point, or without; waits for the kill and the recovery.
    fn kill_one(&mut self) -> anyhow::Result<()> {
        let index = self.random.index(self.processes.len());
        let (point, rearm) = self.choose();
        if let Some(point) = &point {
            // Arming takes a life of its own, so this kill counts too.
            if rearm {
                self.say(&format!("process {index}: kill, then at {point}"));
                self.processes[index].kill()?;
                self.killed(false);
                self.processes[index].start(Some(point))?;
            }
        } else {
            self.say(&format!("process {index}: kill at random"));
        }
        let before = self.report.kills_at_points;
        let mut calm_since = None;
        let pause = Duration::from_millis(u64::from(self.random.below(1_500)));
        let patience = if point.is_some() { PATIENCE } else { pause };
        let deadline = Instant::now() + RECOVERS;
        loop {
            self.look_after()?;
            if self.report.kills_at_points > before {
                return self.recover();
            }
            if ledger::open(self.ledger).is_recovered() {
                let since = *calm_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= patience {
                    break;
                }
            } else if Instant::now() > deadline {
                bail!("no recovery in {RECOVERS:?}: {}", ledger::open(self.ledger).left());
            }
            std::thread::sleep(LOOK);
        }
        if point.is_none() {
            self.processes[index].kill()?;
            self.killed(false);
            self.processes[index].start(None)?;
            return self.recover();
        }
        Ok(())
    }

    /// A fail point in four of five cases.
    fn choose(&mut self) -> (Option<String>, bool) {
        if !self.random.percent(80) {
            return (None, false);
        }
        let name = fail_point::NAMES[self.random.index(fail_point::NAMES.len())];
        let stage = ["intake", "accounts", "entities", "*"][self.random.index(4)];
        let times = if name.starts_with("restore") { 6 } else { 25 };
        let pass = 1 + self.random.below(times);
        (Some(format!("{stage}:{name}:{pass}")), true)
    }

    fn freeze(&mut self) -> anyhow::Result<()> {
        let index = self.random.index(self.processes.len());
        let time = Duration::from_millis(5_000 + u64::from(self.random.below(10_000)));
        self.say(&format!("process {index}: frozen for {:.1} s", time.as_secs_f64()));
        self.processes[index].freeze(time)?;
        self.report.freezes += 1;
        ledger::open(self.ledger).begin(Fault::Freeze);
        self.recover()
    }

    fn restart_broker(&mut self) -> anyhow::Result<()> {
        let node = self.random.index(self.cluster.nodes);
        let by_force = self.cluster.nodes > 1;
        self.say(&format!(
            "broker {node}: {}",
            if by_force { "SIGKILL" } else { "clean restart" }
        ));
        self.cluster.stop_node(node, by_force)?;
        self.start_node(node)?;
        self.report.broker_restarts += 1;
        ledger::open(self.ledger).begin(Fault::Broker);
        self.recover()?;
        self.wait_in_sync()
    }

    fn pause_brokers(&mut self) -> anyhow::Result<()> {
        let pause = Duration::from_secs(self.options.broker_pause_s);
        self.say(&format!("all brokers away for {} s", pause.as_secs()));
        for node in 0..self.cluster.nodes {
            self.cluster.stop_node(node, self.cluster.nodes > 1)?;
        }
        let end = Instant::now() + pause;
        while Instant::now() < end {
            self.look_after()?;
            std::thread::sleep(LOOK);
        }
        for node in 0..self.cluster.nodes {
            self.start_node(node)?;
        }
        self.report.broker_pauses += 1;
        ledger::open(self.ledger).begin(Fault::Broker);
        self.recover()?;
        self.wait_in_sync()
    }

    /// Starts a broker again; meanwhile processes that end are started again too.
    fn start_node(&mut self, node: usize) -> anyhow::Result<()> {
        let mut starting = self.cluster.start_node(node)?;
        loop {
            self.look_after()?;
            if let Some(status) = starting.try_wait()? {
                ensure!(status.success(), "broker {node} does not start: {status}");
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until every broker has caught up: the loss of another one before that is the loss of two.
    fn wait_in_sync(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + CATCHES_UP;
        loop {
            self.look_after()?;
            let behind = self.admin.out_of_sync(ASK);
            if matches!(behind, Ok(0)) {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "the brokers have not caught up in {CATCHES_UP:?}: {behind:?} partitions are behind"
            );
            std::thread::sleep(ASK_EVERY);
        }
    }

    /// One of two processes stays away until the other has taken over, and comes back to take its share again; the
    /// other is killed while it gives that share up.
    fn stay_away(&mut self) -> anyhow::Result<()> {
        let away = self.random.index(2);
        let other = 1 - away;
        self.say(&format!("process {away}: stays away for {} s", AWAY.as_secs()));
        self.processes[other].kill()?;
        self.killed(false);
        self.processes[other].start(Some("*:revoke:1"))?;
        self.recover()?;
        self.processes[away].kill()?;
        ledger::open(self.ledger).begin(Fault::KillForGood);
        self.report.kills_at_random += 1;
        let end = Instant::now() + AWAY;
        while Instant::now() < end || !ledger::open(self.ledger).is_recovered() {
            ensure!(
                Instant::now() < end + RECOVERS,
                "nobody took over: {}",
                ledger::open(self.ledger).left()
            );
            if self.has_ended(other)? {
                self.processes[other].start(None)?;
            }
            std::thread::sleep(LOOK);
        }
        self.processes[away].start(None)?;
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            self.look_after()?;
            std::thread::sleep(LOOK);
        }
        self.recover()
    }

    fn kill_for_good(&mut self) -> anyhow::Result<()> {
        self.say("process 1: killed for good");
        let mut gone = self.processes.remove(1);
        gone.kill()?;
        self.report.kills_for_good += 1;
        ledger::open(self.ledger).begin(Fault::KillForGood);
        self.report.logs.push(Log::read(&gone.log)?);
        self.recover()
    }

    /// Stops every process; true if all committed and left well.
    pub(crate) fn stop(&mut self) -> anyhow::Result<bool> {
        let mut all_well = true;
        for process in &mut self.processes {
            all_well &= process.stop()?;
        }
        Ok(all_well)
    }

    /// What was done and how it was felt.
    pub(crate) fn report(&mut self, ledger: &Ledger) -> anyhow::Result<Report> {
        for process in &self.processes {
            self.report.logs.push(Log::read(&process.log)?);
        }
        Ok(Report {
            records: ledger.records,
            events: ledger.expected(),
            rejects: ledger.rejects,
            recovered: ledger.recovered.clone(),
            cut_short: ledger.cut_short,
            set_back: ledger.set_back,
            latencies: ledger.latencies.clone(),
            ..self.report.clone()
        })
    }

    /// The ends of the processes' logs, for whoever must find out why.
    pub(crate) fn print_logs(&self) {
        for process in &self.processes {
            eprintln!("--- the end of {}", process.log.display());
            let log = std::fs::read_to_string(&process.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().filter(|line| !line.contains("reference data")).collect();
            for line in lines.iter().skip(lines.len().saturating_sub(60)) {
                eprintln!("{line}");
            }
        }
    }

    fn say(&self, what: &str) {
        if self.options.is_verbose {
            let kills = self.report.kills();
            eprintln!("[{kills} kills] {what}");
        }
    }
}

/// Whether the next of `count` things, spread evenly over `of` kills, is due after `done` kills and `had` things.
fn is_due(done: u64, of: u32, had: u32, count: u32) -> bool {
    had < count && done * u64::from(count + 1) >= u64::from(of) * u64::from(had + 1)
}
