//! A made-up broker that answers what a test gives it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::mpsc;

use super::*;

const GZIP: i16 = 1;
const SNAPPY: i16 = 2;
const LZ4: i16 = 3;
const ZSTD: i16 = 4;
const APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;
/// When the tests' records were appended, at the latest.
const NOW_MS: i64 = 1_000_000;

fn varint(bytes: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        bytes.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    bytes.push(u8::try_from(rest).unwrap());
}

fn sized(bytes: &mut Vec<u8>, value: Option<&[u8]>) {
    varint(bytes, value.map_or(-1, |value| value.len().try_into().unwrap()));
    bytes.extend(value.unwrap_or_default());
}

/// A record: its offset's distance to the batch's first, key, value, headers.
type Given<'a> = (i64, Option<&'a [u8]>, Option<&'a [u8]>, &'a [(&'a str, &'a str)]);

struct Made {
    first_offset: i64,
    /// Kind and compression.
    attributes: i16,
    producer: i64,
    records: Vec<u8>,
    count: i32,
    last_delta: i32,
}

impl Made {
    fn new(first_offset: i64, attributes: i16, given: &[Given<'_>]) -> Self {
        let mut records = Vec::new();
        for (delta, key, value, headers) in given {
            let mut record = vec![0];
            varint(&mut record, *delta * 10);
            varint(&mut record, *delta);
            sized(&mut record, *key);
            sized(&mut record, *value);
            varint(&mut record, headers.len().try_into().unwrap());
            for (name, value) in *headers {
                sized(&mut record, Some(name.as_bytes()));
                sized(&mut record, Some(value.as_bytes()));
            }
            varint(&mut records, record.len().try_into().unwrap());
            records.extend(record);
        }
        Self {
            first_offset,
            attributes,
            producer: -1,
            records: packed(&records, attributes & 7),
            count: given.len().try_into().unwrap(),
            last_delta: given.last().map_or(0, |last| last.0.try_into().unwrap()),
        }
    }

    /// `count` records, each of which says its offset.
    fn plain(first_offset: i64, attributes: i16, count: i64) -> Self {
        let values: Vec<String> = (0..count).map(|delta| (first_offset + delta).to_string()).collect();
        let given = (0..)
            .zip(&values)
            .map(|(delta, value)| (delta, None, Some(value.as_bytes()), &[][..]));
        Self::new(first_offset, attributes, &given.collect::<Vec<Given<'_>>>())
    }

    fn of(mut self, producer: i64) -> Self {
        self.producer = producer;
        self
    }

    fn marker(first_offset: i64, producer: i64, is_commit: bool) -> Self {
        let key = [0, 0, 0, u8::from(is_commit)];
        Self::new(first_offset, TRANSACTIONAL | CONTROL, &[(0, Some(&key), None, &[])]).of(producer)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut checked = self.attributes.to_be_bytes().to_vec();
        checked.extend(self.last_delta.to_be_bytes());
        for time_ms in [1_000_i64, 2_000] {
            checked.extend(time_ms.to_be_bytes());
        }
        checked.extend(self.producer.to_be_bytes());
        checked.extend([0; 6]);
        checked.extend(self.count.to_be_bytes());
        checked.extend(&self.records);
        let mut bytes = self.first_offset.to_be_bytes().to_vec();
        bytes.extend(i32::try_from(checked.len() + 9).unwrap().to_be_bytes());
        bytes.extend([0, 0, 0, 0, 2]);
        bytes.extend(crc32c::crc32c(&checked).to_be_bytes());
        bytes.extend(checked);
        bytes
    }
}

fn packed(records: &[u8], compression: i16) -> Vec<u8> {
    match compression {
        GZIP => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(records).unwrap();
            encoder.finish().unwrap()
        }
        LZ4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(records).unwrap();
            encoder.finish().unwrap()
        }
        ZSTD => zstd::bulk::compress(records, 1).unwrap(),
        _ => records.to_vec(),
    }
}

/// What a broker says of a partition of `t`.
#[derive(Default)]
struct Say {
    partition: i32,
    error: i16,
    aborted: Vec<(i64, i64)>,
    batches: Vec<u8>,
}

