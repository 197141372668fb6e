//! Small random worlds: what must hold for every stream of events, not only for those a scenario thought of.
//!
//! Worlds come from a seed. A failure prints the smallest world that shows it and the one command that replays it.

use std::collections::BTreeSet;
use std::sync::Arc;

use falsefront::enrich::Reference;
use falsefront::intake::Format;
use falsefront::pipeline::accounts::Accounts;
use falsefront::pipeline::entities::Entities;
use falsefront::pipeline::intake::Intake;
use falsefront::pipeline::settings::{DetectionSettings, IntakeSettings};
use falsefront::pipeline::{Fold, Outputs, Position, Published};
use falsefront::service::reference::ReferenceBytes;
use falsefront::service::worker::Fused;
use falsefront::service::worker::stage::LiveIntake;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use serde_json::Value;

use crate::support::core::{self, Core, HASH_KEY, Lane};
use crate::support::ocsf::{
    HOUR_MS, MINUTE_MS, START_MS, Who, failed_login, login, process, remote_desktop, tunnel, usb,
};
use crate::support::scenario::{Scenario, lines, same};

/// The seed where none is given: a test that fails only sometimes helps nobody.
const SEED: u64 = 20_260_302;

/// Runs `test` over `cases` values; `FALSEFRONT_SEED` and `FALSEFRONT_CASES` look elsewhere and longer.
pub(crate) fn check<S: Strategy>(
    name: &str,
    cases: u32,
    values: &S,
    test: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seed = number("FALSEFRONT_SEED").unwrap_or(SEED);
    let cases = number("FALSEFRONT_CASES").map_or(cases, |cases| u32::try_from(cases).unwrap());
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 400,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    if let Err(error) = runner.run(values, test) {
        panic!("{error}\nreplay: FALSEFRONT_SEED={seed} FALSEFRONT_CASES={cases} cargo test --test main {name}");
    }
}

/// Homes, a farm's line, a phone's gateway, a VPN's exit and the office: two people have each home to themselves.
const ADDRESSES: [&str; 8] = [
    "240.31.0.5",
    "240.2.0.5",
    "240.42.0.7",
    "240.42.0.7",
    "240.101.0.9",
    "244.42.0.7",
    "246.22.0.9",
    "245.22.0.9",
];
const ACCOUNTS: [&str; 4] = [
    "ann@corp.example",
    "ben@corp.example",
    "cleo@corp.example",
    "dan@corp.example",
];

