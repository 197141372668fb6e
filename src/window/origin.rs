//! Where sign-ins of one account came from: an address with its network and place, kept once however many name it.

use std::net::{IpAddr, Ipv6Addr};

use bytemuck::{Pod, Zeroable};

use super::block::{Block, List};
use super::network_fact::NetworkFact;
use super::recent_ids::fold;
use super::spots::SpotId;
use super::visits::Visit;

/// An address in two words, an IPv4 address as the IPv6 address that maps it (RFC 4291, section 2.5.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, packed(2))]
pub struct Address {
    high: u64,
    low: u64,
}

impl Address {
    /// Of an address.
    #[must_use]
    #[inline]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self {
                high: 0,
                low: MAPPED << 32 | u64::from(v4.to_bits()),
            },
            #[allow(clippy::cast_possible_truncation, reason = "the halves of 128 bits")]
            IpAddr::V6(v6) => Self {
                high: (v6.to_bits() >> 64) as u64,
                low: v6.to_bits() as u64,
            },
        }
    }

    /// The address.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        Ipv6Addr::from_bits(u128::from(self.high) << 64 | u128::from(self.low)).to_canonical()
    }

    /// Whether both are one line: the same IPv4 address, or the same IPv6 /64.
    #[must_use]
    pub fn is_on_line_of(self, other: Self) -> bool {
        self.line() == other.line()
    }

    /// What all addresses of one line have in common, and those of no other: the IPv4 address, or the IPv6 /64.
    fn line(self) -> [u64; 2] {
        [self.high, if self.is_v4() { self.low } else { 0 }]
    }

    /// Hash of its line.
    #[must_use]
    pub fn hash_of_line(self) -> u64 {
        self.line().iter().fold(0, |state, word| fold(state, *word))
    }

    fn is_v4(self) -> bool {
        self.high == 0 && self.low >> 32 == MAPPED
    }
}

/// What stands before an IPv4 address in the IPv6 address that maps it.
const MAPPED: u64 = 0xffff;

/// An address, and what enrichment said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, packed(2))]
pub struct Origin {
    /// Address.
    pub address: Address,
    /// Its network and place.
    pub spot: SpotId,
}

/// Which origin of its account: that of a network, by the network's index, or another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub struct OriginId(u16);

/// From here on numbers are those of other origins: of an address that changed within a line, of another place that a new
/// database gives to it. Most accounts have none.
const OTHERS: u16 = 1 << 15;

impl Origin {
    /// Where something came from.
    #[must_use]
    #[inline]
    pub fn new(address: Address, spot: SpotId) -> Self {
        Self { address, spot }
    }
}

impl OriginId {
    /// That of the network at `index`.
    #[must_use]
    pub(super) fn of_network(index: usize) -> Self {
        Self(u16::try_from(index).map_or(OTHERS - 1, |index| index.min(OTHERS - 1)))
    }

    /// Whether it is that of the network at `index`.
    #[must_use]
    pub(super) fn is_of_network(self, index: usize) -> bool {
        self == Self::of_network(index)
    }

    /// The number after the network at `index` went.
    #[must_use]
    pub(super) fn after_removal(self, index: usize) -> Self {
        let is_behind = self.0 < OTHERS && usize::from(self.0) > index;
        Self(if is_behind { self.0 - 1 } else { self.0 })
    }
}

impl Block {
    /// The origin of that number.
    #[must_use]
    #[inline]
    pub fn origin(&self, id: OriginId) -> Origin {
        match id.0.checked_sub(OTHERS) {
            Some(index) => self.list::<Origin>()[usize::from(index)],
            None => self.list::<NetworkFact>()[usize::from(id.0)].origin(),
        }
    }

    /// The number of an origin that no network has; it is added if it is not there. What no visit names is
    /// overwritten.
    pub(super) fn number_other(&mut self, origin: Origin) -> OriginId {
        let all = self.list::<Origin>();
        if let Some(index) = all.iter().position(|known| *known == origin) {
            return other(index);
        }
        let mut is_used = vec![false; all.len()];
        for index in (self.list::<Visit>().iter()).filter_map(|visit| visit.origin.0.checked_sub(OTHERS)) {
            if let Some(is_used) = is_used.get_mut(usize::from(index)) {
                *is_used = true;
            }
        }
        match is_used.iter().position(|is_used| !is_used) {
            Some(index) => {
                self.list_mut::<Origin>()[index] = origin;
                other(index)
            }
            None => other(self.push(&origin)),
        }
    }

    /// Lets all other origins go once no visit names one.
    pub(super) fn clear_others(&mut self) {
        let count = self.len(List::Others);
        if count > 0 && self.list::<Visit>().iter().all(|visit| visit.origin.0 < OTHERS) {
            self.remove::<Origin>(0..count);
        }
    }
}

fn other(index: usize) -> OriginId {
    // Visits are a few dozen, so their origins are.
    OriginId(u16::try_from(index).map_or(u16::MAX, |index| OTHERS.saturating_add(index)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_back_and_knows_its_line() {
        let address = |text: &str| Address::of(text.parse().unwrap());
        for text in ["0.0.0.0", "240.1.0.7", "::", "::1", "::7", "2001:db8::1", "ffff::ffff"] {
            assert_eq!(address(text).ip().to_string(), text);
        }
        for (one, other, is_same) in [
            ("240.1.0.7", "240.1.0.7", true),
            ("240.1.0.7", "240.1.0.8", false),
            ("2001:db8:1:2::1", "2001:db8:1:2:3::", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
            ("240.1.0.7", "::1", false),
        ] {
            assert_eq!(address(one).is_on_line_of(address(other)), is_same, "{one} {other}");
            let [one, other] = [one, other].map(|text| address(text).hash_of_line());
            assert_eq!(one == other, is_same);
        }
    }
}
