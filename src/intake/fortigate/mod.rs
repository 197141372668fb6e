//! FortiGate log lines, `key=value`, with or without a syslog header.
//!
//! Read: VPN sessions, user and administrator sign-ins, application control hits on remote-access tools, and
//! traffic that names a user and has a public source. Field names: Fortinet, "FortiOS Log Message Reference".

mod pairs;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use self::pairs::Pairs;
use super::key_order::KeyOrders;
use super::person::{self, Person};
use super::reason::{
    ACTOR_NOT_A_PERSON, DUPLICATE_FIELD, KIND_UNSUPPORTED, MALFORMED_KEY_VALUE, NOT_A_REMOTE_ACCESS_TOOL, TIME_INVALID,
    TIME_MISSING, reject,
};
use super::values::{description, id};
use super::{Rejection, Sink, address, time, tools};
use crate::model::event_id::EventId;
use crate::model::{Device, Event, EventKind, Outcome, Tool};

/// Whether a line looks like one of FortiGate's: other firewalls also write pairs, but name their keys otherwise.
pub(super) fn is_line(text: &str) -> bool {
    let start = text.as_bytes().first();
    start.is_some_and(|b| *b == b'<' || b.is_ascii_alphanumeric())
        && text.contains(" type=")
        && (text.contains(" logid=") || text.contains(" devid="))
}

/// Decodes one line, or several with a newline between.
pub(super) fn decode<'a>(text: &'a str, orders: &mut Orders, sink: &mut Sink<'_, 'a>) -> Result<(), Rejection> {
    let (line, mut rest) = Line::read(text, orders);
    if rest.is_empty() {
        return sink.push_or_refuse(line.into_event()).map(|_| ());
    }
    sink.push(line.into_event());
    while !rest.is_empty() {
        let (line, behind) = Line::read(rest.trim_start(), orders);
        sink.push(line.into_event());
        rest = behind;
    }
    Ok(())
}

/// The keys that matter.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Field {
    Date,
    Time,
    Zone,
    EventTime,
    Device,
    LogId,
    Kind,
    Subtype,
    Action,
    Status,
    User,
    ExtendedUser,
    RemoteIp,
    SourceIp,
    TunnelIp,
    AssignedIp,
    TunnelId,
    Tunnel,
    Domain,
    ClientId,
    ClientHost,
    Agent,
    App,
    AppCategory,
}

/// Each field in the order of its declaration, with its key.
const KEYS: [(Field, &str); 24] = [
    (Field::Date, "date"),
    (Field::Time, "time"),
    (Field::Zone, "tz"),
    (Field::EventTime, "eventtime"),
    (Field::Device, "devid"),
    (Field::LogId, "logid"),
    (Field::Kind, "type"),
    (Field::Subtype, "subtype"),
    (Field::Action, "action"),
    (Field::Status, "status"),
    (Field::User, "user"),
    (Field::ExtendedUser, "xauthuser"),
    (Field::RemoteIp, "remip"),
    (Field::SourceIp, "srcip"),
    (Field::TunnelIp, "tunnelip"),
    (Field::AssignedIp, "assignip"),
    (Field::TunnelId, "tunnelid"),
    (Field::Tunnel, "vpntunnel"),
    (Field::Domain, "vd"),
    (Field::ClientId, "fctuid"),
    (Field::ClientHost, "srcname"),
    (Field::Agent, "agent"),
    (Field::App, "app"),
    (Field::AppCategory, "appcat"),
];

const _: () = {
    let mut index = 0;
    while index < KEYS.len() {
        assert!(KEYS[index].0 as usize == index, "a field out of its order");
        index += 1;
    }
    assert!(KEYS.len() <= u32::BITS as usize, "a line has a bit for each field");
};

impl Field {
    fn of(key: &str) -> Option<Self> {
        KEYS.iter().find(|(_, known)| *known == key).map(|(field, _)| *field)
    }
}

/// The orders of keys that were seen; `None` for a key that does not matter.
#[derive(Debug, Default)]
pub(super) struct Orders(KeyOrders<Option<Field>>);

