//! Messages as the worker sees them.

use std::time::{SystemTime, UNIX_EPOCH};

use rdkafka::message::BorrowedMessage;
use rdkafka::{Message as _, Timestamp};

use super::native;
use crate::service::dead_letter::REPLAY_COUNT_C;
use crate::service::log::{Record, Replays};

pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// When a record was appended whose time its producer gave, a negative one for none. A producer's clock may stand in the
/// future; ours has at least seen the record arrive.
pub(super) fn append_ms(given_ms: i64, now_ms: i64) -> i64 {
    if given_ms < 0 { now_ms } else { given_ms.min(now_ms) }
}

/// A message that was read by itself.
pub(super) fn record<'m>(message: &'m BorrowedMessage<'_>) -> Record<'m> {
    let append_ms = match message.timestamp() {
        Timestamp::LogAppendTime(time_ms) => time_ms,
        Timestamp::CreateTime(time_ms) => append_ms(time_ms, now_ms()),
        Timestamp::NotAvailable => now_ms(),
    };
    Record {
        topic: message.topic(),
        partition: message.partition(),
        offset: message.offset(),
        append_ms,
        key: message.key(),
        value: message.payload(),
        replays: &0,
    }
}

/// What the header of that name says; 0 for none, or what is no number.
pub(super) fn replay_count(header: Option<&[u8]>) -> u8 {
    let text = header.and_then(|header| std::str::from_utf8(header).ok());
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

impl Replays for native::Message<'_> {
    fn count(&self) -> u8 {
        replay_count(self.header(REPLAY_COUNT_C))
    }
}

/// A message of a batch that was read at `now_ms`.
pub(super) fn batched<'m>(message: &'m native::Message<'_>, now_ms: i64) -> Record<'m> {
    Record {
        topic: message.topic,
        partition: message.partition,
        offset: message.offset,
        append_ms: match message.time_ms {
            Some((time_ms, true)) => time_ms,
            Some((time_ms, false)) => append_ms(time_ms, now_ms),
            None => now_ms,
        },
        key: message.key,
        value: message.value,
        replays: message,
    }
}
