//! A person who is, day after day, not where HR says.
//!
//! Advisory flags: inconsistent claimed work location; sign-ins from places the worker did not name (US Treasury,
//! State and FBI, May 2022). ATT&CK: T1078, T1656.
//! Works at the scale of the claim (city, region, country) and inside one country; a border alone proves nothing.
//! Blind to: a claim near the farm; a worker only ever behind corporate, VPN or mobile networks.

use crate::detections::claims;
use crate::detections::settings::ClaimSettings;
use crate::model::{
    AccountKind, Detection, Evidence, EvidencePlace, Finding, Guard, Measure, Observation, Place, Rule, Severity,
    Strength, Terms, attack,
};
use crate::window::account::{AccountFacts, Change, ClaimDistance, Lateness, NetworkFact};
use crate::window::day_at;
use crate::window::spots::Spots;

/// What is constant about it.
pub const RULE: Rule = Rule {
    detection: Detection::ClaimedLocation,
    title: "Claimed location not observed",
    description: "Over several working days an account signs in from far from where its owner claims to work, and rarely or never from there.",
    version: "1",
    attacks: &[attack::VALID_ACCOUNTS, attack::IMPERSONATION],
    blind_to: "a claim close to the place it is operated from, and accounts only ever seen through corporate, VPN or mobile networks",
};

/// How an observation stands to its account's claim.
#[must_use]
pub fn compare(seen: &Observation<'_>, settings: &ClaimSettings) -> ClaimDistance {
    match seen.place {
        Some(place) if seen.network.class.locates_person() => claims::compare(
            place,
            seen.claim.terms,
            seen.travel.map(std::sync::Arc::as_ref),
            settings,
        ),
        _ => ClaimDistance::Unknown,
    }
}

/// Kilometers between claim and place that no error explains, for links; 0 if explained.
#[must_use]
pub fn gap_between_km(place: &Place, terms: &Terms, settings: &ClaimSettings) -> f64 {
    claims::gap_km(place, terms, settings)
}

/// Days of located work in the window, and those of them that were only ever away.
#[must_use]
pub fn ledger(facts: &AccountFacts, day: i32, settings: &ClaimSettings) -> (u16, u16) {
    let from = day.saturating_sub(i32::from(settings.window_days) - 1);
    let away_only = facts.away().without(&facts.near());
    (
        facts.located().count_between(from, day),
        away_only.count_between(from, day),
    )
}

/// Judges the ledger of days after one more day away.
#[must_use]
pub fn detect(
    seen: &Observation<'_>,
    facts: &AccountFacts,
    spots: &Spots,
    change: &Change,
    settings: &ClaimSettings,
) -> Option<Finding> {
    if !change.is_away || !change.day_added || seen.claim.terms.kind == AccountKind::Service {
        return None;
    }
    let place = seen.place?;
    let day = day_at(seen);
    let (located, away) = ledger(facts, day, settings);
    let share = f64::from(away) / f64::from(located.max(1));
    if away < settings.signal_days_min || share <= settings.share_min {
        return None;
    }
    let networks: Vec<&NetworkFact> = facts.networks().iter().filter(|n| n.away.count() > 0).collect();
    let needed = days_needed(seen, facts, networks.len(), day, settings);
    let is_alert = away >= needed;
    let gap_km = claims::gap_km(place, seen.claim.terms, settings);
    let crosses_border = !seen.claim.terms.country.is_empty() && seen.claim.terms.country != place.country;
    let severity = match (is_alert, crosses_border || networks.len() > 1) {
        (false, _) => Severity::Low,
        (true, true) => Severity::High,
        (true, false) => Severity::Medium,
    };
    let account = seen.event.account.as_str();
    Some(Finding {
        detection: Detection::ClaimedLocation,
        strength: if is_alert { Strength::Alert } else { Strength::Signal },
        severity,
        confidence: confidence(away, networks.len(), place.radius_km, crosses_border),
        subject: account.to_owned(),
        accounts: vec![account.to_owned()],
        message: format!(
            "Claimed location not observed: {account} claims {}, seen in {} on {away} of {located} days",
            seen.claim.terms.label(),
            place.label(),
        ),
        first_ms: networks
            .iter()
            .map(|n| n.first.ms())
            .min()
            .unwrap_or(seen.order_ms)
            .min(seen.order_ms),
        last_ms: seen.order_ms,
        evidence: evidence(seen, facts, spots, &networks),
        measures: vec![
            Measure::against("days_away", f64::from(away), f64::from(needed)),
            Measure::shown("days_located", f64::from(located)),
            Measure::against("share_away", (share * 100.0).round() / 100.0, settings.share_min),
            Measure::against("unexplained_distance_km", gap_km.round(), 0.0),
            Measure::shown("networks", cast(networks.len())),
        ],
        guards: guards(seen, facts, networks.len(), needed, settings),
        data_versions: seen.data_versions.to_owned(),
        degraded: change.lateness == Lateness::Beyond,
    })
}

