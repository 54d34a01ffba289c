//! Directory mappings: the directories that virtual machines have by virtio-fs (`/etc/pve/mapping/directory.cfg`, PVE 8.4 and
//! 9.2). Their description says whose they are.

use smbgw_api::GatewayName;

use super::Pve;
use super::call::property::value;
use super::call::pvesh::{Map, Mapped, Remap, Unmap};
use super::cluster::section::{self, Section};
use super::config::machine::{is_our_mapping, mappings};
use crate::Result;
use crate::record::GuestPlan;

/// Characters that the path of a mapping cannot have.
pub(super) const FORBIDDEN: [char; 5] = [';', ',', '=', '(', ')'];

/// Directories of a mapping by node.
fn directories(section: &Section) -> Vec<Mapped> {
    let mapped = |text: &str| {
        let (node, path) = (value(text, "node", "")?, value(text, "path", "")?);
        Some(Mapped { node: node.to_owned(), path: path.to_owned() })
    };
    section.all("map").filter_map(mapped).collect()
}

fn description(name: &GatewayName) -> String {
    format!("pve-smbgateway {name}")
}

impl Pve {
    fn mapped(&self) -> Result<Vec<Section>> {
        Ok(section::parse(&self.files.read("mapping/directory.cfg")?.unwrap_or_default()))
    }

    /// Makes the mappings that a plan needs, or turns this node's directory of those that are there.
    pub(super) fn map_directories(&self, plan: &GuestPlan) -> Result<()> {
        let node = self.files.node()?;
        let there = self.mapped()?;
        for (id, mount) in mappings(plan).into_iter().zip(&plan.mounts) {
            let wanted = Mapped { node: node.clone(), path: mount.source.to_string() };
            match there.iter().find(|section| section.id == id) {
                None => {
                    let map = Map { id, description: description(&plan.name), directories: vec![wanted] };
                    self.call("mapping a directory", map)?;
                }
                Some(section) if !directories(section).contains(&wanted) => {
                    let others = directories(section).into_iter().filter(|one| one.node != node);
                    let directories = others.chain([wanted]).collect();
                    self.call("mapping a directory", Remap { id, directories })?;
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Removes a gateway's mappings that a plan does not need.
    pub(super) fn unmap_others(&self, plan: &GuestPlan) -> Result<()> {
        self.unmap(&plan.name, &mappings(plan))
    }

    /// Removes a gateway's mappings but these.
    pub(super) fn unmap(&self, name: &GatewayName, but: &[String]) -> Result<()> {
        let wanted = description(name);
        for section in self.mapped()? {
            let ours = is_our_mapping(&section.id) && section.get("description") == Some(&wanted);
            if ours && !but.contains(&section.id) {
                self.call("removing a directory mapping", Unmap { id: section.id })?;
            }
        }
        Ok(())
    }
}
