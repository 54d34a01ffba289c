//! Installed trees, kept so that a new agent or overlay does not mean a new installation.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::engine::Engine;
use crate::error::Error;
use crate::hash;
use crate::lock::Lock;
use crate::recipe::Recipe;
use crate::tree::{Tree, write_tar};

/// Raised when the steps before the overlay change what they make of the same input.
const TREE_FORMAT: u32 = 6;
/// Trees kept: both forms of two recipes. Each takes 300 to 600 MB.
const KEPT: usize = 4;

/// The trees of a cache directory.
#[derive(Debug, Clone)]
pub struct TreeCache {
    directory: PathBuf,
}

impl TreeCache {
    /// The trees of a cache directory.
    pub fn new(cache: &Path) -> Self {
        Self { directory: cache.join("trees") }
    }

    /// The name of the tree that recipe and lock of one form make.
    pub fn key(engine: Engine, recipe: &Recipe, lock: &Lock) -> String {
        let packages =
            lock.packages.iter().map(|package| format!("{}\n", package.sha256)).collect::<String>();
        let (recipe, epoch, engine) = (recipe.tree_hash(), lock.epoch, engine.name());
        hash::of_bytes(format!("{TREE_FORMAT}\n{engine}\n{recipe}\n{epoch}\n{packages}").as_bytes())
    }

    /// The tree, if it is kept. One that cannot be read is forgotten.
    pub fn load(&self, key: &str) -> Option<Tree> {
        let path = self.path(key);
        let tree = Tree::read_tar(fs::read(&path).ok()?);
        if tree.is_err() {
            let _ = fs::remove_file(&path);
        }
        tree.ok()
    }

    /// Keeps a tree, and forgets the oldest beyond the fourth.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn store(&self, key: &str, tree: &Tree) -> Result<(), Error> {
        fs::create_dir_all(&self.directory).map_err(Error::io("making", &self.directory))?;
        let (path, temporary) =
            (self.path(key), self.directory.join(format!("{key}.new-{}", std::process::id())));
        let write = || {
            let mut file = BufWriter::with_capacity(1 << 20, fs::File::create(&temporary)?);
            write_tar(tree, &mut file)?;
            file.flush()?;
            // a tree that is half there after a power cut would be believed
            file.get_ref().sync_data()?;
            fs::rename(&temporary, &path)
        };
        let written = write().map_err(|source| {
            let _ = fs::remove_file(&temporary);
            Error::Io { doing: "keeping the tree in", path: path.clone(), source }
        });
        self.forget_oldest();
        written
    }

    fn path(&self, key: &str) -> PathBuf {
        self.directory.join(format!("{key}.tar"))
    }

    fn forget_oldest(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return;
        };
        let mut trees: Vec<_> = entries
            .flatten()
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        trees.sort();
        let surplus = trees.len().saturating_sub(KEPT);
        for (_, path) in trees.drain(..surplus) {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Entry;

    #[test]
    fn keeps_the_newest_few() {
        let directory = tempfile::tempdir().unwrap();
        let cache = TreeCache::new(directory.path());
        let mut tree = Tree::default();
        tree.put("/etc/hostname", Entry::file("x")).unwrap();
        for number in 0..6 {
            cache.store(&format!("k{number}"), &tree).unwrap();
        }
        assert_eq!(fs::read_dir(directory.path().join("trees")).unwrap().count(), KEPT);
        assert_eq!(cache.load("k5").unwrap().file("/etc/hostname"), Some(&b"x"[..]));
        assert!(cache.load("k0").is_none());
    }

    #[test]
    fn a_damaged_tree_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let cache = TreeCache::new(directory.path());
        fs::create_dir_all(directory.path().join("trees")).unwrap();
        fs::write(cache.path("k"), vec![b'x'; 2000]).unwrap();
        assert!(cache.load("k").is_none() && !cache.path("k").exists());
    }
}
