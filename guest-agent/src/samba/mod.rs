//! Samba, by its files and tools.
//!
//! * [`config`]: smb.conf, typed · [`member`], [`admitted`]: of a domain, and of who may open a share
//! * [`testparm`]: whether Samba accepts it
//! * [`accounts`]: passwords and Samba accounts
//! * [`status`]: sessions, by smbstatus
//! * [`control`]: messages to a running smbd
//! * [`negotiate`]: whether it really answers
//! * [`sid`]: SIDs that outlive the gateway
//! * [`vfs`]: modules of a share, in their order

pub(crate) mod accounts;
pub(crate) mod admitted;
pub(crate) mod config;
pub(crate) mod control;
pub(crate) mod member;
pub(crate) mod negotiate;
pub(crate) mod sid;
pub(crate) mod status;
pub(crate) mod testparm;
pub(crate) mod vfs;

use smbgw_command::Command;

use crate::agent::Agent;
use crate::error::{Doing, Result};

/// Version of Samba, as `4.22.11`; asked once.
pub(crate) fn version(agent: &Agent) -> Result<String> {
    if let Some(version) = agent.samba_version.get() {
        return Ok(version.clone());
    }
    let command = Command::new("smbd").arg("--version");
    let doing = || "asking for Samba's version".to_owned();
    let text = agent.runner.run(&command).and_then(|output| output.text(&command)).doing(doing)?;
    let version = parse_version(&text);
    Ok(agent.samba_version.get_or_init(|| version).clone())
}

/// `Version 4.22.11-Debian-4.22.11+dfsg-0+deb13u1` is 4.22.11.
fn parse_version(text: &str) -> String {
    let text = text.trim();
    let version = text.strip_prefix("Version ").unwrap_or(text);
    let end = version.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(version.len());
    version[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_both_releases() {
        assert_eq!(parse_version("Version 4.17.12-Debian\n"), "4.17.12");
        assert_eq!(parse_version("Version 4.22.11-Debian-4.22.11+dfsg-0+deb13u1\n"), "4.22.11");
    }
}
