//! The operator's list of networks: `network,class,label`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::model::NetworkClass;

use super::geography::Ranges;
use super::problem::{Complaint, Problem, Problems, quoted};
use super::steps::{Address, Steps};
use super::table::Table;
use super::{Dataset, DatasetKind};

/// The header, exactly.
const HEADER: [&str; 3] = ["network", "class", "label"];

/// The operator's lines: prefixes and autonomous systems.
#[derive(Clone, Debug, Default)]
pub struct NetworkList {
    prefixes: BTreeMap<IpNet, Line>,
    systems: BTreeMap<u32, Line>,
    /// Lines by index, as the ranges name them.
    lines: Vec<(NetworkClass, String)>,
    datasets: Vec<Dataset>,
}

#[derive(Clone, Debug)]
struct Line {
    number: u32,
    index: u32,
}

enum Listed {
    Prefix(IpNet),
    System(u32),
}

impl NetworkList {
    /// Adds the lines of one file. `version` is what evidence calls the file.
    ///
    /// # Errors
    /// A [`Problem`] with the whole file: a wrong header, or no usable line. Nothing was added then.
    pub fn read(&mut self, file: &str, version: String, bytes: &[u8]) -> Result<Vec<Problem>, Problem> {
        let mut table = Table::new(bytes);
        let header = table.header().map_err(|complaint| complaint.at(file, Some(1)))?;
        if header != HEADER {
            let what = format!("header {} is not `network,class,label`", quoted(&header.join(",")));
            return Err(Complaint::new(what, "write exactly that header as the first line").at(file, Some(1)));
        }
        let mut problems = Problems::of(file);
        let (mut seen, mut used) = (0_u64, 0_u64);
        for (number, row) in table {
            seen += 1;
            let added = row.and_then(|row| self.line(number, &row, &mut problems));
            match added {
                Ok(()) => used += 1,
                Err(complaint) => problems.add(Some(number), complaint),
            }
        }
        let mut problems = problems.finish();
        if used == 0 && seen > 0 {
            let first = problems.swap_remove(0);
            return Err(Problem {
                what: format!("no usable line; the first problem: {}", first.what),
                ..first
            });
        }
        self.datasets.push(Dataset {
            kind: DatasetKind::Networks,
            file: file.to_owned(),
            version,
            built_seconds: None,
            records: used,
        });
        Ok(problems)
    }

    fn line(&mut self, number: u32, row: &csv::StringRecord, problems: &mut Problems<'_>) -> Result<(), Complaint> {
        let field = |index: usize| row.get(index).map_or("", str::trim);
        if row.len() != HEADER.len() {
            let what = format!("{} fields instead of 3", row.len());
            return Err(Complaint::new(what, "quote a label that holds a comma"));
        }
        let class = NetworkClass::parse(field(1)).ok_or_else(|| {
            let known: Vec<&str> = NetworkClass::ALL.into_iter().map(NetworkClass::as_str).collect();
            Complaint::new(
                format!("class {} is unknown", quoted(field(1))),
                format!("use one of {}", known.join(", ")),
            )
        })?;
        let listed = parse_network(number, field(0), problems)?;
        let line = Line {
            number,
            index: u32::try_from(self.lines.len()).unwrap_or(u32::MAX),
        };
        let known = match &listed {
            Listed::Prefix(prefix) => self.prefixes.get(prefix),
            Listed::System(asn) => self.systems.get(asn),
        };
        if let Some(known) = known {
            let same = self
                .lines
                .get(known.index as usize)
                .is_some_and(|(known_class, label)| *known_class == class && label == field(2));
            if same {
                return Ok(());
            }
            return Err(Complaint::new(
                format!(
                    "network {} has another class or label in line {}",
                    quoted(field(0)),
                    known.number
                ),
                "remove one of the two; the earlier line is used",
            ));
        }
        match listed {
            Listed::Prefix(prefix) => self.prefixes.insert(prefix, line),
            Listed::System(asn) => self.systems.insert(asn, line),
        };
        self.lines.push((class, field(2).to_owned()));
        Ok(())
    }

