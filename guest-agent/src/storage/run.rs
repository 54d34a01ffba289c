//! Storage made right, and put back. What is done is on the list before it is tried, so that half of it is undone, too.

use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};

use smbgw_api::FolderPath;
use smbgw_api::v1::{DISK_PATH, DesiredState, Storage};

use super::acl::Acl;
use super::mount::Source;
use super::plan::{Changes, Mounting, Now, Removal};
use super::units::{self, Unit};
use super::{folder, format, mountinfo};
use crate::agent::Agent;
use crate::error::{Doing, Result, storage, with_hint};
use crate::services::Job;

/// Something that was done, in the order it was done.
pub(crate) enum Done {
    /// A file system was made. It is not undone: the disk was empty, and an empty file system is as good.
    Formatted(String),
    /// Folders were made, the deepest last.
    Folders(Vec<FolderPath>),
    /// Users were let into a folder that had this ACL.
    Granted(FolderPath, Acl),
    /// A unit was written, and its mount made right. With it whether the mount point was made.
    Mounted(Mounting, bool),
    /// A unit and its mount were removed.
    Unmounted(String),
    /// The file system of the disk was grown.
    Grown,
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Formatted(device) => write!(f, "made an ext4 file system on the empty disk {device}"),
            Self::Folders(folders) => {
                let names: Vec<&str> = folders.iter().map(FolderPath::as_str).collect();
                write!(f, "made {} on the disk", names.join(", "))
            }
            Self::Granted(folder, _) => write!(f, "let users into folder {folder} of the disk"),
            Self::Mounted(mounting, _) if mounting.now == Now::Right => {
                write!(f, "wrote the unit of {}", mounting.mount)
            }
            Self::Mounted(mounting, _) => write!(f, "mounted {}", mounting.mount),
            Self::Unmounted(unit) => write!(f, "unmounted {unit}"),
            Self::Grown => f.write_str("grew the file system of the disk"),
        }
    }
}

/// All but what must wait until the state is on record. Tries every mount, and gives the first error.
pub(crate) fn change(agent: &Agent, changes: &Changes, done: &mut dyn FnMut(Done)) -> Result<()> {
    if let Some(device) = &changes.format {
        format::format(agent.runner.as_ref(), device, &format::new_uuid()?)?;
        done(Done::Formatted(device.what.clone()));
    }
    for mounting in &changes.mounts {
        let made = mount_point(agent, mounting)?;
        done(Done::Mounted(mounting.clone(), made));
        units::write(&agent.paths, &mounting.mount.unit(), &mounting.mount.render())?;
    }
    if !changes.mounts.is_empty() {
        agent.services.reload()?;
    }
    let needs_disk = |mounting: &&Mounting| !matches!(mounting.mount.source, Source::VirtioFs { .. });
    let (disk, others): (Vec<_>, Vec<_>) = changes.mounts.iter().partition(needs_disk);
    let mut failed: Vec<_> = others.into_iter().filter_map(|mounting| mount(agent, mounting).err()).collect();
    let (disk, folders): (Vec<_>, Vec<_>) =
        disk.into_iter().partition(|mounting| mounting.mount.at == DISK_PATH);
    let ready = disk.into_iter().try_for_each(|mounting| mount(agent, mounting));
    match ready.and_then(|()| prepare(agent, changes, done)) {
        Ok(()) => failed.extend(folders.into_iter().filter_map(|mounting| mount(agent, mounting).err())),
        Err(error) => failed.push(error),
    }
    failed.into_iter().next().map_or(Ok(()), Err)
}

/// The folders on the disk, which is mounted now.
fn prepare(agent: &Agent, changes: &Changes, done: &mut dyn FnMut(Done)) -> Result<()> {
    let (top, runner) = (agent.paths.disk(), agent.runner.as_ref());
    for wanted in &changes.folders {
        let made = folder::make(runner, &top, &wanted.folder, &wanted.users)?;
        if !made.is_empty() {
            done(Done::Folders(made));
        } else if let Some(before) = folder::grant(runner, &top, &wanted.folder, &wanted.grant)? {
            done(Done::Granted(wanted.folder.clone(), before));
        }
    }
    Ok(())
}

/// Makes the directory below a mount, root's alone: while the mount is missing, nobody writes beside it. Gives whether
/// it was made.
fn mount_point(agent: &Agent, mounting: &Mounting) -> Result<bool> {
    let path = agent.paths.below_root(&mounting.mount.at);
    if mounting.now != Now::Nothing {
        return Ok(false);
    }
    match std::fs::symlink_metadata(&path) {
        Ok(meta) if meta.is_dir() => {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))
                .doing(|| format!("closing {}", path.display()))?;
            Ok(false)
        }
        Ok(_) => Err(storage(format!("{} is there and no directory", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let builder = std::fs::DirBuilder::new().mode(0o700).create(&path);
            builder.doing(|| format!("making {}", path.display())).map(|()| true)
        }
        Err(error) => Err(error).doing(|| format!("looking at {}", path.display())),
    }
}

