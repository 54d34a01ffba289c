//! Tickets of users of the domain, in files of the test's own: nothing of the machine's Kerberos is used.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use smbgw_command::Command;

use super::{ADDRESS, REALM};
use crate::Answer;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A ticket, as long as it is held.
#[derive(Debug)]
pub struct Ticket {
    /// Its user.
    pub user: String,
    configuration: PathBuf,
    cache: PathBuf,
}

impl Ticket {
    /// Asks the domain for one. The password goes to `kinit` by stdin.
    ///
    /// # Errors
    /// When the domain refuses: with what `kinit` says of it.
    pub fn get(directory: &Path, user: &str, password: &str) -> Result<Self> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let configuration = directory.join(format!("krb5-{number}.conf"));
        // names are given, so DNS need not work; a clock is wrong when it is wrong (krb5.conf(5), kdc_timesync)
        let text = format!(
            "[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n dns_lookup_realm = false\n \
             dns_canonicalize_hostname = false\n rdns = false\n kdc_timesync = 0\n[realms]\n {REALM} = {{\n  kdc = {ADDRESS}\n }}\n"
        );
        std::fs::write(&configuration, text)?;
        let ticket =
            Self { user: user.to_owned(), configuration, cache: directory.join(format!("ticket-{number}")) };
        let kinit = ticket.give(Command::new("kinit").arg(user)).stdin(format!("{password}\n"));
        let answer = Answer::of(&kinit.deadline(Duration::from_secs(60)))?;
        if answer.code != 0 {
            // that a password must be changed first is on stdout
            bail!("{}", answer.all().trim());
        }
        Ok(ticket)
    }

    /// Lets a command find it.
    pub fn give(&self, command: Command) -> Command {
        command
            .env("KRB5_CONFIG", self.configuration.display().to_string())
            .env("KRB5CCNAME", self.name())
            .env("LC_ALL", "C.UTF-8")
    }

    /// Its cache, as Kerberos names it.
    pub fn name(&self) -> String {
        format!("FILE:{}", self.cache.display())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.configuration);
        let _ = std::fs::remove_file(&self.cache);
    }
}
