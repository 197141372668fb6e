//! Writes what happened as OCSF 1.8 records: 3002, 4014, 4005, 1007 and 1010.

use serde::Serialize;

use super::act::{Act, Device, Gadget, Login, Tunnel, What};
use super::random::Random;

/// OCSF version of the records.
const SCHEMA_VERSION: &str = "1.8.0";
/// `severity_id` of a record that is no alert.
const INFORMATIONAL: u8 = 1;
const SUCCESS: u8 = 1;
const FAILURE: u8 = 2;

/// How an account appears in records.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// Mail address: the identity provider's name for the account.
    pub account: &'a str,
    /// Short name: what VPN and endpoint products call it.
    pub alias: &'a str,
    /// Second factors belong to the person.
    pub factor: u32,
}

/// Appends the record of `act` to `line`, without a line end.
///
/// # Errors
/// Whatever `serde_json` finds impossible; nothing in these types is.
pub fn write(act: &Act, names: Names<'_>, seed: u64, line: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let record = match &act.what {
        What::Login(login) => authentication(1, login, names),
        What::Logout(login) => authentication(2, login, names),
        What::TokenRenewal(login) => authentication(5, login, names),
        What::VpnOpen(tunnel) => tunnel_activity(1, tunnel, names),
        What::VpnClose(tunnel) => tunnel_activity(2, tunnel, names),
        What::VpnRenewal(tunnel) => tunnel_activity(3, tunnel, names),
        What::RemoteDesktop(address, device) => Record {
            src_endpoint: Some(Endpoint {
                ip: Some(address.to_string()),
                ..Endpoint::default()
            }),
            dst_endpoint: Some(Endpoint {
                uid: Some(device.uid()),
                hostname: Some(device.uid().to_uppercase()),
                port: Some(3389),
                ..Endpoint::default()
            }),
            device: device_of(*device),
            ..record(4005, 3, names, ENDPOINT)
        },
        What::Process(device, program) => {
            let (name, command) = program.command();
            Record {
                user: None,
                actor: Some(Actor {
                    user: user(names, ENDPOINT),
                }),
                device: device_of(*device),
                process: Some(Process {
                    name,
                    cmd_line: command,
                    pid: u32::try_from(act.id % 30_000).unwrap_or(0) + 1_000,
                    file: File { name, type_id: 8 },
                }),
                ..record(1007, 1, names, ENDPOINT)
            }
        }
        What::Attached(device, gadget) => {
            let (peripheral, unmapped) = peripheral(*gadget);
            Record {
                user: None,
                actor: Some(Actor {
                    user: user(names, ENDPOINT),
                }),
                device: device_of(*device),
                peripheral_device: Some(peripheral),
                unmapped: Some(unmapped),
                ..record(1010, 1, names, ENDPOINT)
            }
        }
    };
    let mut identity = Random::of(seed, &[act.id]);
    let record = Record {
        time: act.time_ms,
        metadata: Metadata {
            uid: format!("{:016x}{:016x}", identity.bits(), identity.bits()),
            ..record.metadata
        },
        ..record
    };
    serde_json::to_writer(line, &record)
}

/// A product of the company: its name, vendor and log.
type Product = (&'static str, &'static str, &'static str);
const IDENTITY_PROVIDER: Product = ("Meridian ID", "Meridian", "sign-ins");
const VPN_GATEWAY: Product = ("Gatehouse VPN", "Gatehouse", "tunnels");
const ENDPOINT: Product = ("Watchkeeper", "Watchkeeper", "endpoint");

fn record(class_uid: u32, activity_id: u32, names: Names<'_>, product: Product) -> Record<'_> {
    Record {
        activity_id,
        category_uid: class_uid / 1_000,
        class_uid,
        type_uid: class_uid * 100 + activity_id,
        severity_id: INFORMATIONAL,
        status_id: SUCCESS,
        metadata: Metadata {
            version: SCHEMA_VERSION,
            product: ProductName {
                name: product.0,
                vendor_name: product.1,
            },
            log_name: product.2,
            uid: String::new(),
        },
        user: Some(user(names, product)),
        ..Record::default()
    }
}

fn user<'a>(names: Names<'a>, product: Product) -> User<'a> {
    if product.0 == IDENTITY_PROVIDER.0 {
        User {
            name: names.account,
            email_addr: Some(names.account),
            domain: None,
        }
    } else {
        User {
            name: names.alias,
            email_addr: None,
            domain: Some("CORP"),
        }
    }
}

