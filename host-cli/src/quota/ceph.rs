//! CephFS: an attribute of the directory, which its clients enforce, some seconds late (docs.ceph.com, CephFS quotas). statfs(2)
//! shows it where the directory itself is mounted.

use std::os::fd::OwnedFd;

use rustix::fs::{XattrFlags, fgetxattr, fsetxattr};
use rustix::io::Errno;
use smbgw_api::HostPath;

use super::{Mechanism, QuotaFacts};
use crate::storage::open_directory;
use crate::{Error, Result};

/// The limit in bytes; 0 is none.
const LIMIT: &str = "ceph.quota.max_bytes";
/// Bytes in all files below a directory.
const USED: &str = "ceph.dir.rbytes";

pub(super) fn look(path: &HostPath, directory: &OwnedFd) -> Result<QuotaFacts> {
    let number = |name: &str| -> Result<Option<u64>> {
        let mut buffer = [0u8; 64];
        match fgetxattr(directory, name, &mut buffer[..]) {
            Ok(length) => {
                Ok(std::str::from_utf8(&buffer[..length]).ok().and_then(|text| text.trim().parse().ok()))
            }
            Err(Errno::NODATA) => Ok(None),
            Err(errno) => Err(Error::io(format!("reading {name} of {path}"), errno.into())),
        }
    };
    let limit = number(LIMIT)?.filter(|limit| *limit > 0);
    Ok(QuotaFacts { mechanism: Ok(Mechanism::Ceph), limit, used: number(USED)?.unwrap_or(0), capacity: None })
}

/// Sets it; the node's key needs the capability `p` for that (docs.ceph.com, CephFS client capabilities).
pub(super) fn set(path: &HostPath, limit: Option<u64>) -> Result<()> {
    let directory = open_directory(path)?;
    let value = limit.unwrap_or(0).to_string();
    fsetxattr(&directory, LIMIT, value.as_bytes(), XattrFlags::empty()).map_err(|errno| {
        let error = Error::io(format!("setting {LIMIT} of {path}"), errno.into());
        match errno {
            Errno::PERM | Errno::ACCESS => {
                error.hint("the key that CephFS is mounted with needs `p` in its MDS capability")
            }
            _ => error,
        }
    })
}