    /// Class and label of the prefix with that index, as [`Self::ranges`] gives it.
    #[must_use]
    pub fn range(&self, index: u32) -> Option<(NetworkClass, &str)> {
        let (class, label) = self.lines.get(index as usize)?;
        Some((*class, label))
    }

    /// Class and label of the autonomous system.
    #[must_use]
    pub fn system(&self, asn: u32) -> Option<(NetworkClass, &str)> {
        self.range(self.systems.get(&asn)?.index)
    }

    /// Whether a line names an autonomous system.
    #[must_use]
    pub fn names_systems(&self) -> bool {
        !self.systems.is_empty()
    }

    /// The prefixes, flattened: for every address the longest one that holds it.
    #[must_use]
    pub fn ranges(&self) -> Ranges {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        // The map's order is by address, then by length: an enclosing prefix comes before those inside it.
        for (prefix, line) in &self.prefixes {
            match prefix {
                IpNet::V4(net) => v4.push((net.network().to_bits(), net.broadcast().to_bits(), line.index)),
                IpNet::V6(net) => v6.push((net.network().to_bits(), net.broadcast().to_bits(), line.index)),
            }
        }
        Ranges {
            v4: flatten(&v4),
            v6: flatten(&v6),
        }
    }

    /// The files.
    #[must_use]
    pub fn datasets(&self) -> &[Dataset] {
        &self.datasets
    }
}

/// `AS64500`, a prefix, or a bare address.
fn parse_network(number: u32, text: &str, problems: &mut Problems<'_>) -> Result<Listed, Complaint> {
    let system = text
        .get(..2)
        .filter(|head| head.eq_ignore_ascii_case("as"))
        .map(|_| &text[2..]);
    if let Some(asn) = system {
        return asn.parse().map(Listed::System).map_err(|_| {
            Complaint::new(
                format!("network {} is no AS number", quoted(text)),
                "write it as AS64500",
            )
        });
    }
    let prefix: IpNet = text
        .parse()
        .or_else(|_| text.parse().map(|ip: IpAddr| IpNet::from(ip)))
        .map_err(|_| {
            Complaint::new(
                format!("network {} is neither a prefix nor an address", quoted(text)),
                "write 192.0.2.0/24, 2001:db8::/32, one address, or AS64500",
            )
        })?;
    // The library reads them as decimal, many other programs as octal.
    let address = text.split('/').next().unwrap_or_default();
    if address.parse::<IpAddr>().is_err() {
        return Err(Complaint::new(
            format!(
                "network {} has numbers with leading zeros, which some read as octal",
                quoted(text)
            ),
            "write it without leading zeros",
        ));
    }
    if prefix != prefix.trunc() {
        problems.add(
            Some(number),
            Complaint::new(
                format!("network {} has bits beyond its length", quoted(text)),
                format!("write {}, which is used", prefix.trunc()),
            ),
        );
    }
    Ok(Listed::Prefix(unmapped(prefix.trunc())))
}

/// A prefix of mapped addresses (`::ffff:192.0.2.0/120`) is one of IPv4: lookups unmap addresses first.
fn unmapped(prefix: IpNet) -> IpNet {
    let IpNet::V6(net) = prefix else { return prefix };
    let Some(length) = net.prefix_len().checked_sub(96) else {
        return prefix;
    };
    let mapped: Option<Ipv4Addr> = Ipv6Addr::to_ipv4_mapped(&net.network());
    mapped
        .and_then(|ip| ipnet::Ipv4Net::new(ip, length).ok())
        .map_or(prefix, IpNet::V4)
}

