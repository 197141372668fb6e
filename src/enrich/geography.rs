//! Merges every source about addresses into one table: which place, which network.
//!
//! | for | wins |
//! |---|---|
//! | place | the database listed first that knows the address |
//! | autonomous system | the database listed first that knows the address |
//! | class and label | the operator's longest prefix, else the operator's AS, else an anonymizer database |

use std::net::IpAddr;
use std::sync::OnceLock;

use crate::model::dictionary::Encoded;
use crate::model::{Network, NetworkClass};

use super::address_table::{AddressTable, Entry, TableV4Builder, TableV6Builder};
use super::network_interner::{Interner, NetworkKey};
use super::network_list::NetworkList;
use super::places::{PlaceRecords, PlaceTable};
use super::steps::{NOTHING, Steps, sweep};
use super::{Dataset, Located, NetworkId, PlaceId, Summary};

/// Ranges of both families, each with an index into its database's values.
#[derive(Clone, Debug, Default)]
pub struct Ranges {
    /// IPv4.
    pub v4: Steps<u32>,
    /// IPv6.
    pub v6: Steps<u128>,
}

/// A database of places. Values of the ranges are ids in `places`.
#[derive(Debug)]
pub struct CityDatabase {
    /// Where it comes from.
    pub dataset: Dataset,
    /// Its places.
    pub places: PlaceRecords,
    /// Which addresses are where.
    pub ranges: Ranges,
}

/// A database of autonomous systems. Values of the ranges are indices into `systems`.
#[derive(Debug)]
pub struct AsnDatabase {
    /// Where it comes from.
    pub dataset: Dataset,
    /// Number and organization.
    pub systems: Vec<(u32, String)>,
    /// Which addresses belong to which.
    pub ranges: Ranges,
}

/// A database of anonymizers or connection types. Values of the ranges are indices into `classes`.
#[derive(Debug)]
pub struct AnonymizerDatabase {
    /// Where it comes from.
    pub dataset: Dataset,
    /// Class and provider; the provider is empty if unknown.
    pub classes: Vec<(NetworkClass, String)>,
    /// Which addresses belong to which.
    pub ranges: Ranges,
}

/// A database, read.
#[derive(Debug)]
pub enum Database {
    /// Places.
    City(CityDatabase),
    /// Autonomous systems.
    Asn(AsnDatabase),
    /// Anonymizers.
    Anonymizer(AnonymizerDatabase),
}

/// What is known about addresses.
#[derive(Debug)]
pub struct Geography {
    table: AddressTable,
    places: PlaceTable,
    networks: Vec<Network>,
    /// Each as observations have it, once it was asked for.
    network_entries: Vec<OnceLock<Encoded>>,
    datasets: Vec<Dataset>,
}

impl Default for Geography {
    fn default() -> Self {
        Self {
            table: AddressTable::default(),
            places: PlaceTable::default(),
            networks: vec![Network::default()],
            network_entries: vec![OnceLock::new()],
            datasets: Vec::new(),
        }
    }
}

impl Geography {
    /// Merges the databases, in the order they are listed, and the operator's list.
    #[must_use]
    pub fn build(databases: Vec<Database>, list: NetworkList) -> Self {
        let mut merger = Merger::new(list);
        for database in databases {
            merger.take(database);
        }
        merger.merge()
    }

    pub(super) fn locate(&self, ip: IpAddr) -> Located {
        self.table.locate(ip)
    }

    pub(super) fn network_entry(&self, id: NetworkId) -> &Encoded {
        let index = id.0 as usize;
        self.network_entries[index].get_or_init(|| Encoded::of_network(&self.networks[index]))
    }

    pub(super) fn network(&self, id: NetworkId) -> &Network {
        &self.networks[id.0 as usize]
    }

    /// All places.
    #[must_use]
    pub fn places(&self) -> &PlaceTable {
        &self.places
    }

    /// Ranges of addresses in the table, of both families.
    #[must_use]
    pub fn ranges(&self) -> u64 {
        (self.table.v4.len() + self.table.v6.len()) as u64
    }

    /// What was loaded.
    #[must_use]
    pub fn datasets(&self) -> &[Dataset] {
        &self.datasets
    }

    pub(super) fn summary(&self) -> Summary {
        Summary {
            datasets: self.datasets.clone(),
            places: self.places.len() as u64,
            networks: self.networks.len() as u64,
            ranges_v4: self.table.v4.len() as u64,
            ranges_v6: self.table.v6.len() as u64,
            bytes: (self.table.bytes() + self.places.bytes()) as u64,
            ..Summary::default()
        }
    }
}

/// One database's ranges and the ids its values have once all databases are joined.
struct Layer {
    ranges: Ranges,
    ids: Vec<u32>,
}

impl Layer {
    fn id(&self, value: u32) -> Option<u32> {
        self.ids.get(value as usize).copied()
    }
}

struct Merger {
    places: PlaceRecords,
    systems: Vec<(u32, String)>,
    classes: Vec<(NetworkClass, String)>,
    list: NetworkList,
    city_layers: Vec<Layer>,
    asn_layers: Vec<Layer>,
    class_layers: Vec<Layer>,
    datasets: Vec<Dataset>,
}

