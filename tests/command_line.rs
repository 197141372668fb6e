//! The program as a shell sees it: what it prints and how it ends.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

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
