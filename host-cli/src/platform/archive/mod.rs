//! A template's file as the builder made it, and the manifest beside it.

mod manifest;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use smbgw_api::TemplateName;

pub(crate) use self::manifest::{Entry, Kind, Manifest};
use super::{Form, Template};
use crate::{Error, Result};

/// What files of templates for containers end with.
pub const CONTAINER_SUFFIX: &str = ".tar.zst";
/// What files of templates for virtual machines end with.
pub const MACHINE_SUFFIX: &str = ".qcow2";
/// Largest manifest that is read: it lists every file of a template, some 3 MB.
const MAX_MANIFEST: u64 = 64 << 20;

/// Name without version, and exact name, of the template that a manifest speaks of.
///
/// # Errors
/// When it cannot be a name.
pub(crate) fn names(manifest: &Manifest) -> Result<(String, TemplateName)> {
    let base = match manifest.form {
        Form::Container => manifest.template.clone(),
        Form::Machine => format!("{}{}", manifest.template, Template::MACHINE),
    };
    let name = TemplateName::parse(&format!("{base}_{}", manifest.version))?;
    Ok((base, name))
}

/// Compares a file with its manifest; its SHA-256.
///
/// # Errors
/// Code `template-checksum`.
pub(crate) fn check(file: &Path, manifest: &Manifest) -> Result<String> {
    let sha256 = hash_file(file)?;
    if sha256 == manifest.archive.sha256 {
        return Ok(sha256);
    }
    Err(Error::resource(
        "template-checksum",
        format!("{} is not the file that its manifest speaks of (SHA-256 {sha256})", file.display()),
    )
    .hint("it is damaged or was changed: copy it again, or build it again"))
}

/// Where the manifest of a template's file is: beside it.
pub fn manifest_path(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    match name.strip_suffix(MACHINE_SUFFIX) {
        Some(stem) => file.with_file_name(format!("{stem}.vm.manifest.json")),
        None => {
            let stem = name.strip_suffix(CONTAINER_SUFFIX).unwrap_or(&name);
            file.with_file_name(format!("{stem}.manifest.json"))
        }
    }
}

/// Reads the manifest beside a template's file.
///
/// # Errors
/// Codes `template-missing`, `template-invalid`.
pub(crate) fn read_manifest(file: &Path) -> Result<Manifest> {
    if !file.is_file() {
        return Err(Error::resource("template-missing", format!("there is no file {}", file.display()))
            .hint("build one: pve-smbgateway template build debian-13"));
    }
    let name = file.to_string_lossy();
    let form = if name.ends_with(CONTAINER_SUFFIX) {
        Form::Container
    } else if name.ends_with(MACHINE_SUFFIX) {
        Form::Machine
    } else {
        return Err(Error::usage(
            "template-invalid",
            format!("{name} is neither a {CONTAINER_SUFFIX} nor a {MACHINE_SUFFIX} file"),
        ));
    };
    let path = manifest_path(file);
    if !path.is_file() {
        return Err(Error::resource("template-invalid", format!("there is no manifest {}", path.display()))
            .hint(
                "copy the manifest and SHA256SUMS along with the template: without them it cannot be checked",
            ));
    }
    let manifest = Manifest::parse(&path, &read_bounded(&path)?)?;
    if manifest.form != form {
        return Err(Error::usage("template-invalid", format!("{} speaks of another form", path.display()))
            .hint("build the template again with the builder of this version"));
    }
    Ok(manifest)
}

/// Reads a file of at most 64 MiB.
///
/// # Errors
/// When it cannot be read.
pub fn read_bounded(path: &Path) -> Result<String> {
    let reading = |source| Error::io(format!("reading {}", path.display()), source);
    let mut text = String::new();
    File::open(path).map_err(reading)?.take(MAX_MANIFEST).read_to_string(&mut text).map_err(reading)?;
    Ok(text)
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn hash_file(path: &Path) -> Result<String> {
    let reading = |source| Error::io(format!("reading {}", path.display()), source);
    let mut file = File::open(path).map_err(reading)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0u8; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(reading)? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            count => hash.update(&buffer[..count]),
        }
    }
}

/// Order of versions: numbers by value, the rest as text.
pub fn version_key(version: &str) -> Vec<(u64, String)> {
    version
        .split(['.', '-', '+', '~'])
        .map(|part| {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            (digits.parse().unwrap_or(0), part[digits.len()..].to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_number() {
        assert!(version_key("0.10.0") > version_key("0.9.1"));
        assert!(version_key("1.0") > version_key("0.99"));
    }

    #[test]
    fn the_manifest_lies_beside_the_archive() {
        assert_eq!(
            manifest_path(Path::new("/x/smb-gateway-debian-13_0.1.0_amd64.tar.zst")),
            Path::new("/x/smb-gateway-debian-13_0.1.0_amd64.manifest.json")
        );
        assert_eq!(
            manifest_path(Path::new("/x/smb-gateway-debian-13_0.1.0_amd64.qcow2")),
            Path::new("/x/smb-gateway-debian-13_0.1.0_amd64.vm.manifest.json")
        );
    }
}
