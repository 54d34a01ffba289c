//! Files of packages that stand-ins need to be others while scripts run.

use std::fs::{self, File};
use std::path::Path;
use std::time::SystemTime;

use crate::error::Error;

/// A file of a package that has another content for a while.
pub(super) struct Replaced {
    path: String,
    content: Vec<u8>,
    modified: SystemTime,
}

impl Replaced {
    /// Writes something else into it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn with(path: &str, other: &[u8]) -> Result<Self, Error> {
        let write = || {
            let (content, modified) = (fs::read(path)?, fs::metadata(path)?.modified()?);
            fs::write(path, other)?;
            Ok(Self { path: path.to_owned(), content, modified })
        };
        write().map_err(Error::io("writing", Path::new(path)))
    }

    /// Makes it what it was.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn back(self) -> Result<(), Error> {
        let write = || {
            fs::write(&self.path, &self.content)?;
            File::options().write(true).open(&self.path)?.set_modified(self.modified)
        };
        write().map_err(Error::io("writing", Path::new(&self.path)))
    }
}
