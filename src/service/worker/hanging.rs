//! Ending a transaction that the broker left without its markers.
//!
//! A broker that stops or starts while it is alone may complete a transaction and write a marker to none of its
//! partitions (seen on Kafka 4.3.1: the coordinator's log says `CompleteCommit`, the partitions' logs end before it). Its
//! records stay invisible and the group's offsets out of reach, for a new producer too, until a later transaction of the
//! same id reaches the same partitions. So one is opened that reaches every partition this worker may have written to, and
//! aborted: what hung never was, the offsets are those before it, and its records are taken again. A worker does so
//! when a partition has waited for longer than a transaction can live.
//!
//! If the partitions have moved to another worker meanwhile, that one can only say so: the transaction is not of its id.
//!
//! Nothing is aborted once the offsets are within reach: they have their marker, and what still hangs was committed with
//! them. Were other markers written and that of the offsets not, records are repeated.

use std::sync::Arc;

use crate::service::log::{Failure, Guarantee, Log, Outgoing, TopicPartition};

use super::Worker;
use super::stage::Role;

impl<L: Log> Worker<L> {
    /// Says that something was waited for longer than a transaction can live, and lets it be ended.
    pub(super) fn report_hanging(&mut self, partitions: &str, detail: &str) {
        self.metrics.hanging();
        self.has_seen_hanging = true;
        tracing::error!(
            worker = self.settings.name,
            partitions,
            detail,
            "still waiting; if the brokers are up, a transaction hangs: one of this worker is aborted by itself, another \
             must be found with kafka-transactions.sh find-hanging and aborted"
        );
    }

    /// Ends what hangs if a partition has waited for it too long.
    pub(super) fn end_hanging_if_seen(&mut self) -> Result<(), Failure> {
        if !std::mem::take(&mut self.has_seen_hanging) {
            return Ok(());
        }
        let waiting = self.tasks.iter().filter(|task| task.is_restoring());
        let waiting: Vec<TopicPartition> = waiting.map(|task| task.at.clone()).collect();
        self.end_hanging(&waiting)
    }

    /// Aborts a transaction over everything this worker writes, and over the group's offsets.
    fn end_hanging(&mut self, inputs: &[TopicPartition]) -> Result<(), Failure> {
        let is_transactional = self.settings.guarantee == Guarantee::ExactlyOnce && self.settings.is_durable;
        if !is_transactional || inputs.is_empty() || self.open.is_some() || !self.log.owns(inputs) {
            return Ok(());
        }
        // Where the offsets have their marker, what hangs elsewhere was committed with them: aborting it would lose it.
        if !matches!(self.log.committed(inputs), Err(Failure::Retry(_))) {
            return Ok(());
        }
        // A new epoch, so that nothing sent late can commit what is to be aborted.
        self.recreate("hanging_transaction")?;
        self.ensure_open()?;
        for (topic, partition) in self.outputs() {
            self.outbox.push(Outgoing {
                topic,
                partition,
                // A compacted topic takes nothing without a key.
                key: Some(b"hanging".to_vec()),
                value: None,
                headers: Vec::new(),
            });
        }
        self.send_outbox()?;
        if self.open.is_none() {
            return Ok(());
        }
        let reached = self.drain(self.log.now() + self.settings.transaction_timeout);
        let known = |at: &TopicPartition| self.tasks.iter().find(|task| task.at == *at).map(|task| task.committed);
        // No offset sent here ever counts.
        let offsets: Vec<(TopicPartition, i64)> = inputs
            .iter()
            .map(|at| (at.clone(), known(at).unwrap_or_default().max(0)))
            .collect();
        let sent = self.log.send_offsets(&offsets);
        self.abandon("hanging_transaction")?;
        match (reached, sent) {
            (Ok(()), Ok(())) => {
                tracing::warn!(
                    worker = self.settings.name,
                    partitions = ?super::names(inputs),
                    "a transaction that hung was aborted; its records are taken again"
                );
            }
            (reached, sent) => tracing::warn!(
                worker = self.settings.name,
                reached = reached.err(),
                sent = sent.err().map(|failure| failure.detail().to_owned()),
                "a transaction that hangs could not be reached"
            ),
        }
        Ok(())
    }

    /// Every partition that this worker may write to.
    fn outputs(&self) -> Vec<(Arc<str>, i32)> {
        let topics = &self.settings.topics;
        let role = self.role();
        let written: &[&Arc<str>] = match role {
            Role::Intake => &[&topics.observations, &topics.dead_letters],
            Role::Accounts => &[&topics.links, &topics.alerts, &topics.dead_letters],
            Role::Entities => &[&topics.alerts, &topics.dead_letters],
        };
        let partitions = 0..i32::try_from(topics.partitions).unwrap_or(1);
        let plain = written
            .iter()
            .flat_map(|topic| partitions.clone().map(|partition| (Arc::clone(topic), partition)));
        let checkpoints = partitions
            .clone()
            .filter(|_| role != Role::Intake)
            .map(|partition| (topics.checkpoints.clone(), topics.checkpoint_partition(role, partition)));
        plain.chain(checkpoints).collect()
    }
}
