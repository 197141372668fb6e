//! The window of one account: everything later rules may ask about it, in one record.

use std::net::IpAddr;

use super::days::Days;
use super::episode::hash;
use super::few::Few;
pub use super::network_fact::{NetworkFact, Told};
use super::origin::{Origin, OriginId, Others};
use super::rare;
pub use super::rare::{PeripheralFact, Rare, RdpFact, SessionFact, ToolFact};
use super::recent_ids::{Kept, RecentIds, id_hash};
use super::settings::WindowSettings;
use super::texts::{TextId, Texts};
use super::visits::{Inserted, Visit, Visits};
use super::{DAY_MS, HOUR_MS, day_of};
use crate::model::event_id::EventId;
use crate::model::{EventKind, Observation, Outcome};

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
    pub devices: Few<DeviceFact>,
    /// The latest event ids.
    pub event_ids: RecentIds,
    /// How often anything changed that a link tells of. Compared with [`Told::news`] for equality only.
    pub news: u32,
    /// Origins of visits that are not those of `networks`.
    pub(super) others: Others,
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

/// What a sign-in is called, in the words of its account's window.
struct Named {
    event_id: EventId,
    product: TextId,
    device: TextId,
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
        if self.texts.is_cluttered() {
            self.keep_texts();
        }
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

    /// Where a visit was.
    #[must_use]
    pub fn origin(&self, id: OriginId) -> &Origin {
        self.others.origin(&self.networks, id)
    }

    /// Index of the device of that id.
    #[must_use]
    pub fn device_of(&self, id: &str) -> Option<usize> {
        let id = self.texts.find(id)?;
        self.devices.iter().position(|d| d.id == id)
    }

    /// Reads a little of every line of the window, to bring them near.
    #[must_use]
    pub fn touch(&self) -> i64 {
        // Neither loops nor choices: a wrong guess of the processor would wait for what is on its way.
        let counts = self.visits.as_slice().len() ^ self.networks.len() ^ self.event_ids.len();
        let is_any = self.rare.is_some() | self.others.is_any() | self.texts.is_cluttered() | self.devices.is_empty();
        let counts = counts.cast_signed() as i64 ^ i64::from(self.news) ^ i64::from(is_any);
        self.last_append_ms ^ self.oldest_ms.0 ^ counts
    }

    /// As [`AccountFacts::touch`], of the lists that each event asks for.
    #[must_use]
    pub fn touch_apart(&self) -> i64 {
        let visits = self.visits.as_slice();
        let visit = |visit: Option<&Visit>| visit.map_or(0, |visit| visit.order_ms);
        let lines = |fact: &NetworkFact| {
            let address = i64::from(fact.origin.address.is_ipv4());
            fact.last_ms ^ fact.told.append_ms ^ address ^ i64::from(fact.days.is_empty())
        };
        let network = |fact: Option<&NetworkFact>| fact.map_or(0, lines);
        visit(visits.first())
            ^ visit(visits.get(visits.len() / 2))
            ^ visit(visits.last())
            ^ network(self.networks.first())
            ^ network(self.networks.last())
            ^ self.event_ids.touch().cast_signed()
    }

    /// Whether the account was seen on one day only, and with nothing that a rule may want to remember.
    #[must_use]
    pub fn is_provisional(&self) -> bool {
        self.rare().is_empty() && self.networks.iter().all(|network| network.days.count() <= 1)
    }

