//! A company device driven from elsewhere: remote-desktop logons, remote-access tools, KVM-over-IP.
//!
//! Advisory flags: remote-desktop ports and sharing software on a laptop whose owner works elsewhere (May 2022, and the
//! FBI's updates of 2023 to 2025). ATT&CK: T1219.002, T1219.003, T1021.001, T1133.
//! One weak indicator is a signal. An alert takes a remote-desktop logon from outside *during* the owner's VPN
//! session, or independent indicators that add up; `indicators` has the table of points.
//! Indicators add up over the account's devices, because gateway and agent have ids of their own for one laptop.
//! Blind to: a KVM with changed identities and no storage, tools nobody reports, an approved tool in the wrong hands; a
//! logon from a private address, as from a second computer beside the laptop, or from an address of the session's own
//! provider in its own town.

use crate::detections::indicators::{self, Class, End, Indicator};
use crate::detections::settings::RelaySettings;
use crate::model::{
    AccountKind, Detection, Evidence, EvidencePlace, Finding, Guard, Measure, Network, Observation, Rule, Severity,
    Strength, attack,
};
use crate::window::account::{AccountFacts, Change, Lateness, RdpFact, SessionFact};
use crate::window::spots::{Spot, Spots};

/// What is constant about it.
pub const RULE: Rule = Rule {
    detection: Detection::RemoteDesktopRelay,
    title: "Remote-desktop relay indicators",
    description: "Independent indicators on one account's devices agree that somebody operates one of them from elsewhere.",
    version: "1",
    attacks: &[
        attack::REMOTE_DESKTOP_SOFTWARE,
        attack::REMOTE_ACCESS_HARDWARE,
        attack::REMOTE_DESKTOP_PROTOCOL,
        attack::EXTERNAL_REMOTE_SERVICES,
    ],
    blind_to: "KVM hardware with changed identities, tools no agent reports, approved tools in the wrong hands, and remote-desktop logons from private addresses, as from a second computer beside the laptop, or from an address of the VPN session's own provider in its own town",
};

/// Judges the account's indicators after one more of them.
#[must_use]
pub fn detect(
    seen: &Observation<'_>,
    facts: &AccountFacts,
    spots: &Spots,
    change: &Change,
    settings: &RelaySettings,
) -> Option<Finding> {
    if !change.relay_facts || seen.claim.terms.kind == AccountKind::Service {
        return None;
    }
    let found = indicators::of(facts, spots, seen.claim, seen.order_ms, settings);
    let points = indicators::points(&found);
    let classes = distinct(&found, |i| i.class);
    let events = distinct(&found, |i| (i.event_id, i.product));
    let in_progress = classes.contains(&Class::RelayInProgress);
    let is_alert = points >= settings.alert_points && (in_progress || classes.len() > 1);
    if points < 2 {
        return None;
    }
    let severity = match (is_alert, points) {
        (false, _) => Severity::Low,
        (true, points) if points >= settings.high_points => Severity::High,
        (true, _) => Severity::Medium,
    };
    let account = seen.event.account.as_str();
    Some(Finding {
        detection: Detection::RemoteDesktopRelay,
        strength: if is_alert { Strength::Alert } else { Strength::Signal },
        severity,
        confidence: u8::try_from(30 + u32::from(points.min(10)) * 6).unwrap_or(90),
        subject: account.to_owned(),
        accounts: vec![account.to_owned()],
        message: message(account, &found, classes.len(), events.len()),
        first_ms: found.iter().map(|i| i.time_ms).min().unwrap_or(seen.order_ms),
        last_ms: found.iter().map(|i| i.time_ms).max().unwrap_or(seen.order_ms),
        evidence: evidence(account, &found, facts, spots, settings),
        measures: vec![
            Measure::against("indicator_points", f64::from(points), f64::from(settings.alert_points)),
            Measure::shown("indicator_classes", count(classes.len())),
            Measure::shown("indicator_events", count(events.len())),
        ],
        guards: guards(settings, &found, in_progress, classes.len(), events.len()),
        data_versions: seen.data_versions.to_owned(),
        degraded: change.lateness == Lateness::Beyond,
    })
}

