//! Directories for temporary files: named after the process, gone at its end, swept when it could not do that.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use smbgw_command::{Command, Runner, System};

use crate::error::Error;

const PREFIX: &str = "smbgw-build-";
/// A tree, its tar, the packages and some room.
const NEEDED: u64 = 1_500_000_000;

/// A temporary directory of this process.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
}

impl WorkDir {
    /// Makes one: in `$TMPDIR` if that is set, else in memory if `/dev/shm` has 1.5 GB free (a build there takes half the
    /// time), else in `/var/tmp`. Sweeps what ended processes left in the same place.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create() -> Result<Self, Error> {
        let given = std::env::var_os("TMPDIR").map(PathBuf::from).filter(|path| !path.as_os_str().is_empty());
        let memory = PathBuf::from("/dev/shm");
        let base = match given {
            Some(path) => path,
            None if free_memory_disk(&memory) >= NEEDED => memory,
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
        let started = start_time(pid).unwrap_or_default();
        let number = (0..1000).map(|number| base.join(format!("{PREFIX}{pid}-{started}-{number}")));
        for path in number {
            match fs::create_dir(&path) {
                Ok(()) => {
                    // the engine enters it as other users
                    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                        .map_err(Error::io("opening", &path))?;
                    return Ok(Self { path });
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

/// Removes what processes that no longer run left in `base`.
fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        if entry
            .file_name()
            .to_str()
            .and_then(owner)
            .is_some_and(|(pid, started)| start_time(pid) != Some(started))
        {
            remove(&entry.path());
        }
    }
}

/// Process id and start time in the name of a work directory.
fn owner(name: &str) -> Option<(u32, u64)> {
    let mut parts = name.strip_prefix(PREFIX)?.split('-');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// When a process started, in clock ticks since boot: with the id it names a process for good. Source: proc(5), field 22.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // the name in brackets may hold spaces and brackets
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
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
    /// Source: statfs(2).
    const TMPFS_MAGIC: i64 = 0x0102_1994;
    match rustix::fs::statfs(path) {
        #[expect(clippy::unnecessary_cast, reason = "the type differs between architectures")]
        Ok(found) if found.f_type as i64 == TMPFS_MAGIC => found.f_bavail as u64 * found.f_bsize as u64,
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
        let ended = base.path().join(format!("{PREFIX}4294967290-1-0"));
        let reused = base.path().join(format!("{PREFIX}{}-1-0", std::process::id()));
        fs::create_dir_all(ended.join("deep")).unwrap();
        fs::create_dir(&reused).unwrap();
        let work = WorkDir::create_in(base.path()).unwrap();
        assert!(!ended.exists() && !reused.exists() && work.path().exists());
    }
}
