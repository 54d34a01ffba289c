//! `pct` (PVE 8.4 and 9.2, pct(1)). Containers of this node.

use std::net::Ipv4Addr;
use std::time::Duration;

use smbgw_api::{DnsDomain, StartOrder, StorageId, VolumeId};
use smbgw_command::Command;

use super::property::Property;
use super::{External, GuestId, bit};

/// Time for a task that writes a root file system on slow storage.
const MAKE: Duration = Duration::from_secs(600);
/// Time for a task that starts or stops.
const ACT: Duration = Duration::from_secs(120);
/// Time for a change of the configuration; a held lock alone makes it wait for 10 s.
const CHANGE: Duration = Duration::from_secs(60);

/// What of a container can be said when it is made and later.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Memory limit in MiB.
    pub memory_mib: u64,
    /// Swap limit in MiB, apart from memory.
    pub swap_mib: u64,
    /// Processors; all of the node's when absent.
    pub cores: Option<u32>,
    /// `onboot`
    pub onboot: bool,
    /// `startup`
    pub startup: Option<StartOrder>,
    /// What is not told to a guest whose limits alone are changed.
    pub hardware: Option<Hardware>,
}

/// Network card and mounts.
#[derive(Debug, Clone, Default)]
pub struct Hardware {
    /// `net0`, a property string.
    pub net0: Property,
    /// Name servers; the node's when there are none.
    pub nameservers: Vec<Ipv4Addr>,
    /// Search domain.
    pub searchdomain: Option<DnsDomain>,
    /// `mpN`, property strings by index.
    pub mounts: Vec<(u32, Property)>,
}

impl Options {
    fn add_to(&self, mut command: Command) -> Command {
        command = command
            .args(["--memory", &self.memory_mib.to_string(), "--swap", &self.swap_mib.to_string()])
            .args(["--onboot", &bit(self.onboot)]);
        if let Some(cores) = self.cores {
            command = command.args(["--cores", &cores.to_string()]);
        }
        if let Some(startup) = self.startup {
            command = command.args(["--startup", &startup.to_string()]);
        }
        let Some(hardware) = &self.hardware else { return command };
        command = command.arg("--net0").arg(hardware.net0.clone().text());
        if !hardware.nameservers.is_empty() {
            let list: Vec<_> = hardware.nameservers.iter().map(ToString::to_string).collect();
            command = command.args(["--nameserver", &list.join(" ")]);
        }
        if let Some(domain) = &hardware.searchdomain {
            command = command.args(["--searchdomain", domain.as_str()]);
        }
        for (index, mount) in &hardware.mounts {
            command = command.arg(format!("--mp{index}")).arg(mount.clone().text());
        }
        command
    }
}

/// `pct create`: one call with every option, since each costs about a second.
#[derive(Debug, Clone)]
pub struct Create {
    /// Id.
    pub id: GuestId,
    /// Template's archive.
    pub template: VolumeId,
    /// Host name.
    pub hostname: String,
    /// What the web interface shows; says whose it is.
    pub description: String,
    /// Tags, separated by `;`.
    pub tags: String,
    /// Storage of the root file system.
    pub storage: StorageId,
    /// Its size in GiB.
    pub root_gib: u32,
    /// The rest.
    pub options: Options,
}

impl External for Create {
    fn command(&self) -> Command {
        let command = Command::new("pct")
            .args(["create", &self.id.to_string(), self.template.as_str()])
            // without it, PVE 8 makes a privileged container
            .args(["--unprivileged", "1"])
            // systemd of Debian 12 and 13 mounts things for its services
            .args(["--features", "nesting=1", "--ostype", "debian"])
            .args(["--hostname", &self.hostname, "--description", &self.description, "--tags", &self.tags])
            .args(["--rootfs", &format!("{}:{}", self.storage, self.root_gib)]);
        self.options.add_to(command).deadline(MAKE)
    }
}

/// `pct set`
#[derive(Debug, Clone)]
pub struct Set {
    /// Id.
    pub id: GuestId,
    /// What it is to have.
    pub options: Options,
    /// Keys to remove, as `mp1`.
    pub delete: Vec<String>,
}

impl External for Set {
    fn command(&self) -> Command {
        let mut command = self.options.add_to(Command::new("pct").args(["set", &self.id.to_string()]));
        if !self.delete.is_empty() {
            command = command.args(["--delete", &self.delete.join(",")]);
        }
        command.deadline(CHANGE)
    }
}

/// `pct set` of nothing but the start with the node.
#[derive(Debug, Clone)]
pub struct Onboot {
    /// Id.
    pub id: GuestId,
    /// `onboot`
    pub onboot: bool,
}

impl External for Onboot {
    fn command(&self) -> Command {
        Command::new("pct")
            .args(["set", &self.id.to_string(), "--onboot", &bit(self.onboot)])
            .deadline(CHANGE)
    }
}

/// `pct start`; an error when it runs.
#[derive(Debug, Clone)]
pub struct Start {
    /// Id.
    pub id: GuestId,
}

impl External for Start {
    fn command(&self) -> Command {
        Command::new("pct").args(["start", &self.id.to_string()]).deadline(ACT)
    }
}

/// `pct shutdown`; an error when it does not run.
#[derive(Debug, Clone)]
pub struct Shutdown {
    /// Id.
    pub id: GuestId,
    /// Seconds until it is stopped by force.
    pub timeout: u32,
}

impl External for Shutdown {
    fn command(&self) -> Command {
        Command::new("pct")
            .args(["shutdown", &self.id.to_string(), "--timeout", &self.timeout.to_string()])
            .args(["--forceStop", "1"])
            .deadline(ACT + Duration::from_secs(self.timeout.into()))
    }
}

/// `pct destroy`, also from backup jobs, replication and HA. Never with `--destroy-unreferenced-disks`, which frees every
/// volume of that id on every storage.
#[derive(Debug, Clone)]
pub struct Destroy {
    /// Id.
    pub id: GuestId,
    /// Stop it if it runs.
    pub force: bool,
}

impl External for Destroy {
    fn command(&self) -> Command {
        let command = Command::new("pct").args(["destroy", &self.id.to_string(), "--purge", "1"]);
        if self.force { command.args(["--force", "1"]) } else { command }.deadline(MAKE)
    }
}

/// `pct unlock`
#[derive(Debug, Clone)]
pub struct Unlock {
    /// Id.
    pub id: GuestId,
}

impl External for Unlock {
    fn command(&self) -> Command {
        Command::new("pct").args(["unlock", &self.id.to_string()]).deadline(CHANGE)
    }
}
