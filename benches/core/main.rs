//! The core without Kafka: one table of parts, each with its floor measured in the same run.
//!
//! `cargo bench --bench core` takes about a minute. `FALSEFRONT_BENCH_ACCOUNTS=10000000` adds a row for that many
//! accounts (each row says what one takes), `FALSEFRONT_BENCH_QUICK=1` leaves all but the small ones out, and names after
//! `--` run only those groups (see `GROUPS`).
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bench reads the clock and is run by its authors"
)]

mod floor;
mod hostile;
mod state;
mod traffic;

use std::hint::black_box;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use falsefront::enrich::Reference;
use falsefront::generate::random::Random;
use falsefront::intake::{Decoder, Format};
use falsefront::model::key::HashKey;
use falsefront::pipeline::accounts::Accounts;
use falsefront::pipeline::entities::Entities;
use falsefront::pipeline::intake::{Intake, PackedRecord, RawRecord};
use falsefront::pipeline::replay::Replay;
use falsefront::pipeline::replay_ahead::ReplayAhead;
use falsefront::pipeline::settings::{DetectionSettings, IntakeSettings};
use falsefront::pipeline::unpacked::Unpacked;
use falsefront::pipeline::{Fold as _, Outputs, Position};
use falsefront::service::demo_geoip::demo_databases;
use falsefront::service::reference::{ReferenceBytes, load_bytes};
use falsefront::window::intern::Interner;

use floor::{Floor, Scan};
use traffic::{Records, START_MS, Spread, company_log, sign_ins, sign_ins_from, world};

/// Each time is the median of so many runs.
const ROUNDS: usize = 5;
const SEED: u64 = 7;
pub(crate) const HASH_KEY: HashKey = HashKey([7; 16]);

/// Parts of the table that can be run by themselves.
const GROUPS: [&str; 9] = [
    "decode",
    "places",
    "pack",
    "account",
    "whole",
    "hostile",
    "cores",
    "file",
    "checkpoint",
];

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    falsefront::service::kafka::keep_freed_memory();
    let quick = std::env::var_os("FALSEFRONT_BENCH_QUICK").is_some();
    let reference = reference();
    println!(
        "{:<50} {:>10} {:>10} {:>7}",
        "part (ns an event, one core)", "ours", "floor", "ratio"
    );
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    if let Some(unknown) = wanted.iter().find(|wanted| !GROUPS.contains(&wanted.as_str())) {
        eprintln!("{unknown}: no group of this bench; there are {}", GROUPS.join(", "));
        return;
    }
    let is_wanted = |group: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == group);
    if is_wanted("decode") {
        decoding();
    }
    if is_wanted("places") {
        places(&reference);
    }
    if is_wanted("pack") {
        packing(&reference, Spread::Uniform);
        packing(&reference_of_world(), Spread::World);
    }
    if is_wanted("account") {
        state::one_account(&reference);
    }
    let mut sizes = vec![1_000, 100_000];
    if !quick {
        sizes.push(1_000_000);
        let more = std::env::var("FALSEFRONT_BENCH_ACCOUNTS").ok();
        sizes.extend(more.and_then(|accounts| accounts.parse::<u64>().ok()));
    }
    for accounts in sizes.iter().copied().filter(|_| is_wanted("whole")) {
        for spread in [Spread::Uniform, Spread::Zipf] {
            whole_core(&reference, accounts, spread, spread.name());
        }
    }
    if is_wanted("whole") {
        let world = reference_of_world();
        for accounts in sizes.into_iter().filter(|accounts| *accounts > 1_000) {
            whole_core(&world, accounts, Spread::World, Spread::World.name());
            whole_core(&reference_with(accounts), accounts, Spread::Uniform, "on the roster");
        }
    }
    if is_wanted("hostile") {
        hostile::all(&reference);
    }
    if is_wanted("cores") {
        all_cores(&reference);
    }
    if is_wanted("file") {
        from_file(&reference);
    }
    if is_wanted("checkpoint") {
        state::checkpoints(&reference, if quick { 10_000 } else { 200_000 });
    }
}

/// One line of the table: nanoseconds and how many floors they are.
pub(crate) fn row(part: &str, ours: f64, floor: f64) {
    println!("{part:<50} {ours:>10.1} {floor:>10.1} {:>7.2}", floor / ours);
}

/// Processor time of this thread, to the nanosecond: a shared machine takes the processor away, and a clock on the wall
/// runs on. The scheduler's own account in /proc moves by the tick, which is longer than a run.
fn processor_ns() -> u64 {
    let ran = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    ran.tv_sec.cast_unsigned() * 1_000_000_000 + ran.tv_nsec.cast_unsigned()
}

