//! Facts of a directory on the node. Looks, and changes nothing.

use std::os::fd::OwnedFd;

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, ResolveFlags, fgetxattr, fstat, fstatfs, fstatvfs, openat2, statat,
};
use rustix::io::Errno;
use smbgw_api::HostPath;

use super::acl::{self, Acl};
use crate::{Error, Result};

/// What matters of a directory that is to be shared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StorageFacts {
    /// Owner.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
    /// Access ACL, when there is one beyond the mode bits.
    pub acl: Option<Acl>,
    /// File system, as `ext4`; its number in hexadecimal when it has no name here.
    pub filesystem: String,
    /// `user.*` attributes can be stored.
    pub xattrs: bool,
    /// POSIX ACLs can be stored.
    pub acls: bool,
    /// Idmapped mounts are known to work, by file system and kernel documentation (mount_setattr(2)).
    pub idmapped_mounts: bool,
    /// Mounted read-only.
    pub read_only: bool,
}

/// File system numbers (statfs(2), `linux/magic.h`), names, and whether idmapped mounts work on them.
const FILESYSTEMS: &[(u64, &str, bool)] = &[
    (0xef53, "ext4", true),
    (0x5846_5342, "xfs", true),
    (0x9123_683e, "btrfs", true),
    (0x2fc1_2fc1, "zfs", true),
    (0x0102_1994, "tmpfs", true),
    (0x00c3_6400, "cephfs", true),
    (0xf2f5_2010, "f2fs", true),
    (0x794c_7630, "overlayfs", false),
    (0x6969, "nfs", false),
    (0xff53_4d42, "cifs", false),
    (0xfe53_4d42, "smb2", false),
    (0x6573_5546, "fuse", false),
];

/// Name of a file system by its number; empty when it has none here.
pub fn filesystem(magic: u64) -> &'static str {
    FILESYSTEMS.iter().find(|(number, ..)| *number == magic).map_or("", |(_, name, _)| name)
}

/// CephFS that is mounted by FUSE (on Proxmox VE: a storage with `fuse 1`): to statfs(2) it is any FUSE.
pub const CEPH_FUSE: &str = "ceph-fuse";

/// Name of the file system that a directory is on; empty when it has none here.
///
/// # Errors
/// When the file system does not answer.
pub fn filesystem_of(directory: &OwnedFd) -> rustix::io::Result<&'static str> {
    let name = filesystem(fstatfs(directory)?.f_type as u64);
    // every directory of CephFS has it, and nothing else (docs.ceph.com, ceph.dir.*)
    let ceph = || fgetxattr(directory, "ceph.dir.rbytes", &mut [0u8; 64][..]).is_ok();
    Ok(if name == "fuse" && ceph() { CEPH_FUSE } else { name })
}

/// Opens a directory without following a symbolic link in any component of its path (openat2(2)).
///
/// # Errors
/// Codes `path-missing`, `path-symlink`, `path-not-directory`, each naming the path.
pub fn open_directory(path: &HostPath) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat2(CWD, path.as_str(), flags, Mode::empty(), ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS)
        .map_err(|errno| match errno {
            Errno::NOENT => Error::resource("path-missing", format!("{path} does not exist"))
                .hint(format!("make it first: mkdir -p '{path}'")),
            Errno::LOOP => Error::usage(
                "path-symlink",
                format!("{path} leads through a symbolic link ({})", symlink_in(path).unwrap_or_default()),
            )
            .hint("give the real path, as `realpath` prints it: a link could be turned elsewhere later"),
            Errno::NOTDIR => Error::usage("path-not-directory", format!("{path} is not a directory")),
            errno => Error::io(format!("opening {path}"), errno.into()),
        })
}

/// First component of a path that is a symbolic link.
fn symlink_in(path: &HostPath) -> Option<String> {
    let text = path.as_str();
    let ends = text.char_indices().skip(1).filter(|(_, c)| *c == '/').map(|(i, _)| i).chain([text.len()]);
    ends.map(|end| &text[..end])
        .find(|part| {
            statat(CWD, *part, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink())
        })
        .map(str::to_owned)
}

/// Looks at a directory.
///
/// # Errors
/// As [`open_directory`], and when the file system does not answer.
pub fn inspect(path: &HostPath) -> Result<StorageFacts> {
    let fd = open_directory(path)?;
    let io = |errno: Errno| Error::io(format!("looking at {path}"), errno.into());
    let stat = fstat(&fd).map_err(io)?;
    let magic = fstatfs(&fd).map_err(io)?.f_type as u64;
    let read_only = fstatvfs(&fd).map_err(io)?.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY);
    let known = FILESYSTEMS.iter().find(|(number, ..)| *number == magic);
    let name = filesystem_of(&fd).map_err(io)?;
    let mut buffer = vec![0u8; 4096];
    let probe = fgetxattr(&fd, "user.smbgw.probe", buffer.as_mut_slice());
    let (acls, acl) = match fgetxattr(&fd, acl::ACCESS, buffer.as_mut_slice()) {
        Ok(length) => (true, Some(Acl::parse(&buffer[..length])?)),
        Err(Errno::NODATA) => (true, None),
        Err(_) => (false, None),
    };
    Ok(StorageFacts {
        uid: stat.st_uid,
        gid: stat.st_gid,
        mode: stat.st_mode & 0o7777,
        acl,
        filesystem: if name.is_empty() { format!("file system {magic:#x}") } else { name.to_owned() },
        xattrs: matches!(probe, Ok(_) | Err(Errno::NODATA)),
        acls,
        idmapped_mounts: known.is_none_or(|(_, _, idmapped)| *idmapped),
        read_only,
    })
}

/// What a directory will be that is still to be made: root's, on the file system of the nearest one above it.
///
/// # Errors
/// As [`inspect`] on that one.
pub fn expect(path: &HostPath) -> Result<StorageFacts> {
    let mut above = path.as_str();
    loop {
        above = above.rsplit_once('/').map_or("", |(parent, _)| parent);
        // what is never shared itself may well hold what is: `/` and the like
        let parent = HostPath::parse(above)?;
        match inspect(&parent) {
            Err(error) if error.code == "path-missing" => {}
            other => {
                let facts = other?;
                // a new dataset gets both (zfsprops(7): acltype, xattr)
                let acls = facts.acls || facts.filesystem == "zfs";
                return Ok(StorageFacts { uid: 0, gid: 0, mode: 0o755, acl: None, acls, ..facts });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &std::path::Path) -> HostPath {
        HostPath::parse(path.to_str().unwrap()).unwrap()
    }

    #[test]
    fn each_wrong_path_has_its_own_error() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real");
        std::fs::create_dir(&real).unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink(&real, dir.path().join("link")).unwrap();
        assert_eq!(inspect(&path(&dir.path().join("none"))).unwrap_err().code, "path-missing");
        assert_eq!(inspect(&path(&dir.path().join("file"))).unwrap_err().code, "path-not-directory");
        let error = inspect(&path(&dir.path().join("link"))).unwrap_err();
        assert_eq!(error.code, "path-symlink");
        assert!(error.message.contains("link"), "{error}");
        let facts = inspect(&path(&real)).unwrap();
        assert!(facts.xattrs && !facts.read_only, "{facts:?}");
    }
}
