//! What makes a root file system of locked packages. One engine so far; others go behind the same trait.

use std::path::{Path, PathBuf};

use smbgw_command::System;

use crate::error::Error;
use crate::lock::Lock;
use crate::recipe::Recipe;
use crate::workdir::WorkDir;

mod mmdebstrap;
mod subids;

pub use mmdebstrap::Mmdebstrap;

/// One root file system to make.
pub struct Job<'a> {
    /// What to install, and how `/usr` is merged.
    pub recipe: &'a Recipe,
    /// Exactly these packages must come out installed.
    pub lock: &'a Lock,
    /// Private archive of exactly these packages.
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
