//! `qm` (PVE 8.4 and 9.2, qm(1)). Virtual machines of this node.

use std::net::Ipv4Addr;
use std::time::Duration;

use smbgw_api::{DnsDomain, StartOrder, StorageId};
use smbgw_command::Command;

use super::property::Property;
use super::{External, GuestId, bit};

/// Time for a task that copies a disk on slow storage.
const MAKE: Duration = Duration::from_secs(1800);
/// Time for a task that starts or stops.
const ACT: Duration = Duration::from_secs(300);
/// Time for a change of the configuration.
const CHANGE: Duration = Duration::from_secs(120);
/// Time that `qm` itself takes, besides the program in the guest.
const SELF: Duration = Duration::from_secs(20);

/// `qm create`: the guest that gateways are cloned from.
#[derive(Debug, Clone)]
pub struct Create {
    /// Id.
    pub id: GuestId,
    /// Name, a DNS name.
    pub name: String,
    /// What the web interface shows; says whose it is.
    pub description: String,
    /// Tags, separated by `;`.
    pub tags: String,
    /// Storage of its disks.
    pub storage: StorageId,
    /// Image: a volume of an `import` storage, or an absolute path.
    pub image: String,
    /// `qcow2` on storages of files, so that it can be cloned without a copy.
    pub format: Option<&'static str>,
}

impl External for Create {
    fn command(&self) -> Command {
        let disk = Property::of(format!("{}:0", self.storage))
            .with("import-from", &self.image)
            .with_some("format", self.format)
            .with("discard", "on")
            .with("iothread", 1)
            .with("ssd", 1);
        Command::new("qm")
            .args(["create", &self.id.to_string(), "--name", &self.name, "--description", &self.description])
            .args(["--tags", &self.tags, "--ostype", "l26", "--machine", "q35", "--cpu", "x86-64-v2-AES"])
            .args(["--memory", "2048", "--cores", "2", "--scsihw", "virtio-scsi-single"])
            .arg("--scsi0")
            .arg(disk.text())
            // as a SCSI disk: cloud-init looks for it before the driver of other controllers is loaded
            .args(["--scsi2", &format!("{}:cloudinit", self.storage), "--boot", "order=scsi0"])
            .args(["--serial0", "socket", "--vga", "serial0", "--agent", "enabled=1"])
            // the default would upgrade packages at the first boot
            .args(["--ciupgrade", "0"])
            .deadline(MAKE)
    }
}

/// `qm template`
#[derive(Debug, Clone)]
pub struct Template {
    /// Id.
    pub id: GuestId,
}

impl External for Template {
    fn command(&self) -> Command {
        Command::new("qm").args(["template", &self.id.to_string()]).deadline(MAKE)
    }
}

/// `qm clone`
#[derive(Debug, Clone)]
pub struct Clone {
    /// Id of the template.
    pub template: GuestId,
    /// Id of the new one.
    pub id: GuestId,
    /// Name of the new one, which is its host name.
    pub name: String,
    /// What the web interface shows; says whose it is from the first moment on.
    pub description: String,
    /// A full copy on this storage; a linked clone when absent.
    pub copy_to: Option<StorageId>,
}

impl External for Clone {
    fn command(&self) -> Command {
        let mut command = Command::new("qm")
            .args(["clone", &self.template.to_string(), &self.id.to_string(), "--name", &self.name])
            .args(["--description", &self.description]);
        command = match &self.copy_to {
            Some(storage) => command.args(["--full", "1", "--storage", storage.as_str()]),
            None => command.args(["--full", "0"]),
        };
        command.deadline(MAKE)
    }
}

/// What a virtual machine is to have.
#[derive(Debug, Clone, Default)]
pub struct Hardware {
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Processors.
    pub cores: u32,
    /// `net0`, a property string.
    pub net0: Property,
    /// `ipconfig0`, a property string.
    pub ipconfig0: Property,
    /// Name servers; the node's when there are none.
    pub nameservers: Vec<Ipv4Addr>,
    /// Search domain.
    pub searchdomain: Option<DnsDomain>,
    /// UEFI with Secure Boot: storage of its variables, if they have no disk yet.
    pub firmware: Firmware,
    /// Data disk at `scsi1`, a property string.
    pub data: Option<Property>,
    /// Ids of directory mappings for `virtiofsN`, by index.
    pub mounts: Vec<(u32, String)>,
    /// Tags, separated by `;`.
    pub tags: String,
}

/// What starts a virtual machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Firmware {
    /// SeaBIOS.
    #[default]
    Bios,
    /// OVMF; its variables have a disk already.
    Uefi,
    /// OVMF, with a disk for its variables that is made on this storage, with the usual keys for Secure Boot.
    NewUefi(StorageId),
}

/// `qm set`
#[derive(Debug, Clone, Default)]
pub struct Set {
    /// Id.
    pub id: GuestId,
    /// `onboot`
    pub onboot: bool,
    /// `startup`
    pub startup: Option<StartOrder>,
    /// What is not told to a guest whose start alone is changed.
    pub hardware: Option<Hardware>,
    /// Keys to remove, as `virtiofs1`.
    pub delete: Vec<String>,
}

