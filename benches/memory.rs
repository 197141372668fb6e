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
const ACCOUNTS: u64 = 1_000;
const DAY_MS: u64 = 86_400_000;

fn main() {
    let bytes = ReferenceBytes {
        geoip: demo_databases().unwrap(),
        ..ReferenceBytes::default()
    };
    let reference = Arc::new(load_bytes(&bytes).unwrap().0);
    println!("{:<44} {:>10} {:>10}", "bytes an account", "ours", "goal");
    for (what, days, events, goal) in [
        ("seen once", 1, ACCOUNTS, 128),
        ("a week, 3 a day", 7, ACCOUNTS * 7 * 3, 512),
        ("a month, 3 a day", 28, ACCOUNTS * 28 * 3, 512),
    ] {
        let step_ms = (days * DAY_MS / events).cast_signed();
        let records = sign_ins(Format::Ocsf, events, ACCOUNTS, Spread::Uniform, step_ms, SEED);
        let packed = pack(&reference, &records);
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
    let records = |seed| sign_ins(Format::Ocsf, 50_000, ACCOUNTS, Spread::Uniform, 1, seed);
    let mut accounts = Accounts::new(Arc::default(), HASH_KEY);
    fold(&mut accounts, &pack(&reference, &records(SEED)));
    let warm = records(SEED + 1);
    let mut packed = Vec::new();
    let packing = measure(|| packed = pack(&reference, &warm));
    let folding = measure(|| fold(&mut accounts, &packed));
    println!("\n{:<44} {:>10} {:>10}", "allocations an event, warm", "ours", "goal");
    for (what, counted) in [("intake", packing), ("accounts", folding)] {
        println!(
            "{what:<44} {:>10.2} {:>10}",
            counted.count_total as f64 / warm.len() as f64,
            0
        );
    }
}

fn pack(reference: &Arc<Reference>, records: &Records) -> Vec<PackedRecord> {
    let settings = IntakeSettings {
        partitions: 1,
        ..IntakeSettings::default()
    };
    let mut intake = Intake::new(settings, HASH_KEY, Arc::clone(reference));
    for (offset, record) in (0_i64..).zip(records.iter()) {
        let record = RawRecord {
            topic: "bench",
            partition: 0,
            offset,
            append_ms: START_MS + offset * records.step_ms,
            value: Some(record),
        };
        intake.record(Format::Ocsf, record);
    }
    intake.flush().observations
}

fn fold(accounts: &mut Accounts, packed: &[PackedRecord]) {
    let mut outputs = Outputs::default();
    for (offset, record) in (0..).zip(packed) {
        let position = Position {
            offset,
            append_ms: START_MS,
        };
        black_box(accounts.fold(position, &record.value, &mut outputs)).unwrap();
        outputs.links.clear();
        outputs.alerts.clear();
    }
}
