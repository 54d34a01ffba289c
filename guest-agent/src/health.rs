//! Whether the gateway serves, and what is wrong if not.

use std::time::Duration;

use smbgw_api::v1::Health;

use crate::agent::Agent;
use crate::samba::negotiate;
use crate::{domain, state, storage, system};

/// How long smbd may take to answer.
const ANSWERS: Duration = Duration::from_secs(2);

/// Looks. Never fails: what cannot be found out is a problem of its own.
pub(crate) fn check(agent: &Agent) -> Health {
    let mut problems = Vec::new();
    let smbd = agent.services.state(&agent.instance.unit).unwrap_or_else(|error| {
        problems.push(error.message);
        "unknown".to_owned()
    });
    let mut ready = match negotiate::negotiate(agent.instance.listen.local(), ANSWERS) {
        // on a node, another Samba may answer at the same address
        Ok(_) => !agent.instance.shared || smbd == "active",
        Err(error) => {
            problems.push(format!("smbd ({smbd}) does not answer: {error}"));
            false
        }
    };
    match state::load(&agent.paths) {
        Err(error) => problems.push(error.message),
        Ok(None) => problems.push("no configuration was applied yet".to_owned()),
        Ok(Some(desired)) => {
            // with something to serve, but nothing of it there, it is of no use to anybody
            match storage::check::shares(agent, &desired) {
                Ok(shares) => {
                    ready &= shares.is_empty() || shares.iter().any(|share| share.works);
                    problems.extend(shares.into_iter().filter_map(|share| share.problem));
                }
                Err(error) => problems.push(error.message),
            }
        }
    }
    match domain::status::state(agent) {
        Ok(domain) => problems.extend(domain.findings.into_iter().map(|finding| finding.message)),
        Err(error) => problems.push(error.message),
    }
    problems.extend(agent.trouble().map(|trouble| format!("the state on record is not in force: {trouble}")));
    Health { ready, smbd, problems, uptime_s: system::uptime(&agent.paths) }
}
