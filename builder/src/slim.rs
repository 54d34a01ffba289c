//! Leaving out what no gateway needs, while the tree streams through: dpkg's own filters cost seven seconds, this costs none.

use std::collections::BTreeSet;

use crate::recipe::Slim;
use crate::tree::{Kind, Tree};

/// What was left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Paths.
    pub entries: usize,
    /// Bytes of file content.
    pub bytes: u64,
}

/// Leaves out what the rules drop and do not keep. A directory stays while something in it does, and so does a link to such a
/// one: packages of one source share their licences' directory so.
pub fn slim(tree: &mut Tree, rules: &Slim) -> Dropped {
    let mut needed: BTreeSet<String> = BTreeSet::new();
    let mut doomed = Vec::new();
    let mut dropped = Dropped::default();
    // from the last path to the first: what is in a directory is judged before the directory
    let paths: Vec<&str> = tree.entries().map(|(path, _)| path).collect();
    for path in paths.into_iter().rev() {
        let matches = |globs: &[crate::glob::Glob]| globs.iter().any(|glob| glob.matches(path));
        if needed.contains(path) || !matches(&rules.drop) || matches(&rules.keep) {
            if let Some((parent, _)) = path.rsplit_once('/') {
                needed.insert(parent.to_owned());
            }
            continue;
        }
        if let Some(Kind::File(content)) = tree.get(path).map(|entry| &entry.kind) {
            dropped.bytes += tree.bytes(content).len() as u64;
        }
        doomed.push(path.to_owned());
    }
    let stays = |path: &str| {
        let link = matches!(tree.get(path).map(|entry| &entry.kind), Some(Kind::Symlink(_)));
        link && tree.resolve(path).is_some_and(|to| needed.contains(to.as_str()))
    };
    doomed.retain(|path| !stays(path));
    dropped.entries = doomed.len();
    tree.remove_all(&doomed);
    dropped
}

/// The same rules for dpkg, so that an upgrade does not bring back what was left out. Source: dpkg.cfg(5).
pub fn dpkg_rules(rules: &Slim) -> String {
    let mut text =
        String::from("# What the template leaves out; the same list, so that upgrades leave it out too.\n");
    for (word, globs) in [("path-exclude", &rules.drop), ("path-include", &rules.keep)] {
        for glob in globs {
            text.push_str(&format!("{word}={glob}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glob::Glob;
    use crate::tree::Entry;

    fn rules() -> Slim {
        let globs = |texts: &[&str]| texts.iter().map(|text| Glob::parse(text).unwrap()).collect();
        Slim {
            drop: globs(&["/usr/share/doc/*", "/usr/share/man/*"]),
            keep: globs(&["/usr/share/doc/*/copyright"]),
        }
    }

    #[test]
    fn keeps_win_and_their_directories_stay() {
        let mut tree = Tree::default();
        for path in ["doc/acl/changelog.gz", "doc/acl/copyright", "doc/none/README", "man/man1/x.1.gz"] {
            tree.put(&format!("/usr/share/{path}"), Entry::file("12345")).unwrap();
        }
        let dropped = slim(&mut tree, &rules());
        let left: Vec<_> = tree.under("/usr/share").collect();
        assert_eq!(
            left,
            ["/usr/share/doc", "/usr/share/doc/acl", "/usr/share/doc/acl/copyright", "/usr/share/man"]
        );
        assert_eq!(dropped, Dropped { entries: 5, bytes: 15 });
    }

    #[test]
    fn a_link_to_what_stays_stays() {
        let mut tree = Tree::default();
        tree.put("/usr/share/doc/gcc-14-base/copyright", Entry::file("GPL")).unwrap();
        tree.put("/usr/share/doc/gcc-14-base/README", Entry::file("read")).unwrap();
        for (path, target) in
            [("libgcc-s1", "gcc-14-base"), ("gcc-14-base/TODO", "README"), ("lost", "nowhere")]
        {
            tree.put(&format!("/usr/share/doc/{path}"), Entry::symlink(target)).unwrap();
        }
        slim(&mut tree, &rules());
        let left: Vec<_> = tree.under("/usr/share/doc").collect();
        assert_eq!(
            left,
            [
                "/usr/share/doc/gcc-14-base",
                "/usr/share/doc/gcc-14-base/copyright",
                "/usr/share/doc/libgcc-s1"
            ]
        );
    }

    #[test]
    fn dpkg_gets_the_same_list() {
        let text = dpkg_rules(&rules());
        assert!(text.contains("path-exclude=/usr/share/man/*\n"));
        assert!(text.ends_with("path-include=/usr/share/doc/*/copyright\n"));
    }
}
