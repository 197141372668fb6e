//! `check`: every problem with its line and its remedy, without starting anything.

use std::path::Path;

use crate::service::check::{Report, check as examine};
use crate::service::run::RunError;

/// `falsefront check --config FILE`. The text is the whole report.
///
/// # Errors
/// [`RunError::Configuration`] with the report if there is a problem.
pub fn check(file: &Path) -> Result<String, RunError> {
    let config = super::run::load(&[file.to_owned()])?;
    let report = examine(&config);
    let text = render(&report);
    if report.problems.is_empty() {
        Ok(text)
    } else {
        Err(RunError::Configuration(text))
    }
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
