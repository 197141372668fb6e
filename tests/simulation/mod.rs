//! The real worker over a simulated log, under every fault a seed can think of: the committed outcome must be that of a
//! quiet run.
//!
//! `FALSEFRONT_SIM_SEED=7` runs that seed alone, `FALSEFRONT_SIM_SEEDS=100000` that many instead of as many as fit
//! [`BUDGET`].

mod broker;
mod client;
mod group;
mod mutants;
mod random;
mod real_core;
mod town;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use falsefront::model::link_codec;
use falsefront::pipeline::{Outputs, Position};
use falsefront::service::log::TopicPartition;
use falsefront::service::supervisor::Stages;
use falsefront::service::worker::stage::Role;

use crate::support::counting;
use broker::SECOND;
use mutants::Mutant;
use random::Dice;
use town::{Faults, HASH_KEY, Kinds, SOURCE, SOURCE_PARTITIONS, Town};

/// Time for the sound worker where nobody asks for a number of seeds.
const BUDGET: Duration = Duration::from_secs(8);
const SEEDS_MIN: u64 = 30;
/// Seeds within which each mutant must be caught.
const MUTANT_SEEDS: u64 = 60;
const RECORDS: u64 = 400;
const ACCOUNTS: u64 = 23;

type Fed = Vec<(TopicPartition, Vec<u8>)>;

/// Account names, and a few records that are none.
fn records(dice: &mut Dice, count: u64) -> Fed {
    let record = |dice: &mut Dice| {
        let partition = i32::try_from(dice.below(u64::from(SOURCE_PARTITIONS))).unwrap();
        let value = match dice.below(60) {
            0 => vec![0xff],
            _ => format!("account-{}", dice.below(ACCOUNTS)).into_bytes(),
        };
        (TopicPartition::new(SOURCE, partition), value)
    };
    (0..count).map(|_| record(dice)).collect()
}

/// What a quiet run gives: alerts in order, observations, dead letters.
fn expected(fed: &Fed) -> (Vec<String>, Vec<String>, usize) {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut alerts, mut observed) = (Vec::new(), Vec::new());
    for (_, value) in fed {
        let Ok(account) = std::str::from_utf8(value) else {
            continue;
        };
        observed.push(account.to_owned());
        let count = counts.entry(account).or_default();
        *count += 1;
        if count.is_multiple_of(10) {
            alerts.push(format!("{account}#{count}"));
        }
        if count.is_multiple_of(5) {
            alerts.push(format!("{account}@{}", *count / 5));
        }
    }
    alerts.sort();
    observed.sort();
    let letters = fed.len() - observed.len();
    (alerts, observed, letters)
}

fn texts(town: &Town, topic: &str) -> Vec<String> {
    let values = town.committed(topic).into_iter().flatten();
    let mut texts = text_list(values.map(|(_, _, value)| value));
    texts.sort();
    texts
}

fn compare(what: &str, found: &[String], expected: &[String]) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    let count = |list: &[String]| {
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        for item in list {
            *counts.entry(item.clone()).or_default() += 1;
        }
        counts
    };
    let (found, mut expected) = (count(found), count(expected));
    for (item, count) in found {
        *expected.entry(item).or_default() -= count;
    }
    expected.retain(|_, count| *count != 0);
    Err(format!(
        "{what}: missing (positive) or superfluous (negative): {expected:?}"
    ))
}

/// What the committed logs of a stage fold to from their first record is what was published and checkpointed: alerts,
/// links, and the digest at the offset committed with it.
fn fold_logs(town: &Town, stages: &Stages) -> Result<(), String> {
    let mut alerts = Vec::new();
    for (role, topic, factory) in [
        (Role::Accounts, &town.names.observations, &stages.accounts),
        (Role::Entities, &town.names.links, &stages.entities),
    ] {
        let logs = town.committed(topic);
        let mut outputs = Outputs::default();
        for (partition, (records, found)) in (0..).zip(logs.iter().zip(town.digests(role))) {
            let mut fold = factory(partition);
            let mut append_ms = 0;
            for (offset, appended_ms, value) in records {
                append_ms = append_ms.max(*appended_ms);
                let position = Position {
                    offset: *offset,
                    append_ms,
                };
                fold.fold(position, value, &mut outputs).unwrap();
            }
            let place = format!("{}/{partition}", role.as_str());
            match found {
                None if records.is_empty() => {}
                None => return Err(format!("{place}: no digest")),
                Some((digest, committed)) if Some(digest.offset) != committed => {
                    return Err(format!("{place}: digest at {}, offset {committed:?}", digest.offset));
                }
                Some((digest, _)) if digest.digest != fold.digest() => {
                    return Err(format!("{place}: state is not that of a fold of the log"));
                }
                Some(_) => {}
            }
        }
        if role == Role::Accounts {
            let mut links: Vec<String> = outputs.links.iter().map(|(_, link)| spelled(link)).collect();
            links.sort();
            let mut found = Vec::new();
            for (_, _, record) in town.committed(&town.names.links).into_iter().flatten() {
                found.extend(link_codec::frames(&record).unwrap().map(spelled));
            }
            found.sort();
            compare("links", &found, &links)?;
        }
        alerts.extend(text_list(outputs.alerts.drain(..).map(|alert| alert.value)));
    }
    alerts.sort();
    compare("alerts", &texts(town, &town.names.alerts), &alerts)
}

