//! From a checked configuration to what the service runs with: secrets read, key derived, times parsed.

use std::path::Path;
use std::time::Duration;

use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher;

use crate::model::key::HashKey;

use super::config::Config;
use super::kafka::Connection;
use super::reference::ReferenceFiles;
use super::secret::Secret;
use super::supervisor::{ServiceSettings, Source};
use super::topics::TopicNames;
use super::worker::StartFrom;

/// The broker aborts a transaction that is older; a dead worker holds readers back for so long at most.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// A file that the configuration names cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {file}: {detail}")]
pub struct SettingsError {
    /// Key of the configuration.
    pub key: &'static str,
    /// File.
    pub file: String,
    /// What is wrong and what to do.
    pub detail: String,
}

/// `earliest`, `latest` or an RFC 3339 time.
///
/// # Errors
/// What is accepted.
pub fn start_from(text: &str) -> Result<StartFrom, String> {
    match text {
        "earliest" => Ok(StartFrom::Earliest),
        "latest" => Ok(StartFrom::Latest),
        time => time
            .parse::<jiff::Timestamp>()
            .map(|time| StartFrom::Time(time.as_millisecond()))
            .map_err(|_| format!("{time:?} is neither earliest, latest nor a time such as 2026-01-31T00:00:00Z")),
    }
}

/// The files with reference data.
#[must_use]
pub fn reference_files(config: &Config) -> ReferenceFiles {
    ReferenceFiles {
        geoip: config.geoip.files.clone(),
        networks: config.networks.file.iter().cloned().collect(),
        roster: config.roster.file.iter().cloned().collect(),
        travel: config.roster.travel_file.clone(),
    }
}

/// The brokers and how to be let in.
///
/// # Errors
/// [`SettingsError`] if a secret's file cannot be read.
pub fn connection(config: &Config) -> Result<Connection, SettingsError> {
    let kafka = &config.kafka;
    let mut connection = Connection::plaintext(&kafka.brokers);
    let mut set = |key: &'static str, value: Option<String>| {
        if let Some(value) = value {
            connection.security.insert(key, Secret::new(value));
        }
    };
    let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
    set("security.protocol", Some(kafka.security_protocol.as_str().to_owned()));
    set("ssl.ca.location", path(&kafka.ssl_ca_file));
    set("ssl.certificate.location", path(&kafka.ssl_certificate_file));
    set("ssl.key.location", path(&kafka.ssl_key_file));
    set(
        "ssl.key.password",
        secret(
            "kafka.ssl_key_password_file",
            &kafka.ssl_key_password,
            kafka.ssl_key_password_file.as_deref(),
        )?,
    );
    if let Some(mechanism) = kafka.sasl_mechanism.filter(|_| kafka.security_protocol.is_sasl()) {
        set("sasl.mechanism", Some(mechanism.as_str().to_owned()));
        set("sasl.username", kafka.sasl_username.clone());
        set(
            "sasl.password",
            secret(
                "kafka.sasl_password_file",
                &kafka.sasl_password,
                kafka.sasl_password_file.as_deref(),
            )?,
        );
        if kafka.oauth_client_id.is_some() {
            set("sasl.oauthbearer.method", Some("oidc".to_owned()));
            set("sasl.oauthbearer.client.id", kafka.oauth_client_id.clone());
            set(
                "sasl.oauthbearer.token.endpoint.url",
                kafka.oauth_token_endpoint_url.clone(),
            );
            set("sasl.oauthbearer.scope", kafka.oauth_scope.clone());
            let key = "kafka.oauth_client_secret_file";
            let value = secret(
                key,
                &kafka.oauth_client_secret,
                kafka.oauth_client_secret_file.as_deref(),
            )?;
            set("sasl.oauthbearer.client.secret", value);
        }
    }
    connection.librdkafka = kafka
        .librdkafka
        .iter()
        .map(|(key, value)| (key.clone(), value.to_string()))
        .collect();
    Ok(connection)
}

fn secret(key: &'static str, value: &Option<Secret>, file: Option<&Path>) -> Result<Option<String>, SettingsError> {
    let Some(file) = file else {
        return Ok(value.as_ref().map(|value| value.reveal().to_owned()));
    };
    let text = std::fs::read_to_string(file).map_err(|error| SettingsError {
        key,
        file: file.display().to_string(),
        detail: format!("{error}; the file must hold the secret alone"),
    })?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// The key that decides partitions.
///
/// # Errors
/// [`SettingsError`] if the file does not hold 16 bytes.
pub fn hash_key(config: &Config) -> Result<HashKey, SettingsError> {
    let Some(file) = &config.hash_key_file else {
        let mut hasher = SipHasher24::new_with_key(b"falsefront/1 key");
        hasher.write(config.application.as_bytes());
        return Ok(HashKey(hasher.finish128().as_u128().to_le_bytes()));
    };
    let error = |detail: String| SettingsError {
        key: "hash_key_file",
        file: file.display().to_string(),
        detail,
    };
    let remedy = "make one with `head -c 16 /dev/urandom > FILE`";
    let bytes = std::fs::read(file).map_err(|cause| error(format!("{cause}; {remedy}")))?;
    let key: [u8; 16] = bytes
        .as_slice()
        .try_into()
        .map_err(|_| error(format!("has {} bytes, not 16; {remedy}", bytes.len())))?;
    Ok(HashKey(key))
}

/// Everything the workers need.
///
/// # Errors
/// [`SettingsError`] if a secret or the hash key cannot be read.
pub fn service(config: &Config) -> Result<ServiceSettings, SettingsError> {
    let sources = config.sources.iter();
    Ok(ServiceSettings {
        connection: connection(config)?,
        application: config.application.clone(),
        instance: config.instance.clone(),
        roles: config.roles.clone(),
        rekey: config.rekey,
        workers: config.workers,
        sources: sources
            .map(|source| Source {
                topic: source.topic.clone(),
                format: source.format,
            })
            .collect(),
        topics: TopicNames::new(&config.application, config.intake.partitions),
        hash_key: hash_key(config)?,
        commit_interval: Duration::from_millis(config.commit_interval_ms),
        guarantee: config.guarantee,
        transaction_timeout: TRANSACTION_TIMEOUT,
        checkpoint_period: Duration::from_secs(config.checkpoint_period_s),
        // Checked with the configuration.
        start_from: start_from(&config.start_from).unwrap_or(StartFrom::Latest),
        protocol: config.group_protocol,
        fixed_sources: None,
    })
}