impl Say {
    fn batches(made: &[Made]) -> Self {
        Self {
            batches: made.iter().flat_map(Made::bytes).collect(),
            ..Self::default()
        }
    }

    /// Behind the number of the request.
    fn bytes(&self) -> Vec<u8> {
        Self::all(std::slice::from_ref(self))
    }

    fn all(said: &[Self]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 0, 0, 0, 0, 0, 1, 0, 1, b't'];
        bytes.extend(i32::try_from(said.len()).unwrap().to_be_bytes());
        bytes.extend(said.iter().flat_map(Self::of_partition));
        bytes
    }

    fn of_partition(&self) -> Vec<u8> {
        let mut bytes = self.partition.to_be_bytes().to_vec();
        bytes.extend(self.error.to_be_bytes());
        bytes.extend([99_i64, 90].map(i64::to_be_bytes).concat());
        bytes.extend(i32::try_from(self.aborted.len()).unwrap().to_be_bytes());
        for (producer, first_offset) in &self.aborted {
            bytes.extend([*producer, *first_offset].map(i64::to_be_bytes).concat());
        }
        bytes.extend(i32::try_from(self.batches.len()).unwrap().to_be_bytes());
        bytes.extend(&self.batches);
        bytes
    }
}

/// What the broker does with a request.
enum Act {
    /// Answers with these bytes behind the number of the request.
    Answer(Vec<u8>),
    /// Sends exactly these bytes.
    Send(Vec<u8>),
}

/// Answers one request after the other, then closes the connection. Gives what was asked.
fn broker(acts: Vec<Act>) -> (SocketAddr, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, asked) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        for act in acts {
            let Some(request) = read_request(&mut stream) else {
                return;
            };
            let bytes = match act {
                Act::Send(bytes) => bytes,
                Act::Answer(rest) => {
                    let size = i32::try_from(rest.len() + 4).unwrap();
                    [&size.to_be_bytes()[..], &request[4..8], &rest].concat()
                }
            };
            let _ = sender.send(request);
            // In two pieces, so that an answer comes as brokers send it: when there is room.
            let (first, second) = bytes.split_at(bytes.len() / 2);
            for piece in [first, second] {
                stream.write_all(piece).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
    (address, asked)
}

/// Without its size.
fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut size = [0; 4];
    stream.read_exact(&mut size).ok()?;
    let mut request = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
    stream.read_exact(&mut request).ok()?;
    Some(request)
}

/// A record as it was handed over: offset, value, append time.
type Got = (i64, Option<String>, i64);

/// Reads partition 0 of `t` from `offset` on until it is given up.
fn read(acts: Vec<Act>, offset: i64, count_max: usize) -> (Vec<Got>, GivenUp) {
    let (address, _asked) = broker(acts);
    let mut fetcher = Fetcher::new("test").unwrap();
    fetcher.start(&TopicPartition::new("t", 0), offset, address);
    let mut got = Vec::new();
    let began = Instant::now();
    loop {
        let mut count = 0;
        let said = fetcher.poll(Duration::from_millis(20), count_max, &mut |records| {
            for record in records {
                count += 1;
                let value = record.value.map(|value| String::from_utf8_lossy(value).into_owned());
                got.push((record.offset, value, record.append_ms));
            }
            ControlFlow::Continue(())
        });
        assert_eq!(said, count);
        assert!(count <= count_max);
        if let Some(given_up) = fetcher.take_given_up().pop() {
            return (got, given_up);
        }
        assert!(began.elapsed() < Duration::from_secs(9), "{got:?}");
    }
}

fn answers(made: &[Made]) -> Vec<Act> {
    vec![Act::Answer(Say::batches(made).bytes())]
}

fn offsets(got: &[Got]) -> Vec<i64> {
    assert!(
        got.iter()
            .all(|(offset, value, _)| value.as_ref().is_none_or(|value| *value == offset.to_string()))
    );
    got.iter().map(|(offset, ..)| *offset).collect()
}

