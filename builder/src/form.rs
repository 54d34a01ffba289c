//! The two forms of a template: a container's root file system, and a virtual machine's disk.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a template is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Form {
    /// A root file system for a container, `.tar.zst`.
    #[serde(rename = "lxc")]
    Container,
    /// A disk for a virtual machine, `.qcow2`: the container's packages, and a kernel with what that needs.
    #[serde(rename = "vm")]
    Machine,
}

impl Form {
    /// The word in a manifest: `lxc`, `vm`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Container => "lxc",
            Self::Machine => "vm",
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
