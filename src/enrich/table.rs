//! CSV as operators write it: a header, comments after `#`, any line end, perhaps a byte-order mark.

use csv::{Reader, ReaderBuilder, StringRecord, Trim};

use super::problem::Complaint;

/// Reads `bytes`; rows may have any number of fields, which the caller judges.
pub(super) fn reader(bytes: &[u8]) -> Reader<&[u8]> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    ReaderBuilder::new()
        .flexible(true)
        .comment(Some(b'#'))
        .trim(Trim::All)
        .from_reader(bytes)
}

/// The header's names, lower case.
pub(super) fn header(reader: &mut Reader<&[u8]>) -> Result<Vec<String>, Complaint> {
    let header = reader.headers().map_err(|error| unreadable(&error))?;
    Ok(header.iter().map(str::to_ascii_lowercase).collect())
}

/// All rows below the header with their line numbers; a row that is not UTF-8 is a complaint.
pub(super) fn rows(reader: Reader<&[u8]>) -> impl Iterator<Item = (u32, Result<StringRecord, Complaint>)> {
    let mut reader = reader;
    std::iter::from_fn(move || {
        let mut row = csv::ByteRecord::new();
        match reader.read_byte_record(&mut row) {
            Ok(false) => None,
            Ok(true) => {
                let line = row.position().map_or(0, csv::Position::line);
                let line = u32::try_from(line).unwrap_or(u32::MAX);
                let row = StringRecord::from_byte_record(row).map_err(|_| not_utf8());
                Some((line, row))
            }
            // Reading from memory with flexible rows cannot fail; an error would repeat for ever.
            Err(_) => None,
        }
    })
}

fn unreadable(error: &csv::Error) -> Complaint {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => not_utf8(),
        _ => Complaint::new(format!("unreadable header: {error}"), "write a header of column names"),
    }
}

fn not_utf8() -> Complaint {
    Complaint::new("bytes that are not UTF-8", "save the file as UTF-8")
}
