//! `POST` and `DELETE /v1/probe`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use smbgw_api::v1::{ProbeRequest, ProbeResult};

use super::{Answer, body};
use crate::agent::Agent;
use crate::probe;

/// Writes the probe file.
pub(super) async fn write(State(agent): State<Arc<Agent>>, request: Body) -> Answer<ProbeResult> {
    let request: ProbeRequest = body::json(request).await?;
    Ok(Json(agent.change(move |agent| probe::write(agent, &request)).await?))
}

/// Removes it.
pub(super) async fn remove(State(agent): State<Arc<Agent>>, request: Body) -> Answer<ProbeResult> {
    let request: ProbeRequest = body::json(request).await?;
    Ok(Json(agent.change(move |agent| probe::remove(agent, &request)).await?))
}
