//! What few accounts have: VPN sessions, tools, peripherals, remote-desktop logons, open alerts.

use std::net::IpAddr;
use std::sync::Arc;

use super::account::is_presence;
use super::days::Days;
use super::dropped::{Dropped, FullList};
use super::episode::Episodes;
pub use super::sessions::SessionFact;
use super::settings::WindowSettings;
use super::{day_at, sessions};
use crate::model::event_id::EventId;
use crate::model::{EventKind, Network, NetworkClass, Observation, Outcome, Place, Tool, ToolKind, kvm};

/// Facts that most accounts have none of, so that their windows have no room for them.
#[derive(Clone, Debug, PartialEq)]
pub struct Rare {
    /// VPN sessions and sign-ins at a device, open or recent.
    pub sessions: Vec<SessionFact>,
    /// Remote-access tools, VPN clients, jigglers seen.
    pub tools: Vec<ToolFact>,
    /// Peripherals attached.
    pub peripherals: Vec<PeripheralFact>,
    /// Remote-desktop logons to the account's devices, from public addresses that are not the company's.
    pub rdp_logons: Vec<RdpFact>,
    /// Open alerts.
    pub episodes: Episodes,
}

/// None of them.
pub(super) static NONE: Rare = Rare::none();

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
    /// Id of the latest event that showed it.
    pub event_id: EventId,
    /// Product of that event.
    pub product: Box<str>,
}

/// A peripheral attached to a device of the account, however often.
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
    /// When it was attached last, ms.
    pub time_ms: i64,
    /// Id of that event.
    pub event_id: EventId,
    /// Product of that event.
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
    pub event_id: EventId,
    /// Product of the event.
    pub product: Box<str>,
}

/// Whether an observation brings a fact of this sort.
pub(super) fn concerns(seen: &Observation<'_>) -> bool {
    let event = seen.event;
    let kind = match event.kind {
        EventKind::VpnOpen | EventKind::VpnRenew | EventKind::VpnClose | EventKind::PeripheralAttached => true,
        EventKind::RdpLogon => counts(seen),
        _ => false,
    };
    kind || event.tool.is_some() || vpn_brand(seen).is_some()
}

/// Whether a remote-desktop logon may be one from outside. Others would take the places of those.
fn counts(seen: &Observation<'_>) -> bool {
    let event = seen.event;
    event.outcome == Outcome::Success && event.source_ip.is_some() && seen.network.class != NetworkClass::Corporate
}

