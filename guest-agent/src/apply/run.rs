//! Carrying a plan out: all of it, or nothing.
//!
//! Order: what can be refused comes first (testparm), then what can be undone (mounts, users, smb.conf), then the proof
//! that smbd serves, then the record (the commit point, [`crate::state`]), and last what cannot be undone (removed users,
//! unmounted shares).

use std::time::Duration;

use smbgw_api::ShareName;
use smbgw_api::v1::{ApiError, Applied, DesiredState, DesiredUser};
use smbgw_command::{Interrupt, Runner, wait_until};

use super::finish::finish;
use super::observe::Observed;
use super::plan::{Plan, Service, plan};
use crate::accounts::groups::{self, Wanted};
use crate::accounts::{Accounts, change};
use crate::agent::Agent;
use crate::error::{Doing, Result, samba, with_hint};
use crate::recycle::prepare::{self, Made};
use crate::samba::{accounts, negotiate, sid, testparm};
use crate::services::Job;
use crate::storage::run::{self as storage, Done, directories};
use crate::{files, quota, state};

/// How long smbd may take from the end of systemd's job to its first answer.
const ANSWERS: Duration = Duration::from_secs(10);
/// For one try.
const TRY: Duration = Duration::from_secs(2);

/// Makes the desired state true.
pub(crate) fn apply(agent: &Agent, desired: &DesiredState) -> Result<Applied> {
    carry_out(agent, desired, Missing { tolerated: false, error: None })
}

/// As [`apply`], for a state on record: storage that is missing does not keep the rest from being put right. What could
/// not be mounted is the error then.
pub(crate) fn mend(agent: &Agent, desired: &DesiredState) -> Result<Applied> {
    carry_out(agent, desired, Missing { tolerated: true, error: None })
}

/// Storage that could not be had.
struct Missing {
    tolerated: bool,
    error: Option<ApiError>,
}

impl Missing {
    /// Keeps an error for later, or gives it at once.
    fn unless(&mut self, result: Result<()>) -> Result<()> {
        match result {
            Err(error) if self.tolerated => {
                self.error.get_or_insert(error);
                Ok(())
            }
            other => other,
        }
    }
}

fn carry_out(agent: &Agent, desired: &DesiredState, mut missing: Missing) -> Result<Applied> {
    super::plan::check(desired)?;
    missing.unless(directories(agent, desired))?;
    let observed = Observed::read(agent, desired, missing.tolerated)?;
    let mut plan = plan(desired, &observed)?;
    missing.unless(plan.storage.problem.take().map_or(Ok(()), Err))?;
    if plan.is_empty() {
        quota::write(&agent.paths, desired)?;
        if let Some(error) = missing.error {
            return Err(error);
        }
        agent.set_trouble(None);
        return Ok(Applied { changed: false, actions: Vec::new() });
    }
    let before: Vec<Wanted> = observed.accounts.our_groups().map(Wanted::from).collect();
    let mut done = Vec::new();
    if let Some(text) = &plan.smb_conf {
        candidate(agent, desired, text)?;
    }
    let mounted = storage::change(agent, &plan.storage, &mut |what| done.push(Action::Storage(what)));
    let bins = |done: &mut Vec<Action>| {
        prepare::prepare(&agent.paths, desired, &mut |what| done.push(Action::Bin(what)))
    };
    let changed = missing.unless(mounted);
    // below a mount that is missing is nothing of the share
    let complete = missing.error.is_none();
    let changed = changed.and_then(|()| if complete { bins(&mut done) } else { Ok(()) });
    let changed = changed.and_then(|()| reversible(agent, &plan, &mut done));
    if let Err(error) = changed {
        tracing::warn!(%error, "putting the old state back");
        return Err(put_back(agent, (&plan, &before), &done, error));
    }
    if let Err(error) = state::save(&agent.paths, desired) {
        return Err(put_back(agent, (&plan, &before), &done, error));
    }
    if plan.save {
        done.push(Action::Recorded);
    }
    quota::write(&agent.paths, desired)?;
    finish(agent, &plan, &mut done)?;
    if let Some(error) = missing.error {
        return Err(error);
    }
    agent.set_trouble(None);
    let actions: Vec<String> = done.iter().map(Action::to_string).collect();
    tracing::info!(?actions, "applied");
    Ok(Applied { changed: true, actions })
}

