//! What tests of the nodes themselves have in common: a node, a small template, a refusal.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use smbgw_command::Command;

use crate::{Answer, Product, PveNode, environment};

/// Both versions that the facts were seen on.
pub const BOTH: &[&str] = &["8.4", "9.2"];
/// A container of a template of [`busybox`].
pub const CREATE: &str = "pct create 101 local:vztmpl/busybox.tar.zst --rootfs local:1 --hostname team --memory 128 --unprivileged 1 --features nesting=1 --net0 name=eth0,bridge=vmbr0,ip=10.10.10.5/24";

/// The built programs, and the lab's directory.
///
/// # Errors
/// Outside the environment.
pub fn lab() -> Result<(Product, PathBuf)> {
    Ok((Product::from_environment()?, environment::require()?))
}

/// A node that is alone, whose `local` takes everything.
///
/// # Errors
/// When it does not come up.
pub fn node(release: &str) -> Result<PveNode> {
    let (product, directory) = lab()?;
    let node = PveNode::start(&product, &directory, release, "pve1")?;
    // as people set it up who keep guests there
    node.storage(
        "dir",
        "local",
        &["path /var/lib/vz", "content vztmpl,iso,backup,rootdir,images,import,snippets"],
    )?;
    // its directories are made when it is used first
    node.line("pvesm status")?.ok()?;
    node.forget_calls()?;
    Ok(node)
}

/// As [`node`], with the template of [`busybox`].
///
/// # Errors
/// When it does not come up.
pub fn furnished(release: &str) -> Result<PveNode> {
    let node = node(release)?;
    busybox(&node)?;
    Ok(node)
}

/// Makes `local:vztmpl/busybox.tar.zst`, a system of one program.
///
/// # Errors
/// When it cannot be made.
pub fn busybox(node: &PveNode) -> Result<()> {
    let (_, directory) = lab()?;
    let root = directory.join("data/busybox");
    let _ = fs::remove_dir_all(&root);
    for name in ["bin", "sbin", "etc/network", "proc", "sys", "dev", "tmp", "run", "var", "root", "srv"] {
        fs::create_dir_all(root.join(name))?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).context("package busybox-static")?;
    for name in [
        "sh", "ls", "cat", "id", "ip", "sleep", "touch", "stat", "hostname", "chmod", "chown", "mount",
        "grep", "env", "kill",
    ] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name))?;
    }
    std::os::unix::fs::symlink("../bin/busybox", root.join("sbin/init"))?;
    fs::write(root.join("etc/debian_version"), "13.1\n")?;
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\n")?;
    fs::write(root.join("etc/inittab"), "::sysinit:/bin/touch /run/up\n::ctrlaltdel:/bin/true\n")?;
    let cache = node.path("/var/lib/vz/template/cache");
    fs::create_dir_all(&cache)?;
    let archive = cache.join("busybox.tar.zst").display().to_string();
    let tar = Command::new("tar").args([
        "--zstd",
        "--numeric-owner",
        "--owner=0",
        "--group=0",
        "-cf",
        &archive,
        "-C",
    ]);
    Answer::of(&tar.arg(root.display().to_string()).arg("."))?.ok()?;
    Ok(())
}

/// Expects a refusal: exit code, and words on stderr.
///
/// # Errors
/// When it is another answer.
pub fn refused(node: &PveNode, line: &str, code: i32, words: &str) -> Result<()> {
    let answer = node.line(line)?;
    ensure!(
        answer.code == code && answer.stderr.contains(words),
        "{code} and `{words}` were expected: {answer}"
    );
    Ok(())
}
