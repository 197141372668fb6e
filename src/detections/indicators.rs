//! Relay indicators: what an account's window shows of tools, KVM hardware and remote-desktop logons, with points.
//!
//! | indicator | points | source |
//! |---|---|---|
//! | remote-desktop logon from outside into a device with an open VPN session, or one that is opened soon after | 4 | FBI 2024, advisory bullet 4 |
//! | remote-desktop logon from outside without such a session | 2, unless there was one with | |
//! | KVM named by USB or by display identification | 3 | ATT&CK T1219.003 |
//! | both of these | 1 more | |
//! | keyboard, mouse and storage on one USB parent | 1 | docks do that too |
//! | remote-access tool not approved | 2 | Mandiant 2024, FBI 2024 |
//! | a second vendor's tool on the same device within a day | 2 | Mandiant 2024 |
//! | tool first seen in the first 30 days of employment | 1 | CrowdStrike 2026 |
//! | tool set up for unattended access | 1 | CrowdStrike 2026 |
//! | mouse jiggler | 2 | Mandiant 2024 |
//! | tool running while a VPN session was up | 0, shown only: many are always connected | FBI 2024 |

use std::borrow::Cow;
use std::net::IpAddr;

use crate::detections::settings::RelaySettings;
use crate::model::claim::DeviceIdsRef;
use crate::model::event_id::EventId;
use crate::model::kvm;
use crate::model::place::Scale;
use crate::model::{ClaimRef, NetworkClass, Place, ToolKind};
use crate::window::account::{AccountFacts, PeripheralFact, RdpFact, SessionFact, ToolFact};
use crate::window::origin::Address;
use crate::window::spots::{Spot, Spots};
use crate::window::{DAY_MS, HOUR_MS, day_of};

const MINUTE_MS: i64 = 60_000;

/// One indicator.
#[derive(Clone, Debug, PartialEq)]
pub struct Indicator<'a> {
    /// Its class; independent indicators differ in class.
    pub class: Class,
    /// Points.
    pub points: u16,
    /// What a person should read.
    pub label: Cow<'a, str>,
    /// When it was seen last, ms.
    pub time_ms: i64,
    /// Device; empty if unknown.
    pub device: &'a str,
    /// Id of the event that showed it.
    pub event_id: &'a EventId,
    /// Product of that event.
    pub product: &'a str,
    /// The logon, if it is one.
    pub logon: Option<&'a RdpFact>,
    /// The VPN session it fell into.
    pub session: Option<&'a SessionFact>,
}

/// Class of an indicator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Remote-desktop logon from outside during a VPN session.
    RelayInProgress,
    /// Remote-desktop logon from outside.
    RemoteDesktop,
    /// KVM by its USB identity.
    KvmUsb,
    /// KVM by its display identification.
    KvmDisplay,
    /// Composite USB device.
    CompositeUsb,
    /// Remote-access tool.
    RemoteTool,
    /// Several vendors' tools.
    SeveralTools,
    /// Tool soon after hiring.
    NewHireTool,
    /// Unattended access.
    Unattended,
    /// Mouse jiggler.
    Jiggler,
    /// Tool during a VPN session.
    ToolInSession,
}

impl Class {
    /// The class as evidence spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RelayInProgress => "remote_desktop_during_vpn_session",
            Self::RemoteDesktop => "remote_desktop_from_outside",
            Self::KvmUsb => "kvm_usb_identity",
            Self::KvmDisplay => "kvm_display_identity",
            Self::CompositeUsb => "keyboard_mouse_and_storage_on_one_usb_device",
            Self::RemoteTool => "remote_access_tool",
            Self::SeveralTools => "several_remote_access_tools",
            Self::NewHireTool => "remote_access_tool_soon_after_hiring",
            Self::Unattended => "unattended_access",
            Self::Jiggler => "mouse_jiggler",
            Self::ToolInSession => "remote_access_tool_during_vpn_session",
        }
    }

    /// Whether the class is hardware.
    #[must_use]
    pub fn is_kvm(self) -> bool {
        matches!(self, Self::KvmUsb | Self::KvmDisplay)
    }
}

