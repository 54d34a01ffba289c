//! Gateways: listed, and looked at closely.

use schemars::JsonSchema;
use serde::Serialize;

use crate::output::human::{bytes, duration};
use crate::output::{View, table};

/// A gateway in a list.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct GatewayRow {
    /// Name.
    pub name: String,
    /// Mode.
    pub mode: String,
    /// `running`, `stopped`, `missing` or `unfinished`.
    pub state: String,
    /// Address with prefix length, `dhcp`, or where a gateway on the node itself takes connections.
    pub address: String,
    /// Names of its shares.
    pub shares: Vec<String>,
    /// Exact template; a gateway on the node itself has none.
    pub template: Option<String>,
}

/// `list`
#[derive(Debug, Serialize, JsonSchema)]
pub struct GatewayList {
    /// Gateways by name.
    pub gateways: Vec<GatewayRow>,
}

impl View for GatewayList {
    fn human(&self) -> String {
        if self.gateways.is_empty() {
            return "no gateways yet: pve-smbgateway create NAME --path DIR --user USER".to_owned();
        }
        self.table()
    }

    fn table(&self) -> String {
        table::render(
            &["NAME", "MODE", "STATE", "ADDRESS", "SHARES", "TEMPLATE"],
            self.gateways.iter().map(|g| {
                vec![
                    g.name.clone(),
                    g.mode.clone(),
                    g.state.clone(),
                    g.address.clone(),
                    g.shares.join(", "),
                    g.template.clone().unwrap_or_else(|| "-".to_owned()),
                ]
            }),
        )
    }
}

/// `status`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Status {
    /// Name.
    pub name: String,
    /// Mode.
    pub mode: String,
    /// `running`, `stopped`, `missing` or `unfinished`.
    pub state: String,
    /// Samba answers clients.
    pub ready: bool,
    /// What is wrong; empty when nothing is.
    pub problems: Vec<String>,
    /// Addresses that it has, or is to have when it does not run.
    pub addresses: Vec<String>,
    /// Exact template; a gateway on the node itself has none.
    pub template: Option<String>,
    /// Release of a virtual machine's kernel.
    pub kernel: Option<String>,
    /// What executes a virtual machine, as `kvm`.
    pub accelerator: Option<String>,
    /// Disk of its own, on the node.
    pub disk: Option<String>,
    /// Version of Samba.
    pub samba: Option<String>,
    /// Version of the agent.
    pub agent: Option<String>,
    /// Seconds since it started.
    pub uptime_s: Option<u64>,
    /// SMB sessions.
    pub sessions: Option<u64>,
    /// Open files.
    pub open_files: Option<u64>,
    /// Memory limit in bytes; none when there is no limit.
    pub memory_limit_bytes: Option<u64>,
    /// The node enforces the limit.
    pub memory_limit_enforced: bool,
    /// Memory of a virtual machine's processes on the node, in bytes.
    pub memory_resident_bytes: Option<u64>,
    /// Memory of all its processes, as proportional set size, in bytes.
    pub memory_pss_bytes: Option<u64>,
    /// Shares.
    pub shares: Vec<ShareStatus>,
    /// Users.
    pub users: Vec<UserStatus>,
}

/// A share of a gateway.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ShareStatus {
    /// Name.
    pub name: String,
    /// Directory on the node.
    pub path: String,
    /// Nobody may write.
    pub read_only: bool,
    /// Users who may open it; all when neither users nor groups are named.
    pub users: Vec<String>,
    /// Groups whose members may open it.
    pub groups: Vec<String>,
    /// Users, and groups as `@name`, who may only read.
    pub readers: Vec<String>,
    /// Size of its file system in bytes.
    pub total_bytes: Option<u64>,
    /// Free for users, in bytes.
    pub available_bytes: Option<u64>,
    /// Clients that have it open.
    pub tree_connects: Option<u64>,
}

/// A user of a gateway.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct UserStatus {
    /// Name.
    pub name: String,
    /// Owner of the files this user writes.
    pub uid: Option<u32>,
    /// Groups.
    pub groups: Vec<String>,
    /// A password is set; unknown while the gateway does not run.
    pub has_password: Option<bool>,
}

