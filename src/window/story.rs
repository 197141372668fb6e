//! What few shared things have a story of: open alerts, offers that wait or were taken, accounts without a place.

use super::episode::Episodes;
use crate::model::{Finding, Severity};

/// Facts that most things have none of, so that their windows have no room for them.
#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    /// Accounts that found no place among the ties.
    pub overflow: u64,
    /// Open alerts.
    pub episodes: Episodes,
    /// Offers withheld because this network may be a farm.
    pub withheld: Vec<Withheld>,
    /// Alerts already published from offers, by identity and severity.
    pub taken_offers: Vec<u128>,
}

/// An alert that waits, or waited, because its network may turn out to be a farm.
#[derive(Clone, Debug, PartialEq)]
pub struct Withheld {
    /// Its identity.
    pub alert: u128,
    /// Since when, in event time, ms.
    pub since_ms: i64,
    /// The gravest finding that waits; `None` once it was told.
    pub finding: Option<Box<Finding>>,
}

/// A finding that has waited long enough.
#[derive(Clone, Debug, PartialEq)]
pub struct Waited {
    /// See [`Withheld`]; so the next.
    pub alert: u128,
    /// Since when.
    pub since_ms: i64,
    /// What waited.
    pub finding: Box<Finding>,
}

/// Withheld offers remembered per thing.
pub const OFFERS_MAX: usize = 32;
/// Taken offers remembered per thing: one that was forgotten would be published again. Far more accounts than a thing's window
/// remembers (`window.ties_max`), each with several alerts.
pub const TAKEN_OFFERS_MAX: usize = 256;

impl Story {
    /// Nothing.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            overflow: 0,
            episodes: Episodes::none(),
            withheld: Vec::new(),
            taken_offers: Vec::new(),
        }
    }

    /// Whether an alert waits at that time: for `wait_ms` from when this was first asked. The gravest `finding` is kept
    /// meanwhile, for [`Story::take_due`]. One for which there is no room does not wait.
    pub fn withhold(&mut self, alert: u128, at_ms: i64, wait_ms: i64, finding: &Finding) -> bool {
        let index = match self.withheld.iter().position(|known| known.alert == alert) {
            Some(index) => index,
            None => {
                if self.withheld.len() >= OFFERS_MAX {
                    let Some(told) = self.withheld.iter().position(|known| known.finding.is_none()) else {
                        return false;
                    };
                    self.withheld.remove(told);
                }
                self.withheld.push(Withheld {
                    alert,
                    since_ms: at_ms,
                    finding: None,
                });
                self.withheld.len() - 1
            }
        };
        let known = &mut self.withheld[index];
        known.since_ms = known.since_ms.min(at_ms);
        let is_waiting = at_ms - known.since_ms < wait_ms;
        if is_waiting {
            let is_graver = |kept: &Finding| (kept.severity, kept.last_ms) > (finding.severity, finding.last_ms);
            if !known.finding.as_deref().is_some_and(is_graver) {
                known.finding = Some(Box::new(finding.clone()));
            }
        }
        is_waiting
    }

    /// Bytes on the heap, estimated.
    pub(super) fn bytes_apart(&self) -> usize {
        /// Of a finding with its evidence.
        const FINDING: usize = 2_048;
        let lists = size_of_val(&*self.withheld) + size_of_val(&*self.taken_offers);
        self.episodes.bytes() + lists + self.waits().count() * FINDING
    }

    /// Remembers that an alert is told and waits no longer. Gives the finding that waited.
    pub fn tell(&mut self, alert: u128) -> Option<Box<Finding>> {
        let known = self.withheld.iter_mut().find(|known| known.alert == alert);
        known.and_then(|known| known.finding.take())
    }

    /// The findings that wait since a moment that `is_due`, in the order in which they were first offered. They wait no
    /// longer.
    pub fn take_due(&mut self, is_due: impl Fn(i64) -> bool) -> Vec<Waited> {
        let due = self.withheld.iter_mut().filter(|known| is_due(known.since_ms));
        due.filter_map(|known| {
            Some(Waited {
                alert: known.alert,
                since_ms: known.since_ms,
                finding: known.finding.take()?,
            })
        })
        .collect()
    }

    /// Since when each finding that waits does, in event time, ms.
    pub fn waits(&self) -> impl Iterator<Item = i64> {
        let waiting = self.withheld.iter().filter(|known| known.finding.is_some());
        waiting.map(|known| known.since_ms)
    }

    /// Remembers that an offer was published with that severity and those names of [`Brief::named`](super::episode::Brief::named), and gives the revision
    /// to publish it as; none if it was published as grave before, with all that it names.
    pub fn take_offer(&mut self, alert: u128, severity: Severity, named: impl Iterator<Item = u64>) -> Option<u32> {
        let told: Vec<u128> = named.map(|named| taken_name(alert, named)).collect();
        let is_taken = |severity: &Severity| self.taken_offers.contains(&taken(alert, *severity));
        let is_any_new = told.iter().any(|named| !self.taken_offers.contains(named));
        let is_told = Severity::ALL[severity as usize..].iter().any(is_taken);
        // A release before this one remembered the identity alone.
        if self.taken_offers.contains(&alert) || is_told && !is_any_new {
            return None;
        }
        // Each severity came with a record, and a release before this one remembered no others.
        let severities = Severity::ALL.iter().filter(|severity| is_taken(severity)).count() as u128;
        let is_free = |count: &u128| !self.taken_offers.contains(&taken_record(alert, *count));
        let revision = (severities + 1..).find(is_free)?;
        for new in [taken(alert, severity), taken_record(alert, revision)]
            .into_iter()
            .chain(told)
        {
            if !self.taken_offers.contains(&new) {
                self.taken_offers.push(new);
            }
        }
        let gone = self.taken_offers.len().saturating_sub(TAKEN_OFFERS_MAX);
        self.taken_offers.drain(..gone);
        u32::try_from(revision).ok()
    }
}

