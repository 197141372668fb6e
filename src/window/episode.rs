//! Episodes: findings about the same subject that follow each other are one alert with updates.

use crate::model::codec::{Malformed, Reader, Writer};
use crate::model::{Detection, Finding, Severity, Strength};

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
    /// Hash of the accounts, or of the wording, last published.
    pub accounts: u64,
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
    /// Every finding adds evidence of its own (a leg of travel), so each is published as an update.
    pub every_finding: bool,
    /// The wording names everything seen (a farm's tools), so another wording no less grave is published as an update.
    pub every_wording: bool,
    /// Records published per episode at most.
    pub published_max: u32,
    /// Episodes remembered per window.
    pub episodes_max: usize,
}

impl Episode {
    fn holds(&self, finding: &Finding, subject: u64, policy: &EpisodePolicy) -> bool {
        self.detection == finding.detection
            && self.strength == finding.strength
            && self.subject == subject
            && finding.last_ms <= self.last_ms.saturating_add(policy.gap_ms)
            && finding.last_ms >= self.first_ms.saturating_sub(policy.gap_ms)
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
    pub fn route(&self, finding: &Finding, policy: &EpisodePolicy) -> Option<Route<'_>> {
        let subject = hash(&[&finding.subject]);
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
    /// so far, this one included. `fresh` is the identity to use if the finding opens an episode.
    pub fn take(&mut self, finding: &Finding, fresh: u128, policy: &EpisodePolicy) -> (Verdict, u128, u32) {
        let subject = hash(&[&finding.subject]);
        let accounts = if policy.every_wording {
            hash(&[&finding.message])
        } else {
            hash(&finding.accounts)
        };
        let open = self
            .0
            .iter_mut()
            .find(|episode| episode.holds(finding, subject, policy));
        if let Some(episode) = open {
            let is_reworded =
                accounts != episode.accounts && (!policy.every_wording || finding.severity >= episode.severity);
            let is_news = policy.every_finding || finding.severity > episode.severity || is_reworded;
            episode.findings = episode.findings.saturating_add(1);
            episode.first_ms = episode.first_ms.min(finding.first_ms);
            episode.last_ms = episode.last_ms.max(finding.last_ms);
            if !is_news || episode.published >= policy.published_max {
                return (Verdict::Fold, episode.alert, episode.published);
            }
            episode.severity = episode.severity.max(finding.severity);
            episode.accounts = accounts;
            episode.published += 1;
            return (Verdict::Update, episode.alert, episode.published);
        }
        self.open(finding, fresh, subject, accounts, policy.episodes_max);
        (Verdict::Create, fresh, 1)
    }

    fn open(&mut self, finding: &Finding, alert: u128, subject: u64, accounts: u64, episodes_max: usize) {
        if self.0.len() >= episodes_max.max(1) {
            let oldest = self
                .0
                .iter()
                .enumerate()
                .min_by_key(|(_, e)| e.last_ms)
                .map_or(0, |(i, _)| i);
            self.0.remove(oldest);
        }
        self.0.push(Episode {
            detection: finding.detection,
            strength: finding.strength,
            subject,
            alert,
            first_ms: finding.first_ms,
            last_ms: finding.last_ms,
            findings: 1,
            published: 1,
            severity: finding.severity,
            accounts,
            home: Box::default(),
        });
    }

    /// Whether an alert (not a signal) of this detection is open for the subject at that time.
    #[must_use]
    pub fn is_open(&self, detection: Detection, subject: &str, at_ms: i64, gap_ms: i64) -> bool {
        let subject = hash(&[subject]);
        self.0.iter().any(|e| {
            e.detection == detection
                && e.strength == Strength::Alert
                && e.subject == subject
                && at_ms <= e.last_ms.saturating_add(gap_ms)
        })
    }

    /// Forgets episodes whose latest finding is before `horizon_ms`.
    pub fn forget_before(&mut self, horizon_ms: i64) {
        self.0.retain(|e| e.last_ms >= horizon_ms);
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
            writer.bool(e.strength == Strength::Alert);
            writer.uint(e.subject);
            writer.u128(e.alert);
            writer.int(e.first_ms);
            writer.int(e.last_ms);
            writer.uint(u64::from(e.findings));
            writer.uint(u64::from(e.published));
            writer.u8(e.severity as u8);
            writer.uint(e.accounts);
            writer.str(&e.home);
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
            episodes.push(Episode {
                detection,
                strength: if reader.bool()? {
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
                accounts: reader.uint()?,
                home: reader.str()?.into(),
            });
        }
        Ok(Self(episodes))
    }
}

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
