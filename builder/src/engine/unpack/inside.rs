//! The process inside the namespaces.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

use smbgw_command::System;

use super::database::{self, Unpacked};
use super::job::{Deb, InsideJob};
use super::{SAID, give_back, mounts, place, plan, scripts, stand_ins};
use crate::deb::{self, MERGED};
use crate::deb822::Paragraph;
use crate::error::Error;
use crate::essential;
use crate::hash;
use crate::parallel::in_parallel;
use crate::tree::{Entry, Kind, Tree};

/// Links that a merged `/usr` has from the start.
const LINKED: &[&str] = &["/bin", "/lib", "/lib32", "/lib64", "/libx32", "/sbin"];

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
    let read = in_parallel(&largest_first(&job.packages), |number| read(&job.packages[number]))?;
    let controls: Vec<Paragraph<'_>> = read.iter().map(|package| Paragraph::new(&package.control)).collect();
    // scripts of all others use these without saying so: they are configured before
    let basic = if base.is_none() { essential::basic(&controls) } else { BTreeSet::new() };
    let (first, second): (Vec<usize>, Vec<usize>) =
        (0..read.len()).partition(|number| basic.contains(job.packages[*number].name.as_str()));

    fs::create_dir(&job.root).map_err(Error::io("making", &job.root))?;
    mounts::mount(&job.root)?;
    // from here on every path is one of the tree, and a link in it cannot lead out of it
    let enter = || {
        rustix::process::chdir(&job.root)?;
        rustix::process::chroot(".")
    };
    enter().map_err(|errno| Error::io("entering", &job.root)(errno.into()))?;
    let mut mounted_on = BTreeMap::new();
    if let Some(base) = &base {
        lay(base)?;
        let found = mounts::POINTS.iter().filter_map(|path| Some((*path, base.get(path)?.clone())));
        mounted_on.extend(found);
    } else if job.merge_usr {
        merge_usr()?;
    }
    drop(base);

    say("unpacking");
    let system = System::new();
    let epoch = job.epoch.to_string();
    let decode = |numbers: &[usize]| {
        in_parallel(numbers, |number| Unpacked::new(&job.packages[number].id, read[number].unpack()?))
    };
    let mut lay_out = |packages: &[Unpacked], essential: bool| -> Result<(), Error> {
        let plan =
            plan::plan(packages, &|path| fs::symlink_metadata(path).is_ok_and(|found| !found.is_dir()))?;
        write(packages, &plan, &job, essential)?;
        let existing = |path: &str| fs::read_to_string(path).ok();
        for file in database::database(packages, &plan.replaced, &existing) {
            store(&file.path, file.mode, &file.content)?;
            file.mtime.map_or(Ok(()), |mtime| place::date(&file.path, mtime))?;
        }
        for path in mounts::POINTS {
            if let Some(entry) = plan.directories.get(*path) {
                mounted_on.entry(*path).or_insert_with(|| entry.clone());
            }
        }
        Ok(())
    };
    stand_ins::while_they_stand(&epoch, &system, |stand_ins| {
        // one processor configures what is on every system while the others decompress the rest
        let second = std::thread::scope(|scope| {
            let first = decode(&first)?;
            let second = scope.spawn(|| decode(&second));
            if !first.is_empty() {
                lay_out(&first, true)?;
                say("configuring the essential packages");
                scripts::run(&first, &epoch, &system, stand_ins)?;
            }
            second.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        lay_out(&second, false)?;
        say("configuring");
        scripts::run(&second, &epoch, &system, stand_ins)
    })?;
    drop(read);
    scripts::finish(&epoch, &system)?;
    say("reading back");
    mounts::unmount()?;
    for (path, entry) in mounted_on {
        place::directory(&entry, path)?;
    }
    let out =
        rustix::stdio::stdout().try_clone_to_owned().map_err(Error::io("opening", "the standard output"))?;
    give_back::give_back(File::from(out))
}

/// Tells what is being done.
pub(super) fn say(what: &str) {
    // nobody to tell is no reason to stop
    let _ = writeln!(std::io::stderr(), "{SAID}{what}");
}

/// Numbers of the packages, the largest first, so that all processors end at about the same time.
fn largest_first(debs: &[Deb]) -> Vec<usize> {
    let size = |number: &usize| fs::metadata(&debs[*number].file).map_or(0, |found| found.len());
    let mut queue: Vec<usize> = (0..debs.len()).collect();
    queue.sort_by_key(|number| std::cmp::Reverse(size(number)));
    queue
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

/// Lays a whole tree into the empty root.
fn lay(tree: &Tree) -> Result<(), Error> {
    for (path, entry) in tree.entries().filter(|(_, entry)| !entry.is_directory()) {
        place::file(tree, entry, path, &str::to_owned)?;
    }
    for (path, entry) in tree.entries().filter(|(path, entry)| entry.is_directory() && !is_mounted_on(path)) {
        place::directory(entry, path)?;
    }
    Ok(())
}

/// What is seen there now is not the tree's, and may not be ours to change.
fn is_mounted_on(path: &str) -> bool {
    mounts::POINTS.contains(&path)
}

/// Makes the links that packages of Debian 12 expect to be there.
fn merge_usr() -> Result<(), Error> {
    for path in LINKED {
        let target = format!("usr{path}");
        fs::create_dir_all(format!("/{target}"))
            .and_then(|()| symlink(&target, path))
            .map_err(Error::io("making", path))?;
    }
    Ok(())
}

/// Writes all packages' files and directories. Essential packages are used before they are configured, so that their
/// configuration files are in place at once, as after debootstrap; dpkg finds them to be what it would put there.
fn write(packages: &[Unpacked], plan: &plan::Plan, job: &InsideJob, essential: bool) -> Result<(), Error> {
    // links of the merged `/usr` come first: what is below them must not become a directory in their place
    for (package, files) in packages.iter().zip(&plan.files) {
        for (path, to) in files.iter().filter(|(path, _)| MERGED.contains(&path.as_str())) {
            if let Some(entry) = package.tree.get(path) {
                place::file(&package.tree, entry, to, &str::to_owned)?;
            }
        }
    }
    let numbers: Vec<usize> = (0..packages.len()).collect();
    in_parallel(&numbers, |number| {
        let tree = &packages[number].tree;
        // whether a link stays shows when all is there
        let kept = |entry: &Entry, to: &str| {
            !job.is_without(to) && (matches!(entry.kind, Kind::Symlink(_)) || !job.is_slimmed(to))
        };
        let (mut links, mut files) = (Vec::new(), Vec::new());
        for (path, to) in plan.files[number].iter().filter(|(path, _)| !MERGED.contains(&path.as_str())) {
            match tree.get(path) {
                Some(entry) if matches!(entry.kind, Kind::Hardlink(_)) => links.push((entry, to)),
                Some(entry) => files.push((path, entry, to)),
                None => {}
            }
        }
        links.retain(|(entry, to)| kept(entry, to));
        let linked: BTreeSet<&str> = links
            .iter()
            .filter_map(|(entry, _)| match &entry.kind {
                Kind::Hardlink(target) => Some(target.as_str()),
                _ => None,
            })
            .collect();
        for (path, entry, to) in files {
            if kept(entry, to) || linked.contains(path.as_str()) {
                place::file(tree, entry, to, &str::to_owned)?;
            }
            if essential && packages[number].is_conffile(path) {
                place::file(tree, entry, &deb::merged_usr(path), &str::to_owned)?;
            }
        }
        links.into_iter().try_for_each(|(entry, to)| place::file(tree, entry, to, &deb::merged_usr))
    })?;
    for (path, entry) in
        plan.directories.iter().filter(|(path, _)| !job.is_without(path) && !is_mounted_on(path))
    {
        place::directory(entry, path)?;
    }
    Ok(())
}

/// Writes a file of dpkg's or apt's, in place of one that is there.
fn store(path: &str, mode: u32, content: &[u8]) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    let above = Path::new(path).parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(above)
        .and_then(|()| fs::write(path, content))
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(Error::io("writing", path))
}
