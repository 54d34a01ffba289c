//! Access of a share's users to its top directory, by POSIX ACL. Only when asked for; taken back with the share.

use rustix::fs::{XattrFlags, fgetxattr, fremovexattr, fsetxattr, fstat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use smbgw_api::{HostPath, ShareName};

use super::Action;
use crate::storage::{Acl, Named, acl, open_directory};
use crate::world::World;
use crate::{Error, Result};

/// Lets users into a directory; what is made in it later inherits that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Share.
    pub share: ShareName,
    /// Directory.
    pub path: HostPath,
    /// Users who have no entry yet.
    pub uids: Vec<u32>,
    /// Groups that have no entry yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gids: Vec<u32>,
}

/// Takes it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoke {
    /// Share.
    pub share: ShareName,
    /// Directory.
    pub path: HostPath,
    /// Users who lose their entry.
    pub uids: Vec<u32>,
    /// Groups that lose their entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gids: Vec<u32>,
}

impl Action for Grant {
    const NAME: &'static str = "grant";

    fn subject(&self) -> String {
        self.share.to_string()
    }

    fn describe(&self) -> String {
        format!("let {} into {} by ACL", list(&self.uids, &self.gids), self.path)
    }

    fn perform(&self, _: &World) -> Result<()> {
        change(&self.path, |acl| named(&self.uids, &self.gids).fold(acl, |acl, one| acl.with(one)))
    }

    fn undo(&self, _: &World) -> Result<()> {
        change(&self.path, |acl| named(&self.uids, &self.gids).fold(acl, |acl, one| acl.without(one)))
    }

    fn by_hand(&self) -> Vec<String> {
        let line = |who: String| format!("setfacl -x {who} -x d:{who} '{}'", self.path);
        let users = self.uids.iter().map(|uid| line(format!("u:{uid}")));
        users.chain(self.gids.iter().map(|gid| line(format!("g:{gid}")))).collect()
    }
}

impl Action for Revoke {
    const NAME: &'static str = "revoke";

    fn subject(&self) -> String {
        self.share.to_string()
    }

    fn describe(&self) -> String {
        format!("take the ACL entries of {} off {}", list(&self.uids, &self.gids), self.path)
    }

    fn perform(&self, _: &World) -> Result<()> {
        match change(&self.path, |acl| named(&self.uids, &self.gids).fold(acl, |acl, one| acl.without(one))) {
            // the person has moved the data away: nothing to take back
            Err(error) if error.code == "path-missing" => Ok(()),
            other => other,
        }
    }

    fn undo(&self, _: &World) -> Result<()> {
        change(&self.path, |acl| named(&self.uids, &self.gids).fold(acl, |acl, one| acl.with(one)))
    }
}

/// `uid 10000, 10001 and gid 20000`.
fn list(uids: &[u32], gids: &[u32]) -> String {
    let part = |what: &str, ids: &[u32]| {
        let ids: Vec<_> = ids.iter().map(u32::to_string).collect();
        (!ids.is_empty()).then(|| format!("{what} {}", ids.join(", ")))
    };
    let parts: Vec<_> = part("uid", uids).into_iter().chain(part("gid", gids)).collect();
    parts.join(" and ")
}

fn named<'a>(uids: &'a [u32], gids: &'a [u32]) -> impl Iterator<Item = Named> + use<'a> {
    uids.iter().copied().map(Named::User).chain(gids.iter().copied().map(Named::Group))
}

/// Changes the access ACL and the default ACL of a directory.
pub(super) fn change(path: &HostPath, change: impl Fn(Acl) -> Acl) -> Result<()> {
    let directory = open_directory(path)?;
    let io = |errno: Errno| Error::io(format!("changing the ACL of {path}"), errno.into());
    let mode = fstat(&directory).map_err(io)?.st_mode;
    let read = |name| {
        let mut buffer = vec![0u8; 64 << 10];
        match fgetxattr(&directory, name, buffer.as_mut_slice()) {
            Ok(length) => Acl::parse(&buffer[..length]).map(Some),
            Err(Errno::NODATA) => Ok(None),
            Err(errno) => Err(io(errno)),
        }
    };
    let access = change(read(acl::ACCESS)?.unwrap_or_else(|| Acl::from_mode(mode)));
    // an ACL of the three base entries becomes plain mode bits in the kernel
    fsetxattr(&directory, acl::ACCESS, &access.to_bytes(), XattrFlags::empty()).map_err(io)?;
    let inherited = read(acl::DEFAULT)?;
    let default = change(inherited.unwrap_or_else(|| Acl::from_mode(mode)));
    if default.is_minimal() {
        match fremovexattr(&directory, acl::DEFAULT) {
            Ok(()) | Err(Errno::NODATA) => Ok(()),
            Err(errno) => Err(io(errno)),
        }
    } else {
        fsetxattr(&directory, acl::DEFAULT, &default.to_bytes(), XattrFlags::empty()).map_err(io)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn granting_and_revoking_leaves_the_directory_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o750)).unwrap();
        let path = HostPath::parse(dir.path().to_str().unwrap()).unwrap();
        let before = crate::storage::inspect(&path).unwrap();
        for _ in 0..2 {
            change(&path, |acl| named(&[10_000], &[20_000]).fold(acl, |acl, one| acl.with(one))).unwrap();
        }
        let granted = crate::storage::inspect(&path).unwrap();
        let may_write = |uid, gid| crate::storage::may_write(&granted, uid, &[uid, gid]);
        assert!(may_write(10_000, 1) && may_write(10_002, 20_000) && !may_write(10_002, 1));
        for _ in 0..2 {
            change(&path, |acl| named(&[10_000], &[20_000]).fold(acl, |acl, one| acl.without(one))).unwrap();
        }
        assert_eq!(crate::storage::inspect(&path).unwrap(), before);
        let fd = open_directory(&path).unwrap();
        assert_eq!(fgetxattr(&fd, acl::DEFAULT, &mut [0u8; 64][..]), Err(Errno::NODATA));
    }
}
