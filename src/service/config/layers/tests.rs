//! Configurations with and without mistakes, and what is said of them.

use super::*;

fn load_text(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    std::fs::write(&file, text).unwrap();
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let prefix = format!("{}/", folder.path().display());
    load(&[file], variables, &[]).map_err(|error| error.to_string().replace(&prefix, ""))
}

fn error(text: &str) -> String {
    load_text(text, &[]).err().expect("a mistake")
}

const GOOD: &str = "kafka.brokers = 'a:9092'\n[[sources]]\ntopic = 'auth'\n";

#[test]
fn brokers_and_one_source_are_enough() {
    let config = load_text(GOOD, &[]).ok().unwrap();
    assert_eq!(
        (config.application.as_str(), config.commit_interval_ms),
        ("falsefront", 100)
    );
    assert!(config.topics.create && !config.topics.allow_unsafe);
}

#[test]
fn a_misspelled_key_is_shown_with_caret_and_the_key_that_was_meant() {
    let expected = "c.toml:2:1: unknown key `broker`; did you mean `brokers`?\n  |\n2 | broker = 'a:9092'\n  | ^^^^^^";
    assert_eq!(error("[kafka]\nbroker = 'a:9092'\n"), expected);
}

#[test]
fn every_wrong_value_is_shown_in_the_order_of_the_file() {
    let text = format!("commit_interval_ms = 3\nstart_from = 'noon'\n{GOOD}[[sources]]\ntopic = 'auth'\n");
    let error = error(&text);
    let lines: Vec<&str> = error.lines().filter(|line| line.starts_with("c.toml:")).collect();
    assert_eq!(lines.len(), 3, "{error}");
    assert!(lines[0].starts_with("c.toml:1:1: 3 is not between 10 and 5000"));
    assert!(lines[1].starts_with("c.toml:2:1: \"noon\" is neither earliest, latest nor a time"));
    assert!(lines[2].starts_with("c.toml:7:1: \"auth\" is named twice"), "{error}");
}

#[test]
fn a_window_larger_than_its_block_is_refused() {
    for (key, least, most) in [
        ("visits_max", 2, 128),
        ("networks_max", 2, 64),
        ("devices_max", 2, 64),
        ("event_ids_max", 1, 65_535),
    ] {
        let with = |value: u32| format!("{GOOD}[detections.window]\n{key} = {value}\n");
        let error = error(&with(most + 1));
        assert!(
            error.contains(&format!("{} is not between {least} and {most}", most + 1)),
            "{error}"
        );
        assert!(load_text(&with(most), &[]).is_ok(), "{key} = {most}");
    }
}

#[test]
fn numbers_that_would_silence_a_detection_are_refused() {
    for (key, value) in [
        ("detections.claim.share_min", "1.0"),
        ("detections.claim.share_min_after_office", "1.0"),
        ("detections.travel.speed_kmh_max", "nan"),
        ("detections.travel.distance_km_min", "-1.0"),
        ("detections.window.allowed_lateness_ms", "-86400000000"),
        ("detections.window.retention_days", "400"),
        ("detections.window.windows_max", "0"),
        ("detections.relay.alert_points", "0"),
        ("detections.farm.withhold_days", "60"),
        ("intake.packed_bytes_max", "100000000"),
        ("intake.events_per_record_max", "0"),
    ] {
        let error = error(&format!("{key} = {value}\n{GOOD}"));
        assert!(
            error.contains("is not between") && error.starts_with("c.toml:1:"),
            "{error}"
        );
    }
    let twice = error(&format!("roles = ['intake', 'intake']\n{GOOD}"));
    assert!(twice.contains("named twice"), "{twice}");
}

#[test]
fn the_environment_overrides_the_file_and_its_slips_are_caught() {
    let variables = [
        ("FALSEFRONT_KAFKA__BROKERS", "b:1,c:2"),
        ("FALSEFRONT_WORKERS", "3"),
        ("FALSEFRONT_ROLES", "intake,accounts"),
    ];
    let config = load_text(GOOD, &variables).ok().unwrap();
    assert_eq!(
        (config.kafka.brokers.as_str(), config.workers, config.roles.len()),
        ("b:1,c:2", 3, 2)
    );
    let error = load_text(GOOD, &[("FALSEFRONT_WORKER", "3")]).err().unwrap();
    assert!(
        error.contains("unknown key `worker`; did you mean `workers`?"),
        "{error}"
    );
}

#[test]
fn a_mistake_in_a_variable_is_told_by_the_variable() {
    let wrong = load_text(&format!("workers = 2\n{GOOD}"), &[("FALSEFRONT_WORKERS", "0")]).err();
    let expected = "workers: 0 is not between 1 and 256 (from FALSEFRONT_WORKERS)";
    assert_eq!(wrong.as_deref(), Some(expected));
    let unknown = load_text(GOOD, &[("FALSEFRONT_HTTP__PORT", "9464")]).err().unwrap();
    assert!(unknown.ends_with("(from FALSEFRONT_HTTP__PORT)"), "{unknown}");
}

