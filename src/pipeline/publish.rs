//! From finding to published record: episode, identity, encoding.

use uuid::Uuid;

use super::{Outputs, Published};
use crate::alert::{self, Alert, ocsf};
use crate::detections;
use crate::detections::settings::EpisodeSettings;
use crate::model::{Detection, Finding, Strength};
use crate::window::episode::{Brief, EpisodePolicy, Episodes, Renewal, Verdict};
use crate::window::{DAY_MS, HOUR_MS, day_of};

/// The alerts topic that records name where none is configured.
pub const DEFAULT_TOPIC: &str = "falsefront.alerts";

/// Identity of an alert that a finding opens.
#[must_use]
pub fn fresh(brief: &Brief<'_>) -> u128 {
    let opened_day = day_of(brief.last_ms);
    alert::fresh_uid(brief.detection, brief.strength, brief.subject, opened_day).as_u128()
}

/// Turns findings into records of the alerts topic.
#[derive(Clone, Debug)]
pub struct Publisher {
    travel: EpisodePolicy,
    farm: EpisodePolicy,
    relay: EpisodePolicy,
    other: EpisodePolicy,
    topic: String,
}

impl Publisher {
    /// A publisher with those rules of folding.
    #[must_use]
    pub fn new(settings: &EpisodeSettings, episodes_max: usize, topic: &str) -> Self {
        let policy = |gap_ms| EpisodePolicy {
            gap_ms,
            renewal: Renewal::Accounts,
            published_max: settings.published_max,
            episodes_max,
        };
        Self {
            travel: EpisodePolicy {
                renewal: Renewal::Daily,
                ..policy(i64::from(settings.travel_gap_hours) * HOUR_MS)
            },
            farm: EpisodePolicy {
                renewal: Renewal::Wording,
                ..policy(i64::from(settings.gap_days) * DAY_MS)
            },
            relay: EpisodePolicy {
                renewal: Renewal::Evidence,
                ..policy(i64::from(settings.gap_days) * DAY_MS)
            },
            other: policy(i64::from(settings.gap_days) * DAY_MS),
            topic: topic.to_owned(),
        }
    }

    /// When findings of that detection are one alert.
    #[must_use]
    pub fn policy(&self, detection: Detection) -> EpisodePolicy {
        match detection {
            Detection::ImpossibleTravel => self.travel,
            Detection::LaptopFarm => self.farm,
            Detection::RemoteDesktopRelay => self.relay,
            _ => self.other,
        }
    }

    /// Folds a finding into its episode, and publishes what is new.
    pub fn publish(&self, finding: &Finding, episodes: &mut Episodes, append_ms: i64, outputs: &mut Outputs) {
        let brief = Brief::of(finding, self.policy(finding.detection).renewal);
        if let Some((uid, revision)) = self.decide(&brief, episodes, outputs) {
            outputs.alerts.push(self.record(finding, uid, revision, append_ms));
        }
    }

    /// Folds a finding into its episode. If it is to be published, gives the alert's identity and the number of its record.
    pub fn decide(&self, brief: &Brief<'_>, episodes: &mut Episodes, outputs: &mut Outputs) -> Option<(Uuid, u32)> {
        let (verdict, alert, revision) = episodes.take(brief, || fresh(brief), &self.policy(brief.detection));
        if verdict == Verdict::Fold {
            outputs.counts.add("findings_folded", brief.detection.as_str());
            return None;
        }
        Some((Uuid::from_u128(alert), revision))
    }

    /// A record of an alert whose identity another stage decided.
    #[must_use]
    pub fn record(&self, finding: &Finding, uid: Uuid, revision: u32, append_ms: i64) -> Published {
        let rule = detections::rule(finding.detection);
        let alert = Alert {
            uid,
            revision,
            finding,
            rule,
            created_ms: append_ms,
            topic: &self.topic,
        };
        Published {
            key: finding.accounts.first().cloned().unwrap_or_default(),
            value: ocsf::encode(&alert),
            headers: alert.headers(ocsf::SCHEMA),
            detection: finding.detection.as_str(),
            severity: finding.severity,
            is_alert: finding.strength == Strength::Alert,
            is_first: revision == 1,
            uid: uid.to_string(),
            message: finding.message.clone(),
            accounts: finding.accounts.clone(),
            time_ms: finding.last_ms,
        }
    }
}
