//! VPN sessions, which give meaning to a remote-desktop logon.

use std::cmp::Reverse;
use std::net::IpAddr;

use super::dropped::{Dropped, FullList};
use super::episode::hash;
use super::origin::Address;
use super::rare::make_room;
use crate::model::event_id::EventId;
use crate::model::{EventKind, Observation, Outcome};

/// A VPN session for as long as it came from one line: a laptop that moves on renews it from elsewhere, and where it is
/// then says nothing of where it was.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionFact {
    /// Hash of the session's id, or of address and device where the source gives none.
    pub id: u64,
    /// Opened, or first seen on this line, ms; the earliest time it was seen.
    pub opened_ms: i64,
    /// Latest time it was seen up there, ms.
    pub seen_ms: i64,
    /// Closed, ms, if it was.
    pub closed_ms: Option<i64>,
    /// Address it came from last.
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

/// Folds what an observation says of a session. `is_usual` says which devices the account is known to use.
pub(super) fn apply(
    sessions: &mut Vec<SessionFact>,
    seen: &Observation<'_>,
    sessions_max: usize,
    is_usual: &dyn Fn(&str) -> bool,
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
    // A gateway that names the device of a session once means it of the whole.
    let named = sessions.iter().find(|s| s.id == id && !s.device.is_empty());
    let device: Box<str> = match named {
        Some(session) if device.is_empty() => session.device.clone(),
        _ => device.into(),
    };
    let (known, moved) = session_at(sessions, id, seen);
    // A gateway that renegotiates without saying for which session, and whose opening was not seen, opens none.
    let is_bare = event.session.is_none() && event.kind == EventKind::VpnRenew && device.is_empty();
    if known.is_none() && is_bare {
        return;
    }
    let mut added = Vec::from_iter(moved);
    match known {
        Some(index) => sessions[index].take_in(seen),
        None => added.insert(0, SessionFact::of(id, device, seen)),
    }
    for session in added {
        dropped.add(
            FullList::Sessions,
            make_room_for_session(sessions, sessions_max, is_usual),
        );
        sessions.push(session);
    }
}

/// Frees a place where there is none, and says how many sessions were given up. Those that are over give way first, then
/// those of devices that are new, whose names are the client's to choose, then those of the device that has most: a
/// telephone that opens one session after the other leaves the laptop its own.
fn make_room_for_session(
    sessions: &mut Vec<SessionFact>,
    sessions_max: usize,
    is_usual: &dyn Fn(&str) -> bool,
) -> usize {
    if sessions.len() < sessions_max.max(1) {
        return 0;
    }
    let kept: Vec<(u64, i64, Box<str>)> = sessions.iter().map(|s| (s.id, s.opened_ms, s.device.clone())).collect();
    let of_device = |s: &SessionFact| kept.iter().filter(|(_, _, device)| *device == s.device).count();
    let has_moved = |s: &SessionFact| {
        kept.iter()
            .any(|(id, opened_ms, _)| *id == s.id && *opened_ms > s.opened_ms)
    };
    make_room(sessions, sessions_max, |s| {
        let is_up = s.closed_ms.is_none() && !has_moved(s);
        (is_up, is_usual(&s.device), Reverse(of_device(s)), s.seen_ms)
    })
}

/// Which of the sessions of that id an event belongs to: the latest opened by then, if it came from this line and was not
/// closed before, because who comes back opens another; else the earliest behind on this line, whose opening arrives late.
/// A close ends the latest wherever it came from. Beside it, what is left of a session that was seen here only between two
/// times elsewhere.
fn session_at(sessions: &mut [SessionFact], id: u64, seen: &Observation<'_>) -> (Option<usize>, Option<SessionFact>) {
    let (time_ms, is_close) = (seen.order_ms, seen.event.kind == EventKind::VpnClose);
    let is_here = |s: &SessionFact| s.is_on_line_of(seen.event.source_ip);
    let alike = || sessions.iter().enumerate().filter(|(_, s)| s.id == id);
    let by_then = alike().filter(|(_, s)| s.opened_ms <= time_ms);
    let latest = by_then.max_by_key(|(_, s)| s.opened_ms);
    let latest = latest.filter(|(_, s)| s.closed_ms.is_none_or(|closed| closed >= time_ms));
    let behind = alike().filter(|(_, s)| s.opened_ms > time_ms);
    let behind = behind
        .min_by_key(|(_, s)| s.opened_ms)
        .filter(|(_, s)| is_here(s) && !is_close);
    let behind = behind.map(|(index, _)| index);
    match latest.map(|(index, s)| (index, is_close || is_here(s))) {
        Some((index, true)) => (Some(index), None),
        Some((index, false)) => {
            let back = sessions[index].cut_at(time_ms);
            (behind, back)
        }
        None => (behind, None),
    }
}

impl SessionFact {
    /// What a first event says of a session.
    fn of(id: u64, device: Box<str>, seen: &Observation<'_>) -> Self {
        let (event, time_ms) = (seen.event, seen.order_ms);
        Self {
            id,
            opened_ms: time_ms,
            seen_ms: time_ms,
            closed_ms: (event.kind == EventKind::VpnClose).then_some(time_ms),
            address: event.source_ip,
            address_ms: time_ms,
            device,
            event_id: event.id.clone(),
            product: event.product.as_ref().into(),
        }
    }

