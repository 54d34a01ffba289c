//! Samba accounts: who has a password, setting one, removing one.

use secrecy::{ExposeSecret, SecretString};
use smbgw_api::UserName;
use smbgw_api::v1::DesiredUser;
use smbgw_command::{Command, CommandError, Runner};

use super::sid;
use crate::error::{Doing, Result};

/// Sets the password; makes the account when there is none. The password travels on stdin only.
pub(crate) fn set_password(runner: &dyn Runner, user: &DesiredUser, password: &SecretString) -> Result<()> {
    // -t: the password twice on stdin; -a: make the account, or change the one that is there; -U: with this RID.
    // smbpasswd(8) could do it, but for the RID
    let command = Command::new("pdbedit")
        .args(["-a", "-t", "-u", user.name.as_str(), "-U", &sid::rid(user.uid).to_string()])
        .stdin_secret(format!("{0}\n{0}\n", password.expose_secret()).into());
    runner.run(&command).doing(|| format!("setting the password of {}", user.name)).map(drop)
}

/// Makes the account's RID follow the uid; that there is no account is fine.
pub(crate) fn set_rid(runner: &dyn Runner, user: &DesiredUser) -> Result<()> {
    let rid = sid::rid(user.uid).to_string();
    let command = Command::new("pdbedit").args(["-r", "-u", user.name.as_str(), "-U", &rid]);
    unless_absent(runner.run(&command), || format!("changing the SID of {}", user.name))
}

/// Removes the account; that there is none is fine, too.
pub(crate) fn remove(runner: &dyn Runner, user: &UserName) -> Result<()> {
    let command = Command::new("pdbedit").args(["-x", "-u", user.as_str()]);
    unless_absent(runner.run(&command), || format!("removing the Samba account of {user}"))
}

fn unless_absent(
    result: std::result::Result<smbgw_command::Output, CommandError>,
    doing: impl FnOnce() -> String,
) -> Result<()> {
    match result {
        Err(CommandError::Failed { stdout, stderr, .. }) if is_absent(&stderr) || is_absent(&stdout) => {
            Ok(())
        }
        other => other.doing(doing).map(drop),
    }
}

/// Users who have an account, hence a password.
pub(crate) fn list(runner: &dyn Runner) -> Result<Vec<String>> {
    let command = Command::new("pdbedit").arg("-L");
    let doing = || "listing Samba's accounts".to_owned();
    let text = runner.run(&command).and_then(|output| output.text(&command)).doing(doing)?;
    Ok(parse_list(&text))
}

/// pdbedit(8) says so of an account that it cannot find.
fn is_absent(text: &str) -> bool {
    text.contains("does not exist") || text.contains("not found")
}

/// `pdbedit -L`: `name:uid:full name` a line.
fn parse_list(text: &str) -> Vec<String> {
    let name = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        fields.next()?.parse::<u32>().ok()?;
        Some(name.to_owned())
    };
    text.lines().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use smbgw_command::Recorder;

    #[test]
    fn lists() {
        assert_eq!(parse_list("alice:10000:smbgw\nnoise\nbob:4294967295:\n"), ["alice", "bob"]);
    }

    #[test]
    fn passwords_are_no_arguments() {
        let runner = Recorder::new();
        let alice = DesiredUser { name: UserName::parse("alice").unwrap(), uid: 10_000 };
        set_password(&runner, &alice, &"canary-9".into()).unwrap();
        assert_eq!(runner.seen(), ["pdbedit -a -t -u alice -U 21000"]);
    }

    #[test]
    fn removing_nobody_is_done_at_once() {
        let alice = UserName::parse("alice").unwrap();
        remove(&Recorder::new().fail("pdbedit", 255, "Username not found!"), &alice).unwrap();
        assert!(remove(&Recorder::new().fail("pdbedit", 1, "disk full"), &alice).is_err());
    }
}