/// Something that was done, in the order it was done.
pub(super) enum Action {
    Storage(Done),
    Bin(Made),
    Added(DesiredUser),
    Renumbered(DesiredUser, u32),
    Removed(smbgw_api::UserName),
    Grouped(groups::Changes),
    RemovedGroup(String),
    Ended(smbgw_api::UserName),
    Configured,
    Service(Job),
    Closed(ShareName),
    MachineSid,
    Recorded,
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Storage(what) => what.fmt(f),
            Self::Bin(what) => what.fmt(f),
            Self::Added(user) => write!(f, "added user {} with uid {}", user.name, user.uid),
            Self::Renumbered(user, old) => {
                write!(f, "changed the uid of {} from {old} to {}", user.name, user.uid)
            }
            Self::Removed(user) => write!(f, "removed user {user}"),
            Self::Grouped(groups) => {
                let names = |groups: &[Wanted]| {
                    groups.iter().map(|group| group.name.as_str()).collect::<Vec<_>>().join(", ")
                };
                let parts =
                    [("added", &groups.add), ("gid of", &groups.renumber), ("members of", &groups.members)];
                let parts = parts.iter().filter(|(_, groups)| !groups.is_empty());
                let words: Vec<_> = parts.map(|(what, groups)| format!("{what} {}", names(groups))).collect();
                write!(f, "changed groups: {}", words.join("; "))
            }
            Self::RemovedGroup(group) => write!(f, "removed group {group}"),
            Self::Ended(user) => write!(f, "ended the sessions of {user}, whose groups have changed"),
            Self::Configured => f.write_str("wrote smb.conf"),
            Self::Service(Job::Start) => f.write_str("started smbd"),
            Self::Service(Job::Reload) => f.write_str("reloaded smbd"),
            Self::Service(Job::Restart) => f.write_str("restarted smbd"),
            Self::Service(Job::Stop) => f.write_str("stopped smbd"),
            Self::Closed(share) => {
                write!(f, "ended the connections to share {share} that are no longer allowed")
            }
            Self::MachineSid => f.write_str("set the machine's SID"),
            Self::Recorded => f.write_str("recorded the state"),
        }
    }
}

/// Writes the new smb.conf beside the old one and has Samba check it.
fn candidate(agent: &Agent, desired: &DesiredState, text: &str) -> Result<()> {
    let path = agent.paths.smb_conf_new();
    files::replace(&path, text.as_bytes(), 0o644).doing(|| format!("writing {}", path.display()))?;
    let shares: Vec<ShareName> = desired.shares.iter().map(|share| share.name.clone()).collect();
    testparm::check(agent.runner.as_ref(), &path, &shares).inspect_err(|_| drop(files::remove(&path)))
}

fn reversible(agent: &Agent, plan: &Plan, done: &mut Vec<Action>) -> Result<()> {
    let runner = agent.runner.as_ref();
    for user in &plan.renumber {
        let old = Accounts::read(&agent.paths)?.user(user.name.as_str()).map(|account| account.uid);
        done.push(Action::Renumbered(user.clone(), old.unwrap_or(user.uid)));
        renumber(runner, user)?;
    }
    for user in &plan.add {
        // on record before it is tried: useradd may have done half of it
        done.push(Action::Added(user.clone()));
        change::add(runner, user)?;
    }
    if plan.groups.makes() {
        done.push(Action::Grouped(plan.groups.clone()));
        plan.groups.make(runner)?;
    }
    if plan.smb_conf.is_some() {
        let (now, new, old) =
            (agent.paths.smb_conf(), agent.paths.smb_conf_new(), agent.paths.smb_conf_old());
        if now.exists() {
            files::link(&now, &old).doing(|| format!("keeping {}", now.display()))?;
        }
        files::rename(&new, &now).doing(|| format!("replacing {}", now.display()))?;
        done.push(Action::Configured);
    }
    if let Some(name) = &plan.machine_sid {
        sid::set(runner, &agent.paths, name)?;
        done.push(Action::MachineSid);
    }
    serve(agent, plan.service, plan.smb_conf.is_some(), done)
}

/// Gives a user another uid; the password stays.
fn renumber(runner: &dyn Runner, user: &DesiredUser) -> Result<()> {
    change::remove(runner, &user.name)?;
    change::add(runner, user)?;
    accounts::set_rid(runner, user)
}

/// Has smbd take over its configuration, and proves that it serves.
fn serve(agent: &Agent, service: Service, configured: bool, done: &mut Vec<Action>) -> Result<()> {
    let start = log_length(agent);
    run_jobs(agent, service, configured, done).and_then(|()| answers(agent)).map_err(|mut error| {
        error.message.push_str(&log_since(agent, start));
        with_hint(error, "`journalctl -u smbd` and /var/log/samba/log.smbd in the gateway say more")
    })
}

