//! Loads reference data from files and keeps it fresh: a changed file is read beside the data in use, and only
//! a whole and sound set replaces it.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use siphasher::sip128::{Hasher128, SipHasher24};

use crate::enrich::geography::{Database, Geography};
use crate::enrich::network_list::NetworkList;
use crate::enrich::problem::{Complaint, Problem};
use crate::enrich::roster::Roster;
use crate::enrich::roster_builder::RosterBuilder;
use crate::enrich::{DatasetKind, Reference, asn_csv};

use super::geoip;

/// Largest file that is read, bytes: the largest commercial database is a fifth of it.
const FILE_BYTES_MAX: u64 = 2 << 30;

/// Files that are read together, and judged by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// GeoIP databases.
    Databases,
    /// Lists of networks.
    Networks,
    /// Rosters.
    Roster,
    /// Approved travel.
    Travel,
}

impl FileKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Databases, Self::Networks, Self::Roster, Self::Travel];

    /// The kind as the log and metric labels spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Databases => "geoip",
            Self::Networks => "networks",
            Self::Roster => "roster",
            Self::Travel => "travel",
        }
    }

    /// What is joined to it when it is read.
    pub(super) fn joined(self) -> Option<Self> {
        match self {
            Self::Databases => Some(Self::Networks),
            Self::Roster => Some(Self::Travel),
            Self::Networks | Self::Travel => None,
        }
    }
}

/// Where the reference data is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferenceFiles {
    /// GeoIP databases, or directories whose `*.mmdb` are all meant, by name.
    pub geoip: Vec<PathBuf>,
    /// Lists `network,class,label`.
    pub networks: Vec<PathBuf>,
    /// Rosters, CSV or NDJSON.
    pub roster: Vec<PathBuf>,
    /// Approved travel, CSV.
    pub travel: Option<PathBuf>,
    /// A topic will take the place of the roster files: only then is it known whom the travel is about.
    pub is_roster_in_topic: bool,
}

/// Reference data in memory: names and contents.
#[derive(Clone, Debug, Default)]
pub struct ReferenceBytes {
    /// GeoIP databases.
    pub geoip: Vec<(String, Vec<u8>)>,
    /// Lists `network,class,label`.
    pub networks: Vec<(String, Vec<u8>)>,
    /// Rosters, CSV or NDJSON.
    pub roster: Vec<(String, Vec<u8>)>,
    /// Approved travel, CSV.
    pub travel: Option<(String, Vec<u8>)>,
}

/// Why nothing was loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read at all; trying again may help.
    #[error("{0}")]
    Unreadable(Problem),
    /// The file was read and cannot be used; trying again helps only once it has changed.
    #[error("{0}")]
    Refused(Problem),
}

/// Loads everything. The problems are lines that were left out; the rest is in use.
///
/// # Errors
/// [`LoadError`] for the first file that cannot be used as a whole.
pub fn load(files: &ReferenceFiles) -> Result<(Reference, Vec<Problem>), LoadError> {
    load_sources(&Sources::of_files(files)?)
}

/// Loads everything from memory, as [`load`] does from files.
///
/// # Errors
/// As [`load`].
pub fn load_bytes(bytes: &ReferenceBytes) -> Result<(Reference, Vec<Problem>), LoadError> {
    load_sources(&Sources::of_bytes(bytes))
}

fn load_sources(sources: &Sources<'_>) -> Result<(Reference, Vec<Problem>), LoadError> {
    let (geography, mut problems) = load_geography(sources)?;
    let (roster, more) = load_roster(sources, &geography)?;
    problems.extend(more);
    Ok((Reference::new(Arc::new(geography), Arc::new(roster)), problems))
}

/// A file, or its content.
pub(super) enum Source<'a> {
    File { path: PathBuf, is_named: bool },
    Memory { name: &'a str, bytes: &'a [u8] },
}

/// All sources, directories listed out.
pub(super) struct Sources<'a> {
    pub(super) geoip: Vec<Source<'a>>,
    pub(super) networks: Vec<Source<'a>>,
    pub(super) roster: Vec<Source<'a>>,
    pub(super) travel: Vec<Source<'a>>,
    is_roster_in_topic: bool,
}

