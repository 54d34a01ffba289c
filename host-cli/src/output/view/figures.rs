//! What gateways do: the figures of one, and of all beside each other.

mod frame;
mod top;
mod words;

pub use frame::{Frame, Silence, render};
pub use top::{TopList, TopRow, render as render_top};

use schemars::JsonSchema;
use serde::Serialize;

use crate::output::{View, screen, table};

/// Figures of a gateway between two looks. What is not known is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct Figures {
    /// Gateway.
    pub gateway: String,
    /// Mode.
    pub mode: String,
    /// Time between the looks, in seconds; none at a first one, which knows no rates.
    pub interval_s: Option<f64>,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// SMB sessions.
    pub sessions: u64,
    /// Open files.
    pub open_files: u64,
    /// Memory of all its processes, as proportional set size, in bytes.
    pub memory_pss_bytes: u64,
    /// Processor time of its processes, in per cent of one processor.
    pub cpu_percent: Option<f64>,
    /// What its clients do, together.
    pub rates: Option<Rates>,
    /// What they did since smbd started.
    pub totals: Option<Totals>,
    /// Shares, the busiest first.
    pub shares: Vec<ShareRow>,
    /// Clients, the busiest first.
    pub clients: Vec<ClientRow>,
    /// Processes by name.
    pub processes: Vec<ProcessRow>,
    /// Units.
    pub services: Vec<ServiceRow>,
    /// Its domain, if it is or should be in one.
    pub domain: Option<DomainRow>,
    /// Logons that failed.
    pub failed_logons: Option<FailedLogonsRow>,
    /// What is wrong; empty when nothing is.
    pub problems: Vec<String>,
}

/// What is done in a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
pub struct Rates {
    /// Reads.
    pub read: Rate,
    /// Writes.
    pub write: Rate,
}

/// Operations of one kind in a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
pub struct Rate {
    /// Bytes.
    pub bytes_per_s: f64,
    /// Operations.
    pub operations_per_s: f64,
    /// Time that one took in the file system, on average, in microseconds; none when there was none.
    pub latency_us: Option<f64>,
}

/// What was done in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Totals {
    /// Bytes read.
    pub read_bytes: u64,
    /// Reads.
    pub read_operations: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Writes.
    pub write_operations: u64,
}

/// A share.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct ShareRow {
    /// Share.
    pub share: String,
    /// Clients that have it open.
    pub tree_connects: u64,
    /// What is done in it can be told from what is done in other shares.
    pub counted: bool,
    /// What its clients do.
    pub rates: Option<Rates>,
    /// What they did since it is counted.
    pub totals: Option<Totals>,
    /// Since when it is counted, in seconds since 1970.
    pub counted_since: Option<i64>,
    /// Size in bytes, as clients see it.
    pub size_bytes: Option<u64>,
    /// Used, in bytes.
    pub used_bytes: Option<u64>,
    /// Its quota in bytes.
    pub quota_bytes: Option<u64>,
}

/// A client, with all its connections.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct ClientRow {
    /// Its address.
    pub client: String,
    /// Who logged on there.
    pub users: Vec<String>,
    /// Shares that it has open.
    pub shares: Vec<String>,
    /// SMB sessions.
    pub sessions: u64,
    /// Dialects, as `SMB3_11`.
    pub dialects: Vec<String>,
    /// Every session is signed.
    pub signed: bool,
    /// Every session is encrypted.
    pub encrypted: bool,
    /// What it does.
    pub rates: Option<Rates>,
    /// What it did since it connected.
    pub totals: Option<Totals>,
}

/// Processes of one name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct ProcessRow {
    /// Name, as `smbd`.
    pub name: String,
    /// How many.
    pub count: u64,
    /// Proportional set size in bytes.
    pub pss_bytes: u64,
    /// Processor time in per cent of one processor.
    pub cpu_percent: Option<f64>,
}

/// A unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ServiceRow {
    /// What it is, as `smbd`.
    pub name: String,
    /// In systemd's words, as `active`.
    pub state: String,
}

/// How it stands with the domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DomainRow {
    /// It is a member.
    pub joined: bool,
    /// A controller answers.
    pub online: bool,
    /// Codes of what is wrong, as `ad-clock`.
    pub faults: Vec<String>,
    /// How many seconds ago it was looked at.
    pub age_s: u64,
}

/// Logons that failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FailedLogonsRow {
    /// Since the agent started.
    pub total: u64,
    /// Of them those that tried NTLMv1, which is refused.
    pub ntlmv1: u64,
    /// Between the looks.
    pub now: Option<u64>,
}

impl Rates {
    /// Bytes of both kinds.
    pub fn bytes_per_s(&self) -> f64 {
        self.read.bytes_per_s + self.write.bytes_per_s
    }

    /// Average time of an operation of either kind, in microseconds.
    pub fn latency_us(&self) -> Option<f64> {
        let time = |rate: &Rate| rate.latency_us.unwrap_or(0.0) * rate.operations_per_s;
        let count = self.read.operations_per_s + self.write.operations_per_s;
        (count > 0.0).then(|| (time(&self.read) + time(&self.write)) / count)
    }
}

impl View for Figures {
    fn human(&self) -> String {
        render(&Frame::of(self.clone()), screen::width())
    }

    fn table(&self) -> String {
        let texts = |row: [String; 6]| row.to_vec();
        let shares = self.shares.iter().map(|share| {
            let [read, write, latency] = words::share_rates(share);
            let used = share.used_bytes.map_or_else(|| "-".to_owned(), crate::output::human::bytes);
            texts([share.share.clone(), share.tree_connects.to_string(), read, write, latency, used])
        });
        let shares = table::render(&["SHARE", "CLIENTS", "READ/s", "WRITE/s", "LATENCY", "USED"], shares);
        let clients = self.clients.iter().map(|client| {
            let [read, write, _] = words::rates(client.rates.as_ref());
            let safety = words::safety(client);
            texts([
                client.client.clone(),
                client.users.join(", "),
                safety,
                client.shares.join(", "),
                read,
                write,
            ])
        });
        let clients = table::render(&["CLIENT", "USERS", "SAFETY", "SHARES", "READ/s", "WRITE/s"], clients);
        format!("{shares}\n\n{clients}")
    }
}
