//! The engine that runs `mmdebstrap`.
//!
//! An ordinary user gets `--mode=unshare`: the packages' scripts run as the user's subordinate ids, in a user namespace.
//! Root gets the same where `/etc/subuid` gives root a range. Where it does not (the usual case), editing that file for
//! a build would be rude, so mmdebstrap runs with `--mode=root`. Either way root's mmdebstrap is inside mount and process
//! namespaces of its own: its mounts and processes end with the builder, even when that is killed. All three give the same bytes.

use std::path::Path;
use std::time::Duration;

use smbgw_command::{Command, Streams};

use super::contained::contained;
use super::{Job, Made, RootfsEngine, subids, take};
use crate::error::Error;
use crate::recipe::MergedUsr;
use crate::repo;

/// Ten times what a slow machine needs.
const DEADLINE: Duration = Duration::from_secs(1800);
/// Comes with mmdebstrap: makes the links and keeps `usrmerge` out.
const MERGED_USR_HOOK: &str = "/usr/share/mmdebstrap/hooks/merged-usr";

/// Runs `mmdebstrap`.
#[derive(Debug, Default)]
pub struct Mmdebstrap;

impl RootfsEngine for Mmdebstrap {
    fn make(&self, job: &Job<'_>, said: &(dyn Fn(&str) + Sync)) -> Result<Made, Error> {
        let tar = job.work.join("rootfs.tar");
        let repo = repo::write(job.packages, &job.recipe.suite, job.store, job.work)?;
        let command = command(job, &repo, &tar.to_string_lossy(), subids::available());
        let streams = Streams {
            stdin: None,
            on_stderr_line: Some(Box::new(|line| {
                if let Some(stage) = line.strip_prefix("I: ") {
                    said(stage.trim_end_matches('.'));
                }
            })),
        };
        job.system
            .run_streaming(&command, streams)
            .map_err(Error::program("installing the packages into a new root file system"))?;
        // the packages are in memory twice otherwise
        let _ = std::fs::remove_dir_all(&repo);
        Ok(Made { tree: Some(take(Path::new(&tar))?), extended: None })
    }
}

fn command(job: &Job<'_>, repo: &Path, tar: &str, user_namespace: bool) -> Command {
    let mode = if user_namespace { "--mode=unshare" } else { "--mode=root" };
    let mut command = if rustix::process::geteuid().is_root() {
        // it makes its own user namespace, so that here only the others are needed
        contained(false, "mmdebstrap").arg(mode)
    } else {
        Command::new("mmdebstrap").arg(mode)
    };
    command = command
        .args(["--format=tar", "--skip=output/dev"])
        .arg(format!("--architectures={}", job.recipe.architecture))
        .arg(format!("--include={}", job.wanted.join(",")))
        .args(["--aptopt=APT::Install-Recommends \"false\"", "--aptopt=Acquire::Languages \"none\""])
        // the packages' own hook asks the building machine's debconf, and answers nobody
        .arg("--aptopt=#clear DPkg::Pre-Install-Pkgs")
        // the tree is in a temporary place: syncing every file to disk only costs time
        .arg("--dpkgopt=force-unsafe-io")
        .args(job.without.iter().map(|glob| format!("--dpkgopt=path-exclude={glob}")));
    command = match job.base {
        None => command.arg("--variant=apt"),
        // one of its own commands, not a shell's; it takes the words apart as a shell would
        Some(base) => {
            command.arg("--variant=custom").arg(format!("--setup-hook=tar-in \"{}\" /", base.display()))
        }
    };
    if job.base.is_none() && job.recipe.merged_usr == MergedUsr::Hook {
        command = command.arg(format!("--hook-dir={MERGED_USR_HOOK}"));
    }
    command
        .args([job.recipe.suite.as_str(), tar])
        // trusted: every file in it was checked against the lock, which came from signed indexes
        .arg(format!("deb [trusted=yes] copy://{} ./", repo.display()))
        .env("SOURCE_DATE_EPOCH", job.epoch.to_string())
        .env("TMPDIR", job.work.path().to_string_lossy())
        .deadline(DEADLINE)
}
