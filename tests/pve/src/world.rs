//! Where a simulated node has its things.
//!
//! A cluster is one directory outside of the nodes' view:
//!
//! ```text
//! etc/                 what /etc/pve stores
//! control/quorum       0: lost
//! control/clock        seconds that the cluster file system is ahead
//! control/faults       what goes wrong next
//! control/down-NODE    there: the node's /etc/pve is not connected
//! control/storages     what storages without a directory say
//! control/calls        every call that was made
//! control/notifications  every notification that was sent
//! NODE/                mounted over the node's /run, /var/lib/vz and so on
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::refusal::{About, Refusal, Result};
use crate::release::Release;

/// Names the node that a program runs on, in the node's own /etc.
pub const NODE_FILE: &str = "/etc/pve-sim.json";
/// The cluster file system.
pub const PVE: &str = "/etc/pve";

/// A node, and the cluster it is in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Node {
    /// Directory of the cluster.
    pub world: PathBuf,
    /// Its name.
    pub name: String,
    /// Its version.
    pub release: Release,
    /// All nodes of the cluster; one that is alone has no cluster.
    pub members: Vec<String>,
}

impl Node {
    /// The node that this program runs on.
    ///
    /// # Errors
    /// Outside of one.
    pub fn this() -> anyhow::Result<Self> {
        let text = fs::read_to_string(NODE_FILE).context("this is no simulated node")?;
        Ok(serde_json::from_str(&text)?)
    }

    /// A file that steers the simulation.
    pub fn control(&self, name: &str) -> PathBuf {
        self.world.join("control").join(name)
    }

    /// A directory of this node's own.
    pub fn own(&self, name: &str) -> PathBuf {
        self.world.join(&self.name).join(name)
    }

    /// Whether the cluster may be changed.
    pub fn quorate(&self) -> bool {
        fs::read_to_string(self.control("quorum")).is_ok_and(|text| text.trim() != "0")
            || !self.control("quorum").exists()
    }

    /// Refuses without quorum. Text: PVE::Cluster, `check_cfs_quorum`.
    ///
    /// # Errors
    /// Without quorum.
    pub fn check_quorum(&self) -> Result<()> {
        if self.quorate() { Ok(()) } else { Err(Refusal::new("cluster not ready - no quorum?")) }
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A file below /etc/pve.
pub fn pve(path: &str) -> PathBuf {
    Path::new(PVE).join(path)
}

/// Reads a file below /etc/pve; one that is not there is empty.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &str) -> Result<String> {
    match fs::read_to_string(pve(path)) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).about(&format!("unable to open file '{PVE}/{path}'")),
    }
}

/// Writes a file below /etc/pve as PVE::Tools::file_set_contents does: beside it, then over it.
///
/// # Errors
/// When it cannot be written, as without quorum.
pub fn write(path: &str, text: &str) -> Result<()> {
    let target = pve(path);
    let temporary = pve(&format!("{path}.tmp.{}", std::process::id()));
    fs::write(&temporary, text).about(&format!("unable to open file '{}'", temporary.display()))?;
    fs::rename(&temporary, &target)
        .inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })
        .about(&format!("unable to rename '{}' to '{}'", temporary.display(), target.display()))
}

/// Random bytes in hexadecimal.
pub fn random(bytes: usize) -> String {
    let mut buffer = vec![0_u8; bytes];
    let read = rustix::rand::getrandom(&mut buffer, rustix::rand::GetRandomFlags::empty());
    read.map(|_| buffer.iter().map(|byte| format!("{byte:02x}")).collect()).unwrap_or_default()
}

/// A random UUID.
pub fn uuid() -> String {
    let hex = random(16);
    format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}

/// A random address of a network card, in Proxmox's range. Source: PVE::Tools, `random_ether_addr`, and the default `mac_prefix`.
pub fn mac() -> String {
    let hex = random(3).to_uppercase();
    format!("BC:24:11:{}:{}:{}", &hex[..2], &hex[2..4], &hex[4..6])
}
