//! One writer in the cluster: a directory in `/etc/pve/priv/lock`, as Proxmox VE does it (`PVE::Cluster::cfs_lock`). Making a
//! directory there succeeds on one node only; asking for its time to be 0 has pmxcfs remove one that is older than 120 s.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use smbgw_command::{WaitError, wait_until};

use super::files::{ClusterFiles, writing};
use crate::{Error, Result};

/// Name of our lock, as Proxmox VE names those of files.
const NAME: &str = "priv/lock/file-smbgateway_cfg";
/// A lock whose holder died goes after 120 s.
const PATIENCE: Duration = Duration::from_secs(150);
/// Time between two tries: each is a message to the whole cluster.
const POLITE: Duration = Duration::from_millis(200);

/// The lock, held while it lives.
#[derive(Debug)]
pub struct ClusterLock {
    path: PathBuf,
}

impl ClusterLock {
    /// Takes the lock of our file.
    ///
    /// # Errors
    /// Codes `no-quorum`, `cluster-busy`.
    pub fn take(files: &ClusterFiles) -> Result<Self> {
        files.require_quorum()?;
        let path = files.path(NAME);
        let mut due = Instant::now();
        let taken = wait_until("the cluster's lock on smbgateway.cfg", PATIENCE, files.interrupt(), || {
            if Instant::now() < due {
                return None;
            }
            due = Instant::now() + POLITE;
            match files.patiently(|| std::fs::create_dir(&path)) {
                Ok(()) => Some(Ok(())),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    let long_ago = Timespec { tv_sec: 0, tv_nsec: 0 };
                    let times = Timestamps { last_access: long_ago, last_modification: long_ago };
                    // refused while its holder is alive
                    let _ = utimensat(CWD, &path, &times, AtFlags::empty());
                    None
                }
                Err(error) => Some(Err(writing(&path, error))),
            }
        });
        match taken {
            Ok(result) => result.map(|()| Self { path }),
            Err(WaitError::TimedOut { .. }) => {
                Err(Error::infrastructure("cluster-busy", "another node holds the lock on smbgateway.cfg")
                    .hint("try again; if it stays so, `pvecm status` says how the cluster is"))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for ClusterLock {
    fn drop(&mut self) {
        // one that cannot be removed goes by itself
        let _ = std::fs::remove_dir(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::pve::cluster::files::tests::cluster;

    #[test]
    fn one_at_a_time() {
        let (_directory, files) = cluster();
        let first = ClusterLock::take(&files).unwrap();
        let other = files.clone();
        let waiting = std::thread::spawn(move || ClusterLock::take(&other).map(drop));
        assert!(files.path(NAME).exists());
        drop(first);
        waiting.join().unwrap().unwrap();
        assert!(!files.path(NAME).exists());
    }
}