#[test]
fn every_compression_gives_the_same_records() {
    for compression in [0, GZIP, LZ4, ZSTD] {
        let made = [Made::plain(5, compression, 300), Made::plain(305, compression, 1)];
        let (got, given_up) = read(answers(&made), 5, 7);
        assert_eq!(offsets(&got), (5..306).collect::<Vec<_>>(), "compression {compression}");
        assert_eq!(
            (given_up.next, given_up.cause),
            (306, Cause::Connection),
            "the broker closed"
        );
    }
}

#[test]
fn a_compression_that_is_not_known_is_left_to_librdkafka() {
    let made = [Made::plain(0, 0, 2), Made::plain(2, SNAPPY, 2)];
    let (got, given_up) = read(answers(&made), 0, 100);
    assert_eq!(offsets(&got), [0, 1]);
    assert_eq!((given_up.next, given_up.cause), (2, Cause::Unreadable));
}

#[test]
fn reading_begins_within_a_batch_and_passes_over_what_is_compacted() {
    let values = ["3", "9"].map(|value| Some(value.as_bytes()));
    let holes = Made::new(3, 0, &[(0, None, values[0], &[]), (6, Some(b"k"), values[1], &[])]);
    let tombstone = Made::new(10, 0, &[(0, Some(b"k"), None, &[])]);
    let mut say = Say::batches(&[holes, tombstone, Made::plain(11, 0, 3)]);
    // A broker cuts the last batch where the bytes asked for end.
    say.batches.truncate(say.batches.len() - 1);
    let (got, given_up) = read(vec![Act::Answer(say.bytes())], 5, 100);
    assert_eq!(got.iter().map(|got| got.0).collect::<Vec<_>>(), [9, 10]);
    assert_eq!(got[1].1, None);
    assert_eq!(given_up.next, 11);
}

#[test]
fn what_was_aborted_does_not_count_and_what_is_committed_beside_it_does() {
    let one = |first, producer| Made::plain(first, TRANSACTIONAL, 2).of(producer);
    let made = [
        one(0, 7),
        one(2, 8),
        Made::plain(4, 0, 1),
        Made::marker(5, 7, false),
        one(6, 7),
        Made::marker(8, 8, true),
        Made::marker(9, 7, true),
    ];
    let say = Say {
        aborted: vec![(7, 0)],
        ..Say::batches(&made)
    };
    let (got, given_up) = read(vec![Act::Answer(say.bytes())], 0, 3);
    assert_eq!(offsets(&got), [2, 3, 4, 6, 7]);
    assert_eq!(given_up.next, 10, "markers were passed over");
}

#[test]
fn times_are_those_of_the_log_or_of_a_producer_that_is_not_ahead() {
    let two = [(0, None, None, &[][..]), (3, None, None, &[][..])];
    let (got, _) = read(answers(&[Made::new(0, 0, &two), Made::new(4, APPEND_TIME, &two)]), 0, 9);
    let times: Vec<i64> = got.iter().map(|got| got.2).collect();
    assert_eq!(times, [1_000, 1_030, 2_000, 2_000]);
    assert_eq!(
        append_ms(NOW_MS + 1, NOW_MS),
        NOW_MS,
        "a producer's clock in the future"
    );
    assert_eq!(append_ms(-1, NOW_MS), NOW_MS, "no time at all");
}

#[test]
fn headers_are_read_when_they_are_asked_for() {
    let name = crate::service::dead_letter::REPLAY_COUNT;
    let headers = [(name, "1"), ("other", "9"), (name, "2")];
    let made = [Made::new(0, 0, &[(0, None, None, &headers), (1, None, None, &[])])];
    let (address, _asked) = broker(answers(&made));
    let mut fetcher = Fetcher::new("test").unwrap();
    fetcher.start(&TopicPartition::new("t", 0), 0, address);
    let mut counts = Vec::new();
    while counts.len() < 2 {
        fetcher.poll(Duration::from_secs(1), 9, &mut |records| {
            for record in records {
                counts.push(record.replays.count());
            }
            ControlFlow::Continue(())
        });
    }
    assert_eq!(counts, [2, 0]);
}

