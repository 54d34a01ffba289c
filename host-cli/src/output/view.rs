//! The data of each verb, for people and for programs.

use schemars::JsonSchema;
use serde::Serialize;

use super::human::{bytes, duration};
use super::{View, table};
use crate::platform::{Finding, Template, Verdict};

/// A gateway in a list.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct GatewayRow {
    /// Name.
    pub name: String,
    /// Mode.
    pub mode: String,
    /// `running`, `stopped`, `missing` or `unfinished`.
    pub state: String,
    /// Address with prefix length, or `dhcp`.
    pub address: String,
    /// Names of its shares.
    pub shares: Vec<String>,
    /// Exact template.
    pub template: String,
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
                    g.template.clone(),
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
    /// Exact template.
    pub template: String,
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
    /// Memory limit in bytes.
    pub memory_limit_bytes: u64,
    /// The node enforces the limit.
    pub memory_limit_enforced: bool,
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
    /// Users who may open it; all when empty.
    pub users: Vec<String>,
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
        line("software", format!("{} {}", self.template, versions.join(", ")).trim_end().to_owned());
        if let Some(uptime) = self.uptime_s {
            line("up", duration(uptime));
        }
        let limit = bytes(self.memory_limit_bytes);
        let enforced = if self.memory_limit_enforced { "" } else { ", not enforced on this node" };
        let used = self.memory_pss_bytes.map_or_else(String::new, |pss| format!("{} PSS, ", bytes(pss)));
        line("memory", format!("{used}limit {limit}{enforced}"));
        if let (Some(sessions), Some(files)) = (self.sessions, self.open_files) {
            line("clients", format!("{sessions} sessions, {files} open files"));
        }
        for share in &self.shares {
            let mut words = vec![share.path.clone()];
            if share.read_only {
                words.push("read-only".to_owned());
            }
            if !share.users.is_empty() {
                words.push(format!("only {}", share.users.join(", ")));
            }
            if let (Some(total), Some(free)) = (share.total_bytes, share.available_bytes) {
                words.push(format!("{} of {} free", bytes(free), bytes(total)));
            }
            line("share", format!("{}: {}", share.name, words.join(", ")));
        }
        for user in &self.users {
            let uid = user.uid.map(|uid| format!(" (uid {uid})")).unwrap_or_default();
            let password = if user.has_password == Some(false) { ", no password yet" } else { "" };
            line("user", format!("{}{uid}{password}", user.name));
        }
        text
    }
}

/// What a changing verb came to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Changed {
    /// Gateway or template.
    pub name: String,
    /// `created`, `changed`, `unchanged`, `deleted`, `absent` and the like.
    pub action: String,
    /// Operation; none when there was nothing to do.
    pub operation: Option<String>,
    /// Time it took, in milliseconds.
    pub took_ms: u64,
    /// Address of a gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl View for Changed {
    fn human(&self) -> String {
        let mut text = format!("{} {}", self.name, self.action);
        if let Some(address) = &self.address {
            text.push_str(&format!(" at {address}"));
        }
        if self.operation.is_some() {
            text.push_str(&format!(" in {:.2} s", self.took_ms as f64 / 1000.0));
        }
        for note in &self.notes {
            text.push_str(&format!("\n  {note}"));
        }
        text
    }
}

/// What a dry run shows.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DryPlan {
    /// Verb.
    pub verb: String,
    /// Gateway.
    pub target: String,
    /// Steps that would run; none when all is as wanted.
    pub steps: Vec<DryStep>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// A step of a dry run.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DryStep {
    /// Stable name, as in the journal.
    pub label: String,
    /// In words.
    pub text: String,
    /// There is no way back from here on.
    pub commits: bool,
}

impl View for DryPlan {
    fn human(&self) -> String {
        if self.steps.is_empty() {
            return format!("{} {}: nothing to do", self.verb, self.target);
        }
        let mut text = format!("{} {} would\n{}", self.verb, self.target, numbered(&self.steps));
        for note in &self.notes {
            text.push_str(&format!("  note: {note}\n"));
        }
        text.push_str("nothing was changed");
        text
    }
}

/// Steps with their numbers, one line each.
fn numbered(steps: &[DryStep]) -> String {
    let back = |step: &DryStep| if step.commits { " (no way back from here)" } else { "" };
    steps
        .iter()
        .enumerate()
        .map(|(index, step)| format!("  {:>2}. {}{}\n", index + 1, step.text, back(step)))
        .collect()
}

/// What several came to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Results {
    /// Of each gateway, in the order of the manifest.
    pub results: Vec<ResultRow>,
    /// Whether anything was changed.
    pub changed: bool,
}

/// What one came to.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ResultRow {
    /// Gateway.
    pub name: String,
    /// `created`, `changed`, `unchanged`, `deleted`, `absent`, `started`, `stopped`, `failed`, or `would …`.
    pub action: String,
    /// Time it took, in milliseconds.
    pub took_ms: u64,
    /// Why it failed.
    pub error: Option<super::envelope::ErrorView>,
    /// Steps that would run, of a dry run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<DryStep>,
}

impl ResultRow {
    /// Something that was done, or was so already.
    pub fn done(name: impl Into<String>, action: impl Into<String>, took_ms: u64) -> Self {
        Self { name: name.into(), action: action.into(), took_ms, error: None, steps: Vec::new() }
    }

    /// Something that failed.
    pub fn failed(name: impl Into<String>, error: &crate::Error) -> Self {
        Self { error: Some(error.into()), ..Self::done(name, "failed", 0) }
    }
}

impl View for Results {
    fn failure(&self) -> Option<&super::envelope::ErrorView> {
        self.results.iter().find_map(|row| row.error.as_ref())
    }

