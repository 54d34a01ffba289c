//! What an administrator decides: `/etc/pve-smbgateway/monitor.yaml`. Every key has a default; without the file all of them hold.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use smbgw_api::ByteSize;

use crate::{Error, Result};

/// All of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Seconds between two looks at a gateway: 1 to 3600.
    pub interval: u64,
    /// Address and port for Prometheus and programs, on loopback; none: only the unix socket.
    pub listen: Option<SocketAddr>,
    /// File with the token that is asked for there; made when it is missing.
    pub token_file: Option<PathBuf>,
    /// Addresses of clients and names of users are labels in `/metrics`.
    pub client_labels: bool,
    /// History.
    pub history: History,
    /// Alerts.
    pub alerts: Alerts,
}

/// How long history is kept.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct History {
    /// Days that each sample is kept.
    pub detail_days: u32,
    /// Days that sums over five minutes are kept.
    pub days: u32,
    /// The database grows no larger: at least 1 MiB. What is oldest goes first.
    pub max_size: ByteSize,
}

/// What raises an alert, and who is told.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Alerts {
    /// Per cent of a share's quota, rising; the last one is critical.
    pub quota: Vec<u8>,
    /// Per cent of a share's file system.
    pub full: u8,
    /// Mean time of a read or write in the file system over five minutes, in milliseconds.
    pub latency_ms: u64,
    /// Failed logons within five minutes.
    pub failed_logons: u64,
    /// Looks in a row that a gateway must miss.
    pub missed_looks: u32,
    /// They go to Proxmox VE's notifications, where that is.
    pub notify: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval: 15,
            listen: None,
            token_file: None,
            client_labels: false,
            history: History::default(),
            alerts: Alerts::default(),
        }
    }
}

impl Default for History {
    fn default() -> Self {
        Self { detail_days: 7, days: 30, max_size: ByteSize::from_mib(512) }
    }
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            quota: crate::quota::history::LEVELS.to_vec(),
            full: 95,
            latency_ms: 100,
            failed_logons: 20,
            missed_looks: 2,
            notify: true,
        }
    }
}

/// Smallest size of the database.
const LEAST: ByteSize = ByteSize::from_mib(1);

impl Settings {
    /// Reads the file; one that is not there says nothing.
    ///
    /// # Errors
    /// Code `monitor-settings`, with the line, when it says something that cannot be.
    pub fn read(path: &Path) -> Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).map_err(|why| wrong(path, &why)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(Error::io(format!("reading {}", path.display()), source)),
        }
    }

    /// Parses it.
    ///
    /// # Errors
    /// In words.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(Self::default());
        }
        let settings: Self = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> std::result::Result<(), String> {
        let rule = |holds: bool, text: &str| if holds { Ok(()) } else { Err(text.to_owned()) };
        rule((1..=3600).contains(&self.interval), "interval must be 1 to 3600 seconds")?;
        rule(
            self.listen.is_none_or(|listen| listen.ip().is_loopback() && listen.port() != 0),
            "listen must be a loopback address with a port, as 127.0.0.1:9853: what comes from elsewhere goes through a proxy",
        )?;
        rule(
            self.token_file.as_ref().is_none_or(|path| path.is_absolute()),
            "token-file must be an absolute path",
        )?;
        let History { detail_days, days, max_size } = self.history;
        rule((1..=365).contains(&detail_days), "history.detail-days must be 1 to 365")?;
        rule(
            days >= detail_days && days <= 3650,
            "history.days must be at least history.detail-days, and 3650 at most",
        )?;
        rule(max_size >= LEAST, "history.max-size must be at least 1M")?;
        let levels = &self.alerts.quota;
        rule(
            levels.iter().all(|level| (1..=100).contains(level)) && levels.is_sorted_by(|a, b| a < b),
            "alerts.quota must be rising percentages, 1 to 100",
        )?;
        rule((1..=100).contains(&self.alerts.full), "alerts.full must be 1 to 100")?;
        rule(self.alerts.latency_ms > 0, "alerts.latency-ms must be more than 0")?;
        rule(self.alerts.failed_logons > 0, "alerts.failed-logons must be more than 0")?;
        rule(self.alerts.missed_looks > 0, "alerts.missed-looks must be more than 0")
    }

    /// Time between two looks.
    pub fn interval(&self) -> Duration {
        Duration::from_secs(self.interval)
    }
}

fn wrong(path: &Path, why: &str) -> Error {
    Error::usage("monitor-settings", format!("{}: {why}", path.display()))
        .hint("docs/monitoring.md has every key with its default; `systemctl restart pve-smbgateway-monitor` reads it again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_default() {
        assert_eq!(Settings::parse("").unwrap(), Settings::default());
        assert_eq!(Settings::parse("# nothing\n").unwrap(), Settings::default());
        let settings = Settings::parse(
            "interval: 30\nlisten: 127.0.0.1:9853\nhistory:\n  max-size: 64M\nalerts:\n  quota: [90]\n",
        )
        .unwrap();
        assert_eq!(settings.interval(), Duration::from_secs(30));
        assert_eq!(settings.history.max_size, ByteSize::from_mib(64));
        assert_eq!(settings.history.days, 30);
        assert_eq!(settings.alerts.quota, [90]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (text, word) in [
            ("intervall: 3", "intervall"),
            ("interval: 0", "interval"),
            ("listen: 0.0.0.0:9853", "loopback"),
            ("listen: 127.0.0.1:0", "port"),
            ("token-file: token", "absolute"),
            ("history:\n  detail-days: 9\n  days: 8", "detail-days"),
            ("history:\n  max-size: 1000", "max-size"),
            ("alerts:\n  quota: [95, 75]", "rising"),
            ("alerts:\n  quota: [101]", "quota"),
            ("alerts:\n  latency-ms: 0", "latency"),
            ("alerts: [", "alerts"),
        ] {
            let error = Settings::parse(text).unwrap_err();
            assert!(error.contains(word) || word == "alerts", "{text}: {error}");
        }
    }
}
