//! OCSF 1.8: Authentication 3002, Account Change 3001, Tunnel Activity 4014, RDP Activity 4005, Process Activity
//! 1007 and Peripheral Activity 1010. Attribute and enumeration values: schema.ocsf.io, version 1.8.0.
//!
//! `src_endpoint.uid` is never a device: mappings in use put an OAuth client id there.

mod wire;
mod peripheral;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::net::IpAddr;

pub(super) use self::wire::Record;
use self::wire::{AuthFactor, Endpoint, PeripheralDevice, Process, Unmapped, User};
use super::person::{self, Person};
use super::reason::{ACTOR_NOT_A_PERSON, KIND_UNSUPPORTED, NOT_A_REMOTE_ACCESS_TOOL, refuse, reject};
use super::values::{Place, Values};
use super::{Rejection, Sink, address, tools};
use crate::model::account::AccountRefusal;
use crate::model::event_id::EventId;
use crate::model::{Device, Event, EventKind, Mfa, Outcome, Peripheral, Tool};

const PERIPHERAL_ACTIVITY: i64 = 1010;
const PROCESS_ACTIVITY: i64 = 1007;
const ACCOUNT_CHANGE: i64 = 3001;
const AUTHENTICATION: i64 = 3002;
const RDP_ACTIVITY: i64 = 4005;
const TUNNEL_ACTIVITY: i64 = 4014;

/// Decodes one OCSF event; false if the object is none.
#[inline]
pub(super) fn decode<'a>(record: &Record, values: Values<'_, 'a>, sink: &mut Sink<'_, 'a>) -> Result<bool, Rejection> {
    let type_uid = values.int(record.type_uid);
    let Some(class) = values.int(record.class_uid).or(type_uid.map(|uid| uid / 100)) else {
        return Ok(false);
    };
    let activity = values.int(record.activity_id).or(type_uid.map(|uid| uid % 100));
    sink.push_or_refuse(Source { record, values }.event(class, activity.unwrap_or(0)))
}

/// A record and its values.
#[derive(Clone, Copy)]
struct Source<'r, 'a> {
    record: &'r Record,
    values: Values<'r, 'a>,
}

/// Where a class keeps what the event needs.
struct Reading<'a> {
    kind: EventKind,
    interactive: bool,
    person: Person<'a>,
    device: Option<Device<'a>>,
    tool: Option<Tool<'a>>,
    /// Apart, because few records have one and a reading is passed on.
    peripheral: Option<Box<Peripheral<'a>>>,
}