#[test]
fn what_cannot_be_read_behind_many_records_takes_none_of_them() {
    let made = Made {
        count: 40,
        last_delta: 39,
        ..Made::plain(0, 0, 20)
    };
    for (count_max, breaks) in [(99, false), (99, true), (16, false), (17, false)] {
        let (address, _asked) = broker(answers(std::slice::from_ref(&made)));
        let mut fetcher = Fetcher::new("test").unwrap();
        fetcher.start(&TopicPartition::new("t", 0), 0, address);
        let (mut got, mut given_up) = (Vec::new(), None);
        while given_up.is_none() {
            let mut calls = 0;
            fetcher.poll(Duration::from_millis(20), count_max, &mut |records| {
                calls += 1;
                got.extend(records.iter().map(|record| record.offset));
                [ControlFlow::Continue(()), ControlFlow::Break(())][usize::from(breaks)]
            });
            assert!(!breaks || calls <= 1, "a poll that was ended goes on");
            given_up = fetcher.take_given_up().pop();
        }
        assert_eq!(got, (0..20).collect::<Vec<_>>());
        assert_eq!(given_up.unwrap().next, 20);
    }
}

#[test]
fn a_break_ends_the_poll_and_loses_nothing() {
    let (address, asked) = broker(answers(&[Made::plain(0, LZ4, 40)]));
    let mut fetcher = Fetcher::new("test").unwrap();
    let at = TopicPartition::new("t", 0);
    fetcher.start(&at, 0, address);
    let mut got = Vec::new();
    while got.len() < 40 {
        let before = got.len();
        fetcher.poll(Duration::from_secs(1), 99, &mut |records| {
            for record in records {
                got.push(record.offset);
            }
            ControlFlow::Break(())
        });
        assert!(got.len() <= before + TOGETHER);
        let lags: Vec<i64> = fetcher.lags().filter_map(|(_, lag)| lag).collect();
        assert!(got.len() != TOGETHER || lags == [74], "{lags:?}");
    }
    assert_eq!(got, (0..40).collect::<Vec<_>>());
    let request = asked.recv().unwrap();
    let name = request.windows(6).any(|window| window == b"\x00\x04test");
    assert!(name, "it says who asks");
}

#[test]
fn a_partition_that_was_stopped_or_moved_gets_nothing_of_before() {
    let (address, _asked) = broker(answers(&[Made::plain(0, 0, 100)]));
    let mut fetcher = Fetcher::new("test").unwrap();
    let at = TopicPartition::new("t", 0);
    fetcher.start(&at, 0, address);
    let mut got = Vec::new();
    let poll = |fetcher: &mut Fetcher, got: &mut Vec<i64>, count_max| {
        fetcher.poll(Duration::from_millis(300), count_max, &mut |records| {
            for record in records {
                got.push(record.offset);
            }
            ControlFlow::Continue(())
        })
    };
    while got.is_empty() {
        poll(&mut fetcher, &mut got, 3);
    }
    fetcher.stop(&at);
    poll(&mut fetcher, &mut got, 9);
    let (address, _asked) = broker(answers(&[Made::plain(40, 0, 2)]));
    fetcher.start(&at, 41, address);
    while got.len() < 4 {
        poll(&mut fetcher, &mut got, 9);
    }
    assert_eq!(got, [0, 1, 2, 41]);
}

