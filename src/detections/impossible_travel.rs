//! Two sign-ins no airliner could join.
//!
//! Advisory flag: "multiple logins into one account from various IP addresses in a relatively short period of time,
//! especially if the IP addresses are associated with different countries" (US Treasury, State and FBI, May 2022).
//! ATT&CK: T1078, Valid Accounts.
//! Blind to: a worker who only ever signs in through the farm; see `laptop_farm`. Two places that an account kept
//! alternating between for some days, which are a habit from then on.
//!
//! ```text
//!        │◀──────────────── distance ────────────────▶│
//!   (from ● )r1                                   r2( ● to)
//!           │◀──── certain distance, net ────▶│
//! ```
//! An event that arrives late is judged against both its neighbours in event time. A place that is known to a hundred
//! kilometers or worse is near everything on its way, so what stands behind such a neighbour is judged as well: else one
//! sign-in that is placed by its country alone would hide a journey. So is what stands behind one that a database may have
//! misplaced, or sign-ins on the way would make a journey of many small steps.

use crate::detections::settings::TravelSettings;
use crate::model::{
    AccountKind, Detection, Evidence, EvidencePlace, Finding, Guard, Measure, Network, Place, Rule, Severity, Strength,
    Terms, Travel, attack,
};
use crate::window::account::{AccountFacts, Change, Lateness};
use crate::window::days::Days;
use crate::window::episode::{Brief, hash};
use crate::window::origin::Address;
use crate::window::spots::{Spot, Spots};
use crate::window::texts::TextId;
use crate::window::visits::Visit;

/// What is constant about it.
pub const RULE: Rule = Rule {
    detection: Detection::ImpossibleTravel,
    title: "Impossible travel",
    description: "Two successful sign-ins of one account whose places, less both error radii, no airliner could join in the time between them.",
    version: "1",
    attacks: &[attack::VALID_ACCOUNTS],
    blind_to: "a worker who only ever signs in through the farm, or whose exits are all listed as VPN, hosting or mobile; two places that an account alternated between on several days, which are a habit from then on; service accounts",
};

/// The legs that a new visit is an end of and that are too fast, for an account of those terms. Of a service account, or a
/// mailbox that several people share, none: they are in many places by design.
#[inline]
#[must_use]
pub fn legs(
    change: &Change,
    terms: &Terms,
    facts: &AccountFacts,
    spots: &Spots,
    settings: &TravelSettings,
) -> Vec<Leg> {
    let mut found = Vec::new();
    let Some(visit) = change.visit.filter(|_| terms.kind != AccountKind::Service) else {
        return found;
    };
    let mut goes_on = |neighbour: usize| {
        let judged = Leg::judge([neighbour.min(visit), neighbour.max(visit)], facts, spots, settings);
        let may_be_misplaced = match judged {
            Judged::Possible => false,
            Judged::Noise => true,
            Judged::Impossible(leg) => {
                found.push(leg);
                leg.strength == Strength::Signal
            }
        };
        may_be_misplaced || hides_others(neighbour, visit, facts, spots, settings)
    };
    let _ = (0..visit).rev().all(&mut goes_on);
    let _ = (visit + 1..facts.visits().len()).all(&mut goes_on);
    found
}

/// What is to be said of two sign-ins.
enum Judged {
    /// They can have been made by one who travelled, or it is the account's habit.
    Possible,
    /// Too fast, yet so near each other that a database may have misplaced one.
    Noise,
    /// Nobody can have made both.
    Impossible(Leg),
}

/// Whether a visit's place is known so badly that a journey past it, from or to the new visit, shows in no leg with it.
fn hides_others(index: usize, new: usize, facts: &AccountFacts, spots: &Spots, settings: &TravelSettings) -> bool {
    let [visit, new] = [index, new].map(|index| &facts.visits()[index]);
    // At the new visit's own origin there was one before, which was judged against what stands behind it.
    visit.origin != new.origin
        && spots
            .get(facts.origin(visit.origin).spot)
            .place
            .as_ref()
            .is_some_and(|place| f64::from(place.radius_km) > settings.distance_km_min)
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

    /// Days on which the account was seen there: on the line, or on another of the same provider in the same place, where
    /// a line has an IPv4 address beside its IPv6 prefix, or gets another by the day.
    fn days(&self, facts: &AccountFacts, spots: &Spots) -> u16 {
        let is_there = |address: Address, spot: &Spot| {
            let is_of_provider = self.is_of_provider(spot.network.asn);
            address.is_on_line_of(self.address) || is_of_provider && spot.place.as_deref() == Some(self.place)
        };
        let networks = facts.networks().iter();
        let there = networks.filter(|network| is_there(network.address, spots.get(network.spot)));
        there
            .fold(Days::default(), |all, network| all.with(&network.days))
            .count()
    }

    /// Whether a provider, of which 0 is none, is its own.
    fn is_of_provider(&self, asn: u32) -> bool {
        asn != 0 && self.network.asn == asn
    }

    /// Hash of what tells its line from others: the IPv4 address, or provider and place, because a line's IPv6 prefix may
    /// be another tomorrow.
    fn line(&self) -> u64 {
        match self.address.ip() {
            ip if ip.is_ipv4() || self.network.asn == 0 => self.address.hash_of_line(),
            _ => hash(&[&self.network.asn.to_string(), &self.place.label()]),
        }
    }
}

