//! The window of one account: everything later rules may ask about it, in one record.

use std::net::IpAddr;
use std::sync::Arc;

use super::days::Days;
use super::episode::hash;
use super::event_id::EventId;
pub use super::network_fact::{NetworkFact, Told, network_name};
use super::rare::{self, make_room};
pub use super::rare::{PeripheralFact, Rare, RdpFact, SessionFact, ToolFact};
use super::recent_ids::{Kept, RecentIds, id_hash};
use super::settings::WindowSettings;
use super::texts::{TextId, Texts};
use super::visits::{Inserted, Visit, Visits};
use super::{DAY_MS, HOUR_MS, day_of};
use crate::model::{EventKind, Observation, Outcome, Place};

/// Facts about one account.
#[derive(Clone, Debug, Default)]
pub struct AccountFacts {
    /// Append time of the last record that changed the window, ms.
    pub last_append_ms: i64,
    /// Recent located sign-ins.
    pub visits: Visits,
    /// Days with a located sign-in.
    pub located: Days,
    /// Of those, days with one near the claim (or from an allowed country).
    pub near: Days,
    /// Days with a located sign-in far from the claim and not on approved travel.
    pub away: Days,
    /// Networks the account used.
    pub networks: Vec<NetworkFact>,
    /// Devices the account used.
    pub devices: Vec<DeviceFact>,
    /// The latest event ids.
    pub event_ids: RecentIds,
    /// How often anything changed that a link tells of. Compared with [`Told::news`] for equality only.
    pub news: u32,
    /// Texts that visits, networks and devices share.
    pub(super) texts: Texts,
    /// What few accounts have; `None` where that is nothing.
    pub(super) rare: Option<Box<Rare>>,
    /// No fact but a visit or an episode was last seen before this, ms, so none can expire before its time has come.
    pub(super) oldest_ms: OldestMs,
}

/// A device the account used.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceFact {
    /// Id, among the account's texts.
    pub id: TextId,
    /// A browser fingerprint: weak.
    pub fingerprint: bool,
    /// Days of use.
    pub days: Days,
    /// First and latest use, ms.
    pub first_ms: i64,
    /// See `first_ms`.
    pub last_ms: i64,
    /// The last link told of it.
    pub told: Told,
}

/// How an event stands to the clock of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lateness {
    /// In time.
    #[default]
    None,
    /// Behind, but within the allowed lateness.
    Late,
    /// Behind by more: older facts may be gone.
    Beyond,
}

/// What an observation changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The event was folded before; nothing changed.
    pub duplicate: bool,
    /// How late it is.
    pub lateness: Lateness,
    /// Index of the visit it became, if it locates the person.
    pub visit: Option<usize>,
    /// It was located but the ring was full of younger visits.
    pub visit_dropped: bool,
    /// Distance to the claim was judged: it is far.
    pub is_away: bool,
    /// A day of located work was added to the ledgers.
    pub day_added: bool,
    /// A day was added to the network or the device used, which may itself be new.
    pub tie_changed: bool,
    /// A tool, peripheral, remote-desktop logon or VPN session was added.
    pub relay_facts: bool,
    /// Index of the network used.
    pub network: Option<usize>,
    /// Index of the device used.
    pub device: Option<usize>,
}

/// Far from, near to, or not comparable with the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimDistance {
    /// Where HR says, within every error radius, or in an allowed country.
    Near,
    /// Farther than any error explains.
    Away,
    /// Approved travel explains it.
    Traveling,
    /// Nothing to compare.
    Unknown,
}

/// Whether the observation shows its account at work: it worked, a person did it.
#[must_use]
pub fn is_presence(seen: &Observation<'_>) -> bool {
    let event = seen.event;
    let kind = matches!(
        event.kind,
        EventKind::Login | EventKind::VpnOpen | EventKind::VpnRenew | EventKind::Activity
    );
    kind && event.interactive && event.outcome == Outcome::Success
}

