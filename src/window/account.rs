//! The window of one account: everything later rules may ask about it, in one record.

use std::cmp::Ordering;

use super::block::{Block, ITEMS_MAX, List};
use super::days::Days;
pub use super::device_fact::DeviceFact;
use super::dropped::{Dropped, FullList};
use super::episode::Episodes;
use super::moment::Moment;
pub use super::network_fact::{NetworkFact, Told};
use super::origin::{Address, Origin, OriginId};
use super::rare;
pub use super::rare::{PeripheralFact, Rare, RdpFact, SessionFact, ToolFact};
use super::recent_ids::{Kept, id_hash};
use super::settings::WindowSettings;
use super::spots::{SpotId, Spots};
use super::texts::{ShortId, TextId};
use super::visits::{Inserted, Visit};
use super::{DAY_MS, HOUR_MS, day_at};
use crate::model::event_id::EventId;
use crate::model::{EventKind, Observation, Outcome};

/// Facts about one account.
#[derive(Clone, Debug, Default)]
pub struct AccountFacts {
    /// What every account has.
    pub(super) block: Block,
    /// What few accounts have; `None` where that is nothing.
    pub(super) rare: Option<Box<Rare>>,
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
    /// What full lists gave up for it.
    pub dropped: Dropped,
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
    /// Nothing to compare, or a place that is known too badly.
    Unknown,
}

