//! What the configuration may say, and what it says if nobody does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::intake::Format;
use crate::pipeline::settings::{DetectionSettings, IntakeSettings};
use crate::service::kafka::log::GroupProtocol;
use crate::service::log::Guarantee;
use crate::service::secret::Secret;
use crate::service::worker::stage::Role;

/// The whole configuration.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Prefix of topics, groups and transactional ids.
    pub application: String,
    /// Stable name of this process among those of the application; the host's name by default.
    pub instance: String,
    /// Stages of this process.
    pub roles: Vec<Role>,
    /// False if the only source is partitioned by account, into as many partitions as `intake.partitions`: accounts are
    /// then folded from it directly, without writing `observations`.
    pub rekey: bool,
    /// Worker threads of each stage.
    pub workers: usize,
    /// Time from the beginning of one commit to that of the next, ms; while there is more to read than one poll gives,
    /// from a transaction's first record to its commit.
    pub commit_interval_ms: u64,
    /// What a crash may do to the output: `exactly_once` or `at_least_once`.
    pub guarantee: Guarantee,
    /// Every part of the state is written to `checkpoints` once in this time, s.
    pub checkpoint_period_s: u64,
    /// Where the first start begins: `earliest`, `latest` or an RFC 3339 time. Sources and partitions that come later are
    /// read from their beginning.
    pub start_from: String,
    /// How members of a group agree.
    pub group_protocol: GroupProtocol,
    /// File with 16 bytes that decide partitions; derived from `application` without it.
    pub hash_key_file: Option<PathBuf>,
    /// Longest a stop may take, s.
    pub stop_limit_s: u64,
    /// The brokers.
    pub kafka: Kafka,
    /// Topics with events.
    pub sources: Vec<SourceConfig>,
    /// Topics of the application.
    pub topics: TopicsConfig,
    /// Where addresses are.
    pub geoip: GeoIp,
    /// What networks they belong to.
    pub networks: Networks,
    /// What HR says.
    pub roster: Roster,
    /// Metrics and health.
    pub http: Http,
    /// Limits of intake.
    pub intake: IntakeSettings,
    /// Thresholds of the detections.
    pub detections: DetectionSettings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            application: "falsefront".to_owned(),
            instance: host_name(),
            roles: Role::ALL.to_vec(),
            rekey: true,
            workers: 1,
            commit_interval_ms: 100,
            guarantee: Guarantee::ExactlyOnce,
            checkpoint_period_s: 60,
            start_from: "latest".to_owned(),
            group_protocol: GroupProtocol::Classic,
            hash_key_file: None,
            stop_limit_s: 25,
            kafka: Kafka::default(),
            sources: Vec::new(),
            topics: TopicsConfig::default(),
            geoip: GeoIp::default(),
            networks: Networks::default(),
            roster: Roster::default(),
            http: Http::default(),
            intake: IntakeSettings::default(),
            detections: DetectionSettings::default(),
        }
    }
}

impl Config {
    /// The configuration as it may be shown: where a file with a secret should be and none is, the secret itself may
    /// have been given.
    #[must_use]
    pub fn printable(&self) -> Self {
        let mut shown = self.clone();
        let kafka = &mut shown.kafka;
        let files = [
            &mut shown.hash_key_file,
            &mut kafka.sasl_password_file,
            &mut kafka.oauth_client_secret_file,
            &mut kafka.ssl_key_file,
            &mut kafka.ssl_key_password_file,
        ];
        for file in files.into_iter().flatten().filter(|file| !is_there(file)) {
            *file = PathBuf::from(super::conceal::HIDDEN);
        }
        shown
    }
}

/// Whether there is anything at that path, readable or not.
pub fn is_there(file: &Path) -> bool {
    std::fs::symlink_metadata(file).is_ok()
}

