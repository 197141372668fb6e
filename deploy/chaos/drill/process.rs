//! One `falsefront run` of a drill: started, killed, frozen, and started again under the same name.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// Longest a stop by SIGTERM may take; the service itself allows 25 s.
const STOPS: Duration = Duration::from_secs(40);

/// A place among a cluster's workers, and whoever fills it just now.
pub(crate) struct Process {
    program: PathBuf,
    config: PathBuf,
    /// What all its lives wrote to standard error.
    pub(crate) log: PathBuf,
    child: Option<Child>,
    /// When the present life began.
    pub(crate) since: Instant,
}

impl Process {
    /// A process that has not been started yet.
    pub(crate) fn new(program: &Path, folder: &Path, instance: &str, config: &str) -> anyhow::Result<Self> {
        let file = folder.join(format!("{instance}.toml"));
        std::fs::write(&file, config)?;
        Ok(Self {
            program: program.to_owned(),
            config: file,
            log: folder.join(format!("{instance}.log")),
            child: None,
            since: Instant::now(),
        })
    }

    /// Starts it, to be killed at `fail_point` if one is named.
    pub(crate) fn start(&mut self, fail_point: Option<&str>) -> anyhow::Result<()> {
        let log: File = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.program);
        command
            .arg("run")
            .arg("--config")
            .arg(&self.config)
            .stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(log).env_remove("FAIL_POINT");
        if let Some(fail_point) = fail_point {
            command.env("FAIL_POINT", fail_point);
        }
        let child = command.spawn();
        self.child = Some(child.with_context(|| format!("{} cannot be started", self.program.display()))?);
        self.since = Instant::now();
        Ok(())
    }

    /// Whether somebody fills the place.
    pub(crate) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// How the present life ended, if it did since the last call.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let Some(child) = &mut self.child else { return Ok(None) };
        let status = child.try_wait()?;
        if status.is_some() {
            self.child = None;
        }
        Ok(status)
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGSTOP for a while, then SIGCONT.
    pub(crate) fn freeze(&self, time: Duration) -> anyhow::Result<()> {
        self.signal("-STOP")?;
        std::thread::sleep(time);
        self.signal("-CONT")
    }

    fn signal(&self, name: &str) -> anyhow::Result<()> {
        if let Some(id) = self.id() {
            Command::new("kill").args([name, &id.to_string()]).status()?;
        }
        Ok(())
    }

    /// SIGTERM; true if it committed and left well.
    pub(crate) fn stop(&mut self) -> anyhow::Result<bool> {
        self.signal("-TERM")?;
        let deadline = Instant::now() + STOPS;
        while self.is_running() && Instant::now() < deadline {
            if let Some(status) = self.ended()? {
                return Ok(status.success());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill()?;
        Ok(false)
    }

    /// Its process id, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