/// What is seen and on which devices: ids of two products may be one laptop's, so indicators add up over all.
fn message(account: &str, found: &[Indicator<'_>], classes: usize, events: usize) -> String {
    let labels: Vec<&str> = found.iter().map(|i| i.label.as_ref()).collect();
    let mut beside = Vec::new();
    let devices = devices(found);
    if !devices.is_empty() {
        beside.push(format!("on {}", devices.join(" and ")));
    }
    if classes > 1 && events == 1 {
        beside.push("all from one event".to_owned());
    }
    let beside = match beside.is_empty() {
        true => String::new(),
        false => format!(" ({})", beside.join(", ")),
    };
    format!("Relay indicators: {account}: {}{beside}", labels.join("; "))
}

/// Devices as the indicators with points name them.
fn devices<'f>(found: &'f [Indicator<'_>]) -> Vec<&'f str> {
    let mut devices = distinct(found, |i| i.device);
    devices.retain(|device| !device.is_empty());
    devices
}

/// What differs among the indicators that have points. Those without are shown only.
fn distinct<'f, T: Ord>(found: &'f [Indicator<'_>], of: impl Fn(&'f Indicator<'_>) -> T) -> Vec<T> {
    let mut all: Vec<T> = found.iter().filter(|i| i.points > 0).map(of).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn count(number: usize) -> f64 {
    f64::from(u8::try_from(number).unwrap_or(u8::MAX))
}

/// Every indicator, and behind the logons the sessions that they fell into: both ends of a relay.
fn evidence(
    account: &str,
    found: &[Indicator<'_>],
    facts: &AccountFacts,
    spots: &Spots,
    settings: &RelaySettings,
) -> Vec<Evidence> {
    let mut all: Vec<Evidence> = found.iter().map(|indicator| shown(account, indicator)).collect();
    let mut sessions: Vec<&SessionFact> = Vec::new();
    for indicator in found {
        let Some(session) = indicator.session.filter(|session| !sessions.contains(session)) else {
            continue;
        };
        sessions.push(session);
        let spot = session
            .address
            .and_then(|address| indicators::spot_of(address, facts, spots));
        let end = indicators::end_of(session, facts, spots, settings);
        all.push(session_shown(account, session, end, spot, indicator.logon));
    }
    all
}

fn shown(account: &str, indicator: &Indicator<'_>) -> Evidence {
    let from = indicator.logon.map(|logon| Evidence {
        address: logon.address,
        place: logon.place.as_deref().map(EvidencePlace::from),
        ..on_network(&logon.network)
    });
    Evidence {
        role: indicator.class.as_str().to_owned(),
        event_id: indicator.event_id.to_string(),
        product: indicator.product.to_owned(),
        time_ms: indicator.time_ms,
        account: account.to_owned(),
        device: indicator.device.to_owned(),
        facts: vec![
            ("indicator".to_owned(), indicator.label.to_string()),
            ("points".to_owned(), indicator.points.to_string()),
        ],
        ..from.unwrap_or_default()
    }
}

fn session_shown(
    account: &str,
    session: &SessionFact,
    end: End,
    spot: Option<&Spot>,
    logon: Option<&RdpFact>,
) -> Evidence {
    let (end, end_ms) = match end {
        End::Told(end_ms) => ("told", end_ms),
        End::Assumed(end_ms) => ("assumed", end_ms),
    };
    let place = spot.and_then(|spot| spot.place.as_deref());
    let from = logon.and_then(|logon| logon.place.as_deref());
    let distance_km = place.zip(from).map(|(one, other)| one.point.distance_km(other.point));
    Evidence {
        role: "vpn_session".to_owned(),
        event_id: session.event_id.to_string(),
        product: session.product.to_string(),
        time_ms: session.opened_ms,
        account: account.to_owned(),
        device: session.device.to_string(),
        address: session.address,
        place: place.map(EvidencePlace::from),
        facts: [
            ("last_seen_time", session.seen_ms.to_string()),
            ("end_time", end_ms.to_string()),
            ("end", end.to_owned()),
        ]
        .into_iter()
        .chain(distance_km.map(|km| ("distance_to_logon_km", format!("{km:.0}"))))
        .map(|(name, value)| (name.to_owned(), value))
        .collect(),
        ..spot.map(|spot| on_network(&spot.network)).unwrap_or_default()
    }
}

fn on_network(network: &Network) -> Evidence {
    Evidence {
        network_class: Some(network.class),
        network_label: network.label.clone(),
        asn: network.asn,
        organization: network.organization.clone(),
        ..Evidence::default()
    }
}

fn guards(
    settings: &RelaySettings,
    found: &[Indicator<'_>],
    in_progress: bool,
    classes: usize,
    events: usize,
) -> Vec<Guard> {
    let has_tool = found.iter().any(|i| i.class == Class::RemoteTool);
    let approved = match (has_tool, settings.approved_tools.len()) {
        (false, _) => "no remote-access tool is among the indicators".to_owned(),
        (true, 0) => "no tool is approved in the configuration".to_owned(),
        (true, count) => format!("{count} tools are approved, the one seen is none of them"),
    };
    let alone = match (in_progress, events) {
        (true, _) => "a logon during the owner's VPN session stands on its own".to_owned(),
        (false, 1) if classes > 1 => {
            format!("{classes} facts of one event add up; the first of them alone is a signal")
        }
        (false, _) => format!("{classes} kinds of indicator in {events} events; one alone is a signal"),
    };
    let one_device = match devices(found).len() {
        0 => "no indicator names its device, so they may be on several".to_owned(),
        1 => "all indicators that name a device name the same".to_owned(),
        count => format!("{count} ids add up, which may be one device's by several products, or several devices'"),
    };
    vec![
        Guard::ran("approved_tools", approved),
        Guard::ran("single_indicator", alone),
        Guard::ran(
            "corporate_source",
            "left out: logons from corporate networks, and those from where a session of the account was up, which is its \
             line, an address of the same provider in the same town, or a gateway of the same mobile carrier",
        ),
        Guard::ran("dock", "a composite USB device alone has one point"),
        Guard::ran("one_device", one_device),
    ]
}
