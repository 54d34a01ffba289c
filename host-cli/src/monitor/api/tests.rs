use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::Value;
use smbgw_api::v1::Metrics;

use super::*;
use crate::monitor::sample::{Look, Sample};
use crate::monitor::settings::History as Keep;
use crate::monitor::store::Store;

fn served(directory: &std::path::Path) -> Arc<Served> {
    let board = Arc::new(Board::default());
    let now = Instant::now();
    let live = |look| Live::new("lxc", look, Duration::from_millis(60), 1000, now);
    let mut gateways = board.lock();
    gateways
        .gateways
        .insert("files".into(), live(Look::Answer(Box::new(Metrics { sessions: 3, ..Metrics::default() }))));
    gateways.gateways.insert("off".into(), live(Look::Off));
    let silent = Look::Silent { code: "agent-silent".into(), message: "no answer".into() };
    gateways.gateways.insert("hung".into(), live(silent));
    drop(gateways);
    let database = directory.join("figures.db");
    let (mut store, _) = Store::open(&database, &Keep::default()).unwrap();
    let at = world::now().as_second();
    store.write(&[("files".into(), Sample { at, up: true, sessions: 3, ..Sample::default() })]).unwrap();
    store.note(at, Some("files"), "alert-raised", "something").unwrap();
    Arc::new(Served { board, database, clients: Clients::Left, context: None })
}

async fn ask(router: &Router, path: &str, headers: &[(header::HeaderName, &str)]) -> (StatusCode, String) {
    use tower_service::Service as _;
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let response = router.clone().call(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn each_documented_path_answers() {
    let root = tempfile::tempdir().unwrap();
    let router = router(served(root.path()), None);
    for path in openapi::paths().filter(|path| !path.ends_with("sessions")) {
        let (status, body) = ask(&router, &path.replace("{name}", "files"), &[]).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        if path != "/metrics" {
            serde_json::from_str::<Value>(&body).unwrap();
        }
    }
    let (_, body) = ask(&router, "/api/v1/gateways", &[]).await;
    let list: Value = serde_json::from_str(&body).unwrap();
    let states: Vec<&str> =
        list["gateways"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["up", "silent", "off"]);
    let (_, body) = ask(&router, "/api/v1/gateways/files/history?span_s=600&step_s=60", &[]).await;
    let history: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(history["points"][0]["sessions"], 3, "{history}");
}

#[tokio::test]
async fn what_is_asked_wrong_is_said() {
    let root = tempfile::tempdir().unwrap();
    let router = router(served(root.path()), None);
    for (path, status, code) in [
        ("/api/v1/gateways/none/metrics", StatusCode::NOT_FOUND, "no-such-gateway"),
        ("/api/v2", StatusCode::NOT_FOUND, "no-such-path"),
        ("/api/v1/gateways/files/history?span_s=0", StatusCode::BAD_REQUEST, "history-range"),
        ("/api/v1/gateways/files/history?sapn_s=5", StatusCode::BAD_REQUEST, "bad-query"),
        ("/api/v1/events?limit=x", StatusCode::BAD_REQUEST, "bad-query"),
    ] {
        let (got, body) = ask(&router, path, &[]).await;
        let error: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((got, error["error"]["code"].as_str()), (status, Some(code)), "{path}");
        assert!(error["error"]["hint"].is_string());
    }
}

#[tokio::test]
async fn over_tcp_a_token_is_asked_for() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("token");
    std::fs::write(&file, "0123456789abcdef\n").unwrap();
    let token = Token::read_or_make(&file).unwrap();
    let router = router(served(root.path()), Some(token));
    assert_eq!(ask(&router, "/metrics", &[]).await.0, StatusCode::UNAUTHORIZED);
    let header = [(header::AUTHORIZATION, "Bearer 0123456789abcdee")];
    assert_eq!(ask(&router, "/api/v1/gateways", &header).await.0, StatusCode::UNAUTHORIZED);
    let header = [(header::AUTHORIZATION, "Bearer 0123456789abcdef")];
    let (status, text) = ask(&router, "/metrics", &header).await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("smbgw_up{gateway=\"hung\",mode=\"lxc\"} 0\n"), "{text}");
    assert!(!text.contains("gateway=\"off\""), "{text}");
}

#[test]
fn the_document() {
    insta::assert_json_snapshot!(openapi::document());
}
