//! Looks at the topics while the service runs: whether our own are still those it was started with, and how long the
//! brokers keep what was not read.
//!
//! librdkafka tries for ever to reach a topic that was deleted, and writes to one that was created anew as if nothing had
//! happened. What is looked at is cheap: the cluster's metadata, settings, and the end of one partition of each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::kafka::Connection;
use super::kafka::admin::{Admin, AdminError};
use super::metrics::Metrics;
use super::topics::{FoundTopic, TopicNames};

/// Between two looks.
pub const LOOK_EVERY: Duration = Duration::from_secs(20);
/// Looks in a row that show the same trouble before it is believed: a broker that starts knows little.
const LOOKS: u32 = 3;
/// Between two warnings about records that are deleted soon.
const WARN_EVERY: Duration = Duration::from_secs(600);
/// Longest a question to the brokers may take.
const ASK: Duration = Duration::from_secs(10);

/// What to do where a topic of ours is not what it was.
const BEGIN_ANEW: &str = "stop every process of this `application`; then start again and follow what is said of each \
                          partition, or choose another `application`, which begins with topics of its own";

/// Looks after the topics of one application.
pub struct TopicWatch {
    admin: Admin,
    names: TopicNames,
    sources: BTreeSet<String>,
    own: OwnTopics,
    warned: Option<Instant>,
}

impl TopicWatch {
    /// For these topics and sources.
    ///
    /// # Errors
    /// [`AdminError::Settings`].
    pub fn new(connection: &Connection, names: &TopicNames, sources: BTreeSet<String>) -> Result<Self, AdminError> {
        Ok(Self {
            admin: Admin::new(connection)?,
            names: names.clone(),
            sources,
            own: OwnTopics::new(names),
            warned: None,
        })
    }

    /// Looks once. Says what is wrong with a topic of ours, if the service cannot go on with it.
    ///
    /// # Errors
    /// [`AdminError`] while the brokers do not answer.
    pub fn look(&mut self, metrics: &Metrics) -> Result<Option<String>, AdminError> {
        let own = self.names.all();
        let all: Vec<&str> = own.into_iter().chain(self.sources.iter().map(String::as_str)).collect();
        let found = self.admin.describe(&all, ASK)?;
        let mut ends = BTreeMap::new();
        for topic in [&self.names.observations, &self.names.links, &self.names.checkpoints] {
            if found.contains_key(&**topic)
                && let Ok((_, end)) = self.admin.bounds(topic, 0, ASK)
            {
                ends.insert(topic.to_string(), end);
            }
        }
        let trouble = self.own.judge(&found, &ends);
        if trouble.is_none() {
            self.look_at_retention(&found, metrics);
        }
        Ok(trouble)
    }

    fn look_at_retention(&mut self, found: &BTreeMap<String, FoundTopic>, metrics: &Metrics) {
        for (topic, is) in found {
            let Some(kept_ms) = is.number("retention.ms") else {
                continue;
            };
            metrics.set_retention(topic, kept_ms);
            let is_bounded = is.number("retention.bytes").is_some_and(|bytes| bytes >= 0);
            for partition in metrics.waiting_partitions(topic).into_iter().filter(|_| is_bounded) {
                if let Ok((first, end)) = self.admin.bounds(topic, partition, ASK) {
                    metrics.set_kept(topic, partition, first, end);
                }
            }
        }
        let endangered = metrics.endangered();
        if endangered.is_empty() || self.warned.is_some_and(|warned| warned.elapsed() < WARN_EVERY) {
            return;
        }
        self.warned = Some(Instant::now());
        for (topic, worst) in endangered {
            let (partition, seconds, partitions) = (worst.partition, worst.seconds.max(0.0).floor(), worst.partitions);
            tracing::warn!(
                topic,
                partition,
                seconds,
                partitions,
                "records that were not read are deleted soon; raise the topic's retention, or see why the stage is behind"
            );
        }
    }
}

/// What was seen of our own topics.
struct OwnTopics {
    names: TopicNames,
    /// Those that were there once: who may not see a topic does not know that it is gone.
    seen: BTreeSet<String>,
    /// Highest end of the partition that is looked at.
    ends: BTreeMap<String, i64>,
    trouble: Option<String>,
    looks: u32,
}

