//! What is not Proxmox VE's own: dpkg, ZFS, ssh.

use std::time::Duration;

use smbgw_api::GatewayName;
use smbgw_command::Command;

use super::External;

/// Packages whose versions say what this node can.
pub const PACKAGES: [&str; 4] = ["pve-manager", "pve-container", "qemu-server", "libpve-storage-perl"];

/// Versions of installed packages, one a line; 1 when one of them is not there (dpkg-query(1)).
#[derive(Debug, Clone)]
pub struct Versions;

impl External for Versions {
    fn command(&self) -> Command {
        Command::new("dpkg-query")
            .args(["-W", "--showformat=${Package} ${Version} ${db:Status-Status}\\n"])
            .args(PACKAGES)
            .accept(&[0, 1])
    }
}

/// The dataset's property that says which operation made it.
pub const TICKET: &str = "pve-smbgateway:ticket";

/// `zfs create`, with what shares need of it (zfsprops(7)): ACLs, and attributes beside the file.
#[derive(Debug, Clone)]
pub struct ZfsCreate {
    /// Dataset.
    pub dataset: String,
    /// Which operation makes it.
    pub ticket: String,
}

impl External for ZfsCreate {
    fn command(&self) -> Command {
        Command::new("zfs")
            .args(["create", "-p", "-o", "acltype=posixacl", "-o", "xattr=sa"])
            .args(["-o", &format!("{TICKET}={}", self.ticket), &self.dataset])
            .deadline(Duration::from_secs(60))
    }
}

/// `zfs get` of some properties: one line each, in their order. 1 when there is no such dataset.
#[derive(Debug, Clone)]
pub struct ZfsGet {
    /// Dataset.
    pub dataset: String,
    /// Properties.
    pub properties: Vec<&'static str>,
}

impl External for ZfsGet {
    fn command(&self) -> Command {
        Command::new("zfs")
            .args(["get", "-H", "-o", "value", &self.properties.join(","), &self.dataset])
            .accept(&[0, 1])
    }
}

/// `zfs destroy`, which refuses when the dataset has children or snapshots.
#[derive(Debug, Clone)]
pub struct ZfsDestroy {
    /// Dataset.
    pub dataset: String,
}

impl External for ZfsDestroy {
    fn command(&self) -> Command {
        Command::new("zfs").args(["destroy", &self.dataset]).deadline(Duration::from_secs(60))
    }
}

/// A question to an agent on another node, carried by this program there. Options as Proxmox VE has them for its own calls
/// between nodes (PVE 8.4 and 9.2, `PVE::SSHInfo`).
#[derive(Debug, Clone)]
pub struct Relay {
    /// Node.
    pub node: String,
    /// Its address in the cluster.
    pub address: String,
    /// Gateway.
    pub gateway: GatewayName,
    /// Path of the question, as `/v1/health`; of letters, digits, `/`, `-` and `_`.
    pub path: String,
    /// Time for all of it.
    pub deadline: Duration,
}

impl External for Relay {
    fn command(&self) -> Command {
        Command::new("ssh")
            .args(["-e", "none", "-o", "BatchMode=yes", "-o", &format!("HostKeyAlias={}", self.node)])
            .args(["-o", &format!("UserKnownHostsFile=/etc/pve/nodes/{}/ssh_known_hosts", self.node)])
            .args(["-o", "GlobalKnownHostsFile=none", &format!("root@{}", self.address), "--"])
            .args(["pve-smbgateway", "--platform", "pve", "relay", self.gateway.as_str(), &self.path])
            .deadline(self.deadline)
    }
}
