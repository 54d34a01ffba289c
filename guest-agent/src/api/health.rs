//! `GET /v1/health`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use smbgw_api::v1::Health;

use super::Answer;
use crate::agent::Agent;
use crate::health;

/// How the gateway is.
pub(super) async fn show(State(agent): State<Arc<Agent>>) -> Answer<Health> {
    Ok(Json(agent.read(|agent| Ok(health::check(agent))).await?))
}
