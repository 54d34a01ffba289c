//! From a tar in memory to a tree.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Read};
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
        let mut entries = BTreeMap::new();
        read_entries(tar.as_slice(), |path, entry, _| {
            entries.insert(path, entry);
            Ok(())
        })?;
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
            let (content, xattrs) = match self.entries.get(&target) {
                Some(Entry { kind: Kind::File(content), xattrs, .. }) => (content.clone(), xattrs.clone()),
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
                    if name == first {
                        // a tar may have them with the file alone
                        entry.xattrs.clone_from(&xattrs);
                    }
                }
            }
        }
        Ok(())
    }
}

/// More than the headers of an entry have to say; attributes have 64 KiB at most. Source: xattr(7).
const MOST_EXTENDED: u64 = 1 << 20;

/// Gives every entry of an uncompressed tar, in the tar's order, with a reader of its content. What a file has as its content
/// is where that is in the tar.
///
/// # Errors
/// As [`Tree::read_tar`]; those of `each`.
pub fn read_entries<R: Read>(
    tar: R,
    mut each: impl FnMut(String, Entry, &mut dyn Read) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut archive = tar::Archive::new(tar);
    let mut extended = Extended::default();
    // raw: the library cannot read records whose values have line ends in them, as attributes may
    for entry in archive.entries().map_err(bad)?.raw(true) {
        let mut entry = entry.map_err(bad)?;
        let kind = entry.header().entry_type();
        if Extended::KINDS.contains(&kind) {
            let mut bytes = Vec::new();
            entry.by_ref().take(MOST_EXTENDED).read_to_end(&mut bytes).map_err(bad)?;
            extended.add(kind, &bytes).map_err(bad)?;
            continue;
        }
        let (path, found) = described(&entry, std::mem::take(&mut extended))?;
        each(path, found, &mut entry)?;
    }
    Ok(())
}

/// What is said of an entry.
fn described<R: Read>(entry: &tar::Entry<'_, R>, extended: Extended) -> Result<(String, Entry), Error> {
    let (offset, size) = (entry.raw_file_position() as usize, entry.size() as usize);
    if extended.size.is_some_and(|real| real != size as u64) {
        return Err(Error::Tree("the tar has a file of 8 GiB or more, which no template may hold".into()));
    }
    let header = entry.header();
    let path = path(&extended.path.map_or_else(|| entry.path_bytes(), Cow::Owned))?;
    let target = extended.target.map(Cow::Owned).or_else(|| entry.link_name_bytes());
    let kind = match header.entry_type() {
        tar::EntryType::Directory => Kind::Directory,
        tar::EntryType::Regular | tar::EntryType::Continuous => Kind::File(Content::Base { offset, size }),
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
        u32::try_from(value).map_err(|_| Error::Tree(format!("{path} has {value} as its owner or group")))
    };
    let found = Entry {
        kind,
        mode: header.mode().map_err(bad)? & 0o7777,
        uid: id(extended.uid.map_or_else(|| header.uid(), Ok).map_err(bad)?)?,
        gid: id(extended.gid.map_or_else(|| header.gid(), Ok).map_err(bad)?)?,
        mtime: (header.mtime().map_err(bad)? as i64).max(0),
        xattrs: extended.xattrs,
    };
    Ok((path, found))
}

fn bad(error: io::Error) -> Error {
    Error::Tree(format!("the tar cannot be read: {error}"))
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
