//! `falsefront demo`: the screen of the demo, from the banner to the score.
//!
//! What moves on it arrives as [`Update`]s over a channel, so the screen knows neither Kafka nor threads. On a
//! terminal a live line shows rate and lag; without one there are plain lines only.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::demo_stage;
use super::score::{Score, Verdict};
use super::style::{BOLD, DIM, GREEN, RED, RESET, severity_color, severity_short, thousands};
use super::{Ending, Failure};
use crate::generate::truth::Group;
use crate::generate::{Company, Params};
use crate::pipeline::Published;

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Another seed hides other attacks in another company.
    #[arg(long, default_value_t = 7, value_name = "N")]
    pub seed: u64,
    /// Accounts.
    #[arg(long, default_value_t = 2_000, value_name = "N", value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub accounts: u32,
    /// Days of the company's life to play.
    #[arg(long, default_value_t = 21, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=365))]
    pub days: u32,
    /// Seconds the whole of it is stretched over.
    #[arg(long, default_value_t = 18, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub seconds: u32,
}

impl Default for DemoArgs {
    fn default() -> Self {
        Self {
            seed: 7,
            accounts: 2_000,
            days: 21,
            seconds: 18,
        }
    }
}

/// What the banner says.
#[derive(Clone, Debug, Default)]
pub struct Banner {
    /// Seed.
    pub seed: u64,
    /// Accounts.
    pub accounts: u64,
    /// Days.
    pub days: u64,
    /// Hidden groups.
    pub hidden: usize,
    /// Address of the in-process Kafka.
    pub brokers: String,
    /// Topics, from first to last.
    pub topics: String,
    /// Address of the page and the metrics; empty if nothing listens.
    pub http: String,
}

/// What happens on the screen.
#[derive(Clone, Debug)]
pub enum Update {
    /// A finding was published.
    Published(Published),
    /// How far it is.
    Progress(Progress),
    /// Ctrl-C.
    Interrupted,
    /// Everything was read and published.
    Ended,
}

