//! Files as records: plain, gzip or zstd by their first bytes, one record a line, or whole JSON documents.
//!
//! Memory is bounded by [`RECORD_BYTES_MAX`] whatever the file holds: a longer line is skipped without being kept.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;

use super::file_kind::{Foreign, check_head};

/// Longest record, in bytes; a longer one becomes a dead letter.
pub const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Magic numbers: RFC 1952 section 2.3.1, RFC 8878 section 3.1.1.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];
const READ_BUFFER_BYTES: usize = 256 * 1024;

/// An open file or standard input.
pub struct Input {
    /// What to call it in messages.
    pub name: String,
    /// Bytes of the file read so far.
    pub bytes_read: Arc<AtomicU64>,
    /// Its records.
    pub records: Records<Box<dyn BufRead>>,
}

impl Input {
    /// Whether `path` can be opened, without keeping it open: there may be more files than a process may have. Gives its
    /// bytes; `None` for a pipe, which is not touched.
    ///
    /// # Errors
    /// If it is not there, is a folder, or may not be read.
    pub fn check(path: &Path) -> anyhow::Result<Option<u64>> {
        if path == Path::new("-") {
            return Ok(None);
        }
        let name = path.display();
        let metadata = std::fs::metadata(path).with_context(|| format!("cannot open {name}"))?;
        anyhow::ensure!(
            !metadata.is_dir(),
            "cannot read {name}: it is a folder, name the files in it"
        );
        if !metadata.is_file() {
            return Ok(None);
        }
        File::open(path).with_context(|| format!("cannot open {name}"))?;
        Ok(Some(metadata.len()))
    }

    /// Opens `path`; `-` is standard input.
    ///
    /// # Errors
    /// If the file cannot be opened or its first bytes cannot be read.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let bytes_read = Arc::new(AtomicU64::new(0));
        let is_stdin = path == Path::new("-");
        let name = if is_stdin {
            "standard input".to_owned()
        } else {
            path.display().to_string()
        };
        Self::check(path)?;
        let source: Box<dyn Read> = if is_stdin {
            Box::new(io::stdin())
        } else {
            Box::new(File::open(path).with_context(|| format!("cannot open {name}"))?)
        };
        let counted = Counted {
            source,
            bytes_read: Arc::clone(&bytes_read),
        };
        let reader = decompressed(counted).with_context(|| format!("cannot read {name}"))?;
        Ok(Self {
            name,
            bytes_read,
            records: Records::new(reader, RECORD_BYTES_MAX),
        })
    }

    /// The file's bytes, decompressed, for those who cut it themselves. Nothing was read from it yet.
    pub fn into_reader(self) -> Box<dyn BufRead> {
        self.records.reader
    }

    /// The next record, or what is wrong with the file and where.
    ///
    /// # Errors
    /// If the file ends too early or cannot be read. Everything before was handed out.
    pub fn next_record(&mut self) -> anyhow::Result<Option<Item>> {
        self.records.next_item().map_err(|error| {
            let at = self.bytes_read.load(Ordering::Relaxed);
            let (name, records) = (&self.name, self.records.handed_out());
            let is_foreign = error.get_ref().is_some_and(|cause| cause.is::<Foreign>());
            let what = if is_foreign {
                format!("cannot read {name}")
            } else if error.kind() == io::ErrorKind::UnexpectedEof || error.to_string().contains("incomplete frame") {
                format!("{name} is cut off: its compressed data ends early, at byte {at}; {records} records before that were used, get the whole file")
            } else {
                format!("cannot read {name} beyond byte {at}; {records} records before that were used")
            };
            anyhow::Error::new(error).context(what)
        })
    }
}

