//! Account names: one canonical spelling per account, and the names that must never become a key.
//!
//! A masked or placeholder name shared by a whole company would merge everybody into one window and
//! raise an alert storm, so such names are refused here, once, for every format.

use std::borrow::Cow;

/// Longest account name, in bytes, that becomes a key. RFC 5321 allows 254 for an address.
pub const ACCOUNT_BYTES_MAX: usize = 320;

/// Why a name cannot be an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccountRefusal {
    /// No name at all, only white space, or the Windows identifier of nobody.
    Missing,
    /// A mask such as `*****` (Cisco ASA) or a placeholder such as `N/A`.
    Masked,
    /// A computer or well-known service principal: `HOST$`, `ANONYMOUS LOGON`, `SYSTEM`.
    Machine,
    /// Longer than [`ACCOUNT_BYTES_MAX`].
    TooLong,
}

impl AccountRefusal {
    /// The reason as it appears in dead letters and metric labels.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Missing => "account_missing",
            Self::Masked => "account_masked",
            Self::Machine => "account_machine",
            Self::TooLong => "account_too_long",
        }
    }
}

/// A canonical account name: lower case, no `DOMAIN\` prefix, trimmed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Account<'a>(Cow<'a, str>);

impl<'a> Account<'a> {
    /// Canonicalizes `name`, or says why it cannot be an account.
    ///
    /// `CORP\R.Lee` and `r.lee` are one account; `r.lee@corp.example` keeps its domain, because two
    /// domains may employ two people of that name (the roster's aliases join what belongs together).
    ///
    /// # Errors
    /// [`AccountRefusal`] for names that would merge unrelated people or that are no person's.
    #[inline]
    pub fn canonical(name: &'a str) -> Result<Self, AccountRefusal> {
        if is_plainly_canonical(name) {
            return Ok(Self(Cow::Borrowed(name)));
        }
        if name.is_empty() {
            return Err(AccountRefusal::Missing);
        }
        Self::canonical_of_any(name)
    }

    /// No account yet: room for one.
    #[must_use]
    pub fn blank(room: String) -> Self {
        Self(Cow::Owned(room))
    }

    /// The room of its name, if it owns it.
    #[must_use]
    pub fn into_room(self) -> Option<String> {
        match self.0 {
            Cow::Owned(name) => Some(name),
            Cow::Borrowed(_) => None,
        }
    }

    /// Becomes the account of a canonical name in two parts, and uses the room of the former if it owns it.
    #[inline]
    pub fn set_canonical(&mut self, [begin, end]: [&str; 2]) {
        match &mut self.0 {
            Cow::Owned(name) => {
                name.clear();
                name.push_str(begin);
                name.push_str(end);
            }
            borrowed @ Cow::Borrowed(_) => *borrowed = Cow::Owned([begin, end].concat()),
        }
    }

    fn canonical_of_any(name: &'a str) -> Result<Self, AccountRefusal> {
        let name = name.trim();
        let name = name.rsplit_once('\\').map_or(name, |(_, user)| user);
        if name.is_empty() || name.eq_ignore_ascii_case(SID_OF_NOBODY) {
            return Err(AccountRefusal::Missing);
        }
        if name.len() > ACCOUNT_BYTES_MAX {
            return Err(AccountRefusal::TooLong);
        }
        if is_mask(name) {
            return Err(AccountRefusal::Masked);
        }
        if is_machine(name) {
            return Err(AccountRefusal::Machine);
        }
        let is_canonical = name
            .bytes()
            .all(|b| b.is_ascii() && !b.is_ascii_uppercase() && !b.is_ascii_control());
        if is_canonical {
            return Ok(Self(Cow::Borrowed(name)));
        }
        let lower: String = name
            .chars()
            .filter(|c| !c.is_control())
            .flat_map(char::to_lowercase)
            .collect();
        if lower.is_empty() {
            return Err(AccountRefusal::Missing);
        }
        Ok(Self(Cow::Owned(lower)))
    }

    /// The canonical spelling.
    #[must_use]
    #[inline]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same account, owning its name.
    #[must_use]
    pub fn into_owned(self) -> Account<'static> {
        Account(Cow::Owned(self.0.into_owned()))
    }
}

/// Windows writes it where a name could not be resolved, also beside names that it did read.
const SID_OF_NOBODY: &str = "S-1-0-0";

/// Whether the name is canonical at first sight, as most are: one lower-case word of letters, digits and joiners, too
/// long for a placeholder or a principal, and beginning like none that is numbered.
#[inline]
fn is_plainly_canonical(name: &str) -> bool {
    const PLACEHOLDER_BYTES_MAX: usize = "anonymous".len();
    const IS_JOINED: [bool; 256] = {
        let mut table = [false; 256];
        let joined = b"abcdefghijklmnopqrstuvwxyz0123456789.@_-+";
        let mut index = 0;
        while index < joined.len() {
            table[joined[index] as usize] = true;
            index += 1;
        }
        table
    };
    let bytes = name.as_bytes();
    let may_be_numbered = matches!(
        bytes,
        [b's', b'-', ..] | [b'd', b'w', b'm', b'-', ..] | [b'u', b'm', b'f', b'd', b'-', ..]
    );
    !may_be_numbered
        && (PLACEHOLDER_BYTES_MAX + 1..=ACCOUNT_BYTES_MAX).contains(&bytes.len())
        && bytes[0].is_ascii_alphanumeric()
        && bytes.iter().all(|byte| IS_JOINED[usize::from(*byte)])
}

