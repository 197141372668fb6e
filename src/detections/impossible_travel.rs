//! Two sign-ins no airliner could join.
//!
//! Advisory flag: "multiple logins into one account from various IP addresses in a relatively short period of time,
//! especially if the IP addresses are associated with different countries" (US Treasury, State and FBI, May 2022).
//! ATT&CK: T1078, Valid Accounts.
//! Blind to: a worker who only ever signs in through the farm; see `laptop_farm`.
//!
//! ```text
//!        │◀──────────────── distance ────────────────▶│
//!   (from ● )r1                                   r2( ● to)
//!           │◀──── certain distance, net ────▶│
//! ```
//! An event that arrives late is judged against both its neighbours in event time.

use crate::detections::settings::TravelSettings;
use crate::model::{
    Detection, Evidence, EvidencePlace, Finding, Guard, Measure, Network, Place, Rule, Severity, Strength, attack,
};
use crate::window::account::{AccountFacts, Change, Lateness};
use crate::window::origin::Address;
use crate::window::spots::Spots;
use crate::window::texts::TextId;
use crate::window::visits::Visit;

/// What is constant about it.
pub const RULE: Rule = Rule {
    detection: Detection::ImpossibleTravel,
    title: "Impossible travel",
    description: "Two successful sign-ins of one account whose places, less both error radii, no airliner could join in the time between them.",
    version: "1",
    attacks: &[attack::VALID_ACCOUNTS],
    blind_to: "a worker who only ever signs in through the farm, or whose exits are all listed as VPN, hosting or mobile",
};

/// Judges the new visit against its neighbours. At most two findings.
#[must_use]
pub fn detect(
    account: &str,
    facts: &AccountFacts,
    spots: &Spots,
    change: &Change,
    settings: &TravelSettings,
    data_versions: &str,
) -> Vec<Finding> {
    let Some(index) = change.visit else { return Vec::new() };
    let visits = facts.visits();
    let mut findings = Vec::new();
    // The visit comes after the one before it, and the one behind it after the visit.
    for to in [index, index + 1] {
        if let (Some(from), Some(to)) = (to.checked_sub(1).and_then(|from| visits.get(from)), visits.get(to))
            && let Some(leg) = Leg::between(from, to, facts, spots, settings)
        {
            findings.extend(leg.finding(account, facts, change, settings, data_versions));
        }
    }
    findings
}

/// One end of a leg.
#[derive(Clone, Copy)]
struct End<'a> {
    visit: &'a Visit,
    address: Address,
    network: &'a Network,
    place: &'a Place,
}

impl<'a> End<'a> {
    fn of(visit: &'a Visit, facts: &AccountFacts, spots: &'a Spots) -> Option<Self> {
        let origin = facts.origin(visit.origin);
        let spot = spots.get(origin.spot);
        Some(Self {
            visit,
            address: origin.address,
            network: &spot.network,
            place: spot.place.as_deref()?,
        })
    }
}

struct Leg<'a> {
    from: End<'a>,
    to: End<'a>,
    distance_km: f64,
    certain_km: f64,
    elapsed_ms: i64,
    speed_kmh: f64,
}

impl<'a> Leg<'a> {
    /// The leg, if it is too fast to be travelled.
    fn between(
        from: &'a Visit,
        to: &'a Visit,
        facts: &AccountFacts,
        spots: &'a Spots,
        settings: &TravelSettings,
    ) -> Option<Self> {
        // One origin has one address, and is what most visits share.
        if from.origin == to.origin {
            return None;
        }
        let elapsed_ms = to.order_ms - from.order_ms;
        let (from, to) = (End::of(from, facts, spots)?, End::of(to, facts, spots)?);
        if from.address == to.address {
            return None;
        }
        let certain_km = from.place.distance_at_least_km(to.place);
        if certain_km < settings.distance_km_min {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a day are exact in f64")]
        let hours = (elapsed_ms + settings.clock_skew_ms).max(1) as f64 / 3_600_000.0;
        let speed_kmh = certain_km / hours;
        let distance_km = from.place.point.distance_km(to.place.point);
        (speed_kmh > settings.speed_kmh_max).then_some(Self {
            from,
            to,
            distance_km,
            certain_km,
            elapsed_ms,
            speed_kmh,
        })
    }

    fn finding(
        &self,
        account: &str,
        facts: &AccountFacts,
        change: &Change,
        settings: &TravelSettings,
        data_versions: &str,
    ) -> Option<Finding> {
        let days = |end: End<'_>| {
            let mut networks = facts.networks().iter();
            let network = networks.find(|n| n.address.is_on_line_of(end.address));
            network.map_or(0, |n| n.days.count())
        };
        let (days_from, days_to) = (days(self.from), days(self.to));
        let (device_from, device_to) = (self.from.visit.device, self.to.visit.device);
        if days_from >= settings.habitual_days && days_to >= settings.habitual_days {
            return None;
        }
        let both_named = device_from != TextId::default() && device_to != TextId::default();
        let same_device = both_named && device_from == device_to;
        let two_devices = both_named && !same_device;
        let is_far = self.certain_km >= settings.alert_distance_km_min;
        if !is_far && !two_devices {
            return None;
        }
        let severity = if is_far && !same_device {
            Severity::High
        } else {
            Severity::Medium
        };
        Some(Finding {
            detection: Detection::ImpossibleTravel,
            strength: Strength::Alert,
            severity,
            confidence: self.confidence(change, same_device),
            subject: account.to_owned(),
            accounts: vec![account.to_owned()],
            message: self.message(account),
            first_ms: self.from.visit.order_ms,
            last_ms: self.to.visit.order_ms,
            evidence: vec![
                evidence("from", account, self.from, facts),
                evidence("to", account, self.to, facts),
            ],
            measures: self.measures(settings),
            guards: self.guards(settings, (days_from, days_to), both_named, same_device),
            data_versions: data_versions.to_owned(),
            degraded: change.lateness == Lateness::Beyond,
        })
    }

