//! From a recipe to the files of a template.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use smbgw_command::{Command, Interrupt, Runner, System};

use crate::agent::{self, AgentFiles};
use crate::cache::TreeCache;
use crate::engine::{Job, Mmdebstrap, RootfsEngine};
use crate::error::Error;
use crate::fetch;
use crate::lint;
use crate::lock::{self, Lock};
use crate::manifest::{self, AgentRecord, FileRecord, Manifest};
use crate::normalise;
use crate::outputs::{Names, Staging};
use crate::overlay;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::repo;
use crate::resolve;
use crate::sbom;
use crate::slim;
use crate::store::Store;
use crate::tarball::{self, Level};
use crate::tree::Tree;
use crate::workdir::WorkDir;

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
    /// Directory for packages, locks and trees.
    pub cache: PathBuf,
    /// In place of the recipe's mirror.
    pub mirror: Option<String>,
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

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Built {
    /// The template.
    pub template: PathBuf,
    /// Its manifest.
    pub manifest: PathBuf,
    /// Its bill of materials.
    pub sbom: PathBuf,
    /// SHA-256 of the template.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    /// Size of the tar in it, in bytes.
    pub tar_size: u64,
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
}

/// Makes the lock of a recipe and gives its place.
///
/// # Errors
/// As [`resolve::resolve`], and [`Error::Recipe`].
pub fn make_lock(
    recipe_path: &Path,
    options: &PackageOptions,
    context: &Context,
) -> Result<(PathBuf, Lock), Error> {
    let recipe = Recipe::load(recipe_path)?;
    let place = lock::place(options.lock.as_deref(), recipe_path, &recipe, &options.cache);
    let lock = resolve_to(&recipe, &place, options, &WorkDir::create()?, context)?;
    Ok((place, lock))
}

/// Builds the template.
///
/// # Errors
/// [`Error`], each with its category and, where there is something to do, a hint.
pub fn build(options: &Options, context: &Context) -> Result<Built, Error> {
    let recipe = Recipe::load(&options.recipe)?;
    let beside = options.recipe.parent().unwrap_or(Path::new(""));
    // what the person can get wrong is found before anything is downloaded
    let binary = options.agent.clone().unwrap_or_else(agent::of_builder);
    let version = agent_version(&binary, &context.system());
    let agent = AgentFiles::read(&binary, &beside.join(&recipe.agent.unit), version)?;
    let files = overlay::read(&options.recipe, &beside.join(&recipe.overlay.files))?;
    let staging = Staging::create(&options.out)?;
    let work = WorkDir::create()?;

    let (lock_path, lock) = obtain_lock(&recipe, options, &work, context)?;
    let (mut tree, tree_cached) = obtain_tree(&recipe, &lock, &options.packages, &work, context)?;
    context.check()?;

    let stage = context.progress.stage("laying over the agent and checking");
    overlay::apply(&mut tree, &recipe, &files, &agent)?;
    normalise::mark_updated(&mut tree, lock.epoch)?;
    normalise::clamp_times(&mut tree, lock.epoch);
    let findings = lint::run(&lint::Subject { tree: &tree, recipe: &recipe, lock: &lock });
    if !findings.is_empty() {
        return Err(Error::Lint { findings });
    }
    let paths = manifest::list_paths(&tree);
    stage.done(&format!("{} paths, {} checks passed", paths.len(), lint::CHECKS.len()));

    let stage = context.progress.stage("compressing");
    let names = Names::new(&recipe.name, env!("CARGO_PKG_VERSION"), &recipe.architecture);
    let (packed, tar) =
        tarball::write(&tree, &staging.path(&names.archive()), options.level, &context.interrupt)?;
    stage.done(&format!("{:.1} MB from {:.1} MB", megabytes(packed.size), megabytes(tar.size)));

    let manifest = Manifest {
        format: manifest::FORMAT,
        template: recipe.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        architecture: recipe.architecture.clone(),
        form: "lxc".to_owned(),
        suite: recipe.suite.clone(),
        samba: lock.version_of("samba").map(str::to_owned),
        agent: AgentRecord { version: agent.version.clone(), sha256: agent.sha256.clone() },
        recipe_hash: recipe.hash(),
        lock_hash: lock.hash(),
        epoch: lock.epoch,
        archive: FileRecord { name: names.archive(), sha256: packed.sha256.clone(), size: packed.size },
        tar: FileRecord { name: names.tar(), sha256: tar.sha256, size: tar.size },
        packages: lock.packages.iter().map(Into::into).collect(),
        files: paths,
    };
    staging.write(&names.manifest(), &manifest.to_text())?;
    staging.write(&names.sbom(), &sbom::text(&manifest, &recipe.name))?;
    context.check()?;
    staging.commit(&[names.manifest(), names.sbom(), names.archive()])?;
    Ok(Built {
        template: options.out.join(names.archive()),
        manifest: options.out.join(names.manifest()),
        sbom: options.out.join(names.sbom()),
        sha256: packed.sha256,
        size: packed.size,
        tar_size: manifest.tar.size,
        samba: manifest.samba,
        packages: manifest.packages.len(),
        files: manifest.files.len(),
        tree_cached,
        lock: lock_path,
    })
}

