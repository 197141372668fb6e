//! Hides the attacks: takes ordinary people and gives their accounts to somebody who is not who, or where, HR believes.
//!
//! A worker of a hidden group otherwise behaves like everybody else. What may give them away is in their
//! [`Scheme`](super::people::Scheme), their lines and their claims.

use super::act::{Gadget, Program};
use super::atlas::{self, Brand, Line, Site, Town, city};
use super::people::{Claimed, Detail, Habit, Scheme, Workplace};
use super::plan::Planner;
use crate::model::AccountKind;

/// Kinds of attack. Every company with room for it has one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// Signs in once or twice from another continent, between two sign-ins at home.
    SlipAbroad,
    /// The same inside one country.
    SlipDomestic,
    /// Never was in the claimed country.
    FalseCountry,
    /// Lives elsewhere in the claimed country; no VPN, no journey.
    FalseCity,
    /// Somebody works the laptop over RDP while its VPN session is up.
    RemoteDesktop,
    /// Two remote-access tools on one laptop.
    TwoTools,
    /// A KVM-over-IP on the laptop.
    Kvm,
    /// A headless remote desktop right after hiring.
    ToolAfterHire,
    /// One laptop for several contractors.
    SharedDevice,
    /// One home line for contractors who claim different cities.
    SharedNetwork,
    /// Laptops of contractors from several states on one home line, with remote tools.
    Farm,
    /// The same, but everybody claims the farm's own city.
    FarmSameCity,
    /// A farm that hides behind several home lines.
    FarmSeveralLines,
}

impl Attack {
    /// All kinds.
    pub const ALL: [Self; 13] = [
        Self::Farm,
        Self::SlipAbroad,
        Self::RemoteDesktop,
        Self::FalseCity,
        Self::SharedDevice,
        Self::SharedNetwork,
        Self::Kvm,
        Self::FalseCountry,
        Self::TwoTools,
        Self::SlipDomestic,
        Self::FarmSameCity,
        Self::ToolAfterHire,
        Self::FarmSeveralLines,
    ];

    /// Its name in `truth.ndjson`.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::SlipAbroad => "slip_abroad",
            Self::SlipDomestic => "slip_domestic",
            Self::FalseCountry => "false_country",
            Self::FalseCity => "false_city",
            Self::RemoteDesktop => "rdp_relay",
            Self::TwoTools => "two_remote_tools",
            Self::Kvm => "kvm_relay",
            Self::ToolAfterHire => "tool_after_hire",
            Self::SharedDevice => "shared_device",
            Self::SharedNetwork => "shared_network",
            Self::Farm => "laptop_farm",
            Self::FarmSameCity => "laptop_farm_same_city",
            Self::FarmSeveralLines => "laptop_farm_several_lines",
        }
    }

    /// Detections that should see it.
    #[must_use]
    pub fn expected(self) -> &'static [&'static str] {
        match self {
            Self::SlipAbroad | Self::SlipDomestic => &["impossible_travel"],
            Self::FalseCountry | Self::FalseCity => &["claimed_location"],
            Self::RemoteDesktop | Self::TwoTools | Self::Kvm | Self::ToolAfterHire => &["remote_desktop_relay"],
            Self::SharedDevice => &["shared_device"],
            Self::SharedNetwork => &["shared_network"],
            Self::Farm | Self::FarmSameCity | Self::FarmSeveralLines => &["laptop_farm"],
        }
    }
}

/// Hides one group of that kind. Without enough plain people left, hides nothing.
pub fn hide(attack: Attack, plan: &mut Planner) {
    match attack {
        Attack::SlipAbroad | Attack::SlipDomestic => slip(attack, plan),
        Attack::FalseCountry | Attack::FalseCity => false_claim(attack, plan),
        Attack::RemoteDesktop | Attack::TwoTools | Attack::Kvm | Attack::ToolAfterHire => relay(attack, plan),
        Attack::SharedDevice => shared_device(plan),
        Attack::SharedNetwork => shared_network(plan),
        Attack::Farm | Attack::FarmSameCity | Attack::FarmSeveralLines => farm(attack, plan),
    }
}

