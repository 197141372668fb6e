//! Several people's company laptops in one place, operated from elsewhere.
//!
//! Advisory flags: laptops shipped to one address, several accounts on one residential line, remote-desktop tools and
//! anonymizing VPNs beside them (IC3 2024, NY DFS 2024, Mandiant 2025). ATT&CK: T1078, T1219.002, T1219.003, T1090.002.
//!
//! | an account on the network shows | points |
//! |---|---|
//! | it is away from its claim on most days, or its claim is beyond every error radius of this place | 2 |
//! | an unapproved remote-access tool | 2 |
//! | KVM-over-IP | 3 |
//! | a remote-desktop logon during a VPN session | 3 |
//! | a commercial VPN brand | 1 |
//!
//! A farm is two such accounts with devices of their own, one of them away from its claim; or steady for a working
//! week without any; or all contradicting their claims for days without any tool seen. Where many others come by (a hotel, an
//! airport) only those count who stay for a working week; where many employees work steadily and as they claim, it is an
//! office. Neither is made with a few sign-ins.
//! Blind to: one line (or IPv6 /64) per laptop, with nothing installed and a claim in the farm's own town; laptops swapped
//! among all accounts that no roster assigns. An off-site of a working week in one hotel looks like a farm.

use crate::detections::claims::{contradict, is_spelled_better};
use crate::detections::settings::FarmSettings;
use crate::detections::shared_network;
use crate::detections::{Judgement, Quiet};
use crate::model::link::Latest;
use crate::model::{
    AccountKind, Detection, EntityKind, Evidence, Finding, Guard, Link, Measure, Rule, Severity, Strength, attack,
};
use crate::window::DAY_MS;
use crate::window::entity::{EntityFacts, Tie};

/// What is constant about it.
pub const RULE: Rule = Rule {
    detection: Detection::LaptopFarm,
    title: "Laptop farm indicators",
    description: "Company devices of several accounts share one access line and carry indicators that they are operated from elsewhere.",
    version: "1",
    attacks: &[
        attack::VALID_ACCOUNTS,
        attack::REMOTE_DESKTOP_SOFTWARE,
        attack::REMOTE_ACCESS_HARDWARE,
        attack::EXTERNAL_PROXY,
    ],
    blind_to: "one line (or IPv6 /64) per laptop, with nothing installed and a claim in the farm's own town; laptops that all of its accounts used, unless the roster assigns them; what an office of many employees hides",
};

/// Judges the network after one more link to it.
///
/// # Errors
/// [`Quiet`] if there is nothing to tell.
pub fn detect(link: &Link<'_>, facts: &EntityFacts, settings: &FarmSettings) -> Judgement {
    if link.entity_kind != EntityKind::Network || link.latest.class.is_shared_by_design() {
        return Err(Quiet::Nothing);
    }
    let mut suspects = suspects(link, facts, settings);
    if suspects.len() < ACCOUNTS_MIN {
        return Err(Quiet::Nothing);
    }
    let others = facts
        .count_since(since_ms(link, settings))
        .saturating_sub(suspects.len());
    if others >= settings.hub_accounts {
        suspects.retain(|suspect| suspect.tie.days() >= settings.steady_days);
    }
    let group = Group::of(&suspects, settings);
    if !group.is_farm() {
        return Err(Quiet::Nothing);
    }
    let locals = match others >= settings.hub_accounts {
        true => count_locals(link, facts, settings),
        false => 0,
    };
    if locals >= settings.hub_accounts {
        return Err(Quiet::Silenced("office_of_many_accounts"));
    }
    Ok(finding(link, &suspects, &group, (others, locals), settings))
}

fn since_ms(link: &Link<'_>, settings: &FarmSettings) -> i64 {
    link.time_ms - i64::from(settings.window_days) * DAY_MS
}

/// Employees who work here steadily, where they claim to, with nothing that speaks against them: who runs a farm cannot
/// have them hired.
fn count_locals(link: &Link<'_>, facts: &EntityFacts, settings: &FarmSettings) -> usize {
    let ties = facts.ties_since(since_ms(link, settings));
    let is_local = |tie: &Tie<'_>| {
        let (claim, summary) = (&tie.latest.claim, &tie.latest.account_facts);
        let is_near = claim.names_a_place() && summary.days_located > 0 && !summary.is_remarkable();
        claim.kind == AccountKind::Employee && is_near && tie.days() >= settings.steady_days
    };
    ties.filter(is_local).count()
}

