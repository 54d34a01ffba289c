//! smbcontrol(1): messages to a running smbd.

use smbgw_api::ShareName;
use smbgw_command::{Command, Runner};

use crate::error::{Doing, Result};

/// Ends every connection to a share; clients that still may, come back by themselves.
pub(crate) fn close_share(runner: &dyn Runner, share: &ShareName) -> Result<()> {
    let command = Command::new("smbcontrol").args(["smbd", "close-share", share.as_str()]);
    runner
        .run(&command)
        .doing(|| format!("closing share {share}"))
        .map(drop)
}

/// Makes every smbd, those of open sessions too, read its configuration again.
pub(crate) fn reload_all(runner: &dyn Runner) -> Result<()> {
    let command = Command::new("smbcontrol").args(["all", "reload-config"]);
    runner
        .run(&command)
        .doing(|| "telling open sessions of the new configuration".to_owned())
        .map(drop)
}
