//! The rules: one file per detection. Each reads a window's facts and what just arrived, and returns findings.
//!
//! A detection owns no state, clock, metric or topic, and knows no other detection. Adding one is a file here,
//! a line in [`RULES`], a scenario that fires and a twin, one fact apart, that stays quiet.

pub mod settings;
pub mod impossible_travel;
pub mod claimed_location;
pub mod remote_desktop_relay;
pub mod shared_device;
pub mod shared_network;
pub mod laptop_farm;
pub mod indicators;
mod claims;

use crate::model::{Detection, Finding, Rule};

/// Every detection, in the order of [`Detection::ALL`].
pub const RULES: [&Rule; 6] = [
    &impossible_travel::RULE,
    &claimed_location::RULE,
    &remote_desktop_relay::RULE,
    &shared_device::RULE,
    &shared_network::RULE,
    &laptop_farm::RULE,
];

/// What a rule over several accounts says of one more link.
pub type Judgement = Result<Finding, Quiet>;

/// Why a rule over several accounts says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quiet {
    /// There is nothing to say.
    Nothing,
    /// There would be an alert, were there not so many accounts: a reason of `falsefront_findings_suppressed_total`.
    Silenced(&'static str),
}

/// What is constant about a detection.
#[must_use]
pub fn rule(detection: Detection) -> &'static Rule {
    RULES[detection as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_stand_in_the_order_of_their_codes() {
        for detection in Detection::ALL {
            assert_eq!(rule(detection).detection, detection);
        }
    }
}
