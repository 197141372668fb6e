//! Accounts: folds packed observations into one window of facts per account, and asks every rule.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::links::{self, Due};
use super::publish::{self, Publisher};
use super::settings::DetectionSettings;
use super::state::{Chunks, TOUCHED_MAX, Windowed};
use super::unpacked::Unpacked;
use super::{Apart, CodecError, Counts, Fold, Outputs, Position, StateSize};
use crate::detections::{claimed_location, impossible_travel, remote_desktop_relay};
use crate::model::codec::{Malformed, Writer};
use crate::model::key::HashKey;
use crate::model::link::Offer;
use crate::model::{Finding, Key, Link, Observation};
use crate::window::account::{AccountFacts, Change, Lateness};
use crate::window::episode::{Brief, Route};
use crate::window::intern::Interner;
use crate::window::shared::{SharedReader, SharedWriter};
use crate::window::spots::Spots;

/// The accounts stage over one partition.
pub struct Accounts {
    settings: Arc<DetectionSettings>,
    publisher: Publisher,
    interner: Interner,
    chunks: Chunks<AccountFacts>,
    framer: Framer,
    /// Windows were dropped: values that nothing uses any more may follow.
    has_swept: bool,
}

impl Windowed for AccountFacts {
    fn write(&self, shared: &Interner, writer: &mut SharedWriter) {
        AccountFacts::write(self, shared, writer);
    }
    fn read(reader: &mut SharedReader<'_, '_>) -> Result<Self, Malformed> {
        AccountFacts::read(reader)
    }
    fn bytes(&self) -> usize {
        AccountFacts::bytes(self)
    }
    fn touch(&self) -> u64 {
        AccountFacts::touch(self)
    }
    fn touch_apart(&self) -> u64 {
        AccountFacts::touch_apart(self)
    }
    fn last_append_ms(&self) -> i64 {
        AccountFacts::last_append_ms(self)
    }
    fn is_provisional(&self) -> bool {
        AccountFacts::is_provisional(self)
    }
}

impl Accounts {
    /// An empty fold.
    #[must_use]
    pub fn new(settings: Arc<DetectionSettings>, hash_key: HashKey) -> Self {
        Self::publishing_to(settings, hash_key, publish::DEFAULT_TOPIC)
    }

    /// An empty fold whose alerts name `topic` as the log they are published to.
    #[must_use]
    pub fn publishing_to(settings: Arc<DetectionSettings>, hash_key: HashKey, topic: &str) -> Self {
        let publisher = Publisher::new(&settings.episode, settings.window.episodes_max, topic);
        let windows_max = settings.window.windows_max;
        Self {
            settings,
            framer: Framer {
                hash_key,
                scratch: Writer::default(),
                frame: Writer::default(),
            },
            publisher,
            interner: Interner::default(),
            chunks: Chunks::new(windows_max),
            has_swept: false,
        }
    }

