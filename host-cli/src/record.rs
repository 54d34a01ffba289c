//! What the node remembers of a gateway: its spec, and what was chosen for it.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smbgw_api::{BridgeName, ByteSize, GatewayName, GatewaySpec, HostPath, ShareName};

/// Format of a record.
pub const RECORD_VERSION: u32 = 1;
/// Memory limit of a container that does not set its own.
pub const DEFAULT_MEMORY: ByteSize = ByteSize::from_mib(128);

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
    /// Exact template, with version, as `debian-13_0.1.0`.
    pub template: String,
    /// Memory limit.
    pub memory: ByteSize,
    /// Processors; all when absent.
    pub cores: Option<u32>,
    /// Network card.
    pub network: GuestNetwork,
    /// First host id of the container's map.
    pub id_base: u32,
    /// Number of ids in the map.
    pub id_count: u32,
    /// Directories that are mounted into it.
    pub mounts: Vec<GuestMount>,
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

/// A directory that is mounted into a guest. Always `nosuid,nodev,noexec`: inside and outside ids are the same on
/// it, so a lost gateway must not be able to plant anything on the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GuestMount {
    /// Directory on the node.
    pub source: HostPath,
    /// Share it is for; the mount point follows from its name.
    pub share: ShareName,
}
