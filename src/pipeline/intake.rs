//! Intake: a source's record becomes observations, packed by the partition of their account.
//!
//! Stateless: decode, resolve the account, enrich. Everything after it is a fold over what it wrote.

use std::net::IpAddr;
use std::sync::Arc;

use arrayvec::ArrayVec;

use super::Counts;
use super::packed::{Joined, Packer};
use super::settings::IntakeSettings;
use crate::enrich::{Located, NEAR_MAX, Reference, Rostered};
use crate::intake::address::is_public;
use crate::intake::reason::TOMBSTONE;
use crate::intake::{Decoder, Format, Rejection};
use crate::model::event_id::EventId;
use crate::model::key::HashKey;
use crate::model::{Account, Claim, Event};
use crate::window::day_of;

/// A record as the source's topic (or file) holds it.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'a> {
    /// Topic, or file name.
    pub topic: &'a str,
    /// Partition; 0 for a file.
    pub partition: i32,
    /// Offset, or line number from 1 for a file.
    pub offset: i64,
    /// When the log took it, ms; not later than now, whatever a producer's clock wrote.
    pub append_ms: i64,
    /// The value; `None` for a tombstone.
    pub value: Option<&'a [u8]>,
}

/// What intake made of the records since the last flush.
#[derive(Debug, Default)]
pub struct IntakeOutputs {
    /// Packed observations, in order.
    pub observations: Vec<PackedRecord>,
    /// Records that could not be used.
    pub dead_letters: Vec<DeadLetter>,
    /// What happened, for the metrics.
    pub counts: Counts,
}

/// One record for the `observations` topic.
#[derive(Clone, Debug, PartialEq)]
pub struct PackedRecord {
    /// Partition of `observations`.
    pub partition: u32,
    /// See [`super::packed`].
    pub value: Vec<u8>,
    /// Observations inside.
    pub count: u32,
    /// Of each what [`Intake::keep`] was asked for.
    pub beside: Vec<i64>,
}

/// What is kept of each observation beside the packed records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Beside {
    /// Nothing.
    #[default]
    Nothing,
    /// Its event time, ms: for who orders observations before they are folded.
    Time,
    /// The offset of its record: for who folds each at the position of that.
    Offset,
}

/// A record, or one event of it, that could not be used. Its bytes are the caller's; this says which and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Topic of the record.
    pub topic: String,
    /// Partition of the record.
    pub partition: i32,
    /// Offset of the record.
    pub offset: i64,
    /// Index of the event inside the record, if only one of several is meant.
    pub index: Option<u32>,
    /// Reason from a fixed set: `malformed_json`, `account_masked` …
    pub reason: &'static str,
    /// What, where and what to do; never quotes a value.
    pub detail: String,
}

/// Reasons that say nothing is wrong: the event is of no interest, so it is counted and not dead-lettered.
pub(crate) const INTENTIONAL: [&str; 5] = [
    TOMBSTONE,
    "kind_unsupported",
    "actor_not_a_person",
    "not_a_remote_access_tool",
    "account_machine",
];

/// Dead letters of one record at most; further ones of the same record are counted only.
const DEAD_LETTERS_PER_RECORD_MAX: u32 = 16;

fn too_many_events() -> Rejection {
    let detail = "beyond intake.events_per_record_max; send fewer events a record, or raise it".to_owned();
    Rejection {
        reason: "too_many_events",
        detail,
    }
}

/// The intake stage.
pub struct Intake {
    settings: IntakeSettings,
    reference: Arc<Reference>,
    hash_key: HashKey,
    unknown_claim: Claim,
    packers: Vec<Option<Packer>>,
    beside: Beside,
    decoder: Decoder,
    outputs: IntakeOutputs,
    often: Often,
}

/// Events that wait for one another, so that what is known of their accounts and addresses comes near together.
type Waiting<'r> = ArrayVec<Decoded<'r>, NEAR_MAX>;