/// What a sign-in is called, in the words of its account's window.
#[derive(Clone, Copy)]
struct Named {
    event_id: ShortId,
    packing: u8,
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
        spots: &mut Spots,
    ) -> Change {
        let mut change = Change::default();
        let id_hash = id_hash(&seen.event.id, &seen.event.product);
        let head = self.block.head_mut();
        // Sources are read at different speeds, so the clock of an account must not be carried back by a slow one.
        let append_ms = head.last_append.ms().max(append_ms);
        head.last_append = Moment::of(append_ms);
        if !self.block.remember(id_hash, append_ms, ids_kept(settings)) {
            change.duplicate = true;
            return change;
        }
        self.forget(append_ms, settings);
        let head = self.block.head_mut();
        head.oldest = head.oldest.min(Moment::of(seen.order_ms));
        change.lateness = lateness(seen.order_ms, append_ms, settings.allowed_lateness_ms);
        if is_presence(seen) {
            self.apply_presence(seen, append_ms, distance, settings, spots, &mut change);
        }
        if rare::concerns(seen) {
            let rare = self.rare.get_or_insert_with(|| Box::new(Rare::none()));
            let assigned = seen.claim.devices;
            let is_usual = |device: &str| {
                is_used_for_days(&self.block, device) || assigned.iter().any(|id| id.eq_ignore_ascii_case(device))
            };
            change.relay_facts = rare.apply(seen, settings, &is_usual, &mut change.dropped);
        }
        let is_sighting = change.relay_facts && self.rare().has_sightings();
        if change.day_added || change.tie_changed || is_sighting {
            let head = self.block.head_mut();
            head.news = head.news.wrapping_add(1);
        }
        self.block.keep_texts();
        change
    }

    /// Append time of the last record that changed the window, ms.
    #[must_use]
    pub fn last_append_ms(&self) -> i64 {
        self.block.head().last_append.ms()
    }

    /// Recent located sign-ins, oldest first.
    #[must_use]
    pub fn visits(&self) -> &[Visit] {
        self.block.list()
    }

    /// Days with a located sign-in near the claim or away from it: on approved travel it is neither.
    #[must_use]
    pub fn located(&self) -> Days {
        self.block.head().located
    }

    /// Of those, days with one near the claim (or from an allowed country).
    #[must_use]
    pub fn near(&self) -> Days {
        self.block.head().near
    }

    /// Days with a located sign-in far from the claim and not on approved travel.
    #[must_use]
    pub fn away(&self) -> Days {
        self.block.head().away
    }

    /// Networks the account used.
    #[must_use]
    pub fn networks(&self) -> &[NetworkFact] {
        self.block.list()
    }

    /// Networks the account used, to be marked as told.
    pub fn networks_mut(&mut self) -> &mut [NetworkFact] {
        self.block.list_mut()
    }

    /// Devices the account used.
    #[must_use]
    pub fn devices(&self) -> &[DeviceFact] {
        self.block.list()
    }

    /// Devices the account used, to be marked as told.
    pub fn devices_mut(&mut self) -> &mut [DeviceFact] {
        self.block.list_mut()
    }

    /// How many event ids are remembered.
    #[must_use]
    pub fn event_ids(&self) -> usize {
        self.block.len(List::Ids)
    }

    /// How often anything changed that a link tells of. Compared with [`Told::news`] for equality only.
    #[must_use]
    pub fn news(&self) -> u16 {
        self.block.head().news
    }

    /// What few accounts have.
    #[must_use]
    pub fn rare(&self) -> &Rare {
        self.rare.as_deref().unwrap_or(&rare::NONE)
    }

    /// What few accounts have, to be changed.
    pub(super) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_with(|| Box::new(Rare::none()))
    }

    /// Open alerts, for a finding whose last event was at that time, ms.
    pub fn episodes_mut(&mut self, last_ms: i64) -> &mut Episodes {
        let head = self.block.head_mut();
        head.oldest = head.oldest.min(Moment::of(last_ms));
        &mut self.rare_mut().episodes
    }

    /// The text of that number.
    #[must_use]
    pub fn text(&self, id: TextId) -> &str {
        self.block.text(id)
    }

    /// The event's id of those words.
    #[must_use]
    pub fn event_id(&self, id: ShortId, packing: u8) -> EventId {
        self.block.event_id(id, packing)
    }

    /// Where a visit was.
    #[must_use]
    pub fn origin(&self, id: OriginId) -> Origin {
        self.block.origin(id)
    }

    /// The spots that it names.
    pub fn spots(&self) -> impl Iterator<Item = SpotId> {
        let others = self.block.list::<Origin>().iter().map(|origin| origin.spot);
        self.networks().iter().map(|network| network.spot).chain(others)
    }

    /// Index of the device of that id.
    #[must_use]
    pub fn device_of(&self, id: &str) -> Option<usize> {
        let id = self.block.find_text(id)?;
        self.devices().iter().position(|device| device.id == id)
    }

    /// Reads a little of every line of the window, to bring them near.
    #[must_use]
    pub fn touch(&self) -> u64 {
        self.block.touch()
    }

    /// Reads a little of what lies apart from it, to bring it near.
    #[must_use]
    pub fn touch_apart(&self) -> u64 {
        self.rare.as_ref().map_or(0, |rare| rare.episodes.touch())
    }

    /// Whether the account was seen on one day only, and with nothing that a rule may want to remember.
    #[must_use]
    pub fn is_provisional(&self) -> bool {
        self.rare().is_empty() && self.networks().iter().all(|network| network.days.count() <= 1)
    }

    /// Bytes it takes on the heap, estimated.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.block.bytes() + self.rare.as_ref().map_or(0, |rare| rare.bytes())
    }

    fn apply_presence(
        &mut self,
        seen: &Observation<'_>,
        append_ms: i64,
        distance: ClaimDistance,
        settings: &WindowSettings,
        spots: &mut Spots,
        change: &mut Change,
    ) {
        let day = day_at(seen);
        let device = seen.event.device.as_ref();
        let device_id = device.map(|device| self.block.number_text(&device.id));
        if let Some(address) = seen.event.source_ip {
            let address = Address::of(address);
            let (event_id, packing) = self.block.short_id(&seen.event.id);
            let named = Named {
                event_id,
                packing,
                product: self.block.number_text(&seen.event.product),
                device: device_id.unwrap_or_default(),
            };
            let index = self.apply_network(seen, address, named, settings.networks_max, spots, &mut change.dropped);
            change.network = Some(index);
            // A sign-in whose clock is broken was somewhere, but nobody knows when.
            let is_located = seen.place.is_some() && seen.is_where_the_person_is() && !seen.time_suspect;
            if is_located {
                self.apply_visit(seen, address, index, named, append_ms, settings, spots, change);
                self.apply_day(day, distance, change);
            }
            let network = &mut self.networks_mut()[index];
            change.tie_changed |= network.days.mark(day);
            if is_located && distance == ClaimDistance::Away {
                network.away.mark(day);
            }
        }
        if let (Some(device), Some(id)) = (device, device_id) {
            let at = Moment::of(seen.order_ms);
            let index = self.device_index(id, device.fingerprint, at, settings.devices_max, &mut change.dropped);
            change.tie_changed |= self.devices_mut()[index].days.mark(day);
            change.device = Some(index);
        }
    }

    /// Marks a day of work that tells where the person is. Days of approved travel, and those that tell nothing, would make
    /// a share of the days away look small.
    fn apply_day(&mut self, day: i32, distance: ClaimDistance, change: &mut Change) {
        let head = self.block.head_mut();
        let ledger = match distance {
            ClaimDistance::Near => &mut head.near,
            ClaimDistance::Away => &mut head.away,
            ClaimDistance::Traveling | ClaimDistance::Unknown => return,
        };
        change.is_away = distance == ClaimDistance::Away;
        change.day_added = ledger.mark(day);
        change.day_added |= head.located.mark(day);
    }

    #[expect(clippy::too_many_arguments, reason = "what was found out about one sign-in")]
    fn apply_visit(
        &mut self,
        seen: &Observation<'_>,
        address: Address,
        network: usize,
        named: Named,
        append_ms: i64,
        settings: &WindowSettings,
        spots: &mut Spots,
        change: &mut Change,
    ) {
        let origin = if is_at(seen, address, self.networks()[network].origin(), spots) {
            OriginId::of_network(network)
        } else {
            let spot = spots.number(seen.network, seen.place);
            self.block.number_other(Origin::new(address, spot))
        };
        let visit = Visit {
            at: Moment::of(seen.order_ms),
            event_id: named.event_id,
            origin,
            product: named.product,
            device: named.device,
            packing: named.packing,
            mfa: seen.event.mfa.as_ref().is_some_and(|mfa| mfa.used).into(),
        };
        let settled_ms = append_ms - settings.allowed_lateness_ms;
        match self.block.insert_visit(&visit, settings.visits_max, settled_ms) {
            Inserted::At(index) => change.visit = Some(index),
            Inserted::TooOld => change.visit_dropped = true,
        }
    }

    /// Folds the use of a network and gives its index.
    fn apply_network(
        &mut self,
        seen: &Observation<'_>,
        address: Address,
        named: Named,
        networks_max: usize,
        spots: &mut Spots,
        dropped: &mut Dropped,
    ) -> usize {
        let found = (self.networks().iter()).position(|network| network.address.is_on_line_of(address));
        let index = found.unwrap_or_else(|| self.add_network(seen, address, networks_max, spots, dropped));
        let at = Moment::of(seen.order_ms);
        let known = self.networks()[index];
        let rank = |id, packing, product| self.block.rank(id, packing, product);
        let is_latest = match at.cmp(&known.last) {
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal => {
                rank(named.event_id, named.packing, named.product) >= rank(known.event_id, known.packing, known.product)
            }
        };
        let fact = &mut self.networks_mut()[index];
        fact.first = fact.first.min(at);
        if is_latest {
            fact.last = at;
            (fact.event_id, fact.packing) = (named.event_id, named.packing);
            fact.product = named.product;
            if seen.event.device.is_some() {
                fact.device = named.device;
            }
            if !is_at(seen, address, fact.origin(), spots) {
                self.move_network(index, seen, address, spots);
            }
        }
        index
    }

    fn device_index(
        &mut self,
        id: TextId,
        is_fingerprint: bool,
        at: Moment,
        devices_max: usize,
        dropped: &mut Dropped,
    ) -> usize {
        let found = self.devices().iter().position(|device| device.id == id);
        let index = found.unwrap_or_else(|| {
            while self.devices().len() >= devices_max.clamp(1, ITEMS_MAX) {
                let times = self.devices().iter().map(|device| device.last).enumerate();
                let oldest = times.min_by_key(|(_, last)| *last);
                let oldest = oldest.map_or(0, |(index, _)| index);
                self.block.remove::<DeviceFact>(oldest..oldest + 1);
                dropped.add(FullList::Devices, 1);
            }
            self.block.push(&DeviceFact::new(id, is_fingerprint, at))
        });
        let fact = &mut self.devices_mut()[index];
        fact.first = fact.first.min(at);
        fact.last = fact.last.max(at);
        index
    }

    /// Forgets what the append time says is old. The same facts are left whenever it is asked.
    fn forget(&mut self, append_ms: i64, settings: &WindowSettings) {
        let lateness = settings.allowed_lateness_ms;
        let horizon = append_ms
            .saturating_sub(i64::from(settings.retention_days) * DAY_MS)
            .saturating_sub(lateness);
        self.block
            .forget_visits(append_ms - i64::from(settings.visits_hours) * HOUR_MS - lateness);
        self.block.clear_others();
        self.block.give_room_back();
        if self.block.head().oldest.ms() >= horizon {
            return;
        }
        for index in (0..self.networks().len()).rev() {
            if self.networks()[index].last.ms() < horizon {
                self.remove_network(index);
            }
        }
        for index in (0..self.devices().len()).rev() {
            if self.devices()[index].last.ms() < horizon {
                self.block.remove::<DeviceFact>(index..index + 1);
            }
        }
        if let Some(rare) = &mut self.rare {
            rare.forget_before(horizon);
        }
        self.rare.take_if(|rare| rare.is_empty());
        self.block.head_mut().oldest = self.find_oldest();
    }

    pub(super) fn find_oldest(&self) -> Moment {
        let seen = (self.networks().iter().map(|network| network.last))
            .chain(self.devices().iter().map(|device| device.last))
            .chain(self.rare().oldest_ms().map(Moment::of));
        seen.min().unwrap_or(Moment::LAST)
    }

    /// Whether nothing would be left at this append time.
    #[must_use]
    pub fn is_expired(&self, append_ms: i64, settings: &WindowSettings) -> bool {
        let kept_ms = i64::from(settings.retention_days) * DAY_MS + settings.allowed_lateness_ms;
        self.last_append_ms() < append_ms.saturating_sub(kept_ms)
    }
}

