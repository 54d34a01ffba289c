//! What is in a template, and what takes the space.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use serde::Serialize;

use crate::disk;
use crate::error::Error;
use crate::form::Form;
use crate::manifest::Manifest;
use crate::outputs::Names;
use crate::qcow2;
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
    let is_template =
        path.file_name().is_some_and(|name| Names::of_archive(&name.to_string_lossy()).is_some());
    let owners = if is_template && path.is_file() { owners(path, &manifest)? } else { HashMap::new() };
    let by_package = if owners.is_empty() { Vec::new() } else { sizes(&manifest, &owners) };
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
        by_package,
    })
}

/// Where dpkg keeps the list of each package's paths.
const LISTS: &str = "/var/lib/dpkg/info";

/// The package of each path, from dpkg's lists in a template.
///
/// # Errors
/// [`Error::NotIntact`], [`Error::Io`].
pub fn owners(template: &Path, manifest: &Manifest) -> Result<HashMap<String, String>, Error> {
    let name = template.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match Names::of_archive(&name).map(|names| names.form()) {
        Some(Form::Machine) => listed_on_disk(template, manifest),
        _ => listed_in_tar(template),
    }
    .map(owners_of)
}

/// From file name and text of each list.
fn owners_of(lists: Vec<(String, String)>) -> HashMap<String, String> {
    let mut owners = HashMap::new();
    for (name, text) in lists {
        let package = name.trim_end_matches(".list");
        let package = package.split(':').next().unwrap_or(package);
        // packages of Debian 12 list /lib where the tree has /usr/lib
        let real = |line: &str| match line.split('/').nth(1) {
            Some("bin" | "sbin" | "lib" | "lib64") => format!("/usr{line}"),
            _ => line.to_owned(),
        };
        owners.extend(text.lines().map(|line| (real(line), package.to_owned())));
    }
    owners
}

fn listed_in_tar(template: &Path) -> Result<Vec<(String, String)>, Error> {
    let broken =
        |error: std::io::Error| Error::NotIntact { path: template.to_owned(), detail: error.to_string() };
    let file = File::open(template).map_err(Error::io("reading", template))?;
    let decoder = zstd::Decoder::new(file).map_err(broken)?;
    let mut archive = tar::Archive::new(BufReader::with_capacity(1 << 20, decoder));
    let mut lists = Vec::new();
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = path.strip_prefix(&format!(".{LISTS}/")).filter(|name| name.ends_with(".list"));
        if let Some(name) = name {
            let mut text = String::new();
            entry.read_to_string(&mut text).map_err(broken)?;
            lists.push((name.to_owned(), text));
        }
    }
    Ok(lists)
}

fn listed_on_disk(template: &Path, manifest: &Manifest) -> Result<Vec<(String, String)>, Error> {
    let broken = |detail: String| Error::NotIntact { path: template.to_owned(), detail };
    let image = qcow2::Image::open(template).map_err(|error| broken(error.to_string()))?;
    let root = manifest.disk.as_ref().and_then(|disk| disk.root());
    let root = root.ok_or_else(|| broken("its manifest names no root partition".into()))?;
    let system = disk::open_ext4(&image, root.offset).map_err(broken)?;
    let read = || {
        let mut lists = Vec::new();
        for entry in system.read_dir(system.resolve(LISTS)?)? {
            let name = String::from_utf8_lossy(&entry.name).into_owned();
            if name.ends_with(".list") {
                let text = system.read_file(entry.inode)?;
                lists.push((name, String::from_utf8_lossy(&text).into_owned()));
            }
        }
        Ok(lists)
    };
    read().map_err(|error: mkext4::Error| broken(error.to_string()))
}

fn sizes(manifest: &Manifest, owners: &HashMap<String, String>) -> Vec<(String, u64)> {
    let mut sizes: BTreeMap<&str, u64> = BTreeMap::new();
    for record in &manifest.files {
        let owner = owners.get(&record.path).map_or("(no package)", String::as_str);
        *sizes.entry(owner).or_default() += record.size.unwrap_or(0);
    }
    let mut sizes: Vec<_> = sizes.into_iter().map(|(name, size)| (name.to_owned(), size)).collect();
    sizes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    sizes
}
