//! Figures of a gateway.

use smbgw_api::v1::{DesiredState, Metrics, ShareSpace};

use crate::agent::Agent;
use crate::error::Result;
use crate::samba::status;
use crate::{memory, state, system};

/// Collects them.
pub(crate) fn collect(agent: &Agent) -> Result<Metrics> {
    let status = status::read(agent.runner.as_ref())?;
    let processes = memory::read(&agent.paths);
    Ok(Metrics {
        uptime_s: system::uptime(&agent.paths),
        sessions: status.sessions.len() as u64,
        tree_connects: status.tree_connects,
        open_files: status.open_files,
        pss_bytes: processes.iter().map(|process| process.pss_bytes).sum(),
        processes,
        shares: state::load(&agent.paths)?.map(|desired| space(agent, &desired)).unwrap_or_default(),
    })
}

/// Room in each share, by statvfs(3); a share whose directory does not answer is left out.
fn space(agent: &Agent, desired: &DesiredState) -> Vec<ShareSpace> {
    let space = |share: &smbgw_api::v1::DesiredShare| {
        let stat = rustix::fs::statvfs(agent.paths.share(&share.name)).ok()?;
        Some(ShareSpace {
            share: share.name.to_string(),
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            available_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    };
    desired.shares.iter().filter_map(space).collect()
}
