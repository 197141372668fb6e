//! Whatever the bytes, decoding ends, and every record comes to events or to a rejection from the listed set.

use proptest::prelude::*;

use super::*;

fn run(format: Format, record: &[u8]) -> Vec<Result<String, Rejection>> {
    let mut seen = Vec::new();
    let mut each = |index: u32, event: Result<Event<'_>, Rejection>| {
        assert_eq!(index as usize, seen.len(), "events are numbered in order");
        seen.push(event.map(|event| serde_json::to_string(&event).unwrap()));
    };
    let outcome = decode(format, record, &mut each);
    if let Err(rejection) = outcome {
        assert!(seen.is_empty(), "a record refused as a whole gave events");
        seen.push(Err(rejection));
    }
    for rejection in seen.iter().filter_map(|event| event.as_ref().err()) {
        assert!(
            REASONS.iter().any(|(name, _)| *name == rejection.reason),
            "{rejection:?}"
        );
    }
    seen
}

fn reason(format: Format, record: &[u8]) -> &'static str {
    match run(format, record).first() {
        Some(Err(rejection)) => rejection.reason,
        Some(Ok(_)) => "decoded",
        None => "nothing",
    }
}

const LOGON: &str = r#"{"class_uid":3002,"activity_id":1,"time":1700000000000,"status_id":1,
    "user":{"name":"ann"},"src_endpoint":{"ip":"203.0.113.7"},"metadata":{"uid":"e1"}}"#;
const OKTA: &str = r#"{"uuid":"u1","published":"2026-01-02T03:04:05.678Z","eventType":"user.session.start",
    "outcome":{"result":"SUCCESS"},"actor":{"id":"00u1","type":"User","alternateId":"ann@corp.example"},
    "client":{"ipAddress":"203.0.113.7"},"target":null}"#;
const GOOGLE: &str = r#"{"id":{"time":"2026-01-02T03:04:05.678Z","uniqueQualifier":"7","applicationName":"login"},
    "actor":{"email":"ann@corp.example"},"ipAddress":"203.0.113.7","events":[{"type":"login","name":"login_success"}]}"#;
const FORTIGATE: &str = r#"<190>date=2026-01-02 time=03:04:05 devid="FG1" logid="0101039947" type="event" subtype="vpn" eventtime=1767323045678901234 action="tunnel-up" tunnelid=9 remip=203.0.113.7 tunnelip=10.9.8.7 user="ann""#;

#[test]
fn every_sample_is_decoded_by_name_and_by_shape() {
    for (format, record) in [
        (Format::Ocsf, LOGON),
        (Format::Okta, OKTA),
        (Format::GoogleWorkspace, GOOGLE),
        (Format::Fortigate, FORTIGATE),
    ] {
        let named = run(format, record.as_bytes());
        assert_eq!(named.len(), 1, "{record}");
        assert!(named[0].is_ok(), "{named:?}");
        assert_eq!(named, run(Format::Auto, record.as_bytes()));
    }
}

