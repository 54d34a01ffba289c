//! Folders on the gateway's disk. Users of an outer folder may do with it what they like while we work in it, so every
//! component is opened without following links, and the tools get the opened directory, not its name.

use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, RenameFlags, fgetxattr, fsync, mkdirat, openat, renameat_with, unlinkat,
};
use rustix::io::Errno;
use smbgw_api::FolderPath;
use smbgw_command::{Command, Runner};

use super::acl::{Acl, Who};
use crate::error::{Doing, Result, storage};

/// Where Samba's acl_xattr keeps the Windows ACL, as our smb.conf tells it.
const NT_ACL: &str = "user.NTACL";
/// Name of a folder until its ACL is complete; the contract has no folder that starts with a dot.
const UNFINISHED: &str = ".smbgw-new";
/// Only root may enter.
const PRIVATE: Mode = Mode::RWXU;

/// Who may enter a folder that is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Access {
    /// Users and groups with an entry of their own.
    pub(crate) named: BTreeSet<Who>,
    /// A Windows administrator has set an ACL. Samba heeds it only while the POSIX ACL beside it is the one it was set
    /// with (it keeps a hash), so from then on we touch neither.
    pub(crate) is_windows: bool,
}

impl Access {
    /// Those of `people` who are to get an entry.
    pub(crate) fn lacking(&self, people: &BTreeSet<Who>) -> BTreeSet<Who> {
        if self.is_windows { BTreeSet::new() } else { people.difference(&self.named).copied().collect() }
    }
}

/// Looks at a folder below `top`; none if it is not there.
pub(crate) fn look(runner: &dyn Runner, top: &Path, folder: &FolderPath) -> Result<Option<Access>> {
    match open(top, folder)? {
        None => Ok(None),
        Some(directory) => access(runner, &directory, folder).map(Some),
    }
}

fn access(runner: &dyn Runner, directory: &OwnedFd, folder: &FolderPath) -> Result<Access> {
    let is_windows = match fgetxattr(directory, NT_ACL, &mut [0u8; 0]) {
        Ok(_) => true,
        Err(Errno::NODATA | Errno::NOTSUP) => false,
        Err(errno) => return Err(storage(format!("folder {folder}: {errno}"))),
    };
    Ok(Access { named: read_acl(runner, directory, folder)?.named(), is_windows })
}

/// Makes a folder for these users: whole or not at all. Gives the parts that were not there, the deepest last.
pub(crate) fn make(
    runner: &dyn Runner,
    top: &Path,
    folder: &FolderPath,
    people: &BTreeSet<Who>,
) -> Result<Vec<FolderPath>> {
    let mut made = Vec::new();
    let parts: Vec<&str> = folder.as_str().split('/').collect();
    let mut parent = open_top(top, folder)?;
    for (index, part) in parts.iter().enumerate() {
        let path =
            FolderPath::parse(&parts[..=index].join("/")).map_err(|error| storage(error.to_string()))?;
        if let Some(next) = step(&parent, part, folder)? {
            parent = next;
            continue;
        }
        let io = |errno: Errno| storage(format!("making folder {path} on the disk: {errno}"));
        // left by an end in the middle; never anything but empty
        match unlinkat(&parent, UNFINISHED, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(io(errno)),
        }
        mkdirat(&parent, UNFINISHED, PRIVATE).map_err(io)?;
        let new = step(&parent, UNFINISHED, folder)?.ok_or_else(|| io(Errno::NOENT))?;
        let users = if index + 1 == parts.len() { people.clone() } else { BTreeSet::new() };
        // the whole ACL: it must not inherit that of an outer share
        write_acl(runner, &new, &Acl::of(&users), folder)?;
        renameat_with(&parent, UNFINISHED, &parent, *part, RenameFlags::NOREPLACE).map_err(io)?;
        fsync(&parent).map_err(io)?;
        made.push(path);
        parent = new;
    }
    Ok(made)
}

