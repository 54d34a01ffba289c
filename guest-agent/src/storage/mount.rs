//! A mount as it should be: its unit (systemd.mount(5)), and whether what is mounted is it.

use smbgw_api::v1::DISK_PATH;
use smbgw_api::{FolderPath, ShareName};

use super::escape::mount_unit;
use super::mountinfo::Entry;

/// Starts every unit file of ours; a unit without it is never touched.
pub(crate) const HEADER: &str = "# Written by smbgw-agent. What is changed here by hand is overwritten, units that it does not need are removed.\n";

/// Where what comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Where, as processes of the gateway see it.
    pub(crate) at: String,
    /// What.
    pub(crate) source: Source,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The gateway's disk.
    Disk {
        /// Its name, as `/dev/disk/by-id/virtio-smbgw-data`.
        what: String,
        /// Its device number, as `254:16`.
        number: String,
        /// What is on it.
        file_system: FileSystem,
    },
    /// A folder of it.
    Folder {
        /// Folder.
        folder: FolderPath,
        /// The disk's device number.
        number: String,
    },
    /// A virtio-fs tag.
    VirtioFs {
        /// Tag.
        tag: String,
    },
}

/// File systems of a disk that are mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileSystem {
    /// ext4(5)
    Ext4,
    /// xfs(5)
    Xfs,
}

impl FileSystem {
    /// From such a name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Ext4, Self::Xfs].into_iter().find(|known| known.as_str() == name)
    }

    /// As mount(8) and blkid(8) name it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }
}

impl Mount {
    /// The disk.
    pub(crate) fn disk(what: String, number: String, file_system: FileSystem) -> Self {
        Self { at: DISK_PATH.to_owned(), source: Source::Disk { what, number, file_system } }
    }

    /// A folder of it, for a share.
    pub(crate) fn folder(share: &ShareName, folder: FolderPath, number: String) -> Self {
        Self { at: share.guest_path(), source: Source::Folder { folder, number } }
    }

    /// A tag, for a share.
    pub(crate) fn tag(share: &ShareName, tag: String) -> Self {
        Self { at: share.guest_path(), source: Source::VirtioFs { tag } }
    }

    /// Name of its unit.
    pub(crate) fn unit(&self) -> String {
        mount_unit(&self.at)
    }

    /// Whether this is what is mounted. A folder is told by device and root, since a bind mount names only these.
    pub(crate) fn is(&self, entry: &Entry) -> bool {
        entry.at == self.at
            && match &self.source {
                Source::Disk { number, .. } => entry.device == *number && entry.root == "/",
                Source::Folder { folder, number } => {
                    entry.device == *number && entry.root.strip_prefix('/') == Some(folder.as_str())
                }
                Source::VirtioFs { tag } => entry.kind == "virtiofs" && entry.source == *tag,
            }
    }

    /// Text of the unit.
    ///
    /// * No default dependencies: a mount of `local-fs.target` would hold up all of the boot. Only smbd waits for it,
    ///   at most as long as `TimeoutSec` (a virtio-fs whose daemon is dead never answers), and then starts without.
    /// * Shares are unmounted lazily: nothing can be mounted anew below a client that has a file open otherwise, and
    ///   the unmounting of a dead virtio-fs would hang. The disk is not: it may be taken away when it is unmounted.
    pub(crate) fn render(&self) -> String {
        let (what, kind, extra) = match &self.source {
            Source::Disk { what, file_system, .. } => {
                let extra = if *file_system == FileSystem::Ext4 { ",errors=remount-ro" } else { "" };
                (what.clone(), file_system.as_str(), extra)
            }
            Source::Folder { folder, .. } => (format!("{DISK_PATH}/{folder}"), "none", ",bind"),
            Source::VirtioFs { tag } => (tag.clone(), "virtiofs", ""),
        };
        let disk = mount_unit(DISK_PATH);
        let needs = match &self.source {
            Source::Folder { .. } => format!("Requires={disk}\nAfter={disk}\n"),
            _ => String::new(),
        };
        let (timeout, lazy) = match &self.source {
            // a journal is replayed, perhaps over a network
            Source::Disk { .. } => (30, "no"),
            _ => (10, "yes"),
        };
        format!(
            "{HEADER}\n[Unit]\nDescription=SMB gateway: {at}\nDefaultDependencies=no\n{needs}\
             After=systemd-remount-fs.service\nConflicts=umount.target\nBefore=umount.target smbd.service\n\n\
             [Mount]\nWhat={what}\nWhere={at}\nType={kind}\nOptions=nosuid,nodev,noexec{extra}\n\
             DirectoryMode=0700\nTimeoutSec={timeout}\nLazyUnmount={lazy}\n\n\
             [Install]\nWantedBy=multi-user.target\n",
            // systemd's specifiers
            at = self.at.replace('%', "%%"),
            what = what.replace('%', "%%"),
        )
    }
}

impl std::fmt::Display for Mount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.source {
            Source::Disk { what, .. } => write!(f, "disk {what}"),
            Source::Folder { folder, .. } => write!(f, "folder {folder} of the disk at {}", self.at),
            Source::VirtioFs { tag } => write!(f, "virtio-fs {tag} at {}", self.at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share() -> ShareName {
        ShareName::parse("My Files").unwrap()
    }

    #[test]
    fn units() {
        let disk = Mount::disk("/dev/disk/by-id/virtio-smbgw-data".into(), "254:16".into(), FileSystem::Ext4);
        insta::assert_snapshot!("disk", disk.render());
        let folder = FolderPath::parse("a/100%").unwrap();
        insta::assert_snapshot!("folder", Mount::folder(&share(), folder, "254:16".into()).render());
        insta::assert_snapshot!("tag", Mount::tag(&share(), "smbgw-00112233".into()).render());
    }

    #[test]
    fn what_is_mounted_is_told_by_device_root_and_tag() {
        let entry = |device: &str, root: &str, kind: &str, source: &str| Entry {
            device: device.into(),
            root: root.into(),
            at: "/srv/smb/My Files".into(),
            kind: kind.into(),
            source: source.into(),
            read_only: false,
        };
        let folder = Mount::folder(&share(), FolderPath::parse("team").unwrap(), "254:16".into());
        assert!(folder.is(&entry("254:16", "/team", "ext4", "/dev/vdb")));
        assert!(!folder.is(&entry("254:32", "/team", "ext4", "/dev/vdc")));
        assert!(!folder.is(&entry("254:16", "/other", "ext4", "/dev/vdb")));
        let tag = Mount::tag(&share(), "smbgw-1".into());
        assert!(tag.is(&entry("0:50", "/", "virtiofs", "smbgw-1")));
        assert!(!tag.is(&entry("0:50", "/", "virtiofs", "smbgw-2")));
        assert!(!tag.is(&entry("0:50", "/", "tmpfs", "smbgw-1")));
    }
}
