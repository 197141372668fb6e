//! Secured connections to a real Apache Kafka, configured as an operator would: events in and an alert out by each of
//! them, and what each mistake says. No secret is printed anywhere.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest a command may take that cannot succeed.
const REFUSED_WITHIN: Duration = Duration::from_secs(30);

/// The scenario's people, placed without a database of places.
const ROSTER: &str = "account,kind,employer,latitude,longitude,radius_km\n\
                      a.reyes@corp.example,contractor,Quillstaff,41.88,-87.63,25\n\
                      b.ward@corp.example,contractor,Northbench,41.88,-87.63,25\n";

/// A configuration file, and a place for the logs.
struct Operator {
    folder: tempfile::TempDir,
    config: PathBuf,
}

impl Operator {
    /// `kafka` is what stands in the table of that name.
    fn new(application: &str, http: &str, kafka: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("falsefront.toml");
        let roster = folder.path().join("roster.csv");
        std::fs::write(&roster, ROSTER).unwrap();
        let text = format!(
            "application = '{application}'\ninstance = 'a'\nstart_from = 'earliest'\nhttp.listen = '{http}'\n\
             intake.partitions = 1\nroster.file = '{}'\n[[sources]]\ntopic = '{application}.auth'\n[kafka]\n{kafka}",
            roster.display()
        );
        std::fs::write(&config, text).unwrap();
        Self { folder, config }
    }

    fn start(&self, command: &[&str], output: impl Into<Stdio>, errors: impl Into<Stdio>) -> Child {
        Command::new(env!("CARGO_BIN_EXE_falsefront"))
            .args(command)
            .arg("--config")
            .arg(&self.config)
            .env("FALSEFRONT_LOG", "debug")
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .unwrap()
    }

