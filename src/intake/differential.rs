//! The walk reads what the parser reads: the same events, and the same rejections, whatever the bytes.

use std::cell::Cell;

use proptest::prelude::*;

use super::*;

thread_local! {
    /// Leaves the walk out.
    pub(super) static PARSER_ALONE: Cell<bool> = const { Cell::new(false) };
}

type Decoded = (Vec<Result<String, Rejection>>, Result<(), Rejection>);

fn decoded(format: Format, record: &[u8], parser_alone: bool) -> Decoded {
    PARSER_ALONE.set(parser_alone);
    let mut events = Vec::new();
    let outcome = decode(format, record, &mut |_, event| {
        events.push(event.map(|event| serde_json::to_string(&event).unwrap()));
    });
    PARSER_ALONE.set(false);
    (events, outcome)
}

fn check(record: &[u8]) {
    for format in Format::ALL {
        let shown = String::from_utf8_lossy(record);
        assert_eq!(
            decoded(format, record, false),
            decoded(format, record, true),
            "{}: {shown}",
            format.name()
        );
    }
}

const SAMPLES: [&str; 6] = [
    r#"{"activity_id":1,"class_uid":3002,"type_uid":300201,"time":1767323045678,"time_dt":"2026-01-02T03:04:05Z","status_id":1,"status":"Success","logon_type_id":10,"is_mfa":true,"metadata":{"version":"1.8.0","product":{"name":"ID","vendor_name":"V"},"uid":"e1","original_event_uid":"o"},"user":{"name":"CORP\\ann","email_addr":"ann@corp.example","uid":7,"uid_alt":"x","type_id":1},"actor":{"user":{"name":"bob"},"session":{"uid":"s"},"app_name":"a"},"src_endpoint":{"ip":"203.0.113.7"},"device":{"uid":"lt-1","hostname":"H","name":"N","is_managed":true,"type_id":8,"hw_info":{"serial_number":"S"}},"session":{"uid":"s1","is_mfa":false},"auth_factors":[{"factor_type":"OTP","factor_type_id":7,"device":{"uid":"f"}}],"http_request":{"user_agent":"UA","x_forwarded_for":["10.0.0.1","198.51.100.4"]},"unmapped":{"n":[1,-2.5e3,{"k":[]}],"t":"\u00e9\n"}}"#,
    r#"{"class_uid":1007,"time":1767323045,"process":{"name":"anydesk.exe","cmd_line":"anydesk --install","file":{"path":"C:\\x"},"user":{"name":"ann"}},"device":{"hostname":"LT-7","owner":{"name":"ann"}}}"#,
    r#"{"class_uid":1010,"time":1767323045,"activity_id":1,"actor":{"user":{"uid":"00u1"}},"device":{"uid":"d"},"peripheral_device":{"name":"KVM","class":"HID","uid":"1d6b:0104","vendor_id_list":["1d6b"],"edid":{"model":"M"}},"unmapped":{"vid":"0x1d6b","pid":260,"keyboard":"yes","mouse":1,"storage":false,"interfaces":"hid keyboard"}}"#,
    r#"{"uuid":"u1","published":"2026-01-02T03:04:05.678Z","eventType":"user.session.start","outcome":{"result":"SUCCESS"},"actor":{"id":"00u1","type":"User","alternateId":"ann@corp.example"},"client":{"ipAddress":"203.0.113.7","userAgent":{"rawUserAgent":"UA/1 \"x\""},"geo":{"lat":-1.5}},"device":{"id":"g1","name":"LT","managed":"true"},"request":{"ipChain":[{"ip":"10.0.0.1"},{"ip":"198.51.100.9"}]},"authenticationContext":{"externalSessionId":"102"},"transaction":{"type":"WEB"},"securityContext":{"isProxy":false},"debugContext":{"debugData":{"dtHash":"ab","factor":"PUSH","tunnels":"[{\"anonymous\":true,\"operator\":\"NORD_VPN\",\"type\":\"VPN\"}]"}},"target":[{"type":"AppInstance","displayName":"App"},{"type":"AuthenticatorEnrollment","id":"f1"}]}"#,
    r#"{"id":{"time":"2026-01-02T03:04:05.678Z","uniqueQualifier":-7,"applicationName":"login"},"actor":{"callerType":"USER","email":"ann@corp.example","profileId":"11"},"ipAddress":"2001:db8::7","events":[{"type":"login","name":"login_challenge","parameters":[{"name":"login_challenge_method","multiValue":["password","otp"]},{"name":"is_second_factor","boolValue":true},{"name":"login_challenge_status","value":"passed"}]}]}"#,
    r#"{"records":[{"class_uid":3002,"time":1767323045678,"activity_id":1,"user":{"name":"ann"}},{"class_uid":3002}]}"#,
];

