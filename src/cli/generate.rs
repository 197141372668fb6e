//! `falsefront generate`: a made-up company's logs, its reference data, and the truth.

use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::style::thousands;
use super::{Ending, Failure};
use crate::generate::{Company, DAY_MS, Params, START_DAY};
use crate::service::demo_geoip::demo_databases;

/// Accounts at least: fewer than this are no company.
const ACCOUNTS_MIN: u32 = 10;

/// Arguments of `generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// The same seed gives the same company, byte for byte.
    #[arg(long, default_value_t = 7, value_name = "N")]
    pub seed: u64,
    /// Accounts, attackers included.
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(i64::from(ACCOUNTS_MIN)..=1_000_000))]
    pub accounts: u32,
    /// Days.
    #[arg(long, default_value_t = 28, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3_650))]
    pub days: u32,
    /// Folder to write events.ndjson, roster.csv, travel.csv, networks.csv, truth.ndjson and the databases that place
    /// the made-up addresses to; made if missing.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// First day.
    #[arg(long, value_name = "YYYY-MM-DD", default_value = "2026-01-05", value_parser = day)]
    pub start: i64,
    /// Hidden groups; by default one for every 100 accounts, and one of each kind from 200 accounts on.
    #[arg(long, value_name = "N")]
    pub attacks: Option<u32>,
}

/// Days from the epoch to that date.
fn day(text: &str) -> Result<i64, String> {
    let date: jiff::civil::Date = text
        .parse()
        .map_err(|_| "a date like 2026-01-05 is wanted".to_owned())?;
    let midnight = jiff::tz::TimeZone::UTC
        .to_timestamp(date.to_datetime(jiff::civil::Time::midnight()))
        .map_err(|error| error.to_string())?;
    if midnight.as_second() < 0 {
        return Err("a date from 1970-01-01 on is wanted".to_owned());
    }
    Ok(midnight.as_second().div_euclid(86_400))
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Runtime`] if a file cannot be written.
pub fn run(args: &GenerateArgs) -> Result<Ending, Failure> {
    let params = Params {
        accounts: args.accounts,
        days: args.days,
        start_day: args.start,
        attacks: args.attacks,
    };
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make the folder {}", args.out.display()))?;
    let company = Company::new(args.seed, params.clone());
    write_file(&args.out, "roster.csv", company.roster_csv().as_bytes())?;
    write_file(&args.out, "travel.csv", company.travel_csv().as_bytes())?;
    write_file(&args.out, "networks.csv", company.networks_csv().as_bytes())?;
    let mut truth = Vec::new();
    for group in company.truth() {
        serde_json::to_writer(&mut truth, group)?;
        truth.push(b'\n');
    }
    write_file(&args.out, "truth.ndjson", &truth)?;
    for (name, bytes) in demo_databases()? {
        write_file(&args.out, &name, &bytes)?;
    }
    let attacks = company.truth().iter().filter(|group| group.is_attack()).count();
    let oddities = company.truth().len() - attacks;
    let (events, bytes) = write_events(&args.out.join("events.ndjson"), company, &params)?;
    let out = args.out.display();
    anstream::eprintln!(
        "{} events, {} bytes, {} accounts, {attacks} hidden groups, {oddities} innocent oddities in {out}",
        thousands(events),
        thousands(bytes),
        thousands(u64::from(args.accounts))
    );
    anstream::eprintln!(
        "next: falsefront replay --geoip {out} --roster {out}/roster.csv --travel {out}/travel.csv --networks {out}/networks.csv {out}/events.ndjson"
    );
    Ok(Ending::Done)
}

fn write_file(folder: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let path = folder.join(name);
    std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

fn write_events(path: &Path, company: Company, params: &Params) -> anyhow::Result<(u64, u64)> {
    let cannot_write = || format!("cannot write {}", path.display());
    let file = File::create(path).with_context(cannot_write)?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    let bar = days_bar(params);
    let (mut events, mut bytes) = (0_u64, 0_u64);
    for mut record in company {
        record.line.push(b'\n');
        file.write_all(&record.line).with_context(cannot_write)?;
        events += 1;
        bytes += record.line.len() as u64;
        if events.is_multiple_of(8_192) {
            bar.set_position(u64::try_from(record.due_ms / DAY_MS - params.start_day).unwrap_or(0));
        }
    }
    file.flush().with_context(cannot_write)?;
    bar.finish_and_clear();
    Ok((events, bytes))
}

fn days_bar(params: &Params) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(u64::from(params.days)), ProgressDrawTarget::stderr_with_hz(5));
    if let Ok(style) = ProgressStyle::with_template("[{bar:32}] day {pos} of {len}  ETA {eta}") {
        bar.set_style(style);
    }
    bar
}

/// The default of `--start` and the core's own are the same day.
const _: () = assert!(START_DAY == 20_458);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days_since_the_epoch() {
        assert_eq!(day("2026-01-05"), Ok(START_DAY));
        assert_eq!(day("1970-01-02"), Ok(1));
        assert!(day("yesterday").is_err());
        assert!(day("1969-12-31").is_err());
    }

    #[test]
    fn all_five_files_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let args = GenerateArgs {
            seed: 2,
            accounts: 30,
            days: 2,
            out: folder.path().join("new"),
            start: START_DAY,
            attacks: Some(1),
        };
        assert_eq!(run(&args).unwrap_or_else(|_| panic!()), Ending::Done);
        for name in [
            "events.ndjson",
            "roster.csv",
            "travel.csv",
            "networks.csv",
            "truth.ndjson",
        ] {
            assert!(args.out.join(name).metadata().unwrap().len() > 0, "{name}");
        }
    }
}
