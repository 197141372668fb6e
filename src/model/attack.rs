//! ATT&CK techniques that detections name. Ids of MITRE ATT&CK v18.1.

/// Version of the matrix the ids below belong to.
pub const MATRIX_VERSION: &str = "18.1";

/// A technique, or sub-technique, with its tactic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Technique {
    /// `TA0001`.
    pub tactic_uid: &'static str,
    /// `Initial Access`.
    pub tactic: &'static str,
    /// `T1078`.
    pub uid: &'static str,
    /// `Valid Accounts`.
    pub name: &'static str,
    /// Sub-technique, id and name.
    pub sub: Option<(&'static str, &'static str)>,
}

const fn technique(tactic_uid: &'static str, tactic: &'static str, uid: &'static str, name: &'static str) -> Technique {
    Technique {
        tactic_uid,
        tactic,
        uid,
        name,
        sub: None,
    }
}

impl Technique {
    const fn sub(mut self, uid: &'static str, name: &'static str) -> Self {
        self.sub = Some((uid, name));
        self
    }
}

/// Valid Accounts.
pub const VALID_ACCOUNTS: Technique = technique("TA0001", "Initial Access", "T1078", "Valid Accounts");
/// Valid Accounts: Cloud Accounts.
pub const CLOUD_ACCOUNTS: Technique = VALID_ACCOUNTS.sub("T1078.004", "Cloud Accounts");
/// External Remote Services.
pub const EXTERNAL_REMOTE_SERVICES: Technique =
    technique("TA0001", "Initial Access", "T1133", "External Remote Services");
/// Hardware Additions.
pub const HARDWARE_ADDITIONS: Technique = technique("TA0001", "Initial Access", "T1200", "Hardware Additions");
/// Remote Access Tools: Remote Desktop Software.
pub const REMOTE_DESKTOP_SOFTWARE: Technique =
    technique("TA0011", "Command and Control", "T1219", "Remote Access Tools")
        .sub("T1219.002", "Remote Desktop Software");
/// Remote Access Tools: Remote Access Hardware (IP-KVM).
pub const REMOTE_ACCESS_HARDWARE: Technique =
    technique("TA0011", "Command and Control", "T1219", "Remote Access Tools")
        .sub("T1219.003", "Remote Access Hardware");
/// Proxy: External Proxy.
pub const EXTERNAL_PROXY: Technique =
    technique("TA0011", "Command and Control", "T1090", "Proxy").sub("T1090.002", "External Proxy");
/// Remote Services: Remote Desktop Protocol.
pub const REMOTE_DESKTOP_PROTOCOL: Technique =
    technique("TA0008", "Lateral Movement", "T1021", "Remote Services").sub("T1021.001", "Remote Desktop Protocol");
/// Impersonation.
pub const IMPERSONATION: Technique = technique("TA0005", "Defense Evasion", "T1656", "Impersonation");
