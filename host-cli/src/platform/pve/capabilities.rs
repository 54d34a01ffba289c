//! What this node's Proxmox VE can, by the versions of its packages. Read once a run.

use smbgw_command::Runner;

use super::call::{Call, node};
use crate::{Error, Result};

/// How the directories of shares get into a container with the node's ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareMounts {
    /// `mpN` with `idmap=passthrough`: since pve-container 6.1.6, which is in PVE 9.2.
    Passthrough,
    /// A raw `lxc.mount.entry` with `idmap=container`: LXC 6, which is in PVE 8.4 to 9.1.
    Raw,
}

/// What this node can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// Version of pve-manager, as `9.2.11`.
    pub manager: Version,
    /// Version of pve-container.
    pub container: Version,
    /// Version of qemu-server.
    pub qemu_server: Version,
}

/// Numbers of a version, without Debian's revision.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(Vec<u32>);

impl Version {
    /// Reads `9.2.11`, `6.1.10~bpo1`, `5:8.4-1`.
    pub fn parse(text: &str) -> Self {
        let text = text.split_once(':').map_or(text, |(_, text)| text);
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        Self(text[..end].split('.').filter_map(|part| part.parse().ok()).collect())
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<_> = self.0.iter().map(u32::to_string).collect();
        f.pad(&parts.join("."))
    }
}

/// Oldest release that is supported, and the first that is not known.
const OLDEST: &str = "8.4";

impl Capabilities {
    /// Asks the package database.
    ///
    /// # Errors
    /// Codes `not-proxmox`, `proxmox-too-old`.
    pub fn read(runner: &dyn Runner) -> Result<Self> {
        let output = Call::run(node::Versions, runner)?;
        Self::parse(&String::from_utf8_lossy(&output.stdout))
    }

    /// Reads `PACKAGE VERSION installed`, one a line.
    ///
    /// # Errors
    /// As [`Capabilities::read`].
    pub fn parse(text: &str) -> Result<Self> {
        let version = |package: &str| {
            text.lines().find_map(|line| {
                let mut words = line.split_whitespace();
                let found = words.next() == Some(package);
                let version = words.next()?;
                (found && words.next() == Some("installed")).then(|| Version::parse(version))
            })
        };
        let missing = |package: &str| {
            Error::infrastructure(
                "not-proxmox",
                format!("the package {package} is not installed on this node"),
            )
            .hint("is it a Proxmox VE node? --platform standalone runs gateways by LXC and QEMU directly")
        };
        let manager = version("pve-manager").ok_or_else(|| missing("pve-manager"))?;
        if manager < Version::parse(OLDEST) {
            return Err(Error::infrastructure(
                "proxmox-too-old",
                format!("this node has Proxmox VE {manager}; gateways need {OLDEST} or later"),
            )
            .hint("upgrade the node: https://pve.proxmox.com/wiki/Upgrade_from_7_to_8"));
        }
        Ok(Self {
            manager,
            container: version("pve-container").ok_or_else(|| missing("pve-container"))?,
            qemu_server: version("qemu-server").ok_or_else(|| missing("qemu-server"))?,
        })
    }

    /// How shares get into containers.
    pub fn share_mounts(&self) -> ShareMounts {
        if self.container >= Version::parse("6.1.6") { ShareMounts::Passthrough } else { ShareMounts::Raw }
    }

    /// The same in words, for the id-map plan.
    pub fn id_mechanism(&self) -> &'static str {
        match self.share_mounts() {
            ShareMounts::Passthrough => "a mount point with idmap=passthrough",
            ShareMounts::Raw => "an lxc.mount.entry with idmap=container",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) const PVE8: &str = "libpve-storage-perl 8.3.8 installed\npve-container 5.3.5 installed\npve-manager 8.4.21 installed\nqemu-server 8.4.10 installed\n";
    pub(crate) const PVE9: &str = "libpve-storage-perl 9.1.7 installed\npve-container 6.1.10 installed\npve-manager 9.2.11 installed\nqemu-server 9.2.6 installed\n";

    #[test]
    fn by_version() {
        let eight = Capabilities::parse(PVE8).unwrap();
        assert_eq!(
            (eight.share_mounts(), eight.manager.to_string()),
            (ShareMounts::Raw, "8.4.21".to_owned())
        );
        assert_eq!(Capabilities::parse(PVE9).unwrap().share_mounts(), ShareMounts::Passthrough);
        let nine_one = PVE9.replace("6.1.10", "6.1.5").replace("9.2.11", "9.1.9");
        assert_eq!(Capabilities::parse(&nine_one).unwrap().share_mounts(), ShareMounts::Raw);
        for (text, code) in [
            (String::new(), "not-proxmox"),
            (PVE8.replace("8.4.21", "8.3.5"), "proxmox-too-old"),
            (PVE8.replace("8.4.21", "7.4-3"), "proxmox-too-old"),
            (
                PVE8.replace("pve-container 5.3.5 installed", "pve-container 5.3.5 config-files"),
                "not-proxmox",
            ),
        ] {
            let error = Capabilities::parse(&text).unwrap_err();
            assert_eq!(error.code, code);
            assert!(error.hint.is_some());
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,80}") {
            let _ = Capabilities::parse(&text);
        }
    }
}
