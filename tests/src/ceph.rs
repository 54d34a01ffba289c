//! A Ceph cluster of one monitor and one OSD with cephx, in the lab's network namespace and below the lab's directory.
//!
//! Source: docs.ceph.com, "Manual deployment", and what its steps come down to on one machine. The OSD keeps its data in memory. There is no
//! manager: RBD needs none, but `ceph pg stat` and `ceph osd df` would wait for one for good, and CephFS cannot say how large it is.
//!
//! CephFS is in [`filesystem`].

mod filesystem;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use smbgw_command::Command;

pub use self::filesystem::CephFs;
use crate::daemon::Daemon;
use crate::{Answer, files};

/// Where all of Ceph's programs look for their configuration. The cluster's own is mounted over it.
pub const ETC: &str = "/etc/ceph";
/// Room for the data of all images. A full OSD in memory does not fail, it waits.
const ROOM: u64 = 2 << 30;
/// For what needs the cluster.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running cluster. When it is dropped, it is gone.
#[derive(Debug)]
pub struct Ceph {
    directory: PathBuf,
    // the order in which they end
    osd: Option<Daemon>,
    monitor: Option<Daemon>,
    mounted: bool,
}

impl Ceph {
    /// Starts one, with its files in `directory`/ceph, and waits until it can serve.
    ///
    /// # Errors
    /// When one of its programs fails or does not answer in time.
    pub fn start(directory: &Path) -> Result<Self> {
        let directory = directory.join("ceph");
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        for name in ["etc", "mon", "osd", "mds"] {
            files::directory(&directory.join(name), 0)?;
        }
        let mut ceph = Self { directory, osd: None, monitor: None, mounted: false };
        let cluster = uuid()?;
        fs::write(ceph.at("etc/ceph.conf"), ceph.configuration(&cluster))?;
        fs::create_dir_all(ETC)?;
        mount_bind(ceph.at("etc"), ETC).with_context(|| format!("mounting {ETC}"))?;
        ceph.mounted = true;
        ceph.start_monitor(&cluster)?;
        ceph.start_osd()?;
        Ok(ceph)
    }

    fn at(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    fn configuration(&self, cluster: &str) -> String {
        let (directory, room) = (self.directory.display(), ROOM);
        format!(
            "[global]
fsid = {cluster}
mon host = [v2:127.0.0.1:3300,v1:127.0.0.1:6789]
public addr = 127.0.0.1
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
osd pool default size = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
[mon]
mon data = {directory}/mon
mon data avail crit = 1
mon cluster log file = {directory}/cluster.log
log file = {directory}/mon.log
run dir = {directory}
admin socket =
[osd]
osd data = {directory}/osd
osd objectstore = memstore
memstore device bytes = {room}
log file = {directory}/osd.log
run dir = {directory}
admin socket =
[mds]
mds data = {directory}/mds
log file = {directory}/mds.log
run dir = {directory}
admin socket =
[client]
client acl type = posix_acl
fuse default permissions = false
log file = {directory}/client.log
run dir = {directory}
admin socket =
"
        )
    }

    fn start_monitor(&mut self, cluster: &str) -> Result<()> {
        let (keys, map) = (self.at("mon/keyring"), self.at("monmap"));
        let admin = format!("{ETC}/ceph.client.admin.keyring");
        let all = ["--cap", "mon", "allow *"];
        self.run(
            "ceph-authtool",
            [&["--create-keyring", &keys, "--gen-key", "-n", "mon."], &all[..]].concat(),
        )?;
        let more = ["--cap", "osd", "allow *", "--cap", "mgr", "allow *", "--cap", "mds", "allow *"];
        let new = ["--create-keyring", &admin, "--gen-key", "-n", "client.admin"];
        self.run("ceph-authtool", [&new[..], &all[..], &more[..]].concat())?;
        self.run("ceph-authtool", ["--import-keyring", &admin, &keys])?;
        let address = "[v2:127.0.0.1:3300,v1:127.0.0.1:6789]";
        self.run("monmaptool", ["--create", "--addv", "a", address, "--fsid", cluster, &map])?;
        let kept = self.at("keys");
        fs::rename(&keys, &kept)?;
        self.run("ceph-mon", ["--mkfs", "-i", "a", "--monmap", &map, "--keyring", &kept])?;
        fs::rename(&kept, &keys)?;
        let log = self.directory.join("mon.out");
        let mut monitor = Daemon::start(Process::new("ceph-mon").args(["-f", "-i", "a"]), &log)?;
        monitor.wait_for("Ceph's monitor", DEADLINE, || {
            let command =
                Command::new("ceph").args(["--connect-timeout", "5", "mon", "stat"]).deadline(DEADLINE);
            Answer::of(&command).ok().filter(|answer| answer.code == 0)
        })?;
        self.monitor = Some(monitor);
        Ok(())
    }

    fn start_osd(&mut self) -> Result<()> {
        let (id, keys) = (uuid()?, self.at("osd/keyring"));
        self.run("ceph-authtool", ["--create-keyring", &keys, "--gen-key", "-n", "osd.0"])?;
        let key = self.run("ceph-authtool", ["-p", "-n", "osd.0", &keys])?.stdout;
        let secret = format!("{{\"cephx_secret\":\"{}\"}}", key.trim());
        let new = Command::new("ceph").args(["osd", "new", &id, "-i", "-"]).stdin(secret).deadline(DEADLINE);
        Answer::of(&new)?.ok()?;
        let may = ["mon", "allow profile osd", "osd", "allow *", "mgr", "allow profile osd"];
        self.run("ceph", [&["auth", "caps", "osd.0"], &may[..]].concat())?;
        self.run("ceph-osd", ["-i", "0", "--mkfs", "--osd-uuid", &id])?;
        let log = self.directory.join("osd.out");
        let mut osd = Daemon::start(Process::new("ceph-osd").args(["-f", "-i", "0"]), &log)?;
        let up = || {
            let stat = self.run("ceph", ["osd", "stat", "--format", "json"]).ok()?.json().ok()?;
            (stat["num_up_osds"] == 1).then_some(())
        };
        osd.wait_for("Ceph's OSD", DEADLINE, up)?;
        self.osd = Some(osd);
        Ok(())
    }

    /// Runs one of Ceph's programs as client.admin.
    ///
    /// # Errors
    /// When it fails or does not end in time.
    pub fn run<'a>(&self, program: &str, args: impl IntoIterator<Item = &'a str>) -> Result<Answer> {
        Answer::of(&Command::new(program).args(args).deadline(DEADLINE))?.ok()
    }

