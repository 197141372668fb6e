//! Windows: one record of facts per account and per shared thing. This floor alone changes facts; rules only read them.
//!
//! ```text
//!                append time ─────────────────────────────────────────────▶
//!   retention ◀────────────── 30 days of days, ties, devices ────────────▶│ now
//!                                     visits ◀── 24 h + lateness ────────▶│
//!                                                 allowed lateness ◀─1 h─▶│
//! ```
//!
//! Event time says where a fact belongs; the log's append time says when it may be forgotten. Ledgers have the days of
//! the place where somebody works ([`day_at`]); where only a time is at hand, its day is that of UTC ([`day_of`]).

pub mod settings;
pub mod days;
pub mod moment;
pub mod few;
pub mod block;
pub mod spots;
pub mod texts;
pub mod visits;
pub mod recent_ids;
pub mod origin;
pub mod network_fact;
pub mod device_fact;
pub mod rare;
pub mod sessions;
pub mod dropped;
pub mod account;
mod account_networks;
pub mod shared;
pub mod account_codec;
pub mod entity;
pub mod story;
pub mod entity_codec;
pub mod episode;
pub mod intern;

use crate::model::{EventKind, Observation};

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;
/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 3_600_000;

/// Day of a moment, days since the Unix epoch, UTC.
#[must_use]
#[allow(clippy::cast_possible_truncation, reason = "clamped to 32 bits")]
pub fn day_of(time_ms: i64) -> i32 {
    time_ms
        .div_euclid(DAY_MS)
        .clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

/// Day of an observation by the sun over the person, days since the Unix epoch: a day's work in one place is one day of a
/// ledger, while the day of UTC ends at four in the afternoon of the Pacific coast. The sun is within a few hours of any
/// clock and asks for no time zone. The person is where the address places them, else where they claim to work, else in
/// Greenwich.
#[must_use]
pub fn day_at(seen: &Observation<'_>) -> i32 {
    /// The sun takes four minutes for a degree.
    const DEGREE_MS: f64 = 240_000.0;
    // A remote-desktop logon names the address of whoever came.
    let locates_person = seen.is_where_the_person_is() && seen.event.kind != EventKind::RdpLogon;
    let observed = seen.place.filter(|_| locates_person).map(|place| place.point);
    let point = observed.or_else(|| seen.claim.terms.point.map(|claimed| claimed.point));
    #[expect(clippy::cast_possible_truncation, reason = "at most half a day")]
    let ahead_ms = point.map_or(0, |point| (point.longitude * DEGREE_MS) as i32);
    day_of(seen.order_ms.saturating_add(i64::from(ahead_ms)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::claim::ClaimedPoint;
    use crate::model::geo::Point;
    use crate::model::place::Scale;
    use crate::model::{Claim, Event, Key, Network, NetworkClass, Place, Terms};

    /// Day of the UTC hour in a place, for somebody who claims to work in another.
    fn day(kind: EventKind, class: NetworkClass, hour: i64, seen_east: Option<f64>, claimed_east: Option<f64>) -> i32 {
        let point = |east| Point::new(47.0, east).unwrap();
        let place = seen_east.map(|east| {
            Arc::new(Place {
                country: "US".to_owned(),
                region: String::new(),
                region_name: String::new(),
                city: String::new(),
                point: point(east),
                radius_km: 10,
                scale: Scale::City,
            })
        });
        let terms = Arc::new(Terms {
            point: claimed_east.map(|east| ClaimedPoint {
                point: point(east),
                radius_km: 10,
                scale: Scale::City,
            }),
            ..Terms::default()
        });
        let claim = Claim {
            terms,
            ..Claim::default()
        };
        let network = Arc::new(Network {
            class,
            ..Network::default()
        });
        day_at(&Observation {
            event: &Event::sample(kind, "a"),
            key: Key(1),
            order_ms: 100 * DAY_MS + hour * HOUR_MS,
            time_suspect: false,
            place: place.as_ref(),
            network: &network,
            claim: claim.borrowed(),
            travel: None,
            data_versions: "",
        })
    }

    #[test]
    fn a_day_is_that_of_the_place_else_of_the_claim() {
        use EventKind::{Login, RdpLogon};
        use NetworkClass::{Residential, Vpn};
        let (seattle, tokyo) = (Some(-122.3), Some(139.7));
        for (kind, class, seen, claimed, days) in [
            (Login, Residential, seattle, None, [100, 100, 99]),
            (Login, Residential, tokyo, seattle, [101, 101, 100]),
            (Login, Residential, None, seattle, [100, 100, 99]),
            (Login, Residential, None, None, [100, 101, 100]),
            (Login, Vpn, tokyo, seattle, [100, 100, 99]),
            (RdpLogon, Residential, tokyo, seattle, [100, 100, 99]),
        ] {
            let found = [17, 25, 7].map(|hour| day(kind, class, hour, seen, claimed));
            assert_eq!(found, days, "{kind:?} {class:?} {seen:?} {claimed:?}");
        }
    }
}
