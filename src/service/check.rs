//! `falsefront check`: everything that could keep `run` from working, found without starting it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::config::Config;
use super::kafka::admin::{Admin, AdminError};
use super::reference;
use super::run::keyed_source_refusal;
use super::supervisor::ServiceSettings;
use super::{settings, topics};

/// Longest a question to the cluster may take.
const ASK: Duration = Duration::from_secs(10);

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// `run` would refuse or fail.
    pub problems: Vec<String>,
    /// Brokers that do not answer, so that nothing is known of the topics; `run` would wait for them.
    pub unanswered: Vec<String>,
    /// `run` would start, but the operator should know.
    pub warnings: Vec<String>,
    /// What is well.
    pub fine: Vec<String>,
}

/// Checks files, brokers and topics of a configuration that has been loaded.
#[must_use]
pub fn check(config: &Config) -> Report {
    let mut report = Report::default();
    reference_data(config, &mut report);
    match settings::service(config) {
        Ok(service) => match service.refused_by_librdkafka() {
            Some(why) => report.problems.push(why),
            None => cluster(config, &service, &mut report),
        },
        Err(error) => report.problems.push(error.to_string()),
    }
    if config.hash_key_file.is_none() {
        report.warnings.push(
            "hash_key_file is not set: the key is derived from `application`, so whoever knows it can aim account \
             names at one partition; make one with `head -c 16 /dev/urandom > FILE` before the topics exist"
                .to_owned(),
        );
    }
    report.warnings.extend(settings::weaknesses(config));
    let tls = if cfg!(feature = "tls") {
        "built in"
    } else {
        "not built in (`--features tls`)"
    };
    report.fine.push(format!("TLS: {tls}"));
    report
}

fn reference_data(config: &Config, report: &mut Report) {
    match reference::load(&settings::reference_files(config)) {
        Err(error) => report.problems.push(error.to_string()),
        Ok((reference, problems)) => {
            let left_out = problems.iter().map(|problem| format!("left out: {problem}"));
            report.warnings.extend(left_out);
            for dataset in reference.summary().datasets {
                if dataset.records == 0 {
                    let what = format!("{}: no record in it; correct the file or its key", dataset.file);
                    report.warnings.push(what);
                    continue;
                }
                report.fine.push(format!(
                    "{}: {} records, {}",
                    dataset.file, dataset.records, dataset.version
                ));
            }
            if config.geoip.files.is_empty() {
                report.warnings.push(
                    "geoip.files is empty: no address has a place, so nothing about travel or claims is found"
                        .to_owned(),
                );
            }
            if config.roster.file.is_none() && config.roster.topic.is_none() {
                report
                    .warnings
                    .push("neither roster.file nor roster.topic is set: nobody claims to be anywhere".to_owned());
            }
        }
    }
}

/// Brokers that are silent may come back by themselves; a refusal needs the operator.
fn not_asked(error: &AdminError, report: &mut Report) {
    match error {
        AdminError::Unreachable { .. } => report.unanswered.push(format!("{error}; `run` would wait for them")),
        _ => report.problems.push(error.to_string()),
    }
}

fn cluster(config: &Config, service: &ServiceSettings, report: &mut Report) {
    let admin = match Admin::new(&service.connection) {
        Ok(admin) => admin,
        Err(error) => return report.problems.push(error.to_string()),
    };
    match topics::plan(&admin, &service.topics, ASK) {
        Err(error) => return not_asked(&error, report),
        Ok(plan) => {
            report.warnings.extend(plan.warnings);
            if config.topics.allow_unsafe {
                report.warnings.extend(plan.refusals);
            } else {
                report.problems.extend(plan.refusals);
            }
            report.fine.extend(
                plan.keep
                    .iter()
                    .map(|topic| format!("topic {topic} is as it should be")),
            );
            for topic in plan.create.iter().map(|topic| &topic.name) {
                if config.topics.create {
                    report.fine.push(format!("topic {topic} will be created by `run`"));
                } else {
                    report.problems.push(format!(
                        "topic {topic} is missing and topics.create is false; run `falsefront topics apply`"
                    ));
                }
            }
        }
    }
    let sources = service.sources.iter().map(|source| source.topic.as_str());
    let topics: Vec<&str> = sources.chain(config.roster.topic.as_deref()).collect();
    match admin.partition_counts(&topics, ASK) {
        Err(error) => not_asked(&error, report),
        Ok(found) => read_topics(config, &found, report),
    }
}

