//! A password that is looked for everywhere it must not be.

#![allow(clippy::print_stdout, reason = "a test tells what it does")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::Lab;

/// Runs `pve-smbgateway` under strace, which writes down arguments and environment of every program that it, its
/// children and the container start. Gives exit code, outputs and the trace.
///
/// # Errors
/// When it does not end in time.
pub fn traced(lab: &Lab, name: &str, args: &[&str]) -> Result<(i32, String, String)> {
    let file = |what: &str| lab.directory().join(format!("{name}.{what}"));
    // strace ends when all it follows has ended, and a container does not: so a shell notes the end, and strace is stopped
    let script = "\"$@\" >\"$OUT\" 2>\"$ERR\"; echo $? >\"$DONE.new\"; mv \"$DONE.new\" \"$DONE\"";
    let trace = file("trace");
    let mut strace = Command::new("strace")
        .args(["-I2", "-f", "-q", "-v", "-s", "1048576", "-e", "trace=execve,execveat", "-o"])
        .arg(&trace)
        .args(["sh", "-c", script, "sh"])
        .arg(lab.product.program("faults/pve-smbgateway"))
        .args(args)
        .env("OUT", file("out"))
        .env("ERR", file("err"))
        .env("DONE", file("done"))
        // all that the program would ever log
        .env("RUST_LOG", "trace")
        .stdin(Stdio::null())
        .spawn()
        .context("starting strace")?;
    let start = Instant::now();
    while !file("done").exists() {
        ensure!(start.elapsed() < Duration::from_secs(180), "{name} did not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    // with -I2, SIGTERM makes strace let go of everything
    Command::new("kill").arg(strace.id().to_string()).status()?;
    while strace.try_wait()?.is_none() {
        ensure!(start.elapsed() < Duration::from_secs(200), "strace does not let go");
        std::thread::sleep(Duration::from_millis(20));
    }
    let code: i32 = fs::read_to_string(file("done"))?.trim().parse()?;
    let output = format!("{}{}", fs::read_to_string(file("out"))?, fs::read_to_string(file("err"))?);
    let text = String::from_utf8_lossy(&fs::read(&trace)?).into_owned();
    fs::remove_file(file("done"))?;
    ensure!(text.lines().count() > 3, "strace saw no program start: {text}");
    Ok((code, output, text))
}

/// Whether it is in there.
pub fn contains(bytes: &[u8], canary: &str) -> bool {
    bytes.windows(canary.len()).any(|window| window == canary.as_bytes())
}

fn any(bytes: &[u8], canaries: &[&str]) -> bool {
    canaries.iter().any(|canary| contains(bytes, canary))
}

/// Files below that hold the canary.
fn search(directory: &Path, canaries: &[&str], found: &mut Vec<String>, count: &mut u64) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            search(&path, canaries, found, count);
        } else if kind.is_file() {
            *count += 1;
            if fs::read(&path).is_ok_and(|bytes| any(&bytes, canaries)) {
                found.push(path.display().to_string());
            }
        }
    }
}

/// Searches what is on the disk and what runs now: the state, logs, the containers' files and journals, and all processes.
///
/// # Errors
/// With each place where one of them is.
pub fn nowhere(lab: &Lab, what: &str, canaries: &[&str]) -> Result<()> {
    let (mut found, mut count) = (Vec::new(), 0);
    for directory in ["/var/lib/pve-smbgateway", "/var/log/pve-smbgateway", "/run", "/dev/shm"] {
        if directory == "/var/lib/pve-smbgateway" {
            // the templates were there before
            for entry in fs::read_dir(directory)?.flatten().filter(|entry| entry.file_name() != "templates") {
                search(&entry.path(), canaries, &mut found, &mut count);
            }
        } else {
            search(Path::new(directory), canaries, &mut found, &mut count);
        }
    }
    search(&lab.directory().join("upper"), canaries, &mut found, &mut count);
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // the container's own view of its files comes along: overlay upper and lower as one
        for file in ["cmdline", "environ"] {
            if fs::read(format!("/proc/{pid}/{file}")).is_ok_and(|bytes| any(&bytes, canaries)) {
                found.push(format!("{file} of process {pid}"));
            }
        }
    }
    for gateway in lab.gateways()? {
        let logs = lab.attach(&gateway, ["journalctl", "--no-pager", "-o", "export"])?;
        if any(logs.all().as_bytes(), canaries) {
            found.push(format!("journal inside {gateway}"));
        }
    }
    ensure!(found.is_empty(), "{what}: the password is in {}", found.join(", "));
    ensure!(count > 5, "{what}: only {count} files were searched");
    println!("{what}: not in any of {count} files, nor in any process");
    Ok(())
}
