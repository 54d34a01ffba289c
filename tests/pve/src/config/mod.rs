//! Configuration files of guests: /etc/pve/nodes/NODE/{lxc,qemu-server}/ID.conf.
//!
//! * [`parse`]: text to [`Config`] and back
//! * [`property`]: `key=value,…` in one option
//! * [`raw`]: `lxc.*` lines
//! * [`mod@file`]: reading, writing, locking

pub mod file;
pub mod parse;
pub mod property;
pub mod raw;

use std::collections::BTreeMap;

use sha1::{Digest, Sha1};

/// Container or virtual machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Container.
    Ct,
    /// Virtual machine.
    Vm,
}

impl Kind {
    /// Directory of the files.
    pub fn directory(self) -> &'static str {
        match self {
            Self::Ct => "lxc",
            Self::Vm => "qemu-server",
        }
    }

    /// As messages call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ct => "CT",
            Self::Vm => "VM",
        }
    }

    /// As the API calls it.
    pub fn api(self) -> &'static str {
        match self {
            Self::Ct => "lxc",
            Self::Vm => "qemu",
        }
    }

    /// Command whose options are the keys of the file.
    pub fn command(self) -> &'static str {
        match self {
            Self::Ct => "pct set",
            Self::Vm => "qm set",
        }
    }

    /// Heading of what waits for a restart.
    pub fn pending(self) -> &'static str {
        match self {
            Self::Ct => "pve:pending",
            Self::Vm => "PENDING",
        }
    }

    /// Option with the guest's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ct => "hostname",
            Self::Vm => "name",
        }
    }
}

/// What one part of a file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// Description, decoded.
    pub description: Option<String>,
    /// Options.
    pub values: BTreeMap<String, String>,
    /// Raw `lxc.*` lines, in order.
    pub raw: Vec<(String, String)>,
}

/// A file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// What holds now.
    pub now: Part,
    /// What holds after a restart.
    pub pending: Part,
    /// Snapshots and other sections, in order.
    pub sections: Vec<(String, Part)>,
}

impl Config {
    /// An option's value.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.now.values.get(key).map(String::as_str)
    }

    /// Sets an option.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.now.values.insert(key.to_owned(), value.into());
    }

    /// Whether an option is 1.
    pub fn is(&self, key: &str) -> bool {
        self.get(key) == Some("1")
    }

    /// Options of a family, as `mp` for `mp0`, `mp1`…, in their numbers' order.
    pub fn family(&self, stem: &str) -> Vec<(String, String)> {
        let mut found: Vec<(u32, String, String)> = self
            .now
            .values
            .iter()
            .filter_map(|(key, value)| {
                Some((key.strip_prefix(stem)?.parse().ok()?, key.clone(), value.clone()))
            })
            .collect();
        found.sort();
        found.into_iter().map(|(_, key, value)| (key, value)).collect()
    }

    /// Keys that wait to be deleted.
    pub fn deletes(&self) -> Vec<String> {
        let list = self.pending.values.get("delete").map(String::as_str).unwrap_or_default();
        list.split(',').filter(|key| !key.is_empty()).map(str::to_owned).collect()
    }

    /// The guest's name.
    pub fn name(&self, kind: Kind, vmid: u32) -> String {
        self.get(kind.name()).map_or_else(|| format!("{}{vmid}", kind.word()), str::to_owned)
    }
}

/// The digest of a file's text.
pub fn digest(text: &str) -> String {
    Sha1::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
