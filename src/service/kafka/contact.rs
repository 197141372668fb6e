//! The first contact with the brokers: whether they answer and, if they refuse, why.
//!
//! librdkafka tries for ever, and a question in vain merely times out; the cause comes as an event, to whoever polls.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};

use super::connection::{Connection, Kind};
use super::context::forward;
use super::failure::describe;

/// The first wait for an answer; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Between two waits: how long librdkafka's complaints are listened to.
const LISTEN: Duration = Duration::from_millis(50);
/// How long other brokers have to answer after one has refused: of three, one may have a certificate that expired.
const OTHERS_ANSWER: Duration = Duration::from_secs(2);

/// No answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// Nobody is there, or not yet.
    Silence(String),
    /// Somebody is there and does not let us in, or is not who we expect; waiting does not help.
    Refusal(String),
}

/// A client that asks for metadata, and is polled.
pub(super) struct Contact {
    client: BaseProducer<Complaints>,
}

impl Contact {
    pub(super) fn new(connection: &Connection) -> Result<Self, KafkaError> {
        let mechanism = connection.security.get("sasl.mechanism");
        let complaints = Complaints {
            has_token: mechanism.is_some_and(|mechanism| mechanism.reveal() == "OAUTHBEARER"),
            heard: Mutex::default(),
        };
        // A connection that is closed at once, as by a listener of another protocol, is told at this level.
        let mut config = connection.client(Kind::Producer, &[]);
        let client = config
            .set_log_level(RDKafkaLogLevel::Info)
            .create_with_context(complaints)?;
        Ok(Self { client })
    }

    /// What the cluster has.
    pub(super) fn metadata(&self, timeout: Duration) -> Result<Metadata, NoAnswer> {
        let begin = Instant::now();
        let mut wait = FIRST_WAIT;
        let complaints = self.client.context();
        complaints.lock().refusal = None;
        loop {
            let left = timeout.saturating_sub(begin.elapsed());
            let asked = Instant::now();
            let error = match self.client.client().fetch_metadata(None, wait.min(left)) {
                Ok(metadata) => return Ok(metadata),
                Err(error) => error,
            };
            self.client.poll(LISTEN);
            let is_over = begin.elapsed() >= timeout;
            let complaints = complaints.lock();
            if let Some((at, refusal)) = &complaints.refusal
                && (is_over || at.elapsed() >= OTHERS_ANSWER)
            {
                return Err(NoAnswer::Refusal(refusal.clone()));
            }
            if is_over {
                let trouble = complaints.trouble.clone();
                return Err(NoAnswer::Silence(trouble.unwrap_or_else(|| describe(&error))));
            }
            // Some failures come at once; they do not make the next wait longer.
            if asked.elapsed() >= wait {
                wait *= 2;
            }
        }
    }
}

/// What librdkafka said went wrong.
#[derive(Default)]
struct Heard {
    /// The first that waiting does not mend.
    refusal: Option<(Instant, String)>,
    /// The last other one.
    trouble: Option<String>,
}

struct Complaints {
    has_token: bool,
    heard: Mutex<Heard>,
}

impl Complaints {
    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, reason: &str, verdict: Verdict) {
        let reason = without_thread(reason);
        let mut heard = self.lock();
        match verdict {
            Verdict::Refusal(remedy) => {
                let text = format!("{reason}; {remedy}");
                heard.refusal.get_or_insert_with(|| (Instant::now(), text));
            }
            Verdict::Trouble(None) => heard.trouble = Some(reason.to_owned()),
            Verdict::Trouble(Some(hint)) => heard.trouble = Some(format!("{reason}; {hint}")),
            Verdict::SaysLess => {
                heard.trouble.get_or_insert_with(|| reason.to_owned());
            }
        }
    }
}

impl ClientContext for Complaints {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        forward(level, facility, message);
        match facility {
            "OIDC" => self.note(message, of_endpoint(message)),
            "FAIL" => self.note(message, of_broker(None, message, self.has_token)),
            _ => {}
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason, "client error");
        self.note(reason, of_broker(error.rdkafka_error_code(), reason, self.has_token));
    }
}

