//! The content store: files by their SHA-256, checked on the way in.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::hash;

/// A directory of files named by their hash.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
}

impl Store {
    /// The store of a cache directory.
    pub fn new(cache: &Path) -> Self {
        Self { directory: cache.join("store/sha256") }
    }

    /// Where the file with this hash is, or would be.
    pub fn path(&self, sha256: &str) -> PathBuf {
        self.directory.join(sha256.get(..2).unwrap_or("00")).join(sha256)
    }

    /// Whether the file is there, with this size in bytes. Its content was checked when it came in, and is checked again
    /// by whoever reads it.
    pub fn has(&self, sha256: &str, size: u64) -> bool {
        fs::metadata(self.path(sha256)).is_ok_and(|metadata| metadata.len() == size)
    }

    /// Takes a file over into the store if its content has this hash; the file is gone from its old place either way.
    ///
    /// # Errors
    /// [`Error::NotIntact`] when the hash differs, [`Error::Io`].
    pub fn take(&self, file: &Path, sha256: &str) -> Result<(), Error> {
        let (found, _) = hash::of_file(file).map_err(Error::io("reading", file))?;
        if found != sha256 {
            let _ = fs::remove_file(file);
            return Err(Error::NotIntact {
                path: file.to_owned(),
                detail: format!("its SHA-256 is {found}, and should be {sha256}"),
            });
        }
        let path = self.path(sha256);
        let directory = path.parent().unwrap_or(&self.directory);
        fs::create_dir_all(directory).map_err(Error::io("making", directory))?;
        let temporary = path.with_extension(format!("new-{}", std::process::id()));
        let install = || -> io::Result<()> {
            // the store may be on another file system than the download
            if fs::rename(file, &temporary).is_err() {
                fs::copy(file, &temporary)?;
                fs::remove_file(file)?;
            }
            fs::rename(&temporary, &path)
        };
        install().map_err(|source| {
            let _ = fs::remove_file(&temporary);
            Error::Io { doing: "storing", path: path.clone(), source }
        })
    }

    /// The file's content, checked.
    ///
    /// # Errors
    /// [`Error::NotIntact`] when the store is damaged, [`Error::Io`].
    pub fn read(&self, sha256: &str) -> Result<Vec<u8>, Error> {
        let path = self.path(sha256);
        let content = fs::read(&path).map_err(Error::io("reading", &path))?;
        if hash::of_bytes(&content) == sha256 {
            return Ok(content);
        }
        // gone, so that the next build fetches it again
        let _ = fs::remove_file(&path);
        Err(Error::NotIntact { path, detail: "its content does not have the hash it is stored under".into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_has_the_right_hash_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let file = directory.path().join("download");
        let good = hash::of_bytes(b"good");
        fs::write(&file, "evil").unwrap();
        assert!(matches!(store.take(&file, &good), Err(Error::NotIntact { .. })));
        assert!(!file.exists() && !store.has(&good, 4));
        fs::write(&file, "good").unwrap();
        store.take(&file, &good).unwrap();
        assert!(!file.exists() && store.has(&good, 4) && !store.has(&good, 5));
        assert_eq!(store.read(&good).unwrap(), b"good");
    }

    #[test]
    fn a_damaged_file_is_found_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let file = directory.path().join("download");
        let good = hash::of_bytes(b"good");
        fs::write(&file, "good").unwrap();
        store.take(&file, &good).unwrap();
        fs::write(store.path(&good), "rust").unwrap();
        assert!(matches!(store.read(&good), Err(Error::NotIntact { .. })));
        assert!(!store.has(&good, 4));
    }
}
