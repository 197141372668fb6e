//! VPN sessions, which give meaning to a remote-desktop logon.

use std::cmp::Reverse;
use std::net::IpAddr;

use super::dropped::{Dropped, FullList};
use super::episode::hash;
use super::rare::make_room;
use crate::model::event_id::EventId;
use crate::model::{EventKind, Observation, Outcome};

/// A VPN session.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionFact {
    /// Hash of the session's id, or of address and device where the source gives none.
    pub id: u64,
    /// Opened, ms; the earliest time it was seen.
    pub opened_ms: i64,
    /// Latest time it was seen up, ms.
    pub seen_ms: i64,
    /// Closed, ms, if it was.
    pub closed_ms: Option<i64>,
    /// Address it came from last: a laptop that moves on renews its session from elsewhere.
    pub address: Option<IpAddr>,
    /// When it came from there, ms.
    pub address_ms: i64,
    /// Device; empty if unknown.
    pub device: Box<str>,
    /// Id of the event that opened it.
    pub event_id: EventId,
    /// Product of that event.
    pub product: Box<str>,
}

/// Folds what an observation says of a session.
pub(super) fn apply(
    sessions: &mut Vec<SessionFact>,
    seen: &Observation<'_>,
    sessions_max: usize,
    dropped: &mut Dropped,
) {
    let event = seen.event;
    if event.outcome == Outcome::Failure {
        return;
    }
    let device = event.device.as_ref().map_or("", |d| d.id.as_ref());
    let id = match &event.session {
        Some(session) => hash(&[session.as_ref()]),
        None => hash(&[
            event.source_ip.map(|ip| ip.to_string()).unwrap_or_default().as_str(),
            device,
        ]),
    };
    let time_ms = seen.order_ms;
    let found = if event.session.is_some() {
        sessions.iter().position(|s| s.id == id)
    } else {
        // A gateway that renegotiates without saying for which session, and whose opening was not seen, opens none.
        let found = session_at(sessions, id, time_ms, event.kind);
        if found.is_none() && event.kind == EventKind::VpnRenew && device.is_empty() {
            return;
        }
        found
    };
    let index = found.unwrap_or_else(|| {
        dropped.add(FullList::Sessions, make_room_for_session(sessions, sessions_max));
        sessions.push(SessionFact {
            id,
            opened_ms: time_ms,
            seen_ms: time_ms,
            closed_ms: None,
            address: event.source_ip,
            address_ms: time_ms,
            device: device.into(),
            event_id: event.id.clone(),
            product: event.product.as_ref().into(),
        });
        sessions.len() - 1
    });
    sessions[index].take_in(seen);
}

/// Frees a place where there is none, and says how many sessions were given up. Those that are over give way first, then
/// those of the device that has most: a telephone that opens one session after the other leaves the laptop its own.
fn make_room_for_session(sessions: &mut Vec<SessionFact>, sessions_max: usize) -> usize {
    if sessions.len() < sessions_max.max(1) {
        return 0;
    }
    let devices: Vec<Box<str>> = sessions.iter().map(|s| s.device.clone()).collect();
    let of_device = |s: &SessionFact| devices.iter().filter(|device| **device == s.device).count();
    make_room(sessions, sessions_max, |s| {
        (s.closed_ms.is_none(), Reverse(of_device(s)), s.seen_ms)
    })
}

/// The session without an id of its own that an event at that time belongs to: the latest opened by then, else the
/// earliest behind, whose opening arrives late. One that was closed before is over; who comes back opens another.
fn session_at(sessions: &[SessionFact], id: u64, time_ms: i64, kind: EventKind) -> Option<usize> {
    let alike = || sessions.iter().enumerate().filter(|(_, s)| s.id == id);
    let is_over = |s: &SessionFact| kind != EventKind::VpnClose && s.closed_ms.is_some_and(|at| at < time_ms);
    let by_then = alike().filter(|(_, s)| s.opened_ms <= time_ms);
    let latest = by_then.max_by_key(|(_, s)| s.opened_ms).filter(|(_, s)| !is_over(s));
    let behind = || {
        alike()
            .filter(|(_, s)| s.opened_ms > time_ms)
            .min_by_key(|(_, s)| s.opened_ms)
    };
    latest.or_else(behind).map(|(index, _)| index)
}

