//! What a configuration may not say about how to reach the brokers.
//!
//! A key that would be without effect is a mistake: a password that is silently not used looks like one that is.

use super::file::{Kafka, SaslMechanism};
use super::validate::Problems;

pub(super) fn validate(kafka: &Kafka, problems: &mut Problems) {
    transport(kafka, problems);
    if kafka.security_protocol.is_sasl() {
        sasl(kafka, problems);
    }
    without_effect(kafka, problems);
    for (key, has_value, has_file) in [
        (
            "sasl_password",
            kafka.sasl_password.is_some(),
            kafka.sasl_password_file.is_some(),
        ),
        (
            "oauth_client_secret",
            kafka.oauth_client_secret.is_some(),
            kafka.oauth_client_secret_file.is_some(),
        ),
        (
            "ssl_key_password",
            kafka.ssl_key_password.is_some(),
            kafka.ssl_key_password_file.is_some(),
        ),
    ] {
        if has_value && has_file {
            problems.add(format!("kafka.{key}"), format!("is given twice; keep `{key}_file`"));
        }
    }
}

fn transport(kafka: &Kafka, problems: &mut Problems) {
    if kafka.security_protocol.is_tls() && !cfg!(feature = "tls") {
        problems.add(
            "kafka.security_protocol",
            "TLS is not built in; build with `--features tls`",
        );
    }
    match (&kafka.ssl_certificate_file, &kafka.ssl_key_file) {
        (Some(_), None) => problems.add("kafka.ssl_certificate_file", "needs kafka.ssl_key_file"),
        (None, Some(_)) => problems.add("kafka.ssl_key_file", "needs kafka.ssl_certificate_file"),
        _ => {}
    }
    let url = kafka.oauth_token_endpoint_url.as_deref();
    if let Some(url) = url {
        let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let host = host.and_then(|rest| rest.split('/').next());
        // A password in it would be printed with every failure.
        if !host.is_some_and(|host| !host.is_empty() && !host.contains('@')) {
            problems.add(
                "kafka.oauth_token_endpoint_url",
                "must begin with https:// or http:// and a host, without a user name",
            );
        }
    }
}

fn sasl(kafka: &Kafka, problems: &mut Problems) {
    let Some(mechanism) = kafka.sasl_mechanism else {
        problems.add(
            "kafka.security_protocol",
            "needs kafka.sasl_mechanism: plain, scram_sha256, scram_sha512 or oauthbearer",
        );
        return;
    };
    if mechanism != SaslMechanism::Plain && !cfg!(feature = "tls") {
        problems.add(
            "kafka.sasl_mechanism",
            "needs OpenSSL, which is not built in; build with `--features tls`",
        );
    }
    let is_missing: &[(&str, bool)] = if mechanism == SaslMechanism::Oauthbearer {
        &[
            ("oauth_token_endpoint_url", kafka.oauth_token_endpoint_url.is_none()),
            ("oauth_client_id", kafka.oauth_client_id.is_none()),
            (
                "oauth_client_secret_file",
                kafka.oauth_client_secret.is_none() && kafka.oauth_client_secret_file.is_none(),
            ),
        ]
    } else {
        &[
            ("sasl_username", kafka.sasl_username.is_none()),
            (
                "sasl_password_file",
                kafka.sasl_password.is_none() && kafka.sasl_password_file.is_none(),
            ),
        ]
    };
    for (key, _) in is_missing.iter().filter(|(_, is_missing)| *is_missing) {
        problems.add("kafka.sasl_mechanism", format!("needs kafka.{key}"));
    }
}

fn without_effect(kafka: &Kafka, problems: &mut Problems) {
    let protocol = kafka.security_protocol;
    let is_oauth = kafka.sasl_mechanism == Some(SaslMechanism::Oauthbearer);
    let with_tls = "security_protocol = \"ssl\" or \"sasl_ssl\"";
    let with_sasl = "security_protocol = \"sasl_ssl\"";
    let with_password = "sasl_mechanism = \"plain\", \"scram_sha256\" or \"scram_sha512\"";
    let with_token = "sasl_mechanism = \"oauthbearer\"";
    let tls = [
        ("ssl_ca_file", kafka.ssl_ca_file.is_some()),
        ("ssl_certificate_file", kafka.ssl_certificate_file.is_some()),
        ("ssl_key_file", kafka.ssl_key_file.is_some()),
        ("ssl_key_password", kafka.ssl_key_password.is_some()),
        ("ssl_key_password_file", kafka.ssl_key_password_file.is_some()),
    ];
    let password = [
        ("sasl_username", kafka.sasl_username.is_some()),
        ("sasl_password", kafka.sasl_password.is_some()),
        ("sasl_password_file", kafka.sasl_password_file.is_some()),
    ];
    let token = [
        ("oauth_token_endpoint_url", kafka.oauth_token_endpoint_url.is_some()),
        ("oauth_client_id", kafka.oauth_client_id.is_some()),
        ("oauth_client_secret", kafka.oauth_client_secret.is_some()),
        ("oauth_client_secret_file", kafka.oauth_client_secret_file.is_some()),
        ("oauth_scope", kafka.oauth_scope.is_some()),
        ("oauth_ca_file", kafka.oauth_ca_file.is_some()),
    ];
    let mut add = |keys: &[(&str, bool)], needs: &str| {
        for (key, _) in keys.iter().filter(|(_, is_set)| *is_set) {
            problems.add(format!("kafka.{key}"), format!("has no effect without kafka.{needs}"));
        }
    };
    if !protocol.is_tls() {
        add(&tls, with_tls);
    }
    if !protocol.is_sasl() {
        add(&[("sasl_mechanism", kafka.sasl_mechanism.is_some())], with_sasl);
        add(&password, with_sasl);
        add(&token, with_sasl);
    } else if is_oauth {
        add(&password, with_password);
    } else if kafka.sasl_mechanism.is_some() {
        add(&token, with_token);
    }
}
