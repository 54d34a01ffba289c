//! Removing guests. Proxmox VE cannot move one aside, so a deletion under way is a section of our file: until its last step the
//! guest is there, stopped, and can be taken back.

use std::time::{Duration, Instant};

use smbgw_api::{GatewayName, VolumeId};
use smbgw_command::{CommandError, WaitError, wait_until};

use super::answer::Task;
use super::call::pvesh::{Kind, Tasks};
use super::call::{Call, External, GuestId, pct, qm};
use super::cluster::registry::{Registry, Retired};
use super::config::file::GuestFile;
use super::config::guest::GuestConfig;
use super::config::marker::{self, Ownership};
use super::{Pve, answer, failure};
use crate::{Error, Result};

/// Time for a task that was killed to clean up after itself.
const CLEANUP: Duration = Duration::from_secs(60);
/// Time between two questions for tasks.
const POLITE: Duration = Duration::from_secs(3);

impl Pve {
    /// A gateway whose guest is still there is not forgotten, unless a deletion under way remembers it.
    pub(super) fn forget(&self, name: &GatewayName) -> Result<()> {
        let registry = self.registry()?;
        let Some(entry) = registry.gateway(name)? else { return Ok(()) };
        let retired = registry.retired();
        let remembered = retired.iter().any(|one| one.name == *name && Some(one.id) == entry.id);
        if let Some(id) = entry.id.filter(|_| !remembered)
            && let Some((_, config)) = GuestFile::find(&self.files, &self.files.node()?, id)?
            && marker::ownership(&config, &marker::of_gateway(name)) != Ownership::Foreign
        {
            return Err(Error::infrastructure(
                "guest-remains",
                format!("guest {id} of gateway {name} is still there"),
            )
            .hint(format!(
                "`pct destroy {id} --purge 1`, or the same with qm for a virtual machine, removes it"
            )));
        }
        Registry::update(&self.files, |registry| {
            registry.remove(name);
            Ok(())
        })
    }

    /// Removes a gateway's guest, if there is one and it is ours; its directory mappings as well.
    pub(super) fn destroy(&self, name: &GatewayName) -> Result<()> {
        if let Some(entry) = self.registry()?.gateway(name)?
            && let Some(id) = entry.id
        {
            self.remove_guest(name, id)?;
        }
        self.unmap(name, &[])
    }

    /// Removes what a killed task has left of a guest that is to be made now.
    pub(super) fn clear_wreck(&self, name: &GatewayName) -> Result<()> {
        let Some(id) = self.entry(name)?.id else { return Ok(()) };
        let found = GuestFile::find(&self.files, &self.files.node()?, id)?;
        let half_made = |config: &GuestConfig| matches!(config.lock(), Some("create" | "clone"));
        if found.is_some_and(|(_, config)| half_made(&config)) { self.remove_guest(name, id) } else { Ok(()) }
    }

    fn remove_guest(&self, name: &GatewayName, id: GuestId) -> Result<()> {
        let Some((file, config)) = self.settled(&marker::of_gateway(name), id)? else { return Ok(()) };
        self.refuse_loss(&config, id)?;
        self.remove_ours(&file, &config)
    }