fn run_jobs(agent: &Agent, service: Service, configured: bool, done: &mut Vec<Action>) -> Result<()> {
    let mut run = |job| -> Result<()> {
        agent.services.run(&agent.instance.unit, job)?;
        done.push(Action::Service(job));
        Ok(())
    };
    match service {
        Service::Keep => Ok(()),
        Service::Start => {
            // a start that was under way may have read the old file
            let under_way = agent.services.state(&agent.instance.unit)? == "activating";
            run(Job::Start)?;
            if under_way && configured { run(Job::Reload) } else { Ok(()) }
        }
        Service::Reload => run(Job::Reload),
        Service::Restart => run(Job::Restart),
    }
}

/// Waits for smbd's answer.
fn answers(agent: &Agent) -> Result<()> {
    let mut last = None;
    let answered = wait_until("smbd to answer", ANSWERS, &Interrupt::new(), || {
        negotiate::negotiate(agent.instance.listen.local(), TRY).map_err(|error| last = Some(error)).ok()
    });
    answered.map(drop).map_err(|error| {
        let last = last.map(|error| format!("; the last try: {error}")).unwrap_or_default();
        samba(format!("{error}{last}"))
    })
}

/// Puts everything back that `done` names, and gives the error with what came of it.
fn put_back(
    agent: &Agent,
    (plan, before): (&Plan, &[Wanted]),
    done: &[Action],
    mut error: ApiError,
) -> ApiError {
    let runner = agent.runner.as_ref();
    let mut failed = Vec::new();
    let mut note = |result: Result<()>| failed.extend(result.err().map(|error| error.message));
    let configured = done.iter().any(|action| matches!(action, Action::Configured));
    for action in done.iter().rev() {
        match action {
            Action::Configured => {
                let (now, old) = (agent.paths.smb_conf(), agent.paths.smb_conf_old());
                let back = if old.exists() { files::rename(&old, &now) } else { files::remove(&now) };
                note(back.doing(|| "putting the old smb.conf back".to_owned()));
            }
            Action::Storage(what) => note(storage::put_back(agent, what)),
            Action::Bin(what) => note(prepare::put_back(&agent.paths, what)),
            Action::Added(user) => note(change::remove(runner, &user.name)),
            Action::Renumbered(user, old) => note(
                change::remove(runner, &user.name)
                    .and_then(|()| change::add(runner, &DesiredUser { name: user.name.clone(), uid: *old })),
            ),
            // of no harm to the old state, or not yet when anything is put back
            Action::Removed(_)
            | Action::Grouped(_)
            | Action::RemovedGroup(_)
            | Action::Ended(_)
            | Action::Service(_)
            | Action::Closed(_)
            | Action::MachineSid
            | Action::Recorded => {}
        }
    }
    // after the users: one who is made anew is in no group
    let grouped = |action: &Action| matches!(action, Action::Grouped(_) | Action::Renumbered(..));
    if done.iter().any(grouped) {
        note(groups::restore(runner, &agent.paths, before));
    }
    note(files::remove(&agent.paths.smb_conf_new()).doing(|| "removing the refused smb.conf".to_owned()));
    if configured {
        // what did not come up by a reload needs a restart to be sure of
        let service = if plan.service == Service::Reload { Service::Reload } else { Service::Restart };
        let mut ignored = Vec::new();
        note(
            serve(agent, service, true, &mut ignored)
                .or_else(|_| serve(agent, Service::Restart, true, &mut ignored)),
        );
    }
    let outcome = if failed.is_empty() {
        "; the old state was put back".to_owned()
    } else {
        format!("; putting the old state back failed, too: {}", failed.join("; "))
    };
    error.message.push_str(&outcome);
    error
}

/// Length of smbd's log now.
fn log_length(agent: &Agent) -> u64 {
    std::fs::metadata(agent.paths.smbd_log()).map_or(0, |meta| meta.len())
}

/// What smbd's log says since `start`, for an error: its last lines, without their headers (`[date, level] place`).
fn log_since(agent: &Agent, start: u64) -> String {
    let Ok(Some(text)) = files::read_optional(&agent.paths.smbd_log()) else { return String::new() };
    // shorter than before: smbd began a new file
    let new = usize::try_from(start).ok().and_then(|start| text.get(start..)).unwrap_or(&text);
    let lines: Vec<&str> =
        new.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('[')).collect();
    let last = &lines[lines.len().saturating_sub(5)..];
    if last.is_empty() { String::new() } else { format!("; smbd's log: {}", last.join(" | ")) }
}
