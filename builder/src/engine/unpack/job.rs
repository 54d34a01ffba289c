//! What the builder hands over to its process inside the namespaces.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::glob::Glob;
use crate::lock::Package;
use crate::store::Store;

/// All that the process inside knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InsideJob {
    /// Where the tree is made: a directory that does not exist yet.
    pub(super) root: PathBuf,
    /// Where its tar goes.
    pub(super) tar: PathBuf,
    /// A tar to install on.
    pub(super) base: Option<PathBuf>,
    /// What to install.
    pub(super) packages: Vec<Deb>,
    /// Paths that are not unpacked.
    pub(super) without: Vec<Glob>,
    /// Whether the links of a merged `/usr` come from us, and not from a package.
    pub(super) merge_usr: bool,
    /// The time that scripts are to take for the present one.
    pub(super) epoch: i64,
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

    /// Reads it.
    pub(super) fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read(path).map_err(Error::io("reading", path))?;
        serde_json::from_slice(&text)
            .map_err(|error| Error::Tree(format!("the order {} cannot be read: {error}", path.display())))
    }
}
