//! One device, several contractors.
//!
//! Advisory flags: one device used for several accounts (US Treasury, State and FBI, May 2022; Microsoft 2025).
//! ATT&CK: T1078.004. Fires when two accounts use one device side by side: the second within two days of the first,
//! or alternating. Kiosks, IT staff, hand-overs and browser fingerprints stay quiet or are signals.
//! Blind to: a different device per account, ids that the worker can change, and a device that many come back to, which is
//! counted.

use crate::detections::claims::{contradict, is_spelled_better};
use crate::detections::settings::DeviceSettings;
use crate::detections::{Judgement, Quiet};
use crate::model::link::Latest;
use crate::model::{
    AccountKind, Detection, EntityKind, Evidence, Finding, Guard, Link, Measure, NetworkClass, Rule, Severity,
    Strength, attack,
};
use crate::window::entity::{EntityFacts, Tie};
use crate::window::{DAY_MS, HOUR_MS};

/// What is constant about it.
pub const RULE: Rule = Rule {
    detection: Detection::SharedDevice,
    title: "Device shared across accounts",
    description: "One device is used side by side by accounts of several contractors.",
    version: "1",
    attacks: &[attack::CLOUD_ACCOUNTS],
    blind_to: "a device of its own for every account, device ids that the client may choose, devices that many accounts come back to, and sharing seen only through the company's own networks",
};

/// Judges the device after one more link to it.
///
/// # Errors
/// [`Quiet`] if there is nothing to tell.
pub fn detect(link: &Link<'_>, facts: &EntityFacts, settings: &DeviceSettings) -> Judgement {
    if link.entity_kind != EntityKind::Device || is_listed(link.entity, settings) {
        return Err(Quiet::Nothing);
    }
    let since_ms = link.time_ms - i64::from(settings.window_days) * DAY_MS;
    // One account shares with nobody.
    if facts.tie_count() < 2 {
        return Err(Quiet::Nothing);
    }
    let all: Vec<Tie<'_>> = facts
        .ties_since(since_ms)
        .filter(|tie| is_user(tie, settings))
        .collect();
    let mut users: Vec<&Tie<'_>> = all.iter().filter(|tie| !is_spelled_better(tie, all.iter())).collect();
    // Many who came by once neither make a kiosk of it nor share it.
    if users.len() + overflow(facts) >= settings.hub_accounts {
        users.retain(|tie| !was_brief(tie));
    }
    let latest = users.iter().find(|tie| tie.latest.account == link.latest.account);
    let latest = latest.ok_or(Quiet::Nothing)?;
    let together: Vec<&Tie<'_>> = users
        .iter()
        .copied()
        .filter(|tie| side_by_side(latest, tie, settings))
        .collect();
    if together
        .iter()
        .all(|tie| tie.latest.network.class == NetworkClass::Corporate)
    {
        return Err(Quiet::Nothing);
    }
    let contractors = together
        .iter()
        .filter(|tie| tie.latest.claim.kind != AccountKind::Employee)
        .count();
    let is_pair_of_interest = together.len() >= 2 && contractors >= 1;
    if !is_pair_of_interest {
        return Err(Quiet::Nothing);
    }
    let is_strong =
        together.iter().filter(|tie| is_contractor(tie, settings)).count() >= 2 && !is_fingerprint(&together);
    if users.len() >= settings.hub_accounts {
        return Err(if is_strong {
            Quiet::Silenced("device_of_many_accounts")
        } else {
            Quiet::Nothing
        });
    }
    let claims_contradict = pairs(&together).any(|(a, b)| contradict(&a.latest.claim, &b.latest.claim));
    let relayed = together.iter().any(|tie| has_relay(&tie.latest));
    let severity = match (is_strong, claims_contradict, relayed) {
        (false, ..) => Severity::Low,
        (true, true, true) => Severity::Critical,
        (true, false, false) => Severity::Medium,
        (true, ..) => Severity::High,
    };
    Ok(finding(link, &users, &together, is_strong, severity, settings))
}

