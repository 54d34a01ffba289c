//! `POST /v1/disk/grow`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use smbgw_api::v1::DiskState;

use super::Answer;
use crate::agent::Agent;
use crate::storage;

/// Makes the file system as large as the disk.
pub(super) async fn grow(State(agent): State<Arc<Agent>>) -> Answer<DiskState> {
    Ok(Json(agent.change(storage::grow::grow).await?))
}
