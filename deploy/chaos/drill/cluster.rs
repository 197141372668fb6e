//! The brokers of a drill: Apache Kafka by `deploy/kafka/local.sh`, stopped, killed and started again node by node.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

/// Longest a node may take to end after it was told to.
const NODE_ENDS: Duration = Duration::from_secs(60);

/// A running cluster; it ends with this value, and with the process.
pub(crate) struct Cluster {
    script: Child,
    data: PathBuf,
    /// `host:port,host:port`.
    pub(crate) brokers: String,
    /// Brokers.
    pub(crate) nodes: usize,
}

impl Cluster {
    /// Starts `nodes` brokers with their logs in `data`, and more options of `local.sh run`.
    ///
    /// # Errors
    /// If they do not come up.
    pub(crate) fn start(data: &Path, nodes: usize, options: &[&str]) -> anyhow::Result<Self> {
        let port = free_ports(nodes * 2)?;
        let mut script = Command::new(script())
            .args(["run", "--with-stdin", "--port", &port.to_string()])
            .args(["--nodes", &nodes.to_string(), "--data"])
            .arg(data)
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("deploy/kafka/local.sh cannot be started")?;
        let output = script.stdout.take().context("no output")?;
        let line = BufReader::new(output).lines().next();
        let line = line.context("the brokers did not start; see the messages above")??;
        let brokers = line
            .strip_prefix("ready ")
            .context("local.sh said something unexpected")?;
        Ok(Self {
            script,
            data: data.to_owned(),
            brokers: brokers.to_owned(),
            nodes,
        })
    }

    /// Stops a broker and waits until it is gone: cleanly, or by SIGKILL.
    ///
    /// # Errors
    /// If it does not end.
    pub(crate) fn stop_node(&self, node: usize, by_force: bool) -> anyhow::Result<()> {
        let pid = std::fs::read_to_string(self.data.join(format!("node-{node}/pid")))?;
        let process = PathBuf::from("/proc").join(pid.trim());
        let status = self
            .node(if by_force { "node-kill" } else { "node-stop" }, node)?
            .wait()?;
        ensure!(status.success(), "broker {node} cannot be stopped: {status}");
        let deadline = Instant::now() + NODE_ENDS;
        while is_alive(&process) {
            ensure!(Instant::now() < deadline, "broker {node} does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Starts a broker again; what is returned ends when it serves.
    ///
    /// # Errors
    /// If the script cannot be run.
    pub(crate) fn start_node(&self, node: usize) -> anyhow::Result<Child> {
        self.node("node-start", node)
    }

    fn node(&self, command: &str, node: usize) -> anyhow::Result<Child> {
        let child = Command::new(script())
            .args([command, "--node", &node.to_string(), "--data"])
            .arg(&self.data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        child.with_context(|| format!("local.sh {command} {node} cannot be run"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}

/// A process that has ended but was not waited for yet does not count.
fn is_alive(process: &Path) -> bool {
    std::fs::read_to_string(process.join("stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .trim_start()
            .starts_with('Z')
    })
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kafka/local.sh")
}

/// The first of `count` neighbouring free ports.
fn free_ports(count: usize) -> anyhow::Result<u16> {
    let count = u16::try_from(count)?;
    loop {
        let first = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let is_free = |offset| {
            first
                .checked_add(offset)
                .is_some_and(|port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        };
        if (0..count).all(is_free) {
            return Ok(first);
        }
    }
}