impl Rare {
    /// Nothing.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            sessions: Vec::new(),
            tools: Vec::new(),
            peripherals: Vec::new(),
            rdp_logons: Vec::new(),
            episodes: Episodes::none(),
        }
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty() && !self.has_sightings() && self.episodes.is_empty()
    }

    /// Whether there is anything that links tell of. Sessions are not: they only give meaning to a logon.
    #[must_use]
    pub fn has_sightings(&self) -> bool {
        !(self.tools.is_empty() && self.peripherals.is_empty() && self.rdp_logons.is_empty())
    }

    /// Bytes on the heap, estimated.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let lists = self.sessions.len() * 144 + self.tools.len() * 160 + self.rdp_logons.len() * 144;
        size_of::<Self>() + lists + self.peripherals.len() * 200 + self.episodes.bytes()
    }

    /// Forgets facts last seen before `horizon_ms`.
    pub(super) fn forget_before(&mut self, horizon_ms: i64) {
        self.episodes.forget_before(horizon_ms);
        self.sessions.retain(|s| s.seen_ms >= horizon_ms);
        self.tools.retain(|t| t.last_ms >= horizon_ms);
        self.peripherals.retain(|p| p.time_ms >= horizon_ms);
        self.rdp_logons.retain(|r| r.time_ms >= horizon_ms);
    }

    /// When the oldest of them was last seen, ms.
    pub(super) fn oldest_ms(&self) -> Option<i64> {
        let seen = (self.sessions.iter().map(|s| s.seen_ms))
            .chain(self.tools.iter().map(|t| t.last_ms))
            .chain(self.peripherals.iter().map(|p| p.time_ms))
            .chain(self.rdp_logons.iter().map(|r| r.time_ms))
            .chain(self.episodes.last_ms());
        seen.min()
    }

    /// Folds what an observation says of tools, peripherals, logons and sessions. `is_usual` says which devices the account
    /// is known to use. Says whether it was anything.
    pub(super) fn apply(
        &mut self,
        seen: &Observation<'_>,
        settings: &WindowSettings,
        is_usual: &dyn Fn(&str) -> bool,
        dropped: &mut Dropped,
    ) -> bool {
        let mut is_fact = false;
        let event = seen.event;
        match event.kind {
            EventKind::VpnOpen | EventKind::VpnRenew | EventKind::VpnClose => {
                sessions::apply(&mut self.sessions, seen, settings.sessions_max, is_usual, dropped);
                is_fact = true;
            }
            EventKind::RdpLogon if counts(seen) => {
                if (self.rdp_logons.iter()).any(|r| is_of(seen, r.time_ms, &r.event_id, &r.product)) {
                    return false;
                }
                let gone = make_room(&mut self.rdp_logons, settings.rdp_logons_max, |r| r.time_ms);
                dropped.add(FullList::Logons, gone);
                self.rdp_logons.push(rdp(seen));
                self.rdp_logons
                    .sort_by(|a, b| (a.time_ms, &a.event_id).cmp(&(b.time_ms, &b.event_id)));
                is_fact = true;
            }
            EventKind::PeripheralAttached => {
                if let Some(fact) = peripheral(seen) {
                    is_fact = self.attach(fact, settings.sightings_max, dropped);
                }
            }
            _ => {}
        }
        if let Some(tool) = &event.tool {
            let device = event.device.as_ref().map_or("", |d| d.id.as_ref());
            let gone = self.tool(tool, device, seen, settings.sightings_max);
            dropped.add(FullList::Tools, gone);
            is_fact = true;
        }
        if let Some(brand) = vpn_brand(seen) {
            // The network showed it, whatever device was behind: one who signs in with many has one brand.
            let brand = Tool {
                name: brand.into(),
                kind: ToolKind::VpnClient,
                indicator: None,
                unattended: false,
            };
            let is_known = self.tools.iter().any(|t| t.is(&brand, ""));
            let gone = self.tool(&brand, "", seen, settings.sightings_max);
            dropped.add(FullList::Tools, gone);
            is_fact |= !is_known;
        }
        is_fact
    }

    /// Folds a peripheral. One that is attached again is the same fact: a keyboard and a mouse that are plugged in daily
    /// leave the others their places. Says whether it told anything.
    fn attach(&mut self, fact: PeripheralFact, sightings_max: usize, dropped: &mut Dropped) -> bool {
        match self.peripherals.iter_mut().find(|known| known.is_same_thing(&fact)) {
            Some(known) => {
                if !known.merge(fact) {
                    return false;
                }
            }
            None => {
                let gone = make_room(&mut self.peripherals, sightings_max, |p| {
                    (p.is_kvm(), !p.is_plain(), p.time_ms)
                });
                dropped.add(FullList::Peripherals, gone);
                self.peripherals.push(fact);
            }
        }
        self.peripherals
            .sort_by(|a, b| (a.time_ms, &a.event_id).cmp(&(b.time_ms, &b.event_id)));
        true
    }

    /// Folds a tool, and says how many others made room for it: first those that are only context, as VPN brands are.
    fn tool(&mut self, tool: &Tool<'_>, device: &str, seen: &Observation<'_>, sightings_max: usize) -> usize {
        let found = self.tools.iter().position(|t| t.is(tool, device));
        let mut gone = 0;
        let index = found.unwrap_or_else(|| {
            gone = make_room(&mut self.tools, sightings_max, |t| (!t.is_context(), t.last_ms));
            self.tools.push(ToolFact {
                name: tool.name.as_ref().into(),
                kind: tool.kind,
                device: device.into(),
                unattended: tool.unattended,
                days: Days::default(),
                first_ms: seen.order_ms,
                last_ms: seen.order_ms,
                event_id: seen.event.id.clone(),
                product: seen.event.product.as_ref().into(),
            });
            self.tools.len() - 1
        });
        let fact = &mut self.tools[index];
        fact.unattended |= tool.unattended;
        fact.days.mark(day_at(seen));
        fact.first_ms = fact.first_ms.min(seen.order_ms);
        if (seen.order_ms, &seen.event.id) > (fact.last_ms, &fact.event_id) {
            fact.last_ms = seen.order_ms;
            fact.event_id = seen.event.id.clone();
            fact.product = seen.event.product.as_ref().into();
        }
        gone
    }
}

