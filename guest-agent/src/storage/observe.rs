//! What there is of storage, as far as a plan depends on it. Nothing is asked of a virtio-fs: it might not answer.

use std::collections::BTreeMap;

use smbgw_api::FolderPath;
use smbgw_api::v1::{DISK_PATH, DesiredState, Storage};

use super::content::{self, Content};
use super::device::{self, Device};
use super::folder::{self, Access};
use super::mount::{FileSystem, Mount};
use super::mountinfo::{self, Entry};
use super::superblock;
use super::units::{self, Unit};
use crate::agent::Agent;
use crate::error::Result;

/// What a plan starts from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observed {
    /// Mount units of ours.
    pub(crate) units: BTreeMap<String, Unit>,
    /// What is mounted.
    pub(crate) mounts: Vec<Entry>,
    /// The disk, if one is wanted, or why it cannot be used.
    pub(crate) disk: Option<Result<Disk>>,
}

/// The gateway's disk.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    /// The device.
    pub(crate) device: Device,
    /// What is on it.
    pub(crate) content: Content,
    /// Size of the file system on it, if there is one.
    pub(crate) filesystem_bytes: Option<u64>,
    /// Folders that are wanted and there, when it is mounted.
    pub(crate) folders: Option<BTreeMap<FolderPath, Access>>,
}

impl Observed {
    /// Looks, as far as this state needs it.
    pub(crate) fn read(agent: &Agent, desired: &DesiredState) -> Result<Self> {
        let mounts = mountinfo::read(&agent.paths)?;
        let disk = desired.disk.as_ref().map(|_| Disk::read(agent, desired, &mounts));
        Ok(Self { units: units::read(&agent.paths)?, mounts, disk })
    }
}

impl Disk {
    fn read(agent: &Agent, desired: &DesiredState, mounts: &[Entry]) -> Result<Self> {
        let runner = agent.runner.as_ref();
        let device = device::disk(&agent.paths)?;
        let mounted = mountinfo::at(mounts, DISK_PATH)
            .filter(|entry| Mount::disk(String::new(), device.number.clone(), FileSystem::Ext4).is(entry));
        // one that is mounted has been looked at
        let content = match mounted.and_then(|entry| FileSystem::parse(&entry.kind)) {
            Some(file_system) => Content::FileSystem(file_system),
            None => content::look(runner, &device.node, device.bytes)?,
        };
        let filesystem_bytes = match content {
            Content::FileSystem(file_system) => Some(superblock::read(&device.node, file_system)?.bytes),
            _ => None,
        };
        let folders = match mounted {
            Some(_) => Some(folders(agent, desired)?),
            None => None,
        };
        Ok(Self { device, content, filesystem_bytes, folders })
    }
}

fn folders(agent: &Agent, desired: &DesiredState) -> Result<BTreeMap<FolderPath, Access>> {
    let top = agent.paths.disk();
    let mut seen = BTreeMap::new();
    for share in &desired.shares {
        if let Storage::Disk { folder } = &share.storage
            && let Some(access) = folder::look(agent.runner.as_ref(), &top, folder)?
        {
            seen.insert(folder.clone(), access);
        }
    }
    Ok(seen)
}
