//! `qm destroy`. Source: PVE::API2::Qemu `destroy_vm`, PVE::QemuServer `destroy_vm`.

use super::{drive, life};
use crate::config::{Kind, file};
use crate::ha;
use crate::options::Options;
use crate::pct::destroy::unreferenced;
use crate::refusal::{Result, refuse};
use crate::sim::Sim;
use crate::storage::{allocate, volume};
use crate::task;

/// Removes a machine and every volume that it owns.
///
/// # Errors
/// When it is refused or fails.
pub fn run(sim: &Sim, options: &Options) -> Result<()> {
    let vmid = options.vmid();
    sim.node.check_quorum()?;
    let (config, _) = file::load(sim, Kind::Vm, vmid)?;
    if options.flag("skiplock") != Some(true) {
        file::check_lock(Kind::Vm, &config)?;
    }
    file::check_protection(Kind::Vm, vmid, &config, &format!("can't remove VM {vmid}"))?;
    ha::check_destroy(sim, Kind::Vm, vmid, options)?;
    if life::running(vmid) {
        return refuse(format!("VM {vmid} is running - destroy failed"));
    }
    let lock = file::lock(sim, Kind::Vm, vmid)?;
    task::run(sim, "qmdestroy", &vmid.to_string(), |task| {
        let mut doomed: Vec<String> = drive::all(sim, &config)
            .iter()
            .filter(|drive| drive.is_volume() && (!drive.cdrom() || drive.cloudinit()))
            .map(|drive| drive.file().to_owned())
            .collect();
        doomed.extend(config.family("unused").into_iter().map(|(_, volid)| volid));
        for (key, text) in &config.pending.values {
            if drive::is(key) {
                doomed.push(drive::Drive::read(sim, key, text).file().to_owned());
            }
        }
        // the base of others cannot go, and is looked for before anything does
        for volid in &doomed {
            let name = volid.split(':').nth(1).unwrap_or_default();
            if volume::owner(name) != Some(vmid) {
                continue;
            }
            sim.middle();
            if let Err(refusal) = allocate::free(sim, volid) {
                if refusal.text.contains("still in use") {
                    return Err(refusal);
                }
                task.warn(&format!("Could not remove disk '{volid}', check manually: {}", refusal.text));
            }
        }
        if options.flag("destroy-unreferenced-disks") == Some(true) {
            unreferenced(sim, vmid)?;
        }
        if options.flag("purge") == Some(true) {
            task.say(&format!("purging VM {vmid} from related configurations.."));
            ha::purge(sim, Kind::Vm, vmid)?;
        }
        file::remove(sim, Kind::Vm, vmid)
    })?;
    drop(lock);
    Ok(())
}