fn decompressed(mut source: Counted) -> io::Result<Box<dyn BufRead>> {
    let mut head = Vec::with_capacity(ZSTD_MAGIC.len());
    Read::by_ref(&mut source)
        .take(ZSTD_MAGIC.len() as u64)
        .read_to_end(&mut head)?;
    let is_gzip = head.starts_with(&GZIP_MAGIC);
    let is_zstd = head == ZSTD_MAGIC;
    let whole = BufReader::with_capacity(READ_BUFFER_BYTES, Cursor::new(head).chain(source));
    Ok(if is_gzip {
        let reader = flate2::bufread::MultiGzDecoder::new(whole);
        Box::new(BufReader::with_capacity(READ_BUFFER_BYTES, reader))
    } else if is_zstd {
        let reader = zstd::stream::read::Decoder::with_buffer(whole)?;
        Box::new(BufReader::with_capacity(READ_BUFFER_BYTES, reader))
    } else {
        Box::new(whole)
    })
}

struct Counted {
    source: Box<dyn Read>,
    bytes_read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.bytes_read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// What the reader found next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// A record; its bytes are in [`Records::bytes`].
    Record,
    /// A record longer than allowed, skipped.
    TooLong,
}

/// Cuts a stream of bytes into records.
pub struct Records<R> {
    reader: R,
    bytes_max: usize,
    buffer: Vec<u8>,
    /// Line number from 1; in a document, the number of the value.
    number: i64,
    handed_out: u64,
    shape: Shape,
}

/// How the file separates its records.
enum Shape {
    /// Nothing was read yet.
    Unknown,
    /// One record a line.
    Lines,
    /// JSON values over several lines; the elements of an array are records of their own.
    Documents(Scanner),
}

impl<R: BufRead> Records<R> {
    /// Records of `reader`, none longer than `bytes_max`.
    pub fn new(reader: R, bytes_max: usize) -> Self {
        Self {
            reader,
            bytes_max,
            buffer: Vec::new(),
            number: 0,
            handed_out: 0,
            shape: Shape::Unknown,
        }
    }

    /// Bytes of the record found last.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Its line, from 1; in a file of documents, its number.
    pub fn number(&self) -> i64 {
        self.number
    }

    /// Records handed out so far.
    pub fn handed_out(&self) -> u64 {
        self.handed_out
    }

    /// Finds the next record; `None` at the end.
    ///
    /// # Errors
    /// Whatever the reader says.
    pub fn next_item(&mut self) -> io::Result<Option<Item>> {
        let item = match &mut self.shape {
            Shape::Documents(_) => self.next_value()?,
            Shape::Lines | Shape::Unknown => self.next_line()?,
        };
        self.handed_out += u64::from(item.is_some());
        Ok(item)
    }

    fn next_line(&mut self) -> io::Result<Option<Item>> {
        loop {
            self.buffer.clear();
            let limit = self.bytes_max as u64 + 2;
            let count = Read::by_ref(&mut self.reader)
                .take(limit)
                .read_until(b'\n', &mut self.buffer)?;
            if count == 0 {
                return Ok(None);
            }
            self.number += 1;
            if self.number == 1 {
                check_head(&self.buffer)?;
            }
            let is_whole = self.buffer.last() == Some(&b'\n');
            if is_whole {
                self.buffer.pop();
                if self.buffer.last() == Some(&b'\r') {
                    self.buffer.pop();
                }
            }
            if self.number == 1 && self.buffer.starts_with(&BYTE_ORDER_MARK) {
                self.buffer.drain(..BYTE_ORDER_MARK.len());
            }
            let is_first = matches!(self.shape, Shape::Unknown);
            let is_too_long = self.buffer.len() > self.bytes_max;
            if is_first && (begins_document(&self.buffer) || is_too_long && self.buffer.starts_with(b"[")) {
                return self.next_value_of_document(is_whole);
            }
            if is_too_long {
                if !is_whole {
                    self.reader.skip_until(b'\n')?;
                }
                self.buffer.clear();
                self.shape = Shape::Lines;
                return Ok(Some(Item::TooLong));
            }
            if self.buffer.trim_ascii().is_empty() {
                continue;
            }
            self.shape = Shape::Lines;
            return Ok(Some(Item::Record));
        }
    }

    /// What was read as a line begins a document.
    fn next_value_of_document(&mut self, is_whole: bool) -> io::Result<Option<Item>> {
        let mut head = std::mem::take(&mut self.buffer);
        if is_whole {
            head.push(b'\n');
        }
        self.shape = Shape::Documents(Scanner {
            head,
            ..Scanner::default()
        });
        self.number = 0;
        self.next_value()
    }

