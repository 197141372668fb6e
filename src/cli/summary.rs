//! What a replay came to, as a table for stderr.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::style::{BOLD, RESET, severity_color, thousands};
use crate::model::Severity;
use crate::pipeline::Published;

/// Totals of a run.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Records read.
    pub records: u64,
    /// Events in them that became observations.
    pub events: u64,
    /// Alerts, each counted once, by detection and severity.
    pub alerts: BTreeMap<(&'static str, Severity), u64>,
    /// Updates of alerts.
    pub updates: u64,
    /// Signals.
    pub signals: u64,
    /// Alerts that wait at the end, because their networks may turn out to be farms.
    pub waiting: usize,
    /// Records, or events of them, that could not be used, by reason.
    pub discarded: BTreeMap<&'static str, u64>,
    /// Earliest and latest event time seen, ms.
    pub span_ms: Option<(i64, i64)>,
    /// How long it took.
    pub elapsed: Duration,
}

impl Summary {
    /// Counts one published finding.
    pub fn count(&mut self, published: &Published) {
        match (published.is_alert, published.is_first) {
            (false, _) => self.signals += 1,
            (true, false) => self.updates += 1,
            (true, true) => {
                let alerts = self.alerts.entry((published.detection, published.severity));
                *alerts.or_default() += 1;
            }
        }
    }

    /// Counts records, or events of them, that could not be used.
    pub fn discard(&mut self, reason: &'static str, count: u64) {
        *self.discarded.entry(reason).or_default() += count;
    }

    /// Alerts at or above `severity`.
    #[must_use]
    pub fn alerts_from(&self, severity: Severity) -> u64 {
        self.alerts
            .iter()
            .filter(|((_, found), _)| *found >= severity)
            .map(|(_, count)| count)
            .sum()
    }

    /// The table, with colors.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = String::new();
        let mut row = |name: &str, value: String| {
            let _ = writeln!(table, "{BOLD}{name:<13}{RESET}{value}");
        };
        let seconds = self.elapsed.as_secs_f64().max(1e-3);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rate for the screen"
        )]
        let rate = (self.records as f64 / seconds) as u64;
        row(
            "records",
            format!("{} in {seconds:.1} s ({}/s)", thousands(self.records), thousands(rate)),
        );
        row("events", thousands(self.events));
        if let Some((first_ms, last_ms)) = self.span_ms {
            row("time span", format!("{} to {}", time(first_ms), time(last_ms)));
        }
        row("alerts", thousands(self.alerts_from(Severity::Informational)));
        for ((detection, severity), count) in self.alerts.iter().rev() {
            let color = severity_color(*severity);
            row(
                "",
                format!(
                    "{color}{:<13}{RESET} {detection:<22} {}",
                    severity.as_str(),
                    thousands(*count)
                ),
            );
        }
        row(
            "signals",
            format!(
                "{} (and {} updates of alerts)",
                thousands(self.signals),
                thousands(self.updates)
            ),
        );
        if self.waiting > 0 {
            let why = "the records end before it shows whether their networks are farms (farm.withhold_days)";
            row("waiting", format!("{}: {why}", self.waiting));
        }
        let discarded: u64 = self.discarded.values().sum();
        row("discarded", thousands(discarded));
        for (reason, count) in &self.discarded {
            row("", format!("{reason:<36} {}", thousands(*count)));
        }
        table
    }
}

fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fail_on_counts_the_given_severity_and_worse() {
        let mut summary = Summary::default();
        summary.alerts.insert(("laptop_farm", Severity::Critical), 2);
        summary.alerts.insert(("claimed_location", Severity::Medium), 3);
        assert_eq!(summary.alerts_from(Severity::High), 2);
        assert_eq!(summary.alerts_from(Severity::Low), 5);
    }

    #[test]
    fn the_table_names_every_reason() {
        let mut summary = Summary {
            records: 12_345,
            waiting: 2,
            span_ms: Some((0, 86_400_000)),
            ..Summary::default()
        };
        summary.discard("account_masked", 1);
        let table = summary.table();
        for part in ["12,345", "account_masked", "1970-01-02T00:00:00Z", "2: the records end"] {
            assert!(table.contains(part), "{table}");
        }
    }
}
