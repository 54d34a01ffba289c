//! Writing into the tree of a guest. Once it has run, all in it belongs to its root, who may have turned any
//! directory into a link to the node's files: each component is opened without following anything.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, ResolveFlags, fchmod, fchown, mkdirat, openat, openat2, renameat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use crate::{Error, Result};

/// Puts a file (0644, owned by the guest's root) at `relative` below `root`, making missing directories.
///
/// # Errors
/// When a component is a link, or the file system refuses; an old file is untouched then.
pub fn write(root: &Path, relative: &str, content: &str, owner: u32) -> Result<()> {
    let doing = || format!("writing /{relative} of the guest");
    let io = |errno: Errno| Error::io(doing(), errno.into());
    let (parents, name) = relative.rsplit_once('/').unwrap_or(("", relative));
    let mut directory =
        openat(CWD, root, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(io)?;
    for parent in parents.split('/').filter(|p| !p.is_empty()) {
        directory = enter(&directory, parent, owner).map_err(io)?;
    }
    let temporary = format!(".{name}.smbgw");
    let _ = unlinkat(&directory, &temporary, AtFlags::empty());
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(&directory, &temporary, flags, Mode::from_raw_mode(0o644)).map_err(io)?;
    let written = (|| {
        fchown(&fd, Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)))?;
        fchmod(&fd, Mode::from_raw_mode(0o644))?;
        let mut file = File::from(fd);
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        renameat(&directory, &temporary, &directory, name)?;
        Ok::<(), std::io::Error>(())
    })();
    written.map_err(|source| {
        let _ = unlinkat(&directory, &temporary, AtFlags::empty());
        Error::io(doing(), source)
    })
}

fn enter(directory: &OwnedFd, name: &str, owner: u32) -> std::result::Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match openat2(directory, name, flags, Mode::empty(), resolve) {
        Err(Errno::NOENT) => {
            mkdirat(directory, name, Mode::from_raw_mode(0o755))?;
            let made = openat2(directory, name, flags, Mode::empty(), resolve)?;
            fchown(&made, Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)))?;
            Ok(made)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let owner = rustix::process::getuid().as_raw();
        write(dir.path(), "etc/network/interfaces", "x", owner).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("etc/network/interfaces")).unwrap(), "x");

        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("var")).unwrap();
        assert!(write(dir.path(), "var/x", "x", owner).is_err());
        assert!(!outside.path().join("x").exists());

        // a link in place of the file is replaced, not written through
        std::os::unix::fs::symlink(outside.path().join("y"), dir.path().join("etc/hostname")).unwrap();
        write(dir.path(), "etc/hostname", "x", owner).unwrap();
        assert!(!outside.path().join("y").exists());
    }
}