    /// Bytes of the whole state in the order of its keys, for tests that compare two folds.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<u16, Vec<u8>> {
        self.chunks.snapshot(&self.interner)
    }

    fn run(
        &mut self,
        positions: Positions<'_>,
        record: &[u8],
        resume: Option<&[i64]>,
        outputs: &mut Outputs,
    ) -> Result<(), CodecError> {
        let result = self.unpack(positions, record, resume, outputs);
        self.sweep();
        result
    }

    fn sweep(&mut self) {
        if std::mem::take(&mut self.has_swept) && self.interner.is_cluttered() {
            self.interner.sweep(self.chunks.all().flat_map(AccountFacts::spots));
        }
    }

    fn unpack(
        &mut self,
        positions: Positions<'_>,
        record: &[u8],
        resume: Option<&[i64]>,
        outputs: &mut Outputs,
    ) -> Result<(), CodecError> {
        let mut unpacked = Unpacked::open(record, self.framer.hash_key)?;
        // Of those at the same offset, for the digest.
        let (mut before, mut number) = (None, 0);
        if let Positions::Apart(Apart { positions, earlier }) = positions {
            if earlier > 0 {
                (before, number) = (positions.first().map(|first| first.offset), earlier - 1);
            }
            if positions.len() != unpacked.len() {
                let detail = format!("{} observations at {} positions", unpacked.len(), positions.len());
                return Err(CodecError::new("packed observations", 0, detail));
            }
        }
        loop {
            let group = unpacked.advance(TOUCHED_MAX, &mut self.interner)?;
            if group.is_empty() {
                unpacked.close(&mut self.interner);
                return Ok(());
            }
            self.chunks.touch(unpacked.keys());
            for index in group {
                let seen = unpacked.observation(index);
                let position = positions.of(index, unpacked.clock_ms());
                number = if before == Some(position.offset) { number + 1 } else { 0 };
                before = Some(position.offset);
                let chunk = self.chunks.chunk_of(seen.key);
                if Chunks::<AccountFacts>::takes_part(resume, chunk, position.offset) {
                    self.chunks.count_input(chunk, seen.key, position.offset, number);
                    self.observe(chunk, position, &seen, outputs);
                }
            }
        }
    }

    /// Brings the windows of those keys near, at most [`TOUCHED_MAX`], before their observations are folded.
    pub fn touch(&self, keys: impl Iterator<Item = Key> + Clone) {
        self.chunks.touch(keys);
    }

    /// Folds one observation at its own position: what a replay does, which orders observations before it folds them.
    pub fn fold_observation(&mut self, position: Position, seen: &Observation<'_>, outputs: &mut Outputs) {
        let chunk = self.chunks.chunk_of(seen.key);
        self.chunks.count_input(chunk, seen.key, position.offset, 0);
        self.observe(chunk, position, seen, outputs);
        self.sweep();
    }

    /// Lends the shared values out, so that a record can be read while windows change.
    pub fn interner(&mut self) -> &mut Interner {
        &mut self.interner
    }

    fn observe(&mut self, chunk: u16, position: Position, seen: &Observation<'_>, outputs: &mut Outputs) {
        let settings = &self.settings;
        let is_expired = |facts: &AccountFacts| facts.is_expired(position.append_ms, &settings.window);
        self.has_swept |= self.chunks.tidy(chunk, position.append_ms, is_expired);
        if self.chunks.is_full(chunk)
            && AccountFacts::may_begin_with(seen)
            && self.chunks.window(chunk, seen.key).is_none()
        {
            let given_up = self.chunks.make_room(chunk);
            outputs.counts.add_many("windows_dropped", "room_for_another", given_up);
            if given_up == 0 {
                outputs.counts.add("observations", "no_room");
                return;
            }
        }
        let windows = self.chunks.windows(chunk);
        let Some(facts) = windows.get_or_begin(seen.key, AccountFacts::may_begin_with(seen)) else {
            outputs.counts.add("observations", "no_window");
            return;
        };
        let distance = claimed_location::compare(seen, &settings.claim);
        let spots = &mut self.interner.spots;
        let change = facts.apply(seen, position.append_ms, distance, &settings.window, spots);
        let spots = &self.interner.spots;
        count(&change, &mut outputs.counts);
        if change.duplicate {
            return;
        }
        let account = seen.event.account.as_str();
        for leg in impossible_travel::legs(&change, seen.claim.terms, facts, spots, &settings.travel) {
            let brief = leg.brief(account);
            let published = self
                .publisher
                .decide(&brief, facts.episodes_mut(brief.last_ms), outputs);
            let describe = || {
                let mut finding = leg.finding(account, facts, spots, &change, &settings.travel, seen.data_versions)?;
                let approved = seen.travel.map(|travel| leg.approved_travel(travel, facts, spots));
                finding.guards.extend(approved);
                Some(finding)
            };
            if let Some(((uid, revision), finding)) = published.and_then(|published| Some((published, describe()?))) {
                let record = self.publisher.record(&finding, uid, revision, position.append_ms);
                outputs.alerts.push(record);
            }
        }
        links::due(seen, facts, spots, &change, position.append_ms, settings, |due| {
            self.framer.send(due, outputs);
        });
        // Nothing else can lead to a finding to offer, and two that are none are half a kilobyte.
        if !change.is_away && !change.relay_facts {
            return;
        }
        let offered = [
            claimed_location::detect(seen, facts, spots, &change, &settings.claim),
            remote_desktop_relay::detect(seen, facts, spots, &change, &settings.relay),
        ];
        for finding in offered.into_iter().flatten() {
            Self::offer(
                &self.publisher,
                &mut self.framer,
                finding,
                seen,
                facts,
                spots,
                position,
                settings,
                outputs,
            );
        }
    }

    /// A finding about one account may be part of a larger story on the network it was seen on: the entities stage
    /// decides. Without such a network it is published here.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of self that are not borrowed by the window"
    )]
    fn offer(
        publisher: &Publisher,
        framer: &mut Framer,
        finding: Finding,
        seen: &Observation<'_>,
        facts: &mut AccountFacts,
        spots: &Spots,
        position: Position,
        settings: &DetectionSettings,
        outputs: &mut Outputs,
    ) {
        let policy = publisher.policy(finding.detection);
        let brief = Brief::of(&finding, policy.renewal);
        let network = match facts.rare().episodes.route(&brief, &policy) {
            Some(Route::Here) => None,
            Some(Route::Offered(home)) => {
                let network = links::network_named(facts, home);
                if network.is_none() {
                    // The network was forgotten; whatever was to be told of the episode was told there.
                    outputs.counts.add("findings_folded", finding.detection.as_str());
                    return;
                }
                network
            }
            None => links::home_network(facts),
        };
        let Some(network) = network else {
            publisher.publish(&finding, facts.episodes_mut(brief.last_ms), position.append_ms, outputs);
            return;
        };
        let home = facts.networks()[network].name();
        // An offer may be withheld, so it is made again with every finding, not only when it is news.
        let episodes = facts.episodes_mut(brief.last_ms);
        let (_, alert, _) = episodes.take(&brief, || publish::fresh(&brief), &policy);
        episodes.settle(alert, &home);
        outputs.counts.add("findings_offered", finding.detection.as_str());
        let alert = uuid::Uuid::from_u128(alert).to_string();
        let known = links::Known::of(seen, facts, spots, settings);
        let due = Link {
            clock_ms: position.append_ms,
            offer: Some(Box::new(Offer { alert, finding })),
            ..links::to_network(seen, facts, spots, network, &home, &known, settings)
        };
        framer.send(&due, outputs);
    }
}