/// Takes `count` people, makes contractors of them who work at home in `town`, and marks them as hidden.
fn recruit(plan: &mut Planner, count: usize, town: Option<Town>) -> Vec<usize> {
    let taken = plan.take(count, |person| {
        matches!(person.kind, AccountKind::Employee | AccountKind::Contractor)
    });
    for &index in &taken {
        let town = town.unwrap_or_else(|| american_town(plan));
        let line = plan.line(town);
        let firm = plan.staffing_firm();
        let person = &mut plan.people[index];
        person.kind = AccountKind::Contractor;
        person.employer = firm;
        person.lines = vec![line];
        person.claim = Claimed {
            town,
            detail: Detail::City,
            allowed_countries: "",
        };
        person.workplace = Workplace::Home;
        person.names_device = true;
        person.habit = Habit::Plain;
        person.scheme = Scheme {
            is_hidden: true,
            ..Scheme::default()
        };
    }
    taken
}

fn american_town(plan: &mut Planner) -> Town {
    let towns = atlas::towns(&["US"], |_| true);
    towns[plan.random.index(towns.len())]
}

fn slip(attack: Attack, plan: &mut Planner) {
    let Some(&index) = recruit(plan, 1, None).first() else {
        return;
    };
    let home = plan.people[index].home_town();
    let country = city(home).country;
    let candidates = if attack == Attack::SlipAbroad {
        atlas::towns(&[], |town| {
            city(town).country != country && atlas::distance_km(home, town) > 4_000.0
        })
    } else {
        atlas::towns(&[country], |town| atlas::distance_km(home, town) > 1_600.0)
    };
    let town = candidates[plan.random.index(candidates.len())];
    let line = Line {
        is_v6: false,
        ..plan.line(town)
    };
    let count = 1 + plan.random.index(3);
    let mut days = plan.workdays();
    plan.random.shuffle(&mut days);
    days.truncate(count);
    days.sort_unstable();
    let (first, last) = (days.first().copied(), days.last().copied());
    plan.people[index].scheme.slips = days.into_iter().map(|day| (day, line)).collect();
    let why = format!(
        "works as if from {}, but signs in from {} within the hour",
        city(home).name,
        city(town).name
    );
    plan.record(attack.kind(), attack.expected(), &[index], why, first, last);
}

fn false_claim(attack: Attack, plan: &mut Planner) {
    let Some(&index) = recruit(plan, 1, None).first() else {
        return;
    };
    let claimed = plan.people[index].claim.town;
    let country = city(claimed).country;
    let candidates = if attack == Attack::FalseCountry {
        atlas::towns(&[], |town| {
            city(town).country != country && atlas::distance_km(claimed, town) > 3_000.0
        })
    } else {
        atlas::towns(&[country], |town| atlas::distance_km(claimed, town) > 900.0)
    };
    let town = candidates[plan.random.index(candidates.len())];
    let line = plan.line(town);
    let detail = match (attack, plan.random.below(3)) {
        (Attack::FalseCountry, 0) => Detail::Country,
        (Attack::FalseCountry, 1) => Detail::Region,
        (_, 2) => Detail::Point,
        _ => Detail::City,
    };
    let person = &mut plan.people[index];
    person.lines = vec![line];
    person.claim.detail = detail;
    person.is_full_tunnel = false;
    let why = format!("claims {}, lives and works in {}", city(claimed).name, city(town).name);
    plan.record(attack.kind(), attack.expected(), &[index], why, None, None);
}

fn relay(attack: Attack, plan: &mut Planner) {
    let Some(&index) = recruit(plan, 1, None).first() else {
        return;
    };
    let start_day = plan.start_day;
    let far = atlas::towns(&["CN", "RU", "AE", "NG", "VN", "PL", "BR", "US"], |_| true);
    let operator_town = far[plan.random.index(far.len())];
    let operator_line = plan.line(operator_town);
    let is_rented = plan.random.percent(50);
    let server = Site::Hosting.address(operator_town, plan.random.below(200));
    let is_variant = plan.random.percent(50);
    let hired = start_day + plan.random.between(1, (plan.days / 4).max(1));
    let person = &mut plan.people[index];
    let scheme = &mut person.scheme;
    let mut first = None;
    let why = match attack {
        Attack::RemoteDesktop => {
            person.uses_vpn = true;
            let address = if is_rented {
                server
            } else {
                operator_line.address(start_day)
            };
            scheme.operator = Some(address);
            format!("the laptop is worked over RDP from {address} while its VPN session is up")
        }
        Attack::TwoTools => {
            let second = if is_variant {
                Program::RustDesk
            } else {
                Program::TeamViewer
            };
            scheme.programs = vec![Program::AnyDeskUnattended, second];
            "two remote-access tools run on the laptop day after day".to_owned()
        }
        Attack::Kvm => {
            scheme.gadgets = if is_variant {
                vec![Gadget::TinyPilotUsb]
            } else {
                vec![Gadget::PikvmUsb, Gadget::PikvmDisplay]
            };
            scheme.programs = vec![Program::AnyDesk];
            "a KVM-over-IP holds the laptop's keyboard, mouse and screen; AnyDesk is the spare".to_owned()
        }
        _ => {
            person.hire_day = hired;
            first = Some(hired);
            scheme.programs = vec![if is_variant {
                Program::ChromeRemoteDesktop
            } else {
                Program::AnyDeskUnattended
            }];
            "unattended remote access is installed within days of hiring".to_owned()
        }
    };
    plan.record(attack.kind(), attack.expected(), &[index], why, first, None);
}