/// Frees one place in a full list by giving up its oldest entry, and says how many were given up.
pub(super) fn make_room<T, K: Ord>(list: &mut Vec<T>, max: usize, time: impl Fn(&T) -> K) -> usize {
    let before = list.len();
    while list.len() >= max.max(1) {
        let oldest = list
            .iter()
            .enumerate()
            .min_by_key(|(_, item)| time(item))
            .map_or(0, |(i, _)| i);
        list.remove(oldest);
    }
    before - list.len()
}

impl ToolFact {
    /// Whether it is that tool on that device.
    fn is(&self, tool: &Tool<'_>, device: &str) -> bool {
        *self.name == *tool.name && self.kind == tool.kind && *self.device == *device
    }

    /// Whether it gives meaning to other facts and is no indicator itself.
    fn is_context(&self) -> bool {
        matches!(self.kind, ToolKind::VpnClient | ToolKind::DevTunnel)
    }
}

impl PeripheralFact {
    /// Whether it is hardware to operate a computer from elsewhere, by what it calls itself.
    fn is_kvm(&self) -> bool {
        kvm::is_usb_device(&self.name, &self.usb_id) || kvm::is_name(&self.edid)
    }

    /// Whether it is a lone keyboard, mouse or stick, as everybody plugs in.
    fn is_plain(&self) -> bool {
        let shown = [self.keyboard, self.mouse, self.storage];
        self.edid.is_empty() && shown.into_iter().filter(|part| *part).count() <= 1
    }

    /// Whether both are one thing attached to one device.
    fn is_same_thing(&self, other: &Self) -> bool {
        self.device == other.device && self.usb_id == other.usb_id && self.name == other.name && self.edid == other.edid
    }

    /// Takes in what another event shows of the same thing, with the time and the id of the later one. Says whether it
    /// was more than was known.
    fn merge(&mut self, other: Self) -> bool {
        let shown = |fact: &Self| [fact.keyboard, fact.mouse, fact.storage];
        let before = shown(self);
        self.keyboard |= other.keyboard;
        self.mouse |= other.mouse;
        self.storage |= other.storage;
        let is_later = (other.time_ms, &other.event_id) > (self.time_ms, &self.event_id);
        if is_later {
            self.time_ms = other.time_ms;
            self.event_id = other.event_id;
            self.product = other.product;
        }
        is_later || shown(self) != before
    }
}

/// Whether an observation is the one that a fact came from, delivered again after the account forgot its id.
fn is_of(seen: &Observation<'_>, time_ms: i64, event_id: &EventId, product: &str) -> bool {
    seen.order_ms == time_ms && seen.event.id == *event_id && *seen.event.product == *product
}

fn rdp(seen: &Observation<'_>) -> RdpFact {
    let event = seen.event;
    RdpFact {
        time_ms: seen.order_ms,
        address: event.source_ip,
        network: Arc::clone(seen.network),
        place: seen.place.cloned(),
        device: event.device.as_ref().map(|d| d.id.as_ref().into()).unwrap_or_default(),
        event_id: event.id.clone(),
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
        event_id: event.id.clone(),
        product: event.product.as_ref().into(),
    })
}

