//! A real Apache Kafka, started once for all tests of a run by `deploy/kafka/local.sh`.
//!
//! The script ends its brokers when its standard input closes, which the system does for us however this process ends.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use falsefront::service::kafka::Connection;
use falsefront::service::kafka::admin::Admin;
use falsefront::service::topics::WantedTopic;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::proxy::Proxy;

/// Longest a question to the broker may take.
pub(crate) const ASK: Duration = Duration::from_secs(15);

/// A broker; it ends with this value.
pub(crate) struct Broker {
    connection: Connection,
    _script: Child,
    _data: tempfile::TempDir,
}

/// The broker, or `None` where there is no Java; then the test says what it skips, or fails if
/// `FALSEFRONT_REQUIRE_KAFKA=1`.
pub(crate) fn broker(what: &str) -> Option<Connection> {
    static BROKER: OnceLock<Result<Broker, String>> = OnceLock::new();
    match BROKER.get_or_init(|| start(None)) {
        Ok(broker) => Some(broker.connection.clone()),
        Err(why) => {
            absent(what, why);
            None
        }
    }
}

/// The same with listeners for TLS and SASL besides, and where their certificates and passwords are.
#[cfg(feature = "tls")]
pub(crate) struct Secure {
    /// Without protection, to prepare and to look.
    pub(crate) plaintext: Connection,
    /// TLS, for clients with a certificate.
    pub(crate) mutual_tls: String,
    /// TLS, for clients with a password or a token.
    pub(crate) sasl_tls: String,
    /// See `deploy/kafka/secure.sh`.
    pub(crate) files: PathBuf,
}

/// As [`broker`], with listeners for TLS and SASL.
#[cfg(feature = "tls")]
pub(crate) fn secure_broker(what: &str) -> Option<&'static Secure> {
    static BROKER: OnceLock<Result<(Broker, Secure), String>> = OnceLock::new();
    let started = BROKER.get_or_init(|| {
        let (broker, more) = start_with(None, &["--secure"], 3)?;
        let find = |name: &str| {
            more.iter()
                .find_map(|line| line.strip_prefix(name))
                .ok_or(name.to_owned())
        };
        let secure = Secure {
            plaintext: broker.connection.clone(),
            mutual_tls: find("mutual-tls ")?.to_owned(),
            sasl_tls: find("sasl-tls ")?.to_owned(),
            files: find("files ")?.into(),
        };
        Ok((broker, secure))
    });
    match started {
        Ok((_, secure)) => Some(secure),
        Err(why) => {
            absent(what, why);
            None
        }
    }
}

/// A broker of its own that tells its clients to come through `proxy`.
pub(crate) fn broker_behind(proxy: &Proxy, what: &str) -> Option<Broker> {
    match start(Some(proxy.address)) {
        Ok(broker) => {
            proxy.forward_to(broker.connection.brokers.parse().unwrap());
            Some(broker)
        }
        Err(why) => {
            absent(what, &why);
            None
        }
    }
}

fn absent(what: &str, why: &str) {
    assert!(
        std::env::var("FALSEFRONT_REQUIRE_KAFKA").as_deref() != Ok("1"),
        "FALSEFRONT_REQUIRE_KAFKA=1, but there is no Kafka: {why}"
    );
    eprintln!("SKIPPED, NOT TESTED: {what}: {why}");
}

fn start(advertised: Option<SocketAddr>) -> Result<Broker, String> {
    start_with(advertised, &[], 0).map(|(broker, _)| broker)
}

/// With further options, on which the script says `more` further lines.
fn start_with(advertised: Option<SocketAddr>, options: &[&str], more: usize) -> Result<(Broker, Vec<String>), String> {
    for tool in ["java", "bash"] {
        let found = Command::new("sh")
            .args(["-c", &format!("command -v {tool}")])
            .stdout(Stdio::null())
            .status();
        if !found.is_ok_and(|status| status.success()) {
            return Err(format!("{tool} not found"));
        }
    }
    let data = tempfile::Builder::new()
        .prefix("falsefront-kafka")
        .tempdir()
        .map_err(|error| error.to_string())?;
    let port = free_ports();
    let mut command = Command::new(script());
    if let Some(advertised) = advertised {
        command.env("FALSEFRONT_KAFKA_ADVERTISED", advertised.to_string());
    }
    let mut script = command
        .args(["run", "--with-stdin", "--port", &port.to_string()])
        .args(options)
        .arg("--data")
        .arg(data.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let output = script.stdout.take().ok_or("no output")?;
    let lines = BufReader::new(output).lines().take(1 + more);
    let lines: Vec<String> = lines.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    let Some((line, more)) = lines.split_first() else {
        return Err("the script ended; see its messages above".to_owned());
    };
    let brokers = line.strip_prefix("ready ").ok_or(format!("unexpected {line:?}"))?;
    let broker = Broker {
        connection: Connection::plaintext(brokers),
        _script: script,
        _data: data,
    };
    Ok((broker, more.to_vec()))
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kafka/local.sh")
}

/// The first of four neighbouring free ports.
fn free_ports() -> u16 {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let is_free = |more: u16| {
            port.checked_add(more)
                .is_some_and(|port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        };
        if (1..4).all(is_free) {
            return port;
        }
    }
}

/// Creates a topic as a user of falsefront would: producers' times, no special settings.
pub(crate) fn create_topic(connection: &Connection, name: &str, partitions: u32) {
    let topic = WantedTopic {
        name: name.into(),
        partitions,
        replication: 1,
        settings: std::collections::BTreeMap::new(),
    };
    Admin::new(connection).unwrap().create(&[topic], ASK).unwrap();
}

/// Deletes all records of a topic, as retention does once they are old.
pub(crate) fn delete_records(connection: &Connection, topic: &str, partitions: u32) {
    let mut offsets = TopicPartitionList::new();
    for partition in 0..i32::try_from(partitions).unwrap() {
        offsets.add_partition_offset(topic, partition, Offset::End).unwrap();
    }
    let admin = admin(connection);
    // The client asks who leads the partitions, and gives up if that is not known yet.
    let asked = Instant::now();
    let deleted = loop {
        match wait_for(admin.delete_records(&offsets, &AdminOptions::new())) {
            Err(error) if asked.elapsed() < ASK => {
                println!("records of {topic} are not deleted yet: {error}");
                std::thread::sleep(Duration::from_millis(100));
            }
            answer => break answer.unwrap(),
        }
    };
    for element in deleted.elements() {
        element.error().unwrap();
    }
}

/// Adds partitions to a topic until it has so many.
pub(crate) fn add_partition(connection: &Connection, topic: &str, count: usize) {
    let wanted = [NewPartitions::new(topic, count)];
    let admin = admin(connection);
    let added = wait_for(admin.create_partitions(&wanted, &AdminOptions::new())).unwrap();
    added.into_iter().for_each(|topic| drop(topic.unwrap()));
}

/// Deletes a topic.
pub(crate) fn delete_topic(connection: &Connection, topic: &str) {
    let admin = admin(connection);
    let deleted = wait_for(admin.delete_topics(&[topic], &AdminOptions::new())).unwrap();
    deleted.into_iter().for_each(|topic| drop(topic.unwrap()));
}

fn admin(connection: &Connection) -> AdminClient<DefaultClientContext> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &connection.brokers);
    config.create().unwrap()
}

fn wait_for<T>(answer: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(answer)
}
