//! The work that no program can leave out, over the same bytes: find the fields, look the place up in a flat table,
//! one probe per account, compare squared chords. It validates nothing, remembers one place and one time per account,
//! and raises nothing; what it needs in nanoseconds is the floor that the core is held against.

use std::hash::BuildHasher as _;
use std::net::IpAddr;

use falsefront::intake::Format;
use foldhash::fast::FixedState;
use memchr::memmem::Finder;

/// Events whose cache misses overlap.
const BATCH: usize = 32;
/// Places of the flat table: 16 bits of an address choose one.
const PLACES: usize = 1 << 16;

/// Finds the values of a record's fields, which always stand in the same order.
pub(crate) struct Scan {
    keys: Vec<Finder<'static>>,
    end: u8,
}

impl Scan {
    /// The fields that the core reads, in the order in which the records hold them.
    pub(crate) fn of(format: Format) -> Self {
        let (keys, end): (&[&str], u8) = match format {
            Format::Okta => (
                &[
                    "uuid\":\"",
                    "published\":\"",
                    "eventType\":\"",
                    "alternateId\":\"",
                    "ipAddress\":\"",
                    "result\":\"",
                ],
                b'"',
            ),
            Format::GoogleWorkspace => (
                &[
                    "time\":\"",
                    "uniqueQualifier\":\"",
                    "email\":\"",
                    "ipAddress\":\"",
                    "name\":\"",
                ],
                b'"',
            ),
            Format::Fortigate => (
                &[
                    "subtype=\"",
                    "eventtime=",
                    "action=\"",
                    "remip=",
                    "user=\"",
                    "fctuid=\"",
                ],
                b' ',
            ),
            Format::Ocsf | Format::Auto => (
                &[
                    "class_uid\":",
                    "time\":",
                    "status_id\":",
                    "uid\":\"",
                    "email_addr\":\"",
                    "ip\":\"",
                    "device\":{\"uid\":\"",
                ],
                b'"',
            ),
        };
        let keys = keys.iter().map(|key| Finder::new(key.as_bytes())).collect();
        Self { keys, end }
    }

    /// Calls `field` with the number and the value of each.
    pub(crate) fn each<'r>(&self, record: &'r [u8], mut field: impl FnMut(usize, &'r [u8])) {
        let mut at = 0;
        for (number, key) in self.keys.iter().enumerate() {
            let Some(found) = key.find(&record[at..]) else { return };
            let start = at + found + key.needle().len();
            let ends = |b: u8| b == self.end || b == b',' || b == b'"';
            let length = record[start..]
                .iter()
                .position(|b| ends(*b))
                .unwrap_or(record.len() - start);
            field(number, &record[start..start + length]);
            at = start + length;
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Slot {
    key: u64,
    time_ms: i64,
    place: u32,
    count: u32,
}

/// One slot per account, one vector per place.
pub(crate) struct Floor {
    scan: Scan,
    places: Vec<[f32; 4]>,
    slots: Vec<Slot>,
    hasher: FixedState,
    pub(crate) fast_legs: u64,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    slot: usize,
    key: u64,
    time_ms: i64,
    place: u32,
}

impl Floor {
    /// For OCSF records of so many accounts.
    pub(crate) fn new(accounts: u64) -> Self {
        let angle = |index: usize| index as f32 / PLACES as f32 * std::f32::consts::TAU;
        let slots = usize::try_from((accounts * 2).next_power_of_two()).unwrap_or(1);
        Self {
            scan: Scan::of(Format::Ocsf),
            places: (0..PLACES)
                .map(|i| [angle(i).cos(), angle(i).sin(), 0.0, 50.0])
                .collect(),
            slots: vec![Slot::default(); slots],
            hasher: FixedState::default(),
            fast_legs: 0,
        }
    }

    /// All of it, in batches: first every field and slot, then every comparison, so that misses overlap.
    pub(crate) fn run<'r>(&mut self, mut records: impl Iterator<Item = &'r [u8]>) {
        let mut batch = [Seen::default(); BATCH];
        loop {
            let mut count = 0;
            while let Some(record) = (count < BATCH).then(|| records.next()).flatten() {
                batch[count] = self.read(record);
                count += 1;
            }
            if count == 0 {
                return;
            }
            // Reading the slots ahead is what a prefetch would do.
            let touched = batch[..count]
                .iter()
                .fold(0, |sum: u64, seen| sum.wrapping_add(self.slots[seen.slot].key));
            std::hint::black_box(touched);
            for seen in &batch[..count] {
                self.judge(*seen);
            }
        }
    }

    fn read(&self, record: &[u8]) -> Seen {
        let mut seen = Seen::default();
        self.scan.each(record, |number, value| match number {
            1 => seen.time_ms = value.iter().fold(0, |ms, digit| ms * 10 + i64::from(digit & 15)),
            4 => {
                seen.key = self.hasher.hash_one(value) | 1;
            }
            5 => {
                let ip = std::str::from_utf8(value).ok().and_then(|ip| ip.parse::<IpAddr>().ok());
                if let Some(IpAddr::V4(ip)) = ip {
                    seen.place = ip.to_bits() >> 8 & 0xffff;
                }
            }
            _ => {}
        });
        seen.slot = usize::try_from(seen.key).unwrap_or(0) & (self.slots.len() - 1);
        seen
    }

    fn judge(&mut self, seen: Seen) {
        let mask = self.slots.len() - 1;
        let mut at = seen.slot;
        while self.slots[at].key != seen.key && self.slots[at].key != 0 {
            at = (at + 1) & mask;
        }
        let slot = &mut self.slots[at];
        if slot.key == seen.key {
            let (a, b) = (self.places[slot.place as usize], self.places[seen.place as usize]);
            let chord = (0..3).map(|i| (a[i] - b[i]) * (a[i] - b[i])).sum::<f32>();
            let hours = (seen.time_ms - slot.time_ms).max(1) as f32 / 3_600_000.0;
            let reach = hours * (900.0 / 6_371.0);
            self.fast_legs += u64::from(chord > reach * reach);
        }
        *slot = Slot {
            key: seen.key,
            time_ms: seen.time_ms,
            place: seen.place,
            count: slot.count + 1,
        };
    }
}
