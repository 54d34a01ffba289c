//! What makes a root file system of locked packages: two engines behind one trait, which make the same templates.

use std::path::Path;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use smbgw_command::System;

use crate::error::Error;
use crate::glob::Glob;
use crate::lock::Package;
use crate::recipe::{Initrd, Recipe, Slim};
use crate::store::Store;
use crate::workdir::WorkDir;

pub(crate) mod base;
mod contained;
mod mmdebstrap;
mod subids;
pub mod unpack;

pub use mmdebstrap::Mmdebstrap;
pub use unpack::Unpack;

/// Which engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Unpacks all packages at once by itself, and lets dpkg configure them
    #[default]
    Unpack,
    /// mmdebstrap with apt and dpkg: slower
    Mmdebstrap,
}

impl Engine {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unpack => "unpack",
            Self::Mmdebstrap => "mmdebstrap",
        }
    }

    /// What does the work.
    pub fn implementation(self) -> &'static dyn RootfsEngine {
        match self {
            Self::Unpack => &Unpack,
            Self::Mmdebstrap => &Mmdebstrap,
        }
    }
}

/// One root file system to make.
pub struct Job<'a> {
    /// Suite, architecture, and how `/usr` is merged.
    pub recipe: &'a Recipe,
    /// What must come out installed, besides what `base` has.
    pub packages: &'a [Package],
    /// Those of them that somebody asked for; the others came along.
    pub wanted: &'a [String],
    /// A tar of a root file system to install them on, instead of an empty one with the essential packages.
    pub base: Option<&'a Path>,
    /// Paths of the packages that are not to be unpacked.
    pub without: &'a [Glob],
    /// What is left out of every form of the template: an engine need not write it.
    pub slim: &'a Slim,
    /// The time of every new file, in seconds since 1970.
    pub epoch: i64,
    /// Where the packages are.
    pub store: &'a Store,
    /// Where the engine may write.
    pub work: &'a WorkDir,
    /// Starts programs.
    pub system: &'a System,
    /// What comes on top of it, in a second tree.
    pub extension: Option<Extension<'a>>,
}

/// A virtual machine's tree, that is installed on a container's.
pub struct Extension<'a> {
    /// What must come out installed, besides what the container has.
    pub packages: &'a [Package],
    /// Paths of the packages that are not to be unpacked.
    pub without: &'a [Glob],
    /// The packages that somebody asked for in the container.
    pub marked: &'a [String],
    /// Its initial ram disk.
    pub initrd: Option<&'a Initrd>,
    /// Whether anybody wants the container's tree, too.
    pub keeps_container: bool,
}

/// Uncompressed tars of what was made.
pub struct Made {
    /// Of the job's own tree; nothing when there is an extension that does not keep it.
    pub tree: Option<Vec<u8>>,
    /// Of the extension's, when there is one and the engine can go on in the same place.
    pub extended: Option<Vec<u8>>,
}

/// Reads a tar in the work directory; it would be in memory twice if it stayed.
fn take(path: &Path) -> Result<Vec<u8>, Error> {
    let bytes = std::fs::read(path).map_err(Error::io("reading", path))?;
    let _ = std::fs::remove_file(path);
    Ok(bytes)
}

/// Makes root file systems.
pub trait RootfsEngine {
    /// Installs and configures the packages.
    ///
    /// # Errors
    /// [`Error::Program`], [`Error::Io`], [`Error::Interrupted`].
    fn make(&self, job: &Job<'_>, said: &(dyn Fn(&str) + Sync)) -> Result<Made, Error>;
}
