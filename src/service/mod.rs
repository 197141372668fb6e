//! The shell: Kafka, reference data, configuration, metrics, HTTP. The only floor that meets the outside world.
#![allow(clippy::disallowed_methods, reason = "the shell may read a clock and wait")]

pub mod geoip;
mod geoip_records;
pub mod demo_geoip;
pub mod reference;
pub mod reference_watch;
