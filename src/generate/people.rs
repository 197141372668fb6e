//! The people of the company: who they are, where they live, what HR was told, and what is odd about them.

use std::net::IpAddr;

use super::act::{Device, Gadget, Program};
use super::atlas::{self, Brand, Line, Site, Town};
use super::random::Random;
use crate::model::AccountKind;

/// One account and the person (or program) behind it.
#[derive(Clone, Debug)]
pub struct Person {
    /// Mail address, the account's name in the roster.
    pub account: String,
    /// Short name, an alias in the roster.
    pub alias: String,
    /// Employment.
    pub kind: AccountKind,
    /// Employer or staffing firm.
    pub employer: &'static str,
    /// Lines at home; somebody hiding a farm has several.
    pub lines: Vec<Line>,
    /// Where HR believes the person works.
    pub claim: Claimed,
    /// The laptop, by the index of the person it was issued to.
    pub laptop: u32,
    /// Sign-ins name the device.
    pub names_device: bool,
    /// Also reads mail on a phone.
    pub has_phone: bool,
    /// Where the working day is spent.
    pub workplace: Workplace,
    /// Opens the company VPN when away from the office.
    pub uses_vpn: bool,
    /// Through the VPN goes everything, not only the company's own servers.
    pub is_full_tunnel: bool,
    /// Minutes after local midnight at which work starts.
    pub start_minute: i64,
    /// First day of employment, days since the epoch.
    pub hire_day: i64,
    /// Journeys, in order.
    pub trips: Vec<Trip>,
    /// What is odd, if anything.
    pub habit: Habit,
    /// What is hidden, if anything.
    pub scheme: Scheme,
}

/// Where somebody works, as HR was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The city.
    pub town: Town,
    /// How precisely the roster states it.
    pub detail: Detail,
    /// Other countries the person may work from.
    pub allowed_countries: &'static str,
}

/// How precisely the roster states a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Country, region, city and coordinates.
    Point,
    /// Country, region and city.
    City,
    /// Country and region.
    Region,
    /// The country alone.
    Country,
    /// Nothing.
    Nothing,
}

/// Where the working day is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workplace {
    /// At home.
    Home,
    /// In one of the company's offices.
    Office(Town),
    /// Some days here, some there.
    Hybrid(Town),
    /// In a rented place among strangers.
    Coworking(Town, u32),
}

/// One journey. Between the times nobody can sign in but over the aircraft's network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trip {
    /// Where to.
    pub town: Town,
    /// The house the person stays at, shared with every guest.
    pub lodging: (Site, u32),
    /// Leaves home, ms.
    pub leave_ms: i64,
    /// Arrives, ms.
    pub arrive_ms: i64,
    /// Leaves for home, ms.
    pub back_leave_ms: i64,
    /// Is home again, ms.
    pub back_arrive_ms: i64,
    /// Listed in `travel.csv`.
    pub is_approved: bool,
    /// Signs in from the aircraft.
    pub uses_flight_network: bool,
}

/// What is odd about an innocent person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Nothing.
    Plain,
    /// Turns a commercial VPN on and off.
    PrivateVpn(Brand),
    /// The browser goes through a privacy relay.
    PrivacyRelay,
    /// The phone's gateway changes city within minutes.
    Roaming(Town),
    /// Works on a cloud desktop in that city, too.
    CloudDesktop(Town),
    /// Has satellite internet that comes down in that city.
    Satellite(Town),
    /// Signs in on a machine that a team shares.
    SharedMachine(u32),
    /// Sets up colleagues' laptops: on that day, that laptop.
    Helpdesk(Vec<(i64, Device)>),
    /// Was helped on that day with that tool.
    Supported(i64, Program),
    /// Runs servers, and their own desktop, over remote desktop.
    Administrator(u32),
    /// Works at a dock with keyboard, mouse and card reader.
    Docked,
    /// Moved on that day; lived there before.
    Moved(i64, Line),
    /// Is called at night.
    OnCall,
    /// No person: signs in every hour from a rented server.
    Robot(Town),
    /// Strangers guess the password.
    Guessed,
}

/// What an attacker does besides an ordinary day's work. All empty for the innocent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scheme {
    /// Member of a hidden group.
    pub is_hidden: bool,
    /// Days on which the person forgets the relay and signs in directly, and from where.
    pub slips: Vec<(i64, Line)>,
    /// Somebody works the laptop over remote desktop from here.
    pub operator: Option<IpAddr>,
    /// Remote-access tools on the laptop.
    pub programs: Vec<Program>,
    /// Hardware on the laptop.
    pub gadgets: Vec<Gadget>,
    /// Commercial VPN used now and then, with its exit's city.
    pub brand: Option<(Brand, Town)>,
}

