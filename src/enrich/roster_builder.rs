//! Collects roster lines from files or a compacted topic and builds a [`Roster`] of them, whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::codec::Writer;
use crate::model::dictionary::write_terms;
use crate::model::{Terms, Travel};

use super::gazetteer::{Answer, NamedPlace, answers};
use super::geography::Geography;
use super::problem::{Complaint, Problem, Problems, quoted};
use super::roster::{Known, Roster};
use super::roster_file::{csv_lines, json_line, ndjson};
use super::roster_line::{Entry, RosterLine, TravelLine, canonical, unplaced_travel};
use super::{Dataset, DatasetKind};

/// What is known of the roster so far.
#[derive(Clone, Debug, Default)]
pub struct RosterBuilder {
    /// By account.
    entries: BTreeMap<String, Sourced<Entry>>,
    /// Journeys from files of their own, by any of the account's names, in order of lines.
    travels: Vec<(String, Sourced<Travel>)>,
    datasets: Vec<Dataset>,
}

#[derive(Clone, Debug)]
struct Sourced<T> {
    file: Arc<str>,
    line: Option<u32>,
    is: T,
}

impl<T> Sourced<T> {
    fn problem(&self, complaint: Complaint) -> Problem {
        complaint.at(&self.file, self.line)
    }
}

impl RosterBuilder {
    /// Adds a roster file, CSV or NDJSON by its first byte. `version` is what evidence calls it.
    ///
    /// # Errors
    /// A [`Problem`] with the whole file: an unknown column, or no usable line. Nothing was added then.
    pub fn read(&mut self, file: &str, version: String, bytes: &[u8]) -> Result<Vec<Problem>, Problem> {
        let source: std::sync::Arc<str> = file.into();
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        let lines = match bytes.trim_ascii_start().first() {
            Some(b'{') => ndjson(bytes),
            Some(b'[') => {
                let complaint = Complaint::new(
                    "a JSON array",
                    "write one object per line: `jq -c '.[]'` makes them of it",
                );
                return Err(complaint.at(file, Some(1)));
            }
            _ => csv_lines::<RosterLine>(bytes).map_err(|c| c.at(file, Some(1)))?,
        };
        let mut problems = Problems::of(file);
        let mut found: BTreeMap<String, Sourced<Entry>> = BTreeMap::new();
        let (mut seen, mut unusable) = (0_u64, None);
        for (line, read) in lines {
            seen += 1;
            let entry = match read.and_then(RosterLine::check) {
                Ok(entry) => entry,
                Err(complaint) => {
                    unusable.get_or_insert_with(|| complaint.clone().at(file, Some(line)));
                    problems.add(Some(line), complaint);
                    continue;
                }
            };
            let earlier = found.get(&entry.account).or_else(|| self.entries.get(&entry.account));
            if let Some(earlier) = earlier {
                let at = earlier.line.unwrap_or(0);
                let what = format!("account {} is also in {}:{at}", quoted(&entry.account), earlier.file);
                problems.add(
                    Some(line),
                    Complaint::new(what, "remove one of the two; the earlier line is used"),
                );
                continue;
            }
            let file = source.clone();
            let line = Some(line);
            found.insert(entry.account.clone(), Sourced { file, line, is: entry });
        }
        if let Some(first) = unusable.filter(|_| found.is_empty()) {
            return Err(none_usable(seen, first));
        }
        self.note(DatasetKind::Roster, file, version, found.len());
        self.entries.append(&mut found);
        Ok(problems.finish())
    }

    /// Adds a file of approved travel, CSV. `version` is what evidence calls it.
    ///
    /// # Errors
    /// A [`Problem`] with the whole file: an unknown column, one missing, or no usable line. Nothing was added then.
    pub fn read_travel(&mut self, file: &str, version: String, bytes: &[u8]) -> Result<Vec<Problem>, Problem> {
        let source: std::sync::Arc<str> = file.into();
        let lines = csv_lines::<TravelLine>(bytes).map_err(|c| c.at(file, Some(1)))?;
        let mut problems = Problems::of(file);
        let (mut seen, mut used, mut unusable) = (0_u64, 0, None);
        for (line, read) in lines {
            seen += 1;
            let checked = read.and_then(|travel| Ok((canonical("account", &travel.account.0)?, travel.check()?)));
            match checked {
                Ok((account, is)) => {
                    used += 1;
                    let file = source.clone();
                    let line = Some(line);
                    self.travels.push((account, Sourced { file, line, is }));
                }
                Err(complaint) => {
                    unusable.get_or_insert_with(|| complaint.clone().at(file, Some(line)));
                    problems.add(Some(line), complaint);
                }
            }
        }
        if let Some(first) = unusable.filter(|_| used == 0) {
            return Err(none_usable(seen, first));
        }
        self.note(DatasetKind::Travel, file, version, used);
        Ok(problems.finish())
    }