fn authentication<'a>(activity_id: u32, login: &Login, names: Names<'a>) -> Record<'a> {
    let is_renewal = activity_id == 5;
    Record {
        status_id: if login.success { SUCCESS } else { FAILURE },
        status_detail: (!login.success).then_some("INVALID_CREDENTIALS"),
        src_endpoint: Some(Endpoint {
            ip: Some(login.address.to_string()),
            ..Endpoint::default()
        }),
        device: device_of(login.device),
        service: Some(Named { name: login.app.name() }),
        is_mfa: Some(login.second_factor),
        auth_factors: login.second_factor.then(|| {
            [AuthFactor {
                factor_type_id: 5,
                factor_type: "Push Notification",
                device: DeviceRecord {
                    uid: format!("mfa-{:05}", names.factor),
                    type_id: 5,
                    ..DeviceRecord::default()
                },
            }]
        }),
        http_request: Some(HttpRequest {
            user_agent: user_agent(login.device, is_renewal),
        }),
        logon_type_id: (activity_id == 1).then_some(2),
        ..record(3002, activity_id, names, IDENTITY_PROVIDER)
    }
}

fn user_agent(device: Device, is_renewal: bool) -> &'static str {
    match device {
        _ if is_renewal => "MeridianSync/4.2",
        Device::Phone(_) => "Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 Chrome/141.0 Mobile Safari/537.36",
        Device::Server(_) => "curl/8.16.0",
        Device::Laptop(n) if n % 3 == 0 => {
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 15_6) AppleWebKit/605.1.15 Safari/605.1.15"
        }
        Device::Laptop(_) | Device::Shared(_) | Device::Unnamed => {
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/141.0 Safari/537.36"
        }
    }
}

fn tunnel_activity<'a>(activity_id: u32, tunnel: &Tunnel, names: Names<'a>) -> Record<'a> {
    let [.., high, low] = tunnel.session.to_be_bytes();
    Record {
        src_endpoint: Some(Endpoint {
            ip: Some(tunnel.address.to_string()),
            ..Endpoint::default()
        }),
        device: device_of(tunnel.device),
        session: Some(Session {
            uid: format!("{:016x}", tunnel.session),
            is_vpn: true,
        }),
        tunnel_interface: Some(TunnelInterface {
            name: "tun0",
            type_id: 4,
            ip: format!("10.64.{high}.{}", low.clamp(1, 254)),
        }),
        duration: (activity_id != 1).then_some(tunnel.open_ms),
        ..record(4014, activity_id, names, VPN_GATEWAY)
    }
}

fn device_of(device: Device) -> Option<DeviceRecord> {
    let (type_id, is_managed) = match device {
        Device::Unnamed => return None,
        Device::Laptop(_) => (3, true),
        Device::Phone(_) => (5, false),
        Device::Shared(_) => (2, true),
        Device::Server(_) => (1, true),
    };
    let uid = device.uid();
    Some(DeviceRecord {
        hostname: Some(uid.to_uppercase()),
        uid,
        type_id,
        is_managed: Some(is_managed),
        is_shared: matches!(device, Device::Shared(_)).then_some(true),
    })
}

/// A gadget as the endpoint product reports it. OCSF has no attributes for the interfaces of a composite device
/// or for a display's identification, so these go where the schema puts what it does not map.
fn peripheral(gadget: Gadget) -> (PeripheralDevice, Unmapped) {
    match gadget {
        Gadget::PikvmUsb => usb(
            "PiKVM Composite Device",
            "PiKVM",
            ("1d6b", "0104"),
            "CAFEBABE",
            &ALL_INTERFACES,
        ),
        Gadget::PikvmDisplay => display("PiKVM V3", "LNX", "CAFEBABE"),
        Gadget::TinyPilotUsb => {
            let serial = "6b65796d696d6570690";
            usb(
                "Multifunction USB Device",
                "tinypilot",
                ("1d6b", "0104"),
                serial,
                &ALL_INTERFACES,
            )
        }
        Gadget::Dock => usb("Dock WD22", "Quayside", ("17e9", "6006"), "QD-20417", &ALL_INTERFACES),
        Gadget::Monitor => display("Q2725", "QSD", "MX-88120"),
        Gadget::Receiver => usb("USB Receiver", "Logitech", ("046d", "c52b"), "0", &ALL_INTERFACES[..2]),
        Gadget::Stick => usb(
            "Flash Drive",
            "Quayside",
            ("0781", "5567"),
            "4C5310",
            &ALL_INTERFACES[2..],
        ),
    }
}