impl External for Set {
    fn command(&self) -> Command {
        let mut command =
            Command::new("qm").args(["set", &self.id.to_string(), "--onboot", &bit(self.onboot)]);
        if let Some(startup) = self.startup {
            command = command.args(["--startup", &startup.to_string()]);
        }
        if let Some(hardware) = &self.hardware {
            command = hardware.add_to(command);
        }
        if !self.delete.is_empty() {
            command = command.args(["--delete", &self.delete.join(",")]);
        }
        command.deadline(CHANGE)
    }
}

impl Hardware {
    fn add_to(&self, mut command: Command) -> Command {
        command = command
            .args(["--memory", &self.memory_mib.to_string(), "--cores", &self.cores.to_string()])
            .args(["--tags", &self.tags])
            .arg("--net0")
            .arg(self.net0.clone().text())
            .arg("--ipconfig0")
            .arg(self.ipconfig0.clone().text());
        if !self.nameservers.is_empty() {
            let list: Vec<_> = self.nameservers.iter().map(ToString::to_string).collect();
            command = command.args(["--nameserver", &list.join(" ")]);
        }
        if let Some(domain) = &self.searchdomain {
            command = command.args(["--searchdomain", domain.as_str()]);
        }
        command = match &self.firmware {
            Firmware::Bios => command.args(["--bios", "seabios"]),
            Firmware::Uefi => command.args(["--bios", "ovmf"]),
            Firmware::NewUefi(storage) => {
                // the size is Proxmox VE's own, whatever is said
                let disk =
                    Property::of(format!("{storage}:1")).with("efitype", "4m").with("pre-enrolled-keys", 1);
                command.args(["--bios", "ovmf", "--efidisk0"]).arg(disk.text())
            }
        };
        if let Some(data) = &self.data {
            command = command.arg("--scsi1").arg(data.clone().text());
        }
        for (index, mapping) in &self.mounts {
            // others on the node may write in the same tree: what the guest knows of it is old after a second at most
            let mount =
                Property::of(mapping).with("cache", "auto").with("expose-acl", 1).with("expose-xattr", 1);
            command = command.arg(format!("--virtiofs{index}")).arg(mount.text());
        }
        command
    }
}

/// `qm start`; an error when it runs.
#[derive(Debug, Clone)]
pub struct Start {
    /// Id.
    pub id: GuestId,
}

impl External for Start {
    fn command(&self) -> Command {
        Command::new("qm").args(["start", &self.id.to_string()]).deadline(ACT)
    }
}

/// `qm shutdown`; no error when it does not run.
#[derive(Debug, Clone)]
pub struct Shutdown {
    /// Id.
    pub id: GuestId,
    /// Seconds until it is stopped by force.
    pub timeout: u32,
}

impl External for Shutdown {
    fn command(&self) -> Command {
        Command::new("qm")
            .args(["shutdown", &self.id.to_string(), "--timeout", &self.timeout.to_string()])
            .args(["--forceStop", "1"])
            .deadline(ACT + Duration::from_secs(self.timeout.into()))
    }
}

/// `qm resume`
#[derive(Debug, Clone)]
pub struct Resume {
    /// Id.
    pub id: GuestId,
}

impl External for Resume {
    fn command(&self) -> Command {
        Command::new("qm").args(["resume", &self.id.to_string()]).deadline(CHANGE)
    }
}

/// `qm destroy`, also from backup jobs, replication and HA; it must not run.
#[derive(Debug, Clone)]
pub struct Destroy {
    /// Id.
    pub id: GuestId,
}

impl External for Destroy {
    fn command(&self) -> Command {
        Command::new("qm")
            .args(["destroy", &self.id.to_string(), "--purge", "1", "--destroy-unreferenced-disks", "0"])
            .deadline(MAKE)
    }
}

/// `qm unlock`
#[derive(Debug, Clone)]
pub struct Unlock {
    /// Id.
    pub id: GuestId,
}

impl External for Unlock {
    fn command(&self) -> Command {
        Command::new("qm").args(["unlock", &self.id.to_string()]).deadline(CHANGE)
    }
}

/// `qm guest exec`: exit code 0 whatever the program's was; its JSON has that.
#[derive(Debug, Clone)]
pub struct GuestExec {
    /// Id.
    pub id: GuestId,
    /// Seconds for the program in the guest.
    pub timeout: u64,
    /// Program and arguments.
    pub program: Vec<String>,
    /// What it reads; may hold a password.
    pub input: Vec<u8>,
}

impl External for GuestExec {
    fn command(&self) -> Command {
        Command::new("qm")
            .args(["guest", "exec", &self.id.to_string(), "--pass-stdin", "1"])
            .args(["--timeout", &self.timeout.to_string(), "--"])
            .args(self.program.iter().map(String::as_str))
            .stdin(self.input.clone())
            // 16 MiB that the guest agent keeps, as JSON
            .stdout_limit(40 << 20)
            .deadline(Duration::from_secs(self.timeout) + SELF)
    }
}

/// `qm guest cmd ID fsfreeze-status`
#[derive(Debug, Clone)]
pub struct FreezeStatus {
    /// Id.
    pub id: GuestId,
}

impl External for FreezeStatus {
    fn command(&self) -> Command {
        Command::new("qm").args(["guest", "cmd", &self.id.to_string(), "fsfreeze-status"]).deadline(SELF)
    }
}
