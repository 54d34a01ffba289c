//! Quotas on a real CephFS, mounted by FUSE: refused where the mount lacks what a gateway needs, and in force over SMB by a gateway in
//! a virtual machine.

#![allow(clippy::print_stdout, reason = "a test tells what it does")]

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use smbgw_command::{Interrupt, wait_until};
use smbgw_lab::{Ceph, CephFs, Lab, files};

const MIB: u64 = 1 << 20;
/// Until a client of CephFS knows what others have written.
const LATE: Duration = Duration::from_secs(60);

fn limit(path: &Path) -> Result<Option<u64>> {
    Ok(CephFs::attribute(path, "ceph.quota.max_bytes")?.filter(|limit| *limit > 0))
}

/// ceph-fuse does not let the kernel map ids (seen with 16.2 and Linux 6.18), so a container cannot have it: said before anything
/// changes, with what can.
#[test]
fn a_container_is_refused_with_what_works() -> Result<()> {
    let lab = Lab::enter("debian-13")?;
    let ceph = Ceph::start(lab.directory())?;
    let start = Instant::now();
    let cephfs = ceph.filesystem(&lab.directory().join("cephfs"))?;
    println!("CephFS mounted after {:.1} s", start.elapsed().as_secs_f64());
    let path = cephfs.directory("team")?;
    let text = path.display().to_string();
    let refused = lab
        .host(["create", "team", "--path", &text, "--quota", "64M", "--user", "alice", "--grant"])?
        .fails("idmap-unsupported")?;
    ensure!(
        refused.all().contains("is on ceph-fuse") && refused.all().contains("by the kernel"),
        "{refused}"
    );
    ensure!(limit(&path)?.is_none(), "a refused gateway has left a limit");
    cephfs.stop()?;
    ceph.stop()?;
    lab.leave()
}

#[test]
#[ignore = "minutes of emulation: cargo xtask test --thorough"]
fn a_quota_holds_in_a_machine() -> Result<()> {
    let lab = Lab::enter_vm("debian-13")?;
    let ceph = Ceph::start(lab.directory())?;
    let cephfs = ceph.filesystem(&lab.directory().join("cephfs"))?;
    let path = cephfs.directory("team")?;
    let text = path.display().to_string();
    let start = Instant::now();
    let gateway = lab.create_vm("team", &["--path", &text, "--grant", "--quota", "64M"])?;
    println!("created after {:.1} s", start.elapsed().as_secs_f64());
    ensure!(limit(&path)? == Some(64 * MIB), "the limit is not in force");
    let client = lab.client(&gateway, "team", "alice")?;
    ensure!(client.size()?.0 == 64, "a client sees {:?} MiB", client.size()?);

    // past it, over SMB
    let (big, some) = (lab.directory().join("big"), lab.directory().join("some"));
    files::random_file(&big, 100)?;
    files::random_file(&some, 20)?;
    client.refused(&format!("put {} big.bin", big.display()), "NT_STATUS_DISK_FULL")?;
    let row = lab.host(["quota", "show", "team"])?.ok()?.data()?["quotas"][0].clone();
    println!("{row}");
    ensure!(row["mechanism"] == "ceph.quota.max_bytes" && row["enforced_bytes"] == 64 * MIB, "{row}");
    client.run("del big.bin")?.ok()?;
    client.put(&some, "some.bin")?;
    let counted =
        || CephFs::attribute(&path, "ceph.dir.rbytes").ok().flatten().filter(|used| *used == 20 * MIB);
    wait_until("CephFS to have counted", LATE, &Interrupt::new(), counted)?;
    lab.host(["quota", "refresh"])?.ok()?;
    let told = || client.size().ok().filter(|seen| *seen == (64, 44));
    wait_until("a client to see what is left", LATE, &Interrupt::new(), told)?;

    // raised, and then enough
    lab.host(["quota", "set", "team", "200M"])?.ok()?;
    ensure!(limit(&path)? == Some(200 * MIB), "the new limit is not in force");
    client.put(&big, "big.bin")?;
    let counted =
        || CephFs::attribute(&path, "ceph.dir.rbytes").ok().flatten().filter(|used| *used == 120 * MIB);
    wait_until("CephFS to have counted", LATE, &Interrupt::new(), counted)?;

    // below what is there
    lab.host(["quota", "set", "team", "50M"])?.fails("quota-below-usage")?;
    ensure!(limit(&path)? == Some(200 * MIB), "a refused change has changed something");
    lab.host(["quota", "set", "team", "50M", "--force"])?.ok()?;
    ensure!(limit(&path)? == Some(50 * MIB), "the forced limit is not in force");
    client.refused(&format!("put {} more.bin", some.display()), "NT_STATUS_DISK_FULL")?;

    // none, and gone with the gateway, and the data not
    lab.host(["quota", "set", "team", "none"])?.ok()?;
    ensure!(limit(&path)?.is_none(), "the limit is still there");
    client.put(&some, "more.bin")?;
    lab.host(["quota", "set", "team", "300M"])?.ok()?;
    lab.host(["delete", "team"])?.ok()?;
    ensure!(limit(&path)?.is_none(), "the limit of a gateway that is gone is still there");
    ensure!(files::sha256(&path.join("big.bin"))? == files::sha256(&big)?, "the data is not what it was");
    cephfs.stop()?;
    ceph.stop()?;
    lab.leave()
}
