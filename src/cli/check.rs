//! `check`: every problem with its line and its remedy, without starting anything.

use std::path::Path;

use crate::service::check::{Report, check as examine};
use crate::service::run::RunError;

/// `falsefront check --config FILE`: the whole report, and an error beside it if there is a problem.
///
/// # Errors
/// [`RunError::Configuration`] if the configuration cannot be loaded at all.
pub fn check(file: &Path) -> Result<(String, Result<(), RunError>), RunError> {
    let config = super::run::load(&[file.to_owned()])?;
    let report = examine(&config);
    let outcome = match report.problems.len() {
        0 => Ok(()),
        problems => Err(RunError::Configuration(format!(
            "{problems} problem(s) would keep `run` from working"
        ))),
    };
    Ok((render(&report), outcome))
}

fn render(report: &Report) -> String {
    let mut lines = Vec::new();
    lines.extend(report.fine.iter().map(|text| format!("ok       {text}")));
    lines.extend(report.warnings.iter().map(|text| format!("warning  {text}")));
    lines.extend(report.problems.iter().map(|text| format!("problem  {text}")));
    lines.push(format!(
        "{} problem(s), {} warning(s)",
        report.problems.len(),
        report.warnings.len()
    ));
    lines.join("\n")
}
