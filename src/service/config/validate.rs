//! What a configuration may not say although it parses, each with its remedy.

use super::file::Config;
use super::layers::Problem;
use crate::service::config::suggest::nearest;
use crate::service::kafka::connection::ALLOWED;

/// Characters of topic names, groups and transactional ids.
pub(super) fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

pub(super) fn validate(config: &Config) -> Vec<Problem> {
    let mut problems = Problems(Vec::new());
    names(config, &mut problems);
    super::numbers::validate(config, &mut problems);
    kafka(config, &mut problems);
    if let Err(detail) = super::super::settings::start_from(&config.start_from) {
        problems.add("start_from", detail);
    }
    let listen = &config.http.listen;
    if !listen.is_empty() && listen.parse::<std::net::SocketAddr>().is_err() {
        problems.add(
            "http.listen",
            format!("{listen:?} is not ADDRESS:PORT, such as 127.0.0.1:9464; \"\" turns it off"),
        );
    }
    problems.0
}

pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn add(&mut self, key: impl Into<String>, detail: impl Into<String>) {
        self.0.push(Problem {
            key: key.into(),
            detail: detail.into(),
            place: None,
        });
    }
}

fn names(config: &Config, problems: &mut Problems) {
    for (key, name) in [("application", &config.application), ("instance", &config.instance)] {
        if name.is_empty() || name.len() > 100 || !name.chars().all(is_name_char) {
            problems.add(
                key,
                format!("{name:?} must be 1 to 100 letters, digits, `.`, `_` or `-`"),
            );
        }
    }
    if config.roles.is_empty() {
        problems.add(
            "roles",
            "no role is left; name at least one of intake, accounts, entities",
        );
    }
    if (1..config.roles.len()).any(|index| config.roles[..index].contains(&config.roles[index])) {
        problems.add("roles", "a role is named twice; keep one of it");
    }
    let has_intake = config.roles.contains(&crate::service::worker::stage::Role::Intake);
    if has_intake && config.sources.is_empty() {
        problems.add(
            "sources",
            "no source; add a [[sources]] table with the `topic` that holds your events",
        );
    }
    if !config.rekey && config.sources.len() != 1 {
        problems.add(
            "rekey",
            "false takes exactly one source: events of one account in several topics meet only in `observations`; \
             remove `rekey`",
        );
    }
    for (index, source) in config.sources.iter().enumerate() {
        let key = format!("sources.{index}.topic");
        if source.topic.is_empty() || source.topic.len() > 249 || !source.topic.chars().all(is_name_char) {
            problems.add(key, format!("{:?} is not a topic name", source.topic));
        } else if source.topic.starts_with(&format!("{}.", config.application)) && is_own(config, &source.topic) {
            problems.add(
                key,
                "is a topic that falsefront writes itself; name the topic of your events",
            );
        } else if config
            .sources
            .iter()
            .take(index)
            .any(|before| before.topic == source.topic)
        {
            problems.add(key, format!("{:?} is named twice; keep one", source.topic));
        }
    }
}

fn is_own(config: &Config, topic: &str) -> bool {
    ["observations", "links", "checkpoints", "alerts", "dead-letters"]
        .iter()
        .any(|own| {
            topic
                .strip_prefix(&config.application)
                .is_some_and(|rest| rest == format!(".{own}"))
        })
}

/// Why something between commas is no broker.
fn unusable(broker: &str) -> Option<String> {
    if let Some((_, rest)) = broker.split_once("://") {
        let rest = rest.trim_end_matches('/');
        return Some(format!(
            "is a URL; write `{rest}`, and the protocol as kafka.security_protocol"
        ));
    }
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_name = |host: &str| !host.is_empty() && host.chars().all(is_word);
    let is_v6 = |host: &str| host.parse::<std::net::Ipv6Addr>().is_ok();
    let bracketed = |host: &str| {
        let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        inside.is_some_and(is_v6)
    };
    if is_name(broker) || bracketed(broker) {
        return Some(format!("has no port; write `{broker}:9092`"));
    }
    if is_v6(broker) {
        return Some(format!("is an address without a port; write `[{broker}]:9092`"));
    }
    let (host, port) = broker.rsplit_once(':').unwrap_or_default();
    if !is_name(host) && !bracketed(host) {
        return Some("is not HOST:PORT; separate several by commas".to_owned());
    }
    let is_port = matches!(port.parse::<u16>(), Ok(1..));
    (!is_port).then(|| format!("has no port from 1 to 65535; write `{host}:9092`"))
}

fn kafka(config: &Config, problems: &mut Problems) {
    let kafka = &config.kafka;
    if kafka.brokers.trim().is_empty() {
        problems.add(
            "kafka.brokers",
            "is missing; set it to `host:9092` or FALSEFRONT_KAFKA__BROKERS",
        );
    }
    for broker in kafka
        .brokers
        .split(',')
        .map(str::trim)
        .filter(|broker| !broker.is_empty())
    {
        if let Some(why) = unusable(broker) {
            problems.add("kafka.brokers", format!("{broker:?} {why}"));
        }
    }
    super::security::validate(kafka, problems);
    for key in kafka.librdkafka.keys().filter(|key| !ALLOWED.contains(&key.as_str())) {
        let is_security = ["sasl.", "ssl.", "https.", "security.", "enable.sasl."]
            .iter()
            .any(|prefix| key.starts_with(prefix));
        let why = if is_security {
            "kafka.security_protocol, sasl_*, ssl_* and oauth_* say how to connect".to_owned()
        } else {
            let meant = nearest(key, ALLOWED.into_iter());
            let hint = meant.map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
            format!("exactly-once depends on it, or it is unknown{hint}")
        };
        problems.add("kafka.librdkafka", format!("`{key}` may not be set: {why}"));
    }
}
