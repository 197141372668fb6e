//! Google Workspace activities (Admin SDK Reports API): `login` and `saml`, and other applications as activity.
//!
//! One activity holds one or more `events`. Event and parameter names: Google, "Reports API: Login audit activity
//! events" and "SAML audit activity events".

use std::borrow::Cow;

use serde::Deserialize;

use super::leaf::{Flag, Many, Moment, Obj, Text, Words};
use super::reason::{ACTOR_NOT_A_PERSON, KIND_UNSUPPORTED, reject};
use super::{Rejection, Sink, address, envelope, person};
use crate::model::{Event, EventKind, Mfa, Outcome};

/// Decodes one activity; false if the object is none.
pub(super) fn decode<'a>(text: &'a str, sink: &mut Sink<'_, 'a>) -> Result<bool, Rejection> {
    let mut activity: Activity<'a> = envelope::parse(text)?;
    let events = std::mem::take(&mut activity.events.0);
    if events.is_empty() || activity.id.0.is_empty() {
        return Ok(false);
    }
    for (index, Obj(event)) in events.into_iter().enumerate() {
        sink.push(activity.event(index, event));
    }
    Ok(true)
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Activity<'a> {
    #[serde(borrow)]
    id: Obj<Id<'a>>,
    #[serde(borrow)]
    actor: Obj<Actor<'a>>,
    #[serde(borrow)]
    ip_address: Text<'a>,
    #[serde(borrow)]
    events: Many<Obj<Happening<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Id<'a> {
    #[serde(borrow)]
    time: Moment<'a>,
    #[serde(borrow)]
    unique_qualifier: Text<'a>,
    #[serde(borrow)]
    application_name: Text<'a>,
}

impl Id<'_> {
    fn is_empty(&self) -> bool {
        self.time.is_missing() && self.application_name.is_empty() && self.unique_qualifier.is_empty()
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Actor<'a> {
    #[serde(borrow)]
    caller_type: Text<'a>,
    #[serde(borrow)]
    email: Text<'a>,
    #[serde(borrow)]
    profile_id: Text<'a>,
    #[serde(borrow)]
    key: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Happening<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    parameters: Many<Obj<Parameter<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Parameter<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    value: Text<'a>,
    #[serde(borrow)]
    multi_value: Words<'a>,
    bool_value: Flag,
}

/// The parameters that matter, of whatever event.
#[derive(Default)]
struct Parameters<'a> {
    application: Text<'a>,
    challenge_method: Text<'a>,
    challenge_status: Text<'a>,
    affected_email: Text<'a>,
    is_second_factor: Option<bool>,
}

impl<'a> Parameters<'a> {
    fn read(parameters: Many<Obj<Parameter<'a>>>) -> Self {
        let mut known = Self::default();
        for Obj(parameter) in parameters.0 {
            let first = || {
                let values = parameter.multi_value.0.into_iter();
                let mut values = std::iter::once(parameter.value).chain(values);
                values.rfind(|value| !value.is_empty()).unwrap_or_default()
            };
            match parameter.name.as_str() {
                "application_name" | "app_name" => known.application = first(),
                "login_challenge_method" => known.challenge_method = first(),
                "login_challenge_status" => known.challenge_status = first(),
                "affected_email_address" => known.affected_email = first(),
                "is_second_factor" => known.is_second_factor = parameter.bool_value.0,
                _ => {}
            }
        }
        known
    }
}

