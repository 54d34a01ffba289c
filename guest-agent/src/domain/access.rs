//! Ids of the domain's users and groups that shares admit: on files there are ids, not SIDs.

use std::collections::BTreeSet;
use std::time::Duration;

use smbgw_api::v1::domain::{AccountKind, DomainAccount, ShareAccess};
use smbgw_api::v1::{DesiredShare, DesiredState, Storage};
use smbgw_api::{IdBackend, Sid};
use smbgw_command::{Command, CommandError};

use super::record::{self, Account, Record};
use crate::agent::Agent;
use crate::error::{Result, domain};
use crate::samba::admitted::DOMAIN_USERS;
use crate::state;
use crate::storage::acl::Who;
use crate::storage::folder;
use smbgw_api::DomainFault;

/// For an id that winbindd must ask the domain for.
const ASKS: Duration = Duration::from_secs(10);

/// Who of the domain may open which share; nobody outside a domain.
pub(crate) fn of_shares(agent: &Agent) -> Result<Vec<ShareAccess>> {
    let (Some(member), Some(desired)) =
        (record::load(&agent.paths)?.filter(Record::is_joined), state::load(&agent.paths)?)
    else {
        return Ok(Vec::new());
    };
    desired
        .shares
        .iter()
        .map(|share| {
            Ok(ShareAccess { share: share.name.clone(), accounts: accounts(agent, &member, share)? })
        })
        .collect()
}

/// Lets them into the folders on the gateway's own disk, where their shares say so.
pub(crate) fn grant_folders(agent: &Agent, desired: &DesiredState) -> Result<()> {
    let Some(member) = record::load(&agent.paths)?.filter(Record::is_joined) else { return Ok(()) };
    for share in desired.shares.iter().filter(|share| share.grant) {
        let Storage::Disk { folder } = &share.storage else { continue };
        let who: BTreeSet<Who> = accounts(agent, &member, share)?
            .into_iter()
            .filter_map(|account| {
                let id = account.id?;
                Some(match account.kind {
                    AccountKind::User => Who::User(id),
                    AccountKind::Group => Who::Group(id),
                })
            })
            .collect();
        folder::grant(agent.runner.as_ref(), &agent.paths.disk(), folder, &who)?;
    }
    Ok(())
}

fn accounts(agent: &Agent, member: &Record, share: &DesiredShare) -> Result<Vec<DomainAccount>> {
    let all = || {
        let sid = member.domain_sid.as_ref()?.account(DOMAIN_USERS);
        Some(("Domain Users".to_owned(), Account { sid, kind: AccountKind::Group }))
    };
    let named: Vec<(String, Account)> = if share.admission().is_open() {
        all().into_iter().collect()
    } else {
        let known = |name| Some((format!("{name}"), member.principals.get(name)?.clone()));
        share.allow.iter().filter_map(known).collect()
    };
    named
        .into_iter()
        .map(|(name, account)| {
            Ok(DomainAccount { name, kind: account.kind, id: id(agent, member, &account)? })
        })
        .collect()
}

fn id(agent: &Agent, member: &Record, account: &Account) -> Result<Option<u32>> {
    if member.domain.id_backend == IdBackend::Rid
        && let Some(rid) = rid(member, &account.sid)
    {
        return Ok(member.domain.ids.of_rid(rid));
    }
    let question = match account.kind {
        AccountKind::User => "--sid-to-uid",
        AccountKind::Group => "--sid-to-gid",
    };
    let command = Command::new("wbinfo").args([question, account.sid.as_str()]).deadline(ASKS);
    match agent.runner.run(&command) {
        Ok(output) => Ok(String::from_utf8_lossy(&output.stdout).trim().parse().ok()),
        // the domain gives it none
        Err(CommandError::Failed { .. }) => Ok(None),
        Err(error) => {
            Err(domain(DomainFault::Winbind, crate::error::command("asking winbindd for an id", &error)))
        }
    }
}

/// The RID of an account of the domain itself.
fn rid(member: &Record, sid: &Sid) -> Option<u32> {
    let (of, rid) = sid.as_str().rsplit_once('-')?;
    (member.domain_sid.as_ref()?.as_str() == of).then(|| rid.parse().ok()).flatten()
}
