//! The forms in which rosters and travel come: one JSON object per line, or CSV with a header.

use super::problem::{Complaint, quoted};
use super::roster_line::{Columns, RosterLine};
use super::table::Table;

/// Lines by number, each read or complained about.
pub(super) type Lines<T> = Vec<(u32, Result<T, Complaint>)>;

/// One JSON object per line; empty lines are passed over.
pub(super) fn ndjson(bytes: &[u8]) -> Lines<RosterLine> {
    let lines = bytes.split(|byte| *byte == b'\n').zip(1_u32..);
    lines
        .filter(|(line, _)| !line.trim_ascii().is_empty())
        .map(|(line, number)| (number, json_line(line)))
        .collect()
}

/// One JSON object.
pub(super) fn json_line(bytes: &[u8]) -> Result<RosterLine, Complaint> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let line = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." {
            String::new()
        } else {
            format!("{path}: ")
        };
        let what = error.inner().to_string();
        let remedy = if what.starts_with("unknown field") {
            "correct its name, or remove it"
        } else {
            "write one JSON object per line, with the fields the manual names"
        };
        Complaint::new(format!("{field}{what}"), remedy)
    })?;
    json.end()
        .map_err(|_| Complaint::new("more than one JSON value", "write one JSON object per line"))?;
    Ok(line)
}

/// Rows under a header of known columns.
pub(super) fn csv_lines<T: Columns>(bytes: &[u8]) -> Result<Lines<T>, Complaint> {
    let mut table = Table::new(bytes);
    let header = table.header()?;
    for (index, name) in header.iter().enumerate() {
        if !T::NAMES.contains(&name.as_str()) {
            let what = format!("column {} is unknown", quoted(name));
            let remedy = format!("{}; the columns are {}", T::remedy(name), T::NAMES.join(", "));
            return Err(Complaint::new(what, remedy));
        }
        if header[..index].contains(name) {
            return Err(Complaint::new(
                format!("column {} is there twice", quoted(name)),
                "remove one",
            ));
        }
    }
    if !header.iter().any(|name| name == "account") {
        return Err(Complaint::new(
            "column \"account\" is missing",
            "write a header with it",
        ));
    }
    let lines = table.map(|(number, row)| (number, row.and_then(|row| csv_line(&header, &row))));
    Ok(lines.collect())
}

fn csv_line<T: Columns>(header: &[String], row: &csv::StringRecord) -> Result<T, Complaint> {
    if row.len() != header.len() {
        let what = format!("{} fields instead of {}", row.len(), header.len());
        return Err(Complaint::new(what, "quote a field that holds a comma"));
    }
    let mut line = T::default();
    for (name, value) in header.iter().zip(row) {
        line.set(name, value);
    }
    Ok(line)
}
