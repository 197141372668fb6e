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

/// Sources of which the group has offsets, each with the highest partition that has one. Where the brokers do not say, none.
pub(super) fn topics_read_before(settings: &LogSettings, consumer: &BaseConsumer<Group>) -> BTreeMap<String, i32> {
    let Membership::Group(topics) = &settings.membership else {
        return BTreeMap::new();
    };
    // What only stages with state read is made by intake, from its beginning.
    let sources = topics.iter().filter(|_| !settings.has_reader);
    let highest = |topic: &str| -> Result<Option<i32>, KafkaError> {
        let metadata = consumer.fetch_metadata(Some(topic), ASK)?;
        let mut all = TopicPartitionList::new();
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            all.add_partition(topic, partition.id());
        }
        if all.count() == 0 {
            return Ok(None);
        }
        let committed = consumer.committed_offsets(all, ASK_COMMITTED)?;
        let elements = committed.elements();
        let read = elements
            .iter()
            .filter(|element| matches!(element.offset(), Offset::Offset(_)));
        Ok(read.map(TopicPartitionListElem::partition).max())
    };
    let asked = |topic: &String| {
        let highest = highest(topic).unwrap_or_else(|error| {
            tracing::warn!(
                topic,
                detail = describe(&error),
                "the group's offsets are not known: a partition without one begins where `start_from` says"
            );
            None
        });
        Some((topic.clone(), highest?))
    };
    sources.filter_map(asked).collect()
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
