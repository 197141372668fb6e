//! Keeps reference data fresh while the service runs: polls the files, reads what changed, swaps it whole.
//!
//! | what happens | what is in use |
//! |---|---|
//! | nothing changed | the same |
//! | a file changed | the same, until two polls in a row see the same files: it may still be being written |
//! | it has settled and is sound | the new |
//! | it is broken, or far smaller than before | the same until SIGHUP; said in the log, the status and the metrics |
//!
//! Each kind of file is judged by itself: a broken roster does not hold back a database. A list is joined to the databases
//! and travel to the roster, so what is new of those waits where what it is joined to is broken.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;

use crate::enrich::geography::Geography;
use crate::enrich::network_list::NetworkList;
use crate::enrich::problem::{Complaint, Problem};
use crate::enrich::roster::Roster;
use crate::enrich::roster_builder::RosterBuilder;
use crate::enrich::{Dataset, DatasetKind, Reference};

use super::reference::{
    FileKind, LoadError, ReferenceFiles, Sources, databases, join_list, load, load_list, load_roster_files, load_travel,
};

/// A new set of databases, list or roster with less than this share of the ranges, places, lines or accounts in use, in
/// hundredths, is taken for an accident.
const REMAINING_PERCENT_MIN: u64 = 50;

/// Reference data in use, and the files it comes from.
pub struct ReferenceWatch {
    files: ReferenceFiles,
    current: ArcSwap<Reference>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    loaded: Stamps,
    /// What the last poll saw, if it was not what is loaded.
    settling: Option<Stamps>,
    /// What was read and refused; not read again until it changes.
    refused: Stamps,
    /// What was last read in vain, if nothing of its kind was used since.
    failed: Stamps,
    /// The list and the travel in use, for when what they are joined to changes and they cannot be read.
    list: NetworkList,
    travel: RosterBuilder,
    /// Accounts of a compacted topic, which take the place of the files', and the travel of its file.
    topic: Option<RosterBuilder>,
    status: ReloadStatus,
}

/// How reloading went so far, for the metrics and the status page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReloadStatus {
    /// Times that newer data came into use.
    pub reloads: u64,
    /// Times that newer data could not be used.
    pub failures: BTreeMap<FileKind, u64>,
    /// Why the last attempt failed, of kinds whose files in use are not those on disk.
    pub errors: BTreeMap<FileKind, String>,
    /// When the data in use was loaded.
    pub loaded_at: Option<SystemTime>,
    /// Lines left out of the data in use.
    pub problems: usize,
}

/// Newer data of one kind that cannot be used; the older stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Which files.
    pub kind: FileKind,
    /// The first that cannot be used, and why.
    pub error: LoadError,
}

/// What a poll did.
#[derive(Debug)]
pub enum Polled {
    /// Nothing to do.
    Unchanged,
    /// The files that could not be used are gone, and those in use are there again.
    Mended,
    /// Files changed a moment ago; poll again soon.
    Settling,
    /// Newer data is in use, but for the kinds that failed; the problems are lines left out.
    Reloaded(Vec<Problem>, Vec<Failed>),
    /// Nothing of what is newer can be used; the older stays.
    Failed(Vec<Failed>),
}

impl ReferenceWatch {
    /// Loads everything for the first time. Also returns the lines that were left out.
    ///
    /// # Errors
    /// [`LoadError`] as [`load`].
    pub fn open(files: ReferenceFiles) -> Result<(Self, Vec<Problem>), LoadError> {
        // Stamped before reading: a change while reading is seen by the next poll.
        let loaded = stamps(&files);
        let (reference, problems) = load(&files)?;
        let lists = Sources::of_lists(&files);
        let (list, travel) = (load_list(&lists)?.0, load_travel(&lists)?.0);
        let state = State {
            loaded,
            list,
            travel,
            status: ReloadStatus {
                loaded_at: Some(SystemTime::now()),
                problems: problems.len(),
                ..ReloadStatus::default()
            },
            ..State::default()
        };
        let watch = Self {
            files,
            current: ArcSwap::from_pointee(reference),
            state: Mutex::new(state),
        };
        Ok((watch, problems))
    }

