//! Where log lines go: standard error, for a person on a terminal, as JSON otherwise.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{Directive, LevelFilter};

/// The variable that says what is logged.
const VARIABLE: &str = "FALSEFRONT_LOG";
/// What is logged where the variable does not say otherwise: a slip in it must not silence the service.
const DEFAULT: &str = "info";
/// Who logs; below ours, modules.
const TARGETS: [&str; 3] = ["falsefront", "librdkafka", "rdkafka"];

/// Starts logging, once. `FALSEFRONT_LOG` filters, such as `warn,librdkafka=debug`; what it does not name is logged from
/// info on.
pub fn start() {
    let wanted = std::env::var_os(VARIABLE).unwrap_or_default();
    let (filter, complaints) = filter(&wanted.to_string_lossy());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr);
    // A second start, in tests, keeps the first.
    let _ = if std::io::stderr().is_terminal() {
        builder.with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).with_ansi(false).try_init()
    };
    for complaint in complaints {
        tracing::warn!("{complaint}");
    }
}

/// The filter, and what of the variable looks like a slip.
fn filter(wanted: &str) -> (String, Vec<String>) {
    let mut filter = DEFAULT.to_owned();
    let mut complaints = Vec::new();
    let wanted = wanted.split(',').map(str::trim).filter(|part| !part.is_empty());
    for part in wanted {
        if part.parse::<Directive>().is_err() {
            complaints.push(format!(
                "{VARIABLE}: {part:?} is neither a level (error, warn, info, debug, trace, off) nor TARGET=LEVEL, and \
                 is passed over"
            ));
            continue;
        }
        let target = part.split('=').next().unwrap_or(part);
        let is_known = TARGETS.iter().any(|known| target.starts_with(known));
        if !part.contains('=') && part.parse::<LevelFilter>().is_err() && !is_known {
            complaints.push(format!(
                "{VARIABLE}: {part:?} is no level (error, warn, info, debug, trace, off) and is taken for the name of a \
                 module"
            ));
        }
        filter.push(',');
        filter.push_str(part);
    }
    (filter, complaints)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(wanted: &str) -> Option<LevelFilter> {
        EnvFilter::new(filter(wanted).0).max_level_hint()
    }

    #[test]
    fn a_slip_leaves_the_logs_on_and_is_told() {
        for (slip, told) in [
            ("inof", "taken for the name"),
            ("===", "passed over"),
            ("warn, a=b=c", "passed over"),
        ] {
            let (filter, complaints) = filter(slip);
            assert!(complaints.len() == 1 && complaints[0].contains(told), "{complaints:?}");
            assert!(filter.starts_with("info"), "{filter}");
        }
        assert!(level("inof").unwrap() >= LevelFilter::INFO);
        assert_eq!(level("==="), Some(LevelFilter::INFO));
    }

    #[test]
    fn what_is_meant_is_taken() {
        for (wanted, expected) in [
            ("", LevelFilter::INFO),
            ("info,librdkafka=debug", LevelFilter::DEBUG),
            ("librdkafka", LevelFilter::TRACE),
            ("DEBUG", LevelFilter::DEBUG),
        ] {
            assert_eq!(
                (level(wanted), filter(wanted).1),
                (Some(expected), Vec::new()),
                "{wanted}"
            );
        }
        assert_eq!(filter("off").1, [""; 0]);
        assert!(EnvFilter::new(filter("warn").0).to_string().contains("warn"));
        assert!(!EnvFilter::new(filter("warn").0).to_string().contains("info"));
    }
}
