//! A network as an account's window remembers it, and what one line of the Internet is called.

use std::net::IpAddr;
use std::sync::Arc;

use super::days::Days;
use super::event_id::EventId;
use super::texts::TextId;
use crate::model::{Network, Place};

/// A network the account used.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkFact {
    /// Latest address on it; see [`NetworkFact::name`].
    pub address: IpAddr,
    /// Network.
    pub network: Arc<Network>,
    /// Place, if known.
    pub place: Option<Arc<Place>>,
    /// Days on it.
    pub days: Days,
    /// Days on it that were far from the claim.
    pub away: Days,
    /// First and latest event on it, ms.
    pub first_ms: i64,
    /// See `first_ms`.
    pub last_ms: i64,
    /// Latest device on it, among the account's texts; empty if unknown.
    pub device: TextId,
    /// Id of the latest event on it.
    pub event_id: EventId,
    /// Product of that event, among the account's texts.
    pub product: TextId,
    /// The last link told of it.
    pub told: Told,
}

impl NetworkFact {
    /// The network as links and evidence spell it: an IPv4 address or an IPv6 /64.
    #[must_use]
    pub fn name(&self) -> String {
        network_name(self.address)
    }

    /// Whether an address is on this network: the same IPv4 address, or the same IPv6 /64.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        line(self.address) == line(address)
    }
}

/// When and with what content a link was last told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Append time, ms; `i64::MIN` if never.
    pub append_ms: i64,
    /// Signature of the content.
    pub signature: u32,
    /// The account's count of news when the content was last looked at: while it stands, the signature does.
    pub news: u32,
}

impl Told {
    /// Not told yet.
    pub const NEVER: Self = Self {
        append_ms: i64::MIN,
        signature: 0,
        news: 0,
    };

    /// Whether it was never told, or so long ago that it is told again in any case.
    #[must_use]
    pub fn is_overdue(self, append_ms: i64, refresh_ms: i64) -> bool {
        self.append_ms == i64::MIN || append_ms - self.append_ms >= refresh_ms
    }
}

/// What one line has of its own: an IPv4 address, or the upper half of an IPv6 address.
fn line(address: IpAddr) -> (bool, u64) {
    match address {
        IpAddr::V4(v4) => (false, u64::from(v4.to_bits())),
        #[allow(clippy::cast_possible_truncation, reason = "the upper half of 128 bits")]
        IpAddr::V6(v6) => (true, (v6.to_bits() >> 64) as u64),
    }
}

/// A network as links and evidence name it: the IPv4 address, or the IPv6 /64 that one line gets.
#[must_use]
pub fn network_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{}/64", std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}
