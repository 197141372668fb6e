//! Okta System Log events.
//!
//! The actor is the person; `target` may be null or somebody else. Source: Okta developer documentation,
//! "System Log API" and "Event types".

use std::borrow::Cow;
use std::net::IpAddr;

use super::fields::wire;
use super::reason::{ACTOR_NOT_A_PERSON, KIND_UNSUPPORTED, reject};
use super::values::{Place, Values};
use super::{Rejection, Sink, address, person, tools, walk};
use crate::model::event_id::EventId;
use crate::model::{Device, Event, EventKind, Mfa, Outcome};

/// Decodes one System Log event; false if the object is none.
#[inline]
pub(super) fn decode<'a>(record: &Record, values: Values<'_, 'a>, sink: &mut Sink<'_, 'a>) -> Result<bool, Rejection> {
    let event_type = values.text(record.event_type);
    // An event hook carries an `eventType` of its own around `data.events`.
    if event_type.is_empty() || event_type == "com.okta.event_hook" {
        return Ok(false);
    }
    sink.push_or_refuse(Source { record, values }.event(&event_type))
}

wire! {
    struct Record {
        uuid: Place,
        published: Place,
        "eventType" event_type: Place,
        outcome: Verdict,
        actor: Party,
        client: Client,
        device: Endpoint,
        request: Request,
        "authenticationContext" authentication_context: AuthenticationContext,
        transaction: Transaction,
        "securityContext" security_context: SecurityContext,
        "debugContext" debug_context: DebugContext,
        target: Vec<Party>,
    }

    struct Verdict {
        result: Place,
    }

    struct Party {
        id: Place,
        "type" kind: Place,
        "alternateId" alternate_id: Place,
        "displayName" display_name: Place,
    }

    struct Client {
        "ipAddress" ip_address: Place,
        "userAgent" user_agent: UserAgent,
    }

    struct UserAgent {
        "rawUserAgent" raw_user_agent: Place,
    }

    struct Endpoint {
        id: Place,
        name: Place,
        managed: Place,
    }

    struct Request {
        "ipChain" ip_chain: Vec<Hop>,
    }

    struct Hop {
        ip: Place,
    }

    struct AuthenticationContext {
        "externalSessionId" external_session_id: Place,
        "rootSessionId" root_session_id: Place,
    }

    struct Transaction {
        "type" kind: Place,
        detail: TransactionDetail,
    }

    struct TransactionDetail {
        "requestApiTokenId" request_api_token_id: Place,
    }

    struct SecurityContext {
        "isProxy" is_proxy: Place,
    }

    struct DebugContext {
        "debugData" debug_data: DebugData,
    }

    struct DebugData {
        "dtHash" dt_hash: Place,
        "deviceFingerprint" device_fingerprint: Place,
        factor: Place,
        tunnels: Place,
    }
}

/// What an event type means here.
struct Meaning {
    kind: EventKind,
    interactive: bool,
}

/// A record and its values.
#[derive(Clone, Copy)]
struct Source<'r, 'a> {
    record: &'r Record,
    values: Values<'r, 'a>,
}

