//! The flat table from addresses to places and networks: one lookup, a few cache lines, no tree to walk.
//!
//! IPv4 is cut by its high 16 bits; within a cut, the low 16 bits of each range's first address are sorted, and
//! a branch-free binary search finds the range. IPv6 does the same twice over the high 64 bits: first the
//! 32-bit prefixes that occur at all, then the ranges inside one. The few networks longer than /64 stand in a
//! list of their own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Located, NetworkId, PlaceId};

/// What is known about a range of addresses, packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Place, or [`Entry::NO_PLACE`].
    place: u32,
    /// Network; 0 is the unknown network.
    network: u32,
}

impl Entry {
    const NO_PLACE: u32 = u32::MAX;
    /// The range holds networks longer than /64.
    const DEEP: Self = Self {
        place: u32::MAX - 1,
        network: u32::MAX,
    };
    /// Nothing is known.
    pub const UNKNOWN: Self = Self {
        place: Self::NO_PLACE,
        network: 0,
    };

    /// Packs what is known.
    #[must_use]
    pub fn new(located: Located) -> Self {
        Self {
            place: located.place.map_or(Self::NO_PLACE, |id| id.0),
            network: located.network.0,
        }
    }

    fn located(self) -> Located {
        Located {
            place: (self.place != Self::NO_PLACE).then_some(PlaceId(self.place)),
            network: NetworkId(self.network),
        }
    }
}

/// Both families.
#[derive(Debug, Default)]
pub struct AddressTable {
    /// IPv4.
    pub v4: TableV4,
    /// IPv6.
    pub v6: TableV6,
}

impl AddressTable {
    /// What is known about `ip`. An IPv4 address inside an IPv6 one is the same host: mapped (RFC 4291), translated
    /// (64:ff9b::/96, RFC 6052) and, where IPv6 knows nothing, 6to4 (2002::/16, RFC 3056).
    #[must_use]
    pub fn locate(&self, ip: IpAddr) -> Located {
        match ip {
            IpAddr::V4(ip) => self.v4.at(ip.to_bits()).located(),
            IpAddr::V6(ip) => self.locate_v6(ip),
        }
    }

    fn locate_v6(&self, ip: Ipv6Addr) -> Located {
        if let Some(mapped) = ip.to_ipv4_mapped() {
            return self.v4.at(mapped.to_bits()).located();
        }
        let entry = self.v6.at(ip.to_bits());
        if entry != Entry::UNKNOWN {
            return entry.located();
        }
        let [a, b, c, d, e, f, g, h] = ip.segments();
        let embedded = match (a, b, c, d, e, f) {
            (0x64, 0xff9b, 0, 0, 0, 0) => (g, h),
            (0x2002, ..) => (b, c),
            _ => return entry.located(),
        };
        let embedded = Ipv4Addr::from_bits(u32::from(embedded.0) << 16 | u32::from(embedded.1));
        self.v4.at(embedded.to_bits()).located()
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6.bytes()
    }
}

/// Index of the last of `sorted` that is not above `key`; 0 if all are. Compiles to conditional moves: the
/// outcome of a comparison is random, so a branch would be mispredicted half the time.
fn last_at_most<T: Copy + Ord>(sorted: &[T], key: T) -> usize {
    let mut base = 0;
    let mut length = sorted.len();
    while length > 1 {
        let half = length / 2;
        base += usize::from(sorted[base + half] <= key) * half;
        length -= half;
    }
    base
}

/// Ranges of IPv4 addresses.
#[derive(Debug)]
pub struct TableV4 {
    /// For each high half, where its ranges begin; one more at the end.
    cuts: Vec<u32>,
    /// Low half of each range's first address. Every cut begins with a range at 0.
    lows: Vec<u16>,
    entries: Vec<Entry>,
}

impl Default for TableV4 {
    fn default() -> Self {
        let mut builder = TableV4Builder::default();
        builder.step(0, Entry::UNKNOWN);
        builder.finish()
    }
}

