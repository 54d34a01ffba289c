//! From a recipe to a lock: apt decides, in a root of its own, with nothing of the building machine but its keyring.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use smbgw_command::{Command, CommandError, Runner, System};

use crate::apt::{self, AptRoot};
use crate::boot;
use crate::deb822;
use crate::error::Error;
use crate::form::Form;
use crate::lock::{FORMAT, Lock, Package, VmPackages};
use crate::recipe::Recipe;
use crate::uris::{self, Uri};
use crate::workdir::WorkDir;

/// apt may read a few dozen MB of indexes over a slow line.
const UPDATE_DEADLINE: Duration = Duration::from_secs(600);

/// Asks the mirror what it has now, and locks it.
///
/// # Errors
/// [`Error::Mirror`] when the index cannot be read, [`Error::Unresolvable`] when apt finds no solution;
/// [`Error::Missing`], [`Error::Proxy`], [`Error::Program`], [`Error::Io`], [`Error::Interrupted`].
pub fn resolve(recipe: &Recipe, mirror: &str, work: &WorkDir, system: &System) -> Result<Lock, Error> {
    let root = AptRoot::create(recipe, mirror, work, system)?;
    let update = root.command("apt-get").args(["-q", "update", "--error-on=any"]).deadline(UPDATE_DEADLINE);
    system.run(&update).map_err(|error| match error {
        CommandError::Failed { stderr, .. } | CommandError::TimedOut { stderr, .. } => {
            Error::Mirror { mirror: mirror.to_owned(), detail: complaints(&stderr) }
        }
        other => Error::program("reading the package index")(other),
    })?;
    let indexes = read_indexes(&root.lists())?;
    let join = |found: &[Uri]| join(recipe, mirror, found, &indexes);
    let packages = join(&solve(&recipe.packages, &root, system)?)?;
    let vm = match recipe.of_form(Form::Machine) {
        Err(_) => None,
        Ok(machine) => Some(VmPackages {
            packages: beyond(&packages, join(&solve(&machine.packages, &root, system)?)?)?,
            boot: join(&addresses(boot::PACKAGES, &root, system)?)?,
        }),
    };
    Ok(Lock {
        format: FORMAT,
        template: recipe.name.clone(),
        recipe_hash: recipe.package_hash(),
        suite: recipe.suite.clone(),
        architecture: recipe.architecture.clone(),
        epoch: newest_date(&root.lists(), mirror)?,
        packages,
        vm,
    })
}

/// What comes in on top of the container's packages. They must be among those of the virtual machine: it is installed
/// over them.
fn beyond(container: &[Package], machine: Vec<Package>) -> Result<Vec<Package>, Error> {
    match container.iter().find(|package| !machine.contains(package)) {
        Some(package) => Err(Error::Unresolvable {
            detail: format!("with the packages of `vm`, apt does without {}", package.id()),
        }),
        None => Ok(machine.into_iter().filter(|package| !container.contains(package)).collect()),
    }
}

/// Everything apt would download for these packages on an empty system.
fn solve(packages: &[String], root: &AptRoot, system: &System) -> Result<Vec<Uri>, Error> {
    let command = ask(root, "install").args(packages.iter().cloned());
    // what is on every Debian system: the essential packages, and apt itself
    answer(command.args(["?essential", "apt"]), system)
}

/// These packages and nothing that they depend on.
fn addresses(packages: &[&str], root: &AptRoot, system: &System) -> Result<Vec<Uri>, Error> {
    answer(ask(root, "download").args(packages.iter().copied()), system)
}

fn ask(root: &AptRoot, verb: &str) -> Command {
    let command = root.command("apt-get").deadline(UPDATE_DEADLINE);
    command.args(["-y", "-q", "-o", "Acquire::ForceHash=SHA256", "--print-uris", verb])
}

fn answer(command: Command, system: &System) -> Result<Vec<Uri>, Error> {
    let output = system.run(&command).map_err(|error| match error {
        CommandError::Failed { stderr, stdout, .. } => {
            Error::Unresolvable { detail: complaints(&format!("{stdout}\n{stderr}")) }
        }
        other => Error::program("asking apt for a solution")(other),
    })?;
    let text = output.text(&command).map_err(Error::program("asking apt for a solution"))?;
    uris::parse(&text).map_err(|detail| Error::Unresolvable { detail })
}

/// The lines of apt's output that say what is wrong.
fn complaints(text: &str) -> String {
    let marked =
        |line: &&str| line.starts_with("E:") || line.starts_with("Err:") || line.contains("Depends:");
    let lines: Vec<_> = text.lines().map(str::trim).filter(marked).collect();
    if lines.is_empty() { text.trim().to_owned() } else { lines.join("; ") }
}

fn read_indexes(lists: &Path) -> Result<Vec<String>, Error> {
    list_files(lists, "_Packages")?
        .iter()
        .map(|path| std::fs::read_to_string(path).map_err(Error::io("reading", path)))
        .collect()
}