    fn human(&self) -> String {
        let mut text = self.table();
        for row in self.results.iter().filter(|row| !row.steps.is_empty()) {
            text.push_str(&format!("\n{}\n{}", row.name, numbered(&row.steps).trim_end()));
        }
        if !self.changed && self.results.iter().all(|r| r.error.is_none()) {
            text.push_str("\nnothing was changed");
        }
        text
    }

    fn table(&self) -> String {
        table::render(
            &["NAME", "RESULT", "TIME", "ERROR"],
            self.results.iter().map(|r| {
                let time = if r.took_ms == 0 {
                    String::new()
                } else {
                    format!("{:.2} s", r.took_ms as f64 / 1000.0)
                };
                let error = r.error.as_ref().map(|e| e.message.clone()).unwrap_or_default();
                vec![r.name.clone(), r.action.clone(), time, error]
            }),
        )
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
            &["SHARE", "PATH", "ACCESS", "USERS"],
            self.shares.iter().map(|s| {
                let access = if s.read_only { "read-only" } else { "read-write" };
                let users = if s.users.is_empty() { "all".to_owned() } else { s.users.join(", ") };
                vec![s.name.clone(), s.path.clone(), access.to_owned(), users]
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
            &["USER", "UID", "PASSWORD"],
            self.users.iter().map(|u| {
                let password = match u.has_password {
                    Some(true) => "set",
                    Some(false) => "not set",
                    None => "unknown",
                };
                vec![
                    u.name.clone(),
                    u.uid.map(|uid| uid.to_string()).unwrap_or_default(),
                    password.to_owned(),
                ]
            }),
        )
    }
}

/// `template list`
#[derive(Debug, Serialize, JsonSchema)]
pub struct TemplateList {
    /// Templates, each name's newest first.
    pub templates: Vec<Template>,
}

impl View for TemplateList {
    fn human(&self) -> String {
        if self.templates.is_empty() {
            return "no templates yet: pve-smbgateway template build images/debian-13.yaml".to_owned();
        }
        self.table()
    }

    fn table(&self) -> String {
        table::render(
            &["TEMPLATE", "SAMBA", "GATEWAYS", "SHA-256"],
            self.templates.iter().map(|t| {
                let sha = t.sha256.chars().take(12).collect();
                vec![t.name.clone(), t.samba.clone(), t.used_by.len().to_string(), sha]
            }),
        )
    }
}

/// `template verify`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Verified {
    /// Exact name.
    pub name: String,
    /// Differences from the manifest; none when all is as it was built.
    pub differences: Vec<String>,
}

impl View for Verified {
    fn human(&self) -> String {
        if self.differences.is_empty() {
            format!("{}: every file is as it was built", self.name)
        } else {
            format!("{}: {} differences\n{}", self.name, self.differences.len(), self.differences.join("\n"))
        }
    }
}

/// `ops list`
#[derive(Debug, Serialize, JsonSchema)]
pub struct OperationList {
    /// Operations, oldest first.
    pub operations: Vec<OperationRow>,
}

/// An operation in a list.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OperationRow {
    /// Id.
    pub id: String,
    /// When it began, RFC 3339.
    pub started: String,
    /// Verb.
    pub verb: String,
    /// Gateway.
    pub target: String,
    /// Who asked.
    pub by: String,
    /// `running`, `done`, `rolled back`, `incomplete` or `cut off`; or why the journal cannot be read.
    pub state: String,
}

impl View for OperationList {
    fn human(&self) -> String {
        if self.operations.is_empty() {
            return "no operations yet".to_owned();
        }
        table::render(
            &["OPERATION", "STARTED", "VERB", "TARGET", "STATE", "BY"],
            self.operations.iter().map(|o| {
                let started = o.started.split('.').next().unwrap_or_default().replace('T', " ");
                vec![o.id.clone(), started, o.verb.clone(), o.target.clone(), o.state.clone(), o.by.clone()]
            }),
        )
    }
}

/// `ops show`
#[derive(Debug, Serialize, JsonSchema)]
pub struct OperationView {
    /// As in the list.
    pub operation: OperationRow,
    /// Steps.
    pub steps: Vec<StepRow>,
    /// Why it failed.
    pub cause: Option<String>,
}

/// A step of an operation.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StepRow {
    /// Label.
    pub label: String,
    /// In words.
    pub text: String,
    /// Where it stands.
    pub status: String,
    /// How a person takes it back.
    pub by_hand: Vec<String>,
}

impl View for OperationView {
    fn human(&self) -> String {
        let o = &self.operation;
        let mut text = format!("{}  {} {} by {}: {}\n", o.id, o.verb, o.target, o.by, o.state);
        for step in &self.steps {
            text.push_str(&format!("  {:<13} {}\n", step.status, step.text));
        }
        if let Some(cause) = &self.cause {
            text.push_str(&format!("cause: {cause}\n"));
        }
        text
    }
}

/// `doctor`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Diagnosis {
    /// Platform.
    pub platform: String,
    /// What was looked at.
    pub findings: Vec<Finding>,
    /// What `--fix` did.
    pub mended: Vec<String>,
}

impl View for Diagnosis {
    fn human(&self) -> String {
        let mut text: String = self.mended.iter().map(|line| format!("mended: {line}\n")).collect();
        for finding in &self.findings {
            let mark = match finding.verdict {
                Verdict::Good => "good",
                Verdict::Limited => "limited",
                Verdict::Mendable | Verdict::Bad => "LACKING",
            };
            text.push_str(&format!("{mark:<8} {}: {}\n", finding.subject, finding.detail));
            if let Some(fix) = &finding.fix {
                text.push_str(&format!("         fix: {fix}\n"));
            }
        }
        text
    }
}
