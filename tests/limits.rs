//! Memory is bounded by configuration, whatever an attacker sends: hostile streams against every named limit.

use std::collections::BTreeSet;
use std::sync::Arc;

use falsefront::alert::ocsf::EVIDENCE_MAX;
use falsefront::intake::Format;
use falsefront::model::codec::Writer;
use falsefront::model::event_id::EventId;
use falsefront::model::link::{Latest, PackedLatest};
use falsefront::model::{Detection, EntityKind, Finding, Link, Severity, Strength};
use falsefront::pipeline::intake::{Intake, RawRecord};
use falsefront::pipeline::settings::{DetectionSettings, IntakeSettings};
use falsefront::pipeline::unpacked::Unpacked;
use falsefront::pipeline::{Counts, Fold};
use falsefront::service::reference::ReferenceBytes;
use falsefront::window::account::{AccountFacts, ClaimDistance};
use falsefront::window::entity::{COMPANIONS_MAX, EntityFacts};
use falsefront::window::intern::Interner;
use falsefront::window::settings::WindowSettings;
use falsefront::window::story::{OFFERS_MAX, TAKEN_OFFERS_MAX};
use serde_json::Value;

use crate::support::core::{self, Core, HASH_KEY};
use crate::support::ocsf::{MINUTE_MS, START_MS, Who, login, process, remote_desktop, tunnel, usb};

const HOSTILE: usize = 10_000;

fn failed_login(number: usize) -> Vec<u8> {
    let time_ms = START_MS + i64::try_from(number).unwrap();
    format!(
        r#"{{"class_uid":3002,"activity_id":1,"status_id":2,"time":{time_ms},"metadata":{{"uid":"f{number}"}},"user":{{"name":"name-{number}"}},"src_endpoint":{{"ip":"240.1.0.7"}}}}"#
    )
    .into_bytes()
}

/// Password spraying: names that never get in leave nothing behind, however many they are.
#[test]
fn names_that_never_sign_in_take_no_memory() {
    let reference = core::reference(ReferenceBytes::default());
    let mut core = Core::new(&Arc::default(), &reference, 1);
    for batch in 0..100 {
        let records: Vec<Vec<u8>> = (batch * 1_000..(batch + 1) * 1_000).map(failed_login).collect();
        let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        assert!(core.batch(&records).is_empty());
        core.accounts[0].log.clear();
        assert_eq!(core.accounts[0].fold.size().entries, 0);
    }
    assert_eq!(core.counts.of("observations", "no_window"), 100_000);
}

/// Two days of sign-ins by the staff, then stolen passwords of many other names: at the cap names seen on one day make
/// room for each other, and the staff's windows stay.
#[test]
fn at_the_cap_passing_names_make_room_and_known_accounts_stay() {
    const STAFF: usize = 200;
    const WINDOWS_MAX: usize = 2_560;
    let mut settings = DetectionSettings::default();
    settings.window.windows_max = WINDOWS_MAX;
    let reference = core::reference(ReferenceBytes::default());
    let mut core = Core::new(&Arc::new(settings), &reference, 1);
    let sign_in = |id: &str, account: &str, minute: usize| {
        let time_ms = START_MS + i64::try_from(minute).unwrap() * MINUTE_MS;
        let device = format!("lt-{account}");
        let who = Who {
            id,
            time_ms,
            account,
            device: &device,
        };
        login(who, "240.1.0.7")
    };
    let staff = |day: usize, core: &mut Core| {
        for number in 0..STAFF {
            let id = format!("s-{day}-{number}");
            core.batch(&[&sign_in(&id, &format!("staff-{number}@corp.example"), day * 1_440)]);
        }
    };
    staff(0, &mut core);
    staff(1, &mut core);
    assert_eq!(core.accounts[0].fold.size().entries, STAFF as u64);
    for batch in 0..20 {
        let records: Vec<Vec<u8>> = (batch * 1_000..(batch + 1) * 1_000)
            .map(|number| sign_in(&format!("p-{number}"), &format!("passing-{number}@corp.example"), 1_441))
            .collect();
        let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        core.batch(&records);
        core.accounts[0].log.clear();
        core.entities[0].log.clear();
        assert!(core.accounts[0].fold.size().entries <= WINDOWS_MAX as u64);
    }
    let given_up = core.counts.of("windows_dropped", "room_for_another");
    assert!(
        given_up > 15_000,
        "{given_up} windows given up: the stream must reach the cap"
    );
    let before = core.counts.of("observations", "folded");
    // A known account's event is a duplicate only where its window was kept.
    staff(1, &mut core);
    assert_eq!(core.counts.of("observations", "folded"), before);
    assert_eq!(core.counts.of("observations", "duplicate"), STAFF as u64);
}

