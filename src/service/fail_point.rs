//! Named places in a worker where a test may kill the process.
//!
//! Only the cargo feature `fail-points` gives them an effect; without it a call compiles to nothing.
//! `FAIL_POINT=accounts:commit.after:3` ends the process with SIGKILL when the accounts stage passes
//! `commit.after` for the third time; `*` stands for any stage.

use super::worker::stage::Role;

/// Every name, in the order in which a record meets them.
pub const NAMES: [&str; 14] = [
    "begin.before",
    "begin.after",
    "send.before",
    "send.after",
    "drain.before",
    "drain.after",
    "send_offsets.after",
    "commit.during",
    "commit.after",
    "revoke",
    "restore.settle",
    "restore.chunks",
    "restore.replay",
    "restore.resume",
];

/// Passes the point `name` of a stage: ends the process if that was asked for.
#[cfg(not(feature = "fail-points"))]
#[inline]
pub(super) fn pass(_role: Role, _name: &'static str) {}

/// Passes the point `name` of a stage: ends the process if that was asked for.
#[cfg(feature = "fail-points")]
pub(super) fn pass(role: Role, name: &'static str) {
    use std::sync::LazyLock;
    static ARMED: LazyLock<Option<Armed>> = LazyLock::new(|| Armed::parse(&std::env::var("FAIL_POINT").ok()?));
    if let Some(armed) = &*ARMED
        && armed.is_reached(role, name)
    {
        if name.ends_with(".during") {
            std::thread::spawn(|| {
                let me = u64::from(std::process::id());
                std::thread::sleep(std::time::Duration::from_micros(me % STEPS * STEP_US));
                end();
            });
        } else {
            end();
        }
    }
}

/// A step that was left under way ends within this many times [`STEP_US`], which is about what a commit takes.
#[cfg(feature = "fail-points")]
const STEPS: u64 = 12;
#[cfg(feature = "fail-points")]
const STEP_US: u64 = 150;

#[cfg(feature = "fail-points")]
fn end() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}

#[cfg(feature = "fail-points")]
struct Armed {
    role: String,
    name: String,
    left: std::sync::atomic::AtomicU32,
}

#[cfg(feature = "fail-points")]
impl Armed {
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split(':');
        let (role, name, left) = (fields.next()?, fields.next()?, fields.next()?.parse().ok()?);
        if !NAMES.contains(&name) {
            tracing::error!(name, known = ?NAMES, "no such fail point");
            return None;
        }
        Some(Self {
            role: role.to_owned(),
            name: name.to_owned(),
            left: std::sync::atomic::AtomicU32::new(left),
        })
    }

    /// Counts this pass; true for the one that was asked for.
    fn is_reached(&self, role: Role, name: &str) -> bool {
        use std::sync::atomic::Ordering;
        let is_ours = self.name == name && (self.role == "*" || self.role == role.as_str());
        is_ours && self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

#[cfg(all(test, feature = "fail-points"))]
mod tests {
    use super::*;

    #[test]
    fn the_asked_for_pass_is_reached_once() {
        let armed = Armed::parse("accounts:commit.after:2").unwrap();
        let passes = [
            (Role::Accounts, "commit.after"),
            (Role::Intake, "commit.after"),
            (Role::Accounts, "commit.before"),
            (Role::Accounts, "commit.after"),
            (Role::Accounts, "commit.after"),
        ];
        let reached: Vec<bool> = passes
            .iter()
            .map(|(role, name)| armed.is_reached(*role, name))
            .collect();
        assert_eq!(reached, [false, false, false, true, false]);
        assert!(Armed::parse("*:revoke:1").unwrap().is_reached(Role::Entities, "revoke"));
        assert!(Armed::parse("*:nowhere:1").is_none());
        assert!(Armed::parse("*:revoke").is_none());
    }
}
