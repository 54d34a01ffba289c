//! A virtual machine's own disk: claimed, given back, grown.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use smbgw_command::wait_until;

use super::Action;
use crate::Result;
use crate::record::{GuestForm, GuestPlan};
use crate::world::World;

/// Time for a guest to see that its disk is larger.
const SEEN: Duration = Duration::from_secs(60);

/// Claims the disk, so that no other gateway takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimDisk {
    /// Guest.
    pub guest: GuestPlan,
}

impl Action for ClaimDisk {
    const NAME: &'static str = "claim";

    fn describe(&self) -> String {
        format!("claim the disk {}", disk(&self.guest))
    }

    fn perform(&self, world: &World) -> Result<()> {
        world.platform.claim_disk(&self.guest)
    }

    fn undo(&self, world: &World) -> Result<()> {
        world.platform.release_disk(&self.guest)
    }
}

/// Gives the disk back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseDisk {
    /// Guest.
    pub guest: GuestPlan,
}

impl Action for ReleaseDisk {
    const NAME: &'static str = "release";

    fn describe(&self) -> String {
        format!("give the disk {} back", disk(&self.guest))
    }

    fn perform(&self, world: &World) -> Result<()> {
        world.platform.release_disk(&self.guest)
    }

    fn undo(&self, world: &World) -> Result<()> {
        world.platform.claim_disk(&self.guest)
    }
}

fn disk(guest: &GuestPlan) -> String {
    match &guest.form {
        GuestForm::Machine { disk: Some(disk), .. } => disk.to_string(),
        _ => "(none)".to_owned(),
    }
}

/// Lets the file system on the disk grow to the size that the disk has now, while it is in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrowDisk {
    /// Guest.
    pub guest: GuestPlan,
}

impl Action for GrowDisk {
    const NAME: &'static str = "grow";

    fn describe(&self) -> String {
        "let the file system grow to the disk's size".to_owned()
    }

    fn perform(&self, world: &World) -> Result<()> {
        let bytes = world.platform.resize_disk(&self.guest)?;
        let agent = world.agent(&self.guest.name)?;
        // the guest's kernel hears of the new size a moment later
        wait_until("the guest to see the disk's size", SEEN, &world.interrupt, || match agent.grow_disk() {
            Ok(state) => (state.device_bytes >= bytes).then_some(Ok(())),
            Err(error) => Some(Err(error)),
        })?
    }

    /// A file system that fills its disk is as good as one that does not.
    fn undo(&self, _: &World) -> Result<()> {
        Ok(())
    }
}
