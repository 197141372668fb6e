//! The real core over the simulated log: a small company's days, under faults.

use std::sync::{Arc, OnceLock};

use falsefront::enrich::Reference;
use falsefront::generate::{Company, Params};
use falsefront::intake::Format;
use falsefront::pipeline::intake::{Intake, RawRecord};
use falsefront::pipeline::settings::{DetectionSettings, IntakeSettings};
use falsefront::pipeline::unpacked::Unpacked;
use falsefront::service::demo_geoip::demo_databases;
use falsefront::service::log::TopicPartition;
use falsefront::service::reference::{ReferenceBytes, load_bytes};
use falsefront::service::supervisor::Stages;
use falsefront::service::worker::stage::Role;
use falsefront::window::intern::Interner;

use super::mutants::Mutant;
use super::town::{HASH_KEY, Kinds, PARTITIONS, SOURCE, SOURCE_PARTITIONS, Town};
use super::{Fed, compare, fold_logs};

const SEEDS: u64 = 3;

fn company() -> Company {
    let params = Params {
        accounts: 40,
        days: 2,
        attacks: Some(4),
        ..Params::default()
    };
    Company::new(11, params)
}

fn reference() -> Arc<Reference> {
    static REFERENCE: OnceLock<Arc<Reference>> = OnceLock::new();
    let build = || {
        let bytes = ReferenceBytes {
            geoip: demo_databases().unwrap(),
            networks: vec![("networks.csv".to_owned(), company().networks_csv().into_bytes())],
            roster: vec![("roster.csv".to_owned(), company().roster_csv().into_bytes())],
            travel: None,
        };
        Arc::new(load_bytes(&bytes).unwrap().0)
    };
    REFERENCE.get_or_init(build).clone()
}

fn settings() -> IntakeSettings {
    IntakeSettings {
        partitions: PARTITIONS,
        // The company's days pass in seconds of the log's clock.
        future_skew_ms: 30 * 86_400_000,
        ..IntakeSettings::default()
    }
}

/// Identities of the events in packed records, in order.
fn ids<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let mut ids = Vec::new();
    for value in values {
        let mut interner = Interner::default();
        let unpacked = Unpacked::read(value, HASH_KEY, &mut interner).unwrap();
        ids.extend((0..unpacked.len()).map(|index| unpacked.observation(index).event.id.to_string()));
    }
    ids.sort();
    ids
}

fn expected_ids(fed: &Fed) -> Vec<String> {
    let mut intake = Intake::new(settings(), HASH_KEY, reference());
    for (offset, (at, value)) in (0..).zip(fed) {
        let record = RawRecord {
            topic: &at.topic,
            partition: at.partition,
            offset,
            append_ms: super::broker::EPOCH_MS,
            value: Some(value),
        };
        intake.record(Format::Auto, record);
    }
    let outputs = intake.flush();
    ids(outputs.observations.iter().map(|packed| packed.value.as_slice()))
}

fn check(town: &Town, stages: &Stages, fed: &Fed) -> Result<(), String> {
    let observations = town.committed(&town.names.observations);
    let found = ids(observations.iter().flatten().map(|(_, _, value)| value.as_slice()));
    compare("observations", &found, &expected_ids(fed))?;
    fold_logs(town, stages)?;
    town.complaints()
        .first()
        .map_or(Ok(()), |complaint| Err(complaint.clone()))
}

