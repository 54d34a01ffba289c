//! Samba accounts: who has a password, setting one, removing one.

use secrecy::{ExposeSecret, SecretString};
use smbgw_api::UserName;
use smbgw_command::{Command, CommandError, Runner};

use crate::error::{self, Doing, Result, internal};

/// Sets the password; makes the account when there is none. The password travels on stdin only.
pub(crate) fn set_password(runner: &dyn Runner, user: &UserName, password: &SecretString) -> Result<()> {
    // -s: read from stdin, without prompts, the password twice; -a: add if absent (smbpasswd(8))
    let command = Command::new("smbpasswd")
        .args(["-s", "-a", user.as_str()])
        .stdin_secret(format!("{0}\n{0}\n", password.expose_secret()).into());
    runner
        .run(&command)
        .doing(|| format!("setting the password of {user}"))
        .map(drop)
}

/// Removes the account; that there is none is fine, too.
pub(crate) fn remove(runner: &dyn Runner, user: &UserName) -> Result<()> {
    let command = Command::new("pdbedit").args(["-x", "-u", user.as_str()]);
    match runner.run(&command) {
        Ok(_) => Ok(()),
        Err(CommandError::Failed { stdout, stderr, .. }) if is_absent(&stderr) || is_absent(&stdout) => {
            Ok(())
        }
        Err(error) => Err(internal(error::command(
            &format!("removing the Samba account of {user}"),
            &error,
        ))),
    }
}

/// Users who have an account, hence a password.
pub(crate) fn list(runner: &dyn Runner) -> Result<Vec<String>> {
    let command = Command::new("pdbedit").arg("-L");
    let doing = || "listing Samba's accounts".to_owned();
    let text = runner
        .run(&command)
        .and_then(|output| output.text(&command))
        .doing(doing)?;
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
        assert_eq!(
            parse_list("alice:10000:smbgw\nnoise\nbob:4294967295:\n"),
            ["alice", "bob"]
        );
    }

    #[test]
    fn passwords_are_no_arguments() {
        let runner = Recorder::new();
        set_password(&runner, &UserName::parse("alice").unwrap(), &"canary-9".into()).unwrap();
        assert_eq!(runner.seen(), ["smbpasswd -s -a alice"]);
    }

    #[test]
    fn removing_nobody_is_done_at_once() {
        let alice = UserName::parse("alice").unwrap();
        remove(
            &Recorder::new().fail("pdbedit", 255, "Username not found!"),
            &alice,
        )
        .unwrap();
        assert!(remove(&Recorder::new().fail("pdbedit", 1, "disk full"), &alice).is_err());
    }
}