/// The live line.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Events so far.
    pub events: u64,
    /// Events to come in all.
    pub events_total: u64,
    /// Events a second.
    pub rate: u64,
    /// Records produced but not yet read.
    pub lag: u64,
    /// Median of the time from the log to the alert, ms.
    pub p50_ms: f64,
    /// Its 99th percentile, ms.
    pub p99_ms: f64,
    /// Events discarded so far.
    pub discarded: u64,
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Runtime`] if the demo cannot start.
pub fn run(args: &DemoArgs) -> Result<Ending, Failure> {
    let params = Params {
        accounts: args.accounts,
        days: args.days,
        ..Params::default()
    };
    let company = Company::new(args.seed, params);
    let truth = company.truth().to_vec();
    let (banner, updates) = demo_stage::start(args, company)?;
    let mut screen = Screen::new(&truth, std::io::stderr().is_terminal());
    let mut out = anstream::stdout().lock();
    write!(out, "{}", banner_text(&banner))?;
    follow(&updates, &mut screen, &mut out)?;
    write!(out, "{}", screen.summary())?;
    Ok(Ending::Done)
}

/// Shows updates until the end, or until whoever sends them is gone.
///
/// # Errors
/// If `out` cannot be written to.
pub fn follow(updates: &Receiver<Update>, screen: &mut Screen, out: &mut dyn Write) -> std::io::Result<()> {
    for update in updates {
        match update {
            Update::Published(published) => {
                if let Some(line) = screen.published(&published) {
                    screen.bar.suspend(|| writeln!(out, "{line}"))?;
                }
            }
            Update::Progress(progress) => screen.progress(progress),
            Update::Interrupted | Update::Ended => break,
        }
    }
    screen.bar.finish_and_clear();
    Ok(())
}

/// The lines before the first alert.
#[must_use]
pub fn banner_text(banner: &Banner) -> String {
    let mut text = format!(
        "{BOLD}falsefront {}{RESET}  demo: {} people, {} days, {} attacks hidden, seed {}\n",
        env!("CARGO_PKG_VERSION"),
        thousands(banner.accounts),
        banner.days,
        banner.hidden,
        banner.seed
    );
    let _ = writeln!(
        text,
        "{DIM}kafka{RESET}   in-process mock {}   {}",
        banner.brokers, banner.topics
    );
    let _ = writeln!(
        text,
        "{DIM}geoip{RESET}   demo database (built in)   roster {}",
        thousands(banner.accounts)
    );
    if !banner.http.is_empty() {
        let _ = writeln!(
            text,
            "{DIM}page{RESET}    http://{0}   metrics http://{0}/metrics",
            banner.http
        );
    }
    text.push('\n');
    text
}

/// What is on the screen.
pub struct Screen {
    score: Score,
    last: Progress,
    signals: u64,
    updates: u64,
    alerts: u64,
    bar: ProgressBar,
}

impl Screen {
    /// A screen that will score against `truth`; with a live line if somebody watches.
    #[must_use]
    pub fn new(truth: &[Group], is_terminal: bool) -> Self {
        let bar = if is_terminal {
            live_line()
        } else {
            ProgressBar::hidden()
        };
        Self {
            score: Score::new(truth),
            last: Progress::default(),
            signals: 0,
            updates: 0,
            alerts: 0,
            bar,
        }
    }

    /// Scores a finding; returns the line to print, if it is worth one.
    pub fn published(&mut self, published: &Published) -> Option<String> {
        let verdict = self
            .score
            .judge(&published.accounts, published.is_alert, published.is_first);
        match (published.is_alert, published.is_first) {
            (false, _) => self.signals += 1,
            (true, false) => self.updates += 1,
            (true, true) => {
                self.alerts += 1;
                return Some(alert_line(published, &verdict));
            }
        }
        None
    }

    /// Moves the live line.
    pub fn progress(&mut self, progress: Progress) {
        self.last = progress;
        self.bar.set_length(progress.events_total);
        self.bar.set_position(progress.events);
        self.bar.set_message(format!(
            "{} events  {}/s  lag {}  p50 {:.1} ms  p99 {:.1} ms",
            thousands(progress.events),
            thousands(progress.rate),
            thousands(progress.lag),
            progress.p50_ms,
            progress.p99_ms
        ));
    }

    /// The score so far.
    #[must_use]
    pub fn score(&self) -> &Score {
        &self.score
    }

    /// The last lines.
    #[must_use]
    pub fn summary(&self) -> String {
        let (score, last) = (&self.score, &self.last);
        let mut text = format!(
            "\n{BOLD}Summary{RESET}   events {}   alerts {}   updates {}   signals {}   discarded {}\n",
            thousands(last.events),
            thousands(self.alerts),
            thousands(self.updates),
            thousands(self.signals),
            thousands(last.discarded)
        );
        let missed: Vec<&str> = score.missed().collect();
        let missed_color = if missed.is_empty() { GREEN } else { RED };
        let false_color = if score.false_alarms() == 0 { GREEN } else { RED };
        let _ = writeln!(
            text,
            "          hidden {}   {GREEN}found {}{RESET}   {missed_color}missed {}{RESET}   {false_color}false {}{RESET}",
            score.hidden(),
            score.found(),
            missed.len(),
            score.false_alarms()
        );
        if !missed.is_empty() {
            let _ = writeln!(text, "          missed: {}", missed.join(", "));
        }
        if score.false_alarms() > 0 {
            let name = |(oddity, count): (&str, u64)| {
                format!(
                    "{count} on {}",
                    if oddity.is_empty() { "ordinary people" } else { oddity }
                )
            };
            let misled: Vec<String> = score.misled_by().map(name).collect();
            let _ = writeln!(text, "          false: {}", misled.join(", "));
        }
        text.push_str(
            "          other attacks?  falsefront demo --seed 8     your files?  falsefront replay --help     your Kafka?  falsefront run --help\n",
        );
        text
    }
}

fn alert_line(published: &Published, verdict: &Verdict) -> String {
    let time = jiff::Timestamp::from_millisecond(published.time_ms).unwrap_or_default();
    let time = jiff::tz::TimeZone::UTC.to_datetime(time).strftime("%m-%d %H:%M");
    let color = severity_color(published.severity);
    let mark = if matches!(verdict, Verdict::FalseAlarm(_)) {
        "  (false alarm)"
    } else {
        ""
    };
    format!(
        "{DIM}{time}{RESET}  {color}{}{RESET}  {BOLD}{:<20}{RESET}  {}{RED}{mark}{RESET}",
        severity_short(published.severity),
        published.detection.replace('_', " "),
        published.message
    )
}

fn live_line() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(8));
    if let Ok(style) = ProgressStyle::with_template("[{bar:24}] {msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Severity;

    fn published(accounts: &[&str], is_alert: bool, is_first: bool) -> Published {
        Published {
            key: "k".to_owned(),
            value: b"{}".to_vec(),
            headers: Vec::new(),
            detection: "laptop_farm",
            severity: Severity::Critical,
            is_alert,
            is_first,
            uid: "u".to_owned(),
            message: "two laptops on one home line".to_owned(),
            accounts: accounts.iter().map(|&account| account.to_owned()).collect(),
            time_ms: 1_767_610_800_000,
        }
    }

    fn truth() -> Vec<Group> {
        let group = |name: &str, account: &str, expected: &[&str]| Group {
            group: name.to_owned(),
            kind: name.to_owned(),
            accounts: vec![account.to_owned()],
            expected: expected.iter().map(|&name| name.to_owned()).collect(),
            why: String::new(),
            first: String::new(),
            last: String::new(),
        };
        vec![
            group("farm-1", "a", &["laptop_farm"]),
            group("slip-1", "b", &["impossible_travel"]),
            group("household", "h", &[]),
        ]
    }

    #[test]
    fn the_screen_shows_alerts_once_and_scores_them() {
        let (sender, receiver) = std::sync::mpsc::channel();
        for update in [
            Update::Published(published(&["a"], true, true)),
            Update::Published(published(&["a"], true, false)),
            Update::Published(published(&["b"], false, true)),
            Update::Published(published(&["h"], true, true)),
            Update::Progress(Progress {
                events: 1_000,
                discarded: 3,
                ..Progress::default()
            }),
            Update::Interrupted,
            Update::Published(published(&["b"], true, true)),
        ] {
            sender.send(update).unwrap();
        }
        let (mut screen, mut out) = (Screen::new(&truth(), false), Vec::new());
        follow(&receiver, &mut screen, &mut out).unwrap();
        let text = anstream::adapter::strip_str(&String::from_utf8(out).unwrap()).to_string();
        assert_eq!(
            text,
            "01-05 11:00  CRIT  laptop farm           two laptops on one home line\n\
             01-05 11:00  CRIT  laptop farm           two laptops on one home line  (false alarm)\n"
        );
        let summary = anstream::adapter::strip_str(&screen.summary()).to_string();
        for part in [
            "hidden 2   found 1   missed 1   false 1",
            "missed: slip-1",
            "1 on household",
            "discarded 3",
        ] {
            assert!(summary.contains(part), "{summary}");
        }
    }

    #[test]
    fn the_banner_says_demo() {
        let banner = Banner {
            accounts: 2_000,
            hidden: 20,
            ..Banner::default()
        };
        assert!(banner_text(&banner).contains("demo: 2,000 people"));
    }
}
