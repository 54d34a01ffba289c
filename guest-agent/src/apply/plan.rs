//! From desired state to what is to be done. Pure: the same input gives the same plan, and nothing is touched.

use smbgw_api::spec::{MAX_UID, MIN_UID};
use smbgw_api::v1::{DesiredShare, DesiredState, DesiredUser};
use smbgw_api::{Access, ByteSize, ShareName, UserName};

use super::members;
use super::observe::Observed;
use crate::accounts::Account;
use crate::accounts::groups::Changes as Groups;
use crate::error::{Result, invalid};
use crate::samba::config::{Config, restart_needed};
use crate::samba::sid::account_domain;
use crate::samba::vfs;
use crate::storage::plan::Changes;

/// What is to be done; empty when all is as wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Users to make.
    pub(crate) add: Vec<DesiredUser>,
    /// Users of ours whose uid changes; they keep their passwords.
    pub(crate) renumber: Vec<DesiredUser>,
    /// Users of ours that are no longer wanted.
    pub(crate) remove: Vec<UserName>,
    /// Groups.
    pub(crate) groups: Groups,
    /// New content of smb.conf.
    pub(crate) smb_conf: Option<String>,
    /// NetBIOS name to set the machine's SID for.
    pub(crate) machine_sid: Option<String>,
    /// Mounts and folders.
    pub(crate) storage: Changes,
    /// What smbd must do.
    pub(crate) service: Service,
    /// Shares that are gone, read-only or somewhere else now: their open connections end.
    pub(crate) close: Vec<ShareName>,
    /// Shares that are open to fewer users: connections of the others end.
    pub(crate) close_denied: Vec<ShareName>,
    /// Users whose sessions end: smbd would go on with the groups that they had when they logged on.
    pub(crate) end: Vec<UserName>,
    /// Whether what is on record differs.
    pub(crate) save: bool,
    /// Whether nothing is on record.
    pub(crate) is_first: bool,
}

/// What smbd must do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Service {
    /// Nothing.
    #[default]
    Keep,
    /// Start: it does not run.
    Start,
    /// Read its configuration again.
    Reload,
    /// Stop and start.
    Restart,
}

