//! `pct`: containers.
//!
//! * [`create`], [`clone`], [`destroy`], [`change`] (`set`), [`snapshot`]
//! * [`life`]: start, stop, shutdown, reboot
//! * [`lxc`]: the configuration that LXC gets; [`setup`]: files in the guest; [`hotplug`]: a mount in a running guest
//! * [`exec`]: exec, push, pull
//! * [`mount`]: mount points

pub mod change;
pub mod clone;
pub mod create;
pub mod destroy;
pub mod exec;
pub mod hotplug;
pub mod life;
pub mod lxc;
pub mod mount;
pub mod setup;
pub mod snapshot;

use crate::config::Kind;
use crate::guests;
use crate::refusal::{Refusal, Result};
use crate::sim::Sim;

/// Runs `pct`; gives the exit code.
///
/// # Errors
/// With what it says.
pub fn main(sim: &Sim, arguments: &[String]) -> Result<i32> {
    let Some((verb, rest)) = arguments.split_first() else {
        return Err(Refusal::new("ERROR: no command specified\nUSAGE: pct <COMMAND> [ARGS] [OPTIONS]"));
    };
    let command = format!("pct {verb}");
    if sim.table.command(&command).is_none() {
        return Err(Refusal::new(format!(
            "ERROR: unknown command '{command}'\nUSAGE: pct <COMMAND> [ARGS] [OPTIONS]"
        )));
    }
    let options = sim.options(&command, rest)?;
    sim.before()?;
    match verb.as_str() {
        "create" | "restore" => create::run(sim, options)?,
        "set" => change::run(sim, &options)?,
        "clone" => clone::run(sim, &options)?,
        "template" => clone::template(sim, &options)?,
        "destroy" => destroy::run(sim, &options)?,
        "start" => life::start(sim, &options)?,
        "stop" => life::stop(sim, &options, life::Way::Kill)?,
        "shutdown" => life::stop(sim, &options, life::Way::Halt)?,
        "reboot" => life::reboot(sim, &options)?,
        "exec" => return exec::exec(sim, &options),
        "push" => exec::push(sim, &options)?,
        "pull" => exec::pull(sim, &options)?,
        "config" => guests::show::config(sim, Kind::Ct, &options)?,
        "status" => guests::show::status(sim, Kind::Ct, &options)?,
        "list" => guests::show::containers(sim)?,
        "pending" => guests::show::pending(sim, Kind::Ct, &options)?,
        "snapshot" => snapshot::make(sim, Kind::Ct, &options)?,
        "delsnapshot" => snapshot::delete(sim, Kind::Ct, &options)?,
        "listsnapshot" => snapshot::list(sim, Kind::Ct, &options)?,
        "rollback" => snapshot::rollback(sim, Kind::Ct, &options)?,
        "resize" => change::resize(sim, &options)?,
        "migrate" => guests::migrate(sim, Kind::Ct, &options)?,
        "unlock" => guests::unlock(sim, Kind::Ct, &options)?,
        "rescan" | "fstrim" | "cpusets" => {}
        _ => return Err(Refusal::new(format!("simulated: pct {verb} is not there"))),
    }
    Ok(0)
}
