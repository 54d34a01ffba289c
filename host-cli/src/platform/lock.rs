//! One operation at a time on a gateway; one at a time on what gateways share. flock(2) goes with the process,
//! however that ends, so a crash leaves no lock behind.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use smbgw_api::GatewayName;
use smbgw_command::{Interrupt, WaitError, wait_until};

use super::{Forget, Lock};
use crate::{Error, Result, durable};

/// How long one operation waits for another on the same gateway.
const GATEWAY_PATIENCE: Duration = Duration::from_secs(10);
/// How long one waits for what gateways share; it is held for moments only.
const NODE_PATIENCE: Duration = Duration::from_secs(60);

/// Locks of this node, as files in a directory.
#[derive(Debug, Clone)]
pub struct Locks {
    directory: PathBuf,
    interrupt: Interrupt,
}

impl Locks {
    /// In this directory, which is made when it is needed. The flag ends waits early.
    pub fn new(directory: PathBuf, interrupt: Interrupt) -> Self {
        Self { directory, interrupt }
    }

    /// The lock of a gateway. Its file goes with the last holder once `gone` says that the gateway has.
    ///
    /// # Errors
    /// Code `gateway-busy`.
    pub fn gateway(
        &self,
        name: &GatewayName,
        gone: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Result<Lock> {
        let file = format!("gateway-{name}.lock");
        let lock = self.file(&file, GATEWAY_PATIENCE, || {
            Error::resource("gateway-busy", format!("another operation works on gateway {name}"))
                .hint("wait for it; `pve-smbgateway ops list` shows it")
        })?;
        let forget = Forget { lock: self.directory.join(file), gone: Box::new(gone) };
        Ok(Lock::holding(lock, Some(forget)))
    }

    /// The lock of what gateways of this node share.
    ///
    /// # Errors
    /// Code `node-busy`.
    pub fn node(&self) -> Result<Lock> {
        let file = self.file("node.lock", NODE_PATIENCE, || {
            Error::infrastructure("node-busy", "another operation holds the node's lock").hint("try again")
        })?;
        Ok(Lock::holding(file, None))
    }

    fn file(&self, name: &str, patience: Duration, busy: impl Fn() -> Error) -> Result<File> {
        durable::make_directory(&self.directory, 0o700)?;
        let path = self.directory.join(name);
        let what = format!("the lock {}", path.display());
        match wait_until(&what, patience, &self.interrupt, || try_lock(&path).transpose()) {
            Ok(file) => file,
            Err(WaitError::TimedOut { .. }) => Err(busy()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The lock, or nothing when somebody has it.
fn try_lock(path: &Path) -> Result<Option<File>> {
    let io = |source| Error::io(format!("locking {}", path.display()), source);
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(io)?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(None);
    }
    // somebody may have removed the file between open and lock: then this lock guards nothing
    let same = same_file(&file, path);
    Ok(same.then_some(file))
}

fn same_file(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => open.ino() == named.ino() && open.dev() == named.dev(),
        _ => false,
    }
}
