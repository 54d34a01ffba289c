//! Starting, stopping, and how guests are.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use smbgw_api::GatewayName;
use smbgw_command::{WaitError, wait_until};

use super::answer::Guest as Answer;
use super::call::pvesh::{Guests, Kind, Status};
use super::call::{Call, External, GuestId, pct, qm};
use super::config::file::GuestFile;
use super::{Pve, answer, failure};
use crate::platform::{GuestDetails, GuestState};
use crate::record::{GuestPlan, Record, RecordState};
use crate::{Error, Result};

/// Seconds that a container gets to stop cleanly.
const CONTAINER_STOP: u32 = 30;
/// Seconds that a virtual machine gets.
const MACHINE_STOP: u32 = 120;
/// Time for Proxmox VE's HA to do what it was asked for: it looks every 10 s.
const HA: Duration = Duration::from_secs(180);

impl Pve {
    pub(super) fn start_guest(&self, plan: &GuestPlan) -> Result<()> {
        let guest = self.guest_here(&plan.name)?;
        let id = guest.file.id;
        let call: Call = match guest.file.kind {
            Kind::Container => pct::Start { id }.into(),
            Kind::Machine => qm::Start { id }.into(),
        };
        match self.runner.run(&call.command()) {
            Ok(_) => {}
            Err(error) if failure::said(&error).contains("already running") => {}
            Err(error) => return Err(start_failed(plan, &guest.file, error)),
        }
        if self.is_ha(&guest.file)? { self.await_ha(&guest.file, true) } else { Ok(()) }
    }

    pub(super) fn stop_guest(&self, name: &GatewayName) -> Result<()> {
        let Some(entry) = self.registry()?.gateway(name)? else { return Ok(()) };
        let Some(guest) = self.guest_of(&entry)? else { return Ok(()) };
        match guest.file.kind {
            // one that is taken back while it is made has not served anybody, and would not hear its power button as it boots
            Kind::Machine if entry.record.state == RecordState::Creating => {
                self.shut_down_within(&guest.file, 1)
            }
            _ => self.shut_down(&guest.file),
        }
    }

    /// Stops a guest: cleanly within a time, else by force.
    pub(super) fn shut_down(&self, file: &GuestFile) -> Result<()> {
        let patience = match file.kind {
            Kind::Container => CONTAINER_STOP,
            Kind::Machine => MACHINE_STOP,
        };
        self.shut_down_within(file, patience)
    }

    fn shut_down_within(&self, file: &GuestFile, timeout: u32) -> Result<()> {
        let id = file.id;
        let call: Call = match file.kind {
            Kind::Container => pct::Shutdown { id, timeout }.into(),
            Kind::Machine => qm::Shutdown { id, timeout }.into(),
        };
        match self.runner.run(&call.command()) {
            Ok(_) => {}
            Err(error) if failure::said(&error).contains("not running") => {}
            Err(error) => return Err(failure::failed(&format!("stopping guest {id}"), error)),
        }
        if self.is_ha(file)? { self.await_ha(file, false) } else { Ok(()) }
    }

    pub(super) fn resume_guest(&self, name: &GatewayName) -> Result<()> {
        let guest = self.guest_here(name)?;
        self.call("letting the virtual machine go on", qm::Resume { id: guest.file.id })?;
        Ok(())
    }

