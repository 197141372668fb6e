//! The window of one shared thing, a device or a network: which accounts used it, when, and what each claims.

use std::sync::Arc;

use super::DAY_MS;
use super::episode::Episodes;
use super::settings::WindowSettings;
use crate::model::{EntityKind, Link};

/// Facts about one shared thing.
#[derive(Clone, Debug, PartialEq)]
pub struct EntityFacts {
    /// Kind of the thing.
    pub kind: EntityKind,
    /// Name of the thing, as evidence spells it.
    pub name: Box<str>,
    /// Append time of the last link, ms.
    pub last_append_ms: i64,
    /// Accounts tied to it, by name.
    pub ties: Vec<Tie>,
    /// Accounts that found no place in `ties`.
    pub overflow: u64,
    /// Open alerts.
    pub episodes: Episodes,
    /// Offers withheld because this network may be a farm: alert identity, time first withheld.
    pub withheld: Vec<(u128, i64)>,
    /// Alerts already published from offers.
    pub taken_offers: Vec<u128>,
}

/// One account's use of the thing.
#[derive(Clone, Debug, PartialEq)]
pub struct Tie {
    /// First use in event time, ms.
    pub first_ms: i64,
    /// Latest use in event time, ms.
    pub last_ms: i64,
    /// Devices used there (for a network), or networks used (for a device); oldest first.
    pub companions: Vec<Box<str>>,
    /// The latest link of the account, without its offer. Shared with the caller, who judges it.
    pub latest: Arc<Link>,
}

/// Devices or networks remembered per tie.
pub const COMPANIONS_MAX: usize = 4;
/// Withheld or taken offers remembered per thing.
pub const OFFERS_MAX: usize = 32;

impl Tie {
    /// Days of use within the account's window.
    #[must_use]
    pub fn days(&self) -> u16 {
        self.latest.account_facts.days_on_entity
    }
}

impl EntityFacts {
    /// An empty window of the link's thing.
    #[must_use]
    pub fn new(link: &Link) -> Self {
        Self {
            kind: link.entity_kind,
            name: link.entity.as_str().into(),
            last_append_ms: 0,
            ties: Vec::new(),
            overflow: 0,
            episodes: Episodes::default(),
            withheld: Vec::new(),
            taken_offers: Vec::new(),
        }
    }

    /// Folds one link, whose offer was taken out. Gives the index of its tie, unless all places were taken by others.
    pub fn apply(&mut self, link: &Arc<Link>, append_ms: i64, settings: &WindowSettings) -> Option<usize> {
        let append_ms = self.last_append_ms.max(append_ms);
        self.last_append_ms = append_ms;
        self.forget(append_ms, settings);
        let index = match self
            .ties
            .binary_search_by(|t| t.latest.account.as_str().cmp(&link.account))
        {
            Ok(index) => index,
            Err(_) if self.ties.len() >= settings.ties_max.max(2) => {
                self.overflow += 1;
                return None;
            }
            Err(index) => {
                let tie = Tie {
                    first_ms: link.first_ms,
                    last_ms: link.time_ms,
                    companions: Vec::new(),
                    latest: Arc::clone(link),
                };
                self.ties.insert(index, tie);
                index
            }
        };
        let tie = &mut self.ties[index];
        tie.first_ms = tie.first_ms.min(link.first_ms);
        if link.time_ms >= tie.last_ms {
            tie.last_ms = link.time_ms;
            tie.latest = Arc::clone(link);
        }
        let companion = match link.entity_kind {
            EntityKind::Network => link.device.as_deref(),
            EntityKind::Device | EntityKind::Factor => link.address.as_deref(),
        };
        if let Some(companion) = companion.filter(|c| !c.is_empty() && tie.companions.iter().all(|k| **k != **c)) {
            if tie.companions.len() >= COMPANIONS_MAX {
                tie.companions.remove(0);
            }
            tie.companions.push(companion.into());
        }
        Some(index)
    }

    fn forget(&mut self, append_ms: i64, settings: &WindowSettings) {
        let kept_ms = i64::from(settings.retention_days) * DAY_MS + settings.allowed_lateness_ms;
        let horizon = append_ms.saturating_sub(kept_ms);
        self.ties.retain(|t| t.last_ms >= horizon);
        self.episodes.forget_before(horizon);
        if self.ties.is_empty() {
            self.overflow = 0;
        }
    }

    /// Since when, in event time, the offer with that alert identity has been withheld; `at_ms` if it was not yet.
    pub fn withhold(&mut self, alert: u128, at_ms: i64) -> i64 {
        if let Some((_, since)) = self.withheld.iter().find(|(id, _)| *id == alert) {
            return *since;
        }
        if self.withheld.len() >= OFFERS_MAX {
            self.withheld.remove(0);
        }
        self.withheld.push((alert, at_ms));
        at_ms
    }

    /// Remembers that an offer was published. False if it was before.
    pub fn take_offer(&mut self, alert: u128) -> bool {
        if self.taken_offers.contains(&alert) {
            return false;
        }
        if self.taken_offers.len() >= OFFERS_MAX {
            self.taken_offers.remove(0);
        }
        self.taken_offers.push(alert);
        true
    }

    /// Whether nothing would be left at this append time.
    #[must_use]
    pub fn is_expired(&self, append_ms: i64, settings: &WindowSettings) -> bool {
        let kept_ms = i64::from(settings.retention_days) * DAY_MS + settings.allowed_lateness_ms;
        self.last_append_ms < append_ms.saturating_sub(kept_ms)
    }

    /// Accounts seen on the thing since a moment of event time.
    pub fn ties_since(&self, from_ms: i64) -> impl Iterator<Item = &Tie> {
        self.ties.iter().filter(move |t| t.last_ms >= from_ms)
    }
}
