//! A program that runs beside a test, and ends with it at the latest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use smbgw_command::{Interrupt, wait_until};

/// A running program; killed when it is dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Daemon {
    /// Starts it with stdout and stderr into a file.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let file = fs::File::create(log).with_context(|| format!("making {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        Ok(Self { child, name, log: log.to_owned() })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Expects that it still runs.
    ///
    /// # Errors
    /// When it has ended: with the end of what it said.
    pub fn expect_running(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} has ended ({status}): {}", self.name, self.said());
        }
        Ok(())
    }

    /// Waits for something that it makes possible; gives up at once when it has ended.
    ///
    /// # Errors
    /// When it has ended, or the deadline passes: with the end of what it said.
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Result<T> {
        let waited = wait_until(what, deadline, &Interrupt::new(), || match self.expect_running() {
            Ok(()) => ready().map(Ok),
            Err(error) => Some(Err(error)),
        });
        waited.with_context(|| format!("{} says: {}", self.name, self.said()))?
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it does not within the deadline.
    pub fn ended(mut self, deadline: Duration) -> Result<()> {
        let what = format!("the end of {}", self.name);
        wait_until(&what, deadline, &Interrupt::new(), || self.child.try_wait().transpose())??;
        Ok(())
    }

    /// Asks it to end.
    ///
    /// # Errors
    /// When it does not within half a minute.
    pub fn stop(self) -> Result<()> {
        self.signal(Signal::TERM)?;
        self.ended(Duration::from_secs(30))
    }

    /// Ends it at once, as a power cut would.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn kill(self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.ended(Duration::from_secs(30))
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no process id")?;
        kill_process(pid, signal).with_context(|| format!("ending {}", self.name))
    }

    /// The end of what it said.
    pub fn said(&self) -> String {
        let text = String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned();
        let from = text.char_indices().rev().nth(2000).map_or(0, |(place, _)| place);
        text[from..].trim().to_owned()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
