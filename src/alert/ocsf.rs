//! OCSF 1.8.0 Detection Finding (2004) as JSON. Fields stand in the order in which they are written.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;

use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::{Alert, risk_score, severity_id};
use crate::model::attack::{MATRIX_VERSION, Technique};
use crate::model::{Evidence, EvidencePlace, Guard, Measure, Severity};

/// Version of the schema.
pub const VERSION: &str = "1.8.0";
/// The schema as the header names it.
pub const SCHEMA: &str = "ocsf/1.8.0";
/// Pieces of evidence in one alert at most; the true number stands in `related_events_count`.
pub const EVIDENCE_MAX: usize = 64;

/// Bytes of most alerts about one account, at most.
const BYTES: usize = 6 * 1024;

/// Encodes an alert. The same alert gives the same bytes.
#[must_use]
pub fn encode(alert: &Alert<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BYTES);
    // Every field below is text, number or list: serialization cannot fail.
    let _ = serde_json::to_writer(&mut bytes, &Record::of(alert));
    bytes
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
    metadata: Metadata<'a>,
    finding_info: FindingInfo<'a>,
    evidences: Vec<EvidenceRecord<'a>>,
    anomaly_analyses: Vec<Anomalies<'a>>,
    resources: Vec<Resource<'a>>,
    observables: Vec<Observable>,
    actor: Actor<'a>,
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
            metadata: Metadata::of(alert),
            finding_info: FindingInfo::of(alert),
            evidences: (finding.evidence.iter().take(EVIDENCE_MAX))
                .map(EvidenceRecord::of)
                .collect(),
            anomaly_analyses: Anomalies::of(first_account, &finding.measures).into_iter().collect(),
            resources: (finding.accounts.iter())
                .map(|account| Resource::new(account, "user"))
                .collect(),
            observables: observables(&finding.accounts, &finding.evidence),
            actor: Actor {
                user: User::of(first_account),
            },
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

/// A value as text.
struct Shown<T>(T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[derive(Serialize)]
struct Metadata<'a> {
    correlation_uid: Shown<Uuid>,
    log_name: &'a str,
    product: Product<'a>,
    profiles: [&'static str; 1],
    uid: Shown<Uuid>,
    version: &'static str,
}

#[derive(Serialize)]
struct Product<'a> {
    name: &'a str,
    vendor_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
}

impl<'a> Metadata<'a> {
    fn of(alert: &Alert<'a>) -> Self {
        Self {
            correlation_uid: Shown(alert.uid),
            log_name: alert.topic,
            product: Product {
                name: "falsefront",
                vendor_name: "falsefront",
                version: Some(env!("CARGO_PKG_VERSION")),
            },
            profiles: ["host"],
            uid: Shown(alert.record_uid()),
            version: VERSION,
        }
    }
}

#[derive(Serialize)]
struct FindingInfo<'a> {
    analytic: Analytic,
    attacks: Vec<Attack>,
    created_time: i64,
    data_sources: Vec<&'a str>,
    desc: &'static str,
    first_seen_time: i64,
    last_seen_time: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_events: Vec<RelatedEvent<'a>>,
    related_events_count: usize,
    title: &'static str,
    types: [&'static str; 1],
    uid: Shown<Uuid>,
}

#[derive(Serialize)]
struct Analytic {
    name: &'static str,
    r#type: &'static str,
    type_id: u8,
    uid: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct Attack {
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_technique: Option<Named>,
    tactic: Named,
    technique: Named,
    version: &'static str,
}

#[derive(Serialize)]
struct Named {
    name: &'static str,
    uid: &'static str,
}

#[derive(Serialize)]
struct RelatedEvent<'a> {
    first_seen_time: i64,
    product: Product<'a>,
    title: &'a str,
    uid: &'a str,
}

