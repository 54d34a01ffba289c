//! What scripts of packages find mounted. Everything is in the mount namespace of this process, and gone with it.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags};

use crate::error::Error;

/// Devices that programs expect; each is that of the building machine.
const DEVICES: &[&str] = &["full", "null", "random", "tty", "urandom", "zero"];
/// Links of every `/dev`.
const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];
/// What is in memory and not in the tree.
const IN_MEMORY: &[(&str, u32)] = &[("/run", 0o755), ("/tmp", 0o1777), ("/dev/shm", 0o1777)];

/// Where something is mounted: what is seen there is not the tree's, and may not be ours to change.
pub(super) const POINTS: &[&str] = &["/proc", "/tmp", "/run", "/dev"];

/// Mounts `/proc`, `/dev`, `/run` and `/tmp` below a root.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn mount(root: &Path) -> Result<(), Error> {
    let below = |path: &str| root.join(path.trim_start_matches('/'));
    tmpfs(&below("/dev"), 0o755)?;
    for name in DEVICES {
        let (from, to) = (PathBuf::from("/dev").join(name), below("/dev").join(name));
        if !from.exists() {
            continue;
        }
        File::create(&to).map_err(Error::io("making", &to))?;
        rustix::mount::mount_bind(&from, &to).map_err(|errno| Error::io("mounting", &to)(errno.into()))?;
    }
    for (name, target) in LINKS {
        let path = below("/dev").join(name);
        symlink(target, &path).map_err(Error::io("making", &path))?;
    }
    for (path, mode) in IN_MEMORY {
        tmpfs(&below(path), *mode)?;
    }
    let proc = below("/proc");
    make(&proc, 0o755)?;
    rustix::mount::mount_bind_recursive("/proc", &proc)
        .map_err(|errno| Error::io("mounting", &proc)(errno.into()))
}

/// What is in memory is empty again; from inside the root.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn empty() -> Result<(), Error> {
    for (path, mode) in IN_MEMORY {
        rustix::mount::unmount(*path, UnmountFlags::DETACH)
            .map_err(|errno| Error::io("unmounting", path)(errno.into()))?;
        tmpfs(Path::new(path), *mode)?;
    }
    Ok(())
}

fn tmpfs(path: &Path, mode: u32) -> Result<(), Error> {
    make(path, mode)?;
    let options = std::ffi::CString::new(format!("mode={mode:o}")).unwrap_or_default();
    rustix::mount::mount("tmpfs", path, "tmpfs", MountFlags::empty(), Some(options.as_c_str()))
        .map_err(|errno| Error::io("mounting", path)(errno.into()))
}

fn make(path: &Path, mode: u32) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(Error::io("making", path))
}
