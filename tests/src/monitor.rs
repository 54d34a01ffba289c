//! `pve-smbgateway serve`, beside a test; and Prometheus, which asks it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{Daemon, Product};

/// Its socket.
pub const SOCKET: &str = "/run/pve-smbgateway/monitor.sock";
/// Its history.
pub const HISTORY: &str = "/var/lib/pve-smbgateway/monitor";
/// For one answer.
const ANSWER: Duration = Duration::from_secs(30);
/// Where Prometheus listens.
const PROMETHEUS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

/// The service; killed when it is dropped, and all that it left is removed.
#[derive(Debug)]
pub struct Monitor {
    /// The running program.
    pub daemon: Option<Daemon>,
    product: Product,
    config: PathBuf,
    log: PathBuf,
    /// Program and arguments that start it, as `faketime`.
    pub wrapper: Vec<String>,
}

impl Monitor {
    /// Starts it with these settings.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(product: &Product, directory: &Path, settings: &str) -> Result<Self> {
        let mut monitor = Self::new(product, directory, settings)?;
        monitor.run()?;
        Ok(monitor)
    }

    /// Writes the settings, and starts nothing.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn new(product: &Product, directory: &Path, settings: &str) -> Result<Self> {
        let (config, log) = (directory.join("monitor.yaml"), directory.join("monitor.log"));
        std::fs::write(&config, settings)?;
        Ok(Self { daemon: None, product: product.clone(), config, log, wrapper: Vec::new() })
    }

    /// Starts it, and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn run(&mut self) -> Result<()> {
        let mut words = self.wrapper.iter().cloned().chain([self.product.program("pve-smbgateway")]);
        let mut command = Command::new(words.next().context("no program")?);
        command.args(words).args(["serve", "--config"]).arg(&self.config);
        let mut daemon = Daemon::start(&mut command, &self.log)?;
        daemon.wait_for("an answer of the service", ANSWER, || get("/api/v1/gateways").ok())?;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// The running program.
    ///
    /// # Errors
    /// When it was not started.
    pub fn daemon(&mut self) -> Result<&mut Daemon> {
        self.daemon.as_mut().context("it was not started")
    }

    /// Ends it as a person does.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> Result<()> {
        self.daemon.take().context("it was not started")?.stop()
    }

    /// All that it said.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        drop(self.daemon.take());
        let _ = std::fs::remove_file(SOCKET);
        let _ = std::fs::remove_dir("/run/pve-smbgateway");
        let _ = std::fs::remove_dir_all(HISTORY);
    }
}

/// Body of an answer of the service, which must be 200.
///
/// # Errors
/// When there is none.
pub fn get(path: &str) -> Result<String> {
    let (status, body) = ask(UnixStream::connect(SOCKET)?, path, "")?;
    ensure!(status == 200, "{path}: {status}: {body}");
    Ok(body)
}

/// The same as JSON.
///
/// # Errors
/// When it is none.
pub fn get_json(path: &str) -> Result<Value> {
    serde_json::from_str(&get(path)?).with_context(|| path.to_owned())
}

/// Status and body over TCP, with this token.
///
/// # Errors
/// When there is no answer.
pub fn get_tcp(address: SocketAddr, path: &str, token: &str) -> Result<(u16, String)> {
    let header = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    ask(TcpStream::connect(address)?, path, &header)
}

fn ask(mut stream: impl Read + Write, path: &str, header: &str) -> Result<(u16, String)> {
    // with 1.0, the end of the answer is the end of the connection
    write!(stream, "GET {path} HTTP/1.0\r\nHost: lab\r\n{header}\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8(answer).context("the answer is no text")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no head")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    Ok((status, body.to_owned()))
}

/// The value of a sample: its name with all labels, as `smbgw_up{gateway="team",mode="lxc"}`.
pub fn sample(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// A real Prometheus that asks the service.
#[derive(Debug)]
pub struct Prometheus {
    daemon: Daemon,
}

impl Prometheus {
    /// Starts it with this configuration, and its data in `directory`.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(directory: &Path, config: &Path) -> Result<Self> {
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("prometheus").display()))
            .arg(format!("--web.listen-address={PROMETHEUS}"));
        let mut daemon = Daemon::start(&mut command, &directory.join("prometheus.log"))?;
        daemon.wait_for("Prometheus", ANSWER, || {
            get_tcp(PROMETHEUS, "/-/ready", "").ok().filter(|(status, _)| *status == 200)
        })?;
        Ok(Self { daemon })
    }

    /// Results of a query: labels and value of each.
    ///
    /// # Errors
    /// When the query is wrong.
    pub fn query(&mut self, query: &str) -> Result<Vec<(Value, f64)>> {
        self.daemon.expect_running()?;
        let path = format!("/api/v1/query?query={}", escape(query));
        let (status, body) = get_tcp(PROMETHEUS, &path, "")?;
        let answer: Value = serde_json::from_str(&body).with_context(|| format!("{query}: {body}"))?;
        ensure!(status == 200 && answer["status"] == "success", "{query}: {answer}");
        let Some(results) = answer["data"]["result"].as_array() else { bail!("{query}: {answer}") };
        let value = |result: &Value| -> Option<(Value, f64)> {
            Some((result["metric"].clone(), result["value"][1].as_str()?.parse().ok()?))
        };
        results.iter().map(|result| value(result).with_context(|| format!("{query}: {result}"))).collect()
    }

    /// A path of its API.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn get(&self, path: &str) -> Result<Value> {
        Ok(serde_json::from_str(&get_tcp(PROMETHEUS, path, "")?.1)?)
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(self) -> Result<()> {
        self.daemon.stop()
    }
}

/// A query as a part of a path (RFC 3986, section 2.1).
fn escape(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}
