//! The program as a shell sees it: what it prints and how it ends.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::ocsf::{DAY_MS, START_MS, Who, login};

fn falsefront(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_falsefront"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    command
}

fn ended(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = falsefront(folder, arguments).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::File::create(&path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    path
}

#[test]
fn a_replay_that_understands_nothing_does_not_end_as_one_that_found_nothing() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "noise", "no event\nnor this\n");
    write(folder.path(), "empty", "");
    let (code, errors) = ended(folder.path(), &["replay", "--fail-on", "low", "noise"]);
    assert_eq!(code, Some(3), "{errors}");
    assert!(errors.contains("none of 2 records could be used as auto"), "{errors}");
    assert_eq!(
        ended(folder.path(), &["replay", "--fail-on", "low", "empty"]).0,
        Some(0)
    );
}

#[test]
fn a_normalize_that_understands_nothing_ends_as_a_replay_does() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "noise", "no event\nnor this\n");
    let (code, errors) = ended(folder.path(), &["normalize", "--format", "okta", "noise"]);
    assert_eq!(code, Some(3), "{errors}");
    assert!(
        errors.contains("noise: none of 2 lines was understood as okta"),
        "{errors}"
    );
    write(folder.path(), "blank", "\n\n");
    assert_eq!(ended(folder.path(), &["normalize", "blank"]).0, Some(0));
}

#[test]
fn a_reason_that_no_record_is_refused_for_is_told_with_those_that_are() {
    let folder = tempfile::tempdir().unwrap();
    let (code, errors) = ended(
        folder.path(),
        &["dead-letters", "replay", "--config", "c.toml", "--reason", "nonsense"],
    );
    assert_eq!(code, Some(2), "{errors}");
    assert!(
        errors.contains("--reason nonsense: no record is refused for it"),
        "{errors}"
    );
    assert!(
        errors.contains(", malformed_json, ") && !errors.contains("tombstone"),
        "{errors}"
    );
}

#[test]
fn why_a_service_ended_is_in_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = other.local_addr().unwrap();
    let text = format!("kafka.brokers = '127.0.0.1:1'\nhttp.listen = '{listen}'\n[[sources]]\ntopic = 'auth'\n");
    write(folder.path(), "c.toml", &text);
    let (code, errors) = ended(folder.path(), &["run", "--config", "c.toml"]);
    assert_eq!(code, Some(2), "{errors}");
    let logged = errors
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let is_told = |event: &serde_json::Value| {
        event["level"] == "ERROR"
            && event["error"]
                .as_str()
                .is_some_and(|error| error.starts_with("http.listen: "))
    };
    assert!(logged.into_iter().any(|event| is_told(&event)), "{errors}");
}

/// A batch of records is ordered together, so the first file fills one.
const FILLING_LINES: usize = 65_536;

#[test]
fn a_file_that_goes_back_too_far_is_named_once() {
    let folder = tempfile::tempdir().unwrap();
    let event = |id: &str, time_ms: i64| {
        let who = Who {
            id,
            time_ms,
            account: "a@x.example",
            device: "",
        };
        String::from_utf8(login(who, "198.51.100.7")).unwrap() + "\n"
    };
    let late = event("late", START_MS + DAY_MS) + &"x\n".repeat(FILLING_LINES);
    write(folder.path(), "late", &late);
    for name in ["early", "earlier"] {
        write(folder.path(), name, &event(name, START_MS));
    }
    for jobs in ["1", "2"] {
        let (code, errors) = ended(folder.path(), &["replay", "--jobs", jobs, "late", "early", "earlier"]);
        assert_eq!(code, Some(0), "{errors}");
        assert_eq!(
            errors.matches("warning: early begins at 2026-03-02").count(),
            1,
            "{errors}"
        );
        assert!(!errors.contains("earlier begins"), "{errors}");
        let (_, errors) = ended(folder.path(), &["replay", "--jobs", jobs, "early", "earlier", "late"]);
        assert!(!errors.contains("begins at"), "{errors}");
    }
}

#[cfg(unix)]
#[test]
fn more_files_than_a_process_may_open_are_read_and_a_missing_one_is_told_first() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..100 {
        write(folder.path(), &format!("f{number}"), "");
    }
    let program = env!("CARGO_BIN_EXE_falsefront");
    let with = |files: &str| {
        let line = format!("ulimit -n 40; exec {program} replay {files}");
        let mut shell = Command::new("sh");
        let output = shell.current_dir(folder.path()).args(["-c", &line]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, errors) = with("f*");
    assert_eq!(code, Some(0), "{errors}");
    let (code, errors) = with("f* missing");
    assert_eq!(code, Some(2), "{errors}");
    assert!(
        errors.contains("cannot open missing") && !errors.contains("records"),
        "{errors}"
    );
}
