//! What the integration tests share.

pub(crate) mod kafka;
pub(crate) mod counting;
pub(crate) mod proxy;
pub(crate) mod core;
pub(crate) mod ocsf;
pub(crate) mod scenario;
