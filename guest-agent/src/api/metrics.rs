//! `GET /v1/metrics`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use smbgw_api::v1::Metrics;

use super::Answer;
use crate::agent::Agent;
use crate::metrics;

/// Figures.
pub(super) async fn show(State(agent): State<Arc<Agent>>) -> Answer<Metrics> {
    Ok(Json(agent.read(metrics::collect).await?))
}
