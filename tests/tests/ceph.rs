//! The lab's Ceph cluster itself: images that QEMU writes and reads, who may, and what happens when two want the same one.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it starts programs, and tells what it does"
)]

use std::time::Instant;

use anyhow::{Result, ensure};
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
