//! Processes that live on: started, watched, ended.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::process::{System, describe, not_started};
use crate::{Command, CommandError};

/// A process that lives on until it ends by itself or is killed; dropping this leaves it running.
#[derive(Debug)]
pub struct Service {
    child: Child,
    name: String,
}

impl System {
    /// Starts a process that outlives its starter, in a session of its own, with all it prints in `log`. The command's
    /// deadline and stdin do not apply.
    ///
    /// # Errors
    /// [`CommandError::NotInstalled`], [`CommandError::Start`].
    pub fn launch(&self, command: &Command, log: &File) -> Result<Service, CommandError> {
        let start = |source| CommandError::Start { command: command.display(), source };
        let mut process = self.prepare(command);
        process
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(start)?)
            .stderr(log.try_clone().map_err(start)?);
        own_session(&mut process);
        let child = process.spawn().map_err(|source| not_started(command, source))?;
        Ok(Service { child, name: command.program().to_owned() })
    }
}

impl Service {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Program it runs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it ended, as `exit code 1`; nothing while it runs.
    pub fn ended(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(Some(status)) => Some(describe(status)),
            Ok(None) => None,
            // somebody else has waited for it, so it is over
            Err(error) => Some(format!("an unknown status ({error})")),
        }
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            // it may have ended already, which is what is wanted
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

/// Waits until one of these ends, at most for `patience`.
pub fn wait_for_any(services: &[&Service], patience: Duration) {
    let descriptors: Vec<_> = services
        .iter()
        .filter_map(|service| pidfd_open(Pid::from_raw(service.pid() as i32)?, PidfdFlags::empty()).ok())
        .collect();
    let mut polled: Vec<_> = descriptors.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    let seconds = i64::try_from(patience.as_secs()).unwrap_or(i64::MAX);
    let timeout = Timespec { tv_sec: seconds, tv_nsec: i64::from(patience.subsec_nanos()) };
    // an error is as good as a wake-up: the caller looks at each service anyway
    let _ = poll(&mut polled, Some(&timeout));
}

fn own_session(process: &mut std::process::Command) {
    #[expect(
        unsafe_code,
        reason = "pre_exec is unsafe; setsid(2) is async-signal-safe and allocates nothing"
    )]
    // SAFETY: the closure makes one system call between fork and exec and touches no memory of the parent.
    unsafe {
        process.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nowhere() -> File {
        File::options().write(true).open("/dev/null").unwrap()
    }

    #[test]
    fn a_service_is_watched_to_its_end() {
        let log = nowhere();
        let mut service =
            System::new().launch(&Command::new("sh").args(["-c", "sleep 0.1; exit 7"]), &log).unwrap();
        assert_eq!(service.ended(), None);
        while service.ended().is_none() {
            wait_for_any(&[&service], Duration::from_secs(20));
        }
        assert_eq!(service.ended().unwrap(), "exit code 7");
    }

    #[test]
    fn a_service_can_be_ended() {
        let log = nowhere();
        let mut service = System::new().launch(&Command::new("sleep").arg("60"), &log).unwrap();
        service.terminate();
        wait_for_any(&[&service], Duration::from_secs(20));
        assert_eq!(service.ended().unwrap(), "signal 15");
    }

    #[test]
    fn a_missing_program_is_said_plainly() {
        let log = nowhere();
        let error = System::new().launch(&Command::new("smbgw-no-such-program"), &log).unwrap_err();
        assert!(matches!(error, CommandError::NotInstalled { .. }), "{error}");
    }
}