impl<'a> Source<'_, 'a> {
    #[inline]
    fn event(self, event_type: &str) -> Result<Event<'a>, Rejection> {
        let Self { record, values } = self;
        let actor = &record.actor;
        if !values.is_empty(actor.kind) && !values.text(actor.kind).eq_ignore_ascii_case("user") {
            return Err(reject(
                ACTOR_NOT_A_PERSON,
                "actor.type is not User; nothing to do, clients and systems sign in from anywhere",
            ));
        }
        let source_ip = self.source_ip();
        // What runs by itself, or with a person's token from wherever automation runs.
        let transaction = &record.transaction;
        let is_automated =
            values.text(transaction.kind) == "JOB" || !values.is_empty(transaction.detail.request_api_token_id);
        let mut meaning = meaning(event_type, source_ip.is_some_and(address::is_public) && !is_automated)?;
        let is_password = self.is_password();
        if meaning.kind == EventKind::FactorEnrolled && is_password {
            meaning.kind = EventKind::ProfileChanged;
        }
        if matches!(meaning.kind, EventKind::FactorEnrolled | EventKind::ProfileChanged) && self.is_about_another() {
            // An administrator changed somebody's factor: it places the administrator, not that person.
            meaning.kind = EventKind::Activity;
        }
        meaning.interactive &= !is_automated || matches!(meaning.kind, EventKind::Login | EventKind::Logout);
        let outcome = outcome(&values.text(record.outcome.result));
        let debug = &record.debug_context.debug_data;
        // Elsewhere the factor is the one that was changed, of whomever.
        let speaks_of_mfa = event_type == "user.authentication.auth_via_mfa"
            || !values.is_empty(debug.factor) && meaning.kind == EventKind::Login;
        let time_ms = values.ms(record.published, "published")?;
        let names = [actor.alternate_id, actor.id];
        let person = person::resolve(values.texts(&names), "actor.alternateId")?;
        let mfa = (speaks_of_mfa || meaning.kind == EventKind::FactorEnrolled).then(|| Mfa {
            used: speaks_of_mfa && !is_password && outcome == Outcome::Success,
            method: values.description(debug.factor),
            factor: self
                .enrollments()
                .find_map(|target| values.id(target.id))
                .filter(|_| !is_password),
        });
        let session = &record.authentication_context;
        Ok(Event {
            id: values.id(record.uuid).map(EventId::of).unwrap_or_default(),
            time_ms,
            kind: meaning.kind,
            account: person.account,
            account_aliases: person.aliases,
            source_ip,
            outcome,
            device: self.device(),
            session: (values.id(session.external_session_id)).or_else(|| values.id(session.root_session_id)),
            // The application signed in to.
            app: (self.target("AppInstance")).find_map(|target| values.description(target.display_name)),
            mfa,
            user_agent: values.description(record.client.user_agent.raw_user_agent),
            vpn_ip: None,
            anonymizer: self.anonymizer(),
            tool: None,
            peripheral: None,
            interactive: meaning.interactive,
            product: Cow::Borrowed("okta"),
        })
    }

    fn source_ip(self) -> Option<IpAddr> {
        let Self { record, values } = self;
        let hops = record.request.ip_chain.iter().map(|hop| hop.ip);
        let addresses = std::iter::once(record.client.ip_address).chain(hops);
        address::source(addresses.filter_map(|place| values.address(place)))
    }

    /// The targets of that type.
    fn target(&self, kind: &str) -> impl Iterator<Item = &Party> {
        let of_kind = move |target: &&Party| self.values.text(target.kind) == kind;
        self.record.target.iter().filter(of_kind)
    }

    /// The second factors that were used or changed.
    fn enrollments(&self) -> impl Iterator<Item = &Party> {
        let is_password = |target: &Party| self.values.text(target.display_name).eq_ignore_ascii_case("password");
        self.target("AuthenticatorEnrollment")
            .filter(move |target| !is_password(target))
    }

    /// Whether the factor that the record speaks of is the password: the Identity Engine logs it as any other.
    fn is_password(&self) -> bool {
        let factor = self.values.text(self.record.debug_context.debug_data.factor);
        if factor.is_empty() {
            return self.target("AuthenticatorEnrollment").next().is_some() && self.enrollments().next().is_none();
        }
        ["PASSWORD_AS_FACTOR", "PASSWORD"]
            .iter()
            .any(|name| factor.eq_ignore_ascii_case(name))
    }

    /// Whether users were acted on, and the actor is none of them.
    fn is_about_another(&self) -> bool {
        let (actor, text) = (&self.record.actor, |place| self.values.text(place));
        let is_actor =
            |user: &Party| text(user.id) == text(actor.id) || text(user.alternate_id) == text(actor.alternate_id);
        self.target("User").next().is_some() && !self.target("User").any(is_actor)
    }

    fn device(self) -> Option<Device<'a>> {
        let Self { record, values } = self;
        if let Some(id) = values.id(record.device.id) {
            return Some(Device {
                id,
                hostname: values.description(record.device.name),
                managed: values.flag(record.device.managed),
                fingerprint: false,
            });
        }
        let debug = &record.debug_context.debug_data;
        let id = values
            .id(debug.dt_hash)
            .or_else(|| values.id(debug.device_fingerprint))?;
        Some(Device {
            id,
            hostname: None,
            managed: None,
            fingerprint: true,
        })
    }

    /// The brand in `debugData.tunnels`, which is JSON inside a string; else `proxy` where Okta knows only that.
    fn anonymizer(self) -> Option<Cow<'a, str>> {
        let Self { record, values } = self;
        let tunnels = record.debug_context.debug_data.tunnels;
        let listed = if values.is_empty(tunnels) {
            None
        } else {
            brand(&values.text(tunnels))
        };
        let is_proxy = || values.flag(record.security_context.is_proxy) == Some(true);
        listed.or_else(|| is_proxy().then_some(Cow::Borrowed("proxy")))
    }
}

