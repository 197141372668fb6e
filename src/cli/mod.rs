//! The commands behind the command line.

pub mod normalize;
