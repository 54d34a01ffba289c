//! A dataset or directory that a storage is to have.

use serde::{Deserialize, Serialize};
use smbgw_api::{DatasetName, HostPath, ShareName, StorageId, StoragePlace};

use super::Action;
use crate::Result;
use crate::world::World;

/// Makes a dataset or directory for a share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MakePlace {
    /// Share.
    pub share: ShareName,
    /// Storage.
    pub storage: StorageId,
    /// Dataset or directory below it.
    pub dataset: DatasetName,
    /// Where it will be on the node.
    pub path: HostPath,
    /// Tells what this step made from what was there.
    pub ticket: String,
}

impl MakePlace {
    fn place(&self) -> StoragePlace {
        let (storage, dataset) = (self.storage.clone(), self.dataset.clone());
        StoragePlace { storage, dataset, create: true, path: Some(self.path.clone()) }
    }
}

impl Action for MakePlace {
    const NAME: &'static str = "place";

    fn subject(&self) -> String {
        self.share.to_string()
    }

    fn describe(&self) -> String {
        format!("make {} on storage {} ({})", self.dataset, self.storage, self.path)
    }

    fn perform(&self, world: &World) -> Result<()> {
        world.platform.make_place(&self.place(), &self.ticket)
    }

    /// What has something in it by then stays.
    fn undo(&self, world: &World) -> Result<()> {
        world.platform.remove_place(&self.place(), &self.ticket)
    }
}
