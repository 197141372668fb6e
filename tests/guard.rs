//! The guard against duplicated requests of a transaction: a request that arrives a second time, late, in the next
//! transaction. Without the guard it breaks exactly-once on a real Kafka; with it nothing happens.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use falsefront::model::key::HashKey;
use falsefront::service::kafka::Connection;
use falsefront::service::kafka::admin::Admin;
use falsefront::service::kafka::io::{Reader, Writer};
use falsefront::service::kafka::log::{GroupProtocol, KafkaLog, LogSettings, Membership};
use falsefront::service::log::Failure;
use falsefront::service::metrics::Metrics;
use falsefront::service::topics::{self, TopicNames};
use falsefront::service::worker::stage::{Role, Stage};
use falsefront::service::worker::{StartFrom, Stop, Worker, WorkerSettings};

use crate::support::kafka::ASK;
use crate::support::proxy::{END_TXN, Proxy};
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
            transaction_timeout: Duration::from_secs(10),
            has_reader: true,
            metrics: None,
        };
        KafkaLog::open(settings).unwrap()
    }

    fn worker(&self, commit_interval: Duration) -> Worker<KafkaLog> {
        let metrics = Metrics::new().unwrap().worker("accounts-0", Role::Accounts);
        let stage = Stage::Fold {
            role: Role::Accounts,
            factory: counting::stages(HASH_KEY, 1).accounts,
        };
        let settings_of_worker = WorkerSettings {
            name: "accounts-0".to_owned(),
            role: Role::Accounts,
            topics: self.names.clone(),
            hash_key: HASH_KEY,
            commit_interval,
            transaction_timeout: Duration::from_secs(10),
            // No transaction but those of the records.
            checkpoint_period: Duration::from_secs(86_400),
            start_from: StartFrom::Earliest,
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

/// Two transactions, the EndTxn of the first delivered again in the second, a crash, and a new worker. Gives how many
/// alerts came twice.
fn repeated_alerts(connection: &Connection, proxy: &Proxy, is_guarded: bool) -> usize {
    let trial = Trial {
        connection: connection.clone(),
        names: TopicNames::new(&format!("guard-{is_guarded}"), 1),
        is_guarded,
    };
    let admin = Admin::new(connection).unwrap();
    let plan = topics::plan(&admin, &trial.names, ASK).unwrap();
    topics::apply(&admin, &plan, ASK).unwrap();

    // Long enough that the second transaction is still open when the late request arrives.
    let mut worker = trial.worker(Duration::from_millis(1_500));
    trial.feed();
    proxy.hold(END_TXN, &trial.member());
    trial.work_until_alerts(&mut worker, ALERTS);
    trial.feed();
    // Whatever the late request does to this worker, it is a crash for the next one.
    let _ = trial.work(&mut worker, || proxy.answer().is_some());
    drop(worker);

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
            seen.len() >= 3 * ALERTS
        })
        .unwrap();
    let mut once = BTreeSet::new();
    let alerts = trial.alerts().into_iter();
    alerts.filter(|alert| !once.insert(alert.clone())).count()
}

#[test]
fn a_request_delivered_twice_breaks_nothing_behind_the_guard() {
    let proxy = Proxy::start();
    let what = "duplicated requests of a transaction on a real Kafka";
    let Some(broker) = kafka::broker_behind(&proxy, what) else {
        return;
    };
    let connection = Connection::plaintext(&proxy.address.to_string());
    // It commits the second transaction before its offsets are in it, so its records are taken again.
    let unguarded = repeated_alerts(&connection, &proxy, false);
    assert_eq!(unguarded, ALERTS, "without the guard");
    assert_eq!(repeated_alerts(&connection, &proxy, true), 0, "behind the guard");
    drop(broker);
}
