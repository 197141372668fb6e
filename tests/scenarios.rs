//! Events in, whole alerts out: every folder of `tests/scenarios` states a claim, and this checks all of them.
//!
//! `UPDATE=1 cargo test scenarios` rewrites every `alerts.ndjson`; the review is the diff.

use std::collections::BTreeSet;
use std::fs;

use falsefront::model::Detection;
use falsefront::pipeline::Published;
use serde_json::Value;

use crate::support::core::{self, Core};
use crate::support::scenario::{Scenario, lines, same};

/// Says which scenarios broke, all of them at once.
fn check_all(what: &str, check: impl Fn(&Scenario) -> Result<(), String>) {
    let broken: Vec<String> = Scenario::all()
        .iter()
        .filter_map(|scenario| {
            let result = check(scenario);
            result
                .err()
                .map(|why| format!("{}/{}: {why}", scenario.detection, scenario.claim))
        })
        .collect();
    assert!(broken.is_empty(), "{what}:\n{}", broken.join("\n"));
}

#[test]
fn every_scenario_gives_its_alerts() {
    let update = std::env::var("UPDATE").is_ok_and(|value| value == "1");
    check_all("alerts differ; UPDATE=1 accepts them", |scenario| {
        let found = lines(&scenario.run());
        if update {
            fs::write(scenario.folder.join("alerts.ndjson"), &found).unwrap();
        }
        same(&scenario.text("alerts.ndjson"), &found)
    });
}

#[test]
fn a_claim_is_what_its_folder_says() {
    check_all("not as claimed", |scenario| {
        let published = scenario.run();
        let of_detection = |record: &&Published| record.detection == scenario.detection;
        let alerts = published.iter().filter(of_detection).filter(|record| record.is_alert);
        match (scenario.fires(), alerts.count()) {
            (true, 0) => Err("raises no alert of its detection".to_owned()),
            (true, _)
                if published
                    .iter()
                    .any(|record| record.is_alert && record.detection != scenario.detection) =>
            {
                Err("raises alerts of another detection".to_owned())
            }
            (false, _) if published.iter().any(|record| record.is_alert) => Err("raises alerts".to_owned()),
            _ if !scenario.fires() && !scenario.claim.starts_with("quiet_") => {
                Err("is called neither fires_ nor quiet_".to_owned())
            }
            _ => Ok(()),
        }
    });
}

#[test]
fn a_restart_after_any_record_changes_nothing() {
    check_all("a restart shows", |scenario| {
        let mut core = Core::new(&scenario.settings, &scenario.reference, core::PARTITIONS);
        let mut found = Vec::new();
        for record in scenario.records() {
            found.extend(core.record(record));
            core.restart();
        }
        same(&lines(&scenario.run()), &lines(&found))
    });
}

#[test]
fn the_number_of_partitions_changes_nothing() {
    check_all("partitions show", |scenario| {
        let expected = lines(&scenario.run());
        for partitions in [1, 2, 13] {
            let mut core = Core::new(&scenario.settings, &scenario.reference, partitions);
            let records = scenario.records();
            let found: Vec<Published> = records.iter().flat_map(|record| core.record(record)).collect();
            same(&expected, &lines(&found)).map_err(|why| format!("{partitions} partitions: {why}"))?;
        }
        Ok(())
    });
}

#[test]
fn replay_gives_the_same_bytes_for_any_number_of_jobs() {
    check_all("jobs show", |scenario| {
        let replayed = |jobs| core::replay(&scenario.settings, &scenario.reference, &scenario.records(), jobs);
        let (one, three) = (replayed(1), replayed(3));
        assert!(one.dead_letters.is_empty(), "{:?}", one.dead_letters);
        same(&lines(&one.alerts), &lines(&three.alerts))?;
        // Reading ahead, which several jobs do, changes nothing either.
        let by_three = |jobs| core::replay_by(3, &scenario.settings, &scenario.reference, &scenario.records(), jobs);
        same(&lines(&by_three(1)), &lines(&by_three(3)))
    });
}

/// A replay orders what the service takes as it comes; where nothing came late, both must say the same.
#[test]
fn replay_and_service_say_the_same() {
    check_all("replay differs from the service", |scenario| {
        let records = scenario.records();
        let times: Vec<i64> = records.iter().map(|record| core::latest_ms(record)).collect();
        if !times.is_sorted_by(|a, b| a < b) {
            return Ok(());
        }
        let replayed = core::replay(&scenario.settings, &scenario.reference, &records, 1);
        same(&lines(&scenario.run()), &lines(&replayed.alerts))
    });
}

#[test]
fn a_replay_says_what_waits_when_its_records_end() {
    let all = Scenario::all();
    for (claim, waiting) in [
        ("quiet_while_it_may_be_a_farm", 1),
        ("fires_with_whoever_signs_in_after_the_wait", 0),
    ] {
        let scenario = all.iter().find(|scenario| scenario.claim == claim).unwrap();
        let replayed = core::replay(&scenario.settings, &scenario.reference, &scenario.records(), 1);
        assert_eq!(replayed.waiting, Some(waiting), "{claim}");
    }
}

