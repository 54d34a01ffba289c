//! From a container's finished root to what a virtual machine's packages are installed on, in the same place: only what differs
//! is written.

use std::collections::BTreeSet;
use std::fs;

use super::job::InsideExtension;
use super::laying::Root;
use super::{mounts, place};
use crate::engine::base;
use crate::error::Error;
use crate::marks;
use crate::normalise;
use crate::tree::{Entry, Kind, Tree};

/// Makes the root, which is `tree`, what it would be if the container's clean tree had been laid into an empty one.
///
/// # Errors
/// [`Error::Tree`], [`Error::Io`].
pub(super) fn change(root: &mut Root<'_>, tree: &Tree, extension: &InsideExtension) -> Result<(), Error> {
    let mut wanted = tree.clone();
    normalise::clean(&mut wanted)?;
    marks::mark(&mut wanted, &extension.marked, &extension.architecture)?;
    base::make(&mut wanted, extension.initrd.as_ref())?;
    mounts::empty()?;
    let Difference { gone, written } = difference(tree, &wanted);
    // what is in a directory comes after it
    for path in gone.iter().rev() {
        let is_directory = tree.get(path).is_some_and(Entry::is_directory);
        let removed = if is_directory { fs::remove_dir(path) } else { fs::remove_file(path) };
        removed.map_err(Error::io("removing", path))?;
    }
    for path in written {
        if let Some(entry) = wanted.get(path) {
            place::file(&wanted, entry, path, &str::to_owned)?;
        }
    }
    root.set_directories(&wanted)
}

/// What is to be done to one tree to make it another, besides its directories.
#[derive(Debug, Default, PartialEq, Eq)]
struct Difference<'a> {
    /// Paths that are not wanted, or not as they are.
    gone: Vec<&'a str>,
    /// Files and links to be written.
    written: Vec<&'a str>,
}

fn difference<'a>(there: &'a Tree, wanted: &'a Tree) -> Difference<'a> {
    let mut changed: BTreeSet<&str> = wanted
        .entries()
        .filter(|(path, entry)| !entry.is_directory() && there.get(path) != Some(entry))
        .map(|(path, _)| path)
        .collect();
    // other names of a file that is written anew are names of the new one
    let renamed: Vec<&str> = wanted
        .entries()
        .filter(|(_, entry)| matches!(&entry.kind, Kind::Hardlink(first) if changed.contains(first.as_str())))
        .map(|(path, _)| path)
        .collect();
    changed.extend(renamed);
    let stays = |path: &str| {
        let is_directory = |tree: &Tree| tree.get(path).is_some_and(Entry::is_directory);
        (is_directory(there) && is_directory(wanted)) || wanted.get(path).is_some() && !changed.contains(path)
    };
    let gone = there.entries().map(|(path, _)| path).filter(|path| !stays(path)).collect();
    Difference { gone, written: changed.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs() {
        let mut there = Tree::default();
        for (path, content) in [("/same", "x"), ("/changed", "x"), ("/gone/deep", "x"), ("/now-a-link", "x")]
        {
            there.put(path, Entry::file(content)).unwrap();
        }
        let link = |first: &str| Entry { kind: Kind::Hardlink(first.into()), ..Entry::file("") };
        there.put("/changed-too", link("/changed")).unwrap();
        there.put("/same-too", link("/same")).unwrap();
        there.put("/now-a-file/x", Entry::file("")).unwrap();
        let mut wanted = there.clone();
        wanted.get_mut("/changed").unwrap().uid = 7;
        wanted.remove("/gone");
        wanted.remove("/now-a-file");
        wanted.put("/now-a-file", Entry::file("")).unwrap();
        wanted.put("/now-a-link", Entry::symlink("same")).unwrap();
        wanted.put("/new/file", Entry::file("")).unwrap();
        let found = difference(&there, &wanted);
        assert_eq!(
            found.gone,
            [
                "/changed",
                "/changed-too",
                "/gone",
                "/gone/deep",
                "/now-a-file",
                "/now-a-file/x",
                "/now-a-link"
            ]
        );
        assert_eq!(found.written, ["/changed", "/changed-too", "/new/file", "/now-a-file", "/now-a-link"]);
        assert_eq!(difference(&there, &there), Difference::default());
    }
}
