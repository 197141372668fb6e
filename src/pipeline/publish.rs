//! From finding to published record: episode, identity, encoding.

use uuid::Uuid;

use super::{Outputs, Published};
use crate::alert::{self, Alert, ocsf};
use crate::detections;
use crate::detections::settings::EpisodeSettings;
use crate::model::{Detection, Finding, Strength};
use crate::window::episode::{EpisodePolicy, Episodes, Verdict};
use crate::window::{DAY_MS, HOUR_MS, day_of};

/// The alerts topic that records name where none is configured.
pub const DEFAULT_TOPIC: &str = "falsefront.alerts";

/// Turns findings into records of the alerts topic.
#[derive(Clone, Debug)]
pub struct Publisher {
    travel: EpisodePolicy,
    farm: EpisodePolicy,
    other: EpisodePolicy,
    topic: String,
}

impl Publisher {
    /// A publisher with those rules of folding.
    #[must_use]
    pub fn new(settings: &EpisodeSettings, episodes_max: usize, topic: &str) -> Self {
        let policy = |gap_ms| EpisodePolicy {
            gap_ms,
            every_finding: false,
            every_wording: false,
            published_max: settings.published_max,
            episodes_max,
        };
        Self {
            travel: EpisodePolicy {
                every_finding: true,
                ..policy(i64::from(settings.travel_gap_hours) * HOUR_MS)
            },
            farm: EpisodePolicy {
                every_wording: true,
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
            _ => self.other,
        }
    }

    /// Folds a finding into its episode, and publishes what is new.
    pub fn publish(&self, finding: &Finding, episodes: &mut Episodes, append_ms: i64, outputs: &mut Outputs) {
        let fresh = alert::fresh_uid(finding, day_of(finding.last_ms));
        let (verdict, alert, revision) = episodes.take(finding, fresh.as_u128(), &self.policy(finding.detection));
        match verdict {
            Verdict::Create | Verdict::Update => {
                outputs
                    .alerts
                    .push(self.record(finding, Uuid::from_u128(alert), revision, append_ms));
            }
            Verdict::Fold => outputs.counts.add("findings_folded", finding.detection.as_str()),
        }
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
