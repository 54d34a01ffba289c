//! Recycle bins. vfs_recycle(8) moves what a client deletes to `.recycle/USER` in the share; this makes these directories, each for
//! its user alone, and removes what is older than the bin's age.
//!
//! * [`prepare`]: the directories
//! * [`purge`]: what is old

pub(crate) mod prepare;
pub(crate) mod purge;

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

/// Name of all bins of a share, as smb.conf has it.
pub(crate) const BINS: &str = ".recycle";

/// Opens a directory; no link is followed.
fn open(parent: impl AsFd, name: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    openat(parent, name, flags, Mode::empty())
}

/// Opens the top directory of a share; what is above belongs to root.
fn open_share(path: &Path) -> Result<OwnedFd, Errno> {
    open(CWD, path)
}
