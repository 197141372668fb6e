//! `falsefront normalize`: for every input line exactly one JSON line, its events or why there are none. A file whose
//! first line opens a JSON document and does not close it gives one for every record, as `replay` reads it.

use std::io::{self, BufRead, Cursor, Read as _, Write};

use serde::Serialize;

use super::file_kind::check_head;
use super::input::{Item, Records, begins_document};
use crate::intake::{self, Decoder, Format, Rejection};
use crate::model::Event;
use crate::model::event_id::EventId;
use crate::pipeline::intake::INTENTIONAL;

/// Longest line, in bytes, that is read; a longer one is rejected and passed over without keeping it.
pub const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What became of one line.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer<'a> {
    Events {
        events: &'a [Event<'a>],
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        rejected_events: &'a [Refused<'a>],
    },
    Rejected {
        rejected: Refused<'a>,
    },
}

/// A rejection as it is printed.
#[derive(Serialize)]
struct Refused<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    reason: &'a str,
    detail: &'a str,
}

/// One JSON line, without its line feed, for one record: `{"events":[…]}`, or `{"rejected":{"reason":…,"detail":…}}`
/// if it gave none. Events of the record that were refused beside good ones stand in `rejected_events`.
#[must_use]
pub fn normalize_line(format: Format, line: &[u8]) -> String {
    numbered_line(&mut Decoder::default(), format, line, 1).0
}

/// [`normalize_line`] for the `number`th line, which names events that their source gave no id. Also why there
/// are none, if there are.
fn numbered_line<'a>(
    decoder: &mut Decoder,
    format: Format,
    line: &'a [u8],
    number: u64,
) -> (String, Option<&'static str>) {
    let mut events = Vec::new();
    let mut refused = Vec::new();
    let mut each = |index: u32, event: Result<Event<'a>, Rejection>| match event {
        Ok(mut event) => {
            if event.id.is_empty() {
                event.id = EventId::of(format!("{number}/{index}").into());
            }
            events.push(event);
        }
        Err(rejection) => refused.push((index, rejection)),
    };
    let outcome = decoder.decode(format, line, &mut each);
    if let Err(rejection) = outcome {
        return rejected_line(&rejection);
    }
    if let ([], Some((_, first))) = (events.as_slice(), refused.first()) {
        return rejected_line(first);
    }
    let rejected_events: Vec<Refused<'_>> = refused
        .iter()
        .map(|(index, rejection)| Refused {
            index: Some(*index),
            reason: rejection.reason,
            detail: &rejection.detail,
        })
        .collect();
    let answer = Answer::Events {
        events: &events,
        rejected_events: &rejected_events,
    };
    (print(&answer), None)
}

fn rejected_line(rejection: &Rejection) -> (String, Option<&'static str>) {
    let answer = Answer::Rejected {
        rejected: Refused {
            index: None,
            reason: rejection.reason,
            detail: &rejection.detail,
        },
    };
    (print(&answer), Some(rejection.reason))
}

fn print(answer: &Answer<'_>) -> String {
    // Strings, numbers and lists of them always have a JSON form.
    serde_json::to_string(answer).unwrap_or_default()
}

/// What became of the lines of an input, but for those that are blank or plainly none of our business.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// Gave events.
    pub understood: u64,
    /// Gave none.
    pub refused: u64,
}

impl Lines {
    fn count(&mut self, reason: Option<&'static str>) {
        match reason {
            None => self.understood += 1,
            Some(reason) if INTENTIONAL.contains(&reason) => {}
            Some(_) => self.refused += 1,
        }
    }
}

/// Normalizes every line of `input`, or every record of a document, to `output`, in order, in bounded memory.
///
/// # Errors
/// What reading or writing failed with, or what the file is if it holds no text; lines that cannot be used are no error.
pub fn run(format: Format, mut input: impl BufRead, mut output: impl Write) -> io::Result<Lines> {
    let mut lines = Lines::default();
    let mut line = Vec::new();
    let mut number = 0;
    let mut decoder = Decoder::default();
    while let Some(is_whole) = read_line(&mut input, &mut line)? {
        number += 1;
        if number == 1 {
            check_head(&line)?;
            if begins_document(&line) {
                line.push(b'\n');
                return documents(format, Cursor::new(line).chain(input), output);
            }
        }
        let (answer, reason) = if is_whole {
            numbered_line(&mut decoder, format, &line, number)
        } else {
            too_long(number)
        };
        if !is_whole || !line.trim_ascii().is_empty() {
            lines.count(reason);
        }
        writeln!(output, "{answer}")?;
    }
    output.flush()?;
    Ok(lines)
}

