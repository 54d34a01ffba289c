//! A run of one of the programs: the node, what it accepts, and what goes wrong in it.

use std::fs::{File, OpenOptions};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, getpid, kill_process};

use crate::faults::Fault;
use crate::options::{self, Options};
use crate::refusal::{Refusal, Result, refuse};
use crate::schema::Table;
use crate::world::Node;

/// One run.
pub struct Sim {
    /// Where it runs.
    pub node: Node,
    /// What it accepts.
    pub table: Table,
    /// What goes wrong.
    pub fault: Option<Fault>,
}

/// A guest that is locked, until it is dropped.
pub struct GuestLock {
    _file: File,
}

impl Sim {
    /// Reads the arguments of a command.
    ///
    /// # Errors
    /// When there is no such command, or its arguments are wrong.
    pub fn options(&self, command: &str, arguments: &[String]) -> Result<Options> {
        let call = self
            .table
            .command(command)
            .ok_or_else(|| Refusal::new(format!("ERROR: unknown command '{command}'")))?;
        let places: Vec<String> = call.args.iter().map(|name| format!("<{name}>")).collect();
        let usage = format!("{command} {} [OPTIONS]\n", places.join(" "));
        options::parse(&self.table, call, &usage, arguments, &[("node", &self.node.name)])
    }

    /// Something that goes wrong before anything is done.
    ///
    /// # Errors
    /// With what does.
    pub fn before(&self) -> Result<()> {
        match &self.fault {
            Some(Fault::Fail(text)) => refuse(text.clone()),
            Some(Fault::QuorumBefore) => {
                self.lose_quorum();
                Ok(())
            }
            Some(Fault::Hang) => hang(),
            _ => Ok(()),
        }
    }

    /// Something that goes wrong in the middle of a call that changes things.
    pub fn middle(&self) {
        match self.fault {
            Some(Fault::Kill) => kill(),
            Some(Fault::QuorumMiddle) => self.lose_quorum(),
            _ => {}
        }
    }

    /// Something that goes wrong when all is done.
    ///
    /// # Errors
    /// Never; it may not return.
    pub fn after(&self) -> Result<()> {
        match self.fault {
            Some(Fault::QuorumAfter) => self.lose_quorum(),
            Some(Fault::KillAfter) => kill(),
            Some(Fault::HangAfter) => return hang(),
            _ => {}
        }
        Ok(())
    }

    fn lose_quorum(&self) {
        let _ = std::fs::write(self.node.control("quorum"), "0");
    }

    /// Locks a guest as its programs do: 10 seconds. Source: PVE::AbstractConfig, PVE::Tools `lock_file`.
    ///
    /// # Errors
    /// When somebody else has it for too long.
    pub fn lock(&self, path: &str) -> Result<GuestLock> {
        let timeout = || Refusal::new(format!("can't lock file '{path}' - got timeout"));
        if self.fault == Some(Fault::LockTimeout) {
            eprintln!("trying to acquire lock...");
            return Err(timeout());
        }
        if let Some(parent) = std::path::Path::new(path).parent() {
            std::fs::create_dir_all(parent)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let end = Instant::now() + Duration::from_secs(10);
        while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            if Instant::now() >= end {
                return Err(timeout());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(GuestLock { _file: file })
    }
}

fn kill() {
    let own: Pid = getpid();
    let _ = kill_process(own, Signal::KILL);
}

fn hang() -> Result<()> {
    // until whoever started us has had enough
    std::thread::sleep(Duration::from_secs(3600));
    refuse("simulated: hung for an hour")
}