    /// Takes the travel that `other` has read in place of its own.
    pub fn set_travel(&mut self, other: Self) {
        let is_travel = |dataset: &Dataset| dataset.kind == DatasetKind::Travel;
        self.travels = other.travels;
        self.datasets.retain(|dataset| !is_travel(dataset));
        self.datasets.extend(other.datasets.into_iter().filter(is_travel));
    }

    /// Takes one record of a compacted topic: `key` is the account, `value` a roster line as JSON. A later record of
    /// the same account replaces the earlier one.
    ///
    /// # Errors
    /// A [`Problem`]; what was known of the account stays.
    pub fn upsert(&mut self, topic: &str, key: &str, value: &[u8]) -> Result<(), Problem> {
        let read = json_line(value).and_then(|mut line| {
            if line.account.0.is_empty() {
                key.clone_into(&mut line.account.0);
            }
            line.check()
        });
        let entry = read.map_err(|complaint| complaint.at(topic, None))?;
        let key = canonical("key", key).map_err(|complaint| complaint.at(topic, None))?;
        if key != entry.account {
            let what = format!("key {} is not account {}", quoted(&key), quoted(&entry.account));
            return Err(Complaint::new(what, "use the account as the key").at(topic, None));
        }
        let file = topic.into();
        let line = None;
        self.entries.insert(key, Sourced { file, line, is: entry });
        Ok(())
    }

    /// Forgets the account: the topic holds a tombstone for it.
    pub fn remove(&mut self, key: &str) {
        if let Ok(account) = canonical("key", key) {
            self.entries.remove(&account);
        }
    }

    /// Notes what evidence shall call the state of a compacted topic, such as its last offsets.
    pub fn note_topic(&mut self, topic: &str, version: String) {
        self.datasets.retain(|dataset| dataset.file != topic);
        self.note(DatasetKind::Roster, topic, version, self.entries.len());
    }

    fn note(&mut self, kind: DatasetKind, file: &str, version: String, records: usize) {
        self.datasets.push(Dataset {
            kind,
            file: file.to_owned(),
            version,
            built_seconds: None,
            records: records as u64,
        });
    }

    /// The roster, its claims placed by the names that the databases know. Problems name the line to mend.
    #[must_use]
    pub fn build(&self, geography: &Geography) -> (Roster, Vec<Problem>) {
        let mut problems = Vec::new();
        let owners = self.owners(&mut problems);
        let placed = self.place(geography, &mut problems);
        let mut members: Vec<Known> = self.entries.values().map(|entry| member(&entry.is, &placed)).collect();
        for (account, travel) in &self.travels {
            let owner = owners.get(account.as_str()).and_then(|index| members.get_mut(*index));
            if let Some(member) = owner {
                member.travels.push(placed_travel(&travel.is, &placed));
            } else {
                let what = format!("account {} is not in the roster", quoted(account));
                problems.push(travel.problem(Complaint::new(what, "correct its spelling, or add it to the roster")));
            }
        }
        for member in &mut members {
            member.travels.sort_by_key(|travel| travel.from_day);
        }
        share_terms(&mut members);
        let roster = Roster::new(members, &owners, self.datasets.clone());
        (roster, problems)
    }

