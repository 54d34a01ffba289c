//! The disk of a gateway in a virtual machine: an image or device on the node, or an RBD image.

use serde::{Deserialize, Serialize};

use crate::{Invalid, VolumeId, text_newtype};

/// A disk of the gateway's own, for shares with a `folder`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "DiskFields", into = "DiskFields")]
pub struct Disk {
    /// Where its blocks are.
    pub source: DiskSource,
    /// Make a file system on it if it is empty; without this, an empty disk is an error.
    pub format: bool,
}

/// Where the blocks of a disk are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskSource {
    /// A raw image file, or a block device as `/dev/zvol/tank/team`.
    File(DiskPath),
    /// An RBD image, through librbd with the node's `/etc/ceph`.
    Rbd {
        /// Pool and image.
        image: RbdImage,
        /// Ceph user without `client.`; `admin` when absent.
        user: Option<CephUser>,
    },
    /// A volume of a storage (Proxmox VE).
    Volume(VolumeId),
}

impl std::fmt::Display for DiskSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.pad(path.as_str()),
            Self::Rbd { image, .. } => f.pad(&format!("rbd:{image}")),
            Self::Volume(volume) => f.pad(volume.as_str()),
        }
    }
}

/// As it is written in a spec: exactly one of `path`, `rbd` and `volume`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Disk"))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct DiskFields {
    /// Raw image file or block device on the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<DiskPath>,
    /// RBD image, as POOL/IMAGE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rbd: Option<RbdImage>,
    /// Ceph user without `client.`; `admin` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ceph_user: Option<CephUser>,
    /// Volume of a storage, as STORAGE:VOLUME (Proxmox VE).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    volume: Option<VolumeId>,
    /// Make a file system on it if it is empty.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    format: bool,
}

impl TryFrom<DiskFields> for Disk {
    type Error = Invalid;

    fn try_from(fields: DiskFields) -> Result<Self, Invalid> {
        let source = match (fields.path, fields.rbd, fields.volume) {
            (Some(path), None, None) if fields.ceph_user.is_none() => DiskSource::File(path),
            (None, Some(image), None) => DiskSource::Rbd { image, user: fields.ceph_user },
            (None, None, Some(volume)) if fields.ceph_user.is_none() => DiskSource::Volume(volume),
            (None, None, None) => {
                return Err(Invalid::new(
                    "disk",
                    "",
                    "needs a path, an RBD image (rbd) or a storage's volume",
                ));
            }
            _ => {
                return Err(Invalid::new("disk", "", "is either a path, an RBD image or a storage's volume"));
            }
        };
        Ok(Self { source, format: fields.format })
    }
}

