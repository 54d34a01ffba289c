//! The guest itself: made, reconfigured, limited.

use serde::{Deserialize, Serialize};

use super::Action;
use crate::Result;
use crate::record::GuestPlan;
use crate::world::World;

/// Makes a guest from its template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateGuest {
    /// Guest.
    pub guest: GuestPlan,
    /// How a person removes it.
    pub by_hand: Vec<String>,
}

impl Action for CreateGuest {
    const NAME: &'static str = "guest";

    fn describe(&self) -> String {
        let GuestPlan { template, memory, network, .. } = &self.guest;
        match (template, memory, network) {
            (Some(template), Some(memory), Some(card)) => format!(
                "make the {} from {template} ({memory} memory, address {} on {})",
                self.guest.kind(),
                card.address,
                card.bridge
            ),
            _ => format!("make the services of the gateway on this node, at {}", self.guest.address()),
        }
    }

    fn perform(&self, world: &World) -> Result<()> {
        world.platform.create_guest(&self.guest)
    }

    fn undo(&self, world: &World) -> Result<()> {
        world.platform.destroy_guest(&self.guest.name)
    }

    fn by_hand(&self) -> Vec<String> {
        self.by_hand.clone()
    }
}

/// Gives a stopped guest another configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigureGuest {
    /// What it gets.
    pub new: GuestPlan,
    /// What it had.
    pub old: GuestPlan,
}

impl Action for ConfigureGuest {
    const NAME: &'static str = "reconfigure";

    fn describe(&self) -> String {
        format!("write the {}'s configuration (mounts, network, hardware)", self.new.kind())
    }

    fn perform(&self, world: &World) -> Result<()> {
        world.platform.configure_guest(&self.new)
    }

    fn undo(&self, world: &World) -> Result<()> {
        world.platform.configure_guest(&self.old)
    }
}

/// Changes the limits of a guest, while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitGuest {
    /// What it gets.
    pub new: GuestPlan,
    /// What it had.
    pub old: GuestPlan,
}

impl Action for LimitGuest {
    const NAME: &'static str = "limits";

    fn describe(&self) -> String {
        let sized = |guest: &GuestPlan| (guest.memory, guest.cores);
        let boot = if self.new.onboot {
            "start the gateway with the node"
        } else {
            "do not start the gateway with the node"
        };
        if sized(&self.new) == sized(&self.old) {
            return boot.to_owned();
        }
        let cores = self.new.cores.map_or_else(|| "all processors".to_owned(), |n| format!("{n} processors"));
        let memory = self.new.memory.map_or_else(|| "all".to_owned(), |memory| memory.to_string());
        format!("limit the {} to {memory} memory and {cores}, while it runs", self.new.kind())
    }

    fn perform(&self, world: &World) -> Result<()> {
        world.platform.limit_guest(&self.new)
    }

    fn undo(&self, world: &World) -> Result<()> {
        world.platform.limit_guest(&self.old)
    }
}