/// A line.
#[derive(Debug, Default, PartialEq)]
struct Line<'a> {
    /// The values of the keys that matter, as they stand between the quotes; empty where there is none.
    values: [&'a str; KEYS.len()],
    /// A bit for each field that was read.
    seen: u32,
    /// A field that stands twice, so that the line's meaning depends on the reader.
    repeated: Option<Field>,
}

impl<'a> Line<'a> {
    /// The first line of `text`, and what begins with another.
    fn read(text: &'a str, orders: &mut Orders) -> (Self, &'a str) {
        let mut line = Self::default();
        let mut keys = orders.0.line();
        let mut rest = text;
        loop {
            let (field, value) = match keys.expected(rest) {
                Some((field, behind)) => {
                    let (value, behind) = pairs::value(behind);
                    rest = behind;
                    (field, value)
                }
                None => {
                    let mut pairs = Pairs {
                        rest,
                        // What goes before the pairs, a header on a line of its own say, is part of the line.
                        end_with_line: !line.get(Field::Kind).is_empty(),
                    };
                    let pair = pairs.next();
                    rest = pairs.rest;
                    let Some((key, value)) = pair else { break };
                    let field = Field::of(key);
                    keys.found(key, field);
                    (field, value)
                }
            };
            if let Some(field) = field {
                line.put(field, value);
            }
        }
        keys.end();
        (line, rest)
    }

    #[inline]
    fn put(&mut self, field: Field, value: &'a str) {
        let bit = 1 << field as u32;
        if self.seen & bit != 0 {
            self.repeated = Some(field);
        }
        self.seen |= bit;
        self.values[field as usize] = value;
    }

