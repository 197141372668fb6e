//! What people and their machines do, in a form small enough to keep a day of a large company in memory.

use std::net::IpAddr;

/// One thing that happened, before it is written as a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// When the record reaches the log, ms since the epoch. Decides the order of the records.
    pub due_ms: i64,
    /// When it happened, ms since the epoch.
    pub time_ms: i64,
    /// Unique; a record delivered twice has the same one both times.
    pub id: u64,
    /// Whose account, as an index into the company's people.
    pub who: u32,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Sign-in by a person.
    Login(Login),
    /// A program renewed its token; nobody was there.
    TokenRenewal(Login),
    /// Sign-out.
    Logout(Login),
    /// VPN session opened.
    VpnOpen(Tunnel),
    /// VPN session still up.
    VpnRenewal(Tunnel),
    /// VPN session closed.
    VpnClose(Tunnel),
    /// Remote-desktop logon from that address into that device.
    RemoteDesktop(IpAddr, Device),
    /// A program started on that device.
    Process(Device, Program),
    /// Something was plugged into that device.
    Attached(Device, Gadget),
}

/// A sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login {
    /// Public source address.
    pub address: IpAddr,
    /// With what.
    pub device: Device,
    /// To what.
    pub app: App,
    /// Whether it worked.
    pub success: bool,
    /// With a second factor.
    pub second_factor: bool,
}

/// A VPN session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Public address the tunnel comes from.
    pub address: IpAddr,
    /// With what.
    pub device: Device,
    /// Names the session.
    pub session: u64,
    /// How long it has been open, ms.
    pub open_ms: i64,
}

/// A device, by the index of the person or machine it is named after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The source names none.
    Unnamed,
    /// A laptop.
    Laptop(u32),
    /// A phone.
    Phone(u32),
    /// A machine that a team shares at a desk, in a lab or a lobby.
    Shared(u32),
    /// A server.
    Server(u32),
}

impl Device {
    /// Its id, as every product of the company reports it; empty for [`Device::Unnamed`].
    #[must_use]
    pub fn uid(self) -> String {
        match self {
            Self::Unnamed => String::new(),
            Self::Laptop(n) => format!("lt-{n:05}"),
            Self::Phone(n) => format!("ph-{n:05}"),
            Self::Shared(n) => format!("kiosk-{n:03}"),
            Self::Server(n) => format!("srv-{n:03}"),
        }
    }
}

/// Where one signs in to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum App {
    /// The identity provider's own start page.
    Portal,
    /// Mail.
    Mail,
    /// Source code.
    Code,
    /// Tickets.
    Tickets,
    /// Documents.
    Documents,
    /// Time sheets.
    TimeSheets,
    /// Cloud console.
    Cloud,
}

impl App {
    /// What office people use from day to day.
    pub const DAILY: [Self; 5] = [Self::Mail, Self::Code, Self::Tickets, Self::Documents, Self::TimeSheets];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Portal => "Portal",
            Self::Mail => "Mail",
            Self::Code => "Source Code",
            Self::Tickets => "Tickets",
            Self::Documents => "Documents",
            Self::TimeSheets => "Time Sheets",
            Self::Cloud => "Cloud Console",
        }
    }
}

/// Remote-access tools and other programs worth a record. Process names as the vendors ship them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// AnyDesk, started by hand.
    AnyDesk,
    /// AnyDesk, installed for unattended access.
    AnyDeskUnattended,
    /// RustDesk.
    RustDesk,
    /// TeamViewer.
    TeamViewer,
    /// Chrome Remote Desktop, set up headless with a PIN.
    ChromeRemoteDesktop,
    /// The company's own support tool.
    SupportTool,
    /// Nothing special: a word processor.
    Editor,
}

impl Program {
    /// File name and command line.
    #[must_use]
    pub fn command(self) -> (&'static str, &'static str) {
        match self {
            Self::AnyDesk => ("AnyDesk.exe", r#""C:\Users\Public\Downloads\AnyDesk.exe""#),
            Self::AnyDeskUnattended => (
                "AnyDesk.exe",
                r#""C:\Program Files (x86)\AnyDesk\AnyDesk.exe" --install "C:\Program Files (x86)\AnyDesk" --start-with-win --silent"#,
            ),
            Self::RustDesk => ("rustdesk.exe", r#""C:\Program Files\RustDesk\rustdesk.exe" --service"#),
            Self::TeamViewer => ("TeamViewer.exe", r#""C:\Program Files\TeamViewer\TeamViewer.exe""#),
            Self::ChromeRemoteDesktop => (
                "remoting_start_host.exe",
                r"remoting_start_host.exe --code=*** --redirect-url=https://remotedesktop.google.com/_/oauthredirect --pin=***",
            ),
            Self::SupportTool => (
                "ScreenConnect.ClientService.exe",
                r#""ScreenConnect.ClientService.exe" "?e=Support""#,
            ),
            Self::Editor => ("WINWORD.EXE", r#""WINWORD.EXE" /n"#),
        }
    }
}

/// What gets plugged in. USB and EDID identities of IP-KVMs are the defaults in their public firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gadget {
    /// A `PiKVM`'s USB side: keyboard, mouse and storage from one parent.
    PikvmUsb,
    /// A `PiKVM`'s display side.
    PikvmDisplay,
    /// A `TinyPilot`'s USB side.
    TinyPilotUsb,
    /// A dock: hub, keyboard, mouse, card reader.
    Dock,
    /// An office monitor.
    Monitor,
    /// A wireless keyboard-and-mouse receiver.
    Receiver,
    /// A memory stick.
    Stick,
}
