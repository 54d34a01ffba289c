//! Directories for temporary files: locked by their process, gone at its end, swept when it could not do that.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use smbgw_command::{Command, Runner, System};

use crate::error::Error;
use crate::sparse;

const PREFIX: &str = "smbgw-build-";

/// A temporary directory of this process, which holds its lock: unlike a process id, a lock is known in every namespace.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
    _lock: fs::File,
}

impl WorkDir {
    /// Makes one: in `$TMPDIR` if that is set, else in memory if `/dev/shm` has that many bytes free (a build there takes half
    /// the time), else in `/var/tmp`. Sweeps what ended processes left in the same place.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(needed: u64) -> Result<Self, Error> {
        let given = std::env::var_os("TMPDIR").map(PathBuf::from).filter(|path| !path.as_os_str().is_empty());
        let memory = PathBuf::from("/dev/shm");
        let base = match given {
            Some(path) => path,
            None if free_memory_disk(&memory) >= needed => memory,
            None => PathBuf::from("/var/tmp"),
        };
        Self::create_in(&base)
    }

    /// Makes one in this directory, after sweeping it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create_in(base: &Path) -> Result<Self, Error> {
        sweep(base);
        let pid = std::process::id();
        let number = (0..1000).map(|number| base.join(format!("{PREFIX}{pid}-{number}")));
        for path in number {
            match fs::create_dir(&path) {
                Ok(()) => {
                    // the engine enters it as other users
                    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                        .map_err(Error::io("opening", &path))?;
                    // another builder may have swept it before it was locked
                    if let Some(lock) = lock(&path).filter(|_| path.exists()) {
                        return Ok(Self { path, _lock: lock });
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => {
                    return Err(Error::Io { doing: "making", path, source });
                }
            }
        }
        Err(Error::Io {
            doing: "making a work directory in",
            path: base.to_owned(),
            source: io::ErrorKind::AlreadyExists.into(),
        })
    }

    /// A path in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Removes a path in it, whoever its files belong to.
    pub fn remove(&self, name: &str) {
        remove(&self.join(name));
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Removes what processes that no longer run left in `base`: nobody holds its lock.
fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(is_ours) && lock(&entry.path()).is_some() {
            remove(&entry.path());
        }
    }
}

/// Whether this is the name of a work directory: the prefix, and numbers.
fn is_ours(name: &str) -> bool {
    let number = |part: &str| part.parse::<u64>().is_ok();
    name.strip_prefix(PREFIX).is_some_and(|rest| rest.contains('-') && rest.split('-').all(number))
}

/// Takes the lock of a directory, if nobody has it. It goes with the process, however that ends (flock(2)).
fn lock(path: &Path) -> Option<fs::File> {
    let directory = fs::File::open(path).ok()?;
    rustix::fs::flock(&directory, rustix::fs::FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(directory)
}

fn remove(path: &Path) {
    if fs::remove_dir_all(path).is_ok() || !path.exists() {
        return;
    }
    // an engine that was killed may leave files of subordinate users, whom only a user namespace can act for
    let command = Command::new("unshare")
        .args(["--user", "--map-root-user", "--map-auto", "--", "rm", "-rf", "--one-file-system"])
        .arg(path.to_string_lossy())
        .deadline(Duration::from_secs(60));
    let _ = System::new().run(&command);
}

/// Bytes free on a memory file system; 0 on any other.
fn free_memory_disk(path: &Path) -> u64 {
    match rustix::fs::statfs(path) {
        #[expect(clippy::unnecessary_cast, reason = "the type differs between architectures")]
        Ok(found) if sparse::is_in_memory(&found) => found.f_bavail as u64 * found.f_bsize as u64,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gone_at_the_end_and_others_are_left_alone() {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("smbgw-build-notes")).unwrap();
        let work = WorkDir::create_in(base.path()).unwrap();
        let second = WorkDir::create_in(base.path()).unwrap();
        fs::write(work.join("file"), "x").unwrap();
        assert!(second.path().exists() && work.path() != second.path());
        drop((work, second));
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 1, "only the other directory stays");
    }

    #[test]
    fn leftovers_of_ended_processes_are_swept() {
        let base = tempfile::tempdir().unwrap();
        let ended = base.path().join(format!("{PREFIX}{}-7", std::process::id()));
        fs::create_dir_all(ended.join("deep")).unwrap();
        let running = WorkDir::create_in(base.path()).unwrap();
        assert!(!ended.exists());
        let work = WorkDir::create_in(base.path()).unwrap();
        assert!(running.path().exists() && work.path().exists());
    }
}