impl<'a> Activity<'a> {
    fn event(&self, index: usize, happening: Happening<'a>) -> Result<Event<'a>, Rejection> {
        let actor = &self.actor.0;
        let parameters = Parameters::read(happening.parameters);
        let source_ip = address::first_public([self.ip_address.as_str()]);
        let name = happening.name.as_str();
        let (kind, interactive) = meaning(name, self.id.0.application_name.as_str(), source_ip.is_some())?;
        if actor.email.is_empty() && parameters.affected_email.is_empty() && !actor.key.is_empty() {
            return Err(reject(
                ACTOR_NOT_A_PERSON,
                "actor.key stands where a person's actor.email would; nothing to do",
            ));
        }
        let time_ms = self.id.0.time.ms("id.time")?;
        // A warning names the person it concerns; elsewhere the actor is the person.
        let person = if parameters.affected_email.is_empty() {
            person::resolve([actor.email.clone(), actor.profile_id.clone()], "actor.email")?
        } else {
            person::resolve([parameters.affected_email], "events.parameters.affected_email_address")?
        };
        let outcome = outcome(name, parameters.challenge_status.as_str());
        let mfa = mfa(kind, outcome, parameters.challenge_method, parameters.is_second_factor);
        Ok(Event {
            id: self.id_of(index),
            time_ms,
            kind,
            account: person.account,
            account_aliases: person.aliases,
            source_ip,
            outcome,
            device: None,
            session: None,
            app: parameters.application.description(),
            mfa,
            user_agent: None,
            vpn_ip: None,
            anonymizer: None,
            tool: None,
            peripheral: None,
            interactive: interactive && is_user(actor),
            product: Cow::Borrowed("google_workspace"),
        })
    }

    /// Google documents the qualifier as unique among activities of one time only; real tenants repeat it.
    fn id_of(&self, index: usize) -> Cow<'a, str> {
        let id = &self.id.0;
        let (time, qualifier) = (id.time.as_str(), id.unique_qualifier.as_str());
        if qualifier.is_empty() || time.len() + qualifier.len() > 200 {
            return Cow::Borrowed("");
        }
        Cow::Owned(format!("{time}/{qualifier}/{index}"))
    }
}

fn is_user(actor: &Actor<'_>) -> bool {
    actor.caller_type.is_empty() || actor.caller_type.as_str().eq_ignore_ascii_case("user")
}

fn meaning(name: &str, application: &str, has_address: bool) -> Result<(EventKind, bool), Rejection> {
    Ok(match name {
        "login_success" | "login_failure" | "login_challenge" | "login_verification" => (EventKind::Login, true),
        "logout" => (EventKind::Logout, true),
        "2sv_enroll" | "passkey_enrolled" | "titanium_enroll" => (EventKind::FactorEnrolled, true),
        "password_edit"
        | "recovery_email_edit"
        | "recovery_phone_edit"
        | "recovery_secret_qa_edit"
        | "email_forwarding_out_of_domain" => (EventKind::ProfileChanged, true),
        // A warning is about a sign-in that the log also holds; it must not count twice.
        warning if warning.starts_with("suspicious_") || warning.ends_with("_warning") => (EventKind::Activity, false),
        disabled if disabled.starts_with("account_disabled") => return Err(unsupported()),
        // OAuth grants and calls are made by applications, from their own addresses.
        _ if application == "token" => (EventKind::Activity, false),
        _ if has_address => (EventKind::Activity, true),
        _ => return Err(unsupported()),
    })
}

fn unsupported() -> Rejection {
    reject(
        KIND_UNSUPPORTED,
        "events.name is neither a sign-in nor a person's act from an address; nothing to do",
    )
}

fn outcome(name: &str, challenge_status: &str) -> Outcome {
    match name {
        "login_success" | "logout" => Outcome::Success,
        "login_failure" => Outcome::Failure,
        "login_challenge" | "login_verification" => {
            if challenge_status.starts_with("Challenge Passed") {
                Outcome::Success
            } else if challenge_status.starts_with("Challenge Failed") {
                Outcome::Failure
            } else {
                Outcome::Unknown
            }
        }
        warning if warning.starts_with("suspicious_") || warning.ends_with("_warning") => Outcome::Unknown,
        // Every other activity is logged once it has happened.
        _ => Outcome::Success,
    }
}

fn mfa(kind: EventKind, outcome: Outcome, method: Text<'_>, is_second_factor: Option<bool>) -> Option<Mfa<'_>> {
    if kind == EventKind::FactorEnrolled {
        return Some(Mfa {
            used: false,
            method: method.description(),
            factor: None,
        });
    }
    let method = method.description();
    let is_password = method.as_deref().is_none_or(|m| m == "password" || m == "none");
    let is_second = is_second_factor.unwrap_or(!is_password);
    (method.is_some() || is_second_factor.is_some()).then(|| Mfa {
        used: is_second && outcome == Outcome::Success,
        method,
        factor: None,
    })
}