impl Plan {
    /// Whether there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Checks the rules between fields that the types cannot hold.
pub(crate) fn check(desired: &DesiredState) -> Result<()> {
    for (index, user) in desired.users.iter().enumerate() {
        if !(MIN_UID..=MAX_UID).contains(&user.uid) {
            return Err(invalid(format!(
                "user {}: uid {} is outside {MIN_UID}-{MAX_UID}",
                user.name, user.uid
            )));
        }
        for other in &desired.users[..index] {
            if other.name == user.name {
                return Err(invalid(format!("user {} is there twice", user.name)));
            }
            if other.uid == user.uid {
                return Err(invalid(format!(
                    "users {} and {} both have uid {}",
                    other.name, user.name, user.uid
                )));
            }
        }
    }
    for (index, share) in desired.shares.iter().enumerate() {
        if desired.shares[..index].iter().any(|other| other.name.same(&share.name)) {
            return Err(invalid(format!("share {} is there twice", share.name)));
        }
        let (users, groups) = share.admission().named();
        if let Some(name) = users.iter().find(|name| !desired.users.iter().any(|user| user.name == ***name)) {
            return Err(invalid(format!(
                "share {} is open to {name}, who is no user of the gateway",
                share.name
            )));
        }
        if let Some(name) = groups.iter().find(|name| !desired.groups.iter().any(|g| g.name == ***name)) {
            return Err(invalid(format!("share {} is open to @{name}, which is no group of it", share.name)));
        }
        share
            .handling
            .check(share.name.as_str(), share.read_only, share.limit.map(ByteSize::from_bytes))
            .map_err(|broken| invalid(broken.to_string()))?;
        if share.comment.as_ref().is_some_and(|c| c.chars().any(char::is_control) || c.chars().count() > 200)
        {
            return Err(invalid(format!(
                "the comment of share {} must be one line of at most 200 characters",
                share.name
            )));
        }
    }
    members::check(desired)?;
    crate::storage::plan::check(desired)
}

/// Plans. Refuses what would touch an account that is not ours.
pub(crate) fn plan(desired: &DesiredState, observed: &Observed) -> Result<Plan> {
    check(desired)?;
    let mut plan =
        Plan { storage: crate::storage::plan::plan(desired, &observed.storage), ..Plan::default() };
    for user in &desired.users {
        foreign(user, observed)?;
        match observed.accounts.user(user.name.as_str()) {
            None => plan.add.push(user.clone()),
            Some(account) if account.uid != user.uid || account.gid != user.uid => {
                plan.renumber.push(user.clone());
            }
            Some(_) => {}
        }
    }
    let wanted = |name: &str| desired.users.iter().any(|user| user.name.as_str() == name);
    plan.remove = observed
        .accounts
        .ours()
        .filter(|account| !wanted(&account.name))
        .filter_map(|account| UserName::parse(&account.name).ok())
        .collect();

    plan.groups = members::plan(desired, observed, &plan.renumber)?;

    let text = Config::of(desired, &observed.instance, observed.membership.as_ref()).render();
    if text != observed.smb_conf {
        plan.service = if restart_needed(&observed.smb_conf, &text, &observed.host) {
            Service::Restart
        } else {
            Service::Reload
        };
        plan.smb_conf = Some(text);
    }
    if !plan.renumber.is_empty() || !plan.groups.renumber.is_empty() {
        // a running smbd remembers who is who
        plan.service = Service::Restart;
    }
    if observed.smbd != "active" {
        plan.service = Service::Start;
    }
    let domain = account_domain(&desired.name);
    if observed.sid_set_for.as_ref() != Some(&domain) {
        // an smbd that runs, or is just starting, has the old one
        plan.service = Service::Restart;
        plan.machine_sid = Some(domain);
    }
    if let Some(applied) = &observed.applied {
        plan.end = members::ended(applied, desired);
        let macs = vfs::for_macs(desired);
        for was in &applied.shares {
            let now = desired.shares.iter().find(|now| now.name == was.name);
            // modules and encryption are those of when a client opened the share
            let stays = |now: &DesiredShare| now.handling == was.handling && macs == vfs::for_macs(applied);
            let ends = |now: &DesiredShare| {
                now.read_only && !was.read_only || now.storage != was.storage || !stays(now)
            };
            let narrowed = now.map(|now| members::narrowed((applied, was), (desired, now), &plan.end));
            if now.is_none_or(ends) || narrowed == Some(Some(Access::Read)) {
                plan.close.push(was.name.clone());
            } else if narrowed == Some(Some(Access::Closed)) {
                plan.close_denied.push(was.name.clone());
            }
        }
    }
    plan.is_first = observed.applied.is_none();
    plan.save = observed.applied.as_ref() != Some(desired);
    Ok(plan)
}

/// Refuses a user whose name, uid or gid belongs to somebody whom we did not make.
fn foreign(user: &DesiredUser, observed: &Observed) -> Result<()> {
    let accounts = &observed.accounts;
    if accounts.user(user.name.as_str()).is_some_and(|account| !account.is_ours()) {
        return Err(invalid(format!("user {} is there already, and not made for shares", user.name)));
    }
    if let Some(account) = accounts.users.iter().find(|account| account.uid == user.uid && !account.is_ours())
    {
        return Err(invalid(format!("uid {} of user {} belongs to {}", user.uid, user.name, account.name)));
    }
    let ours = |name: &str| accounts.user(name).is_some_and(Account::is_ours);
    let same = |name: &str, gid| name == user.name.as_str() || gid == user.uid;
    match accounts.groups.iter().find(|group| same(&group.name, group.gid) && !ours(&group.name)) {
        Some(group) => Err(invalid(format!(
            "user {} needs a group of that name with gid {}, but group {} has gid {}",
            user.name, user.uid, group.name, group.gid
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
