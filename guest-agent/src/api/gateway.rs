//! `GET` and `PUT /v1/gateway`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use smbgw_api::v1::{Applied, DesiredState, GatewayState};

use super::{Answer, body};
use crate::agent::Agent;
use crate::{apply, domain, samba, state, system};

/// What runs now.
pub(super) async fn show(State(agent): State<Arc<Agent>>) -> Answer<GatewayState> {
    let state = agent.read(|agent| {
        let desired = state::load(&agent.paths)?;
        Ok(GatewayState {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            samba_version: samba::version(agent)?,
            config_hash: desired.as_ref().map(DesiredState::hash),
            desired,
            addresses: match agent.instance.listen.address {
                Some(address) => vec![address.to_string()],
                None => system::addresses()?,
            },
            kernel: Some(system::kernel()),
        })
    });
    Ok(Json(state.await?))
}

/// Makes the desired state true.
pub(super) async fn apply(State(agent): State<Arc<Agent>>, request: Body) -> Answer<Applied> {
    let desired: DesiredState = body::json(request).await?;
    let work = move |agent: &Agent| {
        let applied = apply::run::apply(agent, &desired)?;
        domain::leave::unless_wanted(agent, &desired)?;
        domain::access::grant_folders(agent, &desired)?;
        Ok(applied)
    };
    Ok(Json(agent.change(work).await?))
}
