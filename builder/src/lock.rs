//! The lock: every package of a template by name, version and hash, so that anyone can build the same bytes.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::form::Form;
use crate::hash;
use crate::recipe::Recipe;

/// Version of the file format.
pub const FORMAT: u32 = 1;

/// A lock file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// [`FORMAT`].
    pub format: u32,
    /// Name of the template it was made for.
    pub template: String,
    /// [`Recipe::package_hash`] of the recipe it was made for.
    pub recipe_hash: String,
    /// Debian suite.
    pub suite: String,
    /// Debian architecture.
    pub architecture: String,
    /// Newest `Date` of the archives, in seconds since 1970: the time every new file in the template has.
    pub epoch: i64,
    /// The packages, sorted by name.
    pub packages: Vec<Package>,
    /// What the form for virtual machines needs besides; missing where the recipe has no such form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm: Option<VmPackages>,
}

/// Packages of the form for virtual machines, each list sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VmPackages {
    /// Installed on top of the container's.
    pub packages: Vec<Package>,
    /// Never installed: files of theirs start the disk, or make what does.
    pub boot: Vec<Package>,
}

/// One package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Name.
    pub name: String,
    /// Version, with its epoch.
    pub version: String,
    /// `amd64` or `all`.
    pub architecture: String,
    /// Source package.
    pub source: String,
    /// Version of the source package.
    pub source_version: String,
    /// Path under the mirror, as it stands in an address: `debian/pool/main/a/acl/acl_2.3.2-2%2bb1_amd64.deb`.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the `.deb`.
    pub sha256: String,
}

impl Package {
    /// `name_version_architecture`, for people.
    pub fn id(&self) -> String {
        format!("{}_{}_{}", self.name, self.version, self.architecture)
    }

    /// What lists of packages are sorted by.
    pub(crate) fn order(&self) -> (&str, &str) {
        (&self.name, &self.architecture)
    }
}

impl Lock {
    /// Parses and checks a lock.
    ///
    /// # Errors
    /// A sentence for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lock: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if lock.format != FORMAT {
            return Err(format!("format {} is not known to this version (it knows {FORMAT})", lock.format));
        }
        for package in lock.all() {
            if !hash::is_sha256(&package.sha256) {
                return Err(format!("the hash of {} is not a SHA-256", package.name));
            }
            let relative = |part: &str| !part.is_empty() && part != "..";
            if !package.path.split('/').all(relative) || package.path.contains(['\n', ' ', '\'']) {
                return Err(format!("the path of {} is not a plain relative path", package.name));
            }
        }
        let sorted = |packages: &[Package]| packages.is_sorted_by(|a, b| a.order() < b.order());
        let vm = lock.vm.iter().flat_map(|vm| [&vm.packages, &vm.boot]);
        if ![&lock.packages].into_iter().chain(vm).all(|packages| sorted(packages)) {
            return Err("packages are not sorted, or one is named twice".into());
        }
        if !sorted(&lock.of_form(Form::Machine).packages) {
            return Err("`vm` names a package that the container has".into());
        }
        Ok(lock)
    }

    /// Reads a lock file.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Io`] or [`Error::Lock`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::Missing {
                    what: "the lock",
                    path: path.to_owned(),
                    hint: format!("make it with `smbgw-builder lock RECIPE --lock {}`", path.display()),
                });
            }
            other => other.map_err(Error::io("reading", path))?,
        };
        Self::parse(&text).map_err(|detail| Error::Lock { path: path.to_owned(), detail })
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Writes the file: to a temporary name first, so that there is never half a lock.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(Error::io("making", parent))?;
        }
        let temporary = path.with_extension(format!("json.{}", std::process::id()));
        let write = || {
            std::fs::File::create(&temporary)?.write_all(self.to_text().as_bytes())?;
            std::fs::rename(&temporary, path)
        };
        write().map_err(Error::io("writing", path))
    }

    /// The hash of what the lock decides.
    pub fn hash(&self) -> String {
        hash::of_bytes(self.to_text().as_bytes())
    }

    /// The lock as it is for one form: all that is installed, in one list.
    #[must_use]
    pub fn of_form(&self, form: Form) -> Self {
        let mut lock = Self { vm: None, ..self.clone() };
        if form == Form::Machine {
            lock.packages.extend(self.vm.iter().flat_map(|vm| vm.packages.iter().cloned()));
            lock.packages.sort_by(|a, b| a.order().cmp(&b.order()));
        }
        lock
    }

    /// Every package, of any form.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Package> {
        let vm = self.vm.iter().flat_map(|vm| vm.packages.iter().chain(&vm.boot));
        self.packages.iter().chain(vm)
    }

    /// Whether it was made for these packages from these archives.
    pub fn fits(&self, recipe: &Recipe) -> bool {
        self.recipe_hash == recipe.package_hash()
    }

    /// The version of a package.
    pub fn version_of(&self, name: &str) -> Option<&str> {
        self.packages.iter().find(|package| package.name == name).map(|package| package.version.as_str())
    }
}

