//! Trees of any shape, through the writer of file systems and back.

use arbitrary::Unstructured;
use smbgw_builder::disk::{Ext4Place, ext4_paths, open_ext4, write_ext4};
use smbgw_builder::guid::Guid;
use smbgw_builder::manifest::{PathKind, list_paths};
use smbgw_builder::tree::{Kind, Tree};

use super::{memory_file, tree};

const SIZE: u64 = 16 << 20;
/// Not at the begin, so that an offset that is forgotten is seen.
const OFFSET: u64 = 1 << 20;

/// Makes a tree as the input says; what a file system of it holds is the same, and has nothing wrong with it.
pub fn ext4(input: &[u8]) {
    let Ok(mut tree) = tree::make(&mut Unstructured::new(input)) else {
        return;
    };
    let held = can_hold(&tree);
    share_inodes(&mut tree);
    let (file, _) = memory_file();
    file.set_len(OFFSET + SIZE).expect("memory");
    let place = Ext4Place { file: &file, offset: OFFSET, size: SIZE };
    let written = write_ext4(&tree, &place, Guid::derive("fuzz", "root"), 1_760_000_000);
    if !held {
        return;
    }
    written.expect("it can be held");
    let system = open_ext4(&file, OFFSET).expect("our own file system");
    assert_eq!(system.verify().expect("our own file system"), []);
    let mut expected = list_paths(&tree);
    // made by every writer, and not listed
    expected.retain(|record| record.path != "/lost+found");
    assert_eq!(ext4_paths(&system).expect("our own file system"), expected);
}

/// Limits of ext4 that others than a template's trees come near to. Source: ext4(5), path_resolution(7), symlink(7).
fn can_hold(tree: &Tree) -> bool {
    tree.entries().all(|(path, entry)| {
        let names = path.len() < 4096 && path.split('/').all(|name| name.len() <= 255);
        let target = !matches!(&entry.kind, Kind::Symlink(target) if target.len() >= 4096);
        let attributes: usize = entry.xattrs.iter().map(|(name, value)| name.len() + value.len() + 20).sum();
        let named = entry.xattrs.keys().all(|name| name.len() <= 255);
        names && target && named && attributes < 3500 && !path.starts_with("/lost+found")
    })
}

/// Gives all names of a file what its first has: they are one inode.
fn share_inodes(tree: &mut Tree) {
    let links: Vec<(String, String)> = tree
        .entries()
        .filter_map(|(path, entry)| match &entry.kind {
            Kind::Hardlink(target) => Some((path.to_owned(), target.clone())),
            _ => None,
        })
        .collect();
    for (path, target) in links {
        let Some(first) = tree.get(&target).cloned() else { continue };
        if let Some(entry) = tree.get_mut(&path) {
            *entry = smbgw_builder::tree::Entry { kind: entry.kind.clone(), ..first };
        }
    }
    // none is left that a file system knows by another kind
    debug_assert!(
        list_paths(tree).iter().all(|record| record.kind != PathKind::Hardlink || record.link.is_some())
    );
}
