//! What is wrong: said once when it begins, once more when it gets worse, and when it has ended.
//!
//! * [`rules`]: what is wrong with a gateway now; pure
//! * [`Alerts`]: what stands, and what changes; pure
//! * [`tell`]: syslog, a program of the administrator's, Proxmox VE's notifications

pub mod rules;
mod standing;
pub mod tell;

pub use standing::{Alerts, Change, Scope, Standing};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The gateway runs, and its agent does not answer.
    Unreachable,
    /// A unit of the gateway is not active.
    ServiceDown,
    /// The membership of the domain is not in order.
    Domain,
    /// A share is nearly at its quota.
    Quota,
    /// The file system of a share is nearly full.
    Full,
    /// Reads or writes take long in the file system.
    Latency,
    /// Many logons fail.
    FailedLogons,
    /// A client speaks an old dialect, without signing, or tries NTLMv1.
    WeakClient,
    /// The history cannot be written.
    History,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Unreachable,
        Self::ServiceDown,
        Self::Domain,
        Self::Quota,
        Self::Full,
        Self::Latency,
        Self::FailedLogons,
        Self::WeakClient,
        Self::History,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::ServiceDown => "service-down",
            Self::Domain => "domain",
            Self::Quota => "quota",
            Self::Full => "full",
            Self::Latency => "latency",
            Self::FailedLogons => "failed-logons",
            Self::WeakClient => "weak-client",
            Self::History => "history",
        }
    }

    /// The kind of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// How bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Somebody should look at it.
    Warning,
    /// Something does not work, or will soon not.
    Critical,
}

impl Severity {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// The severity of this word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Warning, Self::Critical].into_iter().find(|severity| severity.as_str() == word)
    }
}

/// Something that is wrong now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What.
    pub kind: Kind,
    /// With what of the gateway: a share, a unit; empty for the gateway itself.
    pub subject: String,
    /// How bad.
    pub severity: Severity,
    /// Looks in a row that must find it before it is said.
    pub looks: u32,
    /// How much of it, where there are levels: told again when it rises.
    pub level: i64,
    /// In words.
    pub text: String,
}
