//! The window of one account: everything later rules may ask about it, in one record.

use std::net::IpAddr;
use std::sync::Arc;

use super::days::Days;
use super::episode::{Episodes, hash};
pub use super::network_fact::{NetworkFact, Told, network_name};
use super::recent_ids::RecentIds;
use super::settings::WindowSettings;
use super::visits::{Inserted, Visit, Visits};
use super::{DAY_MS, HOUR_MS, day_of};
use crate::model::{EventKind, Network, Observation, Outcome, Place, ToolKind};

/// Facts about one account.
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// VPN sessions and sign-ins at a device, open or recent.
    pub sessions: Vec<SessionFact>,
    /// Remote-access tools, VPN clients, jigglers seen.
    pub tools: Vec<ToolFact>,
    /// Peripherals attached.
    pub peripherals: Vec<PeripheralFact>,
    /// Remote-desktop logons to the account's devices.
    pub rdp_logons: Vec<RdpFact>,
    /// Open alerts.
    pub episodes: Episodes,
    /// The latest event ids.
    pub event_ids: RecentIds,
    /// How often anything changed that a link tells of. Compared with [`Told::news`] for equality only.
    pub news: u32,
    /// No fact but a visit or an episode was last seen before this, ms, so none can expire before its time has come.
    pub(super) oldest_ms: OldestMs,
}

/// A device the account used.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceFact {
    /// Id.
    pub id: Box<str>,
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

/// A VPN session.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionFact {
    /// Hash of the session's id, or of address and device where the source gives none.
    pub id: u64,
    /// Opened, ms; the earliest time it was seen.
    pub opened_ms: i64,
    /// Latest time it was seen up, ms.
    pub seen_ms: i64,
    /// Closed, ms, if it was.
    pub closed_ms: Option<i64>,
    /// Address it came from.
    pub address: Option<IpAddr>,
    /// Device; empty if unknown.
    pub device: Box<str>,
    /// Id of the event that opened it.
    pub event_id: Box<str>,
    /// Product of that event.
    pub product: Box<str>,
}

/// A tool seen on a device of the account, or a VPN brand its network or identity provider named.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolFact {
    /// Canonical name.
    pub name: Box<str>,
    /// What sort.
    pub kind: ToolKind,
    /// Device; empty if unknown or if the network showed the brand.
    pub device: Box<str>,
    /// Installed for unattended access.
    pub unattended: bool,
    /// Days seen.
    pub days: Days,
    /// First and latest sighting, ms.
    pub first_ms: i64,
    /// See `first_ms`.
    pub last_ms: i64,
    /// Id of the first event that showed it.
    pub event_id: Box<str>,
    /// Product of that event.
    pub product: Box<str>,
}

/// A peripheral attached to a device of the account.
#[derive(Clone, Debug, PartialEq)]
pub struct PeripheralFact {
    /// Device it was attached to; empty if unknown.
    pub device: Box<str>,
    /// What it called itself: manufacturer, product, serial, joined by spaces.
    pub name: Box<str>,
    /// `vendor:product` in hexadecimal; empty if unknown.
    pub usb_id: Box<str>,
    /// The device shows a keyboard.
    pub keyboard: bool,
    /// The device shows a mouse or pointer.
    pub mouse: bool,
    /// The device shows mass storage.
    pub storage: bool,
    /// Display identification: manufacturer, model, serial, joined by spaces; empty if none.
    pub edid: Box<str>,
    /// When, ms.
    pub time_ms: i64,
    /// Id of the event.
    pub event_id: Box<str>,
    /// Product of the event.
    pub product: Box<str>,
}