/// The lock to build from: the one that is there, or a new one.
fn obtain_lock(
    recipe: &Recipe,
    options: &Options,
    work: &WorkDir,
    context: &Context,
) -> Result<(PathBuf, Lock), Error> {
    let packages = &options.packages;
    let place = lock::place(packages.lock.as_deref(), &options.recipe, recipe, &packages.cache);
    if place.exists() && !packages.update {
        let lock = Lock::load(&place)?;
        if lock.template != recipe.name {
            // never overwritten: it is somebody's record of another template
            return Err(Error::Lock {
                detail: format!("it is the lock of {}, not of {}", lock.template, recipe.name),
                path: place,
            });
        }
        if lock.fits(recipe) {
            return Ok((place, lock));
        }
        if packages.offline {
            return Err(Error::Lock {
                path: place,
                detail: "it was made for other packages or archives than the recipe names now".to_owned(),
            });
        }
        context.progress.say(&format!(
            "the recipe names other packages or archives than its lock {}: making the lock anew",
            place.display()
        ));
    } else if packages.offline {
        // says that it is missing, and how to make it
        return Lock::load(&place).map(|lock| (place, lock));
    }
    let lock = resolve_to(recipe, &place, packages, work, context)?;
    Ok((place, lock))
}

fn resolve_to(
    recipe: &Recipe,
    place: &Path,
    options: &PackageOptions,
    work: &WorkDir,
    context: &Context,
) -> Result<Lock, Error> {
    let stage = context.progress.stage("choosing package versions");
    let lock = resolve::resolve(recipe, mirror(recipe, options), work, &context.system())?;
    lock.save(place)?;
    stage.done(&format!("{} packages in {}", lock.packages.len(), place.display()));
    Ok(lock)
}

/// The tree before the overlay, from the cache or newly made.
fn obtain_tree(
    recipe: &Recipe,
    lock: &Lock,
    options: &PackageOptions,
    work: &WorkDir,
    context: &Context,
) -> Result<(Tree, bool), Error> {
    let (cache, key) = (TreeCache::new(&options.cache), TreeCache::key(recipe, lock));
    let stage = context.progress.stage("installed packages");
    if let Some(tree) = cache.load(&key) {
        stage.done("unchanged, from the cache");
        return Ok((tree, true));
    }
    drop(stage);
    let (store, system) = (Store::new(&options.cache), context.system());

    let stage = context.progress.stage("fetching packages");
    let fetched = fetch::fetch(lock, mirror(recipe, options), options.offline, &store, work, &system)?;
    stage.done(&match fetched.packages {
        0 => "all in the store".to_owned(),
        count => format!("{count} packages, {:.1} MB", megabytes(fetched.bytes)),
    });
    context.check()?;

    let stage = context.progress.stage("installing packages");
    let repo = repo::write(lock, &store, work)?;
    let job = Job { recipe, lock, repo: &repo, work, system: &system };
    let tar_path = Mmdebstrap.make(&job, &|line| stage.note(line))?;
    let tar = fs::read(&tar_path).map_err(Error::io("reading", &tar_path))?;
    // both are in memory twice otherwise
    let _ = (fs::remove_file(&tar_path), fs::remove_dir_all(&repo));
    stage.done(&format!("{:.1} MB", megabytes(tar.len() as u64)));
    context.check()?;

    let stage = context.progress.stage("slimming");
    let mut tree = Tree::read_tar(tar)?;
    normalise::clean(&mut tree)?;
    let dropped = slim::slim(&mut tree, &recipe.slim);
    cache.store(&key, &tree)?;
    stage.done(&format!("{:.1} MB in {} paths left out", megabytes(dropped.bytes), dropped.entries));
    Ok((tree, false))
}

fn mirror<'a>(recipe: &'a Recipe, options: &'a PackageOptions) -> &'a str {
    options.mirror.as_deref().unwrap_or(&recipe.mirror).trim_end_matches('/')
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