/// The brokers and how to be let in.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kafka {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// How the connection is protected.
    pub security_protocol: SecurityProtocol,
    /// Mechanism for `sasl_*` protocols.
    pub sasl_mechanism: Option<SaslMechanism>,
    /// For `plain` and `scram`.
    pub sasl_username: Option<String>,
    /// For `plain` and `scram`; better in a file or the environment.
    pub sasl_password: Option<Secret>,
    /// File with the password.
    pub sasl_password_file: Option<PathBuf>,
    /// For `oauthbearer`: where tokens come from.
    pub oauth_token_endpoint_url: Option<String>,
    /// For `oauthbearer`.
    pub oauth_client_id: Option<String>,
    /// For `oauthbearer`; better in a file or the environment.
    pub oauth_client_secret: Option<Secret>,
    /// File with the client secret.
    pub oauth_client_secret_file: Option<PathBuf>,
    /// For `oauthbearer`; several scopes separated by spaces.
    pub oauth_scope: Option<String>,
    /// Certificate authorities of the token endpoint, PEM; the system's without it.
    pub oauth_ca_file: Option<PathBuf>,
    /// Certificate authorities of the brokers, PEM; the system's without it.
    pub ssl_ca_file: Option<PathBuf>,
    /// Our certificate, PEM, for mutual TLS.
    pub ssl_certificate_file: Option<PathBuf>,
    /// Our key, PEM.
    pub ssl_key_file: Option<PathBuf>,
    /// Password of our key.
    pub ssl_key_password: Option<Secret>,
    /// File with that password.
    pub ssl_key_password_file: Option<PathBuf>,
    /// How partitions are read.
    pub fetch: Fetch,
    /// Other librdkafka settings, from a list of harmless ones.
    pub librdkafka: BTreeMap<String, Scalar>,
}

/// How partitions are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fetch {
    /// Over connections of our own where those to the brokers are not protected and no librdkafka setting is about
    /// reading; elsewhere, and where anything is amiss, through librdkafka.
    #[default]
    Direct,
    /// Through librdkafka.
    Librdkafka,
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecurityProtocol {
    /// Not at all.
    #[default]
    Plaintext,
    /// TLS.
    Ssl,
    /// A password or token in clear text.
    SaslPlaintext,
    /// A password or token inside TLS.
    SaslSsl,
}

impl SecurityProtocol {
    /// As librdkafka spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    /// Whether it needs OpenSSL.
    #[must_use]
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    /// Whether it needs a mechanism.
    #[must_use]
    pub fn is_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

/// How we prove who we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SaslMechanism {
    /// Name and password.
    Plain,
    /// SCRAM-SHA-256.
    ScramSha256,
    /// SCRAM-SHA-512.
    ScramSha512,
    /// A token from an OpenID Connect provider.
    Oauthbearer,
}

impl SaslMechanism {
    /// As librdkafka spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::Oauthbearer => "OAUTHBEARER",
        }
    }
}

/// A value of a librdkafka setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// `true`
    Bool(bool),
    /// `1`
    Integer(i64),
    /// `"1"`
    Text(String),
}

impl std::fmt::Display for Scalar {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(formatter),
            Self::Integer(value) => value.fmt(formatter),
            Self::Text(value) => value.fmt(formatter),
        }
    }
}

/// One topic with events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Topic.
    pub topic: String,
    /// Format; recognized record by record without it.
    #[serde(default)]
    pub format: Format,
}

/// Topics of the application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicsConfig {
    /// `run` creates those that are missing.
    pub create: bool,
    /// `run` starts although `topics plan` names something unsafe.
    pub allow_unsafe: bool,
}

impl Default for TopicsConfig {
    fn default() -> Self {
        Self {
            create: true,
            allow_unsafe: false,
        }
    }
}

/// Databases of places.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GeoIp {
    /// `.mmdb` files, or directories of them.
    pub files: Vec<PathBuf>,
}

/// Lists of networks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Networks {
    /// CSV `network,class,label`.
    pub file: Option<PathBuf>,
}

/// What HR says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Roster {
    /// Accounts, CSV or NDJSON.
    pub file: Option<PathBuf>,
    /// Approved travel, CSV.
    pub travel_file: Option<PathBuf>,
    /// Compacted topic that takes the place of `file`: key is the account, value a roster line as JSON.
    pub topic: Option<String>,
}

/// Metrics and health.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Address and port; empty for none.
    pub listen: String,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:9464".to_owned(),
        }
    }
}

fn host_name() -> String {
    let from_kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = from_kernel
        .or_else(|| std::env::var("HOSTNAME").ok())
        .unwrap_or_default();
    let clean: String = name
        .trim()
        .chars()
        .map(|c| if super::validate::is_name_char(c) { c } else { '-' })
        .collect();
    if clean.is_empty() { "local".to_owned() } else { clean }
}
