//! The roster from a compacted topic: read to its end before the first record is judged, then followed.
//!
//! The key of a record is the account, its value a roster line as JSON, and a record without a value removes the account.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::enrich::roster_builder::RosterBuilder;

use super::kafka::Connection;
use super::kafka::admin::Admin;
use super::kafka::io::{IoError, ReadRecord, Reader};
use super::reference_watch::ReferenceWatch;

/// Longest a question to the cluster may take.
const ASK: Duration = Duration::from_secs(10);
/// Changes are gathered this long before the roster is rebuilt: HR systems write in bursts.
const GATHER: Duration = Duration::from_secs(2);
/// Pause after the cluster did not answer.
const RETRY: Duration = Duration::from_secs(1);

/// A roster that is being read.
pub struct RosterTopic {
    topic: String,
    reader: Reader,
    builder: RosterBuilder,
    records: u64,
}

impl RosterTopic {
    /// Begins to read `topic`.
    ///
    /// # Errors
    /// [`IoError`] if the cluster does not answer, or the topic does not exist.
    pub fn open(connection: &Connection, topic: &str) -> Result<Self, IoError> {
        let admin = Admin::new(connection).map_err(|error| IoError(error.to_string()))?;
        let counts = admin
            .partition_counts(&[topic], ASK)
            .map_err(|error| IoError(error.to_string()))?;
        let partitions = counts
            .get(topic)
            .copied()
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(0);
        if partitions == 0 {
            return Err(IoError(format!(
                "topic {topic} does not exist; create it compacted, or mend roster.topic"
            )));
        }
        let reader = Reader::new(connection, topic, partitions)?;
        Ok(Self {
            topic: topic.to_owned(),
            reader,
            builder: RosterBuilder::default(),
            records: 0,
        })
    }

    /// Reads to the end of the topic and puts the roster to use.
    ///
    /// # Errors
    /// [`IoError`] if reading fails.
    pub fn catch_up(&mut self, watch: &ReferenceWatch) -> Result<(), IoError> {
        while !self.reader.is_at_end() {
            if let Some(record) = self.reader.next(Duration::from_millis(200))? {
                self.take(&record);
            }
        }
        self.put_to_use(watch);
        Ok(())
    }

    /// Follows the topic for as long as the process lives.
    pub fn follow(mut self, watch: &Arc<ReferenceWatch>) {
        let mut changed_at: Option<Instant> = None;
        loop {
            match self.reader.next(Duration::from_millis(500)) {
                Ok(Some(record)) => {
                    self.take(&record);
                    changed_at.get_or_insert_with(Instant::now);
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(topic = self.topic, %error, "the roster in use stays; trying again");
                    std::thread::sleep(RETRY);
                }
            }
            if changed_at.is_some_and(|at| at.elapsed() >= GATHER) {
                changed_at = None;
                self.put_to_use(watch);
            }
        }
    }

    fn take(&mut self, record: &ReadRecord) {
        self.records += 1;
        let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
        match &record.value {
            None => self.builder.remove(&key),
            Some(value) => {
                if let Err(problem) = self.builder.upsert(&self.topic, &key, value) {
                    tracing::warn!(%problem, partition = record.partition, offset = record.offset, "roster record left out");
                }
            }
        }
    }

    fn put_to_use(&mut self, watch: &ReferenceWatch) {
        self.builder
            .note_topic(&self.topic, format!("{} record {}", self.topic, self.records));
        for problem in watch.use_topic_roster(self.builder.clone()) {
            tracing::warn!(%problem, "roster record left out");
        }
        tracing::info!(topic = self.topic, records = self.records, "roster in use");
    }
}
