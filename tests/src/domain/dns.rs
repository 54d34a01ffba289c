//! Questions to a name server, and one that knows nothing. Source: RFC 1035, section 4; RFC 2782.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// An IPv4 address.
pub const A: u16 = 1;
/// A service.
pub const SRV: u16 = 33;
const HEADER: usize = 12;
/// "There is no such name."
const NXDOMAIN: u8 = 3;

/// What a name server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Records {
    /// Response code; 3 when there is no such name.
    pub code: u8,
    /// How many records.
    pub records: usize,
}

impl Records {
    /// Whether the server says that there is no such name.
    pub fn unknown(&self) -> bool {
        self.code == NXDOMAIN
    }
}

/// Asks a name server.
///
/// # Errors
/// When it does not answer within two seconds.
pub fn ask(server: Ipv4Addr, name: &str, kind: u16) -> Result<Records> {
    let mut question = vec![0x5a, 0x5a, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        question.push(u8::try_from(label.len())?);
        question.extend(label.as_bytes());
    }
    question.push(0);
    question.extend(kind.to_be_bytes());
    question.extend(1_u16.to_be_bytes());
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect((server, 53))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    socket.send(&question)?;
    let mut answer = [0; 4096];
    let length = socket.recv(&mut answer).with_context(|| format!("asking {server} for {name}"))?;
    ensure!(length >= HEADER && answer[..2] == question[..2], "no answer of {server} for {name}");
    Ok(Records { code: answer[3] & 15, records: usize::from(u16::from_be_bytes([answer[6], answer[7]])) })
}

/// A name server that answers every question with "there is no such name".
#[derive(Debug)]
pub(super) struct WrongServer {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl WrongServer {
    /// Starts one in the network namespace of a process.
    pub(super) fn start(process: u32, port: u16) -> Result<Self> {
        let end = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&end);
        let (tell, told) = std::sync::mpsc::channel();
        // a namespace is a thread's, and the socket stays in the one where it was made
        let thread = std::thread::spawn(move || match socket(process, port) {
            Ok(socket) => {
                let _ = tell.send(Ok(()));
                while !over.load(Ordering::Relaxed) {
                    let _ = answer(&socket);
                }
            }
            Err(error) => {
                let _ = tell.send(Err(error));
            }
        });
        let server = Self { end, thread: Some(thread) };
        match told.recv() {
            Ok(result) => result.map(|()| server),
            Err(_) => bail!("the wrong name server has ended"),
        }
    }
}

impl Drop for WrongServer {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn socket(process: u32, port: u16) -> Result<UdpSocket> {
    let namespace = std::fs::File::open(format!("/proc/{process}/ns/net"))?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    Ok(socket)
}

fn answer(socket: &UdpSocket) -> Result<()> {
    let mut packet = [0; 4096];
    let (length, from) = socket.recv_from(&mut packet)?;
    let question = packet[..length].iter().skip(HEADER).position(|byte| *byte == 0).context("no question")?;
    // name, its end, type and class; what an EDNS client adds is left out
    let end = (HEADER + question + 5).min(length);
    packet[2] = 0x84 | (packet[2] & 1);
    packet[3] = 0x80 | NXDOMAIN;
    packet[6..HEADER].fill(0);
    socket.send_to(&packet[..end], from)?;
    Ok(())
}