/// Gives those an entry who have none. Gives the ACL before, if it was changed.
pub(crate) fn grant(
    runner: &dyn Runner,
    top: &Path,
    folder: &FolderPath,
    people: &BTreeSet<Who>,
) -> Result<Option<Acl>> {
    let Some(directory) = open(top, folder)? else { return Ok(None) };
    let lacking = access(runner, &directory, folder)?.lacking(people);
    if lacking.is_empty() {
        return Ok(None);
    }
    let before = read_acl(runner, &directory, folder)?;
    write_acl(runner, &directory, &before.with(&lacking), folder)?;
    Ok(Some(before))
}

/// Puts an ACL back.
pub(crate) fn restore(runner: &dyn Runner, top: &Path, folder: &FolderPath, acl: &Acl) -> Result<()> {
    match open(top, folder)? {
        Some(directory) => write_acl(runner, &directory, acl, folder),
        None => Ok(()),
    }
}

/// Removes a folder that was made just now, if nothing is in it.
pub(crate) fn unmake(top: &Path, folder: &FolderPath) -> Result<()> {
    let (parent, name) = match folder.as_str().rsplit_once('/') {
        Some((parent, name)) => (FolderPath::parse(parent).ok(), name),
        None => (None, folder.as_str()),
    };
    let parent = match parent {
        Some(parent) => open(top, &parent)?,
        None => Some(open_top(top, folder)?),
    };
    let Some(parent) = parent else { return Ok(()) };
    match unlinkat(&parent, name, AtFlags::REMOVEDIR) {
        // somebody has put something into it: then it stays
        Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
        Err(errno) => Err(storage(format!("removing folder {folder} from the disk: {errno}"))),
    }
}

fn open(top: &Path, folder: &FolderPath) -> Result<Option<OwnedFd>> {
    let mut directory = open_top(top, folder)?;
    for part in folder.as_str().split('/') {
        match step(&directory, part, folder)? {
            Some(next) => directory = next,
            None => return Ok(None),
        }
    }
    Ok(Some(directory))
}

fn flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

fn open_top(top: &Path, folder: &FolderPath) -> Result<OwnedFd> {
    openat(CWD, top, flags(), Mode::empty())
        .map_err(|errno| storage(format!("folder {folder}: the top of the disk, {}: {errno}", top.display())))
}

fn step(directory: &OwnedFd, part: &str, folder: &FolderPath) -> Result<Option<OwnedFd>> {
    match openat(directory, part, flags(), Mode::empty()) {
        Ok(next) => Ok(Some(next)),
        Err(Errno::NOENT) => Ok(None),
        Err(Errno::LOOP | Errno::NOTDIR) => Err(storage(format!(
            "folder {folder}: {part} on the disk is no directory (links are not followed)"
        ))),
        Err(errno) => Err(storage(format!("folder {folder}: opening {part} on the disk: {errno}"))),
    }
}

/// An open directory, as another process names it (proc(5), `/proc/pid/fd`).
fn name(directory: &OwnedFd) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), directory.as_raw_fd())
}

fn read_acl(runner: &dyn Runner, directory: &OwnedFd, folder: &FolderPath) -> Result<Acl> {
    let command = Command::new("getfacl")
        .args(["--omit-header", "--numeric", "--no-effective", "--absolute-names"])
        .arg(name(directory));
    let text = runner.run(&command).and_then(|output| output.text(&command));
    Ok(Acl::parse(&text.doing(|| format!("reading the ACL of folder {folder}"))?))
}

fn write_acl(runner: &dyn Runner, directory: &OwnedFd, acl: &Acl, folder: &FolderPath) -> Result<()> {
    let doing = || format!("setting the ACL of folder {folder}");
    let set = Command::new("setfacl").arg("--set-file=-").arg(name(directory)).stdin(acl.text());
    runner.run(&set).doing(doing)?;
    if acl.has_default() {
        return Ok(());
    }
    let clear = Command::new("setfacl").arg("--remove-default").arg(name(directory));
    runner.run(&clear).doing(doing).map(drop)
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
