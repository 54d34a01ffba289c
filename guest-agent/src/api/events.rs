//! `GET /v1/events`: server-sent events.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::State;
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use smbgw_api::v1::Event;
use tokio::sync::mpsc::Receiver;
use zbus::export::futures_core::Stream;

use super::Refusal;
use crate::agent::Agent;
use crate::events;

/// Tells what happens until the listener goes.
pub(super) async fn listen(State(agent): State<Arc<Agent>>) -> Result<Response, Refusal> {
    Ok(Sse::new(Lines(events::listen(&agent)?)).keep_alive(KeepAlive::default()).into_response())
}

struct Lines(Receiver<Event>);

impl Stream for Lines {
    type Item = Result<sse::Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // an event of ours is always JSON
        self.0
            .poll_recv(context)
            .map(|event| event.map(|event| Ok(sse::Event::default().json_data(&event).unwrap_or_default())))
    }
}