impl Merger {
    fn new(list: NetworkList) -> Self {
        Self {
            places: PlaceRecords::default(),
            systems: Vec::new(),
            classes: Vec::new(),
            list,
            city_layers: Vec::new(),
            asn_layers: Vec::new(),
            class_layers: Vec::new(),
            datasets: Vec::new(),
        }
    }

    fn take(&mut self, database: Database) {
        match database {
            Database::City(city) => {
                self.datasets.push(city.dataset);
                let ids = self.places.absorb(&city.places);
                let ranges = city.ranges;
                self.city_layers.push(Layer { ranges, ids });
            }
            Database::Asn(asn) => {
                self.datasets.push(asn.dataset);
                let ids = append(&mut self.systems, asn.systems);
                let ranges = asn.ranges;
                self.asn_layers.push(Layer { ranges, ids });
            }
            Database::Anonymizer(anonymizer) => {
                self.datasets.push(anonymizer.dataset);
                let ids = append(&mut self.classes, anonymizer.classes);
                let ranges = anonymizer.ranges;
                self.class_layers.push(Layer { ranges, ids });
            }
        }
    }

    fn merge(mut self) -> Geography {
        let operator = self.list.ranges();
        let mut interner = Interner::new(&self.systems, &self.classes, &self.list);
        let mut weights = vec![0_u64; self.places.len()];

        let mut v4 = TableV4Builder::default();
        let mut before: Option<(u32, Located)> = None;
        let layers = self.layers(|ranges| &ranges.v4, &operator);
        sweep(&layers, |start, values| {
            let located = self.located(values, &mut interner);
            weigh(&mut weights, before, u64::from(start));
            before = Some((start, located));
            v4.step(start, Entry::new(located));
        });
        weigh(&mut weights, before, 1 << 32);

        let mut v6 = TableV6Builder::default();
        let layers = self.layers(|ranges| &ranges.v6, &operator);
        sweep(&layers, |start, values| {
            v6.step(start, Entry::new(self.located(values, &mut interner)));
        });

        let table = AddressTable {
            v4: v4.finish(),
            v6: v6.finish(),
        };
        let networks = interner.finish();
        self.datasets.extend(self.list.datasets().iter().cloned());
        let weights = weights
            .into_iter()
            .map(|count| u32::try_from(count).unwrap_or(u32::MAX))
            .collect();
        Geography {
            table,
            places: self.places.freeze(weights),
            network_entries: networks.iter().map(|_| OnceLock::new()).collect(),
            networks,
            datasets: self.datasets,
        }
    }