/// All indicators of the account at a moment, one per class and thing, in the order of the table above.
#[must_use]
pub fn of<'a>(
    facts: &'a AccountFacts,
    spots: &Spots,
    claim: ClaimRef<'_>,
    at_ms: i64,
    settings: &RelaySettings,
) -> Vec<Indicator<'a>> {
    let mut found = sightings(facts, spots, claim, at_ms, settings);
    let tools: Vec<&ToolFact> = unapproved_tools(facts, at_ms, settings).collect();
    found.extend(several_tools(&tools, settings));
    found.extend(
        tools
            .iter()
            .filter(|t| is_remote_access(t))
            .find_map(|t| soon_after_hiring(t, claim, settings)),
    );
    found.extend(tools.iter().find(|t| is_remote_access(t) && t.unattended).map(|t| {
        from_tool(
            t,
            Class::Unattended,
            1,
            format!("{} set up for unattended access", t.name),
        )
    }));
    found.extend(
        tools
            .iter()
            .filter(|t| is_remote_access(t))
            .find_map(|t| in_session(t, facts, spots, claim.devices, settings)),
    );
    found
}

/// The indicators that one fact shows by itself: logons, KVM hardware, tools. What links tell of; those that take
/// two facts to see are left out.
#[must_use]
pub fn sightings<'a>(
    facts: &'a AccountFacts,
    spots: &Spots,
    claim: ClaimRef<'_>,
    at_ms: i64,
    settings: &RelaySettings,
) -> Vec<Indicator<'a>> {
    let since_ms = since_ms(at_ms, settings);
    let logons = facts.rare().rdp_logons.iter().filter(|logon| logon.time_ms >= since_ms);
    let mut found: Vec<Indicator<'a>> = logons
        .filter_map(|logon| remote_desktop(logon, facts, spots, claim.devices, settings))
        .collect();
    keep_strongest(&mut found);
    let peripherals: Vec<&PeripheralFact> = facts
        .rare()
        .peripherals
        .iter()
        .filter(|p| p.time_ms >= since_ms)
        .collect();
    kvm_hardware(&peripherals, &mut found);
    found.extend(unapproved_tools(facts, at_ms, settings).filter_map(tool_sighting));
    found
}

fn since_ms(at_ms: i64, settings: &RelaySettings) -> i64 {
    at_ms - i64::from(settings.window_days) * DAY_MS
}

fn unapproved_tools<'a>(
    facts: &'a AccountFacts,
    at_ms: i64,
    settings: &RelaySettings,
) -> impl Iterator<Item = &'a ToolFact> {
    let since_ms = since_ms(at_ms, settings);
    let recent = facts.rare().tools.iter().filter(move |t| t.last_ms >= since_ms);
    recent.filter(|t| !is_approved(t, settings))
}

/// Sum of the points of distinct indicators. A class counts once: the second of two identical facts is no news.
#[must_use]
pub fn points(indicators: &[Indicator<'_>]) -> u16 {
    let mut classes: Vec<(Class, u16)> = Vec::new();
    for indicator in indicators {
        match classes.iter_mut().find(|(class, _)| *class == indicator.class) {
            Some((_, points)) => *points = (*points).max(indicator.points),
            None => classes.push((indicator.class, indicator.points)),
        }
    }
    // A logon that waits for its session, or whose session nobody saw, is no other fact beside one that had it.
    if classes.iter().any(|(class, _)| *class == Class::RelayInProgress) {
        classes.retain(|(class, _)| *class != Class::RemoteDesktop);
    }
    let both_kvm = classes.iter().filter(|(class, _)| class.is_kvm()).count() > 1;
    let kvm: u16 = classes
        .iter()
        .filter(|(class, _)| class.is_kvm())
        .map(|(_, points)| *points)
        .max()
        .unwrap_or(0);
    let rest: u16 = classes
        .iter()
        .filter(|(class, _)| !class.is_kvm())
        .map(|(_, points)| *points)
        .sum();
    rest + kvm + u16::from(both_kvm)
}

fn is_approved(tool: &ToolFact, settings: &RelaySettings) -> bool {
    settings
        .approved_tools
        .iter()
        .any(|approved| approved.eq_ignore_ascii_case(&tool.name))
}

fn is_remote_access(tool: &ToolFact) -> bool {
    matches!(tool.kind, ToolKind::RemoteAccess | ToolKind::Kvm)
}

fn from_tool<'a>(tool: &'a ToolFact, class: Class, points: u16, label: impl Into<Cow<'a, str>>) -> Indicator<'a> {
    Indicator {
        class,
        points,
        label: label.into(),
        time_ms: tool.last_ms,
        device: &tool.device,
        event_id: &tool.event_id,
        product: &tool.product,
        logon: None,
        session: None,
    }
}

fn tool_sighting<'a>(tool: &'a ToolFact) -> Option<Indicator<'a>> {
    let (class, points) = match tool.kind {
        ToolKind::RemoteAccess => (Class::RemoteTool, 2),
        ToolKind::Kvm => (Class::KvmUsb, 3),
        ToolKind::Jiggler => (Class::Jiggler, 2),
        // A tunnel or a VPN client is context for other rules, no sign of a second operator.
        ToolKind::DevTunnel | ToolKind::VpnClient => return None,
    };
    Some(from_tool(tool, class, points, &*tool.name))
}

