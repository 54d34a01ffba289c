//! The proof of the id-map plan: a file written by a share's user belongs to the same user on the node.

use rustix::fs::{AtFlags, fstat, statat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use smbgw_api::v1::ProbeRequest;
use smbgw_api::{GatewayName, HostPath, ShareName};

use super::Action;
use crate::storage::open_directory;
use crate::world::World;
use crate::{Error, Result};

/// Has a probe file written as a user of the share, looks at it from the node, removes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prove {
    /// Gateway.
    pub gateway: GatewayName,
    /// Share.
    pub share: ShareName,
    /// Its directory on the node.
    pub path: HostPath,
    /// User, inside and outside.
    pub uid: u32,
    /// Group that lets the user in, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Name of the probe file.
    pub file: String,
}

impl Prove {
    fn remove(&self) -> Result<()> {
        let directory = open_directory(&self.path)?;
        match unlinkat(&directory, &self.file, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Error::io(format!("removing {}/{}", self.path, self.file), errno.into())),
        }
    }
}

impl Action for Prove {
    const NAME: &'static str = "prove";

    fn subject(&self) -> String {
        self.share.to_string()
    }

    fn describe(&self) -> String {
        format!(
            "prove that user {} can write to share {} and owns the file on the node",
            self.uid, self.share
        )
    }

    fn perform(&self, world: &World) -> Result<()> {
        self.remove()?;
        let request =
            ProbeRequest { share: self.share.clone(), uid: self.uid, gid: self.gid, file: self.file.clone() };
        let probed = world.agent(&self.gateway)?.probe(&request).map_err(|error| {
            let error = error.doing(format!("writing to share {} as uid {}", self.share, self.uid));
            match error.hint {
                Some(_) => error,
                None => {
                    let chown = format!("chown {} '{}'", self.uid, self.path);
                    error.hint(format!(
                        "give the user access to the directory: --grant, or on the node: {chown}"
                    ))
                }
            }
        });
        let seen = probed.and_then(|_| {
            let directory = open_directory(&self.path)?;
            let looking = |errno: Errno| {
                Error::infrastructure("idmap-unproven", "the probe file is not to be seen on the node")
                    .hint("something is mounted over the directory on one side only")
                    .source(std::io::Error::from(errno))
            };
            let stat = statat(&directory, &self.file, AtFlags::SYMLINK_NOFOLLOW).map_err(looking)?;
            let top = fstat(&directory).map_err(looking)?;
            if stat.st_dev != top.st_dev {
                return Err(looking(Errno::XDEV));
            }
            Ok(stat.st_uid)
        });
        // the file goes whatever was found
        let removed = self.remove();
        let owner = seen?;
        removed?;
        if owner != self.uid {
            return Err(Error::infrastructure(
                "idmap-wrong",
                format!("uid {} of the gateway is uid {owner} on the node", self.uid),
            )
            .hint("the file system does not keep to the id map; use another one, or mode vm"));
        }
        Ok(())
    }

    fn undo(&self, _: &World) -> Result<()> {
        self.remove()
    }

    fn by_hand(&self) -> Vec<String> {
        vec![format!("rm -f '{}/{}'", self.path, self.file)]
    }
}
