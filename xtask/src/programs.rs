//! Building the product's programs, and where they then are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use smbgw_lab::Environment;

use crate::say;

/// The agent is linked statically, so that one build runs in every template.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The tests of all packages but the lab, with the faults that the journal's are about. Always all of them: cargo builds a
/// dependency with what those that were chosen need.
pub(crate) const UNITS: &[&str] =
    &["test", "--workspace", "--exclude", "smbgw-lab", "--features", "pve-smbgateway/faults"];

/// Root of the checkout.
pub(crate) fn source() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| source().join("target"), PathBuf::from)
}

/// Where finished programs lie.
pub(crate) fn directory() -> PathBuf {
    target().join("programs")
}

/// A cargo command in the checkout.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(source());
    command
}

/// A copy of this very program for an environment: cargo may put another in its place while we run.
pub(crate) fn own(environment: &Environment) -> Result<PathBuf> {
    let copy = environment.directory().join("xtask");
    fs::copy("/proc/self/exe", &copy).with_context(|| format!("writing {}", copy.display()))?;
    Ok(copy)
}

/// Runs a command with our stdout and stderr.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let text = format!("{command:?}");
    let status =
        command.stdin(std::process::Stdio::null()).status().with_context(|| format!("starting {text}"))?;
    ensure!(status.success(), "{text} failed ({status})");
    Ok(())
}

/// Builds the programs as they are shipped, and gives the directory they lie in.
pub(crate) fn build() -> Result<PathBuf> {
    say::step("programs", "cargo build --release: smbgw-builder, pve-smbgateway, and smbgw-agent statically");
    succeed(&mut cargo(&["build", "--release", "-p", "smbgw-builder", "-p", "pve-smbgateway"]))?;
    // another target directory, or the flags would make cargo build everything anew each time
    let statically = target().join("static");
    succeed(
        cargo(&["build", "--release", "-p", "smbgw-agent", "--target", TARGET, "--target-dir"])
            .arg(&statically)
            .env("RUSTFLAGS", "-C target-feature=+crt-static"),
    )?;
    let directory = directory();
    let release = target().join("release");
    place(&release.join("smbgw-builder"), &directory)?;
    place(&release.join("pve-smbgateway"), &directory)?;
    place(&statically.join(TARGET).join("release/smbgw-agent"), &directory)?;
    Ok(directory)
}

/// Builds `pve-smbgateway` with the faults that the journal tests ask for, apart from the shipped one.
pub(crate) fn build_with_faults() -> Result<()> {
    say::step("programs", "pve-smbgateway once more, with faults for the journal tests");
    unoptimised()?;
    place(&target().join("debug/pve-smbgateway"), &directory().join("faults"))
}

/// Builds the simulator of Proxmox VE nodes.
pub(crate) fn build_simulator() -> Result<()> {
    say::step("programs", "pve-sim, which stands for Proxmox VE nodes");
    unoptimised()?;
    place(&target().join("debug/pve-sim"), &directory())
}

/// Builds the programs that their own tests start, unoptimised: what they do is the same. With all the unit tests, for which
/// they have been built already as a rule.
fn unoptimised() -> Result<()> {
    succeed(cargo(UNITS).args(["-q", "--no-run"]))
}

/// Copies a program if it changed: its time of change decides whether a template is built again.
fn place(from: &Path, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    let name = from.file_name().context("a program without a name")?;
    let to = directory.join(name);
    let new = fs::read(from).with_context(|| format!("reading {}", from.display()))?;
    if fs::read(&to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    let temporary = directory.join(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    fs::copy(from, &temporary)?;
    fs::rename(&temporary, &to).with_context(|| format!("writing {}", to.display()))
}