/// Tools that come together, by one vendor or one inside the other, so that seeing both is seeing one (the vendors' own pages
/// about what their agents install).
const BUNDLES: [[&str; 2]; 8] = [
    ["Atera", "Splashtop"],
    ["ConnectWise Automate", "ScreenConnect"],
    ["Datto RMM", "Splashtop"],
    ["LogMeIn", "LogMeIn Rescue"],
    ["ManageEngine", "Zoho Assist"],
    ["NinjaOne", "Splashtop"],
    ["Sunlogin", "AweSun"],
    ["Syncro", "Splashtop"],
];

/// Whether two names are one tool's, or of two that come together.
fn is_one_product(one: &str, other: &str) -> bool {
    one == other
        || BUNDLES
            .iter()
            .any(|bundle| bundle.contains(&one) && bundle.contains(&other))
}

fn several_tools<'a>(tools: &[&'a ToolFact], settings: &RelaySettings) -> Option<Indicator<'a>> {
    let within_ms = i64::from(settings.several_tools_hours) * HOUR_MS;
    let remote: Vec<&&ToolFact> = tools.iter().filter(|t| is_remote_access(t)).collect();
    for (index, one) in remote.iter().enumerate() {
        for other in &remote[index + 1..] {
            let overlap = other.first_ms <= one.last_ms + within_ms && one.first_ms <= other.last_ms + within_ms;
            let is_one_device = one.device.eq_ignore_ascii_case(&other.device);
            if overlap && is_one_device && !is_one_product(&one.name, &other.name) {
                return Some(from_tool(
                    one,
                    Class::SeveralTools,
                    2,
                    format!("{} and {}", one.name, other.name),
                ));
            }
        }
    }
    None
}

fn soon_after_hiring<'a>(tool: &'a ToolFact, claim: ClaimRef<'_>, settings: &RelaySettings) -> Option<Indicator<'a>> {
    let tenure = day_of(tool.first_ms) - claim.hire_day?;
    (0..=i32::from(settings.tenure_days)).contains(&tenure).then(|| {
        from_tool(
            tool,
            Class::NewHireTool,
            1,
            format!("{} first seen {tenure} days after hiring", tool.name),
        )
    })
}

fn in_session<'a>(
    tool: &'a ToolFact,
    facts: &AccountFacts,
    spots: &Spots,
    assigned: DeviceIdsRef<'_>,
    settings: &RelaySettings,
) -> Option<Indicator<'a>> {
    let session = facts.rare().sessions.iter().find(|s| {
        let covers = |time_ms| covers(s, time_ms, facts, spots, settings);
        may_be_on(s, &tool.device, &tool.product, facts, assigned) && (covers(tool.first_ms) || covers(tool.last_ms))
    })?;
    let label = format!("{} while VPN session {} was up", tool.name, session.event_id);
    Some(from_tool(tool, Class::ToolInSession, 0, label))
}

