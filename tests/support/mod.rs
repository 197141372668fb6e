//! What the integration tests share.

pub(crate) mod kafka;
pub(crate) mod counting;