/// Nanoseconds for each of `count`, median of the rounds. `prepare` is not counted.
pub(crate) fn median_ns<T>(count: usize, prepare: impl FnMut() -> T, run: impl FnMut(T)) -> f64 {
    median(count, processor_ns, prepare, run)
}

/// As [`median_ns`] by the clock on the wall, for work of several threads.
fn median_wall_ns<T>(count: usize, prepare: impl FnMut() -> T, run: impl FnMut(T)) -> f64 {
    let origin = Instant::now();
    median(count, || origin.elapsed().as_nanos() as u64, prepare, run)
}

fn median<T>(count: usize, clock: impl Fn() -> u64, mut prepare: impl FnMut() -> T, mut run: impl FnMut(T)) -> f64 {
    let rounds = (0..ROUNDS).map(|_| {
        let input = prepare();
        let started = clock();
        run(input);
        clock() - started
    });
    let mut times: Vec<u64> = rounds.collect();
    times.sort_unstable();
    times[ROUNDS / 2] as f64 / count as f64
}

fn reference() -> Arc<Reference> {
    reference_of(demo_databases().unwrap(), Vec::new())
}

/// Of the many places of `world`.
fn reference_of_world() -> Arc<Reference> {
    reference_of(world::databases(), Vec::new())
}

/// With these accounts on the roster, as HR lists them: each with a place, an employer, a hire date and a device.
fn reference_with(accounts: u64) -> Arc<Reference> {
    let roster = vec![("roster.csv".to_owned(), traffic::roster(accounts).into_bytes())];
    reference_of(demo_databases().unwrap(), roster)
}

fn reference_of(geoip: Vec<(String, Vec<u8>)>, roster: Vec<(String, Vec<u8>)>) -> Arc<Reference> {
    let bytes = ReferenceBytes {
        geoip,
        roster,
        ..ReferenceBytes::default()
    };
    Arc::new(load_bytes(&bytes).unwrap().0)
}

fn decoding() {
    let formats = [
        Format::Ocsf,
        Format::Okta,
        Format::GoogleWorkspace,
        Format::Fortigate,
        Format::Auto,
    ];
    for format in formats {
        let records = sign_ins(format, 20_000, 1_000, Spread::Uniform, 1_000, SEED);
        let refused = decode_each(format.name(), format, &records);
        assert_eq!(refused, 0, "{}: a record was refused", format.name());
    }
    decode_each("a company's ocsf", Format::Ocsf, &company_log(50_000, 2_000, SEED));
}

/// Prints the row of some records, and says how many were refused.
fn decode_each(name: &str, format: Format, records: &Records) -> usize {
    let scan = Scan::of(format);
    let floor = median_ns(
        records.len(),
        || (),
        |()| {
            for record in records.iter() {
                scan.each(record, |number, value| {
                    black_box((number, value));
                });
            }
        },
    );
    let mut refused = 0;
    let mut decoder = Decoder::default();
    let ours = median_ns(
        records.len(),
        || (),
        |()| {
            for record in records.iter() {
                let outcome = decoder.decode(format, record, &mut |_, event| refused += usize::from(event.is_err()));
                refused += usize::from(outcome.is_err());
            }
        },
    );
    row(&format!("decode {name}, {} B", records.mean_bytes()), ours, floor);
    refused
}

fn places(reference: &Reference) {
    const LOOKUPS: usize = 1_000_000;
    let mut random = Random::of(SEED, &[]);
    let ips: Vec<IpAddr> = (0..LOOKUPS)
        .map(|_| Ipv4Addr::from_bits(random.below(8 << 24) + (240 << 24)).into())
        .collect();
    let ranges = (reference.summary().ranges_v4 as usize).max(1);
    let table: Vec<u64> = (0..ranges as u64).collect();
    let indices: Vec<usize> = (0..LOOKUPS).map(|_| random.index(ranges)).collect();
    let floor = median_ns(
        LOOKUPS,
        || (),
        |()| {
            black_box(indices.iter().fold(0_u64, |sum, index| sum.wrapping_add(table[*index])));
        },
    );
    let ours = median_ns(
        LOOKUPS,
        || (),
        |()| {
            black_box(ips.iter().filter(|ip| reference.locate(**ip).place.is_some()).count());
        },
    );
    row("place lookup, demo table", ours, floor);
}

/// Packs every record for one partition.
pub(crate) fn pack(reference: &Arc<Reference>, records: &Records) -> Vec<PackedRecord> {
    let mut packed = Vec::new();
    pack_each(reference, records, |record| packed.push(record));
    packed
}

/// Records that intake takes before it packs them: what a commit interval of 20 ms brings at 100,000 a second.
const FLUSHED_EVERY: usize = 125 * TOGETHER;
/// Records that the service hands to intake at a time.
const TOGETHER: usize = 16;

