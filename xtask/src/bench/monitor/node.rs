//! The gateways that are looked at: those that answer, and three that do not.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use smbgw_command::{Interrupt, wait_until};
use smbgw_lab::{Answer, Daemon, Session, memory, product};

use super::{DEADLINE, GARBAGE, HUNG, SESSIONS};
use crate::bench::gateway::{Bench, NAME};

/// Where the node keeps what this adds to.
const LINKS: &str = "/var/lib/pve-smbgateway/links";
const RECORDS: &str = "/var/lib/pve-smbgateway/gateways";

/// Gateways of this benchmark; all of them are removed when it is dropped.
pub(super) struct Node<'a> {
    bench: &'a Bench,
    made: Vec<String>,
    copies: Vec<String>,
    agents: Vec<Daemon>,
}

impl<'a> Node<'a> {
    /// Without any yet.
    pub(super) fn new(bench: &'a Bench) -> Self {
        Self { bench, made: Vec::new(), copies: Vec::new(), agents: Vec::new() }
    }

    /// A container, by the product.
    pub(super) fn create(&mut self, name: &str) -> Result<()> {
        let (data, password) = (self.bench.data.display().to_string(), self.bench.directory.join("password"));
        let password = password.display().to_string();
        let args = ["create", name, "--path", &data, "--user", NAME, "--password-file", &password, "--grant"];
        self.bench.host(&args)?;
        self.made.push(name.to_owned());
        Ok(())
    }

    /// All that are there.
    pub(super) fn names(&self) -> Vec<String> {
        [&self.made[..], &self.copies[..]].concat()
    }

    /// Sessions with it that stay open.
    pub(super) fn sessions(&self, name: &str) -> Result<Vec<Session>> {
        let address = self.bench.address_of(name)?;
        let mut sessions = (0..SESSIONS)
            .map(|_| Session::open(self.bench.client_at(&address, name)?))
            .collect::<Result<Vec<_>>>()?;
        for session in &mut sessions {
            session.read("first.txt", 1)?;
        }
        let found = || ask(name).ok().filter(|answer| answer["sessions"] == SESSIONS);
        wait_until("all sessions", DEADLINE, &Interrupt::new(), found)?;
        Ok(sessions)
    }

    /// A record as another one, with a name and an address of its own.
    pub(super) fn copy(&mut self, from: &str, name: &str) -> Result<()> {
        let mut copy: Value = serde_json::from_slice(&fs::read(record(from))?)?;
        let number = self.copies.len() + 100;
        copy["spec"]["name"] = json!(name);
        copy["guest"]["name"] = json!(name);
        let network = &mut copy["guest"]["network"];
        network["mac"] = json!(format!("02:00:00:00:00:{number:02x}"));
        network["address"]["static"]["ip"] = json!(format!("10.86.0.{number}"));
        self.copies.push(name.to_owned());
        fs::write(record(name), serde_json::to_vec_pretty(&copy)?)?;
        Ok(())
    }

    /// Another agent in the container of this one, as a gateway of its own.
    pub(super) fn add(&mut self, host: &str, name: &str) -> Result<()> {
        self.copy(host, name)?;
        fs::create_dir(link(name))?;
        let socket = format!("{name}.sock");
        // its books are its own; all else it only reads
        let script = format!(
            "mount -t tmpfs tmpfs /run/smbgw-sizes && exec /usr/lib/smbgw/smbgw-agent serve --socket /var/lib/smbgw/link/{socket}"
        );
        let mut command = Command::new("lxc-attach");
        command.args(["-P", product::GUESTS, "-n", &product::container(host), "--clear-env", "--"]).args([
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            &script,
        ]);
        let mut agent = Daemon::start(&mut command, &self.bench.directory.join(format!("{name}.log")))?;
        let made = link(host).join(socket);
        agent.wait_for("the agent's socket", DEADLINE, || made.exists().then_some(()))?;
        fs::rename(&made, link(name).join("agent.sock"))?;
        agent.wait_for("the agent's answer", DEADLINE, || ask(name).ok())?;
        self.agents.push(agent);
        Ok(())
    }

    /// A container whose agent takes connections, and no more.
    pub(super) fn hang(&mut self) -> Result<Stopped> {
        self.create(HUNG)?;
        for pid in memory::processes(HUNG)? {
            let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            if comm.trim() == "smbgw-agent"
                && let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw)
            {
                kill_process(pid, Signal::STOP)?;
                return Ok(Stopped(pid));
            }
        }
        anyhow::bail!("no agent in {HUNG}")
    }

    /// A container at whose socket something else answers.
    pub(super) fn talk_nonsense(&mut self) -> Result<Nonsense> {
        self.create(GARBAGE)?;
        let socket = link(GARBAGE).join("agent.sock");
        let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&socket)?);
        Answer::of(&product::attach(GARBAGE).args(["systemctl", "stop", "smbgw-agent"]))?.ok()?;
        Nonsense::start(socket, owner)
    }

    /// Removes all of it.
    pub(super) fn remove(&mut self) -> Result<()> {
        for name in self.copies.drain(..) {
            fs::remove_file(record(&name))?;
            match fs::remove_dir_all(link(&name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        for name in std::mem::take(&mut self.made) {
            // agents that were added end with their container
            self.bench.host(&["delete", &name])?;
        }
        self.agents.clear();
        Ok(())
    }
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        for name in self.copies.drain(..) {
            let _ = fs::remove_file(record(&name));
            let _ = fs::remove_dir_all(link(&name));
        }
        for name in self.made.drain(..) {
            let _ = self.bench.host(&["delete", &name]);
        }
    }
}

/// A process that stands still; goes on when this is dropped.
pub(super) struct Stopped(Pid);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

/// Answers everything with something that is not HTTP.
pub(super) struct Nonsense {
    socket: PathBuf,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Nonsense {
    fn start(socket: PathBuf, owner: u32) -> Result<Self> {
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket)?;
        std::os::unix::fs::chown(&socket, Some(owner), Some(owner))?;
        let ends = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if until.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(mut stream) = stream else { continue };
                let mut head = [0; 4096];
                let _ = stream.read(&mut head);
                let _ = stream.write_all(b"\x00\xffthis is no HTTP\r\n\r\n");
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
        Ok(Self { socket, ends, thread: Some(thread) })
    }
}

impl Drop for Nonsense {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        // wakes it
        let woken = UnixStream::connect(&self.socket).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
        let _ = fs::remove_file(&self.socket);
    }
}

fn link(name: &str) -> PathBuf {
    Path::new(LINKS).join(name)
}

fn record(name: &str) -> PathBuf {
    Path::new(RECORDS).join(format!("{name}.json"))
}

/// `GET /v1/metrics` of an agent, on a connection of its own, as the host asks.
pub(super) fn ask(name: &str) -> Result<Value> {
    let mut stream = UnixStream::connect(link(name).join("agent.sock"))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    // with 1.0, the end of the answer is the end of the connection
    write!(stream, "GET /v1/metrics HTTP/1.0\r\nHost: agent\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no head")?;
    ensure!(head.split(' ').nth(1) == Some("200"), "{name}: {answer}");
    serde_json::from_str(body).with_context(|| format!("{name}: {body}"))
}
