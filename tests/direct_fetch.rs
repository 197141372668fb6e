//! Partitions read over connections of our own and the same ones read by librdkafka: the same records, whatever is in the
//! log, on a real Kafka.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use falsefront::service::dead_letter::REPLAY_COUNT;
use falsefront::service::kafka::Connection;
use falsefront::service::kafka::io::Writer;
use falsefront::service::kafka::log::{GroupProtocol, KafkaLog, LogSettings, Membership};
use falsefront::service::log::{Guarantee, Log, Outgoing, Rebalance};
use falsefront::service::metrics::Metrics;

use crate::support::kafka::{self, ASK};

const TOPIC: &str = "direct";
/// One for each compression, one with transactions, one with everything.
const COMPRESSIONS: [&str; 5] = ["none", "gzip", "lz4", "zstd", "snappy"];
const TRANSACTIONS: i32 = 5;
const MIXED: i32 = 6;
const PARTITIONS: u32 = 7;
/// Records in one go.
const SOME: usize = 300;
/// Longest anything here may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Offset, key, value, append time, replays.
type Seen = (i64, Option<Vec<u8>>, Option<Vec<u8>>, i64, u8);

/// One member of a group that has everything to itself.
struct Member {
    log: KafkaLog,
    metrics: Metrics,
    seen: BTreeMap<i32, Vec<Seen>>,
}

impl Member {
    fn new(connection: &Connection, is_direct: bool) -> Self {
        let metrics = Metrics::new().unwrap();
        let member = format!("{TOPIC}-{is_direct}");
        let log = KafkaLog::open(LogSettings {
            connection: Connection {
                is_direct,
                ..connection.clone()
            },
            group: member.clone(),
            member,
            protocol: GroupProtocol::Classic,
            membership: Membership::Group(vec![TOPIC.to_owned()]),
            guarantee: Guarantee::ExactlyOnce,
            transaction_timeout: Duration::from_secs(10),
            has_reader: false,
            compression: "lz4",
            metrics: Some(metrics.clone()),
        });
        Self {
            log: log.unwrap(),
            metrics,
            seen: BTreeMap::new(),
        }
    }

    fn poll(&mut self) {
        let seen = &mut self.seen;
        let polled = self.log.poll(Duration::from_millis(50), 100, &mut |records| {
            for record in records {
                let one = (
                    record.offset,
                    record.key.map(<[u8]>::to_vec),
                    record.value.map(<[u8]>::to_vec),
                    record.append_ms,
                    record.replays.count(),
                );
                seen.entry(record.partition).or_default().push(one);
            }
            ControlFlow::Continue(())
        });
        match polled.unwrap().rebalance {
            Some(Rebalance::Assigned(partitions)) => {
                self.log.assign(&partitions).unwrap();
                for at in partitions {
                    let end = Instant::now() + LIMIT;
                    while let Err(failure) = self.log.resume_at(&at, 0) {
                        assert!(Instant::now() < end, "{failure}");
                    }
                }
            }
            Some(Rebalance::Revoked { partitions, .. }) => self.log.unassign(&partitions).unwrap(),
            None => {}
        }
    }

    fn count(&self) -> usize {
        self.seen.values().map(Vec::len).sum()
    }

    /// Reads until there are so many records, and a little longer.
    fn read(&mut self, count: usize) {
        let end = Instant::now() + LIMIT;
        while self.count() < count {
            assert!(Instant::now() < end, "{} of {count} records", self.count());
            self.poll();
        }
        let end = Instant::now() + Duration::from_millis(500);
        while Instant::now() < end {
            self.poll();
        }
        assert_eq!(self.count(), count);
    }

    fn given_up(&self) -> Option<String> {
        let text = String::from_utf8(self.metrics.render()).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("falsefront_direct_fetch_given_up_total") && !line.ends_with(" 0"));
        line.map(str::to_owned)
    }
}

fn writer(connection: &Connection, compression: &str) -> Connection {
    let mut connection = connection.clone();
    let setting = ("compression.type".to_owned(), compression.to_owned());
    connection.librdkafka.extend([setting]);
    connection
}

/// Sends records of every kind: with and without a key, a value, headers; many and alike, so that they pack.
fn send(writer: &Writer, partition: i32, what: &str) {
    for number in 0..SOME {
        let value = format!("{what} {number} {}", "and so on ".repeat(20)).into_bytes();
        let record = Outgoing {
            topic: TOPIC.into(),
            partition,
            key: (number % 3 == 0).then(|| format!("key {number}").into_bytes()),
            value: (number % 7 != 0).then_some(value),
            headers: match number % 5 {
                0 => vec![("other", b"1".to_vec()), (REPLAY_COUNT, b"3".to_vec())],
                _ => Vec::new(),
            },
        };
        writer.send_outgoing(&record).unwrap();
    }
    writer.flush(ASK).unwrap();
}

/// Fills the topic and says how many records count.
fn fill(connection: &Connection) -> usize {
    kafka::create_topic(connection, TOPIC, PARTITIONS);
    for (partition, compression) in (0..).zip(COMPRESSIONS) {
        let plain = Writer::new(&writer(connection, compression)).unwrap();
        send(&plain, partition, "plain");
        send(&plain, MIXED, "plain");
    }
    let plain = Writer::new(connection).unwrap();
    let begun = |id: &str| {
        let writer = Writer::transactional(connection, id, ASK).unwrap();
        writer.begin().unwrap();
        writer
    };
    let (one, other) = (begun("direct-one"), begun("direct-other"));
    send(&one, TRANSACTIONS, "aborted");
    send(&other, TRANSACTIONS, "committed");
    send(&plain, TRANSACTIONS, "between");
    send(&one, TRANSACTIONS, "aborted");
    other.commit().unwrap();
    // Whoever comes under the same name ends what was left open.
    drop(one);
    let one = begun("direct-one");
    send(&one, TRANSACTIONS, "committed");
    one.commit().unwrap();
    (2 * COMPRESSIONS.len() + 3) * SOME
}

#[test]
fn what_is_read_directly_is_what_librdkafka_reads() {
    let Some(connection) = kafka::broker("reading directly") else {
        return;
    };
    let count = fill(&connection);
    let mut usual = Member::new(&connection, false);
    usual.read(count);
    let mut direct = Member::new(&connection, true);
    direct.read(count);
    for partition in 0..PARTITIONS.cast_signed() {
        assert!(
            direct.seen[&partition] == usual.seen[&partition],
            "partition {partition}"
        );
    }
    let replays = |count| direct.seen[&0].iter().filter(|seen| seen.4 == count).count();
    assert_eq!(
        (replays(3), replays(0)),
        (SOME / 5, SOME - SOME / 5),
        "headers are read"
    );
    assert_eq!(usual.given_up(), None);
    let twice = "falsefront_direct_fetch_given_up_total{reason=\"unreadable\"} 2";
    assert_eq!(
        direct.given_up().as_deref(),
        Some(twice),
        "Snappy is left to librdkafka"
    );
    // After a while what was given up is tried again: the next batch that is not for us shows it.
    let compressed = Writer::new(&writer(&connection, "snappy")).unwrap();
    let (mut sent, end) = (0, Instant::now() + LIMIT);
    while direct.given_up().as_deref() == Some(twice) {
        assert!(Instant::now() < end, "it never was read directly again");
        send(&compressed, MIXED, "later");
        sent += SOME;
        direct.read(count + sent);
    }
    let offsets = direct.seen[&MIXED].windows(2);
    assert!(
        offsets.into_iter().all(|two| two[0].0 + 1 == two[1].0),
        "each once, in order"
    );
}
