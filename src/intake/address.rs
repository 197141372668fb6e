//! Addresses as vendors spell them, and which of them can be placed on the map.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The first of `candidates` that is public, else the first.
pub(super) fn source(candidates: impl IntoIterator<Item = IpAddr>) -> Option<IpAddr> {
    let mut fallback = None;
    for ip in candidates {
        if is_public(ip) {
            return Some(ip);
        }
        fallback = fallback.or(Some(ip));
    }
    fallback
}

/// Reads an address in any spelling seen in logs: with a port, in brackets, with a zone id.
///
/// An IPv4-mapped IPv6 address, and one translated by NAT64, is the same host as its IPv4 address.
pub(super) fn parse(text: &str) -> Option<IpAddr> {
    if let Some(v4) = dotted(text) {
        return Some(IpAddr::V4(v4));
    }
    if text.is_empty() {
        return None;
    }
    let text = text.trim();
    let text = match text.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?.0,
        None if text.bytes().filter(|b| *b == b':').count() == 1 => text.split_once(':')?.0,
        None => text,
    };
    let text = text.split_once('%').map_or(text, |(address, _)| address);
    text.parse::<IpAddr>().ok().map(|ip| match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => embedded_v4(v6).map_or(ip, IpAddr::V4),
    })
}

/// Four decimal numbers without leading zeros, as RFC 6943 3.1.1 calls strict. Nearly all addresses are this, and the
/// standard library's parser takes twice as long.
#[inline]
fn dotted(text: &str) -> Option<Ipv4Addr> {
    let bytes = text.as_bytes();
    let mut octets = [0; 4];
    let mut at = 0;
    for (index, octet) in octets.iter_mut().enumerate() {
        let mut number = 0_u16;
        let start = at;
        while let Some(digit @ b'0'..=b'9') = bytes.get(at).filter(|_| at < start + 3) {
            number = number * 10 + u16::from(digit & 15);
            at += 1;
        }
        let is_zero_led = at > start + 1 && bytes[start] == b'0';
        let ends = bytes.get(at).copied() == if index < 3 { Some(b'.') } else { None };
        if at == start || is_zero_led || !ends {
            return None;
        }
        *octet = u8::try_from(number).ok()?;
        at += 1;
    }
    Some(octets.into())
}

/// Whether the address can belong to a person's uplink on the Internet.
///
/// Documentation ranges (RFC 5737, RFC 3849) and 240.0.0.0/4, reserved by RFC 1112, count as public: nobody's
/// traffic comes from them, and examples, tests and the demo's made-up company must be able to use them.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => is_public_v4(v4),
        // Global unicast, RFC 4291 2.4; everything else is loopback, unique local, link-local or multicast.
        IpAddr::V6(v6) => v6.segments()[0] & 0xe000 == 0x2000,
    }
}

/// IANA IPv4 Special-Purpose Address Registry, less the documentation ranges and 240.0.0.0/4.
fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let carrier_nat = a == 100 && b & 0xc0 == 64;
    let protocol_assignments = a == 192 && b == 0 && c == 0;
    let benchmarking = a == 198 && b & 0xfe == 18;
    !(a == 0
        || (224..240).contains(&a)
        || ip.is_broadcast()
        || carrier_nat
        || protocol_assignments
        || benchmarking
        || ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local())
}

fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    // The well-known NAT64 prefix, RFC 6052 2.1.
    if ip.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        let [.., a, b, c, d] = ip.octets();
        return Some(Ipv4Addr::new(a, b, c, d));
    }
    ip.to_ipv4_mapped()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_address_agree() {
        let expected: IpAddr = "203.0.113.7".parse().unwrap();
        for text in [
            "203.0.113.7",
            " 203.0.113.7 ",
            "203.0.113.7:51923",
            "::ffff:203.0.113.7",
            "[::ffff:203.0.113.7]:443",
            "64:ff9b::cb00:7107",
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        let expected: IpAddr = "2001:db8::1".parse().unwrap();
        for text in ["2001:db8::1", "[2001:db8::1]:443", "[2001:DB8::1]", "2001:db8::1%eth0"] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn dotted_addresses_agree_with_the_standard_library() {
        let parts = [
            "", "0", "00", "7", "07", "99", "255", "256", "1000", "-1", "+1", " 1", "a", "1.",
        ];
        for a in parts {
            for b in parts {
                for text in [
                    format!("{a}.{b}.3.4"),
                    format!("1.2.{a}.{b}"),
                    format!("{a}{b}"),
                    format!("1.2.3.4{a}"),
                ] {
                    assert_eq!(dotted(&text), text.parse().ok(), "{text}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_address_is_none() {
        for text in [
            "",
            "N/A",
            "-",
            "host.example",
            "[",
            "[]",
            "1.2.3",
            "1.2.3.4.5",
            ":",
            "%",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn only_public_addresses_are_placed() {
        for text in [
            "10.0.0.1",
            "172.16.9.9",
            "192.168.1.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "198.18.0.1",
            "192.0.0.8",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!is_public(parse(text).unwrap()), "{text}");
        }
        for text in [
            "8.8.8.8",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "100.128.0.1",
            "240.1.2.3",
            "2001:db8::1",
        ] {
            assert!(is_public(parse(text).unwrap()), "{text}");
        }
    }

    #[test]
    fn the_first_public_candidate_wins() {
        let source = |texts: &[&str]| source(texts.iter().filter_map(|text| parse(text)));
        let found = source(&["10.1.1.1", "N/A", "198.51.100.4:80", "203.0.113.9"]);
        assert_eq!(found, Some("198.51.100.4".parse().unwrap()));
        assert_eq!(
            source(&["N/A", "10.1.1.1", "fe80::1"]),
            parse("10.1.1.1"),
            "better than nothing, but never placed"
        );
        assert_eq!(source(&["N/A"]), None);
    }
}
