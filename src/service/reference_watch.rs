//! Keeps reference data fresh while the service runs: polls the files, reads what changed, swaps it whole.
//!
//! | what happens | what is in use |
//! |---|---|
//! | nothing changed | the same |
//! | a file changed | the same, until two polls in a row see the same files: it may still be being written |
//! | it has settled and is sound | the new |
//! | it is broken, or far smaller than before | the same until SIGHUP; said in the log, the status and the metrics |

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;

use crate::enrich::geography::Geography;
use crate::enrich::problem::{Complaint, Problem};
use crate::enrich::roster::Roster;
use crate::enrich::roster_builder::RosterBuilder;
use crate::enrich::{Dataset, DatasetKind, Reference};

use super::reference::{LoadError, ReferenceFiles, Sources, load, load_geography, load_roster, load_travel};

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
    refused: Option<Stamps>,
    /// What was last read in vain, if nothing was used since.
    failed: Option<Stamps>,
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
    pub failures: u64,
    /// Why the last attempt failed; `None` if it succeeded.
    pub last_error: Option<String>,
    /// When the data in use was loaded.
    pub loaded_at: Option<SystemTime>,
    /// Lines left out of the data in use.
    pub problems: usize,
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
    /// Newer data is in use; the problems are lines left out.
    Reloaded(Vec<Problem>),
    /// Newer data cannot be used; the older stays.
    Failed(LoadError),
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
        let state = State {
            loaded,
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
        if seen == state.loaded {
            state.settling = None;
            // Files that could not be read may have the same stamps as when they could.
            if state.failed.take_if(|failed| *failed != seen).is_none() {
                return Polled::Unchanged;
            }
            state.refused = None;
            state.status.last_error = None;
            return Polled::Mended;
        }
        if Some(&seen) == state.refused.as_ref() {
            state.settling = None;
            return Polled::Unchanged;
        }
        if Some(&seen) != state.settling.as_ref() {
            state.settling = Some(seen);
            return Polled::Settling;
        }
        self.replace(&mut state, seen, Caution::RefuseShrinking)
    }

    /// Reads everything that changed at once, without waiting for it to settle, and uses it even where it is far
    /// smaller than before: somebody asked for it.
    pub fn reload(&self) -> Polled {
        let seen = stamps(&self.files);
        let mut state = self.state();
        self.replace(&mut state, seen, Caution::TakeAnything)
    }

    /// Uses the accounts of a compacted topic instead of the roster files' from here on. Travel comes from its file
    /// all the same. Returns the records and lines left out.
    pub fn use_topic_roster(&self, mut builder: RosterBuilder) -> Vec<Problem> {
        let mut state = self.state();
        let mut problems = Vec::new();
        if let Some(before) = state.topic.take() {
            builder.set_travel(before);
        } else {
            // It could be read when everything was loaded; its own lines were told then.
            match Sources::of_files(&self.files).and_then(|sources| load_travel(&sources)) {
                Ok((travel, _)) => builder.set_travel(travel),
                Err(LoadError::Unreadable(problem) | LoadError::Refused(problem)) => problems.push(problem),
            }
        }
        let geography = self.current.load().geography().clone();
        let (roster, more) = builder.build(&geography);
        problems.extend(more);
        self.current
            .store(Arc::new(Reference::new(geography, Arc::new(roster))));
        state.topic = Some(builder);
        problems
    }

    fn replace(&self, state: &mut State, seen: Stamps, caution: Caution) -> Polled {
        state.settling = None;
        match self.read(state, &seen, caution) {
            Ok((reference, problems)) => {
                tracing::info!(
                    versions = reference.versions(),
                    problems = problems.len(),
                    "reference data reloaded"
                );
                self.current.store(Arc::new(reference));
                state.loaded = seen;
                state.refused = None;
                state.failed = None;
                state.status.reloads += 1;
                state.status.last_error = None;
                state.status.loaded_at = Some(SystemTime::now());
                state.status.problems = problems.len();
                Polled::Reloaded(problems)
            }
            Err(error) => {
                tracing::warn!(%error, "reference data not reloaded; the older stays in use");
                state.status.failures += 1;
                state.status.last_error = Some(error.to_string());
                state.failed = Some(seen.clone());
                state.refused = matches!(error, LoadError::Refused(_)).then_some(seen);
                Polled::Failed(error)
            }
        }
    }

    fn read(&self, state: &mut State, seen: &Stamps, caution: Caution) -> Result<(Reference, Vec<Problem>), LoadError> {
        let sources = Sources::of_files(&self.files)?;
        let current = self.current.load();
        let (geography, mut problems) = if seen.geography == state.loaded.geography {
            (current.geography().clone(), Vec::new())
        } else {
            let (geography, problems) = load_geography(&sources)?;
            if caution == Caution::RefuseShrinking {
                refuse_shrinking(&sizes(current.geography()), &sizes(&geography))?;
            }
            (Arc::new(geography), problems)
        };
        let (roster, more): (Roster, _) = match &mut state.topic {
            Some(builder) => {
                let (travel, found) = load_travel(&sources)?;
                problems.extend(found);
                builder.set_travel(travel);
                builder.build(&geography)
            }
            None => {
                let (roster, found) = load_roster(&sources, &geography)?;
                if caution == Caution::RefuseShrinking {
                    let accounts = |roster: &Roster| {
                        let records = records_of(DatasetKind::Roster, roster.datasets());
                        ("roster.file", "accounts", records)
                    };
                    refuse_shrinking(&[accounts(current.roster())], &[accounts(&roster)])?;
                }
                (roster, found)
            }
        };
        problems.extend(more);
        Ok((Reference::new(geography, Arc::new(roster)), problems))
    }

    /// A panic while the lock was held leaves the state as it was: every field is set at once.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
