//! OCSF 1.8: Authentication 3002, Account Change 3001, Tunnel Activity 4014, RDP Activity 4005, Process Activity
//! 1007 and Peripheral Activity 1010. Attribute and enumeration values: schema.ocsf.io, version 1.8.0.
//!
//! `src_endpoint.uid` is never a device: mappings in use put an OAuth client id there.

mod wire;
mod peripheral;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use self::wire::{AuthFactor, Endpoint, Record, User};
use super::leaf::{Flag, Obj, Text};
use super::person::{self, Person};
use super::reason::{ACTOR_NOT_A_PERSON, KIND_UNSUPPORTED, NOT_A_REMOTE_ACCESS_TOOL, reject};
use super::{Rejection, Sink, address, envelope, tools};
use crate::model::{Device, Event, EventKind, Mfa, Outcome, Tool};

const PERIPHERAL_ACTIVITY: i64 = 1010;
const PROCESS_ACTIVITY: i64 = 1007;
const ACCOUNT_CHANGE: i64 = 3001;
const AUTHENTICATION: i64 = 3002;
const RDP_ACTIVITY: i64 = 4005;
const TUNNEL_ACTIVITY: i64 = 4014;

/// Decodes one OCSF event; false if the object is none.
pub(super) fn decode<'a>(text: &'a str, sink: &mut Sink<'_, 'a>) -> Result<bool, Rejection> {
    let mut record = Record::default();
    envelope::read(text, &mut record)?;
    let Some(class) = record.class_uid.0.or(record.type_uid.0.map(|uid| uid / 100)) else {
        return Ok(false);
    };
    sink.push(Ok(record.into_event(class)?));
    Ok(true)
}

/// Where a class keeps what the event needs.
struct Reading<'a> {
    kind: EventKind,
    interactive: bool,
    person: Person<'a>,
    device: Option<Device<'a>>,
    tool: Option<Tool<'a>>,
    peripheral: Option<crate::model::Peripheral<'a>>,
}

