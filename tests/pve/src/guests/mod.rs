//! What containers and machines have in common.
//!
//! * [`show`]: `config`, `status`, `list`, `pending`
//! * [`facts`]: the same, as the API tells it

pub mod facts;
pub mod show;

use std::fs;

use crate::config::{Kind, file};
use crate::options::Options;
use crate::pct::mount::{Source, all};
use crate::refusal::{About, Result, refuse};
use crate::sim::Sim;
use crate::task;
use crate::world::pve;
use crate::{pct, qm};

/// Whether a guest runs.
pub fn running(kind: Kind, vmid: u32) -> bool {
    match kind {
        Kind::Ct => pct::life::running(vmid),
        Kind::Vm => qm::life::running(vmid),
    }
}

/// `unlock`.
///
/// # Errors
/// When there is no such guest.
pub fn unlock(sim: &Sim, kind: Kind, options: &Options) -> Result<()> {
    let vmid = options.vmid();
    let _lock = file::lock(sim, kind, vmid)?;
    let (mut config, _) = file::load(sim, kind, vmid)?;
    config.now.values.remove("lock");
    file::store(sim, kind, vmid, &config)
}

/// `migrate`: of what stands still and lies on storages that all nodes share. Source: PVE::LXC::Migrate, PVE::QemuMigrate.
///
/// # Errors
/// When it is refused.
pub fn migrate(sim: &Sim, kind: Kind, options: &Options) -> Result<()> {
    let vmid = options.vmid();
    let target = options.need("target");
    let (config, _) = file::load(sim, kind, vmid)?;
    file::check_lock(kind, &config)?;
    if target == sim.node.name {
        return refuse("target is local node.");
    }
    if !sim.node.members.iter().any(|member| member == target) {
        return refuse(format!("no such cluster node '{target}'"));
    }
    let running = running(kind, vmid);
    let (task_kind, restart) = match kind {
        Kind::Ct => ("vzmigrate", options.flag("restart") == Some(true)),
        Kind::Vm => ("qmigrate", options.flag("online") == Some(true)),
    };
    if running && kind == Kind::Vm {
        qm::check_movable(&config)?;
    }
    if running && !restart {
        let what = if kind == Kind::Ct {
            "CT is running - use --restart or stop it first"
        } else {
            "can't migrate running VM without --online"
        };
        return refuse(what);
    }
    task::run(sim, task_kind, &vmid.to_string(), |_| {
        if kind == Kind::Ct {
            for mount in all(sim, &config) {
                if mount.source() != Source::Volume && !mount.is("shared") {
                    return refuse(format!(
                        "cannot migrate local {} mount point '{}'",
                        mount.source().word(),
                        mount.key
                    ));
                }
            }
        }
        if running && kind == Kind::Ct {
            pct::life::kill(vmid)?;
        }
        let (from, to) = (file::path(&sim.node.name, kind, vmid), file::path(target, kind, vmid));
        fs::rename(pve(&from), pve(&to))
            .about(&format!("failed to move config to node '{target}' - rename failed"))
    })?;
    Ok(())
}
