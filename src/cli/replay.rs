//! `falsefront replay`: files through the core, in event time. Alerts as NDJSON on stdout, the rest on stderr.

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::input::{Input, Item, RECORD_BYTES_MAX};
use super::order::HEAD_RECORDS_MAX;
use super::summary::Summary;
use super::{Ending, Failure};
use crate::enrich::Reference;
use crate::intake::Format;
use crate::model::Severity;
use crate::pipeline::Published;

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Configuration file (TOML) whose thresholds, databases and lists are used; the options below override it.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Format of the records: auto, ocsf, okta, google_workspace or fortigate.
    #[arg(long, default_value = "auto", value_name = "NAME", value_parser = format)]
    pub format: Format,
    /// Who works for the company, and where they claim to be: CSV or NDJSON.
    #[arg(long, value_name = "FILE")]
    pub roster: Option<PathBuf>,
    /// Approved journeys, as CSV.
    #[arg(long, value_name = "FILE")]
    pub travel: Option<PathBuf>,
    /// Database of places, autonomous systems or anonymizers (.mmdb); may be repeated.
    #[arg(long, value_name = "FILE")]
    pub geoip: Vec<PathBuf>,
    /// List of networks as CSV: network,class,label; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub networks: Vec<PathBuf>,
    /// Threads that work; with several, one more reads ahead. The output is the same for any number.
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,
    /// End with exit code 1 if an alert is at least this severe: informational, low, medium, high or critical. Alerts
    /// are counted to the end, even if standard output is closed.
    #[arg(long, value_name = "SEVERITY", value_parser = severity)]
    pub fail_on: Option<Severity>,
    /// Files to read, in this order, plain or compressed with gzip or zstd; - for standard input. They are folded one
    /// after the other: files of one time (several sources, several hosts) belong merged, and others in order of time.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// The format of that name.
///
/// # Errors
/// If there is none; the message lists them.
pub fn format(name: &str) -> Result<Format, String> {
    let known = Format::ALL.map(Format::name).join(", ");
    Format::from_name(name).ok_or_else(|| format!("one of {known} is wanted"))
}

fn severity(name: &str) -> Result<Severity, String> {
    let known = Severity::ALL.into_iter().find(|severity| severity.as_str() == name);
    known.ok_or_else(|| format!("one of {} is wanted", Severity::ALL.map(Severity::as_str).join(", ")))
}

/// Dead letters that are told in full; of the others only the reasons are counted.
const DEAD_LETTERS_TOLD_MAX: u64 = 5;
/// Between two looks at the progress bar.
const RECORDS_PER_LOOK: u64 = 4_096;

/// Runs the command.
///
/// # Errors
/// [`Failure::Usage`] for what the command line or the configuration names wrongly, [`Failure::Runtime`] for a file
/// that breaks off (what came before it was used, and the summary says so), and for records of which none could be used.
pub fn run(args: &ReplayArgs) -> Result<Ending, Failure> {
    let started = Instant::now();
    let mut core = core::Core::new(args)?;
    // Before anything is read, so that a wrong name costs nothing.
    let sizes = args.files.iter().map(|path| Input::check(path));
    let sizes = sizes.collect::<Result<Vec<_>, _>>().map_err(Failure::Usage)?;
    let bar = progress_bar(sizes.into_iter().sum());
    let mut output = Output {
        alerts: Alerts {
            to: Some(BufWriter::new(io::stdout().lock())),
            outlives_reader: args.fail_on.is_some(),
        },
        summary: Summary::default(),
        told: 0,
        bar,
    };
    let mut broken = None;
    for path in &args.files {
        let fed = Input::open(path).and_then(|input| feed(input, args.format, &mut core, &mut output));
        if let Err(error) = fed {
            broken.get_or_insert(error);
            break;
        }
    }
    while core.drain(&mut output)? {}
    output.alerts.flush()?;
    output.bar.finish_and_clear();
    let refused = output.told;
    let summary = Summary {
        elapsed: started.elapsed(),
        ..output.summary
    };
    anstream::eprint!("{}", summary.table());
    if let Some(error) = broken {
        return Err(Failure::Runtime(error));
    }
    ending(args, &summary, refused)
}

/// Silence is an answer only if something was understood. Records that are plainly none of our business are no mistake.
fn ending(args: &ReplayArgs, summary: &Summary, refused: u64) -> Result<Ending, Failure> {
    if summary.events == 0 && refused > 0 {
        return Err(Failure::Runtime(anyhow::anyhow!(
            "none of {} records could be used as {}; `falsefront normalize` shows why, --format names another format",
            summary.records,
            args.format.name()
        )));
    }
    let is_alarming = args.fail_on.is_some_and(|severity| summary.alerts_from(severity) > 0);
    Ok(if is_alarming { Ending::Alerts } else { Ending::Done })
}

