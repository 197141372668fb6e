//! OCSF 1.8.0 Detection Finding (2004) as JSON.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Alert, risk_score, severity_id};
use crate::model::attack::{MATRIX_VERSION, Technique};
use crate::model::{Evidence, EvidencePlace, Guard, Measure, Severity};

/// Version of the schema.
pub const VERSION: &str = "1.8.0";
/// The schema as the header names it.
pub const SCHEMA: &str = "ocsf/1.8.0";
/// Pieces of evidence in one alert at most; the true number stands in `related_events_count`.
pub const EVIDENCE_MAX: usize = 64;

/// Encodes an alert. The same alert gives the same bytes.
#[must_use]
pub fn encode(alert: &Alert<'_>) -> Vec<u8> {
    // Every field below is text, number or list: serialization cannot fail.
    serde_json::to_vec(&Record::of(alert)).unwrap_or_default()
}

#[derive(Serialize)]
struct Record<'a> {
    class_uid: u32,
    class_name: &'static str,
    category_uid: u32,
    category_name: &'static str,
    activity_id: u32,
    activity_name: &'static str,
    type_uid: u32,
    type_name: &'static str,
    time: i64,
    start_time: i64,
    end_time: i64,
    severity_id: u8,
    severity: &'static str,
    confidence_id: u8,
    confidence: &'static str,
    confidence_score: u8,
    risk_score: u8,
    risk_level_id: u8,
    risk_level: &'static str,
    status_id: u8,
    status: &'static str,
    is_alert: bool,
    message: &'a str,
    metadata: Value,
    finding_info: Value,
    evidences: Vec<Value>,
    anomaly_analyses: Vec<Value>,
    resources: Vec<Value>,
    observables: Vec<Value>,
    actor: Value,
    unmapped: Unmapped<'a>,
}

#[derive(Serialize)]
struct Unmapped<'a> {
    data_versions: &'a str,
    dedup_key: String,
    degraded: bool,
    guards: &'a [Guard],
    measures: &'a [Measure],
    revision: u32,
    subject: &'a str,
}

impl<'a> Record<'a> {
    fn of(alert: &'a Alert<'_>) -> Self {
        let finding = alert.finding;
        let (activity_id, activity_name, type_name) = match alert.revision {
            1 => (1, "Create", "Detection Finding: Create"),
            _ => (2, "Update", "Detection Finding: Update"),
        };
        let (confidence_id, confidence) = confidence(finding.confidence);
        let first_account = finding.accounts.first().map_or("", String::as_str);
        Self {
            class_uid: 2004,
            class_name: "Detection Finding",
            category_uid: 2,
            category_name: "Findings",
            activity_id,
            activity_name,
            type_uid: 200_400 + activity_id,
            type_name,
            time: alert.created_ms,
            start_time: finding.first_ms,
            end_time: finding.last_ms,
            severity_id: severity_id(finding.severity),
            severity: severity(finding.severity),
            confidence_id,
            confidence,
            confidence_score: finding.confidence,
            risk_score: risk_score(finding.severity),
            risk_level_id: severity_id(finding.severity) - 1,
            risk_level: risk_level(finding.severity),
            status_id: 1,
            status: "New",
            is_alert: alert.is_alert(),
            message: &finding.message,
            metadata: metadata(alert),
            finding_info: finding_info(alert),
            evidences: finding.evidence.iter().take(EVIDENCE_MAX).map(evidence).collect(),
            anomaly_analyses: anomalies(first_account, &finding.measures).into_iter().collect(),
            resources: finding
                .accounts
                .iter()
                .map(|a| json!({"name": a, "type": "user", "uid": a}))
                .collect(),
            observables: observables(&finding.accounts, &finding.evidence),
            actor: json!({"user": user(first_account)}),
            unmapped: Unmapped {
                data_versions: &finding.data_versions,
                dedup_key: alert.dedup_key(),
                degraded: finding.degraded,
                guards: &finding.guards,
                measures: &finding.measures,
                revision: alert.revision,
                subject: &finding.subject,
            },
        }
    }
}

fn metadata(alert: &Alert<'_>) -> Value {
    json!({
        "correlation_uid": alert.uid.to_string(),
        "log_name": alert.topic,
        "product": {"name": "falsefront", "vendor_name": "falsefront", "version": env!("CARGO_PKG_VERSION")},
        "profiles": ["host"],
        "uid": alert.record_uid().to_string(),
        "version": VERSION,
    })
}

fn finding_info(alert: &Alert<'_>) -> Value {
    let (finding, rule) = (alert.finding, alert.rule);
    let events: Vec<Value> = finding
        .evidence
        .iter()
        .filter(|e| !e.event_id.is_empty())
        .map(related_event)
        .collect();
    let mut sources: Vec<&str> = finding
        .evidence
        .iter()
        .map(|e| e.product.as_str())
        .filter(|p| !p.is_empty())
        .collect();
    sources.sort_unstable();
    sources.dedup();
    let mut info = json!({
        "analytic": {
            "name": rule.title,
            "type": "Behavioral",
            "type_id": 2,
            "uid": rule.detection.as_str(),
            "version": rule.version,
        },
        "attacks": rule.attacks.iter().map(attack).collect::<Vec<_>>(),
        "created_time": alert.created_ms,
        "data_sources": sources,
        "desc": rule.description,
        "first_seen_time": finding.first_ms,
        "last_seen_time": finding.last_ms,
        "related_events_count": events.len(),
        "title": rule.title,
        "types": [rule.detection.as_str()],
        "uid": alert.uid.to_string(),
    });
    if !events.is_empty() {
        info["related_events"] = events.into_iter().take(EVIDENCE_MAX).collect();
    }
    info
}