/// Normalizes every record of a file that is one JSON document, or several over many lines.
fn documents(format: Format, input: impl BufRead, mut output: impl Write) -> io::Result<Lines> {
    let mut lines = Lines::default();
    let mut records = Records::new(input, LINE_BYTES_MAX);
    let mut decoder = Decoder::default();
    while let Some(item) = records.next_item()? {
        let number = records.number().unsigned_abs();
        let (answer, reason) = match item {
            Item::Record => numbered_line(&mut decoder, format, records.bytes(), number),
            Item::TooLong => too_long(number),
        };
        lines.count(reason);
        writeln!(output, "{answer}")?;
    }
    output.flush()?;
    Ok(lines)
}

fn too_long(number: u64) -> (String, Option<&'static str>) {
    rejected_line(&Rejection {
        reason: intake::reason::RECORD_TOO_LARGE,
        detail: format!("record {number} is longer than {LINE_BYTES_MAX} bytes; split it at the source"),
    })
}

/// Reads a line without its line feed. `None` at the end; `Some(false)` for a line too long, of which nothing is kept.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let (mut is_whole, mut is_line) = (true, false);
    loop {
        let bytes = match input.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if bytes.is_empty() {
            return Ok(is_line.then_some(is_whole));
        }
        is_line = true;
        let end = bytes.iter().position(|b| *b == b'\n');
        let part = &bytes[..end.unwrap_or(bytes.len())];
        if is_whole && line.len() + part.len() <= LINE_BYTES_MAX {
            line.extend_from_slice(part);
        } else {
            is_whole = false;
            *line = Vec::new();
        }
        let taken = end.map_or(part.len(), |end| end + 1);
        input.consume(taken);
        if end.is_some() {
            return Ok(Some(is_whole));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGON: &str = r#"{"class_uid":3002,"activity_id":1,"time":1700000000000,"user":{"name":"ann"}}"#;

    fn normalized(input: &[u8]) -> Vec<serde_json::Value> {
        let mut output = Vec::new();
        run(Format::Auto, input, &mut output).unwrap();
        let text = String::from_utf8(output).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn every_line_gives_one_line() {
        let answers = normalized(format!("{LOGON}\n\n[{LOGON},{{}}]\r\n{LOGON}").as_bytes());
        assert_eq!(answers.len(), 4);
        assert_eq!(answers[0]["events"][0]["account"], "ann");
        assert_eq!(answers[0]["events"][0]["id"], "1/0");
        assert_eq!(answers[1]["rejected"]["reason"], "empty");
        assert_eq!(answers[2]["events"][0]["source_ip"], serde_json::Value::Null);
        assert_eq!(answers[2]["rejected_events"][0]["index"], 1);
        assert_eq!(answers[3]["events"][0]["id"], "4/0");
        assert!(normalized(b"").is_empty());
    }

    #[test]
    fn a_document_over_many_lines_gives_a_line_for_each_record() {
        let value: serde_json::Value = serde_json::from_str(LOGON).unwrap();
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        for (text, count) in [
            (format!("{pretty}\n{pretty}\n"), 2),
            (format!("\u{feff}[\n{pretty},\n{pretty}\n]\n"), 2),
            (format!("[{LOGON},\n{LOGON},\n{LOGON}]"), 3),
            (format!("{{\n\"Records\": [\n{pretty},\n{pretty}\n]\n}}"), 1),
        ] {
            let answers = normalized(text.as_bytes());
            assert_eq!(answers.len(), count, "{text}");
            assert!(
                answers.iter().all(|answer| answer["events"][0]["account"] == "ann"),
                "{answers:?}"
            );
        }
    }

    #[test]
    fn a_file_that_holds_no_text_is_named() {
        let text: Vec<u8> = LOGON.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut output = Vec::new();
        let error = run(Format::Auto, text.as_slice(), &mut output).unwrap_err();
        assert!(error.to_string().contains("UTF-16") && output.is_empty(), "{error}");
    }

    #[test]
    fn lines_are_counted_by_whether_they_gave_events() {
        let count = |input: String| {
            let lines = run(Format::Auto, input.as_bytes(), io::sink()).unwrap();
            (lines.understood, lines.refused)
        };
        let none_of_ours = LOGON.replace("3002", "2004");
        assert_eq!(count(format!("{LOGON}\n\nnoise\n{none_of_ours}\n")), (1, 1));
        assert_eq!(count(none_of_ours), (0, 0));
    }

    #[test]
    fn a_line_too_long_is_passed_over() {
        let mut input = vec![b'x'; LINE_BYTES_MAX + 1];
        input.extend_from_slice(format!("\n{LOGON}\n").as_bytes());
        let answers = normalized(&input);
        assert_eq!(answers.len(), 2);
        assert_eq!(answers[0]["rejected"]["reason"], "record_too_large");
        assert_eq!(answers[1]["events"][0]["kind"], "login");
    }
}
