//! `pve-smbgateway serve` on a node, and what it answers.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::lab::{NodeLab, PROGRAM};
use crate::monitor::get_tcp;
use crate::{Daemon, files};

/// Nodes share the lab's network, so that it is reached from outside of theirs.
const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9854);
const TOKEN: &str = "a-token-of-the-lab-0123456789";
/// Until it answers.
const ANSWER: Duration = Duration::from_secs(30);

/// The service on the first node of a lab; killed when it is dropped, and all that it left is removed.
#[derive(Debug)]
pub struct NodeMonitor {
    daemon: Option<Daemon>,
    left: Vec<PathBuf>,
}

impl NodeMonitor {
    /// Starts it with these settings, which may not say where it listens, and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(lab: &NodeLab, settings: &str) -> Result<Self> {
        let [config, token, log] =
            ["monitor.yaml", "monitor-token", "monitor.log"].map(|name| lab.directory().join(name));
        files::secret_file(&token, TOKEN)?;
        let listen = format!("listen: {ADDRESS}\ntoken-file: {}\n", token.display());
        std::fs::write(&config, format!("{settings}{listen}"))?;
        let mut process = lab.node().process(PROGRAM);
        process.args(["serve", "--config"]).arg(&config);
        let left = ["/var/lib/pve-smbgateway/monitor", "/run/pve-smbgateway"];
        let left = left.map(|path| lab.node().path(path)).to_vec();
        let mut monitor = Self { daemon: Some(Daemon::start(&mut process, &log)?), left };
        monitor.wait_for("an answer of the service", ANSWER, || get("/metrics").ok())?;
        Ok(monitor)
    }

    /// Waits for something; gives up at once when the service has ended.
    ///
    /// # Errors
    /// When it has, or the deadline passes.
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        ready: impl FnMut() -> Option<T>,
    ) -> Result<T> {
        self.daemon.as_mut().context("it was ended")?.wait_for(what, deadline, ready)
    }

    /// The end of what it said.
    pub fn said(&self) -> String {
        self.daemon.as_ref().map(Daemon::said).unwrap_or_default()
    }

    /// Ends it as a person does.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(mut self) -> Result<()> {
        self.daemon.take().context("it was ended")?.stop()
    }
}

impl Drop for NodeMonitor {
    fn drop(&mut self) {
        drop(self.daemon.take());
        for path in &self.left {
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

/// Body of an answer of the service, which must be 200.
///
/// # Errors
/// When there is none.
pub fn get(path: &str) -> Result<String> {
    let (status, body) = get_tcp(ADDRESS, path, TOKEN)?;
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
