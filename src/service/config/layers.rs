//! Reads the files, merges the layers, and says where a mistake is.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::conceal::{HIDDEN, conceal};
use super::file::Config;
use super::suggest::nearest;
use crate::service::reference::is_utf16;

/// Of the variables that set something.
const PREFIX: &str = "FALSEFRONT_";

/// Variables with our prefix that are no settings.
const NOT_SETTINGS: [&str; 4] = [
    "FALSEFRONT_KAFKA_HOME",
    "FALSEFRONT_KAFKA_ADVERTISED",
    "FALSEFRONT_REQUIRE_KAFKA",
    "FALSEFRONT_LOG",
];

/// What others of them begin with.
const NOT_SETTINGS_PREFIXES: [&str; 3] = ["FALSEFRONT_TEST_", "FALSEFRONT_BENCH_", "FALSEFRONT_SIM_"];

/// Variables whose values are texts even where they look like numbers: a password `007` is not 7.
const TEXTS: [(&str, &str); 11] = [
    ("FALSEFRONT_APPLICATION", "application"),
    ("FALSEFRONT_INSTANCE", "instance"),
    ("FALSEFRONT_START_FROM", "start_from"),
    ("FALSEFRONT_ROSTER__TOPIC", "roster.topic"),
    ("FALSEFRONT_KAFKA__BROKERS", "kafka.brokers"),
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
    let (config, origin) = merge(files, environment, flags)?;
    let problems = super::validate::validate(&config);
    settle(config, problems, &origin)
}

/// As [`load`], for a command that connects to nothing: brokers and sources may be missing.
///
/// # Errors
/// As [`load`].
pub fn load_offline(
    files: &[PathBuf],
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let (config, origin) = merge(files, environment, &[])?;
    let mut problems = super::validate::validate(&config);
    problems.retain(|problem| problem.key != "sources" && problem.key != "kafka.brokers");
    settle(config, problems, &origin)
}

/// The variables of the environment that may set something.
///
/// # Errors
/// [`ConfigError`] if one of them is not Unicode. Its value may be a secret, so it is not shown.
pub fn environment() -> Result<Vec<(String, String)>, ConfigError> {
    decode(std::env::vars_os())
}

fn decode(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<Vec<(String, String)>, ConfigError> {
    let ours = variables.filter_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| is_setting(name))?;
        Some((name, value))
    });
    let (mut variables, mut problems) = (Vec::new(), Vec::new());
    for (name, value) in ours {
        match value.into_string() {
            Ok(value) => variables.push((name, value)),
            Err(_) => problems.push(Problem {
                key: name,
                detail: "the value of this variable is not UTF-8; correct it, or put the value into a file".to_owned(),
                place: None,
            }),
        }
    }
    if problems.is_empty() {
        Ok(variables)
    } else {
        Err(ConfigError { problems })
    }
}

fn is_setting(name: &str) -> bool {
    let is_other = NOT_SETTINGS.contains(&name) || NOT_SETTINGS_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    name.starts_with(PREFIX) && !is_other
}

/// Whether Kubernetes tells with it where a service is whose name begins with ours: it does so in every container.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_numbered = |what: &str| {
        let rest = name.split_once(what).map(|(_, rest)| rest);
        rest.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    };
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || is_numbered("_PORT_")
        || (name.ends_with("_PORT") && value.contains("://"))
}

/// Which of the variables sets a key.
fn variable_of<'v>(key: &str, variables: &'v [String]) -> Option<&'v str> {
    let wanted = format!("{PREFIX}{}", key.replace('.', "__"));
    let found = variables.iter().find(|name| name.eq_ignore_ascii_case(&wanted));
    found.map(String::as_str)
}

/// A file's path and text.
type Text = (PathBuf, String);

/// What a configuration was made of.
struct Origin {
    texts: Vec<Text>,
    /// Names of variables that set something.
    variables: Vec<String>,
}

fn merge(
    files: &[PathBuf],
    environment: impl Iterator<Item = (String, String)>,
    flags: &[(String, String)],
) -> Result<(Config, Origin), ConfigError> {
    let mut texts = Vec::new();
    let mut builder = config::Config::builder();
    for path in files {
        let text = read(path)?;
        toml::from_str::<Config>(&text).map_err(|error| one(toml_problem(path, &text, &error)))?;
        builder = builder.add_source(config::File::from_str(&text, config::FileFormat::Toml));
        texts.push((path.clone(), text));
    }
    let mut settings: HashMap<String, String> = environment
        .filter(|(name, value)| is_setting(name) && !value.is_empty() && !is_service_link(name, value))
        .collect();
    let variables: BTreeMap<String, String> = settings.clone().into_iter().collect();
    let texts_of_environment = TEXTS.map(|(name, key)| (key, settings.remove(name)));
    let environment = config::Environment::with_prefix("FALSEFRONT")
        .prefix_separator("_")
        .separator("__")
        .try_parsing(true)
        .list_separator(",")
        .with_list_parse_key("roles")
        .with_list_parse_key("geoip.files")
        .with_list_parse_key("detections.relay.approved_tools")
        .with_list_parse_key("detections.device.shared_devices")
        .source(Some(settings));
    builder = builder.add_source(environment);
    let texts_of_environment = texts_of_environment
        .iter()
        .filter_map(|(key, value)| Some((*key, value.as_deref()?)));
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
        let path = error.path().to_string();
        one(variable_problem(&path, &error.inner().to_string(), &variables))
    })?;
    let variables = variables.into_keys().collect();
    Ok((config, Origin { texts, variables }))
}