impl<'a> Record<'a> {
    #[inline]
    fn into_event(mut self, class: i64) -> Result<Event<'a>, Rejection> {
        let activity = self.activity_id.0.or(self.type_uid.0.map(|uid| uid % 100)).unwrap_or(0);
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
        let time_ms = if self.time.is_missing() && !self.time_dt.is_missing() {
            self.time_dt.ms("time_dt")?
        } else {
            self.time.ms("time")?
        };
        let outcome = self.outcome(reading.kind);
        let forwarded = self.http_request.0.x_forwarded_for.0.iter().map(Text::as_str);
        let source = std::iter::once(self.src_endpoint.0.ip.as_str());
        let source_ip = address::source(source.chain(forwarded.flat_map(|list| list.split(','))));
        let mfa = self.mfa(outcome);
        let metadata = self.metadata.0;
        let product = metadata.product.0;
        Ok(Event {
            id: metadata
                .uid
                .id()
                .or(metadata.original_event_uid.id())
                .unwrap_or_default(),
            time_ms,
            kind: reading.kind,
            account: reading.person.account,
            account_aliases: reading.person.aliases,
            source_ip,
            outcome,
            device: reading.device,
            session: self.session.0.uid.id().or(self.actor.0.session.0.uid.id()),
            app: (self.service.0.name.description())
                .or(self.service.0.uid.description())
                .or(self.dst_endpoint.0.svc_name.description())
                .or(self.actor.0.app_name.description()),
            mfa,
            user_agent: self.http_request.0.user_agent.description(),
            vpn_ip: address::parse(self.tunnel_interface.0.ip.as_str()),
            anonymizer: None,
            tool: reading.tool,
            peripheral: reading.peripheral,
            interactive: reading.interactive,
            product: (product.name.description())
                .or(product.vendor_name.description())
                .unwrap_or(Cow::Borrowed("ocsf")),
        })
    }

    fn authentication(&mut self, activity: i64) -> Result<Reading<'a>, Rejection> {
        const SYSTEM_LOGONS: [i64; 3] = [1, 4, 5];
        const REMOTE_LOGONS: [i64; 2] = [10, 12];
        let is_remote_desktop = self.logon_type_id.0.is_some_and(|id| REMOTE_LOGONS.contains(&id));
        let is_system = self.logon_type_id.0.is_some_and(|id| SYSTEM_LOGONS.contains(&id));
        let is_service = self.user.0.type_id.0.or(self.actor.0.user.0.type_id.0) == Some(4);
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
            device(&mut self.device.0)
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

    fn account_change(&mut self, activity: i64) -> Result<Reading<'a>, Rejection> {
        let is_own = {
            let (user, actor) = (&self.user.0, &self.actor.0.user.0);
            let same = |a: &Text<'_>, b: &Text<'_>| !a.is_empty() && a == b;
            is_nobody(actor)
                || same(&user.uid, &actor.uid)
                || same(&user.email_addr, &actor.email_addr)
                || same(&user.name, &actor.name)
        };
        let (kind, person) = if is_own {
            let kind = if activity == 10 {
                EventKind::FactorEnrolled
            } else {
                EventKind::ProfileChanged
            };
            (kind, self.user_or_actor()?)
        } else {
            // An administrator changed somebody's account: it places the administrator, not that person.
            let actor = std::mem::take(&mut self.actor.0.user.0);
            (EventKind::Activity, of_user(actor, "actor.user")?)
        };
        Ok(Reading {
            kind,
            interactive: true,
            person,
            device: device(&mut self.device.0),
            tool: None,
            peripheral: None,
        })
    }

    fn tunnel(&mut self, activity: i64) -> Result<Reading<'a>, Rejection> {
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
            device: device(&mut self.device.0),
            tool: None,
            peripheral: None,
        })
    }

    fn remote_desktop(&mut self, activity: i64) -> Result<Reading<'a>, Rejection> {
        let kind = match activity {
            6 => EventKind::Activity,
            7 => EventKind::Logout,
            _ => EventKind::RdpLogon,
        };
        Ok(Reading {
            kind,
            interactive: true,
            person: self.user_or_actor()?,
            device: self.logged_on_to(),
            tool: None,
            peripheral: None,
        })
    }

    fn process(&mut self) -> Result<Reading<'a>, Rejection> {
        let process = self.process.take();
        let command_line = process.cmd_line;
        let file = process.file.0;
        let names = [process.name, file.name, process.path, file.path];
        let tool = names
            .into_iter()
            .filter(|name| !name.is_empty())
            .find_map(|name| {
                let (known, unattended) = tools::by_command(name.as_str(), command_line.as_str())?;
                Some(Tool {
                    name: Cow::Borrowed(known.name),
                    kind: known.kind,
                    indicator: name.description(),
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
            person: self.whoever_uses_the_device(process.user.0)?,
            device: device(&mut self.device.0),
            tool: Some(tool),
            peripheral: None,
        })
    }

    fn peripheral(&mut self, activity: i64) -> Result<Reading<'a>, Rejection> {
        if matches!(activity, 2 | 4 | 5) {
            return Err(reject(
                KIND_UNSUPPORTED,
                "activity_id of Peripheral Activity is a detachment; nothing to do, attachments are read",
            ));
        }
        let peripheral = peripheral::read(self.peripheral_device.take(), self.unmapped.take());
        Ok(Reading {
            kind: EventKind::PeripheralAttached,
            interactive: true,
            person: self.whoever_uses_the_device(User::default())?,
            device: device(&mut self.device.0),
            tool: None,
            peripheral: Some(peripheral),
        })
    }

    /// `user`, or `actor.user` where a mapping left `user` empty.
    fn user_or_actor(&mut self) -> Result<Person<'a>, Rejection> {
        let user = std::mem::take(&mut self.user.0);
        if is_nobody(&user) {
            return of_user(std::mem::take(&mut self.actor.0.user.0), "actor.user");
        }
        of_user(user, "user")
    }

    /// The person at the device: agents run as the system and name the person elsewhere.
    fn whoever_uses_the_device(&mut self, process_user: User<'a>) -> Result<Person<'a>, Rejection> {
        let users = [
            (std::mem::take(&mut self.actor.0.user.0), "actor.user"),
            (process_user, "process.user"),
            (std::mem::take(&mut self.user.0), "user"),
            (self.device.0.owner.take(), "device.owner"),
        ];
        let mut refused = None;
        for (user, field) in users {
            if is_nobody(&user) {
                continue;
            }
            match of_user(user, field) {
                Ok(person) => return Ok(person),
                Err(rejection) => refused = refused.or(Some(rejection)),
            }
        }
        refused.map_or_else(|| of_user(User::default(), "actor.user"), Err)
    }

    /// The device at the far end of a remote-desktop session.
    fn logged_on_to(&mut self) -> Option<Device<'a>> {
        device(&mut self.device.0).or_else(|| device(&mut self.dst_endpoint.0))
    }

    fn outcome(&self, kind: EventKind) -> Outcome {
        match self.status_id.0 {
            Some(1) => Outcome::Success,
            Some(2) => Outcome::Failure,
            Some(_) => Outcome::Unknown,
            None if self.status.as_str().eq_ignore_ascii_case("success") => Outcome::Success,
            None if self.status.as_str().eq_ignore_ascii_case("failure") => Outcome::Failure,
            // A tunnel that was opened, kept up or closed did exist.
            None if self.status.is_empty() && is_tunnel(kind) => Outcome::Success,
            None => Outcome::Unknown,
        }
    }

    fn mfa(&mut self, outcome: Outcome) -> Option<Mfa<'a>> {
        let Flag(stated) = self.is_mfa;
        let stated = stated.or(self.session.0.is_mfa.0);
        let factors = std::mem::take(&mut self.auth_factors.items);
        let second = factors
            .into_iter()
            .map(|Obj(factor)| factor)
            .find(|factor| factor.factor_type_id.0 != Some(11));
        if stated.is_none() && second.is_none() {
            return None;
        }
        let used = stated.unwrap_or(outcome == Outcome::Success);
        let (method, factor) = second.map_or((None, None), |factor| {
            (
                method(&factor).or(factor.factor_type.description()),
                factor.device.0.uid.id(),
            )
        });
        Some(Mfa { used, method, factor })
    }
}

