//! The guard against duplicated requests of a transaction: a request that arrives a second time, late, in the next
//! transaction. Without the guard it breaks exactly-once on a real Kafka; with it nothing happens.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use falsefront::model::key::HashKey;
use falsefront::service::kafka::Connection;
use falsefront::service::kafka::admin::Admin;
use falsefront::service::kafka::io::{Reader, Writer};
use falsefront::service::kafka::log::{GroupProtocol, KafkaLog, LogSettings, Membership};
use falsefront::service::log::{Failure, Guarantee, Log, TopicPartition};
use falsefront::service::metrics::Metrics;
use falsefront::service::topics::{self, TopicNames};
use falsefront::service::worker::stage::{Role, Stage};
use falsefront::service::worker::{StartFrom, Stop, Worker, WorkerSettings};

use crate::support::kafka::ASK;
use crate::support::proxy::{END_TXN, Proxy, TXN_OFFSET_COMMIT};
use crate::support::{counting, kafka};

const HASH_KEY: HashKey = HashKey(*b"guard of a test!");
/// Longest anything here may take.
const LIMIT: Duration = Duration::from_secs(60);
/// Every tenth record of an account is an alert: one record of the log raises so many.
const ALERTS: usize = 3;

struct Trial {
    connection: Connection,
    names: TopicNames,
    is_guarded: bool,
}

impl Trial {
    fn member(&self) -> String {
        format!("{}-member", self.names.alerts)
    }

    fn log(&self, member: String, membership: Membership) -> KafkaLog {
        let settings = LogSettings {
            connection: self.connection.clone(),
            group: format!("{}.group", self.names.alerts),
            member,
            protocol: GroupProtocol::Classic,
            membership,
            guarantee: Guarantee::ExactlyOnce,
            transaction_timeout: Duration::from_secs(10),
            has_reader: true,
            compression: "lz4",
            metrics: None,
        };
        KafkaLog::open(settings).unwrap()
    }

