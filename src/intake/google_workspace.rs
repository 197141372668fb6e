//! Google Workspace activities (Admin SDK Reports API): `login` and `saml`, and other applications as activity.
//!
//! One activity holds one or more `events`. Event and parameter names: Google, "Reports API: Login audit activity
//! events" and "SAML audit activity events".

use std::borrow::Cow;

use super::leaf::{Flag, Many, Moment, Obj, Text, Words};
use super::reason::{ACTOR_NOT_A_PERSON, KIND_UNSUPPORTED, TOO_MANY_EVENTS, reject};
use super::walk::wire;
use super::{Rejection, Sink, address, envelope, person};
use crate::model::{Event, EventKind, Mfa, Outcome};

/// Decodes one activity; false if the object is none.
pub(super) fn decode<'a>(text: &'a str, sink: &mut Sink<'_, 'a>) -> Result<bool, Rejection> {
    let mut activity = Activity::default();
    envelope::read(text, &mut activity)?;
    let events = std::mem::take(&mut activity.events);
    if events.items.is_empty() || activity.id.0.is_empty() {
        return Ok(false);
    }
    if events.is_cut {
        return Err(reject(
            TOO_MANY_EVENTS,
            format!(
                "more than {} events in one activity; check the source",
                events.items.len()
            ),
        ));
    }
    for (index, Obj(event)) in events.items.into_iter().enumerate() {
        sink.push(activity.event(index, event));
    }
    Ok(true)
}

wire! {
    struct Activity {
        id: Obj<Id<'a>>,
        actor: Obj<Actor<'a>>,
        "ipAddress" ip_address: Text<'a>,
        events: Many<Obj<Happening<'a>>>,
    }

    struct Id {
        time: Moment<'a>,
        "uniqueQualifier" unique_qualifier: Text<'a>,
        "applicationName" application_name: Text<'a>,
    }
}

impl Id<'_> {
    fn is_empty(&self) -> bool {
        self.time.is_missing() && self.application_name.is_empty() && self.unique_qualifier.is_empty()
    }
}

