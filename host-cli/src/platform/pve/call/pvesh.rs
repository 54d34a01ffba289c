//! `pvesh` (PVE 8.4 and 9.2, pvesh(1)): reads from any node, and directory mappings. Nothing that makes a task: pvesh ends with
//! 0 even when the task failed.

use std::time::Duration;

use smbgw_api::StorageId;
use smbgw_command::Command;

use super::property::Property;
use super::{External, GuestId};

/// Time for an answer. One about another node goes there by ssh.
const ASK: Duration = Duration::from_secs(45);

/// Kinds of guests, as they are called in paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `lxc`
    Container,
    /// `qemu`
    Machine,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Container => "lxc",
            Self::Machine => "qemu",
        })
    }
}

fn get(path: &str) -> Command {
    Command::new("pvesh").args(["get", path, "--output-format", "json"]).deadline(ASK)
}

/// `/cluster/nextid`: a hint only; the id is taken by who makes a guest first.
#[derive(Debug, Clone)]
pub struct NextId;

impl External for NextId {
    fn command(&self) -> Command {
        get("/cluster/nextid")
    }
}

/// `/nodes/NODE/storage`
#[derive(Debug, Clone)]
pub struct Storages {
    /// Node.
    pub node: String,
}

impl External for Storages {
    fn command(&self) -> Command {
        get(&format!("/nodes/{}/storage", self.node))
    }
}

/// `/nodes/NODE/storage/STORAGE/content`: disks of guests.
#[derive(Debug, Clone)]
pub struct Volumes {
    /// Node.
    pub node: String,
    /// Storage.
    pub storage: StorageId,
}

impl External for Volumes {
    fn command(&self) -> Command {
        get(&format!("/nodes/{}/storage/{}/content", self.node, self.storage)).args(["--content", "images"])
    }
}

/// `/nodes/NODE/KIND/ID/status/current`
#[derive(Debug, Clone)]
pub struct Status {
    /// Node that has the guest.
    pub node: String,
    /// Kind.
    pub kind: Kind,
    /// Id.
    pub id: GuestId,
}

impl External for Status {
    fn command(&self) -> Command {
        get(&format!("/nodes/{}/{}/{}/status/current", self.node, self.kind, self.id))
    }
}

/// `/nodes/NODE/KIND`
#[derive(Debug, Clone)]
pub struct Guests {
    /// Node.
    pub node: String,
    /// Kind.
    pub kind: Kind,
}

impl External for Guests {
    fn command(&self) -> Command {
        get(&format!("/nodes/{}/{}", self.node, self.kind))
    }
}

/// `/nodes/NODE/tasks`: those of one guest that run now.
#[derive(Debug, Clone)]
pub struct Tasks {
    /// Node.
    pub node: String,
    /// Id of the guest.
    pub id: GuestId,
}

impl External for Tasks {
    fn command(&self) -> Command {
        get(&format!("/nodes/{}/tasks", self.node)).args([
            "--source",
            "active",
            "--vmid",
            &self.id.to_string(),
        ])
    }
}

/// One node's directory of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// Node.
    pub node: String,
    /// Directory; has none of `;,=()`.
    pub path: String,
}

impl Mapped {
    fn property(&self) -> String {
        Property::new().with("node", &self.node).with("path", &self.path).text()
    }
}

/// Makes `/cluster/mapping/dir`.
#[derive(Debug, Clone)]
pub struct Map {
    /// Id, which is the tag in the guest.
    pub id: String,
    /// What the web interface shows.
    pub description: String,
    /// Directories by node; this node's must exist.
    pub directories: Vec<Mapped>,
}

impl External for Map {
    fn command(&self) -> Command {
        let command = Command::new("pvesh").args([
            "create",
            "/cluster/mapping/dir",
            "--id",
            &self.id,
            "--description",
            &self.description,
        ]);
        self.directories
            .iter()
            .fold(command, |command, one| command.arg("--map").arg(one.property()))
            .deadline(ASK)
    }
}

/// Changes `/cluster/mapping/dir/ID`: the list as a whole is replaced.
#[derive(Debug, Clone)]
pub struct Remap {
    /// Id.
    pub id: String,
    /// Directories by node.
    pub directories: Vec<Mapped>,
}

impl External for Remap {
    fn command(&self) -> Command {
        let command = Command::new("pvesh").args(["set", &format!("/cluster/mapping/dir/{}", self.id)]);
        self.directories
            .iter()
            .fold(command, |command, one| command.arg("--map").arg(one.property()))
            .deadline(ASK)
    }
}

/// Removes `/cluster/mapping/dir/ID`.
#[derive(Debug, Clone)]
pub struct Unmap {
    /// Id.
    pub id: String,
}

impl External for Unmap {
    fn command(&self) -> Command {
        Command::new("pvesh").args(["delete", &format!("/cluster/mapping/dir/{}", self.id)]).deadline(ASK)
    }
}
