//! The recent located sign-ins of an account, in the order of event time.

use std::cmp::Ordering;
use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use super::block::{Block, ITEMS_MAX};
use super::episode::hash;
use super::moment::Moment;
use super::origin::OriginId;
use super::texts::{ShortId, TextId};

/// One successful sign-in from an address that locates the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, packed(2))]
pub struct Visit {
    /// When: see [`crate::model::Observation::order_ms`].
    pub at: Moment,
    /// The event's id, for evidence.
    pub event_id: ShortId,
    /// Where, among the account's origins.
    pub origin: OriginId,
    /// Product that wrote the event, among the account's texts.
    pub product: TextId,
    /// Device id, among the account's texts; empty if the source names none.
    pub device: TextId,
    /// How the event's id is packed.
    pub packing: u8,
    /// 1 if a second factor was used.
    pub mfa: u8,
}

/// What inserting did beyond inserting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The visit is in place at this index.
    At(usize),
    /// The ring was full of younger visits; it could not be kept.
    TooOld,
}

impl Block {
    /// Inserts `visit` where its time belongs. Of a stay at one address that ended before `settled_ms` (nothing can come
    /// between any more) the first and the last are kept, of a full ring those of every stay; a ring that is full of
    /// moves gives up its oldest.
    pub(super) fn insert_visit(&mut self, visit: &Visit, visits_max: usize, settled_ms: i64) -> Inserted {
        let visits_max = visits_max.clamp(1, ITEMS_MAX);
        self.shorten_stays(settled_ms);
        if self.list::<Visit>().len() >= visits_max {
            self.shorten_stays(i64::MAX);
        }
        let all = self.list::<Visit>();
        // Most come last.
        let mut index = match all.last() {
            Some(last) if !self.is_before(last, visit) => all.partition_point(|known| self.is_before(known, visit)),
            _ => all.len(),
        };
        if all.len() >= visits_max {
            if index == 0 {
                return Inserted::TooOld;
            }
            self.remove::<Visit>(0..1);
            index -= 1;
        }
        self.insert(index, visit);
        Inserted::At(index)
    }

    /// Visits of one moment are told apart by what does not depend on the order of their arrival.
    fn is_before(&self, one: &Visit, other: &Visit) -> bool {
        let tell_apart = |visit: &Visit| self.rank(visit.event_id, visit.packing, visit.product);
        match one.at.cmp(&other.at) {
            Ordering::Less => true,
            Ordering::Equal => tell_apart(one) < tell_apart(other),
            Ordering::Greater => false,
        }
    }

    /// A number that says which of several events of one moment counts as the later, whichever came first.
    pub(super) fn rank(&self, event_id: ShortId, packing: u8, product: TextId) -> u64 {
        let id = self.event_id(event_id, packing).to_string();
        hash(&[id.as_str(), self.text(product)])
    }

    fn shorten_stays(&mut self, settled_ms: i64) {
        let is_settled = |visit: &Visit| visit.at.ms() < settled_ms;
        // Three of a stay are needed before one goes.
        if !self.list::<Visit>().get(2).is_some_and(is_settled) {
            return;
        }
        let mut settled = self.list::<Visit>().partition_point(is_settled);
        let mut from = 0;
        while let Some(stay) = self.stay_of_three(from..settled) {
            self.remove::<Visit>(stay + 1..stay + 2);
            (from, settled) = (stay, settled - 1);
        }
    }

    /// The first of three visits in a row at one address.
    fn stay_of_three(&self, range: Range<usize>) -> Option<usize> {
        let start = range.start;
        let visits = &self.list::<Visit>()[range];
        let is_stay = |three: &[Visit]| {
            let mut pairs = three.iter().zip(&three[1..]);
            pairs.all(|(one, next)| self.is_same_address(one.origin, next.origin))
        };
        visits.windows(3).position(is_stay).map(|at| start + at)
    }

    fn is_same_address(&self, one: OriginId, other: OriginId) -> bool {
        one == other || self.origin(one).address == self.origin(other).address
    }

    /// Forgets visits before `horizon_ms`.
    pub(super) fn forget_visits(&mut self, horizon_ms: i64) {
        let all = self.list::<Visit>();
        if all.first().is_some_and(|oldest| oldest.at.ms() < horizon_ms) {
            let count = all.partition_point(|visit| visit.at.ms() < horizon_ms);
            self.remove::<Visit>(0..count);
        }
    }
}
