//! Storages: /etc/pve/storage.cfg and what is in them.
//!
//! Directories are real. Of every other kind each storage has a directory of the simulation for its volumes, and says of itself
//! what `control/storages` says.
//!
//! * [`section`]: section-config files
//! * [`volume`]: names of volumes, and where they are
//! * [`allocate`]: making, cloning and freeing them

pub mod allocate;
pub mod section;
pub mod volume;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use self::section::Section;
use crate::refusal::{Refusal, Result, refuse};
use crate::sim::Sim;
use crate::world::read;

/// Where volumes of what is no directory lie.
const POOLS: &str = "/var/lib/pve-sim";

/// A storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// Its name.
    pub id: String,
    /// Its kind, as `dir`.
    pub kind: String,
    /// Its options.
    pub values: BTreeMap<String, String>,
}

impl Storage {
    /// Content types.
    pub fn content(&self) -> Vec<&str> {
        self.values
            .get("content")
            .map(String::as_str)
            .unwrap_or("images,rootdir")
            .split(',')
            .filter(|one| !one.is_empty())
            .collect()
    }

    /// Whether it takes this.
    pub fn takes(&self, content: &str) -> bool {
        self.content().contains(&content)
    }

    /// Whether it is for this node and not disabled.
    pub fn enabled_on(&self, node: &str) -> bool {
        let nodes = self.values.get("nodes");
        self.values.get("disable").is_none_or(|text| text == "0")
            && nodes.is_none_or(|nodes| nodes.split(',').any(|one| one == node))
    }

    /// Whether all nodes see the same.
    pub fn shared(&self) -> bool {
        ["nfs", "cifs", "cephfs", "rbd"].contains(&self.kind.as_str())
            || self.values.get("shared").is_some_and(|text| text == "1")
    }

    /// Whether it has the directories that PVE::Storage::Plugin makes.
    pub fn is_path(&self) -> bool {
        ["dir", "btrfs", "nfs", "cifs", "cephfs"].contains(&self.kind.as_str())
    }

    /// Whether volumes are cloned by reference.
    pub fn clones(&self) -> bool {
        ["zfspool", "lvmthin", "rbd", "btrfs"].contains(&self.kind.as_str())
    }

    /// Its directory.
    pub fn root(&self) -> PathBuf {
        match self.kind.as_str() {
            "dir" | "btrfs" => {
                PathBuf::from(self.values.get("path").map(String::as_str).unwrap_or("/nonexistent"))
            }
            "nfs" | "cifs" | "cephfs" => self
                .values
                .get("path")
                .map_or_else(|| PathBuf::from("/mnt/pve").join(&self.id), PathBuf::from),
            _ => PathBuf::from(POOLS).join(&self.id),
        }
    }
}

/// All storages, in the file's order.
///
/// # Errors
/// When the file cannot be read.
pub fn all(_sim: &Sim) -> Result<Vec<Storage>> {
    let sections = section::parse(&read("storage.cfg")?);
    let mut found: Vec<Storage> =
        sections.into_iter().map(|Section { kind, id, values }| Storage { kind, id, values }).collect();
    // PVE::Storage adds it when the file does not name it
    if !found.iter().any(|storage| storage.id == "local") {
        let values = [("path", "/var/lib/vz"), ("content", "backup,iso,vztmpl")];
        let values = values.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        found.insert(0, Storage { id: "local".to_owned(), kind: "dir".to_owned(), values });
    }
    Ok(found)
}

/// A storage by name. Text: PVE::Storage, `storage_config`.
///
/// # Errors
/// When there is none.
pub fn get(sim: &Sim, id: &str) -> Result<Storage> {
    let found = all(sim)?.into_iter().find(|storage| storage.id == id);
    found.ok_or_else(|| Refusal::new(format!("storage '{id}' does not exist")))
}

/// A storage that can be used on this node. Texts: PVE::Storage, `storage_check_enabled`, `activate_storage`.
///
/// # Errors
/// When it cannot.
pub fn usable(sim: &Sim, id: &str) -> Result<Storage> {
    let storage = get(sim, id)?;
    if storage.values.get("disable").is_some_and(|text| text == "1") {
        return refuse(format!("storage '{id}' is disabled"));
    }
    if !storage.enabled_on(&sim.node.name) {
        return refuse(format!("storage '{id}' is not available on node '{}'", sim.node.name));
    }
    if !active(sim, &storage) {
        let why = if storage.kind == "dir" {
            format!(
                "unable to activate storage '{id}' - directory '{}' does not exist or is unreachable",
                storage.root().display()
            )
        } else {
            format!("could not activate storage '{id}': {} is not there", storage.kind)
        };
        return refuse(why);
    }
    Ok(storage)
}

/// What the simulation is to say of a storage.
pub fn said(sim: &Sim, id: &str) -> Value {
    let text = std::fs::read_to_string(sim.node.control("storages")).unwrap_or_default();
    serde_json::from_str::<Value>(&text).map(|all| all[id].clone()).unwrap_or_default()
}

/// Whether it can be used now.
pub fn active(sim: &Sim, storage: &Storage) -> bool {
    if said(sim, &storage.id)["active"] == 0 {
        return false;
    }
    match storage.kind.as_str() {
        "dir" | "btrfs" => {
            if storage.values.get("mkdir").is_none_or(|text| text == "1") && storage.kind == "dir" {
                let _ = std::fs::create_dir_all(storage.root());
            }
            if storage.root().is_dir() {
                directories(storage);
            }
            storage.root().is_dir()
        }
        _ => std::fs::create_dir_all(storage.root()).is_ok(),
    }
}

/// Makes the directories of its content types, as every activation does. Source: PVE::Storage::Plugin, `activate_storage`.
fn directories(storage: &Storage) {
    let all = [
        ("images", "images"),
        ("rootdir", "private"),
        ("vztmpl", "template/cache"),
        ("iso", "template/iso"),
        ("backup", "dump"),
        ("snippets", "snippets"),
        ("import", "import"),
    ];
    for (content, directory) in all {
        let wanted = storage.takes(content) || (content == "images" && storage.takes("rootdir"));
        let off = ["mkdir", "create-subdirs"]
            .iter()
            .any(|key| storage.values.get(*key).is_some_and(|text| text == "0"));
        if wanted && !off {
            let _ = std::fs::create_dir_all(storage.root().join(directory));
        }
    }
}

/// Bytes: total, used, available.
pub fn room(sim: &Sim, storage: &Storage) -> (u64, u64, u64) {
    let said = said(sim, &storage.id);
    if let (Some(total), Some(used)) = (said["total"].as_u64(), said["used"].as_u64()) {
        return (total, used, said["avail"].as_u64().unwrap_or(total.saturating_sub(used)));
    }
    match rustix::fs::statvfs(storage.root()) {
        Ok(stat) => {
            let (total, avail) = (stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize);
            (total, (stat.f_blocks - stat.f_bfree) * stat.f_frsize, avail)
        }
        Err(_) => (0, 0, 0),
    }
}
