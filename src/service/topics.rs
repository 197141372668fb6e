//! The topics falsefront owns: their names, the settings they need, and what makes them unsafe.
//!
//! `plan` compares what should be with what is; it never changes a topic that exists.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::sync::Arc;
use std::time::Duration;

use siphasher::sip::SipHasher24;

use crate::model::key::HashKey;
use crate::service::kafka::admin::{Admin, AdminError};
use crate::service::worker::stage::Role;

/// What we may write as one record, bytes; the brokers' default of `max.message.bytes`.
const RECORD_BYTES_MAX: i64 = 1_048_588;
/// Version of the layout of state and topics; part of the fingerprint.
const LAYOUT: u32 = 1;

/// Names and partition count of the topics of one application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicNames {
    /// Packed observations.
    pub observations: Arc<str>,
    /// Ties between accounts and shared things.
    pub links: Arc<str>,
    /// State.
    pub checkpoints: Arc<str>,
    /// What subscribers read.
    pub alerts: Arc<str>,
    /// What could not be used.
    pub dead_letters: Arc<str>,
    /// Partitions of each but `checkpoints`, which has one for each partition of each stage.
    pub partitions: u32,
}

impl TopicNames {
    /// The topics of `application`.
    #[must_use]
    pub fn new(application: &str, partitions: u32) -> Self {
        let name = |topic: &str| Arc::from(format!("{application}.{topic}"));
        Self {
            observations: name("observations"),
            links: name("links"),
            checkpoints: name("checkpoints"),
            alerts: name("alerts"),
            dead_letters: name("dead-letters"),
            partitions: partitions.max(1),
        }
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> [&str; 5] {
        [
            &self.observations,
            &self.links,
            &self.checkpoints,
            &self.alerts,
            &self.dead_letters,
        ]
        .map(|name| &**name)
    }

    /// Partition of `checkpoints` that holds the state of `partition` of a stage, so that a restore reads only its own.
    #[must_use]
    pub fn checkpoint_partition(&self, role: Role, partition: i32) -> i32 {
        match role {
            Role::Intake | Role::Accounts => partition,
            Role::Entities => partition + i32::try_from(self.partitions).unwrap_or(0),
        }
    }

    /// Fingerprint of what must stay the same for the life of the topics.
    #[must_use]
    pub fn fingerprint(&self, hash_key: &HashKey) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&hash_key.0);
        hasher.write_u32(LAYOUT);
        hasher.write_u32(self.partitions);
        hasher.finish()
    }

    /// What each topic should be on a cluster of `brokers` brokers.
    #[must_use]
    pub fn wanted(&self, brokers: usize) -> Vec<WantedTopic> {
        let replication = brokers.clamp(1, 3);
        let base = |name: &Arc<str>, partitions: u32, settings: &[(&'static str, &str)]| {
            let mut all: BTreeMap<&'static str, String> = settings
                .iter()
                .map(|(key, value)| (*key, (*value).to_owned()))
                .collect();
            all.insert("min.insync.replicas", replication.saturating_sub(1).max(1).to_string());
            all.insert("unclean.leader.election.enable", "false".to_owned());
            WantedTopic {
                name: name.clone(),
                partitions,
                replication,
                settings: all,
            }
        };
        // A restore needs what was written since the oldest chunk, however much that is.
        let passing = [
            ("cleanup.policy", "delete"),
            ("message.timestamp.type", "LogAppendTime"),
            ("retention.ms", "172800000"),
            ("retention.bytes", "-1"),
        ];
        let kept = [
            ("cleanup.policy", "delete"),
            ("message.timestamp.type", "LogAppendTime"),
            ("retention.ms", "2592000000"),
        ];
        let compacted = [
            ("cleanup.policy", "compact"),
            ("min.compaction.lag.ms", "3600000"),
            ("max.compaction.lag.ms", "21600000"),
            ("segment.ms", "900000"),
            ("segment.bytes", "67108864"),
            ("min.cleanable.dirty.ratio", "0.2"),
            ("delete.retention.ms", "86400000"),
        ];
        vec![
            base(&self.observations, self.partitions, &passing),
            base(&self.links, self.partitions, &passing),
            base(&self.checkpoints, self.partitions * 2, &compacted),
            base(&self.alerts, self.partitions, &kept),
            base(&self.dead_letters, self.partitions, &kept),
        ]
    }
}

/// What a topic should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedTopic {
    /// Name.
    pub name: Arc<str>,
    /// Partitions.
    pub partitions: u32,
    /// Replicas of each.
    pub replication: usize,
    /// Topic settings.
    pub settings: BTreeMap<&'static str, String>,
}