    /// Bytes it takes, estimated.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let lists = self.visits.bytes()
            + self.networks.capacity() * size_of::<NetworkFact>()
            + self.devices.bytes()
            + self.others.bytes()
            + self.event_ids.bytes();
        let ids = (self.visits.as_slice().iter().map(|v| v.event_id.bytes()))
            .chain(self.networks.iter().map(|n| n.event_id.bytes()));
        let rare = self.rare.as_ref().map_or(0, |rare| rare.bytes());
        size_of::<Self>() + lists + ids.sum::<usize>() + self.texts.bytes() + rare
    }

    /// Gives up texts that no fact uses any more, once they are many.
    fn keep_texts(&mut self) {
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
        for device in self.devices.iter_mut() {
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
        if let Some(address) = seen.event.source_ip {
            let named = Named {
                event_id: seen.event.id.clone(),
                product: self.texts.number(&seen.event.product),
                device: self.texts.number(device_id(seen)),
            };
            let index = self.apply_network(seen, address, &named, settings.networks_max);
            change.network = Some(index);
            // A sign-in whose clock is broken was somewhere, but nobody knows when.
            if seen.place.is_some() && seen.network.class.locates_person() && !seen.time_suspect {
                self.apply_visit(seen, address, index, named, append_ms, settings, change);
                change.day_added = self.located.mark(day);
                match distance {
                    ClaimDistance::Near => change.day_added |= self.near.mark(day),
                    ClaimDistance::Away => {
                        change.is_away = true;
                        change.day_added |= self.away.mark(day);
                        self.networks[index].away.mark(day);
                    }
                    ClaimDistance::Traveling | ClaimDistance::Unknown => {}
                }
            }
            change.tie_changed |= self.networks[index].days.mark(day);
        }
        if let Some(device) = &seen.event.device {
            let index = self.device_index(&device.id, device.fingerprint, seen.order_ms, settings.devices_max);
            change.tie_changed |= self.devices[index].days.mark(day);
            change.device = Some(index);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what was found out about one sign-in")]
    fn apply_visit(
        &mut self,
        seen: &Observation<'_>,
        address: IpAddr,
        network: usize,
        named: Named,
        append_ms: i64,
        settings: &WindowSettings,
        change: &mut Change,
    ) {
        let origin = if self.networks[network].origin.is_of(seen, address) {
            OriginId::of_network(network)
        } else {
            let used = self.visits.as_slice().iter().map(|visit| visit.origin);
            self.others.number(&Origin::of(seen, address), used)
        };
        let visit = Visit {
            order_ms: seen.order_ms,
            event_id: named.event_id,
            origin,
            product: named.product,
            device: named.device,
            mfa: seen.event.mfa.as_ref().is_some_and(|m| m.used),
        };
        let settled_ms = append_ms - settings.allowed_lateness_ms;
        let (texts, networks, others) = (&self.texts, &self.networks, &self.others);
        let address = |id: OriginId| others.origin(networks, id).address;
        let tell_apart = |visit: &Visit| hash(&[visit.event_id.to_string().as_str(), texts.text(visit.product)]);
        let inserted = self
            .visits
            .insert(visit, settings.visits_max, settled_ms, address, tell_apart);
        match inserted {
            Inserted::At(index) => change.visit = Some(index),
            Inserted::TooOld => change.visit_dropped = true,
        }
    }

    /// Folds the use of a network and gives its index.
    fn apply_network(&mut self, seen: &Observation<'_>, address: IpAddr, named: &Named, networks_max: usize) -> usize {
        let found = self.networks.iter().position(|n| n.holds(address));
        let index = found.unwrap_or_else(|| self.add_network(seen, address, networks_max));
        let fact = &mut self.networks[index];
        fact.first_ms = fact.first_ms.min(seen.order_ms);
        if seen.order_ms >= fact.last_ms {
            fact.last_ms = seen.order_ms;
            fact.event_id = named.event_id.clone();
            fact.product = named.product;
            if seen.event.device.is_some() {
                fact.device = named.device;
            }
            if !fact.origin.is_of(seen, address) {
                self.move_network(index, Origin::of(seen, address));
            }
        }
        index
    }

    fn device_index(&mut self, id: &str, fingerprint: bool, time_ms: i64, devices_max: usize) -> usize {
        let id = self.texts.number(id);
        let index = self.devices.iter().position(|d| d.id == id).unwrap_or_else(|| {
            while self.devices.len() >= devices_max.max(1) {
                let times = self.devices.iter().map(|d| d.last_ms).enumerate();
                let oldest = times.min_by_key(|(_, last_ms)| *last_ms);
                self.devices.remove(oldest.map_or(0, |(index, _)| index));
            }
            self.devices.push(DeviceFact {
                id,
                fingerprint,
                days: Days::default(),
                first_ms: time_ms,
                last_ms: time_ms,
                told: Told::NEVER,
            })
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
        self.others
            .clear_unless(self.visits.as_slice().iter().map(|visit| visit.origin));
        if let Some(rare) = &mut self.rare {
            rare.episodes.forget_before(horizon);
        }
        if self.oldest_ms.0 >= horizon {
            return;
        }
        for index in (0..self.networks.len()).rev() {
            if self.networks[index].last_ms < horizon {
                self.remove_network(index);
            }
        }
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

/// Event ids that an account keeps for good.
const EVENT_IDS_MIN: usize = 4;

/// Ids are kept for as long as a sign-in folded twice could be judged against another: for as long as visits are. What is
/// older leaves the facts as they are when it is folded again: days, times and sightings are the same afterwards. Only a
/// fast leg from it to a sign-in that is still kept would be told once more, as an update of its alert.
fn ids_kept(settings: &WindowSettings) -> Kept {
    Kept {
        ids_max: settings.event_ids_max,
        ids_min: EVENT_IDS_MIN,
        kept_ms: i64::from(settings.visits_hours) * HOUR_MS + settings.allowed_lateness_ms,
    }
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