/// Sum of the samples of one family on `/metrics`.
fn sum(town: &Town, family: &str) -> u64 {
    let text = String::from_utf8(town.metrics.render()).unwrap();
    let samples = text.lines().filter(|line| line.starts_with(&format!("{family}{{")));
    samples
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

/// Every event received was decoded or discarded, and says so on `/metrics`, poison and tombstones included.
#[test]
fn the_sums_on_metrics_balance() {
    let stages = Stages::real(settings(), DetectionSettings::default(), HASH_KEY, Arc::new(reference));
    let town = Town::new(5, Mutant::Sound, stages, Kinds::None);
    let mut fed: Fed = company()
        .take(300)
        .map(|record| (TopicPartition::new(SOURCE, 0), record.line))
        .collect();
    for poison in [
        &b"\xff\xfe"[..],
        b"{",
        b"{}",
        b"[1,2,3]",
        b"",
        b"null",
        b"{\"class_uid\": 3002}",
    ] {
        fed.push((TopicPartition::new(SOURCE, 1), poison.to_vec()));
    }
    let records = fed.len() as u64;
    town.feed(fed);
    town.run_until_quiet().unwrap();
    let received = sum(&town, "falsefront_events_received_total");
    let decoded = sum(&town, "falsefront_events_decoded_total");
    let discarded = sum(&town, "falsefront_events_discarded_total");
    assert_eq!(received, decoded + discarded);
    assert!(
        decoded >= 200 && discarded >= 5,
        "{decoded} decoded, {discarded} discarded"
    );
    let family = "falsefront_records_received_total{topic=\"auth\"}";
    let text = String::from_utf8(town.metrics.render()).unwrap();
    assert!(text.contains(&format!("{family} {records}\n")), "{text}");
    // How far behind each stage is: what is lost when retention catches up is lost at the source.
    for topic in ["auth", &*town.names.observations] {
        let told = |line: &str| {
            line.starts_with("falsefront_consumer_lag_seconds{") && line.contains(&format!("topic=\"{topic}\""))
        };
        assert!(text.lines().any(told), "{topic}: {text}");
    }
}

/// What an earlier release packed is left for it: the worker stops there, and neither reads over it nor throws it away.
#[test]
fn a_record_of_another_release_stops_its_reader() {
    let stages = Stages::real(settings(), DetectionSettings::default(), HASH_KEY, Arc::new(reference));
    let town = Town::new(5, Mutant::Sound, stages, Kinds::None);
    let mut fed: Fed = company()
        .take(100)
        .map(|record| (TopicPartition::new(SOURCE, 0), record.line))
        .collect();
    fed.insert(60, (TopicPartition::new(&town.names.observations, 1), vec![1; 40]));
    town.feed(fed);
    let stopped = town.run_until_quiet().unwrap_err();
    let partition = &town.committed(&town.names.observations)[1];
    let (offset, ..) = partition.iter().find(|(_, _, value)| *value == [1; 40]).unwrap();
    let told = format!("{}/1 at offset {offset}: packed observations", town.names.observations);
    assert!(stopped.contains(&told), "{stopped}");
    assert!(stopped.contains("version 1, this release reads version"), "{stopped}");
    let letters: usize = town.committed(&town.names.dead_letters).iter().map(Vec::len).sum();
    assert_eq!(letters, 0);
    // What stands before it is folded and committed.
    let committed = town.digests(Role::Accounts)[1].and_then(|(_, committed)| committed);
    assert_eq!(committed, Some(*offset));
}

fn run(seed: u64) -> Result<(u64, usize), String> {
    let stages = Stages::real(settings(), DetectionSettings::default(), HASH_KEY, Arc::new(reference));
    let lines = company().zip(0..);
    let fed: Fed = lines
        .map(|(record, n)| {
            let partition = n % i32::try_from(SOURCE_PARTITIONS).unwrap();
            (TopicPartition::new(SOURCE, partition), record.line)
        })
        .collect();
    let town = Town::new(seed, Mutant::Sound, stages.clone(), Kinds::Any);
    town.feed(fed.clone());
    town.run_until_quiet()?;
    check(&town, &stages, &fed)?;
    town.restart_all();
    town.run_until_quiet()?;
    check(&town, &stages, &fed)?;
    let alerts = town.committed(&town.names.alerts).iter().map(Vec::len).sum();
    Ok((town.crashes(), alerts))
}

#[test]
fn the_real_core_keeps_its_promises_too() {
    let (mut crashes, mut alerts) = (0, 0);
    let seeds = super::number("FALSEFRONT_SIM_REAL_SEEDS").unwrap_or(SEEDS);
    for seed in 0..seeds {
        let (more, found) = run(seed).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
        crashes += more;
        alerts += found;
    }
    assert!(alerts > 0, "a company without findings proves nothing");
    eprintln!("{seeds} seeds, {crashes} crashes, {alerts} findings, 0 violations");
}
