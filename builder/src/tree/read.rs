//! From a tar in memory to a tree.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::{Content, Entry, Kind, Tree};
use crate::error::Error;

impl Tree {
    /// Reads an uncompressed tar. Paths may start with `./`, `/` or neither.
    ///
    /// # Errors
    /// [`Error::Tree`] when it is damaged, or holds what no template may: devices, sockets, names that are not UTF-8 or that
    /// lead out of the root.
    pub fn read_tar(tar: Vec<u8>) -> Result<Self, Error> {
        let bad = |error: io::Error| Error::Tree(format!("the tar cannot be read: {error}"));
        let mut entries = BTreeMap::new();
        let mut archive = tar::Archive::new(tar.as_slice());
        for entry in archive.entries().map_err(bad)? {
            let mut entry = entry.map_err(bad)?;
            let path = path(&entry.path_bytes())?;
            let kind = match entry.header().entry_type() {
                tar::EntryType::Directory => Kind::Directory,
                tar::EntryType::Regular | tar::EntryType::Continuous => Kind::File(Content::Base {
                    offset: entry.raw_file_position() as usize,
                    size: entry.size() as usize,
                }),
                tar::EntryType::Symlink => Kind::Symlink(link(&path, entry.link_name_bytes().as_deref())?),
                tar::EntryType::Link => {
                    let target = link(&path, entry.link_name_bytes().as_deref())?;
                    Kind::Hardlink(self::path(target.as_bytes())?)
                }
                other => {
                    return Err(Error::Tree(format!("{path} is a {other:?}, which no template may hold")));
                }
            };
            let xattrs = xattrs(&mut entry).map_err(bad)?;
            let header = entry.header();
            let number = |value: io::Result<u64>| value.map_err(bad).map(|value| value as u32);
            let found = Entry {
                kind,
                mode: header.mode().map_err(bad)? & 0o7777,
                uid: number(header.uid())?,
                gid: number(header.gid())?,
                mtime: header.mtime().map_err(bad)? as i64,
                xattrs,
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
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return Err(Error::Tree(format!("the name `{text}` leads out of the root")));
    }
    Ok(format!("/{}", parts.join("/")))
}

fn link(path: &str, target: Option<&[u8]>) -> Result<String, Error> {
    target
        .and_then(|target| String::from_utf8(target.to_owned()).ok())
        .ok_or_else(|| Error::Tree(format!("{path} is a link whose target cannot be read")))
}

fn xattrs<R: io::Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let Some(extensions) = entry.pax_extensions()? else {
        return Ok(BTreeMap::new());
    };
    let mut found = BTreeMap::new();
    for extension in extensions {
        let extension = extension?;
        if let Some(name) = extension.key().ok().and_then(|key| key.strip_prefix("SCHILY.xattr.")) {
            found.insert(name.to_owned(), extension.value_bytes().to_owned());
        }
    }
    Ok(found)
}