/// What the devices of both ends tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Devices {
    Same,
    Two,
    /// An end names none.
    Unnamed,
    /// Every product has ids of its own, and a browser's fingerprint is none of a machine: an update changes it.
    Incomparable,
}

impl Devices {
    fn of([from, to]: [&Visit; 2], facts: &AccountFacts) -> Self {
        if from.device == TextId::default() || to.device == TextId::default() {
            return Self::Unnamed;
        }
        if from.device == to.device {
            return Self::Same;
        }
        let is_machine = |visit: &Visit| {
            let mut devices = facts.devices().iter();
            devices.any(|device| device.id == visit.device && !device.is_fingerprint())
        };
        if from.product == to.product && is_machine(from) && is_machine(to) {
            Self::Two
        } else {
            Self::Incomparable
        }
    }
}

/// Two sign-ins, one after the other, that nobody can have made who travelled.
#[derive(Clone, Copy, Debug)]
pub struct Leg {
    /// Indices of the visits.
    visits: [usize; 2],
    /// Times of both, ms.
    times_ms: [i64; 2],
    distance_km: f64,
    certain_km: f64,
    speed_kmh: f64,
    strength: Strength,
    severity: Severity,
    /// Days on which the account was seen at each end.
    days: [u16; 2],
    devices: Devices,
    /// Hash of the two lines, whichever came first.
    lines: u64,
}

impl Leg {
    fn judge(visits: [usize; 2], facts: &AccountFacts, spots: &Spots, settings: &TravelSettings) -> Judged {
        Self::too_fast(visits, facts, spots, settings).unwrap_or(Judged::Possible)
    }

    /// The leg, if there is one and it is too fast to be travelled.
    fn too_fast(visits: [usize; 2], facts: &AccountFacts, spots: &Spots, settings: &TravelSettings) -> Option<Judged> {
        let all = facts.visits();
        let (from, to) = (all.get(visits[0])?, all.get(visits[1])?);
        // One origin has one address, and is what most visits share.
        if from.origin == to.origin {
            return None;
        }
        let times_ms = [from.at.ms(), to.at.ms()];
        let (from, to) = (End::of(from, facts, spots)?, End::of(to, facts, spots)?);
        if from.address == to.address {
            return None;
        }
        let radii_km = f64::from(from.place.radius_km) + f64::from(to.place.radius_km);
        let [one, other] = [from, to].map(|end| end.place.point);
        let distance_km = one.distance_unless_near_km(other, settings.distance_km_min + radii_km)?;
        let certain_km = (distance_km - radii_km).max(0.0);
        if certain_km < settings.distance_km_min {
            return None;
        }
        let granted_ms = times_ms[1] - times_ms[0] + settings.clock_skew_ms;
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a day are exact in f64")]
        let speed_kmh = certain_km / (granted_ms.max(1) as f64 / 3_600_000.0);
        if speed_kmh <= settings.speed_kmh_max {
            return None;
        }
        let days = [from, to].map(|end| end.days(facts, spots));
        if days.iter().all(|days| *days >= settings.habitual_days) {
            return None;
        }
        let devices = Devices::of([from.visit, to.visit], facts);
        let is_far = certain_km >= settings.alert_distance_km_min;
        if !is_far && devices != Devices::Two {
            return Some(Judged::Noise);
        }
        let is_one_provider = from.is_of_provider(to.network.asn);
        let is_dual_stack = from.address.ip().is_ipv4() != to.address.ip().is_ipv4();
        // What a line looks like that a database places elsewhere than the provider's next, or by its IPv6 prefix elsewhere
        // than by its IPv4 address.
        let may_be_one_line = is_one_provider
            && match devices {
                Devices::Same => true,
                Devices::Two => is_dual_stack && !is_far,
                Devices::Unnamed | Devices::Incomparable => is_dual_stack,
            };
        let (strength, severity) = match devices {
            _ if may_be_one_line => (Strength::Signal, Severity::Low),
            Devices::Same => (Strength::Alert, Severity::Medium),
            _ if is_far => (Strength::Alert, Severity::High),
            _ => (Strength::Alert, Severity::Medium),
        };
        let mut lines = [from, to].map(|end| end.line());
        lines.sort_unstable();
        Some(Judged::Impossible(Self {
            visits,
            times_ms,
            distance_km,
            certain_km,
            speed_kmh,
            strength,
            severity,
            days,
            devices,
            lines: hash(&lines.map(|line| line.to_string()).each_ref().map(String::as_str)),
        }))
    }

