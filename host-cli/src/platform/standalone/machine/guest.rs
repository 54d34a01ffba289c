//! The guest agent of a machine of ours, and what its silence means.

use std::time::{Duration, Instant};

use smbgw_api::GatewayName;

use super::control::{Control, RunState};
use crate::link::guest_agent::channel::Channel;
use crate::link::guest_agent::{GuestExec, Program, Ran};
use crate::platform::GuestState;
use crate::platform::standalone::Standalone;
use crate::{Error, Result};

/// Time after which a guest agent that is not there will not come: an emulated machine takes a minute, several on a busy node.
const BOOT: Duration = Duration::from_secs(540);
/// Time for the guest agent to show that it is there.
const PING: Duration = Duration::from_secs(6);
/// Time for a word with QEMU.
const WORD: Duration = Duration::from_secs(3);

/// A machine by name.
pub(in super::super) struct Guest {
    platform: Standalone,
    name: GatewayName,
}

impl Guest {
    pub(in super::super) fn new(platform: Standalone, name: GatewayName) -> Self {
        Self { platform, name }
    }

    /// The guest agent's channel, with an agent that answers; the cause, if not.
    fn channel(&self, deadline: Instant) -> Result<Channel> {
        self.look()?;
        let files = self.platform.machine(&self.name);
        Channel::open(&files.channel(), Some(&files.channel_lock()), deadline)
    }

    /// Notes that the guest agent has answered: tells one that has ended from one that is not up yet.
    fn note(&self) {
        let seen = self.platform.machine(&self.name).seen();
        let _ = std::fs::OpenOptions::new().create(true).append(true).open(seen);
    }

    /// By [`Self::look`] it is there; then silence means that it does not react.
    fn explain(&self, error: Error) -> Error {
        match error.code {
            "guest-agent-silent" => {
                Error::infrastructure("guest-agent-hung", "the guest agent is there but does not answer")
                    .hint(format!(
                        "the guest hangs or is overloaded; pve-smbgateway stop {0} and start {0} restart it",
                        self.name
                    ))
                    .source(error)
            }
            _ => error,
        }
    }

    /// Looks at the machine from outside before anything is asked inside: each cause of silence is told at once.
    fn look(&self) -> Result<()> {
        let GuestState::Running { pid } = self.platform.machine_state(&self.name)? else {
            return Err(Error::infrastructure("guest-stopped", "the virtual machine does not run")
                .hint(format!("start it: pve-smbgateway start {}", self.name)));
        };
        let mut control = Control::open(&self.platform.machine(&self.name).control(), WORD)?;
        match control.run_state()? {
            RunState::Running => {}
            RunState::IoError => {
                return Err(Error::resource(
                    "machine-out-of-space",
                    "the virtual machine stands still, because the node could not write for it",
                )
                .hint(format!("free some space on the node, then: pve-smbgateway start {}", self.name)));
            }
            RunState::Paused | RunState::Ended => {
                return Err(Error::infrastructure("machine-paused", "the virtual machine stands still")
                    .hint(format!("let it go on: pve-smbgateway start {}", self.name)));
            }
        }
        if control.channel_is_open("qga")? {
            return Ok(());
        }
        let seen = self.platform.machine(&self.name).seen().exists();
        Err(if !seen && age(pid).is_some_and(|age| age < BOOT) {
            Error::infrastructure("guest-agent-starting", "the guest agent is not up yet")
                .hint("the virtual machine is booting; try again in a moment")
        } else {
            Error::infrastructure("guest-agent-absent", "the guest agent does not run in the virtual machine")
                .hint(format!("pve-smbgateway stop {0}; pve-smbgateway start {0}", self.name))
        })
    }
}

impl GuestExec for Guest {
    fn exec(&self, program: &Program, deadline: Instant) -> Result<Ran> {
        let ran = self.channel(deadline).and_then(|mut channel| channel.exec(program));
        ran.inspect(|_| self.note()).map_err(|error| self.explain(error))
    }

    fn ping(&self) -> Result<()> {
        let there = self.channel(Instant::now() + PING).map(drop);
        there.inspect(|()| self.note()).map_err(|error| self.explain(error))
    }
}

/// How long a process has run (proc(5), `stat`, field 22, in clock ticks since boot; a tick is 10 ms on Linux).
fn age(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let started: u64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_secs_f64((uptime - started as f64 / 100.0).max(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_young() {
        assert!(age(std::process::id()).unwrap() < Duration::from_secs(3600));
        assert!(age(u32::MAX).is_none());
    }
}
