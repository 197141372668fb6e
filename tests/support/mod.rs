//! What the integration tests share.

pub(crate) mod kafka;
pub(crate) mod counting;
pub(crate) mod proxy;