impl AccountFacts {
    /// Whether an observation may open a window: a name that never succeeded at anything gets none.
    #[must_use]
    pub fn may_begin_with(seen: &Observation<'_>) -> bool {
        is_presence(seen)
            || matches!(seen.event.kind, EventKind::ToolSeen | EventKind::PeripheralAttached)
            || (seen.event.kind == EventKind::RdpLogon && seen.event.outcome == Outcome::Success)
    }

    /// Folds one observation. `distance` is how it stands to the claim, judged by the caller's thresholds.
    pub fn apply(
        &mut self,
        seen: &Observation<'_>,
        append_ms: i64,
        distance: ClaimDistance,
        settings: &WindowSettings,
    ) -> Change {
        let mut change = Change::default();
        let id_hash = id_hash(&seen.event.id, &seen.event.product);
        // Sources are read at different speeds, so the clock of an account must not be carried back by a slow one.
        let append_ms = self.last_append_ms.max(append_ms);
        self.last_append_ms = append_ms;
        if !self.event_ids.insert(id_hash, append_ms, ids_kept(settings)) {
            change.duplicate = true;
            return change;
        }
        self.forget(append_ms, settings);
        self.oldest_ms.0 = self.oldest_ms.0.min(seen.order_ms);
        change.lateness = lateness(seen.order_ms, append_ms, settings.allowed_lateness_ms);
        if is_presence(seen) {
            self.apply_presence(seen, append_ms, distance, settings, &mut change);
        }
        if rare::concerns(seen) {
            change.relay_facts = self.rare_mut().apply(seen, settings);
        }
        let is_sighting = change.relay_facts && self.rare().has_sightings();
        if change.day_added || change.tie_changed || is_sighting {
            self.news = self.news.wrapping_add(1);
        }
        self.keep_texts();
        change
    }

    /// What few accounts have.
    #[must_use]
    pub fn rare(&self) -> &Rare {
        self.rare.as_deref().unwrap_or(&rare::NONE)
    }

