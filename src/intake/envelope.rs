//! What surrounds a vendor's record: arrays, `records` and its relatives, bus and shipper wrappers.
//!
//! | wrapper | written by |
//! |---|---|
//! | `[…]` | pullers that keep an API's page whole |
//! | `records`, `Records`, `value`, `items`, `activities` | Azure Event Hubs, CloudTrail, Graph, Google's Reports API |
//! | `data.events` | Okta event hooks |
//! | `detail` | Amazon EventBridge |
//! | `results`, `result`, `hits.hits`, `_source` | exports of searches: Splunk, Elasticsearch |
//! | `event`, `event.original`, `message`, `raw`, `_raw` | Splunk HEC, Elastic and other shippers, as object or text |

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::fields::WireObject;
use super::marks::{self, Told};
use super::reason::{
    DUPLICATE_FIELD, EMPTY, FORMAT_UNRECOGNIZED, MALFORMED_JSON, NESTING_TOO_DEEP, TOO_MANY_EVENTS, reject,
};
use super::shape::{Memory, Predicted};
use super::values::Values;
use super::walk::Fault;
use super::{Format, Rejection, Sink, fortigate, google_workspace, ocsf, okta};
use crate::model::{Device, Edid, Event, Mfa, Peripheral, Tool};

/// Wrappers around wrappers: a shipper's text around a bus around a page is four.
const DEPTH_MAX: u8 = 8;
/// Events in one record; the stage that calls may allow fewer.
const EVENTS_MAX: usize = 100_000;

/// The shapes of the records that come as one configured format. What a record is recognized as is decided by its
/// keys, so records of one shape are of one format; another configured format may see another in them.
#[derive(Default)]
pub(super) struct Memories {
    ocsf: Memory<ocsf::Record>,
    okta: Memory<okta::Record>,
    google_workspace: Memory<google_workspace::Activity>,
    fortigate: fortigate::Orders,
}

impl Memories {
    #[inline]
    fn predict(&mut self, format: Format, text: &str) -> Option<Predicted> {
        match format {
            Format::Ocsf => self.ocsf.predict(text),
            Format::Okta => self.okta.predict(text),
            Format::GoogleWorkspace => self.google_workspace.predict(text),
            Format::Fortigate | Format::Auto => None,
        }
    }

    /// The format of an object, if it is any.
    #[inline]
    fn recognize(&mut self, text: &str) -> Result<Option<(Format, Option<Predicted>)>, Rejection> {
        for format in [Format::Ocsf, Format::Okta, Format::GoogleWorkspace] {
            if let Some(predicted) = self.predict(format, text) {
                return Ok(Some((format, Some(predicted))));
            }
        }
        let shape = match marks::shape(text) {
            Told::Shape(shape) => shape,
            Told::Uncertain => parsed_shape(text)?,
        };
        Ok(shape.map(|format| (format, None)))
    }
}

/// Decodes a record, or what a wrapper held.
pub(super) fn decode<'a>(
    format: Format,
    text: &'a str,
    memories: &mut Memories,
    sink: &mut Sink<'_, 'a>,
) -> Result<(), Rejection> {
    at_depth(format, text, 0, memories, sink)
}

fn at_depth<'a>(
    format: Format,
    text: &'a str,
    depth: u8,
    memories: &mut Memories,
    sink: &mut Sink<'_, 'a>,
) -> Result<(), Rejection> {
    if depth > DEPTH_MAX {
        return Err(reject(
            NESTING_TOO_DEEP,
            format!("more than {DEPTH_MAX} arrays or wrappers surround the event; unwrap it at the source"),
        ));
    }
    match text.as_bytes().first() {
        Some(b'{') => object(format, text, depth, memories, sink),
        Some(b'[') => array(format, text, depth, memories, sink),
        Some(b'"') => quoted(format, text, depth, memories, sink),
        _ if format == Format::Fortigate => fortigate::decode(text, &mut memories.fortigate, sink),
        _ if fortigate::is_line(text) => match format {
            Format::Fortigate | Format::Auto => fortigate::decode(text, &mut memories.fortigate, sink),
            Format::Ocsf | Format::Okta | Format::GoogleWorkspace => Err(unrecognized(format)),
        },
        _ if format == Format::Auto => Err(unrecognized(format)),
        _ => Err(reject(
            MALFORMED_JSON,
            "line 1 column 1: the record opens neither a JSON object nor an array; send one JSON value a record",
        )),
    }
}

fn object<'a>(
    format: Format,
    text: &'a str,
    depth: u8,
    memories: &mut Memories,
    sink: &mut Sink<'_, 'a>,
) -> Result<(), Rejection> {
    let recognized = match format {
        Format::Auto => memories.recognize(text)?,
        named => Some((named, memories.predict(named, text))),
    };
    let was_decoded = match recognized {
        Some((Format::Ocsf, predicted)) => {
            let (record, values) = read(text, &mut memories.ocsf, predicted)?;
            ocsf::decode(record, values, sink)?
        }
        Some((Format::Okta, predicted)) => {
            let (record, values) = read(text, &mut memories.okta, predicted)?;
            okta::decode(record, values, sink)?
        }
        Some((Format::GoogleWorkspace, predicted)) => {
            let (activity, values) = read(text, &mut memories.google_workspace, predicted)?;
            google_workspace::decode(activity, values, sink)?
        }
        Some((Format::Fortigate | Format::Auto, _)) | None => false,
    };
    if was_decoded {
        return Ok(());
    }
    wrapped(format, text, depth, memories, sink)
}

