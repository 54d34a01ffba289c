//! What comes after the commit: it cannot make the new state untrue, so one failure does not stop the rest.

use smbgw_api::UserName;

use super::plan::{Plan, Service};
use super::run::Action;
use crate::accounts::{change, groups};
use crate::agent::Agent;
use crate::error::{Doing, Result, internal};
use crate::files;
use crate::samba::{accounts, control, status};
use crate::storage::run as storage;

/// Ends what is no longer allowed, removes users and mounts that are no longer wanted, and clears up.
pub(super) fn finish(agent: &Agent, plan: &Plan, done: &mut Vec<Action>) -> Result<()> {
    let runner = agent.runner.as_ref();
    let mut failed = Vec::new();
    let mut note = |result: Result<()>| {
        let succeeded = result.is_ok();
        failed.extend(result.err().map(|error| error.message));
        succeeded
    };
    // a restart has ended all sessions, and before the first state there were none
    if plan.service != Service::Restart && !plan.is_first {
        if plan.smb_conf.is_some() {
            note(control::reload_sessions(runner));
        }
        for share in &plan.close {
            if note(control::close_share(runner, share)) {
                done.push(Action::Closed(share.clone()));
            }
        }
        for share in &plan.close_denied {
            if note(control::close_denied_share(runner, share)) {
                done.push(Action::Closed(share.clone()));
            }
        }
        let gone: Vec<UserName> = plan.remove.iter().chain(&plan.end).cloned().collect();
        if !gone.is_empty() && note(end_sessions(agent, &gone)) {
            done.extend(plan.end.iter().cloned().map(Action::Ended));
        }
    }
    for user in &plan.remove {
        if note(accounts::remove(runner, user).and_then(|()| change::remove(runner, user))) {
            done.push(Action::Removed(user.clone()));
        }
    }
    for group in &plan.groups.remove {
        if note(groups::remove(runner, group)) {
            done.push(Action::RemovedGroup(group.clone()));
        }
    }
    // after the connections have ended
    failed.extend(storage::finish(agent, &plan.storage, &mut |what| done.push(Action::Storage(what))));
    let mut note = |result: Result<()>| failed.extend(result.err().map(|error| error.message));
    let old = agent.paths.smb_conf_old();
    note(files::remove(&old).doing(|| format!("removing {}", old.display())));
    if failed.is_empty() {
        return Ok(());
    }
    Err(internal(format!(
        "the new state is in force, but {}; asking for it again tries again",
        failed.join("; ")
    )))
}

/// Ends every smbd that serves one of these users. Others of the same client come back by themselves.
fn end_sessions(agent: &Agent, users: &[UserName]) -> Result<()> {
    let runner = agent.runner.as_ref();
    let mut processes: Vec<u32> = status::read(runner)?
        .processes
        .into_iter()
        .filter(|(user, _)| users.iter().any(|gone| gone.as_str() == user))
        .map(|(_, pid)| pid)
        .collect();
    processes.sort_unstable();
    processes.dedup();
    processes.into_iter().try_for_each(|pid| control::end_process(runner, pid))
}