fn shared_device(plan: &mut Planner) {
    let town = american_town(plan);
    let count = 2 + plan.random.index(3);
    let members = recruit(plan, count, Some(town));
    let Some(&owner) = members.first() else { return };
    let line = plan.people[owner].lines[0];
    for (turn, &index) in (0_i64..).zip(&members) {
        let laptop = plan.people[owner].laptop;
        let person = &mut plan.people[index];
        person.laptop = laptop;
        person.lines = vec![line];
        person.start_minute = 7 * 60 + turn * 40;
    }
    let why = format!("{} contractors' accounts on one laptop", members.len());
    plan.record(
        Attack::SharedDevice.kind(),
        Attack::SharedDevice.expected(),
        &members,
        why,
        None,
        None,
    );
}

fn shared_network(plan: &mut Planner) {
    let count = 3 + plan.random.index(3);
    let members = recruit(plan, count, None);
    let Some(&host) = members.first() else { return };
    let line = Line {
        is_fixed: true,
        ..plan.people[host].lines[0]
    };
    spread_claims(plan, &members, line.town);
    for &index in &members {
        let person = &mut plan.people[index];
        person.lines = vec![line];
        person.names_device = false;
        person.is_full_tunnel = false;
    }
    let why = format!(
        "{} contractors who claim different cities work from one home in {}",
        members.len(),
        city(line.town).name
    );
    plan.record(
        Attack::SharedNetwork.kind(),
        Attack::SharedNetwork.expected(),
        &members,
        why,
        None,
        None,
    );
}

fn farm(attack: Attack, plan: &mut Planner) {
    let town = american_town(plan);
    let count = match attack {
        Attack::FarmSeveralLines => 4 + plan.random.index(3),
        _ => 2 + plan.random.index(5),
    };
    let members = recruit(plan, count, Some(town));
    let Some(&host) = members.first() else { return };
    if attack != Attack::FarmSameCity {
        spread_claims(plan, &members, town);
    }
    let mut lines = vec![Line {
        is_fixed: true,
        ..plan.people[host].lines[0]
    }];
    if attack == Attack::FarmSeveralLines {
        for _ in 0..1 + plan.random.index(2) {
            lines.push(Line {
                is_fixed: true,
                ..plan.line(town)
            });
        }
    }
    let exits = atlas::towns(&["US"], |_| true);
    for &index in &members {
        let exit = exits[plan.random.index(exits.len())];
        let person = &mut plan.people[index];
        person.lines.clone_from(&lines);
        person.is_full_tunnel = false;
        person.scheme.programs = vec![Program::AnyDeskUnattended];
        person.scheme.brand = Some((Brand::Astrill, exit));
    }
    let why = format!(
        "{} laptops of contractors on {} home line(s) in {}, with AnyDesk and now and then Astrill",
        members.len(),
        lines.len(),
        city(town).name
    );
    plan.record(attack.kind(), attack.expected(), &members, why, None, None);
}

/// Gives every member a claim in another state, far from `town`.
fn spread_claims(plan: &mut Planner, members: &[usize], town: Town) {
    let mut candidates = atlas::towns(&["US"], |other| atlas::distance_km(town, other) > 600.0);
    plan.random.shuffle(&mut candidates);
    let mut regions = std::collections::BTreeSet::new();
    candidates.retain(|&candidate| regions.insert(city(candidate).region));
    for (&index, &claimed) in members.iter().zip(candidates.iter().cycle()) {
        plan.people[index].claim.town = claimed;
    }
}
