//! From a checked configuration to what the service runs with: secrets read, key derived, times parsed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher;

use crate::model::key::HashKey;

use super::config::{Config, Fetch, Kafka, SaslMechanism, is_there};
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
#[error("{key}: {}{detail}", .file.as_ref().map(|file| format!("{file}: ")).unwrap_or_default())]
pub struct SettingsError {
    /// Key of the configuration.
    pub key: &'static str,
    /// File; `None` if it may be the secret itself, because it should hold one and is not there.
    pub file: Option<String>,
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
        is_roster_in_topic: config.roster.topic.is_some(),
    }
}

/// The brokers and how to be let in.
///
/// # Errors
/// [`SettingsError`] if a certificate's, a key's or a secret's file cannot be read.
pub fn connection(config: &Config) -> Result<Connection, SettingsError> {
    let kafka = &config.kafka;
    let mut security = Security::default();
    security.set("security.protocol", Some(kafka.security_protocol.as_str().to_owned()));
    if kafka.security_protocol.is_tls() {
        let authority = readable("kafka.ssl_ca_file", kafka.ssl_ca_file.as_deref())?;
        security.set("ssl.ca.location", authority.or_else(system_authorities));
        let certificate = readable("kafka.ssl_certificate_file", kafka.ssl_certificate_file.as_deref())?;
        security.set("ssl.certificate.location", certificate);
        let key = readable("kafka.ssl_key_file", kafka.ssl_key_file.as_deref());
        let key = key.map_err(|error| SettingsError {
            file: error.file.filter(|file| is_there(Path::new(file))),
            ..error
        });
        security.set("ssl.key.location", key?);
        let file = kafka.ssl_key_password_file.as_deref();
        let password = secret("kafka.ssl_key_password_file", &kafka.ssl_key_password, file)?;
        security.set("ssl.key.password", password);
    }
    if let Some(mechanism) = kafka.sasl_mechanism.filter(|_| kafka.security_protocol.is_sasl()) {
        security.set("sasl.mechanism", Some(mechanism.as_str().to_owned()));
        if mechanism == SaslMechanism::Oauthbearer {
            security.token_endpoint(kafka)?;
        } else {
            security.set("sasl.username", kafka.sasl_username.clone());
            let file = kafka.sasl_password_file.as_deref();
            let password = secret("kafka.sasl_password_file", &kafka.sasl_password, file)?;
            security.set("sasl.password", password);
        }
    }
    let librdkafka = kafka.librdkafka.iter();
    Ok(Connection {
        brokers: kafka.brokers.clone(),
        security: security.0,
        librdkafka: librdkafka
            .map(|(key, value)| (key.clone(), value.to_string()))
            .collect(),
        is_direct: kafka.fetch == Fetch::Direct,
    })
}