fn is_tunnel(kind: EventKind) -> bool {
    matches!(kind, EventKind::VpnOpen | EventKind::VpnRenew | EventKind::VpnClose)
}

fn is_nobody(user: &User<'_>) -> bool {
    user.email_addr.is_empty() && user.name.is_empty() && user.uid.is_empty()
}

fn of_user<'a>(user: User<'a>, field: &str) -> Result<Person<'a>, Rejection> {
    if user.type_id.0 == Some(3) {
        return Err(reject(
            ACTOR_NOT_A_PERSON,
            format!("{field}.type_id is System; nothing to do"),
        ));
    }
    // A full name in place of a user name is shared by namesakes, so it never becomes an alias.
    let is_full_name = user.name.as_str().trim().contains(' ') && !user.name.as_str().contains('\\');
    let candidates = if is_full_name && !(user.email_addr.is_empty() && user.uid.is_empty()) {
        check_full_name(&user.name, field)?;
        [user.email_addr, user.uid, user.uid_alt, Text::default()]
    } else {
        [user.email_addr, user.name, user.uid, user.uid_alt]
    };
    person::resolve(candidates, field)
}

/// A principal's name such as `ANONYMOUS LOGON`, or an oversized one, refuses the event though it is no key.
fn check_full_name(name: &Text<'_>, field: &str) -> Result<(), Rejection> {
    match person::resolve([name.clone()], field) {
        Err(rejection) if rejection.reason != "account_masked" => Err(rejection),
        _ => Ok(()),
    }
}

/// The device, by its most stable id: the agent's or MDM's, then serial number, then host name.
fn device<'a>(endpoint: &mut Endpoint<'a>) -> Option<Device<'a>> {
    const BROWSER: i64 = 8;
    let hostname = std::mem::take(&mut endpoint.hostname);
    let hostname = hostname.id().or(std::mem::take(&mut endpoint.name).id());
    let id = std::mem::take(&mut endpoint.uid)
        .id()
        .or(std::mem::take(&mut endpoint.hw_info.0.serial_number).id())
        .or(hostname.clone())?;
    Some(Device {
        id,
        hostname,
        managed: endpoint.is_managed.0,
        fingerprint: endpoint.type_id.0 == Some(BROWSER),
    })
}

/// `auth_factor.factor_type_id` as a word.
fn method(factor: &AuthFactor<'_>) -> Option<Cow<'static, str>> {
    let word = match factor.factor_type_id.0? {
        1 => "sms",
        2 => "security_question",
        3 => "phone_call",
        4 => "biometric",
        5 => "push",
        6 => "hardware_token",
        7 => "otp",
        8 => "email",
        9 => "u2f",
        10 => "webauthn",
        _ => return None,
    };
    Some(Cow::Borrowed(word))
}
