//! What is served: to the node's own root over a unix socket, and, when asked, to programs that show a token over loopback TCP.
//!
//! * [`answers`]: what the answers are
//! * [`mod@metrics`]: what Prometheus asks for
//! * [`openapi`]: the document that describes the rest
//! * [`token`]: who may ask over TCP

pub mod answers;
pub mod metrics;
pub mod openapi;
pub mod token;

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use smbgw_api::GatewayName;
use smbgw_api::v1::{Session, ShareSize};
use smbgw_exposition::{Clients, Format};

use self::answers::{AlertList, EventList, Figures, GatewayOverview, Overviews, Problem, Problems};
use self::token::Token;
use super::history::{self, History};
use super::live::{Board, Live};
use super::store::Reader;
use crate::operation::{Context, Secrets};
use crate::{Error, world};

/// What the answers are made of.
pub struct Served {
    /// What is known now.
    pub board: Arc<Board>,
    /// The history.
    pub database: PathBuf,
    /// Whether `/metrics` has clients.
    pub clients: Clients,
    /// For what is asked of a gateway at once.
    pub context: Option<Context>,
}

type Shared = State<Arc<Served>>;
type Answer<T> = std::result::Result<Json<T>, Refusal>;

/// The routes. With a token, only who shows it is answered.
pub fn router(served: Arc<Served>, token: Option<Token>) -> Router {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/api/v1/openapi.json", get(document))
        .route("/api/v1/alerts", get(alerts))
        .route("/api/v1/events", get(events))
        .route("/api/v1/gateways", get(list))
        .route("/api/v1/gateways/{name}", get(overview))
        .route("/api/v1/gateways/{name}/status", get(overview))
        .route("/api/v1/gateways/{name}/metrics", get(figures))
        .route("/api/v1/gateways/{name}/history", get(history_of))
        .route("/api/v1/gateways/{name}/sessions", get(sessions))
        .route("/api/v1/gateways/{name}/quota", get(quota))
        .route("/api/v1/gateways/{name}/events", get(events_of))
        .fallback(|| async {
            Refusal(
                Error::resource("no-such-path", "there is nothing at this path")
                    .hint("/api/v1/openapi.json has all there is"),
            )
        })
        .with_state(served);
    match token {
        Some(token) => router.layer(from_fn_with_state(Arc::new(token), token::check)),
        None => router,
    }
}

/// An error on its way out.
pub struct Refusal(pub Error);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self.0.code {
            "no-such-gateway" | "no-such-path" => StatusCode::NOT_FOUND,
            "no-token" => StatusCode::UNAUTHORIZED,
            code if code.starts_with("agent-") => StatusCode::GATEWAY_TIMEOUT,
            _ if self.0.category == crate::Category::Usage => StatusCode::BAD_REQUEST,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, Json(Problem { error: Problems::from(&self.0) })).into_response()
    }
}

async fn metrics(State(served): Shared, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = Format::negotiate(accept);
    let text = metrics::exposition(&served.board, served.clients).render(format);
    ([(header::CONTENT_TYPE, format.content_type())], text).into_response()
}

async fn document() -> Json<serde_json::Value> {
    Json(openapi::document())
}

async fn alerts(State(served): Shared) -> Json<AlertList> {
    Json(AlertList { alerts: served.board.lock().alerts.clone() })
}

async fn list(State(served): Shared) -> Json<Overviews> {
    let board = served.board.lock();
    let gateways =
        board.gateways.iter().map(|(name, live)| GatewayOverview::of(name, live, &board.alerts)).collect();
    Json(Overviews { gateways })
}

/// Does something with a gateway that is known.
fn with<T>(served: &Served, name: &str, work: impl FnOnce(&Live) -> T) -> std::result::Result<T, Refusal> {
    let board = served.board.lock();
    board.gateways.get(name).map(work).ok_or_else(|| {
        Refusal(
            Error::resource("no-such-gateway", "there is no such gateway on this node")
                .hint("/api/v1/gateways lists those there are; a new one is seen within the interval"),
        )
    })
}

async fn overview(State(served): Shared, Path(name): Path<String>) -> Answer<GatewayOverview> {
    let alerts = served.board.lock().alerts.clone();
    Ok(Json(with(&served, &name, |live| GatewayOverview::of(&name, live, &alerts))?))
}

async fn figures(State(served): Shared, Path(name): Path<String>) -> Answer<Figures> {
    Ok(Json(with(&served, &name, Figures::of)?))
}

async fn quota(State(served): Shared, Path(name): Path<String>) -> Answer<Vec<ShareSize>> {
    Ok(Json(with(&served, &name, |live| {
        live.metrics().map(|metrics| metrics.quotas.clone()).unwrap_or_default()
    })?))
}

/// What of a history is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Span {
    /// Seconds back from now.
    #[serde(default = "day")]
    span_s: i64,
    /// Seconds of a point.
    #[serde(default = "five_minutes")]
    step_s: i64,
}

fn day() -> i64 {
    86_400
}

fn five_minutes() -> i64 {
    300
}

async fn history_of(
    State(served): Shared,
    Path(name): Path<String>,
    query: std::result::Result<Query<Span>, axum::extract::rejection::QueryRejection>,
) -> Answer<History> {
    let Query(Span { span_s, step_s }) = query.map_err(bad_query)?;
    let range = history::range(span_s, step_s, world::now().as_second())?;
    let database = served.database.clone();
    read(move || history::read(&reader(&database)?, &name, range)).await
}

/// Which events are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    /// How many at most: 1 to 1000.
    #[serde(default = "hundred")]
    limit: usize,
}

fn hundred() -> usize {
    100
}

type LimitQuery = std::result::Result<Query<Limit>, axum::extract::rejection::QueryRejection>;

async fn events(State(served): Shared, query: LimitQuery) -> Answer<EventList> {
    event_list(&served, None, query).await
}

async fn events_of(State(served): Shared, Path(name): Path<String>, query: LimitQuery) -> Answer<EventList> {
    event_list(&served, Some(name), query).await
}

async fn event_list(served: &Served, gateway: Option<String>, query: LimitQuery) -> Answer<EventList> {
    let limit = query.map_err(bad_query)?.limit.clamp(1, 1000);
    let database = served.database.clone();
    read(move || Ok(EventList { events: reader(&database)?.events(gateway.as_deref(), limit)? })).await
}

async fn sessions(State(served): Shared, Path(name): Path<String>) -> Answer<Vec<Session>> {
    with(&served, &name, |_| ())?;
    let context = served.context.clone();
    read(move || {
        let context = context.ok_or_else(|| Error::internal("no gateway can be asked"))?;
        context.world(Secrets::new()).agent(&GatewayName::parse(&name)?)?.sessions()
    })
    .await
}

fn bad_query(rejection: axum::extract::rejection::QueryRejection) -> Refusal {
    Refusal(Error::usage("bad-query", rejection.body_text()).hint("/api/v1/openapi.json has all parameters"))
}

fn reader(database: &std::path::Path) -> crate::Result<Reader> {
    Reader::open(database)?.ok_or_else(|| {
        Error::resource("no-history", "there is no history yet").hint("it begins with the second look")
    })
}

/// Runs what blocks beside the runtime.
async fn read<T: Send + 'static>(work: impl FnOnce() -> crate::Result<T> + Send + 'static) -> Answer<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(Json(result?)),
        Err(error) => Err(Refusal(Error::internal("reading did not end").source(error))),
    }
}

#[cfg(test)]
mod tests;
