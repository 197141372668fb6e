//! How much a window keeps, and for how long.

use serde::{Deserialize, Serialize};

/// Limits of one window. Sizes bound the memory an attacker can claim; a full ring drops its oldest entry and says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WindowSettings {
    /// An event may arrive this much later than events after it and still be judged in its place, ms.
    pub allowed_lateness_ms: i64,
    /// Days a fact is kept after it was last seen. At most 31: day ledgers are 32-bit.
    pub retention_days: u16,
    /// Hours of located sign-ins kept for travel. A quarter of the way round the globe takes an airliner 11, all of it 22.
    pub visits_hours: u16,
    /// Located sign-ins kept; at most 128.
    pub visits_max: usize,
    /// Networks an account is remembered on; at most 64.
    pub networks_max: usize,
    /// Devices an account is remembered with; at most 64.
    pub devices_max: usize,
    /// Open or recent VPN sessions.
    pub sessions_max: usize,
    /// Remote-access tools, peripherals and VPN brands, each.
    pub sightings_max: usize,
    /// Remote-desktop logons.
    pub rdp_logons_max: usize,
    /// Open alert episodes.
    pub episodes_max: usize,
    /// Event ids remembered to recognize a re-delivery: those of as long as located sign-ins are kept, and of the
    /// time before that the latest 4. At most 65,535.
    pub event_ids_max: usize,
    /// Accounts remembered on one device or network; more are only counted.
    pub ties_max: usize,
    /// A tie to a shared thing is told again after this long even if nothing changed, ms. A new day, tool or claim
    /// distance is told at once; the *time* of the latest use may be known to the thing's window this much too early,
    /// which is why it is well below `device.handover_hours`.
    pub link_refresh_ms: i64,
    /// Windows that a partition of accounts, and one of entities, keeps. Beyond it a new one takes the place of those seen
    /// on one day only, longest ago first; if there are none it is not opened, and counted.
    pub windows_max: usize,
    /// Networks told of a change in the account's tools, most recent first.
    pub link_networks_max: usize,
}

impl Default for WindowSettings {
    fn default() -> Self {
        Self {
            allowed_lateness_ms: 3_600_000,
            retention_days: 30,
            visits_hours: 24,
            visits_max: 32,
            networks_max: 16,
            devices_max: 16,
            sessions_max: 8,
            sightings_max: 8,
            rdp_logons_max: 8,
            episodes_max: 8,
            event_ids_max: 128,
            ties_max: 32,
            link_refresh_ms: 12 * 3_600_000,
            windows_max: 1_000_000,
            link_networks_max: 4,
        }
    }
}
