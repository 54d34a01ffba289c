//! `GET` and `PUT /v1/quota`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use smbgw_api::v1::{Applied, ShareSize, Usage};

use super::{Answer, body};
use crate::agent::Agent;
use crate::quota;

/// Sizes of shares with a quota, as clients see them.
pub(super) async fn show(State(agent): State<Arc<Agent>>) -> Answer<Vec<ShareSize>> {
    Ok(Json(agent.read(quota::show).await?))
}

/// Takes the host's word for what shares hold.
pub(super) async fn note(State(agent): State<Arc<Agent>>, request: Body) -> Answer<Applied> {
    let usage: Usage = body::json(request).await?;
    Ok(Json(agent.change(move |agent| quota::note(agent, &usage)).await?))
}
