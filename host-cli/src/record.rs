//! What the node remembers of a gateway: its spec, and what was chosen for it.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use smbgw_api::{
    BridgeName, ByteSize, DiskSource, DnsDomain, Firmware, GatewayName, GatewaySpec, HostPath, Listen,
    ShareName, StartOrder, StorageId, VlanId,
};

use crate::{Error, Result};

/// Format of a record.
pub const RECORD_VERSION: u32 = 1;
/// Memory limit of a container that does not set its own.
pub const CONTAINER_MEMORY: ByteSize = ByteSize::from_mib(128);
/// Memory of a virtual machine that does not set its own.
pub const MACHINE_MEMORY: ByteSize = ByteSize::from_mib(2048);
/// Processors of a virtual machine that does not set its own.
pub const MACHINE_CORES: u32 = 2;

/// What the node remembers of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Record {
    /// [`RECORD_VERSION`]
    pub version: u32,
    /// Whether it is finished.
    pub state: RecordState,
    /// When it was created.
    pub created: Timestamp,
    /// Desired state, with every uid given.
    pub spec: GatewaySpec,
    /// The guest that was made for it.
    pub guest: GuestPlan,
}

impl Record {
    /// Name of the gateway.
    pub fn name(&self) -> &GatewayName {
        &self.spec.name
    }
}

/// The error of a gateway that is not there.
pub fn missing(name: &GatewayName) -> Error {
    Error::resource("no-such-gateway", format!("there is no gateway {name}"))
        .hint("`pve-smbgateway list` shows those there are")
}

/// Whether a gateway is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordState {
    /// Its creation has begun and not ended.
    Creating,
    /// It is there.
    Active,
}

/// Everything a platform needs to make or change a guest. No choice is left in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GuestPlan {
    /// Gateway and host name.
    pub name: GatewayName,
    /// Exact template, with version, as `debian-13_0.1.0`; the node itself is made from none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Memory: limit of a container, size of a machine; on the node itself only when it is limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
    /// Processors; all when absent (containers only).
    pub cores: Option<u32>,
    /// Network card; the node itself has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<GuestNetwork>,
    /// What it is.
    pub form: GuestForm,
    /// Directories that are mounted into it: bound into a container, by virtio-fs in a machine.
    pub mounts: Vec<GuestMount>,
    /// It starts with the node, where the platform starts guests.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub onboot: bool,
    /// Its turn then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<StartOrder>,
    /// Storage of its own disk, where there are storages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageId>,
}

fn yes() -> bool {
    true
}

impl GuestPlan {
    /// What it is, in a word.
    pub fn kind(&self) -> &'static str {
        match self.form {
            GuestForm::Container(_) => "container",
            GuestForm::Machine { .. } => "virtual machine",
            GuestForm::Native(_) => "service",
        }
    }

    /// Host ids of a container.
    ///
    /// # Errors
    /// For what is no container, and has none.
    pub fn ids(&self) -> Result<IdRange> {
        match self.form {
            GuestForm::Container(ids) => Ok(ids),
            _ => Err(Error::internal(format!("a {} has no id map", self.kind()))),
        }
    }

    /// Template of a container or a virtual machine.
    ///
    /// # Errors
    /// For the node itself, which has none.
    pub fn template(&self) -> Result<&str> {
        self.template.as_deref().ok_or_else(|| Error::internal("a service of the node has no template"))
    }

    /// Memory of a container or a virtual machine.
    ///
    /// # Errors
    /// For the node itself, which need not have a limit.
    pub fn memory(&self) -> Result<ByteSize> {
        self.memory.ok_or_else(|| Error::internal("a service of the node has no memory of its own"))
    }

    /// Network card of a container or a virtual machine.
    ///
    /// # Errors
    /// For the node itself, which has its own.
    pub fn network(&self) -> Result<&GuestNetwork> {
        self.network.as_ref().ok_or_else(|| Error::internal("a service of the node has no network card"))
    }

    /// Its address, when it is known beforehand.
    pub fn ip(&self) -> Option<Ipv4Addr> {
        self.network.as_ref().and_then(|network| network.address.ip())
    }

    /// Where clients reach it, in words.
    pub fn address(&self) -> String {
        match (&self.form, &self.network) {
            (GuestForm::Native(native), _) => native.listen.to_string(),
            (_, Some(network)) => network.address.to_string(),
            (_, None) => String::new(),
        }
    }

    /// Its network card, to be changed by a test.
    #[cfg(test)]
    pub(crate) fn card(&mut self) -> &mut GuestNetwork {
        self.network.as_mut().unwrap()
    }

    /// Whether it is a service of the node itself.
    pub fn is_native(&self) -> bool {
        matches!(self.form, GuestForm::Native(_))
    }

    /// Whether it is a virtual machine.
    pub fn is_machine(&self) -> bool {
        matches!(self.form, GuestForm::Machine { .. })
    }
}

