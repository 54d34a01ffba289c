//! btrfs: the quota group of a subvolume limits what it refers to (btrfs-qgroup(8)). statfs(2) does not show it.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, StatxFlags, fstat, statx};
use smbgw_api::HostPath;
use smbgw_command::{Command, Runner};

use super::{Mechanism, QuotaFacts, capacity, nonsense, run};
use crate::{Error, Result};

/// Inode of the top directory of every subvolume (btrfs(5), BTRFS_FIRST_FREE_OBJECTID).
const TOP: u64 = 256;

/// Looks at the subvolume that a directory is.
pub(super) fn look(runner: &dyn Runner, path: &HostPath, directory: &OwnedFd) -> Result<QuotaFacts> {
    let inode =
        fstat(directory).map_err(|errno| Error::io(format!("looking at {path}"), errno.into()))?.st_ino;
    if inode != TOP {
        return Ok(QuotaFacts::lacking(
            format!("{path} is a directory inside a btrfs subvolume, and only a whole one can have a limit"),
            "give the share a subvolume of its own: btrfs subvolume create DIR",
        ));
    }
    let id = run(runner, Command::new("btrfs").args(["inspect-internal", "rootid", path.as_str()]))?;
    let id: u64 = id.trim().parse().map_err(|_| nonsense("btrfs inspect-internal rootid", &id))?;
    let show =
        Command::new("btrfs").args(["qgroup", "show", "-r", "-e", "--raw", "--sync", "-F", path.as_str()]);
    let text = match run(runner, show) {
        Err(error) if error.chain().contains("quotas not enabled") => {
            return Ok(QuotaFacts::lacking(
                format!("quotas are off on the btrfs of {path}"),
                format!("turn them on, which costs some speed: btrfs quota enable '{path}'"),
            ));
        }
        other => other?,
    };
    let (limit, used) = parse(&text, id).ok_or_else(|| nonsense("btrfs qgroup show", &text))?;
    let capacity = Some(capacity(directory.as_fd(), path)?);
    Ok(QuotaFacts { mechanism: Ok(Mechanism::Btrfs { id }), limit, used, capacity })
}

/// Sets it. The form without the group misreads its size in version 6.2. A subvolume that holds more than its limit cannot even
/// be the place from which that is changed (seen with Linux 6.18: Disk quota exceeded), so it is done from above it.
pub(super) fn set(runner: &dyn Runner, path: &HostPath, id: u64, limit: Option<u64>) -> Result<()> {
    let value = limit.map_or_else(|| "none".to_owned(), |bytes| bytes.to_string());
    let (group, from) = (format!("0/{id}"), above(path).unwrap_or_else(|| path.as_str()));
    run(runner, Command::new("btrfs").args(["qgroup", "limit", &value, &group, from])).map(drop)
}

/// The directory above, if it is in the same mount, hence on the same file system.
fn above(path: &HostPath) -> Option<&str> {
    let parent =
        path.as_str().rsplit_once('/').map(|(parent, _)| parent).filter(|parent| !parent.is_empty())?;
    let mount = |path: &str| {
        statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::MNT_ID).ok().map(|stat| stat.stx_mnt_id)
    };
    (mount(parent)? == mount(path.as_str())?).then_some(parent)
}

/// Limit and use of a subvolume, of the lines `ID RFER EXCL MAX_RFER MAX_EXCL [PATH]`.
fn parse(text: &str, id: u64) -> Option<(Option<u64>, u64)> {
    let group = format!("0/{id}");
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(&group))?;
    let mut columns = line.split_whitespace().skip(1);
    let used = columns.next()?.parse().ok()?;
    let limit = match columns.nth(1)? {
        "none" | "0" => None,
        digits => Some(digits.parse().ok()?),
    };
    Some((limit, used))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by btrfs-progs 6.2 (Debian 12).
    #[test]
    fn the_list() {
        let text = "Qgroupid    Referenced    Exclusive  Max referenced  Max exclusive   Path \n\
                    --------    ----------    ---------  --------------  -------------   ---- \n\
                    0/256            16384        16384        52428800           none   team\n";
        assert_eq!(parse(text, 256), Some((Some(52_428_800), 16_384)));
        assert_eq!(parse(&text.replace("52428800", "none"), 256), Some((None, 16_384)));
        assert_eq!(parse(text, 257), None);
        assert_eq!(parse("0/256 many", 256), None);
    }
}