    /// Index of the account that each name belongs to. An alias of two accounts belongs to nobody.
    fn owners(&self, problems: &mut Vec<Problem>) -> BTreeMap<&str, usize> {
        let mut owners: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, account) in self.entries.keys().enumerate() {
            owners.insert(account, index);
        }
        let mut by_alias: BTreeMap<&str, Vec<(usize, &Sourced<Entry>)>> = BTreeMap::new();
        for (index, entry) in self.entries.values().enumerate() {
            for alias in entry.is.aliases.iter().filter(|alias| **alias != entry.is.account) {
                by_alias.entry(alias).or_default().push((index, entry));
            }
        }
        for (alias, claimants) in by_alias {
            let first = claimants.first().map(|(index, _)| *index);
            let is_shared = claimants.iter().any(|(index, _)| Some(*index) != first);
            if !is_shared && !owners.contains_key(alias) {
                owners.extend(first.map(|index| (alias, index)));
                continue;
            }
            let is_account = self.entries.contains_key(alias);
            for (_, entry) in claimants {
                let what = if is_account {
                    format!("aliases {} is an account of its own", quoted(alias))
                } else {
                    format!(
                        "aliases {} belongs to several accounts and is used for none",
                        quoted(alias)
                    )
                };
                problems.push(entry.problem(Complaint::new(what, "leave it with its owner only")));
            }
        }
        owners
    }

    fn place(&self, geography: &Geography, problems: &mut Vec<Problem>) -> BTreeMap<NamedPlace, Answer> {
        let own = self.entries.values().flat_map(|entry| entry.is.unplaced());
        let nested = self.entries.values().flat_map(|entry| &entry.is.travels);
        let listed = self.travels.iter().map(|(_, travel)| &travel.is);
        let asked: BTreeSet<NamedPlace> = own.chain(nested.chain(listed).filter_map(unplaced_travel)).collect();
        if asked.is_empty() {
            return BTreeMap::new();
        }
        if geography.places().is_empty() {
            let what = format!(
                "{} claimed places are given by name, and no city database is loaded",
                asked.len()
            );
            let remedy = "name a city database in geoip.files, or give latitude and longitude";
            let file = self.entries.values().next().map_or("roster", |entry| &*entry.file);
            problems.push(Complaint::new(what, remedy).at(file, None));
            return BTreeMap::new();
        }
        let placed = answers(geography.places(), asked);
        let complaint = |named: Option<NamedPlace>| placed.get(&named?)?.complaint.clone();
        for entry in self.entries.values() {
            let nested = entry.is.travels.iter().map(unplaced_travel);
            let complaints = std::iter::once(entry.is.unplaced()).chain(nested).filter_map(complaint);
            problems.extend(complaints.map(|complaint| entry.problem(complaint)));
        }
        for (_, travel) in &self.travels {
            problems.extend(complaint(unplaced_travel(&travel.is)).map(|complaint| travel.problem(complaint)));
        }
        placed
    }
}

/// Lets those who have the same terms hold one copy of them.
fn share_terms(members: &mut [Known]) {
    let mut known: BTreeMap<Vec<u8>, Arc<Terms>> = BTreeMap::new();
    for member in members {
        let mut writer = Writer::default();
        write_terms(&member.claim.terms, &mut writer);
        let terms = &mut member.claim.terms;
        *terms = Arc::clone(known.entry(writer.into_bytes()).or_insert_with(|| Arc::clone(terms)));
    }
}

fn member(entry: &Entry, placed: &BTreeMap<NamedPlace, Answer>) -> Known {
    let mut claim = entry.claim.clone();
    if let Some(found) = entry.unplaced().and_then(|named| placed.get(&named)?.point) {
        let radius_km = entry.radius_km.unwrap_or(found.radius_km);
        Arc::make_mut(&mut claim.terms).point = Some(crate::model::claim::ClaimedPoint { radius_km, ..found });
    }
    Known {
        name: entry.account.clone(),
        claim,
        travels: entry
            .travels
            .iter()
            .map(|travel| placed_travel(travel, placed))
            .collect(),
    }
}

fn placed_travel(travel: &Travel, placed: &BTreeMap<NamedPlace, Answer>) -> Travel {
    let found = unplaced_travel(travel).and_then(|named| placed.get(&named)?.point);
    Travel {
        point: travel.point.or(found.map(|found| found.point)),
        ..travel.clone()
    }
}

