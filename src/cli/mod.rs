//! The command line: one file per command. Data goes to stdout, everything else to stderr.
//!
//! | exit code | means |
//! |---|---|
//! | 0 | done |
//! | 1 | done, and there were alerts at or above `--fail-on` |
//! | 2 | the command line or the configuration is wrong |
//! | 3 | something failed while running: also no record of a replay or normalize was understood, or the brokers do not
//! |   | answer `check` |
#![allow(clippy::disallowed_methods, reason = "a command may read a clock and wait")]

pub mod check;
pub mod demo;
mod demo_stage;
pub mod file_kind;
pub mod generate;
pub mod input;
pub mod normalize;
pub mod order;
pub mod replay;
pub mod run;
pub mod score;
pub mod service;
pub mod style;
pub mod summary;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use self::style::ColorChoice;

/// What a command came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Done.
    Done,
    /// Done, with alerts at or above `--fail-on`.
    Alerts,
}

/// Why a command did not end well, and so its exit code.
#[derive(Debug)]
pub enum Failure {
    /// The command line or the configuration is wrong: 2.
    Usage(anyhow::Error),
    /// Something failed while running: 3.
    Runtime(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Runtime(error.into())
    }
}

/// Finds logins that cannot be who, or where, they say they are, while they happen.
///
/// Reads sign-in, VPN and remote-desktop events from Kafka and publishes an alert when an account is in two places at
/// once, a laptop is driven through a remote-desktop relay, a person is not where HR says, or one device or home line
/// serves several contractors. Without a command it shows itself: `falsefront demo`.
#[derive(Debug, Parser)]
#[command(
    name = "falsefront",
    version,
    after_help = "Exit codes: 0 done; 1 alerts at or above --fail-on; 2 usage or configuration; 3 failure while running."
)]
struct CommandLine {
    /// Color the screen: auto (a terminal, and NO_COLOR unset), always or never.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    color: ColorChoice,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch it work: an in-process Kafka, a made-up company, hidden attacks, a score. No set-up, about 20 seconds.
    Demo(demo::DemoArgs),
    /// Run the service against a Kafka cluster.
    Run(service::ConfigArgs),
    /// Run the same detections over files, in event time. Alerts as NDJSON on stdout.
    Replay(replay::ReplayArgs),
    /// Show what each record of a vendor's log is understood as: one line of JSON out for every line in, or for every
    /// record of a JSON document over many lines.
    Normalize(service::NormalizeArgs),
    /// Write a made-up company's logs, roster and networks, and the truth about them.
    Generate(generate::GenerateArgs),
    /// Check configuration, databases, roster, topics and reachability; every problem with its line and its remedy.
    Check(service::ConfigArgs),
    /// Show or make the topics that the service needs.
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Give refused records back to the topics they came from.
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Show the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
enum TopicsCommand {
    /// Show the topics and settings that `apply` would make or change.
    Plan(service::ConfigArgs),
    /// Make the topics that are missing. Changes nothing that exists.
    Apply(service::ConfigArgs),
}

#[derive(Debug, Subcommand)]
enum DeadLettersCommand {
    /// Write the refused records to their topics again, bytes unchanged; each three times at most.
    Replay(service::DeadLettersReplayArgs),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the configuration in force, layer by layer resolved, secrets hidden.
    Print(OptionalConfigArgs),
}

/// A configuration file that may be left out.
#[derive(Debug, Args)]
pub struct OptionalConfigArgs {
    /// Configuration file (TOML). Without it: defaults and the environment.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<std::path::PathBuf>,
}

/// Parses the command line, runs the command and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    // A usage error ends the program here, with exit code 2.
    let line = CommandLine::parse();
    line.color.apply();
    let result = match line.command.unwrap_or(Command::Demo(demo::DemoArgs::default())) {
        Command::Demo(args) => demo::run(&args),
        Command::Run(args) => service::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Normalize(args) => service::normalize(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Check(args) => service::check(&args),
        Command::Topics(TopicsCommand::Plan(args)) => service::topics_plan(&args),
        Command::Topics(TopicsCommand::Apply(args)) => service::topics_apply(&args),
        Command::DeadLetters(DeadLettersCommand::Replay(args)) => service::dead_letters_replay(&args),
        Command::Config(ConfigCommand::Print(args)) => service::config_print(&args),
    };
    exit_code(result)
}

fn exit_code(result: Result<Ending, Failure>) -> ExitCode {
    let (error, code) = match result {
        Ok(Ending::Done) => return ExitCode::SUCCESS,
        Ok(Ending::Alerts) => return ExitCode::from(1),
        Err(Failure::Usage(error)) => (error, 2),
        Err(Failure::Runtime(error)) if is_closed_pipe(&error) => return ExitCode::SUCCESS,
        Err(Failure::Runtime(error)) => (error, 3),
    };
    anstream::eprintln!("{}error:{} {error:#}", style::RED, style::RESET);
    ExitCode::from(code)
}

/// `falsefront replay … | head`: the reader has seen enough, which is no failure.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn no_arguments_mean_the_demo() {
        assert!(CommandLine::try_parse_from(["falsefront"]).unwrap().command.is_none());
    }

    #[test]
    fn replay_takes_its_arguments_in_any_order() {
        let line = [
            "falsefront",
            "replay",
            "--roster",
            "r.csv",
            "--geoip",
            "a.mmdb",
            "--geoip",
            "b.mmdb",
            "-",
            "--fail-on",
            "high",
        ];
        let Some(Command::Replay(args)) = CommandLine::try_parse_from(line).unwrap().command else {
            panic!()
        };
        assert_eq!((args.geoip.len(), args.files.len()), (2, 1));
        assert!(
            CommandLine::try_parse_from(["falsefront", "replay"]).is_err(),
            "a file is needed"
        );
        assert!(CommandLine::try_parse_from(["falsefront", "replay", "--format", "klingon", "-"]).is_err());
    }
}
