//! A mirror on loopback that does what it is told.

#![allow(clippy::disallowed_methods, reason = "a test: slow mirrors are made of pauses")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What one request gets.
pub(super) enum Give {
    /// The file.
    File(Vec<u8>),
    /// The file, so many bytes at a time, with so long between them.
    Slowly(Vec<u8>, usize, Duration),
    /// A status without a body.
    Status(u16),
    /// A web page, in place of anything.
    Page,
    /// A redirect.
    Redirect(String),
    /// These bytes, and then the end of the connection.
    Raw(Vec<u8>),
    /// These bytes, and then nothing.
    Stall(Vec<u8>),
    /// These bytes, and then a reset.
    Reset(Vec<u8>),
    /// Bytes without an end.
    Endless,
}

/// A mirror that runs until it is dropped.
pub(super) struct Mirror {
    /// Where it is: `http://127.0.0.1:PORT`.
    pub(super) address: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    ended: AtomicBool,
    connections: AtomicUsize,
    requests: Mutex<Vec<Request>>,
}

/// What was asked.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// The path, or the address if that was asked for; with `CONNECT` before it, what is to be connected to.
    pub(super) target: String,
    /// Headers, in lower case.
    pub(super) headers: HashMap<String, String>,
}

impl Mirror {
    /// Starts one. The function is given the target and how often it was asked for before.
    pub(super) fn start(give: impl Fn(&str, usize) -> Give + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (state, give) = (Arc::new(State::default()), Arc::new(give));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.ended.load(Ordering::SeqCst) {
                    return;
                }
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let (state, give) = (Arc::clone(&shared), Arc::clone(&give));
                // whoever goes away in the middle is no matter of ours
                std::thread::spawn(move || stream.ok().and_then(|stream| state.serve(stream, &*give).ok()));
            }
        });
        Self { address, state }
    }

    /// How many connections there were.
    pub(super) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// All requests so far.
    pub(super) fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    /// How often this was asked for.
    pub(super) fn asked(&self, target: &str) -> usize {
        self.requests().iter().filter(|request| request.target == target).count()
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        // wakes the listener
        let _ = TcpStream::connect(self.address.trim_start_matches("http://"));
    }
}

impl State {
    fn serve(&self, stream: TcpStream, give: &dyn Fn(&str, usize) -> Give) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut stream = stream;
        while let Some(request) = read(&mut reader)? {
            let before = {
                let mut requests = self.requests.lock().unwrap();
                let before = requests.iter().filter(|known| known.target == request.target).count();
                requests.push(request.clone());
                before
            };
            match give(&request.target, before) {
                Give::File(content) => {
                    stream.write_all(&[head(content.len()), content].concat())?;
                }
                Give::Slowly(content, step, pause) => {
                    stream.write_all(&head(content.len()))?;
                    for part in content.chunks(step) {
                        std::thread::sleep(pause);
                        stream.write_all(part)?;
                    }
                }
                Give::Status(status) => write!(stream, "HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n")?,
                Give::Page => {
                    let page = "<html>Please log in</html>";
                    let length = page.len();
                    write!(
                        stream,
                        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {length}\r\n\r\n{page}"
                    )?;
                }
                Give::Redirect(to) => {
                    write!(stream, "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")?;
                }
                Give::Raw(bytes) => return stream.write_all(&bytes),
                Give::Stall(bytes) => {
                    stream.write_all(&bytes)?;
                    while !self.ended.load(Ordering::SeqCst) {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                    return Ok(());
                }
                Give::Reset(bytes) => {
                    stream.write_all(&bytes)?;
                    // time to read them: a reset throws away what was not
                    std::thread::sleep(Duration::from_millis(50));
                    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
                    return Ok(());
                }
                Give::Endless => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
                    loop {
                        stream.write_all(&[0; 4096])?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The head of an answer with a file of this size.
pub(super) fn head(length: usize) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/vnd.debian.binary-package\r\nContent-Length: {length}\r\n\r\n")
        .into_bytes()
}

fn read(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
    let target = if method == "GET" { target.to_owned() } else { format!("{method} {target}") };
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    Ok(Some(Request { target, headers }))
}
