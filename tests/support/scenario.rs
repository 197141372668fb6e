//! A scenario: a folder of data that states a claim.
//!
//! | file | |
//! |---|---|
//! | `events.ndjson` | what came in, in the order of arrival |
//! | `roster.csv`, `travel.csv`, `networks.csv` | what is known beside; each may be missing |
//! | `settings.json` | thresholds that differ from the defaults; may be missing |
//! | `twin.txt` | where the scenario fires: the folder of its quiet twin, one fact apart |
//! | `alerts.ndjson` | what must come out, whole; empty where the scenario stays quiet |
//!
//! Addresses are those of `geoip/cities.csv`: `240.42.0.7` is a home in city number 42.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use falsefront::enrich::Reference;
use falsefront::pipeline::Published;
use falsefront::pipeline::settings::DetectionSettings;
use falsefront::service::reference::ReferenceBytes;

use super::core;

/// One folder under `tests/scenarios`.
pub(crate) struct Scenario {
    /// The detection it is about: the name of the folder above.
    pub(crate) detection: String,
    /// Its claim: the name of its folder.
    pub(crate) claim: String,
    pub(crate) folder: PathBuf,
    pub(crate) events: Vec<u8>,
    pub(crate) reference: Arc<Reference>,
    pub(crate) settings: Arc<DetectionSettings>,
}

impl Scenario {
    /// All scenarios, in the order of their names.
    pub(crate) fn all() -> Vec<Self> {
        let folders = folders(&root()).into_iter().flat_map(|folder| folders(&folder));
        let all: Vec<Self> = folders.map(|folder| Self::read(&folder)).collect();
        assert!(!all.is_empty(), "no scenario below {}", root().display());
        all
    }

    fn read(folder: &Path) -> Self {
        let list = |name: &str| -> Vec<(String, Vec<u8>)> {
            let bytes = fs::read(folder.join(name)).ok();
            bytes.map(|bytes| (name.to_owned(), bytes)).into_iter().collect()
        };
        let reference = core::reference(ReferenceBytes {
            networks: list("networks.csv"),
            roster: list("roster.csv"),
            travel: list("travel.csv").pop(),
            ..ReferenceBytes::default()
        });
        let settings = fs::read(folder.join("settings.json"))
            .map(|bytes| serde_json::from_slice(&bytes).unwrap())
            .unwrap_or_default();
        Self {
            detection: name(folder.parent().unwrap()),
            claim: name(folder),
            folder: folder.to_owned(),
            events: fs::read(folder.join("events.ndjson")).unwrap(),
            reference,
            settings: Arc::new(settings),
        }
    }

    pub(crate) fn fires(&self) -> bool {
        self.claim.starts_with("fires_")
    }

    pub(crate) fn records(&self) -> Vec<&[u8]> {
        let lines = self.events.split(|byte| *byte == b'\n');
        lines.filter(|line| !line.is_empty()).collect()
    }

    /// What the service publishes.
    pub(crate) fn run(&self) -> Vec<Published> {
        core::run(&self.settings, &self.reference, &self.records())
    }

    /// Text of one of the folder's files; empty if there is none.
    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap_or_default()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

fn name(folder: &Path) -> String {
    folder.file_name().unwrap().to_str().unwrap().to_owned()
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(of).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// Records of the alerts topic as lines.
pub(crate) fn lines(published: &[Published]) -> String {
    let text = published
        .iter()
        .map(|record| std::str::from_utf8(&record.value).unwrap());
    text.flat_map(|record| [record, "\n"]).collect()
}

/// Where two outputs differ first.
pub(crate) fn same(expected: &str, found: &str) -> Result<(), String> {
    let (expected, found): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    let Some(at) = (0..expected.len().max(found.len())).find(|at| expected.get(*at) != found.get(*at)) else {
        return Ok(());
    };
    let of = |lines: &[&str]| lines.get(at).map_or("nothing".to_owned(), |line| (*line).to_owned());
    let (expected, found) = (of(&expected), of(&found));
    let differs = expected.bytes().zip(found.bytes()).take_while(|(a, b)| a == b).count();
    let around = |text: &str| {
        let bytes = &text.as_bytes()[differs.saturating_sub(60)..text.len().min(differs + 120)];
        String::from_utf8_lossy(bytes).into_owned()
    };
    Err(format!(
        "alert {}:\n  expected …{}…\n  found    …{}…",
        at + 1,
        around(&expected),
        around(&found)
    ))
}
