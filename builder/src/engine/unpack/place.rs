//! Writing entries of a tree to a file system that is the root by now.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown, lchown, symlink};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags};

use crate::error::Error;
use crate::tree::{Entry, Kind, Tree};

/// Writes what is no directory; those above it are made where they are missing.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn file(
    tree: &Tree,
    entry: &Entry,
    to: &str,
    target: &dyn Fn(&str) -> String,
) -> Result<(), Error> {
    let write = || match &entry.kind {
        Kind::Directory => Ok(()),
        Kind::File(content) => write_file(Path::new(to), entry, tree.bytes(content)),
        Kind::Symlink(points_at) => {
            symlink(points_at, to)?;
            if (entry.uid, entry.gid) != (0, 0) {
                lchown(to, Some(entry.uid), Some(entry.gid))?;
            }
            set_time(Path::new(to), entry.mtime)
        }
        Kind::Hardlink(first) => fs::hard_link(target(first), to),
    };
    let outcome = match write() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = Path::new(to).parent().unwrap_or(Path::new("/"));
            fs::create_dir_all(above).and_then(|()| write())
        }
        other => other,
    };
    outcome.map_err(Error::io("unpacking", to))
}

fn write_file(path: &Path, entry: &Entry, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    if (entry.uid, entry.gid) != (0, 0) {
        fchown(&file, Some(entry.uid), Some(entry.gid))?;
    }
    // after the owner: a change of owner takes set-id bits away
    file.set_permissions(fs::Permissions::from_mode(entry.mode))?;
    for (name, value) in &entry.xattrs {
        rustix::fs::fsetxattr(&file, name.as_str(), value, XattrFlags::empty())?;
    }
    rustix::fs::futimens(&file, &times(entry.mtime))?;
    Ok(())
}

/// Makes a directory, or gives one that is there its mode and owner.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn directory(entry: &Entry, to: &str) -> Result<(), Error> {
    let make = || {
        fs::create_dir_all(to)?;
        lchown(to, Some(entry.uid), Some(entry.gid))?;
        fs::set_permissions(to, fs::Permissions::from_mode(entry.mode))?;
        for (name, value) in &entry.xattrs {
            rustix::fs::setxattr(to, name.as_str(), value, XattrFlags::empty())?;
        }
        set_time(Path::new(to), entry.mtime)
    };
    make().map_err(Error::io("making", to))
}

/// Sets the time of a file.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn date(path: &str, seconds: i64) -> Result<(), Error> {
    set_time(Path::new(path), seconds).map_err(Error::io("setting the time of", path))
}

fn set_time(path: &Path, seconds: i64) -> io::Result<()> {
    Ok(rustix::fs::utimensat(CWD, path, &times(seconds), AtFlags::SYMLINK_NOFOLLOW)?)
}

fn times(seconds: i64) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}
