//! What the state costs: one account's fold, checkpoints.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use falsefront::detections::impossible_travel;
use falsefront::detections::settings::DetectionSettings;
use falsefront::detections::{claimed_location, remote_desktop_relay};
use falsefront::enrich::Reference;
use falsefront::generate::random::Random;
use falsefront::intake::Format;
use falsefront::pipeline::accounts::Accounts;
use falsefront::pipeline::intake::PackedRecord;
use falsefront::pipeline::unpacked::Unpacked;
use falsefront::pipeline::{Fold as _, Outputs, Position};
use falsefront::window::account::{AccountFacts, Change};
use falsefront::window::intern::Interner;

use super::traffic::{Spread, sign_ins};
use super::{Core, HASH_KEY, SEED, median_ns, pack, processor_ns, row};

/// Applying an event to one account's facts, and asking every rule about one account.
pub(crate) fn one_account(reference: &Arc<Reference>) {
    const EVENTS: u64 = 20_000;
    let settings = DetectionSettings::default();
    let packed = pack(
        reference,
        &sign_ins(Format::Ocsf, EVENTS, 1, Spread::Uniform, 7_200_000 / 100, SEED),
    );
    let mut interner = Interner::default();
    let read: Vec<Unpacked<'_>> = packed
        .iter()
        .map(|record| Unpacked::read(&record.value, HASH_KEY, &mut interner).unwrap())
        .collect();
    let seen: Vec<_> = read
        .iter()
        .flat_map(|record| (0..record.len()).map(|index| record.observation(index)))
        .collect();
    // The least that a fold does is to write the time into a ring.
    let mut ring = [0_i64; 32];
    let least = median_ns(
        seen.len(),
        || (),
        |()| {
            for (index, seen) in seen.iter().enumerate() {
                ring[index % 32] = black_box(seen.order_ms);
            }
        },
    );
    let apply = median_ns(seen.len(), AccountFacts::default, |mut facts| {
        for seen in &seen {
            let distance = claimed_location::compare(seen, &settings.claim);
            black_box(facts.apply(seen, seen.order_ms, distance, &settings.window, &mut interner.spots));
        }
    });
    row("fold of one account", apply, least);
    let mut facts = AccountFacts::default();
    let mut change = Change::default();
    for seen in &seen {
        let distance = claimed_location::compare(seen, &settings.claim);
        change = facts.apply(seen, seen.order_ms, distance, &settings.window, &mut interner.spots);
    }
    let rules = median_ns(
        seen.len(),
        || (),
        |()| {
            for seen in &seen {
                let travel = &settings.travel;
                black_box(impossible_travel::legs(
                    &change,
                    seen.claim.terms,
                    &facts,
                    &interner.spots,
                    travel,
                ));
                black_box(claimed_location::detect(
                    seen,
                    &facts,
                    &interner.spots,
                    &change,
                    &settings.claim,
                ));
                black_box(remote_desktop_relay::detect(
                    seen,
                    &facts,
                    &interner.spots,
                    &change,
                    &settings.relay,
                ));
            }
        },
    );
    row("all detections about one account", rules, least);
    many_accounts(reference);
}

/// The accounts stage over windows that no cache holds. The least is to read one word of each.
fn many_accounts(reference: &Arc<Reference>) {
    const ACCOUNTS: u64 = 300_000;
    let records = sign_ins(Format::Ocsf, ACCOUNTS * 2, ACCOUNTS, Spread::Uniform, 100, SEED);
    let packed = pack(reference, &records);
    let (before, after) = packed.split_at(packed.len() / 2);
    let mut accounts = Accounts::new(Arc::default(), HASH_KEY);
    let fold = |accounts: &mut Accounts, packed: &[PackedRecord]| {
        for (offset, record) in (0..).zip(packed) {
            let position = Position { offset, append_ms: 0 };
            let mut outputs = Outputs::default();
            accounts.fold(position, &record.value, &mut outputs).unwrap();
            black_box(outputs);
        }
    };
    fold(&mut accounts, before);
    let count: u32 = after.iter().map(|record| record.count).sum();
    let started = processor_ns();
    fold(&mut accounts, after);
    let ours = (processor_ns() - started) as f64 / f64::from(count);
    let words: Vec<u64> = vec![1; 32 << 20];
    let mut random = Random::of(SEED, &[]);
    let places: Vec<usize> = (0..count).map(|_| random.index(words.len())).collect();
    let least = median_ns(
        places.len(),
        || (),
        |()| {
            black_box(places.iter().fold(0_u64, |sum, place| sum.wrapping_add(words[*place])));
        },
    );
    row(&format!("accounts stage, {ACCOUNTS} windows"), ours, least);
}

/// Writing and restoring the state of a partition.
pub(crate) fn checkpoints(reference: &Arc<Reference>, accounts: u64) {
    let mut core = Core::new();
    core.run(
        reference,
        &sign_ins(Format::Ocsf, accounts * 4, accounts, Spread::Uniform, 1_000, SEED),
    );
    let source = core.accounts();
    let entries = source.size().entries as f64;
    let started = Instant::now();
    let chunks: Vec<Vec<u8>> = (0..source.chunk_count())
        .map(|chunk| {
            let mut bytes = Vec::new();
            source.write_chunk(chunk, &mut bytes);
            bytes
        })
        .collect();
    let written = started.elapsed().as_secs_f64();
    let total: usize = chunks.iter().map(Vec::len).sum();
    let mut restored = Accounts::new(Arc::default(), HASH_KEY);
    let started = Instant::now();
    for (chunk, bytes) in (0..).zip(&chunks) {
        restored.read_chunk(chunk, bytes).unwrap();
    }
    let read = started.elapsed().as_secs_f64();
    assert_eq!(
        restored.digest(),
        source.digest(),
        "a restored state has the digest of its source"
    );
    println!(
        "\n{:<44} {:>10} {:>14} {:>10}",
        "checkpoint", "seconds", "accounts/s", "MB/s"
    );
    for (what, seconds) in [("write", written), ("restore", read)] {
        let (rate, megabytes) = (entries / seconds, total as f64 / seconds / 1e6);
        println!(
            "{:<44} {seconds:>10.3} {rate:>14.0} {megabytes:>10.0}",
            format!("{what} {entries} accounts")
        );
    }
}
