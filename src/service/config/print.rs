//! The configuration as `config print` shows it: what is in force, and as comments what could be set and is not.

use super::file::Config;

/// Keys without a default, by section: an operator cannot find out about what is not printed.
const WITHOUT_DEFAULT: [(&str, &[(&str, &str)]); 4] = [
    (
        "",
        &[(
            "hash_key_file",
            "file with 16 bytes that decide partitions; derived from `application` without it",
        )],
    ),
    (
        "kafka",
        &[
            ("sasl_mechanism", "plain, scram_sha256, scram_sha512 or oauthbearer"),
            ("sasl_username", "for plain and scram"),
            ("sasl_password", "better in a file or the environment"),
            ("sasl_password_file", "file with the password"),
            ("oauth_token_endpoint_url", "where tokens come from"),
            ("oauth_client_id", "for oauthbearer"),
            ("oauth_client_secret", "better in a file or the environment"),
            ("oauth_client_secret_file", "file with the client secret"),
            ("oauth_scope", "several are separated by spaces"),
            ("oauth_ca_file", "authorities of the token endpoint, PEM"),
            ("ssl_ca_file", "authorities of the brokers, PEM"),
            ("ssl_certificate_file", "our certificate, PEM, for mutual TLS"),
            ("ssl_key_file", "our key, PEM"),
            ("ssl_key_password", "better in a file or the environment"),
            ("ssl_key_password_file", "file with the password of our key"),
        ],
    ),
    ("networks", &[("file", "CSV `network,class,label`")]),
    (
        "roster",
        &[
            ("file", "accounts, CSV or NDJSON"),
            ("travel_file", "approved travel, CSV; also beside a topic"),
            (
                "topic",
                "compacted topic that takes the place of `file`; key: account, value: one roster object",
            ),
        ],
    ),
];

/// The text.
///
/// # Errors
/// None that a configuration could cause; whatever the serializer says.
pub fn print(config: &Config) -> Result<String, toml::ser::Error> {
    let set = toml::to_string_pretty(&config.printable())?;
    let values: toml::Table = toml::Table::try_from(config.printable())?;
    let mut text = String::new();
    add_unset(&mut text, "", &values);
    for line in set.lines() {
        text.push_str(line);
        text.push('\n');
        let section = line.strip_prefix('[').and_then(|line| line.strip_suffix(']'));
        if let Some(section) = section {
            let values = values.get(section).and_then(toml::Value::as_table);
            add_unset(&mut text, section, values.unwrap_or(&toml::Table::new()));
        }
    }
    Ok(text)
}

fn add_unset(text: &mut String, section: &str, values: &toml::Table) {
    let keys = WITHOUT_DEFAULT.iter().filter(|(of, _)| *of == section);
    for (key, what) in keys.flat_map(|(_, keys)| *keys) {
        if !values.contains_key(*key) {
            text.push_str(&format!("# {key} is not set: {what}\n"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every key of a section, as the refusal of an unknown one lists them.
    fn keys_of(section: &str) -> Vec<String> {
        let dot = if section.is_empty() { "" } else { "." };
        let error = toml::from_str::<Config>(&format!("{section}{dot}zzz = 1"))
            .err()
            .unwrap();
        let keys = error.message().split('`').skip(3).step_by(2);
        keys.map(str::to_owned).collect()
    }

    /// The lines of a section, none where it has only sections of its own.
    fn lines_of<'t>(section: &str, text: &'t str) -> Vec<&'t str> {
        let is_header = |line: &&str| line.starts_with('[');
        if section.is_empty() {
            return text.lines().take_while(|line| !is_header(line)).collect();
        }
        let header = format!("[{section}]");
        let lines = text.lines().skip_while(|line| **line != header).skip(1);
        lines.take_while(|line| !is_header(line)).collect()
    }

    fn check(section: &str, table: &toml::Table, text: &str) {
        let keys = keys_of(section);
        assert!(!keys.is_empty(), "{section}");
        for key in keys {
            match table.get(&key) {
                None => {
                    let start = format!("# {key} is not set: ");
                    let lines = lines_of(section, text);
                    assert!(
                        lines.iter().any(|line| line.starts_with(&start)),
                        "{section}.{key}: {text}"
                    );
                }
                Some(toml::Value::Table(inner)) if key != "librdkafka" => {
                    let dot = if section.is_empty() { "" } else { "." };
                    check(&format!("{section}{dot}{key}"), inner, text);
                }
                Some(_) => {}
            }
        }
    }

    #[test]
    fn every_key_is_printed_as_set_or_as_a_comment() {
        let config = Config::default();
        let text = print(&config).unwrap();
        check("", &toml::Table::try_from(&config).unwrap(), &text);
        let read: Config = toml::from_str(&text).unwrap();
        assert_eq!(print(&read).unwrap(), text);
    }

    #[test]
    fn what_is_set_is_no_comment() {
        let mut config = Config::default();
        config.roster.travel_file = Some("travel.csv".into());
        let text = print(&config).unwrap();
        assert!(
            text.contains("travel_file = \"travel.csv\"") && !text.contains("# travel_file"),
            "{text}"
        );
    }
}
