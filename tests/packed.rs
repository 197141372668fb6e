//! Packed records: what was packed comes back, and of a record that is damaged what stands ahead of the damage.

use std::sync::Arc;

use falsefront::enrich::Reference;
use falsefront::enrich::demo_table::{DemoUse, demo_cities};
use falsefront::intake::Format;
use falsefront::model::Claim;
use falsefront::model::codec::Writer;
use falsefront::pipeline::accounts::Accounts;
use falsefront::pipeline::intake::{Intake, RawRecord};
use falsefront::pipeline::settings::IntakeSettings;
use falsefront::pipeline::unpacked::Unpacked;
use falsefront::pipeline::{Apart, Fold as _, Outputs, Position};
use falsefront::service::reference::ReferenceBytes;
use falsefront::window::intern::Interner;
use proptest::prelude::*;

use crate::properties::{acts, check, damage, damaged, in_order, reference, settings};
use crate::support::core::{self, HASH_KEY};
use crate::support::ocsf::{HOUR_MS, START_MS};

fn packed(records: &[Vec<u8>]) -> Vec<u8> {
    packed_by(reference(), records)
}

fn packed_by(reference: Arc<Reference>, records: &[Vec<u8>]) -> Vec<u8> {
    let settings = IntakeSettings {
        partitions: 1,
        ..IntakeSettings::default()
    };
    let mut intake = Intake::new(settings, HASH_KEY, reference);
    for (offset, record) in (0..).zip(records) {
        let raw = RawRecord {
            topic: "events",
            partition: 0,
            offset,
            append_ms: START_MS + 1_000 * HOUR_MS,
            value: Some(record),
        };
        intake.record(Format::Auto, raw);
    }
    let mut packed = intake.flush().observations;
    assert_eq!(packed.len(), 1);
    packed.remove(0).value
}

#[test]
fn packed_observations_come_back() {
    let reference = reference();
    check("packed_observations_come_back", 32, &acts(40), |acts| {
        let records = in_order(&acts);
        let packed = packed(&records);
        let mut interner = Interner::default();
        let unpacked = Unpacked::read(&packed, HASH_KEY, &mut interner).unwrap();
        prop_assert_eq!(unpacked.len(), records.len());
        for (index, record) in records.iter().enumerate() {
            let seen = unpacked.observation(index);
            falsefront::intake::decode(Format::Auto, record, &mut |_, event| {
                let mut event = event.unwrap();
                // Aliases have done their work once the account is resolved.
                event.account_aliases.clear();
                assert_eq!(*seen.event, event);
            })
            .unwrap();
            prop_assert_eq!(seen.key, HASH_KEY.account(seen.event.account.as_str()));
            let listed = reference.resolve([seen.event.account.as_str()].into_iter());
            let claim = listed.map_or_else(Claim::default, |listed| listed.claim().clone());
            prop_assert_eq!(seen.claim, claim.borrowed());
        }
        // Taken a few at a time they are the same.
        let mut few = Unpacked::open(&packed, HASH_KEY).unwrap();
        let mut next = 0;
        loop {
            let group = few.advance(7, &mut interner).unwrap();
            prop_assert_eq!(group.start, next);
            prop_assert_eq!(group.len(), 7.min(records.len() - next));
            next = group.end;
            for index in group.clone() {
                let (ours, all) = (few.observation(index), unpacked.observation(index));
                prop_assert_eq!(format!("{ours:?}"), format!("{all:?}"));
            }
            if group.is_empty() {
                return Ok(());
            }
        }
    });
}

#[test]
fn what_an_account_has_of_its_own_takes_room_once_if_it_is_much() {
    let devices: Vec<String> = (0..60).map(|number| format!("kiosk-{number:06}")).collect();
    let (long, devices) = ("n".repeat(80), devices.join(";"));
    let roster = format!(
        "account,aliases,country,city,devices\n{long}@corp.example,{long},US,Austin,{devices}\n\
         b@corp.example,,US,Austin,lt-1\n"
    );
    let reference = core::reference(ReferenceBytes {
        roster: vec![("roster.csv".to_owned(), roster.into())],
        ..ReferenceBytes::default()
    });
    let sign_in = |number: i64| {
        let name = if number % 2 == 0 {
            long.as_str()
        } else {
            "b@corp.example"
        };
        format!(
            r#"{{"class_uid":3002,"activity_id":1,"status_id":1,"time":{},"user":{{"name":"{name}"}},"metadata":{{"uid":"{number}"}},"src_endpoint":{{"ip":"245.1.0.7"}}}}"#,
            START_MS + number
        )
    };
    let records: Vec<Vec<u8>> = (0..400).map(|number| sign_in(number).into_bytes()).collect();
    let packed = packed_by(Arc::clone(&reference), &records);
    assert!(packed.len() < 400 * 100, "{} bytes", packed.len());
    let mut interner = Interner::default();
    let unpacked = Unpacked::read(&packed, HASH_KEY, &mut interner).unwrap();
    for index in 0..unpacked.len() {
        let seen = unpacked.observation(index);
        let account = if index % 2 == 0 {
            format!("{long}@corp.example")
        } else {
            "b@corp.example".to_owned()
        };
        assert_eq!(seen.event.account.as_str(), account);
        let listed = reference.resolve([account.as_str()].into_iter()).unwrap();
        assert_eq!(seen.claim, listed.claim().borrowed());
        assert_eq!(seen.claim.devices.iter().count(), if index % 2 == 0 { 60 } else { 1 });
    }
}

