//! The story that must be one alert, told in many orders: two laptops of two contractors who claim other places, on one
//! line in Las Vegas, with AnyDesk on both and Astrill beside them (Mandiant, 2025).

use std::collections::BTreeSet;
use std::sync::Arc;

use falsefront::enrich::Reference;
use falsefront::model::Severity;
use falsefront::pipeline::Published;
use falsefront::service::reference::ReferenceBytes;
use serde_json::Value;

use crate::support::core;
use crate::support::ocsf::{DAY_MS, HOUR_MS, MINUTE_MS, START_MS, Who, login, okta_behind, process};

const LINE: &str = "240.42.0.7";
const EXIT: &str = "246.22.0.9";
const DAYS: i64 = 5;

/// How Astrill shows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Astrill {
    /// A process on the laptop, OCSF 1007.
    Process,
    /// A sign-in from an exit that the operator's list names.
    Listed,
    /// A sign-in whose tunnel Okta names.
    Okta,
}

/// One order of the story. Days count from 0.
#[derive(Clone, Copy, Debug)]
struct Order {
    astrill: Astrill,
    /// Day on which each account's AnyDesk is first seen.
    anydesk: [i64; 2],
    /// Day on which each account's Astrill is first seen.
    astrill_day: [i64; 2],
}

fn orders() -> Vec<Order> {
    let days = [0, 2, DAYS - 1];
    let mut orders = Vec::new();
    for astrill in [Astrill::Process, Astrill::Listed, Astrill::Okta] {
        for first in days {
            for second in days {
                for brand in days {
                    orders.push(Order {
                        astrill,
                        anydesk: [first, second],
                        astrill_day: [brand, brand],
                    });
                }
            }
        }
    }
    orders
}

fn story(order: Order) -> Vec<Vec<u8>> {
    let accounts = [("a.reyes@corp.example", "lt-101"), ("b.ward@corp.example", "lt-102")];
    let mut records: Vec<(i64, Vec<u8>)> = Vec::new();
    for day in 0..DAYS {
        for (index, (account, device)) in accounts.into_iter().enumerate() {
            let start_ms = START_MS + day * DAY_MS + (14 + i64::try_from(index).unwrap()) * HOUR_MS;
            let mut add = |minute: i64, what: &str, make: &dyn Fn(Who<'_>) -> Vec<u8>| {
                let time_ms = start_ms + minute * MINUTE_MS;
                let id = format!("{what}-{index}-{day}");
                let who = Who {
                    id: &id,
                    time_ms,
                    account,
                    device,
                };
                records.push((time_ms, make(who)));
            };
            add(0, "login", &|who| login(who, LINE));
            if day >= order.anydesk[index] {
                add(10, "anydesk", &|who| process(who, "AnyDesk.exe"));
            }
            if day >= order.astrill_day[index] {
                add(20, "astrill", &|who| match order.astrill {
                    Astrill::Process => process(who, "astrill.exe"),
                    Astrill::Listed => login(who, EXIT),
                    Astrill::Okta => okta_behind(who, EXIT, "ASTRILL_VPN"),
                });
            }
        }
    }
    records.sort_by_key(|(time_ms, _)| *time_ms);
    records.into_iter().map(|(_, record)| record).collect()
}

fn reference() -> Arc<Reference> {
    let roster = "account,kind,employer,country,region,city\n\
        a.reyes@corp.example,contractor,Quillstaff,US,TX,Austin\n\
        b.ward@corp.example,contractor,Northbench,US,FL,Tampa\n";
    let networks = "network,class,label\n246.0.0.0/8,vpn,Astrill\n";
    core::reference(ReferenceBytes {
        roster: vec![("roster.csv".to_owned(), roster.into())],
        networks: vec![("networks.csv".to_owned(), networks.into())],
        ..ReferenceBytes::default()
    })
}

fn told(order: Order, reference: &Arc<Reference>) -> Vec<Published> {
    let records = story(order);
    let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let replayed = core::replay(&Arc::default(), reference, &records, 1).alerts;
    let found = core::run(&Arc::default(), reference, &records);
    assert_eq!(found, replayed, "{order:?}: replay says otherwise");
    found
}

#[test]
fn every_order_of_the_story_is_one_critical_alert_that_names_everything() {
    let reference = reference();
    for order in orders() {
        let found = told(order, &reference);
        let alerts: Vec<&Published> = found.iter().filter(|record| record.is_alert).collect();
        let identities: BTreeSet<(&str, &str)> = alerts.iter().map(|a| (a.detection, a.uid.as_str())).collect();
        assert_eq!(identities.len(), 1, "{order:?}: {identities:?}");
        let creations = alerts.iter().filter(|alert| alert.is_first).count();
        assert_eq!(creations, 1, "{order:?}");
        let last = alerts.last().unwrap();
        assert_eq!(
            (last.detection, last.severity),
            ("laptop_farm", Severity::Critical),
            "{order:?}"
        );
        assert_eq!(
            last.accounts,
            ["a.reyes@corp.example", "b.ward@corp.example"],
            "{order:?}"
        );
        let last: Value = serde_json::from_slice(&last.value).unwrap();
        let evidence = last["evidences"].to_string();
        for wanted in [LINE, "AnyDesk", "Astrill", "Austin, TX, US", "Tampa, FL, US"] {
            assert!(evidence.contains(wanted), "{order:?}: no {wanted} in {evidence}");
        }
    }
}

/// An update is for what the alert did not say yet; a story that adds nothing to its first record has no other.
#[test]
fn what_adds_nothing_is_not_published_again() {
    let reference = reference();
    for order in orders() {
        let alerts: Vec<Published> = told(order, &reference)
            .into_iter()
            .filter(|record| record.is_alert)
            .collect();
        for pair in alerts.windows(2) {
            assert!(
                pair[1].severity > pair[0].severity || pair[1].message != pair[0].message,
                "{order:?}"
            );
        }
        let is_all_seen_at_once = order.astrill_day == [0, 0] && order.anydesk != [DAYS - 1; 2];
        if is_all_seen_at_once {
            assert_eq!(alerts.len(), 1, "{order:?}");
        }
    }
}