    /// The exit code and everything printed of a command that ends by itself.
    fn ends(&self, command: &[&str]) -> (Option<i32>, String) {
        let log = self.folder.path().join("log");
        let file = std::fs::File::create(&log).unwrap();
        let mut child = self.start(command, file.try_clone().unwrap(), file);
        let begin = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return (status.code(), std::fs::read_to_string(&log).unwrap());
            }
            if begin.elapsed() > REFUSED_WITHIN {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("{command:?} does not end: {}", std::fs::read_to_string(&log).unwrap());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Both commands refuse with exit code 2, say each of `expected`, and none of `secrets`.
fn is_refused(kafka: &str, expected: &[&str], secrets: &[&str]) {
    let operator = Operator::new("refused", "", kafka);
    for command in ["check", "run"] {
        let (code, text) = operator.ends(&[command]);
        assert_eq!(code, Some(2), "{command} with {kafka}: {text}");
        for expected in expected {
            assert!(text.contains(expected), "{command} does not say {expected:?}: {text}");
        }
        for secret in secrets {
            assert!(!text.contains(secret), "{command} prints a secret: {text}");
        }
    }
}

#[cfg(not(feature = "tls"))]
mod without_tls {
    use super::is_refused;

    #[test]
    fn a_build_without_tls_refuses_it_before_it_connects() {
        is_refused(
            "brokers = '127.0.0.1:1'\nsecurity_protocol = 'ssl'\n",
            &["falsefront.toml:11:1: TLS is not built in; build with `--features tls`"],
            &[],
        );
        is_refused(
            "brokers = '127.0.0.1:1'\nsasl_password = 'CANARY'\nsecurity_protocol = 'sasl_plaintext'\n\
             sasl_mechanism = 'scram_sha512'\nsasl_username = 'u'\n",
            &["falsefront.toml:13:1: needs OpenSSL, which is not built in; build with `--features tls`"],
            &["CANARY"],
        );
    }
}

#[cfg(feature = "tls")]
mod with_tls {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::path::Path;
    use std::time::{SystemTime, UNIX_EPOCH};

    use falsefront::service::kafka::io::{Reader, Writer};
    use falsefront::service::topics::TopicNames;

    use crate::support::kafka::{self, Secure};
    use crate::support::token_endpoint::TokenEndpoint;

    /// Longest a record may take through all stages, the start of the service included.
    const ARRIVES_WITHIN: Duration = Duration::from_secs(60);
    const CLIENT_SECRET: &str = "CANARY-client-secret";
    const WRONG: &str = "CANARY-wrong-secret";

    fn read(secure: &Secure, file: &str) -> String {
        std::fs::read_to_string(secure.files.join(file)).unwrap()
    }

    fn tls(secure: &Secure, authority: &str) -> String {
        format!("ssl_ca_file = '{}/{authority}'\n", secure.files.display())
    }

    fn with_password(secure: &Secure, mechanism: &str, authority: &str) -> String {
        let (brokers, files) = (&secure.sasl_tls, secure.files.display());
        format!(
            "brokers = '{brokers}'\nsecurity_protocol = 'sasl_ssl'\nsasl_mechanism = '{mechanism}'\n\
             sasl_username = 'falsefront'\nsasl_password_file = '{files}/password'\n{}",
            tls(secure, authority)
        )
    }

    fn with_certificate(secure: &Secure) -> String {
        let (brokers, files) = (&secure.mutual_tls, secure.files.display());
        format!(
            "brokers = '{brokers}'\nsecurity_protocol = 'ssl'\nssl_certificate_file = '{files}/client.pem'\n\
             ssl_key_file = '{files}/client.key'\nssl_key_password_file = '{files}/client.key.password'\n{}",
            tls(secure, "ca.pem")
        )
    }

    fn with_token(secure: &Secure, endpoint: &TokenEndpoint, secret: &str, scope: &str) -> String {
        let (brokers, endpoint) = (&secure.sasl_tls, &endpoint.url);
        format!(
            "brokers = '{brokers}'\nsecurity_protocol = 'sasl_ssl'\nsasl_mechanism = 'oauthbearer'\n\
             oauth_token_endpoint_url = '{endpoint}'\noauth_ca_file = '{}/ca.pem'\noauth_client_id = 'falsefront'\n\
             oauth_client_secret = '{secret}'\noauth_scope = '{scope}'\n{}",
            secure.files.display(),
            tls(secure, "ca.pem")
        )
    }

    /// The scenario's sign-ins, ending an hour ago, and a record that is none.
    fn feed(secure: &Secure, source: &str) {
        const LAST_MS: u64 = 1_772_542_800_000;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() * 1_000;
        let events = "tests/scenarios/shared_device/fires_two_contractors_alternating/events.ndjson";
        let scenario = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(events)).unwrap();
        let writer = Writer::new(&secure.plaintext).unwrap();
        for line in scenario.lines() {
            let (before, rest) = line.split_once("\"time\":").unwrap();
            let (time, after) = rest.split_once(',').unwrap();
            let time = time.parse::<u64>().unwrap() + now - 3_600_000 - LAST_MS;
            let event = format!("{before}\"time\":{time},{after}");
            writer.send(source, None, Some(b"key"), event.as_bytes()).unwrap();
        }
        writer.send(source, None, Some(b"key"), b"no event").unwrap();
        writer.flush(kafka::ASK).unwrap();
    }

    /// How many records a `read_committed` subscriber finds, once there are `enough`.
    fn arrived(secure: &Secure, topic: &str, enough: usize, log: &Path) -> usize {
        let mut reader = Reader::new(&secure.plaintext, topic, 1).unwrap();
        let (begin, mut count) = (Instant::now(), 0);
        while count < enough || !reader.is_at_end() {
            count += usize::from(reader.next(Duration::from_millis(100)).unwrap().is_some());
            assert!(
                begin.elapsed() < ARRIVES_WITHIN,
                "{topic}: {count} of {enough}: {}",
                std::fs::read_to_string(log).unwrap()
            );
        }
        count
    }

    fn ask(http: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(http).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Checks, makes the topics and runs the service by this connection; after the first events `meanwhile`, then more.
    fn round_trip(secure: &Secure, name: &str, security: &str, secrets: &[&str], meanwhile: impl Fn()) {
        let application = format!("{name}-{}", std::process::id());
        let names = TopicNames::new(&application, 1);
        let source = format!("{application}.auth");
        kafka::create_topic(&secure.plaintext, &source, 1);
        let http = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .to_string();
        let operator = Operator::new(&application, &http, security);

        let mut printed = String::new();
        for command in [&["check"][..], &["topics", "apply"], &["config", "print"]] {
            let (code, text) = operator.ends(command);
            assert_eq!(code, Some(0), "{command:?}: {text}");
            printed.push_str(&text);
        }
        assert!(printed.contains("TLS: built in"), "{printed}");

        let log = operator.folder.path().join("run.log");
        let file = std::fs::File::create(&log).unwrap();
        let mut child = operator.start(&["run"], file.try_clone().unwrap(), file);
        feed(secure, &source);
        let found =
            [(&names.dead_letters, 1), (&names.alerts, 1)].map(|(topic, enough)| arrived(secure, topic, enough, &log));
        assert_eq!(found[0], 1, "dead letters");
        meanwhile();
        feed(secure, &source);
        assert_eq!(arrived(secure, &names.dead_letters, 2, &log), 2);
        for path in ["/metrics", "/readyz", "/livez", "/"] {
            printed.push_str(&ask(&http, path));
        }
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = child.wait().unwrap();
        let log = std::fs::read_to_string(&log).unwrap();
        assert!(status.success(), "{log}");
        assert!(
            crate::support::has_counted(&printed, "falsefront_alerts_total{"),
            "{printed}"
        );
        printed.push_str(&log);
        for secret in secrets {
            assert!(!printed.contains(secret), "{secret} is printed: {printed}");
        }
    }

    fn by_password(name: &str, mechanism: &str) {
        let Some(secure) = kafka::secure_broker(mechanism) else {
            return;
        };
        let good = with_password(secure, mechanism, "ca.pem");
        round_trip(secure, name, &good, &[&read(secure, "password")], || {});

        let folder = tempfile::tempdir().unwrap();
        let wrong = folder.path().join("wrong");
        std::fs::write(&wrong, WRONG).unwrap();
        let file = format!("sasl_password_file = '{}/password'", secure.files.display());
        let wrong = good.replace(&file, &format!("sasl_password_file = '{}'", wrong.display()));
        let brokers = &*secure.sasl_tls;
        is_refused(
            &wrong,
            &[brokers, "Authentication failed", "check kafka.sasl_username"],
            &[WRONG],
        );
        let stranger = with_password(secure, mechanism, "other-ca.pem");
        is_refused(
            &stranger,
            &[brokers, "kafka.ssl_ca_file must hold"],
            &[&read(secure, "password")],
        );
    }

    #[test]
    fn tls_with_scram_carries_alerts_and_its_mistakes_are_named() {
        by_password("scram", "scram_sha512");
    }

    #[test]
    fn tls_with_plain_carries_alerts_and_its_mistakes_are_named() {
        by_password("plain", "plain");
    }

    #[test]
    fn mutual_tls_carries_alerts_and_its_mistakes_are_named() {
        let Some(secure) = kafka::secure_broker("mutual TLS") else {
            return;
        };
        let good = with_certificate(secure);
        let password = read(secure, "client.key.password");
        round_trip(secure, "mutual", &good, &[&password], || {});

        let anonymous = format!(
            "brokers = '{}'\nsecurity_protocol = 'ssl'\n{}",
            secure.mutual_tls,
            tls(secure, "ca.pem")
        );
        is_refused(&anonymous, &[&secure.mutual_tls, "kafka.ssl_certificate_file"], &[]);
        let file = format!("{}/client.key.password", secure.files.display());
        let wrong = good.replace(
            &format!("ssl_key_password_file = '{file}'"),
            &format!("ssl_key_password = '{WRONG}'"),
        );
        is_refused(&wrong, &["kafka.ssl_key_password_file"], &[WRONG]);
        let absent = good.replace("ca.pem", "absent.pem");
        is_refused(&absent, &["kafka.ssl_ca_file", "absent.pem"], &[]);
        let system = good.replace(&tls(secure, "ca.pem"), "");
        is_refused(
            &system,
            &[&secure.mutual_tls, "kafka.ssl_ca_file must hold"],
            &[&password],
        );
    }

    #[test]
    fn tokens_carry_alerts_are_renewed_and_their_mistakes_are_named() {
        let Some(secure) = kafka::secure_broker("OAUTHBEARER") else {
            return;
        };
        let endpoint = TokenEndpoint::start(
            "falsefront",
            CLIENT_SECRET,
            Duration::from_secs(15),
            &secure.files.join("broker.keystore.pem"),
        );
        let good = with_token(secure, &endpoint, CLIENT_SECRET, "kafka events");
        let renewed = || {
            // The clients of one process ask once each at first.
            let (begin, before) = (Instant::now(), endpoint.handed_out());
            while endpoint.handed_out() < before + 4 || begin.elapsed() < Duration::from_secs(16) {
                assert!(begin.elapsed() < Duration::from_secs(60), "no token is renewed");
                std::thread::sleep(Duration::from_millis(100));
            }
        };
        round_trip(secure, "token", &good, &[CLIENT_SECRET], renewed);

        let brokers = &*secure.sasl_tls;
        let wrong = with_token(secure, &endpoint, WRONG, "kafka");
        is_refused(
            &wrong,
            &[&endpoint.url, "(401)", "kafka.oauth_client_secret_file"],
            &[WRONG],
        );
        let authority = |name: &str| format!("oauth_ca_file = '{}/{name}'", secure.files.display());
        let stranger = good.replace(&authority("ca.pem"), &authority("other-ca.pem"));
        is_refused(
            &stranger,
            &[&endpoint.url, "kafka.oauth_ca_file must hold"],
            &[CLIENT_SECRET],
        );
        let scope = with_token(secure, &endpoint, CLIENT_SECRET, "other");
        is_refused(&scope, &[brokers, "kafka.oauth_scope"], &[CLIENT_SECRET]);
    }

    /// A broker that restarts behind a load balancer looks the same, so `run` waits, and says this while it does.
    #[test]
    fn a_protocol_that_the_listener_does_not_speak_is_named() {
        let Some(secure) = kafka::secure_broker("the wrong protocol") else {
            return;
        };
        for (brokers, protocol) in [(&secure.plaintext.brokers, "ssl"), (&secure.sasl_tls, "plaintext")] {
            let operator = Operator::new(
                "protocol",
                "",
                &format!("brokers = '{brokers}'\nsecurity_protocol = '{protocol}'\n"),
            );
            let (code, text) = operator.ends(&["check"]);
            assert_eq!(code, Some(3), "{text}");
            assert!(
                text.contains(&**brokers) && text.contains("check kafka.security_protocol"),
                "{text}"
            );
        }
    }
}