/// Packs every record for one partition as the service does, which hands over what a transaction holds and forgets it.
fn pack_each(reference: &Arc<Reference>, records: &Records, mut each: impl FnMut(PackedRecord)) {
    let settings = IntakeSettings {
        partitions: 1,
        ..IntakeSettings::default()
    };
    let mut intake = Intake::new(settings, HASH_KEY, Arc::clone(reference));
    let raw = |(offset, record)| RawRecord {
        topic: "bench",
        partition: 0,
        offset,
        append_ms: records.start_ms + offset * records.step_ms,
        value: Some(record),
    };
    let mut numbered = (0..).zip(records.iter());
    let mut together = Vec::with_capacity(TOGETHER);
    for taken in (TOGETHER..).step_by(TOGETHER) {
        together.clear();
        together.extend(numbered.by_ref().take(TOGETHER).map(raw));
        if together.is_empty() {
            break;
        }
        intake.records(Format::Ocsf, &together);
        if taken.is_multiple_of(FLUSHED_EVERY) {
            intake.flush().observations.into_iter().for_each(&mut each);
        }
    }
    intake.flush().observations.into_iter().for_each(each);
}

fn packing(reference: &Arc<Reference>, spread: Spread) {
    let records = sign_ins(Format::Ocsf, 50_000, 10_000, spread, 1_000, SEED);
    let packed = pack(reference, &records);
    let bytes: usize = packed.iter().map(|record| record.value.len()).sum();
    // Into room that is there: what the kernel takes to give more is no part of the least.
    let mut copied = Vec::with_capacity(bytes);
    let copy = median_ns(
        records.len(),
        || (),
        |()| {
            copied.clear();
            packed.iter().for_each(|record| copied.extend_from_slice(&record.value));
            black_box(&copied);
        },
    );
    let mut decoder = Decoder::default();
    let decode_only = median_ns(
        records.len(),
        || (),
        |()| {
            for record in records.iter() {
                let outcome = decoder.decode(Format::Ocsf, record, &mut |_, event| {
                    black_box(event.is_ok());
                });
                outcome.unwrap();
            }
        },
    );
    let intake = median_ns(
        records.len(),
        || (),
        |()| {
            pack_each(reference, &records, |record| {
                black_box(record);
            });
        },
    );
    row(
        &format!("enrich and pack, {}, {} B packed", spread.name(), bytes / records.len()),
        intake - decode_only,
        copy,
    );
    let mut interner = Interner::default();
    let unpack = median_ns(
        records.len(),
        || (),
        |()| {
            for record in &packed {
                black_box(Unpacked::read(&record.value, HASH_KEY, &mut interner).unwrap().len());
            }
        },
    );
    row(&format!("unpack, {}", spread.name()), unpack, copy);
}

/// Intake, accounts and entities of one partition, record for record.
pub(crate) struct Core {
    accounts: Accounts,
    entities: Entities,
    outputs: Outputs,
    offset: i64,
    links: u64,
    linked: Vec<u8>,
}

impl Core {
    pub(crate) fn new() -> Self {
        Self::of(DetectionSettings::default())
    }

    /// With room for so many accounts, and for a device and two networks of each, however they fall on the chunks.
    fn with_room(accounts: u64) -> Self {
        let mut settings = DetectionSettings::default();
        settings.window.windows_max = settings.window.windows_max.max(accounts as usize * 4);
        Self::of(settings)
    }

    fn of(settings: DetectionSettings) -> Self {
        let settings = Arc::new(settings);
        Self {
            accounts: Accounts::new(Arc::clone(&settings), HASH_KEY),
            entities: Entities::new(settings),
            outputs: Outputs::default(),
            offset: 0,
            links: 0,
            linked: Vec::new(),
        }
    }

    pub(crate) fn run(&mut self, reference: &Arc<Reference>, records: &Records) {
        pack_each(reference, records, |record| self.fold(&record));
    }

    pub(crate) fn fold(&mut self, record: &PackedRecord) {
        let position = Position {
            offset: self.offset,
            append_ms: START_MS,
        };
        self.offset += 1;
        self.accounts.fold(position, &record.value, &mut self.outputs).unwrap();
        // As the service does: the links of a batch are one record.
        self.linked.clear();
        for (_, link) in self.outputs.links.iter() {
            self.links += 1;
            self.linked.extend_from_slice(link);
        }
        self.outputs.links.clear();
        if !self.linked.is_empty() {
            self.entities.fold(position, &self.linked, &mut self.outputs).unwrap();
        }
        self.outputs.alerts.clear();
    }

    pub(crate) fn accounts(&mut self) -> &mut Accounts {
        &mut self.accounts
    }
}

