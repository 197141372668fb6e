//! librdkafka's broker inside this process, for the demo.
//!
//! It keeps no transactional offsets, shows aborted records, forgets a partition's oldest records beyond 5 MiB and
//! cannot create topics on request; so the demo reads fixed partitions from their beginning and restores nothing.

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use crate::service::topics::TopicNames;

use super::connection::Connection;
use super::io::IoError;

/// A broker that lives as long as this value.
pub struct MockBroker {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl MockBroker {
    /// Starts one broker with these topics and partition counts.
    ///
    /// # Errors
    /// [`IoError`] if the broker cannot start or a topic is refused.
    pub fn start(topics: &[(&str, u32)]) -> Result<Self, IoError> {
        let cluster = MockCluster::new(1).map_err(|error| IoError(error.to_string()))?;
        for (topic, partitions) in topics {
            cluster
                .create_topic(topic, i32::try_from(*partitions).unwrap_or(i32::MAX), 1)
                .map_err(|error| IoError(format!("topic {topic}: {error}")))?;
        }
        Ok(Self { cluster })
    }

    /// Starts one broker with the topics of an application and one source.
    ///
    /// # Errors
    /// As [`MockBroker::start`].
    pub fn with_topics(names: &TopicNames, source: &str, source_partitions: u32) -> Result<Self, IoError> {
        let own = [&names.observations, &names.links, &names.alerts, &names.dead_letters];
        let mut topics: Vec<(&str, u32)> = own.into_iter().map(|name| (&**name, names.partitions)).collect();
        topics.push((source, source_partitions));
        Self::start(&topics)
    }

    /// How to reach it.
    #[must_use]
    pub fn connection(&self) -> Connection {
        Connection::plaintext(&self.cluster.bootstrap_servers())
    }
}
