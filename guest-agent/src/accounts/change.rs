//! Adding and removing local users.

use smbgw_api::UserName;
use smbgw_api::v1::DesiredUser;
use smbgw_command::{Command, Runner};

use super::MARK;
use crate::error::{Doing, Result};

/// Makes a user with a group of the same name and id, without home, shell or password.
pub(crate) fn add(runner: &dyn Runner, user: &DesiredUser) -> Result<()> {
    let command = Command::new("useradd")
        // --user-group gives the group the uid when it is free (useradd(8)); the planner has made sure it is
        .args(["--uid", &user.uid.to_string(), "--user-group"])
        .args(["--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"])
        // lastlog is a sparse file as long as the highest uid
        .args(["--no-log-init", "--comment", MARK, user.name.as_str()]);
    runner.run(&command).doing(|| format!("adding user {}", user.name)).map(drop)
}

/// Removes a user and its group. The caller makes sure that it is ours.
pub(crate) fn remove(runner: &dyn Runner, name: &UserName) -> Result<()> {
    // --force: an smbd that is just ending may still run as the user; without --remove no file is touched.
    // 6: there is no such user (userdel(8))
    let command = Command::new("userdel").arg("--force").arg(name.as_str()).accept(&[0, 6]);
    runner.run(&command).doing(|| format!("removing user {name}")).map(drop)
}
