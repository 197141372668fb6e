//! One normalized fact from a vendor's record: who did what, when, from where, with which device.
//!
//! Text is borrowed from the record where it can be, so decoding a record allocates nothing it need not.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::{Serialize, Serializer};

use super::Account;
use super::event_id::EventId;

/// One normalized fact. Field names in JSON are those `falsefront normalize` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event<'a> {
    /// The source's own id of this event, else `topic/partition/offset/index`.
    pub id: EventId,
    /// Event time, milliseconds since the Unix epoch, UTC.
    #[serde(rename = "time")]
    pub time_ms: i64,
    /// What happened.
    pub kind: EventKind,
    /// Whose account.
    #[serde(serialize_with = "account")]
    pub account: Account<'a>,
    /// Other canonical spellings of the same account in the record (an e-mail beside a user id).
    #[serde(serialize_with = "accounts")]
    pub account_aliases: Vec<Account<'a>>,
    /// Address the person came from: the first public one the record names, else what it names. The pipeline places
    /// only public ones; a private, loopback, carrier-NAT or tunnel address says nothing about where somebody is.
    pub source_ip: Option<IpAddr>,
    /// Whether it worked. Unknown is not success.
    pub outcome: Outcome,
    /// The device used, if the format names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Device<'a>>,
    /// Session or tunnel id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<Cow<'a, str>>,
    /// Application or gateway signed in to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<Cow<'a, str>>,
    /// Second factor, if the record speaks of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mfa: Option<Mfa<'a>>,
    /// User agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<Cow<'a, str>>,
    /// Address assigned inside the tunnel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpn_ip: Option<IpAddr>,
    /// Commercial VPN or proxy brand that the identity provider itself named for this address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anonymizer: Option<Cow<'a, str>>,
    /// Remote-access tool seen, for [`EventKind::ToolSeen`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<Box<Tool<'a>>>,
    /// USB device or display attached, for [`EventKind::PeripheralAttached`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peripheral: Option<Box<Peripheral<'a>>>,
    /// False for token refreshes and other traffic that no person initiated.
    pub interactive: bool,
    /// Product that wrote the record (`okta`, `fortigate` …), for evidence.
    pub product: Cow<'a, str>,
}

fn account<S: Serializer>(account: &Account<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(account.as_str())
}

fn accounts<S: Serializer>(accounts: &[Account<'_>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(accounts.iter().map(Account::as_str))
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum EventKind {
    /// Sign-in to an application or identity provider (OCSF 3002 Logon).
    Login = 0,
    /// Sign-out (OCSF 3002 Logoff).
    Logout = 1,
    /// VPN session opened (OCSF 4014 Open).
    VpnOpen = 2,
    /// VPN session renewed or still up (OCSF 4014 Renew).
    VpnRenew = 3,
    /// VPN session closed (OCSF 4014 Close).
    VpnClose = 4,
    /// Remote-desktop logon *to* a device (OCSF 4005; Windows 4624 logon type 10).
    RdpLogon = 5,
    /// Remote-access tool or KVM software seen on a device (OCSF 1007).
    ToolSeen = 6,
    /// USB device or display attached to a device (OCSF 1010).
    PeripheralAttached = 7,
    /// Second factor enrolled.
    FactorEnrolled = 8,
    /// Phone, bank, address or another profile field changed.
    ProfileChanged = 9,
    /// Other activity that shows the person at work from an address.
    Activity = 10,
}

/// Whether it worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Outcome {
    /// The source said so.
    Success = 0,
    /// The source said it failed or was denied.
    Failure = 1,
    /// The source did not say; never treated as success by a rule that needs one.
    Unknown = 2,
}

/// A device as the source names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Device<'a> {
    /// Most stable id the format gives: MDM or serial number before fingerprint.
    pub id: Cow<'a, str>,
    /// Host name, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Cow<'a, str>>,
    /// Managed by the company, if the source knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed: Option<bool>,
    /// True where the id is a browser fingerprint: weak, never enough for an alert alone.
    pub fingerprint: bool,
}

/// A second factor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mfa<'a> {
    /// Whether a second factor was used.
    pub used: bool,
    /// Its method (`push`, `totp`, `webauthn` …), as the source names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Cow<'a, str>>,
    /// Id of the factor or its device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<Cow<'a, str>>,
}

/// A remote-access tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tool<'a> {
    /// Vendor or product: `AnyDesk`.
    pub name: Cow<'a, str>,
    /// What sort of tool.
    pub kind: ToolKind,
    /// The process, domain or file that showed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub indicator: Option<Cow<'a, str>>,
    /// Installed for unattended access (a set PIN or a service), where the command line shows it.
    pub unattended: bool,
}

/// What sort of remote-access tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum ToolKind {
    /// Remote monitoring and management or remote desktop software (ATT&CK T1219.002).
    RemoteAccess = 0,
    /// Commercial VPN client (ATT&CK T1090), e.g. Astrill.
    VpnClient = 1,
    /// Development tunnel (ATT&CK T1219.001).
    DevTunnel = 2,
    /// Mouse jiggler or other synthetic input.
    Jiggler = 3,
    /// IP-KVM client or agent (ATT&CK T1219.003).
    Kvm = 4,
}

/// A USB device or display.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Peripheral<'a> {
    /// USB vendor id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor_id: Option<u16>,
    /// USB product id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_id: Option<u16>,
    /// Manufacturer string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<Cow<'a, str>>,
    /// Product string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<Cow<'a, str>>,
    /// Serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<Cow<'a, str>>,
    /// One parent shows a keyboard.
    pub keyboard: bool,
    /// One parent shows a mouse or pointer.
    pub mouse: bool,
    /// One parent shows mass storage.
    pub storage: bool,
    /// Display identification, if a display was attached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edid: Option<Edid<'a>>,
}

/// Display identification (VESA E-EDID).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Edid<'a> {
    /// Three-letter manufacturer id, `LNX` on many capture devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<Cow<'a, str>>,
    /// Monitor name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Cow<'a, str>>,
    /// Serial number or string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<Cow<'a, str>>,
}

impl Event<'_> {
    /// An event of which nothing is known yet: room to read one into.
    pub(crate) fn blank() -> Self {
        Self {
            id: EventId::default(),
            time_ms: 0,
            kind: EventKind::Activity,
            account: Account::blank(String::new()),
            account_aliases: Vec::new(),
            source_ip: None,
            outcome: Outcome::Unknown,
            device: None,
            session: None,
            app: None,
            mfa: None,
            user_agent: None,
            vpn_ip: None,
            anonymizer: None,
            tool: None,
            peripheral: None,
            interactive: false,
            product: Cow::Borrowed(""),
        }
    }

    /// What tests begin with: a person's success, with an address and nothing else.
    #[cfg(test)]
    pub(crate) fn sample(kind: EventKind, id: &str) -> Self {
        Self {
            id: EventId::new(id),
            kind,
            account: Account::canonical("r.lee").unwrap(),
            source_ip: Some("240.1.0.7".parse().unwrap()),
            outcome: Outcome::Success,
            interactive: true,
            product: "okta".into(),
            ..Self::blank()
        }
    }
}
