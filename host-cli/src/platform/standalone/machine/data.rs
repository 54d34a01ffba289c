//! A machine's data disk on the node: what it is, whose it is, how large it is now.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use smbgw_api::DiskSource;
use smbgw_command::{Command, CommandError, Runner};

use super::claim::{self, Owner};
use super::config::{DATA, blocks};
use super::control::Control;
use crate::platform::DiskFacts;
use crate::platform::standalone::{Standalone, no_storages};
use crate::record::{GuestForm, GuestPlan};
use crate::{Error, Result};

/// Time for a question about a disk; a cluster without quorum never answers.
const ASK: Duration = Duration::from_secs(20);
/// Smallest disk that is worth a file system.
const LEAST: u64 = 64 << 20;

/// Looks at a disk without opening it for writing.
///
/// # Errors
/// Codes `disk-missing`, `disk-unusable`, `disk-in-use`.
pub fn inspect(runner: &dyn Runner, disk: &DiskSource, state: &Path) -> Result<DiskFacts> {
    match disk {
        DiskSource::File(path) => file(Path::new(path.as_str()), state)?,
        DiskSource::Rbd { .. } => {}
        DiskSource::Volume(_) => return Err(no_storages(disk)),
    }
    let bytes = size(runner, disk)?;
    if bytes < LEAST {
        return Err(unusable(disk, &format!("has {bytes} bytes only, it needs {} MiB", LEAST >> 20)));
    }
    Ok(DiskFacts { bytes })
}

fn file(path: &Path, state: &Path) -> Result<()> {
    let shown = path.display();
    let looking = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => Error::resource("disk-missing", format!("there is no disk {shown}"))
            .hint(format!(
                "make one, as `truncate -s 100G {shown}` for an image file, or `zfs create -V 100G POOL/NAME`"
            )),
        _ => Error::io(format!("looking at {shown}"), source),
    };
    let kind = std::fs::metadata(path).map_err(looking)?.file_type();
    let place = std::fs::canonicalize(path).map_err(looking)?;
    if place.starts_with(state) {
        return Err(Error::usage("disk-unusable", format!("{shown} is one of pve-smbgateway's own files")));
    }
    if kind.is_block_device() {
        // refused while it is mounted or part of something else (open(2), O_EXCL on block devices)
        return match OpenOptions::new()
            .read(true)
            .custom_flags(rustix::fs::OFlags::EXCL.bits() as i32)
            .open(path)
        {
            Ok(_) => Ok(()),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error()) => {
                Err(Error::resource(
                    "disk-in-use",
                    format!("{shown} is mounted or otherwise in use on this node"),
                )
                .hint("`lsblk` and `findmnt` show by what"))
            }
            Err(error) => Err(looking(error)),
        };
    }
    if !kind.is_file() {
        return Err(Error::usage(
            "disk-unusable",
            format!("{shown} is neither an image file nor a block device"),
        ));
    }
    let mut magic = [0u8; 4];
    let read = std::fs::File::open(path).and_then(|mut file| file.read(&mut magic)).map_err(looking)?;
    if read == 4 && &magic == b"QFI\xfb" {
        return Err(Error::usage(
            "disk-unusable",
            format!("{shown} is a qcow2 image; a data disk must be raw"),
        )
        .hint(format!("convert it: qemu-img convert -O raw {shown} {shown}.raw")));
    }
    Ok(())
}

/// Size of a disk now.
fn size(runner: &dyn Runner, disk: &DiskSource) -> Result<u64> {
    let command = Command::new("qemu-img")
        .args(["info", "--output=json", "--force-share"])
        .arg(format!("json:{}", serde_json::json!({ "driver": "raw", "file": blocks(disk) })))
        .deadline(ASK);
    let output = runner.run(&command).map_err(|error| not_read(disk, error))?;
    let info: Value = serde_json::from_slice(&output.stdout).map_err(|source| {
        Error::infrastructure("disk-unusable", "qemu-img's answer makes no sense").source(source)
    })?;
    info["virtual-size"].as_u64().ok_or_else(|| unusable(disk, "has no size that qemu-img could tell"))
}

fn not_read(disk: &DiskSource, error: CommandError) -> Error {
    let said = error.stderr().to_owned();
    let is_rbd = matches!(disk, DiskSource::Rbd { .. });
    if is_rbd && (said.contains("Unknown driver") || said.contains("Unknown protocol")) {
        return Error::infrastructure("no-rbd", "QEMU on this node cannot read RBD images")
            .hint("apt-get install qemu-block-extra")
            .source(error);
    }
    if is_rbd && said.contains("No such file or directory") {
        return Error::resource("disk-missing", format!("there is no image {disk}, or no such pool"))
            .hint("`rbd ls POOL` shows images; make one with `rbd create POOL/IMAGE --size 100G`")
            .source(error);
    }
    if is_rbd {
        return Error::infrastructure("ceph-unreachable", format!("{disk} cannot be reached"))
            .hint("`ceph -s` says how the cluster is; /etc/ceph needs ceph.conf and the user's keyring")
            .source(error);
    }
    Error::resource("disk-unusable", format!("{disk} cannot be read")).source(error)
}

fn unusable(disk: &DiskSource, why: &str) -> Error {
    Error::usage("disk-unusable", format!("{disk} {why}"))
}

impl Standalone {
    /// Claims a machine's data disk for it, in the whole cluster.
    pub(in super::super) fn claim_machine_disk(&self, guest: &GuestPlan) -> Result<()> {
        match &guest.form {
            GuestForm::Machine { disk: Some(disk), .. } => {
                claim::take(&*self.system, disk, &Owner::new(&guest.name))
            }
            _ => Ok(()),
        }
    }

    /// Gives it back.
    pub(in super::super) fn release_machine_disk(&self, guest: &GuestPlan) -> Result<()> {
        match &guest.form {
            GuestForm::Machine { disk: Some(disk), .. } => {
                claim::give_back(&*self.system, disk, &Owner::new(&guest.name))
            }
            _ => Ok(()),
        }
    }

    /// Tells a running machine how large its data disk is now; the size in bytes.
    pub(in super::super) fn resize_machine_disk(&self, guest: &GuestPlan) -> Result<u64> {
        let GuestForm::Machine { disk: Some(disk), .. } = &guest.form else {
            return Err(Error::usage("no-disk", format!("gateway {} has no disk of its own", guest.name)));
        };
        let bytes = size(&*self.system, disk)?;
        Control::open(&self.machine(&guest.name).control(), ASK)?.resize(DATA, bytes)?;
        Ok(bytes)
    }
}
