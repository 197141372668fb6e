//! Sessions, sign-ins and tools with the fields that matter, and lines that mislead.

use proptest::prelude::*;

use super::*;
use crate::intake::{Format, decode};

fn check(line: &str, assert: impl FnOnce(Result<Event<'_>, Rejection>)) {
    let mut events = Vec::new();
    let outcome = decode(Format::Fortigate, line.as_bytes(), &mut |_, event| events.push(event));
    assert(outcome.and_then(|()| events.remove(0)));
}

const HEAD: &str = r#"date=2026-03-04 time=05:06:07 devid="FG7" logid="0101039947" type="event""#;

#[test]
fn a_tunnel_keeps_its_two_ends_apart() {
    let line = format!(
        r#"<189>Mar  4 05:06:07 gw {HEAD} subtype="vpn" eventtime=1772600767123456789 action="tunnel-up" tunnelid=81 remip=203.0.113.7 tunnelip=10.8.0.9 user="CORP\Ann" fctuid="F-1""#
    );
    check(&line, |event| {
        let event = event.unwrap();
        assert_eq!((event.kind, event.outcome), (EventKind::VpnOpen, Outcome::Success));
        assert_eq!(event.account.as_str(), "ann");
        assert_eq!(event.time_ms, 1_772_600_767_123);
        assert_eq!(event.source_ip, Some("203.0.113.7".parse().unwrap()));
        assert_eq!(event.vpn_ip, Some("10.8.0.9".parse().unwrap()));
        assert_eq!(event.session.as_deref(), Some("81"));
        assert_eq!(event.device.unwrap().id, "F-1");
    });
}

#[test]
fn the_unit_of_eventtime_is_told_by_its_size() {
    for (time, expected) in [
        ("eventtime=1772600767", 1_772_600_767_000),
        (r#"eventtime=1772168767 tz="-0500""#, 1_772_618_767_000),
        ("eventtime=1772600767123456789", 1_772_600_767_123),
        (r#"tz="-0500""#, 1_772_618_767_000),
        (r#"eventtime=0 tz="-0500""#, 1_772_618_767_000),
        (r#"eventtime=17726007671234567 tz="-0500""#, 1_772_618_767_000),
        ("", 1_772_600_767_000),
    ] {
        let line = format!(r#"{HEAD} subtype="user" action="auth-logon" status="logon" user="ann" {time}"#);
        check(&line, |event| assert_eq!(event.unwrap().time_ms, expected, "{time}"));
    }
}

#[test]
fn the_person_on_ipsec_is_the_extended_user() {
    let line = format!(
        r#"{HEAD} subtype="vpn" action="tunnel-up" remip=203.0.113.7 user="203.0.113.7" xauthuser="ann" assignip=10.8.0.9"#
    );
    check(&line, |event| {
        let event = event.unwrap();
        assert_eq!(event.account.as_str(), "ann");
        assert!(event.account_aliases.is_empty(), "the peer's address is many people's");
        assert_eq!(event.vpn_ip, Some("10.8.0.9".parse().unwrap()));
    });
}

#[test]
fn a_gateway_is_no_person() {
    for (rest, reason) in [
        (r#"action="tunnel-up" user="203.0.113.7""#, "actor_not_a_person"),
        (
            r#"action="tunnel-down" user="2001:db8::7" xauthuser="N/A""#,
            "actor_not_a_person",
        ),
        (r#"action="tunnel-up" user="N/A" xauthuser="N/A""#, "actor_not_a_person"),
        (r#"action="negotiate" user="N/A" xauthuser="N/A""#, "actor_not_a_person"),
        (r#"action="tunnel-stats" user="N/A""#, "actor_not_a_person"),
        (r#"action="ssl-new-con" user="N/A""#, "actor_not_a_person"),
        (r#"action="ssl-login-fail" user="N/A""#, "account_masked"),
        (r#"action="negotiate" user="*****""#, "account_masked"),
        (
            r#"action="tunnel-up" user="203.0.113.7" xauthuser="*****""#,
            "account_masked",
        ),
        (r#"action="tunnel-stats""#, "account_missing"),
    ] {
        check(&format!(r#"{HEAD} subtype="vpn" remip=203.0.113.7 {rest}"#), |event| {
            assert_eq!(event.unwrap_err().reason, reason, "{rest}");
        });
    }
    let admin = format!(r#"{HEAD} subtype="system" action="login" status="success" user="N/A""#);
    check(&admin, |event| assert_eq!(event.unwrap_err().reason, "account_masked"));
}

#[test]
fn what_is_no_sign_in_is_refused_by_kind() {
    for (rest, expected) in [
        (r#"subtype="vpn" action="tunnel-up" user="N/A""#, "account_masked"),
        (r#"subtype="vpn" action="tunnel-up""#, "account_missing"),
        (r#"subtype="system" action="perf-stats" user="ann""#, "kind_unsupported"),
        (r#"subtype="vpn" action="ssl-alert" user="ann""#, "kind_unsupported"),
    ] {
        check(&format!("{HEAD} {rest}"), |event| {
            assert_eq!(event.unwrap_err().reason, expected, "{rest}");
        });
    }
    check("just words", |event| {
        assert_eq!(event.unwrap_err().reason, "malformed_key_value");
    });
    check(
        r#"type="event" subtype="vpn" action="tunnel-up" user="ann" devid=1"#,
        |event| {
            assert_eq!(event.unwrap_err().reason, "time_missing");
        },
    );
}

#[test]
fn failures_are_failures() {
    for rest in [
        r#"subtype="vpn" action="ssl-login-fail" remip=203.0.113.7 user="ann""#,
        r#"subtype="system" action="login" status="failed" srcip=203.0.113.7 user="ann""#,
        r#"subtype="vpn" action="negotiate" status="negotiate_error" remip=203.0.113.7 user="ann""#,
    ] {
        check(&format!("{HEAD} {rest}"), |event| {
            assert_eq!(event.unwrap().outcome, Outcome::Failure, "{rest}");
        });
    }
}

#[test]
fn application_control_shows_remote_access_tools() {
    let line = HEAD.replace("event", "utm");
    let seen = format!(r#"{line} subtype="app-ctrl" srcip=10.0.0.7 user="ann" app="AnyDesk" appcat="Remote.Access""#);
    check(&seen, |event| {
        let event = event.unwrap();
        assert_eq!(
            (event.kind, event.source_ip),
            (EventKind::ToolSeen, address::parse("10.0.0.7"))
        );
        assert_eq!(event.tool.unwrap().name, "AnyDesk");
    });
    for (action, is_seen) in [
        ("pass", true),
        ("monitor", true),
        ("block", false),
        ("Blocked", false),
        ("reset", false),
        ("reject", false),
        ("drop", false),
    ] {
        for app in ["AnyDesk", "Unheard.Of"] {
            let line = format!("{} action={action}", seen.replace("AnyDesk", app));
            check(&line, |event| {
                let reason = event.map_or_else(|rejection| rejection.reason, |_| "seen");
                let expected = if is_seen { "seen" } else { "not_a_remote_access_tool" };
                assert_eq!(reason, expected, "{action} {app}");
            });
        }
    }
    let other = format!(r#"{line} subtype="app-ctrl" srcip=10.0.0.7 user="ann" app="Netflix" appcat="Video""#);
    check(&other, |event| {
        assert_eq!(event.unwrap_err().reason, "not_a_remote_access_tool");
    });
}

fn outcomes(record: &str) -> Vec<Result<String, &'static str>> {
    let mut events = Vec::new();
    let outcome = decode(Format::Fortigate, record.as_bytes(), &mut |_, event| {
        events.push(
            event
                .map(|event| event.account.as_str().to_owned())
                .map_err(|r| r.reason),
        );
    });
    events.extend(outcome.err().map(|rejection| Err(rejection.reason)));
    events
}

#[test]
fn each_line_of_a_record_is_an_event() {
    let line = |user: &str| format!(r#"{HEAD} subtype="vpn" action="tunnel-up" remip=203.0.113.7 user="{user}""#);
    let (ann, bob) = (line("ann"), line("bob"));
    let told = |name: &str| Ok(name.to_owned());
    for between in ["\n", "\r\n", " \n\n\t", "\n<189>Mar  4 05:06:07 gw ", " lone\nlone "] {
        assert_eq!(
            outcomes(&format!("{ann}{between}{bob}")),
            [told("ann"), told("bob")],
            "{between:?}"
        );
    }
    assert_eq!(
        outcomes(&format!("{ann}\n{}\n{bob}", line("*****"))),
        [told("ann"), Err("account_masked"), told("bob")]
    );
    let shipped = serde_json::json!({ "message": format!("{ann}\n{bob}\n") }).to_string();
    assert_eq!(outcomes(&shipped), [told("ann"), told("bob")]);
    // A header on a line of its own, and a value of two lines, which may hold what looks like another.
    assert_eq!(outcomes(&format!("<189>Mar  4 05:06:07 gw\n{ann}")), [told("ann")]);
    let forged = bob.replace('"', "");
    assert_eq!(outcomes(&format!("{ann} msg=\"two\n{forged}\"")), [told("ann")]);
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    let line = format!(r#"{HEAD} subtype="vpn" action="tunnel-up" remip=203.0.113.7 user="ann""#);
    for again in [" user=\"bob\"", "\nuser=ann", " type=\"event\"", " user="] {
        assert_eq!(
            outcomes(&format!("{line}{again}")),
            [Err("duplicate_field")],
            "{again:?}"
        );
    }
    assert_eq!(
        outcomes(&format!("{line} user=bob\n{line} msg=a msg=b")),
        [Err("duplicate_field"), Ok("ann".to_owned())]
    );
}

#[test]
fn only_a_quote_is_escaped() {
    assert_eq!(text(r#"say \"hi\" now"#), r#"say "hi" now"#);
    assert_eq!(text(r"CORP\ann"), r"CORP\ann");
}

/// Pieces of lines: separators and headers, keys, values with and without quotes.
fn line() -> impl Strategy<Value = String> {
    let separator = prop::sample::select(vec![
        " ",
        " ",
        " ",
        " ",
        "  ",
        "\t",
        ",",
        "",
        "<189>",
        "\n",
        " \r\n<7>x ",
    ]);
    let key = prop::sample::select(vec![
        "type",
        "user",
        "remip",
        "vd",
        "level",
        "logdesc",
        "ü",
        "us",
        "typ",
        "date=1 type=event logid",
    ]);
    let value = prop::sample::select(vec![
        "=5",
        "=\"x y\"",
        "=\"CORP\\\"",
        "=\"a\\\"b\"",
        "=",
        "=\"open",
        "",
        "=\"user=\"",
    ]);
    let pair = (separator, key, value).prop_map(|(separator, key, value)| format!("{separator}{key}{value}"));
    prop::collection::vec(pair, 0..9).prop_map(|pairs| pairs.concat())
}

proptest! {
    #[test]
    fn a_line_reads_alike_whatever_came_before(lines in prop::collection::vec(line(), 1..24)) {
        let mut orders = Orders::default();
        for line in lines.iter().chain(&lines) {
            let mut rest = line.as_str();
            while !rest.is_empty() {
                let read = Line::read(rest.trim_start(), &mut orders);
                prop_assert_eq!(&read, &Line::read(rest.trim_start(), &mut Orders::default()));
                prop_assert!(read.1.len() < rest.len());
                rest = read.1;
            }
        }
    }
}