#[derive(Default)]
struct Security(BTreeMap<&'static str, Secret>);

impl Security {
    fn set(&mut self, key: &'static str, value: Option<String>) {
        if let Some(value) = value {
            self.0.insert(key, Secret::new(value));
        }
    }

    /// Tokens by OpenID Connect, client credentials.
    fn token_endpoint(&mut self, kafka: &Kafka) -> Result<(), SettingsError> {
        self.set("sasl.oauthbearer.method", Some("oidc".to_owned()));
        self.set("sasl.oauthbearer.client.id", kafka.oauth_client_id.clone());
        let url = kafka.oauth_token_endpoint_url.clone();
        self.set("sasl.oauthbearer.token.endpoint.url", url);
        // librdkafka puts it into the form as it is.
        let scope = kafka.oauth_scope.as_ref().map(|scope| scope.replace(' ', "+"));
        self.set("sasl.oauthbearer.scope", scope);
        let authority = readable("kafka.oauth_ca_file", kafka.oauth_ca_file.as_deref())?;
        self.set("https.ca.location", authority.or_else(system_authorities));
        let file = kafka.oauth_client_secret_file.as_deref();
        let secret = secret("kafka.oauth_client_secret_file", &kafka.oauth_client_secret, file)?;
        self.set("sasl.oauthbearer.client.secret", secret);
        Ok(())
    }
}

/// An OpenSSL that was built in looks for the system's certificates where it was built; so librdkafka looks for them in
/// the usual places.
fn system_authorities() -> Option<String> {
    Some("probe".to_owned())
}

/// The path of a file that can be read.
fn readable(key: &'static str, file: Option<&Path>) -> Result<Option<String>, SettingsError> {
    let Some(file) = file else { return Ok(None) };
    let path = file.display().to_string();
    match std::fs::File::open(file) {
        Ok(_) => Ok(Some(path)),
        Err(error) => Err(SettingsError {
            key,
            file: Some(path),
            detail: format!("{error}; correct the path, or let this user read the file"),
        }),
    }
}

/// What is wrong with a file that holds a secret.
fn secret_error(key: &'static str, file: &Path, detail: &str) -> SettingsError {
    if is_there(file) {
        let file = Some(file.display().to_string());
        let detail = detail.to_owned();
        return SettingsError { key, file, detail };
    }
    SettingsError {
        key,
        file: None,
        detail: format!("{detail}; the path is not shown, because the secret itself may have been put in its place"),
    }
}

/// What an operator should know who has weakened the connection.
#[must_use]
pub fn weaknesses(config: &Config) -> Vec<String> {
    let kafka = &config.kafka;
    let mut found = Vec::new();
    let is_loopback = |address: &str| {
        let host = address.split([':', '/']).next();
        address.starts_with("127.") || address.starts_with("[::1]") || host == Some("localhost")
    };
    if !kafka.security_protocol.is_tls() && !kafka.brokers.split(',').all(|broker| is_loopback(broker.trim())) {
        found.push(
            "kafka.security_protocol: records and passwords travel in clear text; use ssl or sasl_ssl".to_owned(),
        );
    }
    let endpoint = kafka.oauth_token_endpoint_url.as_deref().unwrap_or_default();
    if endpoint.strip_prefix("http://").is_some_and(|host| !is_loopback(host)) {
        found.push("kafka.oauth_token_endpoint_url: the client secret travels in clear text; use https".to_owned());
    }
    // As librdkafka reads them, in any case.
    for (key, weak) in [
        ("enable.ssl.certificate.verification", &["false", "f", "0"][..]),
        ("ssl.endpoint.identification.algorithm", &["none"]),
    ] {
        let value = kafka.librdkafka.get(key).map(ToString::to_string).unwrap_or_default();
        if weak.iter().any(|weak| value.eq_ignore_ascii_case(weak)) {
            found.push(format!(
                "kafka.librdkafka: {key} = {value}: whoever is on the way can pass for the brokers and read passwords; \
                 give kafka.ssl_ca_file instead"
            ));
        }
    }
    found
}

fn secret(key: &'static str, value: &Option<Secret>, file: Option<&Path>) -> Result<Option<String>, SettingsError> {
    let Some(file) = file else {
        return Ok(value.as_ref().map(|value| value.reveal().to_owned()));
    };
    let must = "the file must hold the secret alone";
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| secret_error(key, file, &format!("{error}; {must}")))?;
    let value = text.trim_end_matches(['\r', '\n']);
    if value.is_empty() {
        return Err(secret_error(key, file, &format!("is empty; {must}")));
    }
    Ok(Some(value.to_owned()))
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
    let error = |detail: String| secret_error("hash_key_file", file, &detail);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::config::SecurityProtocol;

    fn refusal(file: &Path) -> String {
        let error = secret("kafka.sasl_password_file", &None, Some(file)).err().unwrap();
        error.to_string()
    }

    #[test]
    fn a_secret_s_file_that_is_not_there_is_told_by_its_key_alone() {
        let told = refusal(Path::new("CANARY"));
        assert!(
            told.starts_with("kafka.sasl_password_file: ") && !told.contains("CANARY"),
            "{told}"
        );
        let mut config = Config {
            hash_key_file: Some("CANARY".into()),
            ..Config::default()
        };
        let told = hash_key(&config).err().unwrap().to_string();
        assert!(
            told.starts_with("hash_key_file: ") && !told.contains("CANARY"),
            "{told}"
        );
        config.kafka.security_protocol = SecurityProtocol::Ssl;
        config.kafka.ssl_key_file = Some("CANARY".into());
        let told = connection(&config).err().unwrap().to_string();
        assert!(
            told.starts_with("kafka.ssl_key_file: ") && !told.contains("CANARY"),
            "{told}"
        );
    }

    #[test]
    fn an_empty_password_is_refused_with_its_key_and_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "\r\n").unwrap();
        let expected = format!("kafka.sasl_password_file: {}: is empty", file.path().display());
        assert!(refusal(file.path()).starts_with(&expected), "{}", refusal(file.path()));
    }
}
