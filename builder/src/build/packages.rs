//! From a recipe to its lock, and from the lock to the installed tree of each form.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use smbgw_command::System;

use super::{Context, PackageOptions, megabytes};
use crate::cache::TreeCache;
use crate::engine::{Extension, Job, Made, base};
use crate::error::Error;
use crate::fetch::{self, Limits, Source};
use crate::form::Form;
use crate::lock::{self, Lock, Package, VmPackages};
use crate::marks;
use crate::normalise;
use crate::recipe::{Initrd, Recipe, Slim};
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
    slim: Slim,
    system: System,
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
        let (slim, system) = (recipe.slim_of_all_forms(), context.system());
        Self { recipe, options, work, context, slim, system, storing: RefCell::default() }
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

    /// The packages' trees of these forms, neither slimmed nor laid over, and whether each came from the cache.
    pub(super) fn trees(&self, lock: &Lock, forms: &[Form]) -> Result<BTreeMap<Form, (Tree, bool)>, Error> {
        let mut trees = BTreeMap::new();
        for form in forms {
            if let Some(tree) = self.kept(lock, *form)? {
                trees.insert(*form, (tree, true));
            }
        }
        let missing = |form| forms.contains(&form) && !trees.contains_key(&form);
        let (container, machine) = (missing(Form::Container), missing(Form::Machine));
        if machine {
            let vm = lock.vm.as_ref();
            let vm = vm.ok_or_else(|| Error::Tree("the lock has no packages of virtual machines".into()))?;
            let at_hand = match trees.get(&Form::Container) {
                Some((tree, _)) => Some(tree.clone()),
                None if container => None,
                None => self.kept(lock, Form::Container)?,
            };
            let machine = match at_hand {
                Some(tree) => self.install_on(tree, lock, vm)?,
                None => {
                    let (made, machine) = self.install_both(lock, vm, container)?;
                    trees.extend(made.map(|tree| (Form::Container, (tree, false))));
                    machine
                }
            };
            trees.insert(Form::Machine, (machine, false));
        } else if container {
            let tree = self.install_container(lock)?;
            trees.insert(Form::Container, (tree, false));
        }
        Ok(trees)
    }

    /// From the cache.
    fn kept(&self, lock: &Lock, form: Form) -> Result<Option<Tree>, Error> {
        if self.options.fresh {
            return Ok(None);
        }
        let stage = self.context.progress.stage("installed packages");
        let Some(tree) = TreeCache::new(&self.options.cache).load(&self.key(lock, form)?) else {
            return Ok(None);
        };
        stage.done(&format!("{form}: unchanged, from the cache"));
        Ok(Some(tree))
    }

    fn key(&self, lock: &Lock, form: Form) -> Result<String, Error> {
        Ok(TreeCache::key(self.options.engine, &self.recipe_of(form)?, &lock.of_form(form)))
    }

    fn recipe_of(&self, form: Form) -> Result<Recipe, Error> {
        self.recipe
            .of_form(form)
            .map_err(|detail| Error::Tree(format!("the recipe has no such form: {detail}")))
    }

    /// Brings these packages into the store.
    pub(super) fn fetch(&self, packages: &[Package]) -> Result<Store, Error> {
        let store = Store::new(&self.options.cache);
        let stage = self.context.progress.stage("fetching packages");
        let (mirror, offline) = (self.mirror(), self.options.offline);
        let source = Source { mirror, offline, limits: Limits::with_stall(self.options.stall) };
        let note = |text: &str| stage.note(text);
        let fetched =
            fetch::fetch(packages, &source, &store, &self.context.system(), &self.context.interrupt, &note)?;
        match fetched.packages {
            0 => drop(stage),
            count => stage.done(&format!("{count} packages, {:.1} MB", megabytes(fetched.bytes))),
        }
        self.context.check()?;
        Ok(store)
    }

    fn install_container(&self, lock: &Lock) -> Result<Tree, Error> {
        let store = self.fetch(&lock.packages)?;
        let made = self.install(self.container_job(lock, &store), lock.packages.len())?;
        self.finish(made.tree, lock, Form::Container)
    }

    /// A machine's packages on a container's tree.
    fn install_on(&self, mut container: Tree, lock: &Lock, vm: &VmPackages) -> Result<Tree, Error> {
        let store = self.fetch(&vm.packages)?;
        base::make(&mut container, self.initrd())?;
        let base = self.work.join("base.tar");
        let write = || {
            let mut file = BufWriter::with_capacity(1 << 20, fs::File::create(&base)?);
            write_tar(&container, &mut file)?;
            file.flush()
        };
        write().map_err(Error::io("writing", &base))?;
        drop(container);
        let job = Job {
            packages: &vm.packages,
            wanted: self.recipe.vm.as_ref().map_or(&[][..], |vm| &vm.packages),
            base: Some(&base),
            without: self.initrd().map_or(&[][..], |initrd| &initrd.without),
            ..self.container_job(lock, &store)
        };
        let made = self.install(job, vm.packages.len())?;
        let _ = fs::remove_file(&base);
        self.finish(made.tree, lock, Form::Machine)
    }

    /// Both trees; the container's only if it is wanted for itself.
    fn install_both(
        &self,
        lock: &Lock,
        vm: &VmPackages,
        wants_container: bool,
    ) -> Result<(Option<Tree>, Tree), Error> {
        // both come into the same store
        self.fetch(&lock.packages)?;
        let store = self.fetch(&vm.packages)?;
        let extension = Extension {
            packages: &vm.packages,
            without: self.initrd().map_or(&[][..], |initrd| &initrd.without),
            marked: &self.recipe.packages,
            initrd: self.initrd(),
            keeps_container: wants_container,
        };
        let job = Job { extension: Some(extension), ..self.container_job(lock, &store) };
        let made = self.install(job, lock.packages.len() + vm.packages.len())?;
        let Some(extended) = made.extended else {
            let container = self.finish(made.tree, lock, Form::Container)?;
            let machine = self.install_on(container.clone(), lock, vm)?;
            return Ok((Some(container), machine));
        };
        let container = made.tree.map(|tar| self.finish(Some(tar), lock, Form::Container)).transpose()?;
        Ok((container, self.finish(Some(extended), lock, Form::Machine)?))
    }

    fn initrd(&self) -> Option<&'a Initrd> {
        self.recipe.vm.as_ref().map(|vm| &vm.initrd)
    }

    fn container_job<'b>(&'b self, lock: &'b Lock, store: &'b Store) -> Job<'b> {
        Job {
            recipe: self.recipe,
            packages: &lock.packages,
            wanted: &self.recipe.packages,
            base: None,
            without: &[],
            slim: &self.slim,
            epoch: lock.epoch,
            store,
            work: self.work,
            system: &self.system,
            extension: None,
        }
    }

    fn install(&self, job: Job<'_>, count: usize) -> Result<Made, Error> {
        let stage = self.context.progress.stage("installing packages");
        let made = self.options.engine.implementation().make(&job, &|line| stage.note(line))?;
        stage.done(&format!("{count} packages"));
        self.context.check()?;
        Ok(made)
    }

    /// The tree of what was made, without what differs between two builds; it is kept for the next one.
    fn finish(&self, tar: Option<Vec<u8>>, lock: &Lock, form: Form) -> Result<Tree, Error> {
        let tar = tar.ok_or_else(|| Error::Tree("the engine gave no tree".into()))?;
        let recipe = self.recipe_of(form)?;
        let tree = clean(tar, &recipe.packages, &recipe.architecture)?;
        if !self.options.fresh {
            let (cache, key, tree) =
                (TreeCache::new(&self.options.cache), self.key(lock, form)?, tree.clone());
            self.storing.borrow_mut().push(std::thread::spawn(move || cache.store(&key, &tree)));
        }
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

/// The tree of a tar, without what differs between two builds, and with what apt is to know.
fn clean(tar: Vec<u8>, marked: &[String], architecture: &str) -> Result<Tree, Error> {
    let mut tree = Tree::read_tar(tar)?;
    normalise::clean(&mut tree)?;
    marks::mark(&mut tree, marked, architecture)?;
    Ok(tree)
}