/// What a value may become, or what may be strewn between tokens.
const SNIPPETS: [&str; 46] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-1",
    "01",
    "1.5",
    "1e3",
    "1E+2",
    "1.",
    "-",
    ".5",
    "1e999",
    "999999999999999999",
    "9999999999999999999",
    "123456789012345678901234567890",
    "{}",
    "[]",
    "[1,]",
    "[null]",
    "[{}]",
    "[[1],{\"a\":2}]",
    "{\"a\":{\"b\":[1,\"x\"]}}",
    "{\"a\":1,}",
    "{\"a\" : 1}",
    "\"\"",
    "\" x \"",
    "\"1\"",
    "\"\\u00e9\"",
    "\"\\ud800\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"a\\\\b\"",
    "\"true\"",
    "\"tab\t\"",
    "\"e\u{e9}\u{1f600}\"",
    "nul",
    "\"id\"",
    " ",
    "\n",
    "\u{1}",
    ",",
    ":",
    "\"",
    "\u{a0}",
];

/// Ranges of the values and keys of a record, told by their delimiters.
fn tokens(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut tokens = Vec::new();
    let mut start = 0;
    for (at, delimiter) in text.match_indices(['{', '}', '[', ']', ',', ':']) {
        if at > start {
            tokens.push(start..at);
        }
        start = at + delimiter.len();
    }
    tokens
}

fn damaged() -> impl Strategy<Value = String> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..SNIPPETS.len(), 0..6_u8), 1..4);
    (0..SAMPLES.len(), edits).prop_map(|(sample, edits)| {
        let mut text = SAMPLES[sample].to_owned();
        for (index, snippet, edit) in edits {
            let tokens = tokens(&text);
            if tokens.is_empty() {
                break;
            }
            let token = tokens[index.index(tokens.len())].clone();
            match edit {
                // Another token of the record in its place, which often repeats a key.
                0 => {
                    let other = text[tokens[snippet % tokens.len()].clone()].to_owned();
                    text.replace_range(token, &other);
                }
                1 => text.insert_str(token.start, SNIPPETS[snippet]),
                2 => text.insert_str(token.end, SNIPPETS[snippet]),
                3 => text.truncate(token.end),
                _ => text.replace_range(token, SNIPPETS[snippet]),
            }
        }
        text
    })
}

#[test]
fn every_value_in_every_place_reads_alike() {
    for sample in SAMPLES {
        check(sample.as_bytes());
        for token in tokens(sample) {
            for snippet in SNIPPETS {
                let mut text = sample.to_owned();
                text.replace_range(token.clone(), snippet);
                check(text.as_bytes());
            }
        }
    }
}

#[test]
fn every_truncation_reads_alike() {
    for sample in SAMPLES {
        for end in 0..sample.len() {
            check(&sample.as_bytes()[..end]);
        }
        check(format!("{sample} {{}}").as_bytes());
        check(format!("{sample}\n\t ").as_bytes());
    }
}

#[test]
fn every_escape_and_every_byte_of_a_string_reads_alike() {
    let record = |content: &[u8], after: &[u8]| {
        let (head, tail) = (r#"{"class_uid":3002,"user":{"name":"a"#, r#""},"x":"b"#);
        [head.as_bytes(), content, tail.as_bytes(), content, b"\"", after, b"}"].concat()
    };
    for byte in 0..=u8::MAX {
        check(&record(&[byte], b""));
        check(&record(&[b'\\', byte], b""));
        check(&record(b"", &[byte]));
        check(&record(&[b'1', b'2', b'3', b'4', b'5', b'6', b'7', byte, b'9'], b""));
    }
}

#[test]
fn every_depth_reads_alike() {
    for depth in [1, 2, 30, 31, 32, 33, 127, 128, 129, 300] {
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for key in ["x", "user", "time", "auth_factors", "unmapped"] {
            check(
                format!(r#"{{"{key}":{deep},"class_uid":3002,"time":1767323045,"user":{{"name":"ann"}}}}"#).as_bytes(),
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn damaged_records_read_alike(record in damaged()) {
        check(record.as_bytes());
    }
}
