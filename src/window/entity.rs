//! The window of one shared thing, a device or a network: which accounts used it, when, and what each claims.

use super::DAY_MS;
use super::few::Few;
use super::settings::WindowSettings;
use super::story::Story;
use crate::model::codec::{Malformed, Reader, Writer};
use crate::model::link::Latest;
use crate::model::{EntityKind, Link};

/// Facts about one shared thing.
///
/// Most things have one account. What its link said is kept as it came, and read again only where accounts are compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EntityFacts {
    /// Append time of the last link, ms.
    pub last_append_ms: i64,
    /// Accounts tied to it, by name.
    pub(super) ties: Few<StoredTie>,
    /// What few things have; `None` where that is nothing.
    pub(super) story: Option<Box<Story>>,
}

/// One account's use of the thing, as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StoredTie {
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
    /// See [`crate::model::link::AccountSummary::is_remarkable`].
    is_remarkable: bool,
    /// Companions behind the length they take together, then [`Latest`]; see [`Tie`].
    pub(super) told: Box<[u8]>,
}

/// One account's use of the thing.
#[derive(Clone, Debug, PartialEq)]
pub struct Tie<'a> {
    /// First use in event time, ms.
    pub first_ms: i64,
    /// Latest use in event time, ms.
    pub last_ms: i64,
    /// Devices used there, for a network; oldest first.
    pub companions: Vec<&'a str>,
    /// What the latest link of the account said.
    pub latest: Latest<'a>,
}

/// Devices remembered per tie.
pub const COMPANIONS_MAX: usize = 4;
static NO_STORY: Story = Story::none();

impl<'a> Tie<'a> {
    /// Days of use within the account's window.
    #[must_use]
    pub fn days(&self) -> u16 {
        self.latest.account_facts.days_on_entity
    }

    fn read(stored: &'a StoredTie) -> Result<Self, Malformed> {
        let mut reader = Reader::new(&stored.told);
        let companions = names(reader.bytes()?).collect::<Result<_, _>>()?;
        let start = reader.at();
        let latest = Latest::from_bytes(reader.rest()).map_err(|error| Malformed {
            at: start + error.at,
            ..error
        })?;
        Ok(Self {
            first_ms: stored.first_ms,
            last_ms: stored.last_ms,
            companions,
            latest,
        })
    }
}

/// What is kept was read once, so it can be read again.
fn read(stored: &StoredTie) -> Option<Tie<'_>> {
    Tie::read(stored).ok()
}

/// Names, one behind the other; the first that cannot be read is the last.
fn names(bytes: &[u8]) -> impl Iterator<Item = Result<&str, Malformed>> {
    let mut reader = Some(Reader::new(bytes));
    std::iter::from_fn(move || {
        let name = reader.as_mut().filter(|reader| !reader.is_at_end())?.str();
        if name.is_err() {
            reader = None;
        }
        Some(name)
    })
}

impl StoredTie {
    /// A tie read back from a checkpoint.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes are none.
    pub(super) fn new(first_ms: i64, last_ms: i64, told: &[u8]) -> Result<Self, Malformed> {
        let tie = Self {
            first_ms,
            last_ms,
            is_remarkable: false,
            told: told.into(),
        };
        let is_remarkable = Tie::read(&tie)?.latest.account_facts.is_remarkable();
        Ok(Self { is_remarkable, ..tie })
    }

    /// The bytes of the companions and of the latest link. What is kept was read once, so it can be read again.
    fn parts(&self) -> (&[u8], &[u8]) {
        let mut reader = Reader::new(&self.told);
        let companions = reader.bytes().unwrap_or_default();
        (companions, reader.rest())
    }

    fn account(&self) -> &str {
        Reader::new(self.parts().1).str().unwrap_or_default()
    }

