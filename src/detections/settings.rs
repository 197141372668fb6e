//! Thresholds of the detections, each with its default and where that comes from.

use serde::{Deserialize, Serialize};

use crate::window::settings::WindowSettings;

/// Limits and thresholds of windows and detections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetectionSettings {
    /// How much windows keep.
    pub window: WindowSettings,
    /// When findings are one alert.
    pub episode: EpisodeSettings,
    /// Impossible travel.
    pub travel: TravelSettings,
    /// Claimed location.
    pub claim: ClaimSettings,
    /// Remote-desktop relay.
    pub relay: RelaySettings,
    /// Shared device.
    pub device: DeviceSettings,
    /// Shared network.
    pub network: NetworkSettings,
    /// Laptop farm.
    pub farm: FarmSettings,
}

/// When findings about one subject are one alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EpisodeSettings {
    /// Legs of impossible travel this close, hours, are one alert.
    pub travel_gap_hours: u32,
    /// Other findings about one subject this close, days, are one alert.
    pub gap_days: u32,
    /// Records published per alert at most: the first and its updates.
    pub published_max: u32,
}

impl Default for EpisodeSettings {
    fn default() -> Self {
        Self {
            travel_gap_hours: 24,
            gap_days: 14,
            published_max: 32,
        }
    }
}

/// Thresholds of impossible travel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TravelSettings {
    /// Speed over ground, km/h, of an airliner with the wind behind it; slower travel is possible, so it is no finding.
    /// Airliners cruise at 900 and jet streams add to it; MozDef and Datadog take 1,000 as well.
    pub speed_kmh_max: f64,
    /// Kilometers, net of both error radii, below which a pair is database noise.
    pub distance_km_min: f64,
    /// Kilometers, net of both error radii, from which a pair stands alone. Two good databases put 5 to 10 % of
    /// addresses more than 500 km apart, so a shorter pair needs two devices to tell it from a misplaced address.
    pub alert_distance_km_min: f64,
    /// Clocks of two sources may differ by this much, ms.
    pub clock_skew_ms: i64,
    /// Both networks known on this many days each: a habit that a database cannot explain, not a journey.
    pub habitual_days: u16,
}

impl Default for TravelSettings {
    fn default() -> Self {
        Self {
            speed_kmh_max: 1_000.0,
            distance_km_min: 100.0,
            alert_distance_km_min: 500.0,
            clock_skew_ms: 60_000,
            habitual_days: 3,
        }
    }
}

/// Thresholds of claimed location.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClaimSettings {
    /// A sign-in is away from the claim if it is farther than this, km, and than both error radii together.
    pub distance_km_min: f64,
    /// Days looked back over.
    pub window_days: u16,
    /// Days away before an alert: a working week.
    pub days_min: u16,
    /// Days away before an alert for somebody who was also seen where they claim to be, or whose claim has no point: a border
    /// may be a river away.
    pub days_min_after_near: u16,
    /// Days away before an alert where a single network carries the evidence against somebody on the payroll: one
    /// misplaced address could explain it.
    pub days_min_single_network: u16,
    /// Days at the company's own egress, or on mobile and other networks that do not tell the place, and nowhere else, from
    /// which somebody counts as seen where they claim to be.
    pub office_days_min: u16,
    /// Days away before a signal.
    pub signal_days_min: u16,
    /// Share of the days seen that were away, more than which is a signal. Days on a VPN and on approved travel do not count.
    pub share_min: f64,
    /// The same for somebody with `office_days_min` such days: weekly commuters are half of theirs at home elsewhere.
    pub share_min_after_office: f64,
    /// Days after hiring in which only `days_min_after_near` counts: onboarding weeks are spent in hotels.
    pub onboarding_days: u16,
}

impl Default for ClaimSettings {
    fn default() -> Self {
        Self {
            distance_km_min: 300.0,
            window_days: 28,
            days_min: 5,
            days_min_after_near: 10,
            days_min_single_network: 10,
            office_days_min: 3,
            signal_days_min: 3,
            share_min: 0.5,
            share_min_after_office: 0.66,
            onboarding_days: 10,
        }
    }
}

/// Thresholds of the remote-desktop relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RelaySettings {
    /// Remote-access tools the company uses itself: never an indicator. Names as alerts spell them, any case.
    pub approved_tools: Vec<String>,
    /// Points from which indicators are an alert; the rule's table gives the points.
    pub alert_points: u16,
    /// Points from which the alert is high.
    pub high_points: u16,
    /// Two vendors' tools on one device within this many hours are an indicator of their own.
    pub several_tools_hours: u32,
    /// A tool first seen this soon after hiring, days, is an indicator of its own.
    pub tenure_days: u16,
    /// A VPN session without a close is taken to last this long after it was last seen, hours.
    pub session_hours: u32,
    /// A remote-desktop logon is taken to last this long at least, minutes: a VPN session opened meanwhile is opened by
    /// whoever logged on.
    pub logon_minutes: u32,
    /// Indicators older than this many days before the event do not count.
    pub window_days: u16,
}

impl Default for RelaySettings {
    fn default() -> Self {
        Self {
            approved_tools: Vec::new(),
            alert_points: 4,
            high_points: 6,
            several_tools_hours: 24,
            tenure_days: 30,
            session_hours: 10,
            logon_minutes: 30,
            window_days: 14,
        }
    }
}

/// Thresholds of the shared device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceSettings {
    /// Kiosks, jump hosts, lab machines: device ids that many may use.
    pub shared_devices: Vec<String>,
    /// Days looked back over.
    pub window_days: u16,
    /// Accounts that use one device on more than one day from which it is a kiosk nobody listed.
    pub hub_accounts: usize,
    /// The second account follows the first within this many hours, or they alternate; else the device was handed over.
    pub handover_hours: u32,
    /// An employee, by the roster, with more devices than this serves them (IT staff).
    pub staff_devices: u16,
}

impl Default for DeviceSettings {
    fn default() -> Self {
        Self {
            shared_devices: Vec::new(),
            window_days: 30,
            hub_accounts: 8,
            handover_hours: 48,
            staff_devices: 5,
        }
    }
}

/// Thresholds of the shared network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkSettings {
    /// Days looked back over.
    pub window_days: u16,
    /// Days an account must be seen on the network.
    pub days_min: u16,
    /// Accounts whose claims are not where the network is, of which two must contradict each other.
    pub accounts_min: usize,
    /// Accounts that use it on more than one day from which the address is a carrier's or a venue's gateway.
    pub hub_accounts: usize,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self {
            window_days: 14,
            days_min: 3,
            accounts_min: 2,
            hub_accounts: 12,
        }
    }
}

/// Thresholds of the laptop farm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FarmSettings {
    /// Days looked back over.
    pub window_days: u16,
    /// Points an account needs to count as operated through the network; the rule's table gives the points.
    pub account_points: u16,
    /// Days on the network that make an account steady.
    pub steady_days: u16,
    /// Days on the network after which accounts that all contradict their claims are a farm without any tool seen.
    pub claim_days: u16,
    /// Others on the line from which it is a hotel's or an airport's, where only those count who are steady; and employees
    /// steady on it, where they claim to be, from which it is an office.
    pub hub_accounts: usize,
    /// Days a finding about one account is withheld while its network may turn out to be a farm.
    pub withhold_days: u16,
}

impl Default for FarmSettings {
    fn default() -> Self {
        Self {
            window_days: 30,
            account_points: 3,
            steady_days: 5,
            claim_days: 5,
            hub_accounts: 12,
            withhold_days: 3,
        }
    }
}