/// Chooses from Okta's event-type catalog; what it does not name is activity if a person acted from an address.
fn meaning(event_type: &str, acted_from_an_address: bool) -> Result<Meaning, Rejection> {
    let (kind, interactive) = match event_type {
        "user.session.start" | "user.authentication.sso" | "user.authentication.verify" => (EventKind::Login, true),
        "user.session.end" | "user.authentication.slo" => (EventKind::Logout, true),
        "user.session.expire" => (EventKind::Logout, false),
        "user.mfa.factor.activate" | "user.mfa.factor.update" => (EventKind::FactorEnrolled, true),
        // A policy is evaluated before any credential is proved, so it places nobody.
        "policy.evaluate_sign_on" => (EventKind::Activity, false),
        other if other.starts_with("user.authentication.auth") => (EventKind::Login, true),
        other if other.starts_with("user.account.update_") => (EventKind::ProfileChanged, true),
        // Token grants and the service's own steps run without the person.
        other if other.starts_with("app.oauth2.") || other.starts_with("system.") => (EventKind::Activity, false),
        other if is_oktas_finding(other) => (EventKind::Activity, false),
        _ if acted_from_an_address => (EventKind::Activity, true),
        _ => {
            return Err(reject(
                KIND_UNSUPPORTED,
                "eventType is neither a sign-in nor a person's act from an address; nothing to do",
            ));
        }
    };
    Ok(Meaning { kind, interactive })
}

/// Whether Okta tells what it found or stopped. The person is named, yet the address is often that of somebody else.
fn is_oktas_finding(event_type: &str) -> bool {
    const FINDINGS: [&str; 11] = [
        "policy.auth_reevaluate.",
        "policy.continuous_access.",
        "policy.entity_risk.",
        "security.attack.",
        "security.breached_credential.",
        "security.events.",
        "security.request.",
        "security.session.",
        "security.threat.detected",
        "user.account.lock",
        "user.mfa.okta_verify.deny_push",
    ];
    FINDINGS.iter().any(|begin| event_type.starts_with(begin))
}

fn outcome(result: &str) -> Outcome {
    match result {
        "SUCCESS" | "ALLOW" => Outcome::Success,
        "FAILURE" | "DENY" => Outcome::Failure,
        _ => Outcome::Unknown,
    }
}

wire! {
    struct Tunnel {
        operator: Place,
        "type" kind: Place,
        anonymous: Place,
    }
}

