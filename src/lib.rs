//! falsefront finds logins that cannot be who, or where, they say they are, while they happen.
//!
//! A record of an identity provider, a VPN gateway or an endpoint agent becomes an [`Event`](model::Event), an
//! [`Observation`](model::Observation), perhaps a [`Finding`](model::Finding), perhaps an alert:
//!
//! ```text
//!  record ──decode──▶ Event ──enrich──▶ Observation ──window──▶ rules ──▶ Finding ──▶ alert
//!  (bytes)           (who, what,        (+ place, network,       (read facts,   (evidence,    (identity,
//!                     when, from)          claim)                 own nothing)   guards)       episode)
//!                                              └──▶ Link (account ↔ device, network) ──▶ the same, by the shared thing
//! ```
//!
//! [`pipeline`] is that sentence as code; start there. [`pipeline::replay`] runs it over a file, [`service`] over Kafka,
//! and both run the very same stages.
//!
//! # Floors
//!
//! Imports point down only, and a test reads the source to hold them to it:
//!
//! | floor | is |
//! |---|---|
//! | [`cli`] | one file per command |
//! | [`service`] | the shell: Kafka, workers, checkpoints, configuration, metrics, HTTP |
//! | [`generate`] | a made-up company and the truth about it |
//! | [`pipeline`] | the three stages: intake, accounts, entities |
//! | [`alert`] | identity of an alert, OCSF and ECS |
//! | [`detections`] | one file per detection |
//! | [`window`] [`enrich`] [`intake`] | facts by key; places, networks and claims; vendors' formats |
//! | [`model`] | the nouns |
//!
//! Below `service` nothing reads a clock, a socket, a file or a random number, and no order of a hash table reaches an
//! output: the same records give the same alerts, on replay, after a restart, and on any number of threads.
//!
//! # Deliberately absent
//!
//! There is no plugin system and no rule language: a detection is a file of Rust that reads facts. There is no state
//! store: a stage is a fold over a Kafka partition, and its checkpoints live in Kafka. There is no cluster code of ours.
//! No detection looks at nationality, name or language.

pub mod pipeline;
pub mod model;
pub mod intake;
pub mod enrich;
pub mod window;
pub mod detections;
pub mod alert;
pub mod generate;
pub mod service;
pub mod cli;