wire! {
    struct Actor {
        "callerType" caller_type: Text<'a>,
        email: Text<'a>,
        "profileId" profile_id: Text<'a>,
        key: Text<'a>,
    }

    struct Happening {
        name: Text<'a>,
        parameters: Many<Obj<Parameter<'a>>>,
    }

    struct Parameter {
        name: Text<'a>,
        value: Text<'a>,
        "multiValue" multi_value: Words<'a>,
        "boolValue" bool_value: Flag,
    }
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
        for Obj(parameter) in parameters.items {
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
        let source_ip = address::source([self.ip_address.as_str()]);
        let name = happening.name.as_str();
        let (kind, interactive) = meaning(
            name,
            self.id.0.application_name.as_str(),
            source_ip.is_some_and(address::is_public),
        )?;
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
            id: self.id_of(index, name),
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

    /// Google calls the qualifier unique among activities of one time, yet a sign-in and its verification share it.
    fn id_of(&self, index: usize, name: &str) -> Cow<'a, str> {
        let id = &self.id.0;
        let (time, qualifier) = (id.time.as_str(), id.unique_qualifier.as_str());
        if qualifier.is_empty() || time.len() + qualifier.len() + name.len() > 200 {
            return Cow::Borrowed("");
        }
        Cow::Owned(format!("{time}/{qualifier}/{name}/{index}"))
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
            // Documented as `Challenge Passed.`; tenants also log `passed` and `incorrect_answer_entered`.
            let says = |word: &str| contains(challenge_status, word);
            if says("passed") {
                Outcome::Success
            } else if says("failed") || says("incorrect") {
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

/// Whether `text` holds `word`, whatever its case.
fn contains(text: &str, word: &str) -> bool {
    text.as_bytes()
        .windows(word.len())
        .any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::{Format, decode};

    fn activity(application: &str, address: &str, events: &str) -> String {
        format!(
            r#"{{"id":{{"time":"2026-03-04T05:06:07.089Z","uniqueQualifier":"-77","applicationName":"{application}"}},
            "actor":{{"email":"Ann@corp.example","profileId":"1177"}},"ipAddress":"{address}","events":{events}}}"#
        )
    }

    fn check(record: &str, assert: impl FnOnce(Vec<Result<Event<'_>, Rejection>>)) {
        let mut events = Vec::new();
        decode(Format::GoogleWorkspace, record.as_bytes(), &mut |_, event| {
            events.push(event);
        })
        .unwrap();
        assert(events);
    }

    #[test]
    fn a_sign_in_names_person_place_and_second_factor() {
        let parameters = r#"[{"name":"login_challenge_method","multiValue":["password","google_authenticator"]}]"#;
        let record = activity(
            "login",
            "2001:db8::7",
            &format!(r#"[{{"name":"login_success","parameters":{parameters}}}]"#),
        );
        check(&record, |events| {
            let event = events[0].as_ref().unwrap();
            assert_eq!(event.account.as_str(), "ann@corp.example");
            assert_eq!(event.account_aliases[0].as_str(), "1177");
            assert_eq!(event.source_ip, Some("2001:db8::7".parse().unwrap()));
            assert_eq!(
                (event.kind, event.outcome, event.interactive),
                (EventKind::Login, Outcome::Success, true)
            );
            let mfa = event.mfa.as_ref().unwrap();
            assert_eq!((mfa.used, mfa.method.as_deref()), (true, Some("google_authenticator")));
        });
    }

    #[test]
    fn events_of_one_activity_have_ids_of_their_own() {
        let record = activity(
            "login",
            "203.0.113.7",
            r#"[{"name":"login_success"},{"name":"logout"},{"name":"logout"}]"#,
        );
        check(&record, |events| {
            let mut ids: Vec<_> = events.iter().map(|event| event.as_ref().unwrap().id.clone()).collect();
            assert_eq!(ids.len(), 3);
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), 3);
        });
    }

    #[test]
    fn a_challenge_tells_its_outcome_in_any_spelling() {
        for (status, outcome) in [
            ("Challenge Passed.", Outcome::Success),
            ("passed", Outcome::Success),
            ("Challenge Failed.", Outcome::Failure),
            ("incorrect_answer_entered", Outcome::Failure),
            ("", Outcome::Unknown),
        ] {
            let parameters = format!(r#"{{"name":"login_challenge_status","value":"{status}"}}"#);
            let events = format!(r#"{{"name":"login_challenge","parameters":{parameters}}}"#);
            check(&activity("login", "203.0.113.7", &events), |events| {
                assert_eq!(events[0].as_ref().unwrap().outcome, outcome, "{status}");
            });
        }
    }

    #[test]
    fn a_warning_is_no_second_sign_in_and_names_whom_it_concerns() {
        let events = r#"{"name":"suspicious_login","parameters":
            [{"name":"affected_email_address","value":"bob@corp.example"}]}"#;
        check(&activity("login", "203.0.113.7", events), |events| {
            let event = events[0].as_ref().unwrap();
            assert_eq!(
                (event.account.as_str(), event.kind),
                ("bob@corp.example", EventKind::Activity)
            );
            assert!(!event.interactive);
        });
    }

    #[test]
    fn changes_and_unrelated_activities_are_told_apart() {
        for (application, name, address, kind) in [
            ("login", "2sv_enroll", "203.0.113.7", Ok(EventKind::FactorEnrolled)),
            (
                "login",
                "recovery_phone_edit",
                "203.0.113.7",
                Ok(EventKind::ProfileChanged),
            ),
            ("drive", "view", "203.0.113.7", Ok(EventKind::Activity)),
            ("drive", "view", "10.0.0.7", Err("kind_unsupported")),
            (
                "login",
                "account_disabled_hijacked",
                "203.0.113.7",
                Err("kind_unsupported"),
            ),
        ] {
            check(
                &activity(application, address, &format!(r#"[{{"name":"{name}"}}]"#)),
                |events| {
                    let found = events[0].as_ref().map(|e| e.kind).map_err(|r| r.reason);
                    assert_eq!(found, kind, "{name}");
                },
            );
        }
    }

    #[test]
    fn an_application_key_is_no_person() {
        let record = activity("admin", "203.0.113.7", r#"[{"name":"CHANGE"}]"#).replace(
            r#""email":"Ann@corp.example""#,
            r#""callerType":"KEY","key":"consumer""#,
        );
        check(&record, |events| {
            assert_eq!(events[0].as_ref().unwrap_err().reason, "actor_not_a_person");
        });
    }
}
