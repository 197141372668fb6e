//! The commands that other floors answer: each is one call, wired here and nowhere else.

use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::input::Input;
use super::replay::format;
use super::{Ending, Failure, OptionalConfigArgs};
use crate::intake::Format;
use crate::service::run::RunError;

/// A configuration file that must be named.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Configuration file (TOML); the environment (FALSEFRONT_KAFKA__BROKERS and so on) overrides it.
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
}

/// Arguments of `dead-letters replay`.
#[derive(Debug, Args)]
pub struct DeadLettersReplayArgs {
    /// Configuration file (TOML).
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
    /// Only records refused for this reason, such as `malformed_json`; one that is unknown lists them all.
    #[arg(long, value_name = "REASON")]
    pub reason: Option<String>,
    /// So many records at most.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Write the records; without it only what would be written is shown.
    #[arg(long)]
    pub apply: bool,
}

/// Arguments of `normalize`.
#[derive(Debug, Args)]
pub struct NormalizeArgs {
    /// Format of the records: auto, ocsf, okta, google_workspace or fortigate.
    #[arg(long, default_value = "auto", value_name = "NAME", value_parser = format)]
    pub format: Format,
    /// File to read; - for standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

fn failure(error: RunError) -> Failure {
    match error {
        RunError::Configuration(text) => Failure::Usage(anyhow::Error::msg(text)),
        RunError::Runtime(text) => Failure::Runtime(anyhow::Error::msg(text)),
    }
}

fn print(text: Result<String, RunError>) -> Result<Ending, Failure> {
    writeln!(io::stdout().lock(), "{}", text.map_err(failure)?.trim_end())?;
    Ok(Ending::Done)
}

/// `falsefront run`.
///
/// # Errors
/// [`Failure`] with the exit code's reason.
pub fn run(args: &ConfigArgs) -> Result<Ending, Failure> {
    super::run::run(&args.config).map_err(failure)?;
    Ok(Ending::Done)
}

/// `falsefront check`.
///
/// # Errors
/// [`Failure`] with the exit code's reason.
pub fn check(args: &ConfigArgs) -> Result<Ending, Failure> {
    let (report, outcome) = super::check::check(&args.config).map_err(failure)?;
    writeln!(io::stdout().lock(), "{report}")?;
    outcome.map_err(failure)?;
    Ok(Ending::Done)
}

/// `falsefront topics plan`.
///
/// # Errors
/// [`Failure`] with the exit code's reason.
pub fn topics_plan(args: &ConfigArgs) -> Result<Ending, Failure> {
    print(super::run::topics_plan(&args.config))
}

/// `falsefront topics apply`.
///
/// # Errors
/// [`Failure`] with the exit code's reason.
pub fn topics_apply(args: &ConfigArgs) -> Result<Ending, Failure> {
    print(super::run::topics_apply(&args.config))
}

/// `falsefront dead-letters replay`.
///
/// # Errors
/// [`Failure`] with the exit code's reason.
pub fn dead_letters_replay(args: &DeadLettersReplayArgs) -> Result<Ending, Failure> {
    let wanted = crate::service::dead_letter_replay::Wanted {
        reason: args.reason.clone(),
        limit: args.limit,
        is_applied: args.apply,
    };
    print(super::run::dead_letters_replay(&args.config, &wanted))
}

/// `falsefront config print`.
///
/// # Errors
/// [`Failure`] with the exit code's reason.
pub fn config_print(args: &OptionalConfigArgs) -> Result<Ending, Failure> {
    print(super::run::config_print(args.config.as_deref()))
}

/// `falsefront normalize`.
///
/// # Errors
/// [`Failure`] with the exit code's reason.
pub fn normalize(args: &NormalizeArgs) -> Result<Ending, Failure> {
    let input = Input::open(&args.file).map_err(Failure::Usage)?;
    let output = BufWriter::new(io::stdout().lock());
    let name = input.name.clone();
    let lines = super::normalize::run(args.format, input.into_reader(), output)
        .with_context(|| format!("cannot normalize {name} to its end"))?;
    if lines.understood == 0 && lines.refused > 0 {
        return Err(Failure::Runtime(anyhow::anyhow!(
            "{name}: none of {} lines was understood as {}; each says why, --format names another format",
            lines.refused,
            args.format.name()
        )));
    }
    Ok(Ending::Done)
}