impl<'a> FindingInfo<'a> {
    fn of(alert: &Alert<'a>) -> Self {
        let (finding, rule) = (alert.finding, alert.rule);
        let events = || finding.evidence.iter().filter(|e| !e.event_id.is_empty());
        let sources = finding.evidence.iter().map(|e| e.product.as_str());
        let mut data_sources: Vec<&str> = sources.filter(|product| !product.is_empty()).collect();
        data_sources.sort_unstable();
        data_sources.dedup();
        Self {
            analytic: Analytic {
                name: rule.title,
                r#type: "Behavioral",
                type_id: 2,
                uid: rule.detection.as_str(),
                version: rule.version,
            },
            attacks: rule.attacks.iter().map(Attack::of).collect(),
            created_time: alert.created_ms,
            data_sources,
            desc: rule.description,
            first_seen_time: finding.first_ms,
            last_seen_time: finding.last_ms,
            related_events: events().take(EVIDENCE_MAX).map(RelatedEvent::of).collect(),
            related_events_count: events().count(),
            title: rule.title,
            types: [rule.detection.as_str()],
            uid: Shown(alert.uid),
        }
    }
}

impl<'a> RelatedEvent<'a> {
    fn of(evidence: &'a Evidence) -> Self {
        Self {
            first_seen_time: evidence.time_ms,
            product: Product {
                name: &evidence.product,
                vendor_name: &evidence.product,
                version: None,
            },
            title: &evidence.role,
            uid: &evidence.event_id,
        }
    }
}

impl Attack {
    fn of(technique: &Technique) -> Self {
        Self {
            sub_technique: technique.sub.map(|(uid, name)| Named { name, uid }),
            tactic: Named {
                name: technique.tactic,
                uid: technique.tactic_uid,
            },
            technique: Named {
                name: technique.name,
                uid: technique.uid,
            },
            version: MATRIX_VERSION,
        }
    }
}

#[derive(Serialize)]
struct Actor<'a> {
    user: User<'a>,
}

#[derive(Serialize)]
struct User<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    email_addr: Option<&'a str>,
    name: &'a str,
    uid: &'a str,
}

impl<'a> User<'a> {
    fn of(account: &'a str) -> Self {
        Self {
            email_addr: account.contains('@').then_some(account),
            name: account,
            uid: account,
        }
    }
}

#[derive(Serialize)]
struct Resource<'a> {
    name: &'a str,
    r#type: &'static str,
    uid: &'a str,
}

impl<'a> Resource<'a> {
    fn new(name: &'a str, r#type: &'static str) -> Self {
        Self {
            name,
            r#type,
            uid: name,
        }
    }
}

#[derive(Serialize)]
struct EvidenceRecord<'a> {
    data: BTreeMap<&'a str, Datum<'a>>,
    name: &'a str,
    /// A `device` object needs a type that no login record states; a resource names the same thing without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<[Resource<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_endpoint: Option<Endpoint<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Datum<'a> {
    Text(&'a str),
    Number(i64),
}

#[derive(Serialize)]
struct Endpoint<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    autonomous_system: Option<AutonomousSystem<'a>>,
    ip: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<Location<'a>>,
}

#[derive(Serialize)]
struct AutonomousSystem<'a> {
    name: &'a str,
    number: u32,
}

#[derive(Serialize)]
struct Location<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    city: &'a str,
    coordinates: [f64; 2],
    #[serde(skip_serializing_if = "str::is_empty")]
    country: &'a str,
    lat: f64,
    long: f64,
    #[serde(skip_serializing_if = "str::is_empty")]
    region: &'a str,
}

impl<'a> EvidenceRecord<'a> {
    fn of(evidence: &'a Evidence) -> Self {
        let known = |text: &'a String| (!text.is_empty()).then_some(text.as_str());
        Self {
            data: data(evidence),
            name: &evidence.role,
            resources: known(&evidence.device).map(|device| [Resource::new(device, "device")]),
            src_endpoint: evidence.address.map(|ip| Endpoint {
                autonomous_system: (evidence.asn > 0).then_some(AutonomousSystem {
                    name: &evidence.organization,
                    number: evidence.asn,
                }),
                ip,
                location: evidence.place.as_ref().and_then(Location::of),
            }),
            uid: &evidence.event_id,
            user: known(&evidence.account).map(User::of),
        }
    }
}

