//! Templates of the node.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smbgw_api::StorageId;

use super::Action;
use crate::Result;
use crate::world::World;

/// Installs a template from its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallTemplate {
    /// The `.tar.zst`.
    pub file: PathBuf,
    /// Storage to keep it on; chosen when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageId>,
    /// When.
    pub now: Timestamp,
}

impl Action for InstallTemplate {
    const NAME: &'static str = "install";

    fn describe(&self) -> String {
        format!("check and unpack {}", self.file.display())
    }

    fn perform(&self, world: &World) -> Result<()> {
        world.platform.install_template(&self.file, self.storage.as_ref(), self.now).map(drop)
    }

    /// A template appears whole or not at all; only a half unpacked one is to be removed.
    fn undo(&self, world: &World) -> Result<()> {
        world.platform.discard_partial_templates()
    }
}

/// Removes a template that no gateway uses. It can be installed again, so there is nothing to take back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveTemplate {
    /// Exact name.
    pub name: String,
}

impl Action for RemoveTemplate {
    const NAME: &'static str = "remove-template";

    fn subject(&self) -> String {
        self.name.clone()
    }

    fn describe(&self) -> String {
        format!("remove template {}", self.name)
    }

    fn perform(&self, world: &World) -> Result<()> {
        world.platform.remove_template(&self.name)
    }

    fn undo(&self, _: &World) -> Result<()> {
        Ok(())
    }

    fn commits(&self) -> bool {
        true
    }
}
