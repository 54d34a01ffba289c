//! Trees of any shape, through the tar writer and back.

use arbitrary::{Result, Unstructured};
use smbgw_builder::acl;
use smbgw_builder::tree::{Entry, Kind, Tree, write_tar};

const MOST_CHANGES: usize = 60;

/// Makes a tree as the input says, writes and reads it.
pub fn tree(input: &[u8]) {
    let Ok(tree) = make(&mut Unstructured::new(input)) else {
        return;
    };
    let mut bytes = Vec::new();
    write_tar(&tree, &mut bytes).expect("every number fits");
    let read = Tree::read_tar(bytes.clone()).expect("our own tar");
    assert_equal(&tree, &read);
    let mut again = Vec::new();
    write_tar(&read, &mut again).expect("as before");
    assert!(again == bytes, "the second tar differs from the first");
}

pub(crate) fn assert_equal(expected: &Tree, found: &Tree) {
    assert_eq!(
        expected.entries().map(|(path, _)| path).collect::<Vec<_>>(),
        found.entries().map(|(path, _)| path).collect::<Vec<_>>()
    );
    for ((path, one), (_, other)) in expected.entries().zip(found.entries()) {
        let numbers = |entry: &Entry| (entry.mode, entry.uid, entry.gid, entry.mtime);
        assert_eq!((numbers(one), &one.xattrs), (numbers(other), &other.xattrs), "{path:?}");
        assert!(expected.file(path) == found.file(path), "content of {path:?}");
        match (&one.kind, &other.kind) {
            (Kind::File(_), Kind::File(_)) => {}
            (one, other) => assert_eq!(one, other, "{path:?}"),
        }
    }
}

/// A tree after some changes. Numbers are within what ustar holds.
pub(crate) fn make(input: &mut Unstructured<'_>) -> Result<Tree> {
    let mut tree = Tree::default();
    tree.put("/a", Entry::directory()).expect("an empty tree");
    for _ in 0..MOST_CHANGES {
        if input.is_empty() {
            break;
        }
        let paths: Vec<String> = tree.entries().map(|(path, _)| path.to_owned()).collect();
        let old = input.choose(&paths)?.clone();
        if old != "/" && input.ratio(1u8, 8u8)? {
            tree.remove(&old);
            continue;
        }
        let path = if old != "/" && input.ratio(1u8, 8u8)? { old } else { below(&old, input)? };
        let entry = entry(&tree, &path, input)?;
        // refused where something above is no directory, or the like
        let _ = tree.put(&path, entry);
    }
    Ok(tree)
}

fn below(directory: &str, input: &mut Unstructured<'_>) -> Result<String> {
    let mut path = directory.trim_end_matches('/').to_owned();
    for _ in 0..input.int_in_range(1u8..=3)? {
        path.push('/');
        path.push_str(&name(input)?);
    }
    Ok(path)
}

/// Anything that may be between two slashes.
fn name(input: &mut Unstructured<'_>) -> Result<String> {
    let name = match input.int_in_range(0u8..=3)? {
        0 => ["a", "b", "b-", "b."][input.choose_index(4)?].to_owned(),
        1 => ["n", "é", "\n"][input.choose_index(3)?].repeat(input.int_in_range(1usize..=127)?),
        _ => {
            let length = input.int_in_range(1usize..=20)?;
            String::from_utf8_lossy(input.bytes(length)?).replace(['/', '\0'], "_")
        }
    };
    Ok(if matches!(name.as_str(), "." | "..") { "dots".to_owned() } else { name })
}

fn entry(tree: &Tree, path: &str, input: &mut Unstructured<'_>) -> Result<Entry> {
    let mut entry = match input.int_in_range(0u8..=5)? {
        0 => Entry::directory(),
        1 => {
            let target: String =
                input.arbitrary::<&str>()?.chars().take(300).filter(|c| *c != '\0').collect();
            Entry::symlink(if target.is_empty() {
                "x".repeat(input.int_in_range(1usize..=300)?)
            } else {
                target
            })
        }
        2 => {
            // a link comes after what it belongs to, and shares all that an inode has
            let first =
                tree.entries().filter(|(name, entry)| *name < path && matches!(entry.kind, Kind::File(_)));
            match first.last() {
                Some((name, first)) => {
                    return Ok(Entry { kind: Kind::Hardlink(name.to_owned()), ..first.clone() });
                }
                None => Entry::file(""),
            }
        }
        3 => Entry::file(vec![input.arbitrary()?; input.int_in_range(0usize..=20_000)?]),
        _ => {
            let length = input.int_in_range(0usize..=600)?.min(input.len());
            Entry::file(input.bytes(length)?)
        }
    };
    entry.mode = input.int_in_range(0u32..=0o7777)?;
    if input.arbitrary()? {
        entry.uid = input.int_in_range(0u32..=(1 << 21) - 1)?;
        entry.gid = input.int_in_range(0u32..=(1 << 21) - 1)?;
        entry.mtime = input.int_in_range(0i64..=(1 << 33) - 1)?;
    }
    // input that has ended answers every question alike
    while !input.is_empty() && input.ratio(1u8, 4u8)? {
        let space = ["user.", "security.", "trusted."][input.choose_index(3)?];
        let key = name(input)?.replace('=', "_");
        let length = input.int_in_range(0usize..=64)?.min(input.len());
        entry.xattrs.insert(format!("{space}{key}"), input.bytes(length)?.to_vec());
    }
    if !input.is_empty() && input.ratio(1u8, 8u8)? {
        let name = acl::NAMES[input.choose_index(acl::NAMES.len())?];
        entry.xattrs.insert(name.to_owned(), access_list(input)?);
    }
    Ok(entry)
}

/// As system calls give it. Source: acl(5) and `linux/posix_acl_xattr.h`.
fn access_list(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut list = 2u32.to_le_bytes().to_vec();
    for _ in 0..input.int_in_range(0u8..=20)? {
        let (tag, names_somebody) =
            [(1u16, false), (2, true), (4, false), (8, true), (16, false), (32, false)]
                [input.choose_index(6)?];
        let number = if names_somebody { input.arbitrary()? } else { u32::MAX };
        list.extend(tag.to_le_bytes());
        list.extend(input.arbitrary::<u16>()?.to_le_bytes());
        list.extend(number.to_le_bytes());
    }
    Ok(list)
}
