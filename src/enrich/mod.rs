//! Reference data: where addresses are, what networks they belong to, and what HR says.
//!
//! Everything is resolved when it is loaded: all databases and lists become one flat table, every claim a point.
//! Looking up is then a few array reads, and the whole is swapped at once.

pub mod geography;
pub mod address_table;
pub mod steps;
pub mod places;
mod country_radius;
pub mod network_list;
mod network_interner;
pub mod roster;
pub mod roster_builder;
mod roster_file;
mod roster_line;
pub mod gazetteer;
mod fold;
mod table;
pub mod asn_csv;
pub mod us_states;
pub mod countries;
pub mod problem;
pub mod demo_table;

use std::net::IpAddr;
use std::sync::Arc;

use crate::model::dictionary::Encoded;
use crate::model::{Network, Place};
use geography::Geography;
use roster::Roster;
pub use roster::{NEAR_MAX, Rostered};

/// A place within one [`Reference`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlaceId(pub(crate) u32);

/// A network within one [`Reference`]; the default is the unknown network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetworkId(pub(crate) u32);

/// What is known about an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Located {
    /// Where it is; `None` if no database knows.
    pub place: Option<PlaceId>,
    /// Its network; the unknown network if no database or list names it.
    pub network: NetworkId,
}

/// Everything intake looks things up in; built whole, swapped whole.
///
/// Ids belong to the `Reference` that gave them and mean nothing to another.
#[derive(Debug)]
pub struct Reference {
    geography: Arc<Geography>,
    roster: Arc<Roster>,
    versions: String,
}

impl Default for Reference {
    fn default() -> Self {
        Self::new(Arc::default(), Arc::default())
    }
}

impl Reference {
    /// Joins what is known about addresses and about accounts.
    #[must_use]
    pub fn new(geography: Arc<Geography>, roster: Arc<Roster>) -> Self {
        let versions: Vec<String> = geography
            .datasets()
            .iter()
            .chain(roster.datasets())
            .map(|dataset| dataset.version.clone())
            .collect();
        Self {
            geography,
            roster,
            versions: versions.join("; "),
        }
    }

    /// Where `ip` is and what network it belongs to. Meant for public addresses: what an operator's list says about
    /// private ones is answered too, but no database places them.
    #[must_use]
    pub fn locate(&self, ip: IpAddr) -> Located {
        self.geography.locate(ip)
    }

    /// The place with that id.
    ///
    /// # Panics
    /// If the id comes from another `Reference`.
    #[must_use]
    pub fn place(&self, id: PlaceId) -> Place {
        self.geography.places().place(id)
    }

    /// The place with that id, as observations have it.
    ///
    /// # Panics
    /// If the id comes from another `Reference`.
    #[must_use]
    #[inline]
    pub fn place_entry(&self, id: PlaceId) -> &Encoded {
        self.geography.places().entry(id)
    }

    /// The network with that id, as observations have it.
    ///
    /// # Panics
    /// If the id comes from another `Reference`.
    #[must_use]
    #[inline]
    pub fn network_entry(&self, id: NetworkId) -> &Encoded {
        self.geography.network_entry(id)
    }

    /// Brings what observations have of places and networks near, before it is asked for.
    #[inline]
    pub fn bring_located_near(&self, located: impl Iterator<Item = Located>) {
        let lines = located.map(|located| {
            let place = located.place.map_or(0, |id| self.place_entry(id).touch());
            place ^ self.network_entry(located.network).touch()
        });
        std::hint::black_box(lines.fold(0, |all, line| all ^ line));
    }

    /// The network with that id.
    ///
    /// # Panics
    /// If the id comes from another `Reference`.
    #[must_use]
    pub fn network(&self, id: NetworkId) -> &Network {
        self.geography.network(id)
    }

    /// The account that the first known of the names belongs to. Names are canonical, as
    /// [`crate::model::Account::canonical`] spells them.
    #[must_use]
    #[inline]
    pub fn resolve<'n>(&'n self, mut names: impl Iterator<Item = &'n str>) -> Option<Rostered<'n>> {
        names.find_map(|name| self.roster.find(name))
    }

    /// Brings what is known of those names near, of the first [`NEAR_MAX`] of them, before they are resolved.
    pub fn bring_near<'n>(&self, names: impl Iterator<Item = &'n str>) {
        self.roster.bring_near(names);
    }

    /// Builds of everything loaded, for evidence: `GeoLite2-City 2026-11-20; networks 5f2c01aa; roster 09be77d1`.
    #[must_use]
    pub fn versions(&self) -> &str {
        &self.versions
    }

    /// What is known about addresses, to join another roster to.
    #[must_use]
    pub fn geography(&self) -> &Arc<Geography> {
        &self.geography
    }

    /// What is known about accounts, to join other databases to.
    #[must_use]
    pub fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    /// How much is loaded, for `check`, logs and metrics.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut summary = self.geography.summary();
        self.roster.summarize(&mut summary);
        summary
    }
}

/// Kind of a [`Dataset`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DatasetKind {
    /// Places of addresses.
    City,
    /// Autonomous systems.
    Asn,
    /// Anonymizers, proxies, connection types.
    Anonymizer,
    /// The operator's list of networks.
    Networks,
    /// The roster.
    Roster,
    /// Approved travel.
    Travel,
}

impl DatasetKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::City,
        Self::Asn,
        Self::Anonymizer,
        Self::Networks,
        Self::Roster,
        Self::Travel,
    ];

    /// The kind as metric labels spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::City => "city",
            Self::Asn => "asn",
            Self::Anonymizer => "anonymizer",
            Self::Networks => "networks",
            Self::Roster => "roster",
            Self::Travel => "travel",
        }
    }
}

/// One file, or topic, that was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// What it holds.
    pub kind: DatasetKind,
    /// File, or topic.
    pub file: String,
    /// `GeoLite2-City 2026-11-20`, or `roster` and a digest of the content.
    pub version: String,
    /// When it was built, seconds since the epoch; `None` if the file does not say.
    pub built_seconds: Option<i64>,
    /// Records in use: networks, lines, accounts.
    pub records: u64,
}

/// How much is loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// What was loaded, in order.
    pub datasets: Vec<Dataset>,
    /// Distinct places.
    pub places: u64,
    /// Distinct networks, the unknown one included.
    pub networks: u64,
    /// Ranges of IPv4 addresses in the table.
    pub ranges_v4: u64,
    /// Ranges of IPv6 addresses in the table.
    pub ranges_v6: u64,
    /// Accounts of the roster.
    pub accounts: u64,
    /// Accounts whose claim has a point.
    pub accounts_placed: u64,
    /// Approved journeys.
    pub travels: u64,
    /// Bytes of the tables of addresses and places.
    pub bytes: u64,
}
