//! Comparing two lists of paths.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::manifest::PathRecord;

/// The paths that differ, each list sorted by path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Files<'a> {
    /// Only in the new list.
    pub added: Vec<&'a PathRecord>,
    /// Only in the old list.
    pub removed: Vec<&'a PathRecord>,
    /// In both, and not the same.
    pub changed: Vec<FileChange<'a>>,
}

/// A path that both lists have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileChange<'a> {
    /// What differs, at least one of these.
    pub what: Vec<Aspect>,
    /// As it was.
    pub old: &'a PathRecord,
    /// As it is.
    pub new: &'a PathRecord,
}

/// What may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Aspect {
    /// What it is: a directory, a file, a link.
    Type,
    /// The bytes of a file.
    Content,
    /// Permission bits.
    Mode,
    /// User or group.
    Owner,
    /// Where a link points.
    Target,
    /// Extended attributes: access control lists, capabilities.
    Attributes,
}

impl Aspect {
    /// The word for it, as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Content => "content",
            Self::Mode => "mode",
            Self::Owner => "owner",
            Self::Target => "target",
            Self::Attributes => "attributes",
        }
    }
}

/// Compares two lists of paths, in any order; of a path that one list has twice, its last record counts.
pub fn files<'a>(old: &'a [PathRecord], new: &'a [PathRecord]) -> Files<'a> {
    let by_path = |records: &'a [PathRecord]| -> BTreeMap<&'a str, &'a PathRecord> {
        records.iter().map(|record| (record.path.as_str(), record)).collect()
    };
    let (mut before, after) = (by_path(old), by_path(new));
    let mut found = Files::default();
    for (path, new) in after {
        match before.remove(path) {
            None => found.added.push(new),
            Some(old) => {
                let what = aspects(old, new);
                if !what.is_empty() {
                    found.changed.push(FileChange { what, old, new });
                }
            }
        }
    }
    found.removed = before.into_values().collect();
    found
}

impl Files<'_> {
    /// Paths that differ.
    pub fn len(&self) -> usize {
        self.added.len() + self.removed.len() + self.changed.len()
    }

    /// Whether no path differs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What differs between two records of a path.
pub fn aspects(old: &PathRecord, new: &PathRecord) -> Vec<Aspect> {
    let same_type = old.kind == new.kind;
    let differ = [
        (Aspect::Type, !same_type),
        // of another type the rest is another, too
        (Aspect::Content, same_type && (&old.sha256, old.size) != (&new.sha256, new.size)),
        (Aspect::Mode, old.mode != new.mode),
        (Aspect::Owner, (old.uid, old.gid) != (new.uid, new.gid)),
        (Aspect::Target, same_type && old.link != new.link),
        (Aspect::Attributes, old.xattrs != new.xattrs),
    ];
    differ.into_iter().filter_map(|(aspect, differs)| differs.then_some(aspect)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::manifest::PathKind;

    fn file(path: &str, content: &str) -> PathRecord {
        PathRecord {
            path: path.into(),
            kind: PathKind::File,
            mode: "0644".into(),
            uid: 0,
            gid: 0,
            size: Some(content.len() as u64),
            sha256: Some(crate::hash::of_bytes(content.as_bytes())),
            link: None,
            xattrs: BTreeMap::new(),
        }
    }

    fn link(path: &str, target: &str) -> PathRecord {
        PathRecord {
            kind: PathKind::Symlink,
            size: None,
            sha256: None,
            link: Some(target.into()),
            ..file(path, "")
        }
    }

    #[test]
    fn every_aspect() {
        let old = file("/x", "a");
        let of = |new: &PathRecord| {
            let found = files(std::slice::from_ref(&old), std::slice::from_ref(new));
            found.changed.into_iter().flat_map(|change| change.what).collect::<Vec<_>>()
        };
        assert_eq!(of(&old), []);
        assert_eq!(of(&file("/x", "b")), [Aspect::Content]);
        assert_eq!(of(&PathRecord { mode: "0600".into(), ..old.clone() }), [Aspect::Mode]);
        assert_eq!(of(&PathRecord { gid: 7, ..old.clone() }), [Aspect::Owner]);
        assert_eq!(of(&PathRecord { uid: 7, ..file("/x", "ab") }), [Aspect::Content, Aspect::Owner]);
        assert_eq!(of(&link("/x", "y")), [Aspect::Type]);
        let xattrs = BTreeMap::from([("security.capability".to_owned(), "01".to_owned())]);
        assert_eq!(of(&PathRecord { xattrs, ..old.clone() }), [Aspect::Attributes]);
        let (old, new) = ([link("/x", "y")], [link("/x", "z")]);
        assert_eq!(files(&old, &new).changed[0].what, [Aspect::Target]);
    }

    #[test]
    fn added_and_removed() {
        let (old, new) = ([file("/a", ""), file("/c", "")], [file("/c", ""), file("/b", "")]);
        let found = files(&old, &new);
        assert_eq!((found.added, found.removed, found.changed), (vec![&new[1]], vec![&old[0]], vec![]));
    }

    proptest! {
        #[test]
        fn the_other_way_round_is_the_mirror_image(
            old in proptest::collection::vec(("/[a-d]", "[ab]"), 0..6),
            new in proptest::collection::vec(("/[a-d]", "[ab]"), 0..6),
        ) {
            let records = |list: &[(String, String)]| -> Vec<_> {
                list.iter().map(|(path, content)| file(path, content)).collect()
            };
            let (old, new) = (records(&old), records(&new));
            let (there, back) = (files(&old, &new), files(&new, &old));
            prop_assert_eq!(&there.added, &back.removed);
            prop_assert_eq!(there.changed.len(), back.changed.len());
            prop_assert!(files(&old, &old).is_empty());
            let paths: std::collections::BTreeSet<_> = old.iter().chain(&new).map(|record| &record.path).collect();
            prop_assert!(there.len() <= paths.len());
        }
    }
}