    fn next_value(&mut self) -> io::Result<Option<Item>> {
        let Shape::Documents(scanner) = &mut self.shape else {
            return Ok(None);
        };
        self.buffer.clear();
        self.number += 1;
        let head = std::mem::take(&mut scanner.head);
        if let Some((item, used)) = scanner.scan(&head, &mut self.buffer, self.bytes_max) {
            scanner.head = head[used..].to_vec();
            return Ok(Some(item));
        }
        loop {
            let bytes = self.reader.fill_buf()?;
            if bytes.is_empty() {
                return Ok(scanner.finish(&self.buffer));
            }
            if let Some((item, used)) = scanner.scan(bytes, &mut self.buffer, self.bytes_max) {
                self.reader.consume(used);
                return Ok(Some(item));
            }
            let used = bytes.len();
            self.reader.consume(used);
        }
    }
}

/// A first line that opens a JSON value and does not close it: the file is pretty-printed, or one array of lines.
pub fn begins_document(line: &[u8]) -> bool {
    let line = line.strip_prefix(&BYTE_ORDER_MARK).unwrap_or(line).trim_ascii();
    let goes_on = matches!(line.last(), Some(b'{' | b'[' | b','));
    match line {
        [b'{', ..] => goes_on,
        [b'[', rest @ ..] => goes_on || rest.trim_ascii_start().starts_with(b"{") && !line.ends_with(b"]"),
        _ => false,
    }
}

/// Finds where JSON values begin and end, by brackets and strings alone; whether they are JSON is for intake to say.
#[derive(Default)]
struct Scanner {
    /// Bytes read to recognize the shape, not yet scanned.
    head: Vec<u8>,
    depth: u64,
    /// A bit for each of the innermost brackets, the last of them lowest: whether it opened an object.
    objects: u128,
    /// The last byte that was neither white space nor inside a string.
    last: u8,
    in_string: bool,
    is_escaped: bool,
    in_array: bool,
    is_too_long: bool,
}

impl Scanner {
    /// Scans `bytes`. At the end of a value returns it and how many bytes were used.
    fn scan(&mut self, bytes: &[u8], value: &mut Vec<u8>, bytes_max: usize) -> Option<(Item, usize)> {
        for (at, &byte) in bytes.iter().enumerate() {
            if self.is_broken_by(byte) {
                (self.depth, self.objects, self.in_string, self.is_escaped) = (0, 0, false, false);
                if let Some(item) = self.finish(value) {
                    return Some((item, at));
                }
            }
            let is_end = self.step(byte, value);
            if value.len() > bytes_max {
                self.is_too_long = true;
                value.clear();
            }
            if is_end && let Some(item) = self.finish(value) {
                return Some((item, at + 1));
            }
        }
        None
    }

    /// Whether the value broke off before this byte, as the first line of a file may that was begun while it was written:
    /// a string ends with its line, and an object begins behind a colon, or in a list.
    fn is_broken_by(&self, byte: u8) -> bool {
        if self.in_string {
            return byte == b'\n';
        }
        let may_begin = match self.last {
            b':' => true,
            b',' | b'[' => self.objects & 1 == 0,
            _ => false,
        };
        byte == b'{' && self.depth > 0 && !may_begin
    }

