//! One request to the agent on this machine: how a host talks to it that has a command channel but no socket.
//!
//! The exit code tells who spoke: 0 and 1 the agent (2xx, or an `ApiError`; both on stdout), 2 the command line was
//! wrong or the body could not be had, 3 nobody listens on the socket, 4 the agent gave no answer (in time, or at all).
//! With 2 to 4, stderr has one line and stdout nothing.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::body::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use smbgw_api::v1::MAX_BODY;
use tokio::net::UnixStream;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Silence {
    /// Nobody listens on the socket.
    Nobody(std::io::Error),
    /// Somebody does, but gave no answer, in words.
    NoAnswer(String),
}

impl Silence {
    /// Exit code of `call`.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Nobody(_) => 3,
            Self::NoAnswer(_) => 4,
        }
    }
}

impl std::fmt::Display for Silence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nobody(error) => {
                write!(f, "the agent cannot be reached: {error} (does smbgw-agent.service run?)")
            }
            Self::NoAnswer(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Silence {}

/// Sends the request and gives the status and the answer, as JSON in ASCII.
pub(crate) fn call(
    socket: &Path,
    method: Method,
    path: &str,
    body: Vec<u8>,
    deadline: Duration,
) -> anyhow::Result<Result<(StatusCode, String), Silence>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    Ok(runtime.block_on(async {
        let answer = tokio::time::timeout(deadline, exchange(socket, method, path, body));
        answer.await.unwrap_or_else(|_| {
            Err(Silence::NoAnswer(format!("the agent did not answer within {} s", deadline.as_secs())))
        })
    }))
}

/// As [`call`], on a runtime that is there.
pub(crate) async fn exchange(
    socket: &Path,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<(StatusCode, String), Silence> {
    let stream = UnixStream::connect(socket).await.map_err(Silence::Nobody)?;
    let answer = talk(stream, method, path, body).await;
    answer.map_err(|error| Silence::NoAnswer(format!("{error:#}")))
}

async fn talk(
    stream: UnixStream,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> anyhow::Result<(StatusCode, String)> {
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
    use smbgw_command::{Interrupt, wait_until};

    fn code(socket: &Path) -> u8 {
        let deadline = Duration::from_millis(200);
        call(socket, Method::GET, "/v1/health", Vec::new(), deadline).unwrap().unwrap_err().exit_code()
    }

    #[test]
    fn who_does_not_speak() {
        let root = tempfile::tempdir().unwrap();
        let socket = root.path().join("agent.sock");
        assert_eq!(code(&socket), 3, "no socket");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(code(&socket), 4, "nobody takes the connection");
        drop(listener);
        // a process that another test is just starting may hold it open for a moment
        let left = || (code(&socket) == 3).then_some(());
        wait_until("nobody to listen", Duration::from_secs(10), &Interrupt::new(), left).unwrap();
        std::fs::remove_file(&socket).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let thread = std::thread::spawn(move || drop(listener.accept()));
        assert_eq!(code(&socket), 4, "the connection ends without an answer");
        thread.join().unwrap();
    }

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
