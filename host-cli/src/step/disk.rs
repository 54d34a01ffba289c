//! A virtual machine's disk that has become larger.

use serde::{Deserialize, Serialize};

use super::Action;
use crate::Result;
use crate::record::GuestPlan;
use crate::world::World;

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
        world.platform.resize_disk(&self.guest)?;
        world.agent(&self.guest.name)?.grow_disk().map(drop)
    }

    /// A file system that fills its disk is as good as one that does not.
    fn undo(&self, _: &World) -> Result<()> {
        Ok(())
    }
}
