//! A person who is, day after day, not where HR says.
//!
//! Advisory flags: inconsistent claimed work location; sign-ins from places the worker did not name (US Treasury,
//! State and FBI, May 2022). ATT&CK: T1078, T1656.
//! Works at the scale of the claim (city, region, country) and inside one country; a border alone proves nothing.
//! Blind to: a claim near the farm; a worker only ever behind corporate, VPN or mobile networks, or on a third of the days
//! behind corporate or mobile ones; one who also signs in near the claim on every such day.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::detections::claims;
use crate::detections::settings::ClaimSettings;
use crate::model::territories::is_in_country;
use crate::model::{
    AccountKind, Detection, Evidence, EvidencePlace, Finding, Guard, Measure, NetworkClass, Observation, Place, Rule,
    Severity, Strength, Terms, attack,
};
use crate::window::account::{AccountFacts, Change, ClaimDistance, Lateness, NetworkFact};
use crate::window::day_at;
use crate::window::days::Days;
use crate::window::spots::Spots;

/// What is constant about it.
pub const RULE: Rule = Rule {
    detection: Detection::ClaimedLocation,
    title: "Claimed location not observed",
    description: "Over several working days an account signs in from far from where its owner claims to work, and rarely or never from there.",
    version: "1",
    attacks: &[attack::VALID_ACCOUNTS, attack::IMPERSONATION],
    blind_to: "a claim close to the place it is operated from, accounts only ever seen through corporate, VPN or mobile networks, and accounts also seen near the claim on each of the days",
};

/// Days away on other networks than the one of most days that make it unlikely that a database misplaces that: a day at a
/// conference says nothing about a home.
const CORROBORATING_DAYS_MIN: u16 = 2;

/// How an observation stands to its account's claim.
#[must_use]
pub fn compare(seen: &Observation<'_>, settings: &ClaimSettings) -> ClaimDistance {
    match seen.place {
        Some(place) if seen.is_where_the_person_is() => {
            claims::compare(place, seen.claim.terms, seen.travel.map(Arc::as_ref), settings)
        }
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
    let from = first_day(day, settings);
    let away_only = facts.away().without(&facts.near());
    (
        facts.located().count_between(from, day),
        away_only.count_between(from, day),
    )
}

/// First day of those that are looked back over from that one.
fn first_day(day: i32, settings: &ClaimSettings) -> i32 {
    day.saturating_sub(i32::from(settings.window_days) - 1)
}

/// What the ledger of days says on one of them.
struct Judged {
    located: u16,
    away: u16,
    share: f64,
    /// Share that an alert or a signal takes more than.
    share_min: f64,
    elsewhere: Elsewhere,
    /// Days away that an alert takes.
    needed: u16,
}

impl Judged {
    /// `None` if the days up to that one are not even a signal.
    fn on(day: i32, seen: &Observation<'_>, away: &Away<'_>, settings: &ClaimSettings) -> Option<Self> {
        let (located, days_away) = ledger(away.facts, day, settings);
        let elsewhere = away.elsewhere(day, settings);
        let share = f64::from(days_away) / f64::from((located + elsewhere.days()).max(1));
        let share_min = if elsewhere.is_usual(settings) {
            settings.share_min.max(settings.share_min_after_office)
        } else {
            settings.share_min
        };
        let is_signal = days_away >= settings.signal_days_min && share > share_min;
        is_signal.then(|| Self {
            located,
            away: days_away,
            share,
            share_min,
            needed: away.days_needed(seen, day, elsewhere, settings),
            elsewhere,
        })
    }

    fn is_alert(&self) -> bool {
        self.away >= self.needed
    }

    /// `on 10 of 19 days (9 at the company's egress)`
    fn label(&self) -> String {
        let Elsewhere { office, untold } = self.elsewhere;
        let seen = self.located + self.elsewhere.days();
        let known = [(office, "at the company's egress"), (untold, "not located")].into_iter();
        let known = known.filter(|(days, _)| *days > 0);
        let known: Vec<String> = known.map(|(days, what)| format!("{days} {what}")).collect();
        match known.join(", ") {
            none if none.is_empty() => format!("on {} of {seen} days", self.away),
            known => format!("on {} of {seen} days ({known})", self.away),
        }
    }
}

/// Days that say neither that the person was near the claim nor that they were away from it.
#[derive(Clone, Copy)]
struct Elsewhere {
    /// At the company's own egress and nowhere else: in the office, as far as anybody can tell.
    office: u16,
    /// Only on networks that do not tell where the person is, or not well enough, and hide nobody on purpose.
    untold: u16,
}

impl Elsewhere {
    fn days(self) -> u16 {
        self.office + self.untold
    }

    /// Whether they are so many that whoever is seen away may mostly be where they claim to be.
    fn is_usual(self, settings: &ClaimSettings) -> bool {
        self.days() >= settings.office_days_min
    }
}

/// Where an account was while away from its claim.
struct Away<'a> {
    facts: &'a AccountFacts,
    spots: &'a Spots,
    networks: Vec<&'a NetworkFact>,
    /// Providers of the networks, or places where the provider is unknown: what a database misplaces at once. A line's
    /// IPv4 address and its IPv6 prefix are one of them, and so are the addresses that a line gets day by day. What was
    /// seen besides the first of them on a single day corroborates nothing.
    independent: usize,
    /// Whether something was seen on a single day that is therefore none of them.
    is_any_passing: bool,
    /// Days at the company's own egress.
    office: Days,
    /// Days on networks of which nothing is known but that they hide nobody on purpose.
    untold: Days,
}

