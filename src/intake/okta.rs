//! Okta System Log events.
//!
//! The actor is the person; `target` may be null or somebody else. Source: Okta developer documentation,
//! "System Log API" and "Event types".

use std::borrow::Cow;

use super::leaf::{Flag, Many, Moment, Obj, Text};
use super::reason::{ACTOR_NOT_A_PERSON, KIND_UNSUPPORTED, reject};
use super::walk::wire;
use super::{Rejection, Sink, address, envelope, person, tools};
use crate::model::{Device, Event, EventKind, Mfa, Outcome};

/// Decodes one System Log event; false if the object is none.
pub(super) fn decode<'a>(text: &'a str, sink: &mut Sink<'_, 'a>) -> Result<bool, Rejection> {
    let mut record = Record::default();
    envelope::read(text, &mut record)?;
    // An event hook carries an `eventType` of its own around `data.events`.
    if record.event_type.is_empty() || record.event_type.as_str() == "com.okta.event_hook" {
        return Ok(false);
    }
    sink.push(Ok(record.into_event()?));
    Ok(true)
}

wire! {
    struct Record {
        uuid: Text<'a>,
        published: Moment<'a>,
        "eventType" event_type: Text<'a>,
        outcome: Obj<Verdict<'a>>,
        actor: Obj<Party<'a>>,
        client: Obj<Client<'a>>,
        device: Obj<Endpoint<'a>>,
        request: Obj<Request<'a>>,
        "authenticationContext" authentication_context: Obj<AuthenticationContext<'a>>,
        transaction: Obj<Transaction<'a>>,
        "securityContext" security_context: Obj<SecurityContext<'a>>,
        "debugContext" debug_context: Obj<DebugContext<'a>>,
        target: Many<Obj<Party<'a>>>,
    }

    struct Verdict {
        result: Text<'a>,
    }

    struct Party {
        id: Text<'a>,
        "type" kind: Text<'a>,
        "alternateId" alternate_id: Text<'a>,
        "displayName" display_name: Text<'a>,
    }

    struct Client {
        "ipAddress" ip_address: Text<'a>,
        "userAgent" user_agent: Obj<UserAgent<'a>>,
    }

    struct UserAgent {
        "rawUserAgent" raw_user_agent: Text<'a>,
    }

    struct Endpoint {
        id: Text<'a>,
        name: Text<'a>,
        managed: Flag,
    }

    struct Request {
        "ipChain" ip_chain: Many<Obj<Hop<'a>>>,
    }

    struct Hop {
        ip: Text<'a>,
    }

    struct AuthenticationContext {
        "externalSessionId" external_session_id: Text<'a>,
        "rootSessionId" root_session_id: Text<'a>,
    }

    struct Transaction {
        "type" kind: Text<'a>,
    }

    struct SecurityContext {
        "isProxy" is_proxy: Text<'a>,
    }

    struct DebugContext {
        "debugData" debug_data: Obj<DebugData<'a>>,
    }

    struct DebugData {
        "dtHash" dt_hash: Text<'a>,
        "deviceFingerprint" device_fingerprint: Text<'a>,
        factor: Text<'a>,
        tunnels: Text<'a>,
    }
}

/// What an event type means here.
struct Meaning {
    kind: EventKind,
    interactive: bool,
}

impl<'a> Record<'a> {
    #[inline]
    fn into_event(self) -> Result<Event<'a>, Rejection> {
        let actor = self.actor.0;
        if !actor.kind.is_empty() && !actor.kind.as_str().eq_ignore_ascii_case("user") {
            return Err(reject(
                ACTOR_NOT_A_PERSON,
                "actor.type is not User; nothing to do, clients and systems sign in from anywhere",
            ));
        }
        let chain = self.request.0.ip_chain.items;
        let hops = chain.iter().map(|hop| hop.0.ip.as_str());
        let addresses = std::iter::once(self.client.0.ip_address.as_str()).chain(hops);
        let source_ip = address::source(addresses);
        let by_another = subject_is_another(&self.target.items, &actor);
        let is_job = self.transaction.0.kind.as_str() == "JOB";
        let mut meaning = meaning(
            self.event_type.as_str(),
            source_ip.is_some_and(address::is_public) && !is_job,
        )?;
        if by_another && matches!(meaning.kind, EventKind::FactorEnrolled | EventKind::ProfileChanged) {
            // An administrator changed somebody's factor: it places the administrator, not that person.
            meaning.kind = EventKind::Activity;
        }
        let outcome = outcome(self.outcome.0.result.as_str());
        let debug = self.debug_context.0.debug_data.0;
        let anonymizer = anonymizer(&debug.tunnels, Flag::of(self.security_context.0.is_proxy.as_str()));
        let speaks_of_mfa = self.event_type.as_str() == "user.authentication.auth_via_mfa" || !debug.factor.is_empty();
        let session = self.authentication_context.0;
        let time_ms = self.published.ms("published")?;
        let person = person::resolve([actor.alternate_id, actor.id], "actor.alternateId")?;
        let device = device(self.device.0, debug.dt_hash, debug.device_fingerprint);
        let (app, factor) = targets(self.target.items);
        let mfa = (speaks_of_mfa || meaning.kind == EventKind::FactorEnrolled).then(|| Mfa {
            used: speaks_of_mfa && outcome == Outcome::Success,
            method: debug.factor.description(),
            factor,
        });
        Ok(Event {
            id: self.uuid.id().unwrap_or_default(),
            time_ms,
            kind: meaning.kind,
            account: person.account,
            account_aliases: person.aliases,
            source_ip,
            outcome,
            device,
            session: session.external_session_id.id().or(session.root_session_id.id()),
            app,
            mfa,
            user_agent: self.client.0.user_agent.0.raw_user_agent.description(),
            vpn_ip: None,
            anonymizer,
            tool: None,
            peripheral: None,
            interactive: meaning.interactive,
            product: Cow::Borrowed("okta"),
        })
    }
}

