//! Rules of the house that a compiler does not know: which way imports point, where a foreign crate may be named, how
//! long a file is. Each failure names the line.

use std::fs;
use std::path::{Path, PathBuf};

use falsefront::model::Detection;

/// Each floor and the floors below it that it may name.
const FLOORS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("intake", &["model"]),
    ("enrich", &["model"]),
    ("window", &["model"]),
    ("detections", &["model", "window"]),
    ("alert", &["model"]),
    (
        "pipeline",
        &["model", "intake", "enrich", "window", "detections", "alert"],
    ),
    ("generate", &["model", "enrich"]),
    (
        "service",
        &[
            "model",
            "intake",
            "enrich",
            "window",
            "detections",
            "alert",
            "pipeline",
            "generate",
        ],
    ),
    (
        "cli",
        &[
            "model",
            "intake",
            "enrich",
            "window",
            "detections",
            "alert",
            "pipeline",
            "generate",
            "service",
        ],
    ),
];

/// Where each foreign crate may be named; paths below `src`.
const HOMES: &[(&str, &[&str])] = &[
    ("rdkafka", &["service/kafka"]),
    ("maxminddb", &["service/geoip.rs"]),
    ("maxminddb_writer", &["service/demo_geoip.rs"]),
    ("tokio", &["service", "cli"]),
    ("axum", &["service", "cli"]),
    ("prometheus", &["service", "cli"]),
    ("config", &["service", "cli"]),
    ("tracing", &["service", "cli"]),
    ("tracing_subscriber", &["service", "cli"]),
    ("clap", &["cli", "main.rs"]),
];

/// Lines of a file at most: beyond that it has two purposes.
const LINES_MAX: usize = 650;

struct Source {
    /// Path below the package, with `/`.
    name: String,
    text: String,
}

impl Source {
    /// The floor of a file below `src`; empty for `lib.rs` and `main.rs`.
    fn floor(&self) -> &str {
        let below = self.name.strip_prefix("src/").unwrap_or("");
        below.split_once('/').map_or("", |(floor, _)| floor)
    }

    /// Lines of code with their numbers: without comments and without the unit tests at the end.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        let shipped = numbered.take_while(|(_, line)| *line != "mod tests {");
        shipped.map(|(number, line)| (number, without_comment(line)))
    }
}

fn without_comment(line: &str) -> &str {
    let start = line.trim_start();
    if start.starts_with("//") {
        ""
    } else {
        line.split(" // ").next().unwrap_or(line)
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    collect(&root().join(folder), &mut found);
    found.sort();
    assert!(!found.is_empty(), "no source below {folder}");
    let source = |path: PathBuf| Source {
        name: path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/"),
        text: fs::read_to_string(&path).unwrap(),
    };
    found.into_iter().map(source).collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn check(what: &str, problems: &[String]) {
    assert!(problems.is_empty(), "{what}:\n{}", problems.join("\n"));
}

/// Modules of this crate that a piece of code names: `crate::window::…`, `crate::{model, window::days}`.
fn modules_named(code: &str) -> Vec<&str> {
    let mut named = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => named.extend(first_word(rest)),
            Some(list) => named.extend(heads_of_list(list)),
        }
    }
    named
}

fn first_word(text: &str) -> Option<&str> {
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    Some(&text[..end]).filter(|word| !word.is_empty())
}

/// The first words of the entries of a `{…}` list, whatever stands nested in them.
fn heads_of_list(list: &str) -> Vec<&str> {
    let mut heads = Vec::new();
    let (mut depth, mut starts) = (0, true);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => starts = true,
            c if starts && (c.is_alphabetic() || c == '_') => {
                heads.extend(first_word(&list[at..]));
                starts = false;
            }
            _ => {}
        }
    }
    heads
}

#[test]
fn imports_point_down() {
    let mut problems = Vec::new();
    for source in sources("src") {
        let floor = source.floor();
        let Some((_, below)) = FLOORS.iter().find(|(name, _)| *name == floor) else {
            assert!(floor.is_empty(), "{}: `{floor}` is no floor of FLOORS", source.name);
            continue;
        };
        let lines: Vec<(usize, &str)> = source.code().collect();
        let code: String = lines.iter().flat_map(|(_, line)| [line, "\n"]).collect();
        for name in modules_named(&code) {
            let is_floor = FLOORS.iter().any(|(known, _)| *known == name);
            if is_floor && name != floor && !below.contains(&name) {
                let needle = format!("crate::{name}");
                let at = lines
                    .iter()
                    .find(|(_, line)| line.contains(&needle))
                    .map_or(0, |(number, _)| *number);
                problems.push(format!("{}:{at}: `{floor}` must not name `{name}`", source.name));
            }
        }
    }
    check("imports that point up", &problems);
}

