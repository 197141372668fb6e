//! Entities: folds links into one window of facts per shared device or network, and asks the rules over several accounts.
//!
//! One story is one alert: what a farm explains (claims, relays, a shared line) is its evidence, not alerts beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use super::publish::{self, Publisher};
use super::settings::DetectionSettings;
use super::state::{Chunks, TOUCHED_MAX, Windowed};
use super::{CodecError, Fold, Outputs, Position, StateSize};
use crate::detections::{Judgement, Quiet, laptop_farm, shared_device, shared_network};
use crate::model::codec::{Malformed, Reader, Writer};
use crate::model::link::Offer;
use crate::model::{Detection, Finding, Key, Link, Strength};
use crate::window::DAY_MS;
use crate::window::entity::EntityFacts;
use crate::window::episode::Brief;
use crate::window::intern::Interner;
use crate::window::shared::{SharedReader, SharedWriter};

/// The entities stage over one partition.
pub struct Entities {
    settings: Arc<DetectionSettings>,
    publisher: Publisher,
    chunks: Chunks<Box<EntityFacts>>,
    /// Windows in which findings wait, by the event time, ms, from which the first does. It follows from the windows, so it
    /// is in no checkpoint; one whose findings were told meanwhile does no harm.
    waits: BTreeSet<(i64, u16, Key)>,
    scratch: Writer,
}

impl Windowed for EntityFacts {
    fn write(&self, _: &Interner, writer: &mut SharedWriter) {
        EntityFacts::write(self, writer);
    }
    fn read(reader: &mut SharedReader<'_, '_>) -> Result<Self, Malformed> {
        EntityFacts::read(reader)
    }
    fn bytes(&self) -> usize {
        EntityFacts::bytes(self)
    }
    fn touch(&self) -> u64 {
        EntityFacts::touch(self)
    }
    fn touch_apart(&self) -> u64 {
        EntityFacts::touch_apart(self)
    }
    fn last_append_ms(&self) -> i64 {
        self.last_append_ms
    }
    fn is_provisional(&self) -> bool {
        EntityFacts::is_provisional(self)
    }
}

impl Entities {
    /// An empty fold.
    #[must_use]
    pub fn new(settings: Arc<DetectionSettings>) -> Self {
        Self::publishing_to(settings, publish::DEFAULT_TOPIC)
    }

    /// An empty fold whose alerts name `topic` as the log they are published to.
    #[must_use]
    pub fn publishing_to(settings: Arc<DetectionSettings>, topic: &str) -> Self {
        let publisher = Publisher::new(&settings.episode, settings.window.episodes_max, topic);
        let windows_max = settings.window.windows_max;
        Self {
            settings,
            publisher,
            chunks: Chunks::new(windows_max),
            waits: BTreeSet::new(),
            scratch: Writer::default(),
        }
    }

