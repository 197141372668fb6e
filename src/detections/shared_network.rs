//! One home address, several accounts that claim to live elsewhere.
//!
//! Advisory flag: multiple accounts from the same IP address (US Treasury, State and FBI, May 2022; Mandiant 2025: two
//! laptops behind one address in Nevada). ATT&CK: T1078, T1656.
//! Households, co-working spaces and offices claim to be where they are; travellers are also seen at home; venues and
//! carriers gather many. What is left is several people, steady on one line, none of whom says they live there.
//! Blind to: claims that name the farm's own town, one address (or IPv6 /64) per account, and what stands out on a line
//! that many come back to, which is counted.

use crate::detections::claims::contradict;
use crate::detections::settings::NetworkSettings;
use crate::detections::{Judgement, Quiet};
use crate::model::{
    AccountKind, Detection, EntityKind, Evidence, EvidencePlace, Finding, Guard, Link, Measure, Rule, Severity,
    Strength, attack,
};
use crate::window::DAY_MS;
use crate::window::entity::{EntityFacts, Tie};

/// What is constant about it.
pub const RULE: Rule = Rule {
    detection: Detection::SharedNetwork,
    title: "Network shared across accounts",
    description: "Several accounts that claim different places work steadily from one access line where none of them claims to be.",
    version: "1",
    attacks: &[attack::VALID_ACCOUNTS, attack::IMPERSONATION],
    blind_to: "claims that name the shared line's own town, a line of its own for every account, lines that many accounts come back to, and households of which each device has an IPv6 /64 of its own",
};

/// Judges the network after one more link to it.
///
/// # Errors
/// [`Quiet`] if there is nothing to tell.
pub fn detect(link: &Link<'_>, facts: &EntityFacts, settings: &NetworkSettings) -> Judgement {
    if link.entity_kind != EntityKind::Network || link.latest.class.is_shared_by_design() {
        return Err(Quiet::Nothing);
    }
    let since_ms = link.time_ms - i64::from(settings.window_days) * DAY_MS;
    let crowd = facts.count_since(since_ms) + usize::try_from(facts.story().overflow).unwrap_or(usize::MAX);
    // One account contradicts nobody.
    if crowd < 2 {
        return Err(Quiet::Nothing);
    }
    let mut away: Vec<Tie<'_>> = facts.remarkable_ties_since(since_ms).filter(is_away).collect();
    // Where many come by, of those who are away only the steady count.
    let is_crowded = crowd >= settings.hub_accounts;
    if is_crowded {
        away.retain(|tie| tie.days() >= settings.days_min);
    }
    let is_strange = away
        .iter()
        .any(|a| away.iter().any(|b| contradict(&a.latest.claim, &b.latest.claim)));
    let contractors = away
        .iter()
        .filter(|tie| tie.latest.claim.kind != AccountKind::Employee)
        .count();
    if away.len() < settings.accounts_min || !is_strange || contractors == 0 {
        return Err(Quiet::Nothing);
    }
    let steady = away.iter().filter(|tie| tie.days() >= settings.days_min).count();
    let is_alert = steady >= settings.accounts_min && (contractors >= 2 || steady >= 3);
    let severity = match (is_alert, away.len()) {
        (false, _) => Severity::Low,
        (true, 2) => Severity::Medium,
        (true, _) => Severity::High,
    };
    // Those who came by once make no hub: a few sign-ins are easily had.
    let came_again = |tie: &Tie<'_>| tie.days() > 1;
    if is_crowded && facts.ties_since(since_ms).filter(came_again).count() >= settings.hub_accounts {
        return Err(if is_alert {
            Quiet::Silenced("network_of_many_accounts")
        } else {
            Quiet::Nothing
        });
    }
    Ok(finding(link, &away, crowd, is_alert, severity, settings))
}

/// Whether the account is on this network although it lives, by its claim, elsewhere and is not merely visiting.
#[must_use]
pub fn is_away(tie: &Tie<'_>) -> bool {
    let summary = &tie.latest.account_facts;
    tie.latest.claim.kind != AccountKind::Service
        && summary.days_away > 0
        && summary.days_away * 2 > summary.days_located
}