/// A file of which nothing can be used is another file, or broken.
fn none_usable(lines: u64, first: Problem) -> Problem {
    let what = format!("none of {lines} lines is usable; the first: {}", first.what);
    Problem { what, ..first }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::{Reference, Rostered};
    use crate::model::geo::Point;
    use crate::model::{AccountKind, Place, Scale};

    const CSV: &str = "\
Account,aliases,kind,employer,country,region,city,latitude,longitude,radius_km,time_zone,allowed_countries,hire_date,devices
CORP\\R.Lee , r.lee@corp.example;00uLEE,contractor,Acme Staffing,us,Texas,Austin,30.267,-97.743,80,america/chicago,CA;mx,2025-11-03,LT-4411;lt-4412
b.two,,,,,,,,,,,,,
";

    fn built(builder: &RosterBuilder) -> Reference {
        let (roster, problems) = builder.build(&Geography::default());
        assert_eq!(problems, []);
        Reference::new(std::sync::Arc::default(), std::sync::Arc::new(roster))
    }

    fn read(builder: &mut RosterBuilder, text: &str) -> Vec<String> {
        let problems = builder.read("roster", "roster 0".to_owned(), text.as_bytes()).unwrap();
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn csv_and_json_say_the_same() {
        let json = r#"{"account":"r.lee","aliases":["R.Lee@corp.example","00ulee"],"kind":"Contractor","employer":"Acme Staffing","country":"US","region":"Texas","city":"Austin","latitude":30.267,"longitude":"-97.743","radius_km":80,"time_zone":"America/Chicago","allowed_countries":["CA","MX"],"hire_date":"2025-11-03","devices":["LT-4411","LT-4412"]}

            {"account":"b.two","city":null}"#;
        let json = format!("\u{feff}{json}");
        let (mut from_csv, mut from_json) = (RosterBuilder::default(), RosterBuilder::default());
        assert!(read(&mut from_csv, CSV).is_empty() && read(&mut from_json, &json).is_empty());
        let (from_csv, from_json) = (built(&from_csv), built(&from_json));
        let listed = from_csv.resolve(["nobody", "00ulee"].into_iter()).unwrap();
        assert_eq!(listed.account, "r.lee");
        let claim = listed.claim();
        assert_eq!(
            from_json
                .resolve(["r.lee@corp.example"].into_iter())
                .map(Rostered::claim),
            Some(claim)
        );
        let terms = &claim.terms;
        assert_eq!((terms.kind, terms.country.as_str()), (AccountKind::Contractor, "US"));
        assert_eq!(terms.point.unwrap().radius_km, 80);
        assert_eq!(terms.time_zone, "America/Chicago");
        assert_eq!(terms.allowed_countries, ["CA", "MX"]);
        assert_eq!(claim.hire_day, Some(20_395));
        assert!(claim.devices.borrowed().iter().eq(["lt-4411", "lt-4412"]));
        let empty = from_csv.resolve(["b.two"].into_iter()).unwrap();
        assert!(!empty.claim().terms.names_a_place());
    }

    #[test]
    fn accounts_of_the_same_terms_hold_one_copy_of_them() {
        let csv = "account,kind,country,city,latitude,longitude,hire_date\n\
                   a,contractor,US,Austin,30.267,-97.743,2025-11-03\n\
                   b,contractor,US,Austin,30.267,-97.743,\n\
                   c,employee,US,Austin,30.267,-97.743,\n";
        let mut builder = RosterBuilder::default();
        assert!(read(&mut builder, csv).is_empty());
        let reference = built(&builder);
        let terms = |name| &reference.resolve([name].into_iter()).unwrap().claim().terms;
        assert!(Arc::ptr_eq(terms("a"), terms("b")));
        assert!(!Arc::ptr_eq(terms("a"), terms("c")));
    }

    #[test]
    fn a_bad_line_is_told_by_line_field_and_remedy_and_costs_only_itself() {
        let header = "account,country,time_zone,latitude,longitude,radius_km,hire_date,kind,allowed_countries";
        let rows = [
            (",US,,,,,,,", "account \"\" names nobody"),
            ("*****,US,,,,,,,", "account_masked"),
            ("a,UK,,,,,,,", "country \"UK\" is no country code; write GB"),
            ("a,US,Mars/Olympus,,,,,,", "time_zone \"Mars/Olympus\""),
            ("a,US,,30,,,,,", "longitude is missing"),
            ("a,US,,91,0,,,,", "latitude \"91\""),
            ("a,US,,,,0,,,", "radius_km \"0\""),
            ("a,US,,,,,03/11/2025,,", "hire_date \"03/11/2025\""),
            ("a,US,,,,,,temp,", "kind \"temp\""),
            ("a,US,,,,,,,US;ZZ", "allowed_countries \"ZZ\""),
            ("a,US", "2 fields instead of 9"),
        ];
        let lines: Vec<&str> = rows.iter().map(|(row, _)| *row).collect();
        let text = format!("{header}\n{}\ngood,US,,,,,,,\n", lines.join("\n"));
        let mut builder = RosterBuilder::default();
        let told = read(&mut builder, &text);
        assert_eq!(told.len(), rows.len());
        for (index, ((_, expected), told)) in rows.iter().zip(&told).enumerate() {
            assert!(
                told.starts_with(&format!("roster:{}: ", index + 2)) && told.contains(expected),
                "{told}"
            );
        }
        assert!(built(&builder).resolve(["good"].into_iter()).is_some());
    }

    #[test]
    fn a_forgotten_quote_swallows_nobody_below_it() {
        let mut builder = RosterBuilder::default();
        let told = read(&mut builder, "account,employer\na,\"Acme\nb,Acme\nc,\"Acme, Inc.\"\n");
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with("roster:2: a quote that is not closed"),
            "{}",
            told[0]
        );
        let travel =
            b"account,from,to,country,ticket\nb,2026-03-01,2026-03-02,DE,\"T1\nb,2026-03-05,2026-03-06,FR,T2\n";
        let told = builder.read_travel("travel", String::new(), travel).unwrap();
        assert_eq!(told.iter().map(|problem| problem.line).collect::<Vec<_>>(), [Some(2)]);
        let reference = built(&builder);
        let travels = |name| reference.resolve([name].into_iter()).is_some();
        assert!(!travels("a") && travels("b") && travels("c"));
        assert_eq!(reference.summary().travels, 1);
    }

    #[test]
    fn hostile_json_lines_are_told_and_the_rest_is_used() {
        let nested = format!("{{\"account\":\"x\",\"aliases\":{}", "[".repeat(100_000));
        let text = format!(
            "{{\"account\":\"a\",\"alias\":[\"b\"]}}\n{nested}\n{{\"account\":\"a\",\"devices\":[[1]]}}\n{{}}\n{{\"account\":\"ok\"}} x\n{{\"account\":\"good\"}}\n"
        );
        let mut builder = RosterBuilder::default();
        let told = read(&mut builder, &text);
        assert_eq!(told.len(), 5, "{told:?}");
        assert!(
            told[0].contains("unknown field `alias`") && told[0].ends_with("correct its name, or remove it"),
            "{}",
            told[0]
        );
        assert!(told[2].starts_with("roster:3: devices"), "{}", told[2]);
        assert!(built(&builder).resolve(["good"].into_iter()).is_some());
    }

    #[test]
    fn a_file_with_an_unknown_column_is_refused_whole() {
        let mut builder = RosterBuilder::default();
        for (text, told) in [
            ("account,alias\na,b\n", "column \"alias\" is unknown"),
            ("account,travel\na,b\n", "travel comes in a file of its own"),
            (
                "name\na\n",
                "column \"name\" is unknown; correct its name, or remove it",
            ),
            ("account,ticket\na,T1\n", "travel comes in a file of its own"),
            (
                "account;kind\na;employee\n",
                "columns separated by \";\"; separate them by commas",
            ),
            ("[{\"account\":\"a\"}]\n", "a JSON array; write one object per line"),
            ("kind\nemployee\n", "\"account\" is missing"),
            ("account,account\na,b\n", "there twice"),
            ("account,kind\na,b\n", "none of 1 lines is usable"),
            ("{\"account\":1,}\n", "none of 1 lines is usable"),
        ] {
            let problem = builder.read("roster", String::new(), text.as_bytes()).unwrap_err();
            assert!(problem.to_string().contains(told), "{problem}");
        }
    }

    #[test]
    fn a_name_of_two_accounts_belongs_to_nobody() {
        let mut builder = RosterBuilder::default();
        let told = read(&mut builder, "account,aliases\na,shared;b\nb,SHARED;own\na,\n");
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("account \"a\" is also in roster:2"), "{}", told[0]);
        let (roster, problems) = builder.build(&Geography::default());
        let told: Vec<_> = problems.iter().map(|p| (p.line, p.what.as_str())).collect();
        assert_eq!(
            told,
            [
                (Some(2), "aliases \"b\" is an account of its own"),
                (
                    Some(2),
                    "aliases \"shared\" belongs to several accounts and is used for none"
                ),
                (
                    Some(3),
                    "aliases \"shared\" belongs to several accounts and is used for none"
                ),
            ]
        );
        assert!(roster.find("shared").is_none());
        let owner = |name| roster.find(name).map(|listed| listed.account);
        assert_eq!((owner("b"), owner("own")), (Some("b"), Some("b")));
    }

    #[test]
    fn travel_is_never_open_ended_and_that_which_covers_the_place_or_began_last_counts() {
        let mut builder = RosterBuilder::default();
        read(&mut builder, "account,aliases\na,a@x.example\n");
        let travel = "\
account,from,to,country,city,latitude,longitude,ticket
a@x.example,2026-03-01,2026-03-10,DE,,,,T1
a,2026-03-09,2026-03-12,FR,Paris,48.86,2.35,T2
a,2026-03-09,,FR,,,,
a,2026-03-09,9999-12-31,FR,,,,
a,2026-03-09,2026-03-08,FR,,,,
nobody,2026-03-09,2026-03-09,FR,,,,
";
        let problems = builder
            .read_travel("travel", "travel 0".to_owned(), travel.as_bytes())
            .unwrap();
        assert_eq!(problems.iter().map(|p| p.line.unwrap()).collect::<Vec<_>>(), [4, 5, 6]);
        let (roster, problems) = builder.build(&Geography::default());
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].line, Some(7));
        let listed = roster.find("a").unwrap();
        let ticket = |day: i32| Some(listed.travel_on(day, || None)?.ticket.as_str());
        let first = 20_513;
        let days = [first - 1, first, first + 8, first + 9, first + 11, first + 12];
        assert_eq!(
            days.map(ticket),
            [None, Some("T1"), Some("T2"), Some("T2"), Some("T2"), None]
        );
        let in_country = |country: &str| Place {
            point: Point::new(51.0, 9.0).unwrap(),
            radius_km: 50,
            scale: Scale::City,
            country: country.to_owned(),
            region: String::new(),
            region_name: String::new(),
            city: String::new(),
        };
        let ticket = |country: &str| {
            let travel = listed.travel_on(first + 8, || Some(in_country(country)))?;
            Some(travel.ticket.as_str())
        };
        assert_eq!(["DE", "RO"].map(ticket), [Some("T1"), Some("T2")]);
    }

    #[test]
    fn travel_without_a_usable_line_is_refused_whole() {
        let mut builder = RosterBuilder::default();
        let mut read = |lines: &str| {
            let text = format!("account,from,to,country\n{lines}");
            builder.read_travel("travel.csv", String::new(), text.as_bytes())
        };
        let problem = read("a,01/03/2026,10/03/2026,DE\nb,02/03/2026,09/03/2026,FR\n").unwrap_err();
        assert_eq!(problem.line, Some(2));
        assert!(
            problem.what.starts_with("none of 2 lines is usable; the first: "),
            "{problem}"
        );
        assert_eq!(
            read("a,01/03/2026,10/03/2026,DE\nb,2026-03-02,2026-03-09,FR\n")
                .unwrap()
                .len(),
            1
        );
        assert_eq!(read("").unwrap(), [], "nobody travels");
    }

    #[test]
    fn a_topic_replaces_and_removes() {
        let mut builder = RosterBuilder::default();
        builder.upsert("ref.roster", "A", b"{\"country\":\"US\"}").unwrap();
        builder
            .upsert("ref.roster", "a", b"{\"account\":\"a\",\"country\":\"CA\"}")
            .unwrap();
        builder
            .upsert(
                "ref.roster",
                "b",
                b"{\"travel\":[{\"from\":\"2026-03-01\",\"to\":\"2026-03-02\"}]}",
            )
            .unwrap();
        assert!(builder.upsert("ref.roster", "a", b"{\"account\":\"c\"}").is_err());
        assert!(
            builder
                .upsert("ref.roster", "a", b"{\"travel\":[{\"from\":\"2026-03-01\"}]}")
                .is_err()
        );
        builder.note_topic("ref.roster", "roster 0:17".to_owned());
        let reference = built(&builder);
        let listed = reference.resolve(["a"].into_iter()).unwrap();
        assert_eq!(listed.claim().terms.country, "CA");
        assert_eq!(reference.versions(), "roster 0:17");
        assert_eq!(reference.summary().travels, 1);
        builder.remove("A");
        assert!(built(&builder).resolve(["a"].into_iter()).is_none());
    }

    #[test]
    fn a_stated_radius_says_how_precise_the_claim_is() {
        let mut builder = RosterBuilder::default();
        read(
            &mut builder,
            "account,latitude,longitude,radius_km\na,30,-97,\nb,30,-97,400\nc,30,-97,2500\n",
        );
        let reference = built(&builder);
        let scales = ["a", "b", "c"].map(|name| {
            let listed = reference.resolve([name].into_iter()).unwrap();
            listed.claim().terms.point.unwrap().scale
        });
        assert_eq!(scales, [Scale::City, Scale::Region, Scale::Country]);
    }
}
