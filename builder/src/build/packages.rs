//! From a recipe to its lock, and from the lock to the installed tree of each form.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use super::{Context, PackageOptions, megabytes};
use crate::cache::TreeCache;
use crate::engine::Job;
use crate::error::Error;
use crate::fetch::{self, Limits, Source};
use crate::form::Form;
use crate::initrd;
use crate::lock::{self, Lock, Package};
use crate::marks;
use crate::normalise;
use crate::recipe::Recipe;
use crate::resolve;
use crate::store::Store;
use crate::tree::{Tree, write_tar};
use crate::workdir::WorkDir;

/// Where packages and trees come from in one build.
pub(super) struct Packages<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) options: &'a PackageOptions,
    pub(super) work: &'a WorkDir,
    pub(super) context: &'a Context,
    /// The container's tree, for the virtual machine that is installed on it.
    container: RefCell<Option<Tree>>,
    /// Trees that are being written to the cache while the build goes on.
    storing: RefCell<Vec<JoinHandle<Result<(), Error>>>>,
}

impl<'a> Packages<'a> {
    pub(super) fn new(
        recipe: &'a Recipe,
        options: &'a PackageOptions,
        work: &'a WorkDir,
        context: &'a Context,
    ) -> Self {
        let (container, storing) = (RefCell::default(), RefCell::default());
        Self { recipe, options, work, context, container, storing }
    }

