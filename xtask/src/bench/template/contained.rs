//! Shell scripts in namespaces of their own: what they mount and start ends with them, or with us, however that is.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use smbgw_command::Interrupt;

/// Far more than any of them needs on a machine that is busy.
const DEADLINE: Duration = Duration::from_secs(1800);
/// How often we look whether it has ended: what is measured is longer by this at most.
const LOOK: Duration = Duration::from_millis(10);
/// Lines of the log that a failure is told with.
const TAIL: usize = 20;

/// A script for bash, which gets `args` as `$1` and so on.
pub(super) struct Contained<'a> {
    pub(super) script: &'a str,
    pub(super) args: Vec<OsString>,
    /// Whether it sees the machine's network; without it nothing can be downloaded.
    pub(super) network: bool,
    /// Takes what it prints.
    pub(super) log: &'a Path,
    pub(super) interrupt: &'a Interrupt,
}

impl Contained<'_> {
    /// Runs it as root. `/dev/shm` is an empty tmpfs of its own, and `TMPDIR`.
    ///
    /// # Errors
    /// When it fails, does not end in time, or the interrupt is set.
    pub(super) fn run(&self) -> Result<()> {
        const FURNISH: &str = "mount -t tmpfs -o mode=1777 tmpfs /dev/shm; export TMPDIR=/dev/shm\n";
        let log = fs::File::create(self.log).with_context(|| format!("making {}", self.log.display()))?;
        let mut command = Command::new("setpriv");
        // when we are killed, unshare is; when unshare is, the first process inside is; and with it all others
        command.args(["--pdeathsig", "KILL", "unshare", "--mount", "--ipc", "--uts", "--pid", "--fork"]);
        command.args(["--kill-child=SIGKILL", "--mount-proc", "--propagation", "private"]);
        if !self.network {
            command.arg("--net");
        }
        command
            .args(["--", "bash", "-eu", "-o", "pipefail", "-c"])
            .arg(format!("{FURNISH}{}", self.script))
            .arg("bash")
            .args(&self.args)
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut child = command.spawn().context("starting setpriv and unshare (package util-linux)")?;
        let end = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            let interrupted = self.interrupt.is_set();
            if interrupted || Instant::now() >= end {
                child.kill()?;
                child.wait()?;
                ensure!(!interrupted, "interrupted");
                bail!("it did not end within {} s: {}", DEADLINE.as_secs(), self.tail());
            }
            sleep(LOOK);
        };
        ensure!(status.success(), "it failed ({status}): {}", self.tail());
        Ok(())
    }

    /// The end of what it said.
    fn tail(&self) -> String {
        let said = fs::read(self.log).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}
