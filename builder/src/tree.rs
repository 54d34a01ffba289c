//! A root file system in memory: entries by path; contents stay where they were read.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::Error;

mod extended;
mod read;
mod write;

pub use read::read_entries;
pub use write::{TarWriter, write_tar};

/// A root file system. Paths are absolute; the root itself is `/`. A clone shares the contents.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// The tar it was read from; contents are slices of it.
    base: Arc<Vec<u8>>,
    entries: BTreeMap<String, Entry>,
}

/// One path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Permission bits, with set-id and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: i64,
    /// Extended attributes by full name (`security.capability`).
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

/// What a path is. Devices, sockets and pipes are none of these: a template has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File(Content),
    /// A symbolic link and where it points.
    Symlink(String),
    /// Another name of a file, which sorts before it.
    Hardlink(String),
}

/// The content of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A slice of the tar the tree was read from.
    Base {
        /// First byte.
        offset: usize,
        /// Bytes.
        size: usize,
    },
    /// Bytes of its own.
    Own(Cow<'static, [u8]>),
}

impl Entry {
    /// A file of root's, 0644.
    pub fn file(content: impl Into<Vec<u8>>) -> Self {
        Self::new(Kind::File(Content::Own(Cow::Owned(content.into()))), 0o644)
    }

    /// A directory of root's, 0755.
    pub fn directory() -> Self {
        Self::new(Kind::Directory, 0o755)
    }

    /// A symbolic link.
    pub fn symlink(target: impl Into<String>) -> Self {
        Self::new(Kind::Symlink(target.into()), 0o777)
    }

    fn new(kind: Kind, mode: u32) -> Self {
        // a time of 0 becomes the lock's epoch when the tree is normalised
        Self { kind, mode, uid: 0, gid: 0, mtime: 0, xattrs: BTreeMap::new() }
    }

    /// The same with other permission bits.
    #[must_use]
    pub fn with_mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory)
    }
}

impl Tree {
    /// All paths, sorted by their bytes: every directory before what is in it.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// All paths, to change their entries.
    pub fn entries_mut(&mut self) -> impl Iterator<Item = (&str, &mut Entry)> {
        self.entries.iter_mut().map(|(path, entry)| (path.as_str(), entry))
    }

    /// Number of paths.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nothing in it, not even a root.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry of a path, as it is written: links are not followed.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// The entry of a path, to change it.
    pub fn get_mut(&mut self, path: &str) -> Option<&mut Entry> {
        self.entries.get_mut(path)
    }

    /// The bytes of a content.
    pub fn bytes<'a>(&'a self, content: &'a Content) -> &'a [u8] {
        match content {
            Content::Base { offset, size } => self.base.get(*offset..offset + size).unwrap_or_default(),
            Content::Own(bytes) => bytes,
        }
    }