#[test]
fn whatever_goes_wrong_gives_the_partition_up() {
    let good = || Act::Answer(Say::batches(&[Made::plain(0, 0, 2)]).bytes());
    let refusal = Say {
        error: 6,
        ..Say::default()
    };
    let cases = [
        ("closed", vec![good()], Cause::Connection),
        ("cut", vec![good(), Act::Send(vec![0, 0, 1, 0, 7])], Cause::Connection),
        (
            "not the leader",
            vec![good(), Act::Answer(refusal.bytes())],
            Cause::Broker,
        ),
        (
            "another's answer",
            vec![good(), Act::Send(vec![0, 0, 0, 8, 9, 9, 9, 9, 0, 0, 0, 0])],
            Cause::Unreadable,
        ),
        ("no answer", vec![good(), Act::Answer(vec![0; 5])], Cause::Unreadable),
        (
            "impossible size",
            vec![good(), Act::Send(vec![0x7f, 0xff, 0xff, 0xff, 0])],
            Cause::Unreadable,
        ),
        (
            "negative size",
            vec![good(), Act::Send(vec![0xff, 0xff, 0xff, 0xff, 0])],
            Cause::Unreadable,
        ),
    ];
    for (what, acts, cause) in cases {
        let (got, given_up) = read(acts, 0, 100);
        assert_eq!(offsets(&got), [0, 1], "{what}");
        assert_eq!(
            (given_up.next, given_up.cause),
            (2, cause),
            "{what}: {}",
            given_up.detail
        );
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut fetcher = Fetcher::new("test").unwrap();
    fetcher.start(&TopicPartition::new("t", 0), 7, nobody);
    fetcher.poll(Duration::from_secs(9), 9, &mut |_| ControlFlow::Continue(()));
    let given_up = fetcher.take_given_up().pop().unwrap();
    assert_eq!((given_up.next, given_up.cause), (7, Cause::Connection));
    assert!(!given_up.has_progressed && given_up.broker == Some(nobody));
}

/// Reads an answer without a broker around it.
fn read_bytes(bytes: Vec<u8>, number: i32) -> (Vec<Got>, Vec<GivenUp>) {
    let mut fetcher = Fetcher::new("test").unwrap();
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    fetcher.start(&TopicPartition::new("t", 0), 0, nobody);
    let asked = Asked {
        correlation: number,
        fetches: vec![fetcher.number],
    };
    let length = bytes.len();
    if let Err(error) = fetcher.understand(bytes, length, &asked) {
        fetcher.lose(nobody, Cause::Unreadable, &error.to_string());
    }
    let mut got = Vec::new();
    fetcher.hand_over(&mut 0, 1_000, NOW_MS, &mut |records| {
        for record in records {
            let value = record.value.map(|value| String::from_utf8_lossy(value).into_owned());
            got.push((record.offset, value, record.append_ms));
        }
        ControlFlow::Continue(())
    });
    (got, fetcher.take_given_up())
}

#[test]
fn a_damaged_answer_hands_over_nothing_that_is_not_in_it() {
    for compression in [0, GZIP, LZ4, ZSTD] {
        let made = [
            Made::plain(0, compression | TRANSACTIONAL, 3).of(4),
            Made::plain(3, compression, 2),
            Made::marker(5, 4, true),
        ];
        let number = 0x0102_0304_i32;
        let whole = [&[0; 4][..], &number.to_be_bytes(), &Say::batches(&made).bytes()].concat();
        let start = whole.len() - Say::batches(&made).batches.len();
        let checked = start + 17..start + made[0].bytes().len();
        let (got, given_up) = read_bytes(whole.clone(), number);
        assert_eq!(offsets(&got), [0, 1, 2, 3, 4]);
        assert!(given_up.is_empty());
        for at in SIZE..whole.len() {
            read_bytes(whole[..at].to_vec(), number);
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << bit;
                let (got, given_up) = read_bytes(damaged, number);
                let values: Vec<i64> = got.iter().map(|got| got.1.as_ref().unwrap().parse().unwrap()).collect();
                assert!(
                    values.is_sorted() && values.iter().all(|value| (0..5).contains(value)),
                    "{at} {bit}"
                );
                assert!(!checked.contains(&at) || !given_up.is_empty(), "{at} {bit}");
            }
        }
    }
}

#[test]
fn batches_that_no_broker_writes_are_refused() {
    let batch = || Made::plain(0, 0, 2);
    let cases = [
        ("fewer records than none", Made { count: -1, ..batch() }),
        ("more records than it has", Made { count: 3, ..batch() }),
        (
            "a record behind its end",
            Made {
                last_delta: 0,
                ..batch()
            },
        ),
        (
            "an end behind all offsets",
            Made {
                first_offset: i64::MAX - 1,
                ..batch()
            },
        ),
    ];
    for (what, made) in cases {
        let (got, given_up) = read(answers(&[made]), 0, 100);
        assert_eq!(given_up.cause, Cause::Unreadable, "{what}");
        assert_eq!(given_up.next, i64::try_from(got.len()).unwrap(), "{what}");
        assert_eq!(given_up.has_progressed, !got.is_empty(), "{what}");
    }
    let (_, given_up) = read(answers(&[Made::plain(0, 0, 2)]), 7, 100);
    assert_eq!(given_up.cause, Cause::Unreadable, "nothing to go on with");
}

