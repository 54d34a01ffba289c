//! What is said before anything changes: what Proxmox VE forbids, and what a gateway keeps it from doing.

use std::path::Path;

use smbgw_api::{Address, GatewaySpec, Mode, Share};

use super::config::machine::MOST_MOUNTS;
use super::mapping::FORBIDDEN;
use super::{Pve, capabilities::ShareMounts};
use crate::{Error, Result};

/// Where the package has virtiofsd (PVE 8.4 and 9.2; qemu-server only recommends it).
const VIRTIOFSD: &str = "/usr/libexec/virtiofsd";

impl Pve {
    pub(super) fn review_spec(&self, spec: &GatewaySpec) -> Result<Vec<String>> {
        self.files.require_quorum()?;
        let directories = || spec.shares.iter().filter_map(Share::directory);
        let mut notes = Vec::new();
        if directories().next().is_some() {
            if spec.mode == Mode::Vm {
                notes.extend(self.review_virtio_fs(spec)?);
            } else {
                notes.push(match self.capabilities()?.share_mounts() {
                    ShareMounts::Passthrough => {
                        "its shares are bind mounts: Proxmox VE refuses snapshots, clones and migration of the container, and backups leave their data out".to_owned()
                    }
                    ShareMounts::Raw => {
                        "its shares are mounts of this node that Proxmox VE does not know of: backups leave their data out, and a container that is moved needs the same directories there".to_owned()
                    }
                });
            }
            if let Some(guest) = self.guest(&spec.name)?
                && self.is_ha(&guest.file)?
            {
                notes.push(format!(
                    "guest {} is under HA: another node can start it only if it has the same directories with the same data",
                    guest.file.id
                ));
            }
        }
        if spec.network.searchdomain.is_some() && matches!(spec.network.ip, Address::Dhcp | Address::Auto) {
            notes.push(
                "with DHCP its name maps to 127.0.1.1 inside: a domain wants a static address (--ip)"
                    .to_owned(),
            );
        }
        Ok(notes)
    }

    fn review_virtio_fs(&self, spec: &GatewaySpec) -> Result<Vec<String>> {
        let directories: Vec<_> = spec.shares.iter().filter_map(Share::directory).collect();
        if directories.len() > MOST_MOUNTS {
            return Err(Error::usage(
                "too-many-directories",
                format!("a virtual machine can have {MOST_MOUNTS} directories, not {}", directories.len()),
            )
            .hint("share folders of one directory, or make a second gateway"));
        }
        if let Some(path) = directories.iter().find(|path| path.as_str().contains(FORBIDDEN)) {
            return Err(Error::usage(
                "path-unsuitable",
                format!("{path} has one of the characters ; , = ( ), which a directory mapping cannot have"),
            )
            .hint("rename it, or use --mode lxc"));
        }
        if !Path::new(VIRTIOFSD).exists() {
            return Err(Error::infrastructure("no-virtiofsd", "virtiofsd is not installed on this node")
                .hint("apt-get install virtiofsd"));
        }
        Ok(vec!["its shares come by virtio-fs: Proxmox VE refuses live migration, hibernation and snapshots with memory, and backups leave their data out".to_owned()])
    }
}
