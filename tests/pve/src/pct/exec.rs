//! `pct exec`, `pct push`, `pct pull`. Source: PVE::CLI::pct.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use super::life::{LXC, running};
use crate::config::{Kind, file};
use crate::options::Options;
use crate::refusal::{About, Refusal, Result, refuse};
use crate::sim::Sim;

fn attach(sim: &Sim, vmid: u32) -> Result<Command> {
    file::load(sim, Kind::Ct, vmid)?;
    if !running(vmid) {
        return refuse(format!("container '{vmid}' not running!"));
    }
    let mut command = Command::new("lxc-attach");
    command.args(["-P", LXC, "-n", &vmid.to_string()]);
    Ok(command)
}

/// Runs a command in a container; gives its exit code.
///
/// # Errors
/// When the container does not run.
pub fn exec(sim: &Sim, options: &Options) -> Result<i32> {
    let mut command = attach(sim, options.vmid())?;
    if options.rest.is_empty() {
        return refuse("missing command");
    }
    // the host's environment is kept unless told otherwise
    if options.flag("keep-env") == Some(false) {
        command.arg("--clear-env");
    } else {
        command.arg("--keep-env");
    }
    let status = command.arg("--").args(&options.rest).status()?;
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}

/// Copies a file into a container.
///
/// # Errors
/// When it does not run, or the file cannot be written.
pub fn push(sim: &Sim, options: &Options) -> Result<()> {
    let source = options.need("file");
    let from = File::open(source).about(&format!("failed to open {source} for reading"))?;
    let mode = options.get("perms").unwrap_or("0644");
    let user = format!("{}:{}", options.get("user").unwrap_or("0"), options.get("group").unwrap_or("0"));
    let target = options.need("destination");
    let script = "umask 077; cat > \"$1\" && chmod \"$2\" \"$1\" && chown \"$3\" \"$1\"";
    let output = attach(sim, options.vmid())?
        .args(["--clear-env", "--", "/bin/sh", "-c", script, "sh", target, mode, &user])
        .stdin(from)
        .stderr(Stdio::piped())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(Refusal::new(format!(
        "failed to create file in container: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}

/// Copies a file out of a container.
///
/// # Errors
/// When it does not run, or the file cannot be read.
pub fn pull(sim: &Sim, options: &Options) -> Result<()> {
    let target = options.need("destination");
    let to = File::create(target).about(&format!("failed to open {target} for writing"))?;
    let output = attach(sim, options.vmid())?
        .args(["--clear-env", "--", "/bin/cat", options.need("path")])
        .stdin(Stdio::null())
        .stdout(to)
        .stderr(Stdio::piped())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(Refusal::new(format!(
        "failed to open file in container: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}