#[test]
fn every_alert_explains_itself() {
    check_all("unexplained", |scenario| {
        for record in scenario.run() {
            let alert: Value = serde_json::from_slice(&record.value).unwrap();
            let lists = [
                &alert["evidences"],
                &alert["unmapped"]["guards"],
                &alert["unmapped"]["measures"],
                &alert["finding_info"]["attacks"],
                &alert["finding_info"]["related_events"],
            ];
            if lists.iter().any(|list| list.as_array().is_none_or(Vec::is_empty)) {
                return Err(format!("evidence, guards, measures or techniques are missing: {alert}"));
            }
            let techniques = alert["finding_info"]["attacks"].as_array().unwrap();
            if !techniques.iter().all(|attack| {
                attack["technique"]["uid"]
                    .as_str()
                    .is_some_and(|uid| uid.starts_with('T'))
            }) {
                return Err(format!("a technique without id: {alert}"));
            }
            let ids: BTreeSet<&str> = scenario_ids(scenario);
            // An id of Google Workspace is put together of parts of the record and a number.
            let came = |id: &str| ids.contains(id) || id.split('/').all(|part| ids.contains(part) || part == "0");
            let named = alert["finding_info"]["related_events"].as_array().unwrap();
            if let Some(stray) = named.iter().find(|event| !came(event["uid"].as_str().unwrap())) {
                return Err(format!("evidence names an event that never came: {stray}"));
            }
        }
        Ok(())
    });
}

fn scenario_ids(scenario: &Scenario) -> BTreeSet<&str> {
    let text = std::str::from_utf8(&scenario.events).unwrap();
    // Every quoted word of the events: ids stand in other places in other formats.
    text.split('"').collect()
}

#[test]
fn every_detection_fires_and_stays_quiet() {
    let all = Scenario::all();
    for detection in Detection::ALL.map(Detection::as_str) {
        let fires = |wanted: bool| all.iter().any(|s| s.detection == detection && s.fires() == wanted);
        assert!(fires(true), "{detection}: no scenario fires");
        assert!(fires(false), "{detection}: no scenario stays quiet");
    }
    let known = Detection::ALL.map(Detection::as_str);
    let stray: Vec<&str> = all
        .iter()
        .map(|s| s.detection.as_str())
        .filter(|name| !known.contains(name))
        .collect();
    assert!(stray.is_empty(), "no detections: {stray:?}");
}

#[test]
fn every_firing_scenario_has_a_quiet_twin_one_fact_apart() {
    let all = Scenario::all();
    check_all("no twin", |scenario| {
        if !scenario.fires() {
            return Ok(());
        }
        let twin = scenario.text("twin.txt");
        let twin = all
            .iter()
            .find(|other| other.detection == scenario.detection && other.claim == twin.trim())
            .ok_or("twin.txt names no scenario of the same detection")?;
        if twin.fires() {
            return Err("its twin fires too".to_owned());
        }
        match facts_apart(scenario, twin) {
            facts if facts.len() == 1 => Ok(()),
            facts => Err(format!("its twin is not one fact apart, but {facts:?}")),
        }
    });
}

/// The facts in which two scenarios differ: one field, on however many lines; or lines that only one of them has.
fn facts_apart(one: &Scenario, other: &Scenario) -> BTreeSet<String> {
    let files = [
        "events.ndjson",
        "roster.csv",
        "travel.csv",
        "networks.csv",
        "settings.json",
    ];
    let texts = files.map(|file| (file, one.text(file), other.text(file)));
    let differing = texts.iter().filter(|(_, one, other)| one != other);
    differing
        .flat_map(|(file, one, other)| {
            let (one, other): (Vec<&str>, Vec<&str>) = (one.lines().collect(), other.lines().collect());
            let facts = if one.len() == other.len() {
                one.iter().zip(&other).flat_map(|(a, b)| fields_apart(a, b)).collect()
            } else if is_part_of(&one, &other) || is_part_of(&other, &one) {
                vec!["lines".to_owned()]
            } else {
                vec!["lines".to_owned(), "other lines".to_owned()]
            };
            facts.into_iter().map(move |fact| format!("{file}: {fact}"))
        })
        .collect()
}

/// Whether all lines of `part` stand in `whole`, in their order.
fn is_part_of(part: &[&str], whole: &[&str]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|line| rest.any(|other| other == line))
}

fn fields_apart(one: &str, other: &str) -> Vec<String> {
    let fields = |line: &str| match serde_json::from_str::<Value>(line) {
        Ok(value) => leaves("", &value),
        Err(_) => (0..)
            .map(|n: u32| format!("column {n}"))
            .zip(line.split(',').map(str::to_owned))
            .collect(),
    };
    let (one, other) = (fields(one), fields(other));
    let differing = one.iter().filter(|field| !other.contains(field));
    let also = other.iter().filter(|field| !one.contains(field));
    differing.chain(also).map(|(name, _)| name.clone()).collect()
}

fn leaves(path: &str, value: &Value) -> Vec<(String, String)> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| leaves(&format!("{path}.{name}"), value))
            .collect(),
        other => vec![(path.to_owned(), other.to_string())],
    }
}
