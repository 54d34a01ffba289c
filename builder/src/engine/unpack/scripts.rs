//! Running the packages' scripts: each `preinst` by ourselves, all others by `dpkg --configure`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use smbgw_command::{Command, CommandError, Runner, System};

use super::database::{ADMIN, Unpacked, unfinished};
use super::preinst;
use super::replaced::Replaced;
use super::stand_ins::{self, StandIns};
use crate::error::Error;

/// A kernel's ram disk on a slow machine takes a minute.
const DEADLINE: Duration = Duration::from_secs(1500);
/// Says that nothing may be started. Source: policy-rc.d in init-system-helpers.
const POLICY: &str = "/usr/sbin/policy-rc.d";
const DPKG: &str = "/usr/bin/dpkg";
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// Runs before any other: it writes `/etc/passwd`, which the others' programs read.
const FIRST: &str = "base-passwd";

/// Runs the scripts of freshly unpacked packages until all are installed.
///
/// # Errors
/// [`Error::Tree`] with what a script or dpkg said, [`Error::Io`].
pub(super) fn run(
    packages: &[Unpacked],
    epoch: &str,
    system: &System,
    stand_ins: &StandIns<'_>,
) -> Result<(), Error> {
    stand_ins.load()?;
    fs::write(POLICY, "#!/bin/sh\nexit 101\n")
        .and_then(|()| fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)))
        .map_err(Error::io("writing", POLICY))?;
    let mut ordered: Vec<&Unpacked> = packages.iter().collect();
    ordered.sort_by_key(|package| package.name != FIRST);
    let does_something = |package: &&&Unpacked| {
        let script = package.script("preinst").map(|member| String::from_utf8_lossy(&member.content));
        script.is_some_and(|text| !preinst::is_idle(&text))
    };
    for package in ordered.iter().filter(does_something) {
        preinst(package, epoch, system)?;
    }
    check_diversions(packages)?;
    let replaced = stand_ins::compile_later(packages)?;
    stand_ins.serve()?;
    configure(epoch, system)?;
    replaced.into_iter().try_for_each(Replaced::back)
}

/// Nothing is left to do, and nothing of ours stays.
///
/// # Errors
/// [`Error::Tree`] when a package is not installed as it should be, [`Error::Io`].
pub(super) fn finish(epoch: &str, system: &System) -> Result<(), Error> {
    fs::remove_file(POLICY).map_err(Error::io("removing", POLICY))?;
    audit(epoch, system)
}

fn configure(epoch: &str, system: &System) -> Result<(), Error> {
    let command = dpkg(["--configure", "-a"], epoch)
        .env("PATH", format!("{}:{PATH}", stand_ins::PROGRAMS))
        // what is compiled elsewhere at the same time is not to be found half done
        .env("PYTHONDONTWRITEBYTECODE", "1");
    system.run(&command).map(drop).map_err(|error| match error {
        CommandError::Failed { stdout, stderr, .. } => {
            Error::Tree(format!("dpkg could not configure the packages: {}", last_lines(&stdout, &stderr)))
        }
        other => Error::program("configuring the packages")(other),
    })
}

/// As dpkg runs it: from a directory where its control files are, by which debconf knows whose script it is.
fn preinst(package: &Unpacked, epoch: &str, system: &System) -> Result<(), Error> {
    let directory = format!("{ADMIN}/tmp.ci");
    let put = || {
        fs::create_dir(&directory)?;
        fs::write(format!("{directory}/control"), &package.control)?;
        for member in &package.members {
            let path = format!("{directory}/{}", member.name);
            fs::write(&path, &member.content)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(member.mode))?;
        }
        Ok(())
    };
    put().map_err(Error::io("writing", &directory))?;
    let command = environment(Command::new(format!("{directory}/preinst")).arg("install"), epoch)
        .env("DPKG_MAINTSCRIPT_NAME", "preinst")
        .env("DPKG_MAINTSCRIPT_PACKAGE", &package.name)
        .env("DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT", "1")
        .env("DPKG_MAINTSCRIPT_ARCH", &package.architecture)
        .env("DPKG_ADMINDIR", ADMIN)
        .env("DPKG_ROOT", "");
    system.run(&command).map(drop).map_err(|error| match error {
        CommandError::Failed { stdout, stderr, .. } => Error::Tree(format!(
            "the preinst script of {} failed: {}",
            package.name,
            last_lines(&stdout, &stderr)
        )),
        other => Error::program("running a preinst script")(other),
    })?;
    fs::remove_dir_all(&directory).map_err(Error::io("removing", &directory))
}

/// A diversion that a package makes before it is unpacked would have put another package's file elsewhere.
fn check_diversions(packages: &[Unpacked]) -> Result<(), Error> {
    let path = format!("{ADMIN}/diversions");
    let text = fs::read_to_string(&path).map_err(Error::io("reading", &path))?;
    let lines: Vec<&str> = text.lines().collect();
    for group in lines.chunks(3) {
        let [from, _, by] = group else { continue };
        let other = |package: &&Unpacked| {
            package.name != *by && package.tree.get(from).is_some_and(|entry| !entry.is_directory())
        };
        if let Some(package) = packages.iter().find(other) {
            return Err(Error::Tree(format!(
                "{by} diverts {from} of {}: build with --engine mmdebstrap, which unpacks one after the other",
                package.name
            )));
        }
    }
    Ok(())
}

/// Everything is installed, and dpkg finds nothing to say of it.
fn audit(epoch: &str, system: &System) -> Result<(), Error> {
    let path = format!("{ADMIN}/status");
    let status = fs::read_to_string(Path::new(&path)).map_err(Error::io("reading", &path))?;
    let unfinished = unfinished(&status);
    if !unfinished.is_empty() {
        return Err(Error::Tree(format!("these packages are not installed: {}", unfinished.join(", "))));
    }
    let command = dpkg(["--audit"], epoch);
    let output = system.run(&command).map_err(Error::program("auditing the packages"))?;
    let said = output.text(&command).map_err(Error::program("auditing the packages"))?;
    if said.trim().is_empty() {
        Ok(())
    } else {
        Err(Error::Tree(format!("dpkg --audit says: {}", said.trim())))
    }
}

fn dpkg<const N: usize>(args: [&str; N], epoch: &str) -> Command {
    // the tree is in a temporary place: syncing every file to disk only costs time
    environment(Command::new(DPKG).arg("--force-unsafe-io").args(args), epoch).deadline(DEADLINE)
}

/// What scripts of packages, and what they leave to others, run with.
pub(super) fn environment(command: Command, epoch: &str) -> Command {
    command
        .env("SOURCE_DATE_EPOCH", epoch)
        .env("PATH", PATH)
        .env("HOME", "/root")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("DEBCONF_NONINTERACTIVE_SEEN", "true")
        .env("LC_ALL", "C.UTF-8")
        .env("LANGUAGE", "C.UTF-8")
        .env("LANG", "C.UTF-8")
}

/// The end of what a program said, for people: of its errors first, since those say why.
fn last_lines(stdout: &str, stderr: &str) -> String {
    const LINES: usize = 12;
    let text = if stderr.trim().is_empty() { stdout } else { stderr };
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    match lines.iter().position(|line| line.starts_with("dpkg: error")) {
        // what comes after the first one follows from it
        Some(first) => lines[first.saturating_sub(LINES / 2)..lines.len().min(first + 2)].join("; "),
        None => lines[lines.len().saturating_sub(LINES)..].join("; "),
    }
}