/// Something somebody did.
#[derive(Clone, Debug)]
pub(crate) struct Act {
    account: usize,
    device: usize,
    address: usize,
    /// After the act before, minutes.
    gap_min: i64,
    what: What,
    /// Comes later than its time says, minutes.
    delay_min: i64,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Login,
    FailedLogin,
    Tunnel(u32),
    RemoteDesktop,
    Process(&'static str),
    Usb(&'static str),
}

pub(crate) fn acts(most: usize) -> impl Strategy<Value = Vec<Act>> {
    let what = prop_oneof![
        8 => Just(What::Login),
        1 => Just(What::FailedLogin),
        2 => (1..=3u32).prop_map(What::Tunnel),
        1 => Just(What::RemoteDesktop),
        2 => prop::sample::select(vec!["AnyDesk.exe", "rustdesk", "astrill.exe"]).prop_map(What::Process),
        1 => prop::sample::select(vec!["PiKVM", "Quayside"]).prop_map(What::Usb),
    ];
    let gap_min = prop_oneof![4 => 1..20i64, 2 => 20..240i64, 2 => 600..1_600i64];
    let act = (
        0..ACCOUNTS.len(),
        0..4usize,
        0..ADDRESSES.len(),
        gap_min,
        what,
        0..=59i64,
    )
        .prop_map(|(account, device, address, gap_min, what, delay_min)| Act {
            account,
            device,
            address,
            gap_min,
            what,
            delay_min,
        });
    vec(act, 1..most)
}

/// The acts as records, in the order of their times: time of arrival, record.
fn records(acts: &[Act]) -> Vec<(i64, Vec<u8>)> {
    let mut time_ms = START_MS;
    let record = |(number, act): (usize, &Act)| {
        time_ms += act.gap_min * MINUTE_MS;
        let (id, device) = (format!("e-{number}"), format!("lt-{}", act.device));
        let who = Who {
            id: &id,
            time_ms,
            account: ACCOUNTS[act.account],
            device: &device,
        };
        let address = ADDRESSES[act.address];
        let record = match act.what {
            What::Login => login(who, address),
            What::FailedLogin => failed_login(who, address),
            What::Tunnel(activity) => tunnel(who, activity, &format!("tunnel-{}", act.device), address),
            What::RemoteDesktop => remote_desktop(who, address),
            What::Process(name) => process(who, name),
            What::Usb(vendor) => usb(who, vendor, &["keyboard", "mouse", "mass storage"]),
        };
        (time_ms + act.delay_min * MINUTE_MS, record)
    };
    acts.iter().enumerate().map(record).collect()
}

pub(crate) fn in_order(acts: &[Act]) -> Vec<Vec<u8>> {
    records(acts).into_iter().map(|(_, record)| record).collect()
}

fn slices(records: &[Vec<u8>]) -> Vec<&[u8]> {
    records.iter().map(Vec::as_slice).collect()
}

pub(crate) fn reference() -> Arc<Reference> {
    let roster = "account,kind,employer,country,region,city,hire_date,devices\n\
        ann@corp.example,contractor,Quillstaff,US,TX,Austin,2026-02-20,ann-1;ann-2-with-a-long-name\n\
        ben@corp.example,contractor,Northbench,US,MA,Boston,,\n\
        cleo@corp.example,employee,,US,IL,Chicago,,cleo-1\n";
    let networks =
        "network,class,label\n244.0.0.0/8,mobile,\n246.0.0.0/8,vpn,Astrill\n245.22.0.0/16,corporate,Chicago\n";
    core::reference(ReferenceBytes {
        roster: vec![("roster.csv".to_owned(), roster.into())],
        networks: vec![("networks.csv".to_owned(), networks.into())],
        ..ReferenceBytes::default()
    })
}

pub(crate) fn settings() -> Arc<DetectionSettings> {
    Arc::default()
}

/// Legs of impossible travel: whose they are, and both addresses, whichever came first.
fn legs(published: &[Published]) -> BTreeSet<(String, [String; 2])> {
    let travel = published
        .iter()
        .filter(|record| record.detection == "impossible_travel");
    travel
        .map(|record| {
            let alert: Value = serde_json::from_slice(&record.value).unwrap();
            let end = |index: usize| {
                alert["evidences"][index]["src_endpoint"]["ip"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            };
            let mut ends = [end(0), end(1)];
            ends.sort();
            (record.key.clone(), ends)
        })
        .collect()
}

/// A rule that something later may excuse (a tunnel's close, another day at home) can speak before that arrives; two
/// places too far apart stay so, whichever is told first.
#[test]
fn arrival_order_within_the_allowed_lateness_loses_no_leg() {
    let reference = reference();
    check(
        "arrival_order_within_the_allowed_lateness_loses_no_leg",
        40,
        &acts(60),
        |acts| {
            let mut delayed = records(&acts);
            delayed.sort_by_key(|(arrival_ms, _)| *arrival_ms);
            let delayed: Vec<Vec<u8>> = delayed.into_iter().map(|(_, record)| record).collect();
            let ordered = core::run(&settings(), &reference, &slices(&in_order(&acts)));
            let late = core::run(&settings(), &reference, &slices(&delayed));
            let (ordered, late) = (legs(&ordered), legs(&late));
            prop_assert!(ordered.is_subset(&late), "legs lost: {:?}", ordered.difference(&late));
            Ok(())
        },
    );
}

#[test]
fn a_restart_anywhere_is_as_if_none_had_been() {
    let reference = reference();
    let worlds = (acts(40), vec(any::<prop::sample::Index>(), 1..4));
    check(
        "a_restart_anywhere_is_as_if_none_had_been",
        24,
        &worlds,
        |(acts, restarts)| {
            let restarts: BTreeSet<usize> = restarts.iter().map(|index| index.index(acts.len())).collect();
            let mut whole = Core::new(&settings(), &reference, 2);
            let mut broken = Core::new(&settings(), &reference, 2);
            for (number, record) in in_order(&acts).iter().enumerate() {
                let expected = whole.record(record);
                prop_assert_eq!(lines(&expected), lines(&broken.record(record)));
                if restarts.contains(&number) {
                    broken.restart();
                }
            }
            prop_assert!(whole.state() == broken.state(), "the state differs at the end");
            Ok(())
        },
    );
}

/// A rolling checkpoint: chunks as they were written last, each with the offset it stands at.
struct Checkpoint {
    chunks: Vec<(i64, Vec<u8>)>,
}

impl Checkpoint {
    fn write(&mut self, chunk: u16, next: i64, fold: &impl Fold) {
        let mut bytes = Vec::new();
        fold.write_chunk(chunk, &mut bytes);
        self.chunks[usize::from(chunk)] = (next, bytes);
    }

    /// The state that a restore reaches: the chunks, and the log from each chunk's own offset on.
    fn restore<F: Fold>(&self, mut fresh: F, log: &[(Position, Vec<u8>)]) -> (u128, Vec<u8>) {
        for (chunk, (_, bytes)) in (0..).zip(&self.chunks).filter(|(_, (_, bytes))| !bytes.is_empty()) {
            fresh.read_chunk(chunk, bytes).unwrap();
        }
        let resume: Vec<i64> = self.chunks.iter().map(|(offset, _)| *offset).collect();
        for (position, record) in log {
            fresh.refold(*position, record, &resume).unwrap();
        }
        core::state_of(&fresh)
    }
}

/// Writes a few chunks of a lane, round and round, as a worker does with each commit.
fn roll<F: Fold>(checkpoint: &mut Checkpoint, lane: &Lane<F>, round: usize, step: usize) {
    let count = usize::from(lane.fold.chunk_count());
    for chunk in (0..step).map(|n| (round * step + n) % count) {
        checkpoint.write(u16::try_from(chunk).unwrap(), lane.next(), &lane.fold);
    }
}

#[test]
fn chunks_of_different_ages_and_the_log_give_the_state_back() {
    let reference = reference();
    let worlds = (acts(60), 1..40usize);
    check(
        "chunks_of_different_ages_and_the_log_give_the_state_back",
        24,
        &worlds,
        |(acts, step)| {
            let mut core = Core::new(&settings(), &reference, 1);
            let empty = || Checkpoint {
                chunks: vec![(0, Vec::new()); 256],
            };
            let (mut accounts, mut entities) = (empty(), empty());
            for (round, record) in in_order(&acts).iter().enumerate() {
                core.record(record);
                roll(&mut accounts, &core.accounts[0], round, step);
                roll(&mut entities, &core.entities[0], round, step);
            }
            let restored = accounts.restore(Accounts::new(settings(), HASH_KEY), &core.accounts[0].log);
            prop_assert!(restored == core::state_of(&core.accounts[0].fold), "accounts differ");
            let restored = entities.restore(Entities::new(settings()), &core.entities[0].log);
            prop_assert!(restored == core::state_of(&core.entities[0].fold), "entities differ");
            Ok(())
        },
    );
}

#[test]
fn what_others_made_a_network_tell_comes_back_from_chunks_of_different_ages() {
    let claim = "fires_with_whoever_signs_in_after_the_wait";
    let all = Scenario::all();
    let scenario = all.iter().find(|scenario| scenario.claim == claim).unwrap();
    for step in [1, 5, 23, 64] {
        let mut core = Core::new(&scenario.settings, &scenario.reference, 1);
        let mut checkpoint = Checkpoint {
            chunks: vec![(0, Vec::new()); 256],
        };
        for (round, record) in scenario.records().into_iter().enumerate() {
            core.record(record);
            roll(&mut checkpoint, &core.entities[0], round, step);
            let fresh = Entities::new(Arc::clone(&scenario.settings));
            let restored = checkpoint.restore(fresh, &core.entities[0].log);
            assert!(
                restored == core::state_of(&core.entities[0].fold),
                "by {step}, after {round}"
            );
        }
    }
}

#[test]
fn partitions_and_jobs_do_not_show() {
    let reference = reference();
    check(
        "partitions_and_jobs_do_not_show",
        16,
        &(acts(60), 1..9u32),
        |(acts, partitions)| {
            let records = in_order(&acts);
            let records = slices(&records);
            let mut core = Core::new(&settings(), &reference, partitions);
            let found: Vec<Published> = records.iter().flat_map(|record| core.record(record)).collect();
            let expected = lines(&core::run(&settings(), &reference, &records));
            same(&expected, &lines(&found)).map_err(TestCaseError::fail)?;
            let replayed = |jobs| lines(&core::replay(&settings(), &reference, &records, jobs).alerts);
            let (one, three) = (replayed(1), replayed(3));
            same(&one, &three).map_err(TestCaseError::fail)?;
            // Alerts that one event raises in two partitions of the entities stage have no order between them.
            let sorted = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<String>>();
            prop_assert!(sorted(&expected) == sorted(&one), "replay and service differ");
            Ok(())
        },
    );
}

#[test]
fn a_record_delivered_again_changes_nothing() {
    let reference = reference();
    let worlds = (acts(50), vec((any::<prop::sample::Index>(), 1..20usize), 1..10));
    check(
        "a_record_delivered_again_changes_nothing",
        24,
        &worlds,
        |(acts, again)| {
            let records = in_order(&acts);
            let mut core = Core::new(&settings(), &reference, core::PARTITIONS);
            let mut found = Vec::new();
            for (number, record) in records.iter().enumerate() {
                found.extend(core.record(record));
                for (index, later) in &again {
                    let original = index.index(records.len());
                    if original + later == number {
                        found.extend(core.record(&records[original]));
                    }
                }
            }
            prop_assert_eq!(
                lines(&core::run(&settings(), &reference, &slices(&records))),
                lines(&found)
            );
            Ok(())
        },
    );
}

/// Changes to bytes: where, to what; or cut off there.
pub(crate) fn damage() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, bool)>> {
    vec(
        (any::<prop::sample::Index>(), any::<u8>(), prop::bool::weighted(0.1)),
        1..4,
    )
}

pub(crate) fn damaged(mut bytes: Vec<u8>, damage: &[(prop::sample::Index, u8, bool)]) -> Vec<u8> {
    for (index, value, is_cut) in damage {
        if bytes.is_empty() {
            break;
        }
        let at = index.index(bytes.len());
        if *is_cut {
            bytes.truncate(at);
        } else {
            bytes[at] = *value;
        }
    }
    bytes
}

#[test]
fn damaged_bytes_are_refused_or_folded_but_never_panic() {
    let reference = reference();
    check(
        "damaged_bytes_are_refused_or_folded_but_never_panic",
        48,
        &(acts(30), damage()),
        |(acts, damage)| {
            let mut core = Core::new(&settings(), &reference, 1);
            for record in in_order(&acts) {
                core.record(&record);
            }
            let at = Position {
                offset: 1_000,
                append_ms: START_MS,
            };
            let mut accounts = Accounts::new(settings(), HASH_KEY);
            let mut entities = Entities::new(settings());
            for (_, record) in &core.accounts[0].log {
                let _ = accounts.fold(at, &damaged(record.clone(), &damage), &mut Outputs::default());
            }
            for (_, link) in &core.entities[0].log {
                let _ = entities.fold(at, &damaged(link.clone(), &damage), &mut Outputs::default());
            }
            damaged_chunks(&core.accounts[0].fold, &mut accounts, &damage)?;
            damaged_chunks(&core.entities[0].fold, &mut entities, &damage)
        },
    );
}

/// A damaged chunk is refused and leaves nothing, or is read as a chunk that can be written again.
fn damaged_chunks<F: Fold>(
    from: &F,
    into: &mut F,
    damage: &[(prop::sample::Index, u8, bool)],
) -> Result<(), TestCaseError> {
    for chunk in 0..from.chunk_count() {
        let (mut bytes, mut empty) = (Vec::new(), Vec::new());
        from.write_chunk(chunk, &mut bytes);
        let result = into.read_chunk(chunk, &damaged(bytes, damage));
        into.write_chunk(chunk, &mut empty);
        let is_empty = empty.iter().skip(1).all(|byte| *byte == 0);
        prop_assert!(result.is_ok() || is_empty, "a refused chunk left something");
    }
    Ok(())
}

/// All that a keyed source leaves behind: digest, chunks, links, alerts, records refused.
#[derive(Debug, PartialEq)]
struct Folded {
    digest: u128,
    chunks: Vec<Vec<u8>>,
    links: Vec<Vec<u8>>,
    alerts: Vec<Vec<u8>>,
    refused: Vec<i64>,
}

fn fused(reference: &Arc<Reference>, packed_bytes_max: usize) -> Fused {
    let settings = IntakeSettings {
        partitions: 1,
        packed_bytes_max,
        ..IntakeSettings::default()
    };
    let intake = Intake::new(settings, HASH_KEY, Arc::clone(reference));
    let shared = Arc::clone(reference);
    let take = LiveIntake::new(intake, Arc::new(move || Arc::clone(&shared)));
    let accounts = Accounts::new(Arc::default(), HASH_KEY);
    Fused::new(Box::new(take), Box::new(accounts), Format::Ocsf, "events", 0)
}

fn folded(fold: &Fused, outputs: Outputs) -> Folded {
    let chunk = |chunk| {
        let mut bytes = Vec::new();
        fold.write_chunk(chunk, &mut bytes);
        bytes
    };
    Folded {
        digest: fold.digest(),
        chunks: (0..fold.chunk_count()).map(chunk).collect(),
        links: outputs.links.iter().map(|(_, link)| link.to_vec()).collect(),
        alerts: outputs.alerts.into_iter().map(|alert| alert.value).collect(),
        refused: outputs.dead_letters.iter().map(|letter| letter.offset).collect(),
    }
}

#[test]
fn a_keyed_source_is_folded_alike_in_any_batches() {
    let reference = reference();
    check(
        "a_keyed_source_is_folded_alike_in_any_batches",
        48,
        // The shortest packed records hold one observation or two: events of one record come in several of them.
        &(
            acts(120),
            2..50usize,
            1..20usize,
            prop_oneof![Just(150), Just(600), Just(1 << 18)],
        ),
        |(acts, batch, together, packed)| {
            // One event a record, or two, or none that can be used.
            let mut clock_ms = i64::MIN;
            let mut source = Vec::new();
            for three in records(&acts).chunks(3) {
                clock_ms = three
                    .iter()
                    .fold(clock_ms, |clock, (arrival_ms, _)| clock.max(*arrival_ms));
                let texts: Vec<&str> = three
                    .iter()
                    .map(|(_, text)| std::str::from_utf8(text).unwrap())
                    .collect();
                source.push((clock_ms, format!("[{}]", texts[1..].join(",")).into_bytes()));
                source.push((clock_ms, texts[0].as_bytes().to_vec()));
                source.push((clock_ms, b"{".to_vec()));
            }
            let positions = |offset: usize| Position {
                offset: i64::try_from(offset).unwrap(),
                append_ms: source[offset].0,
            };
            let positioned: Vec<(Position, &[u8])> = source
                .iter()
                .enumerate()
                .map(|(offset, (_, record))| (positions(offset), record.as_slice()))
                .collect();
            let run = |batch: usize, together: usize, packed: usize| {
                let (mut fold, mut outputs) = (fused(&reference, packed), Outputs::default());
                for polled in positioned.chunks(batch) {
                    for records in polled.chunks(together) {
                        fold.fold_each(records, &mut outputs, &mut |_, error| panic!("{error}"))
                            .unwrap();
                    }
                    fold.settle(&mut outputs).unwrap();
                }
                folded(&fold, outputs)
            };
            let apart = run(1, 1, 1 << 18);
            prop_assert_eq!(&run(batch, together, packed), &apart);
            prop_assert_eq!(&run(usize::MAX, together, packed), &apart);
            let (mut fold, mut outputs) = (fused(&reference, packed), Outputs::default());
            for (position, record) in &positioned {
                fold.fold(*position, record, &mut outputs).unwrap();
            }
            fold.settle(&mut outputs).unwrap();
            prop_assert_eq!(&folded(&fold, outputs), &apart);
            let mut again = fused(&reference, packed);
            let resume = vec![0; usize::from(again.chunk_count())];
            for records in positioned.chunks(together) {
                again
                    .refold_each(records, &resume, &mut |_, error| panic!("{error}"))
                    .unwrap();
            }
            let again = folded(&again, Outputs::default());
            prop_assert_eq!((again.digest, again.chunks), (apart.digest, apart.chunks));
            Ok(())
        },
    );
}

/// Tools, sessions and alerts are forgotten under one lower bound of their times, which a restore finds anew.
#[test]
fn what_is_too_old_goes_alike_with_and_without_restarts() {
    let mut settings = DetectionSettings::default();
    settings.window.retention_days = 3;
    let (settings, reference) = (Arc::new(settings), reference());
    let [mut whole, mut broken] = [(); 2].map(|()| Core::new(&settings, &reference, 1));
    let home = "240.42.0.7";
    let mut alerts = 0;
    for number in 0..36_i64 {
        let id = format!("e-{number}");
        let who = Who {
            id: &id,
            time_ms: START_MS + number * 6 * HOUR_MS,
            account: "ann@corp.example",
            device: "lt-1",
        };
        let soon = Who {
            id: &format!("{id}-b"),
            time_ms: who.time_ms + 10 * MINUTE_MS,
            ..who
        };
        let records = match number {
            0 => vec![login(who, home), login(soon, "240.101.0.9")],
            1 => vec![process(who, "AnyDesk.exe"), tunnel(soon, 1, "s-1", home)],
            _ => vec![login(who, home)],
        };
        for record in records {
            let expected = whole.record(&record);
            assert_eq!(lines(&expected), lines(&broken.record(&record)), "{number}");
            alerts += expected.len();
            broken.restart();
            assert_eq!(whole.state(), broken.state(), "{number}");
        }
        let (_, accounts) = core::state_of(&whole.accounts[0].fold);
        let holds_tool = accounts.windows(7).any(|bytes| bytes.eq_ignore_ascii_case(b"anydesk"));
        // Three days, an hour of lateness, and the tool was seen six hours after the first.
        assert_eq!(holds_tool, (1..=13).contains(&number), "{number}");
    }
    assert!(alerts > 0);
}
