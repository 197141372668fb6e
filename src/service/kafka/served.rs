//! A producer whose events a thread of its own takes: rdkafka's `ThreadedProducer` without its spinning.
//!
//! rdkafka's poll waits for whole milliseconds and asks again without waiting for what is left of its time, so it spins
//! for up to a millisecond each time. `ThreadedProducer` polls for 100 ms: a hundredth of a core for each producer, busy
//! or not.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::BaseProducer;

use super::context::Deliveries;

/// One poll. A producer that is dropped waits for the last one to end.
const POLL: Duration = Duration::from_millis(300);

/// A producer, and the thread that takes its events.
pub(super) struct ServedProducer {
    producer: Arc<BaseProducer<Deliveries>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ServedProducer {
    /// Makes a producer.
    ///
    /// # Errors
    /// [`KafkaError`] if a setting is refused or no thread is to be had.
    pub(super) fn new(config: &ClientConfig, deliveries: Deliveries) -> Result<Self, KafkaError> {
        let producer: Arc<BaseProducer<Deliveries>> = Arc::new(config.create_with_context(deliveries)?);
        let is_over = Arc::new(AtomicBool::new(false));
        let (served, is_stopped) = (Arc::clone(&producer), Arc::clone(&is_over));
        let serve = move || {
            while !is_stopped.load(Ordering::Relaxed) {
                served.poll(POLL);
            }
        };
        let thread = std::thread::Builder::new()
            .name("producer events".to_owned())
            .spawn(serve)
            .map_err(|error| KafkaError::ClientCreation(format!("no thread for its events: {error}")))?;
        Ok(Self {
            producer,
            is_over,
            thread: Some(thread),
        })
    }
}

impl Deref for ServedProducer {
    type Target = BaseProducer<Deliveries>;
    fn deref(&self) -> &Self::Target {
        &self.producer
    }
}

impl Drop for ServedProducer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It only polls; if that panicked, its own message has said so.
            let _ = thread.join();
        }
    }
}
