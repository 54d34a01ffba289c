//! The gateway's record.

use serde::{Deserialize, Serialize};

use super::Action;
use crate::Result;
use crate::record::{Record, RecordState};
use crate::world::World;

/// Writes a record: a new one reserves name and address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteRecord {
    /// Record to write.
    pub new: Record,
    /// What was there before.
    pub old: Option<Record>,
    /// How a person removes it.
    pub by_hand: Vec<String>,
}

impl WriteRecord {
    /// Whether this record is the one that this step wrote, and not somebody else's of the same name.
    fn is_ours(&self, record: &Record) -> bool {
        let mac = |record: &Record| record.guest.network.as_ref().map(|card| card.mac.clone());
        record.created == self.new.created && mac(record) == mac(&self.new)
    }
}

impl Action for WriteRecord {
    const NAME: &'static str = "record";

    fn subject(&self) -> String {
        match (&self.old, self.new.state) {
            (None, _) => "new".to_owned(),
            (Some(_), RecordState::Active) => "active".to_owned(),
            (Some(_), RecordState::Creating) => "creating".to_owned(),
        }
    }

    fn describe(&self) -> String {
        match &self.old {
            None => format!("reserve name and address ({})", self.new.guest.address()),
            Some(_) => "write the gateway down".to_owned(),
        }
    }

    fn perform(&self, world: &World) -> Result<()> {
        match &self.old {
            None => world.platform.add_record(&self.new),
            Some(_) => world.platform.put_record(&self.new),
        }
    }

    fn undo(&self, world: &World) -> Result<()> {
        // undone once more after the step that reserved the name was: there is nothing to put back
        match (world.platform.record(self.new.name())?, &self.old) {
            (Some(there), Some(old)) if self.is_ours(&there) => world.platform.put_record(old),
            (Some(there), None) if self.is_ours(&there) => world.platform.remove_record(self.new.name()),
            _ => Ok(()),
        }
    }

    fn by_hand(&self) -> Vec<String> {
        self.by_hand.clone()
    }
}

/// Removes a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveRecord {
    /// What is there now.
    pub old: Record,
}

impl Action for RemoveRecord {
    const NAME: &'static str = "forget";

    fn describe(&self) -> String {
        "remove the gateway's record".to_owned()
    }

    fn perform(&self, world: &World) -> Result<()> {
        world.platform.remove_record(self.old.name())
    }

    fn undo(&self, world: &World) -> Result<()> {
        world.platform.put_record(&self.old)
    }
}
