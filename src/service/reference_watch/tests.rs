//! Files that change, break, vanish and come back.

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

fn failures(polled: Polled) -> Vec<Failed> {
    match polled {
        Polled::Failed(failed) | Polled::Reloaded(_, failed) => failed,
        other => panic!("{other:?}"),
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
    assert!(matches!(watch.poll(), Polled::Reloaded(..)));
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
    assert!(matches!(
        &*failures(watch.poll()),
        [Failed {
            error: LoadError::Refused(_),
            ..
        }]
    ));
    assert!(
        matches!(watch.poll(), Polled::Unchanged),
        "not read again until it changes"
    );
    assert!(Arc::ptr_eq(&before, &watch.current()));
    let status = watch.status();
    assert_eq!((status.reloads, status.failures[&FileKind::Databases]), (0, 1));
    assert!(status.errors[&FileKind::Databases].contains("falsefront-demo-City.mmdb"));

    std::fs::write(&database, &sound).unwrap();
    assert!(matches!(watch.reload(), Polled::Reloaded(..)));
    assert!(watch.status().errors.is_empty());
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
    assert!(watch.status().errors.is_empty());
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
    assert!(matches!(watch.reload(), Polled::Reloaded(..)));
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
    let listed = |watch: &ReferenceWatch| records_of(DatasetKind::Networks, watch.current().geography().datasets());
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
        let failed = failures(watch.poll());
        assert!(failed[0].error.to_string().starts_with(key), "{failed:?}");
        assert!(knows(&watch, "a") && listed(&watch) == 1);
        std::fs::write(file, before).unwrap();
    }
    std::fs::write(&roster, "account\n").unwrap();
    std::fs::write(&list, "network,class,label\n").unwrap();
    assert!(matches!(watch.reload(), Polled::Reloaded(..)));
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
    assert!(matches!(watch.reload(), Polled::Reloaded(..)));
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
        listed.travel_on(day, || None).map(|travel| travel.ticket.clone())
    };
    let first_of_march = 20_513;
    assert_eq!(watch.use_topic_roster(topic()), []);
    assert_eq!(ticket(first_of_march).as_deref(), Some("T1"));
    assert!(watch.current().versions().contains("travel "));
    std::fs::write(&travel, format!("{header}a,2026-03-05,2026-03-06,FR,T2\n\n")).unwrap();
    assert!(matches!(watch.poll(), Polled::Settling));
    assert!(matches!(watch.poll(), Polled::Reloaded(..)));
    assert_eq!(ticket(first_of_march), None);
    assert_eq!(watch.use_topic_roster(topic()), []);
    assert_eq!(ticket(first_of_march + 4).as_deref(), Some("T2"));
    assert_eq!(
        watch.current().summary().datasets.len(),
        1,
        "one travel file, however often it was read"
    );
}

/// Two polls: one sees the change, one that it has settled.
fn settled(watch: &ReferenceWatch) -> Polled {
    assert!(matches!(watch.poll(), Polled::Settling));
    watch.poll()
}

fn kinds(failed: &[Failed]) -> Vec<FileKind> {
    failed.iter().map(|failed| failed.kind).collect()
}

#[test]
fn a_broken_file_does_not_hold_back_those_of_other_kinds() {
    let directory = tempfile::tempdir().unwrap();
    let mut files = files(directory.path());
    let [list, travel] = ["networks.csv", "travel.csv"].map(|name| directory.path().join(name));
    std::fs::write(&list, "network,class,label\n192.0.2.0/24,vpn,Astrill\n").unwrap();
    std::fs::write(&travel, "account,from,to,country\n").unwrap();
    files.networks = vec![list.clone()];
    files.travel = Some(travel.clone());
    let (watch, _) = ReferenceWatch::open(files.clone()).unwrap();
    let listed = || records_of(DatasetKind::Networks, watch.current().geography().datasets());
    let database = files.geoip[0].join("falsefront-demo-City.mmdb");
    let sound = std::fs::read(&database).unwrap();
    let two = "network,class,label\n192.0.2.0/24,vpn,Astrill\n198.51.100.0/24,vpn,Mullvad\n";

    // A roster that is broken, beside a new list; the list comes into use.
    std::fs::write(&files.roster[0], "no header of ours\n").unwrap();
    std::fs::write(&list, two).unwrap();
    assert_eq!(kinds(&failures(settled(&watch))), [FileKind::Roster]);
    assert!(knows(&watch, "a") && listed() == 2);
    let status = watch.status();
    assert!(status.errors[&FileKind::Roster].contains("roster.csv") && status.errors.len() == 1);

    // The roster stays broken, and is not told again; travel and databases are broken too, and a list that is sound waits.
    std::fs::write(&database, &sound[..sound.len() / 2]).unwrap();
    std::fs::write(&travel, "no header of ours\n").unwrap();
    std::fs::write(&list, format!("{two}203.0.113.0/24,vpn,Windscribe\n")).unwrap();
    assert_eq!(
        kinds(&failures(settled(&watch))),
        [FileKind::Databases, FileKind::Travel]
    );
    assert!(matches!(watch.poll(), Polled::Unchanged));
    assert_eq!(listed(), 2, "lists are joined to databases");

    // What is mended comes into use, and the list with the databases.
    std::fs::write(&database, &sound).unwrap();
    std::fs::write(&files.roster[0], "account\na\nnew\n").unwrap();
    assert_eq!(kinds(&failures(settled(&watch))), []);
    assert!(knows(&watch, "new") && listed() == 3);
    let status = watch.status();
    let failing: Vec<FileKind> = status.errors.into_keys().collect();
    assert_eq!(failing, [FileKind::Travel]);
    assert_eq!(status.failures[&FileKind::Roster], 1);
}
