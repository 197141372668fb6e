//! The recent located sign-ins of an account, in the order of event time.

use std::net::IpAddr;
use std::sync::Arc;

use crate::model::{Network, Place};

/// One successful sign-in from an address that locates the person.
#[derive(Clone, Debug, PartialEq)]
pub struct Visit {
    /// When, ms: see [`crate::model::Observation::order_ms`].
    pub order_ms: i64,
    /// 64-bit hash of the event's id: breaks ties of time.
    pub id_hash: u64,
    /// The event's id, for evidence.
    pub event_id: Box<str>,
    /// Product that wrote the event.
    pub product: Box<str>,
    /// Where.
    pub place: Arc<Place>,
    /// Network.
    pub network: Arc<Network>,
    /// Address.
    pub address: IpAddr,
    /// Device id; empty if the source names none.
    pub device: Box<str>,
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

impl Visits {
    /// Inserts `visit` where its time belongs. A full ring first gives up visits inside a stay at one address
    /// that ended before `settled_ms` (nothing can come between them any more), then its oldest.
    pub fn insert(&mut self, visit: Visit, visits_max: usize, settled_ms: i64) -> Inserted {
        let mut index = self
            .sorted
            .partition_point(|v| (v.order_ms, v.id_hash) < (visit.order_ms, visit.id_hash));
        if self.sorted.len() >= visits_max {
            let victim = self.inside_a_stay(settled_ms).unwrap_or(0);
            if victim == 0 && index == 0 {
                return Inserted::TooOld;
            }
            self.sorted.remove(victim);
            if victim < index {
                index -= 1;
            }
        }
        self.sorted.insert(index, visit);
        Inserted::At(index)
    }

    fn inside_a_stay(&self, settled_ms: i64) -> Option<usize> {
        self.sorted
            .windows(3)
            .position(|w| w[2].order_ms < settled_ms && w[0].address == w[1].address && w[1].address == w[2].address)
            .map(|start| start + 1)
    }

    /// Forgets visits before `horizon_ms`. Says how many.
    pub fn forget_before(&mut self, horizon_ms: i64) -> usize {
        let count = self.sorted.partition_point(|v| v.order_ms < horizon_ms);
        self.sorted.drain(..count);
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

    /// Visits read back from a checkpoint, which wrote them in order.
    #[must_use]
    pub fn from_sorted(sorted: Vec<Visit>) -> Self {
        Self { sorted }
    }
}
