//! One request to the agent on this machine: how a host talks to it that has a command channel but no socket.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::body::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use smbgw_api::v1::MAX_BODY;
use tokio::net::UnixStream;

/// Sends the request and gives the status and the answer, as JSON in ASCII.
pub(crate) fn call(
    socket: &Path,
    method: Method,
    path: &str,
    body: Vec<u8>,
    deadline: Duration,
) -> anyhow::Result<(StatusCode, String)> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(async {
        match tokio::time::timeout(deadline, exchange(socket, method, path, body)).await {
            Ok(result) => result,
            Err(_) => bail!("the agent did not answer within {} s", deadline.as_secs()),
        }
    })
}

/// As [`call`], on a runtime that is there.
pub(crate) async fn exchange(
    socket: &Path,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> anyhow::Result<(StatusCode, String)> {
    let stream = UnixStream::connect(socket)
        .await
        .with_context(|| format!("connecting to {} (does smbgw-agent.service run?)", socket.display()))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "agent")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .context("the request")?;
    let answer = sender.send_request(request).await.context("talking to the agent")?;
    let status = answer.status();
    let body = match Limited::new(answer.into_body(), MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => bail!("the answer cannot be read: {error}"),
    };
    let text = std::str::from_utf8(&body).context("the answer is not UTF-8")?;
    Ok((status, ascii(text)))
}

/// JSON with every character outside ASCII escaped (RFC 8259 section 7): there can be some in strings only.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ascii_means_the_same(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let escaped = ascii(&json);
            prop_assert!(escaped.is_ascii());
            prop_assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
        }
    }
}
