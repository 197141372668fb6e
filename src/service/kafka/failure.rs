//! librdkafka's errors by what the caller does next.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::service::log::Failure;

/// What an error says without the value of a setting, which may be a secret.
pub(super) fn describe(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, description, key, _) => format!("setting {key} is refused: {description}"),
        KafkaError::ClientCreation(description) => match file_of(description) {
            Some(key) => format!("{description}; check {key}"),
            None => description.clone(),
        },
        KafkaError::Transaction(error) => format!("{} ({})", error.string(), error.name()),
        other => other.to_string(),
    }
}

/// The key of the configuration whose file librdkafka could not use.
fn file_of(description: &str) -> Option<&'static str> {
    [
        (
            "ssl.key.location",
            "kafka.ssl_key_file and kafka.ssl_key_password_file: a PEM key and its password",
        ),
        (
            "ssl.certificate.location",
            "kafka.ssl_certificate_file: a PEM certificate",
        ),
        ("ssl.ca.location", "kafka.ssl_ca_file: PEM certificates"),
        (
            "Private key check failed",
            "that kafka.ssl_key_file belongs to kafka.ssl_certificate_file",
        ),
    ]
    .into_iter()
    .find(|(name, _)| description.contains(name))
    .map(|(_, key)| key)
}

/// Class of an error of a transactional call.
pub(super) fn transactional(step: &str, error: &KafkaError) -> Failure {
    let detail = format!("{step}: {}", describe(error));
    match error {
        KafkaError::Transaction(native) => {
            if is_refusal(native.code()) {
                Failure::Stop(format!(
                    "{detail}; grant the transactional id and the topics to this principal"
                ))
            } else if native.is_fatal() {
                Failure::Recycle(detail)
            } else if native.txn_requires_abort() {
                Failure::Abort(detail)
            } else if native.is_retriable() {
                Failure::Retry(detail)
            } else {
                Failure::Recycle(detail)
            }
        }
        // rdkafka flushes by itself before a commit.
        KafkaError::Flush(_) => Failure::Abort(detail),
        _ => Failure::Recycle(detail),
    }
}

/// Class of an error of a question to the cluster.
pub(super) fn question(what: &str, error: &KafkaError) -> Failure {
    let detail = format!("{what}: {}", describe(error));
    match error.rdkafka_error_code() {
        Some(code) if is_refusal(code) => Failure::Stop(format!("{detail}; grant this principal access")),
        _ => Failure::Retry(detail),
    }
}

/// Class of an error that a poll gave; `None` for one that librdkafka gets over by itself.
pub(super) fn consumption(error: &KafkaError) -> Option<Failure> {
    let detail = describe(error);
    match error {
        // A broker that restarts may lose its answer to a join: the member's second attempt fences the first.
        KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::FencedInstanceId) => Some(Failure::Rejoin(detail)),
        KafkaError::MessageConsumptionFatal(_) => Some(Failure::Stop(format!("the consumer is unusable: {detail}"))),
        _ => match error.rdkafka_error_code() {
            // librdkafka goes on behind a damaged batch: records would be lost without a word.
            Some(RDKafkaErrorCode::BadMessage) => Some(Failure::Stop(format!(
                "a batch of records fails its checksum: {detail}; check the broker's disk before restarting"
            ))),
            // It comes once; then the partition stays assigned and delivers nothing.
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                Some(Failure::Stop(format!(
                    "the next record was deleted before it was read: {detail}; to go on without what is lost, stop \
                     and run kafka-consumer-groups.sh --reset-offsets --to-earliest for the topic and group"
                )))
            }
            Some(code) if is_refusal(code) => Some(Failure::Stop(format!(
                "{detail}; grant this principal access to the topic and group"
            ))),
            _ => None,
        },
    }
}

fn is_refusal(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
    )
}
