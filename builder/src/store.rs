//! The content store: files by their SHA-256. What comes in gets the name of its own hash, so none can have a wrong one; what a
//! disk makes of it later is found by whoever reads it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FlockOperation, flock};

use crate::error::Error;
use crate::hash::{self, HashWriter};

/// What files that are still being written are called: this, a process id, a number.
const PREFIX: &str = "incoming-";

/// A directory of files named by their hash.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
    incoming: PathBuf,
}

impl Store {
    /// The store of a cache directory.
    pub fn new(cache: &Path) -> Self {
        // beside the files, so that a finished one can be renamed into its place
        Self { directory: cache.join("store/sha256"), incoming: cache.join("store/incoming") }
    }

    /// Where the file with this hash is, or would be.
    pub fn path(&self, sha256: &str) -> PathBuf {
        self.directory.join(sha256.get(..2).unwrap_or("00")).join(sha256)
    }

    /// Whether the file is there, with this size in bytes. Its content was checked when it came in, and is checked again
    /// by whoever reads it.
    pub fn has(&self, sha256: &str, size: u64) -> bool {
        fs::metadata(self.path(sha256)).is_ok_and(|metadata| metadata.is_file() && metadata.len() == size)
    }

    /// Begins a file. It is in the store when it is [finished](Incoming::finish) and [kept](Received::keep); until then it
    /// is gone with this process, at the latest when [`Self::sweep`] finds that nobody holds its lock.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn incoming(&self) -> Result<Incoming, Error> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        fs::create_dir_all(&self.incoming).map_err(Error::io("making", &self.incoming))?;
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = self.incoming.join(format!("{PREFIX}{}-{number}", std::process::id()));
            let file = match File::create_new(&path) {
                // of a process of the same id, in another namespace or before
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                other => other.map_err(Error::io("making", &path))?,
            };
            // another builder may have swept it before it was locked
            if locked(&file) && is_at(&file, &path) {
                let temporary = Temporary { path, renamed: false };
                return Ok(Incoming { store: self.clone(), temporary, writer: HashWriter::new(file) });
            }
        }
    }

    /// Removes what processes that no longer run were still writing: nobody holds its lock, which goes with the process,
    /// however that ends (flock(2)).
    pub fn sweep(&self) {
        for entry in fs::read_dir(&self.incoming).into_iter().flatten().flatten() {
            let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
            let path = entry.path();
            if ours && File::open(&path).is_ok_and(|file| locked(&file) && is_at(&file, &path)) {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// The file's content, checked.
    ///
    /// # Errors
    /// [`Error::StoreDamaged`] when the store is damaged, [`Error::Io`].
    pub fn read(&self, sha256: &str) -> Result<Vec<u8>, Error> {
        let path = self.path(sha256);
        let content = fs::read(&path).map_err(Error::io("reading", &path))?;
        let found = hash::of_bytes(&content);
        if found == sha256 {
            return Ok(content);
        }
        // gone, so that the next build fetches it again
        let _ = fs::remove_file(&path);
        Err(Error::StoreDamaged { path, found })
    }
}

/// A file that is being written; gone when it is dropped.
pub struct Incoming {
    store: Store,
    temporary: Temporary,
    writer: HashWriter<File>,
}

impl Incoming {
    /// Where it is being written.
    pub fn path(&self) -> &Path {
        &self.temporary.path
    }

    /// Ends the file.
    pub fn finish(self) -> Received {
        let (sha256, size, file) = self.writer.finish();
        Received { sha256, size, store: self.store, temporary: self.temporary, file }
    }
}

impl Write for Incoming {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// A file that was written and has no name yet; gone when it is dropped.
#[derive(Debug)]
pub struct Received {
    /// Its SHA-256.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    store: Store,
    temporary: Temporary,
    file: File,
}

impl Received {
    /// Gives it its name in the store: the hash it has. After a power cut it is there with its content, or it is not there.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn keep(mut self) -> Result<(), Error> {
        let path = self.store.path(&self.sha256);
        let directory = path.parent().unwrap_or(&self.store.directory);
        fs::create_dir_all(directory).map_err(Error::io("making", directory))?;
        // a name that is on disk before the content would be a name of something else
        let renamed = self.file.sync_data().and_then(|()| fs::rename(&self.temporary.path, &path));
        self.temporary.renamed = renamed.is_ok();
        renamed.map_err(Error::io("storing", path))
    }
}

/// The name of a file that is being written, which is removed with it.
#[derive(Debug)]
struct Temporary {
    path: PathBuf,
    renamed: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Takes the lock of a file, if nobody has it.
fn locked(file: &File) -> bool {
    flock(file, FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Whether the file still has this name.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(store: &Store, content: &[u8]) {
        let mut incoming = store.incoming().unwrap();
        incoming.write_all(content).unwrap();
        incoming.finish().keep().unwrap();
    }

    fn unfinished(store: &Store) -> usize {
        fs::read_dir(&store.incoming).map_or(0, Iterator::count)
    }

    #[test]
    fn a_file_gets_the_name_of_its_hash_and_nothing_else_stays() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let good = hash::of_bytes(b"good");
        let mut incoming = store.incoming().unwrap();
        incoming.write_all(b"go").unwrap();
        incoming.write_all(b"od").unwrap();
        assert!(!store.has(&good, 4) && unfinished(&store) == 1);
        let received = incoming.finish();
        assert_eq!((received.sha256.as_str(), received.size), (good.as_str(), 4));
        received.keep().unwrap();
        assert!(store.has(&good, 4) && !store.has(&good, 5));
        assert_eq!(store.read(&good).unwrap(), b"good");

        store.incoming().unwrap().write_all(b"unwanted").unwrap();
        drop(store.incoming().unwrap().finish());
        assert_eq!(unfinished(&store), 0);
    }

    #[test]
    fn a_damaged_file_is_found_removed_and_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let good = hash::of_bytes(b"good");
        put(&store, b"good");
        fs::write(store.path(&good), "rust").unwrap();
        assert!(matches!(store.read(&good), Err(Error::StoreDamaged { .. })));
        assert!(!store.has(&good, 4));
        // cut short, which its size tells
        fs::write(store.path(&good), "go").unwrap();
        assert!(!store.has(&good, 4));
        put(&store, b"good");
        assert_eq!(store.read(&good).unwrap(), b"good");
    }

    #[test]
    fn only_files_of_ended_processes_are_swept() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let mut running = store.incoming().unwrap();
        let left = store.incoming.join(format!("{PREFIX}1-0"));
        fs::write(&left, "half").unwrap();
        let other = store.incoming.join("notes");
        fs::write(&other, "x").unwrap();
        store.sweep();
        assert!(!left.exists() && other.exists());
        running.write_all(b"x").unwrap();
        running.finish().keep().unwrap();
        assert!(store.has(&hash::of_bytes(b"x"), 1));
    }
}
