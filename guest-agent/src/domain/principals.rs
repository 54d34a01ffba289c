//! Users and groups of the domain that shares name: asked for once, kept by SID.

use std::time::Duration;

use smbgw_api::v1::DesiredState;
use smbgw_api::v1::domain::AccountKind;
use smbgw_api::{DomainFault, DomainPrincipal, Sid};
use smbgw_command::{Command, CommandError};

use super::record::{self, Account, Record};
use crate::agent::Agent;
use crate::error::{Result, domain, internal};

/// For a name.
const ASKS: Duration = Duration::from_secs(10);

/// The membership with the SIDs of all names that a state has; those that no share names any more are forgotten. With
/// `lenient`, names that cannot be told are left out: who is admitted by them stays out.
pub(crate) fn resolve(agent: &Agent, desired: &DesiredState, lenient: bool) -> Result<Option<Record>> {
    let Some(mut membership) = record::load(&agent.paths)?.filter(Record::is_joined) else { return Ok(None) };
    let before = membership.principals.clone();
    let named: Vec<&DomainPrincipal> = desired.shares.iter().flat_map(|share| &share.allow).collect();
    membership.principals.retain(|name, _| named.contains(&name));
    for name in named {
        if membership.principals.contains_key(name) {
            continue;
        }
        match look_up(agent, name) {
            Ok(account) => drop(membership.principals.insert(name.clone(), account)),
            Err(error) if lenient => tracing::warn!(%error, %name, "is left out"),
            Err(error) => return Err(error),
        }
    }
    if membership.principals != before && !lenient {
        record::save(&agent.paths, &membership)?;
    }
    Ok(Some(membership))
}

fn look_up(agent: &Agent, name: &DomainPrincipal) -> Result<Account> {
    let command = Command::new("wbinfo").args(["--name-to-sid".to_owned(), name.to_string()]).deadline(ASKS);
    match agent.runner.run(&command) {
        Ok(output) => parse(&String::from_utf8_lossy(&output.stdout))
            .ok_or_else(|| internal(format!("winbindd's answer about {name} is no SID of a user or group"))),
        Err(CommandError::Failed { stdout, stderr, .. })
            if format!("{stdout}{stderr}").contains("NOT_MAPPED") =>
        {
            Err(domain(DomainFault::NoSuchPrincipal, format!("the domain has no user or group {name}")))
        }
        Err(error) => {
            let text = crate::error::command(&format!("asking winbindd for {name}"), &error);
            Err(domain(DomainFault::Winbind, text))
        }
    }
}

/// `S-1-5-21-…-1105 SID_DOM_GROUP (2)`
fn parse(text: &str) -> Option<Account> {
    let (sid, kind) = text.trim().split_once(' ')?;
    let kind = match kind.split_whitespace().next()? {
        "SID_USER" => AccountKind::User,
        "SID_DOM_GROUP" | "SID_ALIAS" | "SID_WKN_GROUP" => AccountKind::Group,
        _ => return None,
    };
    Some(Account { sid: Sid::parse(sid).ok()?, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let sid = "S-1-5-21-19320961-2140676637-1461976856-1105";
        let account = |kind| Some(Account { sid: sid.parse().unwrap(), kind });
        assert_eq!(parse(&format!("{sid} SID_DOM_GROUP (2)\n")), account(AccountKind::Group));
        assert_eq!(parse(&format!("{sid} SID_USER (1)\n")), account(AccountKind::User));
        assert_eq!(parse(&format!("{sid} SID_COMPUTER (9)\n")), None);
        assert_eq!(parse("failed"), None);
    }
}
