//! Figures of a gateway.

use smbgw_api::v1::{DesiredState, Metrics, ShareSpace};

use crate::agent::Agent;
use crate::error::Result;
use crate::samba::status;
use crate::{memory, state, storage, system};

/// Collects them.
pub(crate) fn collect(agent: &Agent) -> Result<Metrics> {
    let status = status::read(agent.runner.as_ref())?;
    let processes = memory::read(&agent.paths, &agent.instance);
    Ok(Metrics {
        uptime_s: system::uptime(&agent.paths),
        sessions: status.sessions.len() as u64,
        tree_connects: status.tree_connects,
        open_files: status.open_files,
        pss_bytes: processes.iter().map(|process| process.pss_bytes).sum(),
        processes,
        shares: match state::load(&agent.paths)? {
            Some(desired) => space(agent, &desired)?,
            None => Vec::new(),
        },
        ..Metrics::default()
    })
}

/// Room in each share; one whose storage is missing or does not answer is left out.
fn space(agent: &Agent, desired: &DesiredState) -> Result<Vec<ShareSpace>> {
    let space = |state: storage::check::State| {
        let (total_bytes, available_bytes) = state.space?;
        Some(ShareSpace { share: state.share.to_string(), total_bytes, available_bytes })
    };
    Ok(storage::check::shares(agent, desired)?.into_iter().filter_map(space).collect())
}