/// Logins of those accounts, packed, and the names that come back.
fn names_back(names: &[String]) -> Vec<String> {
    let sign_in = |(number, name): (i64, &String)| {
        format!(
            r#"{{"class_uid":3002,"activity_id":1,"status_id":1,"time":{},"user":{{"name":"{name}"}}}}"#,
            START_MS + number
        )
    };
    let records: Vec<Vec<u8>> = (0..).zip(names).map(|named| sign_in(named).into_bytes()).collect();
    let packed = packed(&records);
    let mut interner = Interner::default();
    let unpacked = Unpacked::read(&packed, HASH_KEY, &mut interner).unwrap();
    let names = (0..unpacked.len()).map(|index| unpacked.observation(index).event.account.as_str().to_owned());
    names.collect()
}

#[test]
fn domains_come_back_however_they_alternate() {
    let of_many = (0..600).map(|number| format!("p{number}@d{}.example", number % 300));
    let odd = [
        "nobody",
        "@corp.example",
        "a@b@corp.example",
        "b@corp.example",
        "local@",
        "another",
        "c@corp.example",
    ];
    let odd = odd.into_iter().cycle().take(50).map(str::to_owned);
    let names: Vec<String> = odd.chain(of_many).collect();
    let expected: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    assert_eq!(names_back(&names), expected);
}

#[test]
fn a_name_is_as_long_as_one_can_be_and_no_longer() {
    // In lower case these two bytes are three.
    let long = "\u{23a}".repeat(160);
    assert_eq!(names_back(std::slice::from_ref(&long)), [long.to_lowercase()]);
    let name = |length: usize| format!("a@{}", "d".repeat(length));
    let forged = |length: usize| {
        let record = packed(&[format!(
            r#"{{"class_uid":3002,"activity_id":1,"status_id":1,"time":{START_MS},"user":{{"name":"{}"}}}}"#,
            name(200)
        )
        .into_bytes()]);
        // The length of the domain stands before the texts, which end the record: both grow.
        let (from, to) = (varint(201), varint(length as u64));
        let at = record.windows(from.len()).rposition(|bytes| bytes == from).unwrap();
        let texts = u32::from_le_bytes(record[13..17].try_into().unwrap()) + u32::try_from(length).unwrap() - 201;
        let mut bytes = [
            &record[..at],
            &to,
            &record[at + from.len()..],
            "d".repeat(length - 201).as_bytes(),
        ]
        .concat();
        bytes[13..17].copy_from_slice(&texts.to_le_bytes());
        Unpacked::read(&bytes, HASH_KEY, &mut Interner::default()).map(|unpacked| unpacked.len())
    };
    assert_eq!(forged(600).unwrap(), 1);
    assert!(
        forged(700)
            .unwrap_err()
            .to_string()
            .contains("the length of an account's name")
    );
}

fn varint(value: u64) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.uint(value);
    writer.into_bytes()
}

#[test]
fn a_record_damaged_within_is_folded_up_to_there_alike_in_a_restore() {
    let strategy = (acts(120), damage(), prop::collection::vec(any::<bool>(), 256));
    check(
        "a_record_damaged_within_is_folded_up_to_there_alike_in_a_restore",
        48,
        &strategy,
        |(acts, damage, takes_part)| {
            let records = in_order(&acts);
            let bytes = damaged(packed(&records), &damage);
            let (mut once, mut again) = (Interner::default(), Interner::default());
            let refused = Unpacked::read(&bytes, HASH_KEY, &mut once).is_err();
            // How many observations stand ahead of the fault does not depend on how many are taken at a time.
            let counts = [1, 32].map(|count_max| {
                let mut unpacked = Unpacked::open(&bytes, HASH_KEY).ok()?;
                let mut read = 0;
                while let Ok(group) = unpacked.advance(count_max, &mut again) {
                    if group.is_empty() {
                        return Some((read, true));
                    }
                    read = group.end;
                }
                assert!(
                    unpacked.advance(count_max, &mut again).is_err(),
                    "read on behind a fault"
                );
                Some((read, false))
            });
            prop_assert_eq!(counts[0], counts[1]);
            prop_assert_eq!(!refused, counts[0].is_some_and(|(_, is_whole)| is_whole));
            let at = Position {
                offset: 7,
                append_ms: START_MS,
            };
            let mut folded = Accounts::new(settings(), HASH_KEY);
            prop_assert_eq!(folded.fold(at, &bytes, &mut Outputs::default()).is_err(), refused);
            // Chunks from a checkpoint behind the record, and the others from the log.
            let mut restored = Accounts::new(settings(), HASH_KEY);
            let resume: Vec<i64> = takes_part
                .iter()
                .map(|takes_part| if *takes_part { 0 } else { 8 })
                .collect();
            for chunk in (0..folded.chunk_count()).filter(|chunk| !takes_part[usize::from(*chunk)]) {
                let mut written = Vec::new();
                folded.write_chunk(chunk, &mut written);
                restored.read_chunk(chunk, &written).unwrap();
            }
            prop_assert_eq!(restored.refold(at, &bytes, &resume).is_err(), refused);
            prop_assert_eq!(core::state_of(&restored), core::state_of(&folded));
            Ok(())
        },
    );
}