fn data(evidence: &Evidence) -> BTreeMap<&str, Datum<'_>> {
    let facts = evidence.facts.iter();
    let mut data: BTreeMap<&str, Datum<'_>> = facts.map(|(name, value)| (name.as_str(), Datum::Text(value))).collect();
    data.insert("time", Datum::Number(evidence.time_ms));
    if let Some(class) = evidence.network_class {
        data.insert("network_class", Datum::Text(class.as_str()));
    }
    if !evidence.network_label.is_empty() {
        data.insert("network_label", Datum::Text(&evidence.network_label));
    }
    if let Some(place) = &evidence.place {
        data.insert("accuracy_radius_km", Datum::Number(place.radius_km.into()));
    }
    data
}

impl<'a> Location<'a> {
    /// OCSF wants a name beside coordinates; a place without any is told by `data` alone.
    fn of(place: &'a EvidencePlace) -> Option<Self> {
        let is_named = [&place.city, &place.region, &place.country]
            .iter()
            .any(|name| !name.is_empty());
        is_named.then_some(Self {
            city: &place.city,
            coordinates: [place.longitude, place.latitude],
            country: &place.country,
            lat: place.latitude,
            long: place.longitude,
            region: &place.region,
        })
    }
}

#[derive(Serialize)]
struct Anomalies<'a> {
    analysis_targets: [Target<'a>; 1],
    anomalies: Vec<Parameter<'a>>,
    baselines: Vec<Parameter<'a>>,
}

#[derive(Serialize)]
struct Target<'a> {
    name: &'a str,
    r#type: &'static str,
}

#[derive(Serialize)]
struct Parameter<'a> {
    observation_parameter: &'a str,
    observations: [Observation; 1],
}

#[derive(Serialize)]
struct Observation {
    count: u8,
    value: Shown<f64>,
}

impl<'a> Anomalies<'a> {
    fn of(account: &'a str, measures: &'a [Measure]) -> Option<Self> {
        let parameter = |measure: &'a Measure, value| Parameter {
            observation_parameter: measure.name.as_ref(),
            observations: [Observation {
                count: 1,
                value: Shown(value),
            }],
        };
        let held = || measures.iter().filter_map(|m| m.limit.map(|limit| (m, limit)));
        if account.is_empty() || held().next().is_none() {
            return None;
        }
        Some(Self {
            analysis_targets: [Target {
                name: account,
                r#type: "user",
            }],
            anomalies: held().map(|(m, _)| parameter(m, m.value)).collect(),
            baselines: held().map(|(m, limit)| parameter(m, limit)).collect(),
        })
    }
}

#[derive(Serialize)]
struct Observable {
    name: &'static str,
    r#type: &'static str,
    type_id: u32,
    value: String,
}

fn observables(accounts: &[String], evidence: &[Evidence]) -> Vec<Observable> {
    let observable = |type_id, r#type, name, value| Observable {
        name,
        r#type,
        type_id,
        value,
    };
    let accounts = accounts.iter();
    let mut out: Vec<Observable> = accounts
        .map(|account| observable(4, "User Name", "resources[].name", account.clone()))
        .collect();
    for item in evidence.iter().take(EVIDENCE_MAX) {
        if let Some(address) = item.address {
            let name = "evidences[].src_endpoint.ip";
            out.push(observable(2, "IP Address", name, address.to_string()));
        }
        if !item.device.is_empty() {
            let name = "evidences[].resources[].uid";
            out.push(observable(10, "Resource UID", name, item.device.clone()));
        }
    }
    out.sort_by(|a, b| (a.type_id, &a.value).cmp(&(b.type_id, &b.value)));
    out.dedup_by(|a, b| (a.type_id, &a.value) == (b.type_id, &b.value));
    out
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
