//! What Proxmox VE accepts, by version: options of commands and parameters of REST endpoints, with their types and limits.
//!
//! * [`check`]: one value against its type
//! * [`formats`]: formats that Proxmox VE checks by code
//! * [`generate`]: the committed tables, from the whole schemas

pub mod check;
pub mod formats;
pub mod generate;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::release::Release;

/// Options or parameters by name; `net[0-31]` stands for a family.
pub type Properties = BTreeMap<String, Property>;

/// What one option takes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Property {
    /// `string`, `integer`, `number`, `boolean`, `array`; absent for an alias.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Name of a format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// May be left out.
    #[serde(skip_serializing_if = "is_false")]
    pub optional: bool,
    /// The key that a property string's first value without a key belongs to.
    #[serde(rename = "default_key", skip_serializing_if = "is_false")]
    pub default_key: bool,
    /// Another key that it stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Where an alias remembers which key it was.
    #[serde(rename = "keyAlias", skip_serializing_if = "Option::is_none")]
    pub key_alias: Option<String>,
    /// The least value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum: Option<f64>,
    /// The greatest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum: Option<f64>,
    /// The shortest value, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_length: Option<usize>,
    /// The longest value, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// The only values.
    #[serde(rename = "enum", skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// A Perl expression for the whole value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Another option that must be given with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requires: Option<String>,
    /// Of an array: what its items are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<Box<Property>>,
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// A command or an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Call {
    /// Options that are given by their place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Takes the rest after `--`.
    #[serde(skip_serializing_if = "is_false")]
    pub rest: bool,
    /// Another command that it stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Its options.
    pub params: Properties,
}

/// All that is known of one version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// The version it was read from, as `9.2.11`.
    pub version: String,
    /// `pct create` and the like.
    pub cli: BTreeMap<String, Call>,
    /// `GET /nodes/{node}/lxc` and the like.
    pub api: BTreeMap<String, Call>,
    /// Property strings by the name of their format.
    pub formats: BTreeMap<String, Properties>,
}

impl Table {
    /// The table of a release. What came with 9.2 is not in those of 9.0 and 9.1.
    ///
    /// # Errors
    /// When the committed file is not one.
    pub fn of(release: Release) -> anyhow::Result<Self> {
        let text = match release {
            Release::V8_4 => include_str!("../../facts/pve8.json"),
            _ => include_str!("../../facts/pve9.json"),
        };
        let mut table: Self = serde_json::from_str(text)?;
        if matches!(release, Release::V9_0 | Release::V9_1) {
            // pve-container 6.1.2 and 6.1.6
            for format in table.formats.values_mut() {
                if format.contains_key("mountoptions") {
                    format.remove("idmap");
                    format.remove("keepattrs");
                }
            }
        }
        Ok(table)
    }

    /// A command, through its aliases.
    pub fn command(&self, name: &str) -> Option<&Call> {
        let call = self.cli.get(name)?;
        match &call.alias {
            Some(alias) => {
                let program = name.split(' ').next().unwrap_or_default();
                self.cli.get(&format!("{program} {alias}"))
            }
            None => Some(call),
        }
    }
}

/// The property of this name: `net3` is one of `net[0-31]`.
pub fn find<'a>(properties: &'a Properties, name: &str) -> Option<&'a Property> {
    if let Some(found) = properties.get(name) {
        return Some(found);
    }
    let digits = name.trim_start_matches(|letter: char| !letter.is_ascii_digit());
    let stem = &name[..name.len() - digits.len()];
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    let number: u32 = digits.parse().ok()?;
    properties.iter().find_map(|(key, property)| {
        let (family, range) = key.strip_suffix(']')?.split_once('[')?;
        let (first, last) = range.split_once('-')?;
        let range = first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?;
        (family == stem && range.contains(&number)).then_some(property)
    })
}
