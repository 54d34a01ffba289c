//! What differs between two templates: packages, agent, sizes and files.
//!
//! [`Template::load`] reads; [`compare`] compares; [`packages`](fn@packages) and [`files`](fn@files) compare lists; [`Difference::text`] is for people.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::Error;
use crate::manifest::{AgentRecord, Manifest, PackageRecord, PathRecord};
use crate::outputs::Names;
use crate::size::Owners;
use crate::verify::load_manifest;

mod files;
mod packages;
mod text;

pub use files::{Aspect, FileChange, Files, aspects, files};
pub use packages::{PackageChange, Packages, packages};

/// A template to compare.
#[derive(Debug)]
pub struct Template {
    /// Its manifest.
    pub manifest: Manifest,
    /// The package of each path; `None` when only the manifest is at hand.
    pub owners: Option<Owners>,
}

impl Template {
    /// Reads a template, or a manifest, and then the template if it lies beside it.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::NotIntact`], [`Error::Io`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        let manifest = load_manifest(path)?;
        let owners =
            archive(path, &manifest)?.map(|archive| Owners::of_template(&archive, &manifest)).transpose()?;
        Ok(Self { manifest, owners })
    }
}

/// Where the template itself is, if it is at hand.
fn archive(path: &Path, manifest: &Manifest) -> Result<Option<PathBuf>, Error> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let size_of =
        |path: &Path| path.metadata().ok().filter(std::fs::Metadata::is_file).map(|found| found.len());
    if Names::of_archive(&name).is_none() {
        // the name is the manifest's own word, so it must not lead elsewhere
        let plain =
            Path::new(&manifest.archive.name).file_name().is_some_and(|name| *name == *manifest.archive.name);
        let beside = path.with_file_name(&manifest.archive.name);
        let there = plain && size_of(&beside) == Some(manifest.archive.size);
        return Ok(there.then_some(beside));
    }
    match size_of(path) {
        Some(size) if size == manifest.archive.size => Ok(Some(path.to_owned())),
        Some(size) => Err(Error::NotIntact {
            path: path.to_owned(),
            detail: format!("it has {size} bytes, its manifest says {}", manifest.archive.size),
        }),
        None => Err(Error::Missing {
            what: "the template",
            path: path.to_owned(),
            hint: "name its manifest to compare without it".into(),
        }),
    }
}

/// What differs. In JSON it is complete.
#[derive(Debug, Serialize)]
pub struct Difference<'a> {
    /// Whether anything differs but how hard the template is compressed.
    pub differ: bool,
    /// The old template in short.
    pub old: Side<'a>,
    /// The new template in short.
    pub new: Side<'a>,
    /// Packages that differ.
    pub packages: Packages<'a>,
    /// Bytes of files by package where they differ, the biggest difference first; empty unless both templates are at hand.
    pub sizes: Vec<SizeChange<'a>>,
    /// Paths that differ, by package.
    pub files: Vec<PackageFiles<'a>>,
}

/// A template in short.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Side<'a> {
    /// Name: `debian-13`.
    pub template: &'a str,
    /// Version of the product.
    pub version: &'a str,
    /// Debian architecture.
    pub architecture: &'a str,
    /// `lxc` or `vm`.
    pub form: &'a str,
    /// Debian suite.
    pub suite: &'a str,
    /// Version of Samba.
    pub samba: Option<&'a str>,
    /// The agent.
    pub agent: &'a AgentRecord,
    /// Seconds since 1970.
    pub epoch: i64,
    /// SHA-256 of the tar or disk that is compressed.
    pub content_sha256: Option<&'a str>,
    /// Size of the template in bytes.
    pub size: u64,
    /// Size of the tar or the disk in it, in bytes.
    pub unpacked_size: u64,
    /// Bytes of all files in it.
    pub file_size: u64,
    /// Packages in it.
    pub packages: usize,
    /// Paths in it.
    pub paths: usize,
}

/// Bytes of a package's files.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct SizeChange<'a> {
    /// The package; `None`: files of no package.
    pub package: Option<&'a str>,
    /// Before.
    pub old: u64,
    /// After.
    pub new: u64,
}

/// The paths of one package that differ.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct PackageFiles<'a> {
    /// The package; `None`: files of no package, or of one that is not known.
    pub package: Option<&'a str>,
    /// They.
    #[serde(flatten)]
    pub files: Files<'a>,
}

