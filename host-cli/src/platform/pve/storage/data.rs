//! Data disks of virtual machines: volumes of storages, RBD images that are such volumes, image files and block devices.

use std::path::Path;

use smbgw_api::{DiskSource, StorageId, VolumeId};

use super::settings;
use crate::platform::DiskFacts;
use crate::platform::pve::Pve;
use crate::platform::pve::answer::{self, Volume};
use crate::platform::pve::call::property::value;
use crate::platform::pve::call::pvesh::Volumes;
use crate::platform::pve::config::guest::GuestConfig;
use crate::platform::pve::config::machine::Data;
use crate::platform::standalone::machine;
use crate::record::{GuestForm, GuestPlan};
use crate::{Error, Result};

/// Smallest disk that is worth a file system.
const LEAST: u64 = 64 << 20;

impl Pve {
    /// A disk as `qm` is told.
    pub(in super::super) fn data(&self, disk: &DiskSource) -> Result<Data> {
        Ok(match disk {
            DiskSource::File(path) => Data::Path(path.to_string()),
            DiskSource::Volume(volume) => Data::Volume(volume.clone()),
            DiskSource::Rbd { image, .. } => Data::Volume(settings::rbd_volume(&self.settings()?, image)?),
        })
    }

    pub(in super::super) fn inspect_data(&self, disk: &DiskSource) -> Result<DiskFacts> {
        match self.data(disk)? {
            Data::Path(path) => {
                if path.contains([',', '=']) {
                    return Err(Error::usage("disk-unusable", format!("the path {path} has a ',' or a '='"))
                        .hint("Proxmox VE has no way to write it: rename it, or give a link in /dev"));
                }
                machine::data::inspect(&*self.runner, disk, self.paths.state())
            }
            Data::Volume(volume) => self.inspect_volume(&volume),
        }
    }

    fn inspect_volume(&self, volume: &VolumeId) -> Result<DiskFacts> {
        let storage = StorageId::parse(volume.parts().0)?;
        settings::find(&self.settings()?, &storage)?;
        let asked = Volumes { node: self.files.node()?, storage: storage.clone() };
        let output = self.call(&format!("listing the disks on {storage}"), asked)?;
        let all: Vec<Volume> = answer::parse("the disks on a storage", &output.stdout)?;
        let found = all.iter().find(|one| one.volid == volume.as_str()).ok_or_else(|| {
            Error::resource("disk-missing", format!("there is no volume {volume}")).hint(format!(
                "`pvesm list {storage}` shows those there are; make one: pvesm alloc {storage} 900000 '' 100G"
            ))
        })?;
        if !matches!(found.format.as_str(), "raw" | "") {
            return Err(Error::usage(
                "disk-unusable",
                format!("{volume} is of format {}; a data disk must be raw", found.format),
            )
            .hint("make one with --format raw"));
        }
        match found.size.unwrap_or(0) {
            bytes if bytes < LEAST => Err(Error::usage(
                "disk-unusable",
                format!("{volume} has {bytes} bytes only, it needs {} MiB", LEAST >> 20),
            )
            .hint("make a larger one")),
            bytes => Ok(DiskFacts { bytes }),
        }
    }

    /// Makes sure that no other guest of the cluster has the disk.
    pub(in super::super) fn refuse_foreign_data(&self, plan: &GuestPlan) -> Result<()> {
        let GuestForm::Machine { disk: Some(disk), .. } = &plan.form else { return Ok(()) };
        let wanted = match self.data(disk)? {
            Data::Volume(volume) => volume.to_string(),
            Data::Path(path) => path,
        };
        let own = self.guest(&plan.name)?.map(|guest| self.files.path(&guest.file.name()));
        let nodes = list(&self.files.path("nodes"));
        let folders = nodes.iter().flat_map(|node| ["lxc", "qemu-server"].map(|folder| node.join(folder)));
        for path in folders.flat_map(|folder| list(&folder)) {
            if path.extension().is_none_or(|end| end != "conf") || own.as_ref() == Some(&path) {
                continue;
            }
            let Ok(bytes) = std::fs::read(&path) else { continue };
            let config = GuestConfig::parse(&String::from_utf8_lossy(&bytes));
            let taken = config.volumes().any(|(_, volume)| volume == wanted);
            if taken {
                let id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                return Err(Error::resource("disk-in-use", format!("{wanted} is a disk of guest {id}"))
                    .hint(format!("detach it there first: qm set {id} --delete …, and remove the unused entry without the disk")));
            }
        }
        Ok(())
    }

    /// Size of a running machine's data disk. It is grown by Proxmox VE, which tells the guest.
    pub(in super::super) fn size_of_data(&self, plan: &GuestPlan) -> Result<u64> {
        let GuestForm::Machine { disk: Some(disk), .. } = &plan.form else {
            return Err(Error::usage("no-disk", format!("gateway {} has no disk of its own", plan.name)));
        };
        let guest = self.guest_here(&plan.name)?;
        let known = guest.config.get("scsi1").and_then(|disk| value(disk, "size", "")).and_then(size);
        match known {
            Some(bytes) => Ok(bytes),
            None => Ok(self.inspect_data(disk)?.bytes),
        }
    }
}

/// What is in a directory; nothing when it cannot be listed.
fn list(directory: &Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// A size as Proxmox VE writes it, as `32G` (format `disk-size`).
fn size(text: &str) -> Option<u64> {
    smbgw_api::ByteSize::parse(text).ok().map(smbgw_api::ByteSize::bytes)
}