    /// The data in use.
    #[must_use]
    pub fn current(&self) -> Arc<Reference> {
        self.current.load_full()
    }

    /// How reloading went so far.
    #[must_use]
    pub fn status(&self) -> ReloadStatus {
        self.state().status.clone()
    }

    /// Looks whether files changed, and uses them once they have settled. Blocks while it reads; call it from a
    /// thread that may wait, every 30 s or so, and again soon after [`Polled::Settling`].
    pub fn poll(&self) -> Polled {
        let seen = stamps(&self.files);
        let mut state = self.state();
        let is_mended = state.forget_mended(&seen);
        let is_new = |kind: &FileKind| {
            let stamp = seen.get(kind);
            stamp != state.loaded.get(kind) && stamp != state.refused.get(kind)
        };
        if !FileKind::ALL.iter().any(is_new) {
            state.settling = None;
            let is_whole = state.status.errors.is_empty();
            return if is_mended && is_whole {
                Polled::Mended
            } else {
                Polled::Unchanged
            };
        }
        if Some(&seen) != state.settling.as_ref() {
            state.settling = Some(seen);
            return Polled::Settling;
        }
        self.replace(&mut state, &seen, Caution::RefuseShrinking)
    }

    /// Reads everything that changed at once, without waiting for it to settle, and uses it even where it is far
    /// smaller than before: somebody asked for it.
    pub fn reload(&self) -> Polled {
        let seen = stamps(&self.files);
        let mut state = self.state();
        state.forget_mended(&seen);
        state.refused.clear();
        self.replace(&mut state, &seen, Caution::TakeAnything)
    }

    /// Uses the accounts of a compacted topic instead of the roster files' from here on. Travel comes from its file
    /// all the same. Returns the records and lines left out.
    pub fn use_topic_roster(&self, mut builder: RosterBuilder) -> Vec<Problem> {
        let mut state = self.state();
        // Its own lines were told when it was read.
        builder.set_travel(state.travel.clone());
        let geography = self.current.load().geography().clone();
        let (roster, problems) = builder.build(&geography);
        self.current
            .store(Arc::new(Reference::new(geography, Arc::new(roster))));
        state.topic = Some(builder);
        problems
    }

    fn replace(&self, state: &mut State, seen: &Stamps, caution: Caution) -> Polled {
        state.settling = None;
        let before = self.current.load_full();
        let mut reading = Reading {
            seen,
            caution,
            before: &before,
            problems: Vec::new(),
            failed: Vec::new(),
        };
        let geography = reading.geography(state, &self.files);
        let roster = reading.roster(state, &self.files, &geography);
        let Reading { problems, failed, .. } = reading;
        let is_same = Arc::ptr_eq(&geography, before.geography()) && Arc::ptr_eq(&roster, before.roster());
        let failed = state.note(seen, &failed);
        if is_same {
            return if failed.is_empty() {
                Polled::Unchanged
            } else {
                Polled::Failed(failed)
            };
        }
        let reference = Reference::new(geography, roster);
        tracing::info!(
            versions = reference.versions(),
            problems = problems.len(),
            "reference data reloaded"
        );
        self.current.store(Arc::new(reference));
        state.status.reloads += 1;
        state.status.loaded_at = Some(SystemTime::now());
        state.status.problems = problems.len();
        Polled::Reloaded(problems, failed)
    }

