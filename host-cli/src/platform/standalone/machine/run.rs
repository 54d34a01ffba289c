//! Starting and stopping a machine, and what it does in between.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use smbgw_api::GatewayName;
use smbgw_command::{Command, WaitError, wait_until};

use super::control::{Control, RunState};
use super::{QEMU, accelerator, claim, group, processes, virtiofsd};
use crate::link::guest_agent::channel::Channel;
use crate::platform::standalone::config::{container_name, veth_name};
use crate::platform::standalone::{Standalone, bridge};
use crate::platform::{GuestDetails, GuestState};
use crate::record::{GuestForm, GuestPlan};
use crate::{Error, Result, durable};

/// Time for QEMU and its helpers to be up.
const START: Duration = Duration::from_secs(30);
/// Time for a guest to shut down when its agent was told to. It takes a second or two, far more when it is emulated.
const CLEAN: Duration = Duration::from_secs(90);
/// The same when it cannot, but other storage may still be written back.
const HOPELESS: Duration = Duration::from_secs(15);
/// Time for a guest to react to its power button.
const BUTTON: Duration = Duration::from_secs(45);
/// Time for processes to end that were killed.
const KILLED: Duration = Duration::from_secs(15);
/// Time for a word with QEMU.
const WORD: Duration = Duration::from_secs(5);