#[test]
fn a_record_of_more_or_fewer_observations_than_promised_is_refused_behind_those() {
    /// Where a record says how many there are, and how long its texts.
    const COUNT: std::ops::Range<usize> = 9..13;
    let records: Vec<Vec<u8>> = (0..40)
        .map(|number| {
            let time = START_MS + number;
            format!(r#"{{"class_uid":3002,"activity_id":1,"status_id":1,"time":{time},"user":{{"name":"a{number}"}}}}"#)
        })
        .map(String::into_bytes)
        .collect();
    let bytes = packed(&records);
    for (promised, read) in [(0_u32, 0), (31, 31), (39, 39), (41, 40), (u32::MAX, 40)] {
        let mut lie = bytes.clone();
        lie[COUNT].copy_from_slice(&promised.to_le_bytes());
        let mut interner = Interner::default();
        assert!(Unpacked::read(&lie, HASH_KEY, &mut interner).is_err(), "{promised}");
        let mut unpacked = Unpacked::open(&lie, HASH_KEY).unwrap();
        let mut last = 0;
        while let Ok(group) = unpacked.advance(32, &mut interner) {
            last = group.end;
        }
        assert_eq!(last, read, "{promised}");
        let mut accounts = Accounts::new(settings(), HASH_KEY);
        let positions = vec![
            Position {
                offset: 1,
                append_ms: START_MS
            };
            read.max(39)
        ];
        let apart = Apart {
            positions: &positions,
            earlier: 0,
        };
        assert!(
            accounts.fold_apart(apart, &lie, &mut Outputs::default()).is_err(),
            "{promised}"
        );
    }
}

#[test]
fn a_place_or_a_network_that_is_none_is_a_fault_of_whom_it_is_of() {
    // Each from a city and a carrier of its own where there are as many.
    let cities: Vec<_> = demo_cities().iter().step_by(2).take(40).collect();
    let records: Vec<Vec<u8>> = (0..)
        .zip(&cities)
        .map(|(number, city)| {
            let (time, ip) = (START_MS + number, city.address(DemoUse::Residential, 0));
            format!(
                r#"{{"class_uid":3002,"activity_id":1,"status_id":1,"time":{time},"user":{{"name":"a{number}"}},"src_endpoint":{{"ip":"{ip}"}}}}"#
            )
        })
        .map(String::into_bytes)
        .collect();
    let bytes = packed(&records);
    let behind = |text: &str| {
        let found = bytes.windows(text.len()).position(|window| window == text.as_bytes());
        found.unwrap_or_else(|| panic!("{text} is written")) + text.len()
    };
    // A latitude that is no number.
    let place = |of: usize| (behind(cities[of].name), [0xff; 8].as_slice(), of);
    let carriers: Vec<&str> = cities
        .iter()
        .filter_map(|city| Some(city.blocks_for(DemoUse::Residential).next()?.organization))
        .collect();
    // An organization that is no text; the first city with it is whom it is of.
    let network = |at_least: usize| {
        let is_first = |of: &usize| *of >= at_least && !carriers[..*of].contains(&carriers[*of]);
        let of = (0..carriers.len()).find(is_first).expect("a later carrier");
        (behind(carriers[of]) - 1, [0xff].as_slice(), of)
    };
    let cases = [
        vec![place(0)],
        vec![place(37)],
        vec![network(1)],
        vec![place(9), place(20)],
        vec![place(39), network(1)],
        vec![place(1), network(2)],
    ];
    for faults in cases {
        let mut damaged = bytes.clone();
        for (at, with, _) in &faults {
            damaged[*at..at + with.len()].copy_from_slice(with);
        }
        let first = faults.iter().map(|(_, _, of)| *of).min().unwrap();
        for count_max in [1, 2, 32, usize::MAX] {
            let mut interner = Interner::default();
            let mut unpacked = Unpacked::open(&damaged, HASH_KEY).unwrap();
            let mut read = 0;
            let fault = loop {
                match unpacked.advance(count_max, &mut interner) {
                    Ok(group) => {
                        assert!(!group.is_empty(), "a fault is not read over");
                        for index in group.clone() {
                            let seen = unpacked.observation(index);
                            assert_eq!(seen.place.map(|place| place.city.as_str()), Some(cities[index].name));
                            assert_eq!(seen.network.organization, carriers[index]);
                        }
                        read = group.end;
                    }
                    Err(fault) => break fault,
                }
            };
            assert_eq!(read, first, "{count_max} at a time: {fault}");
        }
    }
}
