//! When the agent starts: what an end in the middle of a change left is put right, and what was applied last is made
//! true again.

use crate::accounts::{Accounts, change, groups};
use crate::agent::Agent;
use crate::apply::observe::Observed;
use crate::apply::run;
use crate::error::{Doing, Result};
use crate::samba::config::Config;
use crate::services::Job;
use crate::{files, quota, samba, state};

/// Repairs. The record ([`state`]) decides: a change that did not reach it never was.
pub(crate) fn recover(agent: &Agent) -> Result<()> {
    let (now, new, old) = (agent.paths.smb_conf(), agent.paths.smb_conf_new(), agent.paths.smb_conf_old());
    files::remove(&new).doing(|| format!("removing {}", new.display()))?;
    let applied = state::load(&agent.paths)?;
    let text = files::read_optional(&now).doing(|| format!("reading {}", now.display()))?;
    let membership = crate::domain::record::load(&agent.paths)?;
    let committed =
        applied.as_ref().map(|state| Config::of(state, &agent.instance, membership.as_ref()).render());
    let mut reload = false;
    if old.exists() {
        if committed == text {
            if agent.services.state(&agent.instance.unit)? == "active" {
                // sessions that the new state does not allow were perhaps not ended
                tracing::warn!("a change came to its end but for old sessions: restarting smbd");
                agent.services.run(&agent.instance.unit, Job::Restart)?;
            }
            files::remove(&old).doing(|| format!("removing {}", old.display()))?;
        } else {
            tracing::warn!("a change did not come to its end: putting the old smb.conf back");
            files::rename(&old, &now).doing(|| format!("putting {} back", old.display()))?;
            reload = true;
        }
    }
    let Some(desired) = applied else {
        return first_change_failed(agent, reload);
    };
    quota::write(&agent.paths, &desired)?;
    let observed = Observed::read(agent, &desired, true)?;
    let plan = super::plan::plan(&desired, &observed)?;
    let starting = plan.service == super::plan::Service::Start && observed.smbd == "activating";
    let only_service = super::plan::Plan { service: plan.service, ..Default::default() } == plan;
    if only_service && !reload && (plan.is_empty() || starting) {
        // the usual case at boot: smbd is on its way
        return Ok(());
    }
    if reload {
        agent
            .services
            .run(&agent.instance.unit, Job::Reload)
            .or_else(|_| agent.services.run(&agent.instance.unit, Job::Restart))?;
    }
    run::mend(agent, &desired).map(drop)
}

/// Without a record, no user or group of ours is wanted.
fn first_change_failed(agent: &Agent, reload: bool) -> Result<()> {
    crate::storage::run::remove_all(agent)?;
    for account in Accounts::read(&agent.paths)?.ours() {
        if let Ok(name) = smbgw_api::UserName::parse(&account.name) {
            tracing::warn!(user = %name, "removing a user of a change that did not come to its end");
            samba::accounts::remove(agent.runner.as_ref(), &name)?;
            change::remove(agent.runner.as_ref(), &name)?;
        }
    }
    groups::restore(agent.runner.as_ref(), &agent.paths, &[])?;
    if reload {
        agent
            .services
            .run(&agent.instance.unit, Job::Reload)
            .or_else(|_| agent.services.run(&agent.instance.unit, Job::Restart))?;
    }
    Ok(())
}
