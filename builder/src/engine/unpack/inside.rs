//! The process inside the namespaces.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::thread::available_parallelism;

use smbgw_command::System;

use super::database::Unpacked;
use super::job::{Deb, InsideExtension, InsideJob};
use super::laying::Root;
use super::{SAID, give_back, going_on, mounts, scripts, stand_ins};
use crate::deb;
use crate::deb822::Paragraph;
use crate::error::Error;
use crate::essential;
use crate::hash;
use crate::parallel::{SharedWork, in_parallel};
use crate::tree::{Tree, write_tar};

/// Does what the order says, and writes the tree to the standard output as a tar. The root of this process is another one
/// afterwards.
///
/// # Errors
/// Every [`Error`] of the engine.
pub fn run(order: &Path) -> Result<(), Error> {
    let job = InsideJob::load(order)?;
    // what scripts make must not depend on who builds
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    say("reading packages");
    let base = match &job.base {
        Some(path) => Some(Tree::read_tar(fs::read(path).map_err(Error::io("reading", path))?)?),
        None => None,
    };
    let packages = Packages::read(&job.packages)?;
    // nothing outside the root can be opened later
    let extension = job.extension.as_ref().map(Extension::open).transpose()?;
    let out = rustix::stdio::stdout().try_clone_to_owned();
    let out = File::from(out.map_err(Error::io("opening", "the standard output"))?);

    fs::create_dir(&job.root).map_err(Error::io("making", &job.root))?;
    mounts::mount(&job.root)?;
    // from here on every path is one of the tree, and a link in it cannot lead out of it
    let enter = || {
        rustix::process::chdir(&job.root)?;
        rustix::process::chroot(".")
    };
    enter().map_err(|errno| Error::io("entering", &job.root)(errno.into()))?;
    let mut root = Root::new(&job);
    match &base {
        Some(base) => root.lay(base)?,
        None if job.merge_usr => root.merge_usr()?,
        None => {}
    }
    let is_new = base.is_none();
    drop(base);

    let installer = Installer { epoch: job.epoch.to_string(), system: System::contained() };
    match extension {
        None => installer.install(&mut root, &packages, is_new, || ())?,
        Some(extension) => installer.install_both(&mut root, packages, is_new, &extension)?,
    }
    say("reading back");
    give_back::to_pipe(out, root.mounted_on())
}

/// Packages to install, not yet decompressed.
struct Packages<'a> {
    debs: &'a [Deb],
    read: Vec<Read>,
    /// Their numbers, the largest first, so that all processors end at about the same time.
    queue: Vec<usize>,
}

impl<'a> Packages<'a> {
    fn read(debs: &'a [Deb]) -> Result<Self, Error> {
        let size = |number: &usize| fs::metadata(&debs[*number].file).map_or(0, |found| found.len());
        let mut queue: Vec<usize> = (0..debs.len()).collect();
        queue.sort_by_key(|number| std::cmp::Reverse(size(number)));
        Ok(Self { debs, read: in_parallel(&queue, |number| read(&debs[number]))?, queue })
    }

    fn unpack(&self, number: usize) -> Result<Unpacked, Error> {
        Unpacked::new(&self.debs[number].id, self.read[number].unpack()?)
    }

    /// Those that are on every system, and the others.
    fn basic_first(&self) -> (Vec<usize>, Vec<usize>) {
        let controls: Vec<Paragraph<'_>> =
            self.read.iter().map(|package| Paragraph::new(&package.control)).collect();
        let basic: BTreeSet<&str> = essential::basic(&controls);
        self.queue.iter().copied().partition(|number| basic.contains(self.debs[*number].name.as_str()))
    }
}

/// A virtual machine's packages, and where the container's tar goes.
struct Extension<'a> {
    order: &'a InsideExtension,
    packages: Packages<'a>,
    container: Option<(File, &'a Path)>,
}

impl<'a> Extension<'a> {
    fn open(order: &'a InsideExtension) -> Result<Self, Error> {
        let create = |path: &'a Path| Ok((File::create(path).map_err(Error::io("making", path))?, path));
        let container = order.container.as_deref().map(create).transpose()?;
        Ok(Self { order, packages: Packages::read(&order.packages)?, container })
    }

    /// Writes the container's tar, if anybody wants it.
    fn give_container(&self, tree: &Tree) -> Result<(), Error> {
        let Some((file, path)) = &self.container else { return Ok(()) };
        let write = || {
            let mut out = BufWriter::with_capacity(1 << 20, file);
            write_tar(tree, &mut out)?;
            out.flush()
        };
        write().map_err(Error::io("writing", path))
    }
}