/// Chooses from Okta's event-type catalog; what it does not name is activity if a person acted from an address.
fn meaning(event_type: &str, acted_from_an_address: bool) -> Result<Meaning, Rejection> {
    let (kind, interactive) = match event_type {
        "user.session.start" | "user.authentication.sso" | "user.authentication.verify" => (EventKind::Login, true),
        "user.session.end" => (EventKind::Logout, true),
        "user.session.expire" => (EventKind::Logout, false),
        "user.mfa.factor.activate" | "user.mfa.factor.update" => (EventKind::FactorEnrolled, true),
        // A policy is evaluated before any credential is proved, so it places nobody.
        "policy.evaluate_sign_on" => (EventKind::Activity, false),
        other if other.starts_with("user.authentication.auth") => (EventKind::Login, true),
        other if other.starts_with("user.account.update_") => (EventKind::ProfileChanged, true),
        // Token grants and the service's own steps run without the person.
        other if other.starts_with("app.oauth2.") || other.starts_with("system.") => (EventKind::Activity, false),
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

fn outcome(result: &str) -> Outcome {
    match result {
        "SUCCESS" | "ALLOW" => Outcome::Success,
        "FAILURE" | "DENY" => Outcome::Failure,
        _ => Outcome::Unknown,
    }
}

fn subject_is_another(targets: &[Obj<Party<'_>>], actor: &Party<'_>) -> bool {
    let mut users = targets
        .iter()
        .map(|t| &t.0)
        .filter(|t| t.kind.as_str() == "User")
        .peekable();
    users.peek().is_some() && !users.any(|user| user.id == actor.id || user.alternate_id == actor.alternate_id)
}

/// The application signed in to, and the factor used or enrolled.
fn targets<'a>(targets: Vec<Obj<Party<'a>>>) -> (Option<Cow<'a, str>>, Option<Cow<'a, str>>) {
    let (mut app, mut factor) = (None, None);
    for Obj(target) in targets {
        match target.kind.as_str() {
            "AppInstance" => app = app.or(target.display_name.description()),
            "AuthenticatorEnrollment" => factor = factor.or(target.id.id()),
            _ => {}
        }
    }
    (app, factor)
}

fn device<'a>(endpoint: Endpoint<'a>, dt_hash: Text<'a>, fingerprint: Text<'a>) -> Option<Device<'a>> {
    if let Some(id) = endpoint.id.id() {
        return Some(Device {
            id,
            hostname: endpoint.name.description(),
            managed: endpoint.managed.0,
            fingerprint: false,
        });
    }
    let id = dt_hash.id().or(fingerprint.id())?;
    Some(Device {
        id,
        hostname: None,
        managed: None,
        fingerprint: true,
    })
}

wire! {
    struct Tunnel {
        operator: Text<'a>,
        "type" kind: Text<'a>,
        anonymous: Flag,
    }
}

/// The brand in `debugData.tunnels`, which is JSON inside a string; else `proxy` where Okta knows only that.
fn anonymizer(tunnels: &Text<'_>, is_proxy: Flag) -> Option<Cow<'static, str>> {
    let listed: Many<Obj<Tunnel<'_>>> = serde_json::from_str(tunnels.as_str()).unwrap_or_default();
    let brand = listed.items.into_iter().find_map(|Obj(tunnel)| {
        let operator = tools::brand(tunnel.operator.as_str());
        let hides = tunnel.anonymous.0.unwrap_or(false) || !tunnel.kind.is_empty();
        operator.or_else(|| hides.then(|| tools::brand(tunnel.kind.as_str())).flatten())
    });
    brand.or_else(|| (is_proxy.0 == Some(true)).then_some(Cow::Borrowed("proxy")))
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
                assert_eq!(event.id, "0a-1");
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
        ] {
            check(&record(event_type, ""), |event| {
                let event = event.unwrap();
                assert_eq!((event.kind, event.interactive), (kind, interactive), "{event_type}");
            });
        }
        let helped = r#","target":[{"type":"User","id":"00u9","alternateId":"bob@corp.example"}]"#;
        check(&record("user.mfa.factor.activate", helped), |event| {
            assert_eq!(event.unwrap().kind, EventKind::Activity);
        });
        let placeless = record("group.lifecycle.create", "").replace("203.0.113.7", "");
        check(&placeless, |event| {
            assert_eq!(event.unwrap_err().reason, "kind_unsupported");
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