/// Has PID 1 mount it, and looks whether that is what we see.
fn mount(agent: &Agent, mounting: &Mounting) -> Result<()> {
    let (mount, unit) = (&mounting.mount, mounting.mount.unit());
    let job = match mounting.now {
        Now::Right => return Ok(()),
        Now::Nothing => Job::Start,
        Now::Wrong => Job::Restart,
    };
    let hint = format!("`journalctl -u '{unit}'` in the gateway says more");
    agent
        .services
        .run(&unit, job)
        .map_err(|error| with_hint(storage(format!("mounting {mount}: {}", error.message)), hint.clone()))?;
    match mountinfo::at(&mountinfo::read(&agent.paths)?, &mount.at) {
        Some(entry) if mount.is(entry) => Ok(()),
        Some(entry) => {
            let what = format!("{} {} {}", entry.kind, entry.source, entry.root);
            Err(with_hint(storage(format!("mounting {mount}: what is mounted there is {what}")), hint))
        }
        None => Err(with_hint(storage(format!("{mount} was mounted, but the agent does not see it")), hint)),
    }
}

/// Puts one thing back.
pub(crate) fn put_back(agent: &Agent, done: &Done) -> Result<()> {
    let (top, runner) = (agent.paths.disk(), agent.runner.as_ref());
    match done {
        Done::Folders(folders) => folders.iter().rev().try_for_each(|folder| folder::unmake(&top, folder)),
        Done::Granted(folder, before) => folder::restore(runner, &top, folder, before),
        Done::Mounted(mounting, made) => unmount(agent, mounting, *made),
        // an empty file system, or not yet done when anything is put back
        Done::Formatted(_) | Done::Unmounted(_) | Done::Grown => Ok(()),
    }
}

fn unmount(agent: &Agent, mounting: &Mounting, made: bool) -> Result<()> {
    let unit = mounting.mount.unit();
    match &mounting.before {
        // it was wanted before, too: that it is mounted now is no harm
        Some(Unit { text, .. }) if *text == mounting.mount.render() => Ok(()),
        Some(Unit { text, .. }) => {
            units::write(&agent.paths, &unit, text)?;
            agent.services.reload()?;
            if mounting.now == Now::Right { Ok(()) } else { agent.services.run(&unit, Job::Restart) }
        }
        None => {
            let at = Some(mounting.mount.at.clone()).filter(|_| made);
            // what was mounted without us stays
            let stop = mounting.now != Now::Right;
            remove(agent, &Removal { unit, directory: at }, stop)
        }
    }
}

/// Ends what the recorded state does not need any more. Gives every failure, and goes on after it.
pub(crate) fn finish(agent: &Agent, changes: &Changes, done: &mut dyn FnMut(Done)) -> Vec<String> {
    let mut failed = Vec::new();
    for removal in &changes.remove {
        match remove(agent, removal, true) {
            Ok(()) => done(Done::Unmounted(removal.unit.clone())),
            Err(error) => failed.push(error.message),
        }
    }
    if let Some((device, file_system)) = &changes.grow {
        match super::grow::grow_device(agent.runner.as_ref(), device, *file_system) {
            Ok(state) if state.grown => done(Done::Grown),
            Ok(_) => {}
            Err(error) => failed.push(error.message),
        }
    }
    failed
}

/// Removes every mount of ours: for a gateway on which nothing was ever recorded.
pub(crate) fn remove_all(agent: &Agent) -> Result<()> {
    let observed = super::observe::Observed { units: units::read(&agent.paths)?, ..Default::default() };
    let nothing = DesiredState {
        name: smbgw_api::GatewayName::parse("none")
            .map_err(|error| crate::error::internal(error.to_string()))?,
        security: smbgw_api::SecurityProfile::Standard,
        users: Vec::new(),
        groups: Vec::new(),
        shares: Vec::new(),
        disk: None,
        domain: None,
    };
    super::plan::plan(&nothing, &observed).remove.iter().try_for_each(|removal| {
        tracing::warn!(unit = removal.unit, "removing a mount of a change that did not come to its end");
        remove(agent, removal, true)
    })
}

/// The unit stays until its mount is gone: the next change tries again.
fn remove(agent: &Agent, removal: &Removal, stop: bool) -> Result<()> {
    if stop {
        agent.services.run(&removal.unit, Job::Stop)?;
    }
    units::remove(&agent.paths, &removal.unit)?;
    agent.services.reload()?;
    let Some(at) = &removal.directory else { return Ok(()) };
    let path = agent.paths.below_root(at);
    match std::fs::symlink_metadata(&path) {
        Ok(meta) if meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw() => {}
        _ => return Ok(()),
    }
    match std::fs::remove_dir(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => {
            tracing::warn!(path = %path.display(), "is not empty, and stays");
            Ok(())
        }
        other => other.doing(|| format!("removing {}", path.display())),
    }
}

/// Every share without a mount of ours must have a directory: a missing one is a mount of the platform that failed.
pub(crate) fn directories(agent: &Agent, desired: &DesiredState) -> Result<()> {
    for share in desired.shares.iter().filter(|share| share.storage == Storage::Mounted) {
        let path = agent.paths.share(&share.name);
        if !std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()) {
            let error = storage(format!("share {}: {} is not a directory", share.name, path.display()));
            return Err(with_hint(
                error,
                "the share's storage must be mounted there before the gateway serves it",
            ));
        }
    }
    Ok(())
}
