//! A tree as a file system.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use mkext4::{FsBuilder, InodeHandle, Meta, Options, ROOT, RegionSink};

use super::{LABEL, attributes};
use crate::error::Error;
use crate::guid::Guid;
use crate::tree::{Entry, Kind, Tree};

/// Kept for root, so that a full disk can still be logged in to; the default of 5 % is for small disks.
const RESERVED_PERCENT: u8 = 1;

/// Where on a disk it goes.
pub struct Place<'a> {
    /// The disk; zeros where the file system goes.
    pub file: &'a File,
    /// Its first byte.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
}

impl RegionSink for &Place<'_> {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.offset + offset)
    }

    fn zeros(&mut self, _offset: u64, _len: u64) -> io::Result<()> {
        // the file is one hole until somebody writes
        Ok(())
    }
}

/// Writes the tree as a file system. `epoch` is its time, in seconds since 1970.
///
/// # Errors
/// [`Error::Tree`] when ext4 cannot hold it, or it does not fit; [`Error::Io`].
pub fn write(tree: &Tree, place: &Place<'_>, uuid: Guid, epoch: i64) -> Result<(), Error> {
    let failed = |error: mkext4::Error| match error {
        mkext4::Error::Io(source) => {
            Error::Io { doing: "writing", path: "the root file system".into(), source }
        }
        other => Error::Tree(format!("it cannot become an ext4 file system: {other}")),
    };
    let mut options = Options::new(place.size / 4096 * 4096, uuid.bytes(), epoch);
    options.label = Some(LABEL.into());
    options.reserved_percent = RESERVED_PERCENT;
    let mut builder = FsBuilder::new(options).map_err(failed)?;
    let handles = declare(tree, &mut builder).map_err(failed)?;
    let layout = builder.seal().map_err(failed)?;
    let mut writer = layout.writer(place).map_err(failed)?;
    for (path, handle) in handles {
        if let Some(mut bytes) = tree.file(path) {
            writer.fill(handle, &mut bytes).map_err(failed)?;
        }
    }
    writer.finish().map_err(failed)?;
    Ok(())
}

/// Declares every path; gives the handles of the files that have content, in the order of their paths.
fn declare<'a>(tree: &'a Tree, builder: &mut FsBuilder) -> mkext4::Result<Vec<(&'a str, InodeHandle)>> {
    let mut handles: HashMap<&str, InodeHandle> = HashMap::from([("/", ROOT)]);
    let mut filled = Vec::new();
    for (path, entry) in tree.entries() {
        let handle = match split(path) {
            None => {
                builder.set_meta(ROOT, meta(entry))?;
                ROOT
            }
            Some((parent, name)) => {
                let parent = *handles.get(parent).ok_or_else(|| no_parent(path))?;
                match &entry.kind {
                    Kind::Directory => builder.mkdir(parent, name, meta(entry))?,
                    Kind::File(content) => {
                        let size = tree.bytes(content).len() as u64;
                        let handle = builder.file(parent, name, meta(entry), size)?;
                        if size > 0 {
                            filled.push((path, handle));
                        }
                        handle
                    }
                    Kind::Symlink(target) => builder.symlink(parent, name, target, meta(entry))?,
                    Kind::Hardlink(target) => {
                        let first = *handles.get(target.as_str()).ok_or_else(|| no_parent(path))?;
                        builder.hardlink(parent, name, first)?;
                        continue;
                    }
                }
            }
        };
        attributes::declare(builder, handle, &entry.xattrs)?;
        handles.insert(path, handle);
    }
    Ok(filled)
}

fn split(path: &str) -> Option<(&str, &str)> {
    let (parent, name) = path.rsplit_once('/').filter(|(_, name)| !name.is_empty())?;
    Some((if parent.is_empty() { "/" } else { parent }, name))
}

fn no_parent(path: &str) -> mkext4::Error {
    mkext4::Error::Invalid(format!("{path} comes before what it belongs to"))
}

fn meta(entry: &Entry) -> Meta {
    Meta::new(entry.mode as u16, entry.uid, entry.gid, (entry.mtime, 0))
}
