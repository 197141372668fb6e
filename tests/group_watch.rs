//! Partitions that a killed member leaves to nobody, on a real Kafka.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use falsefront::service::kafka::group_watch::GroupWatch;
use falsefront::service::kafka::log::{GroupProtocol, KafkaLog, LogSettings, Membership};
use falsefront::service::log::{Guarantee, Log as _, Rebalance, TopicPartition};

use crate::support::kafka;

const TOPIC: &str = "left.events";
const PARTITIONS: u32 = 4;
/// Longest anything here may take.
const LIMIT: Duration = Duration::from_secs(90);

/// A member and what it has.
struct Member {
    log: KafkaLog,
    owned: BTreeSet<TopicPartition>,
}

impl Member {
    fn open(settings: &LogSettings) -> Self {
        Self {
            log: KafkaLog::open(settings.clone()).unwrap(),
            owned: BTreeSet::new(),
        }
    }

    fn poll(&mut self) {
        let polled = self
            .log
            .poll(Duration::from_millis(50), 1, &mut |_| ControlFlow::Continue(()));
        match polled.unwrap().rebalance {
            Some(Rebalance::Assigned(partitions)) => {
                self.log.assign(&partitions).unwrap();
                self.owned.extend(partitions);
            }
            Some(Rebalance::Revoked { partitions, .. }) => {
                self.log.unassign(&partitions).unwrap();
                self.owned.retain(|at| !partitions.contains(at));
            }
            None => {}
        }
    }
}

/// Polls members until they have so many partitions together.
fn until(count: usize, limit: Duration, members: &mut [&mut Member]) -> bool {
    let end = Instant::now() + limit;
    loop {
        members.iter_mut().for_each(|member| member.poll());
        if members.iter().map(|member| member.owned.len()).sum::<usize>() == count {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
    }
}

#[test]
fn what_a_killed_member_left_to_nobody_is_read_again() {
    let Some(connection) = kafka::broker("partitions that nobody has are not looked for") else {
        return;
    };
    kafka::create_topic(&connection, TOPIC, PARTITIONS);
    let settings = |member: &str| LogSettings {
        connection: connection.clone(),
        group: "left".to_owned(),
        member: format!("left-{member}"),
        protocol: GroupProtocol::Classic,
        membership: Membership::Group(vec![TOPIC.to_owned()]),
        guarantee: Guarantee::AtLeastOnce,
        transaction_timeout: Duration::from_secs(10),
        has_reader: false,
        compression: "lz4",
        metrics: None,
    };
    let all = PARTITIONS as usize;
    let mut killed = Member::open(&settings("a"));
    assert!(until(all, LIMIT, &mut [&mut killed]));
    let mut other = Member::open(&settings("b"));
    // The first is asked to give half of them up, and says nothing any more.
    assert!(!until(all, Duration::from_secs(6), &mut [&mut other]));
    std::mem::forget(killed);
    let mut back = Member::open(&settings("a"));
    let _ = until(all, Duration::from_secs(6), &mut [&mut back, &mut other]);
    let left = all - back.owned.len() - other.owned.len();
    assert!(
        left > 0,
        "nothing was left to nobody: {:?} {:?}",
        back.owned,
        other.owned
    );
    let mut watch = GroupWatch::new(vec![settings("a")]).unwrap().unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut found = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                found.extend(watch.look(&|| is_over.load(Ordering::Relaxed)).unwrap_or_default());
                std::thread::sleep(Duration::from_millis(500));
            }
            found
        });
        let is_whole = until(all, LIMIT, &mut [&mut back, &mut other]);
        is_over.store(true, Ordering::Relaxed);
        let found = watching.join().unwrap();
        assert!(is_whole, "{:?} {:?}, found {found:?}", back.owned, other.owned);
        assert_eq!(found.len(), left, "{found:?}");
    });
    // A group that has all looks after nothing.
    let mut watch = GroupWatch::new(vec![settings("a")]).unwrap().unwrap();
    for _ in 0..2 {
        assert_eq!(watch.look(&|| false).unwrap(), []);
        until(all, Duration::ZERO, &mut [&mut back, &mut other]);
    }
}
