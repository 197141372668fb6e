//! Kafka through librdkafka. The only folder that names `rdkafka`.
//!
//! Lists of partitions are turned into plain values at once: a consumer that is dropped while one of its native lists
//! is alive never returns (librdkafka#3796).

pub mod connection;
pub mod admin;
pub mod io;
pub mod mock;
mod context;
mod contact;
mod native;
mod offsets;
mod records;
mod seldom;
mod served;
mod fetch;
mod direct;
mod clients;
pub mod log;
pub mod group_watch;
mod failure;

pub use clients::refused_settings;
pub use connection::Connection;
pub use native::keep_freed_memory;
