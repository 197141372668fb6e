//! Episodes: findings about the same subject that follow each other are one alert with updates.

use super::day_of;
use crate::model::codec::{Malformed, Reader, Writer};
use crate::model::{Detection, Evidence, Finding, Severity, Strength};

/// One open alert, or one open signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    /// Detection.
    pub detection: Detection,
    /// Signals and alerts are told apart: an alert is created when it becomes one.
    pub strength: Strength,
    /// 64-bit hash of the subject.
    pub subject: u64,
    /// Identity of the alert.
    pub alert: u128,
    /// Event time of the first and the latest finding, ms.
    pub first_ms: i64,
    /// See `first_ms`.
    pub last_ms: i64,
    /// Findings folded in.
    pub findings: u32,
    /// Records published.
    pub published: u32,
    /// Worst severity published.
    pub severity: Severity,
    /// What was news of the finding last published, as [`Brief::news`].
    pub news: u64,
    /// Under [`Renewal::Daily`] each news with the day on which it was last published, under [`Renewal::Wording`] a hash
    /// of each account named with the day of the finding that first did, under [`Renewal::Evidence`] one of each role.
    pub told: Vec<(u64, i32)>,
    /// Network the alert is offered to; empty if it is published where it was found.
    pub home: Box<str>,
}

/// What to do with a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Publish it as a new alert.
    Create,
    /// Publish it as an update of an open alert.
    Update,
    /// It adds nothing to the open alert; count it.
    Fold,
}

/// Where an open episode is published. It stays so for as long as it is open, or two places would publish one alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// By the window that found it.
    Here,
    /// By the window of that network, to which it is offered.
    Offered(&'a str),
}

/// The open episodes of one window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Episodes(Vec<Episode>);

/// When findings belong together, and when an update is worth a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpisodePolicy {
    /// Findings this close in event time, ms, belong to one episode.
    pub gap_ms: i64,
    /// What is news of a finding.
    pub renewal: Renewal,
    /// Records published per episode at most.
    pub published_max: u32,
    /// Episodes remembered per window.
    pub episodes_max: usize,
}

/// When a finding of an open episode, no graver than before, is published as an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Where it is about other accounts than the last.
    Accounts,
    /// Where it is worded otherwise than the last and no less grave: the wording names everything seen (a farm's tools).
    /// Where it names an account that was not told of yet, however grave.
    Wording,
    /// Where its evidence plays a role that was not told of yet (a KVM beside a logon), however grave.
    Evidence,
    /// Where it is about two lines that were not told of yet, or not on that day (a leg of travel): to and fro between the
    /// same two is one story.
    Daily,
}

/// What decides whether a finding is published. Most of what goes on for long is not, and need not be described.
#[derive(Clone, Copy, Debug)]
pub struct Brief<'a> {
    /// See [`Finding`]; so the next three.
    pub detection: Detection,
    /// Signal or alert.
    pub strength: Strength,
    /// How bad.
    pub severity: Severity,
    /// Names the episode, together with the detection.
    pub subject: &'a str,
    /// Accounts it is about, where that may be news.
    pub accounts: &'a [String],
    /// What it rests on, where that may be news.
    pub evidence: &'a [Evidence],
    /// Time of the first event in evidence, ms.
    pub first_ms: i64,
    /// Time of the last event in evidence, ms.
    pub last_ms: i64,
    /// Hash of what may be news.
    pub news: u64,
}

impl<'a> Brief<'a> {
    /// Of a finding that is described already.
    #[must_use]
    pub fn of(finding: &'a Finding, renewal: Renewal) -> Self {
        Self {
            detection: finding.detection,
            strength: finding.strength,
            severity: finding.severity,
            subject: &finding.subject,
            accounts: match renewal {
                Renewal::Wording => &finding.accounts,
                Renewal::Accounts | Renewal::Evidence | Renewal::Daily => &[],
            },
            evidence: match renewal {
                Renewal::Evidence => &finding.evidence,
                Renewal::Accounts | Renewal::Wording | Renewal::Daily => &[],
            },
            first_ms: finding.first_ms,
            last_ms: finding.last_ms,
            news: match renewal {
                Renewal::Wording => hash(&[&finding.message]),
                Renewal::Accounts | Renewal::Evidence | Renewal::Daily => hash(&finding.accounts),
            },
        }
    }