#[test]
fn variables_of_kubernetes_and_of_the_benchmarks_set_nothing() {
    let variables = [
        ("FALSEFRONT_SERVICE_HOST", "10.0.0.1"),
        ("FALSEFRONT_SERVICE_PORT", "9464"),
        ("FALSEFRONT_SERVICE_PORT_METRICS", "9464"),
        ("FALSEFRONT_PORT", "tcp://10.0.0.1:9464"),
        ("FALSEFRONT_PORT_9464_TCP", "tcp://10.0.0.1:9464"),
        ("FALSEFRONT_PORT_9464_TCP_ADDR", "10.0.0.1"),
        ("FALSEFRONT_METRICS_SERVICE_HOST", "10.0.0.2"),
        ("FALSEFRONT_BENCH_ROUNDS", "3"),
    ];
    assert_eq!(load_text(GOOD, &variables).err(), None);
    let ours = load_text(GOOD, &[("FALSEFRONT_PORT", "9464")]).err().unwrap();
    assert!(ours.contains("unknown key `port`"), "{ours}");
}

#[test]
fn names_and_lists_in_the_environment_are_read_as_they_are_spelled() {
    let variables = [
        ("FALSEFRONT_INSTANCE", "007"),
        ("FALSEFRONT_APPLICATION", "1e3"),
        ("FALSEFRONT_DETECTIONS__RELAY__APPROVED_TOOLS", "TeamViewer,AnyDesk"),
    ];
    let config = load_text(GOOD, &variables).ok().unwrap();
    assert_eq!((config.instance.as_str(), config.application.as_str()), ("007", "1e3"));
    assert_eq!(config.detections.relay.approved_tools, ["TeamViewer", "AnyDesk"]);
}

#[test]
fn settings_that_the_protocol_depends_on_cannot_be_passed_through() {
    let with = |key: &str| format!("kafka.librdkafka.'{key}' = 5\n{GOOD}");
    assert!(
        load_text(&with("linger.ms"), &[]).is_ok(),
        "{:?}",
        load_text(&with("linger.ms"), &[]).err()
    );
    for key in [
        "isolation.level",
        "plugin.library.paths",
        "enable.auto.commit",
        "transactional.id",
    ] {
        assert!(error(&with(key)).contains(&format!("`{key}` may not be set")), "{key}");
    }
}

const SASL: &str = "kafka.security_protocol = 'sasl_plaintext'\nkafka.sasl_mechanism = 'plain'\n\
                    kafka.sasl_username = 'u'\n";

#[test]
fn a_printed_configuration_holds_no_secret() {
    let config = load_text(&format!("{SASL}kafka.sasl_password = 'CANARY'\n{GOOD}"), &[])
        .ok()
        .unwrap();
    let printed = toml::to_string_pretty(&config).unwrap();
    assert!(
        printed.contains("sasl_password = \"***\"") && !printed.contains("CANARY"),
        "{printed}"
    );
}

#[test]
fn no_mistake_shows_a_secret() {
    for text in [
        "kafka.sasl_password = 'CANARY'\nkafka.sasl_password_file = 'f'\n",
        "kafka.sasl_pasword = 'CANARY'\n",
        "kafka.sasl_password = 'CANARY\n",
        "kafka.sasl_password = \"\"\"\nCANARY\n",
        "kafka.sasl_password = ['CANARY']\n",
        "kafka.ssl_key_password = 'CANARY'\n",
        "kafka.librdkafka.'sasl.password' = 'CANARY'\n",
        "kafka.pwd = 'CANARY'\n",
        "kafka.private_key = 'CANARY'\n",
        "kafka.sasl_mechanism = 'CANARY'\n",
        "kafka.sasl_mechanism = 'a`CANARY'\n",
        "kafka.sasl_mechanism = 'a`b`CANARY`'\n",
        "kafka.oauth_scope = ['CANARY']\n",
        "kafka.librdkafka = { 'ssl.key.pem' = 'CANARY' }\n",
        "kafka.oauth_token_endpoint_url = 'https://id:CANARY@login.example/token'\n",
    ] {
        let error = error(&format!("{text}{GOOD}"));
        assert!(!error.contains("CANARY"), "{error}");
    }
    let file = error(&format!("kafka.sasl_password_file = 774411\n{GOOD}"));
    assert!(!file.contains("774411"), "{file}");
    let number = error(&format!("kafka.sasl_password = 774411\n{GOOD}"));
    assert!(
        number.contains("put it in quotes") && !number.contains("774411"),
        "{number}"
    );
}

#[test]
fn a_variable_s_value_is_never_shown_and_what_is_accepted_is() {
    for (name, accepted) in [
        (
            "FALSEFRONT_KAFKA__SASL_MECHANISM",
            "`plain`, `scram_sha256`, `scram_sha512`, `oauthbearer`",
        ),
        ("FALSEFRONT_KAFKA__SECURITY_PROTOCOL", "`plaintext`, `ssl`"),
        ("FALSEFRONT_ROLES", "`intake`, `accounts`, `entities`"),
        ("FALSEFRONT_WORKERS", "expected"),
        ("FALSEFRONT_KAFKA", "expected"),
    ] {
        let error = load_text(GOOD, &[(name, "CANARY")]).err().unwrap();
        assert!(
            error.contains(accepted) && error.contains(&format!("(from {name})")),
            "{error}"
        );
        assert!(!error.contains("CANARY"), "{error}");
    }
}