/// Spells a device's id in lower case: one product gives a GUID in upper case, another in lower. A fingerprint is no
/// product's to spell.
fn fold_case_of_device(event: &mut Event<'_>) {
    if let Some(device) = event.device.as_mut().filter(|device| !device.fingerprint)
        && device.id.bytes().any(|byte| byte.is_ascii_uppercase())
    {
        device.id.to_mut().make_ascii_lowercase();
    }
}

/// An event, its index in its record, and the record.
struct Decoded<'r> {
    event: Event<'r>,
    index: u32,
    record: &'r RawRecord<'r>,
}

/// Where an event came from.
#[derive(Clone, Copy, Default)]
struct Placed {
    /// Its source address, if it is a public one. A private address names a different machine in every network, so it can be
    /// neither a place nor a key; but the operator's list may say that it is an office's.
    ip: Option<IpAddr>,
    located: Located,
}

impl Placed {
    #[inline]
    fn of(event: &Event<'_>, reference: &Reference) -> Self {
        let ip = event.source_ip.filter(|ip| is_public(*ip));
        let mut located = event.source_ip.map(|ip| reference.locate(ip)).unwrap_or_default();
        if ip.is_none() {
            located.place = None;
        }
        Self { ip, located }
    }
}

/// What happens with every event, counted by name only when it is told.
#[derive(Debug, Default)]
struct Often {
    received: u64,
    decoded: u64,
    without_address: u64,
    located: u64,
    not_located: u64,
}

impl Often {
    fn tell(&mut self, counts: &mut Counts) {
        let Self {
            received,
            decoded,
            without_address,
            located,
            not_located,
        } = std::mem::take(self);
        counts.add_many("events_received", "all", received);
        counts.add_many("events_decoded", "all", decoded);
        counts.add_many("geoip_lookups", "no_public_address", without_address);
        counts.add_many("geoip_lookups", "hit", located);
        counts.add_many("geoip_lookups", "miss", not_located);
    }
}

impl Intake {
    /// An intake that packs for `settings.partitions` partitions.
    #[must_use]
    pub fn new(settings: IntakeSettings, hash_key: HashKey, reference: Arc<Reference>) -> Self {
        let partitions = usize::try_from(settings.partitions.max(1)).unwrap_or(1);
        Self {
            settings,
            reference,
            hash_key,
            unknown_claim: Claim::default(),
            packers: (0..partitions).map(|_| None).collect(),
            beside: Beside::Nothing,
            decoder: Decoder::default(),
            outputs: IntakeOutputs::default(),
            often: Often::default(),
        }
    }

    /// Keeps this of each observation beside the packed records.
    pub fn keep(&mut self, beside: Beside) {
        self.beside = beside;
    }

    /// Uses `reference` from the next record on.
    pub fn swap_reference(&mut self, reference: Arc<Reference>) {
        if !Arc::ptr_eq(&self.reference, &reference) {
            self.finish_packers();
            // They name the builds of the data.
            self.packers.fill_with(|| None);
            self.reference = reference;
        }
    }

    /// Takes records of a source with that format. Many at a time cost less than each by itself: what is known of their
    /// accounts and addresses comes from memory side by side.
    pub fn records(&mut self, format: Format, records: &[RawRecord<'_>]) {
        let mut waiting = Waiting::new();
        for record in records {
            self.decode(format, record, &mut waiting);
        }
        self.join(&mut waiting);
    }

    /// Takes one record of a source with that format.
    pub fn record(&mut self, format: Format, record: RawRecord<'_>) {
        self.records(format, &[record]);
    }

    fn decode<'r>(&mut self, format: Format, record: &'r RawRecord<'r>, waiting: &mut Waiting<'r>) {
        let Some(value) = record.value else {
            self.often.received += 1;
            let reason = TOMBSTONE;
            let detail = "the record has no value".to_owned();
            self.refuse(record, None, &Rejection { reason, detail });
            return;
        };
        let mut refused = 0;
        let mut decoder = std::mem::take(&mut self.decoder);
        let outcome = decoder.decode(format, value, &mut |index, event| {
            self.often.received += 1;
            let is_beyond = usize::try_from(index).is_ok_and(|index| index >= self.settings.events_per_record_max);
            let rejection = match event {
                Ok(mut event) if !is_beyond => {
                    fold_case_of_device(&mut event);
                    if waiting.is_full() {
                        self.join(waiting);
                    }
                    waiting.push(Decoded { event, index, record });
                    return;
                }
                Ok(_) => too_many_events(),
                Err(rejection) => rejection,
            };
            refused += 1;
            if refused <= DEAD_LETTERS_PER_RECORD_MAX {
                self.refuse(record, Some(index), &rejection);
            } else {
                self.outputs.counts.add("events_discarded", rejection.reason);
            }
        });
        self.decoder = decoder;
        if let Err(rejection) = outcome {
            self.often.received += 1;
            self.refuse(record, None, &rejection);
        }
    }

