//! Files that hold no lines of text, told by their first bytes, so that they are named once and not refused line by line.

use std::fmt;
use std::io;

/// A file of a kind that holds no lines of text: what it is, and what to do.
#[derive(Debug)]
pub struct Foreign(&'static str);

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Foreign {}

/// Whether a file that begins so may hold records.
///
/// # Errors
/// If it is of a kind that is known and not read; every line of it would be refused.
pub fn check_head(head: &[u8]) -> io::Result<()> {
    // Magic numbers: the formats' own specifications; of tar, POSIX.1-2017 pax, ustar interchange format.
    const KINDS: [(&[u8], &str); 9] = [
        (b"\xff\xfe", UTF_16),
        (b"\xfe\xff", UTF_16),
        (b"PK\x03\x04", "it is a zip archive; unpack it and name the files in it"),
        (
            b"7z\xbc\xaf\x27\x1c",
            "it is a 7z archive; unpack it and name the files in it",
        ),
        (b"\xfd7zXZ\0", "it is compressed with xz; decompress it, say with xz -d"),
        (
            b"\x04\x22\x4d\x18",
            "it is compressed with lz4; decompress it, say with lz4 -d",
        ),
        (b"PAR1", "it is a Parquet table; export it as JSON, one record a line"),
        (b"Obj\x01", "it is an Avro file; export it as JSON, one record a line"),
        (
            b"ElfFile\0",
            "it is a Windows event log; export it as JSON, one record a line",
        ),
    ];
    const TAR_MAGIC: (usize, &[u8]) = (257, b"ustar");
    let kind = KINDS
        .iter()
        .find(|(magic, _)| head.starts_with(magic))
        .map(|(_, what)| *what);
    let is_tar = head
        .get(TAR_MAGIC.0..)
        .is_some_and(|rest| rest.starts_with(TAR_MAGIC.1));
    let is_utf_16 = match head {
        [0, a, 0, b, ..] | [a, 0, b, 0, ..] => a.is_ascii_graphic() && b.is_ascii_graphic(),
        _ => false,
    };
    let kind = kind
        .or(is_tar.then_some("it is a tar archive; unpack it and name the files in it"))
        .or(is_utf_16.then_some(UTF_16));
    kind.map_or(Ok(()), |what| {
        Err(io::Error::new(io::ErrorKind::InvalidData, Foreign(what)))
    })
}

const UTF_16: &str = "it is text in UTF-16; convert it, say with iconv -f UTF-16 -t UTF-8";
