//! A guest's configuration file: where it is, and editing it as Proxmox VE does, under the guest's own lock.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use smbgw_command::{WaitError, wait_until};

use super::guest::GuestConfig;
use crate::platform::pve::call::GuestId;
use crate::platform::pve::call::pvesh::Kind;
use crate::platform::pve::cluster::{ClusterFiles, members};
use crate::{Error, Result, durable};

/// Time for a task of Proxmox VE to give the lock back; its own tools wait for 10 s.
const PATIENCE: Duration = Duration::from_secs(30);

/// A guest's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestFile {
    /// Node that has the guest.
    pub node: String,
    /// Kind.
    pub kind: Kind,
    /// Id.
    pub id: GuestId,
}

impl GuestFile {
    /// Its name in the cluster file system.
    pub fn name(&self) -> String {
        let folder = match self.kind {
            Kind::Container => "lxc",
            Kind::Machine => "qemu-server",
        };
        format!("nodes/{}/{folder}/{}.conf", self.node, self.id)
    }

    /// The guest with this id, on whatever node it is: this one is looked at first.
    ///
    /// # Errors
    /// When the cluster file system cannot be read.
    pub fn find(files: &ClusterFiles, here: &str, id: GuestId) -> Result<Option<(Self, GuestConfig)>> {
        for kind in [Kind::Container, Kind::Machine] {
            let file = Self { node: here.to_owned(), kind, id };
            if let Some(config) = file.read(files)? {
                return Ok(Some((file, config)));
            }
        }
        let list = files.read(".vmlist")?.unwrap_or_default();
        let Some((node, kind)) = members::guest(&list, id) else { return Ok(None) };
        let file = Self { node, kind, id };
        Ok(file.read(files)?.map(|config| (file, config)))
    }

    /// Reads it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, files: &ClusterFiles) -> Result<Option<GuestConfig>> {
        Ok(files.read(&self.name())?.map(|text| GuestConfig::parse(&text)))
    }

    /// Edits a container's file under its lock, if the edit changes anything.
    ///
    /// # Errors
    /// Codes `guest-locked`, `guest-missing`, `no-quorum`.
    pub fn edit(&self, files: &ClusterFiles, locks: &Path, edit: impl Fn(&str) -> String) -> Result<()> {
        let _lock = lock(files, locks, self.id)?;
        let path = files.path(&self.name());
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::resource("guest-missing", format!("guest {} is gone", self.id))
                    .hint("somebody removed it meanwhile: `pve-smbgateway status` says what is left"));
            }
            other => other.map_err(|source| Error::io(format!("reading {}", path.display()), source))?,
        };
        // what is not text would not come back the same
        let text = String::from_utf8(bytes).map_err(|source| {
            Error::infrastructure("config-damaged", format!("{} is not UTF-8", path.display()))
                .hint("mend its description, then try again")
                .source(source)
        })?;
        let edited = edit(&text);
        if edited == text { Ok(()) } else { files.replace(&self.name(), &edited) }
    }
}

/// The lock that Proxmox VE takes on a container's configuration (PVE 8.4 and 9.2, `PVE::LXC::Config`).
fn lock(files: &ClusterFiles, locks: &Path, id: GuestId) -> Result<File> {
    durable::make_directory(locks, 0o755)?;
    let path = locks.join(format!("pve-config-{id}.lock"));
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o644)
        .open(&path)
        .map_err(|source| Error::io(format!("opening {}", path.display()), source))?;
    let locked = wait_until(&format!("the lock of guest {id}"), PATIENCE, files.interrupt(), || {
        flock(&file, FlockOperation::NonBlockingLockExclusive).ok()
    });
    match locked {
        Ok(()) => Ok(file),
        Err(WaitError::TimedOut { .. }) => {
            Err(Error::infrastructure("guest-locked", format!("a task of Proxmox VE holds guest {id}"))
                .hint("wait for it (the web interface shows tasks), then try again"))
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::pve::cluster::files::tests::cluster;

    #[test]
    fn guests_are_found_wherever_they_are() {
        let (_directory, files) = cluster();
        std::fs::write(files.path("nodes/pve1/qemu-server/102.conf"), "name: a\n").unwrap();
        std::fs::write(files.path("nodes/pve2/lxc/101.conf"), "hostname: b\n").unwrap();
        std::fs::write(
            files.path(".vmlist"),
            r#"{"ids":{"101":{"node":"pve2","type":"lxc"},"103":{"node":"pve2","type":"lxc"}}}"#,
        )
        .unwrap();
        let find = |id| GuestFile::find(&files, "pve1", id).unwrap().map(|(file, _)| (file.node, file.kind));
        assert_eq!(find(102), Some(("pve1".to_owned(), Kind::Machine)));
        assert_eq!(find(101), Some(("pve2".to_owned(), Kind::Container)));
        assert_eq!((find(103), find(104)), (None, None));
    }

    #[test]
    fn edits_are_made_under_the_lock() {
        let (directory, files) = cluster();
        let locks = directory.path().join("lock");
        let file = GuestFile { node: "pve1".into(), kind: Kind::Container, id: 101 };
        let edit = |text: &str| format!("{text}lxc.x: 1\n");
        assert_eq!(file.edit(&files, &locks, edit).unwrap_err().code, "guest-missing");
        std::fs::write(files.path(&file.name()), "arch: amd64\n").unwrap();
        file.edit(&files, &locks, edit).unwrap();
        assert_eq!(files.read(&file.name()).unwrap().unwrap(), "arch: amd64\nlxc.x: 1\n");
        std::fs::write(files.path(&file.name()), [0xff]).unwrap();
        assert_eq!(file.edit(&files, &locks, edit).unwrap_err().code, "config-damaged");
    }
}
