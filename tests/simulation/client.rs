//! What a worker holds of the simulated broker: one group member and one producer, and the faults that befall them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Duration;

use falsefront::service::log::{Failure, Isolation, Log, Outgoing, Polled, Rebalance, Record, Take, TopicPartition};

use super::broker::{Answer, Entry, Envelope, MS, Micros, Request, SECOND};
use super::mutants::Mutant;
use super::town::Town;

/// What a worker's last words are; the simulator knows them from a failure of the worker itself.
pub(super) const CRASHED: &str = "crashed by the simulator";
/// The network delivers a held request within this many calls of its client.
const HELD_CALLS_MAX: u64 = 12;
/// librdkafka's `retry.backoff.ms` with its jitter of a fifth.
const RESEND: (Micros, Micros) = (248 * MS, 420 * MS);

struct Held {
    calls_left: u64,
    envelope: Envelope,
}

pub(super) struct SimulatedLog {
    town: Rc<Town>,
    slot: usize,
    name: String,
    group: String,
    producer: usize,
    epoch: i32,
    member: Option<String>,
    generation: i32,
    /// Position of each partition that is ours; `None` while it is paused.
    assigned: BTreeMap<TopicPartition, Option<i64>>,
    is_lost: bool,
    pending: Option<Rebalance>,
    queue: VecDeque<Outgoing>,
    added: BTreeSet<TopicPartition>,
    has_offsets: bool,
    failure: Option<String>,
    is_fenced: bool,
    disconnects: u64,
    /// When the statistics tell of the latest disconnects.
    disconnects_shown_at: Micros,
    held: Vec<Held>,
    reading: BTreeMap<TopicPartition, i64>,
    is_dead: bool,
    /// The worker has reason to replace its producer other than suspicion.
    has_trouble: bool,
}

fn micros(time: Duration) -> Micros {
    u64::try_from(time.as_micros()).unwrap()
}

impl SimulatedLog {
    /// `None` while the transaction of its former self is being ended.
    pub(super) fn open(town: &Rc<Town>, slot: usize, name: &str, group: &str) -> Option<Self> {
        let (producer, epoch) = town.broker.borrow_mut().initialize(name)?;
        town.put_out(slot, false);
        Some(Self {
            town: town.clone(),
            slot,
            name: name.to_owned(),
            group: group.to_owned(),
            producer,
            epoch,
            member: None,
            generation: -1,
            assigned: BTreeMap::new(),
            is_lost: false,
            pending: None,
            queue: VecDeque::new(),
            added: BTreeSet::new(),
            has_offsets: false,
            failure: None,
            is_fenced: false,
            disconnects: 0,
            disconnects_shown_at: 0,
            held: Vec::new(),
            reading: BTreeMap::new(),
            is_dead: false,
            has_trouble: false,
        })
    }

    fn is(&self, mutant: Mutant) -> bool {
        self.town.mutant == mutant
    }

    fn chance(&self, per_mille: u64) -> bool {
        per_mille > 0 && self.town.has_faults() && self.town.broker.borrow_mut().dice.chance(per_mille)
    }

    fn between(&self, low: u64, high: u64) -> u64 {
        self.town.broker.borrow_mut().dice.between(low, high)
    }

    fn advance(&self, time: Micros) {
        self.town.broker.borrow_mut().advance(time);
    }

    /// Begins a call: time passes, held requests arrive, and the process may die or freeze.
    fn enter(&mut self) -> Result<(), Failure> {
        if self.is_dead {
            return Err(Failure::Stop(CRASHED.to_owned()));
        }
        self.advance(100);
        self.deliver_held();
        let faults = &self.town.faults;
        if self.chance(faults.crash) {
            return Err(self.die());
        }
        if self.chance(faults.freeze) {
            let time = match self.between(0, 3) {
                0 => self.between(10 * SECOND, 25 * SECOND),
                _ => self.between(MS, 2 * SECOND),
            };
            self.silence(true);
            self.town.clone().go_on_without(self.slot, time);
            self.silence(false);
        }
        Ok(())
    }

