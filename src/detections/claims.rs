//! How places stand to claims: shared by the rules about one account and the rules about several.

use crate::detections::settings::ClaimSettings;
use crate::model::claim::ClaimedPoint;
use crate::model::geo::Point;
use crate::model::link::LinkClaim;
use crate::model::territories::is_in_country;
use crate::model::{AccountKind, Place, Terms, Travel};
use crate::window::account::ClaimDistance;
use crate::window::entity::Tie;

/// How a place stands to a claim on a day with that approved travel.
pub(super) fn compare(
    place: &Place,
    terms: &Terms,
    travel: Option<&Travel>,
    settings: &ClaimSettings,
) -> ClaimDistance {
    if !terms.names_a_place() {
        return ClaimDistance::Unknown;
    }
    let mut allowed = terms.allowed_countries.iter();
    if allowed.any(|country| is_in_country(&place.country, country)) {
        return ClaimDistance::Near;
    }
    let is_away = match terms.point {
        Some(claimed) => claimed
            .point
            .is_beyond(place.point, explained_km(claimed, place, settings)),
        None => !place.country.is_empty() && !is_in_country(&place.country, &terms.country),
    };
    if !is_away && !can_be_near(place, terms, settings) {
        return ClaimDistance::Unknown;
    }
    match (is_away, travel) {
        (false, _) => ClaimDistance::Near,
        (true, Some(travel)) if travel.covers(place) => ClaimDistance::Traveling,
        (true, _) => ClaimDistance::Away,
    }
}

/// Whether a place says that somebody is near the claim if it is not away from it. One that is known by its country alone
/// is not away from any city there.
fn can_be_near(place: &Place, terms: &Terms, settings: &ClaimSettings) -> bool {
    terms.point.is_none_or(|claimed| {
        let told_km = settings.distance_km_min.max(f64::from(claimed.radius_km));
        f64::from(place.radius_km) <= told_km
    })
}

/// Kilometers between claim and place that neither error radius nor the threshold explains; 0 if explained.
pub(super) fn gap_km(place: &Place, terms: &Terms, settings: &ClaimSettings) -> f64 {
    let Some(claimed) = terms.point else { return 0.0 };
    let distance_km = claimed.point.distance_km(place.point);
    if distance_km > explained_km(claimed, place, settings) {
        distance_km - radii_km(claimed, place)
    } else {
        0.0
    }
}

/// Kilometers that the error radii, or the threshold, explain.
fn explained_km(claimed: ClaimedPoint, place: &Place, settings: &ClaimSettings) -> f64 {
    settings.distance_km_min.max(radii_km(claimed, place))
}

fn radii_km(claimed: ClaimedPoint, place: &Place) -> f64 {
    f64::from(claimed.radius_km) + f64::from(place.radius_km)
}

/// Whether another of the accounts is the same one spelled otherwise, and the better known: `r.lee` beside
/// `r.lee@corp.example`, which two sources spell differently and no roster joins. Who the roster names is better known, then
/// who was there on more days: one sign-in under a made-up domain takes nobody's place.
pub(super) fn is_spelled_better<'t>(tie: &Tie<'_>, mut others: impl Iterator<Item = &'t Tie<'t>>) -> bool {
    let known = |tie: &Tie<'_>| (tie.latest.claim.kind != AccountKind::Unknown, tie.days());
    others.any(|other| {
        let (one, other_name) = (tie.latest.account, other.latest.account);
        is_short_form(one, other_name) && known(other) >= known(tie)
            || is_short_form(other_name, one) && known(other) > known(tie)
    })
}

fn is_short_form(short: &str, long: &str) -> bool {
    !short.contains('@') && long.strip_prefix(short).is_some_and(|rest| rest.starts_with('@'))
}