/// Who makes room at the cap does not depend on what a window had in memory before a restart: a failed remote-desktop
/// logon leaves nothing that is written, so it must leave nothing that protects a window.
#[test]
fn at_the_cap_a_restored_partition_gives_up_the_same_windows() {
    let mut settings = DetectionSettings::default();
    settings.window.windows_max = 2_560;
    let settings = Arc::new(settings);
    let reference = core::reference(ReferenceBytes::default());
    let at = |prefix: &str, number: usize, minute: usize, make: fn(Who<'_>, &str) -> Vec<u8>| {
        let (id, account) = (format!("{prefix}-{number}"), format!("passing-{number}@corp.example"));
        let who = Who {
            id: &id,
            time_ms: START_MS + i64::try_from(minute).unwrap() * MINUTE_MS,
            account: &account,
            device: "lt-1",
        };
        make(who, "240.1.0.7")
    };
    let failed_logon = |who: Who<'_>, address: &str| {
        let logon = String::from_utf8(remote_desktop(who, address)).unwrap();
        assert!(logon.contains(r#""status_id":1"#));
        logon.replace(r#""status_id":1"#, r#""status_id":2"#).into_bytes()
    };
    let mut cores = [false, true].map(|is_restarted| (Core::new(&settings, &reference, 1), is_restarted));
    for (core, is_restarted) in &mut cores {
        let mut feed = |from: usize, to: usize, minute: usize| {
            let events = (from..to).flat_map(|number| {
                let logon = number
                    .is_multiple_of(2)
                    .then(|| at("r", number, minute + 1, failed_logon));
                [Some(at("l", number, minute, login)), logon]
            });
            let records: Vec<Vec<u8>> = events.flatten().collect();
            core.batch(&records.iter().map(Vec::as_slice).collect::<Vec<_>>());
        };
        feed(0, 1_500, 0);
        if *is_restarted {
            core.restart();
        }
        let mut feed = |from: usize, to: usize, minute: usize| {
            let records: Vec<Vec<u8>> = (from..to).map(|number| at("l", number, minute, login)).collect();
            core.batch(&records.iter().map(Vec::as_slice).collect::<Vec<_>>());
        };
        feed(1_500, 6_000, 2);
    }
    let [(calm, _), (restored, _)] = &cores;
    assert!(calm.counts.of("windows_dropped", "room_for_another") > 500);
    assert!(
        calm.state() == restored.state(),
        "the restored partition kept other windows"
    );
}

/// One account that changes address, device, session, tool and gadget with every event.
fn restless() -> Vec<Vec<u8>> {
    (0..HOSTILE)
        .map(|number| {
            let (id, device) = (format!("e-{number}"), format!("lt-{number}"));
            let who = Who {
                id: &id,
                time_ms: START_MS + i64::try_from(number).unwrap() * MINUTE_MS,
                account: "eve@corp.example",
                device: &device,
            };
            let address = format!("240.{}.{}.7", number % 100 + 1, number / 100 % 250);
            match number % 5 {
                0 => login(who, &address),
                1 => tunnel(who, 1, &id, &address),
                2 => remote_desktop(who, &address),
                3 => process(who, if number % 2 == 0 { "AnyDesk.exe" } else { "rustdesk" }),
                _ => usb(who, &id, &["keyboard"]),
            }
        })
        .collect()
}

#[test]
fn one_account_keeps_every_list_within_its_limit() {
    let limits = WindowSettings::default();
    let mut facts = AccountFacts::default();
    let mut interner = Interner::default();
    let reference = core::reference(ReferenceBytes::default());
    let mut intake = Intake::new(IntakeSettings::default(), HASH_KEY, reference);
    let mut counts = Counts::default();
    for records in restless().chunks(500) {
        for (offset, record) in (0..).zip(records) {
            let raw = RawRecord {
                topic: "events",
                partition: 0,
                offset,
                append_ms: i64::MAX,
                value: Some(record),
            };
            intake.record(Format::Ocsf, raw);
        }
        let taken = intake.flush();
        counts.merge(&taken.counts);
        for packed in &taken.observations {
            let unpacked = Unpacked::read(&packed.value, HASH_KEY, &mut interner).unwrap();
            for index in 0..unpacked.len() {
                let seen = unpacked.observation(index);
                facts.apply(&seen, seen.order_ms, ClaimDistance::Away, &limits, &mut interner.spots);
                for (name, found, limit) in lengths(&facts, &limits) {
                    assert!(found <= limit, "{name}: {found} kept, at most {limit}");
                }
            }
        }
    }
    assert_eq!(counts.of("events_decoded", "all"), HOSTILE as u64);
    for (name, found, limit) in lengths(&facts, &limits) {
        assert_eq!(
            found, limit,
            "{name}: the stream must reach the limit, or it proves nothing"
        );
    }
}

fn lengths(facts: &AccountFacts, limits: &WindowSettings) -> [(&'static str, usize, usize); 8] {
    [
        ("visits", facts.visits().len(), limits.visits_max),
        ("networks", facts.networks().len(), limits.networks_max),
        ("devices", facts.devices().len(), limits.devices_max),
        ("sessions", facts.rare().sessions.len(), limits.sessions_max),
        ("tools", facts.rare().tools.len(), limits.sightings_max),
        ("peripherals", facts.rare().peripherals.len(), limits.sightings_max),
        ("rdp_logons", facts.rare().rdp_logons.len(), limits.rdp_logons_max),
        ("event_ids", facts.event_ids(), limits.event_ids_max),
    ]
}

/// The same stream through the whole core: a bounded state, bounded alerts, bounded links.
#[test]
fn one_account_is_one_window_of_bounded_size() {
    let reference = core::reference(ReferenceBytes::default());
    let mut core = Core::new(&Arc::default(), &reference, 1);
    let mut sizes = BTreeSet::new();
    let mut records_published = 0;
    for (number, record) in restless().iter().take(3_000).enumerate() {
        for published in core.record(record) {
            let alert: Value = serde_json::from_slice(&published.value).unwrap();
            assert!(alert["evidences"].as_array().unwrap().len() <= EVIDENCE_MAX);
            records_published += 1;
        }
        if number >= 1_000 && number % 100 == 0 {
            let (_, state) = core::state_of(&core.accounts[0].fold);
            sizes.insert(state.len());
        }
    }
    assert_eq!(core.accounts[0].fold.size().entries, 1);
    for list in ["networks", "devices", "sessions", "tools", "peripherals", "logons"] {
        let reason = format!("{list}_full");
        let mut dropped = core
            .counts
            .iter()
            .filter(|((name, known), _)| *name == "facts_dropped" && **known == reason);
        assert!(dropped.any(|(_, count)| count > 500), "{reason} is not counted");
    }
    let (least, most) = (*sizes.first().unwrap(), *sizes.last().unwrap());
    assert!(most - least < most / 5, "the window grew from {least} to {most} bytes");
    // Travel, relay and their signals, each at most `published_max` records a day or a fortnight.
    assert!(
        records_published <= 32 * 6,
        "{records_published} records from one account in two days"
    );
}

fn link(account: usize, number: usize) -> Link<'static> {
    let mut latest = Writer::default();
    Latest {
        account: &format!("account-{account:05}@corp.example"),
        device: &format!("lt-{number}"),
        address: Some("240.42.0.7".parse().unwrap()),
        event_id: EventId::new(&format!("e-{number}")),
        product: "Test",
        ..Latest::default()
    }
    .write(&mut latest);
    Link {
        entity_kind: EntityKind::Network,
        entity: "240.42.0.7",
        first_ms: START_MS,
        time_ms: START_MS + i64::try_from(number).unwrap(),
        clock_ms: START_MS + i64::try_from(number).unwrap(),
        data_versions: "",
        latest: PackedLatest::new(latest.into_bytes().leak()).unwrap(),
        offer: None,
    }
}

fn finding() -> Finding {
    Finding {
        detection: Detection::ClaimedLocation,
        strength: Strength::Alert,
        severity: Severity::Medium,
        confidence: 50,
        subject: String::new(),
        accounts: Vec::new(),
        message: String::new(),
        first_ms: START_MS,
        last_ms: START_MS,
        evidence: Vec::new(),
        measures: Vec::new(),
        guards: Vec::new(),
        data_versions: String::new(),
        degraded: false,
    }
}

#[test]
fn one_network_keeps_every_list_within_its_limit() {
    let limits = WindowSettings::default();
    let mut facts = EntityFacts::default();
    let mut scratch = Writer::default();
    let finding = finding();
    for number in 0..HOSTILE {
        let stranger = link(number, number);
        facts.apply(&stranger, stranger.clock_ms, &limits, &mut scratch);
        // The first account comes back with another device each time.
        let again = link(0, number);
        facts.apply(&again, again.clock_ms, &limits, &mut scratch);
        let story = facts.story_mut();
        story.withhold(number as u128 + 10, stranger.time_ms, 1, &finding);
        story.take_offer((number as u128 + 10) << 3, Severity::Medium, std::iter::empty());
        assert!(story.withheld.len() <= OFFERS_MAX && story.taken_offers.len() <= TAKEN_OFFERS_MAX);
        assert!(facts.tie_count() <= limits.ties_max);
        let mut ties = facts.ties_since(i64::MIN);
        assert!(ties.all(|tie| (1..=COMPANIONS_MAX).contains(&tie.companions.len())));
    }
    assert_eq!(facts.ties_since(i64::MIN).count(), limits.ties_max);
    assert_eq!(
        facts.story().overflow,
        (HOSTILE - limits.ties_max) as u64,
        "the others are counted"
    );
}
