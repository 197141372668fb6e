//! The one integration binary: everything that needs the crate from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, missing_docs)]

mod support;
mod scenarios;
mod golden;
mod alerts_schema;
mod properties;
mod limits;
mod tidy;
mod in_process_broker;
mod real_kafka;
mod simulation;
