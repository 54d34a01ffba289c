//! `GET /v1/metrics`, and `GET /metrics` in the words of Prometheus.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use smbgw_api::v1::Metrics;
use smbgw_exposition::{Clients, Exposition, Format, gateway};

use super::{Answer, Refusal};
use crate::agent::Agent;
use crate::metrics;

/// Figures.
pub(super) async fn show(State(agent): State<Arc<Agent>>) -> Answer<Metrics> {
    Ok(Json(metrics::current(&agent).await?.as_ref().clone()))
}

/// The same as text. Clients are in it when the query asks for them.
pub(super) async fn text(
    State(agent): State<Arc<Agent>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let format = Format::negotiate(headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or(""));
    let asked = uri.query().unwrap_or("").split('&').any(|part| part.split('=').next() == Some("clients"));
    let clients = if asked { Clients::Shown } else { Clients::Left };
    let mut out = Exposition::default();
    gateway(&mut out, metrics::current(&agent).await?.as_ref(), clients);
    Ok(([(CONTENT_TYPE, format.content_type())], out.render(format)).into_response())
}
