//! The window of one shared thing, a device or a network: which accounts used it, when, and what each claims.

use std::net::IpAddr;
use std::sync::Arc;

use super::DAY_MS;
use super::episode::Episodes;
use super::event_id::EventId;
use super::intern::Interner;
use super::settings::WindowSettings;
use crate::model::link::Text;
use crate::model::{AccountSummary, EntityKind, Link, LinkClaim, LinkPlace, Network};

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
    /// What the latest link of the account said.
    pub latest: Latest,
}

/// What a tie keeps of the latest link: what rules and evidence read. Places and networks are shared with other ties.
#[derive(Clone, Debug, PartialEq)]
pub struct Latest {
    /// The account, canonical.
    pub account: Box<str>,
    /// Id of the event.
    pub event_id: EventId,
    /// Product that wrote it.
    pub product: Box<str>,
    /// Source address of the event, if it has one.
    pub address: Option<IpAddr>,
    /// Device of the event; empty if it has none.
    pub device: Box<str>,
    /// The device id is a browser fingerprint.
    pub fingerprint: bool,
    /// What the account claims.
    pub claim: Box<LinkClaim<'static>>,
    /// Where the event was seen.
    pub place: Option<Arc<LinkPlace<'static>>>,
    /// Network of the source address.
    pub network: Arc<Network>,
    /// What else the account's window knows.
    pub account_facts: AccountSummary<'static>,
}

impl Latest {
    fn of(link: &Link<'_>, interner: &mut Interner) -> Self {
        Self {
            account: link.account.as_ref().into(),
            event_id: EventId::new(&link.event_id),
            product: link.product.as_ref().into(),
            address: address(link),
            device: device(link).into(),
            fingerprint: link.fingerprint,
            claim: Box::new(link.claim.to_owned()),
            place: link.place.as_ref().map(|place| interner.link_place(place)),
            network: interner.network_of(network(link)),
            account_facts: link.account_facts.to_owned(),
        }
    }

    /// Takes what a later link of the account says. Most of it is as before and stays where it is.
    fn update(&mut self, link: &Link<'_>, interner: &mut Interner) {
        self.event_id = EventId::new(&link.event_id);
        self.address = address(link);
        self.fingerprint = link.fingerprint;
        for (kept, text) in [(&mut self.product, &*link.product), (&mut self.device, device(link))] {
            if **kept != *text {
                *kept = text.into();
            }
        }
        if *self.claim != link.claim {
            *self.claim = link.claim.to_owned();
        }
        if self.place.as_deref() != link.place.as_ref() {
            self.place = link.place.as_ref().map(|place| interner.link_place(place));
        }
        if !is_network(&self.network, link) {
            self.network = interner.network_of(network(link));
        }
        self.account_facts = link.account_facts.to_owned();
    }

    /// Bytes on the heap, estimated: what it does not share.
    fn bytes(&self) -> usize {
        let texts = self.account.len() + self.product.len() + self.device.len() + self.event_id.bytes();
        texts
            + size_of::<LinkClaim<'_>>()
            + self.claim.employer.len()
            + self.claim.label.len()
            + self.claim.country.len()
    }
}

fn address(link: &Link<'_>) -> Option<IpAddr> {
    link.address.as_ref().and_then(|address| address.as_str().parse().ok())
}

fn device<'l>(link: &'l Link<'_>) -> &'l str {
    link.device.as_ref().map_or("", |device| device.as_str())
}

fn network(link: &Link<'_>) -> Network {
    Network {
        class: link.network_class,
        label: link.network_label.as_ref().to_owned(),
        asn: link.asn,
        organization: link.organization.as_ref().to_owned(),
    }
}

fn is_network(network: &Network, link: &Link<'_>) -> bool {
    network.class == link.network_class
        && network.asn == link.asn
        && *network.label == *link.network_label
        && *network.organization == *link.organization
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
    pub fn new(link: &Link<'_>) -> Self {
        Self {
            kind: link.entity_kind,
            name: link.entity.as_ref().into(),
            last_append_ms: 0,
            ties: Vec::new(),
            overflow: 0,
            episodes: Episodes::default(),
            withheld: Vec::new(),
            taken_offers: Vec::new(),
        }
    }

    /// Folds one link. Gives the index of its tie, unless all places were taken by others.
    pub fn apply(
        &mut self,
        link: &Link<'_>,
        append_ms: i64,
        settings: &WindowSettings,
        interner: &mut Interner,
    ) -> Option<usize> {
        let append_ms = self.last_append_ms.max(append_ms);
        self.last_append_ms = append_ms;
        self.forget(append_ms, settings);
        let index = match self.ties.binary_search_by(|t| (*t.latest.account).cmp(&*link.account)) {
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
                    latest: Latest::of(link, interner),
                };
                if self.ties.len() == self.ties.capacity() {
                    self.ties.reserve_exact((self.ties.len() / 4).max(1));
                }
                self.ties.insert(index, tie);
                index
            }
        };
        let tie = &mut self.ties[index];
        tie.first_ms = tie.first_ms.min(link.first_ms);
        if link.time_ms >= tie.last_ms {
            tie.last_ms = link.time_ms;
            tie.latest.update(link, interner);
        }
        let companion = match link.entity_kind {
            EntityKind::Network => link.device.as_ref(),
            EntityKind::Device | EntityKind::Factor => link.address.as_ref(),
        };
        let companion = companion.map(Text::as_str);
        if let Some(companion) = companion.filter(|c| !c.is_empty() && tie.companions.iter().all(|k| **k != **c)) {
            if tie.companions.len() >= COMPANIONS_MAX {
                tie.companions.remove(0);
            }
            tie.companions.reserve_exact(1);
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

    /// Bytes it takes, estimated.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let ties = self.ties.iter().map(|tie| {
            let companions = tie.companions.iter().map(|text| text.len() + size_of::<Box<str>>());
            size_of::<Tie>() + tie.latest.bytes() + companions.sum::<usize>()
        });
        size_of::<Self>() + self.name.len() + ties.sum::<usize>()
    }

    /// Accounts seen on the thing since a moment of event time.
    pub fn ties_since(&self, from_ms: i64) -> impl Iterator<Item = &Tie> {
        self.ties.iter().filter(move |t| t.last_ms >= from_ms)
    }
}
