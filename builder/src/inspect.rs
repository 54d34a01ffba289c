//! What is in a template, and what takes the space.

use std::path::Path;

use serde::Serialize;

use crate::error::Error;
use crate::manifest::Manifest;
use crate::outputs::Names;
use crate::size::{Owners, PackageSizes};
use crate::verify::load_manifest;

/// A template in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// Name of the template.
    pub template: String,
    /// Version of the product.
    pub version: String,
    /// Debian architecture.
    pub architecture: String,
    /// `lxc` or `vm`.
    pub form: String,
    /// Debian suite.
    pub suite: String,
    /// Version of Samba.
    pub samba: Option<String>,
    /// Version of the agent.
    pub agent: Option<String>,
    /// Time of the newest archive it was built from.
    pub epoch: i64,
    /// SHA-256 of the template.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    /// Size of the tar or the disk in it.
    pub unpacked_size: u64,
    /// Paths in it.
    pub paths: usize,
    /// Packages in it.
    pub packages: usize,
    /// Bytes by package, the biggest first; empty when only the manifest is at hand.
    pub by_package: Vec<(String, u64)>,
}

/// Looks into a template, or at its manifest alone.
///
/// # Errors
/// [`Error::Missing`], [`Error::NotIntact`], [`Error::Io`].
pub fn inspect(path: &Path) -> Result<Inspection, Error> {
    let manifest = load_manifest(path)?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let is_template = Names::of_archive(&name).is_some() && path.is_file();
    let by_package = if is_template { sizes(path, &manifest)? } else { PackageSizes::default() };
    let tar_size = manifest.tar.map(|tar| tar.size);
    let disk_size = manifest.disk.map(|disk| disk.virtual_size);
    Ok(Inspection {
        template: manifest.template,
        version: manifest.version,
        architecture: manifest.architecture,
        form: manifest.form,
        suite: manifest.suite,
        samba: manifest.samba,
        agent: manifest.agent.version,
        epoch: manifest.epoch,
        sha256: manifest.archive.sha256,
        size: manifest.archive.size,
        unpacked_size: tar_size.or(disk_size).unwrap_or_default(),
        paths: manifest.files.len(),
        packages: manifest.packages.len(),
        by_package: by_package
            .biggest_first()
            .into_iter()
            .map(|(name, size)| (name.to_owned(), size))
            .collect(),
    })
}

/// Sizes of a template's packages, with the manifest that belongs to it.
///
/// # Errors
/// [`Error::NotIntact`], [`Error::Io`].
pub fn sizes(template: &Path, manifest: &Manifest) -> Result<PackageSizes, Error> {
    let owners = Owners::of_template(template, manifest)?;
    Ok(PackageSizes::add_up(&manifest.files, &owners, &manifest.agent.sha256))
}
