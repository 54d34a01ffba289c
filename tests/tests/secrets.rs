//! A canary password, looked for everywhere it must not be: arguments and environment of every process that is
//! started, journals, audit trail, logs, container configuration, container files, outputs and error texts.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it starts programs, and tells what it does"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use smbgw_lab::{Client, Lab, files};

const CANARY: &str = "Canary-7f3a9c-Passw0rd";
const CANARY_2: &str = "Canary-51d0e2-Passw0rd";

/// Runs `pve-smbgateway` under strace, which writes down arguments and environment of every program that it, its
/// children and the container start. Gives exit code, outputs and the trace.
fn traced(lab: &Lab, name: &str, args: &[&str]) -> Result<(i32, String, String)> {
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

fn contains(bytes: &[u8]) -> bool {
    [CANARY, CANARY_2]
        .iter()
        .any(|canary| bytes.windows(canary.len()).any(|window| window == canary.as_bytes()))
}

/// Files below that hold the canary.
fn search(directory: &Path, found: &mut Vec<String>, count: &mut u64) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            search(&path, found, count);
        } else if kind.is_file() {
            *count += 1;
            if fs::read(&path).is_ok_and(|bytes| contains(&bytes)) {
                found.push(path.display().to_string());
            }
        }
    }
}

/// Searches what is on the disk and what runs now.
fn nowhere(lab: &Lab, what: &str) -> Result<()> {
    let (mut found, mut count) = (Vec::new(), 0);
    for directory in ["/var/lib/pve-smbgateway", "/var/log/pve-smbgateway", "/run", "/dev/shm"] {
        if directory == "/var/lib/pve-smbgateway" {
            // the templates were there before
            for entry in fs::read_dir(directory)?.flatten().filter(|entry| entry.file_name() != "templates") {
                search(&entry.path(), &mut found, &mut count);
            }
        } else {
            search(Path::new(directory), &mut found, &mut count);
        }
    }
    search(&lab.directory().join("upper"), &mut found, &mut count);
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // the container's own view of its files comes along: overlay upper and lower as one
        for file in ["cmdline", "environ"] {
            if fs::read(format!("/proc/{pid}/{file}")).is_ok_and(|bytes| contains(&bytes)) {
                found.push(format!("{file} of process {pid}"));
            }
        }
    }
    for gateway in lab.gateways()? {
        let logs = lab.attach(&gateway, ["journalctl", "--no-pager", "-o", "export"])?;
        if contains(logs.all().as_bytes()) {
            found.push(format!("journal inside {gateway}"));
        }
    }
    ensure!(found.is_empty(), "{what}: the password is in {}", found.join(", "));
    ensure!(count > 5, "{what}: only {count} files were searched");
    println!("{what}: not in any of {count} files, nor in any process");
    Ok(())
}

#[test]
fn a_password_is_nowhere() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let path = lab.data("team")?;
    let text = path.display().to_string();
    // outside of what is searched
    let (first, second) = (lab.directory().join("canary-1"), lab.directory().join("canary-2"));
    files::secret_file(&first, &format!("{CANARY}\n"))?;
    files::secret_file(&second, &format!("{CANARY_2}\n"))?;
    let (first, second) = (first.display().to_string(), second.display().to_string());
    let create = [
        "--output",
        "json",
        "create",
        "team",
        "--path",
        &text,
        "--user",
        "alice",
        "--password-file",
        &first,
        "--grant",
    ];

    // every failure on the way, with its error text
    let plan = lab.host(create[2..].iter().copied().chain(["--dry-run"]))?.ok()?;
    ensure!(!contains(plan.all().as_bytes()), "the plan shows it: {plan}");
    let labels: Vec<String> = plan
        .stdout
        .split("\"label\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').nth(1).map(str::to_owned))
        .collect();
    ensure!(!labels.is_empty(), "no labels in {plan}");
    for label in &labels {
        let failed = lab.host_with_fault(&format!("fail@{label}"), create[2..].iter().copied())?;
        ensure!(failed.code != 0 && !contains(failed.all().as_bytes()), "{failed}");
    }
    nowhere(&lab, "after failed creations")?;

    let (code, output, trace) = traced(&lab, "create", &create)?;
    ensure!(code == 0, "{output}");
    ensure!(!contains(output.as_bytes()), "create told it: {output}");
    ensure!(
        !contains(trace.as_bytes()),
        "it is in the arguments or the environment of a program that create started"
    );
    println!("create started {} programs, in the container too", trace.matches("execve").count());
    nowhere(&lab, "after create")?;
    let gateway = lab.gateway("team", path)?;
    Client::new(lab.directory(), &gateway.address, "team", "alice", CANARY)?
        .run("ls")?
        .ok()
        .context("the password does not work")?;

    for (name, args) in [
        ("passwd", &["user", "passwd", "team", "alice", "--password-file", &second][..]),
        ("add", &["user", "add", "team", "bob", "--password-file", &second]),
        ("set", &["set", "team", "--security", "high"]),
        ("status", &["--output", "json", "status", "team"]),
        ("show", &["--output", "json", "show", "team"]),
        ("ops", &["--output", "json", "ops", "list"]),
        ("missing", &["user", "passwd", "team", "mallory", "--password-file", &second]),
    ] {
        let (code, output, trace) = traced(&lab, name, args)?;
        ensure!((code == 0) == (name != "missing"), "{name}: {output}");
        ensure!(!contains(output.as_bytes()), "{name} told it: {output}");
        ensure!(
            !contains(trace.as_bytes()),
            "{name}: it is in the arguments or the environment of a program"
        );
    }
    let client = Client::new(lab.directory(), &gateway.address, "team", "bob", CANARY_2)?;
    client.run("ls")?.ok().context("the second password does not work")?;
    nowhere(&lab, "after changes")?;

    // a password with a secret in the wrong place: the message must not quote it
    let both = lab.host(["user", "add", "team", "carol", "--password-fd", CANARY])?;
    ensure!(both.code == 2, "{both}");

    // by a file of many, as apply takes it
    let many = lab.directory().join("many");
    files::secret_file(&many, &format!("two/alice:{CANARY}\n"))?;
    let manifest = lab.directory().join("two.yaml");
    let other = lab.data("two")?;
    fs::write(
        &manifest,
        format!(
            "gateways:\n- name: two\n  users: [{{name: alice}}]\n  shares: [{{name: two, path: {}, grant: true}}]\n",
            other.display()
        ),
    )?;
    let (manifest, many) = (manifest.display().to_string(), many.display().to_string());
    let (code, output, trace) =
        traced(&lab, "apply", &["apply", "-f", &manifest, "--passwords-file", &many])?;
    ensure!(code == 0, "{output}");
    ensure!(!contains(output.as_bytes()) && !contains(trace.as_bytes()), "apply told it");
    nowhere(&lab, "after apply")?;
    lab.leave()
}
