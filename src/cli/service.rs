//! The commands that other floors answer: each is one call, wired here and nowhere else.

use std::io::{self, BufWriter};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::input::Input;
use super::replay::format;
use super::{Ending, Failure, OptionalConfigArgs};
use crate::intake::Format;

/// A configuration file that must be named.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Configuration file (TOML); the environment (FALSEFRONT_KAFKA__BROKERS and so on) overrides it.
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
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

fn absent(command: &str) -> Failure {
    Failure::Usage(anyhow::anyhow!("this build has no `{command}`"))
}

/// `falsefront run`.
///
/// # Errors
/// [`Failure`] with the exit code's reason.
pub fn run(_args: &ConfigArgs) -> Result<Ending, Failure> {
    Err(absent("run"))
}

/// `falsefront check`.
///
/// # Errors
/// [`Failure`] with the exit code's reason.
pub fn check(_args: &ConfigArgs) -> Result<Ending, Failure> {
    Err(absent("check"))
}

/// `falsefront topics plan`.
///
/// # Errors
/// [`Failure`] with the exit code's reason.
pub fn topics_plan(_args: &ConfigArgs) -> Result<Ending, Failure> {
    Err(absent("topics plan"))
}

/// `falsefront topics apply`.
///
/// # Errors
/// [`Failure`] with the exit code's reason.
pub fn topics_apply(_args: &ConfigArgs) -> Result<Ending, Failure> {
    Err(absent("topics apply"))
}

/// `falsefront config print`.
///
/// # Errors
/// [`Failure`] with the exit code's reason.
pub fn config_print(_args: &OptionalConfigArgs) -> Result<Ending, Failure> {
    Err(absent("config print"))
}

/// `falsefront normalize`.
///
/// # Errors
/// [`Failure`] with the exit code's reason.
pub fn normalize(args: &NormalizeArgs) -> Result<Ending, Failure> {
    let input = Input::open(&args.file).map_err(Failure::Usage)?;
    let output = BufWriter::new(io::stdout().lock());
    let name = input.name.clone();
    super::normalize::run(args.format, input.into_reader(), output)
        .with_context(|| format!("cannot normalize {name} to its end"))?;
    Ok(Ending::Done)
}
