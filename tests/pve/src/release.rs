//! Versions of Proxmox VE, and of its packages in each.

use serde::{Deserialize, Serialize};

/// A version that is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Release {
    /// On Debian 12.
    #[serde(rename = "8.4")]
    V8_4,
    /// On Debian 13.
    #[serde(rename = "9.0")]
    V9_0,
    /// As 9.0, with newer packages.
    #[serde(rename = "9.1")]
    V9_1,
    /// With id maps of single mount points.
    #[serde(rename = "9.2")]
    V9_2,
}

impl Release {
    /// 8 or 9.
    pub fn major(self) -> u8 {
        if self == Self::V8_4 { 8 } else { 9 }
    }

    /// As `9.2`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V8_4 => "8.4",
            Self::V9_0 => "9.0",
            Self::V9_1 => "9.1",
            Self::V9_2 => "9.2",
        }
    }

    /// Packages and their versions. Sources: the changelogs of each.
    pub fn packages(self) -> [(&'static str, &'static str); 9] {
        let [manager, container, qemu, storage, cluster, ha, lxc, kvm, common] = match self {
            Self::V8_4 => {
                ["8.4.21", "5.3.5", "8.4.10", "8.3.8", "8.1.3", "4.0.7", "6.0.0-1", "9.2.0-7", "8.3.7"]
            }
            Self::V9_0 => {
                ["9.0.11", "6.0.13", "9.0.23", "9.0.13", "9.0.6", "5.0.5", "6.0.5-1", "10.0.2-4", "9.0.11"]
            }
            Self::V9_1 => {
                ["9.1.1", "6.0.18", "9.1.0", "9.1.0", "9.0.7", "5.0.8", "6.0.5-3", "10.1.2-4", "9.1.0"]
            }
            Self::V9_2 => {
                ["9.2.11", "6.1.10", "9.2.6", "9.1.7", "9.1.6", "5.2.0", "6.0.5-4", "10.1.2-7", "9.1.21"]
            }
        };
        [
            ("pve-manager", manager),
            ("pve-container", container),
            ("qemu-server", qemu),
            ("libpve-storage-perl", storage),
            ("pve-cluster", cluster),
            ("pve-ha-manager", ha),
            ("lxc-pve", lxc),
            ("pve-qemu-kvm", kvm),
            ("libpve-common-perl", common),
        ]
    }

    /// Version of pve-manager.
    pub fn manager(self) -> &'static str {
        self.packages()[0].1
    }
}

impl std::str::FromStr for Release {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "8.4" => Ok(Self::V8_4),
            "9.0" => Ok(Self::V9_0),
            "9.1" => Ok(Self::V9_1),
            "9.2" => Ok(Self::V9_2),
            other => anyhow::bail!("no such release: {other}"),
        }
    }
}
