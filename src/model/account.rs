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
    /// Control characters in the name: two names that a screen shows alike are not one account.
    Garbled,
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
            Self::Garbled => "account_garbled",
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
        // Fields of fixed width are padded with NUL.
        let is_padding = |c: char| c.is_whitespace() || c == '\0';
        let name = name.trim_matches(is_padding);
        let name = name.rsplit_once('\\').map_or(name, |(_, user)| user.trim_start());
        if name.is_empty() || name.eq_ignore_ascii_case(SID_OF_NOBODY) {
            return Err(AccountRefusal::Missing);
        }
        if name.len() > ACCOUNT_BYTES_MAX {
            return Err(AccountRefusal::TooLong);
        }
        if name.chars().any(char::is_control) {
            return Err(AccountRefusal::Garbled);
        }
        if is_mask(name) {
            return Err(AccountRefusal::Masked);
        }
        if is_machine(name) {
            return Err(AccountRefusal::Machine);
        }
        if name.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
            return Ok(Self(Cow::Borrowed(name)));
        }
        let lower: String = name.chars().flat_map(char::to_lowercase).collect();
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
/// long for most placeholders and for a principal, and beginning like none that is numbered nor like the longer ones.
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
    let may_be_placeholder = matches!(
        bytes,
        [b'u', b'n', ..] | [b'n', b'o', b't', ..] | [b'a', b'n', b'o', b'n', ..]
    );
    !may_be_numbered
        && !may_be_placeholder
        && (PLACEHOLDER_BYTES_MAX + 1..=ACCOUNT_BYTES_MAX).contains(&bytes.len())
        && bytes[0].is_ascii_alphanumeric()
        && bytes.iter().all(|byte| IS_JOINED[usize::from(*byte)])
}

/// Whether the name is a placeholder, however it is spelled: `(null)`, `Not_Available`, `[unknown]`.
fn is_mask(name: &str) -> bool {
    const PLACEHOLDERS: [&str; 16] = [
        "na",
        "none",
        "null",
        "nil",
        "0",
        "unknown",
        "unknownuser",
        "undefined",
        "unspecified",
        "unavailable",
        "notavailable",
        "notapplicable",
        "nouser",
        "anonymous",
        "anonymoususer",
        "redacted",
    ];
    const BYTES_MAX: usize = 24;
    let is_symbol = |byte: u8| byte.is_ascii_punctuation() || byte == b' ';
    if name.bytes().all(is_symbol) {
        return true;
    }
    let letters = || {
        name.bytes()
            .filter(|byte| !is_symbol(*byte))
            .map(|byte| byte.to_ascii_lowercase())
    };
    name.len() <= BYTES_MAX && PLACEHOLDERS.iter().any(|placeholder| letters().eq(placeholder.bytes()))
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
            "unknown_user",
            "not_available",
            "anonymoususer",
            "unspecified",
            "nonesuch.lee",
            &"a".repeat(320),
            &"a".repeat(321),
        ] {
            assert_eq!(Account::canonical(name), Account::canonical_of_any(name), "{name}");
        }
    }

    #[test]
    fn placeholders_in_any_dress_are_masks() {
        for name in [
            "(null)",
            "<null>",
            "(none)",
            "[unknown]",
            "'n/a'",
            "{null}",
            "\"-\"",
            "- -",
            "Not_Available",
            "not applicable",
            "Unknown User",
            "unknown_user",
            "unknownuser",
            "anonymous user",
            "anonymousUser",
            "unspecified",
            "unavailable",
            "no user",
            r"CORP\(null)",
            " none ",
        ] {
            assert_eq!(Account::canonical(name).unwrap_err(), AccountRefusal::Masked, "{name}");
        }
        for name in [
            "nina",
            "nona.lee",
            "unknown.lee@corp.example",
            "anon.y",
            "n.a.lee",
            "(ann)",
            "norma.user",
        ] {
            assert_eq!(Account::canonical(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn a_name_with_control_characters_is_no_name() {
        for name in ["ann\u{0}", "\u{0}ann\u{0}\u{0}", "ann\r\n"] {
            assert_eq!(Account::canonical(name).unwrap().as_str(), "ann", "{name:?}: padding");
        }
        for name in ["\u{0}", " \u{0} "] {
            assert_eq!(
                Account::canonical(name).unwrap_err(),
                AccountRefusal::Missing,
                "{name:?}"
            );
        }
        for name in [
            "a\u{0}nn",
            "ann\nbob",
            "ann\u{7f}bob",
            "r.lee\u{1b}[2j@corp.example",
            "\u{85}a\u{9b}b",
            "\u{1}",
        ] {
            assert_eq!(
                Account::canonical(name).unwrap_err(),
                AccountRefusal::Garbled,
                "{name:?}"
            );
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
