//! The socket in a container's link directory. All in that directory belongs to the container, so it is opened
//! without following anything (openat2(2)), checked, and connected to through its descriptor.

use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;
use smbgw_api::v1::{MAX_BODY, SOCKET_NAME};

use super::{Link, Request, Response};
use crate::{Error, Result};

/// Most bytes of an answer's head.
const MAX_HEAD: usize = 16 << 10;

/// Link to the agent of a container.
#[derive(Debug, Clone)]
pub struct UnixLink {
    directory: PathBuf,
    owner: u32,
}

impl UnixLink {
    /// By link directory, and the host uid that the container's root has.
    pub fn new(directory: PathBuf, owner: u32) -> Self {
        Self { directory, owner }
    }

    /// Opens the socket file itself (`O_PATH`), after checking that it is one, and the container's.
    fn open_socket(&self) -> Result<OwnedFd> {
        let absent = |errno: Errno| {
            Error::infrastructure("agent-absent", "the agent's socket is not there")
                .hint("is the gateway running? `pve-smbgateway status` says so")
                .source(std::io::Error::from(errno))
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory =
            openat2(CWD, &self.directory, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS).map_err(absent)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let socket = openat2(&directory, SOCKET_NAME, flags, Mode::empty(), resolve).map_err(absent)?;
        let stat = fstat(&socket).map_err(absent)?;
        if !FileType::from_raw_mode(stat.st_mode).is_socket() || stat.st_uid != self.owner {
            return Err(Error::infrastructure(
                "agent-garbage",
                "what lies where the agent's socket should be is not a socket of this gateway",
            )
            .hint("somebody inside the gateway put it there; look into it, then restart the gateway"));
        }
        Ok(socket)
    }
}

impl Link for UnixLink {
    /// The node itself may be an emulated machine.
    fn slack(&self) -> u32 {
        let mut start = [0; 1024];
        let read = std::fs::File::open("/proc/cpuinfo").and_then(|mut file| file.read(&mut start));
        let start = &start[..read.unwrap_or(0)];
        if emulated(&String::from_utf8_lossy(start)) { 5 } else { 1 }
    }

    fn request(&self, request: &Request) -> Result<Response> {
        let socket = self.open_socket()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| Error::io("starting the I/O runtime", source))?;
        runtime.block_on(async {
            match tokio::time::timeout(request.deadline, exchange(&socket, request)).await {
                Ok(result) => result,
                Err(_) => Err(Error::infrastructure(
                    "agent-silent",
                    format!(
                        "the agent did not answer {} {} within {} s",
                        request.method,
                        request.path,
                        request.deadline.as_secs_f32()
                    ),
                )
                .hint("the gateway may be overloaded or its agent hung; `pve-smbgateway stop` and `start` restart it")),
            }
        })
    }
}

/// Whether the first processor that /proc/cpuinfo tells of is emulated: QEMU names its own so.
fn emulated(cpuinfo: &str) -> bool {
    let name = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.is_some_and(|(_, name)| name.starts_with("QEMU TCG"))
}