    /// Where the group stands.
    fn committed(&self) -> i64 {
        let at = TopicPartition::new(&self.names.observations, 0);
        let mut log = self.log(format!("{}-asks", self.member()), Membership::Fixed(Vec::new()));
        let end = Instant::now() + LIMIT;
        loop {
            match log.committed(std::slice::from_ref(&at)) {
                Ok(committed) => return committed[0].unwrap_or(0),
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
        }
    }

    fn worker(&self, commit_interval: Duration) -> Worker<KafkaLog> {
        let metrics = Metrics::new().unwrap().worker("accounts-0", Role::Accounts);
        let stage = Stage::Fold {
            role: Role::Accounts,
            factory: counting::stages(HASH_KEY).accounts,
        };
        let settings_of_worker = WorkerSettings {
            name: "accounts-0".to_owned(),
            role: Role::Accounts,
            topics: self.names.clone(),
            hash_key: HASH_KEY,
            commit_interval,
            guarantee: Guarantee::ExactlyOnce,
            transaction_timeout: Duration::from_secs(10),
            // An idle worker must not open a transaction for its checkpoints: it would put the group right again.
            checkpoint_period: Duration::from_secs(3_600),
            start_from: StartFrom::Earliest,
            is_fused: false,
            is_durable: true,
            is_guarded: self.is_guarded,
        };
        let log = self.log(
            self.member(),
            Membership::Group(vec![self.names.observations.to_string()]),
        );
        Worker::new(log, stage, settings_of_worker, metrics, Stop::default())
    }

    fn feed(&self) {
        let writer = Writer::new(&self.connection).unwrap();
        let record = vec!["somebody"; 10 * ALERTS].join("\n");
        writer
            .send(&self.names.observations, Some(0), None, record.as_bytes())
            .unwrap();
        writer.flush(ASK).unwrap();
    }

    /// Alerts a `read_committed` subscriber has.
    fn alerts(&self) -> Vec<String> {
        let mut reader = Reader::new(&self.connection, &self.names.alerts, 1).unwrap();
        let mut alerts = Vec::new();
        let end = Instant::now() + LIMIT;
        while !reader.is_at_end() && Instant::now() < end {
            let record = reader.next(Duration::from_millis(50)).unwrap();
            alerts.extend(record.map(|record| String::from_utf8(record.value.unwrap()).unwrap()));
        }
        alerts
    }

    /// Works until `is_enough`, looking at most every few milliseconds.
    fn work(&self, worker: &mut Worker<KafkaLog>, mut is_enough: impl FnMut() -> bool) -> Result<(), Failure> {
        let end = Instant::now() + LIMIT;
        while !is_enough() {
            assert!(Instant::now() < end, "not in time");
            worker.step()?;
        }
        Ok(())
    }

    fn work_until_alerts(&self, worker: &mut Worker<KafkaLog>, count: usize) {
        let mut looked = Instant::now();
        self.work(worker, || {
            if looked.elapsed() < Duration::from_millis(300) {
                return false;
            }
            looked = Instant::now();
            self.alerts().len() >= count
        })
        .unwrap();
    }
}

/// What a late request did.
#[derive(Debug, PartialEq, Eq)]
struct Harm {
    /// Alerts that came twice.
    repeated: usize,
    /// The group stands at an offset before one that was committed.
    is_set_back: bool,
}

/// Three transactions, the request `api` of the second delivered again in the third, a crash, and a new worker.
fn harm(connection: &Connection, proxy: &Proxy, api: i16, is_guarded: bool, attempt: u32) -> Harm {
    let trial = Trial {
        connection: connection.clone(),
        names: TopicNames::new(&format!("guard-{api}-{is_guarded}-{attempt}"), 1),
        is_guarded,
    };
    let admin = Admin::new(connection).unwrap();
    let plan = topics::plan(&admin, &trial.names, ASK).unwrap();
    topics::apply(&admin, &plan, ASK).unwrap();

    // Long enough that the third transaction is still open when the late request arrives: after the second of lingering
    // that its first record needs, and although the time counts from the beginning of the commit before.
    let mut worker = trial.worker(Duration::from_secs(3));
    trial.feed();
    // A first start commits its choice of offsets before it reads; that transaction is not meant.
    trial.work_until_alerts(&mut worker, ALERTS);
    proxy.hold(api, &trial.member());
    trial.feed();
    trial.work_until_alerts(&mut worker, 2 * ALERTS);
    trial.feed();
    // Whatever the late request does to this worker, it is a crash for the next one.
    let _ = trial.work(&mut worker, || proxy.answer().is_some());
    if api == TXN_OFFSET_COMMIT {
        trial.work_until_alerts(&mut worker, 3 * ALERTS);
    }
    drop(worker);
    let is_set_back = api == TXN_OFFSET_COMMIT && trial.committed() < 3;

    let mut successor = trial.worker(Duration::from_millis(50));
    trial.feed();
    let mut seen = BTreeSet::new();
    let mut looked = Instant::now();
    trial
        .work(&mut successor, || {
            if looked.elapsed() >= Duration::from_millis(300) {
                looked = Instant::now();
                seen = trial.alerts().into_iter().collect();
            }
            seen.len() >= 4 * ALERTS
        })
        .unwrap();
    let mut once = BTreeSet::new();
    let alerts = trial.alerts().into_iter();
    Harm {
        repeated: alerts.filter(|alert| !once.insert(alert.clone())).count(),
        is_set_back,
    }
}

/// Attempts at showing the harm without the guard.
const ATTEMPTS: u32 = 5;

#[test]
fn a_request_delivered_twice_breaks_nothing_behind_the_guard() {
    let proxy = Proxy::start();
    let what = "duplicated requests of a transaction on a real Kafka";
    let Some(broker) = kafka::broker_behind(&proxy, what) else {
        return;
    };
    let connection = Connection::plaintext(&proxy.address.to_string());
    let none = Harm {
        repeated: 0,
        is_set_back: false,
    };
    // The late request has to arrive while the next transaction is open: on a busy machine it may take some attempts to
    // see the harm. Behind the guard there must be none, however often.
    let shows = |api: i16, is_harm: fn(&Harm) -> bool| {
        (0..ATTEMPTS).any(|attempt| is_harm(&harm(&connection, &proxy, api, false, attempt)))
    };
    // EndTxn commits the second transaction before its offsets are in it, so its records are taken again.
    assert!(shows(END_TXN, |harm| harm.repeated == ALERTS));
    assert_eq!(harm(&connection, &proxy, END_TXN, true, 0), none);
    // A late TxnOffsetCommit overwrites the offsets of the second transaction, although every call answered well.
    assert!(shows(TXN_OFFSET_COMMIT, |harm| harm.is_set_back));
    assert_eq!(harm(&connection, &proxy, TXN_OFFSET_COMMIT, true, 0), none);
    drop(broker);
}