    /// Makes a pool for images.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn pool(&self, name: &str) -> Result<()> {
        self.run("ceph", ["osd", "pool", "create", name, "8", "8", "replicated"])?;
        self.run("ceph", ["osd", "pool", "application", "enable", name, "rbd"])?;
        Ok(())
    }

    /// Makes an empty image.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn image(&self, pool: &str, name: &str, mebibytes: u64) -> Result<()> {
        let (image, size) = (format!("{pool}/{name}"), format!("{mebibytes}M"));
        self.run("rbd", ["create", &image, "--size", &size])?;
        Ok(())
    }

    /// Makes a user who may use the images of a pool, and its keyring where Ceph's programs look for it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn user(&self, name: &str, pool: &str) -> Result<PathBuf> {
        let (user, profile) = (format!("client.{name}"), format!("profile rbd pool={pool}"));
        let key =
            self.run("ceph", ["auth", "get-or-create", &user, "mon", "profile rbd", "osd", &profile])?;
        let file = Path::new(ETC).join(format!("ceph.{user}.keyring"));
        files::secret_file(&file, &key.stdout)?;
        Ok(file)
    }

    /// Stops it and removes its files.
    ///
    /// # Errors
    /// When something does not end or cannot be removed.
    pub fn stop(mut self) -> Result<()> {
        // the monitor last: the OSD tells it that it goes
        for daemon in [self.osd.take(), self.monitor.take()].into_iter().flatten() {
            daemon.stop()?;
        }
        self.remove()
    }

    fn remove(&mut self) -> Result<()> {
        if self.mounted {
            unmount(ETC, UnmountFlags::DETACH).with_context(|| format!("unmounting {ETC}"))?;
            self.mounted = false;
        }
        if self.directory.exists() {
            fs::remove_dir_all(&self.directory)?;
        }
        Ok(())
    }
}

impl Drop for Ceph {
    fn drop(&mut self) {
        drop(self.osd.take());
        drop(self.monitor.take());
        if let Err(error) = self.remove() {
            eprintln!("lab: Ceph could not be removed: {error:#}");
        }
    }
}

fn uuid() -> Result<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    ensure!(text.trim().len() == 36, "the kernel's uuid is {text}");
    Ok(text.trim().to_owned())
}
