//! The directory of the agent's socket.

use serde::{Deserialize, Serialize};

use super::Action;
use crate::Result;
use crate::record::GuestPlan;
use crate::world::World;

/// Makes the place for the agent's socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MakeLink {
    /// Guest that the agent runs in.
    pub guest: GuestPlan,
    /// How a person removes it.
    pub by_hand: Vec<String>,
}

impl Action for MakeLink {
    const NAME: &'static str = "link";

    fn describe(&self) -> String {
        "make the place for the agent's socket".to_owned()
    }

    fn perform(&self, world: &World) -> Result<()> {
        world.platform.make_link(&self.guest)
    }

    fn undo(&self, world: &World) -> Result<()> {
        world.platform.remove_link(&self.guest.name)
    }

    fn by_hand(&self) -> Vec<String> {
        self.by_hand.clone()
    }
}
