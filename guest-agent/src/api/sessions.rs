//! `GET /v1/sessions`, `DELETE /v1/sessions/{id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use smbgw_api::v1::{Applied, Session};

use super::{Answer, short};
use crate::agent::Agent;
use crate::error::{invalid, not_found};
use crate::samba::{control, status};

/// Who is there.
pub(super) async fn list(State(agent): State<Arc<Agent>>) -> Answer<Vec<Session>> {
    Ok(Json(agent.read(|agent| Ok(status::read(agent.runner.as_ref())?.sessions)).await?))
}

/// Ends the connection that a session is in.
pub(super) async fn end(
    State(agent): State<Arc<Agent>>,
    id: Result<Path<String>, PathRejection>,
) -> Answer<Applied> {
    let Path(id) = id.map_err(|error| invalid(error.to_string()))?;
    let work = move |agent: &Agent| {
        let runner = agent.runner.as_ref();
        let status = status::read(runner)?;
        let session = status.sessions.iter().find(|session| session.id == id);
        let (Some(session), Some(pid)) = (session, status.servers.get(&id)) else {
            return Err(not_found(format!("there is no session {}", short(&id))));
        };
        control::end_process(runner, *pid)?;
        let action = format!("ended the connection of {} at {}", session.user, session.client);
        Ok(Applied { changed: true, actions: vec![action] })
    };
    Ok(Json(agent.change(work).await?))
}