impl SessionFact {
    /// Takes in what a further event of the session says.
    fn take_in(&mut self, seen: &Observation<'_>) {
        let (event, time_ms) = (seen.event, seen.order_ms);
        let is_latest = time_ms >= self.seen_ms;
        if (time_ms, &event.id) < (self.opened_ms, &self.event_id) {
            self.opened_ms = time_ms;
            self.event_id = event.id.clone();
            self.product = event.product.as_ref().into();
        }
        self.seen_ms = self.seen_ms.max(time_ms);
        let is_newer = event.source_ip.is_some() && (time_ms, event.source_ip) > (self.address_ms, self.address);
        if is_newer || self.address.is_none() {
            (self.address, self.address_ms) = (event.source_ip, time_ms);
        }
        // A close that arrives late does not end a session that was seen up after it.
        if event.kind == EventKind::VpnClose {
            self.closed_ms = if is_latest { Some(time_ms) } else { self.closed_ms };
        } else if self.closed_ms.is_some_and(|closed| closed < time_ms) {
            self.closed_ms = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Claim, Device, Event, Key};

    /// The sessions that a gateway tells of with events of those kinds, ids of sessions, devices, addresses and times.
    fn folded(told: &[(EventKind, Option<&str>, &str, &str, i64)]) -> Vec<SessionFact> {
        let (mut sessions, claim) = (Vec::new(), Claim::default());
        for (kind, id, device, address, time_ms) in told {
            let event = Event {
                device: Some(Device {
                    id: (*device).into(),
                    hostname: None,
                    managed: None,
                    fingerprint: false,
                }),
                source_ip: address.parse().ok(),
                session: id.map(Into::into),
                ..Event::sample(*kind, "x")
            };
            let seen = Observation {
                event: &event,
                key: Key(1),
                order_ms: *time_ms,
                time_suspect: false,
                place: None,
                network: &Arc::default(),
                claim: claim.borrowed(),
                travel: None,
                data_versions: "",
            };
            apply(&mut sessions, &seen, SESSIONS_MAX, &mut Dropped::default());
        }
        sessions
    }

    const SESSIONS_MAX: usize = 8;

    /// Opened and closed of the sessions without ids of their own that a laptop's gateway tells of, ms.
    fn times(told: &[(EventKind, i64)]) -> Vec<(i64, Option<i64>)> {
        let of_one: Vec<_> = told.iter().map(|(kind, at)| (*kind, None, "lt-7", "", *at)).collect();
        folded(&of_one).iter().map(|s| (s.opened_ms, s.closed_ms)).collect()
    }

    #[test]
    fn a_session_without_an_id_ends_with_its_close() {
        use EventKind::{VpnClose, VpnOpen, VpnRenew};
        let first = [(VpnOpen, 0), (VpnClose, 10)];
        for behind in [
            [(VpnOpen, 20), (VpnRenew, 22), (VpnClose, 25)],
            [(VpnRenew, 22), (VpnOpen, 20), (VpnClose, 25)],
        ] {
            let told = [&first[..], &behind].concat();
            assert_eq!(times(&told), [(0, Some(10)), (20, Some(25))], "{behind:?}");
        }
        assert_eq!(times(&[(VpnRenew, 5)]), [(5, None)], "its opening was not seen");
    }

    #[test]
    fn sessions_that_are_over_and_those_of_one_device_give_way_to_one_that_is_up() {
        use EventKind::{VpnClose, VpnOpen};
        let many = 1..=i64::try_from(SESSIONS_MAX).unwrap() + 2;
        let flaps = many.clone().flat_map(|at| {
            [
                (VpnOpen, None, "phone", "", 100 * at),
                (VpnClose, None, "phone", "", 100 * at + 1),
            ]
        });
        let told: Vec<_> = std::iter::once((VpnOpen, None, "lt-7", "", 0)).chain(flaps).collect();
        let kept = folded(&told);
        assert_eq!((kept.len(), kept[0].opened_ms), (SESSIONS_MAX, 0));
        assert!(kept.iter().all(|s| s.opened_ms != 100));
        let addresses: Vec<String> = many.map(|at| format!("240.0.0.{at}")).collect();
        let opened = addresses
            .iter()
            .zip(1..)
            .map(|(address, at)| (VpnOpen, None, "phone", address.as_str(), at));
        let told: Vec<_> = std::iter::once((VpnOpen, None, "lt-7", "", 0)).chain(opened).collect();
        let kept = folded(&told);
        assert_eq!((kept.len(), &*kept[0].device), (SESSIONS_MAX, "lt-7"));
    }

    #[test]
    fn a_session_is_where_it_was_seen_last_in_whatever_order_that_is_told() {
        use EventKind::{VpnOpen, VpnRenew};
        let story = [
            (VpnOpen, Some("s-1"), "lt-7", "240.0.0.1", 10),
            (VpnRenew, Some("s-1"), "lt-7", "240.0.0.2", 20),
            (VpnRenew, Some("s-1"), "lt-7", "240.0.0.1", 15),
        ];
        for first in 0..3 {
            for second in (0..3).filter(|second| *second != first) {
                let order = [first, second, 3 - first - second].map(|index| story[index]);
                let kept = folded(&order);
                let shown: Vec<_> = kept.iter().map(|s| (s.opened_ms, s.address, s.seen_ms)).collect();
                assert_eq!(shown, [(10, "240.0.0.2".parse().ok(), 20)], "{order:?}");
            }
        }
    }
}
