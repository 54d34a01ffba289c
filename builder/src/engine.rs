//! What makes a root file system of locked packages. One engine so far; others go behind the same trait.

use std::path::{Path, PathBuf};

use smbgw_command::System;

use crate::error::Error;
use crate::glob::Glob;
use crate::recipe::Recipe;
use crate::workdir::WorkDir;

mod mmdebstrap;
mod subids;

pub use mmdebstrap::Mmdebstrap;

/// One root file system to make.
pub struct Job<'a> {
    /// Suite, architecture, and how `/usr` is merged.
    pub recipe: &'a Recipe,
    /// What to install.
    pub packages: &'a [String],
    /// A tar of a root file system to install them on, instead of an empty one with the essential packages.
    pub base: Option<&'a Path>,
    /// Paths of the packages that are not to be unpacked.
    pub without: &'a [Glob],
    /// The time of every new file, in seconds since 1970.
    pub epoch: i64,
    /// Private archive of exactly what must come out installed.
    pub repo: &'a Path,
    /// Where the engine may write.
    pub work: &'a WorkDir,
    /// Starts programs.
    pub system: &'a System,
}

/// Makes root file systems.
pub trait RootfsEngine {
    /// Its name and version, for the record.
    fn name(&self) -> &'static str;

    /// Installs and configures the packages and gives an uncompressed tar of the result, in the work directory.
    ///
    /// # Errors
    /// [`Error::Program`], [`Error::Io`], [`Error::Interrupted`].
    fn make(&self, job: &Job<'_>, said: &(dyn Fn(&str) + Sync)) -> Result<PathBuf, Error>;
}