impl TableV4 {
    fn at(&self, address: u32) -> Entry {
        let [a, b, c, d] = address.to_be_bytes();
        let high = usize::from(u16::from_be_bytes([a, b]));
        let range = self.cuts[high] as usize..self.cuts[high + 1] as usize;
        let start = range.start;
        self.entries[start + last_at_most(&self.lows[range], u16::from_be_bytes([c, d]))]
    }

    /// Ranges held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.iter().all(|entry| *entry == Entry::UNKNOWN)
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.cuts) + size_of_val(&*self.lows) + size_of_val(&*self.entries)
    }
}

/// Builds a [`TableV4`] from steps in ascending order, the first of them at 0.
#[derive(Debug, Default)]
pub struct TableV4Builder {
    cuts: Vec<u32>,
    lows: Vec<u16>,
    entries: Vec<Entry>,
}

impl TableV4Builder {
    /// Lets `entry` hold from `start` on.
    pub fn step(&mut self, start: u32, entry: Entry) {
        if self.entries.last() == Some(&entry) {
            return;
        }
        let [a, b, c, d] = start.to_be_bytes();
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        self.open_cuts(usize::from(high));
        if self.cuts.len() == usize::from(high) {
            self.cuts.push(self.count());
            if low > 0 {
                let before = self.entries.last().copied().unwrap_or(Entry::UNKNOWN);
                self.push(0, before);
            }
        }
        self.push(low, entry);
    }

    /// The table.
    #[must_use]
    pub fn finish(mut self) -> TableV4 {
        self.open_cuts(1 << 16);
        self.cuts.push(self.count());
        self.lows.shrink_to_fit();
        self.entries.shrink_to_fit();
        TableV4 {
            cuts: self.cuts,
            lows: self.lows,
            entries: self.entries,
        }
    }

    /// Gives every cut below `high` that has none the range that runs through it.
    fn open_cuts(&mut self, high: usize) {
        while self.cuts.len() < high {
            self.cuts.push(self.count());
            let before = self.entries.last().copied().unwrap_or(Entry::UNKNOWN);
            self.push(0, before);
        }
    }

    fn push(&mut self, low: u16, entry: Entry) {
        self.lows.push(low);
        self.entries.push(entry);
    }

    #[expect(clippy::cast_possible_truncation, reason = "there are at most 2^32 ranges")]
    fn count(&self) -> u32 {
        self.entries.len() as u32
    }
}

/// Ranges of IPv6 addresses.
#[derive(Debug)]
pub struct TableV6 {
    /// For each value of the high 16 bits, how many prefixes are below its first address; one more at the end.
    below: Vec<u32>,
    /// First 32 bits of the addresses at which a range begins, each once, ascending.
    prefixes: Vec<u32>,
    /// Where each prefix's ranges begin; one more at the end.
    offsets: Vec<u32>,
    /// Bits 32 to 63 of each range's first address. Every prefix begins with a range at 0.
    lows: Vec<u32>,
    entries: Vec<Entry>,
    /// Ranges inside a /64, ascending; every such /64 begins with a range at its first address.
    deep: Vec<(u128, Entry)>,
}

impl Default for TableV6 {
    fn default() -> Self {
        let mut builder = TableV6Builder::default();
        builder.step(0, Entry::UNKNOWN);
        builder.finish()
    }
}

impl TableV6 {
    fn at(&self, address: u128) -> Entry {
        let prefix = half(address >> 96);
        let high = (prefix >> 16) as usize;
        // From the last prefix before the cut on: what holds there may reach into it.
        let range = (self.below[high] as usize).saturating_sub(1)..self.below[high + 1] as usize;
        let found = range.start + last_at_most(&self.prefixes[range.clone()], prefix);
        let inside = self.prefixes[found] == prefix;
        let low = if inside { half(address >> 64) } else { u32::MAX };
        let range = self.offsets[found] as usize..self.offsets[found + 1] as usize;
        let start = range.start;
        let entry = self.entries[start + last_at_most(&self.lows[range], low)];
        if entry == Entry::DEEP {
            return self.at_deep(address);
        }
        entry
    }