/// A remote-desktop logon to a device of the account.
#[derive(Clone, Debug, PartialEq)]
pub struct RdpFact {
    /// When, ms.
    pub time_ms: i64,
    /// From where, if public.
    pub address: Option<IpAddr>,
    /// Network it came from.
    pub network: Arc<Network>,
    /// Place it came from, if known.
    pub place: Option<Arc<Place>>,
    /// Device logged on to; empty if unknown.
    pub device: Box<str>,
    /// Id of the event.
    pub event_id: Box<str>,
    /// Product of the event.
    pub product: Box<str>,
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
        let id_hash = hash(&[seen.event.id.as_ref(), seen.event.product.as_ref()]);
        // Sources are read at different speeds, so the clock of an account must not be carried back by a slow one.
        let append_ms = self.last_append_ms.max(append_ms);
        self.last_append_ms = append_ms;
        if !self.event_ids.insert(id_hash, settings.event_ids_max) {
            change.duplicate = true;
            return change;
        }
        self.forget(append_ms, settings);
        self.oldest_ms.0 = self.oldest_ms.0.min(seen.order_ms);
        change.lateness = lateness(seen.order_ms, append_ms, settings.allowed_lateness_ms);
        if is_presence(seen) {
            self.apply_presence(seen, id_hash, append_ms, distance, settings, &mut change);
        }
        self.apply_relay(seen, settings, &mut change);
        // Sessions alone are told to nobody: they only give meaning to a logon.
        let is_sighting =
            change.relay_facts && !(self.tools.is_empty() && self.peripherals.is_empty() && self.rdp_logons.is_empty());
        if change.day_added || change.tie_changed || is_sighting {
            self.news = self.news.wrapping_add(1);
        }
        change
    }

    fn apply_presence(
        &mut self,
        seen: &Observation<'_>,
        id_hash: u64,
        append_ms: i64,
        distance: ClaimDistance,
        settings: &WindowSettings,
        change: &mut Change,
    ) {
        let day = day_of(seen.order_ms);
        // A sign-in whose clock is broken was somewhere, but nobody knows when.
        let locates = seen.network.class.locates_person() && !seen.time_suspect;
        if let (Some(address), Some(place), true) = (seen.event.source_ip, seen.place, locates) {
            let visit = visit(seen, id_hash, address, place);
            match self
                .visits
                .insert(visit, settings.visits_max, append_ms - settings.allowed_lateness_ms)
            {
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

    fn network_index(&mut self, seen: &Observation<'_>, address: IpAddr, networks_max: usize) -> usize {
        let found = self.networks.iter().position(|n| n.holds(address));
        let index = found.unwrap_or_else(|| {
            make_room(&mut self.networks, networks_max, |n| n.last_ms);
            self.networks.push(NetworkFact {
                address,
                network: Arc::clone(seen.network),
                place: seen.place.cloned(),
                days: Days::default(),
                away: Days::default(),
                first_ms: seen.order_ms,
                last_ms: i64::MIN,
                device: Box::default(),
                event_id: String::new(),
                product: Box::default(),
                told: Told::NEVER,
            });
            self.networks.len() - 1
        });
        let fact = &mut self.networks[index];
        fact.first_ms = fact.first_ms.min(seen.order_ms);
        if seen.order_ms >= fact.last_ms {
            fact.last_ms = seen.order_ms;
            fact.address = address;
            fact.network = Arc::clone(seen.network);
            fact.place = seen.place.cloned();
            seen.event.id.as_ref().clone_into(&mut fact.event_id);
            replace(&mut fact.product, &seen.event.product);
            if let Some(device) = &seen.event.device {
                replace(&mut fact.device, &device.id);
            }
        }
        index
    }

    fn device_index(&mut self, id: &str, fingerprint: bool, time_ms: i64, devices_max: usize) -> usize {
        let index = self.devices.iter().position(|d| *d.id == *id).unwrap_or_else(|| {
            make_room(&mut self.devices, devices_max, |d| d.last_ms);
            self.devices.push(DeviceFact {
                id: id.into(),
                fingerprint,
                days: Days::default(),
                first_ms: time_ms,
                last_ms: time_ms,
                told: Told::NEVER,
            });
            self.devices.len() - 1
        });
        let fact = &mut self.devices[index];
        fact.first_ms = fact.first_ms.min(time_ms);
        fact.last_ms = fact.last_ms.max(time_ms);
        index
    }

    fn apply_relay(&mut self, seen: &Observation<'_>, settings: &WindowSettings, change: &mut Change) {
        let event = seen.event;
        match event.kind {
            EventKind::VpnOpen | EventKind::VpnRenew | EventKind::VpnClose => {
                self.apply_session(seen, settings.sessions_max);
                change.relay_facts = true;
            }
            EventKind::RdpLogon if event.outcome == Outcome::Success => {
                make_room(&mut self.rdp_logons, settings.rdp_logons_max, |r| r.time_ms);
                self.rdp_logons.push(rdp(seen));
                self.rdp_logons
                    .sort_by(|a, b| (a.time_ms, &a.event_id).cmp(&(b.time_ms, &b.event_id)));
                change.relay_facts = true;
            }
            EventKind::PeripheralAttached => {
                make_room(&mut self.peripherals, settings.sightings_max, |p| p.time_ms);
                if let Some(fact) = peripheral(seen) {
                    self.peripherals.push(fact);
                    self.peripherals
                        .sort_by(|a, b| (a.time_ms, &a.event_id).cmp(&(b.time_ms, &b.event_id)));
                    change.relay_facts = true;
                }
            }
            _ => {}
        }
        if let Some(tool) = &event.tool {
            self.tool(&tool.name, tool.kind, tool.unattended, seen, settings.sightings_max);
            change.relay_facts = true;
        }
        if let Some(brand) = vpn_brand(seen) {
            let known = self
                .tools
                .iter()
                .any(|t| *t.name == *brand && t.kind == ToolKind::VpnClient);
            self.tool(brand, ToolKind::VpnClient, false, seen, settings.sightings_max);
            change.relay_facts |= !known;
        }
    }

    fn tool(&mut self, name: &str, kind: ToolKind, unattended: bool, seen: &Observation<'_>, sightings_max: usize) {
        let device = seen.event.device.as_ref().map_or("", |d| d.id.as_ref());
        let found = self
            .tools
            .iter()
            .position(|t| *t.name == *name && t.kind == kind && *t.device == *device);
        let index = found.unwrap_or_else(|| {
            make_room(&mut self.tools, sightings_max, |t| t.last_ms);
            self.tools.push(ToolFact {
                name: name.into(),
                kind,
                device: device.into(),
                unattended,
                days: Days::default(),
                first_ms: seen.order_ms,
                last_ms: seen.order_ms,
                event_id: seen.event.id.as_ref().into(),
                product: seen.event.product.as_ref().into(),
            });
            self.tools.len() - 1
        });
        let fact = &mut self.tools[index];
        fact.unattended |= unattended;
        fact.days.mark(day_of(seen.order_ms));
        fact.last_ms = fact.last_ms.max(seen.order_ms);
        if seen.order_ms < fact.first_ms {
            fact.first_ms = seen.order_ms;
            fact.event_id = seen.event.id.as_ref().into();
            fact.product = seen.event.product.as_ref().into();
        }
    }

    fn apply_session(&mut self, seen: &Observation<'_>, sessions_max: usize) {
        let event = seen.event;
        if event.outcome == Outcome::Failure {
            return;
        }
        let device = event.device.as_ref().map_or("", |d| d.id.as_ref());
        let id = match &event.session {
            Some(session) => hash(&[session.as_ref()]),
            None => hash(&[
                event.source_ip.map(|ip| ip.to_string()).unwrap_or_default().as_str(),
                device,
            ]),
        };
        let time_ms = seen.order_ms;
        let index = self.sessions.iter().position(|s| s.id == id).unwrap_or_else(|| {
            make_room(&mut self.sessions, sessions_max, |s| s.seen_ms);
            self.sessions.push(SessionFact {
                id,
                opened_ms: time_ms,
                seen_ms: time_ms,
                closed_ms: None,
                address: event.source_ip,
                device: device.into(),
                event_id: event.id.as_ref().into(),
                product: event.product.as_ref().into(),
            });
            self.sessions.len() - 1
        });
        let fact = &mut self.sessions[index];
        let is_latest = time_ms >= fact.seen_ms;
        fact.opened_ms = fact.opened_ms.min(time_ms);
        fact.seen_ms = fact.seen_ms.max(time_ms);
        fact.address = fact.address.or(event.source_ip);
        // A close that arrives late does not end a session that was seen up after it.
        if event.kind == EventKind::VpnClose {
            fact.closed_ms = if is_latest { Some(time_ms) } else { fact.closed_ms };
        } else if fact.closed_ms.is_some_and(|closed| closed < time_ms) {
            fact.closed_ms = None;
        }
    }

    /// Forgets what the append time says is old. The same facts are left whenever it is asked.
    fn forget(&mut self, append_ms: i64, settings: &WindowSettings) {
        let lateness = settings.allowed_lateness_ms;
        let horizon = append_ms
            .saturating_sub(i64::from(settings.retention_days) * DAY_MS)
            .saturating_sub(lateness);
        self.visits
            .forget_before(append_ms - i64::from(settings.visits_hours) * HOUR_MS - lateness);
        self.episodes.forget_before(horizon);
        if self.oldest_ms.0 >= horizon {
            return;
        }
        self.networks.retain(|n| n.last_ms >= horizon);
        self.devices.retain(|d| d.last_ms >= horizon);
        self.sessions.retain(|s| s.seen_ms >= horizon);
        self.tools.retain(|t| t.last_ms >= horizon);
        self.peripherals.retain(|p| p.time_ms >= horizon);
        self.rdp_logons.retain(|r| r.time_ms >= horizon);
        self.oldest_ms = self.find_oldest();
    }

    pub(super) fn find_oldest(&self) -> OldestMs {
        let seen = (self.networks.iter().map(|n| n.last_ms))
            .chain(self.devices.iter().map(|d| d.last_ms))
            .chain(self.sessions.iter().map(|s| s.seen_ms))
            .chain(self.tools.iter().map(|t| t.last_ms))
            .chain(self.peripherals.iter().map(|p| p.time_ms))
            .chain(self.rdp_logons.iter().map(|r| r.time_ms));
        OldestMs(seen.min().unwrap_or(i64::MAX))
    }

    /// Whether nothing would be left at this append time.
    #[must_use]
    pub fn is_expired(&self, append_ms: i64, settings: &WindowSettings) -> bool {
        let kept_ms = i64::from(settings.retention_days) * DAY_MS + settings.allowed_lateness_ms;
        self.last_append_ms < append_ms.saturating_sub(kept_ms)
    }
}

/// A lower bound that is found again after a restore, so two windows may differ in it and be the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct OldestMs(i64);

impl Default for OldestMs {
    fn default() -> Self {
        Self(i64::MAX)
    }
}

impl PartialEq for OldestMs {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Writes `text` over `old`, allocating only if it differs.
fn replace(old: &mut Box<str>, text: &str) {
    if **old != *text {
        *old = text.into();
    }
}

/// Frees one place in a full list by giving up its oldest entry.
fn make_room<T>(list: &mut Vec<T>, max: usize, time: impl Fn(&T) -> i64) {
    while list.len() >= max.max(1) {
        let oldest = list
            .iter()
            .enumerate()
            .min_by_key(|(_, item)| time(item))
            .map_or(0, |(i, _)| i);
        list.remove(oldest);
    }
}

fn lateness(order_ms: i64, append_ms: i64, allowed_ms: i64) -> Lateness {
    match append_ms.saturating_sub(order_ms) {
        behind if behind <= 0 => Lateness::None,
        behind if behind <= allowed_ms => Lateness::Late,
        _ => Lateness::Beyond,
    }
}

fn visit(seen: &Observation<'_>, id_hash: u64, address: IpAddr, place: &Arc<Place>) -> Visit {
    let event = seen.event;
    Visit {
        order_ms: seen.order_ms,
        id_hash,
        event_id: event.id.as_ref().into(),
        product: event.product.as_ref().into(),
        place: Arc::clone(place),
        network: Arc::clone(seen.network),
        address,
        device: event.device.as_ref().map(|d| d.id.as_ref().into()).unwrap_or_default(),
        mfa: event.mfa.as_ref().is_some_and(|m| m.used),
    }
}

fn rdp(seen: &Observation<'_>) -> RdpFact {
    let event = seen.event;
    RdpFact {
        time_ms: seen.order_ms,
        address: event.source_ip,
        network: Arc::clone(seen.network),
        place: seen.place.cloned(),
        device: event.device.as_ref().map(|d| d.id.as_ref().into()).unwrap_or_default(),
        event_id: event.id.as_ref().into(),
        product: event.product.as_ref().into(),
    }
}

fn peripheral(seen: &Observation<'_>) -> Option<PeripheralFact> {
    let event = seen.event;
    let peripheral = event.peripheral.as_ref()?;
    let join = |parts: [&Option<std::borrow::Cow<'_, str>>; 3]| {
        let known: Vec<&str> = parts
            .into_iter()
            .filter_map(|p| p.as_deref())
            .filter(|p| !p.is_empty())
            .collect();
        known.join(" ")
    };
    let usb_id = match (peripheral.vendor_id, peripheral.product_id) {
        (Some(vendor), Some(product)) => format!("{vendor:04x}:{product:04x}"),
        _ => String::new(),
    };
    let edid = peripheral
        .edid
        .as_ref()
        .map(|e| join([&e.manufacturer, &e.model, &e.serial]))
        .unwrap_or_default();
    Some(PeripheralFact {
        device: event.device.as_ref().map(|d| d.id.as_ref().into()).unwrap_or_default(),
        name: join([&peripheral.manufacturer, &peripheral.product, &peripheral.serial]).into(),
        usb_id: usb_id.into(),
        keyboard: peripheral.keyboard,
        mouse: peripheral.mouse,
        storage: peripheral.storage,
        edid: edid.into(),
        time_ms: seen.order_ms,
        event_id: event.id.as_ref().into(),
        product: event.product.as_ref().into(),
    })
}

/// Commercial VPN brand that the network list or the identity provider named for this observation.
fn vpn_brand<'s>(seen: &'s Observation<'_>) -> Option<&'s str> {
    let named = seen.event.anonymizer.as_deref().filter(|b| !b.is_empty());
    named.or_else(|| {
        let is_vpn = seen.network.class == crate::model::NetworkClass::Vpn;
        (is_vpn && !seen.network.label.is_empty()).then_some(seen.network.label.as_str())
    })
}
