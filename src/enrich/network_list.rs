//! The operator's list of networks: `network,class,label`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::model::NetworkClass;

use super::geography::Ranges;
use super::problem::{Complaint, Problem, Problems, quoted};
use super::steps::{Address, Steps};
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
        let mut reader = super::table::reader(bytes);
        let header = super::table::header(&mut reader).map_err(|complaint| complaint.at(file, Some(1)))?;
        if header != HEADER {
            let what = format!("header {} is not `network,class,label`", quoted(&header.join(",")));
            return Err(Complaint::new(what, "write exactly that header as the first line").at(file, Some(1)));
        }
        let mut problems = Problems::of(file);
        let (mut seen, mut used) = (0_u64, 0_u64);
        for (number, row) in super::table::rows(reader) {
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
