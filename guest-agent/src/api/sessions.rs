//! `GET /v1/sessions`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use smbgw_api::v1::Session;

use super::Answer;
use crate::agent::Agent;
use crate::samba::status;

/// Who is there.
pub(super) async fn list(State(agent): State<Arc<Agent>>) -> Answer<Vec<Session>> {
    Ok(Json(agent.read(|agent| Ok(status::read(agent.runner.as_ref())?.sessions)).await?))
}
