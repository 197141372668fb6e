//! Offsets of a group: what it has of its sources, and those that are to be committed.

use std::collections::BTreeMap;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};

use super::context::Group;
use super::failure::describe;
use super::log::{ASK, ASK_COMMITTED, LogSettings, Membership};
use crate::service::log::{Failure, TopicPartition};

/// What of a source was there when a member of its group came.
#[derive(Clone, Copy)]
struct Found {
    exists: bool,
    /// The highest partition of which the group has an offset.
    highest: Option<i32>,
}

/// The highest partition of each source that is not new to the group, -1 where all of a source is new to it: what stands
/// behind was added since it began to read, and is read from its beginning. A source is new that does not exist yet, and
/// one without offsets beside one with: it came to the configuration later. Sources about which the brokers do not answer
/// are left out.
pub(super) fn topics_read_before(settings: &LogSettings, consumer: &BaseConsumer<Group>) -> BTreeMap<String, i32> {
    let Membership::Group(topics) = &settings.membership else {
        return BTreeMap::new();
    };
    // What only stages with state read is made by intake, from its beginning.
    let sources = topics.iter().filter(|_| !settings.has_reader);
    let find = |topic: &str| -> Result<Found, KafkaError> {
        let metadata = consumer.fetch_metadata(Some(topic), ASK)?;
        let mut all = TopicPartitionList::new();
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            all.add_partition(topic, partition.id());
        }
        if all.count() == 0 {
            return Ok(Found {
                exists: false,
                highest: None,
            });
        }
        let committed = consumer.committed_offsets(all, ASK_COMMITTED)?;
        let elements = committed.elements();
        let is_read = |element: &&TopicPartitionListElem<'_>| matches!(element.offset(), Offset::Offset(_));
        let read = elements.iter().filter(is_read).map(TopicPartitionListElem::partition);
        Ok(Found {
            exists: true,
            highest: read.max(),
        })
    };
    let mut found = BTreeMap::new();
    for topic in sources {
        match find(topic) {
            Ok(of_topic) => drop(found.insert(topic.clone(), of_topic)),
            Err(error) => tracing::warn!(
                topic,
                detail = describe(&error),
                "the group's offsets are not known: a partition without one begins where `start_from` says"
            ),
        }
    }
    not_new(found)
}

fn not_new(found: BTreeMap<String, Found>) -> BTreeMap<String, i32> {
    let has_begun = found.values().any(|found| found.highest.is_some());
    let highest = |found: Found| {
        let is_new = !found.exists || has_begun;
        found.highest.or(is_new.then_some(-1))
    };
    let all = found.into_iter();
    all.filter_map(|(topic, found)| Some((topic, highest(found)?)))
        .collect()
}

pub(super) fn plain_offsets(next: &[(TopicPartition, i64)]) -> Result<TopicPartitionList, Failure> {
    let mut offsets = TopicPartitionList::with_capacity(next.len());
    for (at, offset) in next {
        offsets
            .add_partition_offset(&at.topic, at.partition, Offset::Offset(*offset))
            .map_err(|error| Failure::Abort(describe(&error)))?;
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(topics: [(&str, usize, &[i32]); 2]) -> Vec<(String, i32)> {
        let found = topics.into_iter().map(|(topic, partitions, read)| {
            let of_topic = Found {
                exists: partitions > 0,
                highest: read.iter().max().copied(),
            };
            (topic.to_owned(), of_topic)
        });
        not_new(found.collect()).into_iter().collect()
    }

    fn named(topics: &[(&str, i32)]) -> Vec<(String, i32)> {
        topics
            .iter()
            .map(|(topic, highest)| ((*topic).to_owned(), *highest))
            .collect()
    }

    #[test]
    fn what_comes_later_is_new_and_what_is_there_at_the_first_start_is_not() {
        let first_start = of([("auth", 3, &[]), ("vpn", 3, &[])]);
        assert_eq!(first_start, named(&[]), "`start_from` decides");
        let one_is_missing = of([("auth", 3, &[]), ("vpn", 0, &[])]);
        assert_eq!(
            one_is_missing,
            named(&[("vpn", -1)]),
            "whatever comes to it comes later"
        );
        let configured_later = of([("auth", 3, &[0, 1]), ("vpn", 3, &[])]);
        assert_eq!(configured_later, named(&[("auth", 1), ("vpn", -1)]));
    }
}
