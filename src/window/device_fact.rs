//! A device as an account's window remembers it.

use bytemuck::{Pod, Zeroable};

use super::days::Days;
use super::moment::Moment;
use super::network_fact::Told;
use super::texts::TextId;

/// A device the account used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, packed(2))]
pub struct DeviceFact {
    /// Days of use.
    pub days: Days,
    /// First and latest use.
    pub first: Moment,
    /// See `first`.
    pub last: Moment,
    /// The last link told of it.
    pub told: Told,
    /// Id, among the account's texts.
    pub id: TextId,
    /// 1 if it is a browser fingerprint: weak.
    pub(super) fingerprint: u8,
    pub(super) room: u8,
}

impl DeviceFact {
    /// A device that was used at that time.
    #[must_use]
    pub fn new(id: TextId, is_fingerprint: bool, at: Moment) -> Self {
        Self {
            id,
            fingerprint: is_fingerprint.into(),
            first: at,
            last: at,
            told: Told::NEVER,
            ..Self::zeroed()
        }
    }

    /// Whether it is a browser fingerprint: weak.
    #[must_use]
    pub fn is_fingerprint(&self) -> bool {
        self.fingerprint != 0
    }
}
