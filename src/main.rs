//! The `falsefront` binary: parses the command line and runs one command.

use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::process::ExitCode;

use falsefront::cli::normalize;
use falsefront::intake::Format;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ["normalize", "--format", name, path] = words[..] else {
        eprintln!("usage: falsefront normalize --format NAME FILE|-");
        return ExitCode::from(2);
    };
    let Some(format) = Format::from_name(name) else {
        eprintln!("unknown format; one of auto, ocsf, okta, google_workspace, fortigate");
        return ExitCode::from(2);
    };
    let output = BufWriter::new(io::stdout().lock());
    let outcome = if path == "-" {
        normalize::run(format, BufReader::new(io::stdin().lock()), output)
    } else {
        File::open(path).and_then(|file| normalize::run(format, BufReader::new(file), output))
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("normalize failed: {error}");
            ExitCode::from(3)
        }
    }
}
