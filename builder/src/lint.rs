//! Rules that every template keeps, checked over the finished tree. A broken rule fails the build, and all are told at once.

use std::fmt;

use serde::Serialize;

use crate::lock::Lock;
use crate::recipe::Recipe;
use crate::tree::Tree;

mod accounts;
mod contents;
mod machine;
mod permissions;
mod services;

/// What the checks look at.
pub struct Subject<'a> {
    /// The finished tree.
    pub tree: &'a Tree,
    /// The recipe it was made from.
    pub recipe: &'a Recipe,
    /// The lock it was made from.
    pub lock: &'a Lock,
}

/// One rule.
pub struct Check {
    /// Its name: `set-id`.
    pub name: &'static str,
    /// Why it exists, in one sentence.
    pub why: &'static str,
    /// Gives every place that breaks it.
    run: fn(&Subject<'_>) -> Vec<String>,
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Name of the check.
    pub check: &'static str,
    /// Where, and what is wrong.
    pub detail: String,
    /// Why the rule exists.
    pub why: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {} ({})", self.check, self.detail, self.why)
    }
}

/// All rules.
pub const CHECKS: &[Check] = &[
    permissions::SET_ID,
    permissions::WORLD_WRITABLE,
    permissions::TIMES,
    accounts::EMPTY_PASSWORD,
    accounts::PASSWORD_HASH,
    contents::SECRETS,
    contents::MACHINE_ID,
    contents::LEFTOVERS,
    contents::FORBIDDEN,
    contents::PACKAGES,
    contents::AGENT,
    contents::UPDATED,
    contents::NETBIOS,
    contents::IMPORTANT_LINKS,
    services::ENABLED,
    services::MASKED,
    services::FIRST_BOOT,
    machine::STARTS,
    machine::CONSOLE,
    machine::CLOUD_INIT,
];

/// Runs every check.
pub fn run(subject: &Subject<'_>) -> Vec<Finding> {
    CHECKS
        .iter()
        .flat_map(|check| {
            (check.run)(subject).into_iter().map(|detail| Finding {
                check: check.name,
                detail,
                why: check.why,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