    /// Hashes of what is told once each: accounts and roles of evidence.
    pub fn named(&self) -> impl Iterator<Item = u64> {
        let roles = self.evidence.iter().map(|evidence| hash(&[&evidence.role]));
        self.accounts.iter().map(|account| hash(&[account])).chain(roles)
    }
}

impl Episode {
    fn holds(&self, finding: &Brief<'_>, subject: u64, policy: &EpisodePolicy) -> bool {
        self.detection == finding.detection
            && self.strength == finding.strength
            && self.subject == subject
            && finding.last_ms <= self.last_ms.saturating_add(policy.gap_ms)
            && finding.last_ms >= self.first_ms.saturating_sub(policy.gap_ms)
    }

    fn is_news(&self, finding: &Brief<'_>, renewal: Renewal) -> bool {
        let is_other = finding.news != self.news;
        let is_renewed = match renewal {
            Renewal::Accounts => is_other,
            Renewal::Wording => is_other && (finding.severity >= self.severity || self.is_any_new(finding)),
            Renewal::Evidence => self.is_any_new(finding),
            Renewal::Daily => {
                let day = day_of(finding.last_ms);
                !self
                    .told
                    .iter()
                    .any(|(news, told)| *news == finding.news && *told >= day)
            }
        };
        finding.severity > self.severity || is_renewed
    }

    /// A release before this one did not remember what it told of; with the next record all is.
    fn is_any_new(&self, finding: &Brief<'_>) -> bool {
        self.told.is_empty() || finding.named().any(|named| !self.has_told(named))
    }

    fn has_told(&self, named: u64) -> bool {
        self.told.iter().any(|(told, _)| *told == named)
    }

    /// Notes what is published.
    fn tell(&mut self, finding: &Brief<'_>, renewal: Renewal) {
        self.news = finding.news;
        let day = day_of(finding.last_ms);
        match renewal {
            Renewal::Accounts => {}
            Renewal::Wording | Renewal::Evidence => {
                for named in finding.named() {
                    if !self.has_told(named) {
                        self.told.push((named, day));
                    }
                }
            }
            Renewal::Daily => match self.told.iter_mut().find(|(news, _)| *news == finding.news) {
                Some((_, told)) => *told = day.max(*told),
                None => self.told.push((finding.news, day)),
            },
        }
    }
}