/// A week of evidence for most; more where something innocent explains a week.
fn days_needed(
    seen: &Observation<'_>,
    facts: &AccountFacts,
    networks: usize,
    day: i32,
    settings: &ClaimSettings,
) -> u16 {
    let mut needed = settings.days_min;
    if facts.near().count() > 0 || is_onboarding(seen, day, settings) {
        needed = needed.max(settings.days_min_after_near);
    }
    if networks < 2 && seen.claim.terms.kind == AccountKind::Employee {
        needed = needed.max(settings.days_min_single_network);
    }
    needed
}

fn is_onboarding(seen: &Observation<'_>, day: i32, settings: &ClaimSettings) -> bool {
    seen.claim
        .hire_day
        .is_some_and(|hired| day >= hired && day - hired < i32::from(settings.onboarding_days))
}

fn confidence(away: u16, networks: usize, radius_km: u16, crosses_border: bool) -> u8 {
    let mut confidence = 40 + i32::from(away.min(15)) * 2;
    confidence += if networks > 1 { 15 } else { 0 };
    confidence += if crosses_border { 5 } else { 0 };
    confidence -= if radius_km > 200 { 15 } else { 0 };
    u8::try_from(confidence.clamp(5, 95)).unwrap_or(50)
}

fn cast(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn evidence(seen: &Observation<'_>, facts: &AccountFacts, spots: &Spots, networks: &[&NetworkFact]) -> Vec<Evidence> {
    /// Networks shown; the count stands among the measures.
    const NETWORKS_SHOWN: usize = 4;
    let account = seen.event.account.as_str();
    let claim = Evidence {
        role: "claim".to_owned(),
        account: account.to_owned(),
        time_ms: seen.order_ms,
        facts: vec![
            ("claimed_place".to_owned(), seen.claim.terms.label()),
            (
                "employment".to_owned(),
                format!("{:?}", seen.claim.terms.kind).to_lowercase(),
            ),
            ("employer".to_owned(), seen.claim.terms.employer.clone()),
        ],
        ..Evidence::default()
    };
    let shown = networks.iter().take(NETWORKS_SHOWN).map(|n| {
        let spot = spots.get(n.spot);
        Evidence {
            role: "observed".to_owned(),
            event_id: facts.event_id(n.event_id, n.packing).to_string(),
            product: facts.text(n.product).to_owned(),
            time_ms: n.last.ms(),
            account: account.to_owned(),
            address: Some(n.address.ip()),
            place: spot.place.as_deref().map(EvidencePlace::from),
            network_class: Some(spot.network.class),
            network_label: spot.network.label.clone(),
            asn: spot.network.asn,
            organization: spot.network.organization.clone(),
            device: facts.text(n.device).to_owned(),
            facts: vec![("days_away".to_owned(), n.away.count().to_string())],
        }
    });
    std::iter::once(claim).chain(shown).collect()
}

fn guards(
    seen: &Observation<'_>,
    facts: &AccountFacts,
    networks: usize,
    needed: u16,
    settings: &ClaimSettings,
) -> Vec<Guard> {
    let travel = match seen.travel {
        None => "none approved for that day".to_owned(),
        Some(travel) => format!("approval {} is for another place", travel.ticket),
    };
    let near = facts.near().count();
    vec![
        Guard::ran("approved_travel", travel),
        Guard::ran(
            "allowed_countries",
            format!(
                "{} allowed, this is none of them",
                seen.claim.terms.allowed_countries.len()
            ),
        ),
        Guard::ran(
            "error_radius",
            format!("taken off, and nothing below {:.0} km counts", settings.distance_km_min),
        ),
        Guard::ran(
            "explained_network",
            format!("{} says where the person is", seen.network.class.as_str()),
        ),
        Guard::ran(
            "seen_at_claim",
            format!("on {near} days; with any, more days away are needed"),
        ),
        Guard::ran(
            "one_network",
            format!("{networks} networks away; {needed} days were needed"),
        ),
    ]
}