    /// What few accounts have, to be changed.
    pub fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_with(|| Box::new(Rare::none()))
    }

    /// The text of that number.
    #[must_use]
    pub fn text(&self, id: TextId) -> &str {
        self.texts.text(id)
    }

    /// Index of the device of that id.
    #[must_use]
    pub fn device_of(&self, id: &str) -> Option<usize> {
        let id = self.texts.find(id)?;
        self.devices.iter().position(|d| d.id == id)
    }

    /// Reads one value of each list, to bring them near.
    #[must_use]
    pub fn touch(&self) -> i64 {
        let visit = self.visits.as_slice().last().map_or(0, |visit| visit.order_ms);
        let network = self.networks.first().map_or(0, |network| network.last_ms);
        let device = self.devices.first().map_or(0, |device| device.last_ms);
        let id = self.event_ids.iter().next().map_or(0, u64::cast_signed);
        visit ^ network ^ device ^ id
    }

    /// Whether the account was seen on one day only, and with nothing that a rule may want to remember.
    #[must_use]
    pub fn is_provisional(&self) -> bool {
        self.rare().is_empty() && self.networks.iter().all(|network| network.days.count() <= 1)
    }

    /// Bytes it takes, estimated.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let lists = size_of_val(self.visits.as_slice())
            + size_of_val(self.networks.as_slice())
            + size_of_val(self.devices.as_slice())
            + self.event_ids.len() * size_of::<u64>();
        let ids = (self.visits.as_slice().iter().map(|v| v.event_id.bytes()))
            .chain(self.networks.iter().map(|n| n.event_id.bytes()));
        let rare = self.rare.as_ref().map_or(0, |rare| rare.bytes());
        size_of::<Self>() + lists + ids.sum::<usize>() + self.texts.bytes() + rare
    }

    /// Gives up texts that no fact uses any more, once they are many.
    fn keep_texts(&mut self) {
        if !self.texts.is_cluttered() {
            return;
        }
        let used = (self.visits.as_slice().iter().flat_map(|v| [v.product, v.device]))
            .chain(self.networks.iter().flat_map(|n| [n.product, n.device]))
            .chain(self.devices.iter().map(|d| d.id));
        let renumbered = self.texts.keep(used);
        for visit in self.visits.as_mut_slice() {
            visit.product = renumbered.of(visit.product);
            visit.device = renumbered.of(visit.device);
        }
        for network in &mut self.networks {
            network.product = renumbered.of(network.product);
            network.device = renumbered.of(network.device);
        }
        for device in &mut self.devices {
            device.id = renumbered.of(device.id);
        }
    }

    fn apply_presence(
        &mut self,
        seen: &Observation<'_>,
        append_ms: i64,
        distance: ClaimDistance,
        settings: &WindowSettings,
        change: &mut Change,
    ) {
        let day = day_of(seen.order_ms);
        // A sign-in whose clock is broken was somewhere, but nobody knows when.
        let locates = seen.network.class.locates_person() && !seen.time_suspect;
        if let (Some(address), Some(place), true) = (seen.event.source_ip, seen.place, locates) {
            let visit = self.visit(seen, address, place);
            let settled_ms = append_ms - settings.allowed_lateness_ms;
            let texts = &self.texts;
            let tell_apart = |visit: &Visit| hash(&[visit.event_id.to_string().as_str(), texts.text(visit.product)]);
            match self.visits.insert(visit, settings.visits_max, settled_ms, tell_apart) {
                Inserted::At(index) => change.visit = Some(index),
                Inserted::TooOld => change.visit_dropped = true,
            }
            change.day_added = self.located.mark(day);
            match distance {
                ClaimDistance::Near => change.day_added |= self.near.mark(day),
                ClaimDistance::Away => {
                    change.is_away = true;
                    change.day_added |= self.away.mark(day);
                }
                ClaimDistance::Traveling | ClaimDistance::Unknown => {}
            }
        }
        if let Some(address) = seen.event.source_ip {
            let index = self.network_index(seen, address, settings.networks_max);
            let fact = &mut self.networks[index];
            change.tie_changed |= fact.days.mark(day);
            if change.is_away {
                fact.away.mark(day);
            }
            change.network = Some(index);
        }
        if let Some(device) = &seen.event.device {
            let index = self.device_index(&device.id, device.fingerprint, seen.order_ms, settings.devices_max);
            change.tie_changed |= self.devices[index].days.mark(day);
            change.device = Some(index);
        }
    }

    fn visit(&mut self, seen: &Observation<'_>, address: IpAddr, place: &Arc<Place>) -> Visit {
        let event = seen.event;
        Visit {
            order_ms: seen.order_ms,
            event_id: EventId::new(&event.id),
            product: self.texts.number(&event.product),
            place: Arc::clone(place),
            network: Arc::clone(seen.network),
            address,
            device: self.texts.number(device_id(seen)),
            mfa: event.mfa.as_ref().is_some_and(|m| m.used),
        }
    }

    fn network_index(&mut self, seen: &Observation<'_>, address: IpAddr, networks_max: usize) -> usize {
        let found = self.networks.iter().position(|n| n.holds(address));
        let index = found.unwrap_or_else(|| {
            make_room(&mut self.networks, networks_max, |n| n.last_ms);
            push_exact(
                &mut self.networks,
                NetworkFact {
                    address,
                    network: Arc::clone(seen.network),
                    place: seen.place.cloned(),
                    days: Days::default(),
                    away: Days::default(),
                    first_ms: seen.order_ms,
                    last_ms: i64::MIN,
                    device: TextId::default(),
                    event_id: EventId::default(),
                    product: TextId::default(),
                    told: Told::NEVER,
                },
            )
        });
        let fact = &mut self.networks[index];
        fact.first_ms = fact.first_ms.min(seen.order_ms);
        if seen.order_ms >= fact.last_ms {
            fact.last_ms = seen.order_ms;
            fact.address = address;
            if !Arc::ptr_eq(&fact.network, seen.network) {
                fact.network = Arc::clone(seen.network);
            }
            if fact.place.as_ref().map(Arc::as_ptr) != seen.place.map(Arc::as_ptr) {
                fact.place = seen.place.cloned();
            }
            fact.event_id = EventId::new(&seen.event.id);
            fact.product = self.texts.number(&seen.event.product);
            if seen.event.device.is_some() {
                fact.device = self.texts.number(device_id(seen));
            }
        }
        index
    }

    fn device_index(&mut self, id: &str, fingerprint: bool, time_ms: i64, devices_max: usize) -> usize {
        let id = self.texts.number(id);
        let index = self.devices.iter().position(|d| d.id == id).unwrap_or_else(|| {
            make_room(&mut self.devices, devices_max, |d| d.last_ms);
            push_exact(
                &mut self.devices,
                DeviceFact {
                    id,
                    fingerprint,
                    days: Days::default(),
                    first_ms: time_ms,
                    last_ms: time_ms,
                    told: Told::NEVER,
                },
            )
        });
        let fact = &mut self.devices[index];
        fact.first_ms = fact.first_ms.min(time_ms);
        fact.last_ms = fact.last_ms.max(time_ms);
        index
    }

    /// Forgets what the append time says is old. The same facts are left whenever it is asked.
    fn forget(&mut self, append_ms: i64, settings: &WindowSettings) {
        let lateness = settings.allowed_lateness_ms;
        let horizon = append_ms
            .saturating_sub(i64::from(settings.retention_days) * DAY_MS)
            .saturating_sub(lateness);
        self.visits
            .forget_before(append_ms - i64::from(settings.visits_hours) * HOUR_MS - lateness);
        if let Some(rare) = &mut self.rare {
            rare.episodes.forget_before(horizon);
        }
        if self.oldest_ms.0 >= horizon {
            return;
        }
        self.networks.retain(|n| n.last_ms >= horizon);
        self.devices.retain(|d| d.last_ms >= horizon);
        if let Some(rare) = &mut self.rare {
            rare.forget_before(horizon);
        }
        self.rare.take_if(|rare| rare.is_empty());
        self.oldest_ms = self.find_oldest();
    }

    pub(super) fn find_oldest(&self) -> OldestMs {
        let seen = (self.networks.iter().map(|n| n.last_ms))
            .chain(self.devices.iter().map(|d| d.last_ms))
            .chain(self.rare().oldest_ms());
        OldestMs(seen.min().unwrap_or(i64::MAX))
    }

    /// Whether nothing would be left at this append time.
    #[must_use]
    pub fn is_expired(&self, append_ms: i64, settings: &WindowSettings) -> bool {
        let kept_ms = i64::from(settings.retention_days) * DAY_MS + settings.allowed_lateness_ms;
        self.last_append_ms < append_ms.saturating_sub(kept_ms)
    }
}

