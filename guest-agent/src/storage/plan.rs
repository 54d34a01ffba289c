//! From desired storage to what is to be done. Pure.

use std::collections::{BTreeMap, BTreeSet};

use smbgw_api::FolderPath;
use smbgw_api::v1::{ApiError, DISK_PATH, DISK_SERIAL, DesiredShare, DesiredState, Storage};

use super::acl::Who;
use super::content::Content;
use super::device::Device;
use super::escape::{LONGEST, mount_unit};
use super::grow::worth_it;
use super::mount::{FileSystem, Mount};
use super::mountinfo;
use super::observe::{Disk, Observed};
use super::units::{self, Unit};
use crate::error::{Result, invalid, storage, with_hint};

/// What is to be done; empty when all is as wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// The disk, if a file system is to be made on it.
    pub(crate) format: Option<Device>,
    /// Mounts that are not right, the disk first.
    pub(crate) mounts: Vec<Mounting>,
    /// Folders to make, or to let users into; outer ones first.
    pub(crate) folders: Vec<Folder>,
    /// Units of ours that are no longer needed, the disk's last.
    pub(crate) remove: Vec<Removal>,
    /// The disk, if its file system can be larger.
    pub(crate) grow: Option<(Device, FileSystem)>,
    /// Why the disk, and what is on it, cannot be mounted.
    pub(crate) problem: Option<ApiError>,
}

/// A mount that is to be made right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mounting {
    /// The mount.
    pub(crate) mount: Mount,
    /// The unit of ours that is there.
    pub(crate) before: Option<Unit>,
    /// What is mounted there.
    pub(crate) now: Now,
}

/// What is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Now {
    /// What should be; only the unit is to be written.
    Right,
    /// Nothing.
    Nothing,
    /// Something else.
    Wrong,
}

/// A folder that must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folder {
    /// Folder.
    pub(crate) folder: FolderPath,
    /// Who gets into it when it is made.
    pub(crate) users: BTreeSet<Who>,
    /// Who gets into it when it is there.
    pub(crate) grant: BTreeSet<Who>,
}

/// A unit of ours that is no longer needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Removal {
    /// Its name.
    pub(crate) unit: String,
    /// Where it mounts, if the directory is to go, too.
    pub(crate) directory: Option<String>,
}

/// Checks the rules between fields that the types cannot hold.
pub(crate) fn check(desired: &DesiredState) -> Result<()> {
    for share in &desired.shares {
        let bad = |why: &str| Err(invalid(format!("share {}: {why}", share.name)));
        match &share.storage {
            Storage::Mounted => continue,
            Storage::VirtioFs { tag } => {
                let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
                if !(1..=36).contains(&tag.len()) || !tag.chars().all(good) || tag.starts_with(['-', '.']) {
                    return bad("a virtio-fs tag has 1 to 36 letters, digits, '-', '_' and '.'");
                }
            }
            Storage::Disk { folder } => {
                if desired.disk.is_none() {
                    return bad("its folder needs a disk, and the gateway has none");
                }
                // a line of a unit file can hold neither
                if folder.as_str().ends_with(char::is_whitespace) || folder.as_str().contains('\\') {
                    return bad("its folder must not end with a space nor contain a backslash");
                }
            }
        }
        if mount_unit(&share.name.guest_path()).len() > LONGEST {
            return bad(
                "its name is too long for a mount unit, where a character outside ASCII takes 4 for each byte",
            );
        }
    }
    Ok(())
}

/// Plans. With a disk that cannot be used, all the rest is in the plan.
pub(crate) fn plan(desired: &DesiredState, observed: &Observed) -> Changes {
    let mut changes = Changes { remove: removals(desired, observed), ..Changes::default() };
    let mut wanted = match plan_disk(desired, observed, &mut changes) {
        Ok(mounts) => mounts,
        Err(problem) => {
            changes.problem = Some(problem);
            Vec::new()
        }
    };
    for share in &desired.shares {
        if let Storage::VirtioFs { tag } = &share.storage {
            wanted.push(Mount::tag(&share.name, tag.clone()));
        }
    }
    changes.mounts = wanted.into_iter().filter_map(|mount| mounting(mount, observed)).collect();
    changes
}

