//! cli.

pub mod run;
pub mod check;
