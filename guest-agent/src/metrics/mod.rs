//! Figures of a gateway.
//!
//! * [`clients`]: its connections; [`cost`]: what the agent itself takes

mod clients;
mod cost;

use std::sync::Arc;
use std::time::{Duration, Instant};

use smbgw_api::v1::{DesiredState, Metrics, ServiceState, ShareSize, ShareSpace};

use crate::agent::Agent;
use crate::error::Result;
use crate::samba::status;
use crate::{domain, processes, quota, state, storage, system};

/// So long an answer is good for others, too.
const KEEPS: Duration = Duration::from_secs(1);

/// The last answer, held while the next one is made.
#[derive(Debug, Default)]
pub(crate) struct Last(tokio::sync::Mutex<Option<(Instant, Arc<Metrics>)>>);

/// Figures of now, or of a moment ago.
pub(crate) async fn current(agent: &Arc<Agent>) -> Result<Arc<Metrics>> {
    let mut last = agent.figures.0.lock().await;
    if let Some((at, metrics)) = last.as_ref()
        && at.elapsed() < KEEPS
    {
        return Ok(Arc::clone(metrics));
    }
    let domain = domain::figures::current(agent).await?;
    let metrics = agent.read(move |agent| Ok(Metrics { domain, ..collect(agent)? })).await?;
    let metrics = Arc::new(metrics);
    *last = Some((Instant::now(), Arc::clone(&metrics)));
    Ok(metrics)
}

/// Collects all but those of the domain.
fn collect(agent: &Agent) -> Result<Metrics> {
    let start = Instant::now();
    let status = status::read(agent.runner.as_ref())?;
    let asked = start.elapsed();
    let desired = state::load(&agent.paths)?;
    let names: Vec<String> =
        desired.iter().flat_map(|desired| &desired.shares).map(|share| share.name.to_string()).collect();
    let mut problems = Vec::new();
    // what else is known is told all the same
    let traffic = agent.books.update(agent, &status, &names).unwrap_or_else(|error| {
        problems.push(error.message);
        Default::default()
    });
    let (shares, quotas) = match &desired {
        Some(desired) => room(agent, desired, &mut problems),
        None => Default::default(),
    };
    problems.extend(agent.trouble().map(|trouble| format!("the state on record is not in force: {trouble}")));
    let services = services(agent, desired.as_ref()).unwrap_or_else(|error| {
        problems.push(error.message);
        Vec::new()
    });
    let processes = processes::read(&agent.paths, &agent.instance, &agent.sizes);
    Ok(Metrics {
        uptime_s: system::uptime(&agent.paths),
        sessions: status.sessions.len() as u64,
        open_files: status.open_files,
        pss_bytes: processes.iter().map(|process| process.pss_bytes).sum(),
        processes,
        shares,
        clients: clients::of(&status, &traffic),
        tree_connects: status.tree_connects,
        traffic: traffic.total,
        share_traffic: traffic.shares,
        failed_logons: agent.logons.count(&agent.paths),
        services,
        domain: None,
        quotas,
        problems,
        agent: cost::read(&agent.paths, start.elapsed(), asked),
    })
}

/// States of the gateway's units.
pub(crate) fn services(agent: &Agent, desired: Option<&DesiredState>) -> Result<Vec<ServiceState>> {
    let mut units = vec![("smbd", agent.instance.unit.as_str())];
    if desired.is_some_and(|desired| desired.domain.is_some()) {
        units.push(("winbind", agent.instance.winbind.as_str()));
    }
    let names: Vec<&str> = units.iter().map(|(_, unit)| *unit).collect();
    let states = agent.services.states(&names)?;
    let service = |((name, _), state): ((&str, &str), String)| ServiceState { name: name.to_owned(), state };
    Ok(units.into_iter().zip(states).map(service).collect())
}

/// Room in each share, and how clients see those with a quota. What is missing or does not answer is a problem and no figure.
fn room(
    agent: &Agent,
    desired: &DesiredState,
    problems: &mut Vec<String>,
) -> (Vec<ShareSpace>, Vec<ShareSize>) {
    let states = storage::check::shares(agent, desired).unwrap_or_else(|error| {
        problems.push(error.message);
        Vec::new()
    });
    let (mut spaces, mut quotas) = (Vec::new(), Vec::new());
    for found in states {
        problems.extend(found.problem);
        let Some((total_bytes, available_bytes)) = found.space else { continue };
        let share = desired.shares.iter().find(|share| share.name == found.share);
        match share.map(|share| quota::seen(&agent.paths, share, (total_bytes, available_bytes))) {
            Some(Ok(size)) => quotas.extend(size),
            Some(Err(error)) => problems.push(error.message),
            None => {}
        }
        spaces.push(ShareSpace { share: found.share.to_string(), total_bytes, available_bytes });
    }
    (spaces, quotas)
}

/// How clients see shares with a quota.
pub(crate) fn quotas(agent: &Agent, desired: &DesiredState) -> Vec<ShareSize> {
    room(agent, desired, &mut Vec::new()).1
}
