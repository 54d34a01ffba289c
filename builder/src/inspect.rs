//! What is in a template, and what takes the space.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use serde::Serialize;

use crate::error::Error;
use crate::manifest::Manifest;
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
    /// `lxc`.
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
    /// Size of the tar in it.
    pub tar_size: u64,
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
    let is_archive = path.extension().is_some_and(|extension| extension == "zst");
    let owners = if is_archive && path.is_file() { owners(path)? } else { HashMap::new() };
    let by_package = if owners.is_empty() { Vec::new() } else { sizes(&manifest, &owners) };
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
        tar_size: manifest.tar.size,
        paths: manifest.files.len(),
        packages: manifest.packages.len(),
        by_package,
    })
}

/// The package of each path, from dpkg's lists in the template.
fn owners(template: &Path) -> Result<HashMap<String, String>, Error> {
    let broken =
        |error: std::io::Error| Error::NotIntact { path: template.to_owned(), detail: error.to_string() };
    let file = File::open(template).map_err(Error::io("reading", template))?;
    let decoder = zstd::Decoder::new(file).map_err(broken)?;
    let mut archive = tar::Archive::new(BufReader::with_capacity(1 << 20, decoder));
    let mut owners = HashMap::new();
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let package = path.strip_prefix("./var/lib/dpkg/info/").and_then(|name| name.strip_suffix(".list"));
        let Some(package) = package.map(|name| name.split(':').next().unwrap_or(name).to_owned()) else {
            continue;
        };
        let mut text = String::new();
        entry.read_to_string(&mut text).map_err(broken)?;
        // packages of Debian 12 list /lib where the tree has /usr/lib
        let real = |line: &str| match line.split('/').nth(1) {
            Some("bin" | "sbin" | "lib" | "lib64") => format!("/usr{line}"),
            _ => line.to_owned(),
        };
        owners.extend(text.lines().map(|line| (real(line), package.clone())));
    }
    Ok(owners)
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