    fn silence(&self, is_silent: bool) {
        let mut broker = self.town.broker.borrow_mut();
        let now = broker.now;
        if let (Some(group), Some(member)) = (broker.groups.get_mut(&self.group), &self.member) {
            group.silence(member, is_silent, now);
        }
    }

    fn forget_markers(&self) -> bool {
        self.town.broker.borrow_mut().forget_markers(self.producer)
    }

    fn die(&mut self) -> Failure {
        self.is_dead = true;
        self.silence(true);
        self.town.count_crash();
        // What it had sent may still arrive, even after its successor came up.
        for held in self.held.drain(..) {
            self.town.undelivered.borrow_mut().push(held.envelope);
        }
        Failure::Stop(CRASHED.to_owned())
    }

    fn deliver_held(&mut self) {
        let mut due = Vec::new();
        for held in &mut self.held {
            held.calls_left -= 1;
        }
        self.held.retain(|held| {
            if held.calls_left == 0 {
                due.push(held.envelope.clone());
            }
            held.calls_left > 0
        });
        for envelope in due {
            self.town.deliver(&envelope);
        }
    }

    fn envelope(&self, request: Request) -> Envelope {
        Envelope {
            producer: self.producer,
            epoch: self.epoch,
            request,
        }
    }

    /// A transactional request: asked again while the coordinator is busy, and at times sent twice by the client, the
    /// first copy being held back by the network.
    fn ask(&mut self, request: Request, resend: (Micros, Micros)) -> Answer {
        let envelope = self.envelope(request);
        if self.chance(self.town.faults.resend) {
            let calls_left = self.between(1, HELD_CALLS_MAX);
            self.held.push(Held {
                calls_left,
                envelope: envelope.clone(),
            });
            let time = self.between(resend.0, resend.1);
            self.advance(time);
            self.disconnects += 1;
            self.disconnects_shown_at = self.town.now() + self.between(0, SECOND);
        }
        for _ in 0..500 {
            match self.town.deliver(&envelope) {
                Answer::Concurrent => self.advance(20 * MS),
                answer => return answer,
            }
        }
        Answer::Concurrent
    }

    /// Sends what is queued, or a part of it.
    fn pump(&mut self) {
        let count = if self.town.has_faults() {
            self.between(0, 8)
        } else {
            u64::MAX
        };
        for _ in 0..count {
            let Some(record) = self.queue.front().cloned() else {
                return;
            };
            let at = TopicPartition {
                topic: record.topic.clone(),
                partition: record.partition,
            };
            if !self.added.contains(&at) {
                match self.ask(Request::AddPartition(at.clone()), (500 * MS, 700 * MS)) {
                    Answer::Ok => {}
                    answer => return self.fail(answer),
                }
                self.added.insert(at);
            }
            let answer = self
                .town
                .broker
                .borrow_mut()
                .produce(self.producer, self.epoch, &record);
            if answer != Answer::Ok {
                return self.fail(answer);
            }
            self.queue.pop_front();
        }
    }

    fn fail(&mut self, answer: Answer) {
        self.is_fenced |= answer == Answer::Fenced;
        self.has_trouble = true;
        self.queue.clear();
        self.failure.get_or_insert_with(|| format!("{answer:?}"));
    }

    fn outcome(&mut self, answer: Answer) -> Result<(), Failure> {
        self.has_trouble |= answer != Answer::Ok;
        match answer {
            Answer::Ok => Ok(()),
            Answer::Concurrent => Err(Failure::Retry("coordinator busy".to_owned())),
            Answer::Stale => Err(Failure::Abort("stale member".to_owned())),
            Answer::Fenced | Answer::InvalidState => {
                self.is_fenced = true;
                Err(Failure::Recycle(format!("{answer:?}")))
            }
        }
    }

    /// The answer is lost: the request was served, or not, or will be.
    fn lose(&mut self, request: Request) -> Failure {
        let envelope = self.envelope(request);
        self.has_trouble = true;
        match self.between(0, 2) {
            0 => {
                self.town.deliver(&envelope);
            }
            1 => self.town.undelivered.borrow_mut().push(envelope),
            _ => {}
        }
        if self.between(0, 1) == 0 {
            return self.die();
        }
        self.advance(SECOND);
        Failure::Recycle("answer lost".to_owned())
    }

