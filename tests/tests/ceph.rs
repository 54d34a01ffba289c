//! The lab's Ceph cluster itself: images that QEMU writes and reads, who may, and what happens when two want the same one.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it starts programs, and tells what it does"
)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use smbgw_command::{Interrupt, wait_until};
use smbgw_lab::{Answer, Ceph, Snapshot, environment};

#[test]
fn qemu_writes_and_reads_an_image() -> Result<()> {
    let directory = environment::require()?;
    let before = Snapshot::take(&directory)?;
    let start = Instant::now();
    let ceph = Ceph::start(&directory)?;
    ceph.pool("vms")?;
    ceph.image("vms", "disk", 64)?;
    ceph.user("gateway", "vms")?;
    println!("cluster, pool and image after {:.1} s", start.elapsed().as_secs_f64());
    let image = "rbd:vms/disk:id=gateway:conf=/etc/ceph/ceph.conf";
    let io = |commands: &[&str]| {
        let mut command = smbgw_command::Command::new("qemu-io").args(["-f", "raw"]);
        for one in commands {
            command = command.args(["-c", one]);
        }
        Answer::of(&command.arg(image))
    };
    let written = io(&["write -P 0x5a 0 1M", "flush"])?.ok()?;
    ensure!(written.stdout.contains("wrote 1048576/1048576"), "{written}");
    let read = io(&["read -P 0x5a 0 1M", "read -P 0 1M 1M"])?.ok()?;
    ensure!(!read.all().contains("verification failed"), "{read}");
    // another content is told apart
    ensure!(io(&["read -P 0x5b 0 1M"])?.all().contains("verification failed"), "qemu-io does not verify");
    ceph.stop()?;
    before.expect_same(&directory)
}

/// A QEMU tool that keeps the image open, as a running guest does.
struct Holder {
    child: Child,
    said: PathBuf,
}

impl Holder {
    fn open(directory: &Path, user: &str) -> Result<Self> {
        let said = directory.join(format!("{user}.out"));
        let file = fs::File::create(&said)?;
        let child = Command::new("qemu-io")
            .args(["-f", "raw", &format!("rbd:vms/disk:id={user}:conf=/etc/ceph/ceph.conf")])
            .stdin(Stdio::piped())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()?;
        Ok(Self { child, said })
    }

    /// Has it do something, and gives what it says then.
    fn told(&mut self, command: &str, expected: &str) -> Result<String> {
        let before = fs::read_to_string(&self.said)?.len();
        writeln!(self.child.stdin.as_mut().context("no stdin")?, "{command}")?;
        let what = format!("`{expected}` after `{command}`");
        Ok(wait_until(&what, Duration::from_secs(120), &Interrupt::new(), || {
            let text = fs::read_to_string(&self.said).ok()?;
            let new = text.get(before..)?;
            new.contains(expected).then(|| new.to_owned())
        })?)
    }

    /// Ends it at once, as a power cut would.
    fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.said);
    }
}

fn watchers(ceph: &Ceph) -> Result<Vec<String>> {
    let status = ceph.run("rbd", ["status", "vms/disk", "--format", "json"])?.json()?;
    Ok(smbgw_lab::lab::strings(&status["watchers"], "address"))
}

/// Neither QEMU nor Ceph keeps a second one from an image. What shows and ends another's use of it does work.
#[test]
fn who_uses_an_image_is_seen_and_can_be_shut_out() -> Result<()> {
    let directory = environment::require()?;
    let before = Snapshot::take(&directory)?;
    let ceph = Ceph::start(&directory)?;
    ceph.pool("vms")?;
    ceph.image("vms", "disk", 64)?;
    ceph.user("one", "vms")?;
    ceph.user("two", "vms")?;
    ensure!(watchers(&ceph)?.is_empty(), "an image that nobody uses has watchers");

    let mut one = Holder::open(&directory, "one")?;
    one.told("write -P 1 0 4k", "wrote 4096/4096")?;
    let seen = watchers(&ceph)?;
    ensure!(seen.len() == 1, "watchers: {seen:?}");
    let mut two = Holder::open(&directory, "two")?;
    two.told("write -P 2 0 4k", "wrote 4096/4096")?;
    one.told("read -P 2 0 4k", "read 4096/4096").context("the second one was kept from writing")?;

    // shut out: by a user who may nothing but use the pool
    ceph.run("ceph", ["--id", "two", "osd", "blocklist", "add", &seen[0], "600"])?;
    ensure!(!watchers(&ceph)?.contains(&seen[0]), "it is still there");
    one.told("write -P 3 0 4k", "failed")?;
    two.told("read -P 2 0 4k", "read 4096/4096")?;
    drop(one);

    // killed: it is there for a while still, and the next to write waits; shutting it out ends that
    let dead = watchers(&ceph)?;
    two.kill()?;
    ensure!(dead.len() == 1 && watchers(&ceph)? == dead, "a killed one is gone at once");
    ceph.run("ceph", ["--id", "one", "osd", "blocklist", "add", &dead[0], "600"])?;
    let start = Instant::now();
    let mut three = Holder::open(&directory, "one")?;
    three.told("write -P 4 0 4k", "wrote 4096/4096")?;
    println!("first write after shutting out a killed one: {:.1} s", start.elapsed().as_secs_f64());
    drop(three);
    ceph.stop()?;
    before.expect_same(&directory)
}

/// A lock on an object of our own: held by no process, so it outlives them all, and taken away only from the one it was seen with.
#[test]
fn a_claim_on_an_image_has_one_holder() -> Result<()> {
    let directory = environment::require()?;
    let before = Snapshot::take(&directory)?;
    let ceph = Ceph::start(&directory)?;
    ceph.pool("vms")?;
    ceph.user("one", "vms")?;
    ceph.user("two", "vms")?;
    let lock = |user: &str, verb: &str, more: &[&str]| {
        let object = ["--id", user, "-p", "vms", "lock", verb, "claim.disk", "owner"];
        Answer::of(&smbgw_command::Command::new("rados").args(object).args(more.iter().copied()))
    };
    lock("one", "get", &["--lock-cookie", "a"])?.ok()?;
    for (user, cookie) in [("two", "b"), ("one", "a")] {
        let answer = lock(user, "get", &["--lock-cookie", cookie])?;
        ensure!(answer.code != 0 && answer.all().contains("busy"), "{answer}");
    }
    let info = lock("two", "info", &["--format", "json"])?.ok()?.json()?;
    let (holder, cookie) = (&info["lockers"][0]["name"], &info["lockers"][0]["cookie"]);
    let holder = holder.as_str().context("no holder")?;
    ensure!(cookie == "a", "{info}");
    let wrong = lock("two", "break", &[holder, "--lock-cookie", "b"])?;
    ensure!(wrong.code != 0, "{wrong}");
    lock("two", "break", &[holder, "--lock-cookie", "a"])?.ok()?;
    // whoever saw the same old holder does not take it from the new one
    lock("two", "get", &["--lock-cookie", "b"])?.ok()?;
    let late = lock("one", "break", &[holder, "--lock-cookie", "a"])?;
    ensure!(late.code != 0, "{late}");
    ceph.stop()?;
    before.expect_same(&directory)
}