/// The disk and the folders on it.
fn plan_disk(desired: &DesiredState, observed: &Observed, changes: &mut Changes) -> Result<Vec<Mount>> {
    let mut wanted = Vec::new();
    if let (Some(disk), Some(seen)) = (&desired.disk, &observed.disk) {
        let seen = seen.as_ref().map_err(ApiError::clone)?;
        let file_system = match &seen.content {
            Content::FileSystem(file_system) => *file_system,
            Content::Blank | Content::HalfMade if disk.format => {
                changes.format = Some(seen.device.clone());
                FileSystem::Ext4
            }
            other => return Err(unusable(other, &seen.device)),
        };
        let number = &seen.device.number;
        wanted.push(Mount::disk(seen.device.what.clone(), number.clone(), file_system));
        if seen.filesystem_bytes.is_some_and(|bytes| {
            // of xfs we would only complain again and again
            file_system == FileSystem::Ext4 && worth_it(seen.device.bytes, bytes)
        }) {
            changes.grow = Some((seen.device.clone(), file_system));
        }
        for share in &desired.shares {
            if let Storage::Disk { folder } = &share.storage {
                wanted.push(Mount::folder(&share.name, folder.clone(), number.clone()));
            }
        }
        changes.folders = folders(desired, seen);
    }
    Ok(wanted)
}

fn mounting(mount: Mount, observed: &Observed) -> Option<Mounting> {
    let now = match mountinfo::at(&observed.mounts, &mount.at) {
        Some(entry) if mount.is(entry) => Now::Right,
        Some(_) => Now::Wrong,
        None => Now::Nothing,
    };
    let before = observed.units.get(&mount.unit()).cloned();
    let written = before.as_ref().is_some_and(|unit| unit.enabled && unit.text == mount.render());
    (now != Now::Right || !written).then_some(Mounting { mount, before, now })
}

fn removals(desired: &DesiredState, observed: &Observed) -> Vec<Removal> {
    let shares = desired.shares.iter().filter(|share| share.storage != Storage::Mounted);
    let mut wanted: Vec<String> = shares.map(|share| mount_unit(&share.name.guest_path())).collect();
    wanted.extend(desired.disk.as_ref().map(|_| mount_unit(DISK_PATH)));
    let is_wanted = |name: &String| wanted.contains(name);
    let mut gone: Vec<Removal> = observed
        .units
        .iter()
        .filter(|(name, _)| !is_wanted(name))
        .map(|(name, unit)| {
            let at = units::mount_point(&unit.text);
            let served = |at: &String| desired.shares.iter().any(|share| share.name.guest_path() == *at);
            Removal { unit: name.clone(), directory: at.filter(|at| !served(at)) }
        })
        .collect();
    // by name, `srv-…` would come before `var-…`; said outright all the same
    gone.sort_by_key(|removal| removal.unit == mount_unit(DISK_PATH));
    gone
}

/// Folders that are missing, or that somebody is to get into. While the disk is not mounted, that is any of them.
fn folders(desired: &DesiredState, seen: &Disk) -> Vec<Folder> {
    let mut folders: BTreeMap<&FolderPath, Folder> = BTreeMap::new();
    for share in &desired.shares {
        let Storage::Disk { folder } = &share.storage else { continue };
        let users = people(desired, share);
        let entry = folders.entry(folder).or_insert_with(|| Folder {
            folder: folder.clone(),
            users: BTreeSet::new(),
            grant: BTreeSet::new(),
        });
        if share.grant {
            entry.grant.extend(&users);
        }
        entry.users.extend(users);
    }
    let is_due = |folder: &Folder| match seen.folders.as_ref().map(|seen| seen.get(&folder.folder)) {
        Some(Some(access)) => !access.lacking(&folder.grant).is_empty(),
        Some(None) | None => true,
    };
    folders.into_values().filter(is_due).collect()
}

/// Users and groups of a share; all users when it is open to all.
fn people(desired: &DesiredState, share: &DesiredShare) -> BTreeSet<Who> {
    let admission = share.admission();
    let (users, groups) = admission.named();
    let users = desired.users.iter().filter(|user| admission.is_open() || users.contains(&&user.name));
    let groups = desired.groups.iter().filter(|group| groups.contains(&&group.name));
    users.map(|user| Who::User(user.uid)).chain(groups.map(|group| Who::Group(group.gid))).collect()
}

fn unusable(content: &Content, device: &Device) -> ApiError {
    let disk = format!("the gateway's disk ({}, {} MiB)", device.what, device.bytes >> 20);
    match content {
        Content::Blank => {
            with_hint(storage(format!("{disk} is empty")), "give --format to have a file system made on it")
        }
        Content::HalfMade => with_hint(
            storage(format!("{disk} holds a file system that was not made to its end, and no data")),
            "give --format to have it made again",
        ),
        Content::FileSystem(file_system) => storage(format!("{disk} holds {}", file_system.as_str())),
        Content::Other(found) => with_hint(
            storage(format!("{disk} holds {found}; it is never formatted, since it is not empty")),
            format!(
                "attach as {DISK_SERIAL} a disk that holds ext4 or xfs without partitions, or an empty one; if nothing on \
                 this one is needed, clear it on the node (wipefs --all, then zeros over its first and last MiB)"
            ),
        ),
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
