//! What can go wrong with a virtual machine while it runs: each has its own error, within its deadline, and `status` tells
//! the truth; afterwards it can be put right.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it starts programs, and tells what it does"
)]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use smbgw_command::{Interrupt, wait_until};
use smbgw_lab::{Gateway, Lab, files, product};

/// For one look at a gateway that has trouble.
const LOOK: Duration = Duration::from_secs(90);

fn status(lab: &Lab) -> Result<Value> {
    let start = Instant::now();
    let said = lab.host(["status", "team"])?.ok()?.data()?;
    ensure!(start.elapsed() < LOOK, "status took {} s", start.elapsed().as_secs());
    Ok(said)
}

/// Expects that status says this and does not say that all is well.
fn says(lab: &Lab, what: &str) -> Result<()> {
    let said = status(lab)?;
    let problems = said["problems"].to_string();
    ensure!(said["ready"] == false, "it says that it serves: {said}");
    ensure!(problems.contains(what), "`{what}` is not among the problems: {problems}");
    println!("{what}: {problems}");
    Ok(())
}

/// Expects that a change is refused with this code, and within its deadline.
fn refuses(lab: &Lab, code: &str) -> Result<()> {
    let start = Instant::now();
    let refused = lab.host(["share", "set", "team", "team", "--comment", "x"])?;
    ensure!(start.elapsed() < 2 * LOOK, "{code} took {} s", start.elapsed().as_secs());
    ensure!(refused.code != 0, "it went through: {refused}");
    let error = &refused.json()?["error"];
    ensure!(error["code"] == code && error["hint"].is_string(), "{code} with a hint was expected: {error}");
    println!("{code} after {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn healthy(lab: &Lab, gateway: &Gateway) -> Result<()> {
    wait_until("the gateway to be well again", Duration::from_secs(120), &Interrupt::new(), || {
        status(lab)
            .ok()
            .filter(|said| said["ready"] == true && said["problems"].as_array().is_some_and(Vec::is_empty))
    })?;
    lab.round_trip(gateway, "team", "alice")
}

fn restart(lab: &Lab) -> Result<()> {
    let start = Instant::now();
    lab.host(["stop", "team"])?.ok()?;
    println!("stopped after {:.1} s", start.elapsed().as_secs_f64());
    lab.host(["start", "team"])?.ok()?;
    Ok(())
}

fn guest_directory() -> PathBuf {
    Path::new(product::GUESTS).join(product::container("team"))
}

/// The processes of the machine whose command line begins with this program.
fn pids(program: &str) -> Result<Vec<u32>> {
    let group = format!("/sys/fs/cgroup/smbgw.machine.{}/cgroup.procs", product::container("team"));
    let pids = std::fs::read_to_string(group)?;
    let is = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let first = line.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(first).rsplit('/').next() == Some(program)
    };
    Ok(pids.lines().filter_map(|pid| pid.parse().ok()).filter(is).collect())
}

fn kill(signal: &str, pids: &[u32]) -> Result<()> {
    ensure!(!pids.is_empty(), "there is no such process");
    for pid in pids {
        let status = std::process::Command::new("kill").args([signal, &pid.to_string()]).status()?;
        // a parent may have taken its child with it
        let gone = !Path::new(&format!("/proc/{pid}")).exists();
        ensure!(status.success() || gone, "kill {signal} {pid}: {status}");
    }
    Ok(())
}

