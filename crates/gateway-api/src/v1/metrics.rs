//! Figures of a gateway. What a version of Samba cannot tell is absent, never estimated. An agent that is older than a field
//! leaves it out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ShareSize;

/// Figures of a gateway.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Metrics {
    /// Seconds since the gateway started.
    pub uptime_s: u64,
    /// SMB sessions.
    pub sessions: u64,
    /// Tree connects, by share.
    pub tree_connects: BTreeMap<String, u64>,
    /// Open files.
    pub open_files: u64,
    /// Processes of the gateway, by name; those with most memory first.
    pub processes: Vec<ProcessFigures>,
    /// Sum of their PSS in bytes.
    pub pss_bytes: u64,
    /// Shares' file systems.
    pub shares: Vec<ShareSpace>,
    /// What all clients together did since smbd started; absent when smbd does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    /// What was done in a share, by its name. A share is absent while it cannot be told from another one.
    #[serde(default)]
    pub share_traffic: BTreeMap<String, ShareFigures>,
    /// Clients that are connected: each has an smbd of its own. At most [`Metrics::MAX_CLIENTS`], the busiest.
    #[serde(default)]
    pub clients: Vec<ClientFigures>,
    /// Logons that failed since the agent started; absent when they cannot be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_logons: Option<FailedLogons>,
    /// Units of the gateway.
    #[serde(default)]
    pub services: Vec<ServiceState>,
    /// Its domain, if it is or should be in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<DomainFigures>,
    /// Shares with a quota, as clients see them.
    #[serde(default)]
    pub quotas: Vec<ShareSize>,
    /// What is wrong, for people.
    #[serde(default)]
    pub problems: Vec<String>,
    /// What the agent itself costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentCost>,
}

impl Metrics {
    /// Most clients in one answer.
    pub const MAX_CLIENTS: usize = 1000;
}

/// Processes of one name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProcessFigures {
    /// Name, as `smbd`.
    pub name: String,
    /// How many.
    pub count: u64,
    /// Proportional set size in bytes (proc(5), `smaps_rollup`).
    pub pss_bytes: u64,
    /// Processor time of those that run now, in seconds (proc(5), `stat`).
    #[serde(default)]
    pub cpu_s: f64,
}

/// Room in a share, by statvfs(3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ShareSpace {
    /// Share.
    pub share: String,
    /// Size of its file system in bytes.
    pub total_bytes: u64,
    /// Free for users, in bytes.
    pub available_bytes: u64,
}

/// File data that smbd read and wrote, as it counts itself (smb.conf(5), `smbd profiling level`). What it copies within the
/// server counts, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Traffic {
    /// Reads.
    pub read: Operations,
    /// Writes.
    pub write: Operations,
}

/// Operations of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Operations {
    /// How many.
    pub count: u64,
    /// Bytes.
    pub bytes: u64,
    /// Time in the file system, in microseconds.
    pub time_us: u64,
}

/// What was done in a share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ShareFigures {
    /// Since when this is counted, in seconds since 1970: it begins anew after a time in which it could not be.
    pub since: i64,
    /// What.
    pub traffic: Traffic,
}

/// A client's connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClientFigures {
    /// Its address.
    pub client: String,
    /// Who logged on over it.
    pub users: Vec<String>,
    /// Shares that it has open.
    pub shares: Vec<String>,
    /// SMB sessions.
    pub sessions: u64,
    /// Dialect, as `SMB3_11`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<String>,
    /// Every session is signed.
    pub signed: bool,
    /// Every session is encrypted.
    pub encrypted: bool,
    /// What it did since it connected; absent when smbd does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    /// The same by share, of those shares where that can be told.
    #[serde(default)]
    pub by_share: BTreeMap<String, Traffic>,
}

/// Logons that failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FailedLogons {
    /// In all.
    pub total: u64,
    /// Of them those that tried NTLMv1, which is refused.
    pub ntlmv1: u64,
}

/// A unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServiceState {
    /// What it is: `smbd`, `winbind`.
    pub name: String,
    /// In systemd's words, as `active`.
    pub state: String,
}

/// How it stands with the domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DomainFigures {
    /// It is a member.
    pub joined: bool,
    /// A controller answers.
    pub online: bool,
    /// Codes of what is wrong, as `ad-clock`.
    pub faults: Vec<String>,
    /// How many seconds ago it was looked at.
    pub age_s: u64,
}

/// What the agent costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AgentCost {
    /// Processor time since it started, without that of programs it runs, in seconds.
    pub cpu_s: f64,
    /// Resident memory in bytes.
    pub resident_bytes: u64,
    /// Time that these figures took, in microseconds.
    pub collect_us: u64,
    /// Of that, time in which `smbstatus` ran.
    pub smbstatus_us: u64,
}

/// What happened in a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A session began.
    SessionOpened {
        /// User.
        user: String,
        /// Client's address.
        client: String,
    },
    /// A session ended.
    SessionClosed {
        /// User.
        user: String,
        /// Client's address.
        client: String,
    },
    /// A share passed a level of its quota, upwards or downwards.
    QuotaLevel {
        /// Share.
        share: String,
        /// Per cent: 0, 75, 85 or 95.
        level: u8,
    },
    /// A unit changed its state.
    Service {
        /// What it is: `smbd`, `winbind`.
        name: String,
        /// In systemd's words, as `active`.
        state: String,
    },
}

impl std::ops::Add for Traffic {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { read: self.read + other.read, write: self.write + other.write }
    }
}

impl std::ops::Add for Operations {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            bytes: self.bytes.saturating_add(other.bytes),
            time_us: self.time_us.saturating_add(other.time_us),
        }
    }
}

impl Traffic {
    /// What was done since an earlier look; nothing when a counter went back, as after a restart.
    pub fn since(self, earlier: Self) -> Option<Self> {
        Some(Self { read: self.read.since(earlier.read)?, write: self.write.since(earlier.write)? })
    }
}

impl Operations {
    fn since(self, earlier: Self) -> Option<Self> {
        Some(Self {
            count: self.count.checked_sub(earlier.count)?,
            bytes: self.bytes.checked_sub(earlier.bytes)?,
            time_us: self.time_us.checked_sub(earlier.time_us)?,
        })
    }
}
