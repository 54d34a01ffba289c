//! The point of no return of a deletion.

use serde::{Deserialize, Serialize};
use smbgw_api::GatewayName;

use super::Action;
use crate::record::GuestNetwork;
use crate::world::World;
use crate::{Error, Result};

/// Removes what is left of a gateway for good. Its data is not among it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purge {
    /// Gateway.
    pub gateway: GatewayName,
    /// Name under which its guest waits.
    pub ticket: String,
    /// Network it was attached to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<GuestNetwork>,
}

impl Action for Purge {
    const NAME: &'static str = "purge";

    fn describe(&self) -> String {
        "remove the guest for good".to_owned()
    }

    fn perform(&self, world: &World) -> Result<()> {
        world.platform.purge_guest(&self.ticket)?;
        world.platform.remove_link(&self.gateway)?;
        if let Some(network) = &self.network {
            world.platform.release_network(network, &self.gateway)?;
        }
        // nothing of it is left but what a killed container may have: groups, a lock file
        world.platform.destroy_guest(&self.gateway)
    }

    fn undo(&self, _: &World) -> Result<()> {
        Err(Error::internal("a deletion cannot be taken back")
            .hint("create the gateway again: its data is there"))
    }

    fn commits(&self) -> bool {
        true
    }
}