/// The first brand in a list of tunnels.
fn brand(tunnels: &str) -> Option<Cow<'static, str>> {
    let (mut listed, mut spans) = (Vec::<Tunnel>::new(), Vec::new());
    walk::read(tunnels, &mut listed, &mut spans).ok()?;
    let values = Values::new(tunnels, &spans);
    listed.iter().find_map(|tunnel| {
        let kind = values.text(tunnel.kind);
        let hides = values.flag(tunnel.anonymous).unwrap_or(false) || !kind.is_empty();
        tools::brand(&values.text(tunnel.operator)).or_else(|| hides.then(|| tools::brand(&kind)).flatten())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::{Format, decode};

    fn record(event_type: &str, extra: &str) -> String {
        format!(
            r#"{{"uuid":"0a-1","published":"2026-03-04T05:06:07.089Z","eventType":"{event_type}",
            "outcome":{{"result":"SUCCESS"}},"actor":{{"id":"00u7","type":"User","alternateId":"Ann@corp.example"}},
            "client":{{"ipAddress":"203.0.113.7","userAgent":{{"rawUserAgent":"UA/1"}}}}{extra}}}"#
        )
    }

    fn check(record: &str, assert: impl FnOnce(Result<Event<'_>, Rejection>)) {
        let mut events = Vec::new();
        let outcome = decode(Format::Okta, record.as_bytes(), &mut |_, event| events.push(event));
        assert(outcome.and_then(|()| events.remove(0)));
    }

    #[test]
    fn the_person_is_the_actor_never_the_target() {
        for target in [
            r#","target":null"#,
            r#","target":[{"type":"User","id":"00u9","alternateId":"eve@corp.example"}]"#,
        ] {
            check(&record("user.session.start", target), |event| {
                let event = event.unwrap();
                assert_eq!(
                    (event.account.as_str(), event.kind),
                    ("ann@corp.example", EventKind::Login)
                );
                assert_eq!(event.account_aliases[0].as_str(), "00u7");
                assert_eq!(event.id.to_string(), "0a-1");
            });
        }
    }

    #[test]
    fn the_first_public_address_of_the_chain_is_the_source() {
        let chain = r#","request":{"ipChain":[{"ip":"10.0.0.7"},{"ip":"198.51.100.9:443"},{"ip":"192.0.2.1"}]}"#;
        let hidden = record("user.session.start", chain).replace("203.0.113.7", "10.0.0.7");
        check(&hidden, |event| {
            assert_eq!(event.unwrap().source_ip, Some("198.51.100.9".parse().unwrap()));
        });
        check(
            &record("user.session.start", "").replace("203.0.113.7", "10.0.0.7"),
            |event| {
                assert_eq!(
                    event.unwrap().source_ip,
                    address::parse("10.0.0.7"),
                    "the only one there is"
                );
            },
        );
    }

    #[test]
    fn a_managed_device_comes_before_a_fingerprint() {
        let debug = r#","debugContext":{"debugData":{"dtHash":"ab12","risk":"{level=LOW}","threatSuspected":"true"}}"#;
        check(&record("user.session.start", debug), |event| {
            let device = event.unwrap().device.unwrap();
            assert_eq!((device.id.as_ref(), device.fingerprint), ("ab12", true));
        });
        let both = format!(r#"{debug},"device":{{"id":"guo1","name":"LT-7","managed":true}}"#);
        check(&record("user.session.start", &both), |event| {
            let device = event.unwrap().device.unwrap();
            assert_eq!(
                (device.id.as_ref(), device.fingerprint, device.managed),
                ("guo1", false, Some(true))
            );
        });
    }

    #[test]
    fn a_tunnel_gives_its_brand() {
        let tunnels = r#"[{\"anonymous\":true,\"operator\":\"ASTRILL_VPN\",\"type\":\"VPN\"}]"#;
        for (context, brand) in [
            (
                format!(r#","debugContext":{{"debugData":{{"tunnels":"{tunnels}"}}}}"#),
                Some("Astrill"),
            ),
            (r#","securityContext":{"isProxy":true}"#.to_owned(), Some("proxy")),
            (r#","securityContext":{"isProxy":false}"#.to_owned(), None),
            (
                r#","debugContext":{"debugData":{"tunnels":"broken ["}}"#.to_owned(),
                None,
            ),
        ] {
            check(&record("user.session.start", &context), |event| {
                assert_eq!(event.unwrap().anonymizer.as_deref(), brand, "{context}");
            });
        }
    }

    #[test]
    fn event_types_come_to_their_kinds() {
        for (event_type, kind, interactive) in [
            ("user.authentication.sso", EventKind::Login, true),
            ("user.authentication.auth_via_mfa", EventKind::Login, true),
            ("user.session.end", EventKind::Logout, true),
            ("user.mfa.factor.activate", EventKind::FactorEnrolled, true),
            ("user.account.update_profile", EventKind::ProfileChanged, true),
            ("policy.evaluate_sign_on", EventKind::Activity, false),
            ("app.oauth2.as.token.grant.refresh_token", EventKind::Activity, false),
            ("application.user_membership.add", EventKind::Activity, true),
            ("user.authentication.slo", EventKind::Logout, true),
            ("security.zone.create", EventKind::Activity, true),
            ("security.threat.detected", EventKind::Activity, false),
            ("security.request.blocked", EventKind::Activity, false),
            ("security.session.detect_client_roaming", EventKind::Activity, false),
            ("policy.auth_reevaluate.fail", EventKind::Activity, false),
            ("user.account.lock", EventKind::Activity, false),
            ("user.mfa.okta_verify.deny_push", EventKind::Activity, false),
        ] {
            check(&record(event_type, ""), |event| {
                let event = event.unwrap();
                assert_eq!((event.kind, event.interactive), (kind, interactive), "{event_type}");
            });
        }
        let helped = r#","debugContext":{"debugData":{"factor":"OKTA_VERIFY_PUSH"}},"target":[
            {"type":"User","id":"00u9","alternateId":"bob@corp.example"},{"type":"AuthenticatorEnrollment","id":"pfd1"}]"#;
        check(&record("user.mfa.factor.activate", helped), |event| {
            let event = event.unwrap();
            assert_eq!(
                (event.kind, event.mfa),
                (EventKind::Activity, None),
                "that factor is bob's"
            );
        });
        let own = helped.replace("bob@corp.example", "Ann@corp.example");
        check(&record("user.mfa.factor.activate", &own), |event| {
            let mfa = event.unwrap().mfa.unwrap();
            assert_eq!(
                (mfa.used, mfa.factor.as_deref()),
                (false, Some("pfd1")),
                "enrolled, not used"
            );
        });
        let placeless = record("group.lifecycle.create", "").replace("203.0.113.7", "");
        check(&placeless, |event| {
            assert_eq!(event.unwrap_err().reason, "kind_unsupported");
        });
    }

    #[test]
    fn what_a_token_does_places_nobody_and_a_sign_in_by_it_does() {
        let token = r#","transaction":{"type":"WEB","id":"w1","detail":{"requestApiTokenId":"00T1"}}"#;
        check(&record("group.user_membership.add", token), |event| {
            assert_eq!(event.unwrap_err().reason, "kind_unsupported");
        });
        for own in ["user.account.update_profile", "user.mfa.factor.activate"] {
            check(&record(own, token), |event| {
                assert!(!event.unwrap().interactive, "{own}");
            });
        }
        // A company's own sign-in page passes on the address of whoever signs in.
        check(&record("user.session.start", token), |event| {
            assert!(event.unwrap().interactive);
        });
        let person = token.replace("requestApiTokenId", "rootApiToken");
        check(&record("group.user_membership.add", &person), |event| {
            assert!(event.unwrap().interactive);
        });
    }

    #[test]
    fn results_other_than_success_are_not_success() {
        for (result, outcome) in [
            ("ALLOW", Outcome::Success),
            ("DENY", Outcome::Failure),
            ("CHALLENGE", Outcome::Unknown),
            ("ABANDONED", Outcome::Unknown),
        ] {
            check(&record("user.session.start", "").replace("SUCCESS", result), |event| {
                assert_eq!(event.unwrap().outcome, outcome, "{result}");
            });
        }
    }

    #[test]
    fn a_factor_is_used_only_if_it_succeeded() {
        let extra = r#","debugContext":{"debugData":{"factor":"FIDO_WEBAUTHN"}},
            "target":[{"type":"AuthenticatorEnrollment","id":"pfd1"}],
            "authenticationContext":{"externalSessionId":"unknown","rootSessionId":"102r"}"#;
        let mfa = record("user.authentication.auth_via_mfa", extra);
        check(&mfa, |event| {
            let event = event.unwrap();
            let mfa = event.mfa.unwrap();
            assert_eq!(
                (mfa.used, mfa.method.as_deref(), mfa.factor.as_deref()),
                (true, Some("FIDO_WEBAUTHN"), Some("pfd1"))
            );
            assert_eq!(event.session.as_deref(), Some("102r"));
        });
        check(&mfa.replace("SUCCESS", "FAILURE"), |event| {
            assert!(!event.unwrap().mfa.unwrap().used);
        });
    }

    #[test]
    fn a_password_is_no_second_factor() {
        let enrolled = |id: &str, name: &str| {
            format!(r#"{{"type":"AuthenticatorEnrollment","id":"{id}","displayName":"{name}"}}"#)
        };
        let extra = |factor: &str, targets: &[String]| {
            format!(
                r#","debugContext":{{"debugData":{{"factor":"{factor}"}}}},"target":[{}]"#,
                targets.join(",")
            )
        };
        let (password, push) = (enrolled("lae1", "Password"), enrolled("pfd2", "Okta Verify"));
        for (extra, used, factor) in [
            (
                extra("PASSWORD_AS_FACTOR", std::slice::from_ref(&password)),
                false,
                None,
            ),
            (extra("password", &[enrolled("lae1", "")]), false, None),
            (extra("", std::slice::from_ref(&password)), false, None),
            (
                extra("OKTA_VERIFY_PUSH", &[password.clone(), push.clone()]),
                true,
                Some("pfd2"),
            ),
            (extra("", &[password.clone(), push]), true, Some("pfd2")),
            (extra("", &[]), true, None),
        ] {
            check(&record("user.authentication.auth_via_mfa", &extra), |event| {
                let mfa = event.unwrap().mfa.unwrap();
                assert_eq!((mfa.used, mfa.factor.as_deref()), (used, factor), "{extra}");
            });
        }
        let changed = record("user.mfa.factor.update", &extra("PASSWORD_AS_FACTOR", &[password]));
        check(&changed, |event| {
            let event = event.unwrap();
            assert_eq!((event.kind, event.mfa), (EventKind::ProfileChanged, None));
        });
    }

    #[test]
    fn clients_and_systems_are_no_persons() {
        for kind in ["SystemPrincipal", "PublicClientApp"] {
            let by_system =
                record("user.session.start", "").replace(r#""type":"User""#, &format!(r#""type":"{kind}""#));
            check(&by_system, |event| {
                assert_eq!(event.unwrap_err().reason, "actor_not_a_person", "{kind}");
            });
        }
    }
}