    fn get(&self, field: Field) -> &'a str {
        self.values[field as usize]
    }

    fn into_event(self) -> Result<Event<'a>, Rejection> {
        self.check()?;
        let source_ip = address::source(
            [self.get(Field::RemoteIp), self.get(Field::SourceIp)]
                .into_iter()
                .filter_map(address::parse),
        );
        let tool = self.tool()?;
        let (kind, outcome, interactive) = self.meaning(source_ip.is_some_and(address::is_public), tool.is_some())?;
        let person = self.person()?;
        let is_vpn = matches!(kind, EventKind::VpnOpen | EventKind::VpnRenew | EventKind::VpnClose);
        let time_ms = self.time_ms()?;
        Ok(Event {
            id: self.id(),
            time_ms,
            kind,
            account: person.account,
            account_aliases: person.aliases,
            source_ip,
            outcome,
            device: id(text(self.get(Field::ClientId))).map(|id| Device {
                id,
                hostname: description(text(self.get(Field::ClientHost))),
                managed: None,
                fingerprint: false,
            }),
            session: id(text(self.get(Field::TunnelId))),
            app: description(text(self.get(Field::Tunnel))).or(description(text(self.get(Field::Domain)))),
            mfa: None,
            user_agent: description(text(self.get(Field::Agent))),
            vpn_ip: if is_vpn { self.vpn_ip() } else { None },
            anonymizer: None,
            tool: tool.map(Box::new),
            peripheral: None,
            interactive,
            product: Cow::Borrowed("fortigate"),
        })
    }

    /// Refuses what is no line of FortiGate's, and what two readers may read differently.
    fn check(&self) -> Result<(), Rejection> {
        if self.get(Field::Kind).is_empty() {
            return Err(reject(
                MALFORMED_KEY_VALUE,
                "column 1: no type= in the line; send FortiGate's default log format, key=value",
            ));
        }
        match self.repeated {
            None => Ok(()),
            Some(field) => {
                let (_, key) = KEYS[field as usize];
                let detail = format!("{key}= stands twice in the line; send one line a record, and each key once");
                Err(reject(DUPLICATE_FIELD, detail))
            }
        }
    }

    /// On IPsec the person stands in `xauthuser`; `user` is the peer's id, without one its address.
    fn person(&self) -> Result<Person<'a>, Rejection> {
        let (extended, user) = (self.get(Field::ExtendedUser), self.get(Field::User));
        let is_vpn = self.get(Field::Kind) == "event" && self.get(Field::Subtype) == "vpn";
        // Most names begin like no address, and to find that out by parsing takes a tenth of the line's time.
        let may_be_address = user.starts_with(|first: char| first.is_ascii_hexdigit() || first == ':' || first == '[');
        let is_address = is_vpn && may_be_address && address::parse(user).is_some();
        if is_vpn && (extended.is_empty() || is_not_available(extended)) {
            // Two gateways have no user, and a connection has none before the sign-in; elsewhere there should be one.
            let needs_none =
                !extended.is_empty() || matches!(self.get(Field::Action), "ssl-new-con" | "negotiate" | "tunnel-stats");
            if is_address || needs_none && is_not_available(user) {
                return Err(reject(
                    ACTOR_NOT_A_PERSON,
                    "user is N/A or the peer's address and xauthuser names nobody, as between gateways; nothing to do",
                ));
            }
        }
        let user = if is_address { "" } else { user };
        person::resolve([text(extended), text(user)], "user")
    }

    fn meaning(&self, is_public: bool, is_tool: bool) -> Result<(EventKind, Outcome, bool), Rejection> {
        let stated = outcome(self.get(Field::Status));
        Ok(
            match (self.get(Field::Kind), self.get(Field::Subtype), self.get(Field::Action)) {
                ("event", "vpn", "tunnel-up") => (EventKind::VpnOpen, Outcome::Success, true),
                ("event", "vpn", "tunnel-down") => (EventKind::VpnClose, Outcome::Success, true),
                ("event", "vpn", "tunnel-stats") => (EventKind::VpnRenew, Outcome::Success, false),
                ("event", "vpn", "ssl-login-fail") => (EventKind::VpnOpen, Outcome::Failure, true),
                // A gateway renegotiates by itself; only its failure concerns the person's sign-in.
                ("event", "vpn", "negotiate") if stated == Outcome::Failure => (EventKind::VpnOpen, stated, true),
                ("event", "vpn", "negotiate") => (EventKind::VpnRenew, stated, false),
                ("event", "vpn", "ssl-new-con") => (EventKind::VpnOpen, Outcome::Unknown, true),
                ("event", "user", action) => match action {
                    "auth-logon" | "FSSO-logon" => (EventKind::Login, Outcome::Success, true),
                    "auth-logout" | "FSSO-logoff" => (EventKind::Logout, Outcome::Success, true),
                    "authentication" => (EventKind::Login, stated, true),
                    _ => return Err(unsupported()),
                },
                ("event", "system", "login") => (EventKind::Login, stated, true),
                ("event", "system", "logout") => (EventKind::Logout, stated, true),
                ("utm", _, _) if is_tool => (EventKind::ToolSeen, Outcome::Unknown, true),
                ("traffic", _, _) if is_public => (EventKind::Activity, Outcome::Unknown, false),
                _ => return Err(unsupported()),
            },
        )
    }

    /// The remote-access tool that application control saw.
    fn tool(&self) -> Result<Option<Tool<'a>>, Rejection> {
        if self.get(Field::Kind) != "utm" || self.get(Field::Subtype) != "app-ctrl" {
            return Ok(None);
        }
        if is_stopped(self.get(Field::Action)) {
            return Err(reject(
                NOT_A_REMOTE_ACCESS_TOOL,
                "action says that the application was blocked, so it gave no access; nothing to do",
            ));
        }
        match tools::by_name(self.get(Field::App)) {
            Some(known) => Ok(Some(known.tool(description(text(self.get(Field::App))), false))),
            None if self.get(Field::AppCategory).eq_ignore_ascii_case("remote.access") => Ok(Some(Tool {
                name: description(text(self.get(Field::App))).unwrap_or(Cow::Borrowed("remote access")),
                kind: crate::model::ToolKind::RemoteAccess,
                indicator: None,
                unattended: false,
            })),
            None => Err(reject(
                NOT_A_REMOTE_ACCESS_TOOL,
                "app is no remote-access tool; nothing to do",
            )),
        }
    }

    /// Date, time and zone where all are sent, as the operator reads them; `eventtime` (seconds up to FortiOS 6.0,
    /// nanoseconds since) adds the fraction of the second where it names the same one, and stands in where no zone is
    /// sent. Without either the local time is taken for UTC (before FortiOS 6.2).
    fn time_ms(&self) -> Result<i64, Rejection> {
        let has_wall_time = !self.get(Field::Date).is_empty() && !self.get(Field::Time).is_empty();
        let event_time = match self.get(Field::EventTime) {
            "" => None,
            text => match time::from_text(text) {
                None if !has_wall_time => return Err(invalid_time("eventtime")),
                found => found,
            },
        };
        match (event_time, has_wall_time) {
            (None, false) => {
                let detail = "neither eventtime nor date and time are in the line; log one of them";
                Err(reject(TIME_MISSING, detail))
            }
            (Some(event_time), false) => Ok(event_time),
            (Some(event_time), true) if self.get(Field::Zone).is_empty() => Ok(event_time),
            (None, true) => self.wall_time_ms().ok_or_else(|| invalid_time("date, time and tz")),
            (Some(event_time), true) => match self.wall_time_ms() {
                Some(wall_time) if (wall_time - event_time).abs() > SAME_MOMENT_MS => Ok(wall_time),
                _ => Ok(event_time),
            },
        }
    }

    fn wall_time_ms(&self) -> Option<i64> {
        let (clock, _) = self
            .get(Field::Time)
            .split_at_checked(8)
            .unwrap_or((self.get(Field::Time), ""));
        let moment =
            time::date_ms(self.get(Field::Date))? + time::clock_ms(clock)? - time::zone_ms(self.get(Field::Zone))?;
        time::plausible(moment)
    }

    /// Unique only where `eventtime` is in nanoseconds: one second may see many like events.
    fn id(&self) -> EventId {
        if self.get(Field::EventTime).len() < 16
            || self.get(Field::EventTime).len() + self.get(Field::Device).len() + self.get(Field::LogId).len() > 200
        {
            return EventId::default();
        }
        let parts = [
            self.get(Field::Device),
            self.get(Field::LogId),
            self.get(Field::EventTime),
        ];
        EventId::of(parts.join("/").into())
    }

    fn vpn_ip(&self) -> Option<std::net::IpAddr> {
        [self.get(Field::TunnelIp), self.get(Field::AssignedIp)]
            .into_iter()
            .filter_map(address::parse)
            .find(|ip| !ip.is_unspecified())
    }
}

