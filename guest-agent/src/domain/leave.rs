//! Leaving a domain.

use smbgw_api::v1::DesiredState;
use smbgw_api::v1::domain::{LeaveRequest, Left};
use smbgw_command::Command;

use super::record::{self, Record};
use super::tools::{self, Account, As, Query};
use super::{files, preflight, winbind};
use crate::agent::Agent;
use crate::error::{Doing, Result, invalid};
use crate::{apply, state};

/// Leaves. With an account the computer account is deleted; if that fails, nothing changes. Without, it stays in the domain.
pub(crate) fn leave(agent: &Agent, request: LeaveRequest) -> Result<Left> {
    let account = request.credential.map(Account::try_from).transpose()?;
    let Some(member) = record::load(&agent.paths)? else {
        return Ok(Left { changed: false, remains: None });
    };
    let desired = state::load(&agent.paths)?.ok_or_else(|| invalid("no configuration was applied yet"))?;
    let mut remains = member.dn.clone().or(Some(format!("CN={} in {}", member.account, member.domain.realm)));
    if let Some(account) = &account {
        let deleted = delete(agent, &desired, &member, account);
        files::clear_scratch(agent);
        deleted?;
        remains = None;
    }
    forget(agent, &desired)?;
    tracing::info!(realm = %member.domain.realm, remains, "left the domain");
    Ok(Left { changed: true, remains })
}

/// Deletes the computer account, if there is one.
fn delete(agent: &Agent, desired: &DesiredState, member: &Record, account: &Account) -> Result<()> {
    files::write_krb5(agent, &member.domain.realm)?;
    let desired = DesiredState { domain: Some(member.domain.clone()), ..desired.clone() };
    let conf = files::write_join_conf(agent, &desired, member)?;
    if member.is_joined() {
        for name in member.names() {
            if let Err(error) = tools::unregister_dns(agent, &conf, &name) {
                tracing::warn!(%error, name, "the name stays in DNS");
            }
        }
    }
    let cache = agent.paths.domain_scratch().join("ticket").display().to_string();
    tools::kinit(agent, account, &member.domain.realm, &cache)?;
    let filter = format!("(sAMAccountName={}$)", member.account);
    if tools::search(agent, &conf, As::Ticket(&cache), Query::Filter(&filter), &["distinguishedName"])?
        .is_none()
    {
        return Ok(());
    }
    match tools::leave(agent, &conf, account) {
        // cut off between the account and its secret: only who has joined can leave
        Err(error) if !member.is_joined() => {
            tracing::warn!(%error, "the account of an interrupted join is taken over to be deleted");
            tools::join(agent, &conf, account, &member.domain, None)?;
            tools::leave(agent, &conf, account)
        }
        other => other,
    }
}

/// Makes the gateway a server of its own again. Safe at whatever point a join was cut off.
pub(crate) fn forget(agent: &Agent, desired: &DesiredState) -> Result<()> {
    // from here on it is no member
    record::remove(&agent.paths)?;
    let back = apply::run::mend(agent, desired).map(drop);
    winbind::disable(agent)?;
    forget_keys(agent, desired)?;
    back
}

/// Forgets a membership, or a join that was cut off, of which the state says nothing any more.
pub(crate) fn unless_wanted(agent: &Agent, desired: &DesiredState) -> Result<()> {
    match (&desired.domain, record::load(&agent.paths)?) {
        (None, Some(member)) => {
            tracing::warn!(realm = %member.domain.realm, account = member.account, "a membership that is not wanted any more is forgotten");
            forget(agent, desired)
        }
        // looking at a domain was cut off
        (None, None) => files::remove_ours(agent),
        _ => Ok(()),
    }
}

/// Forgets the secret of the machine account; the machine's own SID stays.
fn forget_keys(agent: &Agent, desired: &DesiredState) -> Result<()> {
    let secrets = agent.paths.secrets();
    if secrets.exists() {
        for key in domain_keys(agent, &preflight::account_name(desired))? {
            let command =
                Command::new("tdbtool").args([secrets.display().to_string(), "delete".to_owned(), key]);
            agent.runner.run(&command).doing(|| "forgetting the machine account's secret".to_owned())?;
        }
    }
    record::remove(&agent.paths)?;
    files::remove_keys(agent)
}

/// Records of secrets.tdb that are about a domain.
fn domain_keys(agent: &Agent, own: &str) -> Result<Vec<String>> {
    let command =
        Command::new("tdbtool").args([agent.paths.secrets().display().to_string(), "keys".to_owned()]);
    let output = agent.runner.run(&command).doing(|| "listing the machine's secrets".to_owned())?;
    Ok(parse_keys(&String::from_utf8_lossy(&output.stdout), own))
}

/// `key 28 bytes: SECRETS/MACHINE_PASSWORD/LAB`
fn parse_keys(text: &str, own: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.split_once(" bytes: ").map(|(_, key)| key.trim()))
        .filter(|key| {
            key.strip_prefix("SECRETS/").is_some_and(|rest| {
                rest.strip_prefix("SID/") != Some(own) && !rest.starts_with("LOCAL_SCHANNEL")
            })
        })
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_own_sid_stays() {
        let text = "key 15 bytes: SECRETS/SID/GW1\nkey 28 bytes: SECRETS/MACHINE_PASSWORD/LAB\nkey 38 bytes: SECRETS/SALTING_PRINCIPAL/DES/LAB.TEST\n";
        assert_eq!(
            parse_keys(&format!("{text}key 15 bytes: SECRETS/SID/LAB\n"), "GW1"),
            ["SECRETS/MACHINE_PASSWORD/LAB", "SECRETS/SALTING_PRINCIPAL/DES/LAB.TEST", "SECRETS/SID/LAB"]
        );
    }
}
