//! Sign-ins of a made-up company, from a seed: the same bytes in every run.

use falsefront::enrich::demo_table::{DemoUse, demo_cities};
use falsefront::generate::random::Random;
use falsefront::generate::{Company, Params};
use falsefront::intake::Format;

#[path = "world.rs"]
pub(crate) mod world;

/// 2026-03-02T00:00:00Z, a Monday.
pub(crate) const START_MS: i64 = 1_772_409_600_000;

/// A number from 0 to 1, 1 excluded.
fn unit(random: &mut Random) -> f64 {
    (random.bits() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Which account comes next.
#[derive(Clone, Copy)]
pub(crate) enum Spread {
    /// One after the other, from this one on.
    Each(u64),
    Uniform,
    /// As [`Spread::Each`], at home as with [`Spread::World`].
    EachOfWorld(u64),
    /// As uniform, each account at home in one of the many places of `world`.
    World,
    /// Exponent 1: the inverse of its distribution function is a power of the number of accounts.
    Zipf,
    /// Nine of ten events are of one account.
    HotAccount,
    /// Nine of ten events come from one address, which no database places: a carrier's gateway, a listed exit.
    HotAddress,
    /// Nine of ten events come from one address that has a place, far from where the accounts are otherwise: each change
    /// between the two is a finding.
    FarAddress,
}

/// An address without a place.
const HOT_ADDRESS: &str = "247.255.255.1";
/// An office that nobody else is in.
const FAR_ADDRESS: &str = "245.1.255.1";

impl Spread {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Each(_) | Self::EachOfWorld(_) => "each",
            Self::Uniform => "uniform",
            Self::World => "in 10,000 places",
            Self::Zipf => "zipf",
            Self::HotAccount => "on one account",
            Self::HotAddress => "from one address",
            Self::FarAddress => "from one address far from home",
        }
    }

    fn account(self, number: u64, accounts: u64, random: &mut Random) -> u64 {
        match self {
            Self::Each(first) | Self::EachOfWorld(first) => (first + number) % accounts,
            Self::HotAccount if !random.bits().is_multiple_of(10) => 0,
            Self::Uniform | Self::World | Self::HotAccount | Self::HotAddress | Self::FarAddress => {
                random.bits() % accounts
            }
            Self::Zipf => (((accounts as f64).powf(unit(random)) as u64).max(1) - 1).min(accounts - 1),
        }
    }
}

/// Records one behind the other, as a file or a batch of a topic holds them.
#[derive(Default)]
pub(crate) struct Records {
    pub(crate) bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Account of each.
    pub(crate) accounts: Vec<u64>,
    /// Time of the first, ms.
    pub(crate) start_ms: i64,
    /// Milliseconds between two of them.
    pub(crate) step_ms: i64,
}

impl Records {
    fn push(&mut self, account: u64, record: &str) {
        self.bytes.extend_from_slice(record.as_bytes());
        self.ends.push(self.bytes.len());
        self.accounts.push(account);
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.get(index))
    }

    pub(crate) fn get(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }

    pub(crate) fn mean_bytes(&self) -> usize {
        self.bytes.len() / self.ends.len().max(1)
    }
}

/// `count` sign-ins, `step_ms` apart, each account at its own address and device.
pub(crate) fn sign_ins(format: Format, count: u64, accounts: u64, spread: Spread, step_ms: i64, seed: u64) -> Records {
    sign_ins_from(START_MS, format, count, accounts, spread, step_ms, seed)
}

/// As [`sign_ins`], the first at `start_ms`.
pub(crate) fn sign_ins_from(
    start_ms: i64,
    format: Format,
    count: u64,
    accounts: u64,
    spread: Spread,
    step_ms: i64,
    seed: u64,
) -> Records {
    let mut random = Random::of(seed, &[]);
    let mut records = Records {
        start_ms,
        step_ms,
        ..Records::default()
    };
    for number in 0..count {
        let account = spread.account(number, accounts, &mut random);
        let time_ms = start_ms + number.cast_signed() * step_ms;
        let roll = random.bits();
        let ip = match spread {
            Spread::HotAddress if !roll.is_multiple_of(10) => HOT_ADDRESS.to_owned(),
            Spread::World | Spread::EachOfWorld(_) => world::address(account, roll).to_string(),
            Spread::FarAddress if !roll.is_multiple_of(10) => FAR_ADDRESS.to_owned(),
            _ => address(account, roll),
        };
        records.push(account, &record(format, account, &ip, time_ms, roll));
    }
    records
}

/// The first events of a made-up company's logs: of many kinds, mixed, as rich as an identity provider's and an agent's.
pub(crate) fn company_log(count: usize, accounts: u32, seed: u64) -> Records {
    let company = Company::new(
        seed,
        Params {
            accounts,
            ..Params::default()
        },
    );
    let mut records = Records::default();
    for record in company.take(count) {
        records.bytes.extend_from_slice(&record.line);
        records.ends.push(records.bytes.len());
    }
    records
}