    /// Takes one byte; true if a value ended with it or before it.
    fn step(&mut self, byte: u8, value: &mut Vec<u8>) -> bool {
        if self.in_string {
            value.push(byte);
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => (self.in_string, self.last) = (false, byte),
                _ => {}
            }
            return false;
        }
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => return false,
            b'[' if self.depth == 0 && !self.in_array => {
                self.in_array = true;
                return false;
            }
            b']' if self.depth == 0 => {
                self.in_array = false;
                return true;
            }
            b',' if self.depth == 0 => return true,
            b'{' | b'[' => {
                self.depth += 1;
                self.objects = self.objects << 1 | u128::from(byte == b'{');
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.objects >>= 1;
            }
            b'"' => self.in_string = true,
            _ => {}
        }
        self.last = byte;
        value.push(byte);
        self.depth == 0 && matches!(byte, b'}' | b']')
    }

    /// The value that ended, if there was one. At the end of the file: one that never ended.
    fn finish(&mut self, value: &[u8]) -> Option<Item> {
        if std::mem::take(&mut self.is_too_long) {
            return Some(Item::TooLong);
        }
        (!value.is_empty()).then_some(Item::Record)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(bytes: &[u8], bytes_max: usize) -> Vec<(i64, Option<String>)> {
        let mut records = Records::new(BufReader::with_capacity(7, bytes), bytes_max);
        let mut found = Vec::new();
        while let Some(item) = records.next_item().unwrap() {
            let text = String::from_utf8(records.bytes().to_vec()).unwrap();
            found.push((records.number(), (item == Item::Record).then_some(text)));
        }
        found
    }

    fn texts(bytes: &[u8]) -> Vec<String> {
        read(bytes, 1_000).into_iter().filter_map(|(_, text)| text).collect()
    }

    #[test]
    fn lines_lose_their_ends_and_the_mark() {
        assert_eq!(texts(b""), [""; 0]);
        assert_eq!(texts(b"\n\r\n"), [""; 0]);
        assert_eq!(
            texts(b"\xef\xbb\xbf{\"a\":1}\r\n\n{\"b\":2}"),
            ["{\"a\":1}", "{\"b\":2}"]
        );
        assert_eq!(
            texts(b"date=2026-01-05 user=\"x\",\ny"),
            ["date=2026-01-05 user=\"x\",", "y"]
        );
        assert_eq!(texts(b"[{\"a\":1},{\"b\":2}]\n"), ["[{\"a\":1},{\"b\":2}]"]);
    }

    #[test]
    fn long_lines_are_skipped_and_numbers_stay_right() {
        let mut bytes = vec![b'x'; 5_000];
        bytes.extend(b"\nok\n");
        bytes.extend(vec![b'y'; 11]);
        bytes.extend(b"\nfits-in-10\nlast");
        let expected = [
            (1, None),
            (2, Some("ok")),
            (3, None),
            (4, Some("fits-in-10")),
            (5, Some("last")),
        ];
        let found = read(&bytes, 10);
        assert_eq!(found, expected.map(|(number, text)| (number, text.map(str::to_owned))));
    }

    #[test]
    fn pretty_printed_documents_become_records() {
        let one = b"{\n  \"a\": [1, 2],\n  \"b\": \"x ] } \\\" y\"\n}\n{\n  \"c\": 3\n}\n";
        assert_eq!(texts(one), [r#"{"a":[1,2],"b":"x ] } \" y"}"#, r#"{"c":3}"#]);
        let many = b"[\n  {\n \"a\": 1\n },\n  {\"b\": [\n]}, 7\n]\n";
        assert_eq!(texts(many), [r#"{"a":1}"#, r#"{"b":[]}"#, "7"]);
        assert_eq!(
            texts(b"{\"activities\": [\n {\"a\": 1}\n]}"),
            [r#"{"activities":[{"a":1}]}"#]
        );
        assert_eq!(texts(b"[\n{\"cut\":"), ["{\"cut\":"]);
    }

    #[test]
    fn an_array_over_lines_or_too_long_for_one_is_read_by_its_elements() {
        for text in [
            "[{\"a\":1}\n,{\"b\":2}\n]",
            "\u{feff}[\n{\"a\":1},\n{\"b\":2}]",
            "[ {\"a\":1},{\"b\":2}",
        ] {
            assert_eq!(texts(text.as_bytes()), [r#"{"a":1}"#, r#"{"b":2}"#], "{text}");
        }
        let long = format!("[{}]\n", vec![r#"{"a":1}"#; 50].join(","));
        let found = read(long.as_bytes(), 20);
        assert_eq!(found.len(), 50);
        assert!(found.iter().all(|(_, text)| text.as_deref() == Some(r#"{"a":1}"#)));
        let long = r#"{"Records":[{"a":1},{"a":1}]}"#;
        assert_eq!(read(long.as_bytes(), 20), [(1, None)]);
    }

    #[test]
    fn a_first_line_that_breaks_off_costs_itself_alone() {
        let whole = "{\"c\": {\"x\": [1, {}]}, \"d\": 2}\n{\"e\": 3}\n";
        let expected = [r#"{"c":{"x":[1,{}]},"d":2}"#, r#"{"e":3}"#];
        for cut in [
            r#"{"a": 1,"#,
            r#"{"a": {"b": 2,"#,
            r#"{"a": {"#,
            r#"{"a": [{"b": 2}], "s": "x,"#,
            r#"{"a": "y [","#,
        ] {
            let found = texts(format!("{cut}\n{whole}").as_bytes());
            assert_eq!(found.len(), 3, "{cut}: {found:?}");
            assert_eq!(&found[1..], expected, "{cut}");
        }
        // Behind a comma in a list an object may follow, and no other behind that.
        let found = texts(format!("{{\"a\": [1,\n{whole}{whole}").as_bytes());
        assert_eq!(found[1..], [expected[1], expected[0], expected[1]], "{found:?}");
    }

    #[test]
    fn files_of_another_kind_are_named() {
        let utf_16: Vec<u8> = "{\"a\":1}\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut tar = vec![0; 512];
        tar[..3].copy_from_slice(b"a.b");
        tar[257..262].copy_from_slice(b"ustar");
        let marked = [&b"\xff\xfe"[..], &utf_16].concat();
        for (bytes, what) in [
            (utf_16.as_slice(), "UTF-16"),
            (&utf_16[1..], "UTF-16"),
            (&marked, "UTF-16"),
            (b"PK\x03\x04\n", "zip"),
            (&tar, "tar"),
            (b"PAR1", "Parquet"),
        ] {
            let (found, error) = read_file(bytes);
            let error = error.unwrap();
            assert!(
                found.is_empty() && error.contains(what) && error.contains("; "),
                "{error}"
            );
        }
        assert!(
            read_file(&gzip(&String::from_utf8(tar).unwrap()))
                .1
                .unwrap()
                .contains("tar")
        );
    }

    #[test]
    fn a_document_too_long_is_skipped_alone() {
        let text = format!("[\n  {{\"a\": \"{}\"}},\n  {{\"b\": 2}}\n]", "x".repeat(100));
        assert_eq!(
            read(text.as_bytes(), 50),
            [(1, None), (2, Some(r#"{"b":2}"#.to_owned()))]
        );
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn read_file(bytes: &[u8]) -> (Vec<String>, Option<String>) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let mut input = Input::open(file.path()).unwrap();
        let mut found = Vec::new();
        loop {
            match input.next_record() {
                Ok(Some(_)) => found.push(String::from_utf8(input.records.bytes().to_vec()).unwrap()),
                Ok(None) => return (found, None),
                Err(error) => return (found, Some(format!("{error:#}"))),
            }
        }
    }

    #[test]
    fn compression_is_recognized_by_the_first_bytes() {
        let mut members = gzip("a\nb\n");
        members.extend(gzip("c\n"));
        assert_eq!(read_file(&members).0, ["a", "b", "c"]);
        assert_eq!(read_file(&zstd::encode_all(&b"a\nb"[..], 3).unwrap()).0, ["a", "b"]);
        assert_eq!(read_file(b"a\nb").0, ["a", "b"]);
        assert_eq!(read_file(b""), (Vec::new(), None));
        assert_eq!(read_file(&GZIP_MAGIC[..1]).0, ["\u{1f}"]);
    }

    #[test]
    fn truncated_files_say_so_after_what_could_be_read() {
        let text: String = (0..20_000)
            .map(|n| format!("line {n} {}\n", n * 7_919 % 10_007))
            .collect();
        for whole in [gzip(&text), zstd::encode_all(text.as_bytes(), 3).unwrap()] {
            let (found, error) = read_file(&whole[..whole.len() * 2 / 3]);
            assert!(found.len() > 1_000, "{}", found.len());
            assert_eq!(found[0], "line 0 0");
            let error = error.unwrap();
            assert!(error.contains("is cut off") && error.contains("at byte"), "{error}");
        }
    }
}