/// What a topic is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundTopic {
    /// Partitions.
    pub partitions: usize,
    /// Fewest replicas of any partition.
    pub replication: usize,
    /// Topic settings.
    pub settings: BTreeMap<String, String>,
    /// Why they are not known, if the brokers do not tell them.
    pub unknown: Option<String>,
}

impl FoundTopic {
    /// A setting that is a number, if it is known.
    #[must_use]
    pub fn number(&self, setting: &str) -> Option<i64> {
        self.settings.get(setting)?.parse().ok()
    }
}

/// The difference between the two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// To be created.
    pub create: Vec<WantedTopic>,
    /// Exist and do.
    pub keep: Vec<Arc<str>>,
    /// Work, but the operator should know.
    pub warnings: Vec<String>,
    /// Would lose or repeat alerts: `run` refuses to start.
    pub refusals: Vec<String>,
}

impl Plan {
    /// Compares.
    #[must_use]
    pub fn compare(wanted: Vec<WantedTopic>, found: &BTreeMap<String, FoundTopic>, brokers: usize) -> Self {
        let mut plan = Self::default();
        if brokers < 3 {
            plan.warnings.push(format!(
                "the cluster has {brokers} broker(s): topics get replication factor {}; a lost disk loses alerts. \
                 Use three brokers or more in production",
                brokers.clamp(1, 3)
            ));
        }
        for topic in wanted {
            match found.get(&*topic.name) {
                None => plan.create.push(topic),
                Some(is) => {
                    let refusals = plan.refusals.len();
                    plan.inspect(&topic, is, brokers);
                    if plan.refusals.len() == refusals {
                        plan.keep.push(topic.name);
                    }
                }
            }
        }
        plan
    }

    fn inspect(&mut self, topic: &WantedTopic, is: &FoundTopic, brokers: usize) {
        let name = &topic.name;
        if is.partitions != usize::try_from(topic.partitions).unwrap_or(usize::MAX) {
            self.refusals.push(format!(
                "{name} has {} partitions, the configuration says {}: set intake.partitions to what the topics have, \
                 or choose another `application`",
                is.partitions, topic.partitions
            ));
        }
        if is.replication < topic.replication && brokers >= 3 {
            self.refusals.push(format!(
                "{name} has replication factor {} on {brokers} brokers: raise it to {} with \
                 kafka-reassign-partitions.sh",
                is.replication, topic.replication
            ));
        }
        if let Some(why) = &is.unknown {
            let settings: Vec<String> = (topic.settings.iter())
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            self.warnings.push(format!(
                "the settings of {name} are not known ({why}): allow DescribeConfigs on it, or see that it has {}",
                settings.join(", ")
            ));
        }
        let bytes_max = is.number("max.message.bytes");
        if let Some(found) = bytes_max.filter(|bytes| *bytes < RECORD_BYTES_MAX) {
            self.refusals.push(format!(
                "{name} has max.message.bytes={found}, which refuses records that are written there: kafka-configs.sh \
                 --alter --topic {name} --add-config max.message.bytes={RECORD_BYTES_MAX}"
            ));
        }
        for (key, value) in &topic.settings {
            let Some(found) = is.settings.get(*key) else { continue };
            if found == value {
                continue;
            }
            let remedy = format!(
                "{name} has {key}={found}, needed is {value}: kafka-configs.sh --alter --topic {name} --add-config \
                 {key}={value}"
            );
            let is_unsafe = match *key {
                "cleanup.policy" | "message.timestamp.type" => true,
                "unclean.leader.election.enable" => brokers >= 3,
                "min.insync.replicas" => number(found) < number(value),
                "retention.ms" => (0..86_400_000).contains(&number(found)),
                _ => false,
            };
            if is_unsafe {
                self.refusals.push(remedy);
            } else if *key != "retention.ms" {
                self.warnings.push(remedy);
            }
        }
    }
}

fn number(text: &str) -> i64 {
    text.parse().unwrap_or(i64::MAX)
}

/// Compares the cluster with what `names` needs.
///
/// # Errors
/// [`AdminError`] if the cluster cannot be asked.
pub fn plan(admin: &Admin, names: &TopicNames, timeout: Duration) -> Result<Plan, AdminError> {
    let brokers = admin.broker_count(timeout)?;
    let wanted = names.wanted(brokers);
    let topics: Vec<&str> = wanted.iter().map(|topic| &*topic.name).collect();
    let found = admin.describe(&topics, timeout)?;
    Ok(Plan::compare(wanted, &found, brokers))
}

