//! Snapshots. Source: PVE::AbstractConfig `snapshot_create`. Only their place in the configuration is real.

use super::mount::{Source, all};
use crate::config::{Config, Kind, Part, file};
use crate::options::Options;
use crate::qm;
use crate::refusal::{Result, refuse};
use crate::sim::Sim;
use crate::storage::{get, volume};
use crate::task;
use crate::world::now;

/// `snapshot`.
///
/// # Errors
/// When a guest cannot have one.
pub fn make(sim: &Sim, kind: Kind, options: &Options) -> Result<()> {
    let vmid = options.vmid();
    let name = options.need("snapname").to_owned();
    let _lock = file::lock(sim, kind, vmid)?;
    let (mut config, _) = file::load(sim, kind, vmid)?;
    file::check_lock(kind, &config)?;
    if name == "current" || config.sections.iter().any(|(other, _)| *other == name) {
        return refuse(format!("snapshot name '{name}' already used"));
    }
    if options.flag("vmstate") == Some(true) {
        qm::check_movable(&config)?;
    }
    if !possible(sim, kind, &config)? {
        return refuse("snapshot feature is not available");
    }
    let task_kind = if kind == Kind::Ct { "vzsnapshot" } else { "qmsnapshot" };
    task::run(sim, task_kind, &vmid.to_string(), |_| {
        let mut part = config.now.clone();
        part.values.insert("snaptime".to_owned(), now().to_string());
        part.description = options.get("description").map(|text| format!("{text}\n"));
        config.sections.push((name.clone(), part));
        config.set("parent", name.clone());
        file::store(sim, kind, vmid, &config)
    })?;
    Ok(())
}

/// Whether every volume's storage can make one; a directory of the node cannot.
///
/// # Errors
/// When a storage is unknown.
pub fn possible(sim: &Sim, kind: Kind, config: &Config) -> Result<bool> {
    if kind == Kind::Vm {
        return qm::drive::all(sim, config).iter().filter(|drive| !drive.cdrom()).try_fold(
            true,
            |so_far, drive| {
                let (id, name) = volume::split(drive.file())?;
                let storage = get(sim, id)?;
                Ok(so_far && (storage.clones() || volume::format(&storage, name) == "qcow2"))
            },
        );
    }
    all(sim, config).iter().try_fold(true, |so_far, mount| {
        if mount.source() != Source::Volume {
            return Ok(false);
        }
        let (id, _) = volume::split(mount.volume())?;
        Ok(so_far && get(sim, id)?.clones())
    })
}

/// `delsnapshot`.
///
/// # Errors
/// When there is none of this name.
pub fn delete(sim: &Sim, kind: Kind, options: &Options) -> Result<()> {
    let vmid = options.vmid();
    let name = options.need("snapname");
    let _lock = file::lock(sim, kind, vmid)?;
    let (mut config, _) = file::load(sim, kind, vmid)?;
    let before = config.sections.len();
    config.sections.retain(|(other, _)| other != name);
    if config.sections.len() == before {
        return refuse(format!("snapshot '{name}' does not exist"));
    }
    if config.get("parent") == Some(name) {
        config.now.values.remove("parent");
    }
    file::store(sim, kind, vmid, &config)
}

/// `rollback`: of the configuration.
///
/// # Errors
/// When there is none of this name.
pub fn rollback(sim: &Sim, kind: Kind, options: &Options) -> Result<()> {
    let vmid = options.vmid();
    let name = options.need("snapname");
    let _lock = file::lock(sim, kind, vmid)?;
    let (mut config, _) = file::load(sim, kind, vmid)?;
    let Some((_, part)) = config.sections.iter().find(|(other, _)| other == name) else {
        return refuse(format!("snapshot '{name}' does not exist"));
    };
    let Part { description, mut values, raw } = part.clone();
    values.remove("snaptime");
    config.now = Part { description, values, raw };
    file::store(sim, kind, vmid, &config)
}

/// `listsnapshot`.
///
/// # Errors
/// When there is no such guest.
pub fn list(sim: &Sim, kind: Kind, options: &Options) -> Result<()> {
    let (config, _) = file::load(sim, kind, options.vmid())?;
    for (name, _) in config.sections.iter().filter(|(name, _)| !name.contains(':')) {
        println!("`-> {name}");
    }
    println!(" `-> current                                             You are here!");
    Ok(())
}
