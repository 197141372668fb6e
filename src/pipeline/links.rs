//! Which ties of an account the entities stage is told of, and what it is told.
//!
//! A tie travels when it is new, when what the account's window knows has changed (a day, a tool, the distance to the
//! claim), or when it is due for its refresh: twice a day for most, and nothing is computed in between.

use super::settings::DetectionSettings;
use crate::detections::claimed_location;
use crate::detections::indicators::{self, Class, Indicator};
use crate::model::link::{AccountSummary, Latest, LinkClaim, LinkNetwork, LinkPlace};
use crate::model::{EntityKind, Link, Observation, ToolKind};
use crate::window::account::{AccountFacts, Change, NetworkFact, Told};
use crate::window::episode::hash;
use crate::window::spots::Spots;
use crate::window::texts::TextId;
use crate::window::{DAY_MS, day_at};

/// Networks last used longer ago than this say nothing about where the account's tools run, days.
const NETWORK_RECENT_DAYS: i64 = 7;

/// Gives the links that an observation makes due to `send`, and marks them as told.
///
/// Most observations make none due: unless one changed what links tell of, or a refresh is due, nothing is computed.
/// The others are judged by their signature and only then put into words.
pub fn due(
    seen: &Observation<'_>,
    facts: &mut AccountFacts,
    spots: &Spots,
    change: &Change,
    append_ms: i64,
    settings: &DetectionSettings,
    mut send: impl FnMut(&Due<'_>),
) {
    if !may_be_due(seen, facts, change, append_ms, settings) {
        return;
    }
    let device = device_concerned(seen, facts, change).map(Thing::Device);
    let known = Known::of(seen, facts, spots, settings);
    let mut tell = |facts: &mut AccountFacts, thing: Thing| {
        let (days, before) = match thing {
            Thing::Network(index) => (facts.networks()[index].days, facts.networks()[index].told),
            Thing::Device(index) => (facts.devices()[index].days, facts.devices()[index].told),
        };
        let signature = known.signature(days.count());
        let mut after = before.as_of(facts.news());
        if before.signature != signature || before.is_overdue(append_ms, settings.window.link_refresh_ms) {
            after = Told::at(append_ms, signature, facts.news());
            match thing {
                Thing::Network(index) => {
                    let name = facts.networks()[index].name();
                    send(&Link {
                        clock_ms: append_ms,
                        ..to_network(seen, facts, spots, index, &name, &known, settings)
                    });
                }
                Thing::Device(index) => send(&to_device(seen, facts, spots, change, index, &known, append_ms)),
            }
        }
        match thing {
            Thing::Network(index) => facts.networks_mut()[index].told = after,
            Thing::Device(index) => facts.devices_mut()[index].told = after,
        }
    };
    if change.relay_facts {
        for index in networks_concerned(seen, facts, change, settings) {
            tell(facts, Thing::Network(index));
        }
    } else if let Some(index) = change.network.filter(|index| is_concerned(seen, facts, change, *index)) {
        tell(facts, Thing::Network(index));
    }
    if let Some(device) = device {
        tell(facts, device);
    }
}

/// A link that is not in bytes yet.
pub type Due<'a> = Link<'a, Latest<'a>>;

/// A network or a device of the account, by its index.
#[derive(Clone, Copy)]
enum Thing {
    Network(usize),
    Device(usize),
}

/// Whether any tie concerned was not told of the latest news, or is due for its refresh.
fn may_be_due(
    seen: &Observation<'_>,
    facts: &AccountFacts,
    change: &Change,
    append_ms: i64,
    settings: &DetectionSettings,
) -> bool {
    let is_untold =
        |told: Told| told.news != facts.news() || told.is_overdue(append_ms, settings.window.link_refresh_ms);
    let on_network = |index: usize| is_concerned(seen, facts, change, index) && is_untold(facts.networks()[index].told);
    let on_networks = if change.relay_facts {
        (0..facts.networks().len()).any(on_network)
    } else {
        change.network.is_some_and(on_network)
    };
    on_networks || device_concerned(seen, facts, change).is_some_and(|index| is_untold(facts.devices()[index].told))
}

/// Index of the network the account mostly works from, to carry a finding to; `None` if it has none of its own.
#[must_use]
pub fn home_network(facts: &AccountFacts) -> Option<usize> {
    let networks = facts.networks().iter().enumerate();
    let own = networks.filter(|(_, n)| !n.is_shared_by_design());
    let home = own.max_by_key(|(_, n)| (n.days.count(), n.last, n.name()));
    home.map(|(index, _)| index)
}

/// Index of the network of that name; `None` if the account's window has forgotten it.
#[must_use]
pub fn network_named(facts: &AccountFacts, name: &str) -> Option<usize> {
    facts.networks().iter().position(|n| n.name() == *name)
}

/// Whether a network is told of what an observation changed: it was just used, or was lately and is the account's own.
fn is_concerned(seen: &Observation<'_>, facts: &AccountFacts, change: &Change, index: usize) -> bool {
    let fact = &facts.networks()[index];
    let since_ms = seen.order_ms.saturating_sub(NETWORK_RECENT_DAYS * DAY_MS);
    !fact.is_shared_by_design() && (fact.last.ms() >= since_ms || change.network == Some(index))
}

/// When the account's tools changed: the networks it used lately, most recent first.
fn networks_concerned(
    seen: &Observation<'_>,
    facts: &AccountFacts,
    change: &Change,
    settings: &DetectionSettings,
) -> Vec<usize> {
    let is_concerned = |index: &usize| is_concerned(seen, facts, change, *index);
    let mut recent: Vec<usize> = (0..facts.networks().len()).filter(is_concerned).collect();
    recent.sort_by(|a, b| {
        let (a, b) = (&facts.networks()[*a], &facts.networks()[*b]);
        b.last.cmp(&a.last).then_with(|| a.name().cmp(&b.name()))
    });
    recent.truncate(settings.window.link_networks_max);
    recent
}

fn device_concerned(seen: &Observation<'_>, facts: &AccountFacts, change: &Change) -> Option<usize> {
    change.device.or_else(|| {
        let device = seen.event.device.as_ref().filter(|_| change.relay_facts)?;
        facts.device_of(&device.id)
    })
}

/// What the account's window knows, whatever the thing.
pub struct Known {
    days_located: u16,
    days_away: u16,
    devices: u16,
    rdp_relays: u16,
    /// Of tools, VPN brands and KVM hardware; most accounts have none.
    names: Option<Box<Names>>,
}

#[derive(Default)]
struct Names {
    remote_tools: Vec<String>,
    vpn_brands: Vec<String>,
    kvm: Vec<String>,
    operators: Vec<String>,
}

/// Where a logon from outside came from.
fn operator(indicator: &Indicator<'_>) -> Option<String> {
    let logon = indicator.logon?;
    let address = logon.address?;
    let place = logon.place.as_ref().map(|place| place.label());
    let known = [&logon.network.label, &logon.network.organization].map(Clone::clone);
    let known: Vec<String> = (known.into_iter().chain(place))
        .filter(|text| !text.is_empty())
        .collect();
    Some(match known.is_empty() {
        true => address.to_string(),
        false => format!("{address} ({})", known.join(", ")),
    })
}

impl Known {
    /// What it knows at the time of an observation.
    #[must_use]
    pub fn of(seen: &Observation<'_>, facts: &AccountFacts, spots: &Spots, settings: &DetectionSettings) -> Self {
        let (days_located, days_away) = claimed_location::ledger(facts, day_at(seen), &settings.claim);
        let devices = facts.devices().iter().filter(|d| !d.is_fingerprint()).count();
        let mut known = Self {
            days_located,
            days_away,
            devices: u16::try_from(devices).unwrap_or(u16::MAX),
            rdp_relays: 0,
            names: None,
        };
        if facts.rare().has_sightings() {
            known.add_sightings(seen, facts, spots, settings);
        }
        known
    }

    fn add_sightings(
        &mut self,
        seen: &Observation<'_>,
        facts: &AccountFacts,
        spots: &Spots,
        settings: &DetectionSettings,
    ) {
        let found = indicators::sightings(facts, spots, seen.claim, seen.order_ms, &settings.relay);
        let labels = |wanted: fn(Class) -> bool| {
            let labels = found.iter().filter(|i| wanted(i.class)).map(|i| i.label.to_string());
            distinct(labels.collect())
        };
        let brands = facts.rare().tools.iter().filter(|t| t.kind == ToolKind::VpnClient);
        let relays = found.iter().filter(|i| i.class == Class::RelayInProgress).count();
        self.rdp_relays = u16::try_from(relays).unwrap_or(u16::MAX);
        self.names = Some(Box::new(Names {
            remote_tools: labels(|class| class == Class::RemoteTool),
            vpn_brands: distinct(brands.map(|t| t.name.to_string()).collect()),
            kvm: labels(Class::is_kvm),
            operators: distinct(found.iter().filter_map(operator).collect()),
        }));
    }

    /// Remote-access tools, VPN brands, KVM hardware, where logons came from.
    fn names(&self) -> [&[String]; 4] {
        match &self.names {
            Some(names) => [&names.remote_tools, &names.vpn_brands, &names.kvm, &names.operators],
            None => [&[], &[], &[], &[]],
        }
    }

    /// Changes whenever the thing's window should hear of it. More devices do only at the first few.
    fn signature(&self, days_on_entity: u16) -> u32 {
        let counts = [days_on_entity, self.days_located, self.days_away, self.rdp_relays];
        let counts = counts.iter().fold(0, |packed, count| packed << 16 | u64::from(*count));
        let many = u16::from(self.devices > 1) + self.devices / 4;
        let mut state = (counts ^ 0xcbf2_9ce4_8422_2325).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for list in self.names() {
            state = state.rotate_left(23) ^ if list.is_empty() { 0 } else { hash(list) };
            state = state.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        state ^= u64::from(many);
        #[allow(clippy::cast_possible_truncation, reason = "the halves of 64 bits")]
        let folded = state as u32 ^ (state >> 32) as u32;
        folded
    }

    fn summary(&self, days_on_entity: u16, claim_gap_km: u32) -> AccountSummary<'_> {
        let [remote_tools, vpn_brands, kvm, operators] =
            self.names().map(|list| list.iter().map(String::as_str).collect());
        AccountSummary {
            days_on_entity,
            days_located: self.days_located,
            days_away: self.days_away,
            claim_gap_km,
            remote_tools,
            vpn_brands,
            kvm,
            rdp_relays: self.rdp_relays,
            operators,
            devices: self.devices,
        }
    }
}

fn distinct(mut texts: Vec<String>) -> Vec<String> {
    texts.sort_unstable();
    texts.dedup();
    texts
}

/// A link to the network at `index`, which has that name.
#[must_use]
pub fn to_network<'a>(
    seen: &'a Observation<'_>,
    facts: &'a AccountFacts,
    spots: &'a Spots,
    index: usize,
    name: &'a str,
    known: &'a Known,
    settings: &DetectionSettings,
) -> Due<'a> {
    let fact = &facts.networks()[index];
    let spot = spots.get(fact.spot);
    let gap_km = spot.place.as_ref().map_or(0.0, |place| {
        claimed_location::gap_between_km(place, seen.claim.terms, &settings.claim)
    });
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most half the Earth's circumference"
    )]
    let claim_gap_km = gap_km.max(0.0) as u32;
    let device = facts.text(fact.device);
    Link {
        entity_kind: EntityKind::Network,
        entity: name,
        first_ms: fact.first.ms(),
        time_ms: fact.last.ms(),
        clock_ms: 0,
        data_versions: seen.data_versions,
        latest: Latest {
            account: seen.event.account.as_str(),
            device,
            address: Some(fact.address.ip()),
            fingerprint: false,
            event_id: facts.event_id(fact.event_id, fact.packing),
            product: facts.text(fact.product),
            claim: LinkClaim::of(seen.claim, device),
            place: spot.place.as_deref().map(LinkPlace::of),
            network: LinkNetwork::of(&spot.network),
            account_facts: known.summary(fact.days.count(), claim_gap_km),
        },
        offer: None,
    }
}

