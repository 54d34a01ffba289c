//! Which package's file is where: all packages merged, before anything is written.

use std::collections::{BTreeMap, BTreeSet};

use super::database::Unpacked;
use crate::deb::{MERGED, merged_usr};
use crate::error::Error;
use crate::tree::{Entry, Kind};

/// What is to be written: for each package its own files, and the directories of all.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// By path; what the first package, by name, says of it.
    pub(super) directories: BTreeMap<String, Entry>,
    /// For each package: the path in its tar, and the path to write.
    pub(super) files: Vec<Vec<(String, String)>>,
    /// For each package: paths that another package replaces, as its list has them.
    pub(super) replaced: Vec<BTreeSet<String>>,
}

/// Where a path goes: under a merged `/usr`, and a configuration file beside its place, for dpkg to move there.
/// Source: dpkg(1), `--unpack`; the name is in deb-conffiles(5).
fn place(path: &str, package: &Unpacked) -> String {
    if package.is_conffile(path) { format!("{}.dpkg-new", merged_usr(path)) } else { merged_usr(path) }
}

/// Decides.
///
/// # Errors
/// [`Error::Tree`] when two packages have the same file and neither replaces the other.
pub(super) fn plan(packages: &[Unpacked], taken: &dyn Fn(&str) -> bool) -> Result<Plan, Error> {
    let mut plan = Plan { replaced: vec![BTreeSet::new(); packages.len()], ..Plan::default() };
    let mut owners: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for (number, package) in packages.iter().enumerate() {
        for (path, entry) in package.tree.entries() {
            if entry.is_directory() {
                let real = if MERGED.contains(&path) { format!("/usr{path}") } else { merged_usr(path) };
                plan.directories.entry(real).or_insert_with(|| entry.clone());
                continue;
            }
            let to = place(path, package);
            let Some((other, _)) = owners.get(&to).cloned() else {
                owners.insert(to, (number, path.to_owned()));
                continue;
            };
            let (winner, loser) = if package.replaces(&packages[other].name) {
                (number, other)
            } else if packages[other].replaces(&package.name) {
                (other, number)
            } else {
                return Err(Error::Tree(format!(
                    "{} and {} both have {path}, and neither replaces the other",
                    packages[other].name, package.name
                )));
            };
            plan.replaced[loser].insert(path.to_owned());
            if winner == number {
                owners.insert(to, (number, path.to_owned()));
            }
        }
    }
    plan.files = vec![Vec::new(); packages.len()];
    for (to, (number, path)) in owners {
        if taken(&to) {
            return Err(Error::Tree(format!("{} has {path}, which is there already", packages[number].name)));
        }
        if plan.directories.contains_key(&to) && !is_link(packages, number, &path) {
            return Err(Error::Tree(format!(
                "{path} is a file in {} and a directory in another package",
                packages[number].name
            )));
        }
        // a link that is a directory in another package: dpkg leaves the directory alone
        if !plan.directories.contains_key(&to) {
            plan.files[number].push((path, to));
        }
    }
    Ok(plan)
}

fn is_link(packages: &[Unpacked], number: usize, path: &str) -> bool {
    packages[number].tree.get(path).is_some_and(|entry| matches!(entry.kind, Kind::Symlink(_)))
}