/// Installs packages in the root.
struct Installer {
    epoch: String,
    system: System,
}

impl Installer {
    /// Unpacks and configures. In a new root some packages come first: scripts of all others use them without saying so.
    /// `idle` is called when all is decompressed.
    fn install(
        &self,
        root: &mut Root<'_>,
        packages: &Packages<'_>,
        is_new: bool,
        idle: impl FnOnce(),
    ) -> Result<(), Error> {
        let (first, second) =
            if is_new { packages.basic_first() } else { (Vec::new(), packages.queue.clone()) };
        let decode = |numbers: &[usize]| in_parallel(numbers, |number| packages.unpack(number));
        let without = &root.job().without;
        say("unpacking");
        stand_ins::while_they_stand(&self.epoch, &self.system, |stand_ins| {
            // one processor configures what is on every system while the others decompress the rest
            let second = std::thread::scope(|scope| {
                let first = decode(&first)?;
                let second = scope.spawn(|| decode(&second));
                if !first.is_empty() {
                    root.lay_out(&first, without, true)?;
                    say("configuring the essential packages");
                    scripts::run(&first, &self.epoch, &self.system, stand_ins)?;
                }
                second.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })?;
            root.lay_out(&second, without, false)?;
            idle();
            self.configure(&second, stand_ins)
        })?;
        scripts::finish(&self.epoch, &self.system)
    }

    /// Installs a container's packages, and then a virtual machine's on them. Those are decompressed while the container's are
    /// configured, and the container's tar is written while the machine's are.
    fn install_both(
        &self,
        root: &mut Root<'_>,
        packages: Packages<'_>,
        is_new: bool,
        extension: &Extension<'_>,
    ) -> Result<(), Error> {
        // one processor is for the scripts
        let idle_processors = available_parallelism().map_or(1, |count| count.get().saturating_sub(1)).max(1);
        let (decompressing, decode) =
            (SharedWork::new(&extension.packages.queue), |number: usize| extension.packages.unpack(number));
        std::thread::scope(|scope| {
            let both = || {
                let mut helpers = Vec::new();
                let idle = || {
                    let help = || decompressing.take_part(decode);
                    helpers.extend((0..idle_processors).map(|_| scope.spawn(help)));
                };
                self.install(root, &packages, is_new, idle)?;
                drop(packages);
                say("reading back");
                let tree = Tree::read_tar(give_back::write_root(Vec::new(), root.mounted_on())?)?;
                let container = tree.clone();
                let giving = scope.spawn(move || extension.give_container(&container));
                say("unpacking");
                going_on::change(root, &tree, extension.order)?;
                drop(tree);
                decompressing.take_part(decode);
                for helper in helpers {
                    helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                }
                let machine = decompressing.results()?;
                stand_ins::while_they_stand(&self.epoch, &self.system, |stand_ins| {
                    root.lay_out(&machine, &extension.order.without, false)?;
                    self.configure(&machine, stand_ins)
                })?;
                scripts::finish(&self.epoch, &self.system)?;
                giving.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            let outcome = both();
            // nobody waits for what is no longer wanted
            decompressing.abandon();
            outcome
        })
    }

    fn configure(&self, packages: &[Unpacked], stand_ins: &stand_ins::StandIns<'_>) -> Result<(), Error> {
        say("configuring");
        scripts::run(packages, &self.epoch, &self.system, stand_ins)
    }
}

/// Tells what is being done.
pub(super) fn say(what: &str) {
    // nobody to tell is no reason to stop
    let _ = writeln!(std::io::stderr(), "{SAID}{what}");
}

/// A package of which only the control data was decompressed.
struct Read {
    id: String,
    deb: Vec<u8>,
    control: String,
}

impl Read {
    fn unpack(&self) -> Result<deb::Package, Error> {
        deb::Package::read(&self.id, &self.deb)
    }
}

fn read(deb: &Deb) -> Result<Read, Error> {
    let content = fs::read(&deb.file).map_err(Error::io("reading", &deb.file))?;
    let found = hash::of_bytes(&content);
    if found != deb.sha256 {
        // gone, so that the next build fetches it again
        let _ = fs::remove_file(&deb.file);
        return Err(Error::StoreDamaged { path: deb.file.clone(), found });
    }
    Ok(Read { id: deb.id.clone(), control: deb::control(&deb.id, &content)?, deb: content })
}