impl OwnTopics {
    fn new(names: &TopicNames) -> Self {
        Self {
            names: names.clone(),
            seen: BTreeSet::new(),
            ends: BTreeMap::new(),
            trouble: None,
            looks: 0,
        }
    }

    /// What is wrong, once it was so at several looks in a row.
    fn judge(&mut self, found: &BTreeMap<String, FoundTopic>, ends: &BTreeMap<String, i64>) -> Option<String> {
        let trouble = self.trouble(found, ends);
        self.looks = if trouble.is_some() { self.looks + 1 } else { 0 };
        self.trouble = trouble;
        self.trouble.clone().filter(|_| self.looks >= LOOKS)
    }

    fn trouble(&mut self, found: &BTreeMap<String, FoundTopic>, ends: &BTreeMap<String, i64>) -> Option<String> {
        let wanted = self.names.wanted(1);
        for topic in &wanted {
            let name = &*topic.name;
            let Some(is) = found.get(name) else {
                if self.seen.contains(name) {
                    return Some(format!("topic {name} was deleted while the service ran; {BEGIN_ANEW}"));
                }
                continue;
            };
            self.seen.insert(name.to_owned());
            if is.partitions != usize::try_from(topic.partitions).unwrap_or(usize::MAX) {
                return Some(format!(
                    "topic {name} has {} partitions and had {}: keys would be sought in other partitions than they are \
                     in, and none can be taken away; choose another `application`, which begins with topics of its own",
                    is.partitions, topic.partitions
                ));
            }
        }
        for (name, end) in ends {
            let highest = self.ends.entry(name.clone()).or_insert(*end);
            if end < highest {
                return Some(format!(
                    "topic {name} was created anew while the service ran: partition 0 ended at offset {highest}, and \
                     ends at {end}; {BEGIN_ANEW}"
                ));
            }
            *highest = *end;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &TopicNames) -> BTreeMap<String, FoundTopic> {
        let wanted = names.wanted(1).into_iter();
        wanted
            .map(|topic| {
                let is = FoundTopic {
                    partitions: usize::try_from(topic.partitions).unwrap(),
                    replication: 1,
                    settings: BTreeMap::new(),
                    unknown: None,
                };
                (topic.name.to_string(), is)
            })
            .collect()
    }

    fn ends(of_links: i64) -> BTreeMap<String, i64> {
        BTreeMap::from([("app.observations".to_owned(), 7), ("app.links".to_owned(), of_links)])
    }

    #[test]
    fn a_topic_that_is_not_what_it_was_is_named_after_several_looks() {
        let names = TopicNames::new("app", 6);
        let sound = found(&names);
        let mut deleted = sound.clone();
        deleted.remove("app.checkpoints");
        let mut grown = sound.clone();
        grown.get_mut("app.links").unwrap().partitions = 8;
        for (found, end, told) in [
            (
                &deleted,
                40,
                "topic app.checkpoints was deleted while the service ran; stop every process",
            ),
            (&grown, 40, "topic app.links has 8 partitions and had 6: "),
            (
                &sound,
                3,
                "topic app.links was created anew while the service ran: partition 0 ended at offset 40",
            ),
        ] {
            let mut own = OwnTopics::new(&names);
            assert_eq!(own.judge(&sound, &ends(40)), None);
            assert_eq!(own.judge(found, &ends(end)), None);
            assert_eq!(own.judge(found, &ends(end)), None, "a broker that starts knows little");
            let trouble = own.judge(found, &ends(end)).unwrap_or_default();
            assert!(trouble.starts_with(told), "{trouble}");
            assert_eq!(own.judge(&sound, &ends(41)), None);
            assert_eq!(own.judge(found, &ends(end)), None, "looks in a row");
        }
    }

    #[test]
    fn a_topic_that_was_never_seen_may_not_be_shown_to_us() {
        let names = TopicNames::new("app", 6);
        let mut hidden = found(&names);
        hidden.remove("app.links");
        let mut own = OwnTopics::new(&names);
        assert!((0..9).all(|_| own.judge(&hidden, &ends(40)).is_none()));
    }
}