    /// A panic while the lock was held leaves the state as it was: every field is set at once.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_new(&self, kind: FileKind, seen: &Stamps) -> bool {
        seen.get(&kind) != self.loaded.get(&kind)
    }

    /// Forgets the failures of files that are again those in use; true if there were any.
    fn forget_mended(&mut self, seen: &Stamps) -> bool {
        let mut is_mended = false;
        for kind in FileKind::ALL {
            // Files that could not be read may have the same stamps as when they could.
            let (now, failed) = (seen.get(&kind), self.failed.get(&kind));
            if now == self.loaded.get(&kind) && failed.is_some() && failed != now {
                self.failed.remove(&kind);
                self.refused.remove(&kind);
                self.status.errors.remove(&kind);
                // It is to be joined at last.
                kind.joined().map(|joined| self.refused.remove(&joined));
                is_mended = true;
            }
        }
        is_mended
    }

    /// Notes what was read of each kind. Returns the failures that were not told before.
    fn note(&mut self, seen: &Stamps, failed: &[Failed]) -> Vec<Failed> {
        let mut untold = Vec::new();
        for kind in FileKind::ALL {
            let Some(stamp) = seen.get(&kind).cloned() else {
                continue;
            };
            let failure_of = |kind| failed.iter().find(|failed| failed.kind == kind);
            let Some(failure) = failure_of(kind) else {
                let waits_for = FileKind::ALL.into_iter().find(|base| base.joined() == Some(kind));
                if waits_for.is_some_and(|base| failure_of(base).is_some()) && self.is_new(kind, seen) {
                    self.refused.insert(kind, stamp);
                    continue;
                }
                self.loaded.insert(kind, stamp);
                self.failed.remove(&kind);
                self.refused.remove(&kind);
                self.status.errors.remove(&kind);
                continue;
            };
            let is_refused = matches!(failure.error, LoadError::Refused(_));
            let is_told = is_refused && self.refused.get(&kind) == Some(&stamp);
            self.status.errors.insert(kind, failure.error.to_string());
            if is_refused {
                self.refused.insert(kind, stamp.clone());
            }
            self.failed.insert(kind, stamp);
            if !is_told {
                *self.status.failures.entry(kind).or_default() += 1;
                untold.push(failure.clone());
            }
        }
        untold
    }
}

/// What is read anew, kind by kind.
struct Reading<'r> {
    seen: &'r Stamps,
    caution: Caution,
    before: &'r Reference,
    problems: Vec<Problem>,
    failed: Vec<Failed>,
}

