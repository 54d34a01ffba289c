//! CephFS on the lab's cluster: a metadata server in memory, and a mount by FUSE, since the kernel of the machine may not have its own.
//!
//! Source: docs.ceph.com, "Create a Ceph file system" and "Mount CephFS using FUSE".

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use anyhow::{Context, Result};
use rustix::mount::{UnmountFlags, unmount};

use super::{Ceph, DEADLINE};
use crate::daemon::Daemon;
use crate::{Answer, files};

/// A mounted CephFS. When it is dropped, it is unmounted and its server ended; it must go before the cluster does.
#[derive(Debug)]
pub struct CephFs {
    client: Option<Daemon>,
    server: Option<Daemon>,
    mount: PathBuf,
}

impl Ceph {
    /// Makes the file system and mounts it at `mount`, which is made.
    ///
    /// # Errors
    /// When one of Ceph's programs fails or does not answer in time.
    pub fn filesystem(&self, mount: &Path) -> Result<CephFs> {
        for pool in ["cephfs_metadata", "cephfs_data"] {
            self.run("ceph", ["osd", "pool", "create", pool, "8", "8", "replicated"])?;
        }
        self.run("ceph", ["fs", "new", "cephfs", "cephfs_metadata", "cephfs_data"])?;
        let key = self.run(
            "ceph",
            ["auth", "get-or-create", "mds.a", "mon", "profile mds", "mds", "allow *", "osd", "allow rwx"],
        )?;
        files::secret_file(Path::new(&self.at("mds/keyring")), &key.stdout)?;
        files::directory(mount, 0)?;
        let mut made = CephFs { client: None, server: None, mount: mount.to_owned() };
        let mut server = Process::new("ceph-mds");
        let server = Daemon::start(server.args(["-f", "-i", "a"]), Path::new(&self.at("mds.out")))?;
        made.server.insert(server).wait_for("Ceph's metadata server", DEADLINE, || {
            let stat = self.run("ceph", ["mds", "stat"]).ok()?;
            stat.stdout.contains("up:active").then_some(())
        })?;
        let mut client = Process::new("ceph-fuse");
        client.args(["-f", "--id", "admin"]).arg(mount);
        let client = Daemon::start(&mut client, Path::new(&self.at("fuse.out")))?;
        made.client.insert(client).wait_for("the mount of CephFS", DEADLINE, || made_at(mount))?;
        Ok(made)
    }
}

/// Whether it is mounted there.
fn made_at(mount: &Path) -> Option<()> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let line = format!(" {} fuse.ceph-fuse ", mount.display());
    mounts.contains(&line).then_some(())
}

impl CephFs {
    /// A new directory of it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.mount.join(name);
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(path)
    }

    /// An attribute of Ceph's own, past the product; nothing where it is not set.
    ///
    /// # Errors
    /// When getfattr cannot be run.
    pub fn attribute(path: &Path, name: &str) -> Result<Option<u64>> {
        let args = ["--only-values", "--absolute-names", "-n", name, "--"];
        let command = smbgw_command::Command::new("getfattr").args(args).arg(path.display().to_string());
        let answer = Answer::of(&command)?;
        Ok(if answer.code == 0 { Some(answer.stdout.trim().parse()?) } else { None })
    }

    /// Unmounts it and ends its server.
    ///
    /// # Errors
    /// When something does not end.
    pub fn stop(mut self) -> Result<()> {
        unmount(&self.mount, UnmountFlags::empty())
            .with_context(|| format!("unmounting {}", self.mount.display()))?;
        // the client ends by itself then, or is ended
        drop(self.client.take());
        self.server.take().map_or(Ok(()), Daemon::stop)?;
        fs::remove_dir(&self.mount).with_context(|| format!("removing {}", self.mount.display()))
    }
}

impl Drop for CephFs {
    fn drop(&mut self) {
        let _ = unmount(&self.mount, UnmountFlags::DETACH);
        drop(self.client.take());
        drop(self.server.take());
    }
}
