//! How it stands with the domain, for those who ask often: the real question starts programs that may wait, so its answer is kept.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use smbgw_api::v1::DomainFigures;
use smbgw_api::v1::domain::Membership;

use super::{record, status};
use crate::agent::Agent;
use crate::error::Result;
use crate::state;

/// How old an answer may be.
const KEEPS: Duration = Duration::from_secs(60);

/// The last answer.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    last: Mutex<Option<(std::time::Instant, DomainFigures)>>,
    /// Held while somebody asks.
    asking: Arc<tokio::sync::Mutex<()>>,
}

/// What is known. When it is old, somebody goes and asks while this answer is given; the first time, it is waited for.
pub(crate) async fn current(agent: &Arc<Agent>) -> Result<Option<DomainFigures>> {
    let concerned = agent
        .read(|agent| {
            let wanted = state::load(&agent.paths)?.is_some_and(|desired| desired.domain.is_some());
            Ok(wanted || record::load(&agent.paths)?.is_some())
        })
        .await?;
    if !concerned {
        *agent.domain.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
        return Ok(None);
    }
    let last = agent.domain.get();
    if last.as_ref().is_none_or(|last| last.age_s >= KEEPS.as_secs())
        && let Ok(turn) = Arc::clone(&agent.domain.asking).try_lock_owned()
    {
        let asks = Arc::clone(agent);
        let ask = tokio::spawn(async move {
            let _turn = turn;
            asks.read(look).await
        });
        if last.is_none() {
            // its own error is that nothing is known
            let _ = ask.await;
            return Ok(agent.domain.get());
        }
    }
    Ok(last)
}

impl Looks {
    fn get(&self) -> Option<DomainFigures> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, figures) = last.as_ref()?;
        Some(DomainFigures { age_s: at.elapsed().as_secs(), ..figures.clone() })
    }
}

fn look(agent: &Agent) -> Result<()> {
    let state = status::state(agent)?;
    let figures = DomainFigures {
        joined: state.membership == Membership::Joined,
        online: state.online,
        faults: state.findings.iter().map(|finding| finding.fault.code().to_owned()).collect(),
        age_s: 0,
    };
    let mut last = agent.domain.last.lock().unwrap_or_else(PoisonError::into_inner);
    *last = Some((std::time::Instant::now(), figures));
    Ok(())
}