impl<'a> Away<'a> {
    fn of(facts: &'a AccountFacts, spots: &'a Spots, terms: &Terms, settings: &ClaimSettings) -> Self {
        let networks: Vec<&NetworkFact> = facts.networks().iter().filter(|n| n.away.count() > 0).collect();
        let (independent, is_any_passing) = independent(&networks, spots);
        let (mut office, mut untold) = (Days::default(), Days::default());
        for network in facts.networks() {
            let spot = spots.get(network.spot);
            let class = spot.network.class;
            let place = spot.place.as_deref().filter(|_| class.locates_person());
            let distance = place.map_or(ClaimDistance::Unknown, |place| {
                claims::compare(place, terms, None, settings)
            });
            if class == NetworkClass::Corporate {
                office = office.with(&network.days);
            } else if distance == ClaimDistance::Unknown && !class.is_anonymizer() {
                untold = untold.with(&network.days);
            }
        }
        Self {
            facts,
            spots,
            networks,
            independent,
            is_any_passing,
            office,
            untold,
        }
    }

    /// Days up to that one that are in no ledger.
    fn elsewhere(&self, day: i32, settings: &ClaimSettings) -> Elsewhere {
        let from = first_day(day, settings);
        let located = self.facts.located();
        let office = self.office.between(from, day).without(&located);
        let untold = self.untold.between(from, day).without(&located).without(&office);
        Elsewhere {
            office: office.count(),
            untold: untold.count(),
        }
    }

    /// The places, that of most days first.
    fn places(&self) -> Vec<&'a Place> {
        let mut places: Vec<(Days, &Place)> = Vec::new();
        for network in &self.networks {
            let Some(place) = self.spots.get(network.spot).place.as_deref() else {
                continue;
            };
            match places.iter_mut().find(|(_, known)| known.label() == place.label()) {
                Some((days, _)) => *days = days.with(&network.away),
                None => places.push((network.away, place)),
            }
        }
        places.sort_by_cached_key(|(days, place)| (Reverse((days.count(), days.latest())), place.label()));
        places.into_iter().map(|(_, place)| place).collect()
    }

    /// A week of evidence for most; more where something innocent explains a week.
    fn days_needed(&self, seen: &Observation<'_>, day: i32, elsewhere: Elsewhere, settings: &ClaimSettings) -> u16 {
        let mut needed = settings.days_min;
        let was_there = self.facts.near().count() > 0 || elsewhere.is_usual(settings);
        // A border alone may be a river away.
        let is_border_alone = seen.claim.terms.point.is_none();
        if was_there || is_border_alone || is_onboarding(seen, day, settings) {
            needed = needed.max(settings.days_min_after_near);
        }
        if self.independent < 2 && seen.claim.terms.kind == AccountKind::Employee {
            needed = needed.max(settings.days_min_single_network);
        }
        needed
    }
}

/// How many of the networks are independent of each other, and whether any was seen too shortly to be.
fn independent(networks: &[&NetworkFact], spots: &Spots) -> (usize, bool) {
    let mut providers: Vec<((u32, String), Days)> = Vec::new();
    for network in networks {
        let spot = spots.get(network.spot);
        let provider = match (spot.network.asn, &spot.place) {
            (0, Some(place)) => (0, place.label()),
            (asn, _) => (asn, String::new()),
        };
        match providers.iter_mut().find(|(known, _)| *known == provider) {
            Some((_, days)) => *days = days.with(&network.away),
            None => providers.push((provider, network.away)),
        }
    }
    providers.sort_by(|(one, days), (other, others)| (others.count(), one).cmp(&(days.count(), other)));
    let besides_first = providers.iter().skip(1);
    let besides_first = besides_first.fold(Days::default(), |all, (_, days)| all.with(days));
    let is_any_passing = providers.len() > 1 && besides_first.count() < CORROBORATING_DAYS_MIN;
    let independent = if is_any_passing { 1 } else { providers.len() };
    (independent, is_any_passing)
}

