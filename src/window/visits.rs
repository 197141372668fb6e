//! The recent located sign-ins of an account, in the order of event time.

use std::cmp::Ordering;
use std::net::IpAddr;

use super::growth;
use super::origin::OriginId;
use super::texts::TextId;
use crate::model::event_id::EventId;

/// One successful sign-in from an address that locates the person.
#[derive(Clone, Debug, PartialEq)]
pub struct Visit {
    /// When, ms: see [`crate::model::Observation::order_ms`].
    pub order_ms: i64,
    /// The event's id, for evidence.
    pub event_id: EventId,
    /// Where, among the account's origins.
    pub origin: OriginId,
    /// Product that wrote the event, among the account's texts.
    pub product: TextId,
    /// Device id, among the account's texts; empty if the source names none.
    pub device: TextId,
    /// Whether a second factor was used.
    pub mfa: bool,
}

/// Located sign-ins, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Visits {
    sorted: Vec<Visit>,
}

/// What inserting did beyond inserting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The visit is in place at this index.
    At(usize),
    /// The ring was full of younger visits; it could not be kept.
    TooOld,
}

/// Room that is left at least where visits go: most accounts have two or three.
const ROOM_MIN: usize = 4;

impl Visits {
    /// Inserts `visit` where its time belongs; `hash` tells visits of one moment apart, `address` gives that of an
    /// origin. Of a stay at one address that
    /// ended before `settled_ms` (nothing can come between any more) the first and the last are kept. A full ring
    /// gives up its oldest.
    pub fn insert(
        &mut self,
        visit: Visit,
        visits_max: usize,
        settled_ms: i64,
        address: impl Fn(OriginId) -> IpAddr,
        hash: impl Fn(&Visit) -> u64,
    ) -> Inserted {
        self.shorten_stays(settled_ms, address);
        let is_before = |v: &Visit| match v.order_ms.cmp(&visit.order_ms) {
            Ordering::Less => true,
            Ordering::Equal => hash(v) < hash(&visit),
            Ordering::Greater => false,
        };
        // Most come last.
        let mut index = match self.sorted.last() {
            Some(last) if !is_before(last) => self.sorted.partition_point(is_before),
            _ => self.sorted.len(),
        };
        if self.sorted.len() >= visits_max.max(1) {
            if index == 0 {
                return Inserted::TooOld;
            }
            self.sorted.remove(0);
            index -= 1;
        }
        if self.sorted.len() == self.sorted.capacity() {
            self.sorted.reserve_exact(growth(self.sorted.len()));
        }
        self.sorted.insert(index, visit);
        Inserted::At(index)
    }

    fn shorten_stays(&mut self, settled_ms: i64, address: impl Fn(OriginId) -> IpAddr) {
        // Three of a stay are needed before one goes.
        if self.sorted.get(2).is_none_or(|third| third.order_ms >= settled_ms) {
            return;
        }
        let is_same = |a: OriginId, b: OriginId| a == b || address(a) == address(b);
        let settled = self.sorted.partition_point(|v| v.order_ms < settled_ms);
        let mut index = 1;
        let mut end = settled;
        while index + 1 < end {
            let [before, inside, after] = [index - 1, index, index + 1].map(|at| self.sorted[at].origin);
            if is_same(before, inside) && is_same(inside, after) {
                self.sorted.remove(index);
                end -= 1;
            } else {
                index += 1;
            }
        }
    }

    /// Forgets visits before `horizon_ms`. Says how many.
    pub fn forget_before(&mut self, horizon_ms: i64) -> usize {
        if self.sorted.first().is_none_or(|oldest| oldest.order_ms >= horizon_ms) {
            return 0;
        }
        let count = self.sorted.partition_point(|v| v.order_ms < horizon_ms);
        if count > 0 {
            self.sorted.drain(..count);
            // Not for a few: as many come again, and each change of room is an allocation.
            if self.sorted.capacity() > ROOM_MIN + 2 * self.sorted.len() {
                self.sorted.shrink_to(ROOM_MIN + self.sorted.len());
            }
        }
        count
    }

    /// The visit at `index` and those before and after it.
    #[must_use]
    pub fn neighbours(&self, index: usize) -> (Option<&Visit>, Option<&Visit>, Option<&Visit>) {
        (
            index.checked_sub(1).and_then(|i| self.sorted.get(i)),
            self.sorted.get(index),
            self.sorted.get(index + 1),
        )
    }

    /// All, oldest first.
    #[must_use]
    pub fn as_slice(&self) -> &[Visit] {
        &self.sorted
    }

    /// All, oldest first; their times and addresses must stay.
    pub(super) fn as_mut_slice(&mut self) -> &mut [Visit] {
        &mut self.sorted
    }

    /// Bytes on the heap, but for what the visits hold.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.sorted.capacity() * size_of::<Visit>()
    }

    /// Visits read back from a checkpoint, which wrote them in order.
    #[must_use]
    pub fn from_sorted(sorted: Vec<Visit>) -> Self {
        Self { sorted }
    }
}