/// Bytes as text.
fn spelled(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn text_list(values: impl Iterator<Item = Vec<u8>>) -> Vec<String> {
    values.map(|value| String::from_utf8(value).unwrap()).collect()
}

fn check(town: &Town, fed: &Fed, stages: &Stages) -> Result<(), String> {
    let (alerts, observed, letters) = expected(fed);
    let packed = texts(town, &town.names.observations);
    let mut lines: Vec<String> = packed.iter().flat_map(|text| text.lines()).map(str::to_owned).collect();
    lines.sort();
    compare("observations", &lines, &observed)?;
    compare("alerts", &texts(town, &town.names.alerts), &alerts)?;
    let found: usize = town.committed(&town.names.dead_letters).iter().map(Vec::len).sum();
    if found != letters {
        return Err(format!("{found} dead letters instead of {letters}"));
    }
    fold_logs(town, stages)?;
    match town.complaints().first() {
        Some(complaint) => Err(complaint.clone()),
        None => Ok(()),
    }
}

/// One seed: faults, quiet, a long rest after which the logs are empty, a restart of everybody, a few records more. Gives the crashes.
fn run(seed: u64, mutant: Mutant, faults: Kinds) -> Result<u64, String> {
    let stages = counting::stages(HASH_KEY);
    let mut dice = Dice::new(!seed);
    let mut fed = records(&mut dice, RECORDS);
    let town = Town::new(seed, mutant, stages.clone(), faults);
    town.feed(fed.clone());
    town.run_until_quiet()?;
    check(&town, &fed, &stages)?;
    town.rest_until_all_is_deleted()?;
    town.restart_all();
    let more = records(&mut dice, RECORDS / 4);
    fed.extend(more.iter().cloned());
    town.feed(more);
    town.run_until_quiet()?;
    check(&town, &fed, &stages)?;
    Ok(town.crashes())
}

fn replay_line(seed: u64) -> String {
    format!("FALSEFRONT_SIM_SEED={seed} cargo test --test main simulation::a_worker_under_faults -- --nocapture")
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn a_quiet_run_is_what_the_oracle_says() {
    assert_eq!(run(1, Mutant::Sound, Kinds::None), Ok(0));
}

#[test]
fn a_topic_that_was_created_anew_is_not_taken_for_the_one_that_was_read() {
    for topic in [SOURCE, "links"] {
        let town = Town::new(3, Mutant::Sound, counting::stages(HASH_KEY), Kinds::None);
        town.feed(records(&mut Dice::new(3), RECORDS));
        town.run_until_quiet().unwrap();
        let name = match topic {
            "links" => town.names.links.to_string(),
            source => source.to_owned(),
        };
        town.create_anew(&name);
        town.restart_all();
        town.go_on_for(30 * SECOND);
        let lacks = town.metrics.lacks().join("; ");
        assert!(
            lacks.contains("partitions cannot be restored and stay paused"),
            "{name}: {lacks}"
        );
    }
}

#[test]
fn a_worker_under_faults_commits_what_a_quiet_one_does() {
    let began = Instant::now();
    let only = number("FALSEFRONT_SIM_SEED");
    let asked = number("FALSEFRONT_SIM_SEEDS");
    if only.is_some() {
        falsefront::service::logging::start();
    }
    let mut crashes = 0;
    let mut seed = only.unwrap_or(0);
    let first = seed;
    loop {
        match run(seed, Mutant::Sound, Kinds::Any) {
            Ok(more) => crashes += more,
            Err(violation) => panic!("{violation}\nreplay with: {}", replay_line(seed)),
        }
        seed += 1;
        let count = seed - first;
        let is_enough = asked.map_or(began.elapsed() > BUDGET && count >= SEEDS_MIN, |asked| count >= asked);
        if only.is_some() || is_enough {
            break;
        }
    }
    let count = seed - first;
    eprintln!(
        "{count} seeds, {crashes} crashes, 0 violations in {:?}",
        began.elapsed()
    );
}

/// An abort that was sent twice may abort the next transaction, so its slowness counts too.
#[test]
fn an_abort_sent_twice_harms_nobody() {
    let faults = Faults {
        resend: 150,
        undelivered: 25,
        ..Faults::default()
    };
    for seed in 0..25 {
        assert_eq!(run(seed, Mutant::Sound, Kinds::Of(faults)).err(), None, "seed {seed}");
    }
}

/// What hangs is ended by its own worker and done again, unless its offsets were committed meanwhile: then the worker waits
/// for an operator. Nothing is lost or repeated either way.
#[test]
fn a_transaction_without_markers_is_ended() {
    const SEEDS: u64 = 25;
    let faults = Faults {
        unmarked: 20,
        ..Faults::default()
    };
    let mut waiting = 0;
    for seed in 0..SEEDS {
        match run(seed, Mutant::Sound, Kinds::Of(faults)) {
            Ok(_) => {}
            Err(violation) if violation.starts_with("no quiet") => waiting += 1,
            Err(violation) => panic!("seed {seed}: {violation}"),
        }
    }
    assert!(waiting < SEEDS / 2, "{waiting} of {SEEDS} runs wait for an operator");
}

#[test]
fn every_mutant_is_caught() {
    for mutant in Mutant::ALL {
        let caught = (0..MUTANT_SEEDS).find_map(|seed| {
            let faults = mutant.faults();
            let violation = run(seed, mutant, faults)
                .err()
                .filter(|violation| mutant.explains(violation))?;
            assert_eq!(
                run(seed, Mutant::Sound, faults).err(),
                None,
                "it must be the mutant's fault"
            );
            Some((seed, violation))
        });
        let Some((seed, violation)) = caught else {
            panic!("{mutant:?} passes {MUTANT_SEEDS} seeds unnoticed");
        };
        eprintln!("{mutant:?} caught by seed {seed}: {violation:.120}");
    }
}
