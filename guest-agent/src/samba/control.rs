//! smbcontrol(1): messages to a running smbd.

use smbgw_api::ShareName;
use smbgw_command::{Command, Runner};

use crate::error::{Doing, Result};

/// Ends every connection to a share; clients that still may, come back by themselves.
pub(crate) fn close_share(runner: &dyn Runner, share: &ShareName) -> Result<()> {
    let command = Command::new("smbcontrol").args(["smbd", "close-share", share.as_str()]);
    runner.run(&command).doing(|| format!("closing share {share}")).map(drop)
}

/// Ends the connections to a share of users who may no longer open it.
pub(crate) fn close_denied_share(runner: &dyn Runner, share: &ShareName) -> Result<()> {
    let command = Command::new("smbcontrol").args(["smbd", "close-denied-share", share.as_str()]);
    runner.run(&command).doing(|| format!("closing share {share} to some")).map(drop)
}

/// Ends one smbd, and with it the client it serves.
pub(crate) fn end_process(runner: &dyn Runner, pid: u32) -> Result<()> {
    // 1: it has ended meanwhile
    let command = Command::new("smbcontrol").args([pid.to_string().as_str(), "shutdown"]).accept(&[0, 1]);
    runner.run(&command).doing(|| format!("ending the session of process {pid}")).map(drop)
}

/// Makes open sessions read the configuration again. A SIGHUP reaches the parent alone (seen with 4.22): without this
/// they would not know of a new share for up to a minute.
pub(crate) fn reload_sessions(runner: &dyn Runner) -> Result<()> {
    let command = Command::new("smbcontrol").args(["smbd", "reload-config"]);
    runner.run(&command).doing(|| "telling open sessions of the new configuration".to_owned()).map(drop)
}