/// Keys that tell the formats apart; their values do not matter.
#[derive(Deserialize)]
struct Marks {
    class_uid: Option<IgnoredAny>,
    #[serde(rename = "eventType")]
    event_type: Option<IgnoredAny>,
    published: Option<IgnoredAny>,
    events: Option<IgnoredAny>,
    id: Option<IgnoredAny>,
    actor: Option<IgnoredAny>,
}

fn parsed_shape(text: &str) -> Result<Option<Format>, Rejection> {
    let marks: Marks = parse(text)?;
    Ok(if marks.class_uid.is_some() {
        Some(Format::Ocsf)
    } else if marks.event_type.is_some() && marks.published.is_some() {
        Some(Format::Okta)
    } else if marks.events.is_some() && marks.id.is_some() && marks.actor.is_some() {
        Some(Format::GoogleWorkspace)
    } else {
        None
    })
}

fn array<'a>(
    format: Format,
    text: &'a str,
    depth: u8,
    memories: &mut Memories,
    sink: &mut Sink<'_, 'a>,
) -> Result<(), Rejection> {
    let elements: Elements<'a> = parse(text)?;
    if elements.items.is_empty() {
        return Err(reject(EMPTY, "the record holds an empty array; nothing to do"));
    }
    if elements.overflow {
        return Err(reject(
            TOO_MANY_EVENTS,
            format!("more than {EVENTS_MAX} events in one record; send fewer a record"),
        ));
    }
    for element in elements.items {
        if let Err(rejection) = at_depth(format, element.get().trim(), depth + 1, memories, sink) {
            sink.push(Err(rejection));
        }
    }
    Ok(())
}

/// What may hold the record inside a wrapper.
#[derive(Deserialize)]
struct Wrapper<'a> {
    #[serde(borrow)]
    records: Option<&'a RawValue>,
    #[serde(borrow, rename = "Records")]
    records_capital: Option<&'a RawValue>,
    #[serde(borrow)]
    activities: Option<&'a RawValue>,
    #[serde(borrow)]
    items: Option<&'a RawValue>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    events: Option<&'a RawValue>,
    #[serde(borrow)]
    results: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    hits: Option<&'a RawValue>,
    #[serde(borrow, rename = "_source")]
    source: Option<&'a RawValue>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    #[serde(borrow)]
    original: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    raw: Option<&'a RawValue>,
    #[serde(borrow, rename = "_raw")]
    raw_underscore: Option<&'a RawValue>,
}

fn wrapped<'a>(
    format: Format,
    text: &'a str,
    depth: u8,
    memories: &mut Memories,
    sink: &mut Sink<'_, 'a>,
) -> Result<(), Rejection> {
    let wrapper: Wrapper<'a> = parse(text)?;
    let inner = [
        wrapper.records,
        wrapper.records_capital,
        wrapper.activities,
        wrapper.items,
        wrapper.value,
        wrapper.data,
        wrapper.events,
        wrapper.results,
        wrapper.result,
        wrapper.hits,
        wrapper.source,
        wrapper.detail,
        wrapper.event,
        wrapper.original,
        wrapper.message,
        wrapper.raw,
        wrapper.raw_underscore,
    ];
    for value in inner.into_iter().flatten() {
        let value = value.get().trim();
        let outcome = match value.as_bytes().first() {
            Some(b'{' | b'[' | b'"') => at_depth(format, value, depth + 1, memories, sink),
            _ => continue,
        };
        match outcome {
            Err(rejection) if rejection.reason == FORMAT_UNRECOGNIZED => {}
            settled => return settled,
        }
    }
    Err(unrecognized(format))
}

/// A record inside a JSON string. If it holds escapes its text is a copy, so its events must own theirs.
fn quoted<'a>(
    format: Format,
    value: &'a str,
    depth: u8,
    memories: &mut Memories,
    sink: &mut Sink<'_, 'a>,
) -> Result<(), Rejection> {
    let text = match parse::<&str>(value) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(parse::<String>(value)?),
    };
    let is_record = |text: &str| text.starts_with(['{', '[']) || fortigate::is_line(text);
    match text {
        Cow::Borrowed(text) if is_record(text.trim()) => at_depth(format, text.trim(), depth + 1, memories, sink),
        Cow::Owned(text) if is_record(text.trim()) => {
            let next = sink.next;
            let mut own = |_: u32, event: Result<Event<'_>, Rejection>| sink.push(event.map(into_owned));
            at_depth(
                format,
                text.trim(),
                depth + 1,
                memories,
                &mut Sink { each: &mut own, next },
            )
        }
        _ => Err(unrecognized(format)),
    }
}

