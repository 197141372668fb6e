//! Google Workspace activities (Admin SDK Reports API): `login` and `saml`, and other applications as activity.
//!
//! One activity holds one or more `events`. Event and parameter names: Google, "Reports API: Login audit activity
//! events" and "SAML audit activity events".

use std::borrow::Cow;

use super::fields::{LIST_MAX, wire};
use super::reason::{ACTOR_NOT_A_PERSON, KIND_UNSUPPORTED, TOO_MANY_EVENTS, reject};
use super::values::{Place, Values};
use super::{Rejection, Sink, address, person};
use crate::model::event_id::EventId;
use crate::model::{Event, EventKind, Mfa, Outcome};

/// The profile of every actor that is no user of the Workspace: Google, "Reports API: activities.list", `profileId`.
const PROFILE_OF_NO_USER: &str = "105250506097979753968";

/// Decodes one activity; false if the object is none.
#[inline]
pub(super) fn decode<'a>(
    activity: &Activity,
    values: Values<'_, 'a>,
    sink: &mut Sink<'_, 'a>,
) -> Result<bool, Rejection> {
    let id = &activity.id;
    let has_id = [id.time, id.application_name, id.unique_qualifier]
        .into_iter()
        .any(|place| !values.is_empty(place));
    if activity.events.is_empty() || !has_id {
        return Ok(false);
    }
    if activity.events.len() > LIST_MAX {
        return Err(reject(
            TOO_MANY_EVENTS,
            format!("more than {LIST_MAX} events in one activity; check the source"),
        ));
    }
    let source = Source { activity, values };
    for (index, event) in activity.events.iter().enumerate() {
        sink.push(source.event(index, event));
    }
    Ok(true)
}

wire! {
    struct Activity {
        id: Id,
        actor: Actor,
        "ipAddress" ip_address: Place,
        events: Vec<Happening>,
    }

    struct Id {
        time: Place,
        "uniqueQualifier" unique_qualifier: Place,
        "applicationName" application_name: Place,
    }

    struct Actor {
        "callerType" caller_type: Place,
        email: Place,
        "profileId" profile_id: Place,
        key: Place,
        "applicationInfo" application_info: ApplicationInfo,
    }

    struct ApplicationInfo {
        "oauthClientId" oauth_client_id: Place,
        "applicationName" application_name: Place,
        impersonation: Place,
    }

    struct Happening {
        name: Place,
        parameters: Vec<Parameter>,
    }

    struct Parameter {
        name: Place,
        value: Place,
        "multiValue" multi_value: Vec<Place>,
        "boolValue" bool_value: Place,
    }
}

/// The parameters that matter, of whatever event.
#[derive(Default)]
struct Parameters {
    application: Place,
    challenge_method: Place,
    challenge_status: Place,
    affected_email: Place,
    is_second_factor: Place,
}

impl Parameters {
    fn read(parameters: &[Parameter], values: Values<'_, '_>) -> Self {
        let mut known = Self::default();
        for parameter in parameters {
            // Of several values the last is the method that decided.
            let last = || {
                let mut given = std::iter::once(&parameter.value).chain(&parameter.multi_value);
                given
                    .rfind(|place| !values.is_empty(**place))
                    .copied()
                    .unwrap_or_default()
            };
            match &*values.text(parameter.name) {
                "application_name" | "app_name" => known.application = last(),
                "login_challenge_method" => known.challenge_method = last(),
                "login_challenge_status" => known.challenge_status = last(),
                "affected_email_address" => known.affected_email = last(),
                "is_second_factor" => known.is_second_factor = parameter.bool_value,
                _ => {}
            }
        }
        known
    }
}

/// An activity and its values.
#[derive(Clone, Copy)]
struct Source<'r, 'a> {
    activity: &'r Activity,
    values: Values<'r, 'a>,
}