    /// Folds a later link of the same account.
    fn update(&mut self, link: &Link<'_>, companion: &str, scratch: &mut Writer) {
        let is_later = link.time_ms >= self.last_ms;
        self.first_ms = self.first_ms.min(link.first_ms);
        self.last_ms = self.last_ms.max(link.time_ms);
        let (kept, latest) = self.parts();
        scratch.clear();
        if companion.is_empty() || names(kept).flatten().any(|known| known == companion) {
            scratch.uint(kept.len() as u64);
            scratch.raw(kept);
        } else {
            let dropped = (names(kept).count() + 1).saturating_sub(COMPANIONS_MAX);
            let mut list = Writer::default();
            let left = names(kept).flatten().skip(dropped);
            left.chain([companion]).for_each(|name| list.str(name));
            scratch.uint(list.len() as u64);
            scratch.raw(list.as_bytes());
        }
        scratch.raw(if is_later { link.latest.as_bytes() } else { latest });
        if is_later {
            self.is_remarkable = link.latest.is_remarkable;
        }
        if scratch.len() == self.told.len() {
            self.told.copy_from_slice(scratch.as_bytes());
        } else {
            self.told = scratch.as_bytes().into();
        }
    }
}

fn is_passing(latest: &Latest<'_>, is_remarkable: bool) -> bool {
    !is_remarkable && latest.account_facts.days_on_entity <= 1
}

/// The first tie of an account; `scratch` is emptied first, it saves an allocation.
fn first_tie(link: &Link<'_>, companion: &str, scratch: &mut Writer) -> StoredTie {
    scratch.clear();
    if companion.is_empty() {
        scratch.uint(0);
    } else {
        let length = companion.len() as u64;
        scratch.uint(length + u64::from(length.ilog2() / 7) + 1);
        scratch.str(companion);
    }
    scratch.raw(link.latest.as_bytes());
    StoredTie {
        first_ms: link.first_ms,
        last_ms: link.time_ms,
        is_remarkable: link.latest.is_remarkable,
        told: scratch.as_bytes().into(),
    }
}

impl EntityFacts {
    /// Folds one link. False if an account found no place, or gave its own up. `scratch` saves an allocation.
    pub fn apply(&mut self, link: &Link<'_>, append_ms: i64, settings: &WindowSettings, scratch: &mut Writer) -> bool {
        let append_ms = self.last_append_ms.max(append_ms);
        self.last_append_ms = append_ms;
        self.forget(append_ms, settings);
        let companion = match link.entity_kind {
            EntityKind::Network => link.latest.device,
            EntityKind::Device | EntityKind::Factor => "",
        };
        let is_full = self.ties.len() >= settings.ties_max.max(2);
        match self.place_of(link.latest.account) {
            Ok(index) => self.ties[index].update(link, companion, scratch),
            Err(index) if !is_full => self.ties.insert(index, first_tie(link, companion, scratch)),
            Err(_) => {
                self.story_mut().overflow += 1;
                let passing = self
                    .passing_tie()
                    .filter(|_| !is_passing(&link.latest.read(), link.latest.is_remarkable));
                if let Some(passing) = passing {
                    self.ties.remove(passing);
                    let (Ok(index) | Err(index)) = self.place_of(link.latest.account);
                    self.ties.insert(index, first_tie(link, companion, scratch));
                }
                return false;
            }
        }
        true
    }

    fn place_of(&self, account: &str) -> Result<usize, usize> {
        self.ties.binary_search_by(|tie| tie.account().cmp(account))
    }

    /// The tie of an account that only came by, and longest ago: it goes for one that stays or of which anything is known,
    /// so that no number of sign-ins hides those.
    fn passing_tie(&self) -> Option<usize> {
        let all = self.ties.iter().enumerate();
        let passing = all.filter(|(_, tie)| read(tie).is_some_and(|read| is_passing(&read.latest, tie.is_remarkable)));
        passing.min_by_key(|(_, tie)| tie.last_ms).map(|(index, _)| index)
    }

