//! What full lists of an account's window gave up for something new: counted, because what is gone is evidence no more.
//!
//! | reason of `falsefront_facts_dropped_total` | setting below `detections.window` | what is given up |
//! |---|---|---|
//! | `visits_full` | `visits_max` | a located sign-in that came late and is older than all of a full ring |
//! | `networks_full` | `networks_max` | a network shared by design, else one of a single day, else any; longest unused first |
//! | `devices_full` | `devices_max` | the device longest unused |
//! | `sessions_full` | `sessions_max` | a VPN session that is over, else one of a device that is new to the account, else of the device with most |
//! | `tools_full` | `sightings_max` | the tool or VPN brand not seen for longest |
//! | `peripherals_full` | `sightings_max` | a lone keyboard, mouse or stick, else any that no KVM's name has, else any; not attached for longest first |
//! | `logons_full` | `rdp_logons_max` | the oldest remote-desktop logon |
//! | `ties_full` | `ties_max` | an account of a device or network (`entity`): one that came by once, else a further one |

/// A list of limited length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FullList {
    /// Networks the account used.
    Networks,
    /// Devices the account used.
    Devices,
    /// VPN sessions.
    Sessions,
    /// Tools and VPN brands.
    Tools,
    /// Peripherals.
    Peripherals,
    /// Remote-desktop logons.
    Logons,
}

/// Reasons of the counter, by [`FullList`].
const REASONS: [&str; 6] = [
    "networks_full",
    "devices_full",
    "sessions_full",
    "tools_full",
    "peripherals_full",
    "logons_full",
];

/// How many facts each list gave up for one observation: a byte for each [`FullList`] of a word that nearly always is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped(u64);

impl Dropped {
    /// Counts so many of a list.
    pub(super) fn add(&mut self, list: FullList, count: usize) {
        let mut bytes = self.0.to_le_bytes();
        let known = &mut bytes[list as usize];
        *known = known.saturating_add(u8::try_from(count).unwrap_or(u8::MAX));
        self.0 = u64::from_le_bytes(bytes);
    }

    /// Whether no list gave anything up.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The reasons of the counter, with how many.
    pub fn iter(self) -> impl Iterator<Item = (&'static str, u64)> {
        REASONS.into_iter().zip(self.0.to_le_bytes().map(u64::from))
    }
}