impl Episodes {
    /// No episode.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Where the open episode of `finding` is published, if one is open.
    #[must_use]
    pub fn route(&self, finding: &Brief<'_>, policy: &EpisodePolicy) -> Option<Route<'_>> {
        let subject = hash(&[finding.subject]);
        let open = self.0.iter().find(|episode| episode.holds(finding, subject, policy))?;
        Some(if open.home.is_empty() {
            Route::Here
        } else {
            Route::Offered(&open.home)
        })
    }

    /// Remembers which network an alert is offered to.
    pub fn settle(&mut self, alert: u128, home: &str) {
        if let Some(episode) = self.0.iter_mut().find(|episode| episode.alert == alert) {
            episode.home = home.into();
        }
    }

    /// Folds `finding` into its episode and says what to publish, with the alert's identity and the records published
    /// so far, this one included. `fresh` gives the identity to use if the finding opens an episode.
    pub fn take(
        &mut self,
        finding: &Brief<'_>,
        fresh: impl FnOnce() -> u128,
        policy: &EpisodePolicy,
    ) -> (Verdict, u128, u32) {
        let subject = hash(&[finding.subject]);
        let open = self
            .0
            .iter_mut()
            .find(|episode| episode.holds(finding, subject, policy));
        if let Some(episode) = open {
            let is_news = episode.is_news(finding, policy.renewal);
            episode.findings = episode.findings.saturating_add(1);
            episode.first_ms = episode.first_ms.min(finding.first_ms);
            episode.last_ms = episode.last_ms.max(finding.last_ms);
            if !is_news || episode.published >= policy.published_max {
                return (Verdict::Fold, episode.alert, episode.published);
            }
            episode.severity = episode.severity.max(finding.severity);
            episode.tell(finding, policy.renewal);
            episode.published += 1;
            return (Verdict::Update, episode.alert, episode.published);
        }
        let alert = fresh();
        self.open(finding, alert, subject, policy);
        (Verdict::Create, alert, 1)
    }

    fn open(&mut self, finding: &Brief<'_>, alert: u128, subject: u64, policy: &EpisodePolicy) {
        if self.0.len() >= policy.episodes_max.max(1) {
            let oldest = self
                .0
                .iter()
                .enumerate()
                .min_by_key(|(_, e)| e.last_ms)
                .map_or(0, |(i, _)| i);
            self.0.remove(oldest);
        }
        let mut episode = Episode {
            detection: finding.detection,
            strength: finding.strength,
            subject,
            alert,
            first_ms: finding.first_ms,
            last_ms: finding.last_ms,
            findings: 1,
            published: 1,
            severity: finding.severity,
            news: finding.news,
            told: Vec::new(),
            home: Box::default(),
        };
        episode.tell(finding, policy.renewal);
        self.0.push(episode);
    }

    /// Networks to which open episodes are offered.
    pub fn homes(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .map(|episode| &*episode.home)
            .filter(|home| !home.is_empty())
    }

    /// Whether an alert (not a signal) of this detection is open at that time, whatever its subject.
    #[must_use]
    pub fn is_open(&self, detection: Detection, at_ms: i64, gap_ms: i64) -> bool {
        self.0.iter().any(|e| {
            e.detection == detection && e.strength == Strength::Alert && at_ms <= e.last_ms.saturating_add(gap_ms)
        })
    }

    /// Forgets episodes whose latest finding is before `horizon_ms`.
    pub fn forget_before(&mut self, horizon_ms: i64) {
        self.0.retain(|e| e.last_ms >= horizon_ms);
    }

    /// When each was last found, ms.
    pub(super) fn last_ms(&self) -> impl Iterator<Item = i64> {
        self.0.iter().map(|episode| episode.last_ms)
    }

    /// Reads a little of the one opened first, to bring it near: of most accounts the only one.
    #[must_use]
    pub fn touch(&self) -> u64 {
        let Some(Episode {
            subject,
            last_ms,
            published,
            told,
            ..
        }) = self.0.first()
        else {
            return 0;
        };
        let told = told.first().map_or(0, |(news, _)| *news);
        subject ^ last_ms.cast_unsigned() ^ u64::from(*published) ^ told
    }

    /// Bytes on the heap, estimated.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let apart = self
            .0
            .iter()
            .map(|episode| size_of_val(&*episode.told) + episode.home.len());
        size_of_val(&*self.0) + apart.sum::<usize>()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends the episodes.
    pub fn write(&self, writer: &mut Writer) {
        writer.uint(self.0.len() as u64);
        for e in &self.0 {
            writer.u8(e.detection as u8);
            let is_alert = u8::from(e.strength == Strength::Alert) * IS_ALERT;
            let has_told = u8::from(!e.told.is_empty()) * HAS_TOLD;
            writer.u8(is_alert | has_told);
            writer.uint(e.subject);
            writer.u128(e.alert);
            writer.int(e.first_ms);
            writer.int(e.last_ms);
            writer.uint(u64::from(e.findings));
            writer.uint(u64::from(e.published));
            writer.u8(e.severity as u8);
            writer.uint(e.news);
            writer.str(&e.home);
            if !e.told.is_empty() {
                writer.uint(e.told.len() as u64);
                for (news, day) in &e.told {
                    writer.uint(*news);
                    writer.int(i64::from(*day));
                }
            }
        }
    }

    /// Reads the episodes.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes are no episodes.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = reader.count()?;
        let mut episodes = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            let detection = Detection::ALL.get(usize::from(reader.u8()?)).copied();
            let detection = detection.ok_or_else(|| reader.malformed("a detection"))?;
            let flags = reader.u8()?;
            if flags > IS_ALERT | HAS_TOLD {
                return Err(reader.malformed("flags of an episode"));
            }
            let mut episode = Episode {
                detection,
                strength: if flags & IS_ALERT != 0 {
                    Strength::Alert
                } else {
                    Strength::Signal
                },
                subject: reader.uint()?,
                alert: reader.u128()?,
                first_ms: reader.int()?,
                last_ms: reader.int()?,
                findings: reader.u32()?,
                published: reader.u32()?,
                severity: {
                    let severity = Severity::ALL.get(usize::from(reader.u8()?)).copied();
                    severity.ok_or_else(|| reader.malformed("a severity"))?
                },
                news: reader.uint()?,
                told: Vec::new(),
                home: reader.str()?.into(),
            };
            if flags & HAS_TOLD != 0 {
                for _ in 0..reader.count()? {
                    episode.told.push((reader.uint()?, reader.i32()?));
                }
            }
            episodes.push(episode);
        }
        Ok(Self(episodes))
    }
}