#[test]
fn a_file_of_a_secret_that_is_not_there_may_be_the_secret() {
    let key = tempfile::NamedTempFile::new().unwrap();
    let path = key.path().display();
    let config = load_text(
        &format!("{SASL}kafka.sasl_password_file = 'CANARY'\nhash_key_file = '{path}'\n{GOOD}"),
        &[],
    );
    let printed = toml::to_string_pretty(&config.ok().unwrap().printable()).unwrap();
    assert!(printed.contains("sasl_password_file = \"***\""), "{printed}");
    assert!(
        printed.contains(&path.to_string()) && !printed.contains("CANARY"),
        "{printed}"
    );
}

#[test]
fn a_password_in_the_environment_stays_as_it_is_spelled() {
    for password in ["007", "1e3", "true", "a,b", " x "] {
        let variables = [("FALSEFRONT_KAFKA__SASL_PASSWORD", password)];
        let config = load_text(&format!("{SASL}{GOOD}"), &variables).ok().unwrap();
        assert_eq!(config.kafka.sasl_password.as_ref().unwrap().reveal(), password);
    }
}

#[test]
fn a_key_without_effect_is_a_mistake() {
    for (text, expected) in [
        (
            "kafka.sasl_password_file = 'f'\n",
            "has no effect without kafka.security_protocol = \"sasl_ssl\"",
        ),
        (
            "kafka.ssl_ca_file = 'f'\n",
            "has no effect without kafka.security_protocol = \"ssl\"",
        ),
        ("kafka.ssl_key_file = 'f'\n", "needs kafka.ssl_certificate_file"),
    ] {
        let error = error(&format!("{text}{GOOD}"));
        assert!(error.contains(expected), "{error}");
    }
    let token = error(&format!(
        "{SASL}kafka.sasl_password = 'p'\nkafka.oauth_scope = 's'\n{GOOD}"
    ));
    assert!(
        token.contains("c.toml:5:7: has no effect without kafka.sasl_mechanism = \"oauthbearer\""),
        "{token}"
    );
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_text_is_told_by_its_name_alone() {
    use std::os::unix::ffi::OsStringExt as _;
    let value = || OsString::from_vec(b"CANARY\xff".to_vec());
    let foreign = [
        (OsString::from("OTHER"), value()),
        ("FALSEFRONT_WORKERS".into(), "2".into()),
    ];
    let read = decode(foreign.into_iter()).ok().unwrap();
    assert_eq!(read, [("FALSEFRONT_WORKERS".to_owned(), "2".to_owned())]);
    let ours = [(OsString::from("FALSEFRONT_KAFKA__SASL_PASSWORD"), value())];
    let error = decode(ours.into_iter()).err().unwrap().to_string();
    assert!(
        error.starts_with("FALSEFRONT_KAFKA__SASL_PASSWORD: ") && !error.contains("CANARY"),
        "{error}"
    );
}

#[test]
fn a_broker_is_a_host_and_a_port() {
    let said = |brokers: &str| error(&GOOD.replace("a:9092", brokers));
    for (brokers, told) in [
        (
            "kafka://a:9092",
            "\"kafka://a:9092\" is a URL; write `a:9092`, and the protocol as kafka.security_protocol",
        ),
        ("http://a:9092/", "is a URL; write `a:9092`"),
        ("a", "\"a\" has no port; write `a:9092`"),
        ("a:0", "\"a:0\" has no port from 1 to 65535; write `a:9092`"),
        (
            "a:9092;b:9092",
            "\"a:9092;b:9092\" is not HOST:PORT; separate several by commas",
        ),
        ("a:9092 b:9092", "is not HOST:PORT; separate several by commas"),
        (":9092", "is not HOST:PORT"),
        ("::1", "write `[::1]:9092`"),
        ("[::1]", "write `[::1]:9092`"),
        ("2001:db8::1:9092", "write `[2001:db8::1:9092]:9092`"),
    ] {
        assert!(said(brokers).contains(told), "{brokers}: {}", said(brokers));
    }
    for brokers in ["a:9092, b-1.x_y:9093", "[::1]:9092", "192.0.2.1:9092,"] {
        assert!(load_text(&GOOD.replace("a:9092", brokers), &[]).is_ok(), "{brokers}");
    }
}

#[test]
fn a_file_in_another_encoding_is_told_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    let said = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        load(std::slice::from_ref(&file), std::iter::empty(), &[])
    };
    let utf_16: Vec<u8> = GOOD.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let error = said(&[b"\xff\xfe", &*utf_16].concat()).err().unwrap().to_string();
    assert!(error.ends_with("c.toml: is UTF-16 text; save it as UTF-8"), "{error}");
    let error = said(b"# \xe9t\xe9\n").err().unwrap().to_string();
    assert!(error.ends_with("save it as UTF-8 text"), "{error}");
    let marked = format!("\u{feff}{GOOD}");
    assert!(said(marked.as_bytes()).is_ok());
}
