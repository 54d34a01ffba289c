//! Paths, modes, and what may be changed.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::io::Errno;

use super::generated;
use crate::world::Node;

/// Most bytes of a file. Source: memdb.h, `MEMDB_MAX_FILE_SIZE`.
pub const MAX_FILE: u64 = 1 << 20;
/// Life of a lock that nobody renews. Source: memdb.h, `CFS_LOCK_TIMEOUT`.
const LOCK_LIFE: Duration = Duration::from_secs(120);
/// Links at the top.
const LINKS: &[&str] = &["local", "lxc", "qemu-server"];

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A directory.
    Directory,
    /// A file.
    File,
    /// A link.
    Link,
}

/// Something there.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What it is.
    pub what: What,
    /// Permission bits.
    pub mode: u16,
    /// Bytes.
    pub size: u64,
    /// When it was changed.
    pub changed: SystemTime,
}

/// The file system as one node sees it.
#[derive(Debug)]
pub struct Tree {
    node: Node,
    stored: PathBuf,
}

type Result<T> = std::result::Result<T, Errno>;

fn errno(error: io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}

impl Tree {
    /// Of this node.
    pub fn new(node: Node) -> Self {
        let stored = node.world.join("etc");
        Self { node, stored }
    }

    fn at(&self, path: &Path) -> PathBuf {
        self.stored.join(path)
    }

    /// Not connected: what a restart of pmxcfs looks like. The control file may say for how many requests.
    ///
    /// # Errors
    /// While it is.
    pub fn connected(&self) -> Result<()> {
        let control = self.node.control(&format!("down-{}", self.node.name));
        let Ok(text) = fs::read_to_string(&control) else { return Ok(()) };
        match text.trim().parse::<u32>() {
            Ok(0 | 1) => drop(fs::remove_file(&control)),
            Ok(more) => drop(fs::write(&control, (more - 1).to_string())),
            Err(_) => {}
        }
        Err(Errno::NOTCONN)
    }

    fn writable(&self) -> Result<()> {
        if self.node.quorate() { Ok(()) } else { Err(Errno::ACCESS) }
    }

    /// What links and generated files say.
    pub fn generated(&self, path: &Path) -> Option<String> {
        let name = path.to_str()?;
        generated::text(&self.node, &self.stored, name)
    }

    /// Where a link leads.
    pub fn link(&self, path: &Path) -> Option<String> {
        let name = path.to_str()?;
        LINKS.contains(&name).then(|| match name {
            "local" => format!("nodes/{}", self.node.name),
            other => format!("nodes/{}/{other}", self.node.name),
        })
    }

    /// Bits of a path: what it is decides, and the quorum.
    fn mode(&self, path: &Path, what: What) -> u16 {
        let mode = if private(path) {
            if what == What::Directory { 0o700 } else { 0o600 }
        } else if what == What::File {
            0o640
        } else {
            0o755
        };
        if self.node.quorate() && !path.to_str().is_some_and(generated::is) { mode } else { mode & 0o555 }
    }

    /// What is at a path.
    ///
    /// # Errors
    /// When nothing is.
    pub fn entry(&self, path: &Path) -> Result<Entry> {
        let now = SystemTime::now();
        if self.link(path).is_some() {
            return Ok(Entry { what: What::Link, mode: self.mode(path, What::Link), size: 0, changed: now });
        }
        if let Some(text) = self.generated(path) {
            let mode = self.mode(path, What::File);
            return Ok(Entry { what: What::File, mode, size: text.len() as u64, changed: now });
        }
        let metadata = fs::symlink_metadata(self.at(path)).map_err(errno)?;
        let what = if metadata.is_dir() { What::Directory } else { What::File };
        let size = if what == What::File { metadata.len() } else { 0 };
        Ok(Entry { what, mode: self.mode(path, what), size, changed: metadata.modified().unwrap_or(now) })
    }

    /// Names in a directory.
    ///
    /// # Errors
    /// When it is none.
    pub fn names(&self, path: &Path) -> Result<Vec<String>> {
        let mut names: Vec<String> = fs::read_dir(self.at(path))
            .map_err(errno)?
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        if path.as_os_str().is_empty() {
            names.extend(LINKS.iter().map(|name| (*name).to_owned()));
            names.extend(generated::NAMES.iter().map(|name| (*name).to_owned()));
        }
        names.sort();
        Ok(names)
    }

    /// Reads a piece.
    ///
    /// # Errors
    /// When it cannot.
    pub fn read(&self, path: &Path, offset: u64, size: usize) -> Result<Vec<u8>> {
        if let Some(text) = self.generated(path) {
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
            return Ok(text.as_bytes()[from..(from + size).min(text.len())].to_vec());
        }
        let file = File::open(self.at(path)).map_err(errno)?;
        let mut buffer = vec![0; size];
        let count = file.read_at(&mut buffer, offset).map_err(errno)?;
        buffer.truncate(count);
        Ok(buffer)
    }

