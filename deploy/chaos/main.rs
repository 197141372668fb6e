//! `deploy/chaos/run`: kills, freezes and starves a running falsefront on a real Apache Kafka, and says what came of it.
//!
//! Exit code 1 if an invariant was violated, 3 if the drill could not be carried out.
#![allow(clippy::disallowed_methods, reason = "a drill reads clocks and waits")]

mod drill;
mod sweep;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use drill::Options;
use falsefront::service::kafka::log::GroupProtocol;
use falsefront::service::log::Guarantee;

/// Kills, freezes and starves a running falsefront on a real Apache Kafka, and says what came of it.
#[derive(Debug, Parser)]
struct Arguments {
    /// The `falsefront` to run, built with `--features fail-points`.
    #[arg(long, value_name = "FILE")]
    program: PathBuf,
    /// SIGKILLs, at fail points and at random.
    #[arg(long, default_value_t = 100, value_name = "N")]
    kills: u32,
    /// No faults: measure throughput and latency at each commit interval, and print a table.
    #[arg(long)]
    sweep: bool,
    /// SIGSTOPs of 5 to 15 seconds.
    #[arg(long, default_value_t = 4, value_name = "N")]
    freezes: u32,
    /// Restarts of a broker: clean ones of the only broker, SIGKILLs of one of three.
    #[arg(long, default_value_t = 4, value_name = "N")]
    broker_restarts: u32,
    /// Take all brokers away for so many seconds, once.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    broker_pause: u64,
    /// Processes.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    processes: u8,
    /// At the end kill one of two processes for good.
    #[arg(long)]
    kill_for_good: bool,
    /// Brokers: 1, or 3 to lose one.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    nodes: u8,
    /// Events a second.
    #[arg(long, default_value_t = 500, value_name = "N")]
    rate: u32,
    /// End the faults after so many seconds.
    #[arg(long, default_value_t = 3_600, value_name = "N")]
    seconds: u64,
    /// Another seed gives another company and other faults.
    #[arg(long, default_value_t = 7, value_name = "N")]
    seed: u64,
    /// Of the processes: a crash may repeat what it does not lose.
    #[arg(long)]
    at_least_once: bool,
    /// Of the processes: the group protocol of KIP-848.
    #[arg(long)]
    kip_848: bool,
    /// Of the processes, ms.
    #[arg(long, default_value_t = 100, value_name = "MS")]
    commit_interval: u64,
    /// Of the processes, s.
    #[arg(long, default_value_t = 60, value_name = "S")]
    checkpoint_period: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let options = Options {
        program: arguments.program,
        kills: arguments.kills,
        freezes: arguments.freezes,
        broker_restarts: arguments.broker_restarts,
        broker_pause_s: arguments.broker_pause,
        processes: usize::from(arguments.processes),
        kill_for_good: arguments.kill_for_good,
        nodes: usize::from(arguments.nodes),
        rate: arguments.rate,
        seconds: arguments.seconds,
        seed: arguments.seed,
        guarantee: if arguments.at_least_once {
            Guarantee::AtLeastOnce
        } else {
            Guarantee::ExactlyOnce
        },
        protocol: if arguments.kip_848 {
            GroupProtocol::Consumer
        } else {
            GroupProtocol::Classic
        },
        commit_interval_ms: arguments.commit_interval,
        checkpoint_period_s: arguments.checkpoint_period,
        is_verbose: true,
    };
    let outcome = if arguments.sweep {
        sweep::run(&options).map(|()| true)
    } else {
        drill::run(&options).map(|report| {
            println!("{report}");
            report.violations().is_empty()
        })
    };
    match outcome {
        Ok(is_well) => ExitCode::from(u8::from(!is_well)),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(3)
        }
    }
}