/// Commercial VPN brand that the network list or the identity provider named for this observation, if it shows the account
/// at work: a stranger who fails to sign in brings none. Nor does the company's own egress, which providers call a proxy.
fn vpn_brand<'s>(seen: &'s Observation<'_>) -> Option<&'s str> {
    if !is_presence(seen) || seen.network.class == NetworkClass::Corporate {
        return None;
    }
    let named = seen.event.anonymizer.as_deref().filter(|b| !b.is_empty());
    named.or_else(|| {
        let is_vpn = seen.network.class == NetworkClass::Vpn;
        (is_vpn && !seen.network.label.is_empty()).then_some(seen.network.label.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Claim, Event, Key, Peripheral, Tool};

    fn seen<'o>(event: &'o Event<'o>, time_ms: i64, claim: &'o Claim, network: &'o Arc<Network>) -> Observation<'o> {
        Observation {
            event,
            key: Key(1),
            order_ms: time_ms,
            time_suspect: false,
            place: None,
            network,
            claim: claim.borrowed(),
            travel: None,
            data_versions: "",
        }
    }

    /// A story of one account, told once or several times over.
    fn told(times: usize) -> Rare {
        let event = |kind, id| Event {
            session: Some("s-1".into()),
            ..Event::sample(kind, id)
        };
        let tool = Tool {
            name: "AnyDesk".into(),
            kind: ToolKind::RemoteAccess,
            indicator: None,
            unattended: false,
        };
        let peripheral = Peripheral {
            manufacturer: Some("ATEN".into()),
            ..Peripheral::default()
        };
        let story = [
            event(EventKind::VpnOpen, "a"),
            event(EventKind::RdpLogon, "b"),
            event(EventKind::RdpLogon, "c"),
            Event {
                tool: Some(Box::new(tool)),
                ..event(EventKind::ToolSeen, "d")
            },
            Event {
                peripheral: Some(Box::new(peripheral)),
                ..event(EventKind::PeripheralAttached, "e")
            },
            event(EventKind::VpnClose, "f"),
        ];
        let (mut rare, claim) = (Rare::none(), Claim::default());
        for _ in 0..times {
            for (event, time_ms) in story.iter().zip((0..).step_by(1_000)) {
                rare.apply(
                    &seen(event, time_ms, &claim, &Arc::default()),
                    &WindowSettings::default(),
                    &|_| true,
                    &mut Dropped::default(),
                );
            }
        }
        rare
    }

    #[test]
    fn what_comes_again_after_its_id_was_forgotten_changes_nothing() {
        let once = told(1);
        assert_eq!(
            (once.rdp_logons.len(), once.peripherals.len(), once.tools.len()),
            (2, 1, 1)
        );
        assert_eq!(told(2), once);
    }

    #[test]
    fn what_is_attached_again_is_one_fact_with_all_that_it_showed() {
        let attached = |name: &'static str, [keyboard, mouse]: [bool; 2]| Peripheral {
            product: Some(name.into()),
            keyboard,
            mouse,
            ..Peripheral::default()
        };
        let story = [
            (10, "a", attached("dock", [true, false]), true),
            (30, "b", attached("lamp", [false, false]), true),
            (20, "c", attached("dock", [false, true]), true),
            (20, "c", attached("dock", [false, true]), false),
            (15, "d", attached("dock", [true, false]), false),
            (40, "e", attached("dock", [false, false]), true),
        ];
        let (mut rare, claim) = (Rare::none(), Claim::default());
        for (time_ms, id, peripheral, is_news) in story {
            let event = Event {
                peripheral: Some(Box::new(peripheral)),
                ..Event::sample(EventKind::PeripheralAttached, id)
            };
            let (network, settings) = (Arc::default(), WindowSettings::default());
            let seen = seen(&event, time_ms, &claim, &network);
            assert_eq!(
                rare.apply(&seen, &settings, &|_| true, &mut Dropped::default()),
                is_news,
                "{id}"
            );
        }
        let shown = |p: &PeripheralFact| (p.time_ms, p.event_id.to_string(), [p.keyboard, p.mouse]);
        let kept: Vec<_> = rare.peripherals.iter().map(shown).collect();
        assert_eq!(
            kept,
            [(30, "b".to_owned(), [false; 2]), (40, "e".to_owned(), [true; 2])]
        );
    }
}
