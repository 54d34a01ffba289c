//! From a recipe to the files of a template, in one form or both.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use smbgw_command::{Command, Interrupt, Runner, System};

use crate::agent::{self, AgentFiles};
use crate::engine::Engine;
use crate::error::Error;
use crate::form::Form;
use crate::lock::{self, Lock};
use crate::outputs::{Committed, Staging};
use crate::overlay;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::sign::KeyFile;
use crate::size::{SizeRecord, gate};
use crate::tarball::Level;
use crate::workdir::WorkDir;

mod finish;
mod packages;

use finish::{Finish, Finished};
use packages::Packages;

/// What to build, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The recipe file.
    pub recipe: PathBuf,
    /// Directory for the template's files.
    pub out: PathBuf,
    /// The agent's binary; beside the builder if `None`.
    pub agent: Option<PathBuf>,
    /// Sources of packages.
    pub packages: PackageOptions,
    /// How hard to compress.
    pub level: Level,
    /// The forms to make, in this order.
    pub forms: Vec<Form>,
    /// Who signs manifests and `SHA256SUMS`; nobody if `None`.
    pub sign: Option<KeyFile>,
    /// Write sizes to the record beside the recipe.
    pub record_sizes: bool,
}

/// Where packages come from.
#[derive(Debug, Clone)]
pub struct PackageOptions {
    /// The lock file; see [`lock::place`].
    pub lock: Option<PathBuf>,
    /// Make the lock anew.
    pub update: bool,
    /// Use no network.
    pub offline: bool,
    /// Install the packages anew, even where a tree of them is kept.
    pub fresh: bool,
    /// What installs the packages.
    pub engine: Engine,
    /// Directory for packages, locks and trees.
    pub cache: PathBuf,
    /// In place of the recipe's mirror.
    pub mirror: Option<String>,
    /// How long a mirror may be silent before it is given up on.
    pub stall: Duration,
}

/// Who starts programs, who can stop them, and who is told.
#[derive(Debug, Clone)]
pub struct Context {
    /// Set to stop.
    pub interrupt: Interrupt,
    /// Who is told.
    pub progress: Progress,
}

impl Context {
    fn system(&self) -> System {
        System::with_interrupt(self.interrupt.clone())
    }