fn finding(
    link: &Link<'_>,
    users: &[&Tie<'_>],
    together: &[&Tie<'_>],
    is_strong: bool,
    severity: Severity,
    settings: &DeviceSettings,
) -> Finding {
    let accounts: Vec<String> = together.iter().map(|tie| tie.latest.account.to_string()).collect();
    let count = u32::try_from(together.len()).unwrap_or(u32::MAX);
    Finding {
        detection: Detection::SharedDevice,
        strength: if is_strong { Strength::Alert } else { Strength::Signal },
        severity,
        confidence: if is_strong { 75 } else { 40 },
        subject: link.entity.to_owned(),
        message: format!(
            "Device shared across accounts: {} used side by side by {}",
            link.entity,
            accounts.join(", ")
        ),
        accounts,
        first_ms: together.iter().map(|tie| tie.first_ms).min().unwrap_or(link.time_ms),
        last_ms: together.iter().map(|tie| tie.last_ms).max().unwrap_or(link.time_ms),
        evidence: together.iter().map(|tie| evidence(tie, link.entity)).collect(),
        measures: vec![
            Measure::against("accounts", f64::from(count), 2.0),
            Measure::shown("days_looked_back", f64::from(settings.window_days)),
        ],
        guards: guards(users, together, settings),
        data_versions: link.data_versions.to_owned(),
        degraded: false,
    }
}

fn is_listed(device: &str, settings: &DeviceSettings) -> bool {
    settings
        .shared_devices
        .iter()
        .any(|listed| listed.eq_ignore_ascii_case(device))
}

/// Accounts of no person, staff who serve many devices, and somebody with a device of their own who was here for one
/// day (setting it up, lending a hand) are no users of this one. Staff are who the roster says are employees: a few
/// sign-ins on other devices excuse nobody.
fn is_user(tie: &Tie<'_>, settings: &DeviceSettings) -> bool {
    let claim = &tie.latest.claim;
    let is_visitor = (tie.latest.account_facts.devices > 1 || claim.has_device) && was_brief(tie) && !claim.owns_device;
    let is_staff = claim.kind == AccountKind::Employee && serves_many(tie, settings);
    claim.kind != AccountKind::Service && !is_staff && !is_visitor
}

/// Seen through a gateway elsewhere, one sitting may fall on two days.
fn was_brief(tie: &Tie<'_>) -> bool {
    tie.days() < 2 || tie.last_ms - tie.first_ms < DAY_MS
}

fn serves_many(tie: &Tie<'_>, settings: &DeviceSettings) -> bool {
    tie.latest.account_facts.devices > settings.staff_devices
}

fn overflow(facts: &EntityFacts) -> usize {
    usize::try_from(facts.story().overflow).unwrap_or(usize::MAX)
}

/// Whether two accounts use the device in the same days, not one after the other. The latest use may be known half a day
/// too early (`window.link_refresh_ms`), so accounts that alternate within one day show by the next.
fn side_by_side(one: &Tie<'_>, other: &Tie<'_>, settings: &DeviceSettings) -> bool {
    if one.latest.account == other.latest.account {
        return true;
    }
    let handover_ms = i64::from(settings.handover_hours) * HOUR_MS;
    let apart_ms = (one.first_ms - other.last_ms).max(other.first_ms - one.last_ms);
    if apart_ms <= 0 {
        return true;
    }
    let both_new_hires =
        one.latest.claim.kind != AccountKind::Employee && other.latest.claim.kind != AccountKind::Employee;
    both_new_hires && apart_ms <= handover_ms
}

/// Known to be a contractor; or nothing is known, it was no one-day affair, and it does not look like staff.
fn is_contractor(tie: &Tie<'_>, settings: &DeviceSettings) -> bool {
    match tie.latest.claim.kind {
        AccountKind::Contractor => true,
        AccountKind::Unknown => tie.days() > 1 && !serves_many(tie, settings),
        AccountKind::Employee | AccountKind::Service => false,
    }
}

fn is_fingerprint(together: &[&Tie<'_>]) -> bool {
    together.iter().any(|tie| tie.latest.fingerprint)
}

fn has_relay(link: &Latest<'_>) -> bool {
    let summary = &link.account_facts;
    !summary.remote_tools.is_empty() || !summary.kvm.is_empty() || summary.rdp_relays > 0
}

fn pairs<'a>(ties: &'a [&'a Tie<'a>]) -> impl Iterator<Item = (&'a Tie<'a>, &'a Tie<'a>)> {
    ties.iter()
        .enumerate()
        .flat_map(|(index, one)| ties[index + 1..].iter().map(|other| (*one, *other)))
}

fn evidence(tie: &Tie<'_>, device: &str) -> Evidence {
    let latest = &tie.latest;
    Evidence {
        role: "account".to_owned(),
        event_id: latest.event_id.to_string(),
        product: latest.product.to_string(),
        time_ms: tie.last_ms,
        account: latest.account.to_string(),
        address: latest.address,
        network_class: Some(latest.network.class),
        network_label: latest.network.label.to_owned(),
        device: device.to_owned(),
        facts: vec![
            ("claimed_place".to_owned(), latest.claim.label()),
            ("employer".to_owned(), latest.claim.employer.to_string()),
            ("days_on_device".to_owned(), tie.days().to_string()),
            ("roster_owner".to_owned(), latest.claim.owns_device.to_string()),
        ],
        ..Evidence::default()
    }
}

/// Whether people of one home may share the device.
fn household(together: &[&Tie<'_>]) -> String {
    match pairs(together).any(|(a, b)| contradict(&a.latest.claim, &b.latest.claim)) {
        true => "the accounts claim different places, so no home explains it".to_owned(),
        false => "the accounts claim no different places: people of one home may share it, and the configuration can \
                  list it as shared (device.shared_devices)"
            .to_owned(),
    }
}

fn guards(users: &[&Tie<'_>], together: &[&Tie<'_>], settings: &DeviceSettings) -> Vec<Guard> {
    let owners = together.iter().filter(|tie| tie.latest.claim.owns_device).count();
    vec![
        Guard::ran(
            "listed_shared_device",
            "the configuration does not list the device as shared",
        ),
        Guard::ran(
            "hub",
            format!(
                "{} accounts, from {} on that come again it would count as a kiosk",
                users.len(),
                settings.hub_accounts
            ),
        ),
        Guard::ran(
            "office_machine",
            "not everybody uses it from the company's own networks",
        ),
        Guard::ran("household", household(together)),
        Guard::ran(
            "hand_over",
            format!(
                "the accounts follow each other within {} h or alternate",
                settings.handover_hours
            ),
        ),
        Guard::ran(
            "support_staff",
            format!(
                "no account counted is an employee's with more than {} devices",
                settings.staff_devices
            ),
        ),
        Guard::ran(
            "roster_owner",
            format!("the roster assigns the device to {owners} of the accounts"),
        ),
    ]
}
