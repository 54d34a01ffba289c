//! Tests of the router: every refusal is an [`ApiError`].

use std::future::IntoFuture;
use std::sync::Arc;

use smbgw_api::v1::{ApiError, ErrorKind, MAX_BODY};
use smbgw_command::Recorder;

use crate::agent::Agent;
use crate::paths::Paths;
use crate::services::fake::Fake;

async fn ask(method: &str, path: &str, body: impl Into<Vec<u8>>) -> (u16, String) {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("etc")).unwrap();
    std::fs::write(root.path().join("etc/passwd"), "alice:x:10000:10000:smbgw:/:/x\n").unwrap();
    std::fs::write(root.path().join("etc/group"), "").unwrap();
    let runner = Recorder::new().answer("pdbedit -L", "alice:10000:smbgw\n");
    let services = Box::new(Arc::new(Fake::new("active")));
    let agent =
        Agent::new(Paths::below(root.path()), Box::new(runner), services, crate::instance::Instance::at(1));
    let socket = root.path().join("agent.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let server = tokio::spawn(axum::serve(listener, super::router(Arc::new(agent))).into_future());
    let answer = crate::call::exchange(&socket, method.parse().unwrap(), path, body.into()).await;
    server.abort();
    let (status, text) = answer.unwrap();
    (status.as_u16(), text)
}

async fn refusal(method: &str, path: &str, body: &str) -> (u16, ErrorKind) {
    let (status, text) = ask(method, path, body).await;
    let error: ApiError = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{method} {path}: {text}"));
    (status, error.kind)
}

#[tokio::test]
async fn every_refusal_is_an_api_error() {
    for (method, path, body, expected) in [
        ("GET", "/", "", (404, ErrorKind::NotFound)),
        ("GET", "/v2/health", "", (404, ErrorKind::NotFound)),
        ("PATCH", "/v1/gateway", "", (405, ErrorKind::Invalid)),
        ("POST", "/v1/health", "", (405, ErrorKind::Invalid)),
        ("DELETE", "/v1/sessions/7", "", (404, ErrorKind::NotFound)),
        ("DELETE", "/v1/sessions/%ff", "", (400, ErrorKind::Invalid)),
        ("DELETE", "/v1/sessions", "", (405, ErrorKind::Invalid)),
        ("PUT", "/v1/gateway", "{", (400, ErrorKind::Invalid)),
        ("PUT", "/v1/gateway", "{\"colour\":1}", (400, ErrorKind::Invalid)),
        ("PUT", "/v1/users/root/password", "{\"password\":\"x\"}", (400, ErrorKind::Invalid)),
        ("PUT", "/v1/users/%2e%2e/password", "{\"password\":\"x\"}", (400, ErrorKind::Invalid)),
        ("PUT", "/v1/users/%ff/password", "{\"password\":\"x\"}", (400, ErrorKind::Invalid)),
        ("PUT", "/v1/users/bob/password", "{\"password\":\"x\"}", (404, ErrorKind::NotFound)),
        (
            "POST",
            "/v1/probe",
            "{\"share\":\"x\",\"uid\":0,\"file\":\".smbgw-probe-a\"}",
            (400, ErrorKind::Invalid),
        ),
        ("POST", "/v1/probe", "{\"share\":\"x\",\"uid\":1000,\"file\":\"data\"}", (400, ErrorKind::Invalid)),
        (
            "DELETE",
            "/v1/probe",
            "{\"share\":\"x\",\"uid\":1000,\"file\":\".smbgw-probe-a\"}",
            (409, ErrorKind::Storage),
        ),
    ] {
        assert_eq!(refusal(method, path, body).await, expected, "{method} {path}");
    }
}

#[tokio::test]
async fn bodies_are_bounded() {
    let (status, text) = ask("PUT", "/v1/gateway", vec![b' '; MAX_BODY + 1]).await;
    assert_eq!(status, 400);
    assert!(text.contains("4194304"), "{text}");
}

#[tokio::test]
async fn users_and_passwords() {
    let (status, text) = ask("GET", "/v1/users", "").await;
    assert_eq!((status, text.as_str()), (200, r#"[{"name":"alice","uid":10000,"has_password":true}]"#));
    assert_eq!(ask("PUT", "/v1/users/alice/password", r#"{"password":"x"}"#).await.0, 200);
}

#[tokio::test]
async fn health_is_an_answer_even_when_nothing_is_well() {
    let (status, text) = ask("GET", "/v1/health", "").await;
    assert_eq!(status, 200);
    assert!(text.contains("\"ready\":false") && text.contains("does not answer"), "{text}");
}

#[tokio::test]
async fn figures_as_json_and_as_text() {
    let (status, text) = ask("GET", "/v1/metrics", "").await;
    let metrics: smbgw_api::v1::Metrics = serde_json::from_str(&text).unwrap();
    assert_eq!((status, metrics.sessions, metrics.traffic, metrics.domain), (200, 0, None, None));
    assert_eq!(metrics.services[0].state, "active");
    let (status, text) = ask("GET", "/metrics?clients", "").await;
    assert!(status == 200 && text.contains("smbgw_sessions 0\n") && !text.contains("# EOF"), "{text}");
}

/// A stream that has no end of its own ends with the agent.
#[tokio::test]
async fn events_end_with_the_agent() {
    let root = tempfile::tempdir().unwrap();
    let services = Box::new(Arc::new(Fake::new("active")));
    let runner = Box::new(Recorder::new());
    let agent = Agent::new(Paths::below(root.path()), runner, services, crate::instance::Instance::at(1));
    let agent = Arc::new(agent);
    let mut heard = crate::events::listen(&agent).unwrap();
    agent.events.close();
    assert_eq!(heard.recv().await, None);
    assert!(crate::events::listen(&agent).is_err());
}
