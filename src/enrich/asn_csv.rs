//! A table of autonomous systems as CSV without a header: first address, last address, number, organization.

use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::geography::{AsnDatabase, Ranges};
use super::problem::{Complaint, Problem, quoted};
use super::steps::{Address, Steps};
use super::{Dataset, DatasetKind};

/// Reads the table. `version` is what evidence calls it.
///
/// # Errors
/// A [`Problem`] with the first bad line: a table with a hole would leave addresses without their network.
pub fn read(file: &str, version: String, bytes: &[u8]) -> Result<AsnDatabase, Problem> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(bytes);
    let mut systems = Systems::default();
    let mut stated = Stated::default();
    let mut records = 0_u64;
    let mut row = csv::ByteRecord::new();
    while let Ok(true) = reader.read_byte_record(&mut row) {
        let line = row.position().and_then(|position| u32::try_from(position.line()).ok());
        add(&row, &mut systems, &mut stated).map_err(|complaint| complaint.at(file, line))?;
        records += 1;
    }
    if records == 0 {
        return Err(Complaint::new("an empty table", "download it again").at(file, None));
    }
    Ok(AsnDatabase {
        dataset: Dataset {
            kind: DatasetKind::Asn,
            file: file.to_owned(),
            version,
            built_seconds: None,
            records,
        },
        systems: systems.all,
        ranges: Ranges {
            v4: steps(stated.v4),
            v6: steps(stated.v6),
        },
    })
}

/// Ranges as the table states them.
#[derive(Default)]
struct Stated {
    v4: Vec<(u32, u32, u32)>,
    v6: Vec<(u128, u128, u32)>,
}

/// Published tables are neither quite sorted nor quite free of overlaps: the range that begins first keeps its
/// addresses, the other has what is left of it.
fn steps<A: Address>(mut stated: Vec<(A, A, u32)>) -> Steps<A> {
    stated.sort_by_key(|(first, ..)| *first);
    let mut steps = Steps::default();
    let mut free = Some(A::ZERO);
    for (first, last, id) in stated {
        let Some(from) = free.map(|free| free.max(first)).filter(|from| *from <= last) else {
            continue;
        };
        let in_order = steps.push(from, last, id);
        debug_assert!(in_order.is_ok());
        free = last.next();
    }
    steps
}

#[derive(Default)]
struct Systems {
    all: Vec<(u32, String)>,
    ids: HashMap<(u32, Box<[u8]>), u32, FixedState>,
}

impl Systems {
    fn id(&mut self, asn: u32, organization: &[u8]) -> Option<u32> {
        let next = u32::try_from(self.all.len()).ok()?;
        let id = *self.ids.entry((asn, organization.into())).or_insert(next);
        if id == next {
            self.all.push((asn, String::from_utf8_lossy(organization).into_owned()));
        }
        Some(id)
    }
}

fn add(row: &csv::ByteRecord, systems: &mut Systems, stated: &mut Stated) -> Result<(), Complaint> {
    let field = |index: usize| row.get(index).unwrap_or_default();
    let bad = |what: String| {
        Complaint::new(
            what,
            "download the file again, or name a table of first,last,asn,organization",
        )
    };
    let address = |index: usize| {
        let text = String::from_utf8_lossy(field(index));
        text.parse::<IpAddr>()
            .map_err(|_| bad(format!("{} is no address", quoted(&text))))
    };
    let (first, last) = (address(0)?, address(1)?);
    if field(3).contains(&b'\n') {
        return Err(bad("a quote that is not closed in its line".to_owned()));
    }
    let number = String::from_utf8_lossy(field(2));
    let asn: u32 = number
        .parse()
        .map_err(|_| bad(format!("{} is no AS number", quoted(&number))))?;
    let id = systems
        .id(asn, field(3))
        .ok_or_else(|| bad("too many systems".to_owned()))?;
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => stated.v4.push((first.to_bits(), last.to_bits(), id)),
        (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => stated.v6.push((first.to_bits(), last.to_bits(), id)),
        _ => return Err(bad(format!("{first} to {last} is no range"))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_both_families_are_read() {
        let table =
            b"192.0.2.0,192.0.2.255,64500,\"Example, Inc.\"\n2001:db8::,2001:db8::ffff,64500,\"Example, Inc.\"\n";
        let database = read("asn.csv", String::new(), table).unwrap();
        assert_eq!(database.systems, [(64_500, "Example, Inc.".to_owned())]);
        assert_eq!(database.ranges.v4.at(0xc000_0201), 0);
        assert_eq!(database.ranges.v6.at(0x2001_0db8 << 96 | 5), 0);
    }

    #[test]
    fn a_table_that_was_cut_short_is_refused_with_its_line() {
        let cut = b"192.0.2.0,192.0.2.255,64500,Example\n198.51.100.0,198.5";
        let problem = read("asn.csv", String::new(), cut).unwrap_err();
        assert_eq!(problem.line, Some(2));
        assert!(problem.to_string().contains("no address"), "{problem}");
        assert!(read("asn.csv", String::new(), b"").is_err());
        let unclosed = b"192.0.2.0,192.0.2.255,1,\"A\n198.51.100.0,198.51.100.255,2,B\n";
        assert_eq!(read("asn.csv", String::new(), unclosed).unwrap_err().line, Some(1));
    }

    #[test]
    fn overlaps_and_disorder_are_settled_by_the_first_address() {
        let table = b"192.0.2.128,192.0.3.255,2,B\n192.0.2.0,192.0.2.200,1,A\n192.0.2.10,192.0.2.20,3,C\n";
        let database = read("asn.csv", String::new(), table).unwrap();
        let asn = |low: u32| database.systems[database.ranges.v4.at(0xc000_0000 | low) as usize].0;
        assert_eq!([0x200, 0x20f, 0x2c8, 0x2c9, 0x3ff].map(asn), [1, 1, 1, 2, 2]);
        assert!(read("asn.csv", String::new(), b"192.0.2.9,192.0.2.0,1,A\n").is_err());
    }
}
