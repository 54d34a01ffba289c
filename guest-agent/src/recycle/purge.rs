//! Removes what has been in a recycle bin for longer than it is kept. Everything goes by opened directories and no link is followed,
//! so nothing outside a bin is ever reached; and each bin is emptied with the rights of the user whose it is, so that nothing goes
//! that this user could not have deleted.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use rustix::fs::{AtFlags, Dir, FileType, fstat, statat, unlinkat};
use rustix::io::Errno;
use smbgw_api::spec::MIN_UID;

use super::{BINS, open, open_share};
use crate::agent::Agent;
use crate::error::{Result, internal};
use crate::state;

/// Seconds of a day.
const DAY: i64 = 86_400;
/// Deepest directory that is looked into: one opened directory a level.
const MAX_DEPTH: u32 = 100;

/// What a purge did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Purged {
    /// Files that went.
    pub(crate) files: u64,
    /// Entries that could not be looked at or removed.
    pub(crate) failed: u64,
}

/// Purges the bins of all shares; `now` in seconds since 1970.
pub(crate) fn purge(agent: &Agent, now: i64) -> Result<()> {
    for share in state::load(&agent.paths)?.map(|state| state.shares).unwrap_or_default() {
        let Some(bin) = share.handling.recycle else { continue };
        // one whose storage hangs must not hold up the others
        if let Err(error) = crate::storage::check::works(agent, &share.name) {
            tracing::warn!(share = %share.name, %error, "the recycle bins were not looked at");
            continue;
        }
        let before = now - i64::from(bin.days.number()) * DAY;
        let path = agent.paths.share(&share.name);
        // a thread of its own, since it becomes one user after the other
        let done = std::thread::scope(|scope| scope.spawn(|| of_share(&path, before, now)).join());
        match done.map_err(|_| internal("purging recycle bins ended badly"))? {
            Ok(Purged { files: 0, failed: 0 }) => {}
            Ok(Purged { files, failed }) => {
                tracing::info!(share = %share.name, files, failed, "removed what was old from the recycle bins");
            }
            Err(errno) => tracing::warn!(share = %share.name, %errno, "the recycle bins were not looked at"),
        }
    }
    Ok(())
}

/// The bins of a share.
fn of_share(path: &Path, before: i64, now: i64) -> std::result::Result<Purged, Errno> {
    let mut purged = Purged::default();
    let bins = match open(open_share(path)?, BINS) {
        Err(Errno::NOENT) => return Ok(purged),
        bins => bins?,
    };
    // all are opened as root: as one user, the bins of the others cannot be
    let mut opened = Vec::new();
    for entry in Dir::read_from(&bins)?.flatten() {
        if entry.file_name() == c"." || entry.file_name() == c".." {
            continue;
        }
        let Ok(bin) = open(&bins, entry.file_name()) else { continue };
        opened.push((fstat(&bin)?.st_uid, bin));
    }
    for (owner, bin) in opened {
        // root's and system users' are none of ours
        if owner >= MIN_UID && become_user(owner) {
            of_bin(bin, before, now, MAX_DEPTH, &mut purged);
        }
    }
    Ok(purged)
}

/// Has this thread reach files as a user does: without root's privileges over them (setfsuid(2), capabilities(7)). From one user
/// to the next, too. Says whether it is so.
fn become_user(uid: u32) -> bool {
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
    setfsgid(group);
    setfsuid(user);
    // both give the id before; an id that is none changes nothing
    let none = u32::MAX;
    setfsuid(Uid::from_raw(none)) == user && setfsgid(Gid::from_raw(none)) == group
}

/// One directory of a bin: files that are older than `before`, then directories in it that have been empty for a day, so that none
/// goes which Samba has just made for a file to come.
fn of_bin(directory: OwnedFd, before: i64, now: i64, depth: u32, purged: &mut Purged) {
    let Ok(entries) = Dir::read_from(directory.as_fd()) else {
        purged.failed += 1;
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let Ok(stat) = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let removed = if is_directory && stat.st_mtime < now - DAY {
            unlinkat(&directory, name, AtFlags::REMOVEDIR)
        } else if is_directory {
            Err(Errno::NOTEMPTY)
        } else if stat.st_mtime < before {
            unlinkat(&directory, name, AtFlags::empty())
        } else {
            continue;
        };
        match removed {
            Ok(()) if is_directory => {}
            Ok(()) => purged.files += 1,
            Err(Errno::NOTEMPTY | Errno::EXIST) if depth > 0 => match open(&directory, name) {
                Ok(inner) => of_bin(inner, before, now, depth - 1, purged),
                Err(_) => purged.failed += 1,
            },
            Err(_) => purged.failed += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, FileTimes};
    use std::time::{Duration, SystemTime};

    use super::*;

    fn old(path: &Path, now: SystemTime, days: u64) {
        let time = now - Duration::from_secs(days * DAY as u64);
        fs::File::open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
    }

    #[test]
    fn only_what_is_old_and_inside_goes() {
        let root = tempfile::tempdir().unwrap();
        let (bin, outside) = (root.path().join("bin"), root.path().join("outside"));
        for directory in [bin.join("a/b"), bin.join("empty"), bin.join("new"), outside.clone()] {
            fs::create_dir_all(directory).unwrap();
        }
        // the clock of the file system that they were just made on
        let clock = fs::metadata(&outside).unwrap().modified().unwrap();
        for file in [bin.join("old"), bin.join("a/b/old"), bin.join("young"), outside.join("old")] {
            fs::write(&file, "x").unwrap();
            old(&file, clock, if file.ends_with("young") { 6 } else { 8 });
        }
        std::os::unix::fs::symlink(&outside, bin.join("link")).unwrap();
        std::os::unix::fs::symlink(outside.join("old"), bin.join("a/link")).unwrap();
        for directory in [bin.join("a/b"), bin.join("a"), bin.join("empty")] {
            old(&directory, clock, 2);
        }
        let now = clock.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
        let mut purged = Purged::default();
        of_bin(open_share(&bin).unwrap(), now - 7 * DAY, now, MAX_DEPTH, &mut purged);
        assert_eq!(purged, Purged { files: 2, failed: 0 });
        let there = |path: &str| bin.join(path).symlink_metadata().is_ok();
        assert!(!there("old") && !there("a/b/old") && !there("empty"));
        // links are young; what has just become empty stays for a day
        assert!(there("young") && there("link") && there("a/link") && there("a/b") && there("new"));
        assert!(outside.join("old").exists());
    }

    #[test]
    fn no_bin_is_no_error_and_a_link_is_none() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(of_share(root.path(), i64::MAX, i64::MAX), Ok(Purged::default()));
        fs::create_dir(root.path().join("precious")).unwrap();
        std::os::unix::fs::symlink("precious", root.path().join(BINS)).unwrap();
        assert!(of_share(root.path(), i64::MAX, i64::MAX).is_err());
    }
}
