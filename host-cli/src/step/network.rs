//! The network that the gateway is attached to.

use serde::{Deserialize, Serialize};
use smbgw_api::GatewayName;

use super::Action;
use crate::Result;
use crate::record::{GuestNetwork, GuestPlan};
use crate::world::World;

/// Makes the platform's own network, if it is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnsureNetwork {
    /// Gateway that needs it.
    pub gateway: GatewayName,
    /// Network.
    pub network: GuestNetwork,
}

impl EnsureNetwork {
    /// For a guest that has a network card.
    pub fn of(guest: &GuestPlan) -> Option<Self> {
        guest.network.clone().map(|network| Self { gateway: guest.name.clone(), network })
    }
}

impl Action for EnsureNetwork {
    const NAME: &'static str = "network";

    fn describe(&self) -> String {
        if self.network.own_bridge {
            format!("have bridge {} (own network)", self.network.bridge)
        } else {
            format!("check bridge {}", self.network.bridge)
        }
    }

    fn perform(&self, world: &World) -> Result<()> {
        world.platform.ensure_network(&self.network)
    }

    fn undo(&self, world: &World) -> Result<()> {
        world.platform.release_network(&self.network, &self.gateway)
    }

    fn by_hand(&self) -> Vec<String> {
        if self.network.own_bridge {
            vec![format!("ip link delete {}", self.network.bridge)]
        } else {
            Vec::new()
        }
    }
}