/// Where the observations of a packed record stand.
#[derive(Clone, Copy)]
enum Positions<'a> {
    /// All at the record's own offset, at the time of the record's clock.
    Record(Position),
    /// Each where its source's record stands.
    Apart(Apart<'a>),
}

impl Positions<'_> {
    /// Position of the observation at `index`.
    fn of(self, index: usize, clock_ms: i64) -> Position {
        match self {
            Self::Record(Position { offset, .. }) => Position {
                offset,
                append_ms: clock_ms,
            },
            Self::Apart(apart) => apart.positions[index],
        }
    }
}

/// Puts links into frames.
struct Framer {
    hash_key: HashKey,
    scratch: Writer,
    frame: Writer,
}

impl Framer {
    fn send(&mut self, due: &Due<'_>, outputs: &mut Outputs) {
        let key = self.hash_key.entity(due.entity_kind, due.entity);
        self.frame.clear();
        due.write(key, &mut self.scratch, &mut self.frame);
        outputs.counts.add("links", due.entity_kind.as_str());
        outputs.links.push(key, self.frame.as_bytes());
    }
}

fn count(change: &Change, counts: &mut Counts) {
    let result = if change.duplicate { "duplicate" } else { "folded" };
    counts.add("observations", result);
    match change.lateness {
        Lateness::None => {}
        Lateness::Late => counts.add("events_late", "within_lateness"),
        Lateness::Beyond => counts.add("events_late", "beyond_lateness"),
    }
    if change.visit_dropped {
        counts.add("facts_dropped", "visits_full");
    }
    if !change.dropped.is_empty() {
        for (reason, count) in change.dropped.iter() {
            counts.add_many("facts_dropped", reason, count);
        }
    }
}

impl Fold for Accounts {
    fn fold(&mut self, position: Position, record: &[u8], outputs: &mut Outputs) -> Result<(), CodecError> {
        self.run(Positions::Record(position), record, None, outputs)
    }
    fn fold_apart(&mut self, apart: Apart<'_>, record: &[u8], outputs: &mut Outputs) -> Result<(), CodecError> {
        self.run(Positions::Apart(apart), record, None, outputs)
    }
    fn refold(&mut self, position: Position, record: &[u8], resume: &[i64]) -> Result<(), CodecError> {
        self.run(
            Positions::Record(position),
            record,
            Some(resume),
            &mut Outputs::default(),
        )
    }
    fn refold_apart(&mut self, apart: Apart<'_>, record: &[u8], resume: &[i64]) -> Result<(), CodecError> {
        self.run(Positions::Apart(apart), record, Some(resume), &mut Outputs::default())
    }
    fn chunk_count(&self) -> u16 {
        self.chunks.count()
    }
    fn write_chunk(&self, chunk: u16, bytes: &mut Vec<u8>) {
        self.chunks.write(chunk, &self.interner, bytes);
    }
    fn read_chunk(&mut self, chunk: u16, bytes: &[u8]) -> Result<(), CodecError> {
        self.chunks.read(chunk, bytes, &mut self.interner)
    }
    fn digest(&self) -> u128 {
        self.chunks.digest()
    }
    fn size(&self) -> StateSize {
        self.chunks.size()
    }
}
