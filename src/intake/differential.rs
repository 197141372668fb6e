//! The walk reads what the parser reads, and refuses what it refuses; and what was predicted reads as if walked,
//! whatever the bytes and whatever came before.

use std::fmt;

use proptest::prelude::*;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::fields::{LIST_MAX, Shown, Wire};
use super::values::{Kind, Place, Span, Values};
use super::walk::Fault;
use super::*;

/// JSON as the parser reads it, with repeated keys.
enum Tree {
    Scalar(Value),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }
    fn visit_bool<E>(self, flag: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar(flag.into()))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar(number.into()))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar(number.into()))
    }
    fn visit_f64<E>(self, number: f64) -> Result<Tree, E> {
        Ok(Tree::Scalar(number.into()))
    }
    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar(text.into()))
    }
    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Tree::Object(members))
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

impl Tree {
    fn has_repeats(&self) -> bool {
        match self {
            Self::Scalar(_) => false,
            Self::List(items) => items.iter().any(Self::has_repeats),
            Self::Object(members) => {
                let repeats = |index: usize| members[..index].iter().any(|(key, _)| *key == members[index].0);
                (0..members.len()).any(repeats) || members.iter().any(|(_, member)| member.has_repeats())
            }
        }
    }

    /// What a field declared at `path` stands for. One value in place of a list is its first item.
    fn at(&self, path: &str) -> Option<&Self> {
        let Some((step, rest)) = path
            .strip_prefix('/')
            .map(|path| path.split_once('/').unwrap_or((path, "")))
        else {
            return Some(self);
        };
        let rest = if rest.is_empty() {
            String::new()
        } else {
            format!("/{rest}")
        };
        let next = match (self, step.parse::<usize>()) {
            (Self::List(items), Ok(index)) => items.get(index),
            (_, Ok(0)) => Some(self),
            (Self::Object(members), Err(_)) => {
                let mut named = members.iter().filter(|(key, _)| key == step);
                let member = named.next().map(|(_, member)| member);
                assert!(named.next().is_none(), "{step} was read though it stands twice");
                member
            }
            _ => None,
        };
        next?.at(&rest)
    }
}

/// Reads `text` by the walk, and holds every value and every absent one against the parser's tree.
fn check_places<T: Wire>(text: &str) {
    let (mut record, mut spans) = (T::default(), Vec::<Span>::new());
    let outcome = walk::read(text, &mut record, &mut spans);
    let Ok(tree) = serde_json::from_str::<Tree>(text) else {
        // Where nobody asks for the value, the parser passes over a number or an escape that it cannot read.
        let is_well_formed = serde_json::from_str::<IgnoredAny>(text).is_ok();
        assert!(outcome.is_err() || is_well_formed, "{text}");
        return;
    };
    match outcome {
        Ok(()) => {}
        Err(Fault::Repeated(_)) => return assert!(tree.has_repeats(), "{text}"),
        Err(Fault::Malformed(at)) => panic!("byte {at} is no fault: {text}"),
    }
    let values = Values::new(text, &spans);
    record.show("", &mut |path, shown| match (shown, tree.at(path)) {
        (Shown::Place(place), Some(Tree::Scalar(value))) if !value.is_null() => {
            assert_eq!(json(text, values, place), *value, "{path}: {text}");
        }
        (Shown::Place(place), _) => assert_eq!(place, Place::default(), "{path}: {text}"),
        (Shown::Length(length), Some(Tree::List(items))) => {
            assert_eq!(length, items.len().min(LIST_MAX + 1), "{path}: {text}");
        }
        (Shown::Length(length), Some(_)) => assert!(length <= 1, "{path}: {text}"),
        (Shown::Length(length), None) => assert_eq!(length, 0, "{path}: {text}"),
    });
}

/// A value as the parser reads it.
fn json(text: &str, values: Values<'_, '_>, place: Place) -> Value {
    let span = values.span(place).unwrap();
    match span.kind {
        Kind::Plain | Kind::Escaped => values.text(place).as_ref().into(),
        Kind::Natural(number) => number.into(),
        Kind::Flag(flag) => flag.into(),
        Kind::Number => serde_json::from_str(&text[span.start..span.end]).unwrap(),
    }
}

