//! Quotas, as file systems enforce them: of a share's directory, and of the users and groups whose files are there.

use serde::{Deserialize, Serialize};
use smbgw_api::{ByteSize, HostPath, Principal, ShareName};
use smbgw_command::System;

use super::Action;
use crate::quota::owner::{self, Owner};
use crate::world::World;
use crate::{Result, quota};

/// Gives a directory a limit, changes it, or takes it away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetQuota {
    /// Share.
    pub share: ShareName,
    /// Directory.
    pub path: HostPath,
    /// The limit it gets, in bytes.
    pub new: Option<u64>,
    /// The one it had.
    pub old: Option<u64>,
    /// How a person puts that back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_hand: Vec<String>,
}

impl Action for SetQuota {
    const NAME: &'static str = "quota";

    fn subject(&self) -> String {
        self.share.to_string()
    }

    fn describe(&self) -> String {
        match self.new {
            Some(limit) => format!("limit {} to {}", self.path, ByteSize::from_bytes(limit)),
            None => format!("take the limit off {}", self.path),
        }
    }

    fn perform(&self, world: &World) -> Result<()> {
        quota::set(&System::with_interrupt(world.interrupt.clone()), &self.path, self.new)
    }

    fn undo(&self, world: &World) -> Result<()> {
        quota::set(&System::with_interrupt(world.interrupt.clone()), &self.path, self.old)
    }

    fn by_hand(&self) -> Vec<String> {
        self.by_hand.clone()
    }
}

/// Gives a user or a group a limit on the file system of a share, changes it, or takes it away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetUserQuota {
    /// Share.
    pub share: ShareName,
    /// Its directory.
    pub path: HostPath,
    /// Who.
    pub principal: Principal,
    /// The same, as the file system knows it.
    pub owner: Owner,
    /// The limit it gets, in bytes.
    pub new: Option<u64>,
    /// The one it had.
    pub old: Option<u64>,
    /// How a person puts that back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_hand: Vec<String>,
}

impl Action for SetUserQuota {
    const NAME: &'static str = "user-quota";

    fn subject(&self) -> String {
        format!("{}:{}", self.share, self.principal)
    }

    fn describe(&self) -> String {
        let (who, path) = (&self.principal, &self.path);
        match self.new {
            Some(limit) => {
                format!(
                    "limit what {who} has on the file system of {path} to {}",
                    ByteSize::from_bytes(limit)
                )
            }
            None => format!("take the limit of {who} off the file system of {path}"),
        }
    }

    fn perform(&self, world: &World) -> Result<()> {
        let runner = System::with_interrupt(world.interrupt.clone());
        owner::set(&runner, &self.path, self.owner, self.new)
    }

    fn undo(&self, world: &World) -> Result<()> {
        let runner = System::with_interrupt(world.interrupt.clone());
        owner::set(&runner, &self.path, self.owner, self.old)
    }

    fn by_hand(&self) -> Vec<String> {
        self.by_hand.clone()
    }
}
