//! Each combination of operator's line, autonomous system and anonymizer, spelled out once.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::model::{Network, NetworkClass};

use super::NetworkId;
use super::network_list::NetworkList;

/// The values of the three layers that make a network; `NOTHING` where a layer has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct NetworkKey {
    pub(super) operator: u32,
    pub(super) system: u32,
    pub(super) class: u32,
}

/// Spells out each combination of operator's line, autonomous system and anonymizer once.
pub(super) struct Interner<'a> {
    systems: &'a [(u32, String)],
    classes: &'a [(NetworkClass, String)],
    list: &'a NetworkList,
    networks: Vec<Network>,
    by_key: HashMap<NetworkKey, NetworkId, FixedState>,
    by_content: HashMap<(NetworkClass, String, u32, String), NetworkId, FixedState>,
    last: Option<(NetworkKey, NetworkId)>,
}

impl<'a> Interner<'a> {
    pub(super) fn new(
        systems: &'a [(u32, String)],
        classes: &'a [(NetworkClass, String)],
        list: &'a NetworkList,
    ) -> Self {
        Self {
            systems,
            classes,
            list,
            networks: vec![Network::default()],
            by_key: HashMap::default(),
            by_content: std::iter::once((Default::default(), NetworkId(0))).collect(),
            last: None,
        }
    }

    /// The network of that key.
    pub(super) fn intern(&mut self, key: NetworkKey) -> NetworkId {
        if let Some((last, id)) = self.last
            && last == key
        {
            return id;
        }
        let id = match self.by_key.get(&key) {
            Some(id) => *id,
            None => self.spell(key),
        };
        self.last = Some((key, id));
        id
    }

    fn spell(&mut self, key: NetworkKey) -> NetworkId {
        let (asn, organization) = self.systems.get(key.system as usize).cloned().unwrap_or_default();
        let listed = self.list.range(key.operator).or_else(|| self.list.system(asn));
        let flagged = self
            .classes
            .get(key.class as usize)
            .map(|(class, label)| (*class, label.as_str()));
        let (class, label) = listed.or(flagged).unwrap_or_default();
        let next = NetworkId(u32::try_from(self.networks.len()).unwrap_or(0));
        let content = (class, label.to_owned(), asn, organization.clone());
        let id = *self.by_content.entry(content).or_insert(next);
        if id == next {
            self.networks.push(Network {
                class,
                label: label.to_owned(),
                asn,
                organization,
            });
        }
        self.by_key.insert(key, id);
        id
    }

    /// All networks, by id.
    pub(super) fn finish(self) -> Vec<Network> {
        self.networks
    }
}