/// Host ids of a container: its own ids begin at 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct IdRange {
    /// The first.
    pub base: u32,
    /// How many.
    pub count: u32,
    /// Ids of a domain, beside them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<DomainRange>,
}

/// Ids of a domain's accounts in a container's map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DomainRange {
    /// First id in the container.
    pub inside: u32,
    /// First id on the node.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// What a guest is, with all that only this kind has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum GuestForm {
    /// An unprivileged container, with the host ids that it has.
    Container(IdRange),
    /// A virtual machine.
    Machine {
        /// What starts it.
        firmware: Firmware,
        /// Its data disk.
        disk: Option<DiskSource>,
    },
    /// A service of the node itself.
    Native(NativeService),
}

/// Samba and the agent as services of the node, in a mount namespace of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NativeService {
    /// The agent's program.
    pub agent: PathBuf,
    /// Where it takes connections.
    pub listen: Listen,
}

/// The network card of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GuestNetwork {
    /// Bridge on the node.
    pub bridge: BridgeName,
    /// The bridge is the platform's own: made for its gateways, removed with the last of them.
    pub own_bridge: bool,
    /// MAC address, locally administered.
    pub mac: String,
    /// Address.
    pub address: GuestAddress,
    /// Default route.
    pub gateway: Option<Ipv4Addr>,
    /// VLAN of its port on the bridge; untagged when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<VlanId>,
    /// Name servers; when there are none, the node's on Proxmox VE, and none elsewhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<Ipv4Addr>,
    /// Search domain; as with the name servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub searchdomain: Option<DnsDomain>,
}

/// Address of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuestAddress {
    /// By DHCP.
    Dhcp,
    /// This one.
    Static {
        /// Address.
        ip: Ipv4Addr,
        /// Prefix length.
        prefix: u8,
    },
}

impl GuestAddress {
    /// The address, when it is known beforehand.
    pub fn ip(self) -> Option<Ipv4Addr> {
        match self {
            Self::Dhcp => None,
            Self::Static { ip, .. } => Some(ip),
        }
    }
}

impl std::fmt::Display for GuestAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dhcp => f.pad("dhcp"),
            Self::Static { ip, prefix } => f.pad(&format!("{ip}/{prefix}")),
        }
    }
}

/// A directory that is mounted into a guest. In a container always `nosuid,nodev,noexec`: inside and outside ids are the same on
/// it, so a lost gateway must not be able to plant anything on the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GuestMount {
    /// Directory on the node.
    pub source: HostPath,
    /// Share it is for; the mount point follows from its name.
    pub share: ShareName,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A virtual machine with one shared directory and a data disk.
    pub(crate) fn machine() -> GuestPlan {
        GuestPlan {
            name: GatewayName::parse("team").unwrap(),
            template: Some("debian-13-vm_0.1.0".into()),
            memory: Some(MACHINE_MEMORY),
            cores: Some(MACHINE_CORES),
            network: Some(GuestNetwork {
                bridge: BridgeName::parse("smbgw0").unwrap(),
                own_bridge: true,
                mac: "02:01:02:03:04:05".into(),
                address: GuestAddress::Static { ip: [10, 86, 0, 10].into(), prefix: 24 },
                gateway: Some([10, 86, 0, 1].into()),
                vlan: None,
                nameservers: Vec::new(),
                searchdomain: None,
            }),
            form: GuestForm::Machine {
                firmware: Firmware::Bios,
                disk: Some(DiskSource::Rbd {
                    image: smbgw_api::RbdImage::parse("tank/team").unwrap(),
                    user: None,
                }),
            },
            mounts: vec![GuestMount {
                source: HostPath::parse("/srv/a, b").unwrap(),
                share: ShareName::parse("team").unwrap(),
            }],
            onboot: true,
            startup: None,
            storage: None,
        }
    }
}
