//! Each class with the fields that matter, and the mappings that mislead.

use super::*;
use crate::intake::{Format, decode};

fn check(record: &str, assert: impl FnOnce(Result<Event<'_>, Rejection>)) {
    let mut events = Vec::new();
    let outcome = decode(Format::Ocsf, record.as_bytes(), &mut |_, event| events.push(event));
    assert(outcome.and_then(|()| events.remove(0)));
}

fn record(class: i64, activity: i64, rest: &str) -> String {
    format!(
        r#"{{"class_uid":{class},"activity_id":{activity},"time":1772600767089,"status_id":1,
        "metadata":{{"uid":"e-1","product":{{"name":"Acme IdP"}}}},"src_endpoint":{{"ip":"203.0.113.7","uid":"client-1"}},
        "device":{{"uid":"LT-4411","hostname":"lt-4411.corp.example","is_managed":true}},{rest}}}"#
    )
}

#[test]
fn a_logon_is_read_whole() {
    let rest = r#""user":{"email_addr":"Ann@corp.example","name":"CORP\\ann","uid":"u-7"},"session":{"uid":"s-1"},
        "service":{"name":"Payroll"},"is_mfa":true,"auth_factors":[{"factor_type_id":11},{"factor_type_id":5,"device":{"uid":"ph-1"}}],
        "http_request":{"user_agent":"UA/1"}"#;
    check(&record(3002, 1, rest), |event| {
        let event = event.unwrap();
        assert_eq!(
            serde_json::to_value(&event).unwrap(),
            serde_json::json!({
                "id": "e-1", "time": 1_772_600_767_089_i64, "kind": "login", "account": "ann@corp.example",
                "account_aliases": ["ann", "u-7"], "source_ip": "203.0.113.7", "outcome": "success",
                "device": {"id": "LT-4411", "hostname": "lt-4411.corp.example", "managed": true, "fingerprint": false},
                "session": "s-1", "app": "Payroll", "mfa": {"used": true, "method": "push", "factor": "ph-1"},
                "user_agent": "UA/1", "interactive": true, "product": "Acme IdP"
            })
        );
    });
}