async fn exchange(socket: &OwnedFd, request: &Request) -> Result<Response> {
    let absent = |source: std::io::Error| {
        Error::infrastructure("agent-absent", "nobody listens on the agent's socket")
            .hint("the gateway may still be starting, or its agent has ended: see `pve-smbgateway status`")
            .source(source)
    };
    let garbage = |source: hyper::Error| {
        Error::infrastructure("agent-garbage", "the agent's answer is not HTTP")
            .hint("the gateway is damaged or was tampered with; create it anew, its data stays")
            .source(source)
    };
    // the name goes through our own descriptor: nothing inside the gateway can turn it elsewhere
    let stream = tokio::net::UnixStream::connect(format!("/proc/self/fd/{}", socket.as_raw_fd()))
        .await
        .map_err(absent)?;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .max_headers(32)
        .handshake(hyper_util::rt::TokioIo::new(stream))
        .await
        .map_err(garbage)?;
    let exchange = async {
        let body = Full::new(Bytes::from(request.body.clone().unwrap_or_default()));
        let http = hyper::Request::builder()
            .method(request.method)
            .uri(&request.path)
            .header("host", "agent")
            .header("content-type", "application/json")
            .body(body)
            .map_err(|source| Error::internal("building a request").source(source))?;
        let response = sender.send_request(http).await.map_err(garbage)?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MAX_BODY).collect().await.map_err(|source| {
            if source.is::<LengthLimitError>() {
                Error::infrastructure(
                    "agent-too-much",
                    format!("the agent answered more than {MAX_BODY} bytes"),
                )
                .hint("the gateway is damaged or was tampered with; create it anew, its data stays")
            } else {
                Error::infrastructure("agent-garbage", format!("the agent broke off its answer: {source}"))
            }
        })?;
        Ok(Response { status, body: body.to_bytes().to_vec() })
    };
    tokio::pin!(exchange);
    tokio::select! {
        result = &mut exchange => result,
        // a connection that ends first makes the exchange fail; it says how
        _ = connection => exchange.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixListener;
    use std::time::Duration;

    #[test]
    fn an_emulated_node_is_known() {
        // seen in a machine of QEMU 7.2 without KVM, and on a real one
        let emulated_node =
            "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: QEMU TCG CPU version 2.5+\n";
        assert!(emulated(emulated_node));
        assert!(!emulated("processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Processor @ 2.70GHz\n"));
        assert!(!emulated(""));
    }

    fn request(path: &str) -> Request {
        Request { method: "GET", path: path.to_owned(), body: None, deadline: Duration::from_millis(1500) }
    }

    fn serve(
        answer: impl FnOnce(std::os::unix::net::UnixStream) + Send + 'static,
    ) -> (tempfile::TempDir, UnixLink) {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join(SOCKET_NAME)).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0u8; 1024];
            let _ = stream.read(&mut head);
            answer(stream);
        });
        let owner = rustix::process::getuid().as_raw();
        let link = UnixLink::new(dir.path().to_owned(), owner);
        (dir, link)
    }

    #[test]
    fn an_answer_is_an_answer() {
        let (_dir, link) = serve(|mut s| {
            s.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
        });
        let response = link.request(&request("/v1/health")).unwrap();
        assert_eq!((response.status, response.body.as_slice()), (200, &b"{}"[..]));
    }

    #[test]
    fn silence_has_a_deadline() {
        let (_dir, link) = serve(|s| {
            let mut s = s;
            let _ = s.read(&mut [0u8; 1]);
        });
        assert_eq!(link.request(&request("/v1/health")).unwrap_err().code, "agent-silent");
    }

    #[test]
    fn garbage_is_garbage() {
        let (_dir, link) = serve(|mut s| {
            let _ = s.write_all(&[0x5a; 100_000]);
        });
        assert_eq!(link.request(&request("/v1/health")).unwrap_err().code, "agent-garbage");
    }

    #[test]
    fn endless_answers_are_cut() {
        let (_dir, link) = serve(|mut s| {
            let _ = s.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n");
            let block = vec![b'x'; 1 << 20];
            while s.write_all(&block).is_ok() {}
        });
        assert_eq!(link.request(&request("/v1/health")).unwrap_err().code, "agent-too-much");
    }

    #[test]
    fn links_and_foreign_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let owner = rustix::process::getuid().as_raw();
        let other = tempfile::tempdir().unwrap();
        let _listener = UnixListener::bind(other.path().join("other.sock")).unwrap();
        std::os::unix::fs::symlink(other.path().join("other.sock"), dir.path().join(SOCKET_NAME)).unwrap();
        let link = UnixLink::new(dir.path().to_owned(), owner);
        assert_eq!(link.request(&request("/")).unwrap_err().code, "agent-garbage");
        std::fs::remove_file(dir.path().join(SOCKET_NAME)).unwrap();
        std::fs::write(dir.path().join(SOCKET_NAME), "").unwrap();
        assert_eq!(link.request(&request("/")).unwrap_err().code, "agent-garbage");
    }
}