/// Whether the network may yet turn out to be a farm, so that findings about one account on it should wait: two
/// accounts with devices of their own that contradict their claims or each other's, or carry indicators.
#[must_use]
pub fn is_candidate(link: &Link<'_>, facts: &EntityFacts, settings: &FarmSettings) -> bool {
    link.entity_kind == EntityKind::Network
        && !link.latest.class.is_shared_by_design()
        && suspects(link, facts, settings).len() >= ACCOUNTS_MIN
}

struct Suspect<'a> {
    tie: Tie<'a>,
    /// What speaks for it, with the points of each.
    tells: Vec<(&'static str, u16)>,
    points: u16,
    is_away: bool,
    has_tool: bool,
    has_device: bool,
}

fn suspects<'a>(link: &Link<'_>, facts: &'a EntityFacts, settings: &FarmSettings) -> Vec<Suspect<'a>> {
    // One account is no farm.
    if facts.tie_count() < ACCOUNTS_MIN {
        return Vec::new();
    }
    // The others have no points.
    let with_points = facts
        .remarkable_ties_since(since_ms(link, settings))
        .filter_map(suspect);
    let found: Vec<Suspect<'a>> = with_points.filter(|suspect| suspect.points >= 2).collect();
    let ties = || found.iter().map(|suspect| &suspect.tie);
    let are_people: Vec<bool> = ties().map(|tie| !is_spelled_better(tie, ties())).collect();
    let found = keep(found, are_people);
    // Two accounts on one device are `shared_device`; a farm has a laptop for each.
    let have_devices = have_own_device(&found);
    keep(found, have_devices)
}

fn keep<'a>(suspects: Vec<Suspect<'a>>, are_kept: Vec<bool>) -> Vec<Suspect<'a>> {
    let judged = suspects.into_iter().zip(are_kept);
    judged
        .filter_map(|(suspect, is_kept)| is_kept.then_some(suspect))
        .collect()
}

/// Whether each has a device that nobody else needs for one of their own. In order of name each is given one of its
/// devices, and who holds it moves on to another if they have one: a single sign-in on another's laptop takes nobody's
/// away. Who has just the devices of one before them has none: one laptop has as many ids as products name it; unless the
/// roster assigns the latest to them. An account of which no device is known needs none.
fn have_own_device(suspects: &[Suspect<'_>]) -> Vec<bool> {
    let mut given = Vec::new();
    let all = suspects.iter().enumerate();
    all.map(|(index, suspect)| {
        let devices = &suspect.tie.companions;
        let is_like = |other: &Suspect<'_>| are_same(&other.tie.companions, devices);
        let latest = &suspect.tie.latest;
        let has_it = |other: &Suspect<'_>| other.tie.latest.device.eq_ignore_ascii_case(latest.device);
        devices.is_empty()
            || latest.claim.owns_device && !suspects[..index].iter().any(has_it)
            || !suspects[..index].iter().any(is_like) && give_device(index, suspects, &mut given, &mut Vec::new())
    })
    .collect()
}

/// Whether both have the same devices.
fn are_same(one: &[&str], other: &[&str]) -> bool {
    let has = |list: &[&str], device: &str| list.iter().any(|known| known.eq_ignore_ascii_case(device));
    one.len() == other.len() && one.iter().all(|device| has(other, device))
}

/// Gives a device to the suspect at `index`, if need be by moving others on (an augmenting path, Berge 1957). `given`
/// names the holder of each device, `asked` the devices whose holders were asked to move on.
fn give_device<'a>(
    index: usize,
    suspects: &'a [Suspect<'_>],
    given: &mut Vec<(&'a str, usize)>,
    asked: &mut Vec<&'a str>,
) -> bool {
    /// Holders asked at most, however many accounts a window keeps: each may ask the next.
    const ASKED_MAX: usize = 256;
    let devices = &suspects[index].tie.companions;
    let holder =
        |given: &[(&str, usize)], device: &str| given.iter().position(|(known, _)| known.eq_ignore_ascii_case(device));
    if let Some(free) = devices.iter().find(|device| holder(given, device).is_none()) {
        given.push((free, index));
        return true;
    }
    for device in devices {
        if asked.len() >= ASKED_MAX || asked.iter().any(|known| known.eq_ignore_ascii_case(device)) {
            continue;
        }
        asked.push(device);
        if let Some(at) = holder(given, device)
            && give_device(given[at].1, suspects, given, asked)
        {
            given[at].1 = index;
            return true;
        }
    }
    false
}

