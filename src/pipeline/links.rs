//! Which ties of an account the entities stage is told of, and what it is told.
//!
//! A tie travels when it is new, when what the account's window knows has changed, or when it is due for its refresh:
//! a few per cent of the traffic.

use super::settings::DetectionSettings;
use crate::detections::claimed_location;
use crate::detections::indicators::{self, Class};
use crate::model::{AccountSummary, EntityKind, Link, LinkClaim, LinkPlace, Observation, Place, ToolKind};
use crate::window::account::{AccountFacts, Change, NetworkFact};
use crate::window::episode::hash;
use crate::window::{DAY_MS, day_of};

/// Networks last used longer ago than this say nothing about where the account's tools run, days.
const NETWORK_RECENT_DAYS: i64 = 7;

/// The links an observation makes due. Marks them as told.
pub fn due(
    seen: &Observation<'_>,
    facts: &mut AccountFacts,
    change: &Change,
    append_ms: i64,
    settings: &DetectionSettings,
) -> Vec<Link> {
    let base = summary(seen, facts, settings);
    let mut links = Vec::new();
    for index in networks_concerned(seen, facts, change, settings) {
        let fact = &facts.networks[index];
        let link = network_link(seen, fact, &base, settings);
        let signature = signature(&link.account_facts);
        let fact = &mut facts.networks[index];
        if is_due(
            fact.linked_append_ms,
            fact.link_signature,
            signature,
            append_ms,
            settings,
        ) {
            (fact.linked_append_ms, fact.link_signature) = (append_ms, signature);
            links.push(link);
        }
    }
    if let Some(index) = device_concerned(seen, facts, change) {
        let link = device_link(seen, facts, index, &base);
        let signature = signature(&link.account_facts);
        let fact = &mut facts.devices[index];
        if is_due(
            fact.linked_append_ms,
            fact.link_signature,
            signature,
            append_ms,
            settings,
        ) {
            (fact.linked_append_ms, fact.link_signature) = (append_ms, signature);
            links.push(link);
        }
    }
    links
}

/// A link to the network named `home`, else to the one the account mostly works from, to carry a finding to; `None` if
/// the account has no network of its own.
#[must_use]
pub fn to_home_network(
    seen: &Observation<'_>,
    facts: &AccountFacts,
    home: Option<&str>,
    settings: &DetectionSettings,
) -> Option<Link> {
    let own = || facts.networks.iter().filter(|n| !n.network.class.is_shared_by_design());
    let known = home.and_then(|home| own().find(|n| *n.name == *home));
    let home = known.or_else(|| own().max_by_key(|n| (n.days.count(), n.last_ms, &n.name)))?;
    Some(network_link(seen, home, &summary(seen, facts, settings), settings))
}

fn is_due(linked_ms: i64, told: u64, signature: u64, append_ms: i64, settings: &DetectionSettings) -> bool {
    linked_ms == i64::MIN || told != signature || append_ms - linked_ms >= settings.window.link_refresh_ms
}

/// The network just used, and, when the account's tools changed, those it used lately.
fn networks_concerned(
    seen: &Observation<'_>,
    facts: &AccountFacts,
    change: &Change,
    settings: &DetectionSettings,
) -> Vec<usize> {
    let is_own = |index: &usize| !facts.networks[*index].network.class.is_shared_by_design();
    if !change.relay_facts {
        return change.network.into_iter().filter(is_own).collect();
    }
    let since_ms = seen.order_ms - NETWORK_RECENT_DAYS * DAY_MS;
    let mut recent: Vec<usize> = (0..facts.networks.len()).filter(is_own).collect();
    recent.retain(|index| facts.networks[*index].last_ms >= since_ms || change.network == Some(*index));
    recent.sort_by_key(|index| {
        (
            std::cmp::Reverse(facts.networks[*index].last_ms),
            facts.networks[*index].name.clone(),
        )
    });
    recent.truncate(settings.window.link_networks_max);
    recent
}

fn device_concerned(seen: &Observation<'_>, facts: &AccountFacts, change: &Change) -> Option<usize> {
    change.device.or_else(|| {
        let device = seen.event.device.as_ref().filter(|_| change.relay_facts)?;
        facts.devices.iter().position(|d| *d.id == *device.id)
    })
}

fn signature(summary: &AccountSummary) -> u64 {
    let counts = [
        summary.days_on_entity,
        summary.days_located,
        summary.days_away,
        summary.rdp_relays,
    ];
    let counts: Vec<String> = counts.iter().map(ToString::to_string).collect();
    let many = u16::from(summary.devices > 1) + summary.devices / 4;
    let lists = [
        counts.join(","),
        summary.remote_tools.join(","),
        summary.vpn_brands.join(","),
        summary.kvm.join(","),
    ];
    hash(&lists) ^ u64::from(many)
}