fn sizes(geography: &Geography) -> [Size; 3] {
    let listed = records_of(DatasetKind::Networks, geography.datasets());
    [
        ("geoip.files", "places", geography.places().len() as u64),
        ("networks.file", "lines", listed),
        ("geoip.files", "ranges of addresses", geography.ranges()),
    ]
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

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Stamps {
    geography: Vec<Stamp>,
    roster: Vec<Stamp>,
}

fn stamps(files: &ReferenceFiles) -> Stamps {
    let mut geography: Vec<Stamp> = files.networks.iter().map(stamp).collect();
    for path in &files.geoip {
        geography.push(stamp(path));
        let inside = std::fs::read_dir(path).into_iter().flatten().flatten();
        let mut inside: Vec<PathBuf> = inside.map(|entry| entry.path()).collect();
        inside.sort();
        geography.extend(inside.iter().map(stamp));
    }
    Stamps {
        geography,
        roster: files.roster.iter().chain(&files.travel).map(stamp).collect(),
    }
}

fn stamp(path: &PathBuf) -> Stamp {
    let seen = std::fs::metadata(path).and_then(|metadata| Ok((metadata.modified()?, metadata.len())));
    (path.clone(), seen.ok())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::service::demo_geoip::demo_databases;

    fn files(directory: &Path) -> ReferenceFiles {
        let databases = directory.join("geoip");
        std::fs::create_dir(&databases).unwrap();
        for (name, bytes) in demo_databases().unwrap() {
            std::fs::write(databases.join(name), bytes).unwrap();
        }
        let roster = directory.join("roster.csv");
        std::fs::write(&roster, "account\na\n").unwrap();
        ReferenceFiles {
            geoip: vec![databases],
            roster: vec![roster],
            ..ReferenceFiles::default()
        }
    }

    fn knows(watch: &ReferenceWatch, name: &str) -> bool {
        watch.current().resolve(std::iter::once(name)).is_some()
    }

    #[test]
    fn a_change_is_used_once_it_has_settled_and_databases_are_not_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let files = files(directory.path());
        let (watch, problems) = ReferenceWatch::open(files.clone()).unwrap();
        assert_eq!(problems, []);
        assert!(matches!(watch.poll(), Polled::Unchanged));
        let before = watch.current();
        std::fs::write(&files.roster[0], "account\na\nnew\n").unwrap();
        assert!(matches!(watch.poll(), Polled::Settling));
        assert!(!knows(&watch, "new"));
        assert!(matches!(watch.poll(), Polled::Reloaded(_)));
        assert!(knows(&watch, "new"));
        assert!(Arc::ptr_eq(before.geography(), watch.current().geography()));
        assert!(matches!(watch.poll(), Polled::Unchanged));
    }

    #[test]
    fn a_broken_file_leaves_the_old_data_in_use_and_says_so_once() {
        let directory = tempfile::tempdir().unwrap();
        let files = files(directory.path());
        let (watch, _) = ReferenceWatch::open(files.clone()).unwrap();
        let before = watch.current();
        let database = files.geoip[0].join("falsefront-demo-City.mmdb");
        let sound = std::fs::read(&database).unwrap();
        std::fs::write(&database, &sound[..sound.len() / 2]).unwrap();
        assert!(matches!(watch.poll(), Polled::Settling));
        assert!(matches!(watch.poll(), Polled::Failed(LoadError::Refused(_))));
        assert!(
            matches!(watch.poll(), Polled::Unchanged),
            "not read again until it changes"
        );
        assert!(Arc::ptr_eq(&before, &watch.current()));
        let status = watch.status();
        assert_eq!((status.reloads, status.failures), (0, 1));
        assert!(status.last_error.unwrap().contains("falsefront-demo-City.mmdb"));

        std::fs::write(&database, &sound).unwrap();
        assert!(matches!(watch.reload(), Polled::Reloaded(_)));
        assert_eq!(watch.status().last_error, None);
    }

    #[test]
    fn a_file_that_vanished_and_came_back_is_no_failure_any_more() {
        let directory = tempfile::tempdir().unwrap();
        let files = files(directory.path());
        let (watch, _) = ReferenceWatch::open(files.clone()).unwrap();
        let aside = directory.path().join("aside");
        std::fs::rename(&files.roster[0], &aside).unwrap();
        assert!(matches!(watch.poll(), Polled::Settling));
        assert!(matches!(watch.poll(), Polled::Failed(_)));
        std::fs::rename(&aside, &files.roster[0]).unwrap();
        assert!(matches!(watch.poll(), Polled::Mended));
        assert_eq!(watch.status().last_error, None);
        assert!(matches!(watch.poll(), Polled::Unchanged));
    }

    #[test]
    fn databases_that_vanish_are_taken_for_an_accident_until_somebody_asks() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = files(directory.path());
        let list = directory.path().join("networks.csv");
        std::fs::write(&list, "network,class,label\n").unwrap();
        files.networks = vec![list.clone()];
        files.geoip = vec![files.geoip[0].join("falsefront-demo-City.mmdb")];
        let (watch, _) = ReferenceWatch::open(files).unwrap();
        let full = watch.current().summary().places;
        let small = watch.files.geoip[0].with_file_name("falsefront-demo-ASN.mmdb");
        std::fs::copy(small, &watch.files.geoip[0]).unwrap();
        watch.poll();
        assert!(matches!(watch.poll(), Polled::Failed(_)), "no city database is left");
        assert_eq!(watch.current().summary().places, full);
        assert!(matches!(watch.reload(), Polled::Reloaded(_)));
        assert_eq!(watch.current().summary().places, 0);
    }

    #[test]
    fn an_emptied_roster_or_list_is_taken_for_an_accident_until_somebody_asks() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = files(directory.path());
        let list = directory.path().join("networks.csv");
        std::fs::write(&list, "network,class,label\n192.0.2.0/24,vpn,Astrill\n").unwrap();
        files.networks = vec![list.clone()];
        let roster = files.roster[0].clone();
        let (watch, _) = ReferenceWatch::open(files).unwrap();
        let listed = |watch: &ReferenceWatch| sizes(watch.current().geography())[1].2;
        for (file, header, key) in [
            (&roster, "account\n", "roster.file: 0 accounts where 1 are in use"),
            (
                &list,
                "network,class,label\n",
                "networks.file: 0 lines where 1 are in use",
            ),
        ] {
            let before = std::fs::read(file).unwrap();
            std::fs::write(file, header).unwrap();
            assert!(matches!(watch.poll(), Polled::Settling));
            let Polled::Failed(error) = watch.poll() else {
                panic!("emptied")
            };
            assert!(error.to_string().starts_with(key), "{error}");
            assert!(knows(&watch, "a") && listed(&watch) == 1);
            std::fs::write(file, before).unwrap();
        }
        std::fs::write(&roster, "account\n").unwrap();
        std::fs::write(&list, "network,class,label\n").unwrap();
        assert!(matches!(watch.reload(), Polled::Reloaded(_)));
        assert!(!knows(&watch, "a") && listed(&watch) == 0);
    }

    #[test]
    fn a_topic_s_roster_outlives_a_reload() {
        let directory = tempfile::tempdir().unwrap();
        let files = files(directory.path());
        let (watch, _) = ReferenceWatch::open(files).unwrap();
        let mut builder = RosterBuilder::default();
        builder
            .upsert("ref.roster", "from.topic", b"{\"city\":\"Austin\",\"country\":\"US\"}")
            .unwrap();
        assert_eq!(watch.use_topic_roster(builder), []);
        assert!(matches!(watch.reload(), Polled::Reloaded(_)));
        assert!(knows(&watch, "from.topic") && !knows(&watch, "a"));
    }

    #[test]
    fn travel_from_a_file_is_joined_to_a_topic_s_roster_and_read_again_when_it_changes() {
        let directory = tempfile::tempdir().unwrap();
        let travel = directory.path().join("travel.csv");
        let header = "account,from,to,country,ticket\n";
        std::fs::write(&travel, format!("{header}a,2026-03-01,2026-03-02,DE,T1\n")).unwrap();
        let files = ReferenceFiles {
            travel: Some(travel.clone()),
            is_roster_in_topic: true,
            ..ReferenceFiles::default()
        };
        let (watch, problems) = ReferenceWatch::open(files).unwrap();
        assert_eq!(problems, [], "whom it is about is not known yet");
        let topic = || {
            let mut builder = RosterBuilder::default();
            builder.upsert("ref.roster", "a", b"{\"country\":\"US\"}").unwrap();
            builder
        };
        let ticket = |day: i32| {
            let current = watch.current();
            let listed = current.resolve(std::iter::once("a")).unwrap();
            listed.travel_on(day).map(|travel| travel.ticket.clone())
        };
        let first_of_march = 20_513;
        assert_eq!(watch.use_topic_roster(topic()), []);
        assert_eq!(ticket(first_of_march).as_deref(), Some("T1"));
        assert!(watch.current().versions().contains("travel "));
        std::fs::write(&travel, format!("{header}a,2026-03-05,2026-03-06,FR,T2\n\n")).unwrap();
        assert!(matches!(watch.poll(), Polled::Settling));
        assert!(matches!(watch.poll(), Polled::Reloaded(_)));
        assert_eq!(ticket(first_of_march), None);
        assert_eq!(watch.use_topic_roster(topic()), []);
        assert_eq!(ticket(first_of_march + 4).as_deref(), Some("T2"));
        assert_eq!(
            watch.current().summary().datasets.len(),
            1,
            "one travel file, however often it was read"
        );
    }
}
