//! Storages of Proxmox VE, and what of them a gateway may have.

use serde::{Deserialize, Serialize};

use crate::{HostPath, Invalid, text_newtype};

/// Id of a storage, as `local-zfs` (PVE 8.4 and 9.2, format `pve-storage-id`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StorageId(String);

impl StorageId {
    /// Checks an id.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !(2..=100).contains(&text.len())
            || !text.chars().all(good)
            || !text.starts_with(|c: char| c.is_ascii_alphabetic())
            || !text.ends_with(|c: char| c.is_ascii_alphanumeric())
        {
            return Err(Invalid::new(
                "storage",
                text,
                "an id has 2 to 100 letters, digits, '-', '_' or '.', begins with a letter and ends with a letter or digit",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for StorageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}
text_newtype!(StorageId);

/// A dataset below a ZFS storage's, or a directory below another storage's, as `smb/team`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DatasetName(String);

impl DatasetName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bad = |rule: &str| Err(Invalid::new("dataset", text, rule));
        // zfsconcepts(7), naming; without ':', which a mount point could have, but property strings cannot
        let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if text.is_empty() || text.len() > 200 {
            return bad("must have 1 to 200 characters");
        }
        if !text.split('/').all(|part| part.starts_with(|c: char| c.is_ascii_alphanumeric()))
            || !text.split('/').all(|part| part.chars().all(good))
        {
            return bad(
                "its parts are of letters, digits, '-', '_' and '.', and begin with a letter or digit",
            );
        }
        // what Proxmox VE calls its own (PVE 9.2, storage plugins for ZFS and directories)
        let first = text.split('/').next().unwrap_or_default();
        let reserved = ["images", "private", "template", "dump", "snippets", "import"];
        if reserved.contains(&first)
            || ["vm-", "base-", "subvol-", "basevol-"].iter().any(|p| first.starts_with(p))
        {
            return bad("belongs to the guests of Proxmox VE");
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for DatasetName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}
text_newtype!(DatasetName);

/// A directory that a storage has.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoragePlace {
    /// Storage.
    pub storage: StorageId,
    /// Dataset or directory below it.
    pub dataset: DatasetName,
    /// Make it if it is missing.
    pub create: bool,
    /// Where it is on the node, once that was worked out.
    pub path: Option<HostPath>,
}

/// A volume of a storage, as `ceph:vm-900-disk-0` (PVE 8.4 and 9.2, format `pve-volume-id`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VolumeId(String);

impl VolumeId {
    /// Checks a volume's id.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bad = |rule: &str| Err(Invalid::new("volume", text, rule));
        let Some((storage, name)) = text.split_once(':') else {
            return bad("must be STORAGE:VOLUME, as ceph:vm-900-disk-0");
        };
        StorageId::parse(storage)?;
        let good = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
        let part = |part: &str| !part.is_empty() && !part.starts_with(['.', '-']) && part.chars().all(good);
        if name.len() > 200 || !name.split('/').all(part) {
            return bad("the name of a volume is of letters, digits, '-', '_', '.' and '+'");
        }
        Ok(Self(text.to_owned()))
    }

    /// Storage and name.
    pub fn parts(&self) -> (&str, &str) {
        self.0.split_once(':').unwrap_or((&self.0, ""))
    }

    /// Id of the guest that it belongs to, by its name: `vm-900-disk-0`, `900/vm-900-disk-0.raw`, `base-9000-disk-0/vm-101-disk-0`.
    pub fn owner(&self) -> Option<u32> {
        let last = self.parts().1.rsplit('/').next()?;
        let rest =
            ["vm-", "base-", "subvol-", "basevol-"].iter().find_map(|prefix| last.strip_prefix(prefix))?;
        rest.split('-').next()?.parse().ok()
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for VolumeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}
text_newtype!(VolumeId);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn storages() {
        for good in ["local", "local-zfs", "ab", "ceph_1", "a.b"] {
            assert!(StorageId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "1a", "a-", "a b", "a:b", "ä1", "-a"] {
            assert!(StorageId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn datasets_stay_below_their_storage_and_off_the_guests() {
        for good in ["team", "smb/team", "a.b/c_d-e"] {
            assert!(DatasetName::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/a",
            "a/",
            "a//b",
            "../a",
            "a/../b",
            ".a",
            "a b",
            "a@b",
            "vm-100-disk-0",
            "images/100",
            "subvol-1",
        ] {
            assert!(DatasetName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn volumes_and_their_owners() {
        for (text, owner) in [
            ("ceph:vm-900-disk-0", Some(900)),
            ("local:101/vm-101-disk-1.qcow2", Some(101)),
            ("local-zfs:base-9000-disk-0/vm-102-disk-0", Some(102)),
            ("local-zfs:subvol-7-disk-0", Some(7)),
            ("local:import/x.qcow2", None),
        ] {
            assert_eq!(VolumeId::parse(text).unwrap().owner(), owner, "{text}");
        }
        for bad in ["x", ":x", "ceph:", "ceph:a,b", "ceph:../x", "ceph:a b", "ceph:a=b"] {
            assert!(VolumeId::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn accepted_volumes_are_single_values(text in "\\PC{0,60}") {
            if let Ok(volume) = VolumeId::parse(&text) {
                prop_assert!(!volume.as_str().contains([',', ' ', '=', '\n']));
            }
        }
    }
}