fn finding(
    link: &Link<'_>,
    away: &[Tie<'_>],
    crowd: usize,
    is_alert: bool,
    severity: Severity,
    settings: &NetworkSettings,
) -> Finding {
    let accounts: Vec<String> = away.iter().map(|tie| tie.latest.account.to_string()).collect();
    let place = link
        .latest
        .read()
        .place
        .map_or_else(|| "an unknown place".to_owned(), |place| place.label());
    let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    Finding {
        detection: Detection::SharedNetwork,
        strength: if is_alert { Strength::Alert } else { Strength::Signal },
        severity,
        confidence: u8::try_from((45 + away.len() * 10).min(85)).unwrap_or(85),
        subject: link.entity.to_owned(),
        message: format!(
            "Network shared across accounts: {} in {place} used by {}, who claim other places",
            link.entity,
            accounts.join(", ")
        ),
        accounts,
        first_ms: away.iter().map(|tie| tie.first_ms).min().unwrap_or(link.time_ms),
        last_ms: away.iter().map(|tie| tie.last_ms).max().unwrap_or(link.time_ms),
        evidence: away.iter().map(evidence).collect(),
        measures: vec![
            Measure::against("accounts_away", number(away.len()), number(settings.accounts_min)),
            Measure::shown("accounts_on_network", number(crowd)),
            Measure::against(
                "days_on_network",
                f64::from(away.iter().map(|tie| tie.days()).min().unwrap_or(0)),
                f64::from(settings.days_min),
            ),
        ],
        guards: guards(link, away, crowd, settings),
        data_versions: link.data_versions.to_owned(),
        degraded: false,
    }
}

/// Evidence about one account on a network.
#[must_use]
pub fn evidence(tie: &Tie<'_>) -> Evidence {
    let latest = &tie.latest;
    let mut facts = vec![
        ("claimed_place".to_owned(), latest.claim.label()),
        ("employer".to_owned(), latest.claim.employer.to_string()),
        ("days_on_network".to_owned(), tie.days().to_string()),
        ("days_away_of_located".to_owned(), {
            format!(
                "{} of {}",
                latest.account_facts.days_away, latest.account_facts.days_located
            )
        }),
        (
            "unexplained_distance_km".to_owned(),
            latest.account_facts.claim_gap_km.to_string(),
        ),
    ];
    let lists = [
        ("remote_access_tools", &latest.account_facts.remote_tools),
        ("vpn_brands", &latest.account_facts.vpn_brands),
        ("kvm", &latest.account_facts.kvm),
        ("remote_desktop_from", &latest.account_facts.operators),
    ];
    facts.extend(
        lists
            .into_iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(name, list)| (name.to_owned(), list.join(", "))),
    );
    if latest.account_facts.rdp_relays > 0 {
        let logons = latest.account_facts.rdp_relays.to_string();
        facts.push(("remote_desktop_during_vpn_sessions".to_owned(), logons));
    }
    if !tie.companions.is_empty() {
        facts.push(("devices".to_owned(), tie.companions.join(", ")));
    }
    Evidence {
        role: "account".to_owned(),
        event_id: latest.event_id.to_string(),
        product: latest.product.to_string(),
        time_ms: tie.last_ms,
        account: latest.account.to_string(),
        address: latest.address,
        place: latest.place.map(|place| EvidencePlace {
            city: place.city.to_string(),
            region: place.region.to_string(),
            country: place.country.to_string(),
            latitude: place.latitude,
            longitude: place.longitude,
            radius_km: place.radius_km,
        }),
        network_class: Some(latest.network.class),
        network_label: latest.network.label.to_owned(),
        asn: latest.network.asn,
        organization: latest.network.organization.to_owned(),
        device: latest.device.to_string(),
        facts,
    }
}

fn guards(link: &Link<'_>, away: &[Tie<'_>], crowd: usize, settings: &NetworkSettings) -> Vec<Guard> {
    let steady = away.iter().filter(|tie| tie.days() >= settings.days_min).count();
    vec![
        Guard::ran(
            "shared_by_design",
            format!("{} networks are not shared by design", link.latest.class.as_str()),
        ),
        Guard::ran(
            "hub",
            format!(
                "{crowd} accounts, from {} on that come again it would count as a gateway or venue",
                settings.hub_accounts
            ),
        ),
        Guard::ran("household", "accounts that claim this very place were left out"),
        Guard::ran(
            "travel",
            "accounts mostly seen near their claim, or on approved travel, were left out",
        ),
        Guard::ran(
            "passing_visit",
            format!("{steady} accounts were here on at least {} days", settings.days_min),
        ),
    ]
}