    /// Bytes of the whole state in the order of its keys, for tests that compare two folds.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<u16, Vec<u8>> {
        self.chunks.snapshot(&Interner::default())
    }

    fn run(
        &mut self,
        position: Position,
        record: &[u8],
        resume: Option<&[i64]>,
        outputs: &mut Outputs,
    ) -> Result<(), CodecError> {
        // Read whole before the first link is folded, so that a record is folded whole or not at all.
        let links = parse(record)?;
        let mut position = position;
        for start in (0..links.len()).step_by(TOUCHED_MAX) {
            let group = &links[start..links.len().min(start + TOUCHED_MAX)];
            self.chunks.touch(group.iter().map(|(key, _)| *key));
            for (index, (key, link)) in (start..).zip(group) {
                position.append_ms = link.clock_ms;
                self.end_waits(position, link.time_ms, resume, outputs);
                let chunk = self.chunks.chunk_of(*key);
                if Chunks::<Box<EntityFacts>>::takes_part(resume, chunk, position.offset) {
                    let index = u32::try_from(index).unwrap_or(u32::MAX);
                    self.chunks.count_input(chunk, *key, position.offset, index);
                    self.link(chunk, *key, position, link, outputs);
                }
            }
        }
        Ok(())
    }

    /// How many findings wait because their networks may yet turn out to be farms.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let windows: BTreeSet<(u16, Key)> = self.waits.iter().map(|(_, chunk, key)| (*chunk, *key)).collect();
        let windows = windows
            .iter()
            .filter_map(|(chunk, key)| self.chunks.window(*chunk, *key));
        windows.map(|facts| facts.story().waits().count()).sum()
    }

    /// Brings the windows of those keys near, at most [`TOUCHED_MAX`], before their links are folded.
    pub fn touch(&self, keys: impl Iterator<Item = Key> + Clone) {
        self.chunks.touch(keys);
    }

    fn link(&mut self, chunk: u16, key: Key, position: Position, link: &Link<'_>, outputs: &mut Outputs) {
        let window = &self.settings.window;
        self.chunks.tidy(chunk, position.append_ms, |facts| {
            facts.is_expired(position.append_ms, window)
        });
        if self.chunks.is_full(chunk) && self.chunks.window(chunk, key).is_none() {
            let given_up = self.chunks.make_room(chunk);
            outputs.counts.add_many("windows_dropped", "room_for_another", given_up);
            if given_up == 0 {
                outputs.counts.add("links_folded", "no_room");
                return;
            }
        }
        let Some(facts) = self.chunks.windows(chunk).get_or_begin(key, true) else {
            return;
        };
        Judge {
            settings: &self.settings,
            publisher: &self.publisher,
            position,
            outputs,
        }
        .link(link, facts, &mut self.scratch);
        if let Some(since_ms) = facts.story().waits().min() {
            self.waits.insert((since_ms, chunk, key));
        }
    }

    /// Tells what has waited long enough in any window when a link comes of that event time, whatever it is about. The
    /// allowed lateness is granted to the network's own links, so that it does not matter who else is in the partition.
    fn end_waits(&mut self, position: Position, time_ms: i64, resume: Option<&[i64]>, outputs: &mut Outputs) {
        let at_ms = time_ms.saturating_sub(self.settings.window.allowed_lateness_ms);
        let since_ms = at_ms.saturating_sub(wait_ms(&self.settings));
        if self.waits.first().is_none_or(|(first_ms, ..)| *first_ms > since_ms) {
            return;
        }
        let due = self.waits.range(..=(since_ms, u16::MAX, Key(u128::MAX)));
        // The state of the others is of later records than this one.
        let takes_part = |chunk| Chunks::<Box<EntityFacts>>::takes_part(resume, chunk, position.offset);
        let due: Vec<(i64, u16, Key)> = due.filter(|(_, chunk, _)| takes_part(*chunk)).copied().collect();
        for wait in due {
            self.waits.remove(&wait);
            let (_, chunk, key) = wait;
            let Some(facts) = self.chunks.windows(chunk).get_or_begin(key, false) else {
                continue;
            };
            Judge {
                settings: &self.settings,
                publisher: &self.publisher,
                position,
                outputs,
            }
            .end_waits(facts, at_ms, false);
            if let Some(since_ms) = facts.story().waits().min() {
                self.waits.insert((since_ms, chunk, key));
            }
        }
    }
}

/// How long a finding waits, ms.
fn wait_ms(settings: &DetectionSettings) -> i64 {
    i64::from(settings.farm.withhold_days) * DAY_MS
}

/// The links of a record, each with the key of its thing.
fn parse(record: &[u8]) -> Result<Vec<(Key, Link<'_>)>, CodecError> {
    let refused = |error: Malformed| {
        let detail = format!(
            "expected {}: nothing but falsefront may write to this topic",
            error.what
        );
        CodecError::new("link", error.at, detail)
    };
    let mut reader = Reader::new(record);
    let mut links = Vec::new();
    loop {
        links.push(Link::read(&mut reader).map_err(refused)?);
        if reader.is_at_end() {
            return Ok(links);
        }
    }
}

/// The network's own alert among those that wait; alert identities are UUIDs of version 5 and never this small.
const SHARED_NETWORK: u128 = 1;