impl<'a> Source<'_, 'a> {
    fn event(self, index: usize, happening: &Happening) -> Result<Event<'a>, Rejection> {
        let Self { activity, values } = self;
        let actor = &activity.actor;
        let parameters = Parameters::read(&happening.parameters, values);
        let source_ip = values.address(activity.ip_address);
        let name = values.text(happening.name);
        let (kind, interactive) = meaning(
            &name,
            &values.text(activity.id.application_name),
            source_ip.is_some_and(address::is_public),
        )?;
        let names_another = !values.is_empty(parameters.affected_email);
        let is_no_user = values.text(actor.profile_id) == PROFILE_OF_NO_USER;
        if values.is_empty(actor.email) && !names_another && (is_no_user || !values.is_empty(actor.key)) {
            return Err(reject(
                ACTOR_NOT_A_PERSON,
                "actor has a key or a placeholder's profileId, and no email as a person would; nothing to do",
            ));
        }
        let is_about_another = names_another
            && !values
                .text(parameters.affected_email)
                .trim()
                .eq_ignore_ascii_case(values.text(actor.email).trim());
        let time_ms = values.ms(activity.id.time, "id.time")?;
        // A warning names the person it concerns; elsewhere the actor is the person.
        let person = if names_another {
            let affected = values.text(parameters.affected_email);
            person::resolve([affected], "events.parameters.affected_email_address")?
        } else {
            let profile_id = if is_no_user { Place::default() } else { actor.profile_id };
            let names = [actor.email, profile_id];
            person::resolve(values.texts(&names), "actor.email")?
        };
        let outcome = outcome(&name, &values.text(parameters.challenge_status));
        Ok(Event {
            id: self.id_of(index, &name),
            time_ms,
            kind,
            account: person.account,
            account_aliases: person.aliases,
            source_ip,
            outcome,
            device: None,
            session: None,
            app: values.description(parameters.application),
            mfa: mfa(
                kind,
                outcome,
                values.description(parameters.challenge_method),
                values.flag(parameters.is_second_factor),
            ),
            user_agent: None,
            vpn_ip: None,
            anonymizer: None,
            tool: None,
            peripheral: None,
            interactive: interactive && self.is_user() && !is_about_another,
            product: Cow::Borrowed("google_workspace"),
        })
    }

    /// Google calls the qualifier unique among activities of one time, yet a sign-in and its verification share it.
    fn id_of(self, index: usize, name: &str) -> EventId {
        let id = &self.activity.id;
        let (time, qualifier) = (self.values.text(id.time), self.values.text(id.unique_qualifier));
        if qualifier.is_empty() || time.len() + qualifier.len() + name.len() > 200 {
            return EventId::default();
        }
        let number = match index {
            0 => Cow::Borrowed("0"),
            more => Cow::Owned(more.to_string()),
        };
        EventId::of([&*time, &*qualifier, name, &*number].join("/").into())
    }

    /// Whether the person acted, and no application in the person's name: that acts from wherever it runs.
    fn is_user(self) -> bool {
        let Self { activity, values } = self;
        let caller_type = values.text(activity.actor.caller_type);
        let application = &activity.actor.application_info;
        let is_application = !values.is_empty(application.oauth_client_id)
            || !values.is_empty(application.application_name)
            || values.flag(application.impersonation) == Some(true);
        !is_application && (caller_type.is_empty() || caller_type.eq_ignore_ascii_case("user"))
    }
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
        warning if is_warning(warning) => (EventKind::Activity, false),
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
        warning if is_warning(warning) => Outcome::Unknown,
        // Context-aware access logs what it denies, and the login application what it stopped the person from doing.
        denial if denial.starts_with("ACCESS_DENY") || denial.ends_with("_blocked") => Outcome::Failure,
        // Every other activity is logged once it has happened.
        _ => Outcome::Success,
    }
}

/// Whether the event is what Google thinks of the account, and nobody's act.
fn is_warning(name: &str) -> bool {
    name.starts_with("suspicious_")
        || name.ends_with("_warning")
        || name == "user_signed_out_due_to_suspicious_session_cookie"
}