#[test]
fn a_list_of_imports_is_read_to_its_end() {
    let code = "use crate::{model::{Link, Place}, window::days::{Days, self},\n  alert};\nlet x = crate::enrich::Reference; $crate::cli";
    assert_eq!(modules_named(code), ["model", "window", "alert", "enrich"]);
}

#[test]
fn detections_know_windows_and_settings_only() {
    let mut problems = Vec::new();
    for source in sources("src/detections") {
        for (number, line) in source.code() {
            // Rules read facts; the calls that change a window take `&mut`.
            if line.contains("&mut AccountFacts") || line.contains("&mut EntityFacts") {
                problems.push(format!("{}:{number}: a detection only reads facts", source.name));
            }
        }
    }
    check("detections that change windows", &problems);
}

#[test]
fn a_foreign_crate_is_named_in_its_home_only() {
    let mut problems = Vec::new();
    for source in sources("src") {
        let below = source.name.strip_prefix("src/").unwrap();
        for (name, homes) in HOMES {
            if homes
                .iter()
                .any(|home| below == *home || below.starts_with(&format!("{home}/")))
            {
                continue;
            }
            for (number, line) in source.code() {
                if names_crate(line, name) {
                    problems.push(format!("{}:{number}: `{name}` belongs to {homes:?}", source.name));
                }
            }
        }
    }
    check("foreign crates away from home", &problems);
}

/// Whether the line has a path that starts with that crate: `tokio::…`, not `service::tokio::…`.
fn names_crate(line: &str, name: &str) -> bool {
    let paths = line.match_indices(&format!("{name}::")).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':')
    });
    paths || line.trim() == format!("use {name};") || line.trim().starts_with(&format!("use {name} as "))
}

#[test]
fn the_core_reads_no_clock_and_no_file() {
    let shell = ["service", "cli", ""];
    let forbidden = [
        "std::fs",
        "std::env",
        "std::net::Tcp",
        "Instant::now",
        "SystemTime::now",
        "thread_rng",
        "println!",
    ];
    let mut problems = Vec::new();
    for source in sources("src").iter().filter(|source| !shell.contains(&source.floor())) {
        for (number, line) in source.code() {
            let named = forbidden.iter().filter(|word| line.contains(*word));
            problems.extend(named.map(|word| format!("{}:{number}: `{word}` belongs to the shell", source.name)));
        }
    }
    check("side effects below `service`", &problems);
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut problems = Vec::new();
    for source in ["src", "tests", "benches"].into_iter().flat_map(sources) {
        if !source.text.starts_with("//! ") {
            problems.push(format!("{}:1: does not open with `//!`", source.name));
        }
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            problems.push(format!("{}: {lines} lines, at most {LINES_MAX}: split it", source.name));
        }
    }
    check("files", &problems);
}

#[test]
fn nothing_is_left_for_later() {
    // Spelt in two parts, so that this file is not its own finding.
    let marks = [
        ["TO", "DO"],
        ["FIX", "ME"],
        ["#[ig", "nore"],
        ["todo", "!("],
        ["unimple", "mented!("],
    ]
    .map(|parts| parts.concat());
    let mut problems = Vec::new();
    for source in ["src", "tests", "benches"].into_iter().flat_map(sources) {
        for (number, line) in source.text.lines().enumerate() {
            let found = marks.iter().filter(|mark| line.contains(mark.as_str()));
            problems.extend(found.map(|mark| format!("{}:{}: {mark}", source.name, number + 1)));
        }
    }
    check("left for later", &problems);
}

#[test]
fn the_readme_names_every_detection() {
    let Ok(readme) = fs::read_to_string(root().join("README.md")) else {
        return;
    };
    let rows: Vec<&str> = readme.lines().filter(|line| line.starts_with('|')).collect();
    let missing: Vec<&str> = Detection::ALL
        .map(Detection::as_str)
        .into_iter()
        .filter(|name| !rows.iter().any(|row| row.contains(name)))
        .collect();
    assert!(missing.is_empty(), "README.md: no row of a table names {missing:?}");
}