fn named(paths: &[PathBuf]) -> Vec<Source<'static>> {
    let files = paths.iter().cloned();
    files.map(|path| Source::File { path, is_named: true }).collect()
}

impl<'a> Sources<'a> {
    pub(super) fn of_files(files: &ReferenceFiles) -> Result<Self, LoadError> {
        Ok(Self {
            geoip: databases_of(files)?,
            ..Self::of_lists(files)
        })
    }

    /// All but the databases.
    pub(super) fn of_lists(files: &ReferenceFiles) -> Self {
        Self {
            geoip: Vec::new(),
            networks: named(&files.networks),
            roster: named(&files.roster),
            travel: named(files.travel.as_slice()),
            is_roster_in_topic: files.is_roster_in_topic,
        }
    }

    fn of_bytes(bytes: &'a ReferenceBytes) -> Self {
        let all = |named: &'a [(String, Vec<u8>)]| {
            let memory = named.iter().map(|(name, bytes)| Source::Memory { name, bytes });
            memory.collect()
        };
        Self {
            geoip: all(&bytes.geoip),
            networks: all(&bytes.networks),
            roster: all(&bytes.roster),
            travel: all(bytes.travel.as_slice()),
            is_roster_in_topic: false,
        }
    }
}

fn databases_of(files: &ReferenceFiles) -> Result<Vec<Source<'static>>, LoadError> {
    let mut geoip = Vec::new();
    for path in &files.geoip {
        if path.is_dir() {
            geoip.extend(databases_in(path)?);
        } else {
            geoip.extend(named(std::slice::from_ref(path)));
        }
    }
    Ok(geoip)
}

/// The `*.mmdb` of a directory, by name.
fn databases_in(directory: &Path) -> Result<Vec<Source<'static>>, LoadError> {
    let unreadable = |error: &std::io::Error| unreadable(&directory.display().to_string(), error);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(|error| unreadable(&error))? {
        let path = entry.map_err(|error| unreadable(&error))?.path();
        if path.extension().is_some_and(|extension| extension == "mmdb") {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        let complaint = Complaint::new(
            "no *.mmdb in this directory",
            "put a database there, or correct geoip.files",
        );
        return Err(LoadError::Refused(complaint.at(&directory.display().to_string(), None)));
    }
    paths.sort();
    let files = paths.into_iter().map(|path| Source::File { path, is_named: false });
    Ok(files.collect())
}

impl LoadError {
    /// What cannot be used.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        match self {
            Self::Unreadable(problem) | Self::Refused(problem) => problem,
        }
    }
}

impl Source<'_> {
    fn name(&self) -> Cow<'_, str> {
        match self {
            Self::File { path, .. } => path.to_string_lossy(),
            Self::Memory { name, .. } => Cow::Borrowed(name),
        }
    }

    /// Whether the operator named the very file: a directory may hold databases that are not for us.
    fn is_named(&self) -> bool {
        !matches!(self, Self::File { is_named: false, .. })
    }

    fn read(&self) -> Result<Cow<'_, [u8]>, LoadError> {
        let path = match self {
            Self::Memory { bytes, .. } => return Ok(Cow::Borrowed(bytes)),
            Self::File { path, .. } => path,
        };
        let unreadable = |error: &std::io::Error| unreadable(&self.name(), error);
        let length = std::fs::metadata(path).map_err(|error| unreadable(&error))?.len();
        if length > FILE_BYTES_MAX {
            let complaint = Complaint::new(format!("{length} bytes: too large"), "check that it is the right file");
            return Err(LoadError::Refused(complaint.at(&self.name(), None)));
        }
        std::fs::read(path).map(Cow::Owned).map_err(|error| unreadable(&error))
    }

    /// As [`Source::read`], of a list.
    fn read_text(&self) -> Result<Cow<'_, [u8]>, LoadError> {
        let bytes = self.read()?;
        if is_utf16(&bytes) {
            let complaint = Complaint::new("is UTF-16 text", "save it as UTF-8");
            return Err(LoadError::Refused(complaint.at(&self.name(), None)));
        }
        Ok(bytes)
    }
}

