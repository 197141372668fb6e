//! What numbers may be. A value outside would switch a detection or its guard off without a word.

use super::file::Config;
use super::validate::Problems;
use crate::pipeline::settings::{DetectionSettings, IntakeSettings};
use crate::window::settings::WindowSettings;

const DAY_MS: i64 = 86_400_000;
/// Days that a ledger of days tells apart, and that anything is kept at most.
const DAYS: u64 = 31;
const HOURS: u64 = DAYS * 24;
/// Days after hiring.
const TENURE: u64 = 366;
const POINTS: u64 = 100;
/// Half the circumference of the Earth is 20,015 km: no two places are farther apart.
const KM: f64 = 20_015.0;
/// `message.max.bytes` of Kafka's brokers is 1,048,588 unless somebody changes it.
const RECORD_BYTES: u64 = 1_000_000;

pub(super) fn validate(config: &Config, problems: &mut Problems) {
    let mut range = Ranges { section: "", problems };
    range.of("workers", config.workers, 1, 256);
    range.of("commit_interval_ms", config.commit_interval_ms, 10, 5_000);
    range.of("checkpoint_period_s", config.checkpoint_period_s, 1, 3_600);
    range.of("stop_limit_s", config.stop_limit_s, 1, 600);
    intake(&config.intake, &mut range);
    window(&config.detections.window, &mut range);
    detections(&config.detections, &mut range);
}

struct Ranges<'p> {
    section: &'static str,
    problems: &'p mut Problems,
}

impl Ranges<'_> {
    fn of(&mut self, key: &str, value: impl TryInto<u64>, low: u64, high: u64) {
        let value = value.try_into().unwrap_or(u64::MAX);
        if !(low..=high).contains(&value) {
            self.add(key, &value, &low, &high);
        }
    }

    fn of_ms(&mut self, key: &str, value: i64, low: i64, high: i64) {
        if !(low..=high).contains(&value) {
            self.add(key, &value, &low, &high);
        }
    }

    /// Refuses what is no number, too.
    fn of_real(&mut self, key: &str, value: f64, low: f64, high: f64) {
        if !(low..=high).contains(&value) {
            self.add(key, &value, &low, &high);
        }
    }

    fn add<T: std::fmt::Display>(&mut self, key: &str, value: &T, low: &T, high: &T) {
        let detail = format!("{value} is not between {low} and {high}");
        self.problems.add(format!("{}{key}", self.section), detail);
    }
}

fn intake(intake: &IntakeSettings, range: &mut Ranges<'_>) {
    range.section = "intake.";
    range.of("partitions", intake.partitions, 1, 1_000);
    range.of_ms("future_skew_ms", intake.future_skew_ms, 0, DAY_MS);
    range.of("packed_bytes_max", intake.packed_bytes_max, 1_024, RECORD_BYTES);
    range.of("events_per_record_max", intake.events_per_record_max, 1, 10_000_000);
}

fn window(window: &WindowSettings, range: &mut Ranges<'_>) {
    range.section = "detections.window.";
    range.of_ms("allowed_lateness_ms", window.allowed_lateness_ms, 0, 7 * DAY_MS);
    range.of("retention_days", window.retention_days, 1, DAYS);
    range.of("visits_hours", window.visits_hours, 1, HOURS);
    // With these an account never has more texts than its window has room for, and lists are counted in 16 bits.
    // A leg of travel has two ends.
    range.of("visits_max", window.visits_max, 2, 128);
    range.of("networks_max", window.networks_max, 2, 64);
    range.of("devices_max", window.devices_max, 2, 64);
    range.of("event_ids_max", window.event_ids_max, 1, 65_535);
    for (key, value) in [
        ("sessions_max", window.sessions_max),
        ("sightings_max", window.sightings_max),
        ("rdp_logons_max", window.rdp_logons_max),
        ("episodes_max", window.episodes_max),
    ] {
        range.of(key, value, 1, 1_000);
    }
    range.of("ties_max", window.ties_max, 2, 10_000);
    range.of_ms("link_refresh_ms", window.link_refresh_ms, 60_000, 7 * DAY_MS);
    range.of("windows_max", window.windows_max, 1, 1_000_000_000);
    range.of("link_networks_max", window.link_networks_max, 1, 64);
}

fn detections(settings: &DetectionSettings, range: &mut Ranges<'_>) {
    let DetectionSettings {
        window: _,
        episode,
        travel,
        claim,
        relay,
        device,
        network,
        farm,
    } = settings;
    range.section = "detections.episode.";
    range.of("travel_gap_hours", episode.travel_gap_hours, 1, HOURS);
    range.of("gap_days", episode.gap_days, 1, DAYS);
    range.of("published_max", episode.published_max, 1, 10_000);
    range.section = "detections.travel.";
    range.of_real("speed_kmh_max", travel.speed_kmh_max, 1.0, 100_000.0);
    range.of_real("distance_km_min", travel.distance_km_min, 0.0, KM);
    range.of_real("alert_distance_km_min", travel.alert_distance_km_min, 0.0, KM);
    range.of_ms("clock_skew_ms", travel.clock_skew_ms, 0, DAY_MS);
    range.of("habitual_days", travel.habitual_days, 1, DAYS);
    range.section = "detections.claim.";
    range.of_real("distance_km_min", claim.distance_km_min, 0.0, KM);
    for (key, days) in [
        ("window_days", claim.window_days),
        ("days_min", claim.days_min),
        ("days_min_after_near", claim.days_min_after_near),
        ("days_min_single_network", claim.days_min_single_network),
        ("office_days_min", claim.office_days_min),
        ("signal_days_min", claim.signal_days_min),
    ] {
        range.of(key, days, 1, DAYS);
    }
    // No share is larger than 1, and a larger one is asked for.
    range.of_real("share_min", claim.share_min, 0.0, 0.99);
    range.of_real("share_min_after_office", claim.share_min_after_office, 0.0, 0.99);
    range.of("onboarding_days", claim.onboarding_days, 0, TENURE);
    range.section = "detections.relay.";
    range.of("alert_points", relay.alert_points, 1, POINTS);
    range.of("high_points", relay.high_points, 1, POINTS);
    range.of("several_tools_hours", relay.several_tools_hours, 1, HOURS);
    range.of("tenure_days", relay.tenure_days, 0, TENURE);
    range.of("session_hours", relay.session_hours, 1, HOURS);
    range.of("logon_minutes", relay.logon_minutes, 0, 24 * 60);
    range.of("window_days", relay.window_days, 1, DAYS);
    range.section = "detections.device.";
    range.of("window_days", device.window_days, 1, DAYS);
    range.of("hub_accounts", device.hub_accounts, 2, 10_000);
    range.of("handover_hours", device.handover_hours, 1, HOURS);
    range.of("staff_devices", device.staff_devices, 1, 1_000);
    range.section = "detections.network.";
    range.of("window_days", network.window_days, 1, DAYS);
    range.of("days_min", network.days_min, 1, DAYS);
    range.of("accounts_min", network.accounts_min, 2, 10_000);
    range.of("hub_accounts", network.hub_accounts, 2, 10_000);
    range.section = "detections.farm.";
    range.of("window_days", farm.window_days, 1, DAYS);
    range.of("account_points", farm.account_points, 1, POINTS);
    range.of("steady_days", farm.steady_days, 1, DAYS);
    range.of("claim_days", farm.claim_days, 1, DAYS);
    range.of("hub_accounts", farm.hub_accounts, 2, 10_000);
    range.of("withhold_days", farm.withhold_days, 0, DAYS);
}
