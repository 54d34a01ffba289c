//! The manifest: everything that is in a template, by hash, in a file beside it.

use std::collections::BTreeMap;
use std::convert::Infallible;

use serde::{Deserialize, Serialize};

use crate::disk::DiskRecord;
use crate::engine::Engine;
use crate::hash;
use crate::lock::{Lock, Package};
use crate::parallel::in_parallel;
use crate::tarball::Level;
use crate::tree::{Entry, Kind, Tree};

/// Version of the file format.
pub const FORMAT: u32 = 1;

/// A manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Name of the template: `debian-13`.
    pub template: String,
    /// Version of the product that built it.
    pub version: String,
    /// Debian architecture.
    pub architecture: String,
    /// `lxc`: a container's root file system; `vm`: a virtual machine's disk.
    pub form: String,
    /// Debian suite.
    pub suite: String,
    /// Version of the Samba package.
    pub samba: Option<String>,
    /// The agent in it.
    pub agent: AgentRecord,
    /// SHA-256 of the recipe's content.
    pub recipe_hash: String,
    /// SHA-256 of the lock.
    pub lock_hash: String,
    /// Seconds since 1970: no file in the template is newer.
    pub epoch: i64,
    /// How to build it again; missing in manifests of older builders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildRecord>,
    /// The `.tar.zst` or `.qcow2`.
    pub archive: FileRecord,
    /// The tar in a `.tar.zst`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tar: Option<FileRecord>,
    /// The disk in a `.qcow2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskRecord>,
    /// Packages, sorted by name.
    pub packages: Vec<PackageRecord>,
    /// Paths, sorted by their bytes.
    pub files: Vec<PathRecord>,
}

/// How a template was built: with recipe and agent, all that it takes to build it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildRecord {
    /// What installed the packages.
    pub engine: Engine,
    /// How hard it was compressed.
    pub compression: Level,
    /// The lock, whole.
    pub lock: Lock,
}

/// The agent in a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentRecord {
    /// What it says of itself.
    pub version: Option<String>,
    /// SHA-256 of its binary.
    pub sha256: String,
}

/// A file by content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its name.
    pub name: String,
    /// SHA-256.
    pub sha256: String,
    /// Size in bytes.
    pub size: u64,
}

/// A package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageRecord {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// `amd64` or `all`.
    pub architecture: String,
    /// Source package.
    pub source: String,
    /// Version of the source package.
    pub source_version: String,
    /// SHA-256 of the `.deb`.
    pub sha256: String,
}

/// A path in the template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathRecord {
    /// Absolute path.
    pub path: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: PathKind,
    /// Permission bits in octal.
    pub mode: String,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes, of files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// SHA-256, of files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Where it points, of links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Extended attributes by full name, the values in hex, as system calls give them; a file's, not its other names'.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: BTreeMap<String, String>,
}

/// Kinds of path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PathKind {
    /// Directory.
    Directory,
    /// Regular file.
    File,
    /// Symbolic link.
    Symlink,
    /// Another name of a file.
    Hardlink,
}

impl From<&Package> for PackageRecord {
    fn from(package: &Package) -> Self {
        Self {
            name: package.name.clone(),
            version: package.version.clone(),
            architecture: package.architecture.clone(),
            source: package.source.clone(),
            source_version: package.source_version.clone(),
            sha256: package.sha256.clone(),
        }
    }
}

impl Manifest {
    /// Parses a manifest.
    ///
    /// # Errors
    /// A sentence for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let manifest: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if manifest.format == FORMAT {
            Ok(manifest)
        } else {
            Err(format!("format {} is not known to this version (it knows {FORMAT})", manifest.format))
        }
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// Every path of the tree with its hash. Uses all processors: hashing is most of the work.
pub fn list_paths(tree: &Tree) -> Vec<PathRecord> {
    let entries: Vec<_> = tree.entries().collect();
    // many small shares, so that one big file does not hold up a thread at the end
    let shares: Vec<_> = entries.chunks(256).collect();
    let numbers: Vec<usize> = (0..shares.len()).collect();
    let of_share = |number: usize| {
        let records = shares[number].iter().map(|(path, entry)| record(tree, path, entry));
        Ok::<Vec<PathRecord>, Infallible>(records.collect())
    };
    let Ok(records) = in_parallel(&numbers, of_share);
    records.into_iter().flatten().collect()
}

fn record(tree: &Tree, path: &str, entry: &Entry) -> PathRecord {
    let record = PathRecord::new(path, entry);
    match &entry.kind {
        Kind::File(content) => {
            let bytes = tree.bytes(content);
            record.with_content(hash::of_bytes(bytes), bytes.len() as u64)
        }
        _ => record,
    }
}

impl PathRecord {
    /// Everything but a file's content.
    pub fn new(path: &str, entry: &Entry) -> Self {
        let (kind, link) = match &entry.kind {
            Kind::Directory => (PathKind::Directory, None),
            Kind::File(_) => (PathKind::File, None),
            Kind::Symlink(target) => (PathKind::Symlink, Some(target.clone())),
            Kind::Hardlink(first) => (PathKind::Hardlink, Some(first.clone())),
        };
        let xattrs = entry.xattrs.iter().filter(|_| kind != PathKind::Hardlink);
        Self {
            path: path.to_owned(),
            kind,
            mode: format!("{:04o}", entry.mode),
            uid: entry.uid,
            gid: entry.gid,
            size: None,
            sha256: None,
            link,
            xattrs: xattrs.map(|(name, value)| (name.clone(), hash::hex(value))).collect(),
        }
    }

    /// With a file's content, by SHA-256 and size in bytes.
    pub fn with_content(self, sha256: String, size: u64) -> Self {
        Self { sha256: Some(sha256), size: Some(size), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_listed_in_order_with_their_hash() {
        let mut tree = Tree::default();
        for number in 0..600 {
            tree.put(&format!("/f{number:04}"), Entry::file(format!("{number}"))).unwrap();
        }
        tree.put("/link", Entry::symlink("f0001")).unwrap();
        let mut capable = Entry::file("elf");
        capable.xattrs.insert("security.capability".into(), vec![1, 0, 0, 2, 0, 32, 0, 0]);
        tree.put("/ping", capable).unwrap();
        let paths = list_paths(&tree);
        assert_eq!(paths.len(), 603);
        assert!(paths.is_sorted_by(|a, b| a.path < b.path));
        assert_eq!(paths[2].sha256.as_deref(), Some(hash::of_bytes(b"1").as_str()));
        insta::assert_json_snapshot!("path_records", (&paths[0], &paths[1], &paths[601], &paths[602]));
    }
}
