//! What an attacker can do to the others: one account or one address with nearly all of the traffic, names that collide.
//! Each beside the same number of accounts with even traffic, in the same run.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use falsefront::enrich::Reference;
use falsefront::generate::random::Random;
use falsefront::intake::Format;
use hdrhistogram::Histogram;

use super::traffic::{Records, Spread, colliding, sign_ins, sign_ins_of};
use super::{Core, SEED, pack, processor_ns};

const ACCOUNTS: u64 = 20_000;
const EVENTS: u64 = 200_000;
/// Events before those that are measured.
const BEFORE: u64 = EVENTS / 2;
/// As [`BEFORE`], so many that each account had its alert.
const TOLD: u64 = 2 * EVENTS;
/// Events packed and folded at a time, as a small commit of the service would.
const BATCH: u64 = 500;

struct Measured {
    /// Processor time.
    ns_an_event: f64,
    /// A batch from its first byte to its last link, by the wall: what an account waits for the others beside it.
    batch_p50_us: f64,
    batch_p99_us: f64,
}

pub(crate) fn all(reference: &Arc<Reference>) {
    println!(
        "\n{:<44} {:>10} {:>10} {:>10} {:>8}",
        format!("hostile traffic, {ACCOUNTS} accounts"),
        "ns/event",
        "p50 us",
        "p99 us",
        "slower"
    );
    let spread_by = |spread: Spread, before: u64| {
        measure(reference, before, |count, seed| {
            sign_ins(Format::Ocsf, count, ACCOUNTS, spread, 1, seed)
        })
    };
    let even = spread_by(Spread::Uniform, BEFORE);
    show("even", &even, &even);
    for spread in [Spread::HotAccount, Spread::HotAddress, Spread::FarAddress] {
        show(&format!("90 % {}", spread.name()), &spread_by(spread, BEFORE), &even);
    }
    // What comes first is one alert of each account.
    let told = spread_by(Spread::FarAddress, TOLD);
    show("  once the alerts are told", &told, &spread_by(Spread::Uniform, TOLD));
    let names = colliding(ACCOUNTS as usize);
    // Names that collide are of high numbers, and these share addresses: held against others that are and do.
    let mut random = Random::of(SEED, &[]);
    let highest = names.last().copied().unwrap_or(1);
    let any: Vec<u64> = names.iter().map(|_| random.bits() % highest).collect();
    let [any, flood] =
        [any, names].map(|names| measure(reference, BEFORE, |count, seed| sign_ins_of(&names, count, seed)));
    show("even, names as long as those that collide", &any, &any);
    show("names that collide", &flood, &any);
    println!();
}

fn show(what: &str, measured: &Measured, even: &Measured) {
    println!(
        "{what:<44} {:>10.1} {:>10.0} {:>10.0} {:>7.0}%",
        measured.ns_an_event,
        measured.batch_p50_us,
        measured.batch_p99_us,
        (measured.ns_an_event / even.ns_an_event - 1.0) * 100.0
    );
}

/// After `before` events of that traffic.
fn measure(reference: &Arc<Reference>, before: u64, traffic: impl Fn(u64, u64) -> Records) -> Measured {
    let mut core = Core::new();
    core.run(
        reference,
        &sign_ins(Format::Ocsf, ACCOUNTS, ACCOUNTS, Spread::Each(0), 1, SEED),
    );
    core.run(reference, &traffic(before, SEED));
    let mut waits = Histogram::<u64>::new_with_max(60_000_000_000, 3).unwrap();
    let mut spent = 0;
    for part in 0..EVENTS / BATCH {
        let records = traffic(BATCH, SEED + 1 + part);
        let (began, before) = (Instant::now(), processor_ns());
        for record in pack(reference, &records) {
            core.fold(&record);
        }
        spent += processor_ns() - before;
        waits.saturating_record(began.elapsed().as_nanos() as u64);
    }
    black_box(&core.links);
    Measured {
        ns_an_event: spent as f64 / EVENTS as f64,
        batch_p50_us: waits.value_at_quantile(0.5) as f64 / 1e3,
        batch_p99_us: waits.value_at_quantile(0.99) as f64 / 1e3,
    }
}
