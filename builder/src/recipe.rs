//! What a template is made of: the recipe, a YAML file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::form::Form;
use crate::glob::Glob;
use crate::hash;

mod mode;
mod size;
#[cfg(test)]
mod tests;
mod vm;

pub use mode::{Mode, Owner};
pub use size::{Budget, FormBudget};
pub use vm::{Disk, Initrd, Vm};

/// A recipe as it is written. Paths in it are relative to the recipe's directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Recipe {
    /// Name of the template: `debian-13`.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Debian suite: `trixie`.
    pub suite: String,
    /// Debian architecture.
    pub architecture: String,
    /// Where packages come from: the part of the address before `/debian`.
    pub mirror: String,
    /// Keyring that signs the archives, on the building machine.
    pub keyring: PathBuf,
    /// The archives, relative to the mirror.
    pub archives: Vec<Archive>,
    /// Packages to install; what they depend on comes along, what they recommend does not.
    pub packages: Vec<String>,
    /// Packages that must not come in.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// How `/bin` and the like become links into `/usr`.
    #[serde(default)]
    pub merged_usr: MergedUsr,
    /// What is left out of the packages.
    pub slim: Slim,
    /// What is laid over them.
    pub overlay: Overlay,
    /// The agent and its unit.
    pub agent: Agent,
    /// What starts.
    pub services: Services,
    /// Which programs may change their user or group.
    pub set_id: SetId,
    /// Paths that must not exist in the finished tree.
    #[serde(default)]
    pub forbid: Vec<Glob>,
    /// How big a template may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Budget>,
    /// What the form for virtual machines has besides, or in place of the above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm: Option<Vm>,
}

/// One archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Archive {
    /// Path under the mirror: `debian`, `debian-security`.
    pub path: String,
    /// Its suite: `trixie-security`.
    pub suite: String,
    /// Its components.
    pub components: Vec<String>,
}

/// How `/bin` and the like become links into `/usr`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MergedUsr {
    /// The packages do it (Debian 13 and later).
    #[default]
    Packages,
    /// The links are made first, and `usr-is-merged` stands in for `usrmerge`, which would bring full Perl (Debian 12).
    Hook,
}

/// What is left out of the packages; `keep` wins over `drop`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Slim {
    /// Paths to leave out.
    pub drop: Vec<Glob>,
    /// Paths to keep all the same.
    pub keep: Vec<Glob>,
}

/// What is laid over the packages' files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Overlay {
    /// Directory whose files are laid over the root, 0644 root:root unless a rule says otherwise.
    pub files: PathBuf,
    /// Mode and owner of single paths; a directory that does not exist is made.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Symbolic links to make.
    #[serde(default)]
    pub links: Vec<Link>,
    /// Packages' files to remove.
    #[serde(default)]
    pub remove: Vec<Glob>,
}

/// Mode and owner of a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rule {
    /// Absolute path; a slash at its end makes it a directory.
    pub path: String,
    /// Octal, in quotes: `"0755"`.
    pub mode: Mode,
    /// `uid:gid`.
    #[serde(default)]
    pub owner: Owner,
}

/// A symbolic link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Link {
    /// Absolute path of the link.
    pub path: String,
    /// What it points at.
    pub target: String,
}

/// The agent in the template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Agent {
    /// Where it is installed.
    pub path: String,
    /// Links to it in the search path.
    pub links: Vec<String>,
    /// Its systemd unit, relative to the recipe.
    pub unit: PathBuf,
}

/// What starts. Nothing else is enabled, whatever the packages say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Services {
    /// The target the system boots into.
    pub default_target: String,
    /// Units to enable, as their `[Install]` sections say.
    pub enable: Vec<String>,
    /// Units that cannot be started at all.
    pub mask: Vec<String>,
}

/// Set-user-id and set-group-id programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SetId {
    /// Those that stay as they are; any other in the finished tree fails the build.
    pub keep: Vec<String>,
    /// Those that lose the bit, by a dpkg override, so that upgrades do not bring it back.
    pub strip: Vec<String>,
}