impl Standalone {
    pub(in super::super) fn start_machine(&self, guest: &GuestPlan) -> Result<()> {
        if let GuestState::Running { .. } = self.machine_state(&guest.name)? {
            return Ok(());
        }
        if !guest.mounts.is_empty() && virtiofsd().is_none() {
            return Err(Error::infrastructure("no-virtiofsd", "virtiofsd is not installed on this node").hint(
                "Debian 13: apt-get install virtiofsd; Debian 12: cargo install virtiofsd --root /usr/local",
            ));
        }
        let container = container_name(guest.name.as_str());
        let group = group(&container);
        self.remove_machine_leftovers(guest)?;
        if let GuestForm::Machine { disk: Some(disk), .. } = &guest.form {
            // ours from its creation on; taken again in case it was broken in the meantime
            self.claim_machine_disk(guest)?;
            claim::await_unused(&*self.system, disk, &self.interrupt)?;
        }
        // here, so that a missing QEMU is said plainly; the supervisor finds the answer that was kept
        accelerator::best(&*self.system, self.paths.state())?;
        let card = guest.network()?;
        bridge::forget_neighbour(&*self.system, card)?;
        self.add_tap(card, &veth_name(&card.mac))?;
        std::fs::create_dir_all(&group)
            .map_err(|source| Error::io(format!("making {}", group.display()), source))?;
        let path = self.machine(&guest.name).log();
        let log = new_log(&path)?;
        let program = std::env::current_exe().map_err(|source| Error::io("finding this program", source))?;
        let command = Command::new(program.display().to_string()).args(["machine", guest.name.as_str()]);
        let mut supervisor = self.system.launch(&command, &log)?;
        let socket = self.machine(&guest.name).control();
        let up = wait_until("QEMU to start", START, &self.interrupt, || {
            if let Some(how) = supervisor.ended() {
                return Some(Err(start_failed(guest, &path, &how)));
            }
            let state = Control::open(&socket, WORD).and_then(|mut control| control.run_state());
            matches!(state, Ok(RunState::Running)).then_some(Ok(()))
        });
        match up {
            Ok(started) => started,
            Err(WaitError::TimedOut { .. }) => {
                Err(start_failed(guest, &path, &format!("it is not up after {} s", START.as_secs())))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A machine that stands still, because the node was out of space, goes on.
    pub(in super::super) fn resume_machine(&self, name: &GatewayName) -> Result<()> {
        let mut control = Control::open(&self.machine(name).control(), WORD)?;
        match control.run_state()? {
            RunState::Running => Ok(()),
            _ => control.resume(),
        }
    }

    pub(in super::super) fn stop_machine(&self, name: &GatewayName) -> Result<()> {
        let files = self.machine(name);
        let ended = |what: &str, patience: Duration| {
            let gone = || {
                matches!(self.machine_state(name), Ok(GuestState::Stopped | GuestState::Absent)).then_some(())
            };
            wait_until(what, patience, &self.interrupt, gone).is_ok()
        };
        if let GuestState::Running { .. } = self.machine_state(name)? {
            // one whose agent never came up has not served anybody: there is nothing to wait for
            let came_up = files.seen().exists();
            let word = || Channel::open(&files.channel(), Some(&files.channel_lock()), Instant::now() + WORD);
            let asked = came_up.then(|| word().and_then(Channel::shut_down));
            if let Some(Err(error)) = &asked {
                tracing::debug!(%error, "the guest agent cannot shut the machine down");
            }
            // with storage that is gone the kernel cannot write back what it has, and never comes to an end
            let lost = self.machine_details(name).is_ok_and(|details| details.storage_lost);
            let patience = if lost { HOPELESS } else { CLEAN };
            let clean = matches!(asked, Some(Ok(()))) && ended("the guest to shut down", patience);
            if came_up && !clean && !lost && !self.interrupt.is_set() {
                let pressed = Control::open(&files.control(), WORD).and_then(|mut control| {
                    // a machine that stands still does not feel its power button
                    control.run_state().and_then(|state| match state {
                        RunState::Running => control.power_button().map(|()| true),
                        _ => Ok(false),
                    })
                });
                if matches!(pressed, Ok(true)) {
                    ended("the guest to react to its power button", BUTTON);
                }
            }
            if let GuestState::Running { .. } = self.machine_state(name)? {
                tracing::warn!("a virtual machine did not stop cleanly and is ended");
                let _ = Control::open(&files.control(), WORD).and_then(|mut control| control.quit());
                ended("QEMU to quit", Duration::from_secs(2));
            }
        }
        self.end_processes(name)?;
        match self.machine_plan(name)? {
            Some(guest) => self.remove_machine_leftovers(&guest),
            None => Ok(()),
        }
    }

    /// Ends whatever is still in the machine's group, and removes the group.
    fn end_processes(&self, name: &GatewayName) -> Result<()> {
        let group = group(&container_name(name.as_str()));
        if !group.is_dir() {
            return Ok(());
        }
        let _ = std::fs::write(group.join("cgroup.kill"), "1");
        let gone = || {
            let _ = std::fs::remove_dir(&group);
            (!group.is_dir()).then_some(())
        };
        wait_until(&format!("the processes of gateway {name} to end"), KILLED, &self.interrupt, gone)
            .map_err(Error::from)
    }

    /// What a machine that does not run may have left: its network card's end on the node, sockets, an empty group.
    fn remove_machine_leftovers(&self, guest: &GuestPlan) -> Result<()> {
        let files = self.machine(&guest.name);
        let _ = std::fs::remove_dir(group(&container_name(guest.name.as_str())));
        bridge::remove_port(&*self.system, &veth_name(&guest.network()?.mac))?;
        let mounts = (0..guest.mounts.len()).map(|index| files.mount(index));
        let pids = (0..guest.mounts.len()).map(|index| files.mount(index).with_extension("sock.pid"));
        let sockets =
            [files.control(), files.channel(), files.channel().with_extension("lock"), files.seen()];
        mounts.chain(pids).chain(sockets).try_for_each(|socket| durable::remove_file(&socket))
    }

    pub(in super::super) fn machine_state(&self, name: &GatewayName) -> Result<GuestState> {
        let there = self.machine(name).plan().exists();
        let processes = processes(&group(&container_name(name.as_str())));
        Ok(match processes.iter().find(|process| process.is(QEMU)).or(processes.first()) {
            Some(process) => GuestState::Running { pid: process.pid },
            None if there => GuestState::Stopped,
            None => GuestState::Absent,
        })
    }

    /// What can be seen of a running machine from the node.
    pub(in super::super) fn machine_details(&self, name: &GatewayName) -> Result<GuestDetails> {
        let mut details = GuestDetails::default();
        let Some(guest) = self.machine_plan(name)? else { return Ok(details) };
        let files = self.machine(name);
        let processes = processes(&group(&container_name(name.as_str())));
        if processes.is_empty() {
            return Ok(details);
        }
        if !processes.iter().any(|process| process.is(QEMU)) {
            details.problems.push("QEMU has ended; what it said is in its log: machine.log".to_owned());
            return Ok(details);
        }
        for (index, mount) in guest.mounts.iter().enumerate() {
            let socket = format!("--socket-path={}", files.mount(index).display());
            let alive = processes.iter().any(|process| process.arguments.contains(&socket));
            if !alive {
                details.storage_lost = true;
                details.problems.push(format!(
                    "the virtiofsd of share {} has ended: the share hangs until the gateway is restarted \
                     (pve-smbgateway stop {name}, then start)",
                    mount.share
                ));
            }
        }
        let mut control = Control::open(&files.control(), WORD)?;
        let accelerator =
            if control.kvm()? { super::config::Accelerator::Kvm } else { super::config::Accelerator::Tcg };
        details.accelerator = Some(accelerator.to_string());
        details.memory_resident_bytes =
            Some(processes.iter().filter_map(|process| resident(process.pid)).sum());
        match control.run_state()? {
            RunState::Running => return Ok(details),
            RunState::IoError => details.problems.push(format!(
                "it stands still, because the node could not write for it: free some space on the node, then \
                 pve-smbgateway start {name}"
            )),
            RunState::Paused | RunState::Ended => {
                details.problems.push(format!("it stands still: pve-smbgateway start {name} lets it go on"));
            }
        }
        details.stands_still = true;
        Ok(details)
    }
}

/// Memory of a process in bytes, shared parts by proportion (proc(5), `smaps_rollup`).
fn resident(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

fn new_log(path: &Path) -> Result<File> {
    durable::remove_file(path)?;
    OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| Error::io(format!("making {}", path.display()), source))
}

/// What the log says about a failed start.
fn start_failed(guest: &GuestPlan, log: &Path, how: &str) -> Error {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let said = lines[lines.len().saturating_sub(3)..].join("; ");
    let said = if said.is_empty() { how.to_owned() } else { said };
    let error = Error::infrastructure(
        "start-failed",
        format!("virtual machine {} did not start: {said}", guest.name),
    );
    if said.contains("\"write\" lock") || said.contains("is locked") {
        return error
            .hint("something else has the disk open: another gateway, a virtual machine, or an admin");
    }
    if said.contains("Cannot allocate memory") || said.contains("cannot set up guest memory") {
        return error.hint("the node has too little memory: give less with --vm-memory");
    }
    error.hint(format!("the whole log: {}", log.display()))
}
