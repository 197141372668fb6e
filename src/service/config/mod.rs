//! The configuration: TOML files, environment and flags over defaults, checked before the first socket opens.
//!
//! Each file is parsed by itself first, so that a mistake is shown with its line; then the layers are merged.

mod file;
mod layers;
mod numbers;
mod validate;
mod security;
mod suggest;
mod conceal;
mod print;

pub use file::{Config, Fetch, Kafka, SaslMechanism, Scalar, SecurityProtocol, SourceConfig, is_there};
pub use layers::{ConfigError, Problem, environment, load, load_offline};
pub use print::print;
