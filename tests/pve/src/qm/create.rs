//! `qm create`. Source: PVE::API2::Qemu, `create_vm`.

use std::fs::File;

use super::{change, drive, life};
use crate::config::{Config, Kind, file};
use crate::faults::Fault;
use crate::options::Options;
use crate::refusal::{About, Result, refuse};
use crate::sim::Sim;
use crate::storage::allocate;
use crate::task;
use crate::world::{now, pve, uuid};

/// Options that steer the call.
pub const STEERING: &[&str] = &[
    "vmid",
    "node",
    "digest",
    "delete",
    "revert",
    "force",
    "skiplock",
    "background_delay",
    "archive",
    "storage",
    "unique",
    "pool",
    "bwlimit",
    "start",
    "live-restore",
    "import-working-storage",
    "ha-managed",
];

/// Makes a machine.
///
/// # Errors
/// When it is refused or fails; what was made is removed again.
pub fn run(sim: &Sim, options: &Options) -> Result<()> {
    let vmid = options.vmid();
    sim.node.check_quorum()?;
    if sim.fault == Some(Fault::Taken) {
        let mut other = Config::default();
        other.set("name", "somebody-else");
        file::store(sim, Kind::Vm, vmid, &other)?;
    }
    let lock = file::lock(sim, Kind::Vm, vmid)?;
    reserve(sim, vmid)?;
    sim.middle();
    task::run(sim, "qmcreate", &vmid.to_string(), |_| {
        let mut config = Config::default();
        let mut made = Vec::new();
        let result = fill(sim, vmid, options, &mut config, &mut made);
        if let Err(refusal) = result {
            for volid in made.iter().rev() {
                let _ = allocate::free(sim, volid);
            }
            let _ = file::remove(sim, Kind::Vm, vmid);
            return refuse(format!("unable to create VM {vmid} - {}", refusal.text));
        }
        Ok(())
    })?;
    drop(lock);
    if options.flag("start") == Some(true) {
        life::start(sim, options)?;
    }
    Ok(())
}

/// Writes the file that reserves the id, cluster-wide.
///
/// # Errors
/// When it is in use.
pub fn reserve(sim: &Sim, vmid: u32) -> Result<()> {
    let prefix = format!("unable to create VM {vmid}");
    let path = file::path(&sim.node.name, Kind::Vm, vmid);
    file::check_unused(sim, vmid).about(&prefix)?;
    File::options().write(true).create_new(true).open(pve(&path)).about(&prefix)?;
    let mut config = Config::default();
    config.set("lock", "create");
    file::store(sim, Kind::Vm, vmid, &config)
}

fn fill(sim: &Sim, vmid: u32, options: &Options, config: &mut Config, made: &mut Vec<String>) -> Result<()> {
    for (key, text) in options.all() {
        if STEERING.contains(&key.as_str()) {
            continue;
        }
        if drive::is(key) {
            let text = drive::realise(sim, vmid, key, text, made)?;
            config.set(key, text);
        } else {
            change::apply(sim, config, key, text)?;
        }
    }
    for (key, value) in [
        ("smbios1", format!("uuid={}", uuid())),
        ("vmgenid", uuid()),
        ("meta", format!("creation-qemu={},ctime={}", qemu(sim), now())),
    ] {
        if config.get(key).is_none() {
            config.set(key, value);
        }
    }
    file::store(sim, Kind::Vm, vmid, config)
}

fn qemu(sim: &Sim) -> String {
    let packages = sim.node.release.packages();
    let version = packages.iter().find(|(name, _)| *name == "pve-qemu-kvm").map(|(_, version)| *version);
    version.and_then(|version| version.split('-').next()).unwrap_or("9.2.0").to_owned()
}