fn related_event(evidence: &Evidence) -> Value {
    json!({
        "first_seen_time": evidence.time_ms,
        "product": {"name": evidence.product, "vendor_name": evidence.product},
        "title": evidence.role,
        "uid": evidence.event_id,
    })
}

fn attack(technique: &Technique) -> Value {
    let mut attack = json!({
        "tactic": {"name": technique.tactic, "uid": technique.tactic_uid},
        "technique": {"name": technique.name, "uid": technique.uid},
        "version": MATRIX_VERSION,
    });
    if let Some((uid, name)) = technique.sub {
        attack["sub_technique"] = json!({"name": name, "uid": uid});
    }
    attack
}

fn user(account: &str) -> Value {
    let mut user = json!({"name": account, "uid": account});
    if account.contains('@') {
        user["email_addr"] = json!(account);
    }
    user
}

fn evidence(evidence: &Evidence) -> Value {
    let mut out = Map::new();
    out.insert("name".to_owned(), json!(evidence.role));
    if !evidence.event_id.is_empty() {
        out.insert("uid".to_owned(), json!(evidence.event_id));
    }
    if !evidence.account.is_empty() {
        out.insert("user".to_owned(), user(&evidence.account));
    }
    if !evidence.device.is_empty() {
        // A `device` object needs a type that no login record states; a resource names the same thing without one.
        let device = json!([{"name": evidence.device, "type": "device", "uid": evidence.device}]);
        out.insert("resources".to_owned(), device);
    }
    if let Some(address) = evidence.address {
        let mut endpoint = json!({"ip": address.to_string()});
        if let Some(location) = evidence.place.as_ref().and_then(location) {
            endpoint["location"] = location;
        }
        if evidence.asn > 0 {
            endpoint["autonomous_system"] = json!({"name": evidence.organization, "number": evidence.asn});
        }
        out.insert("src_endpoint".to_owned(), endpoint);
    }
    out.insert("data".to_owned(), data(evidence));
    Value::Object(out)
}

fn data(evidence: &Evidence) -> Value {
    let mut data: Map<String, Value> = evidence
        .facts
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    data.insert("time".to_owned(), json!(evidence.time_ms));
    if let Some(class) = evidence.network_class {
        data.insert("network_class".to_owned(), json!(class.as_str()));
    }
    if !evidence.network_label.is_empty() {
        data.insert("network_label".to_owned(), json!(evidence.network_label));
    }
    if let Some(place) = &evidence.place {
        data.insert("accuracy_radius_km".to_owned(), json!(place.radius_km));
    }
    Value::Object(data)
}

/// OCSF wants a name beside coordinates; a place without any is told by `data` alone.
fn location(place: &EvidencePlace) -> Option<Value> {
    let mut out = json!({
        "coordinates": [place.longitude, place.latitude],
        "lat": place.latitude,
        "long": place.longitude,
    });
    let names = [
        ("city", &place.city),
        ("region", &place.region),
        ("country", &place.country),
    ];
    let known = names.into_iter().filter(|(_, value)| !value.is_empty());
    let count = known.map(|(name, value)| out[name] = json!(value)).count();
    (count > 0).then_some(out)
}

fn anomalies(account: &str, measures: &[Measure]) -> Option<Value> {
    let parameter = |measure: &Measure, value: f64| json!({"observation_parameter": measure.name, "observations": [{"count": 1, "value": value.to_string()}]});
    let held: Vec<&Measure> = measures.iter().filter(|m| m.limit.is_some()).collect();
    if held.is_empty() || account.is_empty() {
        return None;
    }
    Some(json!({
        "analysis_targets": [{"name": account, "type": "user"}],
        "anomalies": held.iter().map(|m| parameter(m, m.value)).collect::<Vec<_>>(),
        "baselines": held.iter().map(|m| parameter(m, m.limit.unwrap_or_default())).collect::<Vec<_>>(),
    }))
}

fn observables(accounts: &[String], evidence: &[Evidence]) -> Vec<Value> {
    let mut out: Vec<(u32, &'static str, &'static str, String)> = accounts
        .iter()
        .map(|a| (4, "User Name", "resources[].name", a.clone()))
        .collect();
    for item in evidence.iter().take(EVIDENCE_MAX) {
        if let Some(address) = item.address {
            out.push((2, "IP Address", "evidences[].src_endpoint.ip", address.to_string()));
        }
        if !item.device.is_empty() {
            out.push((10, "Resource UID", "evidences[].resources[].uid", item.device.clone()));
        }
    }
    out.sort();
    out.dedup();
    let encode = |(type_id, kind, name, value)| json!({"name": name, "type": kind, "type_id": type_id, "value": value});
    out.into_iter().map(encode).collect()
}

fn confidence(score: u8) -> (u8, &'static str) {
    match score {
        0..40 => (1, "Low"),
        40..70 => (2, "Medium"),
        _ => (3, "High"),
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Informational => "Informational",
        Severity::Low => "Low",
        Severity::Medium => "Medium",
        Severity::High => "High",
        Severity::Critical => "Critical",
    }
}

fn risk_level(risk: Severity) -> &'static str {
    match risk {
        Severity::Informational => "Info",
        other => severity(other),
    }
}
