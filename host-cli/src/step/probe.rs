//! The proof that a user can write to a share on the gateway's own disk, which the node cannot look into.

use serde::{Deserialize, Serialize};
use smbgw_api::v1::ProbeRequest;
use smbgw_api::{GatewayName, ShareName};

use super::Action;
use crate::world::World;
use crate::{Error, Result};

/// Has a probe file written as a user of the share, and removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Gateway.
    pub gateway: GatewayName,
    /// Share.
    pub share: ShareName,
    /// User.
    pub uid: u32,
    /// Group that lets the user in, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Name of the probe file.
    pub file: String,
}

impl Probe {
    fn request(&self) -> ProbeRequest {
        ProbeRequest { share: self.share.clone(), uid: self.uid, gid: self.gid, file: self.file.clone() }
    }
}

impl Action for Probe {
    const NAME: &'static str = "probe";

    fn subject(&self) -> String {
        self.share.to_string()
    }

    fn describe(&self) -> String {
        format!("prove that user {} can write to share {}", self.uid, self.share)
    }

    fn perform(&self, world: &World) -> Result<()> {
        let agent = world.agent(&self.gateway)?;
        let probed = agent.probe(&self.request()).map_err(|error| {
            let error = error.doing(format!("writing to share {} as uid {}", self.share, self.uid));
            match error.hint {
                Some(_) => error,
                None => error.hint("let the share's users into its folder: --grant"),
            }
        });
        // the file goes whatever was found
        let removed = agent.unprobe(&self.request());
        let owner = probed?.uid;
        removed?;
        if owner != self.uid {
            return Err(Error::infrastructure(
                "owner-wrong",
                format!("a file of uid {} belongs to uid {owner} on the disk", self.uid),
            )
            .hint("the disk's file system does not keep owners: use ext4 or xfs"));
        }
        Ok(())
    }

    fn undo(&self, world: &World) -> Result<()> {
        // a gateway that is down, or whose storage is gone, keeps a hidden empty file at worst
        if let Err(error) = world.agent(&self.gateway).and_then(|agent| agent.unprobe(&self.request())) {
            tracing::debug!(%error, "a probe file may be left");
        }
        Ok(())
    }
}
