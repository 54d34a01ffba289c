//! Programs in virtual machines, by `qm guest exec`, and what a guest agent's silence means.
//!
//! A machine that boots is asked for minutes whether it is up, and each `qm` takes a second of the node's time: that question
//! goes to the guest agent's socket itself, which Proxmox VE, too, opens for each of its own and then leaves.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use smbgw_api::GatewayName;
use smbgw_command::CommandError;

use super::answer::{self, Ran as Answer};
use super::call::pvesh::Kind;
use super::call::{Call, GuestId, qm};
use super::config::file::GuestFile;
use super::{Pve, failure};
use crate::link::guest_agent::channel::Channel;
use crate::link::guest_agent::{GuestExec, Program, Ran};
use crate::{Error, Result};

/// Time after which a guest agent that is not there will not come: an emulated machine takes minutes on a busy node.
const BOOT: Duration = Duration::from_secs(540);

/// Time for the guest agent to show that it is there.
const PING: Duration = Duration::from_secs(6);

/// A virtual machine of this node.
pub(super) struct QmGuest {
    platform: Pve,
    name: GatewayName,
    file: GuestFile,
    /// When it was started, once that was asked for; and whether its agent has answered.
    known: Mutex<Known>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    started: Option<Instant>,
    answered: bool,
}

impl QmGuest {
    pub(super) fn new(platform: Pve, name: GatewayName, node: String, id: GuestId) -> Self {
        let file = GuestFile { node, kind: Kind::Machine, id };
        Self { platform, name, file, known: Mutex::default() }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What it means that `qm` could not run the program: the machine is looked at from outside.
    fn explain(&self, error: CommandError) -> Error {
        let said = failure::said(&error);
        let restart = || format!("pve-smbgateway stop {0}; pve-smbgateway start {0}", self.name);
        if said.contains("No QEMU guest agent configured") {
            return Error::infrastructure(
                "guest-agent-absent",
                "the virtual machine has no guest agent in its options",
            )
            .hint(format!("qm set {} --agent 1, then: {}", self.file.id, restart()))
            .source(error);
        }
        if said.contains("disabled") && self.is_frozen() {
            return Error::infrastructure("guest-frozen", "the guest's file systems are frozen")
                .hint(format!("a backup does that for moments; if it stays so: {}", restart()))
                .source(error);
        }
        let absent = said.contains("agent is not running");
        let silent =
            said.contains("got timeout") || said.contains("- timeout") || said.contains("got no response");
        let stopped = said.contains("not running") && !absent;
        if !(absent || silent || stopped) {
            return failure::failed("running a program in the guest", error).recode("guest-exec-failed");
        }
        match self.look() {
            Ok(()) if absent => self.missing(error),
            Ok(()) => {
                Error::infrastructure("guest-agent-hung", "the guest agent is there but does not answer")
                    .hint(format!("the guest hangs or is overloaded; restart it: {}", restart()))
                    .source(error)
            }
            Err(seen) => seen,
        }
    }

    /// An agent that is not there: not yet, or not at all.
    fn missing(&self, error: CommandError) -> Error {
        let known = *self.known();
        let young = known.started.is_some_and(|started| started.elapsed() < BOOT);
        let base = if young && !known.answered {
            Error::infrastructure("guest-agent-starting", "the guest agent is not up yet")
                .hint("the virtual machine is booting; try again in a moment")
        } else {
            Error::infrastructure("guest-agent-absent", "the guest agent does not run in the virtual machine")
                .hint(format!("pve-smbgateway stop {0}; pve-smbgateway start {0}", self.name))
        };
        base.source(error)
    }

    /// Whether the machine runs. While it is known to be booting, this is not asked again: each question takes a second.
    fn look(&self) -> Result<()> {
        if self.known().started.is_some_and(|started| started.elapsed() < BOOT) {
            return Ok(());
        }
        let answer = self.platform.ask(&self.file)?;
        let stands_still = |code, why: &str| {
            Error::resource(code, format!("the virtual machine stands still{why}"))
                .hint(format!("let it go on: pve-smbgateway start {}", self.name))
        };
        match (answer.status.as_str(), answer.qmpstatus.as_deref()) {
            ("running", Some("io-error")) => {
                Err(stands_still("machine-out-of-space", ", because its storage could not be written"))
            }
            ("running", Some("paused" | "suspended" | "prelaunch")) => {
                Err(stands_still("machine-paused", ""))
            }
            ("running", _) => {
                let age = Duration::from_secs(answer.uptime.unwrap_or(0));
                self.known().started = Instant::now().checked_sub(age);
                Ok(())
            }
            _ => Err(stopped(&self.name)),
        }
    }

    fn is_frozen(&self) -> bool {
        let asked = Call::run(qm::FreezeStatus { id: self.file.id }, &*self.platform.runner);
        asked.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("frozen"))
    }
}

impl GuestExec for QmGuest {
    fn exec(&self, program: &Program, deadline: Instant) -> Result<Ran> {
        let left = deadline.saturating_duration_since(Instant::now()).as_secs().max(1);
        let words = std::iter::once(program.path.clone()).chain(program.args.iter().cloned()).collect();
        let call =
            qm::GuestExec { id: self.file.id, timeout: left, program: words, input: program.input.clone() };
        let output = match Call::run(call, &*self.platform.runner) {
            Ok(output) => output,
            Err(CommandError::Failed { command, code, status, stderr, stdout }) => {
                let error = CommandError::Failed { command, code, status, stderr, stdout };
                let explained = self.explain(error);
                if explained.code == "guest-stopped" {
                    *self.known() = Known::default();
                }
                return Err(explained);
            }
            Err(error) => return Err(error.into()),
        };
        let answer: Answer = answer::parse("a program in the guest", &output.stdout)?;
        if answer.exited != Some(1) {
            return Err(Error::infrastructure(
                "guest-agent-hung",
                format!("the program in the guest did not end within {left} s"),
            )
            .hint(format!(
                "the guest hangs or is overloaded; pve-smbgateway stop {0} and start {0} restart it",
                self.name
            )));
        }
        self.known().answered = true;
        Ok(Ran {
            code: answer.exitcode,
            output: answer.out_data.into_bytes(),
            errors: answer.err_data.into_bytes(),
            truncated: answer.out_truncated == Some(1),
        })
    }

    fn ping(&self) -> Result<()> {
        let socket = self.platform.paths.guest_agent(self.file.id);
        // only the one who starts it asks, and that is one operation at a time
        let Err(silent) = Channel::open(&socket, None, Instant::now() + PING) else { return Ok(()) };
        if silent.code == "guest-stopped" {
            let runs = self.platform.ask(&self.file)?.status == "running";
            // then its socket is elsewhere in this version, and `qm` has to be asked
            return if runs { Ok(()) } else { Err(stopped(&self.name)) };
        }
        let starting = Error::infrastructure("guest-agent-starting", "the guest agent is not up yet");
        Err(starting.hint("the virtual machine is booting; try again in a moment").source(silent))
    }
}

fn stopped(name: &GatewayName) -> Error {
    Error::infrastructure("guest-stopped", "the virtual machine does not run")
        .hint(format!("start it: pve-smbgateway start {name}"))
}
