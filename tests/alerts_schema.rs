//! What OCSF 1.8 requires of a Detection Finding (2004), held against every alert of every scenario.
//!
//! The rules are those of schema.ocsf.io for the attributes that alerts use; the whole schema is not repeated here.

use serde_json::Value;

use crate::support::scenario::Scenario;

/// Attributes whose absence makes the record invalid.
const REQUIRED: [&str; 8] = [
    "/activity_id",
    "/category_uid",
    "/class_uid",
    "/finding_info",
    "/metadata",
    "/severity_id",
    "/time",
    "/type_uid",
];
/// Required below an object that is present.
const REQUIRED_WITHIN: [&str; 6] = [
    "/metadata/product",
    "/metadata/version",
    "/finding_info/title",
    "/finding_info/uid",
    "/finding_info/analytic/type_id",
    "/unmapped/guards",
];
/// Attributes that are arrays wherever they stand.
const ARRAYS: [&str; 14] = [
    "anomalies",
    "anomaly_analyses",
    "analysis_targets",
    "attacks",
    "baselines",
    "coordinates",
    "data_sources",
    "evidences",
    "observables",
    "observations",
    "profiles",
    "related_events",
    "resources",
    "types",
];
/// Evidence artifacts carry at least one of these.
const EVIDENCE_ONE_OF: [&str; 8] = [
    "actor",
    "api",
    "data",
    "device",
    "dst_endpoint",
    "process",
    "src_endpoint",
    "user",
];
/// A location names at least one of these.
const LOCATION_ONE_OF: [&str; 6] = ["city", "country", "postal_code", "region", "lat", "long"];

#[test]
fn alerts_are_valid_detection_findings() {
    let mut problems = Vec::new();
    let mut checked = 0;
    for scenario in Scenario::all() {
        for record in scenario.run() {
            let alert: Value = serde_json::from_slice(&record.value).unwrap();
            let mut found = problems_of(&alert);
            found.extend(disagreements(&alert, record.is_alert));
            let named = found
                .into_iter()
                .map(|problem| format!("{}: {problem}", scenario.claim));
            problems.extend(named);
            checked += 1;
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(checked >= 20, "only {checked} alerts came out of the scenarios");
}

fn problems_of(alert: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for path in REQUIRED.iter().chain(&REQUIRED_WITHIN) {
        if alert.pointer(path).is_none_or(Value::is_null) {
            problems.push(format!("{path} is missing"));
        }
    }
    let number = |path: &str| alert.pointer(path).and_then(Value::as_i64).unwrap_or(-1);
    if number("/type_uid") != number("/class_uid") * 100 + number("/activity_id") {
        problems.push("type_uid is not class_uid * 100 + activity_id".to_owned());
    }
    if (number("/class_uid"), number("/category_uid")) != (2004, 2) {
        problems.push("class and category are not those of a Detection Finding".to_owned());
    }
    let ranges = [
        ("/activity_id", 1..=3),
        ("/severity_id", 1..=5),
        ("/confidence_id", 1..=3),
        ("/risk_level_id", 0..=4),
        ("/status_id", 1..=5),
        ("/confidence_score", 0..=100),
        ("/risk_score", 0..=100),
    ];
    for (path, range) in ranges {
        if !range.contains(&number(path)) {
            problems.push(format!("{path} is {}", number(path)));
        }
    }
    shapes("", alert, &mut problems);
    problems
}

/// Arrays and at-least-one constraints, wherever they stand.
fn shapes(path: &str, value: &Value, problems: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let lacks = |one_of: &[&str]| !one_of.iter().any(|name| fields.contains_key(*name));
            if path.ends_with("/location") && lacks(&LOCATION_ONE_OF) {
                problems.push(format!("{path} names nothing"));
            }
            for (name, value) in fields {
                // What OCSF does not define is free in its form.
                if path.is_empty() && name == "unmapped" || name == "data" {
                    continue;
                }
                if ARRAYS.contains(&name.as_str()) != value.is_array() {
                    problems.push(format!("{path}/{name}: an array where a value belongs, or the reverse"));
                }
                shapes(&format!("{path}/{name}"), value, problems);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let lacks = |one_of: &[&str]| !one_of.iter().any(|name| item.get(*name).is_some());
                if path.ends_with("/evidences") && lacks(&EVIDENCE_ONE_OF) {
                    problems.push(format!("{path}/{index} shows nothing"));
                }
                shapes(&format!("{path}/{index}"), item, problems);
            }
        }
        Value::Null => problems.push(format!("{path} is null; leave it out")),
        _ => {}
    }
}

/// What the record says twice must agree.
fn disagreements(alert: &Value, is_alert: bool) -> Vec<String> {
    let at = |path: &str| alert.pointer(path).cloned().unwrap_or_default();
    let pairs = [
        ("is_alert", at("/is_alert"), Value::Bool(is_alert)),
        ("identity", at("/finding_info/uid"), at("/metadata/correlation_uid")),
        (
            "analytic",
            at("/finding_info/analytic/uid"),
            at("/finding_info/types/0"),
        ),
        ("start", at("/start_time"), at("/finding_info/first_seen_time")),
        ("end", at("/end_time"), at("/finding_info/last_seen_time")),
        ("creation", at("/time"), at("/finding_info/created_time")),
    ];
    let differing = pairs.into_iter().filter(|(_, one, other)| one != other);
    let mut problems: Vec<String> = differing
        .map(|(what, one, other)| format!("{what}: {one} and {other}"))
        .collect();
    if at("/start_time").as_i64() > at("/end_time").as_i64() {
        problems.push("it ends before it starts".to_owned());
    }
    problems
}
