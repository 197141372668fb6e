//! What the integration tests share.

pub(crate) mod kafka;
pub(crate) mod counting;
#[cfg(feature = "tls")]
pub(crate) mod token_endpoint;
pub(crate) mod proxy;
pub(crate) mod core;
pub(crate) mod ocsf;
pub(crate) mod scenario;