    fn changed(&self, path: &Path) {
        generated::count(&self.node, path);
    }

    /// Writes a piece.
    ///
    /// # Errors
    /// Without quorum, and when the file would be too large.
    pub fn write(&self, path: &Path, offset: u64, data: &[u8]) -> Result<()> {
        self.writable()?;
        if offset + data.len() as u64 > MAX_FILE {
            return Err(Errno::FBIG);
        }
        let file = OpenOptions::new().write(true).open(self.at(path)).map_err(errno)?;
        file.write_all_at(data, offset).map_err(errno)?;
        self.changed(path);
        Ok(())
    }

    /// Sets a file's length.
    ///
    /// # Errors
    /// Without quorum, and when the file would be too large.
    pub fn truncate(&self, path: &Path, size: u64) -> Result<()> {
        self.writable()?;
        if size > MAX_FILE {
            return Err(Errno::FBIG);
        }
        OpenOptions::new()
            .write(true)
            .open(self.at(path))
            .and_then(|file| file.set_len(size))
            .map_err(errno)?;
        self.changed(path);
        Ok(())
    }

    /// Whether a file may be opened for writing.
    ///
    /// # Errors
    /// Without quorum, and when it is generated.
    pub fn may_write(&self, path: &Path) -> Result<()> {
        if self.generated(path).is_some() {
            return Err(Errno::PERM);
        }
        self.writable()
    }

    /// Makes a file.
    ///
    /// # Errors
    /// Without quorum, when it is there, and when another guest of the cluster has its id.
    pub fn create(&self, path: &Path) -> Result<()> {
        self.writable()?;
        self.unique(path, None)?;
        OpenOptions::new().write(true).create_new(true).open(self.at(path)).map_err(errno)?;
        self.changed(path);
        Ok(())
    }

    /// A guest's id is there once in a cluster. Source: memdb.c, `vmlist_different_vm_exists`.
    fn unique(&self, path: &Path, moved: Option<&Path>) -> Result<()> {
        let Some(vmid) = guest(path) else { return Ok(()) };
        let own = |(other, place): &(u32, PathBuf)| {
            *other == vmid && place != path && Some(place.as_path()) != moved
        };
        if generated::guests(&self.stored).iter().any(own) { Err(Errno::EXIST) } else { Ok(()) }
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// Without quorum, and when it is there.
    pub fn mkdir(&self, path: &Path) -> Result<()> {
        self.writable()?;
        fs::create_dir(self.at(path)).map_err(errno)?;
        self.changed(path);
        Ok(())
    }

    /// Removes a file or an empty directory.
    ///
    /// # Errors
    /// Without quorum, and as the system says.
    pub fn remove(&self, path: &Path, directory: bool) -> Result<()> {
        self.writable()?;
        let at = self.at(path);
        if directory { fs::remove_dir(at) } else { fs::remove_file(at) }.map_err(errno)?;
        self.changed(path);
        Ok(())
    }

    /// Gives a file or an empty directory another name.
    ///
    /// # Errors
    /// Without quorum, and when a directory is not empty.
    pub fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.writable()?;
        let at = self.at(from);
        if at.is_dir() && fs::read_dir(&at).map_err(errno)?.next().is_some() {
            return Err(Errno::NOTEMPTY);
        }
        self.unique(to, Some(from))?;
        fs::rename(&at, self.at(to)).map_err(errno)?;
        self.changed(from);
        self.changed(to);
        Ok(())
    }

    /// Source: pmxcfs.c, `cfs_fuse_chmod`.
    ///
    /// # Errors
    /// For every mode but the one that it has.
    pub fn chmod(&self, path: &Path, mode: u32) -> Result<()> {
        let only = if private(path) { 0o600 } else { 0o640 };
        if mode & 0o7777 == only { Ok(()) } else { Err(Errno::PERM) }
    }

    /// Source: pmxcfs.c, `cfs_fuse_chown`.
    ///
    /// # Errors
    /// For every owner but root and www-data.
    pub fn chown(&self, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        let good = uid.is_none_or(|uid| uid == 0) && gid.is_none_or(|gid| gid == super::fuse::WWW_DATA);
        if good { Ok(()) } else { Err(Errno::PERM) }
    }