/// A lower bound that is found again after a restore: it may only decide what is looked at, never what is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct OldestMs(i64);

impl Default for OldestMs {
    fn default() -> Self {
        Self(i64::MAX)
    }
}

/// Event ids that an account keeps for good: a week of one who signs in three times a day.
const EVENT_IDS_MIN: usize = 20;

/// Ids are kept for as long as a sign-in folded twice could be judged against another: for as long as visits are.
fn ids_kept(settings: &WindowSettings) -> Kept {
    Kept {
        ids_max: settings.event_ids_max,
        ids_min: EVENT_IDS_MIN,
        kept_ms: i64::from(settings.visits_hours) * HOUR_MS + settings.allowed_lateness_ms,
    }
}

/// Appends with no room to spare: most accounts have one or two of a kind. Gives the index.
fn push_exact<T>(list: &mut Vec<T>, item: T) -> usize {
    if list.len() == list.capacity() {
        list.reserve_exact(1);
    }
    list.push(item);
    list.len() - 1
}

fn device_id<'s>(seen: &'s Observation<'_>) -> &'s str {
    seen.event.device.as_ref().map_or("", |device| device.id.as_ref())
}

fn lateness(order_ms: i64, append_ms: i64, allowed_ms: i64) -> Lateness {
    match append_ms.saturating_sub(order_ms) {
        behind if behind <= 0 => Lateness::None,
        behind if behind <= allowed_ms => Lateness::Late,
        _ => Lateness::Beyond,
    }
}