impl View for Status {
    fn human(&self) -> String {
        let ready = if self.ready { "serving" } else { "not serving" };
        let mut text = format!("{}  {} ({}, {ready})\n", self.name, self.state, self.mode);
        let mut line = |key: &str, value: String| text.push_str(&format!("  {key:<10} {value}\n"));
        for problem in &self.problems {
            line("PROBLEM", problem.clone());
        }
        line("address", self.addresses.join(", "));
        let versions = [("Samba", &self.samba), ("agent", &self.agent)];
        let versions: Vec<_> =
            versions.iter().filter_map(|(n, v)| v.as_ref().map(|v| format!("{n} {v}"))).collect();
        line(
            "software",
            [self.template.as_deref().unwrap_or("this node's"), &versions.join(", ")]
                .join(" ")
                .trim_end()
                .to_owned(),
        );
        if self.kernel.is_some() || self.accelerator.is_some() {
            let words = [self.kernel.clone(), self.accelerator.as_ref().map(|name| format!("by {name}"))];
            line("machine", words.into_iter().flatten().collect::<Vec<_>>().join(", "));
        }
        if let Some(disk) = &self.disk {
            line("disk", disk.clone());
        }
        if let Some(uptime) = self.uptime_s {
            line("up", duration(uptime));
        }
        let enforced = if self.memory_limit_enforced { "" } else { ", not enforced on this node" };
        let limit = match self.memory_limit_bytes {
            Some(limit) => format!("limit {}{enforced}", bytes(limit)),
            None => "no limit".to_owned(),
        };
        let used = self.memory_pss_bytes.map_or_else(String::new, |pss| format!("{} PSS, ", bytes(pss)));
        let on_node = self
            .memory_resident_bytes
            .map_or_else(String::new, |pss| format!(", {} on the node", bytes(pss)));
        line("memory", format!("{used}{limit}{on_node}"));
        if let (Some(sessions), Some(files)) = (self.sessions, self.open_files) {
            line("clients", format!("{sessions} sessions, {files} open files"));
        }
        for share in &self.shares {
            let mut words = vec![share.path.clone()];
            if share.read_only {
                words.push("read-only".to_owned());
            }
            if !share.users.is_empty() || !share.groups.is_empty() {
                words.push(format!("only {}", share.admitted()));
            }
            if !share.readers.is_empty() {
                words.push(format!("read by {}", share.readers.join(", ")));
            }
            if let (Some(total), Some(free)) = (share.total_bytes, share.available_bytes) {
                words.push(format!("{} of {} free", bytes(free), bytes(total)));
            }
            line("share", format!("{}: {}", share.name, words.join(", ")));
        }
        for user in &self.users {
            let uid = user.uid.map(|uid| format!(" (uid {uid})")).unwrap_or_default();
            let password = if user.has_password == Some(false) { ", no password yet" } else { "" };
            let groups = if user.groups.is_empty() {
                String::new()
            } else {
                format!(" in {}", user.groups.join(", "))
            };
            line("user", format!("{}{uid}{groups}{password}", user.name));
        }
        text
    }
}

impl ShareStatus {
    /// Who may open it, in words.
    fn admitted(&self) -> String {
        let groups = self.groups.iter().map(|group| format!("@{group}"));
        let names: Vec<String> = self.users.iter().cloned().chain(groups).collect();
        if names.is_empty() { "all".to_owned() } else { names.join(", ") }
    }
}

/// `share list`
#[derive(Debug, Serialize, JsonSchema)]
pub struct ShareList {
    /// Shares.
    pub shares: Vec<ShareStatus>,
}

impl View for ShareList {
    fn human(&self) -> String {
        table::render(
            &["SHARE", "PATH", "ACCESS", "USERS", "READERS"],
            self.shares.iter().map(|s| {
                let access = if s.read_only { "read-only" } else { "read-write" };
                vec![s.name.clone(), s.path.clone(), access.to_owned(), s.admitted(), s.readers.join(", ")]
            }),
        )
    }
}

/// `user list`
#[derive(Debug, Serialize, JsonSchema)]
pub struct UserList {
    /// Users.
    pub users: Vec<UserStatus>,
}

impl View for UserList {
    fn human(&self) -> String {
        table::render(
            &["USER", "UID", "GROUPS", "PASSWORD"],
            self.users.iter().map(|u| {
                let password = match u.has_password {
                    Some(true) => "set",
                    Some(false) => "not set",
                    None => "unknown",
                };
                vec![
                    u.name.clone(),
                    u.uid.map(|uid| uid.to_string()).unwrap_or_default(),
                    u.groups.join(", "),
                    password.to_owned(),
                ]
            }),
        )
    }
}