impl ProducerContext for Complaints {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// `[thrd:sasl_ssl://host:9093/bootstrap]: sasl_ssl://host:9093/bootstrap: what happened` without the first part.
fn without_thread(reason: &str) -> &str {
    reason
        .strip_prefix("[thrd:")
        .and_then(|rest| rest.split_once("]: "))
        .map_or(reason, |(_, rest)| rest)
}

/// What a complaint means, and what the operator can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Refusal(&'static str),
    Trouble(Option<&'static str>),
    /// It follows on another one and says less.
    SaysLess,
}

/// What librdkafka says of a listener that does not speak the protocol; which of them depends on how soon it closes.
const WRONG_PROTOCOL: [&str; 4] = [
    "PLAINTEXT broker listener?",
    "security.protocol",
    "in state APIVERSION_QUERY",
    "in state SSL_HANDSHAKE",
];

/// A complaint about a broker; a log line has no code.
fn of_broker(code: Option<RDKafkaErrorCode>, reason: &str, has_token: bool) -> Verdict {
    let has = |text: &str| reason.contains(text);
    if code == Some(RDKafkaErrorCode::AllBrokersDown) || has("Failed to acquire SASL OAUTHBEARER token") {
        Verdict::SaysLess
    } else if has("certificate verify failed") {
        Verdict::Refusal(
            "kafka.ssl_ca_file must hold the authority that signed the brokers' certificate, and kafka.brokers a name \
             in it",
        )
    } else if has("alert") && (has("certificate") || has("unknown ca")) {
        Verdict::Refusal(
            "the broker wants a certificate that it trusts: check kafka.ssl_certificate_file and kafka.ssl_key_file",
        )
    } else if WRONG_PROTOCOL.iter().any(|text| has(text)) {
        Verdict::Trouble(Some("check kafka.security_protocol"))
    } else if code != Some(RDKafkaErrorCode::Authentication) {
        Verdict::Trouble(None)
    } else if has_token {
        Verdict::Refusal("the broker does not take the token: check kafka.oauth_scope and what the broker expects")
    } else {
        Verdict::Refusal("check kafka.sasl_username, kafka.sasl_password_file and kafka.sasl_mechanism")
    }
}

/// A complaint about a token endpoint, which ends with the HTTP status: 408, 425 and 429 ask for patience.
fn of_endpoint(reason: &str) -> Verdict {
    let status = reason
        .rsplit_once('(')
        .map_or("", |(_, status)| status.trim_end_matches(')'));
    if reason.contains("certificate") {
        Verdict::Refusal("kafka.oauth_ca_file must hold the authority of kafka.oauth_token_endpoint_url")
    } else if status.starts_with('4') && status.len() == 3 && !matches!(status, "408" | "425" | "429") {
        Verdict::Refusal(
            "check kafka.oauth_client_id, kafka.oauth_client_secret_file, kafka.oauth_scope and \
             kafka.oauth_token_endpoint_url",
        )
    } else {
        Verdict::Trouble(Some("check kafka.oauth_token_endpoint_url"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_complaint_means_is_read_from_it() {
        let about = |code, reason| of_broker(code, reason, false);
        let transport = Some(RDKafkaErrorCode::BrokerTransportFailure);
        assert_eq!(
            about(Some(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down"),
            Verdict::SaysLess
        );
        assert_eq!(about(transport, "Connection refused"), Verdict::Trouble(None));
        for reason in [
            "Disconnected: SSL connection closed by peer (after 0ms in state SSL_HANDSHAKE)",
            "SSL handshake failed: record layer failure (connecting to a PLAINTEXT broker listener?)",
            "Disconnected (after 1ms in state APIVERSION_QUERY)",
        ] {
            let verdict = about(transport, reason);
            assert_eq!(
                verdict,
                Verdict::Trouble(Some("check kafka.security_protocol")),
                "{reason}"
            );
        }
        for (reason, key) in [
            ("SSL handshake failed: certificate verify failed", "ssl_ca_file"),
            ("SSL routines::ssl/tls alert bad certificate", "ssl_certificate_file"),
            ("SSL routines::tlsv1 alert unknown ca", "ssl_certificate_file"),
        ] {
            let verdict = about(transport, reason);
            assert!(
                matches!(verdict, Verdict::Refusal(remedy) if remedy.contains(key)),
                "{reason}: {verdict:?}"
            );
        }
    }

    #[test]
    fn a_token_endpoint_that_is_down_is_waited_for() {
        for (reason, is_refusal) in [
            (
                "Failed to retrieve OIDC token from \"u\": {\"error\":\"invalid_client\"} (401)",
                true,
            ),
            (
                "Failed to retrieve OIDC token from \"u\": SSL certificate problem (-1)",
                true,
            ),
            ("Failed to retrieve OIDC token from \"u\": slow down (429)", false),
            ("Failed to retrieve OIDC token from \"u\": bad gateway (502)", false),
            (
                "Failed to retrieve OIDC token from \"u\": Could not connect to server (-1)",
                false,
            ),
        ] {
            assert_eq!(
                matches!(of_endpoint(reason), Verdict::Refusal(_)),
                is_refusal,
                "{reason}"
            );
        }
    }
}
