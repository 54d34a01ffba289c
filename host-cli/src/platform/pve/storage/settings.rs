//! `/etc/pve/storage.cfg` (PVE 8.4 and 9.2, pvesm(1)). Pure.

use smbgw_api::{DatasetName, RbdImage, StorageId, VolumeId};

use crate::platform::pve::cluster::section::{self, Section};
use crate::{Error, Result};

/// A storage as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings(Section);

/// All storages of the file's text.
pub fn parse(text: &str) -> Vec<Settings> {
    section::parse(text).into_iter().filter(|section| !section.kind.is_empty()).map(Settings).collect()
}

/// One of them.
///
/// # Errors
/// Code `storage-missing`.
pub fn find<'a>(all: &'a [Settings], storage: &StorageId) -> Result<&'a Settings> {
    all.iter().find(|one| one.id() == storage.as_str()).ok_or_else(|| missing(storage.as_str()))
}

/// The error of a storage that is not there.
pub fn missing(storage: &str) -> Error {
    Error::resource("storage-missing", format!("there is no storage {storage}"))
        .hint("`pvesm status` shows those there are")
}

/// Where a storage has a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Directory {
    /// A dataset, and where it is mounted unless it says otherwise.
    Dataset {
        /// Full name, as `rpool/data/team`.
        name: String,
        /// Mount point that follows from the storage's.
        path: String,
    },
    /// A plain directory.
    Plain(String),
}

impl Settings {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Its type, as `zfspool`.
    pub fn kind(&self) -> &str {
        &self.0.kind
    }

    /// Whether a node may use it.
    pub fn is_on(&self, node: &str) -> bool {
        let nodes = self.0.get("nodes");
        self.0.get("disable").is_none_or(|value| value == "0")
            && nodes.is_none_or(|nodes| nodes.split([',', ' ']).any(|one| one == node))
    }

    /// Whether every node has the same.
    pub fn is_shared(&self) -> bool {
        ["nfs", "cifs", "cephfs", "rbd", "iscsi", "iscsidirect", "zfs", "pbs"].contains(&self.kind())
            || self.0.get("shared") == Some("1")
    }

    /// Its files are on a network file system, which keeps neither ids nor ACLs as Samba needs them.
    pub fn is_remote_files(&self) -> bool {
        ["nfs", "cifs", "glusterfs"].contains(&self.kind())
    }

    /// Format of disks that can be cloned without a copy, where it has to be said.
    pub fn clone_format(&self) -> Option<&'static str> {
        ["dir", "nfs", "cifs", "glusterfs"].contains(&self.kind()).then_some("qcow2")
    }

    /// Whether disks on it can be cloned without a copy (PVE 8.4 and 9.2, feature `clone` of the storage plugins).
    pub fn clones(&self) -> bool {
        self.clone_format().is_some()
            || ["zfspool", "lvmthin", "rbd", "btrfs", "cephfs"].contains(&self.kind())
    }

    /// Where a dataset or directory on it is.
    ///
    /// # Errors
    /// Code `storage-unsuitable`.
    pub fn directory(&self, dataset: &DatasetName) -> Result<Directory> {
        let get = |key: &str| self.0.get(key).map(|value| value.trim_end_matches('/').to_owned());
        let mounted = || format!("/mnt/pve/{}", self.id());
        let base = match self.kind() {
            "zfspool" => {
                let pool = get("pool").ok_or_else(|| self.unsuitable("has no pool"))?;
                let base = get("mountpoint")
                    .filter(|path| path.starts_with('/'))
                    .unwrap_or_else(|| format!("/{pool}"));
                return Ok(Directory::Dataset {
                    name: format!("{pool}/{dataset}"),
                    path: format!("{base}/{dataset}"),
                });
            }
            "dir" | "btrfs" => get("path").ok_or_else(|| self.unsuitable("has no path"))?,
            "cephfs" | "nfs" | "cifs" | "glusterfs" => get("path").unwrap_or_else(mounted),
            _ => return Err(self.unsuitable("has disks and no directories")),
        };
        Ok(Directory::Plain(format!("{base}/{dataset}")))
    }

    fn unsuitable(&self, why: &str) -> Error {
        Error::usage("storage-unsuitable", format!("storage {} ({}) {why}", self.id(), self.kind())).hint(
            "use one of type zfspool, dir, btrfs or cephfs; a disk of others goes to a virtual machine: --mode vm --volume",
        )
    }
}

