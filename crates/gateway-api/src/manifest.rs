//! The YAML file of `apply -f`: many gateways, each with what is wanted of it.

use serde::{Deserialize, Serialize};

use crate::{GatewaySpec, Invalid};

/// Whether a gateway is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Intent {
    /// Make it so.
    #[default]
    Present,
    /// Delete it, if it is there; its data stays.
    Removed,
}

/// One gateway of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestEntry {
    /// What is wanted.
    pub intent: Intent,
    /// The gateway; only its name matters when it is to be removed.
    pub spec: GatewaySpec,
}

/// A whole manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its gateways, in the order of the file.
    pub gateways: Vec<ManifestEntry>,
}

/// The file as written. `intent` stands beside the spec's own fields, hence the copy: serde cannot refuse unknown
/// fields through `flatten`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    gateways: Vec<Entry>,
}

macro_rules! entry {
    ($($(#[$meta:meta])* $field:ident : $type:ty),* $(,)?) => {
        #[derive(Debug, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        struct Entry {
            #[serde(default)]
            intent: Intent,
            $($(#[$meta])* $field: $type,)*
        }

        impl From<Entry> for ManifestEntry {
            fn from(entry: Entry) -> Self {
                Self { intent: entry.intent, spec: GatewaySpec { $($field: entry.$field,)* } }
            }
        }

        impl From<ManifestEntry> for Entry {
            fn from(entry: ManifestEntry) -> Self {
                Self { intent: entry.intent, $($field: entry.spec.$field,)* }
            }
        }
    };
}

entry! {
    name: crate::GatewayName,
    #[serde(default)]
    mode: crate::Mode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    template: Option<crate::TemplateName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    memory: Option<crate::ByteSize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cores: Option<u32>,
    #[serde(default = "yes")]
    onboot: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    startup: Option<crate::StartOrder>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    guest_storage: Option<crate::StorageId>,
    #[serde(default)]
    network: crate::Network,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    listen: Option<crate::Listen>,
    #[serde(default)]
    security: crate::SecurityProfile,
    #[serde(default)]
    firmware: crate::Firmware,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    disk: Option<crate::Disk>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    domain: Option<crate::Domain>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    users: Vec<crate::User>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<crate::Group>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    shares: Vec<crate::Share>,
}

fn yes() -> bool {
    true
}

impl Manifest {
    /// Checks every spec, and that no gateway is named twice.
    ///
    /// # Errors
    /// [`Invalid`] with the first rule that is broken.
    pub fn check(&self) -> Result<(), Invalid> {
        for (index, entry) in self.gateways.iter().enumerate() {
            if self.gateways[..index].iter().any(|other| other.spec.name == entry.spec.name) {
                return Err(Invalid::new("gateway", entry.spec.name.as_str(), "is in the manifest twice"));
            }
            entry.spec.check()?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Manifest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let file = File::deserialize(deserializer)?;
        Ok(Self { gateways: file.gateways.into_iter().map(ManifestEntry::from).collect() })
    }
}

impl Serialize for Manifest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        File { gateways: self.gateways.iter().cloned().map(Entry::from).collect() }.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_intent_beside_the_spec() {
        let manifest: Manifest = serde_yaml::from_str(
            "gateways:\n- name: a\n  shares: [{name: x, path: /srv/x}]\n- {name: b, intent: removed}\n",
        )
        .unwrap();
        assert_eq!(manifest.gateways[0].intent, Intent::Present);
        assert_eq!(manifest.gateways[1].intent, Intent::Removed);
    }

    #[test]
    fn an_unknown_field_is_named_with_its_line() {
        let error = serde_yaml::from_str::<Manifest>("gateways:\n- name: a\n  colour: red\n")
            .unwrap_err()
            .to_string();
        assert!(error.contains("colour") && error.contains("line 3"), "{error}");
    }

    #[test]
    fn a_name_twice_is_an_error() {
        let manifest: Manifest = serde_yaml::from_str("gateways: [{name: a}, {name: a}]").unwrap();
        assert!(manifest.check().unwrap_err().to_string().contains("twice"));
    }
}
