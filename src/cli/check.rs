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
    Ok((render(&report), outcome(&report)))
}

/// What is wrong goes before what may pass by itself.
fn outcome(report: &Report) -> Result<(), RunError> {
    let problems = report.problems.len();
    if problems > 0 {
        return Err(RunError::Configuration(format!(
            "{problems} problem(s) would keep `run` from working"
        )));
    }
    if !report.unanswered.is_empty() {
        return Err(RunError::Runtime(
            "the brokers do not answer, so the topics could not be checked; check again once they do".to_owned(),
        ));
    }
    Ok(())
}

fn render(report: &Report) -> String {
    let mut lines = Vec::new();
    lines.extend(report.fine.iter().map(|text| format!("ok       {text}")));
    lines.extend(report.warnings.iter().map(|text| format!("warning  {text}")));
    lines.extend(report.unanswered.iter().map(|text| format!("silence  {text}")));
    lines.extend(report.problems.iter().map(|text| format!("problem  {text}")));
    lines.push(format!(
        "{} problem(s), {} warning(s)",
        report.problems.len(),
        report.warnings.len()
    ));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_a_silence_and_a_warning_end_differently() {
        let some = || vec!["x".to_owned()];
        let mut report = Report {
            warnings: some(),
            ..Report::default()
        };
        assert!(outcome(&report).is_ok());
        report.unanswered = some();
        assert!(matches!(outcome(&report), Err(RunError::Runtime(_))));
        assert!(render(&report).contains("silence  x"));
        report.problems = some();
        assert!(matches!(outcome(&report), Err(RunError::Configuration(_))));
    }
}
