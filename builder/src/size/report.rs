//! The report of a finished template: every package by size, and what changed against another template or a record.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Change, PackageSizes, SizeRecord, changes};
use crate::error::Error;
use crate::form::Form;
use crate::inspect;
use crate::outputs::Names;
use crate::verify::load_manifest;

/// Sizes of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Name of the template.
    pub template: String,
    /// Version of the product.
    pub version: String,
    /// What it is for.
    pub form: Form,
    /// Bytes of the compressed template.
    pub size: u64,
    /// Bytes of all files in it.
    pub unpacked: u64,
    /// Bytes by package, unpacked.
    pub packages: PackageSizes,
    /// What it is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<Comparison>,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// The other template, or the record.
    pub with: PathBuf,
    /// Bytes of all files in it.
    pub unpacked: u64,
    /// Packages whose size is another, what grew most first.
    pub changes: Vec<Change>,
}

/// Looks into a template, and at what it is compared with: another template, or a record that has this form.
///
/// # Errors
/// [`Error::Missing`], [`Error::NotIntact`], [`Error::SizeRecord`], [`Error::Io`].
pub fn report(template: &Path, against: Option<&Path>) -> Result<Report, Error> {
    let missing = |path: &Path, hint: &str| Error::Missing {
        what: "the template",
        path: path.to_owned(),
        hint: hint.to_owned(),
    };
    let Some(form) = form_of(template).filter(|_| template.is_file()) else {
        return Err(missing(
            template,
            "name a .tar.zst or .qcow2 that is there, with its manifest beside it",
        ));
    };
    let manifest = load_manifest(template)?;
    let packages = inspect::sizes(template, &manifest)?;
    let against = against.map(|other| {
        let before = if form_of(other).is_some() {
            if !other.is_file() {
                return Err(missing(other, "name another template, or the *.sizes.json beside a recipe"));
            }
            inspect::sizes(other, &load_manifest(other)?)?
        } else {
            recorded(other, form)?
        };
        let changes = changes(&before, &packages);
        Ok(Comparison { with: other.to_owned(), unpacked: before.total(), changes })
    });
    Ok(Report {
        template: manifest.template,
        version: manifest.version,
        form,
        size: manifest.archive.size,
        unpacked: packages.total(),
        packages,
        against: against.transpose()?,
    })
}

fn form_of(path: &Path) -> Option<Form> {
    Names::of_archive(&path.file_name()?.to_string_lossy()).map(|names| names.form())
}

fn recorded(path: &Path, form: Form) -> Result<PackageSizes, Error> {
    let Some(record) = SizeRecord::load(path)? else {
        return Err(Error::Missing {
            what: "the size record",
            path: path.to_owned(),
            hint: "make it with `smbgw-builder build RECIPE --record-sizes`".into(),
        });
    };
    let sizes = record.form(form).map(|sizes| sizes.packages.clone());
    sizes.ok_or_else(|| Error::SizeRecord {
        path: path.to_owned(),
        detail: format!("the form {form} was never recorded in it"),
    })
}
