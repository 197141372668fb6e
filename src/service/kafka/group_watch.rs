//! Partitions that no member of a group has.
//!
//! A member with a name of its own that is killed after it gave partitions up, and before it joined anew, leaves them to
//! nobody: whoever comes back under its name is handed what it had kept, without a rebalance (the classic protocol's
//! coordinator asks a stable group nothing), and nobody is told of the rest. So a process looks now and then, and where
//! partitions have had no member for several looks it makes the group rebalance: it joins for a moment under no name.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::groups::GroupInfo;

use super::clients::{passing_member, side_consumer};
use super::context::Quiet;
use super::failure::question;
use super::log::{LogSettings, Membership};
use crate::service::log::{Failure, TopicPartition};

/// Between two looks.
pub const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Looks in a row at which the same partitions had no member before anything is done: a member that is busy takes so long to
/// give partitions up, and meanwhile they have none. Where it takes longer, all that happens is a rebalance.
const LOOKS: u32 = 4;
/// The number of looks is doubled after a visit so many times at most: the next is half an hour later.
const DOUBLED_MAX: u32 = 5;
/// Longest a question to the cluster may take.
const ASK: Duration = Duration::from_secs(2);
/// Longest the group is made to wait for a member that passes by.
const VISIT: Duration = Duration::from_secs(20);
/// Longest a visit waits for an event before it looks whether it may go.
const GLANCE: Duration = Duration::from_millis(200);

/// Looks after the group of one stage.
pub struct GroupWatch {
    /// Those of this process.
    members: Vec<LogSettings>,
    asker: BaseConsumer<Quiet>,
    /// Partitions without a member at the last look.
    missing: BTreeSet<TopicPartition>,
    /// Looks in a row at which it was these.
    looks: u32,
    /// Visits in a row after which some had none.
    visits: u32,
}

impl GroupWatch {
    /// For the group of these members; `None` if they are no members of one that keeps names.
    ///
    /// # Errors
    /// [`Failure::Stop`] if the settings are refused.
    pub fn new(members: Vec<LogSettings>) -> Result<Option<Self>, Failure> {
        let Some(first) = members.first().filter(|first| first.has_name()) else {
            return Ok(None);
        };
        let asker = side_consumer(first, "read_committed")?;
        Ok(Some(Self {
            members,
            asker,
            missing: BTreeSet::new(),
            looks: 0,
            visits: 0,
        }))
    }