#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn every_trouble_has_its_own_error() -> Result<()> {
    let lab = Lab::enter_vm("debian-13")?;
    let path = lab.data("team")?.display().to_string();
    let gateway = lab.create_vm("team", &["--path", &path, "--grant"])?;
    healthy(&lab, &gateway)?;

    println!("-- rubbish in the channel, and a client that left in the middle of a message");
    let mut rude = UnixStream::connect(guest_directory().join("qga.sock"))?;
    rude.write_all(b"{\"execute\": \"guest-info\"}\n\x00\x01nonsense {{{ \xff {\"execute\": \"guest-pi")?;
    rude.set_read_timeout(Some(Duration::from_secs(20)))?;
    let _ = rude.read(&mut [0; 16]);
    drop(rude);
    healthy(&lab, &gateway)?;

    println!("-- frozen, as a backup does it");
    lab.in_guest("team", "systemd-run --no-block --collect true")?;
    freeze("guest-fsfreeze-freeze")?;
    refuses(&lab, "guest-frozen")?;
    says(&lab, "frozen")?;
    freeze("guest-fsfreeze-thaw")?;
    healthy(&lab, &gateway)?;

    println!("-- the gateway's own agent stopped in the guest");
    lab.in_guest("team", "systemctl stop smbgw-agent")?.ok()?;
    says(&lab, "does not run")?;
    lab.in_guest("team", "systemctl start smbgw-agent")?.ok()?;
    healthy(&lab, &gateway)?;

    println!("-- the guest agent hung");
    // it stops itself, after the answer has gone out, and comes back when it was waited for in vain
    lab.in_guest(
        "team",
        "systemd-run --no-block --collect sh -c 'sleep 2; pkill -STOP -x qemu-ga; sleep 200; pkill -CONT -x qemu-ga'",
    )?
    .ok()?;
    std::thread::sleep(Duration::from_secs(8));
    says(&lab, "does not answer")?;
    refuses(&lab, "guest-agent-hung")?;
    wait_until("the guest agent to go on", Duration::from_secs(240), &Interrupt::new(), || {
        status(&lab).ok().filter(|said| said["ready"] == true)
    })?;
    healthy(&lab, &gateway)?;

    println!("-- the guest agent ended in the guest");
    lab.in_guest(
        "team",
        "systemd-run --no-block --collect sh -c 'sleep 2; systemctl stop qemu-guest-agent; sleep 30; systemctl start qemu-guest-agent'",
    )?
    .ok()?;
    std::thread::sleep(Duration::from_secs(8));
    refuses(&lab, "guest-agent-absent")?;
    says(&lab, "does not run")?;
    healthy(&lab, &gateway)?;

    println!("-- virtiofsd killed");
    kill("-KILL", &pids("virtiofsd")?)?;
    says(&lab, "virtiofsd of share team has ended")?;
    restart(&lab)?;
    healthy(&lab, &gateway)?;

    println!("-- the guest killed");
    kill("-KILL", &pids("qemu-system-x86_64")?)?;
    wait_until("the machine to be over", Duration::from_secs(20), &Interrupt::new(), || {
        status(&lab).ok().filter(|said| said["state"] == "stopped")
    })?;
    let refused = lab.host(["share", "set", "team", "team", "--comment", "x"])?;
    ensure!(refused.json()?["error"]["code"] == "gateway-stopped", "{refused}");
    lab.host(["start", "team"])?.ok()?;
    healthy(&lab, &gateway)?;
    lab.leave()
}

/// One word to the guest agent, past the product.
fn freeze(verb: &str) -> Result<()> {
    let mut stream = UnixStream::connect(guest_directory().join("qga.sock"))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(format!("\u{a}{{\"execute\": \"{verb}\"}}\n").as_bytes())?;
    let mut answer = String::new();
    let mut byte = [0u8; 1];
    while !answer.contains("\"return\"") || !answer.ends_with('\n') {
        let count = stream.read(&mut byte).context("the guest agent does not answer")?;
        ensure!(count == 1 && answer.len() < 10_000, "the guest agent left: {answer}");
        answer.push(char::from(byte[0]));
    }
    Ok(())
}

/// A node whose disk is full stops the machine's writes, not its life.
#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn a_full_disk_on_the_node() -> Result<()> {
    let lab = Lab::enter_vm("debian-13")?;
    // the state directory on a small file system of its own
    let place = lab.data("small")?;
    let image = place.join("disk.img");
    std::fs::File::create(&image)?.set_len(96 << 20)?;
    let mount = place.join("mount");
    files::directory(&mount, 0)?;
    let small = mount.display().to_string();
    lab.tool("mount", ["-t", "tmpfs", "-o", "size=150m", "none", &small])?;
    let disk = mount.join("team.img");
    std::fs::File::create(&disk)?.set_len(1 << 30)?;
    let path = disk.display().to_string();
    let result = full(&lab, &path);
    let _ = lab.host(["delete", "team"]);
    lab.tool("umount", [small.as_str()])?;
    result?;
    lab.leave()
}

fn full(lab: &Lab, path: &str) -> Result<()> {
    let gateway = lab.create_vm("team", &["--disk", path, "--format"])?;
    healthy(lab, &gateway)?;
    let big = lab.directory().join("big");
    files::random_file(&big, 200)?;
    let ballast = Path::new(path).with_file_name("ballast");
    std::fs::write(&ballast, vec![1u8; 80 << 20])?;
    // the client waits, too: nothing is lost as long as the machine stands still
    let client = lab.client(&gateway, "team", "alice")?;
    let written = std::thread::scope(|scope| -> Result<()> {
        let put = scope.spawn(|| client.put(&big, "big.bin"));
        wait_until("the machine to stand still", Duration::from_secs(300), &Interrupt::new(), || {
            status(lab).ok().filter(|said| said["problems"].to_string().contains("could not write"))
        })?;
        refuses(lab, "machine-out-of-space")?;
        says(lab, "could not write")?;
        // room again, and it goes on where it stood
        std::fs::remove_file(&ballast)?;
        lab.tool(
            "mount",
            [
                "-o",
                "remount,size=1g",
                "none",
                &Path::new(path).parent().context("no parent")?.display().to_string(),
            ],
        )?;
        lab.host(["start", "team"])?.ok()?;
        put.join().map_err(|_| anyhow::anyhow!("the client panicked"))?.or_else(|error| {
            // a client may have lost its patience; the gateway has not
            println!("the client gave up: {error:#}");
            client.put(&big, "big.bin")
        })
    });
    written?;
    let got = lab.directory().join("big-again");
    client.get("big.bin", &got)?;
    ensure!(files::sha256(&big)? == files::sha256(&got)?, "the file is not what was sent");
    healthy(lab, &gateway)
}
