//! FortiGate log lines, `key=value`, with or without a syslog header.
//!
//! Read: VPN sessions, user and administrator sign-ins, application control hits on remote-access tools, and
//! traffic that names a user and has a public source. Field names: Fortinet, "FortiOS Log Message Reference".

use std::borrow::Cow;

use super::leaf::Text;
use super::reason::{
    KIND_UNSUPPORTED, MALFORMED_KEY_VALUE, NOT_A_REMOTE_ACCESS_TOOL, TIME_INVALID, TIME_MISSING, reject,
};
use super::{Rejection, Sink, address, person, time, tools};
use crate::model::{Device, Event, EventKind, Outcome, Tool};

/// Whether a line looks like one of FortiGate's.
pub(super) fn is_line(text: &str) -> bool {
    let start = text.as_bytes().first();
    start.is_some_and(|b| *b == b'<' || b.is_ascii_alphanumeric())
        && text.contains("type=")
        && (text.contains("logid=") || text.contains("devid=") || text.contains("subtype="))
}

/// Decodes one line.
pub(super) fn decode<'a>(text: &'a str, sink: &mut Sink<'_, 'a>) -> Result<(), Rejection> {
    let line = Line::read(text);
    if line.kind.is_empty() {
        return Err(reject(
            MALFORMED_KEY_VALUE,
            "column 1: no type= in the line; send FortiGate's default log format, key=value",
        ));
    }
    sink.push(Ok(line.into_event()?));
    Ok(())
}

/// The keys that matter, with their values as they stand between the quotes.
#[derive(Default)]
struct Line<'a> {
    date: &'a str,
    time: &'a str,
    zone: &'a str,
    event_time: &'a str,
    device: &'a str,
    log_id: &'a str,
    kind: &'a str,
    subtype: &'a str,
    action: &'a str,
    status: &'a str,
    user: &'a str,
    extended_user: &'a str,
    remote_ip: &'a str,
    source_ip: &'a str,
    tunnel_ip: &'a str,
    assigned_ip: &'a str,
    tunnel_id: &'a str,
    tunnel: &'a str,
    domain: &'a str,
    client_id: &'a str,
    client_host: &'a str,
    agent: &'a str,
    app: &'a str,
    app_category: &'a str,
}

impl<'a> Line<'a> {
    fn read(text: &'a str) -> Self {
        let mut line = Self::default();
        for (key, value) in Pairs(text) {
            let field = match key {
                "date" => &mut line.date,
                "time" => &mut line.time,
                "tz" => &mut line.zone,
                "eventtime" => &mut line.event_time,
                "devid" => &mut line.device,
                "logid" => &mut line.log_id,
                "type" => &mut line.kind,
                "subtype" => &mut line.subtype,
                "action" => &mut line.action,
                "status" => &mut line.status,
                "user" => &mut line.user,
                "xauthuser" => &mut line.extended_user,
                "remip" => &mut line.remote_ip,
                "srcip" => &mut line.source_ip,
                "tunnelip" => &mut line.tunnel_ip,
                "assignip" => &mut line.assigned_ip,
                "tunnelid" => &mut line.tunnel_id,
                "vpntunnel" => &mut line.tunnel,
                "vd" => &mut line.domain,
                "fctuid" => &mut line.client_id,
                "srcname" => &mut line.client_host,
                "agent" => &mut line.agent,
                "app" => &mut line.app,
                "appcat" => &mut line.app_category,
                _ => continue,
            };
            *field = value;
        }
        line
    }