    /// A guest of ours, once no dying task has its hands on it. One that has nothing but the lock of a task that is over was
    /// promised to us, and has nothing that could be lost.
    pub(super) fn settled(&self, description: &str, id: GuestId) -> Result<Option<(GuestFile, GuestConfig)>> {
        let here = self.files.node()?;
        let what = format!("the task that makes guest {id} to end");
        let mut due = Instant::now();
        let settled = wait_until(&what, CLEANUP, &self.interrupt, || {
            let (file, config) = match GuestFile::find(&self.files, &here, id) {
                Ok(Some(found)) => found,
                Ok(None) => return Some(Ok(None)),
                Err(error) => return Some(Err(error)),
            };
            match marker::ownership(&config, description) {
                Ownership::Ours => return Some(Ok(Some((file, config)))),
                Ownership::Foreign => return Some(Ok(None)),
                // each question takes a second
                Ownership::Unborn if Instant::now() < due => return None,
                Ownership::Unborn => due = Instant::now() + POLITE,
            }
            match self.has_task(&file) {
                Ok(true) => None,
                Ok(false) => Some(Ok(Some((file, config)))),
                Err(error) => Some(Err(error)),
            }
        });
        match settled {
            Ok(result) => result,
            Err(WaitError::TimedOut { .. }) => Err(Error::infrastructure(
                "guest-unproven",
                format!("guest {id} is half made, and nothing in it says whose it is"),
            )
            .hint(format!(
                "wait for its task, or stop it in the web interface; by hand: `pct unlock {id}; pct destroy {id}`, or the same with qm for a virtual machine"
            ))),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a task works on a guest now.
    fn has_task(&self, file: &GuestFile) -> Result<bool> {
        let asked = Tasks { node: file.node.clone(), id: file.id };
        let output = self.call("asking for tasks", asked)?;
        let tasks: Vec<Task> = answer::parse("tasks", &output.stdout)?;
        Ok(tasks.iter().any(|task| task.endtime.is_none()))
    }

    /// Removes a guest that was proven to be ours.
    pub(super) fn remove_ours(&self, file: &GuestFile, config: &GuestConfig) -> Result<()> {
        let id = file.id;
        if file.node != self.files.node()? {
            return Err(Error::infrastructure(
                "gateway-elsewhere",
                format!("guest {id} is on node {}", file.node),
            )
            .hint(format!("run it on {}", file.node)));
        }
        if matches!(config.lock(), Some("create" | "clone")) {
            match file.kind {
                Kind::Container => self.call("freeing a half-made container", pct::Unlock { id })?,
                Kind::Machine => self.call("freeing a half-made virtual machine", qm::Unlock { id })?,
            };
        }
        let call: Call = match file.kind {
            Kind::Container => pct::Destroy { id, force: true }.into(),
            Kind::Machine => qm::Destroy { id }.into(),
        };
        let destroyed = match self.runner.run(&call.command()) {
            Err(error) if file.kind == Kind::Machine && failure::said(&error).contains("is running") => {
                self.shut_down(file)?;
                self.runner.run(&call.command())
            }
            other => other,
        };
        match destroyed {
            Err(error) if self.is_gone(file, &error)? => Ok(()),
            other => other.map(drop).map_err(|error| failure::failed(&format!("removing guest {id}"), error)),
        }
    }

    fn is_gone(&self, file: &GuestFile, error: &CommandError) -> Result<bool> {
        Ok(matches!(error, CommandError::Failed { .. }) && file.read(&self.files)?.is_none())
    }

    /// What must not be lost with a guest: it is protected, or has data on a volume that would be freed with it.
    fn refuse_loss(&self, config: &GuestConfig, id: GuestId) -> Result<()> {
        if config.get("protection") == Some("1") {
            return Err(Error::resource("guest-protected", format!("guest {id} is protected from removal"))
                .hint("take the protection off in its options, if it is to go"));
        }
        if let Some((key, volume)) = data_volume(config, id) {
            return Err(Error::resource(
                "share-data",
                format!("{key} of guest {id} is the volume {volume}, which would be destroyed with it"),
            )
            .hint(format!(
                "give it to another id first, as `qm disk move {id} {key} --target-vmid OTHER`, or remove it in the web interface if its data is to go"
            )));
        }
        Ok(())
    }

    /// What forbids the removal of a gateway, before anything is stopped.
    pub(super) fn refuse_removal(&self, name: &GatewayName) -> Result<()> {
        let Some(guest) = self.guest(name)? else { return Ok(()) };
        let id = guest.file.id;
        if let Some(lock) = guest.config.lock() {
            return Err(Error::resource("guest-locked", format!("guest {id} is held by a task ({lock})"))
                .hint("wait for it; if no task runs, `pct unlock` or `qm unlock` frees it"));
        }
        self.refuse_loss(&guest.config, id)
    }

    /// Notes that a stopped guest is to go, and keeps it from starting with the node.
    pub(super) fn retire(&self, name: &GatewayName, ticket: &str) -> Result<()> {
        let Some(guest) = self.guest(name)? else { return Ok(()) };
        self.refuse_loss(&guest.config, guest.file.id)?;
        let onboot = guest.config.get("onboot") == Some("1");
        let (node, id, kind) = (guest.file.node.clone(), guest.file.id, guest.file.kind);
        Registry::update(&self.files, |registry| {
            // done twice, what it was before is known from the first time
            if registry.retired_as(ticket).is_none() {
                registry.retire(ticket, &Retired { name: name.clone(), node, id, kind, onboot });
            }
            Ok(())
        })?;
        if onboot { self.start_with_node(&guest.file, false) } else { Ok(()) }
    }

    /// Takes that back.
    pub(super) fn unretire(&self, name: &GatewayName, ticket: &str) -> Result<()> {
        let Some(retired) = self.registry()?.retired_as(ticket) else { return Ok(()) };
        if let Some(guest) = self.guest(name)?
            && retired.onboot
            && guest.config.get("onboot") != Some("1")
        {
            self.start_with_node(&guest.file, true)?;
        }
        Registry::update(&self.files, |registry| {
            registry.unretire(ticket);
            Ok(())
        })
    }

    /// Removes a retired guest for good.
    pub(super) fn purge(&self, ticket: &str) -> Result<()> {
        let Some(retired) = self.registry()?.retired_as(ticket) else { return Ok(()) };
        self.remove_guest(&retired.name, retired.id)?;
        self.unmap(&retired.name, &[])?;
        Registry::update(&self.files, |registry| {
            registry.unretire(ticket);
            Ok(())
        })
    }

    /// One option, and nothing else of the guest.
    fn start_with_node(&self, file: &GuestFile, onboot: bool) -> Result<()> {
        let call: Call = match file.kind {
            Kind::Container => pct::Onboot { id: file.id, onboot }.into(),
            Kind::Machine => qm::Set { id: file.id, onboot, ..qm::Set::default() }.into(),
        };
        self.call("changing its start with the node", call)?;
        Ok(())
    }
}

/// A volume that would be freed with a guest and is not one that came with it.
fn data_volume(config: &GuestConfig, id: GuestId) -> Option<(String, VolumeId)> {
    let its_own = ["rootfs", "scsi0", "efidisk0", "vmstate"];
    config
        .volumes()
        .filter(|(key, _)| !its_own.contains(key))
        .filter_map(|(key, volume)| Some((key.to_owned(), VolumeId::parse(volume).ok()?)))
        .find(|(_, volume)| volume.owner() == Some(id) && !volume.as_str().contains("-cloudinit"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_volumes_that_would_be_freed_count() {
        let own = "rootfs: local:101/vm-101-disk-0.raw\nscsi0: a-b:vm-101-disk-0\nscsi2: a-b:vm-101-cloudinit,media=cdrom\n\
            scsi1: ceph:vm-900-disk-0,serial=x\nscsi2: /dev/zvol/tank/x\nmp0: /tank/x,mp=/srv/smb/x\n";
        assert_eq!(data_volume(&GuestConfig::parse(own), 101), None);
        for line in [
            "mp1: local:101/vm-101-disk-1.raw,mp=/x",
            "unused0: ceph:vm-101-disk-3",
            "scsi1: ceph:vm-101-disk-1,serial=x",
            "\n[snap]\nscsi3: ceph:vm-101-disk-9",
        ] {
            assert!(data_volume(&GuestConfig::parse(&format!("{own}{line}\n")), 101).is_some(), "{line}");
        }
    }
}
