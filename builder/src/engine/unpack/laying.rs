//! Writing packages and whole trees into the root of this process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::database::{self, Unpacked};
use super::job::{InsideJob, Without};
use super::{mounts, place, plan};
use crate::deb::{self, MERGED};
use crate::error::Error;
use crate::parallel::in_parallel;
use crate::tree::{Entry, Kind, Tree};

/// Links that a merged `/usr` has from the start.
const LINKED: &[&str] = &["/bin", "/lib", "/lib32", "/lib64", "/libx32", "/sbin"];

/// The root, and what it has where something is mounted.
pub(super) struct Root<'a> {
    job: &'a InsideJob,
    mounted_on: BTreeMap<String, Entry>,
}

impl<'a> Root<'a> {
    /// An empty one.
    pub(super) fn new(job: &'a InsideJob) -> Self {
        Self { job, mounted_on: BTreeMap::new() }
    }

    /// What is made in it.
    pub(super) fn job(&self) -> &'a InsideJob {
        self.job
    }

    /// The directories that something is mounted on.
    pub(super) fn mounted_on(&self) -> &BTreeMap<String, Entry> {
        &self.mounted_on
    }

    /// Lays a whole tree into it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn lay(&mut self, tree: &Tree) -> Result<(), Error> {
        for (path, entry) in tree.entries().filter(|(_, entry)| !entry.is_directory()) {
            place::file(tree, entry, path, &str::to_owned)?;
        }
        self.set_directories(tree)
    }

    /// Makes all directories of a tree, or makes them what they are in it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn set_directories(&mut self, tree: &Tree) -> Result<(), Error> {
        for (path, entry) in tree.entries().filter(|(_, entry)| entry.is_directory()) {
            if is_mounted_on(path) {
                self.mounted_on.insert(path.to_owned(), entry.clone());
            } else {
                place::directory(entry, path)?;
            }
        }
        Ok(())
    }

    /// Makes the links that packages of Debian 12 expect to be there.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn merge_usr(&self) -> Result<(), Error> {
        for path in LINKED {
            let target = format!("usr{path}");
            fs::create_dir_all(format!("/{target}"))
                .and_then(|()| symlink(&target, path))
                .map_err(Error::io("making", path))?;
        }
        Ok(())
    }

    /// Unpacks packages, and tells dpkg. `essential` says that they are used before they are configured.
    ///
    /// # Errors
    /// [`Error::Tree`] when they cannot be installed together, [`Error::Io`].
    pub(super) fn lay_out(
        &mut self,
        packages: &[Unpacked],
        without: &Without,
        essential: bool,
    ) -> Result<(), Error> {
        let plan =
            plan::plan(packages, &|path| fs::symlink_metadata(path).is_ok_and(|found| !found.is_dir()))?;
        self.write(packages, &plan, without, essential)?;
        let existing = |path: &str| fs::read_to_string(path).ok();
        for file in database::database(packages, &plan.replaced, &existing) {
            store(&file.path, file.mode, &file.content)?;
            file.mtime.map_or(Ok(()), |mtime| place::date(&file.path, mtime))?;
        }
        for path in mounts::POINTS {
            if let Some(entry) = plan.directories.get(*path) {
                self.mounted_on.entry((*path).to_owned()).or_insert_with(|| entry.clone());
            }
        }
        Ok(())
    }

    /// Writes all packages' files and directories. Essential packages are used before they are configured, so that their
    /// configuration files are in place at once, as after debootstrap; dpkg finds them to be what it would put there.
    fn write(
        &self,
        packages: &[Unpacked],
        plan: &plan::Plan,
        without: &Without,
        essential: bool,
    ) -> Result<(), Error> {
        // links of the merged `/usr` come first: what is below them must not become a directory in their place
        for (package, files) in packages.iter().zip(&plan.files) {
            for (path, to) in files.iter().filter(|(path, _)| MERGED.contains(&path.as_str())) {
                if let Some(entry) = package.tree.get(path) {
                    place::file(&package.tree, entry, to, &str::to_owned)?;
                }
            }
        }
        let numbers: Vec<usize> = (0..packages.len()).collect();
        in_parallel(&numbers, |number| {
            let tree = &packages[number].tree;
            // whether a link stays shows when all is there
            let kept = |entry: &Entry, to: &str| {
                !without.has(to) && (matches!(entry.kind, Kind::Symlink(_)) || !self.job.is_slimmed(to))
            };
            let (mut links, mut files) = (Vec::new(), Vec::new());
            for (path, to) in plan.files[number].iter().filter(|(path, _)| !MERGED.contains(&path.as_str())) {
                match tree.get(path) {
                    Some(entry) if matches!(entry.kind, Kind::Hardlink(_)) => links.push((entry, to)),
                    Some(entry) => files.push((path, entry, to)),
                    None => {}
                }
            }
            links.retain(|(entry, to)| kept(entry, to));
            let linked: BTreeSet<&str> = links
                .iter()
                .filter_map(|(entry, _)| match &entry.kind {
                    Kind::Hardlink(target) => Some(target.as_str()),
                    _ => None,
                })
                .collect();
            for (path, entry, to) in files {
                if kept(entry, to) || linked.contains(path.as_str()) {
                    place::file(tree, entry, to, &str::to_owned)?;
                }
                if essential && packages[number].is_conffile(path) {
                    place::file(tree, entry, &deb::merged_usr(path), &str::to_owned)?;
                }
            }
            links.into_iter().try_for_each(|(entry, to)| place::file(tree, entry, to, &deb::merged_usr))
        })?;
        for (path, entry) in
            plan.directories.iter().filter(|(path, _)| !without.has(path) && !is_mounted_on(path))
        {
            place::directory(entry, path)?;
        }
        Ok(())
    }
}

fn is_mounted_on(path: &str) -> bool {
    mounts::POINTS.contains(&path)
}

/// Writes a file of dpkg's or apt's, in place of one that is there.
fn store(path: &str, mode: u32, content: &[u8]) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    let above = Path::new(path).parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(above)
        .and_then(|()| fs::write(path, content))
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(Error::io("writing", path))
}