    fn at_deep(&self, address: u128) -> Entry {
        let after = self.deep.partition_point(|(start, _)| *start <= address);
        self.deep
            .get(after.saturating_sub(1))
            .map_or(Entry::UNKNOWN, |(_, entry)| *entry)
    }

    /// Ranges held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len() + self.deep.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.iter().all(|entry| *entry == Entry::UNKNOWN)
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.below)
            + size_of_val(&*self.prefixes)
            + size_of_val(&*self.offsets)
            + size_of_val(&*self.lows)
            + size_of_val(&*self.entries)
            + size_of_val(&*self.deep)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low 32 bits are what is wanted")]
fn half(bits: u128) -> u32 {
    bits as u32
}

/// Builds a [`TableV6`] from steps in ascending order, the first of them at 0.
#[derive(Debug, Default)]
pub struct TableV6Builder {
    table: TableV6Parts,
    /// Steps that begin in the /64 at hand.
    pending: Vec<(u128, Entry)>,
}

#[derive(Debug, Default)]
struct TableV6Parts {
    prefixes: Vec<u32>,
    offsets: Vec<u32>,
    lows: Vec<u32>,
    entries: Vec<Entry>,
    deep: Vec<(u128, Entry)>,
    /// What holds at the end of the last /64 placed.
    carried: Option<Entry>,
}

impl TableV6Builder {
    /// Lets `entry` hold from `start` on.
    pub fn step(&mut self, start: u128, entry: Entry) {
        if let Some((first, last_entry)) = self.pending.last() {
            if *last_entry == entry {
                return;
            }
            if first >> 64 != start >> 64 {
                self.table.place(&self.pending, Some(start));
                self.pending.clear();
            }
        }
        self.pending.push((start, entry));
    }

    /// The table.
    #[must_use]
    pub fn finish(mut self) -> TableV6 {
        self.table.place(&self.pending, None);
        let mut parts = self.table;
        parts.offsets.push(parts.count());
        TableV6 {
            below: below(&parts.prefixes),
            prefixes: parts.prefixes,
            offsets: parts.offsets,
            lows: parts.lows,
            entries: parts.entries,
            deep: parts.deep,
        }
    }
}

impl TableV6Parts {
    /// Places the steps of one /64; `following` is where the next step begins.
    fn place(&mut self, steps: &[(u128, Entry)], following: Option<u128>) {
        let (Some((first, _)), Some((_, last))) = (steps.first().copied(), steps.last().copied()) else {
            return;
        };
        let net = first >> 64;
        let is_whole = steps.len() == 1 && first << 64 == 0;
        if is_whole {
            self.push(net, last);
            self.carried = Some(last);
            return;
        }
        if first << 64 != 0 {
            self.deep.push((net << 64, self.carried.unwrap_or(Entry::UNKNOWN)));
        }
        self.deep.extend_from_slice(steps);
        self.push(net, Entry::DEEP);
        self.carried = Some(last);
        let resumes = net < u128::from(u64::MAX) && following != Some((net + 1) << 64);
        if resumes {
            self.push(net + 1, last);
        }
    }

    fn push(&mut self, net: u128, entry: Entry) {
        let (prefix, low) = (half(net >> 32), half(net));
        if self.prefixes.last() != Some(&prefix) {
            self.prefixes.push(prefix);
            self.offsets.push(self.count());
            if low > 0 {
                self.lows.push(0);
                self.entries.push(self.carried.unwrap_or(Entry::UNKNOWN));
            }
        } else if self.lows.last() == Some(&low) {
            self.lows.pop();
            self.entries.pop();
        }
        self.lows.push(low);
        self.entries.push(entry);
    }

    #[expect(clippy::cast_possible_truncation, reason = "memory ends before 2^32 ranges")]
    fn count(&self) -> u32 {
        self.entries.len() as u32
    }
}