    /// The bytes of a regular file (or of another name of one), links not followed.
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        match &self.get(path)?.kind {
            Kind::File(content) => Some(self.bytes(content)),
            Kind::Hardlink(target) => match &self.get(target)?.kind {
                Kind::File(content) => Some(self.bytes(content)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The text of a regular file, if it is UTF-8.
    pub fn text(&self, path: &str) -> Option<&str> {
        std::str::from_utf8(self.file(path)?).ok()
    }

    /// Puts an entry at a path in place of whatever was there, and makes the directories above it.
    ///
    /// # Errors
    /// [`Error::Tree`] when something above it is not a directory, or a directory would vanish under its content.
    pub fn put(&mut self, path: &str, entry: Entry) -> Result<(), Error> {
        let mut missing = Vec::new();
        let mut above = path;
        while let Some((parent, _)) = above.rsplit_once('/').filter(|_| above != "/") {
            above = if parent.is_empty() { "/" } else { parent };
            match self.entries.get(above) {
                Some(found) if found.is_directory() => break,
                Some(_) => {
                    return Err(Error::Tree(format!(
                        "{path} cannot be laid over: {above} is not a directory"
                    )));
                }
                None => missing.push(above),
            }
        }
        if !entry.is_directory() && self.under(path).next().is_some() {
            return Err(Error::Tree(format!(
                "{path} is a directory with content and cannot become something else"
            )));
        }
        // not before it is known that all goes well: what is refused leaves nothing
        let made = missing.into_iter().map(|above| (above.to_owned(), Entry::directory()));
        self.entries.extend(made);
        self.release_links(path);
        self.entries.insert(path.to_owned(), entry);
        Ok(())
    }

    /// Removes a path, and what is in it if it is a directory; other names of a removed file live on.
    pub fn remove(&mut self, path: &str) {
        let below: Vec<String> = self.under(path).map(str::to_owned).collect();
        for path in below.iter().map(String::as_str).chain([path]) {
            self.release_links(path);
            self.entries.remove(path);
        }
    }

    /// As [`Self::remove`] for many: other names are not looked for again for each of them.
    pub fn remove_all(&mut self, paths: &[String]) {
        let names = self.entries.iter().filter_map(|(path, entry)| match &entry.kind {
            Kind::Hardlink(first) => Some([path.clone(), first.clone()]),
            _ => None,
        });
        let with_others: BTreeSet<String> = names.flatten().collect();
        for path in paths {
            let single = self.get(path).is_some_and(|entry| !entry.is_directory());
            if single && !with_others.contains(path) {
                self.entries.remove(path);
            } else {
                self.remove(path);
            }
        }
    }

    /// The paths in a directory, at any depth.
    pub fn under<'a>(&'a self, directory: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let prefix = format!("{}/", directory.trim_end_matches('/'));
        self.entries
            .range(prefix.clone()..)
            .map(|(path, _)| path.as_str())
            .take_while(move |path| path.starts_with(&prefix))
            .filter(|path| *path != "/")
    }

    /// Follows symbolic links, in every part of the path, to the path that is really meant; `None` where it leads nowhere.
    pub fn resolve(&self, path: &str) -> Option<String> {
        /// As the kernel has it.
        const MOST_LINKS: usize = 40;
        let mut parts: Vec<String> =
            path.split('/').rev().filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let mut at = String::new();
        let mut links = 0;
        while let Some(part) = parts.pop() {
            match part.as_str() {
                "." => continue,
                ".." => {
                    at.truncate(at.rfind('/').unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let next = format!("{at}/{part}");
            match &self.get(&next)?.kind {
                Kind::Symlink(target) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return None;
                    }
                    if target.starts_with('/') {
                        at.clear();
                    }
                    parts.extend(target.split('/').rev().filter(|part| !part.is_empty()).map(str::to_owned));
                }
                _ => at = next,
            }
        }
        Some(if at.is_empty() { "/".to_owned() } else { at })
    }

    /// Before a file goes: the first of its other names becomes the file.
    fn release_links(&mut self, path: &str) {
        let Some(Entry { kind: Kind::File(content), .. }) = self.entries.get(path) else {
            return;
        };
        let content = content.clone();
        let is_link = |entry: &Entry| matches!(&entry.kind, Kind::Hardlink(target) if target == path);
        let names: Vec<String> =
            self.entries.iter().filter(|(_, entry)| is_link(entry)).map(|(name, _)| name.clone()).collect();
        let Some((first, others)) = names.split_first() else {
            return;
        };
        if let Some(entry) = self.entries.get_mut(first) {
            entry.kind = Kind::File(content);
        }
        for other in others {
            if let Some(entry) = self.entries.get_mut(other) {
                entry.kind = Kind::Hardlink(first.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.put("/usr/bin/perl", Entry::file("perl")).unwrap();
        tree.put("/usr/bin/perl5", Entry { kind: Kind::Hardlink("/usr/bin/perl".into()), ..Entry::file("") })
            .unwrap();
        tree.put("/usr/bin/perl6", Entry { kind: Kind::Hardlink("/usr/bin/perl".into()), ..Entry::file("") })
            .unwrap();
        tree.put("/bin", Entry::symlink("usr/bin")).unwrap();
        tree
    }

    #[test]
    fn directories_above_are_made_and_links_are_not_followed() {
        let mut tree = tree();
        assert!(tree.get("/").is_some_and(Entry::is_directory) && tree.get("/usr").is_some());
        assert!(tree.put("/bin/x", Entry::file("x")).is_err());
        assert!(tree.put("/usr/bin", Entry::file("x")).is_err());
        assert!(tree.put("/bin/x/y", Entry::file("x")).is_err() && tree.get("/bin/x").is_none());
    }

    #[test]
    fn other_names_of_a_removed_file_live_on() {
        let mut tree = tree();
        tree.remove("/usr/bin/perl");
        assert_eq!(tree.file("/usr/bin/perl5"), Some(&b"perl"[..]));
        assert_eq!(tree.file("/usr/bin/perl6"), Some(&b"perl"[..]));
        assert!(tree.get("/usr/bin/perl").is_none());
    }

    #[test]
    fn many_are_removed_as_each_would_be() {
        let all: Vec<String> = ["/usr/bin/perl", "/usr/bin/perl5", "/bin", "/none"].map(str::to_owned).into();
        let (mut at_once, mut one_by_one) = (tree(), tree());
        at_once.remove_all(&all);
        all.iter().for_each(|path| one_by_one.remove(path));
        assert!(at_once.entries().eq(one_by_one.entries()));
        assert_eq!(at_once.file("/usr/bin/perl6"), Some(&b"perl"[..]));
        at_once.remove_all(&["/usr".to_owned()]);
        assert_eq!(at_once.len(), 1);
    }

    #[test]
    fn paths_are_resolved_through_links() {
        let mut tree = tree();
        tree.put("/etc/alternatives/x", Entry::symlink("/bin/../bin/perl")).unwrap();
        tree.put("/loop", Entry::symlink("loop")).unwrap();
        assert_eq!(tree.resolve("/etc/alternatives/x").as_deref(), Some("/usr/bin/perl"));
        assert_eq!(tree.resolve("/bin/none"), None);
        assert_eq!(tree.resolve("/loop"), None);
    }

    #[test]
    fn removing_a_directory_takes_what_is_in_it_and_no_neighbour() {
        let mut tree = tree();
        tree.put("/usr/bin-x", Entry::file("x")).unwrap();
        tree.remove("/usr/bin");
        let left: Vec<_> = tree.entries().map(|(path, _)| path).collect();
        assert_eq!(left, ["/", "/bin", "/usr", "/usr/bin-x"]);
    }
}
