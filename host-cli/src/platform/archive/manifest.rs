//! What the host reads of the builder's manifest. Fields that it does not need are skipped, so that newer builders
//! can add some.

use std::path::Path;

use serde::Deserialize;

use crate::platform::Form;
use crate::{Error, Result};

/// Formats that are understood.
const FORMAT: u32 = 1;

/// A manifest.
#[derive(Debug, Deserialize)]
pub(crate) struct Manifest {
    format: u32,
    pub(crate) template: String,
    pub(crate) version: String,
    #[serde(deserialize_with = "form")]
    pub(crate) form: Form,
    pub(crate) samba: Option<String>,
    pub(crate) agent: Agent,
    pub(crate) archive: Archive,
    pub(crate) files: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Agent {
    pub(crate) version: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Archive {
    pub(crate) sha256: String,
}

/// A path of the template.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    pub(crate) path: String,
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    pub(crate) mode: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) sha256: Option<String>,
    pub(crate) link: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Directory,
    File,
    Symlink,
    Hardlink,
}

fn form<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Form, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "lxc" => Ok(Form::Container),
        "vm" => Ok(Form::Machine),
        other => Err(serde::de::Error::custom(format!("form {other} is neither lxc nor vm"))),
    }
}

impl Manifest {
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self> {
        let invalid = |why: String| {
            Error::usage("template-invalid", format!("the manifest {} cannot be used: {why}", path.display()))
                .hint("build the template again with the builder of this version")
        };
        let manifest: Self = serde_json::from_str(text).map_err(|e| invalid(e.to_string()))?;
        if manifest.format != FORMAT {
            return Err(invalid(format!("format {} is not known", manifest.format)));
        }
        Ok(manifest)
    }
}
