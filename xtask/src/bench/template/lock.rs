//! The packages of the builder's lock: what the others install, too.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Form;

/// Versions by name.
pub(super) type Versions = BTreeMap<String, String>;

/// The packages of each form.
#[derive(Debug)]
pub(super) struct Lock {
    container: Versions,
    machine: Versions,
}

impl Lock {
    /// Reads the lock.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        let lock: Value = serde_json::from_slice(&bytes)?;
        let container = versions(&lock["packages"]);
        // a virtual machine has the container's packages, too
        let mut machine = container.clone();
        machine.extend(versions(&lock["vm"]["packages"]));
        ensure!(container.len() > 50, "the lock lists {} packages", container.len());
        ensure!(machine.len() > container.len(), "the lock lists no packages of virtual machines");
        Ok(Self { container, machine })
    }

    /// What a form has installed.
    pub(super) fn of(&self, form: Form) -> &Versions {
        match form {
            Form::Container => &self.container,
            Form::Machine => &self.machine,
        }
    }

    /// Whether just this was installed, but for `besides`.
    ///
    /// # Errors
    /// When not, with what differs: then times would not be those of the same work.
    pub(super) fn check(&self, form: Form, installed: &Versions, besides: &[&str]) -> Result<()> {
        let wanted = self.of(form);
        let mut differ: Vec<String> = wanted
            .iter()
            .filter(|(name, version)| installed.get(*name) != Some(version))
            .map(|(name, version)| {
                format!("{name} {} for {version}", installed.get(name).map_or("missing", String::as_str))
            })
            .collect();
        differ.extend(
            installed
                .iter()
                .filter(|(name, _)| !wanted.contains_key(*name) && !besides.contains(&name.as_str()))
                .map(|(name, version)| format!("{name} {version} besides")),
        );
        ensure!(
            differ.is_empty(),
            "other packages than the lock's were installed (has the mirror changed meanwhile? run it again): {}",
            differ.join(", ")
        );
        Ok(())
    }
}

/// Of the packages in a list of a lock or of mkosi's manifest.
pub(super) fn versions(packages: &Value) -> Versions {
    packages
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|package| {
            Some((package["name"].as_str()?.to_owned(), package["version"].as_str()?.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(packages: &[(&str, &str)]) -> Versions {
        packages.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect()
    }

    #[test]
    fn other_packages_are_told() {
        let container = of(&[("samba", "4.22"), ("bash", "5.2")]);
        let lock = Lock { machine: container.clone(), container };
        let check = |installed: &[(&str, &str)]| {
            lock.check(Form::Container, &of(installed), &["boot"]).map_err(|error| error.to_string())
        };
        assert_eq!(check(&[("samba", "4.22"), ("bash", "5.2"), ("boot", "1")]), Ok(()));
        let told = check(&[("samba", "4.23"), ("perl", "5.40")]).unwrap_err();
        assert!(told.ends_with(": bash missing for 5.2, samba 4.23 for 4.22, perl 5.40 besides"), "{told}");
    }
}