    /// Sets the time of change. Zero on a lock asks for it to be dropped if nobody renewed it.
    ///
    /// # Errors
    /// Without quorum.
    pub fn touch(&self, path: &Path, time: SystemTime) -> Result<()> {
        self.writable()?;
        let at = self.at(path);
        let zero = time.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since.is_zero());
        if zero && at.is_dir() && path.parent() == Some(Path::new("priv/lock")) {
            let since = fs::metadata(&at).and_then(|metadata| metadata.modified()).map_err(errno)?;
            let ahead =
                fs::read_to_string(self.node.control("clock")).ok().and_then(|text| text.trim().parse().ok());
            let now = SystemTime::now() + Duration::from_secs(ahead.unwrap_or(0));
            if now.duration_since(since).is_ok_and(|age| age > LOCK_LIFE) {
                let _ = fs::remove_dir(&at);
            }
            return Ok(());
        }
        File::open(&at).and_then(|file| file.set_modified(time)).map_err(errno)
    }
}

/// Only root reads it. Source: pmxcfs.c, `path_is_private`.
fn private(path: &Path) -> bool {
    let mut parts = path.iter().filter_map(|part| part.to_str());
    match parts.next() {
        Some("priv") => true,
        Some("nodes") => parts.nth(1) == Some("priv"),
        _ => false,
    }
}

/// The guest that a file configures.
pub fn guest(path: &Path) -> Option<u32> {
    let parts: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
    match parts.as_slice() {
        ["nodes", _, "lxc" | "qemu-server", name] => name.strip_suffix(".conf")?.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Release;

    fn tree() -> (tempfile::TempDir, Tree) {
        let world = tempfile::tempdir().unwrap();
        for directory in ["control", "etc/nodes/one/lxc", "etc/nodes/two/qemu-server", "etc/priv/lock"] {
            fs::create_dir_all(world.path().join(directory)).unwrap();
        }
        let members = vec!["one".to_owned(), "two".to_owned()];
        let node =
            Node { world: world.path().to_owned(), name: "one".to_owned(), release: Release::V9_2, members };
        (world, Tree::new(node))
    }

    #[test]
    fn quorum_decides_who_may_write() {
        let (world, tree) = tree();
        let path = Path::new("a.cfg");
        tree.create(path).unwrap();
        tree.write(path, 0, b"hello").unwrap();
        assert_eq!(tree.entry(path).unwrap().mode, 0o640);
        assert_eq!(tree.entry(Path::new("local")).unwrap().mode & 0o200, 0o200);
        fs::write(world.path().join("control/quorum"), "0").unwrap();
        assert_eq!(tree.entry(Path::new("local")).unwrap().mode & 0o200, 0);
        assert_eq!(tree.entry(path).unwrap().mode, 0o440);
        assert_eq!(tree.read(path, 1, 3).unwrap(), b"ell");
        for refused in [
            tree.write(path, 0, b"x"),
            tree.create(Path::new("b")),
            tree.mkdir(Path::new("d")),
            tree.remove(path, false),
            tree.rename(path, Path::new("c")),
        ] {
            assert_eq!(refused.unwrap_err(), Errno::ACCESS);
        }
    }

    #[test]
    fn an_id_is_there_once() {
        let (_world, tree) = tree();
        tree.create(Path::new("nodes/one/lxc/101.conf")).unwrap();
        assert_eq!(tree.create(Path::new("nodes/two/qemu-server/101.conf")).unwrap_err(), Errno::EXIST);
        tree.create(Path::new("nodes/two/qemu-server/102.conf")).unwrap();
        fs::create_dir_all(tree.at(Path::new("nodes/two/lxc"))).unwrap();
        tree.rename(Path::new("nodes/one/lxc/101.conf"), Path::new("nodes/two/lxc/101.conf")).unwrap();
    }

    #[test]
    fn locks_grow_old() {
        let (world, tree) = tree();
        let lock = Path::new("priv/lock/file-x");
        tree.mkdir(lock).unwrap();
        assert_eq!(tree.mkdir(lock).unwrap_err(), Errno::EXIST);
        tree.touch(lock, SystemTime::UNIX_EPOCH).unwrap();
        assert!(tree.entry(lock).is_ok());
        fs::write(world.path().join("control/clock"), "121").unwrap();
        tree.touch(lock, SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(tree.entry(lock).unwrap_err(), Errno::NOENT);
    }

    #[test]
    fn limits_and_modes() {
        let (_world, tree) = tree();
        let path = Path::new("priv/a");
        tree.create(path).unwrap();
        assert_eq!(tree.entry(path).unwrap().mode, 0o600);
        assert_eq!(tree.write(path, MAX_FILE, b"x").unwrap_err(), Errno::FBIG);
        assert_eq!(tree.chmod(path, 0o644).unwrap_err(), Errno::PERM);
        tree.chmod(path, 0o600).unwrap();
        assert_eq!(tree.chown(Some(1000), None).unwrap_err(), Errno::PERM);
        tree.mkdir(Path::new("d")).unwrap();
        tree.create(Path::new("d/x")).unwrap();
        assert_eq!(tree.rename(Path::new("d"), Path::new("e")).unwrap_err(), Errno::NOTEMPTY);
    }
}