#[test]
fn the_user_is_the_actor_where_user_is_empty() {
    for user in ["null", "{}", r#"{"name":""}"#, r#""ann""#] {
        let rest = format!(r#""user":{user},"actor":{{"user":{{"name":"ann"}}}}"#);
        check(&record(3002, 1, &rest), |event| {
            assert_eq!(event.unwrap().account.as_str(), "ann", "{user}");
        });
    }
}

#[test]
fn a_mask_in_place_of_the_user_gives_way_to_the_actor() {
    let masks = [
        r#"{"name":"*****"}"#,
        r#"{"name":"N/A","uid":"-"}"#,
        r#"{"name":" "}"#,
        r#"{"uid":"S-1-0-0"}"#,
    ];
    for user in masks {
        for (class, activity) in [(3002, 1), (4014, 1), (4005, 4), (3001, 3)] {
            let rest = format!(r#""user":{user},"actor":{{"user":{{"name":"ann"}}}}"#);
            check(&record(class, activity, &rest), |event| {
                assert_eq!(event.unwrap().account.as_str(), "ann", "{class} {user}");
            });
        }
    }
    for (user, actor, reason) in [
        (r#"{"name":"*****"}"#, r#"{"name":"N/A"}"#, "account_masked"),
        (r#"{"name":"*****"}"#, "{}", "account_masked"),
        (r#"{"name":"*****"}"#, r#"{"name":"HOST$"}"#, "account_masked"),
        (r#"{"uid":"S-1-0-0"}"#, r#"{"name":"HOST$"}"#, "account_machine"),
        (r#"{"uid":"S-1-0-0"}"#, "{}", "account_missing"),
        (r#"{"name":"HOST$"}"#, r#"{"name":"ann"}"#, "account_machine"),
        (r#"{"name":"SYSTEM"}"#, r#"{"name":"ann"}"#, "account_machine"),
    ] {
        let rest = format!(r#""user":{user},"actor":{{"user":{actor}}}"#);
        check(&record(3002, 1, &rest), |event| {
            assert_eq!(event.unwrap_err().reason, reason, "{user} {actor}");
        });
    }
}

#[test]
fn a_client_id_is_no_device() {
    let rest = r#""user":{"name":"ann"}"#;
    let bare = record(3002, 1, rest).replace(r#""device""#, r#""devices""#);
    check(&bare, |event| assert_eq!(event.unwrap().device, None));
}

#[test]
fn a_browser_is_a_fingerprint() {
    let rest = r#""user":{"name":"ann"}"#;
    let browser = record(3002, 1, rest).replace(r#""is_managed":true"#, r#""type_id":8"#);
    check(&browser, |event| assert!(event.unwrap().device.unwrap().fingerprint));
}

#[test]
fn activities_come_to_their_kinds() {
    let rest = r#""user":{"name":"ann"}"#;
    for (class, activity, kind, interactive) in [
        (3002, 2, EventKind::Logout, true),
        (3002, 3, EventKind::Activity, false),
        (3002, 99, EventKind::Activity, true),
        (3001, 10, EventKind::FactorEnrolled, true),
        (3001, 3, EventKind::ProfileChanged, true),
        (4014, 1, EventKind::VpnOpen, true),
        (4014, 2, EventKind::VpnClose, true),
        (4014, 3, EventKind::VpnRenew, false),
        (4005, 3, EventKind::RdpLogon, true),
        (4005, 4, EventKind::RdpLogon, true),
        (4005, 8, EventKind::RdpLogon, true),
        (4005, 6, EventKind::Activity, true),
        (4005, 0, EventKind::RdpLogon, true),
        (4005, 1, EventKind::Activity, false),
        (4005, 2, EventKind::Activity, false),
        (4005, 5, EventKind::Activity, false),
        (4005, 99, EventKind::RdpLogon, true),
        (4005, 7, EventKind::Logout, true),
        (1010, 1, EventKind::PeripheralAttached, true),
    ] {
        check(&record(class, activity, rest), |event| {
            let event = event.unwrap();
            assert_eq!(
                (event.kind, event.interactive),
                (kind, interactive),
                "{class} {activity}"
            );
        });
    }
    for (class, activity) in [(4014, 0), (1010, 2), (6003, 1)] {
        check(&record(class, activity, rest), |event| {
            assert_eq!(event.unwrap_err().reason, "kind_unsupported", "{class} {activity}");
        });
    }
}

#[test]
fn an_activity_is_also_told_by_its_type() {
    let typed = record(3002, 1, r#""user":{"name":"ann"}"#)
        .replace(r#""class_uid":3002,"activity_id":1"#, r#""type_uid":300202"#);
    check(&typed, |event| assert_eq!(event.unwrap().kind, EventKind::Logout));
}

#[test]
fn a_whole_number_may_have_a_fraction_of_zeros() {
    let rest = r#""user":{"name":"ann"},"logon_type_id":10"#;
    let whole = record(3002, 1, rest);
    let with_fractions = whole
        .replace("3002,", "3002.0,")
        .replace(r#""activity_id":1,"#, r#""activity_id":1.0,"#)
        .replace("1772600767089", "1772600767089.0")
        .replace(r#""status_id":1,"#, r#""status_id":1.00,"#)
        .replace(r#""logon_type_id":10"#, r#""logon_type_id":10.0"#);
    assert_eq!(with_fractions.matches(".0").count(), 5 + whole.matches(".0").count());
    let mut decoder = crate::intake::Decoder::default();
    for record in [&whole, &with_fractions, &whole, &with_fractions] {
        let mut each = |_, event: Result<Event<'_>, Rejection>| {
            let event = event.unwrap();
            assert_eq!((event.kind, event.outcome), (EventKind::RdpLogon, Outcome::Success));
            assert_eq!(event.time_ms, 1_772_600_767_089);
        };
        decoder.decode(Format::Auto, record.as_bytes(), &mut each).unwrap();
    }
}

#[test]
fn a_tunnel_has_an_inner_address_and_did_exist() {
    let rest = r#""user":{"name":"ann"},"tunnel_interface":{"ip":"10.8.0.9"},"session":{"uid":"t-1"}"#;
    check(&record(4014, 1, rest).replace(r#""status_id":1,"#, ""), |event| {
        let event = event.unwrap();
        assert_eq!(event.vpn_ip, Some("10.8.0.9".parse().unwrap()));
        assert_eq!(event.source_ip, Some("203.0.113.7".parse().unwrap()));
        assert_eq!(event.outcome, Outcome::Success);
    });
    check(
        &record(4014, 1, rest).replace(r#""status_id":1"#, r#""status_id":0"#),
        |event| {
            assert_eq!(event.unwrap().outcome, Outcome::Unknown);
        },
    );
}

#[test]
fn remote_desktop_leads_to_the_far_device() {
    let rest = r#""user":{"name":"ann"},"dst_endpoint":{"uid":"WS-2","hostname":"ws-2"}"#;
    let far = record(4005, 4, rest).replace(r#""device""#, r#""devices""#);
    check(&far, |event| assert_eq!(event.unwrap().device.unwrap().id, "WS-2"));
    for (activity, outcome) in [(4, Outcome::Unknown), (8, Outcome::Success)] {
        let unsaid = record(4005, activity, rest).replace(r#""status_id""#, r#""status_ids""#);
        check(&unsaid, |event| {
            assert_eq!(event.unwrap().outcome, outcome, "{activity}");
        });
    }
    let logon = record(3002, 1, r#""user":{"name":"ann"},"logon_type_id":10"#);
    check(&logon, |event| assert_eq!(event.unwrap().kind, EventKind::RdpLogon));
}

#[test]
fn a_service_logon_is_not_interactive() {
    for rest in [
        r#""user":{"name":"ann"},"logon_type_id":5"#,
        r#""user":{"name":"svc-backup","type_id":4}"#,
    ] {
        check(&record(3002, 1, rest), |event| {
            assert!(!event.unwrap().interactive, "{rest}");
        });
    }
}

#[test]
fn a_tool_is_known_by_process_and_used_by_a_person() {
    let rest = r#""actor":{"user":{"name":"NT AUTHORITY\\SYSTEM"}},
        "process":{"name":"remoting_start_host.exe","cmd_line":"remoting_start_host.exe --pin=000000","user":{"name":"ann"}}"#;
    check(&record(1007, 1, rest), |event| {
        let event = event.unwrap();
        assert_eq!((event.account.as_str(), event.kind), ("ann", EventKind::ToolSeen));
        let tool = event.tool.unwrap();
        assert_eq!((tool.name.as_ref(), tool.unattended), ("Chrome Remote Desktop", true));
        assert_eq!(tool.indicator.as_deref(), Some("remoting_start_host.exe"));
    });
    let path = r#""actor":{"user":{"name":"ann"}},"process":{"file":{"path":"C:\\Tools\\AnyDesk.exe"}}"#;
    check(&record(1007, 1, path), |event| {
        assert_eq!(event.unwrap().tool.unwrap().name, "AnyDesk");
    });
    let other = r#""actor":{"user":{"name":"ann"}},"process":{"name":"excel.exe"}"#;
    check(&record(1007, 1, other), |event| {
        assert_eq!(event.unwrap_err().reason, "not_a_remote_access_tool");
    });
    let system = r#""actor":{"user":{"name":"SYSTEM"}},"process":{"name":"anydesk.exe"}"#;
    check(&record(1007, 1, system), |event| {
        assert_eq!(event.unwrap_err().reason, "account_machine");
    });
}

#[test]
fn what_the_superuser_runs_is_its_devices_owners() {
    let owned = r#""device":{"owner":{"email_addr":"ann@corp.example"},"#;
    for user in [
        r#"{"name":"root"}"#,
        r#"{"name":"root","uid":"0"}"#,
        r#"{"uid":0}"#,
        r#"{"name":"SYSTEM","uid":"S-1-5-18"}"#,
        r#"{"uid":"S-1-5-19"}"#,
        r#"{"name":"UMFD-1","uid":"S-1-5-96-0-1"}"#,
        r#"{"uid":"S-1-0-0"}"#,
    ] {
        let process = format!(r#""actor":{{"user":{user}}},"process":{{"name":"anydesk","user":{user}}}"#);
        let peripheral = format!(r#""user":{user},"peripheral_device":{{"name":"Keyboard"}}"#);
        for (class, rest) in [(1007, process), (1010, peripheral)] {
            let unowned = record(class, 1, &rest);
            check(&unowned.replace(r#""device":{"#, owned), |event| {
                assert_eq!(event.unwrap().account.as_str(), "ann@corp.example", "{class} {user}");
            });
            let reason = if user.contains("S-1-0-0") {
                "account_missing"
            } else {
                "account_machine"
            };
            check(&unowned, |event| {
                assert_eq!(event.unwrap_err().reason, reason, "{class} {user}");
            });
        }
    }
    let logon = record(3002, 1, r#""user":{"name":"root","uid":0}"#);
    check(&logon, |event| assert_eq!(event.unwrap().account.as_str(), "root"));
}

#[test]
fn a_composite_gadget_shows_its_ids_and_interfaces() {
    let rest = r#""actor":{"user":{"name":"ann"}},
        "peripheral_device":{"name":"Composite Gadget","uid":"USB\\VID_1D6B&PID_0104\\77","class":"HID","vendor_name":"Acme","serial_number":"77"},
        "unmapped":{"interfaces":["keyboard","mouse","mass storage"],"edid":{"manufacturer":"LNX","monitor_name":"Console"}}"#;
    check(&record(1010, 1, rest), |event| {
        let peripheral = event.unwrap().peripheral.unwrap();
        assert_eq!(
            (peripheral.vendor_id, peripheral.product_id),
            (Some(0x1d6b), Some(0x0104))
        );
        assert!(peripheral.keyboard && peripheral.mouse && peripheral.storage);
        assert_eq!(peripheral.manufacturer.as_deref(), Some("Acme"));
        assert_eq!(peripheral.serial.as_deref(), Some("77"));
        let edid = peripheral.edid.unwrap();
        assert_eq!(
            (edid.manufacturer.as_deref(), edid.model.as_deref()),
            (Some("LNX"), Some("Console"))
        );
    });
    let numbers = r#""actor":{"user":{"name":"ann"}},"peripheral_device":{"name":"Keyboard","type_id":2},
        "unmapped":{"vendor_id":7531,"product_id":"0x0104"}"#;
    for numbers in [numbers.to_owned(), numbers.replace("7531", "7531.0")] {
        check(&record(1010, 1, &numbers), |event| {
            let peripheral = event.unwrap().peripheral.unwrap();
            assert_eq!(
                (peripheral.vendor_id, peripheral.product_id),
                (Some(0x1d6b), Some(0x0104))
            );
            assert!(peripheral.keyboard && !peripheral.mouse && !peripheral.storage && peripheral.edid.is_none());
        });
    }
}

#[test]
fn a_change_to_another_persons_account_places_the_administrator() {
    let rest = r#""user":{"name":"ann","uid":"u-7"},"actor":{"user":{"name":"admin","uid":"u-1"}},
        "auth_factors":[{"factor_type_id":5,"device":{"uid":"ph-1"}}]"#;
    check(&record(3001, 10, rest), |event| {
        let event = event.unwrap();
        assert_eq!((event.account.as_str(), event.kind), ("admin", EventKind::Activity));
        assert_eq!(event.mfa, None, "the telephone is ann's");
    });
    check(&record(3001, 10, &rest.replace("u-1", "u-7")), |event| {
        let mfa = event.unwrap().mfa.unwrap();
        assert_eq!(
            (mfa.used, mfa.factor.as_deref()),
            (false, Some("ph-1")),
            "enrolled, not used"
        );
    });
}

#[test]
fn names_that_are_no_persons_key_are_refused() {
    for (user, reason) in [
        (r#"{"name":"ANONYMOUS LOGON","uid":"S-1-5-7"}"#, "account_machine"),
        (r#"{"name":"LT-4411$","uid":"S-1-5-21"}"#, "account_machine"),
        (r#"{"name":"*****"}"#, "account_masked"),
        (r#"{"name":"ann","type_id":3}"#, "actor_not_a_person"),
    ] {
        check(&record(3002, 1, &format!(r#""user":{user}"#)), |event| {
            assert_eq!(event.unwrap_err().reason, reason, "{user}");
        });
    }
    let namesake = r#""user":{"name":"Ann Lee","email_addr":"ann.lee@corp.example"}"#;
    check(&record(3002, 1, namesake), |event| {
        assert!(event.unwrap().account_aliases.is_empty());
    });
}

#[test]
fn an_address_behind_a_proxy_comes_from_the_forwarded_list() {
    let rest = r#""user":{"name":"ann"},"http_request":{"x_forwarded_for":["10.0.0.7, 198.51.100.9"]}"#;
    check(&record(3002, 1, rest).replace("203.0.113.7", "10.0.0.1"), |event| {
        assert_eq!(event.unwrap().source_ip, Some("198.51.100.9".parse().unwrap()));
    });
}

#[test]
fn a_second_factor_is_neither_a_password_nor_unknown() {
    for (factors, used, method) in [
        (r#"[{"factor_type_id":11}]"#, None, None),
        (r#"[{"factor_type":"Password"}]"#, None, None),
        (r#"[{"factor_type_id":0,"factor_type":"Unknown"}]"#, None, None),
        (r#"[{"factor_type_id":99,"factor_type":"password"}]"#, None, None),
        (r#"[{"factor_type_id":99}]"#, None, None),
        (r#"[{"provider":"Acme"}]"#, None, None),
        (
            r#"[{"factor_type_id":0},{"factor_type_id":7}]"#,
            Some(true),
            Some("otp"),
        ),
        (
            r#"[{"factor_type_id":99,"factor_type":"Smart card"}]"#,
            Some(true),
            Some("Smart card"),
        ),
        (r#"[{"factor_type":"push"}]"#, Some(true), Some("push")),
    ] {
        let rest = format!(r#""user":{{"name":"ann"}},"auth_factors":{factors}"#);
        check(&record(3002, 1, &rest), |event| {
            let mfa = event.unwrap().mfa;
            let found = mfa.as_ref().map(|mfa| mfa.used);
            assert_eq!(
                (found, mfa.and_then(|mfa| mfa.method).as_deref()),
                (used, method),
                "{factors}"
            );
        });
    }
}

#[test]
fn a_factor_is_the_device_telephone_or_mailbox_that_answers() {
    for (factor, id) in [
        (
            r#"{"factor_type_id":5,"device":{"uid":"ph-1"},"phone_number":"+12025550100"}"#,
            Some("ph-1"),
        ),
        (
            r#"{"factor_type_id":6,"device":{"hw_info":{"serial_number":"K-7"}}}"#,
            Some("K-7"),
        ),
        (
            r#"{"factor_type_id":1,"phone_number":"+12025550100"}"#,
            Some("+12025550100"),
        ),
        (
            r#"{"factor_type_id":8,"email_addr":"box@mail.example"}"#,
            Some("box@mail.example"),
        ),
        (r#"{"factor_type_id":8,"email_addr":"N/A"}"#, None),
    ] {
        let rest = format!(r#""user":{{"name":"ann"}},"auth_factors":[{factor}]"#);
        check(&record(3002, 1, &rest), |event| {
            assert_eq!(event.unwrap().mfa.unwrap().factor.as_deref(), id, "{factor}");
        });
    }
}

#[test]
fn a_time_that_cannot_be_gives_way_to_the_next() {
    let whole = record(3002, 1, r#""user":{"name":"ann"}"#);
    let with = |times: &str| whole.replace(r#""time":1772600767089,"#, times);
    for times in [
        r#""time":1772600767089,"#,
        r#""time":"1772600767089","#,
        r#""time":1772600767.089,"#,
        r#""time_dt":"2026-03-04T05:06:07.089Z","#,
        r#""time":0,"time_dt":"2026-03-04T05:06:07.089Z","#,
        r#""time":null,"start_time":1772600767089,"#,
        r#""time":"","start_time_dt":"2026-03-04T05:06:07.089Z","#,
    ] {
        check(&with(times), |event| {
            assert_eq!(event.unwrap().time_ms, 1_772_600_767_089, "{times}");
        });
    }
    for (times, reason, field) in [
        (r#""time":0,"#, "time_invalid", "time is no time"),
        (r#""time":1772600.767,"#, "time_invalid", "time is no time"),
        (r#""time":0,"start_time":7,"#, "time_invalid", "time is no time"),
        (r#""time_dt":"soon","#, "time_invalid", "time_dt is no time"),
        (
            r#""start_time":"1970-01-01T00:00:00Z","#,
            "time_invalid",
            "start_time is no time",
        ),
        ("", "time_missing", "time is missing"),
    ] {
        check(&with(times), |event| {
            let rejection = event.unwrap_err();
            assert_eq!(rejection.reason, reason, "{times}");
            assert!(rejection.detail.starts_with(field), "{times}: {}", rejection.detail);
        });
    }
}

#[test]
fn the_address_of_a_proxy_is_nobodys() {
    let user = r#""user":{"name":"ann"}"#;
    let forwarded = r#""http_request":{"x_forwarded_for":["198.51.100.9, 203.0.113.7"]}"#;
    let proxy = r#""proxy_endpoint":{"ip":"203.0.113.7"}"#;
    for (rest, ip) in [
        (format!("{user},{proxy}"), None),
        (format!("{user},{proxy},{forwarded}"), Some("198.51.100.9")),
        (format!("{user},{}", proxy.replace("proxy_endpoint", "proxy")), None),
        (
            format!("{user},{}", proxy.replace("203.0.113.7", "192.0.2.1")),
            Some("203.0.113.7"),
        ),
    ] {
        check(&record(3002, 1, &rest), |event| {
            assert_eq!(event.unwrap().source_ip, ip.map(|ip| ip.parse().unwrap()), "{rest}");
        });
    }
    let own = record(3002, 1, user).replace(r#""uid":"client-1""#, proxy);
    check(&own, |event| assert_eq!(event.unwrap().source_ip, None));
}

#[test]
fn an_account_is_the_actors_own_only_by_what_names_one_person() {
    for (user, actor, account) in [
        (
            r#"{"name":"ann","uid":"N/A"}"#,
            r#"{"name":"admin","uid":"N/A"}"#,
            "admin",
        ),
        (r#"{"name":"sam","uid":"u-7"}"#, r#"{"name":"sam","uid":"u-1"}"#, "sam"),
        (
            r#"{"name":"Sam Lee","email_addr":"sam.lee@corp.example"}"#,
            r#"{"name":"Sam Lee","email_addr":"sam.lee2@corp.example"}"#,
            "sam.lee2@corp.example",
        ),
    ] {
        let rest = format!(r#""user":{user},"actor":{{"user":{actor}}}"#);
        check(&record(3001, 10, &rest), |event| {
            let event = event.unwrap();
            assert_eq!(
                (event.account.as_str(), event.kind),
                (account, EventKind::Activity),
                "{user}"
            );
        });
    }
    for actor in [
        r#"{"name":"CORP\\Ann"}"#,
        r#"{"uid":"u-7","name":"anything"}"#,
        r#"{"email_addr":"Ann@corp.example"}"#,
        r#"{"name":"-","uid":"N/A"}"#,
    ] {
        let rest = format!(
            r#""user":{{"name":"ann","uid":"u-7","email_addr":"ann@corp.example"}},"actor":{{"user":{actor}}}"#
        );
        check(&record(3001, 10, &rest), |event| {
            assert_eq!(event.unwrap().kind, EventKind::FactorEnrolled, "{actor}");
        });
    }
}

#[test]
fn what_was_blocked_gave_no_access() {
    let tool = r#""actor":{"user":{"name":"ann"}},"process":{"name":"anydesk.exe"}"#;
    let blocked = [
        r#""action_id":2"#,
        r#""disposition_id":2"#,
        r#""disposition_id":3"#,
        r#""disposition_id":6"#,
        r#""action_id":"2""#,
        r#""action":"Denied""#,
        r#""disposition":"blocked""#,
    ];
    for control in blocked {
        check(&record(1007, 1, &format!("{tool},{control}")), |event| {
            assert_eq!(event.unwrap_err().reason, "not_a_remote_access_tool", "{control}");
        });
        for (class, activity) in [(3002, 1), (4005, 4), (4014, 1)] {
            check(
                &record(class, activity, &format!(r#""user":{{"name":"ann"}},{control}"#)),
                |event| {
                    assert_eq!(event.unwrap().outcome, Outcome::Failure, "{class} {control}");
                },
            );
        }
        let gadget = format!(r#""user":{{"name":"ann"}},"peripheral_device":{{"name":"Keyboard"}},{control}"#);
        check(&record(1010, 1, &gadget), |event| {
            assert_eq!(
                event.unwrap().kind,
                EventKind::PeripheralAttached,
                "a blocked device is plugged in"
            );
        });
    }
    check(
        &record(1007, 1, tool).replace(r#""status_id":1"#, r#""status_id":2"#),
        |event| {
            assert_eq!(
                event.unwrap_err().reason,
                "not_a_remote_access_tool",
                "a launch that failed"
            );
        },
    );
    for control in [
        r#""action_id":1"#,
        r#""disposition_id":15"#,
        r#""action":"Allowed""#,
        r#""action_id":0"#,
    ] {
        check(&record(1007, 1, &format!("{tool},{control}")), |event| {
            assert_eq!(event.unwrap().kind, EventKind::ToolSeen, "{control}");
        });
    }
}
