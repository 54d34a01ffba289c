//! Where things are on the node.

use std::path::{Path, PathBuf};

use smbgw_api::GatewayName;

/// Every directory and file that is ours, in one place.
#[derive(Debug, Clone)]
pub struct Paths {
    state: PathBuf,
    log: PathBuf,
    config: PathBuf,
    run: PathBuf,
    cluster: PathBuf,
    container_locks: PathBuf,
    machine_sockets: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            state: "/var/lib/pve-smbgateway".into(),
            log: "/var/log/pve-smbgateway".into(),
            config: "/etc/pve-smbgateway".into(),
            run: "/run/pve-smbgateway".into(),
            cluster: "/etc/pve".into(),
            container_locks: "/run/lock/lxc".into(),
            machine_sockets: "/run/qemu-server".into(),
        }
    }
}

impl Paths {
    /// The same tree under another root, for tests.
    pub fn under(root: &Path) -> Self {
        Self {
            state: root.join("state"),
            log: root.join("log"),
            config: root.join("etc"),
            run: root.join("run"),
            cluster: root.join("pve"),
            container_locks: root.join("lock"),
            machine_sockets: root.join("qemu-server"),
        }
    }

    /// Everything that outlives a run.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Records of gateways (standalone platform).
    pub fn records(&self) -> PathBuf {
        self.state.join("gateways")
    }

    /// Containers (standalone platform); the `-P` of the lxc commands.
    pub fn guests(&self) -> PathBuf {
        self.state.join("guests")
    }

    /// Gateways on the node itself; what a deletion has moved away and not yet removed begins with a dot.
    pub fn native(&self) -> PathBuf {
        self.state.join("native")
    }

    /// Installed templates (standalone platform).
    pub fn templates(&self) -> PathBuf {
        self.state.join("templates")
    }

    /// What a deletion has moved away and not yet removed.
    pub fn trash(&self) -> PathBuf {
        self.state.join("trash")
    }

    /// The cluster file system of Proxmox VE.
    pub fn cluster(&self) -> &Path {
        &self.cluster
    }

    /// Where Proxmox VE has the locks of containers' configurations (PVE 8.4 and 9.2, pve-container).
    pub fn container_locks(&self) -> &Path {
        &self.container_locks
    }

    /// Where Proxmox VE has the guest agent's channel of a virtual machine (PVE 8.4 and 9.2, qemu-server).
    pub fn guest_agent(&self, id: u32) -> PathBuf {
        self.machine_sockets.join(format!("{id}.qga"))
    }

    /// Directory that holds the agent's socket of one gateway. Outlives a reboot, or the gateway would not start.
    pub fn link(&self, gateway: &GatewayName) -> PathBuf {
        self.state.join("links").join(gateway.as_str())
    }

    /// Journal files.
    pub fn operations(&self) -> PathBuf {
        self.state.join("operations")
    }

    /// Lock files.
    pub fn locks(&self) -> PathBuf {
        self.state.join("locks")
    }

    /// Ids of users and groups that gateways had (standalone platform).
    pub fn ids(&self) -> PathBuf {
        self.state.join("ids")
    }

    /// Secrets of computer accounts.
    pub fn secrets(&self) -> PathBuf {
        self.state.join("secrets")
    }

    /// How full shares have been, one file a gateway.
    pub fn usage(&self) -> PathBuf {
        self.state.join("usage")
    }

    /// History of figures.
    pub fn figures(&self) -> PathBuf {
        self.state.join("monitor")
    }

    /// Socket of the service that watches gateways.
    pub fn monitor_socket(&self) -> PathBuf {
        self.run.join("monitor.sock")
    }

    /// What an administrator says to it.
    pub fn monitor_settings(&self) -> PathBuf {
        self.config.join("monitor.yaml")
    }

    /// What programs show that ask it over TCP.
    pub fn monitor_token(&self) -> PathBuf {
        self.config.join("monitor-token")
    }

    /// A program of the administrator's that is told of alerts.
    pub fn alert_hook(&self) -> PathBuf {
        self.config.join("alert-hook")
    }

    /// A program of the administrator's that is told when a share is nearly full.
    pub fn quota_hook(&self) -> PathBuf {
        self.config.join("quota-hook")
    }

    /// The audit trail, JSON lines.
    pub fn audit(&self) -> PathBuf {
        self.log.join("audit.jsonl")
    }
}
