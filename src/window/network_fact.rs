//! A network as an account's window remembers it, and what one line of the Internet is called.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arrayvec::ArrayString;

use super::days::Days;
use super::origin::Origin;
use super::texts::TextId;
use crate::model::event_id::EventId;

/// A network the account used.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkFact {
    /// Its latest address; see [`NetworkFact::name`].
    pub origin: Origin,
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
    pub fn name(&self) -> NetworkName {
        network_name(self.origin.address)
    }

    /// Whether an address is on this network: the same IPv4 address, or the same IPv6 /64.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        self.origin.address == address || line(self.origin.address) == line(address)
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

/// The name of a network, in place: each new tie asks for it.
pub type NetworkName = ArrayString<NAME_MAX>;

/// The longest: all groups of a /64.
const NAME_MAX: usize = "ffff:ffff:ffff:ffff::/64".len();

/// A network as links and evidence name it: the IPv4 address, or the IPv6 /64 that one line gets.
#[must_use]
pub fn network_name(address: IpAddr) -> NetworkName {
    let mut name = NetworkName::new();
    // Neither can fail: every name has room.
    let _ = match address {
        IpAddr::V4(v4) => write_dotted(&mut name, v4),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            write!(name, "{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    };
    name
}

/// What `Display` writes, without the machinery of formatting.
fn write_dotted(text: &mut impl fmt::Write, address: Ipv4Addr) -> fmt::Result {
    for (index, octet) in address.octets().into_iter().enumerate() {
        if index > 0 {
            text.write_char('.')?;
        }
        for (unit, least) in [(100, 100), (10, 10), (1, 0)] {
            if octet >= least {
                text.write_char(char::from(b'0' + octet / unit % 10))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_spelled_as_everywhere() {
        for octet in [0, 1, 9, 10, 19, 99, 100, 101, 110, 199, 255] {
            let address = Ipv4Addr::new(octet, 0, octet, 255 - octet);
            assert_eq!(network_name(address.into()), *address.to_string());
        }
        for (address, name) in [
            ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
            ("ffff:ffff:ffff:ffff::1", "ffff:ffff:ffff:ffff::/64"),
            ("::1", "::/64"),
        ] {
            assert_eq!(network_name(address.parse().unwrap()), *name);
        }
    }
}