#[test]
fn another_format_is_refused_by_name() {
    for (format, record) in [
        (Format::Okta, LOGON),
        (Format::Ocsf, GOOGLE),
        (Format::GoogleWorkspace, OKTA),
        (Format::Ocsf, FORTIGATE),
        (Format::Auto, r#"{"hello":"world"}"#),
        (
            Format::Auto,
            r#"device="SFW" log_type="Event" log_subtype="VPN" device_id=C1 user="ann""#,
        ),
    ] {
        assert_eq!(reason(format, record.as_bytes()), "format_unrecognized", "{record}");
    }
}

#[test]
fn wrappers_are_opened() {
    for wrapped in [
        format!("[{OKTA},{OKTA}]"),
        format!(r#"{{"records":[{OKTA},{OKTA}]}}"#),
        format!(r#"{{"Records":[{OKTA},{OKTA}]}}"#),
        format!(r#"{{"value":[{OKTA},{OKTA}]}}"#),
        format!(r#"{{"items":[{OKTA},{OKTA}]}}"#),
        format!(r#"{{"events":[{OKTA},{OKTA}]}}"#),
        format!(r#"{{"results":[{{"result":{OKTA}}},{OKTA}]}}"#),
        format!(r#"{{"hits":{{"total":2,"hits":[{{"_id":"1","_source":{OKTA}}},{{"_source":{OKTA}}}]}}}}"#),
        format!(r#"{{"eventType":"com.okta.event_hook","data":{{"events":[{OKTA},{OKTA}]}}}}"#),
        format!("\u{feff}[[{OKTA}],[{OKTA}]]"),
    ] {
        for format in [Format::Okta, Format::Auto] {
            let events = run(format, wrapped.as_bytes());
            assert_eq!(events.len(), 2, "{wrapped}");
            assert!(events.iter().all(Result::is_ok), "{events:?}");
        }
    }
    let quoted = serde_json::to_string(OKTA).unwrap();
    let line = serde_json::to_string(FORTIGATE).unwrap();
    for (format, wrapped) in [
        (
            Format::Okta,
            format!(r#"{{"detail-type":"SystemLog","detail":{OKTA}}}"#),
        ),
        (
            Format::Okta,
            format!(r#"{{"@timestamp":"x","event":{{"original":{quoted}}}}}"#),
        ),
        (
            Format::Okta,
            format!(r#"{{"event":{{"kind":"event"}},"message":{quoted}}}"#),
        ),
        (Format::Fortigate, format!(r#"{{"message":{line}}}"#)),
        (
            Format::GoogleWorkspace,
            format!(r#"{{"kind":"admin#reports#activities","items":[{GOOGLE}]}}"#),
        ),
        (Format::Okta, quoted.clone()),
        (Format::Fortigate, format!("[{line}]")),
        (Format::GoogleWorkspace, format!(r#"{{"activities":[{GOOGLE}]}}"#)),
    ] {
        for format in [format, Format::Auto] {
            let events = run(format, wrapped.as_bytes());
            assert!(matches!(events.as_slice(), [Ok(_)]), "{wrapped}: {events:?}");
        }
    }
}

#[test]
fn one_bad_event_does_not_lose_its_neighbors() {
    let masked = OKTA.replace("ann@corp.example", "*****").replace("00u1", "");
    let events = run(Format::Auto, format!("[{OKTA},{masked},7,{OKTA}]").as_bytes());
    let reasons: Vec<_> = events
        .iter()
        .map(|e| e.as_ref().map_or_else(|r| r.reason, |_| ""))
        .collect();
    assert_eq!(reasons, ["", "account_masked", "format_unrecognized", ""]);
}

#[test]
fn a_record_that_is_not_read_is_told_how_it_may_come() {
    for (format, advice) in [
        (Format::Auto, "set the source's format"),
        (Format::Okta, "check the source's format"),
    ] {
        let events = run(format, format!(r#"{{"entries":[{OKTA}]}}"#).as_bytes());
        let rejection = events[0].as_ref().unwrap_err();
        assert!(
            rejection.detail.contains(advice) && rejection.detail.contains("records, events, items or value"),
            "{rejection:?}"
        );
    }
}

#[test]
fn hostile_records_are_refused_cleanly() {
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
    let many_events = GOOGLE.replace("[{", &format!("[{}{{", "{},".repeat(1000)));
    let giant = LOGON.replace("ann", &"a".repeat(1 << 20));
    for (record, expected) in [
        (Vec::new(), "empty"),
        (b" \r\n\t".to_vec(), "empty"),
        (b"\xef\xbb\xbf".to_vec(), "empty"),
        (b"[]".to_vec(), "empty"),
        (b"{\"records\":[]}".to_vec(), "empty"),
        (b"\"words\"".to_vec(), "format_unrecognized"),
        (many_events.into_bytes(), "too_many_events"),
        (b"{\"a\":\"\xff\"}".to_vec(), "invalid_utf8"),
        (b"{".to_vec(), "malformed_json"),
        (b"null".to_vec(), "format_unrecognized"),
        (b"{\"class_uid\":3002} trailing".to_vec(), "malformed_json"),
        (deep("[", "]").into_bytes(), "nesting_too_deep"),
        (deep(r#"{"event":"#, "}").into_bytes(), "nesting_too_deep"),
        (deep("[", "").into_bytes(), "malformed_json"),
        (deep(r#"{"a":"#, "}").into_bytes(), "format_unrecognized"),
        (b"\0\0\0\0\x07{\"class_uid\":1}".to_vec(), "kind_unsupported"),
        (b"\0\0\0\0\x07\x02avro".to_vec(), "schema_registry_framed"),
        (giant.into_bytes(), "account_too_long"),
        (LOGON.replace("ann", "*****").into_bytes(), "account_masked"),
        (LOGON.replace("ann", "LT-7$").into_bytes(), "account_machine"),
        (
            LOGON.replace("\"time\":1700000000000,", "").into_bytes(),
            "time_missing",
        ),
        (LOGON.replace("1700000000000", "\"soon\"").into_bytes(), "time_invalid"),
        (LOGON.replace("1700000000000", "17").into_bytes(), "time_invalid"),
        (LOGON.replace("1700000000000", "1700000").into_bytes(), "time_invalid"),
        (LOGON.replace("1700000000000", "1.7e3").into_bytes(), "time_invalid"),
        (
            LOGON.replace("1700000000000", &"9".repeat(400)).into_bytes(),
            "malformed_json",
        ),
        (
            LOGON.replace("1700000000000", "\"1970-01-20T16:13:20Z\"").into_bytes(),
            "time_invalid",
        ),
        (OKTA.replace("2026-", "1970-").into_bytes(), "time_invalid"),
        (GOOGLE.replace("2026-", "2926-").into_bytes(), "time_invalid"),
        (
            FORTIGATE
                .replace("1767323045678901234", "1767323")
                .replace("2026-", "1970-")
                .into_bytes(),
            "time_invalid",
        ),
        (LOGON.replace("ann", "a\\u0000nn").into_bytes(), "account_garbled"),
        (LOGON.replace("ann", "(null)").into_bytes(), "account_masked"),
        (FORTIGATE.replace("ann", "a\0nn").into_bytes(), "account_garbled"),
        (
            LOGON.replace("\"status_id\":1", "\"time\":1").into_bytes(),
            "duplicate_field",
        ),
    ] {
        let shown = String::from_utf8_lossy(&record[..record.len().min(60)]).into_owned();
        assert_eq!(reason(Format::Auto, &record), expected, "{shown}");
    }
}

#[test]
fn fields_of_another_type_and_deep_unknown_fields_do_no_harm() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (field, value) in [
        ("\"unmapped\":", deep.as_str()),
        ("\"session\":", deep.as_str()),
        ("\"x\":", deep.as_str()),
        ("\"actor\":", "\"ann\""),
        ("\"device\":", "[1,2]"),
        ("\"auth_factors\":", "{\"factor_type\":\"push\"}"),
        ("\"http_request\":", "null"),
        ("\"is_mfa\":", "\"yes\""),
    ] {
        let record = LOGON.replacen('{', &format!("{{{field}{value},"), 1);
        assert_eq!(reason(Format::Ocsf, record.as_bytes()), "decoded", "{field}");
    }
    assert_eq!(reason(Format::Okta, b"words"), "malformed_json");
    let far_future = LOGON.replace("1700000000000", "2114380800");
    assert_eq!(reason(Format::Ocsf, far_future.as_bytes()), "decoded");
}

#[test]
fn details_never_quote_the_record() {
    for record in [
        r#"{"class_uid":3002,"user":{"name":"s3cret""#.to_owned(),
        r#"{"class_uid":3002,"s3cret":s3cret}"#.to_owned(),
        LOGON.replace("1700000000000", "\"s3cret\""),
        LOGON.replace("ann", "s3cret$"),
        OKTA.replace("user.session.start", "s3cret")
            .replace("203.0.113.7", "10.0.0.1"),
        FORTIGATE.replace("tunnel-up", "s3cret"),
        "s3cret".to_owned(),
    ] {
        for event in run(Format::Auto, record.as_bytes()) {
            let rejection = event.unwrap_err();
            assert!(!rejection.detail.contains("s3cret"), "{rejection:?}");
            assert!(!rejection.detail.is_empty() && !rejection.detail.ends_with('.'));
        }
    }
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let samples = prop::sample::select(vec![LOGON, OKTA, GOOGLE, FORTIGATE]);
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..8);
    (samples, edits).prop_map(|(sample, edits)| {
        let mut bytes = sample.as_bytes().to_vec();
        for (index, byte, edit) in edits {
            let at = index.index(bytes.len().max(1));
            match edit {
                0 if at < bytes.len() => bytes[at] = byte,
                1 => bytes.insert(at.min(bytes.len()), byte),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                _ => bytes.truncate(at),
            }
        }
        bytes
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(record in prop::collection::vec(any::<u8>(), 0..200)) {
        for format in Format::ALL {
            run(format, &record);
        }
    }

    #[test]
    fn arbitrary_text_never_panics(record in "[\\{\\[\"<]?.{0,120}") {
        for format in Format::ALL {
            run(format, record.as_bytes());
        }
    }

    #[test]
    fn damaged_records_never_panic(record in mutated()) {
        for format in Format::ALL {
            run(format, &record);
        }
    }
}
