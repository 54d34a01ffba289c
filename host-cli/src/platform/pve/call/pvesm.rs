//! `pvesm` (PVE 8.4 and 9.2, pvesm(1)).

use std::time::Duration;

use smbgw_api::VolumeId;
use smbgw_command::Command;

use super::External;

/// `pvesm path`: where a volume is, whether it exists or not.
#[derive(Debug, Clone)]
pub struct Path {
    /// Volume.
    pub volume: VolumeId,
}

impl External for Path {
    fn command(&self) -> Command {
        Command::new("pvesm").args(["path", self.volume.as_str()]).deadline(Duration::from_secs(30))
    }
}

/// `pvesm free`: removes an archive.
#[derive(Debug, Clone)]
pub struct Free {
    /// Volume.
    pub volume: VolumeId,
}

impl External for Free {
    fn command(&self) -> Command {
        Command::new("pvesm").args(["free", self.volume.as_str()]).deadline(Duration::from_secs(120))
    }
}