/// Initials and family names are made up of words that belong to nobody's country.
const SURNAMES: [&str; 48] = [
    "alder", "amber", "ash", "birch", "bramble", "brook", "cedar", "cliff", "clover", "cobalt", "copper", "coral",
    "dale", "dune", "elm", "ember", "fen", "fern", "flint", "frost", "glen", "granite", "grove", "harbor", "hazel",
    "heath", "holly", "indigo", "iris", "jasper", "lark", "linden", "maple", "marsh", "meadow", "mistral", "oak",
    "onyx", "pine", "quartz", "reed", "ridge", "river", "rowan", "sage", "slate", "thorn", "willow",
];
/// Mail domain of the company; `.example` belongs to nobody (RFC 2606).
const DOMAIN: &str = "quillmark.example";
/// The company.
pub const COMPANY: &str = "Quillmark";
/// Firms that supply contractors.
pub const STAFFING_FIRMS: [&str; 4] = ["Fernway Staffing", "Stackhand", "Blue Gantry", "Ostrich Talent"];
/// Countries the company hires in.
const HIRING_COUNTRIES: [&str; 12] = ["US", "US", "CA", "GB", "IE", "DE", "FR", "NL", "ES", "PL", "IN", "AU"];

/// The account's names: mail address and alias.
fn names(index: u32, seed: u64) -> (String, String) {
    let surnames = u32::try_from(SURNAMES.len()).unwrap_or(1);
    let turn = Random::of(seed, &[0x6e61_6d65]).below(26 * surnames);
    let place = (index + turn) % (26 * surnames);
    let initial = char::from(b'a' + u8::try_from(place % 26).unwrap_or(0));
    let surname = SURNAMES[(place / 26 * 5 % surnames) as usize];
    let alias = match index / (26 * surnames) {
        0 => format!("{initial}.{surname}"),
        repeat => format!("{initial}.{surname}{}", repeat + 1),
    };
    (format!("{alias}@{DOMAIN}"), alias)
}

/// Hands out residential lines, a new one each time.
#[derive(Debug, Default)]
pub struct Lines(std::collections::BTreeMap<Town, u32>);

impl Lines {
    /// A line nobody else has.
    pub fn next(&mut self, town: Town, random: &mut Random) -> Line {
        let number = self.0.entry(town).or_default();
        *number += 1;
        Line {
            town,
            number: *number,
            is_fixed: random.percent(25),
            is_v6: random.percent(12),
        }
    }
}

/// An ordinary person, before anything odd or hidden is added.
pub fn ordinary(index: u32, seed: u64, offices: &[Town], start_day: i64, lines: &mut Lines) -> Person {
    let mut random = Random::of(seed, &[0x7065_7273, u64::from(index)]);
    let (account, alias) = names(index, seed);
    let kind = if random.percent(18) {
        AccountKind::Contractor
    } else {
        AccountKind::Employee
    };
    let office = offices[random.index(offices.len())];
    let (town, workplace) = match random.below(10) {
        0..4 => (office, Workplace::Office(office)),
        4..6 => (office, Workplace::Hybrid(office)),
        6 => (office, Workplace::Home),
        _ => {
            let country = HIRING_COUNTRIES[random.index(HIRING_COUNTRIES.len())];
            let towns = atlas::towns(&[country], |_| true);
            (towns[random.index(towns.len())], Workplace::Home)
        }
    };
    let detail = match random.below(20) {
        0..8 => Detail::Point,
        8..16 => Detail::City,
        16..18 => Detail::Region,
        18 => Detail::Country,
        _ => Detail::Nothing,
    };
    let is_contractor = kind == AccountKind::Contractor;
    Person {
        account,
        alias,
        kind,
        employer: if is_contractor {
            STAFFING_FIRMS[random.index(STAFFING_FIRMS.len())]
        } else {
            COMPANY
        },
        lines: vec![lines.next(town, &mut random)],
        claim: Claimed {
            town,
            detail,
            allowed_countries: "",
        },
        laptop: index,
        names_device: !is_contractor || random.percent(75),
        has_phone: random.percent(70),
        workplace,
        uses_vpn: random.percent(65),
        is_full_tunnel: random.percent(50),
        start_minute: random.between(7 * 60 + 30, 9 * 60 + 45),
        hire_day: start_day - random.between(60, 2_500),
        trips: Vec::new(),
        habit: Habit::Plain,
        scheme: Scheme::default(),
    }
}

impl Person {
    /// Where the person really is when at home.
    #[must_use]
    pub fn home_town(&self) -> Town {
        self.lines.first().map_or(self.claim.town, |line| line.town)
    }

    /// Nothing odd, nothing hidden, no journeys: free to become somebody special.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.habit == Habit::Plain
            && !self.scheme.is_hidden
            && self.trips.is_empty()
            && self.kind != AccountKind::Service
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut seen = std::collections::BTreeSet::new();
        for index in 0..5_000 {
            assert!(seen.insert(names(index, 7).0), "{index}");
        }
    }
}