/// Gives every record of one file to the core.
fn feed(mut input: Input, format: Format, core: &mut core::Core, output: &mut Output<'_>) -> anyhow::Result<()> {
    let read_before = output.bar.position();
    let name = input.name.clone();
    let mut count = 0_u64;
    let mut head_left = HEAD_RECORDS_MAX;
    loop {
        let item = input.next_record();
        if count.is_multiple_of(RECORDS_PER_LOOK) || !matches!(item, Ok(Some(_))) {
            output
                .bar
                .set_position(read_before + input.bytes_read.load(Ordering::Relaxed));
        }
        let Some(item) = item? else { return Ok(()) };
        count += 1;
        output.summary.records += 1;
        let number = input.records.number();
        match item {
            Item::TooLong => {
                let detail = format!(
                    "longer than {} MiB; split it, a list into its elements, say with jq -c '.Records[]'",
                    RECORD_BYTES_MAX >> 20
                );
                output.summary.discard("record_too_long", 1);
                output.tell(&name, number, "record_too_long", &detail);
            }
            Item::Record => {
                if head_left > 0 {
                    let has_begun = core.begins(format, &name, input.records.bytes(), output);
                    head_left = if has_begun { 0 } else { head_left - 1 };
                }
                let is_due = core.record(format, &name, number, input.records.bytes());
                if is_due {
                    core.drain(output)?;
                }
            }
        }
    }
}

/// Standard output, for as long as somebody reads it.
struct Alerts<W: Write> {
    /// `None` once the reader has seen enough (`| head`).
    to: Option<BufWriter<W>>,
    /// Whether to go on without a reader, because the exit code tells of all alerts.
    outlives_reader: bool,
}

impl<W: Write> Alerts<W> {
    fn write(&mut self, alert: &[u8]) -> io::Result<()> {
        self.on_open(|to| to.write_all(alert).and_then(|()| to.write_all(b"\n")))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.on_open(BufWriter::flush)
    }

    fn on_open(&mut self, act: impl FnOnce(&mut BufWriter<W>) -> io::Result<()>) -> io::Result<()> {
        let outcome = self.to.as_mut().map_or(Ok(()), act);
        match outcome {
            Err(error) if self.outlives_reader && error.kind() == io::ErrorKind::BrokenPipe => {
                self.to = None;
                Ok(())
            }
            outcome => outcome,
        }
    }
}

/// Where results go.
struct Output<'a> {
    alerts: Alerts<io::StdoutLock<'a>>,
    summary: Summary,
    told: u64,
    bar: ProgressBar,
}

impl Output<'_> {
    fn publish(&mut self, published: &Published) -> io::Result<()> {
        self.summary.count(published);
        self.alerts.write(&published.value)
    }

    fn warn(&self, warning: Option<String>) {
        if let Some(warning) = warning {
            self.bar.suspend(|| anstream::eprintln!("warning: {warning}"));
        }
    }

    fn tell(&mut self, file: &str, offset: i64, reason: &'static str, detail: &str) {
        self.told += 1;
        if self.told <= DEAD_LETTERS_TOLD_MAX {
            self.bar
                .suspend(|| anstream::eprintln!("discarded: {file}:{offset}: {reason}: {detail}"));
        } else if self.told == DEAD_LETTERS_TOLD_MAX + 1 {
            self.bar
                .suspend(|| anstream::eprintln!("discarded: more of it; the summary counts them by reason"));
        }
    }
}