/// Whether a text is UTF-16, as Windows programs save "Unicode": by its mark, or by every second byte being zero.
pub(super) fn is_utf16(bytes: &[u8]) -> bool {
    let start = bytes.get(..64).unwrap_or(bytes);
    let zeros = |first: usize| {
        let half = start.iter().skip(first).step_by(2);
        start.len() >= 4 && half.clone().count() > 1 && half.into_iter().all(|byte| *byte == 0)
    };
    start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") || zeros(0) != zeros(1)
}

fn unreadable(name: &str, error: &std::io::Error) -> LoadError {
    let complaint = Complaint::new(
        format!("cannot be read: {error}"),
        "correct the path in the configuration, or make the file readable",
    );
    LoadError::Unreadable(complaint.at(name, None))
}

/// Loads databases and network lists.
fn load_geography(sources: &Sources<'_>) -> Result<(Geography, Vec<Problem>), LoadError> {
    let (databases, mut problems) = load_databases(&sources.geoip)?;
    let (list, more) = load_list(sources)?;
    problems.extend(more);
    let geography = join_list(databases, list, sources, &mut problems);
    Ok((geography, problems))
}

/// Databases, and what is to be told of them.
type Databases = (Vec<Database>, Vec<Problem>);

/// Loads the databases of `files`.
pub(super) fn databases(files: &ReferenceFiles) -> Result<Databases, LoadError> {
    load_databases(&databases_of(files)?)
}

