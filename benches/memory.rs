//! Bytes of an account and allocations of an event, as a counting allocator sees them. Apart from `core`, because
//! counting takes time.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    dead_code,
    reason = "a bench is run by its authors, and uses a part of what the benches share"
)]

#[path = "core/traffic.rs"]
mod traffic;

use std::hint::black_box;
use std::sync::Arc;

use allocation_counter::measure;
use falsefront::enrich::Reference;
use falsefront::intake::Format;
use falsefront::model::key::HashKey;
use falsefront::pipeline::accounts::Accounts;
use falsefront::pipeline::intake::{Intake, PackedRecord, RawRecord};
use falsefront::pipeline::settings::IntakeSettings;
use falsefront::pipeline::{Fold as _, Outputs, Position};
use falsefront::service::demo_geoip::demo_databases;
use falsefront::service::reference::{ReferenceBytes, load_bytes};

use traffic::{Records, START_MS, Spread, sign_ins};

const SEED: u64 = 7;
const HASH_KEY: HashKey = HashKey([7; 16]);
const ACCOUNTS: u64 = 5_000;
const DAY_MS: u64 = 86_400_000;
/// Time that a packed record holds at most: a service commits far more often, and a shorter one changes nothing here.
const FLUSHED_EVERY_MS: i64 = 600_000;

fn main() {
    let bytes = ReferenceBytes {
        geoip: demo_databases().unwrap(),
        ..ReferenceBytes::default()
    };
    let reference = Arc::new(load_bytes(&bytes).unwrap().0);
    println!("{:<44} {:>10} {:>10}", "bytes an account", "ours", "goal");
    use Format::{GoogleWorkspace, Ocsf};
    for (what, format, days, events, goal) in [
        ("seen once or twice", Ocsf, 1, ACCOUNTS, 512),
        ("a week, 3 a day", Ocsf, 7, ACCOUNTS * 7 * 3, 512),
        ("a month, 3 a day", Ocsf, 28, ACCOUNTS * 28 * 3, 512),
        (
            "a month, 3 a day, long ids of events",
            GoogleWorkspace,
            28,
            ACCOUNTS * 28 * 3,
            512,
        ),
        ("a month, 15 a day", Ocsf, 28, ACCOUNTS * 28 * 15, 1_024),
    ] {
        let step_ms = (days * DAY_MS / events).cast_signed();
        let records = sign_ins(format, events, ACCOUNTS, Spread::Uniform, step_ms, SEED);
        let packed = pack(&reference, format, &records);
        let mut filled = None;
        let kept = measure(|| {
            let mut accounts = Accounts::new(Arc::default(), HASH_KEY);
            fold(&mut accounts, &packed);
            filled = Some(accounts);
        });
        let accounts = filled.map_or(1, |accounts| accounts.size().entries.max(1));
        println!(
            "{what:<44} {:>10} {goal:>10}",
            kept.bytes_current.max(0) as u64 / accounts
        );
    }
    warm(&reference);
}

/// Two weeks of 15 sign-ins a day; the second is counted.
fn warm(reference: &Arc<Reference>) {
    const DAYS: u64 = 14;
    const EVENTS: u64 = ACCOUNTS * DAYS * 15;
    let step_ms = (DAYS * DAY_MS / EVENTS).cast_signed();
    let records = sign_ins(Format::Ocsf, EVENTS, ACCOUNTS, Spread::Uniform, step_ms, SEED);
    let mut packed = Vec::new();
    let packing = measure(|| packed = pack(reference, Format::Ocsf, &records));
    let mut accounts = Accounts::new(Arc::default(), HASH_KEY);
    let (before, after) = packed.split_at(packed.len() / 2);
    fold(&mut accounts, before);
    let mut links = 0;
    let folding = measure(|| links = fold(&mut accounts, after));
    let folded: u32 = after.iter().map(|record| record.count).sum();
    println!("\n{:<44} {:>10} {:>10}", "an event, warm", "ours", "goal");
    for (what, count, events, goal) in [
        ("allocations, intake", packing.count_total, EVENTS, "0"),
        ("allocations, accounts", folding.count_total, folded.into(), "0"),
        ("links", links, folded.into(), "-"),
    ] {
        println!("{what:<44} {:>10.2} {goal:>10}", count as f64 / events as f64);
    }
}

fn pack(reference: &Arc<Reference>, format: Format, records: &Records) -> Vec<PackedRecord> {
    let settings = IntakeSettings {
        partitions: 1,
        ..IntakeSettings::default()
    };
    let mut intake = Intake::new(settings, HASH_KEY, Arc::clone(reference));
    let mut packed = Vec::new();
    // The clock of the fold moves by the packed record.
    let every = (FLUSHED_EVERY_MS / records.step_ms.max(1)).max(1).unsigned_abs();
    for (offset, record) in (0_i64..).zip(records.iter()) {
        let record = RawRecord {
            topic: "bench",
            partition: 0,
            offset,
            append_ms: records.start_ms + offset * records.step_ms,
            value: Some(record),
        };
        intake.record(format, record);
        if (offset + 1).unsigned_abs().is_multiple_of(every) {
            packed.append(&mut intake.flush().observations);
        }
    }
    packed.append(&mut intake.flush().observations);
    packed
}

/// Folds records and gives the number of links they made.
fn fold(accounts: &mut Accounts, packed: &[PackedRecord]) -> u64 {
    let mut outputs = Outputs::default();
    let mut links = 0;
    for (offset, record) in (0..).zip(packed) {
        let position = Position {
            offset,
            append_ms: START_MS,
        };
        black_box(accounts.fold(position, &record.value, &mut outputs)).unwrap();
        links += outputs.links.len() as u64;
        outputs.links.clear();
        outputs.alerts.clear();
    }
    links
}