/// Whether two accounts claim places that one person's address cannot both be.
pub(super) fn contradict(a: &LinkClaim<'_>, b: &LinkClaim<'_>) -> bool {
    match (a.point, b.point) {
        (Some((lat_a, lon_a, radius_a)), Some((lat_b, lon_b, radius_b))) => {
            let points = Point::new(lat_a, lon_a).zip(Point::new(lat_b, lon_b));
            let apart_km = points.map_or(0.0, |(a, b)| a.distance_km(b));
            apart_km > f64::from(radius_a.max(100)) + f64::from(radius_b.max(100))
        }
        _ if is_in_country(a.country, b.country) != is_in_country(b.country, a.country) => false,
        // Of what both name: a claim of a country alone does not contradict one of a city in it.
        _ => [(a.country, b.country), (a.region, b.region), (a.city, b.city)]
            .iter()
            .any(|(a, b)| !a.is_empty() && !b.is_empty() && !a.eq_ignore_ascii_case(b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Scale;
    use crate::model::link::Latest;

    #[test]
    fn of_two_spellings_the_better_known_stands() {
        let tie = |account, kind, days| {
            let mut latest = Latest {
                account,
                ..Latest::default()
            };
            latest.claim.kind = kind;
            latest.account_facts.days_on_entity = days;
            Tie {
                first_ms: 0,
                last_ms: 0,
                companions: Vec::new(),
                latest,
            }
        };
        let (short, long) = ("r.lee", "r.lee@corp.example");
        let (unknown, listed) = (AccountKind::Unknown, AccountKind::Contractor);
        let goes = |ties: [Tie<'_>; 2]| ties.each_ref().map(|tie| is_spelled_better(tie, ties.iter()));
        assert_eq!(goes([tie(short, unknown, 5), tie(long, listed, 1)]), [true, false]);
        assert_eq!(goes([tie(short, unknown, 5), tie(long, unknown, 5)]), [true, false]);
        assert_eq!(
            goes([tie(short, listed, 5), tie(long, unknown, 9)]),
            [false, true],
            "made up"
        );
        assert_eq!(
            goes([tie(short, unknown, 5), tie(long, unknown, 1)]),
            [false, true],
            "made up"
        );
        assert_eq!(goes([tie("r.le", unknown, 5), tie(long, listed, 5)]), [false, false]);
        assert_eq!(goes([tie("r.lee@x", unknown, 5), tie(long, listed, 5)]), [false, false]);
    }

    /// A place of that radius, km, so far east of Greenwich, degrees on the equator.
    fn place(country: &str, east: f64, radius_km: u16) -> Place {
        Place {
            point: Point::new(0.0, east).unwrap(),
            radius_km,
            scale: Scale::City,
            country: country.to_owned(),
            region: String::new(),
            region_name: String::new(),
            city: String::new(),
        }
    }

    /// How a place stands to a claim of that country and, where a radius is given, of a place in Greenwich.
    fn compared(claimed: &str, claimed_radius_km: Option<u16>, seen: &Place) -> ClaimDistance {
        let terms = Terms {
            country: claimed.to_owned(),
            point: claimed_radius_km.map(|radius_km| ClaimedPoint {
                point: Point::new(0.0, 0.0).unwrap(),
                radius_km,
                scale: Scale::City,
            }),
            ..Terms::default()
        };
        compare(seen, &terms, None, &ClaimSettings::default())
    }

    #[test]
    fn a_place_that_may_be_anywhere_in_a_country_is_not_near_a_city_of_it() {
        for (claimed_radius_km, east, radius_km, expected) in [
            (20, 0.0, 300, ClaimDistance::Near),
            (20, 0.0, 301, ClaimDistance::Unknown),
            (20, 10.0, 2_500, ClaimDistance::Unknown),
            (20, 30.0, 2_500, ClaimDistance::Away),
            (700, 5.0, 700, ClaimDistance::Near),
            (2_500, 10.0, 2_500, ClaimDistance::Near),
        ] {
            let seen = place("US", east, radius_km);
            assert_eq!(compared("US", Some(claimed_radius_km), &seen), expected, "{seen:?}");
        }
        assert_eq!(compared("US", None, &place("US", 10.0, 2_500)), ClaimDistance::Near);
    }

    #[test]
    fn a_claim_of_a_country_alone_holds_in_its_territories() {
        for (claimed, seen, expected) in [
            ("GB", "IM", ClaimDistance::Near),
            ("US", "PR", ClaimDistance::Near),
            ("PR", "US", ClaimDistance::Away),
            ("CA", "US", ClaimDistance::Away),
            ("CA", "", ClaimDistance::Near),
        ] {
            assert_eq!(
                compared(claimed, None, &place(seen, 10.0, 50)),
                expected,
                "{claimed}: {seen}"
            );
        }
        let claim = |country| LinkClaim {
            country,
            ..LinkClaim::default()
        };
        for (one, other, expected) in [
            ("GB", "IM", false),
            ("IM", "JE", true),
            ("US", "CA", true),
            ("US", "US", false),
        ] {
            assert_eq!(contradict(&claim(one), &claim(other)), expected, "{one}, {other}");
            assert_eq!(contradict(&claim(other), &claim(one)), expected, "{other}, {one}");
        }
    }
}
