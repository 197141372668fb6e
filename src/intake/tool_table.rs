//! Facts about remote-access software: names, processes and service domains.
//!
//! Sources: the LOLRMM project (lolrmm.io) for remote monitoring and management tools; the vendors' own
//! documentation and packages for VPN clients, tunnels, jigglers and KVM agents. MITRE ATT&CK T1219 and T1090 name
//! the behaviour. Viewers are left out where they are programs of their own: who looks from the laptop at other
//! machines, as an administrator does, lets nobody in. A generic process name that other software shares (`service`,
//! `host`, `dashboard`) is left out: a missed sighting costs less than a false one.

use super::tools::KnownTool;
use crate::model::ToolKind::{self, DevTunnel, Jiggler, Kvm, RemoteAccess, VpnClient};

const fn known(
    name: &'static str,
    kind: ToolKind,
    processes: &'static [&'static str],
    domains: &'static [&'static str],
) -> KnownTool {
    KnownTool {
        name,
        kind,
        processes,
        domains,
    }
}

/// Every known tool. Where two match, the first wins.
#[rustfmt::skip]
pub(super) const TOOLS: &[KnownTool] = &[
    known("Astrill", VpnClient, &["astrill", "astrillvpn", "asovpnc", "astrill-vpn"], &["astrill.com", "astrill.org"]),
    known(
        "ExpressVPN",
        VpnClient,
        &["expressvpn", "expressvpnd", "expressvpnservice", "expressvpn.vpnservice", "expressvpn-browser-helper"],
        &["expressvpn.com"],
    ),
    known(
        "NordVPN",
        VpnClient,
        &["nordvpn", "nordvpnd", "nordvpn-service", "nordlynx", "nordupdateservice"],
        &["nordvpn.com"],
    ),
    known("Mullvad VPN", VpnClient, &["mullvad", "mullvad-daemon", "mullvad-vpn", "mullvad_vpn"], &["mullvad.net"]),
    known(
        "Proton VPN",
        VpnClient,
        &["protonvpn", "protonvpn.client", "protonvpnservice", "protonvpn-app"],
        &["protonvpn.com"],
    ),
    known("Surfshark", VpnClient, &["surfshark", "surfshark.service", "surfsharkd"], &["surfshark.com"]),
    known("CyberGhost", VpnClient, &["cyberghost", "cyberghostvpn", "cyberghost.service"], &["cyberghostvpn.com"]),
    known(
        "Private Internet Access",
        VpnClient,
        &["pia-client", "pia-service", "pia-daemon", "piactl"],
        &["privateinternetaccess.com"],
    ),
    known("IPVanish", VpnClient, &["ipvanish", "ipvanishvpn", "ipvanish-vpn"], &["ipvanish.com"]),
    known("Windscribe", VpnClient, &["windscribe", "windscribeservice", "windscribe-cli"], &["windscribe.com"]),
    known("TunnelBear", VpnClient, &["tunnelbear", "tunnelbear.maintenance"], &["tunnelbear.com"]),
    known("Hotspot Shield", VpnClient, &["hotspotshield", "hsscp", "hydra-vpn", "hss-gui"], &["hotspotshield.com"]),
    known("PureVPN", VpnClient, &["purevpn", "purevpnservice", "atom.sdk.windowsservice"], &["purevpn.com"]),
    known("VyprVPN", VpnClient, &["vyprvpn", "vyprvpnservice"], &["vyprvpn.com"]),
    known("HideMyAss", VpnClient, &["hmavpn", "hma-vpn"], &["hidemyass.com"]),
    known("Hola", VpnClient, &["hola", "hola_svc", "hola_updater"], &["hola.org"]),
    known("Urban VPN", VpnClient, &["urbanvpn", "urban-vpn", "urbanvpnservice"], &["urban-vpn.com"]),
    known("AdGuard VPN", VpnClient, &["adguardvpn", "adguardvpnsvc", "adguardvpn-cli"], &["adguard-vpn.com"]),
    known("Psiphon", VpnClient, &["psiphon", "psiphon3", "psiphon-tunnel-core*"], &["psiphon.ca"]),
    known("Lantern", VpnClient, &["lantern", "lanternd"], &["getlantern.org"]),
    known("IVPN", VpnClient, &["ivpn", "ivpn-service", "ivpn-ui"], &["ivpn.net"]),
    known(
        "Tor",
        VpnClient,
        &["tor", "tor-browser", "start-tor-browser", "obfs4proxy", "lyrebird", "snowflake-client"],
        &["torproject.org"],
    ),
    known("Shadowsocks", VpnClient, &["shadowsocks", "shadowsocks-qt5", "ss-local", "sslocal"], &["shadowsocks.org"]),
    known("V2Ray", VpnClient, &["v2ray", "v2rayn", "xray"], &["v2fly.org"]),
    known("Clash", VpnClient, &["clash", "clash-verge", "clash-meta", "mihomo"], &[]),
    known("AnyDesk", RemoteAccess, &["anydesk", "anydesk-*", "anydeskmsi"], &["anydesk.com"]),
    known(
        "Chrome Remote Desktop",
        RemoteAccess,
        &[
            "remoting_host", "remoting_start_host", "remoting_desktop", "remoting_native_messaging_host",
            "remote_assistance_host",
            "remote_host", "chrome-remote-desktop", "chromoting", "chrome-remote-desktop-host",
        ],
        &["remotedesktop.google.com", "remotedesktop-pa.googleapis.com", "chromoting-host.talkgadget.google.com"],
    ),
    known(
        "TeamViewer",
        RemoteAccess,
        &[
            "teamviewer", "teamviewer_service", "teamviewer_desktop", "teamviewerd", "teamviewerqs", "teamviewer_host",
            "teamviewerhost", "teamviewer_note", "tv_w32", "tv_x64",
        ],
        &["teamviewer.com"],
    ),
    known("RustDesk", RemoteAccess, &["rustdesk", "rustdesk-*"], &["rustdesk.com"]),
    known(
        "ScreenConnect",
        RemoteAccess,
        &["screenconnect*", "connectwisecontrol*"],
        &["screenconnect.com", "connectwise.com"],
    ),
    known(
        "Splashtop",
        RemoteAccess,
        &[
            "srservice", "srserver", "sragent", "srmanager", "srfeature",
            "splashtopsos", "splashtop*", "srstreamer",
        ],
        &["splashtop.com", "splashtop.eu"],
    ),
    known(
        "GoToMyPC",
        RemoteAccess,
        &["g2comm", "g2host", "g2svc", "g2tray", "g2mainh", "g2fileh", "g2printh", "gopcsrv"],
        &["gotomypc.com"],
    ),
    known(
        "GoTo Resolve",
        RemoteAccess,
        &["gotoresolve*", "gotoassist*", "g2ax_comm_customer", "g2ax_*", "g2aservice"],
        &["gotoresolve.com", "gotoassist.com", "fastsupport.com"],
    ),
    known(
        "LogMeIn",
        RemoteAccess,
        &["logmein", "logmeinsystray", "lmiignition", "lmiguardiansvc", "ramaint", "logmeinrc"],
        &["logmein.com", "logmein-gateway.com"],
    ),
    known(
        "LogMeIn Rescue",
        RemoteAccess,
        &["lmi_rescue", "lmi_rescue_srv", "support-logmeinrescue*"],
        &["logmeinrescue.com"],
    ),
    known(
        "Zoho Assist",
        RemoteAccess,
        &["zaservice", "za_connect", "za_access", "zohours", "zohoursservice", "zohotray", "zohomeeting"],
        &["zohoassist.com", "assist.zoho.com"],
    ),
    known(
        "Remote Utilities",
        RemoteAccess,
        &["rutserv", "rfusclient"],
        &["remoteutilities.com", "internetid.ru"],
    ),
    known(
        "RealVNC",
        RemoteAccess,
        &["vncserver", "vncserverui", "winvnc4", "vncagent", "vnclicensehelper"],
        &["realvnc.com"],
    ),
    known("TightVNC", RemoteAccess, &["tvnserver"], &["tightvnc.com"]),
    known("UltraVNC", RemoteAccess, &["winvnc", "uvnc_launch", "uvnc_settings", "ultravnc*"], &["uvnc.com"]),
    known("TigerVNC", RemoteAccess, &["tigervnc*", "x0vncserver", "xvnc"], &[]),
    known("x11vnc", RemoteAccess, &["x11vnc", "wayvnc"], &[]),
    known("DWService", RemoteAccess, &["dwagent", "dwagsvc", "dwaglnc"], &["dwservice.net"]),
    known("MeshCentral", RemoteAccess, &["meshagent", "meshagent*", "meshcentral*"], &["meshcentral.com"]),
    known("NoMachine", RemoteAccess, &["nxd", "nxserver", "nxnode"], &["nomachine.com"]),
    known("Parsec", RemoteAccess, &["parsec", "parsecd"], &["parsec.app", "parsec.gg"]),
    known("Sunshine", RemoteAccess, &["sunshinesvc"], &[]),
    known(
        "Jump Desktop",
        RemoteAccess,
        &["jumpconnect", "jumpservice"],
        &["jumpdesktop.com", "jumpto.me"],
    ),
    known(
        "RemotePC",
        RemoteAccess,
        &["remotepc", "remotepchost", "remotepcservice", "rpcsuite", "remotepcdesktop"],
        &["remotepc.com"],
    ),
    known(
        "Supremo",
        RemoteAccess,
        &["supremo", "supremoservice", "supremohelper", "supremosystem"],
        &["supremocontrol.com"],
    ),
    known(
        "UltraViewer",
        RemoteAccess,
        &["ultraviewer", "ultraviewer_desktop", "ultraviewer_service"],
        &["ultraviewer.net"],
    ),
    known("HopToDesk", RemoteAccess, &["hoptodesk", "hoptodesk-*"], &["hoptodesk.com"]),
    known("Getscreen.me", RemoteAccess, &["getscreen", "getscreen-*", "getscreen.upd"], &["getscreen.me"]),
    known("ToDesk", RemoteAccess, &["todesk", "todesk_service"], &["todesk.com"]),
    known("Sunlogin", RemoteAccess, &["sunlogin*", "orayremoteservice", "orayremoteshell"], &["oray.com", "oray.net"]),
    known("AweSun", RemoteAccess, &["awesun", "aweray_remote*"], &["aweray.com", "aweray.net"]),
    known("AnyViewer", RemoteAccess, &["anyviewer", "avcore"], &["anyviewer.com"]),
    known("Ammyy Admin", RemoteAccess, &["aa_v3", "aa_v3.*", "ammyy_admin", "ammyy*"], &["ammyy.com"]),
    known("AeroAdmin", RemoteAccess, &["aeroadmin"], &["aeroadmin.com"]),
    known("Iperius Remote", RemoteAccess, &["iperiusremote"], &["iperiusremote.com", "iperius-rs.com"]),
    known(
        "LiteManager",
        RemoteAccess,
        &["romserver", "romfusclient", "lmnoipserver"],
        &["litemanager.com"],
    ),
    known("Radmin", RemoteAccess, &["rserver3", "famitrf2", "famitrfc"], &["radmin.com"]),
    known("Dameware", RemoteAccess, &["dwrcs", "dwrcst", "dntus*"], &["dameware.com"]),
    known(
        "NetSupport Manager",
        RemoteAccess,
        &["client32", "remcmdstub"],
        &["netsupportmanager.com", "netsupportsoftware.com"],
    ),
    known(
        "SimpleHelp",
        RemoteAccess,
        &["simplehelpcustomer", "simpleservice", "simplegatewayservice"],
        &["simple-help.com"],
    ),
    known(
        "BeyondTrust Remote Support",
        RemoteAccess,
        &["bomgar-scc", "bomgar-scc-*", "bomgar-pac", "bomgar-pac-*", "bomgar-rdp"],
        &["beyondtrustcloud.com", "bomgarcloud.com"],
    ),
    known(
        "ISL Online",
        RemoteAccess,
        &["isllight", "isllightclient", "isllightservice", "islalwaysonmonitor"],
        &["islonline.com", "islonline.net"],
    ),
    known(
        "FixMe.IT",
        RemoteAccess,
        &["fixmeitclient*", "ticlientcore", "ticlienthelper*"],
        &["fixme.it", "setme.net", "techinline.net"],
    ),
    known("Atera", RemoteAccess, &["ateraagent", "atera_agent", "agentpackage*"], &["atera.com"]),
    known("Action1", RemoteAccess, &["action1_agent", "action1_remote", "action1_connector"], &["action1.com"]),
    known(
        "NinjaOne",
        RemoteAccess,
        &["ninjarmmagent", "ninjarmm-cli", "ninjarmmagentpatcher", "ncstreamer"],
        &["ninjarmm.com", "ninjaone.com", "rmmservice.com"],
    ),
    known(
        "N-able",
        RemoteAccess,
        &["basupsrvc", "basupapp", "basupsrvccnfg", "basuptshelper"],
        &["beanywhere.com", "n-able.com"],
    ),
    known("Datto RMM", RemoteAccess, &["aemagent", "cagservice"], &["centrastage.net", "rmm.datto.com"]),
    known("Kaseya VSA", RemoteAccess, &["agentmon", "kausrtsk", "kaupdhlp"], &["kaseya.net"]),
    known(
        "Syncro",
        RemoteAccess,
        &["syncro.service", "syncro.app.runner", "syncro.overmind.service", "syncrolive.*"],
        &["syncromsp.com", "syncroapi.com"],
    ),
    known("Level", RemoteAccess, &["level-windows-*", "level-remote-control-*"], &["level.io"]),
    known("FleetDeck", RemoteAccess, &["fleetdeck*", "fleetdeck_agent"], &["fleetdeck.io"]),
    known("Tactical RMM", RemoteAccess, &["tacticalrmm", "tacticalagent"], &["tacticalrmm.com"]),
    known("Pulseway", RemoteAccess, &["pcmonitorsrv", "pcmonitormanager"], &["pulseway.com"]),
    known("PDQ Connect", RemoteAccess, &["pdq-connect*", "pdqconnectagent"], &["app.pdq.com"]),
    known("Quick Assist", RemoteAccess, &["quickassist", "msra"], &["remoteassistance.support.services.microsoft.com"]),
    known("Apple Remote Desktop", RemoteAccess, &["ardagent"], &[]),
    known("Apache Guacamole", RemoteAccess, &["guacd"], &[]),
    known("xrdp", RemoteAccess, &["xrdp", "xrdp-sesman"], &[]),
    known("Remote.It", RemoteAccess, &["remoteit", "remote.it"], &["remote.it"]),
    known(
        "RemoteCall",
        RemoteAccess,
        &["rcengmgru", "rcmgrsvc", "rcstartsupport"],
        &["remotecall.com", "startsupport.com"],
    ),
    known("RemoteView", RemoteAccess, &["remoteview", "rvagent", "rvagtray"], &["rview.com"]),
    known("ConnectWise Automate", RemoteAccess, &["ltsvc", "ltsvcmon", "lttray"], &["hostedrmm.com"]),
    known(
        "ManageEngine",
        RemoteAccess,
        &["dcagentservice", "dcagentregister", "manageengine_remote_access_plus"],
        &["manageengine.com"],
    ),
    known("Itarian", RemoteAccess, &["itsmagent", "itsmservice", "rviewer"], &["itarian.com", "mdmsupport.comodo.com"]),
    known("Netop", RemoteAccess, &["nhostsvc", "nhstw32", "nldrw32"], &["netop.com"]),
    known("Mikogo", RemoteAccess, &["mikogo", "mikogo-*", "mikogolauncher"], &["mikogo.com"]),
    known("pcvisit", RemoteAccess, &["pcvisit", "pcvisit_*", "pcvisit-easysupport"], &["pcvisit.de"]),
    known("FastViewer", RemoteAccess, &["fastviewer", "fastclient"], &["fastviewer.com"]),
    known("Parallels Access", RemoteAccess, &["prl_deskctl_agent", "prl_deskctl_wizard", "parallelsaccess-*"], &[]),
    known(
        "Distant Desktop",
        RemoteAccess,
        &["distant-desktop", "ddsystem"],
        &["distantdesktop.com", "signalserver.xyz"],
    ),
    known("GotoHTTP", RemoteAccess, &["gotohttp", "gotohttp_*"], &["gotohttp.com"]),
    known("Alpemix", RemoteAccess, &["alpemix", "alpemixservice"], &["alpemix.com", "teknopars.com"]),
    known("HelpWire", RemoteAccess, &["helpwire"], &["helpwire.app"]),
    known("ShowMyPC", RemoteAccess, &["showmypc*", "smpcsetup"], &["showmypc.com"]),
    known("Instant Housecall", RemoteAccess, &["instanthousecall", "ihcserver", "hsloader"], &["instanthousecall.com"]),
    known("Laplink", RemoteAccess, &["laplink", "laplinkeverywhere", "tsircusr"], &["laplink.com"]),
    known("Seetrol", RemoteAccess, &["seetrol*"], &["seetrol.co.kr"]),
    known("RuDesktop", RemoteAccess, &["rudesktop*"], &["rudesktop.ru"]),
    known("XEOX", RemoteAccess, &["xeox-agent_*", "xeox_service_windows"], &["xeox.com"]),
    known("SuperOps", RemoteAccess, &["superops", "superopsticket"], &["superops.ai"]),
    known("Remotely", RemoteAccess, &["remotely_agent", "remotely_desktop"], &[]),
    known("Nezha", RemoteAccess, &["nezha-agent", "nezha_agent"], &["nezha.wiki"]),
    known("Acronis Cyber Protect Connect", RemoteAccess, &["acroniscyberprotectconnect*"], &["connect.acronis.com"]),
    known("Aspia", RemoteAccess, &["aspia_host", "aspia_host_service"], &["aspia.org"]),
    known("ScreenMeet", RemoteAccess, &["screenmeetsupport", "screenmeet.support"], &["screenmeet.com", "scrn.mt"]),
    known("DeskRoll", RemoteAccess, &["deskroll", "deskrollua"], &["deskroll.com", "skyfex.com"]),
    known("Senso", RemoteAccess, &["sensoclient", "sensoservice"], &["senso.cloud"]),
    known("ImmyBot", RemoteAccess, &["immyagent", "immybot.agent*", "immyupdater"], &["immy.bot"]),
    known("Domotz", RemoteAccess, &["domotz*"], &["domotz.com", "domotz.co"]),
    known("ShellHub", DevTunnel, &["shellhub-agent"], &["shellhub.io"]),
    known("Dataplicity", DevTunnel, &["dataplicity"], &["dataplicity.com"]),
    known("RPort", DevTunnel, &["rport", "rportd"], &["rport.io"]),
    known(
        "VS Code tunnel",
        DevTunnel,
        &["code-tunnel", "code-tunnel-insiders"],
        &["tunnels.api.visualstudio.com", "vscode.dev"],
    ),
    known("Microsoft dev tunnel", DevTunnel, &["devtunnel"], &["devtunnels.ms"]),
    known(
        "ngrok",
        DevTunnel,
        &["ngrok", "ngrok-*"],
        &["ngrok.com", "ngrok.io", "ngrok-agent.com", "ngrok.app", "ngrok-free.app"],
    ),
    known("Cloudflare Tunnel", DevTunnel, &["cloudflared", "cloudflared-*"], &["argotunnel.com", "trycloudflare.com"]),
    known("Tailscale", DevTunnel, &["tailscale", "tailscaled", "tailscale-ipn"], &["tailscale.com", "tailscale.io"]),
    known(
        "ZeroTier",
        DevTunnel,
        &["zerotier-*", "zerotier_desktop_ui"],
        &["zerotier.com"],
    ),
    known("NetBird", DevTunnel, &["netbird", "netbird-ui"], &["netbird.io"]),
    known("LocalXpose", DevTunnel, &["loclx"], &["localxpose.io", "loclx.io"]),
    known("localtunnel", DevTunnel, &["localtunnel"], &["localtunnel.me", "loca.lt"]),
    known("Pinggy", DevTunnel, &["pinggy"], &["pinggy.io"]),
    known("frp", DevTunnel, &["frpc", "frps"], &[]),
    known("chisel", DevTunnel, &["chisel"], &[]),
    known("tmate", DevTunnel, &["tmate"], &["tmate.io"]),
    known("PiTunnel", DevTunnel, &["pitunnel"], &["pitunnel.com"]),
    known("Mouse Jiggler", Jiggler, &["mousejiggler", "mouse-jiggler", "mouse_jiggler", "jiggler"], &[]),
    known("Move Mouse", Jiggler, &["movemouse", "move_mouse"], &[]),
    known("Caffeine", Jiggler, &["caffeine", "caffeine64", "caffeine32"], &[]),
    known("Mouse Mover", Jiggler, &["mousemover", "auto-mouse-mover", "automousemover"], &[]),
    known("PiKVM", Kvm, &["kvmd", "kvmd-*", "pikvm"], &["pikvm.org"]),
    known("TinyPilot", Kvm, &["tinypilot", "tinypilot-*"], &["tinypilotkvm.com"]),
    known("JetKVM", Kvm, &["jetkvm", "jetkvm_*"], &["jetkvm.com"]),
    known("NanoKVM", Kvm, &["nanokvm", "nanokvm-server"], &["sipeed.com"]),
    known("GL.iNet Comet", Kvm, &["glkvm", "glkvm-*"], &["glkvm.com"]),
    known("Synergy", Kvm, &["synergy", "synergys", "synergyc", "synergy-core", "synergyd"], &["symless.com"]),
    known("Barrier", Kvm, &["barriers", "barrierc", "barrierd"], &[]),
    known(
        "Input Leap",
        Kvm,
        &["input-leap", "input-leaps", "input-leapc", "deskflow", "deskflow-core", "deskflow-server"],
        &[],
    ),
    known("Mouse Without Borders", Kvm, &["mousewithoutborders", "powertoys.mousewithoutborders*"], &[]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_tools_share_a_process_or_a_name() {
        let mut seen = std::collections::BTreeMap::new();
        for tool in TOOLS {
            assert!(!tool.processes.is_empty(), "{}", tool.name);
            for key in tool.processes.iter().copied().chain([tool.name]) {
                let is_own = seen.insert(key, tool.name).is_none_or(|other| other == tool.name);
                assert!(is_own, "{key} of {}", tool.name);
            }
        }
    }

    #[test]
    fn facts_are_written_as_the_matcher_reads_them() {
        for tool in TOOLS {
            for process in tool.processes {
                let stem = process.strip_suffix('*').unwrap_or(process);
                assert!(stem.len() >= 3, "{process}");
                assert!(!stem.contains(['*', '/', '\\']) && !stem.ends_with(".exe"), "{process}");
                assert_eq!(*process, process.to_ascii_lowercase());
            }
            for domain in tool.domains {
                assert!(domain.contains('.') && !domain.starts_with(['.', '*']), "{domain}");
                assert_eq!(*domain, domain.to_ascii_lowercase());
            }
        }
    }
}