/// Where the lock of a recipe is: as given, else beside the recipe if there is one, else in the cache.
pub fn place(given: Option<&Path>, recipe_path: &Path, recipe: &Recipe, cache: &Path) -> PathBuf {
    let beside = recipe_path.with_extension("lock.json");
    match given {
        Some(path) => path.to_owned(),
        None if beside.exists() => beside,
        None => cache.join("locks").join(format!("{}.lock.json", recipe.name)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn package(name: &str, path: &str) -> Package {
        Package {
            name: name.into(),
            version: "1:2-3".into(),
            architecture: "amd64".into(),
            source: name.into(),
            source_version: "2-3".into(),
            path: path.into(),
            size: 7,
            sha256: hash::of_bytes(name.as_bytes()),
        }
    }

    fn lock(packages: Vec<Package>) -> Lock {
        Lock {
            format: FORMAT,
            template: "debian-13".into(),
            recipe_hash: hash::of_bytes(b"r"),
            suite: "trixie".into(),
            architecture: "amd64".into(),
            epoch: 1_760_000_000,
            packages,
            vm: None,
        }
    }

    fn with_vm(vm: Vec<Package>, packages: Vec<Package>) -> Lock {
        Lock { vm: Some(VmPackages { packages: vm, boot: vec![] }), ..lock(packages) }
    }

    #[test]
    fn a_form_has_what_is_installed_in_it() {
        let lock = with_vm(vec![package("b", "x")], vec![package("a", "x"), package("c", "x")]);
        let names =
            |form| lock.of_form(form).packages.iter().map(|package| package.name.clone()).collect::<String>();
        assert_eq!((names(Form::Container).as_str(), names(Form::Machine).as_str()), ("ac", "abc"));
        assert_eq!(Lock::parse(&lock.to_text()), Ok(lock.clone()));
    }

    #[test]
    fn hostile_or_odd_locks_are_refused() {
        for (bad, said) in [
            (lock(vec![package("a", "../../etc/passwd")]), "relative path"),
            (lock(vec![package("a", "/etc/passwd")]), "relative path"),
            (lock(vec![package("b", "x"), package("a", "x")]), "sorted"),
            (lock(vec![package("a", "x"), package("a", "x")]), "twice"),
            (Lock { format: 99, ..lock(vec![]) }, "format 99"),
            (with_vm(vec![package("a", "x")], vec![package("a", "x")]), "the container has"),
            (with_vm(vec![package("a", "../x")], vec![]), "relative path"),
            (lock(vec![Package { sha256: "abc".into(), ..package("a", "x") }]), "SHA-256"),
        ] {
            let error = Lock::parse(&bad.to_text()).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
        assert!(Lock::parse("{}").is_err());
    }

    #[test]
    fn saved_and_loaded_without_leftovers() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/debian-13.lock.json");
        let lock = lock(vec![package("a", "debian/a.deb")]);
        lock.save(&path).unwrap();
        assert_eq!(Lock::load(&path).unwrap(), lock);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(names in proptest::collection::btree_set("[a-z][a-z0-9+.-]{1,12}", 0..6)) {
            let lock = lock(names.iter().map(|name| package(name, &format!("debian/{name}.deb"))).collect());
            prop_assert_eq!(Lock::parse(&lock.to_text()), Ok(lock));
        }

        #[test]
        fn anything_is_read_without_panic(text in "\\PC{0,100}") {
            let _ = Lock::parse(&text);
        }
    }
}