    /// The step functions of one family: cities, autonomous systems, anonymizers, and last the operator's list.
    fn layers<'a, A>(&'a self, family: impl Fn(&'a Ranges) -> &'a Steps<A>, operator: &'a Ranges) -> Vec<&'a Steps<A>> {
        let layers = self
            .city_layers
            .iter()
            .chain(&self.asn_layers)
            .chain(&self.class_layers);
        layers
            .map(|layer| &layer.ranges)
            .chain(std::iter::once(operator))
            .map(family)
            .collect()
    }

    fn located(&self, values: &[u32], interner: &mut Interner<'_>) -> Located {
        let (cities, rest) = values.split_at(self.city_layers.len());
        let (systems, rest) = rest.split_at(self.asn_layers.len());
        let (classes, operator) = rest.split_at(self.class_layers.len());
        let key = NetworkKey {
            operator: operator.first().copied().unwrap_or(NOTHING),
            system: first_known(&self.asn_layers, systems).unwrap_or(NOTHING),
            class: first_known(&self.class_layers, classes).unwrap_or(NOTHING),
        };
        Located {
            place: first_known(&self.city_layers, cities).map(PlaceId),
            network: interner.intern(key),
        }
    }
}

fn first_known(layers: &[Layer], values: &[u32]) -> Option<u32> {
    layers.iter().zip(values).find_map(|(layer, value)| layer.id(*value))
}

fn append<T>(all: &mut Vec<T>, more: Vec<T>) -> Vec<u32> {
    let base = all.len();
    all.extend(more);
    (base..all.len()).filter_map(|id| u32::try_from(id).ok()).collect()
}

/// Credits the addresses from `before` up to `end` to their place.
fn weigh(weights: &mut [u64], before: Option<(u32, Located)>, end: u64) {
    let Some((start, Located { place: Some(place), .. })) = before else {
        return;
    };
    if let Some(weight) = weights.get_mut(place.0 as usize) {
        *weight += end.saturating_sub(u64::from(start));
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use ipnet::Ipv4Net;
    use proptest::prelude::*;

    use super::super::DatasetKind;
    use super::super::places::PlaceFacts;
    use super::*;

    fn dataset(kind: DatasetKind, file: &str) -> Dataset {
        Dataset {
            kind,
            file: file.to_owned(),
            version: file.to_owned(),
            built_seconds: None,
            records: 0,
        }
    }

    /// Disjoint prefixes as a database would have them: of those drawn, the ones that overlap none before.
    fn disjoint(drawn: &[(u32, u8)]) -> Vec<Ipv4Net> {
        let mut nets: Vec<Ipv4Net> = Vec::new();
        for (bits, length) in drawn {
            let net = Ipv4Net::new(Ipv4Addr::from_bits(*bits), *length).unwrap().trunc();
            if nets.iter().all(|other| !other.contains(&net) && !net.contains(other)) {
                nets.push(net);
            }
        }
        nets.sort();
        nets
    }

    fn ranges(nets: &[Ipv4Net]) -> Ranges {
        let mut ranges = Ranges::default();
        for (id, net) in nets.iter().enumerate() {
            let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
            ranges.v4.push(first, last, u32::try_from(id).unwrap()).unwrap();
        }
        ranges
    }

    fn city(name: &str, nets: &[Ipv4Net]) -> Database {
        let mut places = PlaceRecords::default();
        for id in 0..nets.len() {
            let city = format!("{name} {id}");
            let (latitude, longitude) = (Some(1.0), Some(1.0));
            let facts = PlaceFacts {
                city: &city,
                latitude,
                longitude,
                ..PlaceFacts::default()
            };
            places.intern(&facts).unwrap();
        }
        Database::City(CityDatabase {
            dataset: dataset(DatasetKind::City, name),
            places,
            ranges: ranges(nets),
        })
    }

    fn asn(nets: &[Ipv4Net]) -> Database {
        let systems = (0_u32..).take(nets.len()).map(|id| (64_500 + id, format!("org {id}")));
        Database::Asn(AsnDatabase {
            dataset: dataset(DatasetKind::Asn, "asn"),
            systems: systems.collect(),
            ranges: ranges(nets),
        })
    }

    fn anonymizer(nets: &[Ipv4Net]) -> Database {
        Database::Anonymizer(AnonymizerDatabase {
            dataset: dataset(DatasetKind::Anonymizer, "anonymizer"),
            classes: nets.iter().map(|net| (NetworkClass::Tor, net.to_string())).collect(),
            ranges: ranges(nets),
        })
    }

    fn holding(nets: &[Ipv4Net], ip: Ipv4Addr) -> Option<usize> {
        nets.iter().position(|net| net.contains(&ip))
    }

    fn drawn() -> impl Strategy<Value = Vec<(u32, u8)>> {
        prop::collection::vec((0..8_u32, 12..=32_u8), 0..12).prop_map(|drawn| {
            drawn
                .into_iter()
                .map(|(near, length)| (near << (40 - length).min(29), length))
                .collect()
        })
    }

    proptest! {
        /// The one table agrees with asking every source in turn, longest prefix and order of listing included.
        #[test]
        fn the_table_agrees_with_every_source_in_turn(
            first in drawn(), second in drawn(), systems in drawn(), flags in drawn(), listed in drawn(),
        ) {
            let [first, second, systems, flags] = [&first, &second, &systems, &flags].map(|drawn| disjoint(drawn));
            let mut csv = "network,class,label\nAS64501,residential,by AS\n".to_owned();
            let mut prefixes = Vec::new();
            for (bits, length) in &listed {
                let net = Ipv4Net::new(Ipv4Addr::from_bits(*bits), *length).unwrap().trunc();
                prefixes.push(net);
                csv.push_str(&format!("{net},vpn,{net}\n"));
            }
            let mut list = NetworkList::default();
            prop_assert_eq!(list.read("n", String::new(), csv.as_bytes()).unwrap(), vec![]);
            let databases = vec![city("a", &first), asn(&systems), city("b", &second), anonymizer(&flags)];
            let geography = Geography::build(databases, list);

            let all = first.iter().chain(&second).chain(&systems).chain(&flags).chain(&prefixes);
            let edges = all.flat_map(|net| {
                let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
                [first, last, first.wrapping_sub(1), last.wrapping_add(1)]
            });
            for bits in edges.chain([0, u32::MAX]) {
                let ip = Ipv4Addr::from_bits(bits);
                let located = geography.locate(ip.into());
                let place = holding(&first, ip).map(|id| format!("a {id}"));
                let place = place.or_else(|| holding(&second, ip).map(|id| format!("b {id}")));
                prop_assert_eq!(located.place.map(|id| geography.places.place(id).city), place, "{}", ip);

                let network = geography.network(located.network);
                let system = holding(&systems, ip);
                prop_assert_eq!(network.asn, system.map_or(0, |id| 64_500 + u32::try_from(id).unwrap()), "{}", ip);
                let prefix = prefixes.iter().filter(|net| net.contains(&ip)).max_by_key(|net| net.prefix_len());
                let expected = match (prefix, system, holding(&flags, ip)) {
                    (Some(prefix), ..) => (NetworkClass::Vpn, prefix.to_string()),
                    (None, Some(1), _) => (NetworkClass::Residential, "by AS".to_owned()),
                    (None, _, Some(flag)) => (NetworkClass::Tor, flags[flag].to_string()),
                    (None, _, None) => (NetworkClass::Unknown, String::new()),
                };
                prop_assert_eq!((network.class, network.label.clone()), expected, "{}", ip);
            }
        }
    }
}