/// When a session was over, as far as was told, ms: at its close, or when its product told of it on another line, or opened
/// another one for the same named device, which has one at a time. It has not been seen up since.
fn over_ms(session: &SessionFact, facts: &AccountFacts, spots: &Spots) -> Option<i64> {
    let is_one_device = |other: &SessionFact| {
        !other.device.is_empty()
            && other.device.eq_ignore_ascii_case(&session.device)
            && other.product == session.product
            && shows_owner(other, facts, spots)
    };
    let sessions = facts.rare().sessions.iter();
    let later = sessions.filter(|s| s.opened_ms > session.opened_ms && s.opened_ms >= session.seen_ms);
    let next = later
        .filter(|s| s.id == session.id || is_one_device(s))
        .map(|s| s.opened_ms)
        .min();
    session.closed_ms.into_iter().chain(next).min()
}

/// Whether a session shows where the account's owner is: the account got in from there, and no network hides who did. The
/// name of a device is the client's to choose, and anybody may knock.
fn shows_owner(session: &SessionFact, facts: &AccountFacts, spots: &Spots) -> bool {
    let spot = |s: &SessionFact| s.address.and_then(|address| spot_of(address, facts, spots));
    let is_hidden = spot(session).is_some_and(|spot| spot.network.class.is_anonymizer());
    // One that moved on has got in before, from another line.
    let mut records = facts.rare().sessions.iter().filter(|s| s.id == session.id);
    !is_hidden && records.any(|s| spot(s).is_some())
}

/// What is known of when a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was seen up until then, ms, or told to be over.
    Told(i64),
    /// Nobody told, so it is taken to last until then, ms.
    Assumed(i64),
}

/// When a session ended. Without a word about it, it is taken to last a while after it was last seen; a next session that
/// is opened later than that does not say that it lasted until then.
#[must_use]
pub fn end_of(session: &SessionFact, facts: &AccountFacts, spots: &Spots, settings: &RelaySettings) -> End {
    let assumed_ms = session.seen_ms + i64::from(settings.session_hours) * HOUR_MS;
    match over_ms(session, facts, spots) {
        Some(told_ms) if session.closed_ms.is_some() || told_ms <= assumed_ms => End::Told(told_ms),
        _ => End::Assumed(assumed_ms),
    }
}

/// Whether a session was up at that time.
fn covers(session: &SessionFact, time_ms: i64, facts: &AccountFacts, spots: &Spots, settings: &RelaySettings) -> bool {
    let (End::Told(end_ms) | End::Assumed(end_ms)) = end_of(session, facts, spots, settings);
    (session.opened_ms..=end_ms).contains(&time_ms)
}

/// Whether a session may be one of the device that a product calls so. A gateway and an agent have ids of their own for
/// one laptop, so ids tell devices apart only if one product gave both, or if the account would be known to work at the
/// device and is not: a server it looks after is no laptop with a session. Of an agent that tells of no sign-ins nobody
/// knows the ids, unless the roster does.
fn may_be_on(
    session: &SessionFact,
    device: &str,
    product: &str,
    facts: &AccountFacts,
    assigned: DeviceIdsRef<'_>,
) -> bool {
    let is_known = || {
        facts.device_of(device).is_some()
            || assigned.iter().any(|id| id.eq_ignore_ascii_case(device))
            || !tells_of_sign_ins(product, facts)
    };
    session.device.is_empty()
        || device.is_empty()
        || session.device.eq_ignore_ascii_case(device)
        || *session.product != *product && is_known()
}

/// Whether the account was seen to sign in by that product.
fn tells_of_sign_ins(product: &str, facts: &AccountFacts) -> bool {
    let networks = facts.networks().iter().map(|network| network.product);
    let mut products = networks.chain(facts.visits().iter().map(|visit| visit.product));
    products.any(|known| facts.text(known) == product)
}