impl<'a> Source<'_, 'a> {
    #[inline]
    fn event(self, class: i64, activity: i64) -> Result<Event<'a>, Rejection> {
        let Self { record, values } = self;
        let reading = match class {
            AUTHENTICATION => self.authentication(activity),
            ACCOUNT_CHANGE => self.account_change(activity),
            TUNNEL_ACTIVITY => self.tunnel(activity),
            RDP_ACTIVITY => self.remote_desktop(activity),
            PROCESS_ACTIVITY => self.process(),
            PERIPHERAL_ACTIVITY => self.peripheral(activity),
            _ => Err(reject(
                KIND_UNSUPPORTED,
                "class_uid is none of 1007, 1010, 3001, 3002, 4005, 4014; nothing to do, or filter at the source",
            )),
        }?;
        let time_ms = self.time_ms()?;
        let outcome = self.outcome(reading.kind, activity);
        let source_ip = self.source_ip();
        let (metadata, product) = (&record.metadata, &record.metadata.product);
        let first = |places: &[Place]| places.iter().find_map(|place| values.description(*place));
        Ok(Event {
            id: (values.id(metadata.uid))
                .or_else(|| values.id(metadata.original_event_uid))
                .map(EventId::of)
                .unwrap_or_default(),
            time_ms,
            kind: reading.kind,
            account: reading.person.account,
            account_aliases: reading.person.aliases,
            source_ip,
            outcome,
            device: reading.device,
            session: (values.id(record.session.uid)).or_else(|| values.id(record.actor.session.uid)),
            app: first(&[
                record.service.name,
                record.service.uid,
                record.dst_endpoint.svc_name,
                record.actor.app_name,
            ]),
            mfa: match (class, reading.kind) {
                // The factor is that of the person whose account an administrator changed.
                (ACCOUNT_CHANGE, EventKind::Activity) => None,
                (_, kind) => self.mfa(kind, outcome),
            },
            user_agent: values.description(record.http_request.user_agent),
            vpn_ip: values.address(record.tunnel_interface.ip),
            anonymizer: None,
            tool: reading.tool.map(Box::new),
            peripheral: reading.peripheral,
            interactive: reading.interactive,
            product: first(&[product.name, product.vendor_name]).unwrap_or(Cow::Borrowed("ocsf")),
        })
    }

    /// The first time that can be one; what is wrong is said of the first that is there.
    fn time_ms(self) -> Result<i64, Rejection> {
        let Self { record, values } = self;
        let times = [
            (record.time, "time"),
            (record.time_dt, "time_dt"),
            (record.start_time, "start_time"),
            (record.start_time_dt, "start_time_dt"),
        ];
        let mut refused = None;
        for (place, field) in times {
            if values.is_empty(place) {
                continue;
            }
            match values.ms(place, field) {
                Ok(ms) => return Ok(ms),
                Err(rejection) => refused = refused.or(Some(rejection)),
            }
        }
        refused.map_or_else(|| values.ms(record.time, "time"), Err)
    }

    /// The address that the person came from, which that of a proxy is not.
    fn source_ip(self) -> Option<IpAddr> {
        let Self { record, values } = self;
        let source = &record.src_endpoint;
        let forwarded = record.http_request.x_forwarded_for.iter();
        let forwarded = forwarded.flat_map(|list| addresses(&values.text(*list)));
        let candidates = values.address(source.ip).into_iter().chain(forwarded);
        let proxies = [&record.proxy_endpoint, &record.proxy, &source.proxy_endpoint];
        let is_proxy = |ip: IpAddr| {
            let mut named = proxies.into_iter().flatten();
            named.any(|proxy| values.address(proxy.ip) == Some(ip))
        };
        address::source(candidates.filter(|ip| !is_proxy(*ip)))
    }

    fn authentication(self, activity: i64) -> Result<Reading<'a>, Rejection> {
        const SYSTEM_LOGONS: [i64; 3] = [1, 4, 5];
        const REMOTE_LOGONS: [i64; 2] = [10, 12];
        let Self { record, values } = self;
        let logon_type = values.int(record.logon_type_id);
        let is_remote_desktop = logon_type.is_some_and(|id| REMOTE_LOGONS.contains(&id));
        let is_system = logon_type.is_some_and(|id| SYSTEM_LOGONS.contains(&id));
        let user_type = values.int(record.user.type_id);
        let is_service = user_type.or_else(|| values.int(record.actor.user.type_id)) == Some(4);
        let (kind, by_person) = match activity {
            1 if is_remote_desktop => (EventKind::RdpLogon, true),
            1 => (EventKind::Login, true),
            2 => (EventKind::Logout, true),
            // Tickets and pre-authentication pass between machines, without the person.
            3..=6 => (EventKind::Activity, false),
            _ => (EventKind::Activity, true),
        };
        let device = if kind == EventKind::RdpLogon {
            self.logged_on_to()
        } else {
            self.device(&record.device)
        };
        Ok(Reading {
            kind,
            interactive: by_person && !is_system && !is_service,
            person: self.user_or_actor()?,
            device,
            tool: None,
            peripheral: None,
        })
    }

    fn account_change(self, activity: i64) -> Result<Reading<'a>, Rejection> {
        let is_own = self.is_own_account();
        let (kind, person) = if is_own {
            let kind = if activity == 10 {
                EventKind::FactorEnrolled
            } else {
                EventKind::ProfileChanged
            };
            (kind, self.user_or_actor()?)
        } else {
            // An administrator changed somebody's account: it places the administrator, not that person.
            (EventKind::Activity, self.person(&self.record.actor.user, "actor.user")?)
        };
        Ok(Reading {
            kind,
            interactive: true,
            person,
            device: self.device(&self.record.device),
            tool: None,
            peripheral: None,
        })
    }

    /// Whether the actor is the user, by the first of their names that both have, or is not named.
    fn is_own_account(self) -> bool {
        let (values, user, actor) = (self.values, &self.record.user, &self.record.actor.user);
        let names = [
            (user.uid, actor.uid),
            (user.email_addr, actor.email_addr),
            (user.name, actor.name),
        ];
        let person = |place| {
            person::resolve([values.text(place)], "")
                .ok()
                .map(|person| person.account)
        };
        let is_named = [actor.uid, actor.email_addr, actor.name]
            .into_iter()
            .any(|place| values.id(place).is_some());
        let mut both = names.into_iter().filter_map(|(a, b)| Some(person(a)? == person(b)?));
        both.next().unwrap_or(!is_named)
    }

    fn tunnel(self, activity: i64) -> Result<Reading<'a>, Rejection> {
        let kind = match activity {
            1 => EventKind::VpnOpen,
            2 => EventKind::VpnClose,
            3 => EventKind::VpnRenew,
            _ => {
                return Err(reject(
                    KIND_UNSUPPORTED,
                    "activity_id of Tunnel Activity is none of Open 1, Close 2, Renew 3; map it at the source",
                ));
            }
        };
        Ok(Reading {
            kind,
            interactive: kind != EventKind::VpnRenew,
            person: self.user_or_actor()?,
            device: self.device(&self.record.device),
            tool: None,
            peripheral: None,
        })
    }

    fn remote_desktop(self, activity: i64) -> Result<Reading<'a>, Rejection> {
        let (kind, interactive) = match activity {
            // The client connects once it has authenticated. Sensors tell the request, the response or both.
            3 | 4 | 8 => (EventKind::RdpLogon, true),
            6 => (EventKind::Activity, true),
            7 => (EventKind::Logout, true),
            // What goes before that, anybody may send, and in any name.
            1 | 2 | 5 => (EventKind::Activity, false),
            // A log that does not tell the steps apart tells of logons.
            _ => (EventKind::RdpLogon, true),
        };
        Ok(Reading {
            kind,
            interactive,
            person: self.user_or_actor()?,
            device: self.logged_on_to(),
            tool: None,
            peripheral: None,
        })
    }

    fn process(self) -> Result<Reading<'a>, Rejection> {
        let values = self.values;
        let absent = Process::default();
        let process = self.record.process.as_deref().unwrap_or(&absent);
        if self.is_blocked() || self.outcome(EventKind::ToolSeen, 0) == Outcome::Failure {
            return Err(reject(
                NOT_A_REMOTE_ACCESS_TOOL,
                "the process was blocked or did not start, so it gave no access; nothing to do",
            ));
        }
        let command_line = values.text(process.cmd_line);
        let tool = [process.name, process.file.name, process.path, process.file.path]
            .into_iter()
            .filter(|name| !values.is_empty(*name))
            .find_map(|name| {
                let (known, unattended) = tools::by_command(&values.text(name), &command_line)?;
                Some(Tool {
                    name: Cow::Borrowed(known.name),
                    kind: known.kind,
                    indicator: values.description(name),
                    unattended,
                })
            })
            .ok_or_else(|| {
                reject(
                    NOT_A_REMOTE_ACCESS_TOOL,
                    "process is no known remote-access tool, VPN client, tunnel, jiggler or KVM agent; nothing to do",
                )
            })?;
        Ok(Reading {
            kind: EventKind::ToolSeen,
            interactive: true,
            person: self.whoever_uses_the_device(&process.user)?,
            device: self.device(&self.record.device),
            tool: Some(tool),
            peripheral: None,
        })
    }

    fn peripheral(self, activity: i64) -> Result<Reading<'a>, Rejection> {
        if matches!(activity, 2 | 4 | 5) {
            return Err(reject(
                KIND_UNSUPPORTED,
                "activity_id of Peripheral Activity is a detachment; nothing to do, attachments are read",
            ));
        }
        let (no_device, nothing) = (PeripheralDevice::default(), Unmapped::default());
        let peripheral_device = self.record.peripheral_device.as_deref().unwrap_or(&no_device);
        let unmapped = self.record.unmapped.as_deref().unwrap_or(&nothing);
        let peripheral = peripheral::read(peripheral_device, unmapped, self.values);
        Ok(Reading {
            kind: EventKind::PeripheralAttached,
            interactive: true,
            person: self.whoever_uses_the_device(&User::default())?,
            device: self.device(&self.record.device),
            tool: None,
            peripheral: Some(Box::new(peripheral)),
        })
    }

    /// `user`, or `actor.user` where a mapping left `user` empty or masked it.
    fn user_or_actor(self) -> Result<Person<'a>, Rejection> {
        let (user, actor) = (&self.record.user, &self.record.actor.user);
        if self.is_nobody(user) {
            return self.person(actor, "actor.user");
        }
        match self.person(user, "user") {
            // Where the actor is nobody either, the operator needs to hear of the mask.
            Err(masked) if masked.reason == AccountRefusal::Masked.reason() => {
                self.person(actor, "actor.user").map_err(|_| masked)
            }
            Err(missing) if missing.reason == AccountRefusal::Missing.reason() => self.person(actor, "actor.user"),
            settled => settled,
        }
    }

    /// The person at the device: agents run as the system and name the person elsewhere.
    fn whoever_uses_the_device(self, process_user: &User) -> Result<Person<'a>, Rejection> {
        let nobody = User::default();
        let users = [
            (&self.record.actor.user, "actor.user"),
            (process_user, "process.user"),
            (&self.record.user, "user"),
            (self.record.device.owner.as_deref().unwrap_or(&nobody), "device.owner"),
        ];
        let mut refused = None;
        for (user, field) in users {
            if self.is_nobody(user) {
                continue;
            }
            let person = if self.is_superuser(user) {
                Err(refuse(AccountRefusal::Machine, field))
            } else {
                self.person(user, field)
            };
            match person {
                Ok(person) => return Ok(person),
                Err(rejection) => refused = refused.or(Some(rejection)),
            }
        }
        refused.map_or_else(|| self.person(&nobody, "actor.user"), Err)
    }

    /// Who runs a Unix device's own services, whoever sits at it.
    fn is_superuser(self, user: &User) -> bool {
        let is_named_so = self.values.text(user.name).trim().eq_ignore_ascii_case("root");
        is_named_so || self.values.int(user.uid) == Some(0)
    }

    fn is_nobody(self, user: &User) -> bool {
        let is_empty = |place| self.values.is_empty(place);
        is_empty(user.email_addr) && is_empty(user.name) && is_empty(user.uid)
    }

    fn person(self, user: &User, field: &str) -> Result<Person<'a>, Rejection> {
        let values = self.values;
        if values.int(user.type_id) == Some(3) {
            return Err(reject(
                ACTOR_NOT_A_PERSON,
                format!("{field}.type_id is System; nothing to do"),
            ));
        }
        let names = [user.email_addr, user.name, user.uid, user.uid_alt];
        let has_id = !values.is_empty(user.email_addr) || !values.is_empty(user.uid);
        if has_id && !values.is_empty(user.name) {
            let name = values.text(user.name);
            // A full name in place of a user name is shared by namesakes, so it never becomes an alias.
            if name.trim().contains(' ') && !name.contains('\\') {
                check_full_name(name, field)?;
                let ids = [user.email_addr, user.uid, user.uid_alt];
                return person::resolve(values.texts(&ids), field);
            }
        }
        person::resolve(values.texts(&names), field)
    }

    /// The device at the far end of a remote-desktop session.
    fn logged_on_to(self) -> Option<Device<'a>> {
        self.device(&self.record.device)
            .or_else(|| self.device(&self.record.dst_endpoint))
    }

    /// The device, by its most stable id: the agent's or MDM's, then serial number, then host name.
    fn device(self, endpoint: &Endpoint) -> Option<Device<'a>> {
        const BROWSER: i64 = 8;
        let values = self.values;
        let hostname = (values.id(endpoint.hostname)).or_else(|| values.id(endpoint.name));
        let id = (values.id(endpoint.uid))
            .or_else(|| values.id(endpoint.hw_info.serial_number))
            .or_else(|| hostname.clone())?;
        Some(Device {
            id,
            hostname,
            managed: values.flag(endpoint.is_managed),
            fingerprint: values.int(endpoint.type_id) == Some(BROWSER),
        })
    }

    fn outcome(self, kind: EventKind, activity: i64) -> Outcome {
        // A control that works calls what it blocks a success.
        if self.is_blocked() {
            return Outcome::Failure;
        }
        let status = self.values.text(self.record.status);
        match self.values.int(self.record.status_id) {
            Some(1) => Outcome::Success,
            Some(2) => Outcome::Failure,
            Some(_) => Outcome::Unknown,
            None if status.eq_ignore_ascii_case("success") => Outcome::Success,
            None if status.eq_ignore_ascii_case("failure") => Outcome::Failure,
            // A tunnel that was opened, kept up or closed did exist.
            None if status.is_empty() && is_tunnel(kind) => Outcome::Success,
            // Who takes a session up again has one. Of a request or its answer (3, 4) nobody can tell.
            None if status.is_empty() && kind == EventKind::RdpLogon && activity == 8 => Outcome::Success,
            None => Outcome::Unknown,
        }
    }

    /// Whether a security control did not let it happen.
    fn is_blocked(self) -> bool {
        const DENIED: i64 = 2;
        // Blocked, Quarantined, Deleted, Dropped, Reset, Access Revoked, Rejected, Unauthorized.
        const DISPOSITIONS: [i64; 8] = [2, 3, 5, 6, 21, 24, 25, 26];
        let Self { record, values } = self;
        let says = |place, words: &[&str]| {
            !values.is_empty(place) && {
                let text = values.text(place);
                words.iter().any(|word| text.eq_ignore_ascii_case(word))
            }
        };
        let is_denied = match values.int(record.action_id) {
            Some(id) => id == DENIED,
            None => says(record.action, &["denied", "blocked"]),
        };
        is_denied
            || match values.int(record.disposition_id) {
                Some(id) => DISPOSITIONS.contains(&id),
                None => says(
                    record.disposition,
                    &["blocked", "denied", "dropped", "rejected", "quarantined"],
                ),
            }
    }

    fn mfa(self, kind: EventKind, outcome: Outcome) -> Option<Mfa<'a>> {
        let Self { record, values } = self;
        let stated = (values.flag(record.is_mfa)).or_else(|| values.flag(record.session.is_mfa));
        let second = record.auth_factors.iter().find(|factor| self.is_second(factor));
        if stated.is_none() && second.is_none() {
            return None;
        }
        Some(Mfa {
            used: kind != EventKind::FactorEnrolled && stated.unwrap_or(outcome == Outcome::Success),
            method: second.and_then(|factor| self.method(factor)),
            factor: second.and_then(|factor| self.factor_id(factor)),
        })
    }

    /// Whether a factor can stand beside the password: one that is unknown may be the password.
    fn is_second(self, factor: &AuthFactor) -> bool {
        const PASSWORD: i64 = 11;
        match self.values.int(factor.factor_type_id) {
            Some(PASSWORD) => false,
            Some(1..PASSWORD) => true,
            _ => self.values.description(factor.factor_type).is_some_and(|word| {
                let is_none = ["password", "other"].iter().any(|none| word.eq_ignore_ascii_case(none));
                !is_none
            }),
        }
    }

    /// The device, telephone or mailbox that answers.
    fn factor_id(self, factor: &AuthFactor) -> Option<Cow<'a, str>> {
        let device = self.device(&factor.device).map(|device| device.id);
        device
            .or_else(|| self.values.id(factor.phone_number))
            .or_else(|| self.values.id(factor.email_addr))
    }

    /// `auth_factor.factor_type_id` as a word, else what `factor_type` says.
    fn method(self, factor: &AuthFactor) -> Option<Cow<'a, str>> {
        let word = match self.values.int(factor.factor_type_id) {
            Some(1) => "sms",
            Some(2) => "security_question",
            Some(3) => "phone_call",
            Some(4) => "biometric",
            Some(5) => "push",
            Some(6) => "hardware_token",
            Some(7) => "otp",
            Some(8) => "email",
            Some(9) => "u2f",
            Some(10) => "webauthn",
            _ => return self.values.description(factor.factor_type),
        };
        Some(Cow::Borrowed(word))
    }
}

fn is_tunnel(kind: EventKind) -> bool {
    matches!(kind, EventKind::VpnOpen | EventKind::VpnRenew | EventKind::VpnClose)
}

/// The addresses of a list, as `X-Forwarded-For` spells it.
fn addresses(list: &str) -> Vec<IpAddr> {
    list.split(',').filter_map(address::parse).collect()
}

/// A principal's name such as `ANONYMOUS LOGON`, or an oversized one, refuses the event though it is no key.
fn check_full_name(name: Cow<'_, str>, field: &str) -> Result<(), Rejection> {
    match person::resolve([name], field) {
        Err(rejection) if rejection.reason != "account_masked" => Err(rejection),
        _ => Ok(()),
    }
}