/// What is read, by the partitions that were `found`.
fn read_topics(config: &Config, found: &BTreeMap<String, usize>, report: &mut Report) {
    for source in config.sources.iter().map(|source| &source.topic) {
        match found.get(source) {
            Some(partitions) => report.fine.push(format!("source {source}: {partitions} partitions")),
            None => report.warnings.push(format!(
                "source {source}: no such topic yet, `run` waits for it; create it or correct [[sources]]"
            )),
        }
    }
    if let Some(topic) = &config.roster.topic {
        match found.get(topic) {
            Some(_) => report.fine.push(format!("roster.topic {topic} is there")),
            None => report.problems.push(format!(
                "roster.topic {topic}: no such topic, and `run` ends without it; create it compacted or correct the name"
            )),
        }
    }
    report.problems.extend(keyed_source_refusal(config, found));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::Format;
    use crate::service::config::{Scalar, SourceConfig};

    fn examined(roster: &str, networks: &str) -> Report {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        let mut config = Config::default();
        config.roster.file = path("roster.csv", roster);
        config.networks.file = path("networks.csv", networks);
        let mut report = Report::default();
        reference_data(&config, &mut report);
        report
    }

    #[test]
    fn lines_left_out_are_warnings_as_run_takes_them() {
        let report = examined(
            "account,country\na,UK\nb,US\n",
            "network,class,label\n192.0.2.0/24,vpn,Astrill\n",
        );
        assert_eq!(report.problems, [""; 0]);
        let left_out: Vec<_> = report
            .warnings
            .iter()
            .filter(|warning| warning.contains("roster.csv:2"))
            .collect();
        assert!(
            left_out.len() == 1 && left_out[0].starts_with("left out: "),
            "{report:?}"
        );
        assert!(
            report.fine.iter().any(|fine| fine.contains("roster.csv: 1 records")),
            "{report:?}"
        );
    }

    #[test]
    fn silent_brokers_are_no_mistake_and_a_refusal_is() {
        let (brokers, detail) = ("a:9092".to_owned(), "timed out".to_owned());
        let mut report = Report::default();
        let silent = AdminError::Unreachable {
            brokers: brokers.clone(),
            detail: detail.clone(),
        };
        not_asked(&silent, &mut report);
        assert_eq!((report.problems.len(), report.unanswered.len()), (0, 1));
        not_asked(&AdminError::Refused { brokers, detail }, &mut report);
        assert_eq!((report.problems.len(), report.unanswered.len()), (1, 1));
    }

    #[test]
    fn settings_that_librdkafka_refuses_are_found_although_no_broker_answers() {
        for (key, value, told) in [
            (
                "session.timeout.ms",
                "soon",
                "consumer: setting session.timeout.ms is refused",
            ),
            ("max.poll.interval.ms", "5000", "max.poll.interval.ms"),
            (
                "queue.buffering.max.messages",
                "many",
                "producer: setting queue.buffering.max.messages is refused",
            ),
        ] {
            let mut config = Config::default();
            config.kafka.brokers = "127.0.0.1:1".to_owned();
            let value = Scalar::Text(value.to_owned());
            config.kafka.librdkafka.insert(key.to_owned(), value);
            let report = check(&config);
            let is_told = report.problems.iter().any(|problem| problem.contains(told));
            assert!(is_told && report.unanswered.is_empty(), "{report:?}");
            let refused = crate::service::run::run(&config);
            assert!(
                matches!(refused, Err(crate::service::run::RunError::Configuration(_))),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn a_roster_s_topic_that_is_missing_keeps_run_from_working_and_a_source_does_not() {
        let mut config = Config::default();
        config.roster.topic = Some("hr.roster".to_owned());
        config.sources = vec![SourceConfig {
            topic: "auth".to_owned(),
            format: Format::Auto,
        }];
        let counts = |topics: &[&str]| {
            let mut report = Report::default();
            let found = topics.iter().map(|topic| ((*topic).to_owned(), 3)).collect();
            read_topics(&config, &found, &mut report);
            [report.problems.len(), report.warnings.len(), report.fine.len()]
        };
        assert_eq!(counts(&["auth", "hr.roster"]), [0, 0, 2]);
        assert_eq!(counts(&[]), [1, 1, 0]);
    }

    #[test]
    fn files_without_a_record_are_warned_of() {
        let report = examined("account\n", "network,class,label\n");
        let warned = |file: &str| {
            let start = format!("{file}: no record in it");
            report.warnings.iter().any(|warning| warning.contains(&start))
        };
        assert!(warned("roster.csv") && warned("networks.csv"), "{report:?}");
        assert_eq!(report.problems, [""; 0]);
        assert_eq!(report.fine, [""; 0]);
    }
}