    /// Joins what is known to events, and packs them in their order.
    fn join(&mut self, waiting: &mut Waiting<'_>) {
        let names = waiting.iter().map(|decoded| decoded.event.account.as_str());
        self.reference.bring_near(names);
        let placed = waiting
            .iter()
            .map(|decoded| Placed::of(&decoded.event, &self.reference));
        let placed: ArrayVec<Placed, NEAR_MAX> = placed.collect();
        self.reference
            .bring_located_near(placed.iter().map(|from| from.located));
        for (Decoded { event, index, record }, from) in waiting.iter().zip(placed) {
            self.event(event, *index, record, from);
        }
        waiting.clear();
    }

    /// Records refused since the last call or flush, so that a caller can keep their bytes.
    pub fn take_dead_letters(&mut self) -> Vec<DeadLetter> {
        std::mem::take(&mut self.outputs.dead_letters)
    }

    /// Observations packed since the last flush.
    #[must_use]
    pub fn held(&self) -> usize {
        let finished = self.outputs.observations.iter().map(|packed| packed.count);
        let open = self.packers.iter().flatten().map(Packer::count);
        usize::try_from(finished.chain(open).sum::<u32>()).unwrap_or(usize::MAX)
    }

    /// Everything packed and refused since the last flush.
    pub fn flush(&mut self) -> IntakeOutputs {
        self.finish_packers();
        self.often.tell(&mut self.outputs.counts);
        std::mem::take(&mut self.outputs)
    }

    fn event(&mut self, event: &Event<'_>, index: u32, record: &RawRecord<'_>, from: Placed) {
        let reference = &*self.reference;
        self.often.decoded += 1;
        let position = event.id.is_empty().then(|| {
            let position = format!("{}/{}/{}/{index}", record.topic, record.partition, record.offset);
            EventId::of(position.into())
        });
        let time_suspect = event.time_ms > record.append_ms.saturating_add(self.settings.future_skew_ms);
        let order_ms = if time_suspect { record.append_ms } else { event.time_ms };
        if time_suspect {
            self.outputs.counts.add("events_time_suspect", "future");
        }
        let names = std::iter::once(event.account.as_str()).chain(event.account_aliases.iter().map(Account::as_str));
        let listed = reference.resolve(names);
        let account = listed.map_or(event.account.as_str(), |listed| listed.account);
        let located = from.located;
        match (from.ip, located.place) {
            (None, _) => self.often.without_address += 1,
            (Some(_), None) => self.often.not_located += 1,
            (Some(_), Some(_)) => self.often.located += 1,
        }
        let joined = Joined {
            id: position.as_ref().unwrap_or(&event.id),
            account,
            source_ip: from.ip,
            place: located.place.map(|id| reference.place_entry(id)),
            network: reference.network_entry(located.network),
            claim: listed.map_or(&self.unknown_claim, Rostered::claim),
            travel: listed.and_then(|listed| {
                let place = || located.place.map(|id| reference.place(id));
                listed.travel_on(day_of(order_ms), place)
            }),
        };
        let partitions = u32::try_from(self.packers.len()).unwrap_or(1);
        let partition = self.hash_key.account(account).partition(partitions);
        let index = usize::try_from(partition).unwrap_or(0);
        let packer = self.packers[index].get_or_insert_with(|| Packer::new(reference.versions()));
        packer.push(event, record.append_ms, order_ms, time_suspect, joined);
        match self.beside {
            Beside::Nothing => {}
            Beside::Time => packer.keep(event.time_ms),
            Beside::Offset => packer.keep(record.offset),
        }
        if packer.len() >= self.settings.packed_bytes_max {
            Self::finish(partition, packer, &mut self.outputs);
        }
    }

