//! The quota of a share's directory, as its file system enforces it.

use serde::{Deserialize, Serialize};
use smbgw_api::{ByteSize, HostPath, ShareName};
use smbgw_command::System;

use super::Action;
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