    fn into_event(self) -> Result<Event<'a>, Rejection> {
        let source_ip = address::first_public([self.remote_ip, self.source_ip]);
        let tool = self.tool()?;
        let (kind, outcome, interactive) = self.meaning(source_ip.is_some(), tool.is_some())?;
        // On IPsec `user` is the peer's id; the person stands in `xauthuser`.
        let person = person::resolve([text(self.extended_user), text(self.user)], "user")?;
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
            device: text(self.client_id).id().map(|id| Device {
                id,
                hostname: text(self.client_host).description(),
                managed: None,
                fingerprint: false,
            }),
            session: text(self.tunnel_id).id(),
            app: text(self.tunnel).description().or(text(self.domain).description()),
            mfa: None,
            user_agent: text(self.agent).description(),
            vpn_ip: if is_vpn { self.vpn_ip() } else { None },
            anonymizer: None,
            tool,
            peripheral: None,
            interactive,
            product: Cow::Borrowed("fortigate"),
        })
    }

    fn meaning(&self, is_public: bool, is_tool: bool) -> Result<(EventKind, Outcome, bool), Rejection> {
        let stated = outcome(self.status);
        Ok(match (self.kind, self.subtype, self.action) {
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
        })
    }

    /// The remote-access tool that application control saw.
    fn tool(&self) -> Result<Option<Tool<'a>>, Rejection> {
        if self.kind != "utm" || self.subtype != "app-ctrl" {
            return Ok(None);
        }
        match tools::by_name(self.app) {
            Some(known) => Ok(Some(known.tool(text(self.app).description(), false))),
            None if self.app_category.eq_ignore_ascii_case("remote.access") => Ok(Some(Tool {
                name: text(self.app).description().unwrap_or(Cow::Borrowed("remote access")),
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

    /// `eventtime` where it is sent: seconds up to FortiOS 6.0, nanoseconds since. Else the local date and time.
    fn time_ms(&self) -> Result<i64, Rejection> {
        if !self.event_time.is_empty() {
            return time::from_text(self.event_time).ok_or_else(|| invalid_time("eventtime"));
        }
        if self.date.is_empty() || self.time.is_empty() {
            return Err(reject(
                TIME_MISSING,
                "neither eventtime nor date and time are in the line; log one of them",
            ));
        }
        let (clock, _) = self.time.split_at_checked(8).unwrap_or((self.time, ""));
        time::date_ms(self.date)
            .zip(time::clock_ms(clock))
            .zip(time::zone_ms(self.zone))
            .and_then(|((date, clock), zone)| time::plausible(date + clock - zone))
            .ok_or_else(|| invalid_time("date, time and tz"))
    }

    /// Unique only where `eventtime` is in nanoseconds: one second may see many like events.
    fn id(&self) -> Cow<'a, str> {
        if self.event_time.len() < 16 || self.event_time.len() + self.device.len() + self.log_id.len() > 200 {
            return Cow::Borrowed("");
        }
        Cow::Owned(format!("{}/{}/{}", self.device, self.log_id, self.event_time))
    }

    fn vpn_ip(&self) -> Option<std::net::IpAddr> {
        [self.tunnel_ip, self.assigned_ip]
            .into_iter()
            .filter_map(address::parse)
            .find(|ip| !ip.is_unspecified())
    }
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

fn text(value: &str) -> Text<'_> {
    Text::new(if value.contains('\\') {
        unescaped(value)
    } else {
        Cow::Borrowed(value)
    })
}

/// Only `\"` is an escape: a single backslash separates domain and user.
fn unescaped(value: &str) -> Cow<'_, str> {
    if value.contains("\\\"") {
        Cow::Owned(value.replace("\\\"", "\""))
    } else {
        Cow::Borrowed(value)
    }
}

/// `key=value` and `key="quoted value"`, separated by white space; other words are passed over.
struct Pairs<'a>(&'a str);

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.0 = self.0.trim_start();
            let end = self.0.find(|c: char| c == '=' || c.is_ascii_whitespace())?;
            let (word, rest) = self.0.split_at(end);
            let Some(rest) = rest.strip_prefix('=') else {
                self.0 = rest;
                continue;
            };
            // A syslog priority may touch the first key.
            let key = word.rsplit(['>', ',']).next().unwrap_or(word);
            let (value, rest) = match rest.strip_prefix('"') {
                Some(quoted) => until_quote(quoted),
                None => rest.split_at(rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len())),
            };
            self.0 = rest;
            return Some((key, value));
        }
    }
}

fn until_quote(quoted: &str) -> (&str, &str) {
    let bytes = quoted.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            // An escaped quote, unless it closes the value: `user="CORP\"` ends at the quote.
            b'\\' if bytes.get(at + 1) == Some(&b'"') && !matches!(bytes.get(at + 2), None | Some(b' ')) => at += 2,
            b'"' => return (&quoted[..at], &quoted[at + 1..]),
            _ => at += 1,
        }
    }
    (quoted, "")
}
