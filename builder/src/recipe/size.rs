//! The budget: how big a finished template may be.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::form::Form;
use crate::tarball::Level;

/// The `size` section of a recipe. What it does not name may be of any size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Budget {
    /// Of the form for containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lxc: Option<FormBudget>,
    /// Of the form for virtual machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm: Option<FormBudget>,
}

/// Budgets of one form, in MB (10^6 bytes) of the compressed template.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FormBudget {
    /// Without `--release`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quick_mb: Option<NonZeroU32>,
    /// With `--release`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_mb: Option<NonZeroU32>,
}

impl Budget {
    /// Bytes that a template may have.
    pub fn of(&self, form: Form, level: Level) -> Option<u64> {
        let of_form = match form {
            Form::Container => self.lxc,
            Form::Machine => self.vm,
        }?;
        let megabytes = match level {
            Level::Quick => of_form.quick_mb,
            Level::Release => of_form.release_mb,
        }?;
        Some(u64::from(megabytes.get()) * 1_000_000)
    }
}
