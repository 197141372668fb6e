//! falsefront finds logins that cannot be who they say they are, while they happen.

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
