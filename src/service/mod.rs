//! The shell: Kafka, reference data, configuration, metrics, HTTP. The only floor that meets the outside world.
//!
//! [`supervisor::Service`] starts the workers of a configuration and stops them; [`worker`] is what each of them does.

#![allow(clippy::disallowed_methods, reason = "the shell may read a clock and wait")]

pub mod run;
pub mod check;
pub mod config;
pub mod settings;
pub mod supervisor;
pub mod worker;
pub mod outage;
pub mod fail_point;
pub mod log;
pub mod kafka;
pub mod topics;
pub mod topic_watch;
pub mod dead_letter;
pub mod dead_letter_replay;
pub mod metrics;
pub mod secret;
pub mod http;
pub mod logging;
pub mod geoip;
mod geoip_records;
pub mod demo_geoip;
pub mod reference;
pub mod reference_watch;
pub mod roster_topic;