/// Creates what the plan says is missing.
///
/// # Errors
/// [`AdminError`] with the topic the cluster refused.
pub fn apply(admin: &Admin, plan: &Plan, timeout: Duration) -> Result<(), AdminError> {
    admin.create(&plan.create, timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(topic: &WantedTopic) -> FoundTopic {
        FoundTopic {
            partitions: topic.partitions as usize,
            replication: topic.replication,
            settings: topic
                .settings
                .iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone()))
                .collect(),
            unknown: None,
        }
    }

    fn cluster(brokers: usize) -> BTreeMap<String, FoundTopic> {
        let wanted = TopicNames::new("app", 6).wanted(brokers);
        wanted
            .iter()
            .map(|topic| (topic.name.to_string(), found(topic)))
            .collect()
    }

    #[test]
    fn settings_that_the_brokers_do_not_tell_are_no_proof() {
        let mut found = cluster(3);
        let alerts = found.get_mut("app.alerts").unwrap();
        alerts.settings.clear();
        alerts.unknown = Some("TOPIC_AUTHORIZATION_FAILED".to_owned());
        let plan = Plan::compare(TopicNames::new("app", 6).wanted(3), &found, 3);
        assert_eq!((plan.warnings.len(), plan.refusals), (1, vec![]));
        assert!(
            plan.warnings[0].starts_with("the settings of app.alerts are not known (TOPIC_"),
            "{}",
            plan.warnings[0]
        );
    }

    #[test]
    fn nothing_to_do_on_a_cluster_that_has_everything() {
        let plan = Plan::compare(TopicNames::new("app", 6).wanted(3), &cluster(3), 3);
        assert_eq!((plan.create.len(), plan.keep.len()), (0, 5));
        assert_eq!((plan.warnings, plan.refusals), (vec![], vec![]));
    }

    #[test]
    fn one_broker_is_a_warning_and_an_empty_cluster_a_list() {
        let plan = Plan::compare(TopicNames::new("app", 6).wanted(1), &BTreeMap::new(), 1);
        assert_eq!(plan.create.len(), 5);
        assert!(plan.create.iter().all(|topic| topic.replication == 1));
        assert_eq!(plan.warnings.len(), 1);
        assert!(plan.refusals.is_empty());
    }

    #[test]
    fn each_unsafe_setting_is_refused_by_name() {
        for (key, value) in [
            ("cleanup.policy", "compact"),
            ("message.timestamp.type", "CreateTime"),
            ("min.insync.replicas", "1"),
            ("unclean.leader.election.enable", "true"),
            ("retention.ms", "3600000"),
            ("max.message.bytes", "100000"),
        ] {
            let mut cluster = cluster(3);
            let topic = cluster.get_mut("app.observations").unwrap();
            topic.settings.insert(key.to_owned(), value.to_owned());
            let plan = Plan::compare(TopicNames::new("app", 6).wanted(3), &cluster, 3);
            assert_eq!(plan.refusals.len(), 1, "{key}");
            assert!(plan.refusals[0].contains("app.observations") && plan.refusals[0].contains(key));
        }
        let mut cluster = cluster(3);
        cluster.get_mut("app.links").unwrap().partitions = 12;
        let plan = Plan::compare(TopicNames::new("app", 6).wanted(3), &cluster, 3);
        assert!(plan.refusals[0].contains("12 partitions"));
    }

    #[test]
    fn what_a_restore_may_miss_is_warned_of() {
        for (topic, key, value) in [
            ("app.observations", "retention.bytes", "1073741824"),
            ("app.links", "retention.bytes", "0"),
            ("app.checkpoints", "max.compaction.lag.ms", "9223372036854775807"),
        ] {
            let mut cluster = cluster(3);
            let settings = &mut cluster.get_mut(topic).unwrap().settings;
            settings.insert(key.to_owned(), value.to_owned());
            let plan = Plan::compare(TopicNames::new("app", 6).wanted(3), &cluster, 3);
            assert_eq!((plan.warnings.len(), plan.refusals), (1, vec![]), "{topic} {key}");
            assert!(plan.warnings[0].starts_with(&format!("{topic} has {key}={value}, needed is ")));
        }
    }

    #[test]
    fn the_stages_keep_their_checkpoints_apart() {
        let names = TopicNames::new("app", 6);
        let accounts: Vec<i32> = (0..6).map(|p| names.checkpoint_partition(Role::Accounts, p)).collect();
        let entities: Vec<i32> = (0..6).map(|p| names.checkpoint_partition(Role::Entities, p)).collect();
        assert_eq!(accounts, [0, 1, 2, 3, 4, 5]);
        assert_eq!(entities, [6, 7, 8, 9, 10, 11]);
    }
}
