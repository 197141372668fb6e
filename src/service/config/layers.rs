//! Reads the files, merges the layers, and says where a mistake is.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::conceal::conceal;
use super::file::Config;
use super::suggest::nearest;

/// Variables with our prefix that are no settings.
const NOT_SETTINGS: [&str; 4] = [
    "FALSEFRONT_KAFKA_HOME",
    "FALSEFRONT_KAFKA_ADVERTISED",
    "FALSEFRONT_REQUIRE_KAFKA",
    "FALSEFRONT_LOG",
];

/// Variables whose values are texts even where they look like numbers: a password `007` is not 7.
const TEXTS: [(&str, &str); 6] = [
    ("FALSEFRONT_KAFKA__SASL_USERNAME", "kafka.sasl_username"),
    ("FALSEFRONT_KAFKA__SASL_PASSWORD", "kafka.sasl_password"),
    ("FALSEFRONT_KAFKA__OAUTH_CLIENT_ID", "kafka.oauth_client_id"),
    ("FALSEFRONT_KAFKA__OAUTH_CLIENT_SECRET", "kafka.oauth_client_secret"),
    ("FALSEFRONT_KAFKA__OAUTH_SCOPE", "kafka.oauth_scope"),
    ("FALSEFRONT_KAFKA__SSL_KEY_PASSWORD", "kafka.ssl_key_password"),
];

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `kafka.brokers`; empty if no key is meant.
    pub key: String,
    /// What is wrong and what to do.
    pub detail: String,
    /// File, line and column from 1, and the line's text.
    pub place: Option<Place>,
}

/// Where a mistake stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// File.
    pub file: PathBuf,
    /// Line from 1.
    pub line: usize,
    /// Column from 1, in characters.
    pub column: usize,
    /// Characters to underline.
    pub width: usize,
    /// The line.
    pub text: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(place) = &self.place {
            let gutter = place.line.to_string().len();
            writeln!(
                formatter,
                "{}:{}:{}: {}",
                place.file.display(),
                place.line,
                place.column,
                self.detail
            )?;
            writeln!(formatter, "{:gutter$} |", "")?;
            writeln!(formatter, "{} | {}", place.line, place.text)?;
            let caret = "^".repeat(place.width.max(1));
            return write!(
                formatter,
                "{:gutter$} | {:indent$}{caret}",
                "",
                "",
                indent = place.column - 1
            );
        }
        if self.key.is_empty() {
            return formatter.write_str(&self.detail);
        }
        write!(formatter, "{}: {}", self.key, self.detail)
    }
}

/// All mistakes of a configuration, at least one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// In the order of the files.
    pub problems: Vec<Problem>,
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n\n")?;
            }
            problem.fmt(formatter)?;
        }
        Ok(())
    }
}

fn one(problem: Problem) -> ConfigError {
    ConfigError {
        problems: vec![problem],
    }
}

/// Loads `files` in order, then `environment`, then `flags` (key and value), over the defaults, for a service.
///
/// # Errors
/// [`ConfigError`] with every mistake found.
pub fn load(
    files: &[PathBuf],
    environment: impl Iterator<Item = (String, String)>,
    flags: &[(String, String)],
) -> Result<Config, ConfigError> {
    let (config, texts) = merge(files, environment, flags)?;
    let problems = super::validate::validate(&config);
    settle(config, problems, &texts)
}

/// As [`load`], for a command that connects to nothing: brokers and sources may be missing.
///
/// # Errors
/// As [`load`].
pub fn load_offline(
    files: &[PathBuf],
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let (config, texts) = merge(files, environment, &[])?;
    let mut problems = super::validate::validate(&config);
    problems.retain(|problem| problem.key != "sources" && problem.key != "kafka.brokers");
    settle(config, problems, &texts)
}

/// A file's path and text.
type Text = (PathBuf, String);

fn merge(
    files: &[PathBuf],
    environment: impl Iterator<Item = (String, String)>,
    flags: &[(String, String)],
) -> Result<(Config, Vec<Text>), ConfigError> {
    let mut texts = Vec::new();
    let mut builder = config::Config::builder();
    for path in files {
        let text = read(path)?;
        toml::from_str::<Config>(&text).map_err(|error| one(toml_problem(path, &text, &error)))?;
        builder = builder.add_source(config::File::from_str(&text, config::FileFormat::Toml));
        texts.push((path.clone(), text));
    }
    let mut settings: HashMap<String, String> = environment
        .filter(|(name, _)| name.starts_with("FALSEFRONT_") && !name.starts_with("FALSEFRONT_TEST_"))
        .filter(|(name, _)| !NOT_SETTINGS.contains(&name.as_str()))
        .collect();
    let texts_of_environment = TEXTS.map(|(name, key)| (key, settings.remove(name)));
    let environment = config::Environment::with_prefix("FALSEFRONT")
        .prefix_separator("_")
        .separator("__")
        .try_parsing(true)
        .list_separator(",")
        .with_list_parse_key("roles")
        .with_list_parse_key("geoip.files")
        .ignore_empty(true)
        .source(Some(settings));
    builder = builder.add_source(environment);
    let texts_of_environment = texts_of_environment.iter().filter_map(|(key, value)| {
        let value = value.as_deref().filter(|value| !value.is_empty())?;
        Some((*key, value))
    });
    let flags = flags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    for (key, value) in texts_of_environment.chain(flags) {
        builder = builder.set_override(key, value).map_err(|error| {
            one(Problem {
                key: key.to_owned(),
                detail: error.to_string(),
                place: None,
            })
        })?;
    }
    let merged = builder.build().map_err(|error| {
        one(Problem {
            key: String::new(),
            detail: error.to_string(),
            place: None,
        })
    })?;
    let config: Config = serde_path_to_error::deserialize(merged).map_err(|error| {
        let key = error.path().to_string();
        let detail = unknown_key(&error.inner().to_string()).unwrap_or_else(|| error.inner().to_string());
        one(Problem {
            key,
            detail: format!("{detail} (from the environment or a flag)"),
            place: None,
        })
    })?;
    Ok((config, texts))
}

