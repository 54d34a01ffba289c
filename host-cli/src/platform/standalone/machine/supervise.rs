//! The process that holds a machine together: it starts a virtiofsd for each mount and then QEMU, all in the machine's
//! control group, and ends the rest when QEMU ends. It decides nothing: when it is killed, the machine goes on, and
//! everything that is asked about the machine is asked of the group and of QEMU.

use std::fs::OpenOptions;
use std::path::Path;
use std::time::Duration;

use smbgw_api::GatewayName;
use smbgw_command::{Command, Interrupt, Service, System, wait_for_any, wait_until};

use super::config::{self, Files};
use super::{QEMU, accelerator, group, virtiofsd};
use crate::paths::Paths;
use crate::platform::standalone::Standalone;
use crate::platform::standalone::config::{container_name, veth_name};
use crate::{Error, Result};

/// Time for virtiofsd to listen.
const LISTENS: Duration = Duration::from_secs(10);
/// How often it looks around even if nobody ended.
const LOOK: Duration = Duration::from_secs(3600);

/// Runs a machine until it ends. Its starter has made the control group; where there is none, it has given up.
///
/// # Errors
/// What prevents the machine from starting.
pub fn supervise(paths: &Paths, name: &GatewayName) -> Result<()> {
    let platform = Standalone::new(paths.clone(), Interrupt::new());
    let guest = platform
        .machine_plan(name)?
        .ok_or_else(|| Error::resource("no-such-gateway", format!("there is no virtual machine {name}")))?;
    let group = group(&container_name(name.as_str()));
    std::fs::write(group.join("cgroup.procs"), std::process::id().to_string())
        .map_err(|source| Error::io(format!("entering {}", group.display()), source))?;
    let files = platform.machine(name);
    let system = System::new();
    let log = OpenOptions::new()
        .append(true)
        .open(files.log())
        .map_err(|source| Error::io("opening the machine's log", source))?;
    let accelerator = accelerator::best(&system, paths.state())?;

    let mut helpers = Vec::new();
    for (index, mount) in guest.mounts.iter().enumerate() {
        let program =
            virtiofsd().ok_or_else(|| Error::infrastructure("no-virtiofsd", "virtiofsd is not installed"))?;
        let command = Command::new(program).args(config::virtiofsd(&files, index, mount));
        let mut helper = system.launch(&command, &log)?;
        listens(&mut helper, &files, index)?;
        helpers.push(helper);
    }
    let tap = veth_name(&guest.network()?.mac);
    let command = Command::new(QEMU).args(config::qemu(&guest, &files, &tap, accelerator)?);
    let mut machine = system.launch(&command, &log)?;

    let mut told = vec![false; helpers.len()];
    let how = loop {
        if let Some(how) = machine.ended() {
            break how;
        }
        for (index, helper) in helpers.iter_mut().enumerate() {
            if let Some(how) = helper.ended().filter(|_| !told[index]) {
                told[index] = true;
                tracing::error!(share = %guest.mounts[index].share, "virtiofsd ended with {how}; the share hangs");
            }
        }
        let watched: Vec<&Service> = std::iter::once(&machine)
            .chain(helpers.iter().zip(&told).filter(|(_, told)| !**told).map(|(helper, _)| helper))
            .collect();
        wait_for_any(&watched, LOOK);
    };
    for helper in &helpers {
        helper.terminate();
    }
    if how == "exit code 0" {
        Ok(())
    } else {
        Err(Error::infrastructure("machine-ended", format!("QEMU ended with {how}")))
    }
}

fn listens(helper: &mut Service, files: &Files, index: usize) -> Result<()> {
    let socket = files.mount(index);
    wait_until("virtiofsd to listen", LISTENS, &Interrupt::new(), || match helper.ended() {
        Some(how) => {
            Some(Err(Error::infrastructure("virtiofsd-failed", format!("virtiofsd ended with {how}"))))
        }
        None => Path::new(&socket).exists().then_some(Ok(())),
    })?
}
