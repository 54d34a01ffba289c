//! A guest that stands still goes on.

use serde::{Deserialize, Serialize};
use smbgw_api::GatewayName;

use super::Action;
use crate::Result;
use crate::world::World;

/// Lets a guest go on that stands still, because the node could not write for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// Gateway.
    pub gateway: GatewayName,
}

impl Action for Resume {
    const NAME: &'static str = "resume";

    fn describe(&self) -> String {
        "let the virtual machine go on where it stood".to_owned()
    }

    fn perform(&self, world: &World) -> Result<()> {
        world.platform.resume(&self.gateway)
    }

    /// It may stand still again by itself; ending it would lose what it has not written yet.
    fn undo(&self, _: &World) -> Result<()> {
        Ok(())
    }
}
