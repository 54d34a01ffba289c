//! Starting and stopping.

use serde::{Deserialize, Serialize};

use super::Action;
use crate::Result;
use crate::record::GuestPlan;
use crate::world::World;

/// Starts the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Guest.
    pub guest: GuestPlan,
    /// How a person stops it.
    pub by_hand: Vec<String>,
}

impl Action for Start {
    const NAME: &'static str = "start";

    fn describe(&self) -> String {
        format!("start the {}", self.guest.kind())
    }

    fn perform(&self, world: &World) -> Result<()> {
        world.platform.start(&self.guest)
    }

    fn undo(&self, world: &World) -> Result<()> {
        world.platform.stop(&self.guest.name)
    }

    fn by_hand(&self) -> Vec<String> {
        self.by_hand.clone()
    }
}

/// Stops the guest; undone by starting it, if it ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Guest.
    pub guest: GuestPlan,
    /// It ran when this was planned.
    pub ran: bool,
}

impl Action for Stop {
    const NAME: &'static str = "stop";

    fn describe(&self) -> String {
        format!("stop the {}", self.guest.kind())
    }

    fn perform(&self, world: &World) -> Result<()> {
        world.platform.stop(&self.guest.name)
    }

    fn undo(&self, world: &World) -> Result<()> {
        if !self.ran {
            return Ok(());
        }
        // a stop that was cut short may still be under way: a guest that is about to end must not pass for one that runs
        world.platform.stop(&self.guest.name)?;
        world.platform.start(&self.guest)
    }
}