/// Flattens nested ranges, sorted so that an enclosing one comes first.
fn flatten<A: Address>(nested: &[(A, A, u32)]) -> Steps<A> {
    let mut steps = Steps::default();
    // Ranges begun and not ended, outermost first, and the first address not yet placed.
    let mut open: Vec<(A, u32)> = Vec::new();
    let mut from: Option<A> = Some(A::ZERO);
    let place = |steps: &mut Steps<A>, from: Option<A>, last: A, value: u32| {
        if let Some(first) = from.filter(|first| *first <= last) {
            // Prefixes nest or are disjoint, so the pieces come in order.
            let in_order = steps.push(first, last, value);
            debug_assert!(in_order.is_ok());
        }
    };
    for (first, last, value) in nested {
        while let Some((open_last, open_value)) = open.last().copied().filter(|(open_last, _)| open_last < first) {
            place(&mut steps, from, open_last, open_value);
            from = open_last.next();
            open.pop();
        }
        if let (Some((_, open_value)), Some(before)) = (open.last(), first.before()) {
            place(&mut steps, from, before, *open_value);
        }
        from = Some(*first);
        open.push((*last, *value));
    }
    while let Some((open_last, open_value)) = open.pop() {
        place(&mut steps, from, open_last, open_value);
        from = open_last.next();
    }
    steps
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::enrich::steps::NOTHING;

    fn read(text: &str) -> (NetworkList, Vec<Problem>) {
        let mut list = NetworkList::default();
        let problems = list
            .read("networks.csv", "networks 0".to_owned(), text.as_bytes())
            .unwrap();
        (list, problems)
    }

    fn class_of(list: &NetworkList, ip: &str) -> Option<(NetworkClass, String)> {
        let ranges = list.ranges();
        let index = match ip.parse().unwrap() {
            IpAddr::V4(ip) => ranges.v4.at(ip.to_bits()),
            IpAddr::V6(ip) => ranges.v6.at(ip.to_bits()),
        };
        list.range(index).map(|(class, label)| (class, label.to_owned()))
    }

    #[test]
    fn the_longest_prefix_wins_and_both_spellings_of_an_address_are_one() {
        let (list, problems) = read(
            "network,class,label\n\
             192.0.2.0/24,corporate,Berlin office\n\
             192.0.2.128/25,vpn,Astrill\n\
             192.0.2.130,mobile,\n\
             ::ffff:198.51.100.0/120,hosting,Racks\n\
             2001:db8::/32,satellite,Orbit\n\
             as64500,residential,Home\n",
        );
        assert_eq!(problems, []);
        for (ip, class, label) in [
            ("192.0.2.1", NetworkClass::Corporate, "Berlin office"),
            ("192.0.2.129", NetworkClass::Vpn, "Astrill"),
            ("192.0.2.130", NetworkClass::Mobile, ""),
            ("192.0.2.255", NetworkClass::Vpn, "Astrill"),
            ("198.51.100.9", NetworkClass::Hosting, "Racks"),
            ("2001:db8::1", NetworkClass::Satellite, "Orbit"),
        ] {
            assert_eq!(class_of(&list, ip), Some((class, label.to_owned())), "{ip}");
        }
        assert_eq!(class_of(&list, "192.0.3.0"), None);
        assert_eq!(list.system(64_500), Some((NetworkClass::Residential, "Home")));
    }

    #[test]
    fn a_bad_line_costs_only_itself_and_says_how_to_mend_it() {
        let (list, problems) = read(
            "network,class,label\n\
             192.0.2.0/33,vpn,a\n\
             192.0.2.0/24,wpn,b\n\
             ASX,vpn,c\n\
             192.0.2.0/24,vpn\n\
             198.51.100.7/24,vpn,d\n\
             198.51.100.0/24,vpn,d\n\
             198.51.100.0/24,hosting,d\n\
             010.0.0.0/8,corporate,f\n\
             192.0.2.064/26,corporate,f\n\
             192.0.2.010,corporate,f\n\
             203.0.113.0/24,vpn,e\n",
        );
        let told: Vec<_> = problems.iter().map(|p| (p.line.unwrap(), p.what.as_str())).collect();
        assert_eq!(
            told,
            [
                (2, "network \"192.0.2.0/33\" is neither a prefix nor an address"),
                (3, "class \"wpn\" is unknown"),
                (4, "network \"ASX\" is no AS number"),
                (5, "2 fields instead of 3"),
                (6, "network \"198.51.100.7/24\" has bits beyond its length"),
                (8, "network \"198.51.100.0/24\" has another class or label in line 6"),
                (
                    9,
                    "network \"010.0.0.0/8\" has numbers with leading zeros, which some read as octal"
                ),
                (
                    10,
                    "network \"192.0.2.064/26\" has numbers with leading zeros, which some read as octal"
                ),
                (11, "network \"192.0.2.010\" is neither a prefix nor an address"),
            ]
        );
        assert!(problems.iter().all(|problem| !problem.remedy.is_empty()));
        assert!(class_of(&list, "198.51.100.9").is_some() && class_of(&list, "203.0.113.9").is_some());
        assert_eq!(class_of(&list, "192.0.2.9"), None);
        assert_eq!(class_of(&list, "10.0.0.1"), None);
    }

    #[test]
    fn a_forgotten_quote_swallows_no_line_below_it() {
        let (list, problems) = read(
            "network,class,label\n198.51.100.0/24,vpn,\"Astrill\n192.0.2.0/24,corporate,Berlin\n\
             203.0.113.0/24,hosting,\"Racks\"\n",
        );
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with("networks.csv:2: a quote that is not closed"),
            "{}",
            told[0]
        );
        assert!(class_of(&list, "192.0.2.1").is_some() && class_of(&list, "203.0.113.1").is_some());
        assert_eq!(class_of(&list, "198.51.100.1"), None);
    }

    #[test]
    fn a_file_of_another_kind_is_refused_whole() {
        let mut list = NetworkList::default();
        for (text, told) in [
            ("cidr,class,label\n192.0.2.0/24,vpn,a\n", "header"),
            ("", "header"),
            (
                "network;class;label\n192.0.2.0/24;vpn;a\n",
                "columns separated by \";\"",
            ),
            ("network,class,label\nx,y,z\n", "no usable line"),
            ("network,class,label\n\u{0}\u{1}", "no usable line"),
        ] {
            let problem = list.read("x", String::new(), text.as_bytes()).unwrap_err();
            assert!(problem.what.contains(told), "{problem}");
        }
        assert!(
            list.read("x", String::new(), b"network,class,label\n\xff\xfe,vpn,a\n")
                .is_err()
        );
        assert!(list.ranges().v4.is_empty());
    }

    #[test]
    fn byte_order_marks_comments_and_windows_line_ends_are_no_problem() {
        let (list, problems) =
            read("\u{feff}Network, Class ,label\r\n# our own\r\n\r\n192.0.2.0/24, VPN ,\"a, b\"\r\n");
        assert_eq!(problems, []);
        assert_eq!(
            class_of(&list, "192.0.2.1"),
            Some((NetworkClass::Vpn, "a, b".to_owned()))
        );
    }

    proptest! {
        /// The flattened ranges agree with trying every prefix, longest first.
        #[test]
        fn flattening_agrees_with_the_longest_prefix(
            prefixes in prop::collection::btree_map((0..4_u32, 20..=32_u8), 0..100_u32, 0..20),
            asked in prop::collection::vec(0..4_u32, 0..20),
        ) {
            let mut nested: Vec<(ipnet::Ipv4Net, u32)> = prefixes
                .into_iter()
                .map(|((near, length), value)| {
                    (ipnet::Ipv4Net::new(Ipv4Addr::from_bits(near << 30 >> (near % 12)), length).unwrap().trunc(), value)
                })
                .collect();
            nested.sort();
            nested.dedup_by_key(|(net, _)| *net);
            let ranges: Vec<_> =
                nested.iter().map(|(net, value)| (net.network().to_bits(), net.broadcast().to_bits(), *value)).collect();
            let steps = flatten(&ranges);
            let edges = nested.iter().flat_map(|(net, _)| {
                let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
                [first, last, first.wrapping_sub(1), last.wrapping_add(1)]
            });
            for address in asked.into_iter().map(|near| near << 30).chain(edges) {
                let ip = Ipv4Addr::from_bits(address);
                let holding = nested.iter().filter(|(net, _)| net.contains(&ip));
                let naive = holding.max_by_key(|(net, _)| net.prefix_len()).map_or(NOTHING, |(_, value)| *value);
                prop_assert_eq!(steps.at(address), naive, "{}", ip);
            }
        }
    }
}
