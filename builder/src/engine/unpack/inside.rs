//! The process inside the namespaces.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use smbgw_command::System;

use super::database::{self, Unpacked};
use super::job::{Deb, InsideJob};
use super::{SAID, give_back, mounts, place, plan, scripts};
use crate::deb::{self, MERGED};
use crate::deb822::Paragraph;
use crate::error::Error;
use crate::essential;
use crate::hash;
use crate::tree::{Kind, Tree};

/// Links that a merged `/usr` has from the start.
const LINKED: &[&str] = &["/bin", "/lib", "/lib32", "/lib64", "/libx32", "/sbin"];

/// Does what the order says. The root of this process is another one afterwards.
///
/// # Errors
/// Every [`Error`] of the engine.
pub fn run(order: &Path) -> Result<(), Error> {
    let job = InsideJob::load(order)?;
    say("unpacking");
    let base = match &job.base {
        Some(path) => Some(Tree::read_tar(fs::read(path).map_err(Error::io("reading", path))?)?),
        None => None,
    };
    let tar = File::create(&job.tar).map_err(Error::io("making", &job.tar))?;
    let packages = take_apart(&job)?;
    fs::create_dir(&job.root).map_err(Error::io("making", &job.root))?;
    let taken = |path: &str| base.as_ref().is_some_and(|base| base.get(path).is_some());
    let plan = plan::plan(&packages, &taken)?;
    // from here on every path is one of the tree, and a link in it cannot lead out of it
    let enter = || {
        rustix::process::chdir(&job.root)?;
        rustix::process::chroot(".")
    };
    mounts::mount(&job.root)?;
    enter().map_err(|errno| Error::io("entering", &job.root)(errno.into()))?;
    if let Some(base) = &base {
        lay(base)?;
    }
    drop(base);
    if job.merge_usr && job.base.is_none() {
        merge_usr()?;
    }
    write(&packages, &plan, &job.without)?;
    let mount_points =
        mounts::POINTS.iter().filter_map(|path| Some((*path, plan.directories.get(*path).cloned()?)));
    let mount_points: Vec<_> = mount_points.collect();
    let existing = |path: &str| fs::read_to_string(path).ok();
    for file in database::database(&packages, &plan.replaced, &existing) {
        store(&file.path, file.mode, &file.content)?;
        file.mtime.map_or(Ok(()), |mtime| place::date(&file.path, mtime))?;
    }
    let controls: Vec<_> = packages.iter().map(|package| Paragraph::new(&package.control)).collect();
    let basic = if job.base.is_none() { essential::basic(&controls) } else { BTreeSet::new() };
    say("configuring");
    scripts::run(&packages, &basic, &job.epoch.to_string(), &System::new())?;
    say("reading back");
    mounts::unmount()?;
    for (path, entry) in mount_points {
        place::directory(&entry, path)?;
    }
    give_back::give_back(tar, &job.tar)
}

fn say(what: &str) {
    // nobody to tell is no reason to stop
    let _ = writeln!(std::io::stderr(), "{SAID}{what}");
}

/// Reads and decompresses all packages, the largest first, on all processors.
fn take_apart(job: &InsideJob) -> Result<Vec<Unpacked>, Error> {
    let size = |deb: &Deb| fs::metadata(&deb.file).map_or(0, |found| found.len());
    let mut queue: Vec<usize> = (0..job.packages.len()).collect();
    queue.sort_by_key(|number| std::cmp::Reverse(size(&job.packages[*number])));
    let done = in_parallel(&queue, |number| {
        let deb = &job.packages[number];
        let mut content = Vec::new();
        File::open(&deb.file)
            .and_then(|mut file| file.read_to_end(&mut content))
            .map_err(Error::io("reading", &deb.file))?;
        if hash::of_bytes(&content) != deb.sha256 {
            // gone, so that the next build fetches it again
            let _ = fs::remove_file(&deb.file);
            return Err(Error::NotIntact {
                path: deb.file.clone(),
                detail: format!("{} does not have the hash that it is stored under", deb.id),
            });
        }
        Unpacked::new(&deb.id, deb::Package::read(&deb.id, &content)?)
    })?;
    let mut done: Vec<(usize, Unpacked)> = done;
    done.sort_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, package)| package).collect())
}

/// Does something for each number, in this order, on all processors; the first error ends it.
fn in_parallel<T: Send>(
    queue: &[usize],
    work: impl Fn(usize) -> Result<T, Error> + Sync,
) -> Result<Vec<(usize, T)>, Error> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<Error>> = Mutex::new(None);
    let fail = |error| {
        next.store(queue.len(), Ordering::Relaxed);
        failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(error);
    };
    let one = || {
        let mut mine = Vec::new();
        while let Some(number) = queue.get(next.fetch_add(1, Ordering::Relaxed)) {
            match work(*number) {
                Ok(result) => mine.push((*number, result)),
                Err(error) => fail(error),
            }
        }
        mine
    };
    let done: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        running
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    match failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(done),
    }
}

/// Lays a whole tree into the empty root.
fn lay(tree: &Tree) -> Result<(), Error> {
    for (path, entry) in tree.entries().filter(|(_, entry)| !entry.is_directory()) {
        place::file(tree, entry, path, &str::to_owned)?;
    }
    for (path, entry) in tree.entries().filter(|(_, entry)| entry.is_directory()) {
        place::directory(entry, path)?;
    }
    Ok(())
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

/// Writes all packages' files and directories.
fn write(packages: &[Unpacked], plan: &plan::Plan, without: &[crate::glob::Glob]) -> Result<(), Error> {
    let kept = |path: &str| !without.iter().any(|glob| glob.matches(path));
    // links of the merged `/usr` come first: what is below them must not become a directory in their place
    for (package, files) in packages.iter().zip(&plan.files) {
        for (path, to) in files.iter().filter(|(path, _)| MERGED.contains(&path.as_str())) {
            if let Some(entry) = package.tree.get(path) {
                place::file(&package.tree, entry, to, &str::to_owned)?;
            }
        }
    }
    let queue: Vec<usize> = (0..packages.len()).collect();
    in_parallel(&queue, |number| {
        let package = &packages[number];
        let to_of = |path: &str| deb::merged_usr(path);
        let mut later = Vec::new();
        for (path, to) in &plan.files[number] {
            if MERGED.contains(&path.as_str()) || !kept(to) {
                continue;
            }
            match package.tree.get(path) {
                Some(entry) if matches!(entry.kind, Kind::Hardlink(_)) => later.push((entry, to)),
                Some(entry) => place::file(&package.tree, entry, to, &to_of)?,
                None => {}
            }
        }
        for (entry, to) in later {
            place::file(&package.tree, entry, to, &to_of)?;
        }
        Ok(())
    })?;
    for (path, entry) in plan.directories.iter().filter(|(path, _)| kept(path)) {
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
