//! From a tar in memory to a tree.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::extended::Extended;
use super::{Content, Entry, Kind, Tree};
use crate::error::Error;

impl Tree {
    /// Reads an uncompressed tar. Paths may start with `./`, `/` or neither. Times before 1970 become 1970.
    ///
    /// # Errors
    /// [`Error::Tree`] when it is damaged, or holds what no template may: devices, sockets, files of 8 GiB, names that are
    /// not UTF-8 or that lead out of the root.
    pub fn read_tar(tar: Vec<u8>) -> Result<Self, Error> {
        let bad = |error: io::Error| Error::Tree(format!("the tar cannot be read: {error}"));
        let mut entries = BTreeMap::new();
        let mut archive = tar::Archive::new(tar.as_slice());
        let mut extended = Extended::default();
        // raw: the library cannot read records whose values have line ends in them, as attributes may
        for entry in archive.entries().map_err(bad)?.raw(true) {
            let entry = entry.map_err(bad)?;
            let (offset, size) = (entry.raw_file_position() as usize, entry.size() as usize);
            let header = entry.header();
            let kind = header.entry_type();
            let of_next = [tar::EntryType::XHeader, tar::EntryType::GNULongName, tar::EntryType::GNULongLink];
            if of_next.contains(&kind) {
                // where it is cut short, the tar is
                let bytes = offset.checked_add(size).and_then(|end| tar.get(offset..end)).unwrap_or_default();
                extended.add(kind, bytes).map_err(bad)?;
                continue;
            }
            let extended = std::mem::take(&mut extended);
            if extended.size.is_some_and(|real| real != size as u64) {
                return Err(Error::Tree(
                    "the tar has a file of 8 GiB or more, which no template may hold".into(),
                ));
            }
            let path = path(&extended.path.map_or_else(|| entry.path_bytes(), Cow::Owned))?;
            let target = extended.target.map(Cow::Owned).or_else(|| entry.link_name_bytes());
            let kind = match kind {
                tar::EntryType::Directory => Kind::Directory,
                tar::EntryType::Regular | tar::EntryType::Continuous => {
                    Kind::File(Content::Base { offset, size })
                }
                tar::EntryType::Symlink => Kind::Symlink(link(&path, target.as_deref())?),
                tar::EntryType::Link => {
                    let target = link(&path, target.as_deref())?;
                    Kind::Hardlink(self::path(target.as_bytes())?)
                }
                other => {
                    return Err(Error::Tree(format!("{path} is a {other:?}, which no template may hold")));
                }
            };
            let id = |value: u64| {
                u32::try_from(value)
                    .map_err(|_| Error::Tree(format!("{path} has {value} as its owner or group")))
            };
            let found = Entry {
                kind,
                mode: header.mode().map_err(bad)? & 0o7777,
                uid: id(extended.uid.map_or_else(|| header.uid(), Ok).map_err(bad)?)?,
                gid: id(extended.gid.map_or_else(|| header.gid(), Ok).map_err(bad)?)?,
                mtime: (header.mtime().map_err(bad)? as i64).max(0),
                xattrs: extended.xattrs,
            };
            entries.insert(path, found);
        }
        let mut tree = Self { base: Arc::new(tar), entries };
        tree.sort_hardlinks()?;
        tree.entries.entry("/".to_owned()).or_insert_with(Entry::directory);
        Ok(tree)
    }

    /// Makes the first name of each file, in our order, the file, and the others links to it.
    fn sort_hardlinks(&mut self) -> Result<(), Error> {
        let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, entry) in &self.entries {
            if let Kind::Hardlink(target) = &entry.kind {
                names.entry(target.clone()).or_default().push(name.clone());
            }
        }
        for (target, mut group) in names {
            let content = match self.entries.get(&target).map(|entry| &entry.kind) {
                Some(Kind::File(content)) => content.clone(),
                _ => {
                    return Err(Error::Tree(format!(
                        "{} is another name of {target}, which is no file",
                        group[0]
                    )));
                }
            };
            group.push(target);
            group.sort();
            let first = group[0].clone();
            for name in group {
                let kind =
                    if name == first { Kind::File(content.clone()) } else { Kind::Hardlink(first.clone()) };
                if let Some(entry) = self.entries.get_mut(&name) {
                    entry.kind = kind;
                }
            }
        }
        Ok(())
    }
}

/// The absolute form of a path in a tar.
fn path(bytes: &[u8]) -> Result<String, Error> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Error::Tree(format!("the name `{}` is not UTF-8", String::from_utf8_lossy(bytes))))?;
    if text.contains('\0') {
        return Err(Error::Tree(format!("the name {text:?} has a NUL in it")));
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return Err(Error::Tree(format!("the name `{text}` leads out of the root")));
    }
    Ok(format!("/{}", parts.join("/")))
}

fn link(path: &str, target: Option<&[u8]>) -> Result<String, Error> {
    target
        .and_then(|target| String::from_utf8(target.to_owned()).ok())
        .filter(|target| !target.contains('\0'))
        .ok_or_else(|| Error::Tree(format!("{path} is a link whose target cannot be read")))
}
