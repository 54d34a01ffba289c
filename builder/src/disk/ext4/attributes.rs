//! Extended attributes as ext4 stores them: all as system calls give them, but for access control lists.

use std::borrow::Cow;
use std::collections::BTreeMap;

use mkext4::reader::{Fs, ReadAt};
use mkext4::{FsBuilder, InodeHandle};

use crate::acl::{self, AccessList};

/// Declares those of a path.
///
/// # Errors
/// [`mkext4::Error::Invalid`] when a list is none; what the library says of names and sizes.
pub(super) fn declare(
    builder: &mut FsBuilder,
    handle: InodeHandle,
    xattrs: &BTreeMap<String, Vec<u8>>,
) -> mkext4::Result<()> {
    for (name, value) in xattrs {
        let stored = if is_list(name) {
            // the kernel finds any other form invalid, and creates nothing in such a directory
            let list = AccessList::from_xattr(value);
            Cow::Owned(list.ok_or_else(|| mkext4::Error::Invalid(format!("{name} is no list")))?.to_ext4())
        } else {
            Cow::Borrowed(value.as_slice())
        };
        builder.set_xattr(handle, name, &stored)?;
    }
    Ok(())
}

/// Those of an inode.
///
/// # Errors
/// A sentence for people when they are damaged.
pub(super) fn read<D: ReadAt>(system: &Fs<D>, number: u32) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let entries = system.xattrs(number).map_err(|error| error.to_string())?;
    let read = |entry: mkext4::spec::XattrEntry| {
        let name = entry.full_name().and_then(|name| String::from_utf8(name).ok());
        let name = name.ok_or("an extended attribute has a name that is not known")?;
        let value = if is_list(&name) {
            let list = AccessList::from_ext4(&entry.value);
            list.ok_or_else(|| format!("{name} is nothing that the kernel could read"))?.to_xattr()
        } else {
            entry.value
        };
        Ok((name, value))
    };
    entries.into_iter().map(read).collect()
}

fn is_list(name: &str) -> bool {
    acl::NAMES.contains(&name)
}
