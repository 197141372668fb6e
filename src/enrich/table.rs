//! CSV as operators write it: a header, comments after `#`, any line end, perhaps a byte-order mark.
//!
//! A row is a line. A field that goes on in the next line is refused, because a quote that somebody forgot to close
//! would otherwise take all lines up to the next quote, or the end of the file, into one field.

use csv::{ReaderBuilder, StringRecord, Trim};

use super::problem::{Complaint, quoted};

/// The lines of `bytes` that hold something; rows may have any number of fields, which the caller judges.
pub(super) struct Table<'a> {
    rest: &'a [u8],
    number: u32,
}

impl<'a> Table<'a> {
    /// A table of those bytes.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes),
            number: 0,
        }
    }

    /// The header's names, lower case; none if there is no line at all.
    pub(super) fn header(&mut self) -> Result<Vec<String>, Complaint> {
        let header = self
            .next()
            .map_or_else(|| Ok(StringRecord::new()), |(_, header)| header)?;
        let only = header.get(0).filter(|_| header.len() == 1).unwrap_or_default();
        if let Some(separator) = only.chars().find(|c| [';', '\t', '|'].contains(c)) {
            let what = format!("columns separated by {}", quoted(&separator.to_string()));
            return Err(Complaint::new(what, "separate them by commas"));
        }
        Ok(header.iter().map(str::to_ascii_lowercase).collect())
    }

    /// The next line with its end cut off, whatever it is of `\n`, `\r\n` and `\r`.
    fn line(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.number = self.number.saturating_add(1);
        let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let end = self.rest.iter().position(is_end).unwrap_or(self.rest.len());
        let (line, rest) = self.rest.split_at(end);
        let ends = if rest.starts_with(b"\r\n") { 2 } else { 1 };
        self.rest = rest.get(ends..).unwrap_or_default();
        Some(line)
    }
}

/// Rows with their line numbers; one that is no row is a complaint.
impl Iterator for Table<'_> {
    type Item = (u32, Result<StringRecord, Complaint>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = self.line()?;
            if !line.is_empty() && !line.starts_with(b"#") {
                return Some((self.number, row(line)));
            }
        }
    }
}

fn row(line: &[u8]) -> Result<StringRecord, Complaint> {
    let line =
        std::str::from_utf8(line).map_err(|_| Complaint::new("bytes that are not UTF-8", "save the file as UTF-8"))?;
    if line.contains('"') {
        return quoted_row(line);
    }
    Ok(line.split(',').map(str::trim).collect())
}

/// A row with quotes. Only where they are closed does a line that follows become a row of its own.
fn quoted_row(line: &str) -> Result<StringRecord, Complaint> {
    let followed = format!("{line}\n.");
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(followed.as_bytes());
    let mut rows = reader.records().flatten();
    match (rows.next(), rows.next()) {
        (Some(row), Some(_)) => Ok(row),
        _ => Err(Complaint::new(
            "a quote that is not closed in this line",
            "close it, or write a quote inside a field twice; a field holds no line break",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<(u32, Vec<String>)> {
        let fields = |row: StringRecord| row.iter().map(str::to_owned).collect();
        Table::new(text.as_bytes())
            .map(|(number, row)| (number, row.map_or_else(|complaint| vec![complaint.what], fields)))
            .collect()
    }

    #[test]
    fn a_quote_that_is_not_closed_costs_its_own_line_alone() {
        let unclosed = "a quote that is not closed in this line";
        for text in ["a,\"b\nc,d\ne,f\n", "a,\"b\r\nc,d\r\n\r\ne,f", "a,\"b\rc,d\r#\re,f"] {
            let found: Vec<Vec<String>> = rows(text).into_iter().map(|(_, row)| row).collect();
            assert_eq!(found, [vec![unclosed], vec!["c", "d"], vec!["e", "f"]], "{text:?}");
        }
        let last = rows("a,b\n# c\n\nd,\"e");
        assert_eq!(
            last[1],
            (4, vec![unclosed.to_owned()]),
            "the last line has nobody to swallow"
        );
    }

    #[test]
    fn quotes_that_are_closed_keep_commas_quotes_and_comment_signs() {
        let found = rows("\u{feff}\"a, b\" , c\n\"d \"\"e\"\"\",f\"g\n\"# h\",\n");
        let expected = [["a, b", "c"], ["d \"e\"", "f\"g"], ["# h", ""]];
        let found: Vec<&Vec<String>> = found.iter().map(|(_, row)| row).collect();
        assert_eq!(
            found,
            expected
                .each_ref()
                .map(|row| row.map(str::to_owned).to_vec())
                .iter()
                .collect::<Vec<_>>()
        );
    }
}