/// OCSF sign-ins of these accounts.
pub(crate) fn sign_ins_of(accounts: &[u64], count: u64, seed: u64) -> Records {
    let mut random = Random::of(seed, &[]);
    let mut records = Records {
        start_ms: START_MS,
        step_ms: 1,
        ..Records::default()
    };
    for number in 0..count {
        let account = accounts[random.index(accounts.len())];
        let (time_ms, roll) = (START_MS + number.cast_signed(), random.bits());
        let ip = address(account, roll);
        records.push(account, &record(Format::Ocsf, account, &ip, time_ms, roll));
    }
    records
}

/// Accounts whose names have the same last bits under a hash that everybody knows (FNV-1a, Fowler, Noll and Vo).
pub(crate) fn colliding(count: usize) -> Vec<u64> {
    const SAME_BITS: u64 = 0xfff;
    let hash = |account: &u64| {
        name(*account).bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    };
    (0..)
        .filter(|account| hash(account) & SAME_BITS == 0)
        .take(count)
        .collect()
}

/// What HR lists of the first `accounts`: each claims the city it is in, and has a device of its own.
pub(crate) fn roster(accounts: u64) -> String {
    let cities = demo_cities();
    let mut csv = "account,kind,employer,country,region,city,time_zone,hire_date,devices\n".to_owned();
    for account in 0..accounts {
        let city = &cities[account as usize % cities.len()];
        let (kind, employer) = match account % 8 {
            0 => (
                "contractor",
                ["Quillstaff", "Northbench Staffing", "Fernway"][account as usize / 8 % 3],
            ),
            _ => ("employee", "Corp Example"),
        };
        let (country, region, place, zone) = (city.country, city.region_name, city.name, city.time_zone);
        let (year, month, day) = (2015 + account % 11, account / 11 % 12 + 1, account / 132 % 28 + 1);
        let name = name(account);
        csv += &format!(
            "{name},{kind},{employer},{country},{region},{place},{zone},{year}-{month:02}-{day:02},lt-{account:07}\n"
        );
    }
    csv
}

fn name(account: u64) -> String {
    format!("p{account}@corp.example")
}

/// One of two addresses that the account has in its city: of sixteen accounts twelve are at home, two on the road, one in
/// an office and one behind a VPN.
fn address(account: u64, roll: u64) -> String {
    let cities = demo_cities();
    let city = &cities[account as usize % cities.len()];
    let number = account / cities.len() as u64;
    let usage = match number % 16 {
        0..12 => DemoUse::Residential,
        12 | 13 => DemoUse::Mobile,
        14 => DemoUse::Office,
        _ => DemoUse::Vpn,
    };
    let host = number * 2 + u64::from(roll.is_multiple_of(16));
    city.address(usage, host as u32).to_string()
}

fn record(format: Format, account: u64, ip: &str, time_ms: i64, roll: u64) -> String {
    let moment = jiff::Timestamp::from_millisecond(time_ms).unwrap_or_default();
    let moment = format!("{moment:.3}");
    match format {
        Format::Okta => format!(
            r#"{{"uuid":"{roll:016x}{account:08x}","published":"{moment}","eventType":"user.session.start","version":"0","severity":"INFO","displayMessage":"User login to Okta","actor":{{"id":"00u{account:09}","type":"User","alternateId":"p{account}@corp.example","displayName":"Person {account}"}},"client":{{"userAgent":{{"rawUserAgent":"Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/141.0","os":"Windows 10","browser":"CHROME"}},"zone":"null","device":"Computer","ipAddress":"{ip}","geographicalContext":{{"city":"Milton","country":"United States"}}}},"outcome":{{"result":"SUCCESS"}},"debugContext":{{"debugData":{{"requestUri":"/api/v1/authn"}}}}}}"#
        ),
        Format::GoogleWorkspace => format!(
            r#"{{"kind":"admin#reports#activity","id":{{"time":"{moment}","uniqueQualifier":"{roll}","applicationName":"login","customerId":"C01"}},"actor":{{"email":"p{account}@corp.example","profileId":"1{account:09}"}},"ipAddress":"{ip}","events":[{{"type":"login","name":"login_success","parameters":[{{"name":"login_type","value":"google_password"}},{{"name":"is_suspicious","boolValue":false}}]}}]}}"#
        ),
        Format::Fortigate => format!(
            r#"date={} time={} devid="FG7" logid="0101039947" type="event" subtype="vpn" eventtime={time_ms}000000 action="tunnel-up" tunneltype="ssl-tunnel" tunnelid={roll} remip={ip} tunnelip=10.8.0.9 user="p{account}" fctuid="F-{account}""#,
            &moment[..10],
            &moment[11..19],
        ),
        Format::Ocsf | Format::Auto => format!(
            r#"{{"activity_id":1,"category_uid":3,"class_uid":3002,"type_uid":300201,"time":{time_ms},"severity_id":1,"status_id":1,"metadata":{{"version":"1.8.0","product":{{"name":"Meridian ID"}},"uid":"{roll:016x}{account:08x}"}},"user":{{"email_addr":"p{account}@corp.example"}},"src_endpoint":{{"ip":"{ip}"}},"device":{{"uid":"lt-{account:07}","type_id":3}},"is_mfa":true}}"#
        ),
    }
}
