//! The nouns of the domain: what is known about a sign-in at each stage, and what was concluded from it.
//!
//! Nothing here knows a wire format, a store or a rule. Every type exists only after its stage, so a
//! function that takes an [`Observation`] cannot be given a record that was never placed on the map.

pub mod account;
pub mod event;
pub mod event_id;
pub mod kvm;
pub mod geo;
pub mod network;
pub mod place;
pub mod territories;
pub mod claim;
pub mod observation;
pub mod link;
pub mod link_codec;
pub mod finding;
pub mod attack;
pub mod key;
pub mod codec;
pub mod dictionary;

pub use account::Account;
pub use claim::{AccountKind, Claim, ClaimRef, Terms, Travel};
pub use event::{Device, Edid, Event, EventKind, Mfa, Outcome, Peripheral, Tool, ToolKind};
pub use finding::{Detection, Evidence, EvidencePlace, Finding, Guard, Measure, Rule, Severity, Strength};
pub use key::{EntityKey, Key};
pub use link::{EntityKind, Link};
pub use network::{Network, NetworkClass};
pub use observation::Observation;
pub use place::{Place, Scale};
