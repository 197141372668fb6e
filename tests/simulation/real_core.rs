//! The real core over the simulated log.
