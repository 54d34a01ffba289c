//! What the builder hands over to its process inside the namespaces.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::glob::Glob;
use crate::lock::Package;
use crate::recipe::{Initrd, Slim};
use crate::store::Store;

/// What scripts look for, and do otherwise without: alternatives for manual pages, the journal's catalogue, Python to compile.
const LOOKED_FOR: &[&str] = &["/usr/share/man/", "/usr/lib/systemd/", "/usr/lib/python3"];

/// All that the process inside knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InsideJob {
    /// Where the tree is made: a directory that does not exist yet.
    pub(super) root: PathBuf,
    /// A tar to install on.
    pub(super) base: Option<PathBuf>,
    /// What to install.
    pub(super) packages: Vec<Deb>,
    /// Paths that are not unpacked.
    pub(super) without: Without,
    /// Files that would be left out afterwards: not even written.
    pub(super) slim: Slim,
    /// Whether the links of a merged `/usr` come from us, and not from a package.
    pub(super) merge_usr: bool,
    /// The time that scripts are to take for the present one.
    pub(super) epoch: i64,
    /// What is installed on it then, in the same place.
    pub(super) extension: Option<InsideExtension>,
}

/// A virtual machine's packages, on a container's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InsideExtension {
    /// What to install.
    pub(super) packages: Vec<Deb>,
    /// Paths that are not unpacked.
    pub(super) without: Without,
    /// The packages that somebody asked for in the container.
    pub(super) marked: Vec<String>,
    /// Its architecture.
    pub(super) architecture: String,
    /// The machine's initial ram disk.
    pub(super) initrd: Option<Initrd>,
    /// Where the container's tar goes, if anywhere.
    pub(super) container: Option<PathBuf>,
}

/// Paths that are not unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Without(pub(super) Vec<Glob>);

impl Without {
    /// Whether it is one of them.
    pub(super) fn has(&self, path: &str) -> bool {
        self.0.iter().any(|glob| glob.matches(path))
    }
}

/// A package's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Deb {
    /// `name_version_architecture`, for people.
    pub(super) id: String,
    /// Name.
    pub(super) name: String,
    /// Where it is.
    pub(super) file: PathBuf,
    /// What its SHA-256 must be.
    pub(super) sha256: String,
}

impl Deb {
    pub(super) fn new(package: &Package, store: &Store) -> Self {
        let file = store.path(&package.sha256);
        let file = std::path::absolute(&file).unwrap_or(file);
        Self { id: package.id(), name: package.name.clone(), file, sha256: package.sha256.clone() }
    }
}

impl InsideJob {
    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether a file would be left out afterwards.
    pub(super) fn is_slimmed(&self, path: &str) -> bool {
        let matches = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(path));
        let looked_for = LOOKED_FOR.iter().any(|start| path.starts_with(start));
        !looked_for && matches(&self.slim.drop) && !matches(&self.slim.keep)
    }

    /// Reads it.
    pub(super) fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read(path).map_err(Error::io("reading", path))?;
        serde_json::from_slice(&text)
            .map_err(|error| Error::Tree(format!("the order {} cannot be read: {error}", path.display())))
    }
}