/// Where the account's window says that an address is.
#[must_use]
pub fn spot_of<'s>(address: IpAddr, facts: &AccountFacts, spots: &'s Spots) -> Option<&'s Spot> {
    let address = Address::of(address);
    let mut networks = facts.networks().iter();
    let network = networks.find(|network| network.address.is_on_line_of(address))?;
    Some(spots.get(network.spot))
}

/// Two addresses of one provider that a database puts this close are one town, as far as it can tell, km.
const ONE_TOWN_KM: f64 = 100.0;

/// Whether a logon came from where a session comes from: from its line, or from what may be another address of it or of a
/// telephone beside it. A provider has many for one customer (IPv4 and IPv6, shared gateways, a router that dials anew); of
/// a carrier's gateways none says where the telephone is.
fn is_at_session(logon: &RdpFact, from: IpAddr, session: &SessionFact, facts: &AccountFacts, spots: &Spots) -> bool {
    let Some(address) = session.address else { return false };
    let is_beside = |spot: &Spot| {
        let (own, other) = (&spot.network, &logon.network);
        let is_one_provider = own.asn != 0 && own.asn == other.asn;
        let is_mobile = own.class == NetworkClass::Mobile;
        is_one_provider && is_mobile && other.class == NetworkClass::Mobile
            || (is_one_provider || is_mobile) && is_one_town(spot.place.as_deref(), logon.place.as_deref())
    };
    Address::of(address).is_on_line_of(Address::of(from)) || spot_of(address, facts, spots).is_some_and(is_beside)
}

/// Whether both are cities, as near as the database can tell them apart.
fn is_one_town(one: Option<&Place>, other: Option<&Place>) -> bool {
    one.zip(other).is_some_and(|(one, other)| {
        let radius_km = f64::from(one.radius_km.max(other.radius_km));
        let are_cities = one.scale == Scale::City && other.scale == Scale::City;
        are_cities && one.point.distance_km(other.point) <= radius_km.max(ONE_TOWN_KM)
    })
}

/// Whether a logon was made while a session was up, or lasted when the session was opened: who drives the laptop from
/// elsewhere has to be on it before the VPN is.
fn falls_into(
    logon: &RdpFact,
    session: &SessionFact,
    facts: &AccountFacts,
    spots: &Spots,
    settings: &RelaySettings,
) -> bool {
    let lasted_ms = i64::from(settings.logon_minutes) * MINUTE_MS;
    // One that moved to this line was opened before, on another.
    let is_same_before =
        |s: &SessionFact| s.id == session.id && s.opened_ms < session.opened_ms && s.closed_ms.is_none();
    let is_opening = || !facts.rare().sessions.iter().any(is_same_before);
    covers(session, logon.time_ms, facts, spots, settings)
        || is_opening() && (logon.time_ms..=logon.time_ms.saturating_add(lasted_ms)).contains(&session.opened_ms)
}

fn remote_desktop<'a>(
    logon: &'a RdpFact,
    facts: &'a AccountFacts,
    spots: &Spots,
    assigned: DeviceIdsRef<'_>,
    settings: &RelaySettings,
) -> Option<Indicator<'a>> {
    let from = logon.address?;
    if logon.network.class == NetworkClass::Corporate {
        return None;
    }
    let sessions = &facts.rare().sessions;
    let up = || sessions.iter().filter(|s| falls_into(logon, s, facts, spots, settings));
    let is_there = |s: &SessionFact| is_at_session(logon, from, s, facts, spots);
    // Who comes through what hides people may have opened a session there, to be taken for the owner.
    let is_owner =
        |s: &SessionFact| is_there(s) && !logon.network.class.is_anonymizer() && shows_owner(s, facts, spots);
    // A session that names this very device is its own; another may only be if there is none.
    let is_of_device = |s: &SessionFact| !s.device.is_empty() && s.device.eq_ignore_ascii_case(&logon.device);
    let has_own = up().any(|s| is_of_device(s) && (is_owner(s) || !is_there(s)));
    let may_be_its = |s: &SessionFact| match has_own {
        true => is_of_device(s),
        false => may_be_on(s, &logon.device, &logon.product, facts, assigned),
    };
    let elsewhere = up().filter(|s| may_be_its(s) && !is_there(s));
    let session = elsewhere.min_by_key(|s| (s.opened_ms, s.id));
    // Where the account has a session up, on whatever device, its owner is: no outside, unless this device's is elsewhere.
    if session.is_none() && up().any(is_owner) {
        return None;
    }
    let place = logon
        .place
        .as_ref()
        .map_or_else(|| "an unknown place".to_owned(), |place| place.label());
    let (class, points, label) = match session {
        Some(session) => {
            let label = during_session(logon, from, &place, session, end_of(session, facts, spots, settings));
            (Class::RelayInProgress, 4, label)
        }
        None => (
            Class::RemoteDesktop,
            2,
            format!("remote-desktop logon from {from} ({place})"),
        ),
    };
    Some(Indicator {
        class,
        points,
        label: label.into(),
        time_ms: logon.time_ms,
        device: &logon.device,
        event_id: &logon.event_id,
        product: &logon.product,
        logon: Some(logon),
        session,
    })
}

