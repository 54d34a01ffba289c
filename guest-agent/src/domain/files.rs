//! krb5.conf(5), and the smb.conf by which the tools work while the gateway's own says nothing of the domain yet.

use std::os::unix::fs::DirBuilderExt;

use smbgw_api::v1::DesiredState;
use smbgw_api::{Realm, Sid};

use super::record::Record;
use crate::agent::Agent;
use crate::error::{Doing, Result};
use crate::files;
use crate::samba::config::{Config, HEADER};

/// krb5.conf: who is where is asked of DNS. Encryption types are the library's; names are taken as they are given.
pub(crate) fn krb5(realm: &Realm) -> String {
    format!(
        "{HEADER}[libdefaults]\n\
         \tdefault_realm = {realm}\n\
         \tdns_lookup_realm = false\n\
         \tdns_lookup_kdc = true\n\
         \trdns = false\n\
         \tdns_canonicalize_hostname = false\n\
         \tforwardable = true\n\
         \tudp_preference_limit = 1\n\n\
         [domain_realm]\n\
         \t.{dns} = {realm}\n\
         \t{dns} = {realm}\n",
        dns = realm.dns()
    )
}

/// Writes krb5.conf, if it is not so yet.
pub(crate) fn write_krb5(agent: &Agent, realm: &Realm) -> Result<()> {
    let (path, text) = (agent.paths.krb5_conf(), krb5(realm));
    let now = files::read_optional(&path).doing(|| format!("reading {}", path.display()))?;
    if now.as_deref() == Some(text.as_str()) {
        return Ok(());
    }
    files::replace(&path, text.as_bytes(), 0o644).doing(|| format!("writing {}", path.display()))
}

/// A directory of our own for what lives as long as a request.
pub(crate) fn scratch(agent: &Agent) -> Result<()> {
    let directory = agent.paths.domain_scratch();
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&directory)
        .doing(|| format!("making {}", directory.display()))
}

/// Writes the smb.conf that a join works by; gives its path.
pub(crate) fn write_join_conf(agent: &Agent, desired: &DesiredState, record: &Record) -> Result<String> {
    scratch(agent)?;
    let path = agent.paths.domain_scratch().join("smb.conf");
    // the SID of the domain is in no option of `[global]`
    let member = Record {
        phase: super::record::Phase::Joined,
        domain_sid: record.domain_sid.clone().or_else(|| Sid::parse("S-1-5-21-0-0-0").ok()),
        ..record.clone()
    };
    let without = DesiredState { shares: Vec::new(), ..desired.clone() };
    let text = Config::of(&without, &agent.instance, Some(&member)).render();
    files::replace(&path, text.as_bytes(), 0o600).doing(|| format!("writing {}", path.display()))?;
    Ok(path.display().to_string())
}

/// The smb.conf of the gateway, as an argument.
pub(crate) fn own_conf(agent: &Agent) -> String {
    agent.paths.smb_conf().display().to_string()
}

/// Forgets keys and tickets.
pub(crate) fn remove_keys(agent: &Agent) -> Result<()> {
    for path in [agent.paths.keytab(), agent.paths.krb5_conf()] {
        files::remove(&path).doing(|| format!("removing {}", path.display()))?;
    }
    clear_scratch(agent);
    Ok(())
}

/// The same, where a krb5.conf is one of ours.
pub(crate) fn remove_ours(agent: &Agent) -> Result<()> {
    let path = agent.paths.krb5_conf();
    let text = files::read_optional(&path).doing(|| format!("reading {}", path.display()))?;
    if text.is_some_and(|text| text.starts_with(HEADER)) { remove_keys(agent) } else { Ok(()) }
}

/// Forgets what a request needed.
pub(crate) fn clear_scratch(agent: &Agent) {
    let directory = agent.paths.domain_scratch();
    // on a node the directory is a mount, and stays
    let Ok(entries) = std::fs::read_dir(&directory) else { return };
    for entry in entries.flatten() {
        if let Err(error) = std::fs::remove_file(entry.path()) {
            tracing::warn!(%error, file = %entry.path().display(), "not removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn krb5_conf() {
        insta::assert_snapshot!(krb5(&"lab.test".parse().unwrap()));
    }
}