impl Reading<'_> {
    /// What was read, or `None` and a failure.
    fn tried<T>(&mut self, kind: FileKind, read: Result<(T, Vec<Problem>), LoadError>) -> Option<T> {
        match read {
            Ok((is, problems)) => {
                self.problems.extend(problems);
                Some(is)
            }
            Err(error) => {
                self.failed.push(Failed { kind, error });
                None
            }
        }
    }

    fn refuse_shrinking(&self, old: &[Size], new: &[Size]) -> Result<(), LoadError> {
        if self.caution == Caution::TakeAnything {
            return Ok(());
        }
        refuse_shrinking(old, new)
    }

    fn geography(&mut self, state: &mut State, files: &ReferenceFiles) -> Arc<Geography> {
        let before = self.before.geography().clone();
        let mut is_new = state.is_new(FileKind::Databases, self.seen);
        if state.is_new(FileKind::Networks, self.seen) {
            let read = load_list(&Sources::of_lists(files)).and_then(|(list, problems)| {
                self.refuse_shrinking(&[lines(&state.list)], &[lines(&list)])?;
                Ok((list, problems))
            });
            if let Some(list) = self.tried(FileKind::Networks, read) {
                state.list = list;
                is_new = true;
            }
        }
        if !is_new {
            return before;
        }
        let list = state.list.clone();
        let read = databases(files).and_then(|(databases, mut problems)| {
            let geography = join_list(databases, list, &Sources::of_lists(files), &mut problems);
            self.refuse_shrinking(&sizes(&before), &sizes(&geography))?;
            Ok((geography, problems))
        });
        self.tried(FileKind::Databases, read).map_or(before, Arc::new)
    }

    fn roster(&mut self, state: &mut State, files: &ReferenceFiles, geography: &Arc<Geography>) -> Arc<Roster> {
        let before = self.before.roster().clone();
        let lists = Sources::of_lists(files);
        // Lists that are joined to no database are quickly read.
        let is_asked = self.caution == Caution::TakeAnything;
        let is_placed_anew = !Arc::ptr_eq(geography, self.before.geography());
        let mut is_new = is_asked || is_placed_anew || state.is_new(FileKind::Roster, self.seen);
        if (is_asked || state.is_new(FileKind::Travel, self.seen))
            && let Some(travel) = self.tried(FileKind::Travel, load_travel(&lists))
        {
            state.travel = travel;
            is_new = true;
        }
        if !is_new {
            return before;
        }
        if let Some(builder) = &mut state.topic {
            builder.set_travel(state.travel.clone());
            let (roster, problems) = builder.build(geography);
            self.problems.extend(problems);
            return Arc::new(roster);
        }
        let read = load_roster_files(&lists).and_then(|(mut builder, mut problems)| {
            if !files.is_roster_in_topic {
                builder.set_travel(state.travel.clone());
            }
            let (roster, more) = builder.build(geography);
            self.refuse_shrinking(&[accounts(&before)], &[accounts(&roster)])?;
            problems.extend(more);
            Ok((roster, problems))
        });
        self.tried(FileKind::Roster, read).map_or(before, Arc::new)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Caution {
    RefuseShrinking,
    TakeAnything,
}

/// Key of the configuration, what is counted, and how many there are.
type Size = (&'static str, &'static str, u64);

/// A list has few lines beside a database's ranges, so each is counted for itself.
fn sizes(geography: &Geography) -> [Size; 2] {
    [
        ("geoip.files", "places", geography.places().len() as u64),
        ("geoip.files", "ranges of addresses", geography.ranges()),
    ]
}

fn lines(list: &NetworkList) -> Size {
    let records = records_of(DatasetKind::Networks, list.datasets());
    ("networks.file", "lines", records)
}

fn accounts(roster: &Roster) -> Size {
    let records = records_of(DatasetKind::Roster, roster.datasets());
    ("roster.file", "accounts", records)
}

fn records_of(kind: DatasetKind, datasets: &[Dataset]) -> u64 {
    let of_kind = datasets.iter().filter(|dataset| dataset.kind == kind);
    of_kind.map(|dataset| dataset.records).sum()
}

fn refuse_shrinking(old: &[Size], new: &[Size]) -> Result<(), LoadError> {
    for ((_, _, old), (key, what, new)) in old.iter().zip(new) {
        if new * 100 < old * REMAINING_PERCENT_MIN {
            let complaint = Complaint::new(
                format!("{new} {what} where {old} are in use"),
                "check the files; if they are meant, reload by SIGHUP, or restart",
            );
            return Err(LoadError::Refused(complaint.at(key, None)));
        }
    }
    Ok(())
}

/// Path, time of change and length of every file; unreadable ones have neither.
type Stamp = (PathBuf, Option<(SystemTime, u64)>);

type Stamps = BTreeMap<FileKind, Vec<Stamp>>;

fn stamps(files: &ReferenceFiles) -> Stamps {
    let mut databases = Vec::new();
    for path in &files.geoip {
        databases.push(stamp(path));
        let inside = std::fs::read_dir(path).into_iter().flatten().flatten();
        let mut inside: Vec<PathBuf> = inside.map(|entry| entry.path()).collect();
        inside.sort();
        databases.extend(inside.iter().map(stamp));
    }
    BTreeMap::from([
        (FileKind::Databases, databases),
        (FileKind::Networks, files.networks.iter().map(stamp).collect()),
        (FileKind::Roster, files.roster.iter().map(stamp).collect()),
        (FileKind::Travel, files.travel.iter().map(stamp).collect()),
    ])
}

fn stamp(path: &PathBuf) -> Stamp {
    let seen = std::fs::metadata(path).and_then(|metadata| Ok((metadata.modified()?, metadata.len())));
    (path.clone(), seen.ok())
}

#[cfg(test)]
mod tests;