    fn is_flaky(&mut self) -> Result<(), Failure> {
        self.enter()?;
        if self.chance(self.town.faults.retry) {
            return Err(Failure::Retry("no answer".to_owned()));
        }
        Ok(())
    }

    /// What the group wants of us.
    fn next_rebalance(&mut self) -> Option<Rebalance> {
        let mut broker = self.town.broker.borrow_mut();
        let now = broker.now;
        let group = broker.groups.get_mut(&self.group).unwrap();
        let Some(member) = self.member.clone() else {
            let member = group.join(&self.name, now);
            let (_, free) = group.plan(&member);
            group.take(&member, &free);
            self.generation = group.generation;
            self.member = Some(member);
            self.town.put_out(self.slot, false);
            return Some(Rebalance::Assigned(free));
        };
        group.polled(&member, now);
        let held: Vec<TopicPartition> = self.assigned.keys().cloned().collect();
        if !group.is_known(&member) {
            self.is_lost = true;
            return Some(Rebalance::Revoked {
                partitions: held,
                lost: true,
            });
        }
        self.generation = group.generation;
        let (mine, free) = group.plan(&member);
        let surplus: Vec<TopicPartition> = held.iter().filter(|at| !mine.contains(*at)).cloned().collect();
        if !surplus.is_empty() {
            return Some(Rebalance::Revoked {
                partitions: surplus,
                lost: false,
            });
        }
        let new: Vec<TopicPartition> = free.into_iter().filter(|at| !self.assigned.contains_key(at)).collect();
        if new.is_empty() {
            return None;
        }
        group.take(&member, &new);
        Some(Rebalance::Assigned(new))
    }
}

/// What a reader is handed of an entry.
fn record<'a>(at: &'a TopicPartition, offset: i64, entry: &'a Entry) -> Record<'a> {
    Record {
        topic: &at.topic,
        partition: at.partition,
        offset,
        append_ms: entry.append_ms,
        key: entry.key.as_deref(),
        value: entry.value.as_deref(),
        replays: &0,
    }
}

impl Log for SimulatedLog {
    fn now(&self) -> Duration {
        Duration::from_micros(self.town.now())
    }

    fn wait(&mut self, time: Duration) {
        self.advance(micros(time).max(1));
        if !self.is_dead {
            self.pump();
        }
    }

    fn poll(&mut self, wait: Duration, count_max: usize, take: Take<'_>) -> Result<Polled, Failure> {
        self.enter()?;
        self.pump();
        let mut polled = Polled::default();
        let wanted = usize::try_from(self.between(1, 30)).unwrap().min(count_max);
        let together = usize::try_from(self.between(1, 6)).unwrap();
        let broker = self.town.broker.borrow();
        for (at, position) in &mut self.assigned {
            let Some(position) = position else { continue };
            let partition = broker.partition(at);
            if *position < partition.start {
                return Err(Failure::Stop(format!("{at}: offset {position} is out of range")));
            }
            let entries = partition.committed_from(*position).take(wanted);
            let records: Vec<Record<'_>> = entries.map(|(offset, entry)| record(at, offset, entry)).collect();
            // What was read together is handed over whole: a few more come behind where nobody wants more.
            let mut more = None;
            for (index, records) in records.chunks(together).enumerate() {
                if more.is_some_and(|more| index > more) {
                    break;
                }
                polled.records += records.len();
                if let Some(newest) = records.last() {
                    *position = newest.offset + 1;
                }
                if take(records) == ControlFlow::Break(()) && more.is_none() {
                    more = Some(index + 2);
                }
            }
            if more.is_none() && records.len() < wanted && self.town.mutant != Mutant::MarkersNotPassed {
                *position = partition.stable();
            }
        }
        drop(broker);
        polled.rebalance = self.next_rebalance();
        self.pending.clone_from(&polled.rebalance);
        if polled.records == 0 && polled.rebalance.is_none() {
            self.advance(micros(wait).min(4 * MS));
        }
        Ok(polled)
    }

