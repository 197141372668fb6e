//! Which processes, names and domains belong to remote-access tools, VPN clients, tunnels, jigglers and KVM agents.

use std::borrow::Cow;

use super::tool_table::TOOLS;
use crate::model::{Tool, ToolKind};

/// A tool as the table knows it.
#[derive(Debug)]
pub struct KnownTool {
    /// Name as evidence spells it.
    pub name: &'static str,
    /// What sort of tool.
    pub kind: ToolKind,
    /// Process names, lower case, without path and `.exe`; a final `*` matches any rest.
    pub processes: &'static [&'static str],
    /// Domains, lower case; subdomains belong to them.
    pub domains: &'static [&'static str],
}

impl KnownTool {
    /// A sighting of this tool.
    #[must_use]
    pub fn tool(&self, indicator: Option<Cow<'_, str>>, unattended: bool) -> Tool<'_> {
        Tool {
            name: Cow::Borrowed(self.name),
            kind: self.kind,
            indicator: indicator.map(|text| Cow::Owned(text.into_owned())),
            unattended,
        }
    }
}

/// Every known tool, in the order of the table.
#[must_use]
pub fn all() -> &'static [KnownTool] {
    TOOLS
}

/// The tool whose process has that name; a path and `.exe` are ignored.
#[must_use]
pub fn by_process(process: &str) -> Option<&'static KnownTool> {
    let name = base_name(process);
    if name.is_empty() {
        return None;
    }
    TOOLS
        .iter()
        .find(|tool| tool.processes.iter().any(|pattern| matches(pattern, name)))
}

/// The tool that a process and its command line show, and whether it was set up for unattended access.
///
/// An editor is no tool until it opens a tunnel, so `code` counts only with the `tunnel` command.
#[must_use]
pub fn by_command(process: &str, command_line: &str) -> Option<(&'static KnownTool, bool)> {
    let tool = by_process(process).or_else(|| {
        let is_editor = ["code", "code-insiders", "code-server"]
            .iter()
            .any(|editor| base_name(process).eq_ignore_ascii_case(editor));
        let opens_tunnel = command_line.split_ascii_whitespace().any(|word| word == "tunnel");
        (is_editor && opens_tunnel).then(|| by_process("code-tunnel")).flatten()
    })?;
    Some((tool, is_unattended(process, command_line)))
}

/// The tool of that product name: `AnyDesk`, `anydesk.exe`, `ASTRILL_VPN`, `Chrome.Remote.Desktop`.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static KnownTool> {
    let wanted = squeezed(name);
    if wanted.is_empty() {
        return None;
    }
    let exact = |tool: &&KnownTool| squeezed(tool.name) == wanted;
    let stem = |tool: &&KnownTool| without_suffix(&squeezed(tool.name)) == without_suffix(&wanted);
    let named = TOOLS.iter().find(exact).or_else(|| TOOLS.iter().find(stem));
    named.or_else(|| by_process(name))
}

/// The tool whose service that host belongs to.
#[must_use]
pub fn by_domain(host: &str) -> Option<&'static KnownTool> {
    let host = host.trim_end_matches('.');
    TOOLS
        .iter()
        .find(|tool| tool.domains.iter().any(|domain| is_within(host, domain)))
}

/// A brand as people write it, from the spelling of an identity provider: `ASTRILL_VPN` is `Astrill`.
///
/// None for an empty word and for one that names no brand.
#[must_use]
pub fn brand(operator: &str) -> Option<Cow<'static, str>> {
    const NAMES_NONE: [&str; 5] = ["unknown", "none", "null", "na", "other"];
    const BRAND_BYTES_MAX: usize = 64;
    let squeezed = squeezed(operator);
    if squeezed.is_empty() || NAMES_NONE.contains(&squeezed.as_str()) || operator.len() > BRAND_BYTES_MAX {
        return None;
    }
    if let Some(tool) = by_name(operator).filter(|tool| tool.kind == ToolKind::VpnClient) {
        return Some(Cow::Borrowed(tool.name.strip_suffix(" VPN").unwrap_or(tool.name)));
    }
    let mut words: Vec<String> = operator
        .split(['_', ' ', '-'])
        .filter(|word| !word.is_empty())
        .map(title_case)
        .collect();
    if words.len() > 1 && words.last().is_some_and(|word| word == "VPN" || word == "Proxy") {
        words.pop();
    }
    Some(Cow::Owned(words.join(" ")))
}

fn title_case(word: &str) -> String {
    const ACRONYMS: [&str; 3] = ["VPN", "TOR", "IP"];
    if ACRONYMS.iter().any(|acronym| word.eq_ignore_ascii_case(acronym)) {
        return word.to_ascii_uppercase();
    }
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars.flat_map(char::to_lowercase)).collect()
    })
}

/// Options that set a password or PIN, or install a service, so that nobody need be at the machine. Source: the
/// vendors' command-line documentation; `remoting_start_host --pin` is Chrome Remote Desktop's headless setup.
fn is_unattended(process: &str, command_line: &str) -> bool {
    const OPTIONS: [&str; 10] = [
        "--pin",
        "--set-password",
        "--password",
        "--install-service",
        "--service",
        "--start-with-win",
        "--install",
        "-service",
        "/service",
        "--unattended",
    ];
    let is_host_setup = base_name(process).eq_ignore_ascii_case("remoting_start_host");
    is_host_setup
        || command_line
            .split_ascii_whitespace()
            .map(|word| word.split_once('=').map_or(word, |(option, _)| option))
            .any(|word| OPTIONS.iter().any(|option| word.eq_ignore_ascii_case(option)))
}

