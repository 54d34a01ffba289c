//! A root of our own for apt: nothing of the building machine's configuration, sources or packages gets in.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use smbgw_command::{Command, Runner};

use crate::error::Error;
use crate::fetch::proxy::Settings;
use crate::recipe::Recipe;
use crate::workdir::WorkDir;

/// The directories apt works in.
pub struct AptRoot {
    directory: PathBuf,
    /// The environment of programs: they are started without ours.
    proxies: Vec<(&'static str, String)>,
}

impl AptRoot {
    /// Makes the root for a recipe. Of this machine, only its keyring and its proxies count.
    ///
    /// # Errors
    /// [`Error::Missing`] without the keyring, [`Error::Proxy`] when apt cannot read its configuration, [`Error::Io`].
    pub fn create(recipe: &Recipe, mirror: &str, work: &WorkDir, runner: &dyn Runner) -> Result<Self, Error> {
        if !recipe.keyring.exists() {
            return Err(Error::Missing {
                what: "the keyring of the archives",
                path: recipe.keyring.clone(),
                hint: "apt-get install debian-archive-keyring".into(),
            });
        }
        let proxies = Settings::of_this_machine(mirror, runner)?.variables(mirror);
        let root = Self { directory: work.join("apt"), proxies };
        for directory in
            ["etc/parts", "etc/sources", "etc/preferences", "state/lists/partial", "cache/archives/partial"]
        {
            let path = root.directory.join(directory);
            fs::create_dir_all(&path).map_err(Error::io("making", &path))?;
        }
        root.write("apt.conf", &root.configuration(&recipe.architecture))?;
        root.write("status", "")?;
        root.write("etc/sources.list", &sources(recipe, mirror, Some(&recipe.keyring)))?;
        root.write("etc/preferences/exclude", &preferences(&recipe.exclude))?;
        Ok(root)
    }

    /// Where the indexes are.
    pub fn lists(&self) -> PathBuf {
        self.directory.join("state/lists")
    }

    /// A command of the apt family that works in this root.
    pub fn command(&self, program: &str) -> Command {
        let command =
            Command::new(program).env("APT_CONFIG", self.directory.join("apt.conf").to_string_lossy());
        self.proxies.iter().fold(command, |command, (name, value)| command.env(*name, value))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.directory.join(name);
        fs::write(&path, text).map_err(Error::io("writing", path))
    }

    fn configuration(&self, architecture: &str) -> String {
        let root = self.directory.display();
        // every Dir is absolute, because apt resolves relative ones against directories set before
        format!(
            "Dir \"{root}\";\n\
             Dir::Etc \"{root}/etc\";\n\
             Dir::Etc::SourceList \"{root}/etc/sources.list\";\n\
             Dir::Etc::SourceParts \"{root}/etc/sources\";\n\
             Dir::Etc::Parts \"{root}/etc/parts\";\n\
             Dir::Etc::Preferences \"{root}/etc/none\";\n\
             Dir::Etc::PreferencesParts \"{root}/etc/preferences\";\n\
             Dir::Etc::Trusted \"{root}/etc/none\";\n\
             Dir::Etc::TrustedParts \"{root}/etc/none.d\";\n\
             Dir::State \"{root}/state\";\n\
             Dir::State::status \"{root}/status\";\n\
             Dir::Cache \"{root}/cache\";\n\
             Dir::Log \"{root}/log\";\n\
             APT::Architecture \"{architecture}\";\n\
             APT::Architectures {{ \"{architecture}\"; }};\n\
             APT::Install-Recommends \"false\";\n\
             APT::Sandbox::User \"\";\n\
             Acquire::Languages \"none\";\n\
             Acquire::GzipIndexes \"false\";\n\
             Acquire::Retries \"2\";\n\
             Acquire::http::Timeout \"20\";\n"
        )
    }
}

/// The address of a path under a mirror. The first part of the path stands where the mirror says `{archive}`, or follows it:
/// `http://snapshot.debian.org/archive/{archive}/20251120T000000Z` has old packages of all archives.
pub fn address(mirror: &str, path: &str) -> String {
    const PLACE: &str = "{archive}";
    match path.split_once('/') {
        _ if !mirror.contains(PLACE) => format!("{mirror}/{path}"),
        Some((archive, rest)) => format!("{}/{rest}", mirror.replace(PLACE, archive)),
        None => mirror.replace(PLACE, path),
    }
}

/// A `sources.list` for the recipe's archives.
pub fn sources(recipe: &Recipe, mirror: &str, keyring: Option<&Path>) -> String {
    let options = keyring.map(|path| format!("[signed-by={}] ", path.display())).unwrap_or_default();
    let mut text = String::new();
    for archive in &recipe.archives {
        let (place, components) = (address(mirror, &archive.path), archive.components.join(" "));
        let _ = writeln!(text, "deb {options}{place} {} {components}", archive.suite);
    }
    text
}

fn preferences(excluded: &[String]) -> String {
    excluded.iter().map(|name| format!("Package: {name}\nPin: release *\nPin-Priority: -1\n\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excluded_packages_are_pinned_away() {
        assert_eq!(
            preferences(&["usrmerge".into()]),
            "Package: usrmerge\nPin: release *\nPin-Priority: -1\n\n"
        );
    }

    #[test]
    fn mirrors_with_the_archive_in_the_middle() {
        let snapshot = "http://s.test/archive/{archive}/2025";
        assert_eq!(address("http://m.test", "debian/pool/a.deb"), "http://m.test/debian/pool/a.deb");
        assert_eq!(address(snapshot, "debian/pool/a.deb"), "http://s.test/archive/debian/2025/pool/a.deb");
        assert_eq!(address(snapshot, "debian-security"), "http://s.test/archive/debian-security/2025");
    }

    #[test]
    fn sources_name_mirror_and_keyring() {
        let recipe = Recipe::parse(include_str!("../../images/debian-13.yaml")).unwrap();
        let text = sources(&recipe, "http://m.test", Some(Path::new("/k.gpg")));
        assert!(text.contains("deb [signed-by=/k.gpg] http://m.test/debian trixie main\n"), "{text}");
        assert!(text.contains("http://m.test/debian-security trixie-security main\n"), "{text}");
    }
}