    /// What decides whether it is published.
    #[must_use]
    pub fn brief<'s>(&self, account: &'s str) -> Brief<'s> {
        Brief {
            detection: Detection::ImpossibleTravel,
            strength: self.strength,
            severity: self.severity,
            subject: account,
            accounts: &[],
            evidence: &[],
            first_ms: self.times_ms[0],
            last_ms: self.times_ms[1],
            news: self.lines,
        }
    }

    /// Describes it; `None` only of other facts than those it was found in.
    #[must_use]
    pub fn finding(
        &self,
        account: &str,
        facts: &AccountFacts,
        spots: &Spots,
        change: &Change,
        settings: &TravelSettings,
        data_versions: &str,
    ) -> Option<Finding> {
        let [from, to] = self.visits.map(|index| facts.visits().get(index));
        let ends = [End::of(from?, facts, spots)?, End::of(to?, facts, spots)?];
        let brief = self.brief(account);
        Some(Finding {
            detection: brief.detection,
            strength: brief.strength,
            severity: brief.severity,
            confidence: self.confidence(ends, change),
            subject: account.to_owned(),
            accounts: vec![account.to_owned()],
            message: self.message(account, ends),
            first_ms: brief.first_ms,
            last_ms: brief.last_ms,
            evidence: vec![
                evidence("from", account, ends[0], facts),
                evidence("to", account, ends[1], facts),
            ],
            measures: self.measures(ends, settings),
            guards: self.guards(ends, settings),
            data_versions: data_versions.to_owned(),
            degraded: change.lateness == Lateness::Beyond,
        })
    }

    /// Which of the ends a travel covers that is approved for the day: a desktop at home may have been left running.
    #[must_use]
    pub fn approved_travel(&self, travel: &Travel, facts: &AccountFacts, spots: &Spots) -> Guard {
        let is_covered = self.visits.map(|index| {
            let end = facts.visits().get(index);
            let end = end.and_then(|visit| End::of(visit, facts, spots));
            end.is_some_and(|end| travel.covers(end.place))
        });
        let covered = match is_covered {
            [true, true] => "both places, which nobody reaches so fast",
            [true, false] => "the first place alone",
            [false, true] => "the second place alone",
            [false, false] => return Guard::ran("approved_travel", travel.why_not()),
        };
        Guard::ran("approved_travel", format!("{} covers {covered}", travel.label()))
    }

    fn elapsed_ms(&self) -> i64 {
        self.times_ms[1] - self.times_ms[0]
    }

    /// Quality of the evidence: how far beyond possible, how precise both places are, how late it came.
    fn confidence(&self, [from, to]: [End<'_>; 2], change: &Change) -> u8 {
        let mut confidence = 60;
        confidence += if self.certain_km >= 2_000.0 { 20 } else { 0 };
        confidence += if from.place.radius_km <= 100 && to.place.radius_km <= 100 {
            10
        } else {
            0
        };
        confidence += if self.devices == Devices::Same { -20 } else { 5 };
        confidence -= if change.lateness == Lateness::Beyond { 15 } else { 0 };
        u8::try_from(confidence.clamp(5, 95)).unwrap_or(50)
    }

    fn message(&self, account: &str, [from, to]: [End<'_>; 2]) -> String {
        format!(
            "Impossible travel: {account} signed in from {} then {}, {:.0} km in {} ({:.0} km net of error radii)",
            from.place.label(),
            to.place.label(),
            self.distance_km,
            minutes(self.elapsed_ms()),
            self.certain_km,
        )
    }

    fn measures(&self, [from, to]: [End<'_>; 2], settings: &TravelSettings) -> Vec<Measure> {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a day are exact in f64")]
        let seconds = |ms: i64| ms as f64 / 1_000.0;
        vec![
            Measure::against("speed_kmh", self.speed_kmh.round(), settings.speed_kmh_max),
            Measure::against("certain_distance_km", self.certain_km.round(), settings.distance_km_min),
            Measure::shown("distance_km", self.distance_km.round()),
            Measure::shown("elapsed_s", seconds(self.elapsed_ms())),
            Measure::shown("clock_skew_s", seconds(settings.clock_skew_ms)),
            Measure::shown("from_radius_km", f64::from(from.place.radius_km)),
            Measure::shown("to_radius_km", f64::from(to.place.radius_km)),
        ]
    }

    fn guards(&self, [from, to]: [End<'_>; 2], settings: &TravelSettings) -> Vec<Guard> {
        let [days_from, days_to] = self.days;
        let classes = format!(
            "both ends locate the person: {} and {}",
            from.network.class.as_str(),
            to.network.class.as_str()
        );
        let device = match self.devices {
            Devices::Same => "the same device at both ends lowers severity, it does not excuse the distance",
            Devices::Unnamed => "an end names no device",
            Devices::Incomparable => "the ends name devices by ids that cannot be compared, which may be one device",
            Devices::Two => "two devices",
        };
        let provider = match (self.strength, from.is_of_provider(to.network.asn)) {
            (Strength::Signal, _) => "one provider at both ends, whose addresses may be one line's: a signal",
            (Strength::Alert, true) => "one provider at both ends, yet nothing says that it is one line",
            (Strength::Alert, false) => "two providers, or one is not known",
        };
        vec![
            Guard::ran("explained_network", classes),
            Guard::ran(
                "error_radius",
                format!(
                    "{:.0} km remain after {} and {} km are taken off",
                    self.certain_km, from.place.radius_km, to.place.radius_km
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
            Guard::ran("same_provider", provider),
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
        time_ms: visit.at.ms(),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::geo::Point;
    use crate::model::place::Scale;
    use crate::model::{Claim, Event, EventKind, Key, Observation};
    use crate::window::account::ClaimDistance;
    use crate::window::settings::WindowSettings;

    const MINUTE_MS: i64 = 60_000;
    const START_MS: i64 = 20_000 * 86_400_000;

    fn place(latitude: f64, longitude: f64, radius_km: u16) -> Arc<Place> {
        Arc::new(Place {
            point: Point::new(latitude, longitude).unwrap(),
            radius_km,
            scale: if radius_km > 100 { Scale::Country } else { Scale::City },
            country: "US".to_owned(),
            region: String::new(),
            region_name: String::new(),
            city: String::new(),
        })
    }

    /// Times of the ends, in minutes, of every leg that is found when sign-ins at those minutes, from places of their
    /// own, arrive in that order.
    fn found(sign_ins: &[(i64, &Arc<Place>)], order: &[usize]) -> Vec<[i64; 2]> {
        let (mut facts, mut spots, claim) = (AccountFacts::default(), Spots::default(), Claim::default());
        let (window, travel, network) = (WindowSettings::default(), TravelSettings::default(), Arc::default());
        let mut all = Vec::new();
        for index in order {
            let (minute, place) = sign_ins[*index];
            let id = index.to_string();
            let event = Event {
                source_ip: Some(format!("240.0.0.{index}").parse().unwrap()),
                ..Event::sample(EventKind::Login, &id)
            };
            let seen = Observation {
                event: &event,
                key: Key(1),
                order_ms: START_MS + minute * MINUTE_MS,
                time_suspect: false,
                place: Some(place),
                network: &network,
                claim: claim.borrowed(),
                travel: None,
                data_versions: "",
            };
            let append_ms = START_MS + 60 * MINUTE_MS;
            let change = facts.apply(&seen, append_ms, ClaimDistance::Unknown, &window, &mut spots);
            let legs = legs(&change, seen.claim.terms, &facts, &spots, &travel);
            all.extend(
                legs.iter()
                    .map(|leg| leg.times_ms.map(|ms| (ms - START_MS) / MINUTE_MS)),
            );
        }
        all.sort_unstable();
        all
    }

    #[test]
    fn a_place_that_is_hardly_known_hides_no_journey_past_it_in_any_order() {
        let (york, angeles) = (place(40.7, -74.0, 20), place(34.1, -118.2, 20));
        let (country, city) = (place(39.8, -98.6, 2_500), place(39.8, -98.6, 30));
        let orders = [
            [0, 1, 2, 3],
            [0, 3, 1, 2],
            [3, 2, 1, 0],
            [1, 2, 0, 3],
            [1, 0, 3, 2],
            [2, 3, 0, 1],
        ];
        for order in orders {
            let coarse = [(0, &york), (10, &country), (20, &country), (30, &angeles)];
            assert_eq!(found(&coarse, &order), [[0, 30]], "{order:?}");
        }
        let fine = [(0, &york), (10, &city), (30, &angeles)];
        assert_eq!(found(&fine, &[0, 1, 2]), [[0, 10], [10, 30]], "its own legs tell it");
        assert_eq!(
            found(&[(0, &york), (10, &country), (30, &york)], &[0, 1, 2]),
            [[0; 2]; 0]
        );
    }
}
