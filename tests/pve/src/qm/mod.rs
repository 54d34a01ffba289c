//! `qm`: virtual machines.
//!
//! * [`create`], [`change`] (`set`), [`clone`], [`destroy`], [`disk`]
//! * [`drive`]: disks of a configuration
//! * [`life`]: start, stop, shutdown; [`machine`]: what runs beside a machine; [`arguments`]: those of QEMU
//! * [`cloudinit`]: the disk that cloud-init reads
//! * [`monitor`]: QEMU's control socket; [`agent`]: the guest agent

pub mod agent;
pub mod arguments;
pub mod change;
pub mod clone;
pub mod cloudinit;
pub mod create;
pub mod destroy;
pub mod disk;
pub mod drive;
pub mod life;
pub mod machine;
pub mod monitor;

use crate::config::{Config, Kind};
use crate::guests;
use crate::pct::snapshot;
use crate::refusal::{Refusal, Result, refuse};
use crate::sim::Sim;

/// Runs `qm`; gives the exit code.
///
/// # Errors
/// With what it says.
pub fn main(sim: &Sim, arguments: &[String]) -> Result<i32> {
    let two = arguments
        .get(..2)
        .map(|words| words.join(" "))
        .filter(|words| sim.table.command(&format!("qm {words}")).is_some());
    let (verb, rest) = match (&two, arguments.split_first()) {
        (Some(verb), _) => (verb.clone(), &arguments[2..]),
        (None, Some((verb, rest))) => (verb.clone(), rest),
        (None, None) => {
            return Err(Refusal::new("ERROR: no command specified\nUSAGE: qm <COMMAND> [ARGS] [OPTIONS]"));
        }
    };
    let command = format!("qm {verb}");
    let Some(call) = sim.table.cli.get(&command) else {
        return Err(Refusal::new(format!(
            "ERROR: unknown command '{command}'\nUSAGE: qm <COMMAND> [ARGS] [OPTIONS]"
        )));
    };
    let verb = call.alias.clone().unwrap_or(verb);
    let options = sim.options(&command, rest)?;
    sim.before()?;
    match verb.as_str() {
        "create" => create::run(sim, &options)?,
        "set" => change::run(sim, &options)?,
        "clone" => clone::run(sim, &options)?,
        "template" => clone::template(sim, &options)?,
        "destroy" => destroy::run(sim, &options)?,
        "start" => life::start(sim, &options)?,
        "stop" => life::stop(sim, &options)?,
        "shutdown" => life::shutdown(sim, &options)?,
        "reboot" => life::reboot(sim, &options)?,
        "reset" => life::control(sim, &options, "system_reset")?,
        "suspend" => life::suspend(sim, &options)?,
        "resume" => life::control(sim, &options, "cont")?,
        "wait" => life::wait(sim, &options)?,
        "showcmd" => life::show(sim, &options)?,
        "config" => guests::show::config(sim, Kind::Vm, &options)?,
        "status" => guests::show::status(sim, Kind::Vm, &options)?,
        "list" => guests::show::machines(sim)?,
        "pending" => guests::show::pending(sim, Kind::Vm, &options)?,
        "snapshot" => snapshot::make(sim, Kind::Vm, &options)?,
        "delsnapshot" => snapshot::delete(sim, Kind::Vm, &options)?,
        "listsnapshot" => snapshot::list(sim, Kind::Vm, &options)?,
        "rollback" => snapshot::rollback(sim, Kind::Vm, &options)?,
        "disk import" => disk::import(sim, &options)?,
        "disk resize" => disk::resize(sim, &options)?,
        "disk unlink" => disk::unlink(sim, &options)?,
        "disk move" => disk::shift(sim, &options)?,
        "disk rescan" => {}
        "cloudinit update" => cloudinit::update(sim, &options)?,
        "cloudinit dump" => cloudinit::dump(sim, &options)?,
        "guest cmd" => agent::command(sim, &options)?,
        "guest exec" => agent::exec(sim, &options)?,
        "guest exec-status" => agent::exec_status(sim, &options)?,
        "migrate" => guests::migrate(sim, Kind::Vm, &options)?,
        "unlock" => guests::unlock(sim, Kind::Vm, &options)?,
        _ => return Err(Refusal::new(format!("simulated: qm {verb} is not there"))),
    }
    Ok(0)
}

/// Refuses what virtio-fs forbids. Text: PVE::QemuServer::Virtiofs, seen on 8.4 and 9.2.
///
/// # Errors
/// When a directory is shared.
pub fn check_movable(config: &Config) -> Result<()> {
    if config.family("virtiofs").is_empty() {
        return Ok(());
    }
    refuse("Cannot live-migrate, snapshot (with RAM), or hibernate a VM with: virtiofs")
}
