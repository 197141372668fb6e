//! Questions and changes to a cluster's topics.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;

use crate::service::topics::{FoundTopic, WantedTopic};

use super::connection::{Connection, Kind};
use super::contact::{Contact, NoAnswer};
use super::context::Quiet;
use super::failure::describe;

/// The cluster could not be asked, or refused.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// No answer.
    #[error("the brokers {brokers} do not answer: {detail}; check kafka.brokers and that they run")]
    Unreachable {
        /// Those asked.
        brokers: String,
        /// What librdkafka says.
        detail: String,
    },
    /// Somebody answers who does not let us in, or is not who we expect.
    #[error("the brokers {brokers} refuse the connection, or we refuse theirs: {detail}")]
    Refused {
        /// Those asked.
        brokers: String,
        /// What librdkafka says, and what to do.
        detail: String,
    },
    /// The client could not be made.
    #[error("{0}")]
    Settings(String),
    /// One topic was refused.
    #[error("topic {topic}: {detail}")]
    Topic {
        /// Which.
        topic: String,
        /// Why.
        detail: String,
    },
}

/// A client for questions and changes.
pub struct Admin {
    client: AdminClient<Quiet>,
    contact: Contact,
    brokers: String,
}

impl Admin {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// [`AdminError::Settings`] if librdkafka refuses a setting.
    pub fn new(connection: &Connection) -> Result<Self, AdminError> {
        let settings = |error: KafkaError| AdminError::Settings(describe(&error));
        let config: ClientConfig = connection.client(Kind::Admin, &[]);
        Ok(Self {
            client: config.create_with_context(Quiet).map_err(settings)?,
            contact: Contact::new(connection).map_err(settings)?,
            brokers: connection.brokers.clone(),
        })
    }

    fn unreachable(&self, error: &KafkaError) -> AdminError {
        AdminError::Unreachable {
            brokers: self.brokers.clone(),
            detail: describe(error),
        }
    }

    fn metadata(&self, timeout: Duration) -> Result<Metadata, AdminError> {
        let brokers = self.brokers.clone();
        self.contact.metadata(timeout).map_err(|why| match why {
            NoAnswer::Silence(detail) => AdminError::Unreachable { brokers, detail },
            NoAnswer::Refusal(detail) => AdminError::Refused { brokers, detail },
        })
    }

    /// How many brokers the cluster has.
    ///
    /// # Errors
    /// [`AdminError::Unreachable`].
    pub fn broker_count(&self, timeout: Duration) -> Result<usize, AdminError> {
        let metadata = self.metadata(timeout)?;
        Ok(metadata.brokers().len())
    }

    /// Partition counts of the topics that exist.
    ///
    /// # Errors
    /// [`AdminError::Unreachable`].
    pub fn partition_counts(&self, topics: &[&str], timeout: Duration) -> Result<BTreeMap<String, usize>, AdminError> {
        let metadata = self.metadata(timeout)?;
        let exists = metadata
            .topics()
            .iter()
            .filter(|topic| topics.contains(&topic.name()) && topic.error().is_none());
        Ok(exists
            .map(|topic| (topic.name().to_owned(), topic.partitions().len()))
            .collect())
    }

    /// Partitions of all topics, the brokers' own included, that some broker has not caught up with.
    ///
    /// # Errors
    /// [`AdminError::Unreachable`].
    pub fn out_of_sync(&self, timeout: Duration) -> Result<usize, AdminError> {
        let metadata = self.metadata(timeout)?;
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        Ok(partitions
            .filter(|partition| partition.isr().len() < partition.replicas().len())
            .count())
    }

    /// First offset and end of a partition, records of open transactions included.
    ///
    /// # Errors
    /// [`AdminError::Unreachable`].
    pub fn bounds(&self, topic: &str, partition: i32, timeout: Duration) -> Result<(i64, i64), AdminError> {
        let asked = self.client.inner().fetch_watermarks(topic, partition, timeout);
        asked.map_err(|error| self.unreachable(&error))
    }

    /// What the existing ones of `topics` are.
    ///
    /// # Errors
    /// [`AdminError::Unreachable`].
    pub fn describe(&self, topics: &[&str], timeout: Duration) -> Result<BTreeMap<String, FoundTopic>, AdminError> {
        let metadata = self.metadata(timeout)?;
        let mut found: BTreeMap<String, FoundTopic> = metadata
            .topics()
            .iter()
            .filter(|topic| topics.contains(&topic.name()) && topic.error().is_none())
            .map(|topic| {
                let replicas = topic.partitions().iter().map(|partition| partition.replicas().len());
                let is = FoundTopic {
                    partitions: topic.partitions().len(),
                    replication: replicas.min().unwrap_or(0),
                    settings: BTreeMap::new(),
                    unknown: None,
                };
                (topic.name().to_owned(), is)
            })
            .collect();
        if found.is_empty() {
            return Ok(found);
        }
        let names: Vec<String> = found.keys().cloned().collect();
        let resources: Vec<ResourceSpecifier<'_>> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let options = AdminOptions::new().request_timeout(Some(timeout));
        let answers =
            wait(self.client.describe_configs(&resources, &options)).map_err(|error| self.unreachable(&error))?;
        for (name, answer) in names.iter().zip(answers) {
            let Some(topic) = found.get_mut(name) else { continue };
            match answer {
                Ok(resource) => {
                    let entries = resource.entries.into_iter();
                    topic.settings = entries.filter_map(|entry| Some((entry.name, entry.value?))).collect();
                }
                Err(error) => topic.unknown = Some(error.to_string()),
            }
        }
        Ok(found)
    }

    /// Creates topics. One that exists by then is not an error: another process was faster.
    ///
    /// # Errors
    /// [`AdminError::Topic`] with the first one refused.
    pub fn create(&self, topics: &[WantedTopic], timeout: Duration) -> Result<(), AdminError> {
        if topics.is_empty() {
            return Ok(());
        }
        let new: Vec<NewTopic<'_>> = topics
            .iter()
            .map(|topic| {
                let replication = TopicReplication::Fixed(i32::try_from(topic.replication).unwrap_or(1));
                let partitions = i32::try_from(topic.partitions).unwrap_or(1);
                let new = NewTopic::new(&topic.name, partitions, replication);
                topic.settings.iter().fold(new, |new, (key, value)| new.set(key, value))
            })
            .collect();
        let options = AdminOptions::new()
            .request_timeout(Some(timeout))
            .operation_timeout(Some(timeout));
        let answers = wait(self.client.create_topics(&new, &options)).map_err(|error| self.unreachable(&error))?;
        for answer in answers {
            match answer {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => {
                    let detail = format!("not created: {code}; create it with `falsefront topics plan` as a guide");
                    return Err(AdminError::Topic { topic, detail });
                }
            }
        }
        Ok(())
    }
}

/// Drives one future on this thread. The admin client's own thread completes it.
fn wait<F: std::future::Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::task::Waker::from(std::sync::Arc::new(Unpark(std::thread::current())));
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}
