//! SIDs that stay the same. Windows ACLs (`user.NTACL`) live with the data and name users by SID; the data outlives
//! gateways. Were the machine's SID random and users' RIDs given in the order of their passwords, as Samba does by
//! itself, a gateway made anew over old data would refuse users their own files, or give them to somebody else.
//! So every gateway has the one machine SID below, and a user's RID follows from the uid: a SID means the same as
//! the uid beside it.

use std::path::PathBuf;

use smbgw_api::{GatewayName, Sid};
use smbgw_command::{Command, Runner};

use crate::agent::Agent;
use crate::error::{Doing, Result};
use crate::files;
use crate::paths::Paths;

/// SID of every standalone gateway: the first 96 bits of SHA-256("pve-smbgateway machine SID").
const MACHINE: &str = "S-1-5-21-3994778406-2807423034-4185003740";

/// RID of a user: Samba's algorithmic mapping (`algorithmic rid base`, smb.conf(5)).
pub(crate) fn rid(uid: u32) -> u64 {
    u64::from(uid) * 2 + 1000
}

/// SID of a user of this uid.
pub(crate) fn of_user(uid: u32) -> Option<Sid> {
    let machine = Sid::parse(MACHINE).ok()?;
    Some(machine.account(u32::try_from(rid(uid)).ok()?))
}

/// The name under which Samba keeps the SID.
pub(crate) fn account_domain(name: &GatewayName) -> String {
    name.as_str().to_ascii_uppercase()
}

/// The name for which the SID was set last.
pub(crate) fn set_for(paths: &Paths) -> Result<Option<String>> {
    let path = marker(paths);
    Ok(files::read_optional(&path)
        .doing(|| format!("reading {}", path.display()))?
        .map(|text| text.trim().to_owned()))
}

/// Sets the SID for this NetBIOS name. A running smbd must be restarted afterwards.
pub(crate) fn set(runner: &dyn Runner, paths: &Paths, name: &str) -> Result<()> {
    let option = format!("--option=netbios name={name}");
    let command = Command::new("net").args([option.as_str(), "setlocalsid", MACHINE]);
    runner.run(&command).doing(|| "setting the machine's SID".to_owned())?;
    let path = marker(paths);
    files::replace(&path, format!("{name}\n").as_bytes(), 0o600)
        .doing(|| format!("writing {}", path.display()))
}

/// At the first boot of a gateway, before smbd starts: sets the SID for the name that Samba takes from the host, so
/// that the first configuration needs no restart.
pub(crate) fn at_first_boot(agent: &Agent) -> Result<()> {
    // on a node there is no smbd before the first configuration
    if agent.instance.shared || set_for(&agent.paths)?.is_some() || agent.paths.smbd_pid().exists() {
        return Ok(());
    }
    let host = crate::system::host_name();
    match host.split('.').next().map(GatewayName::parse) {
        Some(Ok(name)) => set(agent.runner.as_ref(), &agent.paths, &account_domain(&name)),
        // no name that a gateway can have: the first configuration brings another
        _ => Ok(()),
    }
}

fn marker(paths: &Paths) -> PathBuf {
    paths.machine_sid()
}

#[cfg(test)]
mod tests {
    use super::*;
    use smbgw_command::Recorder;

    #[test]
    fn rids_differ_and_stay_clear_of_the_well_known() {
        assert_eq!(rid(1000), 3000);
        assert_eq!(rid(65_533), 132_066);
        assert!(rid(u32::MAX) < 1 << 34);
    }

    #[test]
    fn remembers_for_which_name() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("var/lib/smbgw")).unwrap();
        let (paths, runner) = (Paths::below(root.path()), Recorder::new());
        assert_eq!(set_for(&paths).unwrap(), None);
        set(&runner, &paths, "TEAM").unwrap();
        assert_eq!(set_for(&paths).unwrap().as_deref(), Some("TEAM"));
        assert_eq!(runner.seen(), [format!("net '--option=netbios name=TEAM' setlocalsid {MACHINE}")]);
    }
}
