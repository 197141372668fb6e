//! Looking up an address: nanoseconds per lookup in the flat table, and the ratio to its floor, one read of an
//! array of the same size.
//!
//! Measures the databases named in `FALSEFRONT_GEOIP` (separated by `:`), else the demo's.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "a bench reads the clock and is run by its authors"
)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use falsefront::enrich::Reference;
use falsefront::generate::random::Random;
use falsefront::service::demo_geoip::demo_databases;
use falsefront::service::reference::{ReferenceBytes, ReferenceFiles, load, load_bytes};

const LOOKUPS: usize = 4_000_000;
const ROUNDS: usize = 5;

fn main() {
    let started = Instant::now();
    let reference = loaded();
    let load_time = started.elapsed();
    let summary = reference.summary();
    println!("{}", reference.versions());
    println!(
        "loaded in {:.2} s: {} places, {} networks, {} + {} ranges, {:.1} MiB, resident {:.1} MiB",
        load_time.as_secs_f64(),
        summary.places,
        summary.networks,
        summary.ranges_v4,
        summary.ranges_v6,
        mebibytes(summary.bytes),
        mebibytes(resident_bytes()),
    );
    let mut random = Random::of(7, &[]);
    let v4: Vec<IpAddr> = (0..LOOKUPS).map(|_| public_v4(&mut random).into()).collect();
    let v6: Vec<IpAddr> = (0..LOOKUPS).map(|_| public_v6(&mut random).into()).collect();
    let repeated: Vec<IpAddr> = (0..LOOKUPS).map(|_| v4[random.index(100_000)]).collect();
    let floor = floor_ns(usize::try_from(summary.ranges_v4).unwrap().max(1), &mut random);
    println!(
        "floor: {floor:.1} ns, one read at random of {} ranges",
        summary.ranges_v4
    );
    for (name, ips) in [
        ("IPv4, uniform", &v4),
        ("IPv4, 100 000 addresses", &repeated),
        ("IPv6, uniform in 2000::/4", &v6),
    ] {
        let (ns, known) = lookup_ns(&reference, ips);
        println!("{name}: {ns:.1} ns, {:.1} x floor, {known:.0} % placed", ns / floor);
    }
}

fn loaded() -> Reference {
    let Ok(paths) = std::env::var("FALSEFRONT_GEOIP") else {
        let geoip = demo_databases().unwrap();
        return load_bytes(&ReferenceBytes {
            geoip,
            ..ReferenceBytes::default()
        })
        .unwrap()
        .0;
    };
    let geoip = paths.split(':').map(PathBuf::from).collect();
    load(&ReferenceFiles {
        geoip,
        ..ReferenceFiles::default()
    })
    .unwrap()
    .0
}

fn lookup_ns(reference: &Reference, ips: &[IpAddr]) -> (f64, f64) {
    let mut placed = 0_usize;
    let time = fastest(|| {
        placed = ips
            .iter()
            .filter(|ip| black_box(reference.locate(**ip)).place.is_some())
            .count();
    });
    let count = ips.len() as f64;
    (time.as_nanos() as f64 / count, placed as f64 * 100.0 / count)
}

fn floor_ns(length: usize, random: &mut Random) -> f64 {
    let table: Vec<u64> = (0..length as u64).collect();
    let indices: Vec<usize> = (0..LOOKUPS).map(|_| random.index(length)).collect();
    let time = fastest(|| {
        black_box(indices.iter().fold(0_u64, |sum, index| sum.wrapping_add(table[*index])));
    });
    time.as_nanos() as f64 / LOOKUPS as f64
}

fn fastest(mut run: impl FnMut()) -> Duration {
    let rounds = (0..ROUNDS).map(|_| {
        let started = Instant::now();
        run();
        started.elapsed()
    });
    rounds.min().unwrap_or_default()
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Resident memory of this process; 0 where Linux's /proc is missing.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

/// 1.0.0.0 to 223.255.255.255.
fn public_v4(random: &mut Random) -> Ipv4Addr {
    Ipv4Addr::from_bits(random.below(223 << 24) + (1 << 24))
}

fn public_v6(random: &mut Random) -> Ipv6Addr {
    let bits = u128::from(random.bits()) << 64 | u128::from(random.bits());
    Ipv6Addr::from_bits(bits >> 4 | 2 << 124)
}