    /// For a guest under HA, `pct` and `qm` only ask, and end before anything has happened.
    fn await_ha(&self, file: &GuestFile, running: bool) -> Result<()> {
        let word = if running { "start" } else { "stop" };
        let what = format!("HA to {word} guest {}", file.id);
        let done = wait_until(&what, HA, &self.interrupt, || match self.ask(file) {
            Ok(answer) => ((answer.status == "running") == running).then_some(Ok(())),
            Err(error) => Some(Err(error)),
        });
        match done {
            Ok(result) => result,
            Err(WaitError::TimedOut { .. }) => Err(Error::infrastructure(
                "ha-slow",
                format!("HA did not {word} guest {} within {} s", file.id, HA.as_secs()),
            )
            .hint("`ha-manager status` says what it is doing")),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn ask(&self, file: &GuestFile) -> Result<Answer> {
        let status = Status { node: file.node.clone(), kind: file.kind, id: file.id };
        let output = self.call(&format!("asking how guest {} is", file.id), status)?;
        answer::parse(&format!("guest {}", file.id), &output.stdout)
    }

    pub(super) fn state_of(&self, name: &GatewayName) -> Result<GuestState> {
        match self.guest(name)? {
            Some(guest) => Ok(state(&self.ask(&guest.file)?)),
            None => Ok(GuestState::Absent),
        }
    }

    /// One question for each node and kind. A node that does not answer has no running guests that could be shown.
    pub(super) fn states_of(&self, records: &[Record]) -> Result<Vec<GuestState>> {
        let entries = self.registry()?.gateways()?;
        let mut files = Vec::new();
        for record in records {
            let entry = entries.iter().find(|entry| entry.record.name() == record.name());
            let guest = entry.map_or(Ok(None), |entry| self.guest_of(entry))?;
            files.push(guest.map(|guest| guest.file));
        }
        let mut answers: BTreeMap<(String, Kind), BTreeMap<GuestId, Answer>> = BTreeMap::new();
        for file in files.iter().flatten() {
            let key = (file.node.clone(), file.kind);
            if answers.contains_key(&key) {
                continue;
            }
            let asked = self.call("asking for guests", Guests { node: file.node.clone(), kind: file.kind });
            let list: Vec<Answer> = match asked {
                Ok(output) => answer::parse("guests", &output.stdout)?,
                // the others are worth more than an error about this one
                Err(error) if file.node != self.files.node()? => {
                    tracing::warn!(node = file.node, error = error.chain(), "a node does not answer");
                    Vec::new()
                }
                Err(error) => return Err(error),
            };
            let by_id = list.into_iter().filter_map(|one| Some((GuestId::try_from(one.vmid?).ok()?, one)));
            answers.insert(key, by_id.collect());
        }
        let of = |file: &Option<GuestFile>| match file {
            None => GuestState::Absent,
            Some(file) => answers
                .get(&(file.node.clone(), file.kind))
                .and_then(|list| list.get(&file.id))
                .map_or(GuestState::Stopped, state),
        };
        Ok(files.iter().map(of).collect())
    }

    pub(super) fn details_of(&self, name: &GatewayName) -> Result<GuestDetails> {
        let Some(guest) = self.guest(name)? else { return Ok(GuestDetails::default()) };
        if guest.file.kind == Kind::Container {
            return Ok(GuestDetails::default());
        }
        let answer = self.ask(&guest.file)?;
        let mut details = GuestDetails {
            memory_resident_bytes: answer.mem,
            accelerator: (guest.config.get("kvm") == Some("0"))
                .then(|| "tcg (software emulation)".to_owned()),
            ..GuestDetails::default()
        };
        let id = guest.file.id;
        match answer.qmpstatus.as_deref() {
            Some("paused" | "suspended" | "prelaunch") => {
                details.stands_still = true;
                details
                    .problems
                    .push(format!("the virtual machine stands still: qm resume {id} lets it go on"));
            }
            Some("io-error") => {
                details.stands_still = true;
                details.problems.push(format!(
                    "the virtual machine stands still, because its storage could not be written: free some space, then qm resume {id}"
                ));
            }
            _ => {}
        }
        Ok(details)
    }
}

fn state(answer: &Answer) -> GuestState {
    match answer.status.as_str() {
        // some answers about guests of other nodes have no process id
        "running" => {
            GuestState::Running { pid: answer.pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0) }
        }
        _ => GuestState::Stopped,
    }
}

/// Why a guest did not start. Proxmox VE does not say which directory a container misses.
fn start_failed(plan: &GuestPlan, file: &GuestFile, error: smbgw_command::CommandError) -> Error {
    let said = failure::said(&error);
    if said.contains("can't lock file") || said.contains("is locked (") || said.contains("no quorum") {
        return failure::failed("starting the guest", error);
    }
    let gone = plan.mounts.iter().find(|mount| !Path::new(mount.source.as_str()).is_dir());
    if let Some(mount) = gone {
        return Error::resource(
            "path-missing",
            format!("the directory {} of share {} is not there", mount.source, mount.share),
        )
        .hint("mount its storage or make it again, then start the gateway")
        .source(error);
    }
    let telling = |line: &&str| !line.trim().is_empty() && !line.contains("startup for container");
    let last = said.lines().rev().find(telling).unwrap_or("Proxmox VE gave no reason");
    let last: String = last.trim().chars().filter(|c| !c.is_control()).take(300).collect();
    let base =
        Error::infrastructure("start-failed", format!("{} {} did not start: {last}", plan.kind(), plan.name));
    let base = if said.contains("mount_setattr") || said.contains("idmapped") {
        base.hint("the file system of a share cannot do idmapped mounts; use another one, or mode vm")
    } else if said.contains("newuidmap") || said.contains("uid range") {
        base.hint("root needs the line root:100000:65536 in /etc/subuid and /etc/subgid")
    } else if file.kind == Kind::Container {
        base.hint(format!("`pct start {} --debug` says more", file.id))
    } else {
        base.hint("the task's log in the web interface says more")
    };
    base.source(error)
}
