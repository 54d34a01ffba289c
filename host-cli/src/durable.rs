//! Writing files so that a crash leaves the old or the new one, never half of one.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::{Error, Result};

/// Replaces a file: temporary file beside it, fsync, rename, fsync of the directory.
///
/// # Errors
/// [`Error::io`] when the file system refuses; the old file is untouched then.
pub fn replace(path: &Path, mode: u32, content: &[u8]) -> Result<()> {
    write(path, mode, content, RenameFlags::empty())
}

/// As [`replace`], but the file must not exist.
///
/// # Errors
/// With code `exists` when it does; else as [`replace`].
pub fn create(path: &Path, mode: u32, content: &[u8]) -> Result<()> {
    write(path, mode, content, RenameFlags::NOREPLACE)
}

fn write(path: &Path, mode: u32, content: &[u8], flags: RenameFlags) -> Result<()> {
    let io = |source| Error::io(format!("writing {}", path.display()), source);
    let directory =
        path.parent().ok_or_else(|| Error::internal(format!("{} has no parent", path.display())))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = directory.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = (|| {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        renameat_with(CWD, &temporary, CWD, path, flags)?;
        File::open(directory)?.sync_all()
    })();
    written.map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                Error::resource("exists", format!("{} exists", path.display()))
            }
            _ => io(error),
        }
    })
}

/// Makes a directory and its parents, if they are missing.
///
/// # Errors
/// [`Error::io`].
pub fn make_directory(path: &Path, mode: u32) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|source| Error::io(format!("making directory {}", path.display()), source))
}

/// Removes a file; one that is not there is as good as removed.
///
/// # Errors
/// [`Error::io`].
pub fn remove_file(path: &Path) -> Result<()> {
    missing_is_fine(std::fs::remove_file(path))
        .map_err(|source| Error::io(format!("removing {}", path.display()), source))
}

/// Removes a directory of ours with all that is in it; does not follow symbolic links.
///
/// # Errors
/// [`Error::io`].
pub fn remove_tree(path: &Path) -> Result<()> {
    missing_is_fine(std::fs::remove_dir_all(path))
        .map_err(|source| Error::io(format!("removing {}", path.display()), source))
}

fn missing_is_fine(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn create_does_not_replace() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        create(&path, 0o600, b"1").unwrap();
        assert_eq!(create(&path, 0o600, b"2").unwrap_err().code, "exists");
        replace(&path, 0o600, b"3").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"3");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn removing_what_is_not_there_is_fine() {
        remove_tree(Path::new("/nonexistent/x")).unwrap();
        remove_file(Path::new("/nonexistent/x")).unwrap();
    }
}
