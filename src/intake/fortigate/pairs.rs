//! The pairs of a log line, one after the other.

use super::is_line;
use crate::intake::scan;

/// `key=value` and `key="quoted value"`, separated by white space; other words are passed over.
pub(super) struct Pairs<'a> {
    /// What is not read yet.
    pub(super) rest: &'a str,
    /// Whether they end where another line begins. A newline between quotes ends nothing, so that nobody can write a line
    /// into a value.
    pub(super) end_with_line: bool,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if !self.rest.as_bytes().first()?.is_ascii_graphic() {
                let behind = self.rest.trim_start();
                let space = &self.rest[..self.rest.len() - behind.len()];
                if self.end_with_line && space.contains('\n') && behind.lines().next().is_some_and(is_line) {
                    return None;
                }
                self.rest = behind;
            }
            let Some((start, end)) = first_word(self.rest) else {
                self.rest = "";
                return None;
            };
            let (word, rest) = self.rest.split_at(end);
            let Some(rest) = rest.strip_prefix('=') else {
                self.rest = rest;
                continue;
            };
            let key = &word[start..];
            let (value, rest) = value(rest);
            self.rest = rest;
            return Some((key, value));
        }
    }
}

/// The value behind a `=`, and what follows it.
#[inline]
pub(super) fn value(rest: &str) -> (&str, &str) {
    match rest.strip_prefix('"') {
        Some(quoted) => until_quote(quoted),
        None => rest.split_at(value_end(rest).unwrap_or(rest.len())),
    }
}

/// Where a word begins that ends at white space or `=`, and where that is. A syslog priority may touch the first key.
#[inline]
fn first_word(text: &str) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let (mut start, mut at) = (0, 0);
    loop {
        at = scan::first(bytes, at, |eight| {
            let touches = scan::equal(eight, b'>') | scan::equal(eight, b',');
            touches | scan::equal(eight, b'=') | scan::below(eight, b' ' + 1)
        })?;
        match bytes[at] {
            b'>' | b',' => start = at + 1,
            byte if byte == b'=' || byte.is_ascii_whitespace() => return Some((start, at)),
            _ => {}
        }
        at += 1;
    }
}

/// Where a value without quotes ends.
#[inline]
fn value_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        at = scan::first(bytes, at, |eight| scan::below(eight, b' ' + 1))?;
        if bytes[at].is_ascii_whitespace() {
            return Some(at);
        }
        at += 1;
    }
}

fn until_quote(quoted: &str) -> (&str, &str) {
    let bytes = quoted.as_bytes();
    let mut at = 0;
    while let Some(found) = scan::first(bytes, at, |eight| scan::equal(eight, b'"') | scan::equal(eight, b'\\')) {
        at = found;
        match bytes[at] {
            // An escaped quote, unless a new pair follows: the value of `user="CORP\" group=…` ends at the quote.
            b'\\' if bytes.get(at + 1) == Some(&b'"') && !opens_pair(&quoted[at + 2..]) => at += 2,
            b'"' => return (&quoted[..at], &quoted[at + 1..]),
            _ => at += 1,
        }
    }
    (quoted, "")
}

/// Whether a closed value may end before `rest`: nothing follows, or white space and a key.
fn opens_pair(rest: &str) -> bool {
    let word = rest.trim_start();
    let end = word.find(|c: char| c == '=' || c == '"' || c.is_ascii_whitespace());
    word.is_empty() || (word.len() < rest.len() && end.is_some_and(|end| word[end..].starts_with('=')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_end_where_they_should() {
        let line = Pairs {
            rest: r#"<1>a="x y" b="say \"hi\" now" c="CORP\" d= e=5 lone f="open"#,
            end_with_line: true,
        };
        let pairs: Vec<_> = line.collect();
        assert_eq!(
            pairs,
            [
                ("a", "x y"),
                ("b", r#"say \"hi\" now"#),
                ("c", r"CORP\"),
                ("d", ""),
                ("e", "5"),
                ("f", "open")
            ]
        );
    }
}