/// What is to be read of a logon beside the session that it fell into, and of what was only taken to be so.
fn during_session(logon: &RdpFact, from: IpAddr, place: &str, session: &SessionFact, end: End) -> String {
    let via = session
        .address
        .map_or_else(|| "an unknown address".to_owned(), |ip| ip.to_string());
    if logon.time_ms < session.opened_ms {
        return format!("remote-desktop logon from {from} ({place}) just before the VPN session from {via} was opened");
    }
    let assumed = match end {
        End::Assumed(end_ms) if logon.time_ms > session.seen_ms => format!(
            " (no close seen: last seen {} UTC, taken to last until {})",
            clock(session.seen_ms),
            clock(end_ms)
        ),
        _ => String::new(),
    };
    format!("remote-desktop logon from {from} ({place}) while the VPN session from {via} was up{assumed}")
}

/// `07:05`: hour and minute of a moment, UTC.
#[must_use]
pub fn clock(time_ms: i64) -> String {
    let minutes = time_ms.rem_euclid(DAY_MS) / MINUTE_MS;
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

fn keep_strongest(found: &mut Vec<Indicator<'_>>) {
    /// Remote-desktop logons shown as evidence.
    const LOGONS_SHOWN: usize = 3;
    found.sort_by_key(|i| std::cmp::Reverse((i.points, i.time_ms)));
    found.truncate(LOGONS_SHOWN);
}

fn kvm_hardware<'a>(peripherals: &[&'a PeripheralFact], found: &mut Vec<Indicator<'a>>) {
    let by_usb = peripherals.iter().find(|p| kvm::is_usb_device(&p.name, &p.usb_id));
    if let Some(p) = by_usb {
        found.push(from_peripheral(
            p,
            Class::KvmUsb,
            3,
            &format!("USB device {} {}", p.usb_id, p.name),
        ));
    }
    let by_display = peripherals.iter().find(|p| kvm::is_name(&p.edid));
    if let Some(p) = by_display {
        found.push(from_peripheral(p, Class::KvmDisplay, 3, &format!("display {}", p.edid)));
    }
    let composite = peripherals.iter().find(|p| {
        let parts = peripherals
            .iter()
            .filter(|o| o.device == p.device && o.usb_id == p.usb_id && o.name == p.name);
        let shown = parts.fold([false; 3], |shown, o| {
            [shown[0] || o.keyboard, shown[1] || o.mouse, shown[2] || o.storage]
        });
        shown == [true; 3] && !(p.usb_id.is_empty() && p.name.is_empty())
    });
    if let Some(p) = composite {
        let label = format!("keyboard, mouse and storage on USB device {} {}", p.usb_id, p.name);
        found.push(from_peripheral(p, Class::CompositeUsb, 1, &label));
    }
}

fn from_peripheral<'a>(fact: &'a PeripheralFact, class: Class, points: u16, label: &str) -> Indicator<'a> {
    Indicator {
        class,
        points,
        label: label.trim_end().to_owned().into(),
        time_ms: fact.time_ms,
        device: &fact.device,
        event_id: &fact.event_id,
        product: &fact.product,
        logon: None,
        session: None,
    }
}
