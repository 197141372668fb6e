//! How to reach the brokers: what every client of the process shares, and which settings an operator may add.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;

use crate::service::secret::Secret;

/// librdkafka settings that an operator may set: connections and buffers, nothing the protocol depends on.
pub const ALLOWED: [&str; 34] = [
    "broker.address.family",
    "broker.address.ttl",
    "client.id",
    "client.rack",
    "compression.level",
    "compression.type",
    "connections.max.idle.ms",
    "enable.ssl.certificate.verification",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.wait.max.ms",
    "linger.ms",
    "log.connection.close",
    "metadata.max.age.ms",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "receive.message.max.bytes",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.extensions",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "max.poll.interval.ms",
    "socket.connection.setup.timeout.ms",
    "socket.nagle.disable",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "ssl.cipher.suites",
    "ssl.curves.list",
    "ssl.endpoint.identification.algorithm",
    "ssl.sigalgs.list",
    "topic.metadata.refresh.interval.ms",
];

/// Settings that exist for one kind of client only; librdkafka warns if the other gets them.
const CONSUMER_ONLY: [&str; 9] = [
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.wait.max.ms",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "max.poll.interval.ms",
];
const PRODUCER_ONLY: [&str; 5] = [
    "compression.level",
    "compression.type",
    "linger.ms",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
];

/// What a client is called, unless an operator says otherwise.
const CLIENT_ID: &str = "falsefront";

/// What every client shares. Has no `Debug`: it holds secrets.
#[derive(Clone, Default)]
pub struct Connection {
    /// `host:port,host:port`.
    pub brokers: String,
    /// Security settings.
    pub security: BTreeMap<&'static str, Secret>,
    /// From [`ALLOWED`].
    pub librdkafka: BTreeMap<String, String>,
    /// Partitions may be read over connections of our own.
    pub is_direct: bool,
}

/// Kind of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Consumer,
    Producer,
    Admin,
}

impl Connection {
    /// A plaintext connection.
    #[must_use]
    pub fn plaintext(brokers: &str) -> Self {
        Self {
            brokers: brokers.to_owned(),
            ..Self::default()
        }
    }

    /// What a client is called.
    pub(super) fn client_id(&self) -> &str {
        self.librdkafka.get("client.id").map_or(CLIENT_ID, String::as_str)
    }

    /// Whether partitions are read over connections of our own: those know neither encryption nor passwords nor any of
    /// librdkafka's settings of connections and reading.
    pub(super) fn may_be_read_directly(&self) -> bool {
        const ABOUT_READING: [&str; 7] = [
            "broker.",
            "client.rack",
            "fetch.",
            "queued.",
            "receive.",
            "socket.",
            "connections.",
        ];
        let protocol = self.security.get("security.protocol");
        let is_about_reading = |key: &String| ABOUT_READING.iter().any(|start| key.starts_with(start));
        self.is_direct
            && protocol.is_none_or(|protocol| protocol.reveal() == "plaintext")
            && !self.librdkafka.keys().any(is_about_reading)
    }

    /// Settings of a client with the protocol's own on top.
    pub(super) fn client(&self, kind: Kind, own: &[(&str, String)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config.set("client.id", CLIENT_ID);
        config.set("socket.keepalive.enable", "true");
        // The default of 10 s stalled transactions for 9.4 s after a broker's restart.
        config.set("reconnect.backoff.ms", "50");
        config.set("reconnect.backoff.max.ms", "500");
        config.set("enable.metrics.push", "false");
        config.set("allow.auto.create.topics", "false");
        if kind == Kind::Producer {
            config.remove("allow.auto.create.topics");
        }
        if kind == Kind::Admin {
            config.remove("allow.auto.create.topics");
        }
        for (key, secret) in &self.security {
            config.set(*key, secret.reveal());
        }
        for (key, value) in own {
            config.set(*key, value);
        }
        for (key, value) in &self.librdkafka {
            let is_foreign = match kind {
                Kind::Consumer => PRODUCER_ONLY.contains(&key.as_str()),
                Kind::Producer => CONSUMER_ONLY.contains(&key.as_str()),
                Kind::Admin => PRODUCER_ONLY.contains(&key.as_str()) || CONSUMER_ONLY.contains(&key.as_str()),
            };
            if !is_foreign {
                config.set(key, value);
            }
        }
        config
    }
}
