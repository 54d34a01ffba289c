//! The engine of our own: all packages are taken apart at once, by all processors, and laid into one tree with the database
//! that dpkg would have written; then dpkg configures them.
//!
//! * `job`: what is handed over to the process inside · `inside`: that process: unpack, configure, give back
//! * `plan`: which package's file is where · `laying`, `place`: writing it · `database`: what dpkg knows of it
//! * `going_on`: a virtual machine's packages on a container's, in the same place
//! * `mounts`, `scripts`, `preinst`: what scripts of packages need, running them, and which need not be run
//! * `stand_ins`, `served`, `replaced`: what scripts need not wait for · `give_back`: the tree as a tar
//!
//! Scripts run in mount and process namespaces of their own, and in a user namespace wherever there is a range of
//! subordinate ids: for everybody but root always, for root where `/etc/subuid` gives root one, as with the other engine.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use smbgw_command::{CommandError, Streams};

use super::contained::contained;
use super::{Job, Made, RootfsEngine, subids, take};
use crate::error::{Category, Error};
use crate::lock::Package;
use crate::recipe::MergedUsr;

pub mod database;
mod give_back;
mod going_on;
pub mod inside;
mod job;
mod laying;
mod mounts;
mod place;
mod plan;
mod preinst;
mod replaced;
mod scripts;
mod served;
mod stand_ins;
#[cfg(test)]
mod tests;

/// Ten times what a slow machine needs.
const DEADLINE: Duration = Duration::from_secs(1800);
/// The verb that this program is called with inside.
pub const VERB: &str = "inside";
/// Bytes of a tree, at most; the largest template's is a tenth of it.
const LARGEST: usize = 4 << 30;
/// Where the tree is made, in the work directory.
const ROOT: &str = "root";
/// What progress inside is told with.
const SAID: &str = "I: ";

/// Unpacks by itself.
#[derive(Debug, Default)]
pub struct Unpack;

impl RootfsEngine for Unpack {
    fn make(&self, job: &Job<'_>, said: &(dyn Fn(&str) + Sync)) -> Result<Made, Error> {
        subids::check()?;
        let debs = |packages: &[Package]| {
            packages.iter().map(|package| job::Deb::new(package, job.store)).collect::<Vec<_>>()
        };
        let container = job.extension.as_ref().filter(|extension| extension.keeps_container);
        let container = container.map(|_| job.work.join("container.tar"));
        let inside = job::InsideJob {
            root: job.work.join(ROOT),
            base: job.base.map(PathBuf::from),
            packages: debs(job.packages),
            without: job::Without(job.without.to_vec()),
            slim: job.slim.clone(),
            merge_usr: job.recipe.merged_usr == MergedUsr::Hook,
            epoch: job.epoch,
            extension: job.extension.as_ref().map(|extension| job::InsideExtension {
                packages: debs(extension.packages),
                without: job::Without(extension.without.to_vec()),
                marked: extension.marked.to_vec(),
                architecture: job.recipe.architecture.clone(),
                initrd: extension.initrd.cloned(),
                container: container.clone(),
            }),
        };
        let order = job.work.join("inside.json");
        fs::write(&order, inside.to_text()).map_err(Error::io("writing", &order))?;
        let this = std::env::current_exe().map_err(Error::io("finding", "/proc/self/exe"))?;
        let command = contained(subids::available(), &this.to_string_lossy())
            .args([VERB.to_owned(), order.to_string_lossy().into_owned()])
            .deadline(DEADLINE)
            .stdout_limit(LARGEST);
        let streams = Streams {
            stdin: None,
            on_stderr_line: Some(Box::new(|line| {
                if let Some(stage) = line.strip_prefix(SAID) {
                    said(stage);
                }
            })),
        };
        let outcome = job.system.run_streaming(&command, streams).map_err(failed);
        // the next form is made in the same place
        job.work.remove(ROOT);
        let tar = outcome?.stdout;
        Ok(match job.extension {
            None => Made { tree: Some(tar), extended: None },
            Some(_) => Made { tree: container.as_deref().map(take).transpose()?, extended: Some(tar) },
        })
    }
}

/// What went wrong inside is told once, in its own words.
fn failed(error: CommandError) -> Error {
    const DOING: &str = "installing the packages into a new root file system";
    if let CommandError::Failed { stderr, code, .. } = &error {
        let said = stderr.split_once("error: ").map(|(_, text)| text.trim().to_owned());
        if let (Some(said), Some(category)) = (said, code.and_then(Category::of_exit_code)) {
            let (detail, hint) = match said.split_once("\nhint: ") {
                Some((detail, hint)) => (detail.to_owned(), Some(hint.to_owned())),
                None => (said, None),
            };
            return Error::Inside { detail, hint, category };
        }
    }
    Error::program(DOING)(error)
}