const ALL_INTERFACES: [&str; 3] = ["keyboard", "mouse", "mass storage"];

fn usb(
    name: &'static str,
    vendor_name: &'static str,
    (vendor_id, product_id): (&'static str, &'static str),
    serial_number: &'static str,
    interfaces: &'static [&'static str],
) -> (PeripheralDevice, Unmapped) {
    let device = PeripheralDevice {
        name,
        vendor_name,
        class: "USB Composite Device",
        model: name,
        serial_number,
        uid: format!("USB\\VID_{vendor_id}&PID_{product_id}\\{serial_number}").to_uppercase(),
        vendor_id_list: Some([vendor_id]),
        type_id: 99,
        r#type: "USB Composite Device",
    };
    (
        device,
        Unmapped {
            interfaces: Some(interfaces),
            edid: None,
        },
    )
}

fn display(model: &'static str, manufacturer: &'static str, serial: &'static str) -> (PeripheralDevice, Unmapped) {
    let device = PeripheralDevice {
        name: model,
        vendor_name: manufacturer,
        class: "Monitor",
        model,
        serial_number: serial,
        uid: format!("DISPLAY\\{manufacturer}\\{serial}"),
        vendor_id_list: None,
        type_id: 5,
        r#type: "Monitor",
    };
    (
        device,
        Unmapped {
            interfaces: None,
            edid: Some(Edid {
                manufacturer,
                model,
                serial,
            }),
        },
    )
}

#[derive(Debug, Serialize)]
struct Unmapped {
    #[serde(skip_serializing_if = "Option::is_none")]
    interfaces: Option<&'static [&'static str]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edid: Option<Edid>,
}

#[derive(Debug, Serialize)]
struct Edid {
    manufacturer: &'static str,
    model: &'static str,
    serial: &'static str,
}

#[derive(Debug, Default, Serialize)]
struct Record<'a> {
    activity_id: u32,
    category_uid: u32,
    class_uid: u32,
    type_uid: u32,
    time: i64,
    severity_id: u8,
    status_id: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_detail: Option<&'static str>,
    metadata: Metadata,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<Actor<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_endpoint: Option<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dst_endpoint: Option<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<DeviceRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<Named>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_mfa: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_factors: Option<[AuthFactor; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logon_type_id: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_request: Option<HttpRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<Session>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tunnel_interface: Option<TunnelInterface>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<Process>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peripheral_device: Option<PeripheralDevice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unmapped: Option<Unmapped>,
}

#[derive(Debug, Default, Serialize)]
struct Metadata {
    version: &'static str,
    product: ProductName,
    log_name: &'static str,
    uid: String,
}

#[derive(Debug, Default, Serialize)]
struct ProductName {
    name: &'static str,
    vendor_name: &'static str,
}

#[derive(Debug, Serialize)]
struct User<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_addr: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Actor<'a> {
    user: User<'a>,
}

#[derive(Debug, Default, Serialize)]
struct Endpoint {
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

#[derive(Debug, Default, Serialize)]
struct DeviceRecord {
    uid: String,
    type_id: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_managed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_shared: Option<bool>,
}

#[derive(Debug, Serialize)]
struct Named {
    name: &'static str,
}

#[derive(Debug, Serialize)]
struct AuthFactor {
    factor_type_id: u8,
    factor_type: &'static str,
    device: DeviceRecord,
}

#[derive(Debug, Serialize)]
struct HttpRequest {
    user_agent: &'static str,
}

#[derive(Debug, Serialize)]
struct Session {
    uid: String,
    is_vpn: bool,
}

#[derive(Debug, Serialize)]
struct TunnelInterface {
    name: &'static str,
    type_id: u8,
    ip: String,
}

#[derive(Debug, Serialize)]
struct Process {
    name: &'static str,
    cmd_line: &'static str,
    pid: u32,
    file: File,
}

#[derive(Debug, Serialize)]
struct File {
    name: &'static str,
    type_id: u8,
}

#[derive(Debug, Serialize)]
struct PeripheralDevice {
    name: &'static str,
    vendor_name: &'static str,
    class: &'static str,
    model: &'static str,
    serial_number: &'static str,
    uid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    vendor_id_list: Option<[&'static str; 1]>,
    type_id: u8,
    r#type: &'static str,
}
