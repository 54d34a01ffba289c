//! Service control, behind a narrow trait: systemd in a gateway, a script in tests.

mod systemd;

pub(crate) use systemd::Systemd;

use crate::error::Result;

/// What starts and reloads services. Every call waits until the job is done, with a deadline of its own.
pub(crate) trait Services: Send + Sync {
    /// State of a unit in systemd's words, as `active`.
    fn state(&self, unit: &str) -> Result<String>;

    /// States of several units, at one go.
    fn states(&self, units: &[&str]) -> Result<Vec<String>> {
        units.iter().map(|unit| self.state(unit)).collect()
    }

    /// Does something to a unit.
    fn run(&self, unit: &str, job: Job) -> Result<()>;

    /// Waits until it can be asked, when the machine has just booted.
    fn ready(&self) -> Result<()> {
        Ok(())
    }

    /// Has the manager read unit files again.
    fn reload(&self) -> Result<()>;
}

/// What can be done to a unit (org.freedesktop.systemd1(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    /// Start it, or wait for a start that is under way.
    Start,
    /// Have it read its configuration again.
    Reload,
    /// Stop and start it.
    Restart,
    /// Stop it.
    Stop,
}

impl std::fmt::Display for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Reload => "reload",
            Self::Restart => "restart",
            Self::Stop => "stop",
        })
    }
}

#[cfg(test)]
pub(crate) mod fake;