    fn check(&self) -> Result<(), Error> {
        if self.interrupt.is_set() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

/// Bytes that a build of one form may take of the work directory.
const ROOM: u64 = 1_500_000_000;

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Built {
    /// `lxc` or `vm`.
    pub form: &'static str,
    /// The template.
    pub template: PathBuf,
    /// Its manifest.
    pub manifest: PathBuf,
    /// Its bill of materials in CycloneDX.
    pub sbom: PathBuf,
    /// The same in SPDX.
    pub sbom_spdx: PathBuf,
    /// SHA-256 of the template.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    /// Size of the tar or the disk in it, in bytes.
    pub unpacked_size: u64,
    /// Version of the Samba package.
    pub samba: Option<String>,
    /// Packages in it.
    pub packages: usize,
    /// Paths in it.
    pub files: usize,
    /// Whether the installed packages came from the cache.
    pub tree_cached: bool,
    /// The lock it was built from.
    pub lock: PathBuf,
    /// The key that signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
}

/// Makes the lock of a recipe and gives its place.
///
/// # Errors
/// As [`crate::resolve::resolve`], and [`Error::Recipe`].
pub fn make_lock(
    recipe_path: &Path,
    options: &PackageOptions,
    context: &Context,
) -> Result<(PathBuf, Lock), Error> {
    let recipe = Recipe::load(recipe_path)?;
    let place = lock::place(options.lock.as_deref(), recipe_path, &recipe, &options.cache);
    let work = WorkDir::create(ROOM)?;
    let lock = Packages::new(&recipe, options, &work, context).resolve(&place)?;
    Ok((place, lock))
}

/// Builds the template, in every form that is asked for. They share lock, packages and the container's tree.
///
/// # Errors
/// [`Error`], each with its category and, where there is something to do, a hint.
pub fn build(options: &Options, context: &Context) -> Result<Vec<Built>, Error> {
    let recipe = Recipe::load(&options.recipe)?;
    let beside = options.recipe.parent().unwrap_or(Path::new(""));
    // what the person can get wrong is found before anything is downloaded
    let of_form = |form: &Form| {
        let found = recipe.of_form(*form);
        found.map_err(|detail| Error::Recipe { path: options.recipe.clone(), detail })
    };
    let recipes: Vec<Recipe> = options.forms.iter().map(of_form).collect::<Result<_, _>>()?;
    let key = options.sign.as_ref().map(KeyFile::load).transpose()?;
    let sizes = Sizes::load(&recipe, options)?;
    let binary = options.agent.clone().unwrap_or_else(agent::of_builder);
    let version = agent_version(&binary, &context.system());
    let agent = AgentFiles::read(&binary, &beside.join(&recipe.agent.unit), version)?;
    let read =
        |overlay: &crate::recipe::Overlay| overlay::read(&options.recipe, &beside.join(&overlay.files));
    let files = read(&recipe.overlay)?;
    let machine_files = match &recipe.vm {
        Some(vm) if options.forms.contains(&Form::Machine) => read(&vm.overlay)?,
        _ => Vec::new(),
    };
    let staging = Staging::create(&options.out)?;
    let work = WorkDir::create(ROOM * options.forms.len().max(1) as u64)?;

    let mut packages = Packages::new(&recipe, &options.packages, &work, context);
    let (lock_path, lock) = packages.lock(&options.recipe)?;
    let mut finished: Vec<Finished> = Vec::new();
    let mut trees = packages.trees(&lock, &options.forms)?;
    for (form, recipe) in options.forms.iter().zip(&recipes) {
        // named twice, it is made once
        let Some((tree, tree_cached)) = trees.remove(form) else { continue };
        let mut files = files.clone();
        if *form == Form::Machine {
            files.extend(machine_files.iter().cloned());
        }
        context.check()?;
        let finish =
            Finish { form: *form, recipe, packages: &packages, lock: &lock, files: &files, agent: &agent };
        let one = finish.run(tree, tree_cached, &staging, options.level)?;
        sizes.check(&one.packed(), context.progress)?;
        finished.push(one);
    }
    if let Some(key) = &key {
        finished.iter_mut().try_for_each(|one| one.sign(key, &staging))?;
    }
    packages.keep()?;
    let names: Vec<String> = finished.iter().flat_map(|one| one.names.clone()).collect();
    let committed = staging.commit(&names, key.as_ref())?;
    tell(&committed, key.is_some(), context.progress);
    if options.record_sizes {
        sizes.record(finished.iter().map(Finished::packed))?;
    }
    Ok(finished.into_iter().map(|one| one.built(&options.out, &lock_path)).collect())
}

/// The recipe's budget, and the record of sizes beside it.
struct Sizes<'a> {
    recipe: &'a Recipe,
    place: PathBuf,
    record: Option<SizeRecord>,
}

impl<'a> Sizes<'a> {
    /// Reads the record if anybody wants it.
    fn load(recipe: &'a Recipe, options: &Options) -> Result<Self, Error> {
        let place = SizeRecord::place(&options.recipe);
        let wanted = recipe.size.is_some() || options.record_sizes;
        let record = if wanted { SizeRecord::load(&place)? } else { None };
        Ok(Self { recipe, place, record })
    }

    fn check(&self, packed: &gate::Packed<'_>, progress: Progress) -> Result<(), Error> {
        let Some(budget) = self.recipe.size.and_then(|size| size.of(packed.form, packed.level)) else {
            return Ok(());
        };
        let record = self.record.as_ref().and_then(|record| record.form(packed.form));
        gate::check(packed, budget, record, &self.place).map_err(Error::TooBig)?;
        let (size, budget) = (megabytes(packed.size), megabytes(budget));
        progress.say(&format!("size ({}, {}): {size:.1} MB of {budget:.0} MB", packed.form, packed.level));
        Ok(())
    }

    fn record<'b>(self, packed: impl Iterator<Item = gate::Packed<'b>>) -> Result<(), Error> {
        let mut record = self.record.unwrap_or_else(|| SizeRecord::new(&self.recipe.name));
        for one in packed {
            record.set(one.form, one.packages.clone(), one.level, one.size);
        }
        record.save(&self.place)
    }
}

/// What else became of the directory.
fn tell(committed: &Committed, signed: bool, progress: Progress) {
    if !committed.dropped.is_empty() {
        progress
            .say(&format!("note: removed, for what they signed is gone: {}", committed.dropped.join(", ")));
    }
    if signed && !committed.also_listed.is_empty() {
        let list = committed.also_listed.join(", ");
        progress
            .say(&format!("note: the signature of SHA256SUMS covers files of earlier builds, too: {list}"));
    }
}

/// What the agent says of its version; nothing if it does not run here.
fn agent_version(binary: &Path, system: &System) -> Option<String> {
    let path = fs::canonicalize(binary).ok()?;
    let command = Command::new(path.to_string_lossy())
        .arg("--version")
        .deadline(Duration::from_secs(5))
        .stdout_limit(4096);
    let text = system.run(&command).ok()?.text(&command).ok()?;
    let version = text.split_whitespace().nth(1)?;
    version.starts_with(|c: char| c.is_ascii_digit()).then(|| version.to_owned())
}

/// In the unit of download pages: 10^6 bytes.
pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
