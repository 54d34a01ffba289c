//! A gateway whose disk is an RBD image of a real Ceph cluster.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test: it starts programs, and tells what it does"
)]

use anyhow::{Result, ensure};
use smbgw_lab::{Ceph, Lab, files};

#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn an_rbd_image_is_the_disk_of_one_gateway() -> Result<()> {
    let lab = Lab::enter_vm("debian-13")?;
    let ceph = Ceph::start(lab.directory())?;
    ceph.pool("vms")?;
    ceph.image("vms", "team", 256)?;
    ceph.user("gateway", "vms")?;
    let disk = ["--rbd", "vms/team", "--ceph-user", "gateway"];
    let missing =
        lab.host(["create", "team", "--mode", "vm", "--rbd", "vms/nothing", "--ceph-user", "gateway"])?;
    ensure!(missing.json()?["error"]["code"] == "disk-missing", "{missing}");

    let gateway = lab.create_vm("team", &[&disk[..], &["--format"]].concat())?;
    lab.round_trip(&gateway, "team", "alice")?;
    let client = lab.client(&gateway, "team", "alice")?;
    let (survivor, got) = (lab.directory().join("survivor"), lab.directory().join("again"));
    files::random_file(&survivor, 2)?;
    client.put(&survivor, "survivor.bin")?;
    // a power cut takes what was not yet written out
    lab.in_guest("team", "sync")?.ok()?;

    // by the record, and by the cluster when the record is on another node
    let thief = ["create", "thief", "--mode", "vm"];
    let taken = lab.host(thief.into_iter().chain(disk))?;
    ensure!(taken.code == 4 && taken.json()?["error"]["code"] == "disk-in-use", "{taken}");
    let claim = ["--id", "gateway", "-p", "vms", "lock", "info", "smbgw.claim.team", "owner"];
    ensure!(
        ceph.run("rados", claim)?.all().contains("gateway team on"),
        "the cluster does not know whose it is"
    );

    // killed as by a power cut, and started again: the old watch of the image is waited for
    let cgroup = "/sys/fs/cgroup/smbgw.machine.smbgw-team/cgroup.kill";
    std::fs::write(cgroup, "1")?;
    lab.host(["start", "team"])?.ok()?;
    lab.round_trip(&gateway, "team", "alice")?;

    lab.host(["delete", "team"])?.ok()?;
    ensure!(!ceph.run("rados", ["-p", "vms", "ls"])?.stdout.contains("smbgw.claim"), "the claim is left");
    let gateway = lab.create_vm("again", &disk)?;
    // another gateway shares the folder of its own name, so the old one is named
    lab.host(["share", "add", "again", "team", "--folder", "team", "--grant"])?.ok()?;
    let _ = std::fs::remove_file(&got);
    lab.client(&gateway, "team", "alice")?.get("survivor.bin", &got)?;
    ensure!(files::sha256(&survivor)? == files::sha256(&got)?, "the data is not what it was");
    lab.host(["delete", "again"])?.ok()?;
    ceph.stop()?;
    lab.leave()
}