fn is_mask(name: &str) -> bool {
    const PLACEHOLDERS: [&str; 12] = [
        "n/a",
        "na",
        "none",
        "null",
        "nil",
        "unknown",
        "not available",
        "(unknown)",
        "<unknown>",
        "undefined",
        "anonymous",
        "redacted",
    ];
    let symbols_only = name.bytes().all(|b| b.is_ascii_punctuation());
    symbols_only || PLACEHOLDERS.iter().any(|p| name.eq_ignore_ascii_case(p))
}

fn is_machine(name: &str) -> bool {
    // Well-known Windows principals, Microsoft Learn "Security identifiers".
    const PRINCIPALS: [&str; 6] = [
        "anonymous logon",
        "system",
        "local service",
        "network service",
        "window manager",
        "font driver host",
    ];
    let local = name.split('@').next().unwrap_or(name);
    local.ends_with('$')
        || PRINCIPALS.iter().any(|p| name.eq_ignore_ascii_case(p))
        || is_principals_sid(name)
        || is_of_a_session(name)
}

/// The identifier of anonymous logon, the system or its services, or one of a session's window manager or font driver
/// host.
fn is_principals_sid(name: &str) -> bool {
    let Some(identifier) = without_prefix(name, "S-1-5-") else {
        return false;
    };
    ["7", "18", "19", "20"].contains(&identifier) || identifier.starts_with("90-") || identifier.starts_with("96-")
}

/// `DWM-2` and `UMFD-2`: the window manager and the font driver host of session 2.
fn is_of_a_session(name: &str) -> bool {
    let session = without_prefix(name, "DWM-").or_else(|| without_prefix(name, "UMFD-"));
    session.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What follows `prefix`, whatever its case.
fn without_prefix<'n>(name: &'n str, prefix: &str) -> Option<&'n str> {
    let (start, rest) = name.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_names_drop_domain_and_case() {
        assert_eq!(Account::canonical(r" CORP\R.Lee ").unwrap().as_str(), "r.lee");
        assert_eq!(
            Account::canonical("r.lee@corp.example").unwrap().as_str(),
            "r.lee@corp.example"
        );
        assert_eq!(
            Account::canonical("Ünal@corp.example").unwrap().as_str(),
            "ünal@corp.example"
        );
    }

    #[test]
    fn what_is_canonical_at_first_sight_is_canonical() {
        for name in [
            "r.lee@corp.example",
            "anonymous",
            "anonymous0",
            "----------",
            "00u1a2b3c4",
            "R.lee@corp.example",
            "local service",
            "lt-4411000$",
            "service-10",
            "s-1-5-90-0-1",
            "s-1-5-21-7-1001",
            "dwm-1234567",
            "dwm-smithson",
            "umfd-1234567",
            &"a".repeat(320),
            &"a".repeat(321),
        ] {
            assert_eq!(Account::canonical(name), Account::canonical_of_any(name), "{name}");
        }
    }

    #[test]
    fn masks_machines_and_giants_are_refused() {
        for (name, refusal) in [
            ("", AccountRefusal::Missing),
            ("  ", AccountRefusal::Missing),
            ("*****", AccountRefusal::Masked),
            ("-", AccountRefusal::Masked),
            ("N/A", AccountRefusal::Masked),
            ("LT-4411$", AccountRefusal::Machine),
            (r"NT AUTHORITY\SYSTEM", AccountRefusal::Machine),
            ("ANONYMOUS LOGON", AccountRefusal::Machine),
            (r"Window Manager\DWM-3", AccountRefusal::Machine),
            ("dwm-1234567", AccountRefusal::Machine),
            (r"Font Driver Host\UMFD-0", AccountRefusal::Machine),
            ("S-1-5-7", AccountRefusal::Machine),
            ("s-1-5-18", AccountRefusal::Machine),
            ("S-1-5-19", AccountRefusal::Machine),
            ("S-1-5-20", AccountRefusal::Machine),
            ("S-1-5-90-0-3", AccountRefusal::Machine),
            ("s-1-5-96-0-0", AccountRefusal::Machine),
            ("S-1-0-0", AccountRefusal::Missing),
        ] {
            assert_eq!(Account::canonical(name).unwrap_err(), refusal, "{name:?}");
        }
        for name in ["dwm-smith", "umfd-", "s-1-5-21-7-8-9-1001", "s-1-5-180", "s-1-5-9"] {
            assert_eq!(Account::canonical(name).unwrap().as_str(), name);
        }
        assert_eq!(
            Account::canonical(&"a".repeat(1 << 20)).unwrap_err(),
            AccountRefusal::TooLong
        );
    }
}