/// An offer as it is remembered: identities are random but for their version, so no two meet.
fn taken(alert: u128, severity: Severity) -> u128 {
    alert ^ (severity as u128 + 1)
}

/// A record of an offer, beside the severities.
fn taken_record(alert: u128, count: u128) -> u128 {
    alert ^ (count << 8)
}

/// What a record of an offer named, beside the records.
fn taken_name(alert: u128, named: u64) -> u128 {
    alert ^ (u128::from(named) << 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Detection, Strength};

    #[test]
    fn an_offer_is_taken_once_and_again_when_it_is_graver() {
        let none = std::iter::empty;
        let mut story = Story::none();
        let (one, other) = (0x1234_5678_u128 << 64, 0x8765_4321_u128 << 64);
        assert_eq!(story.take_offer(one, Severity::Medium, none()), Some(1));
        assert_eq!(story.take_offer(one, Severity::Medium, none()), None);
        assert_eq!(story.take_offer(other, Severity::High, none()), Some(1));
        assert_eq!(story.take_offer(one, Severity::High, none()), Some(2));
        for milder in [Severity::High, Severity::Medium, Severity::Low] {
            assert_eq!(story.take_offer(one, milder, none()), None, "{milder:?}");
        }
        story.taken_offers.push(7);
        assert_eq!(
            story.take_offer(7, Severity::Critical, none()),
            None,
            "taken by an earlier release"
        );
    }

    #[test]
    fn an_offer_is_taken_again_when_it_names_more_and_its_records_are_counted() {
        let mut story = Story::none();
        let alert = 0x1234_5678_u128 << 64;
        let mut take = |severity, named: &[u64]| story.take_offer(alert, severity, named.iter().copied());
        assert_eq!(take(Severity::High, &[1, 2]), Some(1));
        assert_eq!(take(Severity::High, &[2]), None);
        assert_eq!(take(Severity::Medium, &[1, 3]), Some(2), "names more, however grave");
        assert_eq!(take(Severity::High, &[1, 2, 3]), None);
        assert_eq!(take(Severity::Critical, &[1]), Some(3));
        // Two records of a release that remembered their severities.
        let mut older = Story::none();
        older.taken_offers = [Severity::Medium, Severity::High].map(|s| taken(alert, s)).to_vec();
        let mut take = |named: u64| older.take_offer(alert, Severity::High, std::iter::once(named));
        assert_eq!([take(1), take(1), take(2)], [Some(3), None, Some(4)]);
    }

    fn finding(severity: Severity, last_ms: i64) -> Finding {
        Finding {
            detection: Detection::RemoteDesktopRelay,
            strength: Strength::Alert,
            severity,
            confidence: 50,
            subject: String::new(),
            accounts: Vec::new(),
            message: String::new(),
            first_ms: 0,
            last_ms,
            evidence: Vec::new(),
            measures: Vec::new(),
            guards: Vec::new(),
            data_versions: String::new(),
            degraded: false,
        }
    }

    #[test]
    fn what_waits_is_taken_once_when_it_is_due_and_as_grave_as_it_became() {
        let mut story = Story::none();
        let (high, low) = (finding(Severity::High, 2), finding(Severity::Low, 3));
        assert!(story.withhold(1, 100, 50, &high));
        assert!(story.withhold(1, 120, 50, &low), "milder news waits behind it");
        assert!(story.withhold(2, 110, 50, &low));
        assert!(story.withhold(1, 90, 50, &high), "a late one moves the beginning");
        assert_eq!(story.waits().min(), Some(90));
        let due = |story: &mut Story, at_ms: i64| story.take_due(|since_ms| at_ms - since_ms >= 50);
        assert_eq!(due(&mut story, 139), []);
        let waited = Waited {
            alert: 1,
            since_ms: 90,
            finding: Box::new(high.clone()),
        };
        assert_eq!(due(&mut story, 140), [waited]);
        assert_eq!(story.waits().min(), Some(110));
        assert_eq!(due(&mut story, 140), []);
        assert!(!story.withhold(1, 145, 50, &high), "one that was told waits no more");
        story.tell(2);
        assert_eq!(due(&mut story, 1_000), []);
    }

    #[test]
    fn an_alert_without_room_to_wait_does_not() {
        let mut story = Story::none();
        let high = finding(Severity::High, 2);
        for alert in 0..OFFERS_MAX as u128 {
            assert!(story.withhold(alert, 100, 50, &high));
        }
        assert!(!story.withhold(99, 100, 50, &high));
        story.tell(7);
        assert!(story.withhold(99, 100, 50, &high), "in place of one that was told");
        assert_eq!(story.take_due(|_| true).len(), OFFERS_MAX);
    }
}
