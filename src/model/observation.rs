//! An event with its place on the map, its network and the account's claim joined on.

use std::sync::Arc;

use super::{ClaimRef, Event, Key, Network, Place, Travel};

/// An [`Event`] that has been enriched. Everything a rule may know about one record is in here; what comes
/// after reads no database and no roster, so it replays to the same bytes whatever is loaded then.
#[derive(Clone, Debug)]
pub struct Observation<'a> {
    /// What happened. Its account is the roster's spelling where the roster knows one of the names.
    pub event: &'a Event<'a>,
    /// Key of the account.
    pub key: Key,
    /// Time that orders the event in windows, ms: event time, or the append time where [`Self::time_suspect`].
    pub order_ms: i64,
    /// The event claimed to come from the future by more than the allowed skew.
    pub time_suspect: bool,
    /// Where the source address is; `None` if no database knows it.
    pub place: Option<&'a Arc<Place>>,
    /// Network of the source address.
    pub network: &'a Arc<Network>,
    /// What HR says.
    pub claim: ClaimRef<'a>,
    /// Travel approved for the day of the event.
    pub travel: Option<&'a Arc<Travel>>,
    /// Builds of the databases and lists used, for evidence: `DBIP-City-Lite 2026-06-13; roster 5f2c…`.
    pub data_versions: &'a str,
}

impl Observation<'_> {
    /// Whether the source address is where the person is: no exit that a list of networks knows, nor one that the identity
    /// provider named.
    #[must_use]
    #[inline]
    pub fn is_where_the_person_is(&self) -> bool {
        self.network.class.locates_person() && self.event.anonymizer.as_deref().is_none_or(str::is_empty)
    }
}