fn load_databases(geoip: &[Source<'_>]) -> Result<Databases, LoadError> {
    let mut problems = Vec::new();
    // Files are independent and large, so each has a thread; the order of the results is that of the files.
    let read: Vec<Result<Option<Database>, LoadError>> = std::thread::scope(|scope| {
        let spawn = |source| scope.spawn(move || read_database(source));
        let threads: Vec<_> = geoip.iter().map(spawn).collect();
        let join = |(thread, source): (std::thread::ScopedJoinHandle<'_, _>, &Source<'_>)| {
            thread.join().unwrap_or_else(|_| Err(defect(source)))
        };
        threads.into_iter().zip(geoip).map(join).collect()
    });
    let mut databases = Vec::new();
    for (read, source) in read.into_iter().zip(geoip) {
        match read? {
            Some(database) => databases.push(database),
            None if source.is_named() => {
                let complaint = Complaint::new("a database that holds nothing used here", "remove it from geoip.files");
                problems.push(complaint.at(&source.name(), None));
            }
            None => {}
        }
    }
    Ok((databases, problems))
}

/// Loads network lists.
pub(super) fn load_list(sources: &Sources<'_>) -> Result<(NetworkList, Vec<Problem>), LoadError> {
    let mut problems = Vec::new();
    let mut list = NetworkList::default();
    for source in &sources.networks {
        let bytes = source.read_text()?;
        let version = format!("networks {}", digest(&bytes));
        let found = list.read(&source.name(), version, &bytes).map_err(LoadError::Refused)?;
        problems.extend(found);
    }
    Ok((list, problems))
}

/// Joins databases and lists.
pub(super) fn join_list(
    databases: Vec<Database>,
    list: NetworkList,
    sources: &Sources<'_>,
    problems: &mut Vec<Problem>,
) -> Geography {
    let has_systems = databases.iter().any(|database| matches!(database, Database::Asn(_)));
    if list.names_systems() && !has_systems {
        let complaint = Complaint::new(
            "lines that name an AS, and no database of autonomous systems is loaded",
            "add one to geoip.files, such as GeoLite2-ASN.mmdb; until then the lines have no effect",
        );
        let file = sources.networks.first().map_or(Cow::Borrowed("networks"), Source::name);
        problems.push(complaint.at(&file, None));
    }
    Geography::build(databases, list)
}

/// The thread that read the file ended in a panic: a defect of ours, yet no reason to fall.
fn defect(source: &Source<'_>) -> LoadError {
    let complaint = Complaint::new("reading it failed in an unforeseen way", "report this file as a defect");
    LoadError::Refused(complaint.at(&source.name(), None))
}

fn read_database(source: &Source<'_>) -> Result<Option<Database>, LoadError> {
    let name = source.name();
    let bytes = source.read()?;
    if name.to_ascii_lowercase().ends_with(".csv") {
        let stem = Path::new(&*name).file_stem().map(|stem| stem.to_string_lossy());
        let version = format!("{} {}", stem.as_deref().unwrap_or(&name), digest(&bytes));
        let database = asn_csv::read(&name, version, &bytes).map_err(LoadError::Refused)?;
        return Ok(Some(Database::Asn(database)));
    }
    geoip::read(&name, &bytes).map_err(LoadError::Refused)
}

/// Loads rosters and travel, placing claims by the names that `geography` knows.
fn load_roster(sources: &Sources<'_>, geography: &Geography) -> Result<(Roster, Vec<Problem>), LoadError> {
    let (mut builder, mut problems) = load_roster_files(sources)?;
    let (travel, found) = load_travel(sources)?;
    problems.extend(found);
    if !sources.is_roster_in_topic {
        builder.set_travel(travel);
    }
    let (roster, more) = builder.build(geography);
    problems.extend(more);
    Ok((roster, problems))
}

/// Reads rosters, without travel.
pub(super) fn load_roster_files(sources: &Sources<'_>) -> Result<(RosterBuilder, Vec<Problem>), LoadError> {
    let mut builder = RosterBuilder::default();
    let mut problems = Vec::new();
    for source in &sources.roster {
        let bytes = source.read_text()?;
        let version = format!("{} {}", DatasetKind::Roster.as_str(), digest(&bytes));
        let found = builder
            .read(&source.name(), version, &bytes)
            .map_err(LoadError::Refused)?;
        problems.extend(found);
    }
    Ok((builder, problems))
}

/// Reads approved travel, for a roster to take over.
pub(super) fn load_travel(sources: &Sources<'_>) -> Result<(RosterBuilder, Vec<Problem>), LoadError> {
    let mut travel = RosterBuilder::default();
    let mut problems = Vec::new();
    for source in &sources.travel {
        let bytes = source.read_text()?;
        let version = format!("{} {}", DatasetKind::Travel.as_str(), digest(&bytes));
        let found = travel.read_travel(&source.name(), version, &bytes);
        problems.extend(found.map_err(LoadError::Refused)?);
    }
    Ok((travel, problems))
}

/// Eight hex digits that tell one content from another in evidence; no defense against forgery.
fn digest(bytes: &[u8]) -> String {
    use std::hash::Hasher;
    let mut hasher = SipHasher24::new();
    hasher.write(bytes);
    format!("{:08x}", hasher.finish128().as_u128() >> 96)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::enrich::demo_table::{DemoUse, demo_cities, demo_city};
    use crate::model::NetworkClass;
    use crate::service::demo_geoip::demo_databases;

    fn demo(networks: &str, roster: &str) -> (Reference, Vec<Problem>) {
        load_bytes(&ReferenceBytes {
            geoip: demo_databases().unwrap(),
            networks: vec![("networks.csv".to_owned(), networks.as_bytes().to_vec())],
            roster: vec![("roster.csv".to_owned(), roster.as_bytes().to_vec())],
            travel: None,
        })
        .unwrap()
    }

    const NETWORKS: &str = "network,class,label\n246.42.0.0/16,vpn,Astrill\nAS64498,mobile,Continental\n";

    #[test]
    fn every_demo_address_is_where_the_table_says() {
        let (reference, problems) = demo(NETWORKS, "account\na\n");
        assert_eq!(problems, []);
        for city in demo_cities() {
            for block in city.blocks() {
                let ips: [IpAddr; 2] = [block.address(70_000).into(), block.address_v6(65_535, 1).into()];
                for ip in ips {
                    let located = reference.locate(ip);
                    let place = reference.place(located.place.unwrap());
                    assert_eq!(
                        (place.city.as_str(), place.region.as_str()),
                        (city.name, city.region),
                        "{ip}"
                    );
                    assert_eq!(place.point, city.point);
                    assert_eq!(
                        place.radius_km,
                        if block.usage == DemoUse::Mobile {
                            100
                        } else {
                            city.radius_km
                        }
                    );
                    let network = reference.network(located.network);
                    assert_eq!(
                        (network.asn, network.organization.as_str()),
                        (block.asn, block.organization)
                    );
                }
            }
        }
        let vegas = demo_city("Las Vegas", "NV").unwrap();
        let network = |usage| reference.network(reference.locate(vegas.address(usage, 5).into()).network);
        assert_eq!(
            (network(DemoUse::Vpn).class, network(DemoUse::Vpn).label.as_str()),
            (NetworkClass::Vpn, "Astrill")
        );
        assert_eq!(network(DemoUse::Mobile).class, NetworkClass::Mobile);
        assert_eq!(network(DemoUse::Office).class, NetworkClass::Unknown);
    }

    #[test]
    fn claims_by_name_are_placed_by_the_databases_and_the_rest_is_told() {
        let roster = "account,city,region,country,radius_km\na,Austin,Texas,US,\nb,Austin,TX,US,20\nc,Atlantis,,US,\n";
        let (reference, problems) = demo(NETWORKS, roster);
        let told: Vec<_> = problems
            .iter()
            .map(|problem| (problem.file.as_str(), problem.line))
            .collect();
        assert_eq!(told, [("roster.csv", Some(4))]);
        let austin = demo_city("Austin", "TX").unwrap();
        let point = |name| {
            let listed = reference.resolve(std::iter::once(name)).unwrap();
            listed.claim().terms.point
        };
        assert!(point("a").unwrap().point.distance_km(austin.point) < 1.0);
        assert_eq!((point("a").unwrap().radius_km, point("b").unwrap().radius_km), (50, 20));
        assert_eq!(point("c"), None);
        let summary = reference.summary();
        assert_eq!(
            (summary.accounts, summary.accounts_placed, summary.datasets.len()),
            (3, 2, 4)
        );
        assert!(
            reference
                .versions()
                .starts_with("falsefront-demo-City 2026-01-01; falsefront-demo-ASN 2026-01-01; networks ")
        );
    }

    #[test]
    fn a_list_in_utf_16_is_refused_with_what_to_do() {
        let text = "account,country\nann,US\n";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let marked = [b"\xff\xfe", &*little].concat();
        for bytes in [little, big, marked] {
            let given = ReferenceBytes {
                roster: vec![("r.csv".to_owned(), bytes)],
                ..ReferenceBytes::default()
            };
            let error = load_bytes(&given).unwrap_err().to_string();
            assert_eq!(error, "r.csv: is UTF-16 text; save it as UTF-8");
        }
        assert!(!is_utf16(text.as_bytes()) && !is_utf16(b"") && !is_utf16(&[0; 8]));
    }

    #[test]
    fn a_directory_is_taken_by_name_and_a_broken_file_in_it_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let files = ReferenceFiles {
            geoip: vec![directory.path().to_owned()],
            ..ReferenceFiles::default()
        };
        assert!(load(&files).unwrap_err().to_string().contains("no *.mmdb"));
        for (name, bytes) in demo_databases().unwrap() {
            std::fs::write(directory.path().join(&name), bytes).unwrap();
        }
        std::fs::write(directory.path().join("README"), "not a database").unwrap();
        let (reference, problems) = load(&files).unwrap();
        assert_eq!((problems.len(), reference.summary().datasets.len()), (0, 2));

        let (name, bytes) = demo_databases().unwrap().remove(0);
        std::fs::write(directory.path().join(&name), &bytes[..bytes.len() / 2]).unwrap();
        let error = load(&files).unwrap_err();
        assert!(
            matches!(&error, LoadError::Refused(problem) if problem.file.ends_with(&name)),
            "{error}"
        );
        assert!(error.to_string().contains("download it again"), "{error}");
    }

    #[test]
    fn missing_files_and_missing_databases_are_told() {
        let missing = ReferenceFiles {
            roster: vec!["/nonexistent/roster.csv".into()],
            ..ReferenceFiles::default()
        };
        let error = load(&missing).unwrap_err();
        assert!(matches!(error, LoadError::Unreadable(_)));
        assert!(
            error.to_string().starts_with("/nonexistent/roster.csv: cannot be read"),
            "{error}"
        );

        let (_, problems) = load_bytes(&ReferenceBytes {
            networks: vec![("n.csv".to_owned(), NETWORKS.as_bytes().to_vec())],
            roster: vec![("r.csv".to_owned(), b"account,city\na,Austin\n".to_vec())],
            ..ReferenceBytes::default()
        })
        .unwrap();
        let files: Vec<&str> = problems.iter().map(|problem| problem.file.as_str()).collect();
        assert_eq!(files, ["n.csv", "r.csv"]);
    }
}
