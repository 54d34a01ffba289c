//! Sizes of a template as they were, beside its recipe: what a bigger one is compared with.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::PackageSizes;
use crate::error::Error;
use crate::form::Form;
use crate::tarball::Level;
use crate::workdir::WorkDir;

/// Version of the file format.
pub const FORMAT: u32 = 1;

/// A record's file. It depends on nothing but the templates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizeRecord {
    format: u32,
    /// Name of the template.
    template: String,
    /// By the word for the form: `lxc`, `vm`.
    forms: BTreeMap<Form, FormSizes>,
}

/// Sizes of one form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormSizes {
    /// Bytes of the compressed template.
    #[serde(default)]
    pub compressed: BTreeMap<Level, u64>,
    /// Bytes unpacked.
    #[serde(default)]
    pub packages: PackageSizes,
}

impl SizeRecord {
    /// An empty record.
    pub fn new(template: &str) -> Self {
        Self { format: FORMAT, template: template.to_owned(), forms: BTreeMap::new() }
    }

    /// The record's place: beside the recipe.
    pub fn place(recipe: &Path) -> PathBuf {
        recipe.with_extension("sizes.json")
    }

    /// Parses a record.
    ///
    /// # Errors
    /// A sentence for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let record: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match record.format {
            FORMAT => Ok(record),
            other => Err(format!("format {other} is not known to this version (it knows {FORMAT})")),
        }
    }

    /// Reads a record, if there is one.
    ///
    /// # Errors
    /// [`Error::SizeRecord`], [`Error::Io`].
    pub fn load(path: &Path) -> Result<Option<Self>, Error> {
        match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => {
                let text = other.map_err(Error::io("reading", path))?;
                let bad = |detail| Error::SizeRecord { path: path.to_owned(), detail };
                Self::parse(&text).map(Some).map_err(bad)
            }
        }
    }

    /// The sizes of a form, if it was recorded.
    pub fn form(&self, form: Form) -> Option<&FormSizes> {
        self.forms.get(&form)
    }

    /// Takes over a form's packages and its size at this level. Other forms and levels stay.
    pub fn set(&mut self, form: Form, packages: PackageSizes, level: Level, compressed: u64) {
        let sizes = self.forms.entry(form).or_default();
        sizes.packages = packages;
        sizes.compressed.insert(level, compressed);
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Writes the file, aside first, so that there is never half a record.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let parent = path.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let aside = WorkDir::create_in(parent)?;
        let new = aside.join("record");
        fs::write(&new, self.to_text())
            .and_then(|()| fs::rename(&new, path))
            .map_err(Error::io("writing", path))
    }
}
