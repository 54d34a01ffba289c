//! A private package archive of exactly these packages, for the engine to install from without a network.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use crate::deb;
use crate::error::Error;
use crate::lock::Package;
use crate::store::Store;
use crate::workdir::WorkDir;

/// Writes the archive into the work directory and gives its place.
///
/// The packages are copied rather than linked: the engine reads them as another user, to whom the cache may be closed.
///
/// # Errors
/// [`Error::NotIntact`] when the store is damaged, [`Error::Io`].
pub fn write(packages: &[Package], suite: &str, store: &Store, work: &WorkDir) -> Result<PathBuf, Error> {
    let directory = work.join("repo");
    fs::create_dir_all(&directory).map_err(Error::io("making", &directory))?;
    let mut index = String::new();
    for package in packages {
        let content = store.read(&package.sha256)?;
        let control = deb::control(&package.id(), &content)?;
        let file = format!("{}.deb", package.sha256);
        let path = directory.join(&file);
        fs::write(&path, content).map_err(Error::io("writing", path))?;
        let _ = write!(
            index,
            "{}\nFilename: ./{file}\nSize: {}\nSHA256: {}\n\n",
            control.trim_end(),
            package.size,
            package.sha256
        );
    }
    let release = format!("Suite: {suite}\nCodename: {suite}\n");
    for (name, text) in [("Packages", index), ("Release", release)] {
        let path = directory.join(name);
        fs::write(&path, text).map_err(Error::io("writing", path))?;
    }
    Ok(directory)
}