/// How records may come.
const WRAPPED: &str = "records may come one by one, in an array, or in records, events, items or value";

fn unrecognized(format: Format) -> Rejection {
    let detail = match format {
        Format::Auto => format!("no known format; set the source's format, or send one that is read; {WRAPPED}"),
        named => format!(
            "not a record of format {}; check the source's format; {WRAPPED}",
            named.name()
        ),
    };
    reject(FORMAT_UNRECOGNIZED, detail)
}

/// The elements of an array, unread.
struct Elements<'a> {
    items: Vec<&'a RawValue>,
    overflow: bool,
}

struct ElementsVisitor;

impl<'de> Visitor<'de> for ElementsVisitor {
    type Value = Elements<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while items.len() < EVENTS_MAX {
            match seq.next_element::<&'de RawValue>()? {
                Some(item) => items.push(item),
                None => return Ok(Elements { items, overflow: false }),
            }
        }
        let mut overflow = false;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            overflow = true;
        }
        Ok(Elements { items, overflow })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ElementsVisitor)
    }
}

/// Reads a JSON object.
#[inline]
fn read<'m, 'a, T: WireObject>(
    text: &'a str,
    memory: &'m mut Memory<T>,
    predicted: Option<Predicted>,
) -> Result<(&'m T, Values<'m, 'a>), Rejection> {
    memory.read(text, predicted).map_err(|fault| blame(text, &fault))
}

/// Parses JSON, where its parts are not known by name.
fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Rejection> {
    serde_json::from_str(text).map_err(|error| explain(&error))
}

/// What is wrong with a record that the walk refused.
#[cold]
fn blame(text: &str, fault: &Fault) -> Rejection {
    match fault {
        Fault::Repeated(at) => reject_at(
            DUPLICATE_FIELD,
            position(text, *at),
            "an object names a field twice; fix the source",
        ),
        Fault::Malformed(at) => match serde_json::from_str::<IgnoredAny>(text) {
            Err(error) => explain(&error),
            Ok(_) => reject_at(MALFORMED_JSON, position(text, *at), NOT_JSON),
        },
    }
}

/// Line and column of a byte.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    (line, column)
}

const NOT_JSON: &str = "not valid JSON; send one JSON value a record";

/// The parser's own words may quote a value, so only its position and a fixed phrase are passed on.
fn explain(error: &serde_json::Error) -> Rejection {
    let words = error.to_string();
    let (reason, what) = if words.starts_with("recursion limit exceeded") {
        (NESTING_TOO_DEEP, "nested too deeply; flatten it at the source")
    } else if words.starts_with("duplicate field") {
        (
            DUPLICATE_FIELD,
            "an object ends here that names a field twice; fix the source",
        )
    } else if error.is_eof() {
        (MALFORMED_JSON, "the JSON ends early; check the source for truncation")
    } else {
        (MALFORMED_JSON, NOT_JSON)
    };
    reject_at(reason, (error.line(), error.column()), what)
}

fn reject_at(reason: &'static str, (line, column): (usize, usize), what: &str) -> Rejection {
    reject(reason, format!("line {line} column {column}: {what}"))
}

fn into_owned(event: Event<'_>) -> Event<'static> {
    fn own(text: Cow<'_, str>) -> Cow<'static, str> {
        Cow::Owned(text.into_owned())
    }
    Event {
        id: event.id,
        time_ms: event.time_ms,
        kind: event.kind,
        account: event.account.into_owned(),
        account_aliases: event.account_aliases.into_iter().map(|a| a.into_owned()).collect(),
        source_ip: event.source_ip,
        outcome: event.outcome,
        device: event.device.map(|device| Device {
            id: own(device.id),
            hostname: device.hostname.map(own),
            managed: device.managed,
            fingerprint: device.fingerprint,
        }),
        session: event.session.map(own),
        app: event.app.map(own),
        mfa: event.mfa.map(|mfa| Mfa {
            used: mfa.used,
            method: mfa.method.map(own),
            factor: mfa.factor.map(own),
        }),
        user_agent: event.user_agent.map(own),
        vpn_ip: event.vpn_ip,
        anonymizer: event.anonymizer.map(own),
        tool: event.tool.map(|tool| {
            Box::new(Tool {
                name: own(tool.name),
                kind: tool.kind,
                indicator: tool.indicator.map(own),
                unattended: tool.unattended,
            })
        }),
        peripheral: event.peripheral.map(|peripheral| {
            Box::new(Peripheral {
                vendor_id: peripheral.vendor_id,
                product_id: peripheral.product_id,
                manufacturer: peripheral.manufacturer.map(own),
                product: peripheral.product.map(own),
                serial: peripheral.serial.map(own),
                keyboard: peripheral.keyboard,
                mouse: peripheral.mouse,
                storage: peripheral.storage,
                edid: peripheral.edid.map(|edid| Edid {
                    manufacturer: edid.manufacturer.map(own),
                    model: edid.model.map(own),
                    serial: edid.serial.map(own),
                }),
            })
        }),
        interactive: event.interactive,
        product: own(event.product),
    }
}