    /// Whether it may have come from the line of that address; what is unknown tells no lines apart.
    fn is_on_line_of(&self, address: Option<IpAddr>) -> bool {
        let both = self.address.zip(address);
        both.is_none_or(|(own, other)| Address::of(own).is_on_line_of(Address::of(other)))
    }

    /// Ends what it was before that time, when it was elsewhere, and gives what it was when it came back.
    fn cut_at(&mut self, time_ms: i64) -> Option<Self> {
        let is_back = self.seen_ms > time_ms;
        let back = is_back.then(|| Self {
            opened_ms: self.seen_ms,
            address_ms: self.seen_ms,
            ..self.clone()
        });
        if is_back {
            self.closed_ms = None;
        }
        self.seen_ms = self.seen_ms.min(time_ms);
        self.address_ms = self.address_ms.min(time_ms);
        back
    }

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
        if self.is_on_line_of(event.source_ip) && (is_newer || self.address.is_none()) {
            (self.address, self.address_ms) = (event.source_ip, time_ms);
        }
        // A close that arrives late does not end a session that was seen up after it.
        if event.kind == EventKind::VpnClose && is_latest {
            self.closed_ms = Some(time_ms);
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
            apply(&mut sessions, &seen, SESSIONS_MAX, &|_| true, &mut Dropped::default());
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
    fn a_session_is_where_it_was_seen_at_the_time_in_whatever_order_that_is_told() {
        use EventKind::{VpnOpen, VpnRenew};
        let story = [
            (VpnOpen, Some("s-1"), "lt-7", "240.0.0.1", 10),
            (VpnRenew, Some("s-1"), "lt-7", "240.0.0.2", 20),
            (VpnRenew, Some("s-1"), "lt-7", "240.0.0.1", 15),
        ];
        for first in 0..3 {
            for second in (0..3).filter(|second| *second != first) {
                let order = [first, second, 3 - first - second].map(|index| story[index]);
                let mut kept = folded(&order);
                kept.sort_by_key(|s| s.opened_ms);
                let shown: Vec<_> = kept.iter().map(|s| (s.opened_ms, s.address, s.seen_ms)).collect();
                let at = |address: &str| address.parse().ok();
                assert_eq!(
                    shown,
                    [(10, at("240.0.0.1"), 15), (20, at("240.0.0.2"), 20)],
                    "{order:?}"
                );
            }
        }
    }

    #[test]
    fn a_session_that_moves_is_still_of_the_device_that_opened_it() {
        use EventKind::{VpnOpen, VpnRenew};
        let kept = folded(&[
            (VpnOpen, Some("s-1"), "lt-7", "240.0.0.1", 10),
            (VpnRenew, Some("s-1"), "", "240.0.0.2", 20),
        ]);
        let shown: Vec<_> = kept.iter().map(|s| (s.opened_ms, &*s.device)).collect();
        assert_eq!(shown, [(10, "lt-7"), (20, "lt-7")]);
    }

    #[test]
    fn a_session_that_was_elsewhere_for_a_while_is_three() {
        use EventKind::{VpnClose, VpnOpen, VpnRenew};
        let story = [
            (VpnOpen, Some("s-1"), "lt-7", "240.0.0.1", 10),
            (VpnRenew, Some("s-1"), "lt-7", "240.0.0.2", 20),
            (VpnRenew, Some("s-1"), "lt-7", "240.0.0.1", 30),
            (VpnClose, Some("s-1"), "lt-7", "240.0.0.2", 40),
        ];
        for order in [[0, 1, 2, 3], [0, 2, 1, 3], [0, 2, 3, 1]] {
            let mut kept = folded(&order.map(|index| story[index]));
            kept.sort_by_key(|s| s.opened_ms);
            let shown: Vec<_> = kept.iter().map(|s| (s.opened_ms, s.closed_ms)).collect();
            let back_ms = if order[3] == 1 { 40 } else { 30 };
            assert_eq!(shown, [(10, None), (20, None), (back_ms, Some(40))], "{order:?}");
        }
    }

    #[test]
    fn an_id_that_is_used_again_after_its_close_is_another_session() {
        use EventKind::{VpnClose, VpnOpen, VpnRenew};
        let told = |kind, at| (kind, Some("s-1"), "lt-7", "240.0.0.1", at);
        let story = [
            (VpnOpen, 0),
            (VpnClose, 10),
            (VpnOpen, 20),
            (VpnRenew, 22),
            (VpnClose, 25),
        ]
        .map(|(kind, at)| told(kind, at));
        for order in [[0, 1, 2, 3, 4], [0, 1, 3, 2, 4], [0, 1, 4, 2, 3], [1, 0, 4, 3, 2]] {
            let kept = folded(&order.map(|index| story[index]));
            let mut shown: Vec<_> = kept.iter().map(|s| (s.opened_ms, s.closed_ms)).collect();
            shown.sort_unstable();
            assert_eq!(shown, [(0, Some(10)), (20, Some(25))], "{order:?}");
        }
    }
}