impl Recipe {
    /// Reads and checks a recipe.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Io`], or [`Error::Recipe`] naming line and column.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::Missing {
                    what: "the recipe",
                    path: path.to_owned(),
                    hint: "recipes are in images/, images/debian-13.yaml for one".into(),
                });
            }
            other => other.map_err(Error::io("reading", path))?,
        };
        Self::parse(&text).map_err(|detail| Error::Recipe { path: path.to_owned(), detail })
    }

    /// Parses and checks a recipe.
    ///
    /// # Errors
    /// A sentence for people; with line and column where the text itself is at fault.
    pub fn parse(text: &str) -> Result<Self, String> {
        let recipe: Self = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        recipe.check()?;
        if recipe.vm.is_some() {
            recipe.of_form(Form::Machine).map_err(|detail| format!("with its `vm` section, {detail}"))?;
        } else if recipe.size.is_some_and(|size| size.vm.is_some()) {
            return Err("`size` has a budget for `vm`, and there is no `vm` section".into());
        }
        Ok(recipe)
    }

    fn check(&self) -> Result<(), String> {
        word("name", &self.name)?;
        word("suite", &self.suite)?;
        word("architecture", &self.architecture)?;
        if !self.mirror.starts_with("http://") && !self.mirror.starts_with("https://") {
            return Err(format!("`mirror` must start with http:// or https://, not `{}`", self.mirror));
        }
        if self.archives.is_empty() {
            return Err("`archives` is empty".into());
        }
        for archive in &self.archives {
            word("suite of an archive", &archive.suite)?;
            archive.path.split('/').try_for_each(|part| word("path of an archive", part))?;
            archive.components.iter().try_for_each(|component| word("component", component))?;
        }
        if self.packages.is_empty() {
            return Err("`packages` is empty".into());
        }
        self.packages.iter().chain(&self.exclude).try_for_each(|name| word("package", name))?;
        if let Some(twice) = twice(&self.packages) {
            return Err(format!("`packages` names {twice} twice"));
        }
        let units = || self.services.enable.iter().chain(&self.services.mask);
        units().chain([&self.services.default_target]).try_for_each(|name| unit(name))?;
        if let Some(twice) = twice(units()) {
            return Err(format!("`services` names {twice} twice"));
        }
        let paths = self.overlay.rules.iter().map(|rule| rule.path.trim_end_matches('/'));
        paths
            .chain(self.overlay.links.iter().map(|link| link.path.as_str()))
            .chain(self.set_id.keep.iter().chain(&self.set_id.strip).map(String::as_str))
            .chain(self.agent.links.iter().map(String::as_str))
            .chain([self.agent.path.as_str()])
            .try_for_each(absolute)?;
        self.vm.as_ref().map_or(Ok(()), Vm::check)
    }

    /// The hash of everything in the recipe.
    pub fn hash(&self) -> String {
        hash_of(self)
    }

    /// The hash of what decides which packages come in: a lock made for one value fits every recipe that has it.
    /// The mirror is not part of it, since mirrors hold the same bytes.
    pub fn package_hash(&self) -> String {
        match &self.vm {
            None => hash_of(&self.installed()),
            Some(vm) => hash_of(&(self.installed(), &vm.packages)),
        }
    }

    /// The hash of what decides the tree of one form before it is slimmed and laid over, given the same packages.
    pub fn tree_hash(&self) -> String {
        hash_of(&(
            self.installed(),
            &self.name,
            self.vm.as_ref().map(|vm| &vm.initrd),
            self.slim_of_all_forms(),
        ))
    }

    /// What is left out of every form: what one of them keeps is not in it.
    pub fn slim_of_all_forms(&self) -> Slim {
        let mut slim = self.slim.clone();
        slim.keep.extend(self.vm.iter().flat_map(|vm| vm.slim.keep.iter().cloned()));
        slim
    }

    fn installed(&self) -> impl Serialize + '_ {
        (&self.suite, &self.architecture, &self.archives, &self.packages, &self.exclude, self.merged_usr)
    }
}

fn hash_of(value: &impl Serialize) -> String {
    // none of these types can fail to serialise: no maps with odd keys, no floats
    hash::of_bytes(&serde_json::to_vec(value).unwrap_or_default())
}

fn twice<'a>(names: impl IntoIterator<Item = &'a String>) -> Option<&'a String> {
    let mut seen = BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}

/// A name that is safe in a path, an argument and an apt configuration.
fn word(what: &str, text: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-+._:".contains(c);
    let starts = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if starts && text.chars().all(good) {
        Ok(())
    } else {
        Err(format!("`{text}` cannot be the {what}: letters, digits and -+._: only, a letter or digit first"))
    }
}

fn unit(name: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.@:\\".contains(c);
    let suffix = name.rsplit_once('.').map(|(_, suffix)| suffix);
    let known = ["service", "socket", "target", "timer", "mount", "automount", "path", "slice", "swap"];
    if name.chars().all(good) && suffix.is_some_and(|suffix| known.contains(&suffix)) {
        Ok(())
    } else {
        Err(format!("`{name}` is not the name of a systemd unit"))
    }
}

fn absolute(path: &str) -> Result<(), String> {
    let bad = |part: &str| part.is_empty() || part == "." || part == "..";
    match path.strip_prefix('/') {
        Some(rest) if !rest.split('/').any(bad) => Ok(()),
        _ => Err(format!("`{path}` must be an absolute path without `.`, `..` or empty parts")),
    }
}