/// What the account's window knows, whatever the thing.
fn summary(seen: &Observation<'_>, facts: &AccountFacts, settings: &DetectionSettings) -> AccountSummary {
    let (days_located, days_away) = claimed_location::ledger(facts, day_of(seen.order_ms), &settings.claim);
    let found = indicators::of(facts, seen.claim, seen.order_ms, &settings.relay);
    let labels = |wanted: fn(Class) -> bool| {
        let mut labels: Vec<String> = found
            .iter()
            .filter(|i| wanted(i.class))
            .map(|i| i.label.clone())
            .collect();
        labels.sort_unstable();
        labels.dedup();
        labels
    };
    let mut vpn_brands: Vec<String> = facts
        .tools
        .iter()
        .filter(|t| t.kind == ToolKind::VpnClient)
        .map(|t| t.name.to_string())
        .collect();
    vpn_brands.sort_unstable();
    vpn_brands.dedup();
    let relays = found.iter().filter(|i| i.class == Class::RelayInProgress).count();
    let devices = facts.devices.iter().filter(|d| !d.fingerprint).count();
    AccountSummary {
        days_on_entity: 0,
        days_located,
        days_away,
        claim_gap_km: 0,
        remote_tools: labels(|class| class == Class::RemoteTool),
        vpn_brands,
        kvm: labels(Class::is_kvm),
        rdp_relays: u16::try_from(relays).unwrap_or(u16::MAX),
        devices: u16::try_from(devices).unwrap_or(u16::MAX),
    }
}

fn claim(seen: &Observation<'_>, device: Option<&str>) -> LinkClaim {
    let claim = seen.claim;
    LinkClaim {
        kind: claim.kind,
        employer: claim.employer.clone(),
        label: if claim.names_a_place() || !claim.region.is_empty() || !claim.city.is_empty() {
            claim.label()
        } else {
            String::new()
        },
        country: claim.country.clone(),
        point: claim.point.map(|p| (p.point.latitude, p.point.longitude, p.radius_km)),
        owns_device: device.is_some_and(|id| claim.devices.iter().any(|owned| owned.eq_ignore_ascii_case(id))),
        hire_day: claim.hire_day,
    }
}

fn place(place: &Place) -> LinkPlace {
    LinkPlace {
        label: place.label(),
        city: place.city.clone(),
        region: place.region.clone(),
        country: place.country.clone(),
        latitude: place.point.latitude,
        longitude: place.point.longitude,
        radius_km: place.radius_km,
    }
}

fn network_link(
    seen: &Observation<'_>,
    fact: &NetworkFact,
    base: &AccountSummary,
    settings: &DetectionSettings,
) -> Link {
    let gap_km = fact.place.as_ref().map_or(0.0, |place| {
        claimed_location::gap_between_km(place, seen.claim, &settings.claim)
    });
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most half the Earth's circumference"
    )]
    let claim_gap_km = gap_km.max(0.0) as u32;
    let device = Some(&*fact.device).filter(|d| !d.is_empty());
    Link {
        entity_kind: EntityKind::Network,
        entity: fact.name.to_string(),
        account: seen.event.account.as_str().to_owned(),
        first_ms: fact.first_ms,
        time_ms: fact.last_ms,
        event_id: fact.event_id.to_string(),
        product: fact.product.to_string(),
        address: Some(fact.address.to_string()),
        device: device.map(ToOwned::to_owned),
        fingerprint: false,
        claim: claim(seen, device),
        place: fact.place.as_deref().map(place),
        network_class: fact.network.class,
        network_label: fact.network.label.clone(),
        asn: fact.network.asn,
        organization: fact.network.organization.clone(),
        account_facts: AccountSummary {
            days_on_entity: fact.days.count(),
            claim_gap_km,
            ..base.clone()
        },
        data_versions: seen.data_versions.to_owned(),
        clock_ms: 0,
        offer: None,
    }
}

fn device_link(seen: &Observation<'_>, facts: &AccountFacts, index: usize, base: &AccountSummary) -> Link {
    let fact = &facts.devices[index];
    let event = &seen.event;
    Link {
        entity_kind: EntityKind::Device,
        entity: fact.id.to_string(),
        account: event.account.as_str().to_owned(),
        first_ms: fact.first_ms,
        time_ms: fact.last_ms,
        event_id: event.id.to_string(),
        product: event.product.to_string(),
        address: event.source_ip.map(|ip| ip.to_string()),
        device: Some(fact.id.to_string()),
        fingerprint: fact.fingerprint,
        claim: claim(seen, Some(&fact.id)),
        place: seen.place.map(|p| place(p)),
        network_class: seen.network.class,
        network_label: seen.network.label.clone(),
        asn: seen.network.asn,
        organization: seen.network.organization.clone(),
        account_facts: AccountSummary {
            days_on_entity: fact.days.count(),
            ..base.clone()
        },
        data_versions: seen.data_versions.to_owned(),
        clock_ms: 0,
        offer: None,
    }
}