/// Compares two templates.
pub fn compare<'a>(old: &'a Template, new: &'a Template) -> Difference<'a> {
    let packages = packages(all_packages(&old.manifest), all_packages(&new.manifest));
    let files = by_package(files(&old.manifest.files, &new.manifest.files), old, new);
    let (before, after) = (Side::of(&old.manifest), Side::of(&new.manifest));
    let sizes = match (&old.owners, &new.owners) {
        (Some(old_owners), Some(new_owners)) => {
            let old = sizes(&old.manifest.files, old_owners);
            size_changes(&old, &sizes(&new.manifest.files, new_owners))
        }
        _ => Vec::new(),
    };
    let essence = |side: &Side<'a>| {
        let Side { template, version, architecture, form, suite, agent, content_sha256, .. } = *side;
        (template, version, architecture, form, suite, agent, content_sha256)
    };
    let differ = essence(&before) != essence(&after) || !packages.is_empty() || !files.is_empty();
    Difference { differ, old: before, new: after, packages, sizes, files }
}

/// Those that are installed, and those whose files start the disk.
fn all_packages(manifest: &Manifest) -> impl Iterator<Item = &PackageRecord> {
    manifest.packages.iter().chain(manifest.disk.iter().flat_map(|disk| &disk.boot_packages))
}

impl<'a> Side<'a> {
    fn of(manifest: &'a Manifest) -> Self {
        let tar = manifest.tar.as_ref().map(|tar| (tar.sha256.as_str(), tar.size));
        let disk = manifest.disk.as_ref().map(|disk| (disk.sha256.as_str(), disk.virtual_size));
        let content = tar.or(disk);
        Self {
            template: &manifest.template,
            version: &manifest.version,
            architecture: &manifest.architecture,
            form: &manifest.form,
            suite: &manifest.suite,
            samba: manifest.samba.as_deref(),
            agent: &manifest.agent,
            epoch: manifest.epoch,
            content_sha256: content.map(|(sha256, _)| sha256),
            size: manifest.archive.size,
            unpacked_size: content.map(|(_, size)| size).unwrap_or_default(),
            file_size: manifest.files.iter().filter_map(|record| record.size).sum(),
            packages: all_packages(manifest).count(),
            paths: manifest.files.len(),
        }
    }
}

/// Bytes by package.
fn sizes<'a>(records: &[PathRecord], owners: &'a Owners) -> BTreeMap<Option<&'a str>, u64> {
    let mut sizes = BTreeMap::new();
    for record in records {
        let owner = owners.of(&record.path);
        *sizes.entry(owner).or_default() += record.size.unwrap_or(0);
    }
    sizes
}

fn size_changes<'a>(
    old: &BTreeMap<Option<&'a str>, u64>,
    new: &BTreeMap<Option<&'a str>, u64>,
) -> Vec<SizeChange<'a>> {
    let size = |sizes: &BTreeMap<_, u64>, package| sizes.get(&package).copied().unwrap_or_default();
    let all: BTreeSet<Option<&str>> = old.keys().chain(new.keys()).copied().collect();
    let change = |package| SizeChange { package, old: size(old, package), new: size(new, package) };
    let mut changes: Vec<_> = all.into_iter().map(change).filter(|change| change.old != change.new).collect();
    // those of the same size stay sorted by name
    changes.sort_by_key(|change| std::cmp::Reverse(change.old.abs_diff(change.new)));
    changes
}

/// Files by package, sorted by name; those of no package come first, because nobody expects them.
fn by_package<'a>(files: Files<'a>, old: &'a Template, new: &'a Template) -> Vec<PackageFiles<'a>> {
    let owner =
        |template: &'a Template, path: &str| -> Option<&'a str> { template.owners.as_ref()?.of(path) };
    let mut groups: BTreeMap<Option<&'a str>, Files<'a>> = BTreeMap::new();
    for record in files.added {
        groups.entry(owner(new, &record.path)).or_default().added.push(record);
    }
    for record in files.removed {
        groups.entry(owner(old, &record.path)).or_default().removed.push(record);
    }
    for change in files.changed {
        let path = &change.new.path;
        let package = owner(new, path).or_else(|| owner(old, path));
        groups.entry(package).or_default().changed.push(change);
    }
    groups.into_iter().map(|(package, files)| PackageFiles { package, files }).collect()
}

#[cfg(test)]
mod tests;