    /// Quality of the evidence: how far beyond possible, how precise both places are, how late it came.
    fn confidence(&self, change: &Change, same_device: bool) -> u8 {
        let mut confidence = 60;
        confidence += if self.certain_km >= 2_000.0 { 20 } else { 0 };
        confidence += if self.from.place.radius_km <= 100 && self.to.place.radius_km <= 100 {
            10
        } else {
            0
        };
        confidence += if same_device { -20 } else { 5 };
        confidence -= if change.lateness == Lateness::Beyond { 15 } else { 0 };
        u8::try_from(confidence.clamp(5, 95)).unwrap_or(50)
    }

    fn message(&self, account: &str) -> String {
        format!(
            "Impossible travel: {account} signed in from {} then {}, {:.0} km in {} ({:.0} km net of error radii)",
            self.from.place.label(),
            self.to.place.label(),
            self.distance_km,
            minutes(self.elapsed_ms),
            self.certain_km,
        )
    }

    fn measures(&self, settings: &TravelSettings) -> Vec<Measure> {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a day are exact in f64")]
        let seconds = |ms: i64| ms as f64 / 1_000.0;
        vec![
            Measure::against("speed_kmh", self.speed_kmh.round(), settings.speed_kmh_max),
            Measure::against("certain_distance_km", self.certain_km.round(), settings.distance_km_min),
            Measure::shown("distance_km", self.distance_km.round()),
            Measure::shown("elapsed_s", seconds(self.elapsed_ms)),
            Measure::shown("clock_skew_s", seconds(settings.clock_skew_ms)),
            Measure::shown("from_radius_km", f64::from(self.from.place.radius_km)),
            Measure::shown("to_radius_km", f64::from(self.to.place.radius_km)),
        ]
    }

    fn guards(
        &self,
        settings: &TravelSettings,
        (days_from, days_to): (u16, u16),
        both_named: bool,
        same_device: bool,
    ) -> Vec<Guard> {
        let classes = format!(
            "both ends locate the person: {} and {}",
            self.from.network.class.as_str(),
            self.to.network.class.as_str()
        );
        let device = match (same_device, !both_named) {
            (true, _) => "the same device at both ends lowers severity, it does not excuse the distance",
            (false, true) => "an end names no device",
            (false, false) => "two devices",
        };
        vec![
            Guard::ran("explained_network", classes),
            Guard::ran(
                "error_radius",
                format!(
                    "{:.0} km remain after {} and {} km are taken off",
                    self.certain_km, self.from.place.radius_km, self.to.place.radius_km
                ),
            ),
            Guard::ran(
                "clock_skew",
                format!("{} s were granted", settings.clock_skew_ms / 1_000),
            ),
            Guard::ran(
                "habitual_networks",
                format!(
                    "seen on {days_from} and {days_to} days, {} on both would silence it",
                    settings.habitual_days
                ),
            ),
            Guard::ran("same_address", "two addresses"),
            Guard::ran("same_device", device),
            Guard::ran(
                "database_noise",
                format!(
                    "from {:.0} km net a pair stands alone, below it two devices must tell it",
                    settings.alert_distance_km_min
                ),
            ),
        ]
    }
}

fn minutes(elapsed_ms: i64) -> String {
    match elapsed_ms / 1_000 {
        seconds if seconds < 120 => format!("{seconds} s"),
        seconds => format!("{} min", (seconds + 30) / 60),
    }
}

fn evidence(role: &str, account: &str, end: End<'_>, facts: &AccountFacts) -> Evidence {
    let visit = end.visit;
    Evidence {
        role: role.to_owned(),
        event_id: facts.event_id(visit.event_id, visit.packing).to_string(),
        product: facts.text(visit.product).to_owned(),
        time_ms: visit.order_ms,
        account: account.to_owned(),
        address: Some(end.address.ip()),
        place: Some(EvidencePlace::from(end.place)),
        network_class: Some(end.network.class),
        network_label: end.network.label.clone(),
        asn: end.network.asn,
        organization: end.network.organization.clone(),
        device: facts.text(visit.device).to_owned(),
        facts: vec![(
            "multi_factor".to_owned(),
            if visit.mfa != 0 { "used" } else { "not seen" }.to_owned(),
        )],
    }
}