/// The network on which a device was used last, as far as it is the latest device of any.
fn last_network_with(facts: &AccountFacts, device: TextId) -> Option<&NetworkFact> {
    let with_it = facts.networks().iter().filter(|network| network.device == device);
    with_it.max_by_key(|network| (network.last, network.name()))
}

/// A link to the device at `index`. It tells of the network that the account used it on: an agent's event may have no
/// address, and a remote-desktop logon has that of whoever came.
fn to_device<'a>(
    seen: &'a Observation<'_>,
    facts: &'a AccountFacts,
    spots: &'a Spots,
    change: &Change,
    index: usize,
    known: &'a Known,
    append_ms: i64,
) -> Due<'a> {
    let (event, fact) = (seen.event, &facts.devices()[index]);
    let id = facts.text(fact.id);
    let mut link = Link {
        entity_kind: EntityKind::Device,
        entity: id,
        first_ms: fact.first.ms(),
        time_ms: fact.last.ms(),
        clock_ms: append_ms,
        data_versions: seen.data_versions,
        latest: Latest {
            account: event.account.as_str(),
            device: id,
            address: event.source_ip,
            fingerprint: fact.is_fingerprint(),
            event_id: event.id.clone(),
            product: &event.product,
            claim: LinkClaim::of(seen.claim, id),
            place: seen.place.map(|place| LinkPlace::of(place)),
            network: LinkNetwork::of(seen.network),
            account_facts: known.summary(fact.days.count(), 0),
        },
        offer: None,
    };
    if change.network.is_none()
        && let Some(network) = last_network_with(facts, fact.id)
    {
        let (spot, latest) = (spots.get(network.spot), &mut link.latest);
        latest.address = Some(network.address.ip());
        latest.event_id = facts.event_id(network.event_id, network.packing);
        latest.product = facts.text(network.product);
        latest.place = spot.place.as_deref().map(LinkPlace::of);
        latest.network = LinkNetwork::of(&spot.network);
    }
    link
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Claim, Device, Event, EventKind, Key, Network};
    use crate::window::HOUR_MS;
    use crate::window::account::ClaimDistance;

    const START_MS: i64 = 20_000 * DAY_MS;

    fn login(id: &str, time_ms: i64) -> Event<'_> {
        Event {
            time_ms,
            device: Some(Device {
                id: "lt-1".into(),
                hostname: None,
                managed: None,
                fingerprint: false,
            }),
            ..Event::sample(EventKind::Login, id)
        }
    }

    /// Whether links were computed at all, and how many were due.
    fn sign_in((facts, spots): &mut (AccountFacts, Spots), id: &str, time_ms: i64) -> (bool, u32) {
        let (event, settings) = (login(id, time_ms), DetectionSettings::default());
        let (network, claim) = (Arc::new(Network::default()), Claim::default());
        let seen = Observation {
            event: &event,
            key: Key(1),
            order_ms: time_ms,
            time_suspect: false,
            place: None,
            network: &network,
            claim: claim.borrowed(),
            travel: None,
            data_versions: "",
        };
        let change = facts.apply(&seen, time_ms, ClaimDistance::Unknown, &settings.window, spots);
        let is_computed = may_be_due(&seen, facts, &change, time_ms, &settings);
        let mut sent = 0;
        due(&seen, facts, spots, &change, time_ms, &settings, |_| sent += 1);
        (is_computed, sent)
    }

    #[test]
    fn the_second_sign_in_of_a_day_tells_and_computes_nothing() {
        let mut facts = (AccountFacts::default(), Spots::default());
        assert_eq!(sign_in(&mut facts, "a", START_MS), (true, 2), "a network and a device");
        for (hour, id) in (1..12).zip("bcdefghijkl".split_inclusive(|_: char| true)) {
            assert_eq!(sign_in(&mut facts, id, START_MS + hour * HOUR_MS), (false, 0));
        }
        assert_eq!(
            sign_in(&mut facts, "refresh", START_MS + 12 * HOUR_MS),
            (true, 2),
            "both are due again"
        );
        assert_eq!(
            sign_in(&mut facts, "day", START_MS + 24 * HOUR_MS),
            (true, 2),
            "a day is news"
        );
        assert_eq!(sign_in(&mut facts, "late", START_MS + HOUR_MS / 2), (false, 0));
    }
}