    /// Waits until all trees are in the cache.
    pub(super) fn keep(&mut self) -> Result<(), Error> {
        let threads = std::mem::take(self.storing.get_mut());
        let ended = threads.into_iter().map(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        // all of them, whatever the first one says
        ended.collect::<Vec<_>>().into_iter().collect()
    }

    /// The lock to build from: the one that is there, or a new one.
    pub(super) fn lock(&self, recipe_path: &Path) -> Result<(PathBuf, Lock), Error> {
        let (recipe, options) = (self.recipe, self.options);
        let place = lock::place(options.lock.as_deref(), recipe_path, recipe, &options.cache);
        if place.exists() && !options.update {
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
            if options.offline {
                return Err(Error::Lock {
                    path: place,
                    detail: "it was made for other packages or archives than the recipe names now".to_owned(),
                });
            }
            self.context.progress.say(&format!(
                "the recipe names other packages or archives than its lock {}: making the lock anew",
                place.display()
            ));
        } else if options.offline {
            // says that it is missing, and how to make it
            return Lock::load(&place).map(|lock| (place, lock));
        }
        let lock = self.resolve(&place)?;
        Ok((place, lock))
    }

    /// A new lock, saved at its place.
    pub(super) fn resolve(&self, place: &Path) -> Result<Lock, Error> {
        let stage = self.context.progress.stage("choosing package versions");
        let lock = resolve::resolve(self.recipe, self.mirror(), self.work, &self.context.system())?;
        lock.save(place)?;
        let besides = match &lock.vm {
            Some(vm) => format!(" and {} for virtual machines", vm.packages.len()),
            None => String::new(),
        };
        stage.done(&format!("{} packages{besides} in {}", lock.packages.len(), place.display()));
        Ok(lock)
    }

    /// The packages' tree of one form, neither slimmed nor laid over: from the cache, or newly made.
    pub(super) fn tree(&self, lock: &Lock, form: Form) -> Result<(Tree, bool), Error> {
        let unfit = |detail| Error::Tree(format!("the recipe has no such form: {detail}"));
        let recipe = self.recipe.of_form(form).map_err(unfit)?;
        let (cache, key) = (
            TreeCache::new(&self.options.cache),
            TreeCache::key(self.options.engine, &recipe, &lock.of_form(form)),
        );
        let stage = self.context.progress.stage("installed packages");
        if let Some(tree) = self.container.borrow().clone().filter(|_| form == Form::Container) {
            return Ok((tree, false));
        }
        if let Some(tree) = cache.load(&key).filter(|_| !self.options.fresh) {
            stage.done(&format!("{form}: unchanged, from the cache"));
            return Ok((tree, true));
        }
        drop(stage);
        let mut tree = match (form, &lock.vm) {
            (Form::Machine, Some(vm)) => {
                let (mut base, _) = self.tree(lock, Form::Container)?;
                let initrd = self.recipe.vm.as_ref().map(|vm| &vm.initrd);
                initrd.map_or(Ok(()), |initrd| initrd::prepare(&mut base, initrd))?;
                let without = initrd.map_or(&[][..], |initrd| &initrd.without);
                let wanted = self.recipe.vm.as_ref().map_or(&[][..], |vm| &vm.packages);
                let base_tar = self.work.join("base.tar");
                write_base(&mut base, &base_tar)?;
                drop(base);
                let job = self.install(lock, &vm.packages, wanted, Some(&base_tar), without)?;
                let _ = fs::remove_file(base_tar);
                job
            }
            _ => self.install(lock, &lock.packages, &self.recipe.packages, None, &[])?,
        };
        marks::mark(&mut tree, &recipe.packages, &recipe.architecture)?;
        if !self.options.fresh {
            let tree = tree.clone();
            self.storing.borrow_mut().push(std::thread::spawn(move || cache.store(&key, &tree)));
        }
        if form == Form::Container && self.recipe.vm.is_some() {
            *self.container.borrow_mut() = Some(tree.clone());
        }
        Ok((tree, false))
    }

    /// Brings these packages into the store.
    pub(super) fn fetch(&self, packages: &[Package]) -> Result<Store, Error> {
        let store = Store::new(&self.options.cache);
        let stage = self.context.progress.stage("fetching packages");
        let (mirror, offline) = (self.mirror(), self.options.offline);
        let source = Source { mirror, offline, limits: Limits::with_stall(self.options.stall) };
        let note = |text: &str| stage.note(text);
        let fetched = fetch::fetch(packages, &source, &store, &self.context.interrupt, &note)?;
        match fetched.packages {
            0 => drop(stage),
            count => stage.done(&format!("{count} packages, {:.1} MB", megabytes(fetched.bytes))),
        }
        self.context.check()?;
        Ok(store)
    }

    fn install(
        &self,
        lock: &Lock,
        packages: &[Package],
        wanted: &[String],
        base: Option<&Path>,
        without: &[crate::glob::Glob],
    ) -> Result<Tree, Error> {
        let store = self.fetch(packages)?;
        let stage = self.context.progress.stage("installing packages");
        let job = Job {
            recipe: self.recipe,
            packages,
            wanted,
            base,
            without,
            slim: &self.recipe.slim_of_all_forms(),
            epoch: lock.epoch,
            store: &store,
            work: self.work,
            system: &self.context.system(),
        };
        let tar = self.options.engine.implementation().make(&job, &|line| stage.note(line))?;
        stage.done(&format!("{} packages, {:.1} MB", packages.len(), megabytes(tar.len() as u64)));
        self.context.check()?;
        let mut tree = Tree::read_tar(tar)?;
        normalise::clean(&mut tree)?;
        Ok(tree)
    }

    pub(super) fn mirror(&self) -> &str {
        self.options.mirror.as_deref().unwrap_or(&self.recipe.mirror).trim_end_matches('/')
    }
}

impl Drop for Packages<'_> {
    /// A build that failed leaves no half tree in the cache.
    fn drop(&mut self) {
        let _ = self.keep();
    }
}

/// Writes a tree for the engine to install on. The archive it came from is gone by then, so it must not name one.
fn write_base(base: &mut Tree, path: &Path) -> Result<(), Error> {
    base.remove("/etc/apt/sources.list");
    base.remove("/etc/apt/sources.list.d");
    let write = || {
        let mut file = std::io::BufWriter::with_capacity(1 << 20, fs::File::create(path)?);
        write_tar(base, &mut file)?;
        std::io::Write::flush(&mut file)
    };
    write().map_err(Error::io("writing", path))
}
