//! Setting a guest aside, so that a deletion can still be taken back.

use serde::{Deserialize, Serialize};
use smbgw_api::GatewayName;

use super::Action;
use crate::Result;
use crate::world::World;

/// Sets the stopped guest aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retire {
    /// Gateway.
    pub gateway: GatewayName,
    /// Name under which it waits.
    pub ticket: String,
}

impl Action for Retire {
    const NAME: &'static str = "retire";

    fn describe(&self) -> String {
        "set the guest aside".to_owned()
    }

    fn perform(&self, world: &World) -> Result<()> {
        world.platform.retire_guest(&self.gateway, &self.ticket)
    }

    fn undo(&self, world: &World) -> Result<()> {
        world.platform.unretire_guest(&self.gateway, &self.ticket)
    }
}