/// Two spellings of one moment differ by the second that one of them rounds off.
const SAME_MOMENT_MS: i64 = 2_000;

/// What FortiOS writes where it has no value.
fn is_not_available(value: &str) -> bool {
    value.eq_ignore_ascii_case("N/A")
}

/// Whether application control let nothing through.
fn is_stopped(action: &str) -> bool {
    [
        "block", "blocked", "deny", "denied", "drop", "dropped", "reject", "reset",
    ]
    .iter()
    .any(|stopped| action.eq_ignore_ascii_case(stopped))
}

fn outcome(status: &str) -> Outcome {
    if ["success", "logon", "logout"]
        .iter()
        .any(|s| status.eq_ignore_ascii_case(s))
    {
        Outcome::Success
    } else if status.contains("fail") || status.contains("error") || status.eq_ignore_ascii_case("denied") {
        Outcome::Failure
    } else {
        Outcome::Unknown
    }
}

fn unsupported() -> Rejection {
    reject(
        KIND_UNSUPPORTED,
        "type, subtype and action are neither a VPN session nor a sign-in; nothing to do, or filter at the source",
    )
}

fn invalid_time(field: &str) -> Rejection {
    reject(
        TIME_INVALID,
        format!("{field}: no time between 2000 and 2200; check the unit's clock"),
    )
}

fn text(value: &str) -> Cow<'_, str> {
    if value.contains('\\') {
        unescaped(value)
    } else {
        Cow::Borrowed(value)
    }
}

/// Only `\"` is an escape: a single backslash separates domain and user.
fn unescaped(value: &str) -> Cow<'_, str> {
    if value.contains("\\\"") {
        Cow::Owned(value.replace("\\\"", "\""))
    } else {
        Cow::Borrowed(value)
    }
}
