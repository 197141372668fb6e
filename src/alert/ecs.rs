//! Elastic Common Schema 8 as JSON, for SIEMs that ingest ECS: `event.kind` is `alert`, severity in Elastic's four steps.

use serde_json::{Value, json};

use super::{Alert, rfc3339, risk_score};
use crate::model::Severity;

/// Version of the schema.
pub const VERSION: &str = "8.17.0";

/// Encodes an alert. The same alert gives the same bytes.
#[must_use]
pub fn encode(alert: &Alert<'_>) -> Vec<u8> {
    let (finding, rule) = (alert.finding, alert.rule);
    let mut addresses: Vec<String> = finding
        .evidence
        .iter()
        .filter_map(|e| e.address)
        .map(|a| a.to_string())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    let mut devices: Vec<&str> = finding
        .evidence
        .iter()
        .map(|e| e.device.as_str())
        .filter(|d| !d.is_empty())
        .collect();
    devices.sort_unstable();
    devices.dedup();
    let mut record = json!({
        "@timestamp": rfc3339(finding.last_ms),
        "ecs": {"version": VERSION},
        "event": {
            "category": ["authentication"],
            "created": rfc3339(alert.created_ms),
            "dataset": "falsefront.alert",
            "end": rfc3339(finding.last_ms),
            "id": alert.record_uid().to_string(),
            "kind": "alert",
            "module": "falsefront",
            "risk_score": f64::from(risk_score(finding.severity)),
            "severity": severity(finding.severity),
            "start": rfc3339(finding.first_ms),
            "type": ["info"],
        },
        "falsefront": {
            "alert_uid": alert.uid.to_string(),
            "confidence": finding.confidence,
            "data_versions": finding.data_versions,
            "evidence": finding.evidence,
            "guards": finding.guards,
            "is_alert": alert.is_alert(),
            "measures": finding.measures,
            "revision": alert.revision,
            "subject": finding.subject,
        },
        "message": finding.message,
        "related": {"hosts": devices, "ip": addresses, "user": finding.accounts},
        "rule": {
            "description": rule.description,
            "id": rule.detection.as_str(),
            "name": rule.title,
            "ruleset": "falsefront",
            "version": rule.version,
        },
        "threat": {
            "framework": "MITRE ATT&CK",
            "tactic": {"id": ids(rule.attacks.iter().map(|a| a.tactic_uid))},
            "technique": {"id": ids(rule.attacks.iter().map(|a| a.uid))},
        },
    });
    if let Some(account) = finding.accounts.first() {
        record["user"] = json!({"name": account});
    }
    if let Some(last) = finding.evidence.iter().rev().find_map(|e| e.address) {
        record["source"] = json!({"ip": last.to_string()});
    }
    serde_json::to_vec(&record).unwrap_or_default()
}

fn ids<'a>(ids: impl Iterator<Item = &'a str>) -> Value {
    let mut ids: Vec<&str> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    json!(ids)
}

/// Elastic maps severities to 21, 47, 73 and 99.
fn severity(severity: Severity) -> u8 {
    risk_score(severity).max(21)
}