fn suspect(tie: Tie<'_>) -> Option<Suspect<'_>> {
    let link = &tie.latest;
    if matches!(link.claim.kind, AccountKind::Service) {
        return None;
    }
    let summary = &link.account_facts;
    let is_away = shared_network::is_away(&tie);
    let has_tool = !summary.remote_tools.is_empty() || !summary.kvm.is_empty() || summary.rdp_relays > 0;
    let tells = tells(link, is_away);
    Some(Suspect {
        points: tells.iter().map(|(_, points)| points).sum(),
        tells,
        is_away,
        has_tool,
        has_device: !tie.companions.is_empty(),
        tie,
    })
}

fn tells(link: &Latest<'_>, is_away: bool) -> Vec<(&'static str, u16)> {
    let summary = &link.account_facts;
    let all = [
        (is_away, "away from its claim", 2),
        (!summary.remote_tools.is_empty(), "unapproved remote-access tool", 2),
        (!summary.kvm.is_empty(), "KVM-over-IP", 3),
        (summary.rdp_relays > 0, "remote-desktop logon during a VPN session", 3),
        (!summary.vpn_brands.is_empty(), "commercial VPN brand", 1),
    ];
    let shown = all.into_iter().filter(|(is_shown, ..)| *is_shown);
    shown.map(|(_, name, points)| (name, points)).collect()
}

struct Group {
    operated: usize,
    steady: usize,
    long_away: usize,
    any_away: bool,
    any_tool: bool,
    contradicting: bool,
    outsiders: usize,
    /// Those that the roster names, whatever their case.
    employers: usize,
}

/// How many accounts a branch of the rule takes.
const ACCOUNTS_MIN: usize = 2;

impl Group {
    fn of(suspects: &[Suspect<'_>], settings: &FarmSettings) -> Self {
        let mut employers: Vec<&str> = Vec::new();
        for employer in suspects.iter().map(|s| s.tie.latest.claim.employer.trim()) {
            if !employer.is_empty() && !employers.iter().any(|known| known.eq_ignore_ascii_case(employer)) {
                employers.push(employer);
            }
        }
        Self {
            operated: suspects
                .iter()
                .filter(|s| s.points >= settings.account_points && s.has_tool)
                .count(),
            steady: suspects
                .iter()
                .filter(|s| s.has_tool && s.tie.days() >= settings.steady_days)
                .count(),
            long_away: suspects
                .iter()
                .filter(|s| s.is_away && s.has_device && s.tie.days() >= settings.claim_days)
                .count(),
            any_away: suspects.iter().any(|s| s.is_away),
            any_tool: suspects.iter().any(|s| s.has_tool),
            contradicting: suspects.iter().any(|a| {
                suspects
                    .iter()
                    .any(|b| contradict(&a.tie.latest.claim, &b.tie.latest.claim))
            }),
            outsiders: suspects
                .iter()
                .filter(|s| s.tie.latest.claim.kind != AccountKind::Employee)
                .count(),
            employers: employers.len(),
        }
    }

    fn is_farm(&self) -> bool {
        self.is_operated_and_away() || self.is_steadily_operated() || self.is_away_for_days()
    }

    fn is_operated_and_away(&self) -> bool {
        self.operated >= ACCOUNTS_MIN && (self.any_away || self.contradicting)
    }

    fn is_steadily_operated(&self) -> bool {
        self.steady >= ACCOUNTS_MIN && (self.outsiders >= 2 || self.employers >= 2 || self.any_away)
    }

    fn is_away_for_days(&self) -> bool {
        self.long_away >= ACCOUNTS_MIN && self.contradicting && (self.outsiders >= 1 || self.any_tool)
    }

    /// The branches of the rule that hold, as a person would say them.
    fn branches(&self) -> String {
        let all = [
            (self.is_operated_and_away(), "operated and away"),
            (self.is_steadily_operated(), "steadily operated"),
            (self.is_away_for_days(), "away for days"),
        ];
        let holding: Vec<&str> = all.iter().filter(|(holds, _)| *holds).map(|(_, name)| *name).collect();
        holding.join("; ")
    }

    /// What each branch counts: against its limit where the branch holds, because there alone it is the reason.
    fn measures(&self) -> [Measure; 3] {
        let all = [
            ("accounts_operated", self.operated, self.is_operated_and_away()),
            ("accounts_steady", self.steady, self.is_steadily_operated()),
            ("accounts_away_for_days", self.long_away, self.is_away_for_days()),
        ];
        all.map(|(name, count, is_reason)| {
            if is_reason {
                Measure::against(name, number(count), number(ACCOUNTS_MIN))
            } else {
                Measure::shown(name, number(count))
            }
        })
    }
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// `(others, locals)`: accounts on the network that are no suspects, and those of them that make an office.
fn finding(
    link: &Link<'_>,
    suspects: &[Suspect<'_>],
    group: &Group,
    (others, locals): (usize, usize),
    settings: &FarmSettings,
) -> Finding {
    let accounts: Vec<String> = suspects.iter().map(|s| s.tie.latest.account.to_string()).collect();
    let severity = if group.any_away && group.any_tool {
        Severity::Critical
    } else {
        Severity::High
    };
    let place = link
        .latest
        .read()
        .place
        .map_or_else(|| "an unknown place".to_owned(), |place| place.label());
    let points: u16 = suspects.iter().map(|s| s.points).sum();
    Finding {
        detection: Detection::LaptopFarm,
        strength: Strength::Alert,
        severity,
        confidence: u8::try_from((50 + u32::from(points) * 4).min(95)).unwrap_or(95),
        subject: link.entity.to_owned(),
        message: format!(
            "Laptop farm indicators: {} accounts on {} in {place}: {}{}",
            accounts.len(),
            link.entity,
            accounts.join(", "),
            seen_with(suspects),
        ),
        accounts,
        first_ms: suspects.iter().map(|s| s.tie.first_ms).min().unwrap_or(link.time_ms),
        last_ms: suspects.iter().map(|s| s.tie.last_ms).max().unwrap_or(link.time_ms),
        evidence: std::iter::once(network_evidence(link))
            .chain(suspects.iter().map(account_evidence))
            .collect(),
        measures: [
            Measure::against("accounts", number(suspects.len()), number(ACCOUNTS_MIN)),
            Measure::shown("indicator_points", f64::from(points)),
            Measure::shown(
                "accounts_away_from_claim",
                number(suspects.iter().filter(|s| s.is_away).count()),
            ),
        ]
        .into_iter()
        .chain(group.measures())
        .collect(),
        guards: guards(link, suspects, group, (others, locals), settings),
        data_versions: link.data_versions.to_owned(),
        degraded: false,
    }
}

fn seen_with(suspects: &[Suspect<'_>]) -> String {
    let mut names: Vec<&str> = suspects
        .iter()
        .flat_map(|s| {
            let summary = &s.tie.latest.account_facts;
            summary
                .remote_tools
                .iter()
                .chain(&summary.kvm)
                .chain(&summary.vpn_brands)
        })
        .copied()
        .collect();
    names.sort_unstable();
    names.dedup();
    if suspects.iter().any(|s| s.tie.latest.account_facts.rdp_relays > 0) {
        names.push("remote-desktop logons during VPN sessions");
    }
    if names.is_empty() {
        String::new()
    } else {
        format!(" (seen: {})", names.join(", "))
    }
}

fn network_evidence(link: &Link<'_>) -> Evidence {
    let latest = link.latest.read();
    Evidence {
        role: "network".to_owned(),
        event_id: latest.event_id.to_string(),
        product: latest.product.to_owned(),
        time_ms: link.time_ms,
        address: latest.address,
        network_class: Some(latest.network.class),
        network_label: latest.network.label.to_owned(),
        asn: latest.network.asn,
        organization: latest.network.organization.to_owned(),
        facts: vec![("network".to_owned(), link.entity.to_string())],
        ..Evidence::default()
    }
}

/// Evidence about one account, with what speaks for it in the terms of the rule's table.
fn account_evidence(suspect: &Suspect<'_>) -> Evidence {
    let mut evidence = shared_network::evidence(&suspect.tie);
    let tells: Vec<String> = (suspect.tells.iter())
        .map(|(name, points)| format!("{name} ({points})"))
        .collect();
    let facts = [
        ("indicators", tells.join("; ")),
        ("indicator_points", suspect.points.to_string()),
    ];
    evidence
        .facts
        .extend(facts.map(|(name, value)| (name.to_owned(), value)));
    evidence
}

fn guards(
    link: &Link<'_>,
    suspects: &[Suspect<'_>],
    group: &Group,
    (others, locals): (usize, usize),
    settings: &FarmSettings,
) -> Vec<Guard> {
    let away = suspects.iter().filter(|s| s.is_away).count();
    vec![
        Guard::ran(
            "shared_by_design",
            format!("{} networks are not shared by design", link.latest.class.as_str()),
        ),
        Guard::ran(
            "household",
            format!(
                "{away} accounts are away from their claims, {} are not on the payroll; told from a household by: {}; \
                 people of one home would be left out without unapproved tools and with claims that name this place",
                group.outsiders,
                group.branches()
            ),
        ),
        Guard::ran(
            "office",
            format!(
                "of {others} other accounts {locals} are employees who work here steadily and as they claim, {} would \
                 make it an office",
                settings.hub_accounts
            ),
        ),
        Guard::ran("approved_tools", "approved tools were not counted"),
        Guard::ran("own_device", "accounts that only used another's device were left out"),
        Guard::ran(
            "passing_visit",
            format!(
                "{} accounts carry tools for {} days, {} are away for {} days",
                group.steady, settings.steady_days, group.long_away, settings.claim_days
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::link::{AccountSummary, Latest};

    /// Which of the accounts, by the devices of each, have one of their own.
    fn own(devices: &[&[&'static str]]) -> Vec<bool> {
        let suspects = devices.iter().map(|devices| Suspect {
            tie: Tie {
                first_ms: 0,
                last_ms: 1,
                companions: devices.to_vec(),
                latest: Latest::default(),
            },
            tells: Vec::new(),
            points: 2,
            is_away: true,
            has_tool: false,
            has_device: true,
        });
        have_own_device(&suspects.collect::<Vec<_>>())
    }

    #[test]
    fn who_has_a_device_of_their_own_does_not_depend_on_names() {
        assert_eq!(own(&[&["a"], &["a"]]), [true, false]);
        assert_eq!(
            own(&[&["a"], &["A"]]),
            [true, false],
            "one laptop, spelled by two products"
        );
        assert_eq!(
            own(&[&["a", "b"], &["b"]]),
            [true, true],
            "the first was once on the other's"
        );
        assert_eq!(own(&[&["b", "a"], &["b"]]), [true, true]);
        assert_eq!(own(&[&["b"], &["b", "a"]]), [true, true]);
        assert_eq!(own(&[&["a", "b"], &["a", "c"], &["a"]]), [true; 3], "both move on");
        assert_eq!(
            own(&[&["a", "b"], &["b", "A"], &["a", "b"]]),
            [true, false, false],
            "one laptop that two products name"
        );
        assert_eq!(own(&[&[], &["a"], &[], &["a"]]), [true, true, true, false]);
    }

    #[test]
    fn laptops_that_were_swapped_once_are_theirs_to_whom_the_roster_assigns_them() {
        let suspect = |device: &'static str, owns_device: bool| {
            let mut latest = Latest {
                device,
                ..Latest::default()
            };
            latest.claim.owns_device = owns_device;
            Suspect {
                tie: Tie {
                    first_ms: 0,
                    last_ms: 1,
                    companions: vec!["a", "b"],
                    latest,
                },
                tells: Vec::new(),
                points: 2,
                is_away: true,
                has_tool: false,
                has_device: true,
            }
        };
        assert_eq!(have_own_device(&[suspect("a", true), suspect("b", true)]), [true, true]);
        assert_eq!(
            have_own_device(&[suspect("a", true), suspect("a", true)]),
            [true, false]
        );
        assert_eq!(
            have_own_device(&[suspect("a", false), suspect("b", false)]),
            [true, false]
        );
    }

    #[test]
    fn what_is_not_remarkable_has_no_points_and_is_not_away() {
        let account_facts = AccountSummary {
            days_on_entity: 20,
            days_located: 20,
            claim_gap_km: 4_000,
            devices: 9,
            ..AccountSummary::default()
        };
        assert!(!account_facts.is_remarkable());
        let tie = Tie {
            first_ms: 0,
            last_ms: 1,
            companions: vec!["lt-1"],
            latest: Latest {
                account: "ann",
                account_facts,
                ..Latest::default()
            },
        };
        assert!(!shared_network::is_away(&tie));
        assert!(suspect(tie).is_none_or(|suspect| suspect.points == 0));
    }
}
