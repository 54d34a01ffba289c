//! The directories of the bins. Samba would make them at the first deletion, as the user who deletes: then the first user would own
//! the bins of all.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Gid, Mode, Uid, fchmod, fchown, fstat, mkdirat, unlinkat};
use rustix::io::Errno;
use smbgw_api::v1::{DesiredShare, DesiredState, DesiredUser};
use smbgw_api::{Access, ShareName};

use super::{BINS, open, open_share};
use crate::error::{Result, storage, with_hint};
use crate::paths::Paths;

/// A directory that was made: the share, and the user whose bin it is; none for that of all bins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    share: ShareName,
    user: Option<DesiredUser>,
}

impl std::fmt::Display for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.user {
            Some(user) => write!(f, "made the recycle bin of {} in share {}", user.name, self.share),
            None => write!(f, "made the directory of recycle bins in share {}", self.share),
        }
    }
}

/// Makes what is missing; says what it made, also when it then fails.
pub(crate) fn prepare(paths: &Paths, desired: &DesiredState, made: &mut dyn FnMut(Made)) -> Result<()> {
    let with_bins = desired.shares.iter().filter(|share| share.handling.recycle.is_some());
    for share in with_bins {
        of_share(&paths.share(&share.name), share, owners(desired, share), made).map_err(|broken| match broken {
            Broken::Errno(errno) => storage(format!("the recycle bins of share {}: {errno}", share.name)),
            Broken::Foreign(uid, mode) => with_hint(
                storage(format!(
                    "share {} has a directory {BINS} already, which belongs to uid {uid} with mode {mode:04o}",
                    share.name
                )),
                "move it away: the bins of all users lie in one that root owns and nobody else can write to",
            ),
        })?;
    }
    Ok(())
}

/// Who may delete in a share, by a list of users or by a group.
fn owners<'a>(desired: &'a DesiredState, share: &'a DesiredShare) -> impl Iterator<Item = &'a DesiredUser> {
    desired.users.iter().filter(|user| desired.access(share, &user.name) == Access::Write)
}

enum Broken {
    Errno(Errno),
    /// Owner and mode.
    Foreign(u32, u32),
}

impl From<Errno> for Broken {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

fn of_share<'a>(
    path: &Path,
    share: &DesiredShare,
    users: impl Iterator<Item = &'a DesiredUser>,
    made: &mut dyn FnMut(Made),
) -> std::result::Result<(), Broken> {
    let top = open_share(path)?;
    // everybody looks for their own in it
    let all = Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH;
    let bins = match make(&top, BINS, all)? {
        Some(bins) => {
            made(Made { share: share.name.clone(), user: None });
            bins
        }
        None => open(&top, BINS)?,
    };
    let stat = fstat(&bins)?;
    // who could write to it could put another's directory in the place of one that is just being made
    if stat.st_uid != 0 || stat.st_mode & 0o022 != 0 {
        return Err(Broken::Foreign(stat.st_uid, stat.st_mode & 0o7777));
    }
    for user in users {
        let Some(bin) = make(&bins, user.name.as_str(), Mode::RWXU)? else { continue };
        made(Made { share: share.name.clone(), user: Some(user.clone()) });
        fchown(&bin, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.uid)))?;
    }
    Ok(())
}

/// Makes a directory with exactly this mode; none if it is there.
fn make(parent: &OwnedFd, name: &str, mode: Mode) -> std::result::Result<Option<OwnedFd>, Errno> {
    match mkdirat(parent, name, Mode::RWXU) {
        Ok(()) => {
            let directory = open(parent, name)?;
            // past the umask; where a default ACL came along, this is the mask that keeps all its entries out
            fchmod(&directory, mode)?;
            Ok(Some(directory))
        }
        Err(Errno::EXIST) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Takes one back, if nobody has put anything into it.
pub(crate) fn put_back(paths: &Paths, made: &Made) -> Result<()> {
    let remove = || -> std::result::Result<(), Errno> {
        let top = open_share(&paths.share(&made.share))?;
        match &made.user {
            Some(user) => unlinkat(open(&top, BINS)?, user.name.as_str(), AtFlags::REMOVEDIR),
            None => unlinkat(&top, BINS, AtFlags::REMOVEDIR),
        }
    };
    match remove() {
        Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY) => Ok(()),
        Err(errno) => Err(storage(format!("removing a recycle bin of share {}: {errno}", made.share))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_delete_has_a_bin() {
        let desired: DesiredState = serde_json::from_str(
            r#"{"name":"a","security":"standard","users":[{"name":"alice","uid":10000},{"name":"bob","uid":10001},
                {"name":"carol","uid":10002},{"name":"eve","uid":10003}],
                "groups":[{"name":"staff","gid":20000,"members":["bob"]}],
                "shares":[{"name":"team","comment":null,"read_only":false,"users":["alice"],"groups":["staff"],
                "readers":["carol"],"browseable":true,"handling":{"recycle":{"days":1}}}]}"#,
        )
        .unwrap();
        let owners: Vec<_> = owners(&desired, &desired.shares[0]).map(|user| user.name.as_str()).collect();
        assert_eq!(owners, ["alice", "bob"]);
    }
}
