//! What makes the disk start: Debian's signed shim and GRUB for UEFI, GRUB's image for BIOS, one configuration for both.
//!
//! The files come out of locked packages that are not installed, so the template has no boot loader to keep up to date:
//! kernels are found by the links that Debian's kernel packages keep in `/`.

use crate::deb;
use crate::error::Error;
use crate::lock::Lock;
use crate::store::Store;

mod bios;
mod config;

pub use bios::{BiosImage, make as make_bios_image};
pub use config::text as config;

/// Packages that files are taken from, or that make what is on the disk.
pub const PACKAGES: &[&str] =
    &["grub-common", "grub-efi-amd64-signed", "grub-pc-bin", "libdevmapper1.02.1", "shim-signed"];
/// Those of them that something on the disk comes from.
pub const ON_DISK: &[&str] = &["grub-efi-amd64-signed", "grub-pc-bin", "shim-signed"];

/// Where both GRUBs look for their configuration; compiled into Debian's signed one. FAT does not care about case.
pub const DIRECTORY: &str = "EFI/debian";
/// The configuration's name there.
pub const CONFIG: &str = "GRUB.CFG";

/// The two programs that UEFI starts, one after the other.
#[derive(Debug, Clone)]
pub struct UefiPrograms {
    /// Signed by Microsoft, for firmware with Secure Boot.
    pub shim: Vec<u8>,
    /// Signed by Debian; shim knows the key.
    pub grub: Vec<u8>,
}

impl UefiPrograms {
    /// Takes them out of their packages.
    ///
    /// # Errors
    /// [`Error::Tree`] when a package does not hold what it should, or as [`Store::read`].
    pub fn read(packages: &Packages<'_>) -> Result<Self, Error> {
        Ok(Self {
            shim: packages.file("shim-signed", "/usr/lib/shim/shimx64.efi.signed")?,
            grub: packages
                .file("grub-efi-amd64-signed", "/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed")?,
        })
    }
}

/// The locked packages of [`PACKAGES`].
pub struct Packages<'a> {
    /// The lock that names them.
    pub lock: &'a Lock,
    /// Where they are.
    pub store: &'a Store,
}

impl Packages<'_> {
    fn file(&self, package: &str, path: &str) -> Result<Vec<u8>, Error> {
        let mut files = self.files(package, &|found| found == path)?;
        files
            .pop()
            .map(|(_, content)| content)
            .ok_or_else(|| Error::Tree(format!("the package {package} has no {path}")))
    }

    /// Path and content of the files that are wanted.
    fn files(&self, name: &str, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let package = self.lock.vm.iter().flat_map(|vm| &vm.boot).find(|package| package.name == name);
        let package =
            package.ok_or_else(|| Error::Tree(format!("the lock has no package {name} to boot from")))?;
        deb::files(&package.id(), &self.store.read(&package.sha256)?, wanted)
    }
}
