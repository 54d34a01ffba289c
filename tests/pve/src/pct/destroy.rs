//! `pct destroy`. Source: PVE::API2::LXC `destroy_vm`, PVE::LXC `destroy_lxc_container`.

use super::life;
use super::mount::{Source, all};
use crate::config::{Kind, file};
use crate::ha;
use crate::options::Options;
use crate::refusal::{Result, refuse};
use crate::sim::Sim;
use crate::storage::{self, allocate, volume};
use crate::task;

/// Removes a container and every volume that it owns.
///
/// # Errors
/// When it is refused or fails.
pub fn run(sim: &Sim, options: &Options) -> Result<()> {
    let vmid = options.vmid();
    sim.node.check_quorum()?;
    let (config, _) = file::load(sim, Kind::Ct, vmid)?;
    file::check_protection(Kind::Ct, vmid, &config, &format!("can't remove CT {vmid}"))?;
    if !options.flag("force").unwrap_or(false) {
        file::check_lock(Kind::Ct, &config)?;
    }
    ha::check_destroy(sim, Kind::Ct, vmid, options)?;
    if life::running(vmid) {
        if options.flag("force") != Some(true) {
            return refuse(format!("unable to destroy CT {vmid} - container is running"));
        }
        life::kill(vmid)?;
    }
    let lock = file::lock(sim, Kind::Ct, vmid)?;
    task::run(sim, "vzdestroy", &vmid.to_string(), |task| {
        let mut doomed: Vec<String> = all(sim, &config)
            .iter()
            .filter(|mount| mount.source() == Source::Volume)
            .map(|mount| mount.volume().to_owned())
            .collect();
        doomed.extend(config.family("unused").into_iter().map(|(_, volid)| volid));
        for (key, text) in &config.pending.values {
            if key.starts_with("mp") {
                doomed.push(super::mount::Mount::read(sim, key, text).volume().to_owned());
            }
        }
        let mut locked = config.clone();
        locked.now.values.insert("lock".to_owned(), "destroyed".to_owned());
        file::store(sim, Kind::Ct, vmid, &locked)?;
        for volid in doomed {
            if volid.starts_with('/') {
                continue;
            }
            let name = volid.split(':').nth(1).unwrap_or_default();
            if volume::owner(name) != Some(vmid) {
                task.warn(&format!("volume '{volid}' is not owned by CT {vmid}, skipping"));
                continue;
            }
            sim.middle();
            if let Err(refusal) = allocate::free(sim, &volid) {
                if refusal.text.contains("still in use") {
                    return Err(refusal);
                }
                eprintln!("{}", refusal.text);
            }
        }
        if options.flag("destroy-unreferenced-disks") == Some(true) {
            unreferenced(sim, vmid)?;
        }
        if options.flag("purge") == Some(true) {
            task.say(&format!("purging CT {vmid} from related configurations.."));
            ha::purge(sim, Kind::Ct, vmid)?;
        }
        file::remove(sim, Kind::Ct, vmid)
    })?;
    drop(lock);
    let _ = std::fs::remove_dir_all(format!("/var/lib/lxc/{vmid}"));
    Ok(())
}

/// Frees all volumes of a guest on every storage.
///
/// # Errors
/// When one cannot be freed.
pub fn unreferenced(sim: &Sim, vmid: u32) -> Result<()> {
    for storage in storage::all(sim)? {
        for volume in volume::list(sim, &storage) {
            if volume.vmid == Some(vmid) {
                allocate::free(sim, &volume.volid)?;
            }
        }
    }
    Ok(())
}