    /// Name of the group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.members.first().map_or("", |member| &member.group)
    }

    /// Looks at the group, and makes it rebalance for partitions that had no member for several looks, unless `is_stopped`.
    /// Says which. Of many processes the one that has the first member does that.
    ///
    /// # Errors
    /// [`Failure::Retry`] while the brokers do not answer, [`Failure::Stop`] if they refuse to.
    pub fn look(&mut self, is_stopped: &dyn Fn() -> bool) -> Result<Vec<TopicPartition>, Failure> {
        let Some(missing) = self.without_member(true)? else {
            return Ok(Vec::new());
        };
        if missing.is_empty() {
            (self.looks, self.visits) = (0, 0);
        } else if missing == self.missing {
            self.looks += 1;
        } else {
            self.looks = 1;
        }
        self.missing = missing;
        if self.looks < LOOKS * 2_u32.pow(self.visits.min(DOUBLED_MAX)) {
            return Ok(Vec::new());
        }
        (self.looks, self.visits) = (0, self.visits + 1);
        self.visit(is_stopped)?;
        Ok(self.missing.iter().cloned().collect())
    }

    /// Partitions that no member has; `None` while the group changes, or with `is_first_only` if another process is to look.
    fn without_member(&self, is_first_only: bool) -> Result<Option<BTreeSet<TopicPartition>>, Failure> {
        let groups = self.asker.fetch_group_list(Some(self.group()), ASK);
        let groups = groups.map_err(|error| question("the members of the group", &error))?;
        let group = groups.groups().iter().find(|group| group.name() == self.group());
        let Some(group) = group.filter(|group| group.state() == "Stable") else {
            return Ok(None);
        };
        if is_first_only && !self.is_first(group) {
            return Ok(None);
        }
        let mut missing = self.partitions()?;
        for member in group.members() {
            // An assignment that cannot be read may be of any partition.
            let Some(assigned) = member.assignment().and_then(read_assignment) else {
                return Ok(None);
            };
            missing.retain(|at| !assigned.contains(at));
        }
        Ok(Some(missing))
    }

    /// Whether the first of all members is of this process: the coordinator's ids of members begin with their names.
    fn is_first(&self, group: &GroupInfo) -> bool {
        let first = group.members().iter().map(|member| member.id()).min();
        first.is_some_and(|first| self.members.iter().any(|ours| first.starts_with(&ours.instance())))
    }

    fn partitions(&self) -> Result<BTreeSet<TopicPartition>, Failure> {
        let mut all = BTreeSet::new();
        for topic in topics(&self.members) {
            let metadata = self.asker.fetch_metadata(Some(topic), ASK);
            let metadata = metadata.map_err(|error| question("the partitions of the group", &error))?;
            for found in metadata.topics() {
                let partitions = found.partitions().iter().map(|partition| partition.id());
                all.extend(partitions.map(|partition| TopicPartition::new(found.name(), partition)));
            }
        }
        Ok(all)
    }

    /// Joins the group until everything in it has a member, and leaves.
    fn visit(&self, is_stopped: &dyn Fn() -> bool) -> Result<(), Failure> {
        let Some(first) = self.members.first() else {
            return Ok(());
        };
        let visitor = passing_member(first)?;
        let topics: Vec<&str> = topics(&self.members).collect();
        let subscribed = visitor.subscribe(&topics);
        subscribed.map_err(|error| question("to join the group", &error))?;
        let began = Instant::now();
        let mut looked = began;
        while began.elapsed() < VISIT && !is_stopped() {
            // What it is handed meanwhile is read by whom it belongs to next.
            drop(visitor.poll(GLANCE));
            if looked.elapsed() >= ASK {
                looked = Instant::now();
                let is_member = visitor.assignment().is_ok_and(|assigned| assigned.count() > 0);
                // Whoever has no partitions to spare gives the visitor none.
                let is_whole = || {
                    self.without_member(false)
                        .is_ok_and(|missing| missing.is_some_and(|it| it.is_empty()))
                };
                if is_member || is_whole() {
                    break;
                }
            }
        }
        Ok(())
    }
}

fn topics(members: &[LogSettings]) -> impl Iterator<Item = &str> {
    let topics = members.first().map(|first| match &first.membership {
        Membership::Group(topics) => topics.as_slice(),
        Membership::Fixed(_) => &[],
    });
    topics.unwrap_or_default().iter().map(String::as_str)
}

/// What a member of a classic group was assigned (Kafka's `ConsumerProtocolAssignment`): version, then topics, each with its
/// partitions, then what is the assignor's own. `None` if the bytes end early.
fn read_assignment(bytes: &[u8]) -> Option<BTreeSet<TopicPartition>> {
    let mut rest = bytes.get(2..)?;
    let mut assigned = BTreeSet::new();
    for _ in 0..take_number(&mut rest)? {
        let (length, behind) = rest.split_first_chunk::<2>()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let (topic, behind) = behind.split_at_checked(length)?;
        rest = behind;
        let topic = std::str::from_utf8(topic).ok()?;
        for _ in 0..take_number(&mut rest)? {
            assigned.insert(TopicPartition::new(topic, take_number(&mut rest)?));
        }
    }
    Some(assigned)
}

fn take_number(rest: &mut &[u8]) -> Option<i32> {
    let (number, behind) = rest.split_first_chunk::<4>()?;
    *rest = behind;
    Some(i32::from_be_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_or_is_none() {
        let bytes = b"\0\x03\0\0\0\x02\0\x04auth\0\0\0\x02\0\0\0\x01\0\0\0\x07\0\x03vpn\0\0\0\0\xff\xff\xff\xff";
        let assigned = read_assignment(bytes).map(|assigned| assigned.iter().map(ToString::to_string).collect());
        assert_eq!(assigned, Some(vec!["auth/1".to_owned(), "auth/7".to_owned()]));
        // The assignor's own bytes may be missing; nothing else may.
        for length in 0..bytes.len() - 4 {
            assert_eq!(read_assignment(&bytes[..length]), None, "{length}");
        }
        let endless = b"\0\x01\x7f\xff\xff\xff";
        assert_eq!(read_assignment(endless), None);
        assert_eq!(read_assignment(b"\0\x01\0\0\0\0"), Some(BTreeSet::new()));
    }
}
