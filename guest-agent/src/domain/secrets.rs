//! Machine secrets that outlive the gateway: the host keeps them, so that one made anew is the same computer for the domain.

use secrecy::{ExposeSecret, SecretString};
use smbgw_api::v1::domain::KeptSecrets;
use smbgw_api::{Domain, DomainFault};
use smbgw_command::Command;

use super::record::{self, Record};
use super::{files, tools};
use crate::agent::Agent;
use crate::error::{Doing, Result, domain, internal, invalid, not_found};

/// What a dump must have to be of any use.
const PASSWORD: &str = "SECRETS/MACHINE_PASSWORD/";
/// Largest blob of an offline join.
const LARGEST_BLOB: usize = 64 << 10;

/// The secrets, if the domain accepts them now.
pub(crate) fn keep(agent: &Agent) -> Result<KeptSecrets> {
    let member = record::load(&agent.paths)?
        .filter(Record::is_joined)
        .ok_or_else(|| not_found("the gateway is in no domain"))?;
    tools::test_join(agent, &files::own_conf(agent))?;
    let command = Command::new("tdbdump").arg(agent.paths.secrets().display().to_string());
    let output = agent.runner.run(&command).doing(|| "reading the machine's secrets".to_owned())?;
    let dump = String::from_utf8(output.stdout).map_err(|_| internal("the machine's secrets are no text"))?;
    let domain_sid = member.domain_sid.ok_or_else(|| internal("the domain's SID is not on record"))?;
    if !dump.contains(PASSWORD) {
        return Err(domain(DomainFault::SecretMissing, "there is no secret to keep"));
    }
    Ok(KeptSecrets { realm: member.domain.realm, account: member.account, domain_sid, dump })
}

/// Puts kept secrets back. Whether the domain still accepts them shows afterwards.
pub(crate) fn restore(
    agent: &Agent,
    conf: &str,
    wanted: &Domain,
    name: &str,
    kept: &KeptSecrets,
) -> Result<()> {
    if kept.realm != wanted.realm || kept.account != name || !kept.dump.contains(PASSWORD) {
        return Err(invalid(format!("the kept secrets are not of {name} in {}", wanted.realm)));
    }
    let (path, new) = (agent.paths.secrets(), agent.paths.secrets().with_extension("smbgw-new"));
    crate::files::remove(&new).doing(|| format!("removing {}", new.display()))?;
    let command = Command::new("tdbrestore")
        .arg(new.display().to_string())
        .stdin_secret(SecretString::from(kept.dump.clone()));
    agent.runner.run(&command).doing(|| "writing the kept secrets".to_owned())?;
    crate::files::rename(&new, &path).doing(|| format!("replacing {}", path.display()))?;
    tools::test_join(agent, conf)?;
    tools::write_keytab(agent, conf)
}

/// A blob as it came, checked for its form.
pub(crate) fn blob(text: String) -> Result<SecretString> {
    let good = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c) || c.is_ascii_whitespace();
    // djoin writes UTF-16 with a byte order mark; the host has made text of it
    let text = text.trim_matches(|c: char| c == '\u{feff}' || c == '\0' || c.is_whitespace()).to_owned();
    if text.is_empty() || text.len() > LARGEST_BLOB || !text.chars().all(good) {
        return Err(invalid("the blob must be base64, as `net offlinejoin provision` or djoin wrote it"));
    }
    Ok(text.into())
}

/// Takes an offline join over.
pub(crate) fn take_blob(agent: &Agent, conf: &str, blob: &SecretString) -> Result<()> {
    let path = agent.paths.domain_scratch().join("blob");
    crate::files::replace(&path, blob.expose_secret().as_bytes(), 0o600)
        .doing(|| "writing the blob".to_owned())?;
    let taken = tools::request_offline_join(agent, conf, &path.display().to_string());
    crate::files::remove(&path).doing(|| "removing the blob".to_owned())?;
    taken?;
    tools::write_keytab(agent, conf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs() {
        assert_eq!(blob("\u{feff}QUJD\r\n".to_owned()).unwrap().expose_secret(), "QUJD");
        for bad in ["", "a b;c", "<x>"] {
            assert!(blob(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
