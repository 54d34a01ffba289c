//! The file system made as large as its device, while it is mounted.

use std::time::Duration;

use smbgw_api::v1::{DISK_PATH, DiskState};
use smbgw_command::{Command, Runner};

use super::device::{self, Device};
use super::mount::{FileSystem, Mount};
use super::{mountinfo, superblock};
use crate::agent::Agent;
use crate::error::{Doing, Result, not_found, storage, with_hint};
use crate::state;

/// A file system is grown when this much is free behind it: ext4 has no use for a last group that would hold little
/// more than its own tables, and a new disk's last MiB is left out by intent.
const WORTH_IT: u64 = 16 << 20;
/// Growing by terabytes writes the tables of many groups.
const GROWS: Duration = Duration::from_secs(600);

/// Grows the file system of the gateway's disk.
pub(crate) fn grow(agent: &Agent) -> Result<DiskState> {
    if state::load(&agent.paths)?.is_none_or(|desired| desired.disk.is_none()) {
        return Err(not_found("this gateway has no disk of its own"));
    }
    let device = device::disk(&agent.paths)?;
    let mounts = mountinfo::read(&agent.paths)?;
    let file_system = mountinfo::at(&mounts, DISK_PATH)
        .filter(|entry| Mount::disk(String::new(), device.number.clone(), FileSystem::Ext4).is(entry))
        .and_then(|entry| FileSystem::parse(&entry.kind))
        .ok_or_else(|| {
            let error = storage("the gateway's disk is not mounted");
            with_hint(error, "its health says why; applying the gateway mounts it")
        })?;
    grow_device(agent.runner.as_ref(), &device, file_system)
}

/// Whether there is enough behind the file system.
pub(crate) fn worth_it(device_bytes: u64, filesystem_bytes: u64) -> bool {
    device_bytes.saturating_sub(filesystem_bytes) >= WORTH_IT
}

/// Grows what is on a device.
pub(crate) fn grow_device(
    runner: &dyn Runner,
    device: &Device,
    file_system: FileSystem,
) -> Result<DiskState> {
    let size = || superblock::read(&device.node, file_system).map(|block| block.bytes);
    let before = size()?;
    let unchanged = DiskState { device_bytes: device.bytes, filesystem_bytes: before, grown: false };
    if !worth_it(device.bytes, before) {
        return Ok(unchanged);
    }
    if file_system == FileSystem::Xfs {
        let error = storage("the disk is larger than its file system, which is xfs: gateways grow ext4 only");
        return Err(with_hint(
            error,
            "mount the disk on a machine with xfs_growfs while the gateway is stopped, and grow it there",
        ));
    }
    let command = Command::new("resize2fs").arg(device.node.to_string_lossy()).deadline(GROWS);
    runner.run(&command).doing(|| "growing the file system of the disk".to_owned())?;
    let after = size()?;
    Ok(DiskState { filesystem_bytes: after, grown: after > before, ..unchanged })
}