/// The volume that an RBD image is.
///
/// # Errors
/// Code `disk-unusable`, when no storage has it, or its name is none that Proxmox VE knows.
pub fn rbd_volume(all: &[Settings], image: &RbdImage) -> Result<VolumeId> {
    let (pool, namespace, name) = image.parts();
    let storage = all.iter().find(|one| {
        one.kind() == "rbd"
            && one.0.get("pool").unwrap_or("rbd") == pool
            && one.0.get("namespace") == namespace
    });
    let storage = storage.ok_or_else(|| {
        Error::usage("disk-unusable", format!("no storage of type rbd has pool {pool} for the image {image}"))
            .hint("add one: pvesm add rbd NAME --pool POOL --content images")
    })?;
    let volume = VolumeId::parse(&format!("{}:{name}", storage.id()))?;
    if volume.owner().is_none() {
        return Err(Error::usage(
            "disk-unusable",
            format!("Proxmox VE does not know {image} for a disk by its name"),
        )
        .hint(format!("give it one that it knows: rbd rename {image} {pool}/vm-900000-disk-0")));
    }
    Ok(volume)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "dir: local\n\tpath /var/lib/vz\n\tcontent iso,vztmpl,backup\n\nzfspool: local-zfs\n\tpool rpool/data\n\tsparse\n\n\
        zfspool: tank\n\tpool tank\n\tmountpoint /srv/tank\n\nlvmthin: local-lvm\n\tvgname pve\n\nnfs: nas\n\tserver x\n\tnodes pve2\n\n\
        cephfs: cfs\n\tdisable\n\nrbd: ceph\n\tpool vms\n\nrbd: ns\n\tpool vms\n\tnamespace n\n";

    #[test]
    fn directories_by_type() {
        let all = parse(TEXT);
        let of = |id: &str| {
            let dataset = DatasetName::parse("smb/team").unwrap();
            find(&all, &StorageId::parse(id).unwrap()).unwrap().directory(&dataset)
        };
        assert_eq!(of("local").unwrap(), Directory::Plain("/var/lib/vz/smb/team".into()));
        assert_eq!(of("nas").unwrap(), Directory::Plain("/mnt/pve/nas/smb/team".into()));
        let dataset = |name: &str, path: &str| Directory::Dataset { name: name.into(), path: path.into() };
        assert_eq!(of("local-zfs").unwrap(), dataset("rpool/data/smb/team", "/rpool/data/smb/team"));
        assert_eq!(of("tank").unwrap(), dataset("tank/smb/team", "/srv/tank/smb/team"));
        assert_eq!(of("local-lvm").unwrap_err().code, "storage-unsuitable");
        assert_eq!(find(&all, &StorageId::parse("none").unwrap()).unwrap_err().code, "storage-missing");
    }

    #[test]
    fn nodes_and_sharing() {
        let all = parse(TEXT);
        let on: Vec<_> = all.iter().filter(|one| one.is_on("pve1")).map(Settings::id).collect();
        assert_eq!(on, ["local", "local-zfs", "tank", "local-lvm", "ceph", "ns"]);
        let shared: Vec<_> = all.iter().filter(|one| one.is_shared()).map(Settings::id).collect();
        assert_eq!(shared, ["nas", "cfs", "ceph", "ns"]);
    }

    #[test]
    fn images_are_volumes() {
        let all = parse(TEXT);
        let volume = |image: &str| rbd_volume(&all, &RbdImage::parse(image).unwrap());
        assert_eq!(volume("vms/vm-900-disk-0").unwrap().as_str(), "ceph:vm-900-disk-0");
        assert_eq!(volume("vms/n/vm-900-disk-0").unwrap().as_str(), "ns:vm-900-disk-0");
        for bad in ["vms/team", "other/vm-900-disk-0"] {
            let error = volume(bad).unwrap_err();
            assert_eq!(error.code, "disk-unusable");
            assert!(error.hint.is_some());
        }
    }
}