    fn assign(&mut self, partitions: &[TopicPartition]) -> Result<(), Failure> {
        self.pending = None;
        self.assigned.extend(partitions.iter().map(|at| (at.clone(), None)));
        self.enter()
    }

    fn unassign(&mut self, partitions: &[TopicPartition]) -> Result<(), Failure> {
        self.enter()?;
        self.pending = None;
        self.assigned.retain(|at, _| !partitions.contains(at));
        if std::mem::take(&mut self.is_lost) {
            self.member = None;
            self.town.put_out(self.slot, true);
        } else if let Some(member) = &self.member {
            let mut broker = self.town.broker.borrow_mut();
            broker.groups.get_mut(&self.group).unwrap().give_up(member, partitions);
        }
        Ok(())
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), Failure> {
        self.enter()?;
        for at in partitions {
            if let Some(position) = self.assigned.get_mut(at) {
                *position = None;
            }
        }
        Ok(())
    }

    fn resume_at(&mut self, partition: &TopicPartition, offset: i64) -> Result<(), Failure> {
        self.is_flaky()?;
        if let Some(position) = self.assigned.get_mut(partition) {
            *position = Some(offset);
        }
        Ok(())
    }

    fn passed(&self, partition: &TopicPartition) -> Option<i64> {
        let position = self.assigned.get(partition).copied().flatten();
        position.filter(|_| self.town.tells_what_was_passed)
    }

    fn owns(&self, partitions: &[TopicPartition]) -> bool {
        self.is(Mutant::OwnershipUnchecked) || partitions.iter().all(|at| self.assigned.contains_key(at))
    }

    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Option<i64>>, Failure> {
        self.is_flaky()?;
        let broker = self.town.broker.borrow();
        if let Some(at) = partitions.iter().find(|at| broker.is_unstable(&self.group, at)) {
            let detail = format!("{at} is unstable");
            drop(broker);
            self.advance(50 * MS);
            return Err(Failure::Retry(detail));
        }
        let group = &broker.groups[&self.group];
        Ok(partitions.iter().map(|at| group.committed.get(at).copied()).collect())
    }

    fn was_added(&self, _partition: &TopicPartition) -> bool {
        false
    }

    fn bounds(&mut self, partition: &TopicPartition, isolation: Isolation) -> Result<(i64, i64), Failure> {
        self.is_flaky()?;
        let broker = self.town.broker.borrow();
        let found = broker.partition(partition);
        let is_stable = isolation == Isolation::Committed || self.is(Mutant::StableOffsetForHighWatermark);
        Ok((found.start, if is_stable { found.stable() } else { found.end() }))
    }

    fn offset_at(&mut self, _partition: &TopicPartition, _time_ms: i64) -> Result<i64, Failure> {
        Ok(0)
    }

    fn begin(&mut self) -> Result<(), Failure> {
        self.enter()?;
        if self.is_fenced {
            return Err(Failure::Recycle("fenced".to_owned()));
        }
        self.added.clear();
        self.has_offsets = false;
        self.failure = None;
        self.queue.clear();
        Ok(())
    }

    fn send(&mut self, record: &Outgoing) -> Result<(), Failure> {
        self.is_flaky()?;
        self.queue.push_back(self.town.mutated(record));
        if self.chance(500) {
            self.pump();
        }
        Ok(())
    }

    fn in_flight(&self) -> usize {
        if self.is_dead { 0 } else { self.queue.len() }
    }

    fn delivery_failure(&self) -> Option<String> {
        if self.failure.is_none() && self.chance(self.town.faults.undelivered) {
            return Some("message timed out".to_owned());
        }
        self.failure.clone()
    }