/// The configuration, or its problems with their places in the files.
fn settle(config: Config, mut problems: Vec<Problem>, texts: &[Text]) -> Result<Config, ConfigError> {
    for problem in &mut problems {
        problem.place = texts
            .iter()
            .rev()
            .find_map(|(path, text)| locate(path, text, &problem.key));
    }
    problems.sort_by_key(|problem| {
        problem
            .place
            .as_ref()
            .map_or((0, 0), |place| (place.line, place.column))
    });
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(ConfigError { problems })
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|error| {
        one(Problem {
            key: String::new(),
            detail: format!("{}: {error}; give the path of a TOML file to --config", path.display()),
            place: None,
        })
    })
}

fn toml_problem(path: &Path, text: &str, error: &toml::de::Error) -> Problem {
    let detail = unknown_key(error.message()).unwrap_or_else(|| error.message().to_owned());
    let place = error.span().map(|span| place(path, text, span.start, span.end));
    Problem {
        key: String::new(),
        detail,
        place,
    }
}

/// Serde's sentence about an unknown key, shortened, with the key that was probably meant.
fn unknown_key(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown field `")?;
    let (key, rest) = rest.split_once('`')?;
    let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    Some(match nearest(key, known.iter().copied()) {
        Some(meant) => format!("unknown key `{key}`; did you mean `{meant}`?"),
        None if known.is_empty() => format!("unknown key `{key}`; no key is known here"),
        None => format!("unknown key `{key}`; known here: {}", known.join(", ")),
    })
}

fn place(path: &Path, text: &str, start: usize, end: usize) -> Place {
    let start = start.min(text.len());
    let before = text.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = text
        .get(line_start..)
        .unwrap_or_default()
        .lines()
        .next()
        .unwrap_or_default();
    let span = text
        .get(start..end.min(line_start + line.len()).max(start))
        .unwrap_or_default();
    Place {
        file: path.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        width: span.chars().count().max(1),
        text: conceal(line),
    }
}

/// The place of a dotted key, `sources.1.topic` included.
fn locate(path: &Path, text: &str, key: &str) -> Option<Place> {
    let mut node = toml::de::DeTable::parse(text).ok()?;
    let mut table = node.get_mut().clone();
    let mut segments = key.split('.').peekable();
    loop {
        let segment = segments.next()?;
        let (name, value) = table.iter().find(|(name, _)| name.get_ref() == segment)?;
        let mut span = name.span();
        let mut value = value.clone();
        while let toml::de::DeValue::Array(items) = value.get_ref() {
            let Some(index) = segments.peek().and_then(|index| index.parse::<usize>().ok()) else {
                break;
            };
            segments.next();
            let item = items.get(index)?.clone();
            span = item.span();
            value = item;
        }
        if segments.peek().is_none() {
            return Some(place(path, text, span.start, span.end));
        }
        match value.into_inner() {
            toml::de::DeValue::Table(inner) => table = inner,
            _ => return Some(place(path, text, span.start, span.end)),
        }
    }
}

#[cfg(test)]
mod tests {
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
        let expected =
            "c.toml:2:1: unknown key `broker`; did you mean `brokers`?\n  |\n2 | broker = 'a:9092'\n  | ^^^^^^";
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
        for (key, most) in [
            ("visits_max", 128),
            ("networks_max", 64),
            ("devices_max", 64),
            ("event_ids_max", 65_535),
        ] {
            let with = |value: u32| format!("{GOOD}[detections.window]\n{key} = {value}\n");
            let error = error(&with(most + 1));
            assert!(
                error.contains(&format!("{} is not between 1 and {most}", most + 1)),
                "{error}"
            );
            assert!(load_text(&with(most), &[]).is_ok(), "{key} = {most}");
        }
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
            "kafka.librdkafka = { 'ssl.key.pem' = 'CANARY' }\n",
            "kafka.oauth_token_endpoint_url = 'https://id:CANARY@login.example/token'\n",
        ] {
            let error = error(&format!("{text}{GOOD}"));
            assert!(!error.contains("CANARY"), "{error}");
        }
        let number = error(&format!("kafka.sasl_password = 774411\n{GOOD}"));
        assert!(
            number.contains("put it in quotes") && !number.contains("774411"),
            "{number}"
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
}