fn base_name(process: &str) -> &str {
    let name = process.trim().trim_matches('"');
    let name = name.rsplit(['\\', '/']).next().unwrap_or(name);
    match name.len().checked_sub(4).and_then(|at| name.split_at_checked(at)) {
        Some((stem, suffix)) if suffix.eq_ignore_ascii_case(".exe") || suffix.eq_ignore_ascii_case(".app") => stem,
        _ => name,
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name
            .get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix)),
        None => pattern.eq_ignore_ascii_case(name),
    }
}

fn is_within(host: &str, domain: &str) -> bool {
    let Some(at) = host.len().checked_sub(domain.len()) else {
        return false;
    };
    let is_label = at == 0 || host.as_bytes()[at - 1] == b'.';
    is_label && host.get(at..).is_some_and(|end| end.eq_ignore_ascii_case(domain))
}

fn squeezed(name: &str) -> String {
    name.chars()
        .filter(|c| c.is_ascii_alphanumeric())
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

fn without_suffix(squeezed: &str) -> &str {
    let stem = squeezed.strip_suffix("proxy").unwrap_or(squeezed);
    let stem = stem.strip_suffix("vpn").unwrap_or(stem);
    if stem.len() < 4 { squeezed } else { stem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(tool: Option<&'static KnownTool>) -> &'static str {
        tool.map_or("", |tool| tool.name)
    }

    #[test]
    fn who_looks_at_other_machines_lets_nobody_in() {
        for viewer in [
            "vncviewer.exe",
            "tvnviewer",
            "nxplayer",
            "rutview",
            "romviewer",
            "Radmin.exe",
            "moonlight",
            "tsh",
        ] {
            assert_eq!(named(by_process(viewer)), "", "{viewer}");
        }
        for host in ["vncserver", "tvnserver", "nxserver", "rutserv", "romserver", "rserver3"] {
            assert!(by_process(host).is_some(), "{host}");
        }
    }

    #[test]
    fn processes_are_known_by_base_name() {
        for (process, name) in [
            ("anydesk", "AnyDesk"),
            ("AnyDesk.exe", "AnyDesk"),
            (r"C:\Program Files (x86)\AnyDesk\AnyDesk.exe", "AnyDesk"),
            (
                "/opt/google/chrome-remote-desktop/remoting_host",
                "Chrome Remote Desktop",
            ),
            ("/Applications/RustDesk.app", "RustDesk"),
            ("TeamViewer_Service.exe", "TeamViewer"),
            ("ScreenConnect.ClientService.exe", "ScreenConnect"),
            ("astrill.exe", "Astrill"),
            ("explorer.exe", ""),
            ("", ""),
            (".exe", ""),
        ] {
            assert_eq!(named(by_process(process)), name, "{process}");
        }
    }

    #[test]
    fn an_editor_is_a_tool_only_with_a_tunnel() {
        assert!(by_command("code.exe", "code.exe report.md").is_none());
        let (tool, _) = by_command("code.exe", "code.exe tunnel --accept-server-license-terms").unwrap();
        assert_eq!((tool.name, tool.kind), ("VS Code tunnel", ToolKind::DevTunnel));
    }

    #[test]
    fn unattended_setup_shows_in_the_command_line() {
        let (tool, unattended) = by_command("remoting_start_host", "remoting_start_host --pin=1234").unwrap();
        assert_eq!((tool.name, unattended), ("Chrome Remote Desktop", true));
        assert!(by_command("anydesk.exe", "anydesk.exe --set-password").unwrap().1);
        assert!(!by_command("anydesk.exe", "anydesk.exe").unwrap().1);
    }

    #[test]
    fn names_are_known_in_any_spelling() {
        for (name, found) in [
            ("AnyDesk", "AnyDesk"),
            ("anydesk.exe", "AnyDesk"),
            ("ASTRILL_VPN", "Astrill"),
            ("Chrome.Remote.Desktop", "Chrome Remote Desktop"),
            ("Proton VPN", "Proton VPN"),
            ("protonvpn", "Proton VPN"),
            ("Notepad", ""),
            ("vpn", ""),
        ] {
            assert_eq!(named(by_name(name)), found, "{name}");
        }
    }

    #[test]
    fn hosts_belong_to_their_domain() {
        assert_eq!(named(by_domain("relay-0a1b2c3d.net.anydesk.com.")), "AnyDesk");
        assert_eq!(named(by_domain("notanydesk.com")), "");
        assert_eq!(named(by_domain("")), "");
    }

    #[test]
    fn brands_are_written_as_people_write_them() {
        for (operator, name) in [
            ("ASTRILL_VPN", "Astrill"),
            ("NORD_VPN", "NordVPN"),
            ("PROTON_VPN", "Proton"),
            ("HOLA_CDN_VPN", "Hola Cdn"),
            ("VPN", "VPN"),
            ("TOR", "Tor"),
        ] {
            assert_eq!(brand(operator).as_deref(), Some(name), "{operator}");
        }
        assert_eq!(brand("UNKNOWN"), None);
        assert_eq!(brand(""), None);
    }
}
