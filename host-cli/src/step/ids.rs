//! Ids of users and groups that are gone: who comes back gets the same, and owns the same files.

use serde::{Deserialize, Serialize};
use smbgw_api::{GatewayName, IdBook};

use super::Action;
use crate::Result;
use crate::world::World;

/// Remembers ids of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepIds {
    /// Gateway.
    pub gateway: GatewayName,
    /// All that is to be remembered of it.
    pub new: IdBook,
    /// What was before.
    pub old: Option<IdBook>,
}

impl Action for KeepIds {
    const NAME: &'static str = "ids";

    fn describe(&self) -> String {
        let users = self.new.users.iter().map(|(name, id)| format!("{name} {id}"));
        let groups = self.new.groups.iter().map(|(name, id)| format!("@{name} {id}"));
        format!("remember ids: {}", users.chain(groups).collect::<Vec<_>>().join(", "))
    }

    fn perform(&self, world: &World) -> Result<()> {
        world.platform.put_ids(&self.gateway, Some(&self.new))
    }

    fn undo(&self, world: &World) -> Result<()> {
        world.platform.put_ids(&self.gateway, self.old.as_ref())
    }
}