/// One link's judgement.
struct Judge<'a> {
    settings: &'a DetectionSettings,
    publisher: &'a Publisher,
    position: Position,
    outputs: &'a mut Outputs,
}

impl Judge<'_> {
    fn link(&mut self, link: &Link<'_>, facts: &mut EntityFacts, scratch: &mut Writer) {
        // What was due before this link is told as if it had been asked for then.
        self.end_waits(facts, link.time_ms, false);
        if !facts.apply(link, self.position.append_ms, &self.settings.window, scratch) {
            self.outputs.counts.add("facts_dropped", "ties_full");
        }
        self.outputs.counts.add("links_folded", link.entity_kind.as_str());
        let farm = self.found(laptop_farm::detect(link, facts, &self.settings.farm));
        let is_farm = farm.is_some() || self.is_open(Detection::LaptopFarm, link.time_ms, facts);
        if let Some(farm) = farm {
            self.publish(&farm, facts);
        }
        if let Some(finding) = self.found(shared_network::detect(link, facts, &self.settings.network)) {
            self.shared_network(&finding, link, facts, is_farm);
        }
        if let Some(finding) = self.found(shared_device::detect(link, facts, &self.settings.device)) {
            self.publish(&finding, facts);
        }
        if let Some(offer) = &link.offer {
            self.offer(offer, link, facts, is_farm);
        }
        self.end_waits(facts, link.time_ms, is_farm);
    }

    /// The finding, if there is one; what a guard silenced is counted.
    fn found(&mut self, judgement: Judgement) -> Option<Finding> {
        if let Err(Quiet::Silenced(reason)) = judgement {
            self.outputs.counts.add("findings_suppressed", reason);
        }
        judgement.ok()
    }

    fn publish(&mut self, finding: &Finding, facts: &mut EntityFacts) {
        let episodes = &mut facts.story_mut().episodes;
        self.publisher
            .publish(finding, episodes, self.position.append_ms, self.outputs);
    }

    fn shared_network(&mut self, finding: &Finding, link: &Link<'_>, facts: &mut EntityFacts, is_farm: bool) {
        let is_alert = finding.strength == Strength::Alert;
        if is_farm {
            self.outputs.counts.add("findings_suppressed", "part_of_laptop_farm");
        } else if is_alert && self.is_withheld(SHARED_NETWORK, finding.last_ms, finding, link, facts) {
            self.outputs.counts.add("findings_withheld", "laptop_farm_candidate");
        } else {
            if is_alert {
                // In place of what waited.
                facts.story_mut().tell(SHARED_NETWORK);
            }
            self.publish(finding, facts);
        }
    }

    /// Whether an alert about this thing is open at that time. Its window has alerts about nothing else but accounts.
    fn is_open(&self, detection: Detection, at_ms: i64, facts: &EntityFacts) -> bool {
        let gap_ms = self.publisher.policy(detection).gap_ms;
        facts.story().episodes.is_open(detection, at_ms, gap_ms)
    }

    /// Whether a finding should wait because the network may yet turn out to be a farm, for as long as the configuration
    /// says. It is told with whatever link comes then.
    fn is_withheld(
        &self,
        alert: u128,
        at_ms: i64,
        finding: &Finding,
        link: &Link<'_>,
        facts: &mut EntityFacts,
    ) -> bool {
        laptop_farm::is_candidate(link, facts, &self.settings.farm)
            && facts
                .story_mut()
                .withhold(alert, at_ms, wait_ms(self.settings), finding)
    }

    /// Tells of what has waited long enough at that event time; nothing waits any more once there is a farm.
    fn end_waits(&mut self, facts: &mut EntityFacts, at_ms: i64, is_farm: bool) {
        if facts.story().withheld.is_empty() {
            return;
        }
        let wait_ms = wait_ms(self.settings);
        let is_due = |since_ms: i64| is_farm || at_ms.saturating_sub(since_ms) >= wait_ms;
        for waited in facts.story_mut().take_due(is_due) {
            let due_ms = waited.since_ms.saturating_add(wait_ms);
            let is_farm = is_farm || self.is_open(Detection::LaptopFarm, due_ms, facts);
            if self.is_explained(&waited.finding, due_ms, facts, is_farm) {
                continue;
            }
            // As of when it was due, whichever link it is told with.
            let told = std::mem::replace(&mut self.position.append_ms, due_ms);
            if waited.alert == SHARED_NETWORK {
                self.publish(&waited.finding, facts);
            } else {
                self.take_offer(Uuid::from_u128(waited.alert), &waited.finding, facts);
            }
            self.position.append_ms = told;
        }
    }

    /// Publishes a finding about one account, unless this network's farm explains it or may yet.
    fn offer(&mut self, offer: &Offer, link: &Link<'_>, facts: &mut EntityFacts, is_farm: bool) {
        let Ok(uid) = Uuid::parse_str(&offer.alert) else {
            self.outputs.counts.add("findings_suppressed", "malformed_offer");
            return;
        };
        if self.is_explained(&offer.finding, link.time_ms, facts, is_farm) {
            return;
        }
        // By the time of what it is offered with: the finding's own stands still until there is news.
        let at_ms = offer.finding.last_ms.max(link.time_ms);
        if offer.finding.strength == Strength::Alert
            && self.is_withheld(uid.as_u128(), at_ms, &offer.finding, link, facts)
        {
            self.outputs.counts.add("findings_withheld", "laptop_farm_candidate");
            return;
        }
        let waited = facts.story_mut().tell(uid.as_u128());
        // The offer may come as the wait ends, and be milder than what waited.
        let graver = waited.filter(|waited| waited.severity > offer.finding.severity);
        self.take_offer(uid, graver.as_deref().unwrap_or(&offer.finding), facts);
    }

    /// Whether the network's own alert says what an alert about one of its accounts would.
    fn is_explained(&mut self, finding: &Finding, at_ms: i64, facts: &EntityFacts, is_farm: bool) -> bool {
        let is_claim = finding.detection == Detection::ClaimedLocation;
        let reason = match finding.strength {
            Strength::Alert if is_farm => "part_of_laptop_farm",
            Strength::Alert if is_claim && self.is_open(Detection::SharedNetwork, at_ms, facts) => {
                "part_of_shared_network"
            }
            _ => return false,
        };
        self.outputs.counts.add("findings_suppressed", reason);
        true
    }

    fn take_offer(&mut self, uid: Uuid, finding: &Finding, facts: &mut EntityFacts) {
        let brief = Brief::of(finding, self.publisher.policy(finding.detection).renewal);
        let taken = facts
            .story_mut()
            .take_offer(uid.as_u128(), finding.severity, brief.named());
        if let Some(revision) = taken {
            let record = self.publisher.record(finding, uid, revision, self.position.append_ms);
            self.outputs.alerts.push(record);
        } else {
            self.outputs.counts.add("findings_folded", finding.detection.as_str());
        }
    }
}

impl Fold for Entities {
    fn fold(&mut self, position: Position, record: &[u8], outputs: &mut Outputs) -> Result<(), CodecError> {
        self.run(position, record, None, outputs)
    }
    fn refold(&mut self, position: Position, record: &[u8], resume: &[i64]) -> Result<(), CodecError> {
        self.run(position, record, Some(resume), &mut Outputs::default())
    }
    fn chunk_count(&self) -> u16 {
        self.chunks.count()
    }
    fn write_chunk(&self, chunk: u16, bytes: &mut Vec<u8>) {
        self.chunks.write(chunk, &Interner::default(), bytes);
    }
    fn read_chunk(&mut self, chunk: u16, bytes: &[u8]) -> Result<(), CodecError> {
        self.chunks.read(chunk, bytes, &mut Interner::default())?;
        self.waits.retain(|(_, other, _)| *other != chunk);
        let windows = self.chunks.windows(chunk).iter();
        let waiting = windows.filter_map(|(key, facts)| Some((facts.story().waits().min()?, chunk, key)));
        self.waits.extend(waiting);
        Ok(())
    }
    fn digest(&self) -> u128 {
        self.chunks.digest()
    }
    fn size(&self) -> StateSize {
        self.chunks.size()
    }
}
