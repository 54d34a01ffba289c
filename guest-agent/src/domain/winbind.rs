//! winbindd: off until the gateway is a member, on from then on.

use std::time::Duration;

use smbgw_command::{Interrupt, wait_until};

use super::tools;
use crate::agent::Agent;
use crate::error::{Doing, Result, domain};
use crate::services::Job;
use smbgw_api::DomainFault;

/// How long it may take to have a connection to the domain.
const ONLINE: Duration = Duration::from_secs(20);

/// Starts it, now and at every boot.
pub(crate) fn enable(agent: &Agent) -> Result<()> {
    let (unit, link) = (&agent.instance.winbind, agent.paths.unit_wanted(&agent.instance.winbind));
    if !agent.instance.shared && !link.is_symlink() {
        let target = format!("/usr/lib/systemd/system/{unit}");
        if let Some(directory) = link.parent() {
            std::fs::create_dir_all(directory).doing(|| format!("making {}", directory.display()))?;
        }
        std::os::unix::fs::symlink(target, &link).doing(|| format!("enabling {unit}"))?;
    }
    agent.services.run(unit, Job::Restart)
}

/// Stops it, now and at every boot.
pub(crate) fn disable(agent: &Agent) -> Result<()> {
    let (unit, link) = (&agent.instance.winbind, agent.paths.unit_wanted(&agent.instance.winbind));
    if !agent.instance.shared {
        crate::files::remove(&link).doing(|| format!("disabling {unit}"))?;
    }
    agent.services.run(unit, Job::Stop)
}

/// Waits for a connection to the domain.
pub(crate) fn await_online(agent: &Agent, workgroup: &str) -> Result<()> {
    let mut last = None;
    wait_until("winbindd to reach the domain", ONLINE, &Interrupt::new(), || {
        match tools::is_online(agent, workgroup) {
            Ok(true) => Some(()),
            Ok(false) => None,
            Err(error) => {
                last = Some(error.message);
                None
            }
        }
    })
    .map_err(|error| {
        let last = last.map(|last| format!("; {last}")).unwrap_or_default();
        domain(DomainFault::Winbind, format!("{error}{last}"))
    })
}
