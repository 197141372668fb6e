//! What the integration tests share.

pub(crate) mod kafka;
pub(crate) mod counting;
#[cfg(feature = "tls")]
pub(crate) mod token_endpoint;
pub(crate) mod proxy;
pub(crate) mod core;
pub(crate) mod ocsf;
pub(crate) mod scenario;

/// Whether one of the counters of `/metrics` that begin so has counted anything.
pub(crate) fn has_counted(metrics: &str, start: &str) -> bool {
    let mut lines = metrics.lines().filter(|line| line.starts_with(start));
    lines.any(|line| !line.ends_with(" 0"))
}