/// Beside each other in a byte of an episode, which without [`HAS_TOLD`] is that of earlier builds.
const IS_ALERT: u8 = 1;
const HAS_TOLD: u8 = 1 << 1;

/// 64-bit FNV-1a over several texts (Fowler, Noll, Vo): collisions here only fold two findings, they lose none.
#[must_use]
pub fn hash<T: AsRef<str>>(texts: &[T]) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for text in texts {
        for byte in text.as_ref().bytes().chain([0]) {
            state = (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::{DAY_MS, HOUR_MS};

    const DAILY: EpisodePolicy = EpisodePolicy {
        gap_ms: DAY_MS,
        renewal: Renewal::Daily,
        published_max: 5,
        episodes_max: 2,
    };

    fn leg(hour: i64, news: u64) -> Brief<'static> {
        Brief {
            detection: Detection::ImpossibleTravel,
            strength: Strength::Alert,
            severity: Severity::Medium,
            subject: "ann",
            accounts: &[],
            evidence: &[],
            first_ms: (hour - 1) * HOUR_MS,
            last_ms: hour * HOUR_MS,
            news,
        }
    }

    #[test]
    fn to_and_fro_is_told_once_a_day_and_another_line_at_once() {
        let mut episodes = Episodes::none();
        let mut verdict = |brief: &Brief<'_>| episodes.take(brief, || 7, &DAILY).0;
        assert_eq!(verdict(&leg(5, 1)), Verdict::Create);
        assert_eq!(verdict(&leg(6, 1)), Verdict::Fold);
        assert_eq!(verdict(&leg(7, 2)), Verdict::Update, "another line");
        assert_eq!(verdict(&leg(8, 1)), Verdict::Fold, "the first is still told");
        assert_eq!(verdict(&leg(25, 1)), Verdict::Update, "the next day");
        assert_eq!(verdict(&leg(9, 1)), Verdict::Fold, "late, of a day before");
        let graver = Brief {
            severity: Severity::High,
            ..leg(26, 1)
        };
        assert_eq!(verdict(&graver), Verdict::Update);
        assert_eq!(verdict(&leg(27, 3)), Verdict::Update);
        assert_eq!(verdict(&leg(28, 4)), Verdict::Fold, "told as often as one may");
        assert_eq!(verdict(&leg(28 + 25, 4)), Verdict::Create, "another episode");
    }

    #[test]
    fn an_account_that_was_not_named_yet_is_told_however_grave() {
        let policy = EpisodePolicy {
            renewal: Renewal::Wording,
            ..DAILY
        };
        let names = ["ann", "bob", "cid"].map(str::to_owned);
        let grave = Brief {
            severity: Severity::Critical,
            accounts: &names[..2],
            ..leg(5, 1)
        };
        let milder = |hour, news, accounts| Brief {
            accounts,
            ..leg(hour, news)
        };
        let mut episodes = Episodes::none();
        assert_eq!(episodes.take(&grave, || 7, &policy).0, Verdict::Create);
        // State of a release that remembered nobody: one record tells of all.
        let mut older = episodes.clone();
        older.0[0].told.clear();
        for (episodes, first) in [(&mut episodes, Verdict::Fold), (&mut older, Verdict::Update)] {
            let mut verdict = |brief: &Brief<'_>| episodes.take(brief, || 7, &policy).0;
            assert_eq!(verdict(&milder(6, 1, &names[..2])), Verdict::Fold, "worded alike");
            assert_eq!(verdict(&milder(7, 2, &names[..2])), first);
            assert_eq!(verdict(&milder(8, 3, &names)), Verdict::Update, "another account");
            assert_eq!(verdict(&milder(9, 4, &names[1..])), Verdict::Fold, "all were told");
        }
    }

    #[test]
    fn evidence_of_another_role_is_told_and_more_of_the_same_is_not() {
        let policy = EpisodePolicy {
            renewal: Renewal::Evidence,
            ..DAILY
        };
        let roles = ["logon", "tool", "kvm"].map(|role| Evidence {
            role: role.to_owned(),
            ..Evidence::default()
        });
        let relay = |hour, evidence| Brief {
            evidence,
            ..leg(hour, 1)
        };
        let mut episodes = Episodes::none();
        assert_eq!(episodes.take(&relay(5, &roles[..1]), || 7, &policy).0, Verdict::Create);
        // State of a release that remembered no role: one record tells of all.
        let mut older = episodes.clone();
        older.0[0].told.clear();
        for (episodes, first) in [(&mut episodes, Verdict::Fold), (&mut older, Verdict::Update)] {
            let mut verdict = |brief: &Brief<'_>| episodes.take(brief, || 7, &policy).0;
            assert_eq!(verdict(&relay(6, &roles[..1])), first);
            assert_eq!(verdict(&relay(7, &roles[1..])), Verdict::Update, "other roles");
            assert_eq!(verdict(&relay(8, &roles)), Verdict::Fold, "all were told");
        }
    }

    #[test]
    fn what_comes_late_and_is_graver_leaves_the_day_as_it_was() {
        let mut episodes = Episodes::none();
        let mut verdict = |brief: &Brief<'_>| episodes.take(brief, || 7, &DAILY).0;
        assert_eq!(verdict(&leg(25, 1)), Verdict::Create);
        let graver = Brief {
            severity: Severity::High,
            ..leg(23, 1)
        };
        assert_eq!(verdict(&graver), Verdict::Update);
        assert_eq!(verdict(&leg(26, 1)), Verdict::Fold, "told on that day already");
    }

    #[test]
    fn episodes_come_back_with_what_they_told_and_without_as_earlier_builds_wrote_them() {
        for renewal in [Renewal::Daily, Renewal::Accounts] {
            let policy = EpisodePolicy { renewal, ..DAILY };
            let mut episodes = Episodes::none();
            for news in 1..4 {
                episodes.take(&leg(5, news), || 7, &policy);
            }
            episodes.settle(7, "198.51.100.7");
            let mut writer = Writer::default();
            episodes.write(&mut writer);
            let bytes = writer.into_bytes();
            let mut reader = Reader::new(&bytes);
            assert_eq!(Episodes::read(&mut reader), Ok(episodes));
            assert!(reader.is_at_end());
            // Behind the number of episodes and the detection.
            assert_eq!(bytes[2], if renewal == Renewal::Daily { 3 } else { 1 });
            let mut damaged = bytes;
            damaged[2] = 4;
            assert!(Episodes::read(&mut Reader::new(&damaged)).is_err());
        }
    }
}
