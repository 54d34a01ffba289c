//! Files in `/etc/pve`. Plain files with rules: modes follow from the path and cannot be changed, a rename is atomic in the
//! cluster, nothing can be written without quorum, and a restart of the service makes it go away for a moment.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use smbgw_command::{Interrupt, WaitError, wait_until};

use crate::{Error, Result};

/// Time for the file system to come back after its service was restarted.
const RESTART: Duration = Duration::from_secs(8);
/// Times that a file may be replaced while it is being opened.
const REPLACED: usize = 50;
/// Mode of everything outside of `priv`; another one is refused.
const MODE: u32 = 0o640;
/// Largest file.
pub const MAX_FILE: usize = 1 << 20;

/// The cluster file system.
#[derive(Debug, Clone)]
pub struct ClusterFiles {
    root: PathBuf,
    interrupt: Interrupt,
}

/// Reads a file that others replace by renaming. FUSE looks a name up and opens what it found in two steps: what was replaced
/// between them is not found, or stale (seen with several writers), although the name is there all the time.
fn read_whole(path: &Path) -> io::Result<Vec<u8>> {
    let replaced = |error: &io::Error| {
        error.raw_os_error() == Some(Errno::STALE.raw_os_error())
            || (error.kind() == ErrorKind::NotFound && path.exists())
    };
    for _ in 0..REPLACED {
        match std::fs::read(path) {
            Err(error) if replaced(&error) => {}
            other => return other,
        }
    }
    std::fs::read(path)
}

impl ClusterFiles {
    /// Mounted here. The flag ends waits early.
    pub fn new(root: PathBuf, interrupt: Interrupt) -> Self {
        Self { root, interrupt }
    }

    /// Where a file is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The flag that ends waits early.
    pub fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// Name of this node.
    ///
    /// # Errors
    /// Code `no-cluster-files` when the file system is not mounted.
    pub fn node(&self) -> Result<String> {
        let local = self.path("local");
        let target =
            self.patiently(|| std::fs::read_link(&local)).map_err(|source| not_mounted().source(source))?;
        let name = target.file_name().map(|name| name.to_string_lossy().into_owned());
        name.filter(|name| is_node_name(name)).ok_or_else(not_mounted)
    }

    /// Makes sure that the cluster can decide, so that something can be written.
    ///
    /// # Errors
    /// Code `no-quorum`.
    pub fn require_quorum(&self) -> Result<()> {
        self.node()?;
        let local = self.path("local");
        let mode = self
            .patiently(|| {
                std::fs::symlink_metadata(&local).map(|found| std::os::unix::fs::MetadataExt::mode(&found))
            })
            .map_err(|source| not_mounted().source(source))?;
        // without quorum nothing there has a write bit (PVE 8.4 and 9.2, `PVE::Cluster::check_cfs_quorum`)
        if mode & 0o200 == 0 { Err(no_quorum()) } else { Ok(()) }
    }

    /// A file's text; nothing when there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, name: &str) -> Result<Option<String>> {
        let path = self.path(name);
        match self.patiently(|| read_whole(&path)) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(source) => Err(Error::io(format!("reading {}", path.display()), source)),
        }
    }

    /// Replaces a file as a whole.
    ///
    /// # Errors
    /// Codes `no-quorum`, and `no-space` above 1 MiB.
    pub fn replace(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path(name);
        if text.len() > MAX_FILE {
            return Err(Error::resource(
                "no-space",
                format!("{} would be larger than 1 MiB", path.display()),
            )
            .hint("no file in /etc/pve may be: delete gateways that are not needed"));
        }
        // as Proxmox VE names them: they are not taken for configurations
        let temporary = PathBuf::from(format!("{}.tmp.{}", path.display(), std::process::id()));
        self.patiently(|| write(&temporary, &path, text)).map_err(|source| {
            let _ = std::fs::remove_file(&temporary);
            writing(&path, source)
        })
    }

    /// Does it again while the service is being restarted.
    pub(super) fn patiently<T>(&self, act: impl Fn() -> std::io::Result<T>) -> std::io::Result<T> {
        let mut last = None;
        let done = wait_until("/etc/pve to come back", RESTART, &self.interrupt, || match act() {
            Err(error) if is_passing(&error) => {
                last = Some(error);
                None
            }
            result => Some(result),
        });
        match (done, last) {
            (Ok(result), _) => result,
            (Err(WaitError::TimedOut { .. } | WaitError::Interrupted { .. }), Some(last)) => Err(last),
            (Err(error), None) => Err(std::io::Error::other(error.to_string())),
        }
    }
}

fn write(temporary: &Path, path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(temporary)?;
    // in one go: each write is a message to the whole cluster
    file.write_all(text.as_bytes())?;
    drop(file);
    std::fs::rename(temporary, path)
}

fn is_passing(error: &std::io::Error) -> bool {
    [Errno::NOTCONN, Errno::IO, Errno::CONNABORTED]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// The error of something that could not be written there.
pub(super) fn writing(path: &Path, source: std::io::Error) -> Error {
    match source.kind() {
        // root is refused only for want of quorum
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => no_quorum().source(source),
        ErrorKind::FileTooLarge => Error::resource("no-space", format!("{} is full", path.display()))
            .hint("no file in /etc/pve may be larger than 1 MiB: delete gateways that are not needed")
            .source(source),
        _ => Error::io(format!("writing {}", path.display()), source),
    }
}

fn not_mounted() -> Error {
    Error::infrastructure("no-cluster-files", "/etc/pve is not mounted on this node")
        .hint("`systemctl status pve-cluster` says why")
}

fn no_quorum() -> Error {
    Error::infrastructure("no-quorum", "the cluster has no quorum, so nothing can be changed in /etc/pve")
        .hint("`pvecm status` shows which nodes are missing; try again when they are back")
}

/// Whether a text can be a node's name: a DNS label.
pub fn is_node_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !text.starts_with('-')
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A directory that looks like the cluster file system of node `pve1`.
    pub(crate) fn cluster() -> (tempfile::TempDir, ClusterFiles) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("pve");
        for sub in ["nodes/pve1/lxc", "nodes/pve1/qemu-server", "nodes/pve2/lxc", "priv/lock", "mapping"] {
            std::fs::create_dir_all(root.join(sub)).unwrap();
        }
        std::os::unix::fs::symlink("nodes/pve1", root.join("local")).unwrap();
        let files = ClusterFiles::new(root, Interrupt::new());
        (directory, files)
    }

    #[test]
    fn files_are_replaced_as_a_whole() {
        let (_directory, files) = cluster();
        assert_eq!(files.node().unwrap(), "pve1");
        files.require_quorum().unwrap();
        assert_eq!(files.read("x.cfg").unwrap(), None);
        files.replace("x.cfg", "one\n").unwrap();
        files.replace("x.cfg", "two\n").unwrap();
        assert_eq!(files.read("x.cfg").unwrap().unwrap(), "two\n");
        let left = std::fs::read_dir(files.path("")).unwrap().flatten();
        assert!(left.into_iter().all(|entry| !entry.file_name().to_string_lossy().contains("tmp")));
        assert_eq!(files.replace("x.cfg", &"x".repeat(MAX_FILE + 1)).unwrap_err().code, "no-space");
    }

    #[test]
    fn a_directory_is_not_a_cluster() {
        let directory = tempfile::tempdir().unwrap();
        let files = ClusterFiles::new(directory.path().to_owned(), Interrupt::new());
        assert_eq!(files.node().unwrap_err().code, "no-cluster-files");
        assert_eq!(files.require_quorum().unwrap_err().category.exit_code(), 3);
    }
}