/// Event ids that an account keeps for good.
const EVENT_IDS_MIN: usize = 4;

/// Ids are kept for as long as a sign-in folded twice could be judged against another: for as long as visits are. What is
/// older leaves the facts as they are when it is folded again: days, times and sightings are the same afterwards. Only a
/// fast leg from it to a sign-in that is still kept would be told once more, if its lines were not told that day.
fn ids_kept(settings: &WindowSettings) -> Kept {
    Kept {
        ids_max: settings.event_ids_max,
        ids_min: EVENT_IDS_MIN,
        kept_ms: i64::from(settings.visits_hours) * HOUR_MS + settings.allowed_lateness_ms,
    }
}

/// Whether the account used the device of that id on more than one day.
fn is_used_for_days(block: &Block, device: &str) -> bool {
    let id = block.find_text(device);
    let mut devices = block.list::<DeviceFact>().iter();
    id.is_some_and(|id| devices.any(|device| device.id == id && device.days.count() > 1))
}

/// Whether an observation of that address came from an origin.
fn is_at(seen: &Observation<'_>, address: Address, origin: Origin, spots: &Spots) -> bool {
    origin.address == address && spots.get(origin.spot).is_of(seen)
}

fn lateness(order_ms: i64, append_ms: i64, allowed_ms: i64) -> Lateness {
    match append_ms.saturating_sub(order_ms) {
        behind if behind <= 0 => Lateness::None,
        behind if behind <= allowed_ms => Lateness::Late,
        _ => Lateness::Beyond,
    }
}
