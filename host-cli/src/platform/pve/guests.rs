//! Finding a gateway's guest, and proving that it is ours before anything is done to it.

use smbgw_api::GatewayName;

use super::Pve;
use super::call::pvesh::Kind;
use super::cluster::registry::Entry;
use super::config::file::GuestFile;
use super::config::guest::GuestConfig;
use super::config::marker::{self, Ownership};
use crate::platform::ByHand;
use crate::{Error, Result};

/// A guest that was found.
#[derive(Debug, Clone)]
pub(super) struct Guest {
    /// Where its configuration is.
    pub(super) file: GuestFile,
    /// What is in it.
    pub(super) config: GuestConfig,
}

impl Pve {
    /// A gateway's entry.
    pub(super) fn entry(&self, name: &GatewayName) -> Result<Entry> {
        self.registry()?.gateway(name)?.ok_or_else(|| crate::record::missing(name))
    }

    /// The guest of a gateway, if it was made and is ours. One that a task still makes does not count.
    pub(super) fn guest(&self, name: &GatewayName) -> Result<Option<Guest>> {
        let entry = self.registry()?.gateway(name)?;
        entry.map_or(Ok(None), |entry| self.guest_of(&entry))
    }

    /// The guest of an entry, as [`Self::guest`].
    pub(super) fn guest_of(&self, entry: &Entry) -> Result<Option<Guest>> {
        let Some(id) = entry.id else { return Ok(None) };
        let name = entry.record.name();
        let found = GuestFile::find(&self.files, &self.files.node()?, id)?;
        Ok(found
            .filter(|(_, config)| marker::ownership(config, &marker::of_gateway(name)) == Ownership::Ours)
            .map(|(file, config)| Guest { file, config }))
    }

    /// As [`Self::guest`], where one must be.
    pub(super) fn guest_here(&self, name: &GatewayName) -> Result<Guest> {
        let guest = self.guest(name)?.ok_or_else(|| not_made(name))?;
        let here = self.files.node()?;
        if guest.file.node == here { Ok(guest) } else { Err(elsewhere(name, &guest.file.node)) }
    }

    /// Node that has a gateway's guest now: it may have been moved since it was made.
    pub(super) fn node_of(&self, entry: &Entry) -> Result<String> {
        let Some(id) = entry.id else { return Ok(entry.node.clone()) };
        let found = GuestFile::find(&self.files, &self.files.node()?, id)?;
        Ok(found.map_or_else(|| entry.node.clone(), |(file, _)| file.node))
    }

    /// Only the node that has a guest changes it.
    pub(super) fn refuse_elsewhere(&self, name: &GatewayName) -> Result<()> {
        let Some(entry) = self.registry()?.gateway(name)? else { return Ok(()) };
        let node = self.node_of(&entry)?;
        if node == self.files.node()? { Ok(()) } else { Err(elsewhere(name, &node)) }
    }

    /// Whether a guest is under the care of Proxmox VE's HA: then starting and stopping it only asks for that.
    pub(super) fn is_ha(&self, file: &GuestFile) -> Result<bool> {
        let text = self.files.read("ha/resources.cfg")?.unwrap_or_default();
        let kind = if file.kind == Kind::Container { "ct" } else { "vm" };
        let id = file.id.to_string();
        let sections = super::cluster::section::parse(&text);
        Ok(sections.iter().any(|section| section.kind == kind && section.id == id))
    }

    pub(super) fn hand_work(&self, what: ByHand<'_>) -> Vec<String> {
        let id = |name: &GatewayName| {
            let known = self.registry().ok().and_then(|registry| registry.gateway(name).ok().flatten());
            let id = known.and_then(|entry| entry.id).map(|id| id.to_string());
            // one that is to be made has its id in the cluster's file before it is made
            id.unwrap_or_else(|| format!("ID (vmid of `gateway: {name}` in /etc/pve/smbgateway.cfg)"))
        };
        let tool = |machine: bool| if machine { "qm" } else { "pct" };
        match what {
            ByHand::Running(guest) => vec![format!("{} stop {}", tool(guest.is_machine()), id(&guest.name))],
            ByHand::Guest(name) => {
                let machine = self.entry(name).is_ok_and(|entry| entry.kind() == Kind::Machine);
                vec![format!("{} destroy {} --purge 1", tool(machine), id(name))]
            }
            ByHand::Link(name) => vec![format!("rm -r {}", self.paths.link(name).display())],
            ByHand::Record(name) => {
                vec![format!("remove the section `gateway: {name}` from /etc/pve/smbgateway.cfg")]
            }
        }
    }
}

/// The error of a gateway whose guest is not there.
pub(super) fn not_made(name: &GatewayName) -> Error {
    Error::resource("guest-missing", format!("the guest of gateway {name} is not there, or is not ours any more"))
        .hint(format!(
            "its tag `{}` and the first line of its notes say whose it is; `pve-smbgateway delete {name}` forgets the gateway",
            marker::TAG
        ))
}

fn elsewhere(name: &GatewayName, node: &str) -> Error {
    Error::infrastructure("gateway-elsewhere", format!("gateway {name} is on node {node}"))
        .hint(format!("run it on {node}: from here, `ssh root@{node} pve-smbgateway …`"))
}
