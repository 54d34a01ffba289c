//! Configuration files: where they are, reading, writing, locking.

use std::collections::BTreeMap;
use std::fs;

use super::parse::{parse, render};
use super::{Config, Kind, digest};
use crate::refusal::{About, Refusal, Result};
use crate::sim::{GuestLock, Sim};
use crate::world::{pve, write};

/// Where a guest's file is.
pub fn path(node: &str, kind: Kind, vmid: u32) -> String {
    format!("nodes/{node}/{}/{vmid}.conf", kind.directory())
}

/// All guests of the cluster: kind and node by id.
pub fn all(sim: &Sim) -> BTreeMap<u32, (Kind, String)> {
    let mut found = BTreeMap::new();
    for node in &sim.node.members {
        for kind in [Kind::Ct, Kind::Vm] {
            let entries = fs::read_dir(pve(&format!("nodes/{node}/{}", kind.directory())));
            for entry in entries.into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if let Some(vmid) = name.strip_suffix(".conf").and_then(|id| id.parse().ok()) {
                    found.insert(vmid, (kind, node.clone()));
                }
            }
        }
    }
    found
}

/// Reads a guest of this node, with the digest of its file; warnings go to stderr.
///
/// # Errors
/// When it is not on this node.
pub fn load(sim: &Sim, kind: Kind, vmid: u32) -> Result<(Config, String)> {
    load_from(sim, &sim.node.name, kind, vmid)
}

/// As [`load`], of any node.
///
/// # Errors
/// When it is not there. Text: PVE::AbstractConfig, `load_config`.
pub fn load_from(sim: &Sim, node: &str, kind: Kind, vmid: u32) -> Result<(Config, String)> {
    let path = path(node, kind, vmid);
    let text = match fs::read_to_string(pve(&path)) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Refusal::code(2, format!("Configuration file '{path}' does not exist")));
        }
        Err(error) => return Err(error).about(&format!("unable to open file '{path}'")),
    };
    let (config, warnings) = parse(&sim.table, kind, vmid, &text);
    for warning in warnings {
        eprintln!("{warning}");
    }
    Ok((config, digest(&text)))
}

/// Writes a guest of this node.
///
/// # Errors
/// When it cannot be written.
pub fn store(sim: &Sim, kind: Kind, vmid: u32, config: &Config) -> Result<()> {
    write(&path(&sim.node.name, kind, vmid), &render(kind, config))
}

/// Removes a guest's file.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(sim: &Sim, kind: Kind, vmid: u32) -> Result<()> {
    let path = path(&sim.node.name, kind, vmid);
    fs::remove_file(pve(&path)).about(&format!("failed to remove config file '{path}'"))
}

/// Locks a guest.
///
/// # Errors
/// When somebody else has it for too long.
pub fn lock(sim: &Sim, kind: Kind, vmid: u32) -> Result<GuestLock> {
    match kind {
        Kind::Ct => sim.lock(&format!("/run/lock/lxc/pve-config-{vmid}.lock")),
        Kind::Vm => sim.lock(&format!("/var/lock/qemu-server/lock-{vmid}.conf")),
    }
}

/// Refuses when `lock:` is set. Text: PVE::AbstractConfig, `check_lock`.
///
/// # Errors
/// When it is.
pub fn check_lock(kind: Kind, config: &Config) -> Result<()> {
    match config.get("lock") {
        Some(lock) => Err(Refusal::new(format!("{} is locked ({lock})", kind.word()))),
        None => Ok(()),
    }
}

/// Refuses when `protection:` is set. Text: PVE::AbstractConfig, `check_protection`.
///
/// # Errors
/// When it is.
pub fn check_protection(kind: Kind, vmid: u32, config: &Config, what: &str) -> Result<()> {
    if config.is("protection") {
        return Err(Refusal::new(format!("{what} - protection mode enabled")));
    }
    let _ = (kind, vmid);
    Ok(())
}

/// Refuses an id that is in use. Text: PVE::Cluster, `check_vmid_unused`.
///
/// # Errors
/// When it is.
pub fn check_unused(sim: &Sim, vmid: u32) -> Result<()> {
    match all(sim).get(&vmid) {
        Some((kind, node)) => {
            Err(Refusal::new(format!("{} {vmid} already exists on node '{node}'", kind.word())))
        }
        None => Ok(()),
    }
}

/// Refuses when the file has changed since the caller read it. Text: PVE::Tools, `assert_if_modified`.
///
/// # Errors
/// When it has.
pub fn check_digest(given: Option<&str>, digest: &str) -> Result<()> {
    match given {
        Some(given) if given != digest => {
            Err(Refusal::new("detected modified configuration - file changed by other user? Try again."))
        }
        _ => Ok(()),
    }
}