    fn refuse(&mut self, record: &RawRecord<'_>, index: Option<u32>, rejection: &Rejection) {
        self.outputs.counts.add("events_discarded", rejection.reason);
        if INTENTIONAL.contains(&rejection.reason) {
            return;
        }
        self.outputs.dead_letters.push(DeadLetter {
            topic: record.topic.to_owned(),
            partition: record.partition,
            offset: record.offset,
            index,
            reason: rejection.reason,
            detail: rejection.detail.clone(),
        });
    }

    fn finish_packers(&mut self) {
        for (partition, packer) in (0u32..).zip(&mut self.packers) {
            if let Some(packer) = packer {
                Self::finish(partition, packer, &mut self.outputs);
            }
        }
    }

    fn finish(partition: u32, packer: &mut Packer, outputs: &mut IntakeOutputs) {
        if !packer.is_empty() {
            let (value, count, beside) = packer.finish();
            outputs.observations.push(PackedRecord {
                partition,
                value,
                count,
                beside,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::geography::Geography;
    use crate::enrich::roster_builder::RosterBuilder;

    /// Sign-ins of many accounts, half of them listed, between records that are refused, alone or several in one record.
    fn mixed() -> Vec<Option<Vec<u8>>> {
        let event = |number: i64| {
            let (time, uid) = (1_767_323_045_678 + number, format!("{number:024x}"));
            format!(
                r#"{{"class_uid":3002,"activity_id":1,"status_id":1,"time":{time},"user":{{"name":"p{}@{}.example"}},"metadata":{{"uid":"{uid}"}}}}"#,
                number % 60,
                ["corp", "firm"][usize::from(number % 7 == 0)]
            )
        };
        let record = |number: i64| match number % 23 {
            3 => None,
            9 => Some("{".to_owned()),
            15 => Some(format!(
                "[{}]",
                (0..20).map(|of| event(number * 100 + of)).collect::<Vec<_>>().join(",")
            )),
            _ => Some(event(number)),
        };
        (0..200).map(|number| record(number).map(String::into_bytes)).collect()
    }

    fn listing() -> Arc<Reference> {
        let mut roster = RosterBuilder::default();
        let lines: String = (0..30)
            .map(|number| format!("p{number}@corp.example,x{number},lt-{number}\n"))
            .collect();
        let csv = format!("account,aliases,devices\n{lines}");
        assert_eq!(
            roster.read("roster.csv", "roster 1".to_owned(), csv.as_bytes()),
            Ok(Vec::new())
        );
        let (roster, problems) = roster.build(&Geography::default());
        assert!(problems.is_empty(), "{problems:?}");
        Arc::new(Reference::new(Arc::default(), Arc::new(roster)))
    }

    fn small(partitions: u32) -> IntakeSettings {
        IntakeSettings {
            events_per_record_max: 18,
            packed_bytes_max: 2_000,
            partitions,
            ..IntakeSettings::default()
        }
    }

    fn raw<'r>((offset, value): (i64, &'r Option<Vec<u8>>)) -> RawRecord<'r> {
        RawRecord {
            topic: "t",
            partition: 0,
            offset,
            append_ms: 1_767_323_045_678 + offset,
            value: value.as_deref(),
        }
    }

    #[test]
    fn records_together_are_as_one_by_one() {
        let records = mixed();
        let numbered: Vec<RawRecord<'_>> = (0..).zip(&records).map(raw).collect();
        for reference in [Arc::default(), listing()] {
            let mut apart = Intake::new(small(3), HashKey([0; 16]), Arc::clone(&reference));
            numbered.iter().for_each(|record| apart.record(Format::Ocsf, *record));
            let apart = apart.flush();
            assert!(apart.observations.len() > 3 && apart.dead_letters.len() > 20);
            for together in [2, 16, 200] {
                let mut intake = Intake::new(small(3), HashKey([0; 16]), Arc::clone(&reference));
                numbered
                    .chunks(together)
                    .for_each(|records| intake.records(Format::Ocsf, records));
                let outputs = intake.flush();
                assert_eq!(outputs.observations, apart.observations, "{together}");
                assert_eq!(outputs.dead_letters, apart.dead_letters, "{together}");
                assert_eq!(outputs.counts, apart.counts, "{together}");
            }
        }
    }

    #[test]
    fn what_is_packed_later_knows_nothing_of_what_was_before() {
        let records = mixed();
        let numbered: Vec<RawRecord<'_>> = (0..).zip(&records).map(raw).collect();
        let (before, after) = numbered.split_at(90);
        for beside in [Beside::Nothing, Beside::Time, Beside::Offset] {
            let [mut used, mut fresh] = [listing(), listing()].map(|reference| {
                let mut intake = Intake::new(small(1), HashKey([0; 16]), reference);
                intake.keep(beside);
                intake
            });
            used.records(Format::Ocsf, before);
            assert!(used.flush().observations.len() > 1);
            used.records(Format::Ocsf, after);
            fresh.records(Format::Ocsf, after);
            let expected = fresh.flush().observations;
            assert_eq!(used.flush().observations, expected);
            // Other data, of other builds.
            used.swap_reference(Arc::default());
            used.records(Format::Ocsf, after);
            let mut other = Intake::new(small(1), HashKey([0; 16]), Arc::default());
            other.keep(beside);
            other.records(Format::Ocsf, after);
            let others = used.flush().observations;
            assert_eq!(others, other.flush().observations);
            assert_ne!(others, expected);
        }
    }

    /// A compacted topic has one for every key that it forgot; there is nothing in it to give back.
    #[test]
    fn a_tombstone_is_counted_and_no_dead_letter() {
        let mut intake = Intake::new(IntakeSettings::default(), HashKey([0; 16]), Arc::default());
        let raw = |value| RawRecord {
            topic: "t",
            partition: 0,
            offset: 7,
            append_ms: 1_767_323_045_678,
            value,
        };
        intake.record(Format::Auto, raw(None));
        intake.record(Format::Auto, raw(Some(b"")));
        let outputs = intake.flush();
        let counts = &outputs.counts;
        let discarded = ["tombstone", "empty"].map(|reason| counts.of("events_discarded", reason));
        assert_eq!((counts.of("events_received", "all"), discarded), (2, [1, 1]));
        let reasons: Vec<&str> = outputs.dead_letters.iter().map(|letter| letter.reason).collect();
        assert_eq!(reasons, ["empty"]);
    }

    #[test]
    fn events_beyond_the_limit_of_a_record_are_refused_and_counted() {
        let event = r#"{"class_uid":3002,"activity_id":1,"status_id":1,"time":1767323045678,"user":{"name":"ann"}}"#;
        let record = format!("[{event},{event},{event}]");
        let settings = IntakeSettings {
            events_per_record_max: 2,
            ..IntakeSettings::default()
        };
        let mut intake = Intake::new(settings, HashKey([0; 16]), Arc::default());
        let raw = RawRecord {
            topic: "t",
            partition: 0,
            offset: 7,
            append_ms: 1_767_323_045_678,
            value: Some(record.as_bytes()),
        };
        intake.record(Format::Ocsf, raw);
        let outputs = intake.flush();
        assert_eq!(outputs.observations.iter().map(|packed| packed.count).sum::<u32>(), 2);
        assert_eq!(outputs.dead_letters.len(), 1);
        assert_eq!(outputs.dead_letters[0].index, Some(2));
        let counts = &outputs.counts;
        assert_eq!(counts.of("events_received", "all"), 3);
        assert_eq!(
            counts.of("events_decoded", "all") + counts.of("events_discarded", "too_many_events"),
            3
        );
    }
}
