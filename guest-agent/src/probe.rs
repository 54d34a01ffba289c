//! Probe files: the proof that a user of a share can write, and that what is written is that user's.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, statat, unlinkat};
use rustix::io::Errno;
use smbgw_api::spec::{MAX_UID, MIN_UID};
use smbgw_api::v1::{ProbeRequest, ProbeResult};
use smbgw_command::{Command, CommandError};

use crate::agent::Agent;
use crate::error::{self, Result, internal, invalid, storage, with_hint};

/// Exit code of [`write_as_self`] when the file system refuses; its stderr says why.
pub(crate) const REFUSED: u8 = 3;

/// Writes the file as the user: in a process of its own that is that user and nobody else.
pub(crate) fn write(agent: &Agent, request: &ProbeRequest) -> Result<ProbeResult> {
    let directory = open(agent, request)?;
    let program =
        std::env::current_exe().map_err(|error| internal(format!("finding our own program: {error}")))?;
    let path = agent.paths.share(&request.share);
    let command = Command::new(program.to_string_lossy())
        .arg("probe-write")
        .arg(path.to_string_lossy())
        .arg(&request.file)
        .user(request.uid, request.gid.unwrap_or(request.uid));
    match agent.runner.run(&command) {
        Ok(_) => owner(&directory, request),
        Err(CommandError::Failed { code: Some(code), stderr, .. }) if code == i32::from(REFUSED) => {
            let meta = directory.metadata().ok();
            let who = meta.map(|meta| {
                format!(
                    " (its top directory belongs to uid {}, gid {}, mode {:04o})",
                    meta.uid(),
                    meta.gid(),
                    meta.mode() & 0o7777
                )
            });
            let error = storage(format!(
                "uid {} cannot write to share {}: {}{}",
                request.uid,
                request.share,
                stderr.trim(),
                who.unwrap_or_default()
            ));
            Err(with_hint(
                error,
                "give the share's users access to the directory on the node, by owner, group or ACL",
            ))
        }
        Err(error) => Err(internal(error::command("writing the probe file", &error))),
    }
}

/// Removes the file; tells whose it was.
pub(crate) fn remove(agent: &Agent, request: &ProbeRequest) -> Result<ProbeResult> {
    let directory = open(agent, request)?;
    let result = owner(&directory, request)?;
    match unlinkat(&directory, &request.file, AtFlags::empty()) {
        Ok(()) => Ok(result),
        Err(errno) => {
            Err(storage(format!("removing {} from share {}: {errno}", request.file, request.share)))
        }
    }
}

/// Opens the share's directory, which must not be a symlink.
fn open(agent: &Agent, request: &ProbeRequest) -> Result<File> {
    if !request.file_is_valid() {
        return Err(invalid(format!("file: must be {} and 1 to 40 letters or digits", ProbeRequest::PREFIX)));
    }
    for id in [Some(request.uid), request.gid].into_iter().flatten() {
        if !(MIN_UID..=MAX_UID).contains(&id) {
            return Err(invalid(format!("id {id} is outside {MIN_UID}-{MAX_UID}")));
        }
    }
    // a request must not hang in a file system that is dead, and all changes behind it
    crate::storage::check::works(agent, &request.share)?;
    let path = agent.paths.share(&request.share);
    open_directory(&path)
        .map_err(|errno| storage(format!("share {}: opening {}: {errno}", request.share, path.display())))
}

/// Opens the last component without following it; what is above belongs to root. (openat2(2) would say it in one flag,
/// but is not there under systemd's `RestrictSUIDSGID`.)
fn open_directory(path: &Path) -> std::result::Result<File, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty()).map(File::from)
}

fn owner(directory: &File, request: &ProbeRequest) -> Result<ProbeResult> {
    match statat(directory, &request.file, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(ProbeResult { uid: stat.st_uid, gid: stat.st_gid }),
        Err(errno) => Err(storage(format!("{} of share {}: {errno}", request.file, request.share))),
    }
}

/// What the process of [`write()`] does, as the user: makes the file, which must not be there, and writes to it.
pub(crate) fn write_as_self(directory: &Path, file: &str) -> std::result::Result<(), String> {
    if file.contains('/') {
        return Err("a file name has no slash".to_owned());
    }
    let directory = open_directory(directory).map_err(|errno| format!("opening the directory: {errno}"))?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&directory, file, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|errno| format!("making a file: {errno}"))?;
    File::from(file)
        .write_all(b"written by smbgw-agent to see who owns it\n")
        .map_err(|error| format!("writing: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_new_files_only_and_follows_nothing() {
        let root = tempfile::tempdir().unwrap();
        let file = ".smbgw-probe-a";
        write_as_self(root.path(), file).unwrap();
        assert!(write_as_self(root.path(), file).is_err());
        std::os::unix::fs::symlink("/etc", root.path().join("link")).unwrap();
        assert!(write_as_self(&root.path().join("link"), file).is_err());
        std::os::unix::fs::symlink("/tmp/x", root.path().join(".smbgw-probe-b")).unwrap();
        assert!(write_as_self(root.path(), ".smbgw-probe-b").is_err());
        assert!(write_as_self(root.path(), "../x").is_err());
    }
}
