//! A network as an account's window remembers it, and what one line of the Internet is called.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arrayvec::ArrayString;
use bytemuck::{Pod, Zeroable};

use super::days::Days;
use super::moment::Moment;
use super::origin::{Address, Origin};
use super::spots::SpotId;
use super::texts::{ShortId, TextId};

/// A network the account used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, packed(2))]
pub struct NetworkFact {
    /// Its latest address; see [`NetworkFact::name`].
    pub address: Address,
    /// What enrichment said of that address.
    pub spot: SpotId,
    /// Latest device on it, among the account's texts; empty if unknown.
    pub device: TextId,
    /// Product of the latest event on it, among the account's texts.
    pub product: TextId,
    /// Days on it.
    pub days: Days,
    /// Days on it that were far from the claim.
    pub away: Days,
    /// First and latest event on it.
    pub first: Moment,
    /// See `first`.
    pub last: Moment,
    /// Id of the latest event on it.
    pub event_id: ShortId,
    /// The last link told of it.
    pub told: Told,
    /// How the event's id is packed.
    pub packing: u8,
    /// 1 if many unrelated people share its address by design.
    pub(super) shared: u8,
}

impl NetworkFact {
    /// A network that nothing is known of but where it is.
    #[must_use]
    pub fn new(origin: Origin, is_shared_by_design: bool) -> Self {
        Self {
            first: Moment::LAST,
            last: Moment::FIRST,
            told: Told::NEVER,
            ..Self::zeroed()
        }
        .moved_to(origin, is_shared_by_design)
    }

    /// The same network with its latest address elsewhere on its line.
    #[must_use]
    pub fn moved_to(self, origin: Origin, is_shared_by_design: bool) -> Self {
        Self {
            address: origin.address,
            spot: origin.spot,
            shared: is_shared_by_design.into(),
            ..self
        }
    }

    /// Its latest address, and what enrichment said of it.
    #[must_use]
    pub fn origin(&self) -> Origin {
        Origin::new(self.address, self.spot)
    }

    /// Whether many unrelated people share its address by design.
    #[must_use]
    pub fn is_shared_by_design(&self) -> bool {
        self.shared != 0
    }

    /// The network as links and evidence spell it: an IPv4 address or an IPv6 /64.
    #[must_use]
    pub fn name(&self) -> NetworkName {
        network_name(self.address.ip())
    }
}

/// When and with what content a link was last told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, packed(2))]
pub struct Told {
    /// Append time, seconds since 1970, up to 2106; 0 if never.
    append_s: u32,
    /// Signature of the content.
    pub signature: u32,
    /// The account's count of news when the content was last looked at: while it stands, the signature does.
    pub news: u16,
}

impl Told {
    /// Not told yet.
    pub const NEVER: Self = Self {
        append_s: 0,
        signature: 0,
        news: 0,
    };

    /// Told at that append time, ms, with that content.
    #[must_use]
    pub fn at(append_ms: i64, signature: u32, news: u16) -> Self {
        // A log may say 1970, which is how it is said that nothing was told.
        let append_s = u32::try_from(append_ms.max(1_000) / 1_000).unwrap_or(u32::MAX);
        Self {
            append_s,
            signature,
            news,
        }
    }

    /// The same link, whose content was looked at again.
    #[must_use]
    pub fn as_of(self, news: u16) -> Self {
        Self { news, ..self }
    }

    /// The append time to the second, ms; 0 if it was never told.
    #[must_use]
    pub fn append_ms(self) -> i64 {
        i64::from(self.append_s) * 1_000
    }

    /// Whether it was never told, or so long ago that it is told again in any case.
    #[must_use]
    pub fn is_overdue(self, append_ms: i64, refresh_ms: i64) -> bool {
        self.append_s == 0 || append_ms.saturating_sub(self.append_ms()) >= refresh_ms
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