/// What is wrong with the variable that sets `path`, without its value, which may be a secret wherever it went.
fn variable_problem(path: &str, message: &str, variables: &BTreeMap<String, String>) -> Problem {
    // Of a list, the key is meant and not the element.
    let key = path.split('[').next().unwrap_or(path);
    let names: Vec<String> = variables.keys().cloned().collect();
    let source = variable_of(key, &names);
    let value = source.and_then(|name| variables.get(name));
    let detail = unknown_key(message)
        .or_else(|| refused_as_text(key, value?, key != path))
        .unwrap_or_else(|| without_value(message));
    let source = source.unwrap_or("the environment or a flag");
    Problem {
        key: key.to_owned(),
        detail: format!("{detail} (from {source})"),
        place: None,
    }
}

/// What is said of the value in a file: that message, unlike the one about a variable, names what is accepted.
fn refused_as_text(key: &str, value: &str, is_list: bool) -> Option<String> {
    let value = if is_list {
        toml::Value::Array(value.split(',').map(toml::Value::from).collect())
    } else {
        toml::Value::from(value)
    };
    let error = toml::from_str::<Config>(&format!("{key} = {value}")).err()?;
    Some(without_value(error.message()))
}

/// The configuration, or its problems with their places in the files.
fn settle(config: Config, mut problems: Vec<Problem>, origin: &Origin) -> Result<Config, ConfigError> {
    let Origin { texts, variables } = origin;
    for problem in &mut problems {
        if let Some(variable) = variable_of(&problem.key, variables) {
            problem.detail.push_str(&format!(" (from {variable})"));
            continue;
        }
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
    let problem = |detail: String| {
        one(Problem {
            key: String::new(),
            detail: format!("{}: {detail}", path.display()),
            place: None,
        })
    };
    let bytes = std::fs::read(path);
    let bytes = bytes.map_err(|error| problem(format!("{error}; give the path of a TOML file to --config")))?;
    if is_utf16(&bytes) {
        return Err(problem("is UTF-16 text; save it as UTF-8".to_owned()));
    }
    let text = String::from_utf8(bytes);
    let mut text = text.map_err(|error| problem(format!("{error}; save it as UTF-8 text")))?;
    // As some editors begin a file.
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    Ok(text)
}

fn toml_problem(path: &Path, text: &str, error: &toml::de::Error) -> Problem {
    let unknown = unknown_key(error.message());
    let is_foreign = unknown
        .as_ref()
        .is_some_and(|unknown| !unknown.contains("did you mean"));
    let mut detail = unknown.unwrap_or_else(|| error.message().to_owned());
    let mut place = error.span().map(|span| place(path, text, span.start, span.end));
    if let Some(place) = &mut place {
        // Nobody knows what a key holds that is like none of ours.
        if let Some((key, _)) = place.text.split_once('=').filter(|_| is_foreign) {
            place.text = format!("{} = {HIDDEN}", key.trim_end());
        }
        if place.text.ends_with(HIDDEN) {
            detail = without_value(&detail);
        }
    }
    Problem {
        key: String::new(),
        detail,
        place,
    }
}

/// Serde's sentence about a value of the wrong kind, without the value.
fn without_value(detail: &str) -> String {
    let names_value = ["unknown variant `", "invalid type: ", "invalid value: "]
        .iter()
        .any(|start| detail.starts_with(start));
    // The value may hold quotes itself; what is expected stands behind the last of them.
    let (told, expected) = detail.split_at(detail.rfind(", expected").unwrap_or(detail.len()));
    let quoted = |quote: char| {
        let (start, rest) = told.split_once(quote)?;
        let (_, behind) = rest.rsplit_once(quote)?;
        Some(format!("{start}{quote}{HIDDEN}{quote}{behind}{expected}"))
    };
    let hidden = names_value.then(|| quoted('`').or_else(|| quoted('"')));
    hidden.flatten().unwrap_or_else(|| {
        let (told, _) = detail.split_once(" constructor ").unwrap_or((detail, ""));
        told.to_owned()
    })
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
mod tests;