#[test]
fn what_compaction_emptied_is_passed_over() {
    let empty = |first_offset, attributes| Made {
        last_delta: 3,
        ..Made::new(first_offset, attributes, &[])
    };
    let made = [
        empty(0, 0),
        empty(4, TRANSACTIONAL | CONTROL).of(7),
        Made::plain(8, 0, 1),
        empty(9, 0),
    ];
    let say = Say {
        aborted: vec![(7, 0)],
        ..Say::batches(&made)
    };
    let (got, given_up) = read(vec![Act::Answer(say.bytes())], 0, 9);
    assert_eq!(offsets(&got), [8]);
    assert_eq!(given_up.next, 13);
}

#[test]
fn partitions_of_two_brokers_are_read_and_one_broker_takes_only_its_own_along() {
    let of = |partition, first_offset| Say {
        partition,
        ..Say::batches(&[Made::plain(first_offset, LZ4, 50)])
    };
    let (one, _asked) = broker(vec![Act::Answer(Say::all(&[of(0, 0), of(2, 20)]))]);
    let more = (1..9).map(|turn| Act::Answer(of(1, turn * 50).bytes()));
    let (other, asked) = broker(std::iter::once(Act::Answer(of(1, 0).bytes())).chain(more).collect());
    let mut fetcher = Fetcher::new("test").unwrap();
    for (partition, offset, leader) in [(0, 0, one), (1, 0, other), (2, 30, one)] {
        fetcher.start(&TopicPartition::new("t", partition), offset, leader);
    }
    let mut got = std::collections::BTreeMap::<i32, Vec<i64>>::new();
    let mut given_up = Vec::new();
    while given_up.len() < 3 {
        fetcher.poll(Duration::from_millis(50), 30, &mut |records| {
            for record in records {
                assert_eq!(record.value, Some(record.offset.to_string().as_bytes()));
                got.entry(record.partition).or_default().push(record.offset);
            }
            ControlFlow::Continue(())
        });
        given_up.extend(fetcher.take_given_up());
    }
    assert_eq!(got[&0], (0..50).collect::<Vec<_>>());
    assert_eq!(got[&1], (0..450).collect::<Vec<_>>());
    assert_eq!(got[&2], (30..70).collect::<Vec<_>>());
    let mut next: Vec<(i32, i64)> = given_up
        .iter()
        .map(|given_up| (given_up.at.partition, given_up.next))
        .collect();
    next.sort_unstable();
    assert_eq!(next, [(0, 50), (1, 450), (2, 70)]);
    assert_eq!(asked.iter().count(), 9, "the other broker's partition went on");
}

#[test]
fn each_partition_is_the_first_of_a_request_at_times() {
    let nothing = || Act::Answer(vec![0; 8]);
    let (address, asked) = broker((0..6).map(|_| nothing()).collect());
    let mut fetcher = Fetcher::new("test").unwrap();
    for partition in 0..3 {
        fetcher.start(&TopicPartition::new("t", partition), 0, address);
    }
    while fetcher.take_given_up().is_empty() {
        fetcher.poll(Duration::from_millis(50), 30, &mut |_| ControlFlow::Continue(()));
    }
    // Behind the names of client and topic, their sizes and counts.
    let first = |request: Vec<u8>| {
        request[request.len() - 3 * 16..]
            .first_chunk()
            .copied()
            .map(i32::from_be_bytes)
    };
    let mut firsts: Vec<i32> = asked.iter().filter_map(first).collect();
    firsts.sort_unstable();
    firsts.dedup();
    assert_eq!(firsts.len(), 3, "{firsts:?}");
}