fn list_files(lists: &Path, suffix: &str) -> Result<Vec<PathBuf>, Error> {
    let entries = std::fs::read_dir(lists).map_err(Error::io("listing", lists))?;
    let mut found: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().ends_with(suffix))
        .collect();
    found.sort();
    Ok(found)
}

/// Completes what apt printed with what the indexes know, sorted by name.
fn join(recipe: &Recipe, mirror: &str, found: &[Uri], indexes: &[String]) -> Result<Vec<Package>, Error> {
    let wanted: HashMap<&str, &Uri> = found.iter().map(|uri| (uri.sha256.as_str(), uri)).collect();
    let mut packages: HashMap<&str, Package> = HashMap::new();
    for paragraph in indexes.iter().flat_map(|text| deb822::paragraphs(text)) {
        let Some((hash, uri)) = paragraph.get("SHA256").and_then(|hash| wanted.get_key_value(hash)) else {
            continue;
        };
        let field = |name: &str| {
            paragraph.get(name).ok_or_else(|| Error::Mirror {
                mirror: mirror.to_owned(),
                detail: format!("the index entry of {} has no field {name}", uri.file),
            })
        };
        let (name, version) = (field("Package")?, field("Version")?);
        let (source, source_version) = deb822::source_of(name, version, paragraph.get("Source"));
        let path = recipe.archives.iter().find_map(|archive| {
            let rest = uri.address.strip_prefix(&apt::address(mirror, &archive.path))?.strip_prefix('/')?;
            Some(format!("{}/{rest}", archive.path))
        });
        let path = path.ok_or_else(|| Error::Mirror {
            mirror: mirror.to_owned(),
            detail: format!("{} is in none of the recipe's archives", uri.address),
        })?;
        packages.insert(
            hash,
            Package {
                name: name.to_owned(),
                version: version.to_owned(),
                architecture: field("Architecture")?.to_owned(),
                source,
                source_version,
                path,
                size: uri.size,
                sha256: uri.sha256.clone(),
            },
        );
    }
    match found.iter().find(|uri| !packages.contains_key(uri.sha256.as_str())) {
        Some(uri) => Err(Error::Mirror {
            mirror: mirror.to_owned(),
            detail: format!("apt wants {}, which no index describes", uri.file),
        }),
        None => {
            let mut packages: Vec<Package> = packages.into_values().collect();
            packages.sort_by(|a, b| a.order().cmp(&b.order()));
            Ok(packages)
        }
    }
}

/// The newest `Date` of the archives' signed indexes.
fn newest_date(lists: &Path, mirror: &str) -> Result<i64, Error> {
    let mut newest = None;
    for path in list_files(lists, "_InRelease")? {
        let text = std::fs::read_to_string(&path).map_err(Error::io("reading", &path))?;
        newest = newest.max(release_date(&text));
    }
    newest.ok_or_else(|| Error::Mirror {
        mirror: mirror.to_owned(),
        detail: "no index carries a date that can be read".into(),
    })
}

/// `Date: Sat, 15 Nov 2025 09:50:33 UTC` in seconds since 1970.
fn release_date(text: &str) -> Option<i64> {
    let date = text.lines().find_map(|line| line.strip_prefix("Date:"))?;
    let date = date.trim().replace(" UTC", " +0000").replace(" GMT", " +0000");
    Some(jiff::fmt::rfc2822::parse(&date).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_release_files() {
        let text = "Origin: Debian\nDate: Sat, 15 Nov 2025 09:50:33 UTC\nValid-Until: x\n";
        assert_eq!(release_date(text), Some(1_763_200_233));
        assert_eq!(release_date("Date: yesterday\n"), None);
    }

    #[test]
    fn index_and_addresses_are_joined_by_hash() {
        let hash = crate::hash::of_bytes(b"x");
        let uri = Uri {
            address: "http://m.test/debian/pool/acl_1%2bb1_amd64.deb".into(),
            file: "acl_1+b1_amd64.deb".into(),
            size: 5,
            sha256: hash.clone(),
        };
        let index = format!(
            "Package: other\nSHA256: 00\n\nPackage: acl\nVersion: 1+b1\nArchitecture: amd64\nSource: acl (1)\nSHA256: {hash}\n"
        );
        let recipe = Recipe::parse(include_str!("../../images/debian-13.yaml")).unwrap();
        let packages = join(&recipe, "http://m.test", std::slice::from_ref(&uri), &[index]).unwrap();
        assert_eq!(packages[0].path, "debian/pool/acl_1%2bb1_amd64.deb");
        assert_eq!((packages[0].source.as_str(), packages[0].source_version.as_str()), ("acl", "1"));
        assert!(join(&recipe, "http://m.test", &[uri], &[]).is_err());
    }

    #[test]
    fn what_apt_complains_about() {
        let said = "Reading package lists...\n samba : Depends: nothing\nE: Unable to correct problems\n";
        assert_eq!(complaints(said), "samba : Depends: nothing; E: Unable to correct problems");
    }
}