    fn forget(&mut self, append_ms: i64, settings: &WindowSettings) {
        let kept_ms = i64::from(settings.retention_days) * DAY_MS + settings.allowed_lateness_ms;
        let horizon = append_ms.saturating_sub(kept_ms);
        self.ties.retain(|tie| tie.last_ms >= horizon);
        if let Some(story) = &mut self.story {
            story.episodes.forget_before(horizon);
            if self.ties.is_empty() {
                story.overflow = 0;
            }
        }
    }

    /// What few things have.
    #[must_use]
    pub fn story(&self) -> &Story {
        self.story.as_deref().unwrap_or(&NO_STORY)
    }

    /// What few things have, to be changed.
    pub fn story_mut(&mut self) -> &mut Story {
        self.story.get_or_insert_with(|| Box::new(Story::none()))
    }

    /// How many accounts are tied to it.
    #[must_use]
    pub fn tie_count(&self) -> usize {
        self.ties.len()
    }

    /// Accounts seen on the thing since a moment of event time, by name.
    pub fn ties_since(&self, from_ms: i64) -> impl Iterator<Item = Tie<'_>> {
        self.stored_since(from_ms).filter_map(read)
    }

    /// Those of them of which their latest links tell anything that a rule may hold against them.
    pub fn remarkable_ties_since(&self, from_ms: i64) -> impl Iterator<Item = Tie<'_>> {
        self.stored_since(from_ms)
            .filter(|tie| tie.is_remarkable)
            .filter_map(read)
    }

    /// The names of all of them.
    pub fn accounts_since(&self, from_ms: i64) -> impl Iterator<Item = &str> {
        self.stored_since(from_ms).map(StoredTie::account)
    }

    fn stored_since(&self, from_ms: i64) -> impl Iterator<Item = &StoredTie> {
        self.ties.iter().filter(move |tie| tie.last_ms >= from_ms)
    }

    /// How many accounts were seen on the thing since a moment of event time.
    #[must_use]
    pub fn count_since(&self, from_ms: i64) -> usize {
        self.stored_since(from_ms).count()
    }

    /// Reads a little of the window, to bring it near.
    #[must_use]
    pub fn touch(&self) -> u64 {
        self.last_append_ms.cast_unsigned() ^ u64::from(self.story.is_some()) ^ u64::from(self.ties.is_empty())
    }

    /// Reads a little of what lies apart from it, to bring it near.
    #[must_use]
    pub fn touch_apart(&self) -> u64 {
        let Some(tie) = self.ties.first() else { return 0 };
        let lines = tie.told.iter().step_by(64);
        lines.fold(tie.last_ms.cast_unsigned(), |all, byte| all ^ u64::from(*byte))
    }

    /// Whether it shows so little that it may be given up for another: one account.
    #[must_use]
    pub fn is_provisional(&self) -> bool {
        let story = self.story();
        let has_told = !(story.episodes.is_empty() && story.taken_offers.is_empty());
        self.ties.len() <= 1 && story.overflow == 0 && !has_told && story.withheld.is_empty()
    }

    /// Whether nothing would be left at this append time.
    #[must_use]
    pub fn is_expired(&self, append_ms: i64, settings: &WindowSettings) -> bool {
        let kept_ms = i64::from(settings.retention_days) * DAY_MS + settings.allowed_lateness_ms;
        self.last_append_ms < append_ms.saturating_sub(kept_ms)
    }

    /// Bytes it takes on the heap, estimated.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let told = self.ties.iter().map(|tie| tie.told.len());
        let story = self.story.as_ref();
        let story = story.map_or(0, |story| size_of::<Story>() + story.bytes_apart());
        self.ties.bytes() + told.sum::<usize>() + story
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::link::{AccountSummary, PackedLatest};
    use crate::window::intern::Interner;
    use crate::window::shared::{SharedReader, SharedWriter};

    fn fold(facts: &mut EntityFacts, account: &str, time_ms: i64, account_facts: AccountSummary<'_>) {
        let latest = Latest {
            account,
            account_facts,
            ..Latest::default()
        };
        let mut writer = Writer::default();
        latest.write(&mut writer);
        let link = Link {
            entity_kind: EntityKind::Network,
            entity: "240.1.0.7",
            first_ms: time_ms,
            time_ms,
            clock_ms: time_ms,
            data_versions: "",
            latest: PackedLatest::new(writer.as_bytes()).unwrap(),
            offer: None,
        };
        facts.apply(&link, time_ms, &WindowSettings::default(), &mut Writer::default());
    }

    fn remarkable(facts: &EntityFacts) -> Vec<&str> {
        let ties = facts.remarkable_ties_since(0);
        ties.map(|tie| tie.latest.account).collect()
    }

    #[test]
    fn those_who_came_by_make_room_for_those_who_stay_or_stand_out() {
        let full = WindowSettings::default().ties_max;
        let days = |days_on_entity| AccountSummary {
            days_on_entity,
            ..AccountSummary::default()
        };
        let mut facts = EntityFacts::default();
        fold(&mut facts, "steady", 1, days(2));
        for number in 1..full {
            fold(
                &mut facts,
                &format!("passing-{number:02}"),
                10 + i64::try_from(number).unwrap(),
                days(1),
            );
        }
        fold(&mut facts, "one-more", 90, days(1));
        assert_eq!((facts.tie_count(), facts.story().overflow), (full, 1), "found no place");
        fold(&mut facts, "a-regular", 100, days(2));
        fold(
            &mut facts,
            "tooled",
            100,
            AccountSummary {
                rdp_relays: 1,
                ..days(1)
            },
        );
        let known: Vec<&str> = facts.accounts_since(0).collect();
        assert_eq!((known.len(), facts.story().overflow), (full, 3));
        assert!(
            ["a-regular", "steady", "tooled", "passing-03"]
                .iter()
                .all(|name| known.contains(name))
        );
        assert!(
            ["passing-01", "passing-02", "one-more"]
                .iter()
                .all(|name| !known.contains(name))
        );
    }

    #[test]
    fn a_tie_is_remarkable_by_its_latest_link_and_after_a_restore() {
        let plain = AccountSummary::default();
        let tools = AccountSummary {
            remote_tools: vec!["AnyDesk"],
            ..plain.clone()
        };
        let brands = AccountSummary {
            vpn_brands: vec!["Astrill"],
            ..plain.clone()
        };
        let kvm = AccountSummary {
            kvm: vec!["PiKVM"],
            ..plain.clone()
        };
        let relays = AccountSummary {
            rdp_relays: 1,
            ..plain.clone()
        };
        let away = AccountSummary {
            days_away: 1,
            ..plain.clone()
        };
        let mut facts = EntityFacts::default();
        fold(&mut facts, "nothing", 10, plain.clone());
        for (account, summary) in [("tools", tools), ("brands", brands), ("kvm", kvm), ("relays", relays)] {
            fold(&mut facts, account, 10, summary);
        }
        fold(&mut facts, "late", 20, plain);
        fold(&mut facts, "late", 10, away.clone());
        assert_eq!(remarkable(&facts), ["brands", "kvm", "relays", "tools"]);
        fold(&mut facts, "late", 30, away);
        fold(&mut facts, "tools", 30, AccountSummary::default());
        assert_eq!(remarkable(&facts), ["brands", "kvm", "late", "relays"]);
        assert_eq!(facts.accounts_since(30).collect::<Vec<_>>(), ["late", "tools"]);

        let mut writer = SharedWriter::default();
        facts.write(&mut writer);
        let bytes = writer.plain.into_bytes();
        let mut interner = Interner::default();
        let restored = EntityFacts::read(&mut SharedReader::new(&bytes, &mut interner)).unwrap();
        assert_eq!(restored, facts);
    }
}