impl From<Disk> for DiskFields {
    fn from(disk: Disk) -> Self {
        let none = Self { path: None, rbd: None, ceph_user: None, volume: None, format: disk.format };
        match disk.source {
            DiskSource::File(path) => Self { path: Some(path), ..none },
            DiskSource::Rbd { image, user } => Self { rbd: Some(image), ceph_user: user, ..none },
            DiskSource::Volume(volume) => Self { volume: Some(volume), ..none },
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Disk {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Disk".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        DiskFields::json_schema(generator)
    }
}

/// Absolute path of a raw image or a block device on the node. What it is gets checked where the node is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DiskPath(String);

impl DiskPath {
    /// Checks a path.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bad = |rule: &str| Err(Invalid::new("disk path", text, rule));
        if !text.starts_with('/') || text.ends_with('/') {
            return bad("must be the absolute path of an image file or a block device");
        }
        if text.len() > 1024 || text.chars().any(char::is_control) {
            return bad("must have at most 1024 bytes and no control characters");
        }
        if text.split('/').skip(1).any(|part| matches!(part, "" | "." | "..")) {
            return bad("must not contain '.', '..' or '//'");
        }
        Ok(Self(text.to_owned()))
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<std::path::Path> for DiskPath {
    fn as_ref(&self) -> &std::path::Path {
        std::path::Path::new(&self.0)
    }
}

impl std::fmt::Display for DiskPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}
text_newtype!(DiskPath);

/// Pool and image, as `tank/team`, or pool, namespace and image, as `tank/ns/team` (rbd(8)).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RbdImage(String);

impl RbdImage {
    /// Checks an image's name.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let good = |part: &str| {
            (1..=90).contains(&part.len())
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
                && !part.starts_with(['-', '.'])
        };
        if !(2..=3).contains(&text.split('/').count()) || !text.split('/').all(good) {
            return Err(Invalid::new(
                "RBD image",
                text,
                "must be POOL/IMAGE or POOL/NAMESPACE/IMAGE of letters, digits, '-', '_' and '.'",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// Pool, namespace and image.
    pub fn parts(&self) -> (&str, Option<&str>, &str) {
        // two or three parts, by `parse`
        let (pool, rest) = self.0.split_once('/').unwrap_or((&self.0, ""));
        match rest.split_once('/') {
            Some((namespace, image)) => (pool, Some(namespace), image),
            None => (pool, None, rest),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for RbdImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}
text_newtype!(RbdImage);

/// A Ceph user without its `client.`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CephUser(String);

impl CephUser {
    /// Checks a user's name.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !(1..=64).contains(&text.len()) || !text.chars().all(good) || text.starts_with(['-', '.']) {
            return Err(Invalid::new("Ceph user", text, "must be of letters, digits, '-', '_' and '.'"));
        }
        if text.starts_with("client.") {
            return Err(Invalid::new("Ceph user", text, "is written without 'client.'"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for CephUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}
text_newtype!(CephUser);

/// A folder on a gateway's disk, relative to its top, as `team` or `departments/team`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FolderPath(String);

impl FolderPath {
    /// Checks a folder.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that is broken.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bad = |rule: &str| Err(Invalid::new("folder", text, rule));
        if text.is_empty() || text.len() > 255 || text.chars().any(|c| c.is_control() || c == '\\') {
            return bad("must have 1 to 255 bytes, no control characters and no backslash");
        }
        if text.split('/').any(|part| part.starts_with(' ') || part.ends_with(' ')) {
            return bad("its parts must not begin or end with a space");
        }
        if text.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
            return bad("must be relative to the disk's top, without '.', '..', '//' or hidden parts");
        }
        if text.split('/').next() == Some("lost+found") {
            return bad("belongs to the file system");
        }
        Ok(Self(text.to_owned()))
    }

    /// The folder.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for FolderPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}
text_newtype!(FolderPath);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_one_thing() {
        for good in [
            "{rbd: tank/team}",
            "{path: /dev/zvol/tank/x, format: true}",
            "{rbd: a/b/c, ceph-user: px}",
            "{volume: 'ceph:vm-9-disk-0'}",
        ] {
            let disk: Disk = serde_yaml::from_str(good).unwrap();
            assert_eq!(serde_yaml::from_str::<Disk>(&serde_yaml::to_string(&disk).unwrap()).unwrap(), disk);
        }
        for bad in [
            "{}",
            "{rbd: tank/team, path: /x}",
            "{path: /x, ceph-user: a}",
            "{path: /x, volume: 'ceph:vm-9-disk-0'}",
            "{rbd: tank}",
            "{rbd: a/b, size: 1}",
        ] {
            assert!(serde_yaml::from_str::<Disk>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_and_paths() {
        for bad in ["tank", "tank/", "/tank/x", "a/b/c/d", "a/b@snap", "a/b:id=x", "-a/b", "a b/c"] {
            assert!(RbdImage::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(RbdImage::parse("tank/team").unwrap().parts(), ("tank", None, "team"));
        assert_eq!(RbdImage::parse("tank/n/team").unwrap().parts(), ("tank", Some("n"), "team"));
        for bad in ["", "/x", "../x", "a/../b", "lost+found", "a//b", ".hidden", "a\nb", "a\\b", "a /b", "b "]
        {
            assert!(FolderPath::parse(bad).is_err(), "{bad}");
        }
        for bad in ["x", "/", "/dev/../x", "/a/", "/a\nb"] {
            assert!(DiskPath::parse(bad).is_err(), "{bad}");
        }
    }
}