/// Judges the ledger of days after one more day away: as it is on that day, and on a later one that was folded before.
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
    let day = day_at(seen);
    let latest = facts.away().without(&facts.near()).latest();
    let days = [Some(day), latest.filter(|latest| *latest > day)];
    let away = Away::of(facts, spots, seen.claim.terms, settings);
    let judged = days
        .into_iter()
        .flatten()
        .filter_map(|day| Judged::on(day, seen, &away, settings));
    let judged = judged.max_by_key(Judged::is_alert)?;
    let places = away.places();
    let place = places.first().copied().or(seen.place.map(Arc::as_ref))?;
    let is_alert = judged.is_alert();
    let gap_km = (seen.claim.terms.point).map(|_| claims::gap_km(place, seen.claim.terms, settings));
    let terms = seen.claim.terms;
    let is_measured = terms.point.is_some();
    let crosses_border = is_measured && !terms.country.is_empty() && !is_in_country(&place.country, &terms.country);
    let severity = match (is_alert, crosses_border || is_measured && away.independent > 1) {
        (false, _) => Severity::Low,
        (true, true) => Severity::High,
        (true, false) => Severity::Medium,
    };
    let account = seen.event.account.as_str();
    Some(Finding {
        detection: Detection::ClaimedLocation,
        strength: if is_alert { Strength::Alert } else { Strength::Signal },
        severity,
        confidence: confidence(judged.away, away.independent, place.radius_km, crosses_border),
        subject: account.to_owned(),
        accounts: vec![account.to_owned()],
        message: format!(
            "Claimed location not observed: {account} claims {}, seen in {} {}",
            seen.claim.terms.label(),
            listed(&places, place),
            judged.label(),
        ),
        first_ms: (away.networks.iter().map(|n| n.first.ms())).fold(seen.order_ms, i64::min),
        last_ms: (away.networks.iter().map(|n| n.last.ms())).fold(seen.order_ms, i64::max),
        evidence: evidence(seen, facts, spots, &away.networks),
        measures: measures(&judged, gap_km, &away),
        guards: guards(seen, &away, &judged, settings),
        data_versions: seen.data_versions.to_owned(),
        degraded: change.lateness == Lateness::Beyond,
    })
}

/// The places by their names, the first two of them.
fn listed(places: &[&Place], first: &Place) -> String {
    match places {
        [] | [_] => first.label(),
        [one, other] => format!("{} and {}", one.label(), other.label()),
        [one, other, more @ ..] => format!("{}, {} and {} more places", one.label(), other.label(), more.len()),
    }
}

fn is_onboarding(seen: &Observation<'_>, day: i32, settings: &ClaimSettings) -> bool {
    seen.claim
        .hire_day
        .is_some_and(|hired| day >= hired && day - hired < i32::from(settings.onboarding_days))
}

fn measures(judged: &Judged, gap_km: Option<f64>, away: &Away<'_>) -> Vec<Measure> {
    let elsewhere = judged.elsewhere.days();
    let mut measures = vec![
        Measure::against("days_away", f64::from(judged.away), f64::from(judged.needed)),
        Measure::shown("days_located", f64::from(judged.located)),
        Measure::against("share_away", (judged.share * 100.0).round() / 100.0, judged.share_min),
    ];
    measures.extend(gap_km.map(|gap_km| Measure::against("unexplained_distance_km", gap_km.round(), 0.0)));
    measures.extend([
        Measure::shown("networks", cast(away.networks.len())),
        Measure::shown("independent_networks", cast(away.independent)),
    ]);
    measures.extend((elsewhere > 0).then(|| Measure::shown("days_elsewhere", f64::from(elsewhere))));
    measures
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

fn guards(seen: &Observation<'_>, away: &Away<'_>, judged: &Judged, settings: &ClaimSettings) -> Vec<Guard> {
    let travel = match seen.travel {
        None => "none approved for that day".to_owned(),
        Some(travel) => travel.why_not(),
    };
    let passing = if away.is_any_passing {
        ", the others for a day"
    } else {
        ""
    };
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
            match seen.claim.terms.point {
                Some(_) => format!("taken off, and nothing below {:.0} km counts", settings.distance_km_min),
                None => "the claim names a country alone: no distance was measured, so more days are needed".to_owned(),
            },
        ),
        Guard::ran(
            "explained_network",
            format!("{} says where the person is", seen.network.class.as_str()),
        ),
        Guard::ran("seen_at_claim", seen_at_claim(away, judged, settings)),
        Guard::ran(
            "one_network",
            format!(
                "{} networks away, {} of them independent{passing}; {} days were needed",
                away.networks.len(),
                away.independent,
                judged.needed
            ),
        ),
    ]
}

fn seen_at_claim(away: &Away<'_>, judged: &Judged, settings: &ClaimSettings) -> String {
    let Elsewhere { office, untold } = judged.elsewhere;
    let untold = if untold > 0 {
        format!(" or on networks that do not tell the place, {untold} days")
    } else {
        String::new()
    };
    format!(
        "on {} days, and on {office} only at the company's own egress{untold}; with any, or with {} of those, more days away are needed",
        away.facts.near().count(),
        settings.office_days_min
    )
}
