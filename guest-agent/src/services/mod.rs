//! Service control, behind a narrow trait: systemd in a gateway, a script in tests.

mod systemd;

pub(crate) use systemd::Systemd;

use crate::error::Result;

/// What starts and reloads services. Every call waits until the job is done, with a deadline of its own.
pub(crate) trait Services: Send + Sync {
    /// State of a unit in systemd's words, as `active`.
    fn state(&self, unit: &str) -> Result<String>;

    /// Does something to a unit.
    fn run(&self, unit: &str, job: Job) -> Result<()>;
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
}

impl std::fmt::Display for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Reload => "reload",
            Self::Restart => "restart",
        })
    }
}

#[cfg(test)]
pub(crate) mod fake {
    //! Services of tests: a list of what was done, and a state to set.

    use std::sync::Mutex;

    use super::{Job, Services};
    use crate::error::{Result, samba};

    /// Remembers jobs; fails those in `failing`.
    pub(crate) struct Fake {
        pub(crate) state: Mutex<String>,
        pub(crate) jobs: Mutex<Vec<Job>>,
        pub(crate) failing: Mutex<Vec<Job>>,
    }

    impl Fake {
        pub(crate) fn new(state: &str) -> Self {
            Self { state: Mutex::new(state.into()), jobs: Mutex::default(), failing: Mutex::default() }
        }
    }

    impl Services for std::sync::Arc<Fake> {
        fn state(&self, _unit: &str) -> Result<String> {
            Ok(self.state.lock().unwrap().clone())
        }

        fn run(&self, unit: &str, job: Job) -> Result<()> {
            self.jobs.lock().unwrap().push(job);
            if self.failing.lock().unwrap().contains(&job) {
                return Err(samba(format!("{job} of {unit}: failed")));
            }
            *self.state.lock().unwrap() = "active".into();
            Ok(())
        }
    }
}