/// Each account signs in about once an hour, after every account was seen once.
fn whole_core(reference: &Arc<Reference>, accounts: u64, spread: Spread, what: &str) {
    const EVENTS: u64 = 100_000;
    const HOUR_MS: u64 = 3_600_000;
    let mut core = Core::with_room(accounts);
    let mut floor = Floor::new(accounts);
    let step_ms = (HOUR_MS / accounts).max(1);
    let part = |before: u64, count: u64, spread: Spread| {
        let start_ms = START_MS + (before * step_ms).cast_signed();
        sign_ins_from(
            start_ms,
            Format::Ocsf,
            count,
            accounts,
            spread,
            step_ms.cast_signed(),
            SEED + before,
        )
    };
    // In parts: the records of ten million accounts would not leave much memory for their windows.
    let each = match spread {
        Spread::World => Spread::EachOfWorld,
        _ => Spread::Each,
    };
    for first in (0..accounts).step_by(1_000_000) {
        let known = part(first, (accounts - first).min(1_000_000), each(first));
        core.run(reference, &known);
        floor.run(known.iter());
    }
    let start = core.links;
    let next = |round: &mut u64| {
        *round += 1;
        part(accounts + (*round - 1) * EVENTS, EVENTS, spread)
    };
    let mut round = 0;
    let ours = median_ns(
        EVENTS as usize,
        || next(&mut round),
        |records| core.run(reference, &records),
    );
    let mut round = 0;
    let least = median_ns(
        EVENTS as usize,
        || next(&mut round),
        |records| floor.run(records.iter()),
    );
    black_box(floor.fast_legs);
    let linked = (core.links - start) as f64 * 100.0 / (EVENTS * ROUNDS as u64) as f64;
    let state = core.accounts.size();
    let bytes = state.bytes / state.entries.max(1);
    row(
        &format!("whole core, {accounts} {what} ({linked:.0} % linked, {bytes} B)"),
        ours,
        least,
    );
}

/// A partition of its own for each core: what several workers do.
fn all_cores(reference: &Arc<Reference>) {
    const ACCOUNTS: u64 = 50_000;
    const EVENTS: u64 = 50_000;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let wall = |work: &(dyn Fn(u64) + Sync)| {
        median_wall_ns(
            EVENTS as usize * cores,
            || (),
            |()| {
                std::thread::scope(|scope| {
                    for core in 0..cores as u64 {
                        scope.spawn(move || work(core));
                    }
                });
            },
        )
    };
    let traffic: Vec<Records> = (0..cores as u64)
        .map(|core| sign_ins(Format::Ocsf, EVENTS, ACCOUNTS, Spread::Uniform, 1, SEED + core))
        .collect();
    let ours = wall(&|core| Core::new().run(reference, &traffic[core as usize]));
    let least = wall(&|core| Floor::new(ACCOUNTS).run(traffic[core as usize].iter()));
    row(&format!("whole core, new accounts, {cores} cores (wall)"), ours, least);
}

fn from_file(reference: &Arc<Reference>) {
    const ACCOUNTS: u64 = 10_000;
    const EVENTS: u64 = 400_000;
    let flat = sign_ins(Format::Ocsf, EVENTS, ACCOUNTS, Spread::Uniform, 1_000, SEED);
    replay(reference, "flat", ACCOUNTS, &flat);
    let company = company_log(EVENTS as usize, ACCOUNTS as u32, SEED);
    replay(reference, "company's", ACCOUNTS, &company);
}

/// Prints the rows of some records in a file.
fn replay(reference: &Arc<Reference>, name: &str, accounts: u64, records: &Records) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for record in records.iter() {
        file.write_all(record).unwrap();
        file.write_all(b"\n").unwrap();
    }
    let least = median_wall_ns(
        records.len(),
        || BufReader::new(file.reopen().unwrap()),
        |reader| {
            let lines: Vec<Vec<u8>> = reader.split(b'\n').map(Result::unwrap).collect();
            Floor::new(accounts).run(lines.iter().map(Vec::as_slice));
        },
    );
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    for jobs in [1, cores] {
        let ours = median_wall_ns(
            records.len(),
            || BufReader::new(file.reopen().unwrap()),
            |mut reader| {
                let replay = Replay::new(&Arc::default(), HASH_KEY, Arc::clone(reference), jobs);
                let mut replay = ReplayAhead::new(replay);
                let mut line = Vec::new();
                for number in 1.. {
                    line.clear();
                    if reader.read_until(b'\n', &mut line).unwrap() == 0 {
                        break;
                    }
                    if replay.push(Format::Auto, "bench", number, line.trim_ascii_end()) {
                        black_box(replay.run());
                    }
                }
                while let Some(outputs) = replay.run() {
                    black_box(outputs);
                }
            },
        );
        row(
            &format!(
                "replay of a {name} file, {} B, {jobs} jobs (wall)",
                records.mean_bytes()
            ),
            ours,
            least / jobs as f64,
        );
    }
}
