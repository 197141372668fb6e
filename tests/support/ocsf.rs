//! OCSF lines for tests that make their own events, in the shapes that `generate` writes.

use serde_json::{Value, json};

/// A test's day 0, ms: 2026-03-02, a Monday.
pub(crate) const START_MS: i64 = 1_772_409_600_000;
pub(crate) const MINUTE_MS: i64 = 60_000;
pub(crate) const HOUR_MS: i64 = 60 * MINUTE_MS;
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;

/// Who did something, when, with which device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who<'a> {
    /// Also the event's id, so it must be unique.
    pub(crate) id: &'a str,
    pub(crate) time_ms: i64,
    pub(crate) account: &'a str,
    /// Empty for none.
    pub(crate) device: &'a str,
}

pub(crate) fn login(who: Who<'_>, address: &str) -> Vec<u8> {
    event(who, 3002, 1, json!({"src_endpoint": {"ip": address}}))
}

pub(crate) fn failed_login(who: Who<'_>, address: &str) -> Vec<u8> {
    event(who, 3002, 1, json!({"src_endpoint": {"ip": address}, "status_id": 2}))
}

/// `activity` is 1 for open, 2 for close, 3 for renew.
pub(crate) fn tunnel(who: Who<'_>, activity: u32, session: &str, address: &str) -> Vec<u8> {
    let more = json!({"src_endpoint": {"ip": address}, "session": {"uid": session, "is_vpn": true}});
    event(who, 4014, activity, more)
}

pub(crate) fn remote_desktop(who: Who<'_>, address: &str) -> Vec<u8> {
    event(who, 4005, 3, json!({"src_endpoint": {"ip": address}}))
}

pub(crate) fn process(who: Who<'_>, name: &str) -> Vec<u8> {
    event(
        who,
        1007,
        1,
        json!({"process": {"name": name, "file": {"name": name, "type_id": 1}}}),
    )
}

pub(crate) fn usb(who: Who<'_>, vendor: &str, interfaces: &[&str]) -> Vec<u8> {
    let device = json!({"name": "USB Composite Device", "vendor_name": vendor, "uid": "USB\\VID_1D6B&PID_0104\\1"});
    let more = json!({"peripheral_device": device, "unmapped": {"interfaces": interfaces}});
    event(who, 1010, 1, more)
}

/// A sign-in of Okta's System Log whose address Okta knows to be an exit of that VPN.
pub(crate) fn okta_behind(who: Who<'_>, address: &str, operator: &str) -> Vec<u8> {
    let tunnels = json!([{"anonymous": true, "operator": operator, "type": "VPN"}]).to_string();
    let record = json!({
        "uuid": who.id,
        "published": falsefront::alert::rfc3339(who.time_ms),
        "eventType": "user.session.start",
        "version": "0",
        "actor": {"id": "00u", "type": "User", "alternateId": who.account},
        "client": {"ipAddress": address},
        "device": {"id": who.device, "managed": true},
        "outcome": {"result": "SUCCESS"},
        "debugContext": {"debugData": {"tunnels": tunnels}},
    });
    record.to_string().into_bytes()
}

fn event(who: Who<'_>, class_uid: u32, activity_id: u32, more: Value) -> Vec<u8> {
    let user = json!({"name": who.account});
    let mut record = json!({
        "activity_id": activity_id,
        "category_uid": class_uid / 1_000,
        "class_uid": class_uid,
        "metadata": {"product": {"name": "Test"}, "uid": who.id, "version": "1.8.0"},
        "severity_id": 1,
        "status_id": 1,
        "time": who.time_ms,
        "type_uid": class_uid * 100 + activity_id,
        "user": user,
    });
    if !who.device.is_empty() {
        record["device"] = json!({"uid": who.device, "type_id": 3});
    }
    let Value::Object(more) = more else {
        unreachable!("called with objects only")
    };
    record.as_object_mut().unwrap().extend(more);
    record.to_string().into_bytes()
}
