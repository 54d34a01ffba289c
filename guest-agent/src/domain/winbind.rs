//! winbindd: off until the gateway is a member, on from then on.

use std::time::Duration;

use smbgw_api::IdBackend;
use smbgw_api::domain::ids::BUILTIN_IDS;
use smbgw_command::{Command, Interrupt, wait_until};

use super::{files, tools};
use crate::agent::Agent;
use crate::error::{Doing, Result, domain};
use crate::services::Job;
use smbgw_api::DomainFault;

/// How long it may take to have a connection to the domain.
const ONLINE: Duration = Duration::from_secs(20);

/// Groups that Kerberos tickets name beside a user's own: asserted identities ([MS-DTYP] 2.4.2.4). A domain controller of Samba 4.17
/// puts the first into every ticket and does not know it itself; winbindd 4.22, which asks it because this SID has no id, then gives
/// up on all groups of the user (seen).
const ASSERTED: [&str; 2] = ["S-1-18-1", "S-1-18-2"];

/// Gives these groups ids beforehand, the last of Samba's own.
fn know_asserted(agent: &Agent) -> Result<()> {
    let lines: String =
        (0..).zip(ASSERTED).map(|(index, sid)| format!("GID {} {sid}\n", BUILTIN_IDS.1 - index)).collect();
    let command = Command::new("net")
        .args([format!("--configfile={}", files::own_conf(agent))])
        .args(["idmap", "restore"])
        .stdin(lines);
    agent.runner.run(&command).doing(|| "giving ids to asserted identities".to_owned()).map(drop)
}

/// Starts it, now and at every boot.
pub(crate) fn enable(agent: &Agent, backend: IdBackend) -> Result<()> {
    // autorid keeps its ids elsewhere
    if backend != IdBackend::Autorid {
        know_asserted(agent)?;
    }
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