type Decoded = (Vec<Result<String, Rejection>>, Result<(), Rejection>);

fn decoded(decoder: &mut Decoder, format: Format, record: &[u8]) -> Decoded {
    let mut events = Vec::new();
    let outcome = decoder.decode(format, record, &mut |_, event| {
        events.push(event.map(|event| serde_json::to_string(&event).unwrap()));
    });
    (events, outcome)
}

/// A decoder that has seen `records`.
fn seasoned(records: &[&str]) -> Decoder {
    let mut decoder = Decoder::default();
    for record in records {
        for format in Format::ALL {
            _ = decoded(&mut decoder, format, record.as_bytes());
        }
    }
    decoder
}

fn check(record: &[u8], seasoned: &mut Decoder) {
    if let Ok(text) = text_of(record)
        && text.starts_with('{')
    {
        check_places::<ocsf::Record>(text);
        check_places::<okta::Record>(text);
        check_places::<google_workspace::Activity>(text);
    }
    for format in Format::ALL {
        let predicted = decoded(seasoned, format, record);
        let walked = decoded(&mut Decoder::default(), format, record);
        let shown = String::from_utf8_lossy(record);
        assert_eq!(predicted, walked, "{}: {shown}", format.name());
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
const SNIPPETS: [&str; 47] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-1",
    "01",
    "1.5",
    "10.0",
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
        let mut decoder = seasoned(&[sample]);
        check(sample.as_bytes(), &mut decoder);
        for token in tokens(sample) {
            for snippet in SNIPPETS {
                let mut text = sample.to_owned();
                text.replace_range(token.clone(), snippet);
                check(text.as_bytes(), &mut decoder);
            }
        }
    }
}

#[test]
fn every_truncation_reads_alike() {
    for sample in SAMPLES {
        let mut decoder = seasoned(&[sample]);
        for end in 0..sample.len() {
            check(&sample.as_bytes()[..end], &mut decoder);
        }
        check(format!("{sample} {{}}").as_bytes(), &mut decoder);
        check(format!("{sample}\n\t ").as_bytes(), &mut decoder);
    }
}

#[test]
fn every_escape_and_every_byte_of_a_string_reads_alike() {
    let record = |content: &[u8], after: &[u8]| {
        let (head, tail) = (r#"{"class_uid":3002,"user":{"name":"a"#, r#""},"x":"b"#);
        [head.as_bytes(), content, tail.as_bytes(), content, b"\"", after, b"}"].concat()
    };
    let usual = String::from_utf8(record(b"", b"")).unwrap();
    let mut decoder = seasoned(&[&usual]);
    for byte in 0..=u8::MAX {
        check(&record(&[byte], b""), &mut decoder);
        check(&record(&[b'\\', byte], b""), &mut decoder);
        check(&record(b"", &[byte]), &mut decoder);
        check(
            &record(&[b'1', b'2', b'3', b'4', b'5', b'6', b'7', byte, b'9'], b""),
            &mut decoder,
        );
    }
}

#[test]
fn every_depth_reads_alike() {
    let mut decoder = Decoder::default();
    for depth in [1, 2, 30, 31, 32, 33, 127, 128, 129, 300, 100_000] {
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for key in ["x", "user", "time", "auth_factors", "unmapped"] {
            let text = format!(r#"{{"{key}":{deep},"class_uid":3002,"time":1767323045,"user":{{"name":"ann"}}}}"#);
            check(text.as_bytes(), &mut decoder);
        }
    }
}

#[test]
fn a_list_longer_than_any_reads_alike() {
    for count in [LIST_MAX - 1, LIST_MAX, LIST_MAX + 1, LIST_MAX + 2] {
        let items = vec![r#"{"name":"login_success"}"#; count].join(",");
        let text = format!(
            r#"{{"id":{{"time":"2026-01-02T03:04:05Z"}},"actor":{{"email":"a@b.example"}},"events":[{items}]}}"#
        );
        check(text.as_bytes(), &mut seasoned(&[SAMPLES[4], &text]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]
    #[test]
    fn damaged_records_read_alike(records in prop::collection::vec(damaged(), 1..4)) {
        let mut decoder = seasoned(&SAMPLES);
        for record in records {
            check(record.as_bytes(), &mut decoder);
        }
    }
}