    fn send_offsets(&mut self, next: &[(TopicPartition, i64)]) -> Result<(), Failure> {
        self.is_flaky()?;
        if self.is(Mutant::NoOffsets) {
            return Ok(());
        }
        let group = self.group.clone();
        let answer = self.ask(Request::AddOffsets(group.clone()), RESEND);
        self.outcome(answer)?;
        self.has_offsets = true;
        self.enter()?;
        // Rejoining happens behind the worker's back; but a partition that was taken away is noticed with a poll only.
        if let Some(member) = &self.member
            && self.town.broker.borrow().groups[&group].is_known(member)
            && !self.chance(100)
        {
            self.generation = self.town.broker.borrow().groups[&group].generation;
        }
        let request = Request::CommitOffsets {
            group,
            member: self.member.clone(),
            generation: self.generation,
            next: next.to_vec(),
        };
        if self.chance(self.town.faults.lost_answer) {
            return Err(self.lose(request));
        }
        let answer = self.ask(request, (500 * MS, 520 * MS));
        self.outcome(answer)
    }

    fn commit(&mut self) -> Result<(), Failure> {
        self.enter()?;
        if self.added.is_empty() && !self.has_offsets {
            return Ok(());
        }
        let request = Request::End { is_commit: true };
        if self.chance(self.town.faults.lost_answer) {
            let failure = self.lose(request);
            return match failure {
                Failure::Recycle(_) if self.is(Mutant::UnknownOutcomeTakenForCommitted) => Ok(()),
                failure => Err(failure),
            };
        }
        let answer = self.ask(request, RESEND);
        self.outcome(answer)?;
        if self.chance(self.town.faults.unmarked) && self.forget_markers() {
            return Err(Failure::Recycle("the broker went away".to_owned()));
        }
        self.enter()
    }

    fn abort(&mut self) -> Result<(), Failure> {
        self.is_flaky()?;
        self.queue.clear();
        if self.is_fenced {
            return Err(Failure::Recycle("fenced".to_owned()));
        }
        if self.added.is_empty() && !self.has_offsets {
            return Ok(());
        }
        let request = Request::End { is_commit: false };
        if self.chance(self.town.faults.lost_answer) {
            return Err(self.lose(request));
        }
        let answer = self.ask(request, RESEND);
        self.outcome(answer)
    }

    fn recreate_producer(&mut self) -> Result<(), Failure> {
        self.is_flaky()?;
        if self.is(Mutant::NoGuard) && !self.has_trouble {
            return Ok(());
        }
        for _ in 0..1_000 {
            let initialized = self.town.broker.borrow_mut().initialize(&self.name);
            if let Some((producer, epoch)) = initialized {
                (self.producer, self.epoch) = (producer, epoch);
                self.is_fenced = false;
                self.has_trouble = false;
                self.failure = None;
                self.queue.clear();
                self.added.clear();
                self.has_offsets = false;
                return Ok(());
            }
            self.advance(20 * MS);
        }
        Err(Failure::Retry("coordinator busy".to_owned()))
    }

    fn disconnects(&self) -> u64 {
        let is_shown = self.town.now() >= self.disconnects_shown_at;
        if is_shown { self.disconnects } else { 0 }
    }

    fn read_from(&mut self, partition: &TopicPartition, offset: i64) -> Result<(), Failure> {
        self.is_flaky()?;
        self.reading.insert(partition.clone(), offset);
        Ok(())
    }

    fn read(&mut self, wait: Duration, count_max: usize, take: Take<'_>) -> Result<Vec<TopicPartition>, Failure> {
        self.enter()?;
        let wanted = usize::try_from(self.between(1, 20)).unwrap().min(count_max);
        let broker = self.town.broker.borrow();
        let (mut ended, mut count) = (Vec::new(), 0);
        for (at, position) in &mut self.reading {
            let partition = broker.partition(at);
            let records = partition.committed_from(*position).take(wanted);
            let mut found = 0;
            for (offset, entry) in records {
                *position = offset + 1;
                found += 1;
                if take(&[record(at, offset, entry)]) == ControlFlow::Break(()) {
                    break;
                }
            }
            count += found;
            if found < wanted {
                ended.push(at.clone());
            }
        }
        drop(broker);
        if count == 0 && ended.is_empty() {
            self.advance(micros(wait).min(4 * MS));
        }
        Ok(ended)
    }

    fn read_end(&mut self, partition: &TopicPartition) {
        self.reading.remove(partition);
    }
}
