//! Domains.

use schemars::JsonSchema;
use serde::Serialize;

use crate::output::{View, table};

/// Something that is wrong.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DomainFinding {
    /// Stable code, as `ad-unreachable`.
    pub code: String,
    /// What it is.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

/// `ad status`, `ad test`
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DomainStatus {
    /// Gateway.
    pub gateway: String,
    /// `none`, `interrupted` or `joined`.
    pub membership: String,
    /// Joined, and nothing is wrong.
    pub healthy: bool,
    /// DNS name of the domain.
    pub realm: Option<String>,
    /// Its NetBIOS name.
    pub workgroup: Option<String>,
    /// Computer account.
    pub account: Option<String>,
    /// Its DN.
    pub dn: Option<String>,
    /// SID of the domain.
    pub domain_sid: Option<String>,
    /// Ids of its users and groups.
    pub ids: Option<String>,
    /// Domain controller that is used now.
    pub controller: Option<String>,
    /// There is a connection to the domain.
    pub online: bool,
    /// Users and groups of the domain that shares name.
    pub principals: Vec<String>,
    /// What is wrong.
    pub findings: Vec<DomainFinding>,
}

impl View for DomainStatus {
    fn human(&self) -> String {
        let mut lines = vec![format!(
            "{}: {}{}",
            self.gateway,
            match self.membership.as_str() {
                "joined" => "member of ",
                "interrupted" => "half joined to ",
                _ => "in no domain",
            },
            if self.membership == "none" { "" } else { self.realm.as_deref().unwrap_or_default() },
        )];
        let mut add = |what: &str, value: Option<&str>| {
            lines.extend(value.map(|value| format!("  {what:<11} {value}")));
        };
        add("workgroup", self.workgroup.as_deref());
        add("account", self.dn.as_deref().or(self.account.as_deref()));
        add("SID", self.domain_sid.as_deref());
        add("ids", self.ids.as_deref());
        add("controller", self.controller.as_deref());
        for principal in &self.principals {
            add("access", Some(principal));
        }
        for finding in &self.findings {
            lines
                .push(format!("  problem: {} ({})\n    fix: {}", finding.message, finding.code, finding.fix));
        }
        if self.healthy {
            lines.push("  all is well".to_owned());
        }
        lines.join("\n")
    }

    fn table(&self) -> String {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        table::render(
            &["GATEWAY", "MEMBERSHIP", "REALM", "ACCOUNT", "CONTROLLER", "PROBLEMS"],
            [vec![
                self.gateway.clone(),
                self.membership.clone(),
                value(&self.realm),
                value(&self.account),
                value(&self.controller),
                self.findings.len().to_string(),
            ]],
        )
    }
}

/// A check.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CheckRow {
    /// Its name, as `dns`.
    pub name: String,
    /// `ok`, `warning`, `failed` or `skipped`.
    pub verdict: String,
    /// What was seen.
    pub message: String,
    /// What is wrong, as a stable code.
    pub code: Option<String>,
    /// What to do about it.
    pub fix: Option<String>,
}

/// `ad diagnose`
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DomainChecks {
    /// Gateway.
    pub gateway: String,
    /// Time it took, in milliseconds.
    pub took_ms: u64,
    /// Checks in their order.
    pub checks: Vec<CheckRow>,
}

impl View for DomainChecks {
    fn human(&self) -> String {
        let line = |row: &CheckRow| {
            let fix = row.fix.as_ref().map(|fix| format!("\n{:22}fix: {fix}", "")).unwrap_or_default();
            format!("{:<8} {:<12} {}{fix}", row.verdict, row.name, row.message)
        };
        self.checks.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn table(&self) -> String {
        table::render(
            &["CHECK", "VERDICT", "SEEN"],
            self.checks.iter().map(|row| vec![row.name.clone(), row.verdict.clone(), row.message.clone()]),
        )
    }
}
