//! The one integration binary: everything that needs the crate from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, missing_docs)]

mod support;
#[path = "../deploy/chaos/drill/mod.rs"]
mod drill;
mod scenarios;
mod golden;
mod alerts_schema;
mod properties;
mod packed;
mod limits;
mod tidy;
mod command_line;
mod in_process_broker;
mod chaos;
mod guard;
mod direct_fetch;
mod group_watch;
mod real_kafka;
mod secure_kafka;
mod simulation;
