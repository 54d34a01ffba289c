//! Comparing two lists of packages.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::debversion;
use crate::manifest::PackageRecord;

/// The packages that differ, each list sorted by name and architecture.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Packages<'a> {
    /// Only in the new template.
    pub added: Vec<&'a PackageRecord>,
    /// Only in the old template.
    pub removed: Vec<&'a PackageRecord>,
    /// Newer than before, as dpkg orders versions.
    pub upgraded: Vec<PackageChange<'a>>,
    /// Older than before.
    pub downgraded: Vec<PackageChange<'a>>,
    /// The same version, and other bytes.
    pub rebuilt: Vec<PackageChange<'a>>,
}

/// A package that both templates have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageChange<'a> {
    /// As it was.
    pub old: &'a PackageRecord,
    /// As it is.
    pub new: &'a PackageRecord,
}

/// Compares two lists of packages. A package that is known by name and architecture is the same.
pub fn packages<'a>(
    old: impl Iterator<Item = &'a PackageRecord>,
    new: impl Iterator<Item = &'a PackageRecord>,
) -> Packages<'a> {
    let key = |package: &'a PackageRecord| ((package.name.as_str(), package.architecture.as_str()), package);
    let mut before: BTreeMap<_, _> = old.map(key).collect();
    let after: BTreeMap<_, _> = new.map(key).collect();
    let mut found = Packages::default();
    for (key, new) in after {
        let Some(old) = before.remove(&key) else {
            found.added.push(new);
            continue;
        };
        match debversion::compare(&old.version, &new.version) {
            Ordering::Less => found.upgraded.push(PackageChange { old, new }),
            Ordering::Greater => found.downgraded.push(PackageChange { old, new }),
            Ordering::Equal if old.sha256 != new.sha256 => found.rebuilt.push(PackageChange { old, new }),
            Ordering::Equal => {}
        }
    }
    found.removed = before.into_values().collect();
    found
}

impl Packages<'_> {
    /// Packages that differ.
    pub fn len(&self) -> usize {
        self.added.len()
            + self.removed.len()
            + self.upgraded.len()
            + self.downgraded.len()
            + self.rebuilt.len()
    }

    /// Whether no package differs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, content: &str) -> PackageRecord {
        PackageRecord {
            name: name.into(),
            version: version.into(),
            architecture: "amd64".into(),
            source: name.into(),
            source_version: version.into(),
            sha256: crate::hash::of_bytes(content.as_bytes()),
        }
    }

    #[test]
    fn each_package_is_in_the_list_where_it_belongs() {
        let old = [
            package("gone", "1", "a"),
            package("same", "1", "a"),
            package("newer", "1.9", "a"),
            package("older", "1.0", "a"),
            package("rebuilt", "1", "a"),
        ];
        let new = [
            package("rebuilt", "1", "b"),
            package("older", "1.0~rc1", "b"),
            package("newer", "1.10", "b"),
            package("same", "1", "a"),
            package("came", "1", "a"),
        ];
        let found = packages(old.iter(), new.iter());
        let names = |changes: &[PackageChange<'_>]| {
            changes.iter().map(|change| change.new.name.clone()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!((found.added[0].name.as_str(), found.removed[0].name.as_str()), ("came", "gone"));
        assert_eq!(names(&found.upgraded), "newer");
        assert_eq!(names(&found.downgraded), "older");
        assert_eq!(names(&found.rebuilt), "rebuilt");
        assert_eq!(found.len(), 5);
        assert!(packages(old.iter(), old.iter()).is_empty());
    }
}
