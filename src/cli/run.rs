//! `run`, `topics plan|apply` and `config print`: the commands around the service.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::service::config::{self, Config};
use crate::service::dead_letter::reasons;
use crate::service::dead_letter_replay::{self, Wanted};
use crate::service::kafka::admin::Admin;
use crate::service::run::RunError;
use crate::service::topics::{self, Plan};
use crate::service::{logging, run, settings};

/// Longest a question to the cluster may take.
const ASK: Duration = Duration::from_secs(15);

/// The configuration of `files` and the environment.
///
/// # Errors
/// [`RunError::Configuration`] with every mistake, its line and its remedy.
pub fn load(files: &[PathBuf]) -> Result<Config, RunError> {
    let variables = config::environment().map_err(|error| RunError::Configuration(error.to_string()))?;
    config::load(files, variables.into_iter(), &[]).map_err(|error| RunError::Configuration(error.to_string()))
}

/// As [`load`], for a command that connects to nothing.
///
/// # Errors
/// As [`load`].
pub fn load_offline(files: &[PathBuf]) -> Result<Config, RunError> {
    let variables = config::environment().map_err(|error| RunError::Configuration(error.to_string()))?;
    config::load_offline(files, variables.into_iter()).map_err(|error| RunError::Configuration(error.to_string()))
}

/// `falsefront run --config FILE`.
///
/// # Errors
/// [`RunError`] says which exit code.
pub fn run(file: &Path) -> Result<(), RunError> {
    let config = load(&[file.to_owned()])?;
    logging::start();
    let outcome = run::run(&config);
    if let Err(error) = &outcome {
        // Whoever collects logs reads no more than them.
        tracing::error!(%error, "ended by a failure");
    }
    outcome
}

/// `falsefront topics plan --config FILE`: prints what `apply` would do.
///
/// # Errors
/// [`RunError::Configuration`] if something unsafe is found.
pub fn topics_plan(file: &Path) -> Result<String, RunError> {
    let (_, plan) = plan(file)?;
    finish(&plan, "would be created")
}

/// `falsefront topics apply --config FILE`: creates what is missing.
///
/// # Errors
/// As [`topics_plan`], or if the cluster refuses.
pub fn topics_apply(file: &Path) -> Result<String, RunError> {
    let (admin, plan) = plan(file)?;
    if !plan.refusals.is_empty() {
        return finish(&plan, "created");
    }
    topics::apply(&admin, &plan, ASK).map_err(|error| RunError::Runtime(error.to_string()))?;
    finish(&plan, "created")
}

/// `falsefront config print`: the configuration as it is in force, secrets hidden.
///
/// # Errors
/// As [`load`].
pub fn config_print(file: Option<&Path>) -> Result<String, RunError> {
    let files: Vec<PathBuf> = file.iter().map(|file| (*file).to_owned()).collect();
    let config = load_offline(&files)?;
    config::print(&config).map_err(|error| RunError::Runtime(error.to_string()))
}

/// `falsefront dead-letters replay`.
///
/// # Errors
/// [`RunError`] says which exit code.
pub fn dead_letters_replay(file: &Path, wanted: &Wanted) -> Result<String, RunError> {
    if let Some(unknown) = wanted
        .reason
        .as_deref()
        .filter(|reason| !reasons().any(|known| known == *reason))
    {
        let known: Vec<&str> = reasons().collect();
        let known = known.join(", ");
        return Err(RunError::Configuration(format!(
            "--reason {unknown}: no record is refused for it; the reasons are {known}"
        )));
    }
    let config = load(&[file.to_owned()])?;
    let service = settings::service(&config).map_err(|error| RunError::Configuration(error.to_string()))?;
    let sources: Vec<String> = service.sources.iter().map(|source| source.topic.clone()).collect();
    let outcome = dead_letter_replay::replay(&service.connection, &service.topics, &sources, wanted)
        .map_err(|error| RunError::Runtime(error.to_string()))?;
    let done = if wanted.is_applied {
        "given back"
    } else {
        "would be given back; add --apply to do it"
    };
    Ok(format!("{outcome}: {done}"))
}

fn plan(file: &Path) -> Result<(Admin, Plan), RunError> {
    let config = load(&[file.to_owned()])?;
    let service = settings::service(&config).map_err(|error| RunError::Configuration(error.to_string()))?;
    let admin = Admin::new(&service.connection).map_err(|error| RunError::Configuration(error.to_string()))?;
    let plan = topics::plan(&admin, &service.topics, ASK).map_err(|error| RunError::Runtime(error.to_string()))?;
    Ok((admin, plan))
}

fn finish(plan: &Plan, done: &str) -> Result<String, RunError> {
    if !plan.refusals.is_empty() {
        return Err(RunError::Configuration(plan.refusals.join("\n")));
    }
    let mut text = String::new();
    for warning in &plan.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    for topic in &plan.create {
        text.push_str(&format!(
            "{} {done}: {} partitions, replication factor {}\n",
            topic.name, topic.partitions, topic.replication
        ));
        for (key, value) in &topic.settings {
            text.push_str(&format!("    {key}={value}\n"));
        }
    }
    for topic in &plan.keep {
        text.push_str(&format!("{topic} is as it should be\n"));
    }
    Ok(text)
}