/// For each value of the high 16 bits, and one more, how many of the prefixes are below its first address.
fn below(prefixes: &[u32]) -> Vec<u32> {
    let mut below = Vec::with_capacity((1 << 16) + 1);
    let mut count = 0_u32;
    let mut rest = prefixes.iter().peekable();
    for high in 0..=(1_u64 << 16) {
        while rest.next_if(|prefix| u64::from(**prefix) < high << 16).is_some() {
            count += 1;
        }
        below.push(count);
    }
    below
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(id: u32) -> Entry {
        Entry { place: id, network: 0 }
    }

    /// Addresses crowded around the edges at which the tables cut: /16, /32, /64 and the ends.
    fn edge_v6() -> impl Strategy<Value = u128> {
        let high = prop_oneof![Just(0_u64), Just(u64::MAX), 0..4_u64, (0..4_u64).prop_map(|n| n << 32)];
        let low = prop_oneof![Just(0_u64), Just(u64::MAX), 0..3_u64];
        (high, 0..3_u64, low)
            .prop_map(|(high, near, low)| u128::from(high.saturating_add(near)) << 64 | u128::from(low))
    }

    fn edge_v4() -> impl Strategy<Value = u32> {
        let high = prop_oneof![0..4_u32, Just(0xffff_u32)];
        let low = prop_oneof![0..3_u32, Just(0xffff_u32)];
        (high, low).prop_map(|(high, low)| high << 16 | low)
    }

    fn naive<A: Copy + Ord>(steps: &[(A, Entry)], address: A) -> Entry {
        let after = steps.partition_point(|(start, _)| *start <= address);
        steps[after - 1].1
    }

    proptest! {
        #[test]
        fn v6_agrees_with_the_steps(
            steps in prop::collection::btree_map(edge_v6(), 1..4_u32, 0..24),
            asked in prop::collection::vec(edge_v6(), 1..24),
        ) {
            let mut all = vec![(0, entry(0))];
            all.extend(steps.into_iter().filter(|(start, _)| *start > 0).map(|(start, id)| (start, entry(id))));
            let mut builder = TableV6Builder::default();
            for (start, entry) in &all {
                builder.step(*start, *entry);
            }
            let table = builder.finish();
            for address in asked.into_iter().chain(all.iter().map(|(start, _)| *start)) {
                prop_assert_eq!(table.at(address), naive(&all, address), "{:#034x}", address);
            }
        }

        #[test]
        fn v4_agrees_with_the_steps(
            steps in prop::collection::btree_map(edge_v4(), 1..4_u32, 0..24),
            asked in prop::collection::vec(edge_v4(), 1..24),
        ) {
            let mut all = vec![(0, entry(0))];
            all.extend(steps.into_iter().filter(|(start, _)| *start > 0).map(|(start, id)| (start, entry(id))));
            let mut builder = TableV4Builder::default();
            for (start, entry) in &all {
                builder.step(*start, *entry);
            }
            let table = builder.finish();
            for address in asked.into_iter().chain(all.iter().map(|(start, _)| *start)) {
                prop_assert_eq!(table.at(address), naive(&all, address), "{:#010x}", address);
            }
        }
    }

    #[test]
    fn an_empty_table_knows_nothing() {
        let table = AddressTable::default();
        for ip in [
            "1.2.3.4",
            "255.255.255.255",
            "::",
            "ffff::ffff",
            "2002:102:304::",
            "64:ff9b::1",
        ] {
            assert_eq!(table.locate(ip.parse().unwrap()), Located::default(), "{ip}");
        }
        assert!(table.v4.is_empty() && table.v6.is_empty());
    }

    #[test]
    fn an_embedded_ipv4_address_is_the_same_host() {
        let mut builder = TableV4Builder::default();
        builder.step(0, Entry::UNKNOWN);
        builder.step(0x0102_0304, entry(7));
        builder.step(0x0102_0305, Entry::UNKNOWN);
        let table = AddressTable {
            v4: builder.finish(),
            v6: TableV6::default(),
        };
        for ip in ["1.2.3.4", "::ffff:1.2.3.4", "64:ff9b::102:304", "2002:102:304::9"] {
            assert_eq!(table.locate(ip.parse().unwrap()).place, Some(PlaceId(7)), "{ip}");
        }
    }
}
