//! What is wrong with a file of reference data, where, and what to do about it.

use std::fmt;

/// Problems kept per file; the rest is only counted, so a file of the wrong kind cannot fill memory.
pub const PROBLEMS_PER_FILE_MAX: usize = 1_000;

/// One thing wrong with a file. The rest of the file is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, or the topic.
    pub file: String,
    /// Line, from 1; `None` if the whole file is meant.
    pub line: Option<u32>,
    /// What is wrong, with the field's name: `country "UK": no ISO 3166-1 code`.
    pub what: String,
    /// What to do: `write GB`.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}; {}", self.what, self.remedy)
    }
}

/// Problems of one file, as they are found.
#[derive(Debug)]
pub struct Problems<'a> {
    file: &'a str,
    found: Vec<Problem>,
    left_out: u64,
}

impl<'a> Problems<'a> {
    /// None yet, for that file.
    #[must_use]
    pub fn of(file: &'a str) -> Self {
        Self {
            file,
            found: Vec::new(),
            left_out: 0,
        }
    }

    /// Notes one.
    pub fn add(&mut self, line: Option<u32>, complaint: Complaint) {
        if self.found.len() < PROBLEMS_PER_FILE_MAX {
            self.found.push(complaint.at(self.file, line));
        } else {
            self.left_out += 1;
        }
    }

    /// All of them, in order of finding.
    #[must_use]
    pub fn finish(mut self) -> Vec<Problem> {
        if self.left_out > 0 {
            self.found.push(Problem {
                file: self.file.to_owned(),
                line: None,
                what: format!("{} more problems", self.left_out),
                remedy: "correct those listed and check again".to_owned(),
            });
        }
        self.found
    }
}

/// A problem before it is known where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Complaint {
    /// A complaint of those words.
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// The complaint at its place.
    #[must_use]
    pub fn at(self, file: &str, line: Option<u32>) -> Problem {
        Problem {
            file: file.to_owned(),
            line,
            what: self.what,
            remedy: self.remedy,
        }
    }
}

/// Longest piece of a file that a message quotes, in characters.
const QUOTED_CHARS_MAX: usize = 60;

/// `text` in quotes, shortened and without control characters, so a message stays one line.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(QUOTED_CHARS_MAX)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(QUOTED_CHARS_MAX).is_some() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_bounded_and_the_rest_is_counted() {
        let mut problems = Problems::of("roster.csv");
        for line in 0..5_000 {
            problems.add(Some(line), Complaint::new("bad", "mend it"));
        }
        let found = problems.finish();
        assert_eq!(found.len(), PROBLEMS_PER_FILE_MAX + 1);
        assert_eq!(found[1].to_string(), "roster.csv:1: bad; mend it");
        assert!(found.last().unwrap().what.starts_with("4000 more"));
    }

    #[test]
    fn quotes_stay_on_one_short_line() {
        assert_eq!(quoted("a\nb"), r#""a\nb""#);
        assert!(quoted(&"x".repeat(1 << 20)).len() < 80);
    }
}