/// Whether `text` holds `word`, whatever its case.
fn contains(text: &str, word: &str) -> bool {
    text.as_bytes()
        .windows(word.len())
        .any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

fn mfa<'a>(
    kind: EventKind,
    outcome: Outcome,
    method: Option<Cow<'a, str>>,
    is_second_factor: Option<bool>,
) -> Option<Mfa<'a>> {
    if kind == EventKind::FactorEnrolled {
        return Some(Mfa {
            used: false,
            method,
            factor: None,
        });
    }
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
    fn what_an_application_does_for_a_person_places_nobody() {
        let download = activity("drive", "203.0.113.7", r#"[{"name":"download"}]"#);
        check(&download, |events| assert!(events[0].as_ref().unwrap().interactive));
        for info in [
            r#"{"oauthClientId":"7","applicationName":"Backup","impersonation":true}"#,
            r#"{"oauthClientId":"7"}"#,
            r#"{"applicationName":"Backup"}"#,
            r#"{"impersonation":true}"#,
        ] {
            let by_application =
                download.replace(r#""profileId""#, &format!(r#""applicationInfo":{info},"profileId""#));
            check(&by_application, |events| {
                let event = events[0].as_ref().unwrap();
                assert_eq!((event.kind, event.interactive), (EventKind::Activity, false), "{info}");
            });
        }
    }

    #[test]
    fn what_one_does_to_another_places_neither() {
        for (affected, interactive) in [("bob@corp.example", false), ("ANN@corp.example", true)] {
            let events = format!(
                r#"{{"name":"2sv_enroll","parameters":{{"name":"affected_email_address","value":"{affected}"}}}}"#
            );
            check(&activity("login", "203.0.113.7", &events), |events| {
                let event = events[0].as_ref().unwrap();
                assert_eq!(event.account.as_str(), affected.to_lowercase());
                assert_eq!(event.interactive, interactive, "{affected}");
            });
        }
    }

    #[test]
    fn what_was_denied_failed_and_what_google_did_is_nobodys_act() {
        for (application, name, outcome, interactive) in [
            ("context_aware_access", "ACCESS_DENY_EVENT", Outcome::Failure, true),
            (
                "context_aware_access",
                "ACCESS_DENY_INTERNAL_ERROR_EVENT",
                Outcome::Failure,
                true,
            ),
            ("login", "risky_sensitive_action_blocked", Outcome::Failure, true),
            ("login", "risky_sensitive_action_allowed", Outcome::Success, true),
            (
                "login",
                "user_signed_out_due_to_suspicious_session_cookie",
                Outcome::Unknown,
                false,
            ),
        ] {
            check(
                &activity(application, "203.0.113.7", &format!(r#"[{{"name":"{name}"}}]"#)),
                |events| {
                    let event = events[0].as_ref().unwrap();
                    assert_eq!(
                        (event.kind, event.outcome, event.interactive),
                        (EventKind::Activity, outcome, interactive),
                        "{name}"
                    );
                },
            );
        }
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
    fn the_profile_of_no_user_names_nobody() {
        for profile in ["105250506097979753968", r#""105250506097979753968""#] {
            let record =
                activity("login", "203.0.113.7", r#"[{"name":"login_success"}]"#).replace(r#""1177""#, profile);
            check(&record, |events| {
                let event = events[0].as_ref().unwrap();
                assert_eq!(event.account.as_str(), "ann@corp.example");
                assert!(event.account_aliases.is_empty(), "{profile}");
            });
            check(&record.replace("Ann@corp.example", ""), |events| {
                assert_eq!(
                    events[0].as_ref().unwrap_err().reason,
                    "actor_not_a_person",
                    "{profile}"
                );
            });
        }
        let another = r#"[{"name":"suspicious_login","parameters":
            [{"name":"affected_email_address","value":"bob@corp.example"}]}]"#;
        let record = activity("login", "203.0.113.7", another)
            .replace("1177", "105250506097979753968")
            .replace("Ann@corp.example", "");
        check(&record, |events| {
            assert_eq!(events[0].as_ref().unwrap().account.as_str(), "bob@corp.example");
        });
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