fn progress_bar(total: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(5));
    let template = match total {
        Some(_) => "[{bar:32}] {bytes} of {total_bytes}  {bytes_per_sec}  ETA {eta}",
        None => "{spinner} {bytes}  {bytes_per_sec}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

/// The one place that knows how the core is driven.
mod core {
    use super::{Arc, Failure, Format, Output, PathBuf, Reference, ReplayArgs};
    use crate::cli::order::{Order, time_of};
    use crate::model::key::HashKey;
    use crate::pipeline::replay::Replay;
    use crate::pipeline::replay_ahead::ReplayAhead;
    use crate::service::reference::{self, ReferenceFiles};
    use crate::service::settings;

    /// The core over files.
    pub(super) struct Core {
        replay: ReplayAhead,
        order: Order,
    }

    impl Core {
        /// A core with the databases, lists and thresholds that the command line names.
        pub(super) fn new(args: &ReplayArgs) -> Result<Self, Failure> {
            let config = args
                .config
                .as_ref()
                .map(|file| crate::cli::run::load_offline(std::slice::from_ref(file)));
            let config = config.transpose().map_err(|error| Failure::Usage(error.into()))?;
            let (named, settings) = match &config {
                Some(config) => (settings::reference_files(config), Arc::new(config.detections.clone())),
                None => (ReferenceFiles::default(), Arc::default()),
            };
            let reference = reference(args, named)?;
            let hash_key = HashKey([0; 16]);
            let replay = Replay::new(&settings, hash_key, reference, usize::from(args.jobs));
            let allowed_lateness_ms = settings.window.allowed_lateness_ms;
            Ok(Self {
                order: Order::new(allowed_lateness_ms, replay.jobs() > 1),
                replay: ReplayAhead::new(replay),
            })
        }

        /// Takes a record at the head of a file; true if it tells when the file begins.
        pub(super) fn begins(&mut self, format: Format, file: &str, record: &[u8], output: &Output<'_>) -> bool {
            let begin_ms = time_of(format, record);
            output.warn(begin_ms.and_then(|begin_ms| self.order.begins(file, begin_ms)));
            begin_ms.is_some()
        }

        /// Takes one record; true when it is time to [`Core::drain`].
        pub(super) fn record(&mut self, format: Format, file: &str, number: i64, record: &[u8]) -> bool {
            self.replay.push(format, file, number, record)
        }

        /// Hands out what the records so far have led to. False once that was all.
        pub(super) fn drain(&mut self, output: &mut Output<'_>) -> std::io::Result<bool> {
            let Some(made) = self.replay.run() else {
                return Ok(false);
            };
            for letter in &made.dead_letters {
                output.tell(&letter.topic, letter.offset, letter.reason, &letter.detail);
            }
            for published in &made.alerts {
                output.publish(published)?;
            }
            output.summary.events += made.counts.of("events_decoded", "all");
            // Not every discarded record is a dead letter: some are plainly none of our business.
            for ((_, reason), count) in made.counts.iter().filter(|((name, _), _)| *name == "events_discarded") {
                output.summary.discard(reason, count);
            }
            output.warn(self.order.batch(made.span.times_ms.map(|(_, newest_ms)| newest_ms)));
            output.summary.waiting = made.waiting.unwrap_or(output.summary.waiting);
            output.summary.span_ms = made.span.times_ms.or(output.summary.span_ms);
            Ok(true)
        }
    }

    /// Reads the files that the configuration names, or those of the command line in their place.
    fn reference(args: &ReplayArgs, named: ReferenceFiles) -> Result<Arc<Reference>, Failure> {
        let or = |given: &[PathBuf], named: Vec<PathBuf>| if given.is_empty() { named } else { given.to_vec() };
        let files = ReferenceFiles {
            geoip: or(&args.geoip, named.geoip),
            networks: or(&args.networks, named.networks),
            roster: or(args.roster.as_slice(), named.roster),
            travel: args.travel.clone().or(named.travel),
            is_roster_in_topic: false,
        };
        let (reference, problems) = reference::load(&files).map_err(|error| Failure::Usage(error.into()))?;
        for problem in &problems {
            anstream::eprintln!("left out: {problem}");
        }
        if files.geoip.is_empty() {
            anstream::eprintln!("no --geoip: no address has a place, so no detection can compare places");
        }
        Ok(Arc::new(reference))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: ReplayArgs,
    }

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_ends_a_replay_unless_its_exit_code_is_asked_for() {
        for (outlives_reader, is_ok) in [(true, true), (false, false)] {
            let mut alerts = Alerts {
                to: Some(BufWriter::with_capacity(4, Closed)),
                outlives_reader,
            };
            assert_eq!(alerts.write(b"longer than the buffer").is_ok(), is_ok);
            assert_eq!(alerts.to.is_none(), is_ok);
            if is_ok {
                assert!(alerts.write(b"more").is_ok() && alerts.flush().is_ok());
            }
        }
    }

    #[test]
    fn records_of_which_none_could_be_used_are_a_failure() {
        let args = Line::parse_from(["replay", "--fail-on", "low", "-"]).args;
        let summary = |events| Summary {
            records: 3,
            events,
            ..Summary::default()
        };
        assert!(matches!(ending(&args, &summary(0), 3), Err(Failure::Runtime(_))));
        assert!(
            matches!(ending(&args, &summary(0), 0), Ok(Ending::Done)),
            "none of our business"
        );
        assert!(matches!(ending(&args, &summary(1), 2), Ok(Ending::Done)));
    }

    #[test]
    fn formats_and_severities_have_their_names() {
        assert_eq!(format("google_workspace"), Ok(Format::GoogleWorkspace));
        let error = format("klingon").unwrap_err();
        assert!(error.contains("okta"), "{error}");
        assert_eq!(severity("high"), Ok(Severity::High));
        assert!(severity("worst").unwrap_err().contains("critical"));
    }
}
