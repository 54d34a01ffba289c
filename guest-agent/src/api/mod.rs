//! The resources of version 1 (`smbgw_api::v1`): one file each.

mod body;
mod disk;
mod domain;
mod events;
mod gateway;
mod health;
mod metrics;
mod probe;
mod quota;
mod sessions;
mod users;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use smbgw_api::v1::{ApiError, ErrorKind};

use crate::agent::Agent;
use crate::error::{internal, invalid, not_found};

/// For a request that only looks.
const LOOK: Duration = Duration::from_secs(20);
/// For a request that changes something: longer than all deadlines inside it in any ordinary course, the longest of which is the
/// boot of an emulated machine. Who asks has a shorter one of its own.
const CHANGE: Duration = Duration::from_secs(295);

/// What a handler gives: JSON, or an [`ApiError`] as JSON.
pub(crate) type Answer<T> = Result<axum::Json<T>, Refusal>;

/// The router.
pub(crate) fn router(agent: Arc<Agent>) -> Router {
    Router::new()
        .route("/v1/health", get(health::show))
        .route("/v1/gateway", get(gateway::show).put(gateway::apply))
        .route("/v1/users", get(users::list))
        .route("/v1/users/{name}/password", put(users::set_password))
        .route("/v1/probe", post(probe::write).delete(probe::remove))
        .route("/v1/quota", get(quota::show).put(quota::note))
        .route("/v1/disk/grow", post(disk::grow))
        .route("/v1/domain", get(domain::show))
        .route("/v1/domain/access", get(domain::access))
        .route("/v1/domain/test", post(domain::test))
        .route("/v1/domain/join", post(domain::join))
        .route("/v1/domain/leave", post(domain::leave))
        .route("/v1/domain/diagnose", post(domain::diagnose))
        .route("/v1/domain/secrets", get(domain::secrets))
        .route("/v1/sessions", get(sessions::list))
        .route("/v1/sessions/{id}", delete(sessions::end))
        .route("/v1/events", get(events::listen))
        .route("/v1/metrics", get(metrics::show))
        .route("/metrics", get(metrics::text))
        .fallback(|request: Request| async move {
            Refusal(not_found(format!("there is no {}", short(request.uri().path()))))
        })
        .method_not_allowed_fallback(|request: Request| async move {
            let error = invalid(format!("{} is not for {}", request.method(), short(request.uri().path())));
            (StatusCode::METHOD_NOT_ALLOWED, axum::Json(error))
        })
        .layer(from_fn(deadline))
        .with_state(agent)
}

/// An [`ApiError`] on its way out.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) ApiError);

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self.0.kind {
            ErrorKind::Invalid => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Storage => StatusCode::CONFLICT,
            ErrorKind::Domain => StatusCode::FAILED_DEPENDENCY,
            ErrorKind::Samba => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::Internal | ErrorKind::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, axum::Json(self.0)).into_response()
    }
}

/// Ends every request in time, and logs those that do something or fail.
async fn deadline(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), short(request.uri().path()));
    let limit = if method == Method::GET { LOOK } else { CHANGE };
    let start = tokio::time::Instant::now();
    let response = tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        Refusal(internal(format!("{method} {path} did not end within {} s", limit.as_secs()))).into_response()
    });
    let (status, took_ms) = (response.status().as_u16(), start.elapsed().as_millis() as u64);
    if method != Method::GET || status >= 400 {
        tracing::info!(%method, %path, status, took_ms, "request");
    }
    response
}

/// A path fit for a log line.
fn short(path: &str) -> String {
    path.chars().take(200).collect()
}

#[cfg(test)]
mod tests;
